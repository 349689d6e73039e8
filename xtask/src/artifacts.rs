//! Where cargo puts what it builds.
//!
//! That is `target/` unless `CARGO_TARGET_DIR` or a configuration file says otherwise, so cargo is
//! asked: of each program that it has built, or found to be up to date, it tells the path.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde_json::Value;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or_else(|| here.clone(), PathBuf::from)
}

/// Where tasks put what they make: `CARGO_TARGET_DIR`, or `target` of the repository.
pub(crate) fn target_directory() -> anyhow::Result<PathBuf> {
    target_directory_of(std::env::var_os("CARGO_TARGET_DIR"))
}

fn target_directory_of(variable: Option<OsString>) -> anyhow::Result<PathBuf> {
    match variable.filter(|value| !value.is_empty()) {
        // Where it is relative, cargo takes it from the working directory, and not from the root.
        Some(chosen) => std::path::absolute(chosen).context("CARGO_TARGET_DIR"),
        None => Ok(root().join("target")),
    }
}

/// A program that cargo has built.
#[derive(Debug)]
pub(crate) struct Program {
    /// The directory of its package in the workspace.
    pub(crate) package: String,
    /// The name of its target.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// Builds programs with the features that `cargo test --workspace` chooses, so that nothing is compiled a second time with
/// others. It names a test because only then do the features of dev-dependencies count. `--bin NAME` follows.
pub(crate) const BUILD_AS_TESTED: [&str; 5] = [
    "build",
    "--workspace",
    "--locked",
    "--test",
    "start_warnings",
];

/// Runs a `cargo build` to which nothing is told yet of the form of its messages; answers the paths of
/// the programs by their names. What cargo says to people goes where ours goes.
pub(crate) fn build(command: Command) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let built = build_programs(command)?.into_iter();
    Ok(built.map(|built| (built.name, built.path)).collect())
}

/// The same for programs of which two packages may have one of the same name.
pub(crate) fn build_programs(mut command: Command) -> anyhow::Result<Vec<Program>> {
    let output = command
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo build")?;
    if !output.status.success() {
        bail!("cargo build failed: {}", output.status);
    }
    Ok(programs_in(&String::from_utf8_lossy(&output.stdout)))
}

/// The programs that cargo's messages name, which have a line each.
fn programs_in(messages: &str) -> Vec<Program> {
    let program = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        let manifest = Path::new(message["manifest_path"].as_str()?);
        Some(Program {
            package: manifest.parent()?.file_name()?.to_str()?.to_owned(),
            name: message["target"]["name"].as_str()?.to_owned(),
            path: message["executable"].as_str()?.into(),
        })
    };
    messages.lines().filter_map(program).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_where_cargo_target_dir_says() {
        let package = tempfile::tempdir().expect("a directory");
        let target = tempfile::tempdir().expect("a directory");
        let manifest = "[package]\nname = \"probe\"\nedition = \"2024\"\n[workspace]\n";
        std::fs::write(package.path().join("Cargo.toml"), manifest).expect("a file");
        std::fs::create_dir(package.path().join("src")).expect("a directory");
        std::fs::write(package.path().join("src/main.rs"), "fn main() {}\n").expect("a file");
        let arguments = ["build", "--offline", "--quiet"];
        let mut command = crate::cargo_command(&arguments, &[]);
        command
            .current_dir(package.path())
            .env("CARGO_TARGET_DIR", target.path());
        let programs = build_programs(command).expect("a program without dependencies");
        let [program] = &programs[..] else {
            panic!("{programs:?}");
        };
        assert_eq!(program.name, "probe");
        let directory = package.path().file_name().expect("a name");
        assert_eq!(program.package, directory.to_string_lossy());
        let probe = &program.path;
        assert!(probe.starts_with(target.path()), "{}", probe.display());
        assert!(probe.is_file(), "{}", probe.display());
    }

    #[test]
    fn messages_about_anything_else_name_no_program() {
        let messages = "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"a-library\"},\
                        \"executable\":null}\nnot json\n{\"reason\":\"build-finished\"}\n";
        assert!(programs_in(messages).is_empty());
    }

    #[test]
    fn what_tasks_make_goes_below_cargo_target_dir() {
        let of = |value: Option<&str>| {
            target_directory_of(value.map(OsString::from)).expect("a directory")
        };
        assert_eq!(of(Some("/elsewhere")), Path::new("/elsewhere"));
        let here = std::env::current_dir().expect("a directory");
        assert_eq!(of(Some("relative")), here.join("relative"));
        assert_eq!(of(Some("")), root().join("target"));
        assert_eq!(of(None), root().join("target"));
    }
}
