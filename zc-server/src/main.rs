//! Arguments in, exit code out.

use std::process::ExitCode;
use std::thread;

use clap::Parser;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use zc_server::tagging::{self, Tagged};
use zc_server::{Args, Command, Config, EtagArgs, Handle, Outcome, Server};

/// The root or an address could not be used, or the server failed.
const EXIT_FAILURE: u8 = 1;
/// Responses were cut: by the end of the grace period, or by a second signal.
const EXIT_CUT: u8 = 3;

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Command::Etag(args)) = &args.command {
        return write_tags(args);
    }
    let config = match Config::from_args(args) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("zc-server: {error}");
            return ExitCode::from(error.exit_code());
        }
    };
    match serve(config) {
        Ok(Outcome::Drained) => ExitCode::SUCCESS,
        Ok(Outcome::Cut(count)) => {
            eprintln!("zc-server: the grace period ended, {count} responses were cut");
            ExitCode::from(EXIT_CUT)
        }
        Err(error) => {
            eprintln!("zc-server: {error:#}");
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

/// `zc-server etag`: what was done is said on standard output, what failed on standard error.
fn write_tags(args: &EtagArgs) -> ExitCode {
    match tagging::write_tags(args, |line| eprintln!("zc-server: {line}")) {
        Ok(tagged) => {
            let Tagged {
                written,
                up_to_date,
                declared,
                failed,
            } = tagged;
            println!(
                "{written} tags written, {up_to_date} up to date, {declared} declared by others, \
                 {failed} failed"
            );
            match failed {
                0 => ExitCode::SUCCESS,
                _ => ExitCode::from(EXIT_FAILURE),
            }
        }
        Err(error) => {
            let root = args.root.display();
            eprintln!("zc-server: {root} cannot be read: {error}; name a directory or a file");
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

fn serve(config: Config) -> anyhow::Result<Outcome> {
    let root = config.root.path().to_owned();
    // A current directory would keep its filesystem from being unmounted. Where there is no way to `/`,
    // it stays.
    let _ = std::env::set_current_dir("/");
    let server = Server::bind(config)?;
    stop_on_signals(server.handle())?;
    eprintln!(
        "zc-server {} serves {}",
        env!("CARGO_PKG_VERSION"),
        root.display()
    );
    for address in server.addresses() {
        eprintln!("  http://{address}/");
    }
    eprintln!("stop with Ctrl-C");
    Ok(server.run()?)
}

/// The first SIGINT or SIGTERM drains, the second one exits at once.
fn stop_on_signals(handle: Handle) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new()
        .name("zc-signals".to_owned())
        .spawn(move || {
            let mut signals = signals.forever();
            if signals.next().is_some() {
                handle.stop();
            }
            if signals.next().is_some() {
                std::process::exit(EXIT_CUT.into());
            }
        })?;
    Ok(())
}
