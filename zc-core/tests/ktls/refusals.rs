//! What the kernel refuses, and that nothing is lost by it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::thread;

use nix::errno::Errno;
use nix::libc;
use nix::poll::PollFlags;
use nix::sched::{CloneFlags, unshare};
use rustls::unbuffered::ConnectionState;
use seccompiler::{SeccompAction, SeccompFilter, TargetArch};
use zc_core::ktls::{
    Cipher, KernelTls, Refusal, SEND_BUFFER_BYTES_MIN, SendSecrets, Version, probe,
};

use super::common::{tcp_pair, wait_for};
use super::ends::{Buffers, all, shake_hands};
use super::has_module;
use super::https_one_file::take_secrets;

#[test]
fn without_the_module_the_probe_says_how_to_get_it() {
    if probe().unwrap().refusal.is_none() {
        println!("skipped: there is a TLS module");
        return;
    }
    let support = probe().unwrap();
    assert_eq!(support.refusal, Some(Refusal::NoModule));
    assert!(
        support
            .refusal
            .unwrap()
            .mend()
            .unwrap()
            .contains("modprobe tls")
    );
    assert!(support.ciphers.is_empty() && !support.rekeying && !support.fills_records);
    let (socket, mut peer) = tcp_pair(None, None);
    let mut refused = KernelTls::attach(socket).unwrap_err();
    assert_eq!(refused.refusal, Refusal::NoModule);
    refused.socket.write_all(b"as it is").unwrap();
    drop(refused);
    let mut received = Vec::new();
    peer.set_nonblocking(false).unwrap();
    peer.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"as it is");
}

#[test]
fn send_buffers_that_cannot_grow_are_refused() {
    if !has_module() {
        return;
    }
    // The sysctl is of the network namespace, and that is of the thread.
    let with_limit = |bytes: u32| {
        let probed = thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("root, as in the virtual machines");
            let up = Command::new("ip")
                .args(["link", "set", "lo", "up"])
                .status();
            assert!(up.unwrap().success());
            let limits = format!("4096 16384 {bytes}");
            std::fs::write("/proc/sys/net/ipv4/tcp_wmem", limits).unwrap();
            probe().unwrap().refusal
        });
        probed.join().unwrap()
    };
    let refusal = Some(Refusal::SmallSendBuffers);
    assert_eq!(with_limit(SEND_BUFFER_BYTES_MIN - 1), refusal);
    assert_eq!(with_limit(SEND_BUFFER_BYTES_MIN), None);
}

#[test]
fn the_probe_finds_each_version_and_cipher() {
    if !has_module() {
        return;
    }
    let support = probe().unwrap();
    println!("{support:?}");
    for (version, cipher) in all() {
        assert!(support.has(version, cipher), "{version} {cipher}");
    }
    // The kernels of the virtual machines are known.
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split('.').map(|number| number.parse().unwrap_or(0));
    let kernel: (u32, u32) = (numbers.next().unwrap(), numbers.next().unwrap());
    assert_eq!(support.fills_records, kernel >= (6, 5), "{release}");
    assert_eq!(support.rekeying, kernel >= (6, 14), "{release}");
}

#[test]
fn a_client_that_has_closed_its_direction_is_answered_by_rustls() {
    if !has_module() {
        return;
    }
    for (version, cipher) in all() {
        let (mut session, mut client) = shake_hands(version, cipher, Buffers::default());
        client.wire.socket.shutdown(Shutdown::Write).unwrap();
        wait_for([(session.socket.as_fd(), PollFlags::POLLIN)]);
        let refused = KernelTls::attach(session.socket).unwrap_err();
        assert_eq!(refused.refusal, Refusal::NotConnected);
        session.socket = refused.socket;
        let mut sealed = [0; 1000];
        let state = session.connection.process_tls_records(&mut []).state;
        let ConnectionState::WriteTraffic(mut traffic) = state.unwrap() else {
            panic!("rustls goes on");
        };
        let mut length = traffic.encrypt(b"still here", &mut sealed).unwrap();
        length += traffic.queue_close_notify(&mut sealed[length..]).unwrap();
        session.socket.write_all(&sealed[..length]).unwrap();
        drop(session);
        client.read_to_end().unwrap();
        assert_eq!(client.opened, b"still here");
        assert!(client.is_closed, "{version} {cipher}");
    }
}

#[test]
fn a_socket_is_attached_once_and_sends_bytes_as_they_are_until_it_is_started() {
    if !has_module() {
        return;
    }
    let (socket, mut peer) = tcp_pair(None, None);
    let ready = KernelTls::attach(socket).unwrap();
    let again = KernelTls::attach(ready.as_fd()).unwrap_err();
    assert_eq!(again.refusal, Refusal::AlreadyAttached);
    let mut socket = ready.into_inner();
    socket.write_all(b"as it is").unwrap();
    drop(socket);
    let mut received = Vec::new();
    peer.set_nonblocking(false).unwrap();
    peer.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"as it is");
}

/// Runs `work` in a thread for which socket options cannot be set.
fn without_options<T: Send>(errno: Errno, work: impl FnOnce() -> T + Send) -> T {
    let filter = SeccompFilter::new(
        BTreeMap::from([(libc::SYS_setsockopt, Vec::new())]),
        SeccompAction::Allow,
        SeccompAction::Errno(errno as u32),
        TargetArch::try_from(std::env::consts::ARCH).unwrap(),
    );
    let program: seccompiler::BpfProgram = filter.unwrap().try_into().unwrap();
    thread::scope(|scope| {
        let thread = scope.spawn(move || {
            seccompiler::apply_filter(&program).unwrap();
            work()
        });
        thread.join().unwrap()
    })
}

#[test]
fn after_a_start_that_is_refused_the_program_can_seal() {
    if !has_module() {
        return;
    }
    for (errno, expected) in [
        (Errno::ENOENT, Refusal::NoCipher),
        (Errno::EINVAL, Refusal::NoCipher),
        (Errno::ENOMEM, Refusal::Os(libc::ENOMEM)),
    ] {
        let (mut session, mut client) =
            shake_hands(Version::Tls13, Cipher::Aes128Gcm, Buffers::default());
        // What the program seals after it; here rustls does that, before its secrets are taken.
        let mut sealed = [0; 1000];
        let state = session.connection.process_tls_records(&mut []).state;
        let ConnectionState::WriteTraffic(mut traffic) = state.unwrap() else {
            panic!("rustls goes on");
        };
        let mut length = traffic.encrypt(b"still here", &mut sealed).unwrap();
        length += traffic.queue_close_notify(&mut sealed[length..]).unwrap();

        let ready = KernelTls::attach(session.socket).unwrap();
        let key = [0; 16];
        let secrets = SendSecrets::new(Version::Tls13, Cipher::Aes128Gcm, &key, &[0; 12], 0);
        let secrets = secrets.unwrap();
        let refused = without_options(errno, || ready.start(secrets)).unwrap_err();
        assert_eq!(refused.refusal, expected);
        let mut socket = refused.socket;
        socket.write_all(&sealed[..length]).unwrap();
        drop(socket);
        client.read_to_end().unwrap();
        assert_eq!(client.opened, b"still here");
        assert!(client.is_closed);
    }
}

#[test]
fn only_tcp_sockets_can_be_attached() {
    let (unix, _peer) = UnixStream::pair().unwrap();
    assert_eq!(
        KernelTls::attach(unix).unwrap_err().refusal,
        Refusal::NotTcp
    );
    let file = tempfile::tempfile().unwrap();
    assert_eq!(
        KernelTls::attach(file).unwrap_err().refusal,
        Refusal::NotTcp
    );
}

#[test]
fn the_secrets_of_a_handshake_are_those_of_its_cipher() {
    for (version, cipher) in all() {
        let (session, _client) = shake_hands(version, cipher, Buffers::default());
        let (secrets, _) = take_secrets(session.connection).unwrap();
        assert_eq!((secrets.version(), secrets.cipher()), (version, cipher));
        // Finished in 1.2, two tickets in one record in 1.3.
        assert_eq!(secrets.sequence(), 1);
    }
}
