//! A response that is read into memory, because its bytes are sealed on their way.

use std::time::Instant;

use zc_core::{Progress, SendError, Slots};

use super::ResponseBody;
use super::piece::Taken;
use crate::disk::CancelToken;

/// How much a thread reads at a time of a response that nothing but a thread may read, in bytes.
const FILL_BYTES: usize = 256 * 1024;
/// How much it reads before it tells that it has come further.
const FILL_PROGRESS_BYTES: usize = 64 * 1024;

/// What a thread has read of a response.
#[derive(Debug, Default)]
pub(super) struct Filled {
    bytes: Vec<u8>,
    /// How many of the bytes were taken.
    taken: usize,
}

impl Filled {
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    fn put_into(&mut self, slots: &mut Slots<'_, '_>) {
        self.taken += slots.put(self.rest());
        if self.rest().is_empty() {
            *self = Self::default();
        }
    }
}

impl ResponseBody {
    /// As [`advance`](Self::advance), into `slots` in place of a socket: they are full when it answers
    /// [`Progress::BudgetSpent`].
    pub(crate) fn read(&mut self, slots: &mut Slots<'_, '_>) -> Result<Progress, SendError> {
        let before = self.accepted();
        loop {
            self.filled.put_into(slots);
            if slots.is_full() {
                return Ok(Progress::BudgetSpent);
            }
            if self.is_offloaded()
                && let Some(range) = self.next_window()
            {
                return Ok(Progress::NeedsDisk(range));
            }
            self.set_quiet();
            match self.piece.read(slots)? {
                Progress::Complete => {}
                stopped => return Ok(stopped),
            }
            if let Some(stopped) = self.go_on(before)? {
                return Ok(stopped);
            }
        }
    }

    /// The socket was given what was read and sealed.
    pub(crate) fn count_write(&mut self, was_full: bool) {
        self.done.writes += 1;
        self.done.would_blocks += u64::from(was_full);
    }

    /// Reads what comes next, on a thread that may wait for the disk, and commits the job; `None` when it was
    /// cancelled. The worker takes it by [`read`](Self::read).
    pub(crate) fn fill_and_wait(
        &mut self,
        token: &CancelToken,
    ) -> Option<Result<Progress, SendError>> {
        let began = Instant::now();
        if self.awaits_open() {
            let taken = self.take_next_piece(true);
            if !token.commit() {
                return None;
            }
            self.waited(began);
            return Some(match taken {
                Err(error) => Err(error),
                Ok(Taken::Changed) => Ok(Progress::Complete),
                Ok(_) => Ok(Progress::BudgetSpent),
            });
        }
        let has_begun = self.accepted() > 0;
        let mut bytes = vec![0; FILL_BYTES];
        let mut filled = 0;
        let mut answer = Ok(Progress::BudgetSpent);
        for piece in bytes.chunks_mut(FILL_PROGRESS_BYTES) {
            let mut pieces = [piece];
            let mut slots = Slots::new(&mut pieces);
            answer = self.piece.read(&mut slots);
            // At most as many as the piece has.
            filled += slots.filled() as usize;
            token.on_progress();
            if !matches!(answer, Ok(Progress::BudgetSpent)) {
                break;
            }
        }
        if !token.commit() {
            return None;
        }
        self.waited(began);
        if filled == 0 {
            return Some(answer);
        }
        bytes.truncate(filled);
        self.filled = Filled { bytes, taken: 0 };
        let has_read = self.report().is_some_and(|report| report.copy.bytes > 0);
        match answer {
            // A head alone is not sent: the client can be told yet.
            Err(error) if !has_begun && !has_read => Some(Err(error)),
            // Why it stopped is told again when this is sent.
            _ => Some(Ok(Progress::BudgetSpent)),
        }
    }
}
