//! The real server over a root, until it is dropped.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::bench::process::free_address;

/// How long it may take until it accepts.
const START_MAX: Duration = Duration::from_secs(20);
/// How often it is looked whether it does.
const LOOK: Duration = Duration::from_millis(10);

pub(super) struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    pub(super) fn start(program: &Path, root: &Path) -> anyhow::Result<Self> {
        let address = free_address()?;
        let mut command = Command::new(program);
        command.arg("--bind").arg(address.to_string());
        command.arg(root);
        let quiet = command.stdin(Stdio::null()).stderr(Stdio::null());
        let child = quiet.stdout(Stdio::null()).spawn();
        let child = child.context("cannot start zc-server")?;
        let mut server = Self { child, address };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("zc-server has ended: {status}");
            }
            ensure!(
                began.elapsed() < START_MAX,
                "zc-server does not accept at {address}"
            );
            std::thread::sleep(LOOK);
        }
        Ok(server)
    }

    /// `path` is below the root, with its escapes.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
