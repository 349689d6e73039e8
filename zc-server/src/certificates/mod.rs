//! Certificates and their keys: loaded, checked, chosen by name, and read again when their files change.
//!
//! [`Acceptor::current`] is what a handshake is made with. Files are read at the start, where everything that is
//! wrong with them is an error. Later a pair that is wrong leaves the earlier one in use: the server goes on.

mod by_name;
mod error;
mod key_log;
mod load;
mod pair;
mod pem;
mod self_signed;
mod watch;

use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::ServerConfig;

use crate::config::tls::Tls;
use crate::observe::diagnostics::Diagnostics;
pub use error::{CertificateError, CertificateWarning};
use load::{Loaded, Sources};
use watch::Watch;

/// How often it is looked whether files have changed.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Why HTTPS does not start.
#[derive(Debug)]
pub(crate) enum AcceptorError {
    Certificate(CertificateError),
    /// A thread could not be started, or there are no random numbers.
    Io(io::Error),
}

/// What handshakes are made with. The thread that looks at the files ends with it.
#[derive(Debug)]
pub(crate) struct Acceptor {
    shared: Arc<Shared>,
    warnings: Vec<CertificateWarning>,
    _watch: Watch,
}

#[derive(Debug)]
struct Shared {
    current: RwLock<Arc<ServerConfig>>,
    /// What `current` was made of. Whoever reads files holds it.
    state: Mutex<State>,
    diagnostics: Diagnostics,
}

#[derive(Debug)]
struct State {
    sources: Sources,
    loaded: Loaded,
    /// The files as they were before `loaded` was read.
    stamps: Vec<Option<pem::Stamp>>,
    failing: Option<Failing>,
    /// The warnings of expiry that were said last: each changes once a day.
    expiring: Vec<CertificateWarning>,
}

/// What the next handshakes are to be made with.
#[derive(Debug)]
pub(crate) struct Prepared {
    config: ServerConfig,
    sources: Sources,
    stamps: Vec<Option<pem::Stamp>>,
    loaded: Loaded,
}

/// What was wrong with files when they were read last.
#[derive(Debug)]
struct Failing {
    lines: Vec<String>,
    is_said: bool,
}

impl Acceptor {
    /// Reads the files, and begins to look whether they change.
    pub(crate) fn start(tls: &Tls, diagnostics: Diagnostics) -> Result<Self, AcceptorError> {
        Self::start_looking(tls, diagnostics, LOOK_INTERVAL)
    }

    fn start_looking(
        tls: &Tls,
        diagnostics: Diagnostics,
        interval: Duration,
    ) -> Result<Self, AcceptorError> {
        let now = now();
        let sources = Sources::new(tls).map_err(AcceptorError::Certificate)?;
        let stamps = sources.stamps();
        let loaded = sources.load(now)?;
        let expiring = loaded.expiry_warnings(now);
        let mut warnings = sources.warnings();
        warnings.extend(expiring.iter().cloned());
        let config = Arc::new(sources.server_config(&loaded)?);
        let shared = Arc::new(Shared {
            current: RwLock::new(config),
            state: Mutex::new(State {
                sources,
                loaded,
                stamps,
                failing: None,
                expiring,
            }),
            diagnostics,
        });
        let looking = Arc::clone(&shared);
        let watch = Watch::start(interval, move || looking.look(self::now()));
        Ok(Self {
            shared,
            warnings,
            _watch: watch.map_err(AcceptorError::Io)?,
        })
    }

    /// The configuration for the next handshake. What has begun goes on with the one that it began with.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        let current = self.shared.current.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads all files again. A pair that is wrong stays as it was. What came of it is said.
    ///
    /// # Errors
    ///
    /// What is wrong with each file.
    pub(crate) fn reload(&self) -> Result<(), Vec<CertificateError>> {
        self.shared.reload(now())
    }

    /// Reads what `tls` says in place of what it said before: certificates, authorities, the lowest version. What has
    /// not changed stays, with the tickets of clients. Nothing is used until [`install`](Self::install).
    pub(crate) fn prepare(&self, tls: &Tls) -> Result<Prepared, AcceptorError> {
        let now = now();
        let state = self.shared.state();
        let sources = state.sources.with(tls);
        let stamps = sources.stamps();
        let loaded = sources.load_beside(&state.sources, &state.loaded, now)?;
        Ok(Prepared {
            config: sources.server_config(&loaded)?,
            sources,
            stamps,
            loaded,
        })
    }

    /// Makes the next handshakes with what was prepared.
    pub(crate) fn install(&self, prepared: Prepared) {
        let Prepared {
            config,
            sources,
            stamps,
            loaded,
        } = prepared;
        let mut state = self.shared.state();
        let before: Vec<String> = state.loaded.pairs.iter().map(fingerprint).collect();
        self.shared.set_current(config);
        *state = State {
            sources,
            stamps,
            loaded,
            failing: None,
            expiring: Vec::new(),
        };
        for pair in &state.loaded.pairs {
            if !before.contains(&fingerprint(pair)) {
                self.shared.diagnostics.warn(pair.renewal());
            }
        }
    }

    /// What the operator should know, as of the start.
    pub(crate) fn warnings(&self) -> &[CertificateWarning] {
        &self.warnings
    }

    /// The SHA-256 of each certificate in DER, as browsers and `openssl x509 -fingerprint -sha256` show it.
    pub(crate) fn fingerprints(&self) -> Vec<String> {
        let state = self.shared.state();
        state.loaded.pairs.iter().map(fingerprint).collect()
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reload(&self, now: u64) -> Result<(), Vec<CertificateError>> {
        let mut state = self.state();
        let (errors, renewed) = self.read_again(&mut state, now);
        if errors.is_empty() && renewed == 0 {
            let line = "HTTPS: the certificates were read again; none has changed";
            self.diagnostics.warn(line.to_owned());
        }
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        self.say_errors(&lines);
        state.failing = (!lines.is_empty()).then_some(Failing {
            lines,
            is_said: true,
        });
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }

    /// Reads the files if one has changed, or was wrong. An error is said when it is found a second time in a row:
    /// a certificate and its key are seldom replaced in the same instant.
    fn look(&self, now: u64) {
        let mut state = self.state();
        let is_changed = state.sources.stamps() != state.stamps;
        if is_changed || state.failing.is_some() || state.sources.is_old(&state.loaded, now) {
            let (errors, _) = self.read_again(&mut state, now);
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            let before = state.failing.take();
            let is_said = match &before {
                Some(before) if before.lines == lines => {
                    if !before.is_said {
                        self.say_errors(&lines);
                    }
                    true
                }
                _ => false,
            };
            state.failing = (!lines.is_empty()).then_some(Failing { lines, is_said });
        }
        let expiring = state.loaded.expiry_warnings(now);
        for warning in &expiring {
            if !state.expiring.contains(warning) {
                self.diagnostics.warn(format!("warning: {warning}"));
            }
        }
        state.expiring = expiring;
    }

    /// Reads all files. What is right is used from now on. The second value counts the certificates that are new.
    fn read_again(&self, state: &mut State, now: u64) -> (Vec<CertificateError>, usize) {
        // Before they are read: what changes meanwhile is read again at the next look.
        state.stamps = state.sources.stamps();
        let before: Vec<String> = state.loaded.pairs.iter().map(fingerprint).collect();
        let errors = state.sources.load_again(&mut state.loaded, now);
        match state.sources.server_config(&state.loaded) {
            Ok(config) => self.set_current(config),
            // What it is made of is checked already.
            Err(AcceptorError::Certificate(error)) => self.diagnostics.warn(error.to_string()),
            Err(AcceptorError::Io(error)) => self.diagnostics.warn(format!("HTTPS: {error}")),
        }
        let mut renewed = 0;
        for (pair, before) in state.loaded.pairs.iter().zip(before) {
            if fingerprint(pair) != before {
                renewed += 1;
                self.diagnostics.warn(pair.renewal());
            }
        }
        (errors, renewed)
    }

    fn set_current(&self, config: ServerConfig) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(config);
    }

    fn say_errors(&self, lines: &[String]) {
        for line in lines {
            let line = format!("HTTPS: {line}; until then the earlier one is used");
            self.diagnostics.warn(line);
        }
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn fingerprint(pair: &pair::Pair) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, pair.leaf());
    let bytes = digest.as_ref().iter().map(|byte| format!("{byte:02X}"));
    bytes.collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests;
