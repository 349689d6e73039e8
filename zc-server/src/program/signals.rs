//! What signals do.

use std::io;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, raise};
use zc_server::Handle;

use super::manager::Manager;
use super::reload::Reloader;
use super::stderr::Stderr;

/// Responses were cut: by the end of the grace period, or by a second signal.
pub(crate) const EXIT_CUT: u8 = 3;

/// Blocks the signals that are [answered](answer_signals), for this thread and for all that it starts. To be called
/// before it starts any: another thread would be ended by them.
pub(crate) fn block_signals() -> io::Result<SigSet> {
    // A file that has come to the limit of its size (RLIMIT_FSIZE) is an error of the write, and not the end.
    SigSet::from(Signal::SIGXFSZ).thread_block()?;
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
    Ok(signals)
}

/// Takes the signals, which are blocked, on a thread of their own from now on.
///
/// Until the handle is set they do what they do by default. Then the first SIGINT, SIGTERM or SIGQUIT drains, and
/// the second one exits at once. SIGHUP has the configuration file and certificates read again, and the
/// log file opened again; SIGUSR1 the log file alone. SIGUSR2 is ignored with a message.
pub(crate) fn answer_signals(
    signals: SigSet,
    stderr: Stderr,
    reloader: Reloader,
    manager: Arc<Manager>,
) -> io::Result<Arc<OnceLock<Handle>>> {
    let handle = Arc::new(OnceLock::<Handle>::new());
    let known = Arc::clone(&handle);
    let answer = move || {
        let mut is_stopping = false;
        // It fails for sets without a signal alone.
        while let Ok(signal) = signals.wait() {
            let Some(handle) = known.get() else {
                act_by_default(signal, &signals);
                continue;
            };
            match signal {
                Signal::SIGHUP => reloader.reload(handle),
                Signal::SIGUSR1 if handle.reopen_logs() => {}
                Signal::SIGUSR1 => {
                    stderr.say("zc-server: SIGUSR1 ignored: there are no log files to reopen")
                }
                Signal::SIGUSR2 => stderr.say("zc-server: SIGUSR2 ignored"),
                _ if is_stopping => {
                    stderr.say(format_args!(
                        "zc-server: a second signal, {signal}: ending now"
                    ));
                    std::process::exit(EXIT_CUT.into())
                }
                _ => {
                    is_stopping = true;
                    let delay = handle.drain_delay();
                    // Before the process may end.
                    manager.tell_stopping(stop_status(delay));
                    handle.stop();
                    if !delay.is_zero() {
                        stderr.say(format_args!(
                            "zc-server: {signal}: {}; press Ctrl-C again to stop now",
                            stop_status(delay)
                        ));
                    }
                }
            }
        }
    };
    thread::Builder::new()
        .name("zc-signals".to_owned())
        .spawn(answer)?;
    Ok(handle)
}

/// What is to come after the first signal.
fn stop_status(delay: Duration) -> String {
    match delay {
        Duration::ZERO => "waiting for responses in progress".to_owned(),
        delay => format!(
            "not ready any more; connections are accepted for {delay:?}, then responses in progress are waited for"
        ),
    }
}

/// Ends the process as the signal would, unless whoever has started it has it ignored, as `nohup` does.
fn act_by_default(signal: Signal, blocked: &SigSet) {
    // Neither fails for a signal that there is.
    let _ = blocked.thread_unblock();
    let _ = raise(signal);
    let _ = blocked.thread_block();
}
