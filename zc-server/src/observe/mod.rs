//! Output for the operator: the access log on standard output, and warnings on standard error.

pub(crate) mod access_log;
pub(crate) mod diagnostics;
mod faults;
pub(crate) mod format;
pub(crate) mod record;
