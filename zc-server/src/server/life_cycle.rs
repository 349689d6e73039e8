//! The end of a server: asked for, and waited for.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Handle;
use crate::config::Config;
use crate::reactor::EndTimes;

/// A worker that ends for whatever reason, a panic included, takes the others with it: a server
/// that answers on some of its listeners only is worse than none.
pub(super) struct StopOnExit(pub(super) Handle);

impl Drop for StopOnExit {
    fn drop(&mut self) {
        self.0.end_in(0);
    }
}

/// How long the end takes by this configuration.
pub(super) fn end_times(config: &Config) -> EndTimes {
    EndTimes {
        drain_delay_ms: config.drain_delay_ms,
        grace_ms: config.grace_ms,
    }
}

impl Handle {
    /// Begins the end of the server: `/readyz` fails at once. For as long as
    /// [`drain_delay_ms`](Config::drain_delay_ms) says, connections are accepted and requests answered, each with
    /// `Connection: close`. Then listeners and idle connections close, and responses under way have the grace
    /// period. Calling it again changes nothing.
    pub fn stop(&self) {
        self.end_in(self.shared.drain_delay_ms.load(Ordering::Relaxed));
    }

    /// How long connections are accepted although the end was asked for.
    #[must_use]
    pub fn drain_delay(&self) -> Duration {
        Duration::from_millis(self.shared.drain_delay_ms.load(Ordering::Relaxed))
    }

    fn end_in(&self, delay_ms: u64) {
        self.shared.process.ready.store(false, Ordering::Release);
        self.shared.drain_in(delay_ms);
        for waker in self.wakers.iter() {
            // It fails only when the worker's epoll instance is gone, and then nobody needs waking.
            let _ = waker.wake();
        }
    }

    /// What is left of the grace period, once the workers have ended.
    pub(super) fn grace_left(&self) -> Duration {
        let shared = &self.shared;
        let now_ms = shared.now_ms();
        let began_ms = shared.drain_at_ms().unwrap_or(now_ms);
        let grace_ms = shared.grace_ms.load(Ordering::Relaxed);
        Duration::from_millis(grace_ms.saturating_sub(now_ms.saturating_sub(began_ms)))
    }
}
