//! Kernels and BusyBox from Debian's packages, without a change of this machine: apt is told to keep its
//! lists elsewhere, and no package is installed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

const MIRROR: &str = "http://deb.debian.org/debian";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// The kernels without drivers for real devices: a third of the size of the others.
const KERNEL_PACKAGE: &str = "linux-image-cloud-amd64";

/// The modules that a machine gets, where its kernel has them as modules: ciphers and their fast versions. Those that
/// they depend on come with them.
const MODULES: [&str; 12] = [
    "aesni-intel",
    "ghash-clmulni-intel",
    "ghash-generic",
    "ctr",
    "gcm",
    "seqiv",
    "chacha-x86_64",
    "chacha_generic",
    "chacha",
    "poly1305-x86_64",
    "poly1305_generic",
    "chacha20poly1305",
];
const TLS_MODULE: &str = "tls";

/// A kernel, unpacked.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) release: String,
    pub(super) image: PathBuf,
    /// In the order in which they can be loaded; `tls` is the last one.
    pub(super) modules: Vec<PathBuf>,
}

/// A suite of Debian, with a directory for all that comes from it.
#[derive(Debug)]
pub(super) struct Debian {
    suite: &'static str,
    directory: PathBuf,
}

/// The static BusyBox, downloaded unless it was before.
pub(super) fn busybox(debian: &Debian, update: bool) -> anyhow::Result<PathBuf> {
    let program = debian.directory.join("busybox");
    if update || !program.is_file() {
        debian.read_lists()?;
        let unpacked = debian.unpack(&["busybox-static".to_owned()])?;
        fs::rename(unpacked.join("bin/busybox"), &program)?;
        fs::remove_dir_all(unpacked)?;
    }
    Ok(program)
}

/// The kernel of a suite, downloaded unless it was before.
pub(super) fn kernel(debian: &Debian, update: bool) -> anyhow::Result<Kernel> {
    let made = debian.directory.join("kernel");
    if update || !made.is_dir() {
        debian.read_lists()?;
        let unpacked = debian.unpack(&debian.packages_of_the_kernel()?)?;
        let fresh = debian.directory.join("kernel.new");
        remove(&fresh)?;
        choose(&unpacked, &fresh)?;
        fs::remove_dir_all(unpacked)?;
        remove(&made)?;
        fs::rename(fresh, &made)?;
    }
    let read = |name: &str| fs::read_to_string(made.join(name)).context("the downloaded kernel");
    Ok(Kernel {
        release: read("release")?,
        image: made.join("vmlinuz"),
        modules: read("order")?.lines().map(|name| made.join(name)).collect(),
    })
}

fn remove(directory: &Path) -> anyhow::Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    Ok(())
}

impl Debian {
    pub(super) fn new(directory: &Path, suite: &'static str) -> Self {
        Self {
            suite,
            directory: directory.join(suite),
        }
    }

    /// apt with lists of its own.
    fn apt(&self, program: &str) -> Command {
        let apt = self.directory.join("apt");
        let mut command = Command::new(program);
        for (option, value) in [
            ("Dir::Etc::sourcelist", apt.join("sources.list")),
            ("Dir::Etc::sourceparts", "/dev/null".into()),
            ("Dir::State::lists", apt.join("lists")),
            ("Dir::Cache", apt.join("cache")),
            ("Acquire::Languages", "none".into()),
            ("Acquire::Retries", "3".into()),
            ("APT::Sandbox::User", "root".into()),
            ("APT::Architecture", "amd64".into()),
        ] {
            command
                .arg("-o")
                .arg(format!("{option}={}", value.display()));
        }
        command.current_dir(&self.directory);
        command
    }

    fn read_lists(&self) -> anyhow::Result<()> {
        ensure!(
            Path::new(KEYRING).is_file(),
            "run `apt-get install debian-archive-keyring` first"
        );
        let apt = self.directory.join("apt");
        for directory in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(apt.join(directory))?;
        }
        let source = format!("deb [signed-by={KEYRING}] {MIRROR} {} main\n", self.suite);
        fs::write(apt.join("sources.list"), source)?;
        println!("== reading the lists of {}", self.suite);
        said(
            self.apt("apt-get")
                .args(["--quiet=2", "--error-on=any", "update"]),
        )?;
        Ok(())
    }

    /// The packages of the kernel proper: one that has its release in the name, and since Debian's 7.0 those of
    /// its parts.
    fn packages_of_the_kernel(&self) -> anyhow::Result<Vec<String>> {
        let show = |package: &str| {
            said(
                self.apt("apt-cache")
                    .args(["show", "--no-all-versions", package]),
            )
        };
        let image = depends_on(&show(KERNEL_PACKAGE)?, &["linux-image-"]);
        let image = image
            .first()
            .with_context(|| format!("{} has no {KERNEL_PACKAGE}", self.suite))?;
        let mut packages = depends_on(&show(image)?, &["linux-binary-", "linux-modules-"]);
        packages.push(image.clone());
        Ok(packages)
    }

    /// Downloads packages, and unpacks them into a directory.
    fn unpack(&self, packages: &[String]) -> anyhow::Result<PathBuf> {
        let unpacked = self.directory.join("unpacked");
        remove(&unpacked)?;
        for package in packages {
            println!("== downloading {package}");
            let downloads = self.directory.join("download");
            remove(&downloads)?;
            fs::create_dir_all(&downloads)?;
            let mut apt = self.apt("apt-get");
            said(
                apt.args(["--quiet=2", "download", package])
                    .current_dir(&downloads),
            )?;
            let file = fs::read_dir(&downloads)?
                .next()
                .context("apt-get has downloaded nothing")??;
            said(
                Command::new("dpkg-deb")
                    .arg("-x")
                    .arg(file.path())
                    .arg(&unpacked),
            )?;
            fs::remove_dir_all(downloads)?;
        }
        Ok(unpacked)
    }
}

/// The dependencies of a package whose names begin so.
fn depends_on(shown: &str, prefixes: &[&str]) -> Vec<String> {
    let depends = shown
        .lines()
        .find_map(|line| line.strip_prefix("Depends: "));
    let names = depends.unwrap_or_default().split([' ', ',']);
    let is_wanted = |name: &&str| prefixes.iter().any(|prefix| name.starts_with(prefix));
    names.filter(is_wanted).map(str::to_owned).collect()
}

/// Copies what a machine needs of an unpacked kernel.
fn choose(unpacked: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    // From Debian 13 on, packages have their files below `usr`.
    let places = ["lib/modules", "usr/lib/modules"].map(|place| unpacked.join(place));
    let modules = places.into_iter().find(|place| place.is_dir());
    let modules = modules.context("the package of the kernel has no modules")?;
    let release = fs::read_dir(&modules)?
        .next()
        .context("no release")??
        .file_name();
    let release = release.to_string_lossy().into_owned();
    let places = [
        unpacked.join(format!("boot/vmlinuz-{release}")),
        modules.join(&release).join("vmlinuz"),
    ];
    let image = places.iter().find(|place| place.is_file());
    let image = image.context("the package of the kernel has no kernel")?;
    fs::copy(image, to.join("vmlinuz"))?;
    let base = modules
        .ancestors()
        .nth(2)
        .context("no root of the modules")?;
    let depmod = ["/usr/sbin/depmod", "/sbin/depmod"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    said(
        Command::new(depmod.unwrap_or("depmod"))
            .arg("-b")
            .arg(base)
            .arg(&release),
    )?;
    let modules = modules.join(&release);
    let dependencies = fs::read_to_string(modules.join("modules.dep"))?;
    let mut order = String::new();
    for path in in_order(&dependencies)? {
        let name = module_file(path);
        let from = modules.join(path);
        let bytes = if path.ends_with(".xz") {
            let mut xz = Command::new("xz");
            xz.arg("-dc").arg(from).stderr(Stdio::inherit());
            let output = xz.output().context("cannot run xz")?;
            ensure!(output.status.success(), "xz cannot read {name}");
            output.stdout
        } else {
            fs::read(from)?
        };
        fs::write(to.join(&name), bytes)?;
        order += &format!("{name}\n");
    }
    fs::write(to.join("order"), order)?;
    fs::write(to.join("release"), release)?;
    Ok(())
}

/// The name of a module's file without directories and without compression.
fn module_file(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.trim_end_matches(".xz").to_owned()
}

/// The paths of the modules that are wanted and of those that they need, in the order of loading.
///
/// A line of `modules.dep` has a module and all that it depends on, those that need others first.
fn in_order(dependencies: &str) -> anyhow::Result<Vec<&str>> {
    let named = |line: &'_ str| -> String {
        let path = line.split(':').next().unwrap_or_default();
        module_file(path).trim_end_matches(".ko").replace('-', "_")
    };
    let lines: BTreeMap<String, &str> = dependencies
        .lines()
        .map(|line| (named(line), line))
        .collect();
    let mut order = Vec::new();
    for name in MODULES.into_iter().chain([TLS_MODULE]) {
        let Some(line) = lines.get(&name.replace('-', "_")) else {
            // It is a part of the kernel, or was renamed; the tests find out what is missing.
            if name == TLS_MODULE {
                bail!("the kernel has no module {TLS_MODULE}");
            }
            continue;
        };
        let (module, needed) = line
            .split_once(':')
            .context("modules.dep has another form")?;
        for path in needed.split_whitespace().rev().chain([module]) {
            if !order.contains(&path) {
                order.push(path);
            }
        }
    }
    Ok(order)
}

/// Runs a command to its end; what it says.
fn said(command: &mut Command) -> anyhow::Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!(
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_come_after_those_that_they_need() {
        let dependencies = "kernel/x/aesni-intel.ko.xz: kernel/c/crypto_simd.ko.xz kernel/c/cryptd.ko.xz\n\
                            kernel/c/cryptd.ko.xz:\n\
                            kernel/x/ghash-clmulni-intel.ko.xz: kernel/c/cryptd.ko.xz\n\
                            kernel/d/bonding.ko.xz: kernel/n/tls.ko.xz\n\
                            kernel/n/tls.ko.xz:\n";
        assert_eq!(
            in_order(dependencies).expect("tls is there"),
            [
                "kernel/c/cryptd.ko.xz",
                "kernel/c/crypto_simd.ko.xz",
                "kernel/x/aesni-intel.ko.xz",
                "kernel/x/ghash-clmulni-intel.ko.xz",
                "kernel/n/tls.ko.xz"
            ]
        );
        assert_eq!(module_file("kernel/n/tls.ko.xz"), "tls.ko");
        assert!(in_order("kernel/c/cryptd.ko:\n").is_err());
    }

    #[test]
    fn the_newest_kernel_is_what_the_package_depends_on() {
        let shown = "Package: linux-image-cloud-amd64\nVersion: 6.1.176-1\n\
                     Depends: linux-image-6.1.0-50-cloud-amd64 (= 6.1.176-1)\n";
        let image = "linux-image-6.1.0-50-cloud-amd64";
        assert_eq!(depends_on(shown, &["linux-image-"]), [image]);
        let parts =
            "Depends: kmod, linux-base (>= 4.3), linux-binary-7 (= 7), linux-modules-7 (= 7)\n";
        let found = depends_on(parts, &["linux-binary-", "linux-modules-"]);
        assert_eq!(found, ["linux-binary-7", "linux-modules-7"]);
        assert!(depends_on("Package: x\n", &["linux-image-"]).is_empty());
    }
}
