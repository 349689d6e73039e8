//! What signals do.

use std::io;
use std::sync::{Arc, OnceLock};
use std::thread;

use nix::sys::signal::{SigSet, Signal, raise};
use zc_server::Handle;

use super::reload::Reloader;
use super::stderr::Stderr;

/// Responses were cut: by the end of the grace period, or by a second signal.
pub(crate) const EXIT_CUT: u8 = 3;

/// Takes signals on a thread of their own from now on. All other threads have them blocked, as this one, which
/// starts those.
///
/// Until the handle is set they do what they do by default. Then the first SIGINT, SIGTERM or SIGQUIT drains, and
/// the second one exits at once. SIGHUP has the configuration file and certificates read again, and the
/// log file opened again; SIGUSR1 the log file alone. SIGUSR2 is ignored with a message.
pub(crate) fn answer_signals(
    stderr: Stderr,
    reloader: Reloader,
) -> io::Result<Arc<OnceLock<Handle>>> {
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
