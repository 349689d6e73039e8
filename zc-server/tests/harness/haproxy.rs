//! HAProxy in front of a server.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;

use super::clients::Home;
use super::reserved::Reserved;
use super::wait_until;

/// A running HAProxy, ended when it is dropped. A test that fails shows its log.
pub(crate) struct Haproxy {
    child: Child,
    log: PathBuf,
    _port: Reserved,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Haproxy {
    /// Starts one whose only section, which listens, has these lines.
    pub(crate) fn start(home: &Home, lines: &str) -> Self {
        let port = Reserved::at(Ipv4Addr::new(127, 78, 0, 1));
        let address = port.address;
        let configuration = format!(
            "global\n  maxconn 256\n  log stdout format raw local0\n\
             defaults\n  log global\n  option tcplog\n  timeout connect 60s\n  timeout client 60s\n  timeout server 60s\n  timeout check 60s\n\
             listen one\n  bind {address}\n{lines}"
        );
        home.write("haproxy.cfg", configuration.as_bytes());
        // In the foreground, without a second process.
        let log = home.path("haproxy.log");
        let output = File::create(&log).expect("a log");
        let mut command = Command::new("/usr/sbin/haproxy");
        command.args(["-db", "-f"]).arg(home.path("haproxy.cfg"));
        command
            .stdin(Stdio::null())
            .stderr(output.try_clone().expect("a descriptor"))
            .stdout(output);
        let child = command.spawn().expect("haproxy starts");
        let mut haproxy = Self {
            child,
            log,
            _port: port,
            address,
        };
        wait_until("haproxy listens", || {
            let ended = haproxy.child.try_wait().expect("our own child");
            assert!(ended.is_none(), "haproxy ended: {ended:?}");
            TcpStream::connect(address).is_ok()
        });
        haproxy
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        if thread::panicking() {
            let ended = self.child.try_wait();
            let log = fs::read_to_string(&self.log);
            let log = log.unwrap_or_default();
            eprintln!("haproxy at {}, {ended:?}, had logged:\n{log}", self.address);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
