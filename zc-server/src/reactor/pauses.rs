//! Responses that have spent what `--limit-rate` lets them send: they wait for a wheel of their own, whose ticks are
//! shorter than those of deadlines. There is none before the first of them.

use mio::Token;

use super::Reactor;
use crate::reactor::timer::Wheel;

/// One tick, in milliseconds. The wheel reaches further than a pause is long.
const PAUSE_TICK_MS: u64 = 10;

impl Reactor {
    /// Has a connection looked at again at the end of its pause.
    pub(super) fn pause(&mut self, token: Token, until_ms: u64) {
        let now_ms = self.worker.now_ms;
        let pauses = &mut self.pauses;
        let wheel = pauses.get_or_insert_with(|| Wheel::with_tick(now_ms, PAUSE_TICK_MS));
        wheel.schedule(token, until_ms);
    }

    /// Has those go on whose pauses are over. `over` is memory.
    pub(super) fn end_pauses(&mut self, over: &mut Vec<Token>) {
        let Some(wheel) = &mut self.pauses else {
            return;
        };
        wheel.expire(self.worker.now_ms, over);
        for token in over.drain(..) {
            self.end_pause(token);
        }
    }

    fn end_pause(&mut self, token: Token) {
        let now_ms = self.worker.now_ms;
        let Some(slot) = self.slots.get_mut(token) else {
            return;
        };
        // It was woken already, or has another pause by now.
        if slot
            .connection
            .pause_end_ms()
            .is_none_or(|end_ms| end_ms > now_ms)
        {
            return;
        }
        self.worker.token = token;
        let turn = slot.connection.on_deadline(&mut self.worker);
        self.after_turn(token, turn);
    }
}
