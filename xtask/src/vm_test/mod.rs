//! `cargo xtask vm-test`: tests that need a kernel with the module `tls`, in virtual machines with Debian's
//! kernels.
//!
//! A machine has no disk and no network: the kernel gets an archive with the test programs, the libraries that they
//! are linked with, the modules, and BusyBox, and tells by its serial console how they ended. QEMU interprets every
//! instruction (`-accel tcg`), so it needs no rights, and says nothing about speed. A machine has one core, so all run
//! at the same time.

mod archive;
mod debian;
mod guest;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use clap::builder::PossibleValuesParser;

use crate::artifacts;

use self::archive::Archive;
use self::debian::{Debian, Kernel};
use self::guest::Guest;

/// How long a machine may run: several times what all tests take. One that hangs ends then.
const LIMIT: Duration = Duration::from_secs(1800);
/// A kernel, by the Debian suite whose package `linux-image-cloud-amd64` names it.
#[derive(Debug, Clone, Copy)]
struct Suite {
    /// For `--kernel`.
    kernel: &'static str,
    name: &'static str,
    /// Whether the task fails where it cannot be had.
    is_required: bool,
    /// What is passed over unless the kernel or a test is named: long bodies and slow readers, which take most of the time
    /// and do not depend on what differs between these kernels.
    skips: &'static str,
}

const SUITES: [Suite; 3] = [
    Suite {
        kernel: "6.1",
        name: "bookworm",
        is_required: true,
        skips: "",
    },
    Suite {
        kernel: "6.12",
        name: "bookworm-backports",
        is_required: false,
        skips: "",
    },
    // From 6.14 on, new keys can be set.
    Suite {
        kernel: "newest",
        name: "trixie-backports",
        is_required: false,
        skips: "--skip bodies:: --skip ends:: --skip the_tail --skip tail_after",
    },
];

/// What builds the test programs, with the features that the other gates build them with.
const BUILD: &str = "test --workspace --test ktls --no-run --locked";

/// The server, for the tests that start it: they find it by `TEST_SERVER`.
const SERVER: &str = "zc-server";

/// The tests that are run once more with send buffers of 128 KiB at most.
const TAIL: &str = "the_tail";

/// The packages whose test `ktls` is run: before the module is loaded, and after it with `TEST_REQUIRE_KTLS=1`.
const PACKAGES: [&str; 2] = ["zc-core", "zc-server"];

/// Run tests of kernel TLS in virtual machines with Debian's kernels
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask vm-test",
    bin_name = "cargo xtask vm-test",
    max_term_width = 80
)]
struct Options {
    /// Run only in this kernel; may be repeated
    #[arg(long, value_name = "KERNEL", value_parser = PossibleValuesParser::new(SUITES.map(|suite| suite.kernel)))]
    kernel: Vec<String>,

    /// Look for newer kernels than those that were downloaded before
    #[arg(long)]
    update: bool,

    /// Run only tests with this in their name
    filter: Option<String>,
}

/// Which tests a kernel is to run, as arguments of their programs.
#[derive(Debug, Clone, Copy)]
struct Tests<'a> {
    filter: Option<&'a str>,
    skips: &'static str,
}

impl Options {
    fn tests(&self, suite: &Suite) -> Tests<'_> {
        let is_named = self.filter.is_some() || !self.kernel.is_empty();
        Tests {
            filter: self.filter.as_deref(),
            skips: if is_named { "" } else { suite.skips },
        }
    }
}

/// Runs the tests in the kernels that are chosen.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let name = "cargo xtask vm-test".to_owned();
    let options = Options::parse_from(std::iter::once(&name).chain(arguments));
    ensure_installed()?;
    let directory = artifacts::target_directory()?.join("vm-test");
    let programs = build(&directory)?;
    let is_chosen = |suite: &&Suite| {
        options.kernel.is_empty() || options.kernel.iter().any(|kernel| kernel == suite.kernel)
    };
    let busybox = debian::busybox(&Debian::new(&directory, SUITES[0].name), options.update)?;
    let mut machines = Vec::new();
    for suite in SUITES.iter().filter(is_chosen) {
        let kernel = match debian::kernel(&Debian::new(&directory, suite.name), options.update) {
            Ok(kernel) => kernel,
            Err(error) if suite.is_required => return Err(error),
            Err(error) => {
                println!("== {}: skipped: {error:#}", suite.kernel);
                continue;
            }
        };
        println!(
            "== {}: Linux {} of {}",
            suite.kernel, kernel.release, suite.name
        );
        let archive = directory.join(format!("{}.cpio", suite.name));
        fs::write(
            &archive,
            initramfs(&kernel, &busybox, &programs, options.tests(suite))?,
        )?;
        machines.push((suite.kernel, kernel.image, archive));
    }
    let guests: Vec<anyhow::Result<Guest>> = thread::scope(|scope| {
        let start =
            |(name, image, archive)| scope.spawn(move || Guest::run(name, image, archive, LIMIT));
        let started: Vec<_> = machines.iter().map(|(n, i, a)| start((*n, i, a))).collect();
        let ended = started.into_iter().map(|guest| guest.join());
        ended
            .map(|guest| guest.unwrap_or_else(|_| bail!("the thread of the machine panicked")))
            .collect()
    });
    let mut failed = Vec::new();
    for ((name, ..), guest) in machines.iter().zip(guests) {
        match guest {
            Ok(guest) => {
                println!(
                    "== {name}: booted after {:.1} s, over after {:.1} s",
                    guest.booted.as_secs_f64(),
                    guest.over.as_secs_f64()
                );
                let failures = guest.failures.iter();
                failed.extend(failures.map(|what| format!("{name}: {what}")));
            }
            Err(error) => failed.push(format!("{name}: {error:#}")),
        }
    }
    if !failed.is_empty() {
        bail!(
            "failed in a virtual machine:\n    {}",
            failed.join("\n    ")
        );
    }
    Ok(())
}

fn ensure_installed() -> anyhow::Result<()> {
    let needs = [
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("apt-get", "apt"),
        ("dpkg-deb", "dpkg"),
        ("depmod", "kmod"),
        ("xz", "xz-utils"),
        ("strip", "binutils"),
    ];
    let is_missing = |(program, _): &&(&str, &str)| {
        // A user's PATH may lack the directories of the administrator.
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
        !std::env::split_paths(&paths)
            .chain(sbin)
            .any(|path| path.join(program).is_file())
    };
    let missing: Vec<&str> = needs.iter().filter(is_missing).map(|need| need.1).collect();
    if !missing.is_empty() {
        bail!("run `apt-get install {}` first", missing.join(" "));
    }
    Ok(())
}

/// Builds the test programs and the server. Answers where they are, without symbols, by their names in the machine.
fn build(directory: &Path) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let arguments: Vec<&str> = BUILD.split_whitespace().collect();
    let mut command = crate::cargo_command(&arguments, &[]);
    command.current_dir(artifacts::root());
    let built = artifacts::build_programs(command)?;
    let directory = directory.join("programs");
    fs::create_dir_all(&directory)?;
    let tests = PACKAGES.map(|package| (package, "ktls", format!("ktls-{package}")));
    let server = (SERVER, SERVER, SERVER.to_owned());
    let strip = |(package, target, name): (&str, &str, String)| {
        let mut built = built.iter();
        let program = built.find(|built| built.package == package && built.name == target);
        let program =
            program.with_context(|| format!("cargo has not built {target} of {package}"))?;
        let stripped = directory.join(&name);
        let mut strip = Command::new("strip");
        let status = strip.arg("-o").arg(&stripped).arg(&program.path).status();
        let status = status.context("cannot run strip")?;
        anyhow::ensure!(status.success(), "strip: {status}");
        Ok((name, stripped))
    };
    tests.into_iter().chain([server]).map(strip).collect()
}

fn initramfs(
    kernel: &Kernel,
    busybox: &Path,
    programs: &BTreeMap<String, PathBuf>,
    tests: Tests<'_>,
) -> anyhow::Result<Vec<u8>> {
    let mut archive = Archive::default();
    for directory in ["bin", "dev", "modules", "proc", "sys", "tests", "tmp"] {
        archive.directory(directory);
    }
    archive.program("bin/busybox", &fs::read(busybox)?);
    for module in &kernel.modules {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        archive.file(&format!("modules/{name}"), &fs::read(module)?);
    }
    for (name, path) in programs {
        archive.program(&format!("tests/{name}"), &fs::read(path)?);
        add_libraries(&mut archive, path)?;
    }
    let openssl = Path::new("/usr/bin/openssl");
    if openssl.is_file() {
        add(&mut archive, openssl)?;
        add_libraries(&mut archive, openssl)?;
    } else {
        println!("openssl is not installed: its tests are skipped");
    }
    archive.program("init", init(kernel, tests).as_bytes());
    Ok(archive.end())
}

/// The libraries of this machine that a program is linked with.
fn add_libraries(archive: &mut Archive, program: &Path) -> anyhow::Result<()> {
    let listed = Command::new("ldd").arg(program).output();
    let listed = listed.context("cannot run ldd")?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let mut words = listed.split_whitespace();
    words.try_for_each(|word| match word.starts_with('/') {
        true => add(archive, Path::new(word)),
        false => Ok(()),
    })
}

/// A file of this machine, at the same place.
fn add(archive: &mut Archive, path: &Path) -> anyhow::Result<()> {
    let mut directories: Vec<&Path> = path.ancestors().skip(1).collect();
    directories.reverse();
    for directory in directories {
        archive.directory(inside(directory));
    }
    archive.program(inside(path), &fs::read(path)?);
    Ok(())
}

/// A path as it is named in the archive.
fn inside(path: &Path) -> &str {
    path.to_str().unwrap_or_default().trim_start_matches('/')
}

/// The first program of the machine.
fn init(kernel: &Kernel, tests: Tests<'_>) -> String {
    let load = |module: &PathBuf| {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        format!("insmod /modules/{name} || fail \"cannot load {name}\"\n")
    };
    let (tls, others): (Vec<&PathBuf>, Vec<&PathBuf>) = kernel
        .modules
        .iter()
        .partition(|module| module.ends_with("tls.ko"));
    let load_all = |modules: Vec<&PathBuf>| modules.into_iter().map(load).collect::<String>();
    let run = |when: &str, environment: &str, default: &str| -> String {
        let filter = tests.filter.unwrap_or(default);
        let skips = tests.skips;
        let one = |name: &str| {
            format!(
                "{environment} /tests/ktls-{name} --color never --test-threads 1 {skips} {filter} || fail \"{name} {when}\"\n"
            )
        };
        PACKAGES.into_iter().map(one).collect()
    };
    format!(
        "#!/bin/busybox sh\n\
         /bin/busybox --install -s /bin\n\
         mount -t proc proc /proc\n\
         mount -t sysfs sys /sys\n\
         mount -t devtmpfs dev /dev\n\
         mount -t tmpfs tmp /tmp\n\
         exec > /dev/ttyS0 2>&1 < /dev/null\n\
         export PATH=/bin:/usr/bin HOME=/tmp RUST_BACKTRACE=0 TEST_SERVER=/tests/{server}\n\
         fail() {{ echo \"{failed} $1\"; }}\n\
         ip link set lo up\n\
         echo \"{booted}\"\n\
         {others}\
         {without}\
         {tls}\
         {with}\
         echo '4096 65536 131072' > /proc/sys/net/ipv4/tcp_wmem\n\
         {small}\
         cat /proc/net/tls_stat\n\
         echo \"{over}\"\n\
         poweroff -f\n",
        failed = guest::FAILED,
        server = SERVER,
        booted = guest::BOOTED,
        over = guest::OVER,
        others = load_all(others),
        without = run("without the module", "", ""),
        tls = load_all(tls),
        with = run("with the module", "TEST_REQUIRE_KTLS=1", ""),
        small = run("with small send buffers", "TEST_REQUIRE_KTLS=1", TAIL),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_loaded_in_order_and_tls_after_the_tests_without_it() {
        let kernel = Kernel {
            release: "1".to_owned(),
            image: PathBuf::new(),
            modules: ["/m/gcm.ko", "/m/aes.ko", "/m/tls.ko"]
                .map(PathBuf::from)
                .to_vec(),
        };
        let options = Options::parse_from(["vm-test", "wanted"]);
        let script = init(&kernel, options.tests(&SUITES[2]));
        let places = [
            "insmod /modules/gcm.ko",
            "insmod /modules/aes.ko",
            " /tests/ktls-zc-core --color never --test-threads 1  wanted || fail \"zc-core without the module\"",
            "insmod /modules/tls.ko",
            "TEST_REQUIRE_KTLS=1 /tests/ktls-zc-core ",
            "TEST_REQUIRE_KTLS=1 /tests/ktls-zc-server ",
            guest::OVER,
            "poweroff",
        ]
        .map(|part| script.find(part).unwrap_or_else(|| panic!("{part} is not in {script}")));
        assert!(places.is_sorted(), "{script}");
    }

    #[test]
    fn what_takes_long_is_passed_over_unless_it_is_named() {
        let newest = &SUITES[2];
        let skips = |words: &[&str]| Options::parse_from(words).tests(newest).skips;
        assert_eq!(skips(&["vm-test"]), newest.skips);
        assert_eq!(skips(&["vm-test", "--kernel", "newest"]), "");
        assert_eq!(skips(&["vm-test", "ends"]), "");
        assert!(SUITES[..2].iter().all(|suite| suite.skips.is_empty()));
    }

    #[test]
    fn every_kernel_can_be_chosen() {
        for suite in SUITES {
            let options = Options::try_parse_from(["vm-test", "--kernel", suite.kernel]);
            assert_eq!(options.expect("a kernel").kernel, [suite.kernel]);
        }
        assert!(Options::try_parse_from(["vm-test", "--kernel", "2.6"]).is_err());
    }
}
