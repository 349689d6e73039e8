//! Tasks of this repository: `cargo xtask TASK`.

mod artifacts;
mod bench;
mod ci;
mod fuzz;
mod pictures;
mod tidy;

use std::process::{Command, ExitCode};

const HELP: &str = "\
Usage: cargo xtask TASK

Tasks:
  bench [ARGS]  measure, and write a report; `bench --help` tells what can be chosen
  ci [ARGS]     run the gates, or with --quick those for while one works; see ci --help
  fuzz [ARGS]   run the fuzzers of zc-http for a bounded time; see fuzz --help
  pictures [ARGS]  write the pictures and tables of the newest results; see pictures --help
  tidy [ARGS]   look for what is too long, in a circle, or not where a document says it is
  help          print this
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let task = arguments.next();
    let rest: Vec<String> = arguments.collect();
    let result = match task.as_deref() {
        Some("bench") => bench::run(&rest),
        Some("ci") => ci::run(&rest),
        Some("fuzz") => fuzz::run(&rest),
        Some("pictures") => pictures::run(&rest),
        Some("tidy") => tidy::run(&rest),
        None | Some("help" | "--help" | "-h") => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => {
            eprint!("xtask: no task is called `{other}`\n\n{HELP}");
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
