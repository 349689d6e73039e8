//! Who may ask by a password: the users of a file, the field `Authorization`, and what is remembered of it.
//!
//! A password is checked by a thread, because that takes a good part of a second of a processor by design. What came
//! of it is remembered for a while, so that a client which asks often pays once.

mod basic;
mod bcrypt;
mod htpasswd;
mod memory;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use zc_http::Headers;

pub(crate) use basic::Credentials;
pub(crate) use htpasswd::FileError;
use htpasswd::Users;
use memory::{Claim, Memory};

/// The longest file of users, in bytes: more than a hundred thousand users.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Permission to read for everybody.
const READABLE_BY_ALL: u32 = 0o004;

/// The name of a user, as the file has it.
pub(crate) type User = Arc<str>;

/// What a request is told about its credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Granted(User),
    Denied,
}

/// What is known of the credentials of a request.
#[derive(Debug)]
pub(crate) enum Known {
    Verdict(Verdict),
    /// A thread has to check them.
    Nothing(Credentials),
}

/// How often a password was checked, whatever was remembered.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    granted: AtomicU64,
    denied: AtomicU64,
}

impl Checks {
    fn count(&self, verdict: &Verdict) {
        let counter = match verdict {
            Verdict::Granted(_) => &self.granted,
            Verdict::Denied => &self.denied,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn granted(&self) -> u64 {
        self.granted.load(Ordering::Relaxed)
    }

    pub(crate) fn denied(&self) -> u64 {
        self.denied.load(Ordering::Relaxed)
    }
}

/// The users of one file, and what is remembered of their passwords.
#[derive(Debug)]
pub(crate) struct Gate {
    path: PathBuf,
    users: Users,
    memory: Memory,
    is_public: bool,
}

impl Gate {
    /// Reads the file at `path`. It waits for the disk.
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
        let unreadable = |error: io::Error| FileError::unreadable(path, error);
        // Opening a FIFO would wait for its writer.
        let mut options = File::options();
        options.read(true).custom_flags(nix::libc::O_NONBLOCK);
        let file = options.open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(unreadable(io::Error::other("it is no regular file")));
        }
        let mut bytes = Vec::new();
        let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
        read.map_err(unreadable)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(unreadable(io::ErrorKind::FileTooLarge.into()));
        }
        Ok(Self {
            path: path.to_owned(),
            users: Users::parse(&bytes).map_err(|fault| FileError::of(path, fault))?,
            memory: Memory::new().map_err(unreadable)?,
            is_public: metadata.permissions().mode() & READABLE_BY_ALL != 0,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether every user of this machine may read the file.
    pub(crate) fn is_public(&self) -> bool {
        self.is_public
    }

    /// What is known of the credentials in these fields. Without any, or with ones that cannot be read, nobody is
    /// let in.
    pub(crate) fn ask(&self, headers: &Headers<'_>) -> Known {
        let Some(credentials) = Credentials::from_headers(headers) else {
            return Known::Verdict(Verdict::Denied);
        };
        match self.memory.recall(&credentials) {
            Some(verdict) => Known::Verdict(verdict),
            None => Known::Nothing(credentials),
        }
    }

    /// Checks a password, unless another thread just does, or has done: that is waited for. Only for a thread that
    /// may take its time.
    pub(crate) fn check(&self, credentials: &Credentials, checks: &Checks) -> Verdict {
        match self.memory.claim(credentials) {
            Claim::Known(verdict) => verdict,
            Claim::Ours(claimed) => {
                let verdict = self.users.check(credentials);
                checks.count(&verdict);
                claimed.settle(&verdict);
                verdict
            }
        }
    }
}
