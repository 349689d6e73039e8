//! Tasks of this repository: `cargo xtask TASK`.

mod artifacts;
mod bench;
mod book;
mod ci;
mod dist;
mod fleet;
mod fuzz;
mod man;
mod markdown;
mod pictures;
mod screenshots;
mod tidy;
mod vm_test;

use std::process::{Command, ExitCode};

const HELP: &str = "\
Usage: cargo xtask TASK

Tasks:
  bench [ARGS]     measure zc and other servers, and write a report; see bench --help
  book [ARGS]      make the book in target/book, or run its commands; see book --help
  ci [ARGS]        run the gates, or the fast ones with --quick; see ci --help
  dist [ARGS]      make the packages: tarball, .deb, image, SBOM; see dist --help
  fleet [ARGS]     run nodes behind HAProxy while they are killed or cut off; see fleet --help
  fuzz [ARGS]      run the fuzzers; see fuzz --help
  man [ARGS]       write the man pages; see man --help
  pictures [ARGS]  write the charts and tables of the newest results; see pictures --help
  screenshots [ARGS]
                   take pictures of the pages of the server; see screenshots --help
  tidy [ARGS]      check sizes, layers, documents and words; see tidy --help
  vm-test [ARGS]   test kernel TLS in virtual machines; see vm-test --help
  help             print this help
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let task = arguments.next();
    let rest: Vec<String> = arguments.collect();
    let result = match task.as_deref() {
        Some("bench") => bench::run(&rest),
        Some("book") => book::run(&rest),
        Some("ci") => ci::run(&rest),
        Some("dist") => dist::run(&rest),
        Some("fleet") => fleet::run(&rest),
        Some("fuzz") => fuzz::run(&rest),
        Some("man") => man::run(&rest),
        Some("pictures") => pictures::run(&rest),
        Some("screenshots") => screenshots::run(&rest),
        Some("tidy") => tidy::run(&rest),
        Some("vm-test") => vm_test::run(&rest),
        None | Some("help" | "--help" | "-h") => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => {
            eprint!("xtask: unknown task `{other}`\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The cargo that runs this task.
fn cargo_command(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).envs(environment.iter().copied());
    command
}
