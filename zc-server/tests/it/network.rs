//! Where the server listens, and what it says of that.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};

use crate::harness::{Client, Server, binary, temp_root};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Another address of the loopback interface, on which nobody listens unless on all.
const OTHER_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

fn has_ipv6() -> bool {
    let has = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    if !has {
        println!("no IPv6 here: nothing to test");
    }
    has
}

/// A server that is told where to listen by these options alone.
fn start(options: &[String]) -> Server {
    let root = temp_root();
    std::fs::write(root.path().join("f"), b"found").expect("a file");
    let mut command = binary();
    command.args(["--threads=2", "--access-log=json"]);
    command.args(options).arg(root.path());
    Server::start_from(command, root)
}

/// Asserts that the server answers at one address, and that its log has the address of the client.
fn assert_answers(server: &mut Server, ip: IpAddr) {
    let address = SocketAddr::new(ip, server.address.port());
    let mut client = Client::plain(TcpStream::connect(address).expect("the server accepts"));
    assert_eq!(client.get("/f").body, b"found");
    let own = client.stream.local_addr().expect("connected");
    assert_eq!(server.log()["remote"], own.to_string());
}

fn assert_refuses(server: &Server, ip: IpAddr) {
    let address = SocketAddr::new(ip, server.address.port());
    let error = TcpStream::connect(address).expect_err("nobody listens there");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{address}");
}

#[test]
fn a_wildcard_of_ipv6_takes_ipv4_as_well() {
    if !has_ipv6() {
        return;
    }
    for bind in ["[::]:0", ":0"] {
        let mut server = start(&[format!("--bind={bind}")]);
        for ip in [V4, OTHER_V4, V6] {
            assert_answers(&mut server, ip);
        }
    }
}

#[test]
fn a_port_alone_is_for_this_machine() {
    if !has_ipv6() {
        return;
    }
    for bind in ["0", "localhost:0"] {
        let mut server = start(&[format!("--bind={bind}")]);
        for ip in [V4, V6] {
            assert_answers(&mut server, ip);
        }
        assert_refuses(&server, OTHER_V4);
    }
}

#[test]
fn without_ipv6_the_same_words_mean_ipv4() {
    // A network of its own, whose interface has no address of IPv6.
    let in_network = |program: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net", "sh", "-c"]);
        let off = "ip link set lo up && echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6";
        command
            .arg(format!("{off} && exec \"$0\" \"$@\""))
            .arg(program);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    };
    if !in_network("true")
        .status()
        .is_ok_and(|status| status.success())
    {
        println!("no network namespaces here: nothing to test");
        return;
    }
    for (bind, listening) in [
        ("8080", "http://127.0.0.1:8080/"),
        ("localhost:8080", "http://127.0.0.1:8080/"),
        (":8080", "http://[::]:8080/ (every address, IPv4 and IPv6)"),
    ] {
        let root = temp_root();
        let mut command = in_network(env!("CARGO_BIN_EXE_zc-server"));
        command.args(["--bind", bind]).arg(root.path());
        let banner = Server::start_from(command, root).banner();
        let urls: Vec<_> = banner
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with("http"))
            .collect();
        assert_eq!(urls, [listening], "{bind}");
    }
}

#[test]
fn the_banner_says_where() {
    for (options, lines) in [
        (&["--bind=127.0.0.1:0"][..], &["http://127.0.0.1:PORT/"][..]),
        (
            &["--bind=0.0.0.0:0"],
            &["http://0.0.0.0:PORT/ (every IPv4 address)"],
        ),
        (
            &["--bind=:0"],
            &["http://[::]:PORT/ (every address, IPv4 and IPv6)"],
        ),
        (
            &["--bind=0"],
            &["http://127.0.0.1:PORT/", "http://[::1]:PORT/"],
        ),
    ] {
        if !has_ipv6() {
            return;
        }
        let server = start(
            &options
                .iter()
                .map(|&option| option.to_owned())
                .collect::<Vec<_>>(),
        );
        let port = server.address.port().to_string();
        let banner = server.banner();
        let shown: Vec<_> = banner
            .lines()
            .map(|line| line.trim().replace(&port, "PORT"))
            .collect();
        for line in lines {
            assert!(
                shown.contains(&(*line).to_owned()),
                "{line} is not in {banner}"
            );
        }
        let urls = shown.iter().filter(|line| line.starts_with("http://"));
        assert_eq!(urls.count(), lines.len(), "{banner}");
    }
}

#[test]
fn what_the_operator_is_warned_of_comes_before_the_banner() {
    let mut command = Command::new("sh");
    let root = temp_root();
    command
        .args(["-c", "ulimit -n 256; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_zc-server"))
        .args(["--bind=127.0.0.1:0", "--congestion=cubic"])
        .arg(root.path());
    let banner = Server::start_from(command, root).banner();
    let mut lines = banner.lines();
    let warning = lines.next().unwrap_or_default();
    assert!(
        warning.starts_with(
            "zc-server: warning: 8192 connections may need 24832 file descriptors, but the limit is 256; "
        ),
        "{banner}"
    );
    let served = lines.next().unwrap_or_default();
    assert!(served.contains(" serves "), "{banner}");
}
