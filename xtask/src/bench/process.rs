//! A server that is measured: started, waited for, looked at in `/proc`, and ended with all of its
//! children.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use procfs::process::Process;

use super::arena::{Side, pin};
use super::family::{cpu_time, everybody, family};
use super::results::Second;

/// How long a server may take until it accepts.
const START_MAX: Duration = Duration::from_secs(20);
/// How long a program may take to end when it is asked to.
pub(crate) const END_MAX: Duration = Duration::from_secs(3);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(5);

/// A server under measurement.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    child: Child,
    /// Its configuration and what it writes; removed with it.
    _directory: tempfile::TempDir,
    log: PathBuf,
}

/// What all processes of a server have used so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) cpu_seconds: f64,
    pub(crate) resident_bytes: u64,
    /// Resident memory that is no file's.
    pub(crate) anonymous_bytes: u64,
    minor_faults: u64,
    major_faults: u64,
    voluntary_switches: u64,
    involuntary_switches: u64,
}

impl Running {
    /// Starts `command`, which is to listen at `address`, on the cores of `side`.
    pub(crate) fn start(
        name: &str,
        mut command: Command,
        address: SocketAddr,
        directory: tempfile::TempDir,
        side: Side,
    ) -> anyhow::Result<Self> {
        let log = directory.path().join("output");
        let output = std::fs::File::create(&log)?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0);
        pin(side);
        let spawned = command.spawn();
        pin(Side::Client);
        let child = spawned.with_context(|| format!("cannot start {name}"))?;
        let mut running = Self {
            name: name.to_owned(),
            address,
            child,
            _directory: directory,
            log,
        };
        running.wait_until_it_accepts()?;
        Ok(running)
    }

    fn wait_until_it_accepts(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if has_ended_within(&self.child, Duration::ZERO) {
                bail!("{} exited: {}", self.name, self.said());
            }
            if began.elapsed() > START_MAX {
                bail!("{} does not accept connections: {}", self.name, self.said());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// The last it wrote.
    fn said(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let from = text.len().saturating_sub(500);
        text.get(from..).unwrap_or(&text).trim().to_owned()
    }

    /// What its processes have used.
    pub(crate) fn usage(&self) -> Usage {
        let page_bytes = procfs::page_size();
        let mut usage = Usage::default();
        for process in self.processes() {
            let cpu_time = cpu_time(process.pid).unwrap_or_default();
            usage.cpu_seconds += cpu_time.as_secs_f64();
            for task in process.tasks().into_iter().flatten().flatten() {
                if let Ok(status) = task.status() {
                    usage.voluntary_switches += status.voluntary_ctxt_switches.unwrap_or(0);
                    usage.involuntary_switches += status.nonvoluntary_ctxt_switches.unwrap_or(0);
                }
            }
            if let Ok(stat) = process.stat() {
                usage.resident_bytes += stat.rss * page_bytes;
                usage.minor_faults += stat.minflt;
                usage.major_faults += stat.majflt;
            }
            if let Ok(status) = process.status() {
                usage.anonymous_bytes += status.rssanon.unwrap_or(0) * 1024;
            }
        }
        usage
    }

    /// The number of its process; what else it is made of descends from that.
    pub(crate) fn number(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Its process and all that descend from it.
    fn processes(&self) -> Vec<Process> {
        let everybody = everybody();
        let parents = everybody
            .iter()
            .map(|member| (member.process.pid, member.parent));
        let family = family(self.number(), &parents.collect::<Vec<_>>());
        let processes = everybody.into_iter().map(|member| member.process);
        processes
            .filter(|process| family.contains(&process.pid))
            .collect()
    }
}

impl Usage {
    /// What was used since `before`, `seconds` ago.
    pub(crate) fn since(&self, before: &Self, seconds: f64) -> Second {
        Second {
            cpu_percent: (self.cpu_seconds - before.cpu_seconds) / seconds * 100.0,
            resident_bytes: self.resident_bytes,
            minor_faults: self.minor_faults - before.minor_faults,
            major_faults: self.major_faults - before.major_faults,
            voluntary_switches: self.voluntary_switches - before.voluntary_switches,
            involuntary_switches: self.involuntary_switches - before.involuntary_switches,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Refused only where it is over.
        let _ = kill(number(&self.child), Signal::SIGTERM);
        end_group(&mut self.child);
    }
}

/// The number of a process, and of the group that it was started with.
pub(crate) fn number(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// Whether a process ends within this time. It is not waited for, so that its number, which is that
/// of its group too, can go to no other.
pub(crate) fn has_ended_within(child: &Child, limit: Duration) -> bool {
    let began = Instant::now();
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    loop {
        match waitid(Id::Pid(number(child)), flags) {
            Ok(WaitStatus::StillAlive) | Err(nix::errno::Errno::EINTR) => {}
            Ok(_) | Err(_) => return true,
        }
        let left = limit.saturating_sub(began.elapsed());
        if left.is_zero() {
            return false;
        }
        std::thread::sleep(left.min(LOOK));
    }
}

/// Ends a process that has been asked to end, and all that is left of its group.
pub(crate) fn end_group(child: &mut Child) {
    has_ended_within(child, END_MAX);
    // What is left of it has had its chance; refused where nothing is.
    let _ = killpg(number(child), Signal::SIGKILL);
    let _ = child.wait();
}

/// A port that nobody listens on now.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()
}
