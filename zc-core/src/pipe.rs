//! Pipes to splice through. Their number is bounded. Empty pipes are reused, others are closed.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The size requested for each pipe of [`PipePool::default`], in bytes: 1 MiB.
///
/// Measured: a pipe of 1 MiB moves a file at the CPU cost of `sendfile(2)`, a pipe of the kernel's default
/// size, 64 KiB, at twice that. 1 MiB is also the most that `/proc/sys/fs/pipe-max-size` allows a program
/// without privileges by default.
pub const PIPE_BYTES_DEFAULT: usize = 1024 * 1024;

/// The most pipes of [`PipePool::default`]: 32, or 32 MiB when all are full.
///
/// Linux allows the pipes of one user 16,384 pages (`/proc/sys/fs/pipe-user-pages-soft`), which is 64 pipes
/// of [`PIPE_BYTES_DEFAULT`]; beyond that, a new pipe has two pages. Half of that is left to the user's
/// other programs. A pipe is needed only while bytes are in it, not for each connection.
pub const PIPES_MAX_DEFAULT: usize = 32;

/// A bounded set of pipes, shared by transfers. A clone is another handle of the same set.
#[derive(Debug, Clone)]
pub struct PipePool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pipes_max: usize,
    pipe_bytes: usize,
    pipes: Mutex<Pipes>,
}

/// Invariant: `idle.len() + lent <= pipes_max`.
#[derive(Debug, Default)]
struct Pipes {
    /// Empty pipes.
    idle: Vec<Arc<Ends>>,
    lent: usize,
}

#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
    capacity: u64,
}

/// A pipe lent by a [`PipePool`]; dropping it gives it back.
///
/// Only an empty pipe is lent again. A pipe with bytes in it is closed when it is dropped: the bytes are
/// lost, and no other transfer sees them.
#[derive(Debug)]
pub struct PooledPipe {
    ends: Arc<Ends>,
    /// Bytes in the pipe. Invariant: every splice into and out of it is counted here.
    pub(crate) pending: u64,
    // Fields are dropped in this order: the place becomes free when the descriptors are closed.
    lease: Lease,
}

/// The place of one lent pipe in its pool.
#[derive(Debug)]
struct Lease {
    shared: Arc<Shared>,
    /// The pipe was returned, and its place with it.
    returned: bool,
}

impl PipePool {
    /// A pool of at most `pipes_max` pipes of `pipe_bytes` bytes each. No pipe is made yet.
    ///
    /// The kernel rounds the size up to a power of two pages. Where its limits refuse the size, half of it is
    /// tried, and so on; [`PooledPipe::capacity`] is the result.
    #[must_use]
    pub fn new(pipes_max: usize, pipe_bytes: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                pipes_max,
                pipe_bytes,
                pipes: Mutex::default(),
            }),
        }
    }

    /// A pool of one pipe, for a transfer that was given no pool.
    pub(crate) fn single() -> Self {
        Self::new(1, PIPE_BYTES_DEFAULT)
    }

    /// Lends an idle pipe, or makes one.
    ///
    /// # Errors
    ///
    /// * `ResourceBusy`: all pipes that the pool may have are lent; try later, or copy.
    /// * `EMFILE`, `ENFILE`: the process or the system has no descriptors left.
    ///
    /// See [`pipe(2)`](https://man7.org/linux/man-pages/man2/pipe.2.html) and `F_SETPIPE_SZ` in
    /// [`fcntl(2)`](https://man7.org/linux/man-pages/man2/fcntl.2.html).
    pub fn take(&self) -> io::Result<PooledPipe> {
        let mut pipes = self.shared.lock();
        if let Some(ends) = pipes.idle.pop() {
            pipes.lent += 1;
            drop(pipes);
            return Ok(PooledPipe {
                ends,
                pending: 0,
                lease: self.lease(),
            });
        }
        if pipes.lent >= self.shared.pipes_max {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("all {} pipes of the pool are in use", self.shared.pipes_max),
            ));
        }
        // The place is taken before the pipe is made, so that the lock is not held meanwhile.
        pipes.lent += 1;
        drop(pipes);
        let lease = self.lease();
        let ends = Arc::new(Ends::new(self.shared.pipe_bytes)?);
        Ok(PooledPipe {
            ends,
            pending: 0,
            lease,
        })
    }

    /// How many empty pipes wait to be lent.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.shared.lock().idle.len()
    }

    /// How many pipes there are, idle or lent; each has two descriptors.
    #[must_use]
    pub fn alive(&self) -> usize {
        let pipes = self.shared.lock();
        pipes.idle.len() + pipes.lent
    }

    /// For a place that was counted as lent.
    fn lease(&self) -> Lease {
        Lease {
            shared: Arc::clone(&self.shared),
            returned: false,
        }
    }
}

impl Default for PipePool {
    /// A pool of [`PIPES_MAX_DEFAULT`] pipes of [`PIPE_BYTES_DEFAULT`] bytes.
    fn default() -> Self {
        Self::new(PIPES_MAX_DEFAULT, PIPE_BYTES_DEFAULT)
    }
}

impl PooledPipe {
    /// The size of the pipe, in bytes. A part of a page occupies a whole page of it.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.ends.capacity
    }

    /// Bytes that are in the pipe now.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.pending
    }

    pub(crate) fn read_end(&self) -> impl AsFd {
        self.ends.read.as_fd()
    }

    pub(crate) fn write_end(&self) -> impl AsFd {
        self.ends.write.as_fd()
    }
}

impl Drop for PooledPipe {
    fn drop(&mut self) {
        if self.pending == 0 {
            // The pool's handle keeps the descriptors open when this one goes.
            let mut pipes = self.lease.shared.lock();
            pipes.idle.push(Arc::clone(&self.ends));
            pipes.lent -= 1;
            drop(pipes);
            self.lease.returned = true;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.returned {
            self.shared.lock().lent -= 1;
        }
    }
}

impl Shared {
    /// Nothing panics while the lock is held, so a poisoned one guards counts that are right.
    fn lock(&self) -> MutexGuard<'_, Pipes> {
        self.pipes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ends {
    fn new(bytes: usize) -> io::Result<Self> {
        let (read, write, capacity) = crate::platform::pipe(bytes)?;
        Ok(Self {
            read,
            write,
            capacity,
        })
    }
}

#[cfg(all(test, target_os = "linux", not(feature = "portable")))]
mod tests {
    use super::*;
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::sys::stat::fstat;

    /// True while a descriptor of this process refers to the pipe with this inode number.
    fn is_open(inode: u64) -> bool {
        let name = format!("pipe:[{inode}]");
        std::fs::read_dir("/proc/self/fd")
            .expect("procfs")
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .any(|target| target.as_os_str() == name.as_str())
    }

    fn inode(pipe: &PooledPipe) -> u64 {
        fstat(&pipe.ends.read).expect("a pipe").st_ino
    }

    #[test]
    fn a_clean_pipe_is_reused_and_a_dirty_one_is_closed() {
        let pool = PipePool::new(1, 65_536);
        let mut pipe = pool.take().expect("a pipe");
        let number = inode(&pipe);
        drop(pipe);
        assert!(is_open(number));

        pipe = pool.take().expect("the same pipe");
        assert_eq!(inode(&pipe), number);
        nix::unistd::write(&pipe.ends.write, b"secret").expect("room");
        pipe.pending = 6;
        drop(pipe);
        assert!(!is_open(number), "the bytes are gone with it");
        assert_eq!((pool.alive(), pool.idle()), (0, 0));

        pipe = pool.take().expect("the place is free again");
        assert_ne!(inode(&pipe), number);
    }

    #[test]
    fn the_size_is_what_the_kernel_says() {
        // The last is more than any kernel gives: halving ends at what it does give.
        for asked in [1, 4096, 70_000, PIPE_BYTES_DEFAULT, usize::MAX] {
            let pipe = PipePool::new(1, asked).take().expect("a pipe of some size");
            let size = fcntl(&pipe.ends.read, FcntlArg::F_GETPIPE_SZ).expect("a pipe");
            assert_eq!(pipe.capacity(), u64::try_from(size).expect("positive"));
            assert!(pipe.capacity() >= 4096);
        }
    }

    #[test]
    fn both_ends_close_on_exec() {
        let pipe = PipePool::default().take().expect("a pipe");
        for end in [&pipe.ends.read, &pipe.ends.write] {
            let flags = fcntl(end, FcntlArg::F_GETFD).expect("open");
            assert_eq!(flags & nix::libc::FD_CLOEXEC, nix::libc::FD_CLOEXEC);
        }
    }
}
