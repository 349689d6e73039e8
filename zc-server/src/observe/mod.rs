//! Output for the operator: the access log on standard output, warnings on standard error, and what the metrics
//! count.

pub(crate) mod access_log;
pub(crate) mod counters;
pub(crate) mod diagnostics;
pub(crate) mod format;
#[cfg(feature = "tls")]
mod handshakes;
pub(crate) mod record;
