//! What SIGHUP has read again: the configuration file, or users, style and certificates where there is none. The log file is
//! opened again in any case.

use std::env;
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, OnceLock};
use std::thread;

use zc_server::{Args, Config, Handle};

use super::manager::Manager;
use super::stderr::Stderr;

/// Reads again what the server was started with, on a thread of its own: a disk that hangs must not keep signals from
/// being answered.
pub(crate) struct Reloader {
    /// Whether there is more to read than certificates.
    has_file: bool,
    /// The directory that relative paths begin at: the program leaves it.
    started_in: Option<PathBuf>,
    stderr: Stderr,
    manager: Arc<Manager>,
    /// To the thread, once there is one.
    requests: OnceLock<Sender<Handle>>,
}

impl Reloader {
    /// To be made before the program leaves its directory.
    pub(crate) fn new(args: &Args, stderr: Stderr, manager: Arc<Manager>) -> Self {
        Self {
            has_file: args.config.is_some()
                || args.serving.auth_file.is_some()
                || args.serving.listing_style.is_some(),
            started_in: env::current_dir().ok(),
            stderr,
            manager,
            requests: OnceLock::new(),
        }
    }

    /// Has everything read again, once more if it is being read now.
    pub(crate) fn reload(&self, handle: &Handle) {
        // With a configuration file, that says which log file.
        let has_log_file = !self.has_file && handle.reopen_logs();
        if !self.has_file && !has_certificates(handle) {
            // Who has sent it may wait for its end.
            self.manager.tell_reloading();
            if has_log_file {
                self.manager.tell_reloaded("the log file was opened again");
                return;
            }
            self.ignore(
                "there is no configuration file and no certificate to read again, and no log file",
            );
            return;
        }
        let requests = match self.requests.get() {
            Some(requests) => requests,
            None => match self.start() {
                Ok(requests) => self.requests.get_or_init(|| requests),
                Err(error) => {
                    self.manager.tell_reloading();
                    self.ignore(format_args!("cannot start a thread: {error}"));
                    return;
                }
            },
        };
        // The thread ends after its senders.
        let _ = requests.send(handle.clone());
    }

    fn ignore(&self, reason: impl Display) {
        let said = format!("SIGHUP ignored: {reason}");
        self.manager.tell_reloaded(&said);
        self.stderr.say(format_args!("zc-server: {said}"));
    }

    fn start(&self) -> std::io::Result<Sender<Handle>> {
        let (requests, queue) = mpsc::channel::<Handle>();
        let (has_file, started_in, stderr) =
            (self.has_file, self.started_in.clone(), self.stderr.clone());
        let manager = Arc::clone(&self.manager);
        let read = move || {
            while let Ok(handle) = queue.recv() {
                // Those that came meanwhile are answered by what is read now.
                while queue.try_recv().is_ok() {}
                manager.tell_reloading();
                let said = if has_file {
                    let said = match reload_all(&handle, started_in.as_ref(), &stderr) {
                        Ok(said) => said,
                        Err(error) => {
                            // It was renamed all the same.
                            handle.reopen_logs();
                            format!("the configuration stays as it was: {error}")
                        }
                    };
                    stderr.say(format_args!("zc-server: {said}"));
                    said
                } else {
                    reload_certificates(&handle).to_owned()
                };
                manager.tell_reloaded(&said);
            }
        };
        let thread = thread::Builder::new().name("zc-reload".to_owned());
        thread.spawn(read)?;
        Ok(requests)
    }
}

/// Reads options and configuration file again, and what they name.
fn reload_all(
    handle: &Handle,
    started_in: Option<&PathBuf>,
    stderr: &Stderr,
) -> Result<String, String> {
    let args = in_directory(started_in, || {
        let args = Args::again().map_err(|error| one_line(&error.to_string()))?;
        Config::try_from(args).map_err(|error| error.to_string())
    });
    let args = args.inspect_err(|_| handle.note_unreadable_config())?;
    let reloaded = handle.reload(args).map_err(|error| error.to_string())?;
    for warning in reloaded.warnings {
        stderr.say(format_args!("zc-server: warning: {warning}"));
    }
    Ok(match &reloaded.kept[..] {
        [] => "the configuration was read again".to_owned(),
        kept => format!(
            "the configuration was read again; until a restart these stay as they were: {}",
            kept.join(", ")
        ),
    })
}

/// Does `work` in `directory`, and goes back to `/`. It is the directory of all threads: none of them opens a relative
/// path, because the program has left its directory at the start.
fn in_directory<T>(
    directory: Option<&PathBuf>,
    work: impl FnOnce() -> Result<T, String>,
) -> Result<T, String> {
    let directory = directory.ok_or("the directory that the server was started in is not known")?;
    env::set_current_dir(directory)
        .map_err(|error| format!("cannot enter `{}`: {error}", directory.display()))?;
    let answer = work();
    // It would keep its filesystem from being unmounted. There is no process without a root.
    let _ = env::set_current_dir("/");
    answer
}

/// An error of several lines in one: what is wrong, and what helps.
fn one_line(error: &str) -> String {
    let error = error.strip_prefix("error: ").unwrap_or(error);
    let lines = error.lines().map(str::trim);
    // How a command is written is for who types one.
    let lines = lines.take_while(|line| !line.starts_with("Usage:"));
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("For more information"));
    lines.collect::<Vec<_>>().join("; ")
}

#[cfg(feature = "tls")]
fn has_certificates(handle: &Handle) -> bool {
    handle.has_certificates()
}

/// The server itself says what came of it.
#[cfg(feature = "tls")]
fn reload_certificates(handle: &Handle) -> &'static str {
    match handle.reload_certificates() {
        Ok(()) => "the certificates were read again",
        Err(_) => "not all certificates could be read again",
    }
}

/// There are none.
#[cfg(not(feature = "tls"))]
fn has_certificates(_: &Handle) -> bool {
    false
}

#[cfg(not(feature = "tls"))]
fn reload_certificates(_: &Handle) -> &'static str {
    "there are no certificates"
}
