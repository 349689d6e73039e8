//! `--try`: each package is used as those who have it will use it, and removed.
//!
//! What this machine cannot try is passed over with the reason.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::unistd::{User, getuid};

use super::{Job, VERSION, build_image, builder, succeed};
use crate::bench::process::free_address;

/// The package of Debian, and the user that it makes.
const PACKAGE: &str = "zc-server";
const USER: &str = "zc";
/// What an operator changes.
const CONFIGURATION: &str = "/etc/zc/zc.toml";
/// How long a container has to become healthy. Its first check comes after 10 seconds, unless it is asked for.
const HEALTHY_MAX: Duration = Duration::from_secs(60);
/// How often it is asked.
const LOOK: Duration = Duration::from_millis(200);
/// Limits that a container gets where those of the builder are above what this machine allows.
const LIMITS: [&str; 2] = ["--ulimit=nofile=20000:20000", "--ulimit=nproc=1000:1000"];

impl Job {
    /// Unpacks the tarball, and starts what is in it.
    pub(super) fn try_tarball(&self, tarball: &Path) -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        let mut tar = Command::new("tar");
        tar.arg("--extract").arg("--file").arg(tarball);
        succeed(tar.arg("--directory").arg(directory.path()))?;
        let unpacked = directory.path().join(&self.name);
        expect_version(&unpacked.join("bin/zc-server"))?;
        for file in ["share/man/man1/zc-server.1", "share/doc/zc-server/deploy"] {
            ensure!(unpacked.join(file).exists(), "the tarball has no {file}");
        }
        println!("tried {}", tarball.display());
        Ok(())
    }

    /// Installs the package, checks its configuration as its user, verifies its units, and purges it.
    pub(super) fn try_deb(deb: &Path) -> anyhow::Result<()> {
        if !getuid().is_root() {
            println!("passed over {}: only root installs it", deb.display());
            return Ok(());
        }
        ensure!(
            !is_installed()? && !is_user()? && !Path::new("/etc/zc").exists(),
            "{PACKAGE} is installed here, and would be purged: try the package on another machine"
        );
        let installed = Installed;
        succeed(Command::new("dpkg").arg("--install").arg(deb))?;
        let files = output(Command::new("dpkg").args(["--listfiles", PACKAGE]))?;
        let files = files.lines().map(PathBuf::from);
        let files: Vec<PathBuf> = files.filter(|path| !path.is_dir()).collect();
        let binary = Path::new("/usr/bin/zc-server");
        expect_version(binary)?;
        ensure!(is_user()?, "the package has made no user {USER}");
        let mut check = Command::new("setpriv");
        check.args(["--reuid", USER, "--regid", USER, "--clear-groups"]);
        check.arg(binary).args(["check", "--config", CONFIGURATION]);
        // In place of the root of the file, which is the operator's to make.
        succeed(check.arg("/usr/share/doc/zc-server"))?;
        let is_unit = |path: &&PathBuf| {
            path.parent()
                .is_some_and(|parent| parent.ends_with("systemd/system"))
        };
        let mut verify = Command::new("systemd-analyze");
        succeed(verify.arg("verify").args(files.iter().filter(is_unit)))?;
        let mut configuration = fs::OpenOptions::new().append(true).open(CONFIGURATION)?;
        writeln!(configuration, "# changed here")?;
        succeed(Command::new("dpkg").args(["--remove", PACKAGE]))?;
        let kept = fs::read_to_string(CONFIGURATION).context(CONFIGURATION)?;
        ensure!(
            kept.ends_with("# changed here\n"),
            "{CONFIGURATION} is not as it was changed after the package is removed"
        );
        drop(installed);
        let made_by_it = files.into_iter().chain(["/var/log/zc".into()]);
        let left: Vec<PathBuf> = made_by_it.filter(|path| path.exists()).collect();
        ensure!(left.is_empty(), "after a purge there are {left:?}");
        ensure!(!is_user()?, "after a purge there is a user {USER}");
        println!("tried {}", deb.display());
        Ok(())
    }

    /// Runs the image that was built without rights, and with nothing that it could write to.
    pub(super) fn try_image(builder: &str) -> anyhow::Result<()> {
        let tag = format!("zc:{VERSION}");
        let runtimes: [&[&str]; 2] = [&[], &["--runtime=runc"]];
        let starts = |runtime: &&&[&str]| {
            let mut command = Command::new(builder);
            command.args(**runtime).args(["run", "--rm"]).args(LIMITS);
            let output = command.args([&tag, "--version"]).output();
            output.is_ok_and(|output| {
                if !output.status.success() {
                    eprintln!("{}", String::from_utf8_lossy(&output.stderr).trim());
                }
                output.status.success()
            })
        };
        let Some(runtime) = runtimes.iter().find(starts) else {
            println!("passed over the image: {builder} cannot start a container here");
            return Ok(());
        };
        let root = tempfile::tempdir()?;
        let body = b"sent out of a container\n";
        fs::write(root.path().join("f"), body)?;
        // For user 65532.
        succeed(Command::new("chmod").arg("755").arg(root.path()))?;
        let address = free_address()?;
        let admin = free_address()?;
        let mut run = Command::new(builder);
        run.args(*runtime).args(["run", "--detach"]).args(LIMITS);
        run.args(["--read-only", "--cap-drop=all", "--network=host"]);
        run.arg(format!("--env=ZC_BIND={address}"));
        run.arg(format!("--env=ZC_ADMIN_BIND={admin}"));
        run.arg(format!("--volume={}:/srv/www:ro", root.path().display()));
        let container = Container {
            builder,
            runtime,
            id: output(run.arg(&tag))?.trim().to_owned(),
        };
        container.wait_until_healthy()?;
        let url = format!("http://{address}/f");
        let got = output(Command::new("curl").args(["--silent", "--show-error", "--fail", &url]))?;
        ensure!(got.as_bytes() == body, "{url} has {got:?}");
        succeed(&mut container.command(["stop", "--time=30"]))?;
        let status = output(&mut container.command(["wait"]))?;
        ensure!(
            status.trim() == "0",
            "by SIGTERM the container ended with {}",
            status.trim()
        );
        println!("tried the image {tag}");
        Ok(())
    }
}

/// An image of one file is built and removed, by what would build ours.
pub(super) fn ensure_images_can_be_built() -> anyhow::Result<()> {
    let builder = builder()?;
    let context = tempfile::tempdir()?;
    let file = context.path().join("Containerfile");
    fs::write(&file, "FROM scratch\nCOPY Containerfile /f\n")?;
    let tag = "zc:probe";
    output(&mut build_image(builder, tag, &file, context.path()))?;
    output(Command::new(builder).args(["image", "rm", tag]))?;
    Ok(())
}

/// The package, which is purged when this is dropped.
struct Installed;

impl Drop for Installed {
    fn drop(&mut self) {
        if let Err(error) = succeed(Command::new("dpkg").args(["--purge", PACKAGE])) {
            eprintln!("{error:#}");
        }
    }
}

/// A container, which is removed when this is dropped.
struct Container<'a> {
    builder: &'a str,
    runtime: &'a [&'a str],
    id: String,
}

impl Container<'_> {
    /// A command about it.
    fn command<const N: usize>(&self, words: [&str; N]) -> Command {
        let mut command = Command::new(self.builder);
        command.args(self.runtime).args(words).arg(&self.id);
        command
    }

    /// What the health check of the image says, asked for at once where the builder can.
    fn wait_until_healthy(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let is_healthy = if self.builder == "podman" {
                let asked = self.command(["healthcheck", "run"]).output()?;
                asked.status.success()
            } else {
                let mut inspect = self.command(["inspect", "--format={{.State.Health.Status}}"]);
                output(&mut inspect)?.trim() == "healthy"
            };
            if is_healthy {
                return Ok(());
            }
            if began.elapsed() > HEALTHY_MAX {
                let log = self.command(["logs"]).output()?;
                let log = [log.stdout, log.stderr].concat();
                let log = String::from_utf8_lossy(&log).into_owned();
                bail!("the container did not become healthy: {}", log.trim());
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let _ = self.command(["rm", "--force"]).output();
    }
}

fn is_installed() -> anyhow::Result<bool> {
    let asked = Command::new("dpkg-query")
        .args(["--show", PACKAGE])
        .output();
    Ok(asked.context("cannot run dpkg-query")?.status.success())
}

fn is_user() -> anyhow::Result<bool> {
    Ok(User::from_name(USER)?.is_some())
}

fn expect_version(binary: &Path) -> anyhow::Result<()> {
    let said = output(Command::new(binary).arg("--version"))?;
    let expected = format!("zc-server {VERSION}");
    ensure!(
        said.starts_with(&expected),
        "{} says {said:?}, and not {expected}",
        binary.display()
    );
    Ok(())
}

/// What a command prints, which has to end well.
fn output(command: &mut Command) -> anyhow::Result<String> {
    let program = Path::new(command.get_program()).display().to_string();
    let output = command.output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    ensure!(
        output.status.success(),
        "{program} {:?}: {}: {}",
        command.get_args().collect::<Vec<&OsStr>>(),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
