//! What a service manager is told, as systemd wants it
//! ([`sd_notify(3)`](https://man7.org/linux/man-pages/man3/sd_notify.3.html)).

use std::env;
use std::ffi::OsStr;
use std::fmt::Display;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use std::{io, process};

use rustix::time::{ClockId, clock_gettime};
use zc_server::Handle;

use super::stderr::Stderr;

/// How long a message waits for a manager that reads none, before it is dropped.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);
/// How often the watchdog is fed in the time that the manager waits: two messages may be late.
const FEEDINGS: u32 = 3;

/// The service manager, if there is one. Without it, nothing that is told goes anywhere.
pub(crate) struct Manager {
    socket: Option<UnixDatagram>,
    /// How long the manager waits for the watchdog to be fed; `None` where it does not.
    watchdog: Option<Duration>,
    /// Held while a message is sent, so that they come in the order of what happens.
    stage: Mutex<Stage>,
    stderr: Stderr,
}

/// How far the server has come.
enum Stage {
    Starting,
    /// What it serves, in one line.
    Serving(String),
    Stopping,
}

impl Manager {
    /// The one that `NOTIFY_SOCKET` leads to.
    pub(crate) fn from_environment(stderr: Stderr) -> Arc<Self> {
        let path = env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty());
        let socket = path.and_then(|path| {
            let connected = connect(&path);
            let unreachable = |error: &io::Error| {
                let path = path.display();
                stderr.say(format_args!(
                    "zc-server: warning: cannot reach the service manager at NOTIFY_SOCKET `{path}`: {error}; \
                     it is told nothing"
                ));
            };
            connected.inspect_err(unreachable).ok()
        });
        Arc::new(Self {
            watchdog: socket.as_ref().and_then(|_| watchdog_of_environment()),
            socket,
            stage: Mutex::new(Stage::Starting),
            stderr,
        })
    }

    /// The server listens, and serves what `serving` says. Nothing is told of one that is to end already.
    pub(crate) fn tell_ready(&self, serving: String) {
        let mut stage = self.stage();
        if !matches!(*stage, Stage::Starting) {
            return;
        }
        self.send(format_args!("READY=1\nSTATUS={serving}\n"));
        *stage = Stage::Serving(serving);
    }

    /// The configuration is about to be read again.
    pub(crate) fn tell_reloading(&self) {
        let stage = self.stage();
        if !matches!(*stage, Stage::Serving(_)) {
            return;
        }
        let now = clock_gettime(ClockId::Monotonic);
        let now_us = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.send(format_args!(
            "RELOADING=1\nMONOTONIC_USEC={now_us}\nSTATUS=reading the configuration again\n"
        ));
    }

    /// It was read, and `said` is what came of it.
    pub(crate) fn tell_reloaded(&self, said: &str) {
        match &*self.stage() {
            Stage::Serving(serving) => {
                self.send(format_args!("READY=1\nSTATUS={serving}; {said}\n"));
            }
            Stage::Starting | Stage::Stopping => {}
        }
    }

    /// The end was asked for, and `status` is what is to come.
    pub(crate) fn tell_stopping(&self, status: impl Display) {
        let mut stage = self.stage();
        *stage = Stage::Stopping;
        self.send(format_args!("STOPPING=1\nSTATUS={status}\n"));
    }

    /// Feeds the watchdog from now on, on a thread of its own, if the manager has one: each time when every worker and
    /// the admin listener have answered, so that one which is stuck is noticed.
    pub(crate) fn start_watchdog(self: &Arc<Self>, handle: &Handle) -> io::Result<()> {
        let Some(limit) = self.watchdog else {
            return Ok(());
        };
        let (manager, handle) = (Arc::clone(self), handle.clone());
        thread::Builder::new()
            .name("zc-watchdog".to_owned())
            .spawn(move || manager.feed(&handle, limit / FEEDINGS))?;
        Ok(())
    }

    /// Never ends: the process does.
    fn feed(&self, handle: &Handle, period: Duration) {
        loop {
            let asked = Instant::now();
            let ping = handle.ping();
            if !ping.is_answered_within(period) {
                self.stderr.say(format_args!(
                    "zc-server: a worker has not turned for {period:?}; the watchdog is not fed until it does"
                ));
                while !ping.is_answered_within(period) {}
            }
            self.send("WATCHDOG=1\n");
            thread::sleep(period.saturating_sub(asked.elapsed()));
        }
    }

    fn send(&self, message: impl Display) {
        let Some(socket) = &self.socket else {
            return;
        };
        if let Err(error) = socket.send(message.to_string().as_bytes()) {
            self.stderr.say(format_args!(
                "zc-server: warning: the service manager was not told: {error}"
            ));
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name that begins with `@` is in the abstract namespace.
fn connect(path: &OsStr) -> io::Result<UnixDatagram> {
    let address = match path.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(path)?,
        _ => {
            let reason = "not a Unix-domain socket, which begins with / or @";
            return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
        }
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND_TIMEOUT))?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

/// What `WATCHDOG_USEC` says, if that is for this process.
fn watchdog_of_environment() -> Option<Duration> {
    let number = |name| env::var(name).ok()?.parse::<u64>().ok();
    let is_for_another = number("WATCHDOG_PID").is_some_and(|pid| pid != u64::from(process::id()));
    let limit_us = number("WATCHDOG_USEC").filter(|&us| us > 0 && !is_for_another)?;
    Some(Duration::from_micros(limit_us))
}
