//! nginx in front of a server.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::clients::{Home, say_missing};
use super::wait_until;

/// A running nginx, ended with its worker when it is dropped.
pub(crate) struct Nginx {
    master: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

/// Each has an address of its own: between finding a free port and listening on it, some server of another
/// test could take the port.
static STARTED: AtomicU8 = AtomicU8::new(1);

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
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o777))
            .expect("chmod");
        let own = Ipv4Addr::new(127, 77, 0, STARTED.fetch_add(1, Ordering::Relaxed));
        let listener = TcpListener::bind((own, 0)).expect("a port");
        let address = listener.local_addr().expect("bound");
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
        drop(listener);
        let path = home.path("nginx.conf");
        let master = Command::new("nginx")
            .args(["-c", path.to_str().expect("UTF-8")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx starts");
        let nginx = Self { master, address };
        wait_until("nginx listens", || TcpStream::connect(address).is_ok());
        nginx
    }

    pub(crate) fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // By this signal it takes its worker along.
        let _ = kill(
            Pid::from_raw(self.master.id().cast_signed()),
            Signal::SIGTERM,
        );
        let _ = self.master.wait();
    }
}
