use std::{
    net::TcpStream as StdTcpStream,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::*;
use crate::config::Congestion;

/// Connections that nothing was sent on can be accepted.
const EAGER: Network = Network {
    congestion: Congestion::System,
    defer_accept: false,
    socket_mode: 0o660,
};

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Listens on these addresses.
fn bind(addresses: &[SocketAddr], workers: usize) -> Result<Bound, BindError> {
    let with_scheme = |&address| (Bind::Address(address), Scheme::Http.into());
    let binds: Vec<_> = addresses.iter().map(with_scheme).collect();
    bind_all(&binds, workers, &EAGER)
}

impl Bound {
    fn address(&self, index: usize) -> SocketAddr {
        let address = self.listening[index].address.socket_address();
        address.expect("no path")
    }
}

fn message(code: Errno) -> String {
    let error = io::Error::from_raw_os_error(code as i32);
    BindError {
        address: SocketAddr::from(([127, 0, 0, 1], 80)).into(),
        fault: Fault::Internet(error),
    }
    .to_string()
}

fn closes_on_exec(socket: impl AsFd) -> bool {
    let flags = FdFlag::from_bits_retain(fcntl(socket, FcntlArg::F_GETFD).unwrap());
    flags.contains(FdFlag::FD_CLOEXEC)
}

#[test]
fn every_worker_has_every_address_and_one_port() {
    let bound = bind(&[any_port(), any_port()], 3).unwrap();
    assert_eq!(bound.workers.len(), 3);
    assert_ne!(bound.address(0), bound.address(1));
    for listeners in &bound.workers {
        let actual: Vec<_> = listeners
            .iter()
            .map(|one| SockRef::from(&one.socket).local_addr().unwrap())
            .map(|address| address.as_socket().unwrap())
            .collect();
        assert_eq!(actual, [bound.address(0), bound.address(1)]);
        assert!(actual.iter().all(|address| address.port() != 0));
    }
}

#[test]
fn a_second_instance_fails_and_the_port_is_free_after_the_first() {
    let first = bind(&[any_port()], 2).unwrap();
    let address = first.address(0);
    for workers in [1, 2] {
        let error = bind(&[address], workers).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "cannot listen on {address}: the address is in use; \
                 stop the other program or choose another port with --bind"
            )
        );
    }
    drop(first);
    bind(&[address], 2).unwrap();
}

#[test]
fn two_that_start_in_the_same_moment_cannot_both_listen() {
    let bound_first = socket_for(any_port(), false, &EAGER).unwrap();
    bound_first.bind(&any_port().into()).unwrap();
    let address = bound_first.local_addr().unwrap();
    // Both have bound, thanks to SO_REUSEADDR, and neither listens yet.
    let bound_second = socket_for(any_port(), false, &EAGER).unwrap();
    bound_second.bind(&address).unwrap();
    bound_first.listen(BACKLOG).unwrap();
    bound_first.set_reuse_port(true).unwrap();
    let error = bound_second.listen(BACKLOG).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn connections_are_spread_over_the_workers() {
    const CONNECTIONS: usize = 200;
    let bound = bind(&[any_port()], 4).unwrap();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| StdTcpStream::connect(bound.address(0)).unwrap())
        .collect();
    let mut accepted = [0; 4];
    let deadline = Instant::now() + Duration::from_secs(10);
    // A client is connected a moment before its connection is in the queue.
    while accepted.iter().sum::<usize>() < clients.len() && Instant::now() < deadline {
        for (worker, listeners) in bound.workers.iter().enumerate() {
            if let Accept::Connection(..) = accept(&listeners[0].socket) {
                accepted[worker] += 1;
            }
        }
    }
    assert_eq!(accepted.iter().sum::<usize>(), CONNECTIONS);
    // By a fair hash, a worker without any has a chance of (3/4)^200.
    assert!(accepted.iter().all(|&count| count > 0), "{accepted:?}");
}

#[test]
fn accepted_sockets_need_no_further_calls() {
    let bound = bind(&[any_port()], 1).unwrap();
    let listener = &bound.workers[0][0].socket;
    assert!(matches!(accept(listener), Accept::WouldBlock));
    let client = StdTcpStream::connect(bound.address(0)).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let (stream, peer) = loop {
        match accept(listener) {
            Accept::Connection(stream, peer) => break (stream, peer),
            other => assert!(Instant::now() < deadline, "{other:?}"),
        }
    };
    assert_eq!(peer, PeerAddress::Internet(client.local_addr().unwrap()));
    assert!(SockRef::from(&stream).tcp_nodelay().unwrap());
    assert!(SockRef::from(&stream).nonblocking().unwrap());
    assert!(closes_on_exec(&stream));
    assert!(closes_on_exec(listener));
}

#[test]
fn v6_and_v4_wildcards_stand_side_by_side() {
    for _ in 0..20 {
        // Containers without IPv6 are common.
        let Ok(free) = StdTcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) else {
            return;
        };
        let port = free.local_addr().unwrap().port();
        drop(free);
        let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        for v4 in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST] {
            match bind(&[v6, (v4, port).into()], 2) {
                Ok(bound) => {
                    assert!(
                        SockRef::from(&bound.workers[1][0].socket)
                            .only_v6()
                            .unwrap()
                    );
                    assert!(!bound.listening[0].takes_ipv4);
                }
                // Somebody was faster.
                Err(error) if error.to_string().contains("in use") => continue,
                Err(error) => panic!("{error}"),
            }
        }
        let alone = bind(&[v6], 2);
        if let Ok(bound) = alone {
            assert!(
                !SockRef::from(&bound.workers[1][0].socket)
                    .only_v6()
                    .unwrap()
            );
            return;
        }
    }
    panic!("no port was free twenty times");
}

#[test]
fn errors_of_machines_without_ipv6() {
    let absent = |code: Errno| BindError {
        address: SocketAddr::from((Ipv6Addr::LOCALHOST, 80)).into(),
        fault: Fault::Internet(io::Error::from_raw_os_error(code as i32)),
    };
    let present = || Ok(any_port());
    for code in [Errno::EADDRNOTAVAIL, Errno::EAFNOSUPPORT] {
        assert!(one_of(present(), Err(absent(code))).is_ok());
        assert!(one_of(Err(absent(code)), present()).is_ok());
        assert!(one_of(Err(absent(code)), Err(absent(code))).is_err());
    }
    assert!(one_of(present(), Err(absent(Errno::EADDRINUSE))).is_err());
    assert!(one_of(Err(absent(Errno::EADDRINUSE)), present()).is_err());
}

#[test]
fn an_address_of_another_machine() {
    // RFC 5737: documentation addresses are assigned to no interface.
    let error = bind(&["192.0.2.1:0".parse().unwrap()], 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot listen on 192.0.2.1:0: this machine does not have the address; \
         choose another one with --bind"
    );
}

#[test]
fn congestion_control_is_inherited_and_one_that_is_missing_is_named() {
    let network = Network {
        congestion: Congestion::Cubic,
        ..EAGER
    };
    let bound = bind_all(&[(any_port().into(), Scheme::Http.into())], 2, &network).unwrap();
    for listeners in &bound.workers {
        let name = SockRef::from(&listeners[0].socket)
            .tcp_congestion()
            .unwrap();
        assert!(name.starts_with(b"cubic"), "{name:?}");
        assert_eq!(unpaced_under(&listeners[0].socket), None);
    }
    assert!(message(Errno::ENOENT).contains("choose another one with --congestion"));
}

#[test]
fn messages_name_the_mend() {
    assert_eq!(
        message(Errno::EACCES),
        "cannot listen on 127.0.0.1:80: permission denied; \
         use a port above 1023, or grant CAP_NET_BIND_SERVICE"
    );
    assert!(message(Errno::EMFILE).contains("ulimit -n"));
    assert!(message(Errno::EIO).ends_with("; choose another address with --bind"));
}

#[test]
fn errors_of_accept() {
    let classified = |code: Errno| classify(io::Error::from_raw_os_error(code as i32));
    assert!(matches!(classified(Errno::EAGAIN), Accept::WouldBlock));
    for code in [
        Errno::EMFILE,
        Errno::ENFILE,
        Errno::ENOBUFS,
        Errno::ENOMEM,
        Errno::EINVAL,
    ] {
        assert!(
            matches!(classified(code), Accept::OutOfDescriptors(_)),
            "{code}"
        );
    }
    for code in [
        Errno::ECONNABORTED,
        Errno::EINTR,
        Errno::EPROTO,
        Errno::EPERM,
        Errno::ENETDOWN,
        Errno::ENOPROTOOPT,
        Errno::EHOSTDOWN,
        Errno::ENONET,
        Errno::EHOSTUNREACH,
        Errno::EOPNOTSUPP,
        Errno::ENETUNREACH,
    ] {
        assert!(matches!(classified(code), Accept::Aborted), "{code}");
    }
}
