//! Limits of connections that are off unless they are asked for.

use std::num::{NonZeroU32, NonZeroU64};

/// Default window of `--min-rate`: a client may rest for as long as it takes to change from one network to another.
const MIN_RATE_WINDOW_MS_DEFAULT: u64 = 30_000;

/// Limits of connections that are off unless they are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Requests that are answered on one connection.
    pub requests_max: Option<NonZeroU32>,
    /// The fewest bytes per second that a client has to take while the server waits for it.
    pub min_rate: Option<NonZeroU64>,
    /// The time over which that is measured, in milliseconds.
    pub min_rate_window_ms: u64,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            requests_max: None,
            min_rate: None,
            min_rate_window_ms: MIN_RATE_WINDOW_MS_DEFAULT,
        }
    }
}
