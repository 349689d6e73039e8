//! A node: zc-server in a namespace of its own, and the file system of it that can hang.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;

use super::content::{SLOW, SLOW_BYTES};
use super::http;
use super::network::{Place, address, balancer, run};
use super::process::{Process, command};

/// How long `/readyz` may take to answer.
const READY_MAX: Duration = Duration::from_secs(1);
/// The port of the admin listener, as `deploy/haproxy/haproxy.cfg` has it.
const ADMIN_PORT: u16 = 9180;

/// The programs that a run starts.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    /// zc-server
    pub(super) server: PathBuf,
    /// zc-bench, which has the file system that can hang.
    pub(super) bench: PathBuf,
}

/// A node, which may be stopped at the moment.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) number: u8,
    pub(super) place: Place,
    directory: PathBuf,
    programs: Programs,
    drain_delay: Duration,
    process: Option<Process>,
    pub(super) disk: Disk,
}

/// A file system in user space. Everything that is asked of it waits while its program is stopped.
#[derive(Debug)]
pub(super) struct Disk {
    process: Process,
    /// Where it is mounted: in its own directory, and in both releases.
    points: Vec<PathBuf>,
}

impl Disk {
    fn mount(bench: &Path, directory: &Path) -> anyhow::Result<Self> {
        let point = directory.join("slow");
        let mut command = command(bench);
        command.arg("slow-fs").arg(&point);
        command.args(["--delay-ms", "0"]);
        command.args([
            "--files",
            &SLOW.to_string(),
            "--length",
            &SLOW_BYTES.to_string(),
        ]);
        command.stdin(Stdio::piped());
        let log = directory.join("slow.log");
        let process = Process::start(command, None, &log)?;
        let mut disk = Self {
            process,
            points: Vec::new(),
        };
        disk.wait_until_ready(&log)?;
        disk.points.push(point.clone());
        for release in ["release-1", "release-2"] {
            let inside = directory.join(release).join("slow");
            run(&format!(
                "mount --bind {} {}",
                point.display(),
                inside.display()
            ))?;
            disk.points.push(inside);
        }
        Ok(disk)
    }

    fn wait_until_ready(&mut self, log: &Path) -> anyhow::Result<()> {
        let is_ready = || {
            let file = std::fs::File::open(log).map(BufReader::new);
            file.is_ok_and(|file| {
                file.lines()
                    .any(|line| line.is_ok_and(|line| line == "ready"))
            })
        };
        while !is_ready() {
            anyhow::ensure!(
                !self.process.has_ended(),
                "slow-fs ended: {}",
                self.process.said()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Lets it hang.
    pub(super) fn hang(&self) -> anyhow::Result<()> {
        self.process.signal(Signal::SIGSTOP)
    }

    /// Lets it answer what waits, and all that comes.
    pub(super) fn go_on(&self) -> anyhow::Result<()> {
        self.process.signal(Signal::SIGCONT)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.process.signal(Signal::SIGCONT);
        for point in self.points.iter().rev() {
            // At once, even if files are open there.
            let _ = run(&format!("umount --lazy {}", point.display()));
        }
        drop(self.process.take_input());
    }
}

impl Node {
    /// Mounts the file system of a node, which is not started yet. `directory` is that of its files.
    pub(super) fn make(
        place: Place,
        number: u8,
        directory: PathBuf,
        programs: &Programs,
        drain_delay: Duration,
    ) -> anyhow::Result<Self> {
        let disk = Disk::mount(&programs.bench, &directory)?;
        Ok(Self {
            number,
            place,
            directory,
            programs: programs.clone(),
            drain_delay,
            process: None,
            disk,
        })
    }

    /// Starts it.
    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        let own = address(self.number);
        let mut command = command(&self.programs.server);
        command.args(["--bind", &format!("{own}:8080")]);
        command.args(["--tls-bind", &format!("{own}:8443"), "--tls-cert"]);
        command.arg(self.directory.join("tls.pem"));
        command.args(["--admin-bind", &format!("{own}:{ADMIN_PORT}")]);
        command.args(["--header", &format!("X-Node: n{}", self.number)]);
        command.args([
            "--drain-delay",
            &format!("{}ms", self.drain_delay.as_millis()),
        ]);
        command.args(["--trusted-proxy", &balancer(), "--threads", "1"]);
        command.arg(self.directory.join("current"));
        let log = self.directory.join("server.log");
        self.process = Some(Process::start(command, Some(&self.place), &log)?);
        Ok(())
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let process = self.process.as_ref().context("the node does not run")?;
        process.signal(signal)
    }

    /// Whether its process has ended, or was never started.
    pub(super) fn has_ended(&self) -> bool {
        self.process.as_ref().is_none_or(Process::has_ended)
    }

    /// The exit status of a process that has ended, in words.
    pub(super) fn take_status(&mut self) -> anyhow::Result<String> {
        let mut process = self.process.take().context("the node does not run")?;
        Ok(process.status()?.to_string())
    }

    /// The last that it wrote.
    pub(super) fn said(&self) -> String {
        self.process.as_ref().map(Process::said).unwrap_or_default()
    }

    /// Whether `/readyz` answers 200.
    pub(super) fn is_ready(&self) -> bool {
        let address: Result<SocketAddr, _> =
            format!("{}:{ADMIN_PORT}", address(self.number)).parse();
        address.is_ok_and(|address| http::status(address, "/readyz", READY_MAX) == Some(200))
    }

    /// Where the mounted file system is, for reading it.
    pub(super) fn slow(&self) -> PathBuf {
        self.directory.join("slow")
    }

    /// Where it listens for HTTPS.
    pub(super) fn tls_address(&self) -> String {
        format!("{}:8443", address(self.number))
    }
}
