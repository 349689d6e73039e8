//! `cargo xtask dist`: the packages for those who do not build the server themselves.
//!
//! All of them have the same static binary. First its files are laid out as below `/usr` ([`tree`]), and each package
//! takes them from there.

mod tree;
mod trial;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};

use crate::artifacts::{build, root, target_directory};
use tree::Tree;

/// The version of the server, and so of its packages.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Where the layout is, from the root, whatever `CARGO_TARGET_DIR` is: the assets of the `.deb` in zc-server/Cargo.toml
/// say so too.
const TREE: &str = "target/dist/tree";
/// What cargo is extended with, and in which version.
const TOOLS: [(Package, &str, &str); 2] = [
    (Package::Deb, "cargo-deb", "3.8.0"),
    (Package::Sbom, "cargo-cyclonedx", "0.5.9"),
];

/// Make the packages: a static binary in a tarball, a .deb, an image, and their bill of materials
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask dist",
    bin_name = "cargo xtask dist",
    max_term_width = 80
)]
struct Options {
    /// Directory for the packages [default: target/dist]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Make only this package; may be repeated
    #[arg(long, value_name = "PACKAGE")]
    only: Vec<Package>,

    /// Install cargo-deb and cargo-cyclonedx first, where they are wanted, in the versions that are used here
    #[arg(long)]
    install: bool,

    /// Use each package once it is made: start what is in it, install and purge it, run the image
    #[arg(long = "try")]
    tries: bool,
}

/// What can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Package {
    /// The binary with man pages, completions and deploy/, for any Linux
    Tarball,
    /// A package for Debian and Ubuntu, by cargo-deb
    Deb,
    /// A container image, by podman or docker
    Image,
    /// The crates that the binary is built from, and some of features that are off, as CycloneDX, by cargo-cyclonedx
    Sbom,
}

/// What each step needs to know.
#[derive(Debug)]
struct Job {
    out: PathBuf,
    target: PathBuf,
    tree: Tree,
    /// What is before the kind of file in names: `zc-server-0.1.0-x86_64-linux`.
    name: String,
    /// The time of all files, in seconds since 1970: packages of one commit are equal.
    epoch: String,
}

/// Makes the packages, and the list of their SHA-256 sums.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let name = "cargo xtask dist".to_owned();
    let options = Options::parse_from(std::iter::once(&name).chain(arguments));
    let wanted = match &options.only[..] {
        [] => Package::value_variants(),
        only => only,
    };
    if options.install {
        install(wanted)?;
    }
    let target = target_directory()?;
    let out = match options.out {
        Some(out) => std::path::absolute(out).context("--out")?,
        None => target.join("dist"),
    };
    fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    let binary = static_binary()?;
    let job = Job {
        tree: Tree::lay_out(&root().join(TREE), &binary)?,
        name: format!("zc-server-{VERSION}-{}-linux", std::env::consts::ARCH),
        epoch: epoch()?,
        out,
        target,
    };
    let mut made = Vec::new();
    for package in wanted {
        if *package == Package::Image
            && options.tries
            && let Err(why) = trial::ensure_images_can_be_built()
        {
            println!("passed over the image: {why:#}");
            continue;
        }
        let path = match package {
            Package::Tarball => job.tarball(),
            Package::Deb => job.deb(),
            Package::Image => job.image(),
            Package::Sbom => job.sbom(),
        }?;
        println!("made {}", path.display());
        if options.tries {
            match package {
                Package::Tarball => job.try_tarball(&path)?,
                Package::Deb => Job::try_deb(&path)?,
                Package::Image => Job::try_image(builder()?)?,
                Package::Sbom => {}
            }
        }
        made.push(path);
    }
    job.checksums(&made)
}

/// The server as a program that needs no C library of the system.
fn static_binary() -> anyhow::Result<PathBuf> {
    // With a target, the flags are not those of build scripts and procedural macros, which are libraries to load.
    let triple = triple();
    let arguments = [
        "build",
        "--release",
        "--locked",
        "--package",
        "zc-server",
        "--target",
        &triple,
    ];
    let flags = [("RUSTFLAGS", "-C target-feature=+crt-static")];
    let mut command = crate::cargo_command(&arguments, &flags);
    command.current_dir(root());
    let mut built = build(command)?;
    let binary = built
        .remove("zc-server")
        .context("cargo built no zc-server")?;
    let told = Command::new("ldd").arg(&binary).output();
    let told = told.context("cannot run ldd, by which the binary is checked")?;
    let said = [told.stdout, told.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(
        said.contains("statically linked") || said.contains("not a dynamic executable"),
        "{} needs libraries: {}",
        binary.display(),
        said.trim()
    );
    Ok(binary)
}

impl Job {
    fn tarball(&self) -> anyhow::Result<PathBuf> {
        let path = self.out.join(format!("{}.tar.gz", self.name));
        let tar = path.with_extension("");
        let as_named = format!("--transform=s,^\\.,{},", self.name);
        let time = format!("--mtime=@{}", self.epoch);
        // Of the owner and the order of a directory nothing is left.
        let fixed = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner"];
        let mut command = Command::new("tar");
        command.args(fixed).args([&as_named, &time]);
        command.arg("--create").arg("--file").arg(&tar);
        command.arg("--directory").arg(self.tree.usr()).arg(".");
        succeed(&mut command)?;
        succeed(Command::new("gzip").args(["-9", "-n", "-f"]).arg(&tar))?;
        Ok(path)
    }

    /// What is in it stands in zc-server/Cargo.toml.
    fn deb(&self) -> anyhow::Result<PathBuf> {
        let path = self.out.join(format!(
            "zc-server_{VERSION}-1_{}.deb",
            debian_architecture()
        ));
        let arguments = ["deb", "--no-build", "--no-strip", "--package", "zc-server"];
        let mut command = crate::cargo_command(&arguments, &[]);
        command.arg("--output").arg(&path).current_dir(root());
        self.succeed_in_cargo(&mut command)?;
        Ok(path)
    }

    /// By whichever builder there is; of podman the one that needs no daemon.
    fn image(&self) -> anyhow::Result<PathBuf> {
        let context = self.target.join("image");
        fs::create_dir_all(&context)?;
        fs::copy(self.tree.binary(), context.join("zc-server"))?;
        let path = self.out.join(format!("{}-image.tar", self.name));
        // What `save` finds there it adds to.
        let _ = fs::remove_file(&path);
        let tag = format!("zc:{VERSION}");
        let file = root().join("deploy/container/Containerfile");
        let builder = builder().context("leave the image out with --only")?;
        succeed(&mut build_image(builder, &tag, &file, &context))?;
        let mut command = Command::new(builder);
        succeed(command.args(["save", "--output"]).arg(&path).arg(&tag))?;
        Ok(path)
    }

    fn sbom(&self) -> anyhow::Result<PathBuf> {
        let name = format!("{}.cdx", self.name);
        let triple = triple();
        let arguments = [
            "cyclonedx",
            "--format",
            "json",
            "--spec-version",
            "1.5",
            "--no-build-deps",
            "--target",
            &triple,
            "--override-filename",
            &name,
        ];
        let mut command = crate::cargo_command(&arguments, &[]);
        command.current_dir(root().join("zc-server"));
        self.succeed_in_cargo(&mut command)?;
        // One is written beside the manifest of each package, and that of the server is wanted.
        let file = format!("{name}.json");
        let path = self.out.join(&file);
        fs::copy(root().join("zc-server").join(&file), &path)
            .context("cargo-cyclonedx has written nothing")?;
        for entry in fs::read_dir(root())? {
            let made = entry?.path().join(&file);
            if made.is_file() {
                fs::remove_file(made)?;
            }
        }
        Ok(path)
    }

    /// `SHA256SUMS`, as `sha256sum --check` reads it.
    fn checksums(&self, made: &[PathBuf]) -> anyhow::Result<()> {
        let names = made.iter().filter_map(|path| path.file_name());
        let mut command = Command::new("sha256sum");
        let output = command.args(names).current_dir(&self.out).output();
        let output = output.context("cannot run sha256sum")?;
        ensure!(output.status.success(), "sha256sum: {}", output.status);
        let path = self.out.join("SHA256SUMS");
        fs::write(&path, output.stdout)?;
        println!("made {}", path.display());
        Ok(())
    }

    /// Runs a command of cargo that may have to be installed.
    fn succeed_in_cargo(&self, command: &mut Command) -> anyhow::Result<()> {
        command.env("SOURCE_DATE_EPOCH", &self.epoch);
        succeed(command).context("is it installed? `cargo xtask dist --install` does it")
    }
}

/// What makes images here.
fn builder() -> anyhow::Result<&'static str> {
    let is_there = |name: &&str| Command::new(name).arg("--version").output().is_ok();
    let builder = ["podman", "docker"].into_iter().find(is_there);
    builder.context("an image needs podman or docker: install one")
}

fn build_image(builder: &str, tag: &str, file: &Path, context: &Path) -> Command {
    let mut command = Command::new(builder);
    command.arg("build");
    if builder == "podman" {
        // The form of OCI has no HEALTHCHECK.
        command.args(["--format", "docker"]);
    }
    command.args(["--tag", tag, "--file"]).arg(file);
    command.arg(context);
    command
}

fn install(wanted: &[Package]) -> anyhow::Result<()> {
    for (_, name, version) in TOOLS
        .iter()
        .filter(|(package, ..)| wanted.contains(package))
    {
        let arguments = ["install", name, "--version", version, "--locked"];
        succeed(&mut crate::cargo_command(&arguments, &[]))?;
    }
    Ok(())
}

/// The time of the commit, if the environment has none.
fn epoch() -> anyhow::Result<String> {
    if let Ok(epoch) = std::env::var("SOURCE_DATE_EPOCH") {
        return Ok(epoch);
    }
    let mut git = Command::new("git");
    let output = git
        .args(["log", "-1", "--format=%ct"])
        .current_dir(root())
        .output();
    let output = output.context("cannot run git")?;
    ensure!(
        output.status.success(),
        "git has no commit: set SOURCE_DATE_EPOCH to the time of the packages"
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What is built for: this machine.
fn triple() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

fn debian_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Runs a command to its end, which has to be a good one.
fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_owned();
    let arguments: Vec<&OsStr> = command.get_args().collect();
    let line = [&[program.as_os_str()], &arguments[..]]
        .concat()
        .join(OsStr::new(" "));
    let line = Path::new(&line).display().to_string();
    let status = command
        .status()
        .with_context(|| format!("cannot run {line}"))?;
    ensure!(status.success(), "{line}: {status}");
    Ok(())
}
