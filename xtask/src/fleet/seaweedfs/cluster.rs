//! A real SeaweedFS on the loopback addresses of this namespace, and the nodes that serve its mounts.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::fleet::network::run;
use crate::fleet::node::Programs;
use crate::fleet::process::{Process, command};
use crate::fleet::{LOOK, START_MAX};

/// The program of SeaweedFS.
pub(super) const WEED: &str = "weed";
/// How many volume servers there are. Each file is on two of them.
pub(super) const VOLUME_SERVERS: u16 = 3;
/// How many nodes there are.
pub(super) const NODES: u16 = 2;
const MASTER: u16 = 9333;
const FILER: u16 = 8888;
/// The port of the first volume server.
const VOLUME: u16 = 8181;
/// The port of the first node.
const NODE: u16 = 8081;

/// The programs of a run. Fields are dropped in this order: what uses others first.
#[derive(Debug)]
pub(super) struct Cluster {
    servers: Vec<Process>,
    mounts: Vec<Mount>,
    _filer: Process,
    volumes: Vec<Process>,
    _master: Process,
    /// Holds all files of the run; removed with it.
    directory: tempfile::TempDir,
    stop: Arc<AtomicBool>,
}

/// What the program `weed mount` does at a node.
#[derive(Debug)]
struct Mount {
    process: Process,
    point: PathBuf,
}

/// A mount that hangs until this is dropped.
#[derive(Debug)]
pub(super) struct Hang<'a>(&'a Mount);

impl Cluster {
    /// Starts everything below `files`, and waits until both nodes serve.
    pub(super) fn start(
        files: &Path,
        programs: &Programs,
        disk_timeout: Duration,
        stop: &Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("zc-seaweedfs-")
            .tempdir_in(files)?;
        let at = directory.path().to_owned();
        let master = start_master(&at)?;
        wait_until("the master listens", stop, || Ok(listens(MASTER)))?;
        let volumes = (1..=VOLUME_SERVERS)
            .map(|number| start_volume(&at, number))
            .collect::<Result<Vec<_>, _>>()?;
        wait_until("the master knows all volume servers", stop, || {
            Ok(registered() == usize::from(VOLUME_SERVERS))
        })?;
        let filer = start_filer(&at)?;
        wait_until("the filer listens", stop, || Ok(listens(FILER)))?;
        let mut mounts = Vec::new();
        for number in 1..=NODES {
            let mount = Mount::start(&at, number)?;
            wait_until("the library is mounted", stop, || mount.is_ready())?;
            mounts.push(mount);
        }
        let mut servers = Vec::new();
        for number in 1..=NODES {
            servers.push(start_server(&at, programs, number, disk_timeout)?);
        }
        for number in 1..=NODES {
            wait_until("zc-server listens", stop, || Ok(listens(NODE + number - 1)))?;
        }
        Ok(Self {
            servers,
            mounts,
            _filer: filer,
            volumes,
            _master: master,
            directory,
            stop: Arc::clone(stop),
        })
    }

    /// Where a node listens. The first is 1.
    pub(super) fn address(node: u16) -> SocketAddr {
        loopback(NODE + node - 1)
    }

    /// The directory that a node serves: `local` of its disk, and `library`, the mount.
    pub(super) fn www(&self, node: u16) -> PathBuf {
        www(self.directory.path(), node)
    }

    /// What the servers have written: a line for each request, among others.
    pub(super) fn logs(&self) -> anyhow::Result<String> {
        let mut all = String::new();
        for number in 1..=NODES {
            all += &std::fs::read_to_string(
                self.directory.path().join(format!("server-{number}.log")),
            )?;
        }
        Ok(all)
    }

    /// The files in which the volume servers have the bytes.
    pub(super) fn volume_files(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for number in 1..=VOLUME_SERVERS {
            for entry in std::fs::read_dir(self.directory.path().join(format!("volume-{number}")))?
            {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "dat") {
                    found.push(path);
                }
            }
        }
        Ok(found)
    }

    /// How many bytes each volume server has read so far.
    pub(super) fn bytes_read(&self) -> Vec<u64> {
        self.volumes.iter().map(Process::bytes_read).collect()
    }

    /// Kills a volume server, and waits until it is gone.
    pub(super) fn kill_volume(&mut self, number: u16) -> anyhow::Result<()> {
        let process = &mut self.volumes[usize::from(number - 1)];
        process.signal(Signal::SIGKILL)?;
        process.status()?;
        Ok(())
    }

    /// Starts a volume server again, and waits until the master knows it.
    pub(super) fn start_volume(&mut self, number: u16) -> anyhow::Result<()> {
        self.volumes[usize::from(number - 1)] = start_volume(self.directory.path(), number)?;
        wait_until("the volume server listens", &self.stop, || {
            Ok(listens(VOLUME + number - 1))
        })
    }

    /// How many reads from a volume server have failed at a node, by the log of its mount.
    pub(super) fn failed_reads(&self, node: u16, volume_server: u16) -> anyhow::Result<usize> {
        let log = std::fs::read_to_string(self.directory.path().join(format!("mount-{node}.log")))?;
        Ok(failed_reads(&log, VOLUME + volume_server - 1))
    }

    /// Lets the mount of a node hang.
    pub(super) fn hang(&self, node: u16) -> anyhow::Result<Hang<'_>> {
        let mount = &self.mounts[usize::from(node - 1)];
        let hang = Hang(mount);
        mount.process.signal(Signal::SIGSTOP)?;
        let is_stopped = || Ok(mount.process.is_stopped());
        wait_until("weed mount is stopped", &self.stop, is_stopped)?;
        Ok(hang)
    }

    /// The last that each program wrote.
    pub(super) fn said(&self) -> String {
        let mounts = self.mounts.iter().map(|mount| &mount.process);
        self.servers
            .iter()
            .chain(mounts)
            .map(|process| process.said() + "\n")
            .collect()
    }
}

impl Mount {
    fn start(at: &Path, number: u16) -> anyhow::Result<Self> {
        let point = www(at, number).join("library");
        std::fs::create_dir_all(&point)?;
        std::fs::create_dir_all(www(at, number).join("local"))?;
        let mut command = weed(at, "mount");
        command
            .arg(format!("-filer=127.0.0.1:{FILER}"))
            .arg(format!("-dir={}", point.display()));
        command.arg("-replication=001");
        command.arg(format!(
            "-cacheDir={}",
            at.join(format!("cache-{number}")).display()
        ));
        command.arg(format!(
            "-localSocket={}",
            at.join(format!("mount-{number}.sock")).display()
        ));
        let process = Process::start(command, None, &at.join(format!("mount-{number}.log")))?;
        Ok(Self { process, point })
    }

    fn is_ready(&self) -> anyhow::Result<bool> {
        ensure!(
            !self.process.has_ended(),
            "weed mount ended: {}",
            self.process.said()
        );
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        let point = self.point.to_string_lossy();
        Ok(mounts
            .lines()
            .any(|line| line.split(' ').nth(4) == Some(&*point)))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = self.process.signal(Signal::SIGCONT);
        // At once, even if files are open there.
        let _ = run(&format!("umount --lazy {}", self.point.display()));
    }
}

impl Drop for Hang<'_> {
    fn drop(&mut self) {
        let _ = self.0.process.signal(Signal::SIGCONT);
    }
}

fn www(at: &Path, node: u16) -> PathBuf {
    at.join(format!("node-{node}/www"))
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn listens(port: u16) -> bool {
    TcpStream::connect_timeout(&loopback(port), Duration::from_secs(1)).is_ok()
}

/// A command of SeaweedFS, with the directory of the run for what it would put elsewhere.
fn weed(at: &Path, what: &str) -> Command {
    let mut command = command(WEED);
    command
        .arg(what)
        .current_dir(at)
        .env("HOME", at)
        .env("TMPDIR", at)
        .stdin(Stdio::null());
    command
}

fn start_master(at: &Path) -> anyhow::Result<Process> {
    let directory = at.join("master");
    std::fs::create_dir(&directory)?;
    let mut command = weed(at, "master");
    command.args([
        "-ip=127.0.0.1",
        "-telemetry=false",
        "-defaultReplication=001",
        "-volumeSizeLimitMB=1000",
    ]);
    command
        .arg(format!("-port={MASTER}"))
        .arg(format!("-mdir={}", directory.display()));
    Process::start(command, None, &at.join("master.log"))
}

fn start_volume(at: &Path, number: u16) -> anyhow::Result<Process> {
    let directory = at.join(format!("volume-{number}"));
    std::fs::create_dir_all(&directory)?;
    let mut command = weed(at, "volume");
    command
        .args(["-ip=127.0.0.1", "-max=20"])
        .arg(format!("-mserver=127.0.0.1:{MASTER}"));
    command
        .arg(format!("-port={}", VOLUME + number - 1))
        .arg(format!("-dir={}", directory.display()));
    Process::start(command, None, &at.join(format!("volume-{number}.log")))
}

fn start_filer(at: &Path) -> anyhow::Result<Process> {
    let directory = at.join("filer");
    std::fs::create_dir(&directory)?;
    let mut command = weed(at, "filer");
    command
        .arg("-ip=127.0.0.1")
        .arg(format!("-master=127.0.0.1:{MASTER}"))
        .arg(format!("-port={FILER}"));
    command.arg(format!("-defaultStoreDir={}", directory.display()));
    command.arg(format!("-localSocket={}", at.join("filer.sock").display()));
    Process::start(command, None, &at.join("filer.log"))
}

/// Starts a server with one worker thread, so that a worker that waits would be seen.
fn start_server(
    at: &Path,
    programs: &Programs,
    number: u16,
    disk_timeout: Duration,
) -> anyhow::Result<Process> {
    let mut command = command(&programs.server);
    command.args(["--threads", "1", "--access-log", "json"]);
    command.args(["--bind", &loopback(NODE + number - 1).to_string()]);
    command.args(["--disk-timeout", &format!("{}ms", disk_timeout.as_millis())]);
    command.arg(www(at, number)).stdin(Stdio::null());
    Process::start(command, None, &at.join(format!("server-{number}.log")))
}

/// How many volume servers the master knows.
fn registered() -> usize {
    json(MASTER, "/dir/status").map_or(0, |status| data_nodes(&status))
}

fn data_nodes(status: &Value) -> usize {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let centers = list(&status["Topology"]["DataCenters"]);
    let racks = centers.iter().flat_map(|center| list(&center["Racks"]));
    racks.map(|rack| list(&rack["DataNodes"]).len()).sum()
}

fn failed_reads(log: &str, port: u16) -> usize {
    let from = format!("read http://127.0.0.1:{port}/");
    log.lines()
        .filter(|line| line.contains(&from) && line.contains("failed"))
        .count()
}

/// What a program of SeaweedFS answers, if that is JSON.
fn json(port: u16, target: &str) -> Option<Value> {
    let url = format!("http://127.0.0.1:{port}{target}");
    let output = Command::new("curl")
        .args(["--silent", "--max-time", "5", &url])
        .output()
        .ok()?;
    serde_json::from_slice(&output.stdout).ok()
}

/// Waits until something has come about, unless the run is to stop before.
pub(super) fn wait_until(
    what: &str,
    stop: &AtomicBool,
    has_come: impl Fn() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let began = Instant::now();
    while !has_come()? {
        super::go_on(stop)?;
        if began.elapsed() > START_MAX {
            bail!("not within {} s: {what}", START_MAX.as_secs());
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn volume_servers_are_counted_in_all_racks() {
        let rack =
            json!({ "DataNodes": [{ "Url": "127.0.0.1:8181" }, { "Url": "127.0.0.1:8182" }] });
        let status =
            json!({ "Topology": { "DataCenters": [{ "Racks": [rack, { "DataNodes": [{}] }] }] } });
        assert_eq!(data_nodes(&status), 3);
        assert_eq!(
            data_nodes(&json!({ "Topology": { "DataCenters": null } })),
            0
        );
    }

    #[test]
    fn failed_reads_are_those_of_one_volume_server() {
        let log = "E http_global_client_util.go:732 read http://127.0.0.1:8181/3,1d failed, err: refused\n\
                   I something else at http://127.0.0.1:8181/\n\
                   E http_global_client_util.go:732 read http://127.0.0.1:8182/3,1c failed, err: refused\n";
        assert_eq!(
            (
                failed_reads(log, 8181),
                failed_reads(log, 8182),
                failed_reads(log, 8183)
            ),
            (1, 1, 0)
        );
    }
}
