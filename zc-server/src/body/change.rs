//! Whether a file was changed while it was sent.

use std::fmt;

use crate::files::file_state::FileState;
use crate::files::open_file::FileHandle;

/// What the head of a response has said of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Promise {
    length: u64,
    mtime_ns: i128,
}

/// How a file was changed while it was sent. The client may have got bytes of two versions, or zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is shorter than it was. Bytes that are in the socket may be zeros by now.
    Cut,
    /// It was written to, and is as long as it was.
    Overwritten,
    /// It is another one than when the archive that it is in was begun, or it is gone.
    Replaced,
}

impl Promise {
    /// That of a head made from `state`.
    pub(crate) fn of(state: &FileState) -> Self {
        Self {
            length: state.length,
            mtime_ns: state.mtime_ns,
        }
    }

    /// How `file` was changed since, by one `fstat(2)`. A file that is longer counts as appended to, which
    /// leaves what was promised as it is.
    pub(super) fn broken_by(&self, file: &FileHandle) -> Option<Change> {
        self.compare(&FileState::from_file(file).ok()?)
    }

    fn compare(&self, now: &FileState) -> Option<Change> {
        if now.length < self.length {
            Some(Change::Cut)
        } else if now.length == self.length && now.mtime_ns != self.mtime_ns {
            Some(Change::Overwritten)
        } else {
            None
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cut => "the file was cut while it was sent",
            Self::Overwritten => "the file was overwritten while it was sent",
            Self::Replaced => "the file was changed, or is gone, since the archive was begun",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_and_new_metadata_leave_the_promise_as_it_is() {
        let state = |length, mtime_ns, ctime_ns| FileState {
            device: 1,
            inode: 2,
            length,
            mtime_ns,
            ctime_ns,
        };
        let promise = Promise::of(&state(100, 5, 5));
        for (now, expected) in [
            (state(100, 5, 5), None),
            (state(100, 5, 6), None),
            (state(101, 6, 6), None),
            (state(100, 6, 6), Some(Change::Overwritten)),
            (state(100, 4, 6), Some(Change::Overwritten)),
            (state(99, 6, 6), Some(Change::Cut)),
            (state(99, 5, 6), Some(Change::Cut)),
        ] {
            assert_eq!(promise.compare(&now), expected, "{now:?}");
        }
    }
}
