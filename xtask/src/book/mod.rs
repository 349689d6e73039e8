//! `cargo xtask book`: the book in `docs`, made by mdBook, and its commands, run as printed.

mod commands;
pub(crate) mod options;
pub(crate) mod page;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use clap::Parser;

use crate::artifacts::{BUILD_AS_TESTED, build, root, target_directory};
use commands::{Outcome, Report, Runner};
use page::{Need, Way};

/// The mdBook that the book is made with. It is a tool: nothing is built on it.
const MDBOOK_VERSION: &str = "0.5.4";
/// Where the book is, from the root.
const BOOK: &str = "docs";
/// Where its pages are, from the root.
pub(crate) const PAGES: &str = "docs/src/";
/// Its table of contents, which has nothing to run.
pub(crate) const SUMMARY: &str = "docs/src/SUMMARY.md";
/// A page that is not of the book, with commands to be run as well.
const README: &str = "README.md";

/// Writes the page of options and makes the book in target/book; or runs its commands.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask book",
    bin_name = "cargo xtask book",
    max_term_width = 80
)]
struct Options {
    /// Write no page: fail if the page of options is not what would be written.
    #[arg(long, conflicts_with_all = ["run", "install"])]
    check: bool,

    /// Run the commands of these pages as they are printed, or those of all pages and of README.md.
    #[arg(long, value_name = "PAGE", num_args = 0.., conflicts_with = "install")]
    run: Option<Vec<String>>,

    /// Install mdBook with cargo, unless the version that is needed is there.
    #[arg(long)]
    install: bool,
}

/// Makes the book, or does what else is chosen.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let name = "cargo xtask book".to_owned();
    let options = Options::parse_from(std::iter::once(&name).chain(arguments));
    if options.install {
        return install();
    }
    if let Some(pages) = options.run {
        return run_pages(&root(), &pages);
    }
    let path = root().join(options::PATH);
    let page = options::page();
    if options.check {
        let found = fs::read_to_string(&path).unwrap_or_default();
        ensure!(
            found == page,
            "{} is not what clap has: run `cargo xtask book`",
            options::PATH
        );
    } else {
        fs::write(&path, page).with_context(|| format!("cannot write {}", options::PATH))?;
    }
    make()
}

/// Has mdBook make the book.
fn make() -> anyhow::Result<()> {
    ensure_version(mdbook_version().as_deref())?;
    let target = target_directory()?.join("book");
    let mut command = Command::new("mdbook");
    let command = command
        .arg("build")
        .arg(root().join(BOOK))
        .arg("--dest-dir")
        .arg(&target);
    let status = command.status().context("cannot run mdbook")?;
    ensure!(status.success(), "mdbook build failed: {status}");
    println!("the book is {}", target.join("index.html").display());
    Ok(())
}

fn install() -> anyhow::Result<()> {
    if ensure_version(mdbook_version().as_deref()).is_ok() {
        return Ok(());
    }
    let status = crate::cargo_command(&install_arguments(), &[]).status()?;
    ensure!(
        status.success(),
        "cannot install mdbook {MDBOOK_VERSION}: {status}"
    );
    Ok(())
}

/// Without the server that reloads pages, which half of its dependencies are for.
fn install_arguments() -> [&'static str; 9] {
    [
        "install",
        "mdbook",
        // It takes a minute less to build, and the book is small.
        "--debug",
        "--version",
        MDBOOK_VERSION,
        "--locked",
        "--no-default-features",
        "--features",
        "search",
    ]
}

/// What `mdbook --version` prints, if it is installed.
fn mdbook_version() -> Option<String> {
    let output = Command::new("mdbook").arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

/// Fails unless the mdBook that says this of itself is of the major and minor version that is needed.
fn ensure_version(said: Option<&str>) -> anyhow::Result<()> {
    let of = |version: &str| -> Option<(String, String)> {
        let mut parts = version.split('.');
        Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
    };
    let found = said.map(|said| {
        said.trim_start_matches("mdbook")
            .trim_start_matches([' ', 'v'])
    });
    let why = match found {
        Some(found) if of(found) == of(MDBOOK_VERSION) => return Ok(()),
        Some(found) => format!("mdbook {found} is installed, and {MDBOOK_VERSION} is needed"),
        None => "mdbook is not installed".to_owned(),
    };
    bail!("{why}: run\n    cargo {}", install_arguments().join(" "))
}

/// Runs the commands of pages: all there are, or those whose path or name is given.
fn run_pages(root: &Path, chosen: &[String]) -> anyhow::Result<()> {
    let pages = pages(root, chosen)?;
    let arguments = [&BUILD_AS_TESTED[..], &["--bin", "zc-server"]].concat();
    let mut command = crate::cargo_command(&arguments, &[]);
    command.current_dir(root);
    let programs = build(command)?;
    let server = programs
        .get("zc-server")
        .context("cargo built no zc-server")?;
    let runner = Runner::new(server);
    if runner.isolation == commands::Isolation::Shared {
        println!("note: no network namespace is permitted here; ports are those of this machine");
    }
    let is_required = std::env::var_os("TEST_REQUIRE_CLIENTS").is_some_and(|value| value == "1");
    let mut faults = Vec::new();
    for page in pages {
        let path = root.join(&page);
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        faults.extend(run_page(&runner, &page, &text, is_required)?);
    }
    ensure!(
        faults.is_empty(),
        "commands of the book fail:\n{}",
        faults.join("\n")
    );
    Ok(())
}

/// The pages with commands, from the root.
fn pages(root: &Path, chosen: &[String]) -> anyhow::Result<Vec<String>> {
    let mut pages = vec![README.to_owned()];
    for entry in fs::read_dir(root.join(PAGES)).with_context(|| format!("cannot list {PAGES}"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let page = format!("{PAGES}{name}");
        if name.ends_with(".md") && page != SUMMARY {
            pages.push(page);
        }
    }
    pages.sort();
    if chosen.is_empty() {
        return Ok(pages);
    }
    let mut found = Vec::new();
    for name in chosen {
        let is_meant = |page: &&String| {
            let file = page.trim_start_matches(PAGES);
            *page == name || file == name || file.strip_suffix(".md") == Some(name)
        };
        let page = pages.iter().find(is_meant);
        let page = page.with_context(|| {
            format!(
                "no page is called {name}: the pages are {}",
                pages.join(", ")
            )
        })?;
        found.push(page.clone());
    }
    Ok(found)
}

/// Runs a page; answers what is wrong with it, each with page and line.
fn run_page(
    runner: &Runner<'_>,
    page: &str,
    text: &str,
    is_required: bool,
) -> anyhow::Result<Vec<String>> {
    let steps = match page::steps(text) {
        Ok(steps) => steps,
        Err(faults) => {
            let faults = faults.iter();
            return Ok(faults
                .map(|fault| format!("{page}:{}: {}", fault.line, fault.text))
                .collect());
        }
    };
    let is_missing = |need: &Need| !is_on_path(&need.program);
    if let Some(need) = page::needs(text).into_iter().find(is_missing) {
        let Need {
            line,
            program,
            reason,
        } = need;
        println!("{page}:{line}: not run, for want of {program}: {reason}");
        return Ok(Vec::new());
    }
    let not_run = steps.iter().filter_map(|step| match &step.way {
        Way::NotRun { reason } => Some((step.line, reason)),
        Way::Foreground | Way::Background { .. } => None,
    });
    let mut left_out = 0;
    for (line, reason) in not_run {
        println!("{page}:{line}: not run: {reason}");
        left_out += 1;
    }
    let name = page.rsplit('/').next().unwrap_or(page);
    let outcome = match steps.len() - left_out {
        0 => return Ok(Vec::new()),
        _ => runner.run(name, &steps)?,
    };
    let told = |report: &Report| {
        let output = report.output.trim_end().replace('\n', "\n    ");
        format!("{page}:{}: {}\n    {output}", report.line, report.what)
    };
    match outcome {
        Outcome::Passed => {
            println!("{page}: ok, {} blocks", steps.len() - left_out);
            Ok(Vec::new())
        }
        Outcome::NotInstalled(report) if !is_required => {
            println!(
                "{}\n{page}: not run from here on: a program is not installed",
                told(&report)
            );
            Ok(Vec::new())
        }
        Outcome::NotInstalled(report) | Outcome::Failed(report) => Ok(vec![told(&report)]),
    }
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

#[cfg(test)]
mod tests;
