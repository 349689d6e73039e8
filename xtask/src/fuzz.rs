//! `cargo xtask fuzz`: the fuzzers of `fuzz`, each for a bounded time.
//!
//! The engine is libFuzzer. It starts from the inputs saved in `fuzz/corpus` and from those
//! that earlier runs have left in `target/fuzz/corpus`, where it puts what it finds.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, bail, ensure};

use crate::artifacts;

use self::options::{HELP, Options};
use self::output::Outcome;

mod options;
mod output;

/// The longest input tried; everything that has a bound of its own is within reach of this.
const INPUT_BYTES_MAX: usize = 4096;
/// How long one input may take, and how much memory a fuzzer may: far more than any needs.
const INPUT_SECONDS_MAX: u32 = 20;
const MEMORY_MIB_MAX: u32 = 1024;

/// Runs the fuzzers that `arguments` choose.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let fuzzers = Fuzzers::find()?;
    let Some(options) = Options::read(arguments, &fuzzers.names()?)? else {
        print!("{HELP}");
        return Ok(());
    };
    fuzzers.build()?;

    println!("{}", output::HEADING);
    let queue = Mutex::new(VecDeque::from(options.targets.clone()));
    let faults = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| {
                while let Some(target) = locked(&queue).pop_front() {
                    match fuzzers.fuzz(&target, options.seconds) {
                        Ok(row) => println!("{row}"),
                        Err(error) => locked(&faults).push(format!("{target}: {error:#}")),
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap_or_else(PoisonError::into_inner);
    ensure!(faults.is_empty(), "{}", faults.join("\n\n"));
    if options.saves {
        for target in &options.targets {
            fuzzers.save(target)?;
        }
    }
    Ok(())
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where everything lies.
struct Fuzzers {
    root: PathBuf,
    /// What is built and found; relative to the root where it lies below it.
    scratch: PathBuf,
    binaries: PathBuf,
}

impl Fuzzers {
    const PACKAGE: &str = "fuzz";

    fn find() -> anyhow::Result<Self> {
        let root = artifacts::root();
        let scratch = artifacts::target_directory()?.join("fuzz");
        let scratch = scratch.strip_prefix(&root).unwrap_or(&scratch).to_owned();
        Ok(Self {
            root,
            binaries: scratch.join(host()?).join("release"),
            scratch,
        })
    }

    /// The names of all fuzzers, in order.
    fn names(&self) -> anyhow::Result<Vec<String>> {
        let directory = self.root.join(Self::PACKAGE).join("fuzz_targets");
        let mut names = Vec::new();
        for path in files(&directory)? {
            let stem = path.file_stem().unwrap_or_default();
            names.push(stem.to_string_lossy().into_owned());
        }
        Ok(names)
    }

    /// Runs cargo on the package of the fuzzers, with the flags in its own `.cargo/config.toml`.
    fn cargo(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(program)
            .args(arguments)
            .current_dir(self.root.join(Self::PACKAGE))
            // Settings from outside would stand in place of those that instrument.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("CARGO_BUILD_TARGET")
            .env("CARGO_TARGET_DIR", self.root.join(&self.scratch))
            .status()
            .context("cannot run cargo")?;
        ensure!(
            status.success(),
            "cargo {} failed: {status}",
            arguments.join(" ")
        );
        Ok(())
    }

    /// Names what is missing, before a build script does so in many more words.
    fn find_compiler(&self) -> anyhow::Result<()> {
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
        let probe = Command::new(&compiler)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        ensure!(
            probe.is_ok_and(|status| status.success()),
            "cannot run the C++ compiler `{compiler}`, which libFuzzer needs; to install one:\n    \
             apt-get install g++"
        );
        Ok(())
    }

    fn build(&self) -> anyhow::Result<()> {
        self.find_compiler()?;
        self.cargo(&["build", "--release", "--locked"])
    }

    /// Runs one fuzzer, and gives its row of the table.
    fn fuzz(&self, target: &str, seconds: u32) -> anyhow::Result<String> {
        let scratch = &self.scratch;
        let found = scratch.join("corpus").join(target);
        let crashes = scratch.join("crashes");
        let package = Path::new(Self::PACKAGE);
        let saved = package.join("corpus").join(target);
        for directory in [&found, &crashes, &saved] {
            fs::create_dir_all(self.root.join(directory))?;
        }
        let before = files(&self.root.join(&found))?.len();
        let log = scratch.join(format!("{target}.log"));
        let file = fs::File::create(self.root.join(&log))?;
        let dictionary = package.join("dictionaries").join(format!("{target}.dict"));
        let mut command = self.engine(target);
        let status = command
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-dict={}", dictionary.display()))
            .arg(format!("-artifact_prefix={}/{target}-", crashes.display()))
            .arg("-print_final_stats=1")
            .args([&found, &saved])
            .stdout(file.try_clone()?)
            .stderr(file)
            .status()
            .context("cannot run the fuzzer")?;
        let outcome = output::read(&String::from_utf8_lossy(&fs::read(self.root.join(&log))?));
        match outcome {
            Outcome::Finished(run) if status.success() => {
                let after = files(&self.root.join(&found))?.len();
                Ok(run.row(target, seconds, after.saturating_sub(before)))
            }
            Outcome::Crashed { input, reason } => bail!(
                "failed: {reason}\n  input:  {input}\n  replay: {} {input}\n  \
                 keep:   cp {input} {}/corpus/{target}/ && cargo test -p zc-http -p zc-server corpus",
                self.binaries.join(target).display(),
                Self::PACKAGE,
            ),
            _ => bail!("the fuzzer failed ({status}); see {}", log.display()),
        }
    }

    /// Puts into the saved corpus the smallest inputs that together reach all that was reached.
    /// What was given a name by hand stays as it is.
    fn save(&self, target: &str) -> anyhow::Result<()> {
        let saved = self.root.join(Self::PACKAGE).join("corpus").join(target);
        let scratch = self.root.join(&self.scratch);
        let merged = scratch.join("merged").join(target);
        if merged.exists() {
            fs::remove_dir_all(&merged)?;
        }
        fs::create_dir_all(&merged)?;
        for input in files(&saved)?.iter().filter(|input| !is_of_engine(input)) {
            fs::copy(input, merged.join(input.file_name().unwrap_or_default()))?;
        }
        // One input for each edge: how often an edge is taken would be thousands of files.
        let output = self
            .engine(target)
            .args(["-merge=1", "-use_counters=0"])
            .args([&merged, &saved, &scratch.join("corpus").join(target)])
            .output()
            .context("cannot run the fuzzer")?;
        let inputs = files(&merged)?;
        ensure!(
            output.status.success() && !inputs.is_empty(),
            "cannot merge the corpus of {target}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        for old in files(&saved)? {
            fs::remove_file(old)?;
        }
        let mut bytes = 0;
        for input in &inputs {
            bytes += fs::copy(input, saved.join(input.file_name().unwrap_or_default()))?;
        }
        println!("{target}: {} inputs saved, {bytes} bytes", inputs.len());
        Ok(())
    }

    fn engine(&self, target: &str) -> Command {
        let mut command = Command::new(self.root.join(&self.binaries).join(target));
        command
            .current_dir(&self.root)
            .arg(format!("-max_len={INPUT_BYTES_MAX}"))
            .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
            .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"));
        command
    }
}

/// Whether the engine gave an input its name, which is the SHA-1 of what is in it.
fn is_of_engine(input: &Path) -> bool {
    let name = input.file_name().unwrap_or_default().to_string_lossy();
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The triple of this machine, as in the path of what is built for it.
fn host() -> anyhow::Result<String> {
    let program = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(program)
        .arg("-vV")
        .output()
        .context("cannot run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV prints no host")?.to_owned())
}

/// The files in a directory, in the order of their names.
fn files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths)
}
