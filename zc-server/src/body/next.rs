//! From one piece of a response to the next, which a file of an archive may have to be opened for.

use std::time::Instant;

use zc_core::{Fetcher, Progress, SendError};

use super::change::Change;
use super::parts::NextPart;
use super::piece::Taken;
use super::{NEEDS_OPEN, Piece, ResponseBody};
use crate::disk::{CancelToken, Key};
use crate::files::mounts::ReadPath;
use crate::files::open_file::file_named;
use crate::text::OneLine;

impl ResponseBody {
    /// Goes on to the next piece of a response of which `before` bytes had gone before this call; answers why, where it
    /// cannot.
    pub(super) fn go_on(&mut self, before: u64) -> Result<Option<Progress>, SendError> {
        Ok(match self.take_next_piece(false)? {
            Taken::Piece(()) => None,
            Taken::Nothing => {
                self.compare_unless_at_once(before);
                Some(Progress::Complete)
            }
            Taken::WouldBlock => Some(NEEDS_OPEN),
            Taken::Changed => Some(Progress::Complete),
        })
    }

    /// Goes on to the next piece, on a worker or on a thread that may wait.
    pub(super) fn take_next_piece(&mut self, may_block: bool) -> Result<Taken<()>, SendError> {
        let next = match &mut self.next_part {
            NextPart::Archive(archive) => {
                let is_over = archive.is_over();
                if may_block || !self.is_offloaded() {
                    self.compare();
                }
                if self.change.is_some() && !is_over {
                    self.is_cut_short = true;
                    return Ok(Taken::Changed);
                }
                self.next_of_archive(may_block)?
            }
            other => match other.next() {
                Some(piece) => Taken::Piece(piece),
                None => Taken::Nothing,
            },
        };
        Ok(match next {
            Taken::Piece(next) => {
                let over = std::mem::replace(&mut self.piece, next);
                self.done.add(&over);
                #[cfg(feature = "tls")]
                self.prepare_for_kernel();
                Taken::Piece(())
            }
            Taken::Nothing => Taken::Nothing,
            Taken::WouldBlock => Taken::WouldBlock,
            Taken::Changed => Taken::Changed,
        })
    }

    fn next_of_archive(&mut self, may_block: bool) -> Result<Taken<Piece>, SendError> {
        let NextPart::Archive(archive) = &mut self.next_part else {
            return Ok(Taken::Nothing);
        };
        Ok(match archive.next(may_block)? {
            Taken::Piece(next) => {
                (self.read_path, self.promise) = (next.read_path, next.promise);
                Taken::Piece(next.piece)
            }
            Taken::Changed => {
                (self.change, self.is_cut_short) = (Some(Change::Replaced), true);
                Taken::Changed
            }
            Taken::Nothing => Taken::Nothing,
            Taken::WouldBlock => Taken::WouldBlock,
        })
    }

    /// Whether a file has to be opened by a thread before anything else is sent.
    pub(super) fn awaits_open(&self) -> bool {
        matches!(&self.next_part, NextPart::Archive(archive) if archive.is_waiting())
    }

    /// The mount of what comes next, where that is another one than that of the response.
    pub(crate) fn mount(&self) -> Option<Key> {
        match &self.next_part {
            NextPart::Archive(archive) => Some(archive.mount()),
            _ => None,
        }
    }

    /// What the response is of, in backticks and followed by a colon, for a message; empty where it has no file.
    pub(crate) fn subject(&self) -> String {
        match &self.next_part {
            NextPart::Archive(archive) => format!("`{}`: ", OneLine(&archive.path())),
            _ => file_named(self.file().map(AsRef::as_ref)),
        }
    }

    /// Whether it ended before its end because a file was changed.
    pub(crate) fn is_cut_short(&self) -> bool {
        self.is_cut_short
    }

    /// Opens the file that comes next in an archive, and reads its first window.
    pub(super) fn open_and_wait(
        &mut self,
        fetcher: &Fetcher,
        token: &CancelToken,
    ) -> Option<Result<Progress, SendError>> {
        let began = Instant::now();
        let taken = self.take_next_piece(true);
        token.on_progress();
        let read = match self.read_path {
            ReadPath::Probe if taken.is_ok() => self.read_window(fetcher, token),
            _ => Ok(()),
        };
        if !token.commit() {
            return None;
        }
        self.waited(began);
        Some(match (taken, read) {
            (Err(error), _) => Err(error),
            (Ok(Taken::Changed), _) => Ok(Progress::Complete),
            (Ok(_), Ok(())) => Ok(Progress::BudgetSpent),
            (Ok(_), Err(error)) => Err(SendError::from_read_error(error)),
        })
    }
}
