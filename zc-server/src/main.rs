//! Arguments in, exit code out.

#![forbid(unsafe_code)]

mod program;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use anyhow::Context;
use zc_server::config::Scheme;
use zc_server::doctor;
use zc_server::healthcheck;
use zc_server::tagging::{self, Tagged};
use zc_server::{
    Args, Command, Config, DoctorArgs, EtagArgs, Handle, HealthcheckArgs, InheritedSocket, Server,
    ServerOptions, Stopped,
};

use program::inherited;
use program::manager::Manager;
use program::reload::Reloader;
use program::sharing::Sharing;
use program::signals::{EXIT_CUT, answer_signals, block_signals};
use program::stderr::Stderr;

/// The root or an address could not be used, or the server failed.
const EXIT_FAILURE: u8 = 1;

fn main() -> ExitCode {
    let stderr = Stderr::default();
    let args = Args::from_process();
    match &args.command {
        Some(Command::Etag(args)) => return write_tags(args),
        Some(Command::Doctor(args)) => return examine(args),
        Some(Command::Check(_)) => return check(args),
        Some(Command::PrintConfig(options)) => return print_config(options),
        Some(Command::Healthcheck(task)) => return check_health(&args, task),
        Some(Command::Completions(args)) => {
            // Who has closed it wants to read no more.
            let _ = io::stdout().write_all(&args.script());
            return ExitCode::SUCCESS;
        }
        None => {}
    }
    let (handle, manager, inherited) = match prepare(&args, &stderr) {
        Ok(prepared) => prepared,
        Err(error) => {
            stderr.say(format_args!("zc-server: {error:#}"));
            return ExitCode::from(EXIT_FAILURE);
        }
    };
    for warning in variable_warnings() {
        stderr.say(warning);
    }
    let sharing = Sharing::from(&args);
    let config = match Config::try_from(args) {
        Ok(config) => config,
        Err(error) => {
            stderr.say(format_args!("zc-server: {error}"));
            return ExitCode::from(error.exit_code());
        }
    };
    match serve(config, inherited, &handle, &manager, (sharing, &stderr)) {
        Ok(Stopped::Drained) => ExitCode::SUCCESS,
        Ok(cut @ Stopped::Cut(_)) => {
            stderr.say(format_args!("zc-server: the grace period ended; {cut}"));
            ExitCode::from(EXIT_CUT)
        }
        Err(error) => {
            stderr.say(format_args!("zc-server: {error}"));
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

/// The server's handle, once there is one.
type LateHandle = Arc<OnceLock<Handle>>;

/// What has to be done before there is another thread: nobody else may be met by a signal, and the environment is
/// changed.
fn prepare(
    args: &Args,
    stderr: &Stderr,
) -> anyhow::Result<(LateHandle, Arc<Manager>, Vec<InheritedSocket>)> {
    let inherited = inherited::take()?;
    let signals = block_signals().context("cannot take signals")?;
    let manager = Manager::from_environment(stderr.clone());
    let reloader = Reloader::new(args, stderr.clone(), Arc::clone(&manager));
    let handle = answer_signals(signals, stderr.clone(), reloader, Arc::clone(&manager));
    Ok((handle.context("cannot take signals")?, manager, inherited))
}

/// `zc-server etag`: the summary goes to standard output, failures to standard error.
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
                "tags: {written} written, {up_to_date} up to date, {declared} set by other programs, \
                 {failed} failed"
            );
            match failed {
                0 => ExitCode::SUCCESS,
                _ => ExitCode::from(EXIT_FAILURE),
            }
        }
        Err(error) => {
            let root = args.root.display();
            let what = match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                    "does not exist".to_owned()
                }
                _ => format!("cannot be read: {error}"),
            };
            eprintln!("zc-server: `{root}` {what}; name a directory or a file");
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

/// `zc-server doctor`: all of it goes to standard output.
fn examine(args: &DoctorArgs) -> ExitCode {
    let report = doctor::examine(&args.root);
    let text = if args.json {
        report.to_json()
    } else {
        report.to_string()
    };
    // Who has closed it wants to read no more.
    let _ = writeln!(io::stdout(), "{text}");
    if report.can_serve() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_FAILURE)
    }
}

/// Warnings of variables that were meant for this program, and that no option has.
fn variable_warnings() -> impl Iterator<Item = String> {
    let names = Args::unknown_variables(std::env::vars_os().map(|(name, _)| name));
    names.into_iter().map(|name| {
        let name = name.to_string_lossy();
        format!(
            "zc-server: warning: the environment variable {name} belongs to no option; see --help"
        )
    })
}

/// `zc-server check`: warnings and errors go to standard error.
fn check(args: Args) -> ExitCode {
    for warning in variable_warnings() {
        eprintln!("{warning}");
    }
    let config = match Config::try_from(args) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("zc-server: {error}");
            return ExitCode::from(error.exit_code());
        }
    };
    match Server::check(&config) {
        Ok(warnings) => {
            for warning in warnings {
                eprintln!("zc-server: warning: {warning}");
            }
            // Who has closed it wants to read no more.
            let _ = writeln!(io::stdout(), "the configuration is valid");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("zc-server: {error}");
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

/// `zc-server healthcheck`: one line on standard output.
fn check_health(server: &Args, task: &HealthcheckArgs) -> ExitCode {
    let (line, code) = match healthcheck::check(server, task) {
        Ok(line) => (line, ExitCode::SUCCESS),
        Err(line) => (line, ExitCode::from(EXIT_FAILURE)),
    };
    // Who has closed it wants to read no more.
    let _ = writeln!(io::stdout(), "{line}");
    code
}

/// `zc-server print-config`.
fn print_config(options: &ServerOptions) -> ExitCode {
    match options.to_toml() {
        Ok(text) => {
            // Who has closed it wants to read no more.
            let _ = write!(io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(error) => error.exit(),
    }
}

fn serve(
    config: Config,
    inherited: Vec<InheritedSocket>,
    handle: &OnceLock<Handle>,
    manager: &Arc<Manager>,
    (sharing, stderr): (Sharing, &Stderr),
) -> anyhow::Result<Stopped> {
    let root = config.root.path().to_owned();
    // A current directory would keep its filesystem from being unmounted. Where there is no way to `/`,
    // it stays.
    let _ = std::env::set_current_dir("/");
    #[cfg(feature = "tls")]
    let is_self_signed = is_self_signed(&config);
    let inherited_admin = match inherited.iter().any(InheritedSocket::is_admin) {
        true => ", on an inherited socket",
        false => "",
    };
    let server = Server::bind_with(config, inherited)?;
    for warning in server.warnings() {
        stderr.say(format_args!("zc-server: warning: {warning}"));
    }
    handle.get_or_init(|| server.handle());
    let (version, root) = (env!("CARGO_PKG_VERSION"), root.display());
    stderr.say(format_args!("zc-server {version} serves {root} at"));
    sharing.tell(server.listening(), stderr);
    if let Some(address) = server.admin_address() {
        stderr.say(format_args!(
            "metrics and health are at {}{inherited_admin}",
            address.url(Scheme::Http)
        ));
    }
    #[cfg(feature = "tls")]
    for fingerprint in server.fingerprints().iter().filter(|_| is_self_signed) {
        stderr.say(format_args!(
            "the certificate is self-signed, so clients warn; its SHA-256 fingerprint is {fingerprint}"
        ));
    }
    #[cfg(feature = "tls")]
    if let Some(verdict) = server.kernel_tls() {
        stderr.say(verdict);
    }
    if let Some(raised) = server.raised_descriptors() {
        stderr.say(raised);
    }
    stderr.say("press Ctrl-C to stop");
    manager.tell_ready(status_of(&server, root));
    manager.start_watchdog(&server.handle())?;
    // The sockets listen already: who comes at once waits in their queue.
    sharing.open(server.listening(), stderr);
    Ok(server.run()?)
}

/// What is served, and where, in one line.
fn status_of(server: &Server, root: impl Display) -> String {
    let listening = server.listening().iter();
    let urls = listening.map(|listening| format!("{}://{}/", listening.scheme, listening.address));
    format!("serving {root} at {}", Vec::from_iter(urls).join(", "))
}

#[cfg(feature = "tls")]
fn is_self_signed(config: &Config) -> bool {
    use zc_server::config::tls::Certificates::SelfSigned;
    let certificates = config.tls.as_ref().map(|tls| &tls.certificates);
    matches!(certificates, Some(SelfSigned { .. }))
}
