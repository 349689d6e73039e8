//! Arguments in, exit code out.

#![forbid(unsafe_code)]

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, raise};
use zc_server::doctor;
use zc_server::healthcheck;
use zc_server::tagging::{self, Tagged};
use zc_server::{
    Args, Command, Config, DoctorArgs, EtagArgs, Handle, HealthcheckArgs, Server, ServerOptions,
    Stopped,
};

/// The root or an address could not be used, or the server failed.
const EXIT_FAILURE: u8 = 1;
/// Responses were cut: by the end of the grace period, or by a second signal.
const EXIT_CUT: u8 = 3;

/// How long a line waits for the reader of standard error, before the program goes on without it.
const SAY_TIMEOUT: Duration = Duration::from_secs(2);

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
    // Before there is another thread.
    let handle = match answer_signals(stderr.clone()) {
        Ok(handle) => handle,
        Err(error) => {
            stderr.say(format_args!("zc-server: cannot take signals: {error}"));
            return ExitCode::from(EXIT_FAILURE);
        }
    };
    for warning in variable_warnings() {
        stderr.say(warning);
    }
    let config = match Config::try_from(args) {
        Ok(config) => config,
        Err(error) => {
            stderr.say(format_args!("zc-server: {error}"));
            return ExitCode::from(error.exit_code());
        }
    };
    match serve(config, &handle, &stderr) {
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

fn serve(config: Config, handle: &OnceLock<Handle>, stderr: &Stderr) -> anyhow::Result<Stopped> {
    let root = config.root.path().to_owned();
    // A current directory would keep its filesystem from being unmounted. Where there is no way to `/`,
    // it stays.
    let _ = std::env::set_current_dir("/");
    #[cfg(feature = "tls")]
    let is_self_signed = is_self_signed(&config);
    let server = Server::bind(config)?;
    for warning in server.warnings() {
        stderr.say(format_args!("zc-server: warning: {warning}"));
    }
    handle.get_or_init(|| server.handle());
    let (version, root) = (env!("CARGO_PKG_VERSION"), root.display());
    stderr.say(format_args!("zc-server {version} serves {root} at"));
    for listening in server.listening() {
        stderr.say(format_args!("  {listening}"));
    }
    if let Some(address) = server.admin_address() {
        stderr.say(format_args!("metrics and health are at http://{address}/"));
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
    stderr.say("press Ctrl-C to stop");
    Ok(server.run()?)
}

#[cfg(feature = "tls")]
fn is_self_signed(config: &Config) -> bool {
    use zc_server::config::tls::Certificates::SelfSigned;
    let certificates = config.tls.as_ref().map(|tls| &tls.certificates);
    matches!(certificates, Some(SelfSigned { .. }))
}

/// Takes signals on a thread of their own from now on. All other threads have them blocked, as this one, which
/// starts those.
///
/// Until the handle is set they do what they do by default. Then the first SIGINT, SIGTERM or SIGQUIT drains, and
/// the second one exits at once. With HTTPS, SIGHUP has the certificates read again. Other signals that are common
/// for servers are ignored with a message.
fn answer_signals(stderr: Stderr) -> io::Result<Arc<OnceLock<Handle>>> {
    let signals = [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGQUIT,
        Signal::SIGHUP,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
    ];
    let signals = SigSet::from_iter(signals);
    signals.thread_block()?;
    let handle = Arc::new(OnceLock::<Handle>::new());
    let known = Arc::clone(&handle);
    let answer = move || {
        let (mut is_stopping, mut reload) = (false, None);
        // It fails for sets without a signal alone.
        while let Ok(signal) = signals.wait() {
            let Some(handle) = known.get() else {
                act_by_default(signal, &signals);
                continue;
            };
            match signal {
                Signal::SIGHUP if reload_certificates(handle, &mut reload) => {}
                Signal::SIGHUP | Signal::SIGUSR1 => stderr.say(format_args!(
                    "zc-server: {signal} ignored: there are no log files to reopen"
                )),
                Signal::SIGUSR2 => stderr.say("zc-server: SIGUSR2 ignored"),
                _ if is_stopping => std::process::exit(EXIT_CUT.into()),
                _ => {
                    is_stopping = true;
                    handle.stop();
                }
            }
        }
    };
    thread::Builder::new()
        .name("zc-signals".to_owned())
        .spawn(answer)?;
    Ok(handle)
}

/// Ends the process as the signal would, unless whoever has started it has it ignored, as `nohup` does.
fn act_by_default(signal: Signal, blocked: &SigSet) {
    // Neither fails for a signal that there is.
    let _ = blocked.thread_unblock();
    let _ = raise(signal);
    let _ = blocked.thread_block();
}

/// Has the certificates of HTTPS read again; `false` where there are none. It is done on a thread of its own: a
/// disk that hangs must not keep other signals from being answered. The server itself says what came of it.
#[cfg(feature = "tls")]
fn reload_certificates(handle: &Handle, reload: &mut Option<JoinHandle<()>>) -> bool {
    if !handle.has_certificates() {
        return false;
    }
    let is_over = reload.as_ref().is_none_or(JoinHandle::is_finished);
    if is_over {
        let handle = handle.clone();
        let read = move || {
            let _ = handle.reload_certificates();
        };
        let thread = thread::Builder::new().name("zc-reload".to_owned());
        // Without a thread, the files are found to have changed a few seconds later.
        *reload = thread.spawn(read).ok();
    }
    true
}

/// There are none.
#[cfg(not(feature = "tls"))]
fn reload_certificates(_: &Handle, _: &mut Option<JoinHandle<()>>) -> bool {
    false
}

/// Standard error. A clone is another handle of the same.
///
/// Nobody may read what it leads to, and then a write to it never ends: a line is written by a thread, and
/// waited for no longer than [`SAY_TIMEOUT`]. After that, lines are dropped until the writer moves on.
#[derive(Clone, Default)]
struct Stderr(Arc<Mutex<Writer>>);

#[derive(Default)]
enum Writer {
    /// It has had nothing to write.
    #[default]
    New,
    /// It takes a line, and answers when that is written.
    Ready(Sender<Line>),
    /// It has not answered in time.
    Stuck(Sender<Line>, mpsc::Receiver<()>),
}

type Line = (String, Sender<()>);

impl Stderr {
    /// Writes a line. Errors are ignored: the terminal may be closed.
    fn say(&self, line: impl Display) {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = match std::mem::take(&mut *writer) {
            Writer::New => match start_writer() {
                Ok(lines) => lines,
                // Better without a time limit than not at all.
                Err(_) => {
                    let _ = writeln!(io::stderr(), "{line}");
                    return;
                }
            },
            Writer::Ready(lines) => lines,
            Writer::Stuck(lines, written) => {
                if written.try_recv().is_err() {
                    *writer = Writer::Stuck(lines, written);
                    return;
                }
                lines
            }
        };
        let (done, written) = mpsc::channel();
        // The thread ends after its senders, and does not panic.
        let _ = lines.send((line.to_string(), done));
        *writer = match written.recv_timeout(SAY_TIMEOUT) {
            Err(RecvTimeoutError::Timeout) => Writer::Stuck(lines, written),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Writer::Ready(lines),
        };
    }
}

fn start_writer() -> io::Result<Sender<Line>> {
    let (lines, queue) = mpsc::channel::<Line>();
    thread::Builder::new()
        .name("zc-stderr".to_owned())
        .spawn(move || {
            for (line, done) in queue {
                let _ = writeln!(io::stderr(), "{line}");
                // Who said it may have gone on.
                let _ = done.send(());
            }
        })?;
    Ok(lines)
}
