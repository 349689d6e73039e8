//! Arguments in, exit code out.

use std::process::ExitCode;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use zc_server::{Args, Config, Handle, Outcome, Server};

/// The root or an address could not be used, or the server failed.
const EXIT_FAILURE: u8 = 1;
/// Responses were cut: by the end of the grace period, or by a second signal.
const EXIT_CUT: u8 = 3;

fn main() -> ExitCode {
    let config = match Config::from_args(Args::from_process()) {
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

fn serve(config: Config) -> anyhow::Result<Outcome> {
    let root = config.root.path();
    let server = Server::bind(config)?;
    stop_on_signals(server.handle())?;
    eprintln!(
        "zc-server {} serves {}",
        env!("CARGO_PKG_VERSION"),
        root.display()
    );
    for listening in server.listening() {
        eprintln!("  {listening}");
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
