//! nginx in front of a server.

use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::clients::Home;
use super::wait_until;

/// A running nginx, ended with its worker when it is dropped.
pub(crate) struct Nginx {
    master: Child,
    pub(crate) port: u16,
}

impl Nginx {
    /// Starts one whose only server has `locations`, with its files in `home`.
    pub(crate) fn start(home: &Home, locations: &str) -> Self {
        let directory = home.path(".");
        // Started by root, it serves as somebody who must reach its files.
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o777))
            .expect("chmod");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let configuration = format!(
            "daemon off; worker_processes 1; pid {0}/pid; error_log {0}/error.log info;\n\
             events {{ worker_connections 64; }}\n\
             http {{ access_log off; client_body_temp_path {0}/body; proxy_temp_path {0}/proxy;\n\
               fastcgi_temp_path {0}/fastcgi; uwsgi_temp_path {0}/uwsgi; scgi_temp_path {0}/scgi;\n\
               server {{ listen 127.0.0.1:{port}; {locations} }} }}\n",
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
        let nginx = Self { master, port };
        wait_until("nginx listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        nginx
    }

    pub(crate) fn url(&self, target: &str) -> String {
        format!("http://127.0.0.1:{}{target}", self.port)
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
