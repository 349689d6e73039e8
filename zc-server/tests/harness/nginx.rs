//! nginx in front of a server.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{fs, thread};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::clients::{Home, say_missing};
use super::reserved::Reserved;
use super::wait_until;

/// A running nginx, ended with its worker when it is dropped. A test that fails shows its log.
pub(crate) struct Nginx {
    master: Child,
    log: PathBuf,
    _port: Reserved,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Nginx {
    /// Starts one whose only server has `locations`, with its files in `home`.
    pub(crate) fn start(home: &Home, locations: &str) -> Self {
        let directory = home.path(".");
        let directory = directory.display();
        Self::start_with(home, |address| {
            format!(
                "http {{ access_log off; client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;\n\
                   fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi;\n\
                   scgi_temp_path {directory}/scgi;\n\
                   server {{ listen {address}; {locations} }} }}\n"
            )
        })
    }

    /// Starts one that passes on bytes, as `directives` say. `None` where it has no module for that.
    pub(crate) fn start_stream(home: &Home, directives: &str) -> Option<Self> {
        const MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
        if !Path::new(MODULE).is_file() {
            say_missing(MODULE);
            return None;
        }
        let nginx = Self::start_with(home, |address| {
            format!(
                "load_module {MODULE};\nstream {{ server {{ listen {address}; {directives} }} }}\n"
            )
        });
        Some(nginx)
    }

    /// Starts one with the block that is made for its address.
    fn start_with(home: &Home, block: impl FnOnce(SocketAddr) -> String) -> Self {
        let directory = home.path(".");
        // Started by root, it serves as somebody who must reach its files.
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).expect("chmod");
        let port = Reserved::at(Ipv4Addr::new(127, 77, 0, 1));
        let address = port.address;
        let block = block(address);
        // A module is loaded before anything else.
        let (modules, block) = match block.split_once('\n') {
            Some((module, block)) if module.starts_with("load_module") => (module, block),
            _ => ("", &block[..]),
        };
        let configuration = format!(
            "{modules}\ndaemon off; worker_processes 1; pid {0}/pid; error_log {0}/error.log info;\n\
             events {{ worker_connections 64; }}\n{block}",
            directory.display(),
        );
        home.write("nginx.conf", configuration.as_bytes());
        let path = home.path("nginx.conf");
        let master = Command::new("nginx")
            .args(["-c", path.to_str().expect("UTF-8")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx starts");
        let mut nginx = Self {
            master,
            log: home.path("error.log"),
            _port: port,
            address,
        };
        wait_until("nginx listens", || {
            let ended = nginx.master.try_wait().expect("our own child");
            assert!(ended.is_none(), "nginx ended: {ended:?}");
            TcpStream::connect(address).is_ok()
        });
        nginx
    }

    pub(crate) fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if thread::panicking() {
            let ended = self.master.try_wait();
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("nginx at {}, {ended:?}, had logged:\n{log}", self.address);
        }
        // By this signal it takes its worker along.
        let _ = kill(
            Pid::from_raw(self.master.id().cast_signed()),
            Signal::SIGTERM,
        );
        let _ = self.master.wait();
    }
}
