//! Output for the operator: the access log on standard output, warnings on standard error, and what the metrics
//! count.

pub(crate) mod access_log;
pub(crate) mod counters;
pub(crate) mod diagnostics;
mod faults;
pub(crate) mod format;
pub(crate) mod record;
