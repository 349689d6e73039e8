//! What the operator sees: the access log and the diagnostics.

pub(crate) mod access_log;
pub(crate) mod diagnostics;
pub(crate) mod format;
pub(crate) mod record;
