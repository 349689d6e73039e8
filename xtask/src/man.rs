//! `cargo xtask man`: the man page, from the options as clap has them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{CommandFactory, Parser};
use clap_mangen::Man;

use crate::artifacts::target_directory;

/// Write the man pages of the server and of its tasks
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask man",
    bin_name = "cargo xtask man",
    max_term_width = 80
)]
struct Options {
    /// Directory for the pages [default: target/man]
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Writes `zc-server.1`, and one page for each task, as `zc-server-check.1`.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let name = "cargo xtask man".to_owned();
    let options = Options::parse_from(std::iter::once(&name).chain(arguments));
    let out = match options.out {
        Some(out) => out,
        None => target_directory()?.join("man"),
    };
    for path in write(&out)? {
        println!("{}", path.display());
    }
    Ok(())
}

pub(crate) fn write(out: &Path) -> anyhow::Result<Vec<PathBuf>> {
    fs::create_dir_all(out)
        .with_context(|| format!("cannot create the directory {}", out.display()))?;
    let server = zc_server::Args::command();
    let name = server.get_name().to_owned();
    let tasks = server.get_subcommands().map(|task| {
        let name = format!("{name}-{}", task.get_name());
        task.clone().name(name)
    });
    let all: Vec<clap::Command> = std::iter::once(server.clone()).chain(tasks).collect();
    let mut paths = Vec::new();
    for command in all {
        let path = out.join(format!("{}.1", command.get_name()));
        let mut page = Vec::new();
        Man::new(command.disable_help_subcommand(true)).render(&mut page)?;
        fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
        paths.push(path);
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn every_option_is_in_the_page_and_groff_has_nothing_to_warn_of() {
        let out = tempfile::tempdir().expect("a directory");
        let paths = write(out.path()).expect("pages");
        let page = fs::read_to_string(&paths[0]).expect("a page");
        for arg in zc_server::Args::command().get_arguments() {
            let long = arg.get_long().unwrap_or("ROOT").replace('-', "\\-");
            assert!(page.contains(&long), "no {long} in {page}");
        }
        for path in &paths {
            let Ok(output) = Command::new("groff")
                .args(["-man", "-Tutf8", "-ww", "-z"])
                .arg(path)
                .output()
            else {
                // As of the clients of the server: where they are required, nothing is passed over.
                let is_required = std::env::var_os("TEST_REQUIRE_CLIENTS").is_some();
                assert!(!is_required, "groff is not installed");
                eprintln!("skipped: groff is not installed");
                return;
            };
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && said.is_empty(), "{said}");
        }
    }
}
