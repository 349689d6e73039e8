//! Output for the operator: the access log on standard output, and warnings on standard error.

pub(crate) mod access_log;
pub(crate) mod diagnostics;
pub(crate) mod format;
#[cfg(feature = "tls")]
mod handshakes;
pub(crate) mod record;
