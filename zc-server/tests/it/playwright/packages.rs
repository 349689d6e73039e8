//! The packages of Node.js that the scripts import, at the versions of the lock file.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::clients::say_missing;

const MANIFEST: &str = include_str!("package.json");
const LOCK: &str = include_str!("package-lock.json");

/// The lock file as it was when the packages were installed: written last, so that nothing half done counts.
const INSTALLED: &str = "installed";

/// The directory with the packages, which are installed when it is not there or of another lock file; `None`
/// where they cannot be had.
pub(super) fn installed() -> Option<PathBuf> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    fs::create_dir_all(&directory).expect("a directory");
    // Of the tests that need it, one installs, and the others wait.
    let lock = File::create(directory.join("lock")).expect("a file");
    lock.lock().expect("a lock");
    let is_installed = fs::read_to_string(directory.join(INSTALLED)).is_ok_and(|it| it == LOCK);
    if !is_installed && !install(&directory) {
        say_missing("what `npm ci` installs");
        return None;
    }
    Some(directory.join("node_modules"))
}

/// Whether it succeeded. It is run with the variables of this process: they say where the registry is.
fn install(directory: &Path) -> bool {
    fs::write(directory.join("package.json"), MANIFEST).expect("a file");
    fs::write(directory.join("package-lock.json"), LOCK).expect("a file");
    let mut npm = Command::new("npm");
    npm.args([
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--no-update-notifier",
    ]);
    let npm = npm.current_dir(directory).stdin(Stdio::null());
    let output = npm.output().expect("npm starts");
    if output.status.success() {
        fs::write(directory.join(INSTALLED), LOCK).expect("a file");
    } else {
        println!("{}", String::from_utf8_lossy(&output.stderr));
    }
    output.status.success()
}
