//! The one place with `unsafe`: system calls that nix does not wrap, each safe to call.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::OnceLock;

use nix::libc;

/// Bytes in the send queue of the socket `sink` that its peer has not acknowledged yet.
///
/// A sink that accepts nothing now may still be draining: a queue that is shorter than before means that a
/// slow peer makes progress.
///
/// # Errors
///
/// `EINVAL` or `ENOTTY` when `sink` is not a stream socket. See `SIOCOUTQ` in
/// [`tcp(7)`](https://man7.org/linux/man-pages/man7/tcp.7.html).
pub fn send_queue_bytes(sink: impl AsFd) -> io::Result<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: SIOCOUTQ (TIOCOUTQ is another name of the same number) writes one `int` through its
    // argument. The pointer is to `bytes`, an `int` that outlives the call and that nothing else uses.
    let answer = unsafe { libc::ioctl(sink.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// Has the kernel hold back new connections of a listening socket until their first bytes arrive, for about
/// `seconds`; after that they are accepted without. 0 turns it off.
///
/// # Errors
///
/// `ENOPROTOOPT` or `ENOTSOCK` when `listener` is not a TCP socket. See `TCP_DEFER_ACCEPT` in
/// [`tcp(7)`](https://man7.org/linux/man-pages/man7/tcp.7.html).
pub fn set_defer_accept(listener: impl AsFd, seconds: u16) -> io::Result<()> {
    set_tcp_option(listener, libc::TCP_DEFER_ACCEPT, seconds.into())
}

/// Corks the socket `sink`, which then holds back a segment that is not full, or uncorks it.
///
/// # Errors
///
/// `ENOTSOCK`, `ENOPROTOOPT` or `EOPNOTSUPP` when `sink` is not a TCP socket. See `TCP_CORK` in
/// [`tcp(7)`](https://man7.org/linux/man-pages/man7/tcp.7.html).
pub(crate) fn set_cork(sink: impl AsFd, holds_back: bool) -> io::Result<()> {
    set_tcp_option(sink, libc::TCP_CORK, holds_back.into())
}

/// Sets an option whose value is an `int`, by [`setsockopt(2)`](https://man7.org/linux/man-pages/man2/setsockopt.2.html).
fn set_tcp_option(socket: impl AsFd, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the kernel reads at most as many bytes through the pointer as the length says, and keeps
    // no pointer. The pointer is to `value`, which outlives the call, and the length is its size.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Reads into `buffer` from `offset` of `file`, as far as the bytes are in memory. Never waits for the disk.
///
/// The file position is neither used nor moved. The answer may be short, and 0 at the end of the
/// file. One system call.
///
/// # Errors
///
/// * `EAGAIN`: the first byte is not in the page cache.
/// * `EOPNOTSUPP`, `ENOSYS`, `EINVAL`: the filesystem or the kernel does not support it.
/// * `EOVERFLOW`: `offset` does not fit a signed 64-bit number.
///
/// See `RWF_NOWAIT` in [`preadv2(2)`](https://man7.org/linux/man-pages/man2/readv.2.html).
pub(crate) fn preadv2_nowait(file: impl AsFd, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let vector = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: the vector is `buffer`, which is borrowed mutably: it may be written to for its whole
    // length until the call returns.
    unsafe { preadv2(file, &[vector], offset) }
}

/// Reads `bytes` of `file` from `offset` on, as [`preadv2_nowait`] does, and throws them away: each piece
/// overwrites the one before it in `scratch`. The answer is how many were in memory. `bytes` above
/// `1024 * scratch.len()` are not read.
///
/// # Errors
///
/// As of [`preadv2_nowait`].
pub(crate) fn preadv2_nowait_discarding(
    file: impl AsFd,
    scratch: &mut [u8],
    offset: u64,
    bytes: usize,
) -> io::Result<usize> {
    const VECTORS_MAX: usize = libc::UIO_MAXIOV as usize;
    let start = scratch.as_mut_ptr();
    let piece = |index: usize| libc::iovec {
        iov_base: start.cast(),
        iov_len: scratch.len().min(bytes - index * scratch.len()),
    };
    let pieces = bytes.div_ceil(scratch.len().max(1)).min(VECTORS_MAX);
    let vectors: Vec<_> = (0..pieces).map(piece).collect();
    // SAFETY: each vector begins where `scratch` does and is no longer. `scratch` is borrowed mutably: it may
    // be written to, as often as the kernel likes, until the call returns.
    unsafe { preadv2(file, &vectors, offset) }
}

/// Probes the byte of `file` at `offset`, as [`preadv2_nowait`] does. Where it is absent, the kernel
/// begins to read `bytes` from there on, in one request. True when it is in memory; the bytes behind it
/// are not copied then.
///
/// # Errors
///
/// As of [`preadv2_nowait`].
pub(crate) fn probe_and_readahead(file: impl AsFd, offset: u64, bytes: usize) -> io::Result<bool> {
    let mut byte = [0_u8];
    let byte = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: byte.len(),
    };
    let rest = libc::iovec {
        iov_base: inaccessible_page()?,
        iov_len: bytes.saturating_sub(1),
    };
    // SAFETY: the first vector is one byte that outlives the call. The second one begins at a page that
    // cannot be written to and is never unmapped, so the kernel stops at its first byte and writes
    // nothing there or behind it.
    unsafe { preadv2(file, &[byte, rest], offset) }.map(|count| count > 0)
}

/// How many pages of `bytes` of `file` from `offset` on are in the page cache, among them those that are being
/// read. It causes no read. One system call.
///
/// # Errors
///
/// `EPERM`: this process neither owns the file nor may write to it; `ENOSYS` before Linux 6.5;
/// `EOPNOTSUPP`: the file has no page cache. See
/// [`cachestat(2)`](https://docs.kernel.org/filesystems/api-summary.html).
pub(crate) fn cached_pages(file: impl AsFd, offset: u64, bytes: u64) -> io::Result<u64> {
    /// `struct cachestat_range` of `linux/mman.h`, which the C library lacks.
    #[repr(C)]
    struct Range {
        offset: u64,
        bytes: u64,
    }
    /// `struct cachestat`.
    #[repr(C)]
    #[derive(Default)]
    struct Pages {
        cached: u64,
        dirty: u64,
        under_writeback: u64,
        evicted: u64,
        recently_evicted: u64,
    }
    // The same number on every architecture, as of all system calls since 424.
    const SYS_CACHESTAT: libc::c_long = 451;
    const NO_FLAGS: libc::c_uint = 0;
    let range = Range { offset, bytes };
    let mut pages = Pages::default();
    // SAFETY: the kernel reads a `Range` and writes a `Pages`, which have the layout of its structures and
    // outlive the call; any bytes are a valid value of `Pages`.
    let answer = unsafe {
        libc::syscall(
            SYS_CACHESTAT,
            file.as_fd().as_raw_fd(),
            &raw const range,
            &raw mut pages,
            NO_FLAGS,
        )
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(pages.cached)
}

/// A page of this program that can be neither read nor written.
fn inaccessible_page() -> io::Result<*mut libc::c_void> {
    static PAGE: OnceLock<usize> = OnceLock::new();
    if let Some(&page) = PAGE.get() {
        return Ok(page as *mut libc::c_void);
    }
    // SAFETY: the address is null and MAP_FIXED is not set, so the kernel chooses addresses that are
    // not mapped yet: no memory that is in use changes. The result is only used as an address.
    let page = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            1,
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(*PAGE.get_or_init(|| page as usize) as *mut libc::c_void)
}

/// `preadv2(2)` with `RWF_NOWAIT`.
///
/// # Safety
///
/// Each vector names memory that may be written until the call returns, or to which writing is an error.
unsafe fn preadv2(file: impl AsFd, vectors: &[libc::iovec], offset: u64) -> io::Result<usize> {
    // A position of -1 would mean the shared file position; no `u64` that passes here is one.
    let position =
        i64::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))?;
    // The system call and not the function, which musl lacks and which on 32-bit glibc has
    // another name. The kernel takes the position as two words; a 64-bit one ignores the second.
    let low = position as libc::c_long;
    let high = (position >> 32) as libc::c_long;
    let flags: libc::c_int = libc::RWF_NOWAIT;
    let count = vectors.len() as libc::c_long;
    // SAFETY: `vectors` has `count` elements and outlives the call. By the contract of this function the
    // kernel may write to the memory of each, or finds that it cannot. It keeps no pointer.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_preadv2,
            file.as_fd().as_raw_fd(),
            vectors.as_ptr(),
            count,
            low,
            high,
            flags,
        )
    };
    usize::try_from(answer).map_err(|_| io::Error::last_os_error())
}

/// A change of how the calling thread is scheduled.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scheduling {
    /// The policy `SCHED_BATCH`, and a nice value of at least this.
    Batch { nice: i32 },
    /// The same policy as before, with slices of this length, in ns.
    Slice { ns: u64 },
}

/// Changes how the calling thread is scheduled. A thread whose policy is not `SCHED_OTHER` is left as it is.
///
/// # Errors
///
/// See [`sched_setattr(2)`](https://man7.org/linux/man-pages/man2/sched_setattr.2.html).
pub(crate) fn set_scheduling(scheduling: Scheduling) -> io::Result<()> {
    const SIZE: libc::c_uint = size_of::<libc::sched_attr>() as libc::c_uint;
    const THIS_THREAD: libc::pid_t = 0;
    const NO_FLAGS: libc::c_uint = 0;
    // SAFETY: all fields of `sched_attr` are integers, so all bytes zero is a valid value.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes at most `SIZE` bytes through the pointer. The pointer is to
    // `attributes`, which has that size and outlives the call; any bytes are a valid value of it.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_sched_getattr,
            THIS_THREAD,
            &raw mut attributes,
            SIZE,
            NO_FLAGS,
        )
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    if attributes.sched_policy != libc::SCHED_OTHER as u32 {
        return Ok(());
    }
    match scheduling {
        Scheduling::Batch { nice } => {
            attributes.sched_policy = libc::SCHED_BATCH as u32;
            attributes.sched_nice = attributes.sched_nice.max(nice);
            // A thread inherits the slices of the one that started it; 0 stands for the usual ones.
            attributes.sched_runtime = 0;
        }
        Scheduling::Slice { ns } => attributes.sched_runtime = ns,
    }
    // SAFETY: the kernel reads `attributes.size` bytes through the pointer. It set that field itself, to
    // at most `SIZE`, and the pointer is to `attributes`, which has `SIZE` bytes and outlives the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_sched_setattr,
            THIS_THREAD,
            &raw const attributes,
            NO_FLAGS,
        )
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Sets the I/O priority of the calling thread to the usual one, so that a later change of its scheduling
/// policy does not change it. Nothing is done where one was chosen already.
///
/// # Errors
///
/// See [`ioprio_set(2)`](https://man7.org/linux/man-pages/man2/ioprio_set.2.html).
pub(crate) fn pin_io_priority() -> io::Result<()> {
    let is_chosen = |priority: libc::c_long| priority >> IOPRIO_CLASS_SHIFT != IOPRIO_CLASS_NONE;
    if io_priority().is_ok_and(is_chosen) {
        return Ok(());
    }
    set_io_priority(IO_PRIORITY_USUAL)
}

// The numbers of ioprio_set(2), which the C library lacks.
const IOPRIO_WHO_PROCESS: libc::c_long = 1;
const IOPRIO_THIS_THREAD: libc::c_long = 0;
const IOPRIO_CLASS_SHIFT: u32 = 13;
const IOPRIO_CLASS_NONE: libc::c_long = 0;
const IOPRIO_CLASS_BEST_EFFORT: libc::c_long = 2;
/// Best effort, at the level in the middle: what a thread has for which nothing was chosen.
const IO_PRIORITY_USUAL: libc::c_long = IOPRIO_CLASS_BEST_EFFORT << IOPRIO_CLASS_SHIFT | 4;

/// The I/O priority of the calling thread: class and level.
fn io_priority() -> io::Result<libc::c_long> {
    let (who, thread) = (IOPRIO_WHO_PROCESS, IOPRIO_THIS_THREAD);
    // SAFETY: ioprio_get(2) takes two integers, by value, and no pointer: it touches no memory of this
    // program.
    let answer = unsafe { libc::syscall(libc::SYS_ioprio_get, who, thread) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(answer)
}

fn set_io_priority(priority: libc::c_long) -> io::Result<()> {
    let (who, thread) = (IOPRIO_WHO_PROCESS, IOPRIO_THIS_THREAD);
    // SAFETY: ioprio_set(2) takes three integers, by value, and no pointer: it touches no memory of this
    // program.
    let answer = unsafe { libc::syscall(libc::SYS_ioprio_set, who, thread, priority) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Queues a read of the byte of `file` at `offset` on `ring`, to be submitted with the next call; its
/// completion has `tag` as user data. The value of the byte is thrown away.
///
/// # Errors
///
/// `EAGAIN` when the submission queue is full.
#[cfg(feature = "io-uring")]
pub(crate) fn submit_probe_read(
    ring: &mut io_uring::IoUring,
    file: std::os::fd::BorrowedFd<'_>,
    offset: u64,
    tag: u64,
) -> io::Result<()> {
    use io_uring::{opcode, types};
    use std::sync::atomic::AtomicU8;

    static BYTE: AtomicU8 = AtomicU8::new(0);
    let descriptor = types::Fd(file.as_raw_fd());
    let read = opcode::Read::new(descriptor, BYTE.as_ptr(), 1).offset(offset);
    let entry = read.build().user_data(tag);
    // SAFETY: the kernel may write to `BYTE` until the read ends, which may be after the ring is gone.
    // `BYTE` is a static, so it outlives every read; as an atomic it may change behind a shared
    // reference; and nothing reads it.
    let pushed = unsafe { ring.submission().push(&entry) };
    pushed.map_err(|_| io::Error::from_raw_os_error(libc::EAGAIN))
}

/// Reads the value of a socket option into `value`; returns how many bytes the kernel wrote there.
///
/// # Errors
///
/// See [`getsockopt(2)`](https://man7.org/linux/man-pages/man2/getsockopt.2.html).
#[cfg(feature = "ktls")]
pub(crate) fn socket_option(
    socket: impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
    value: &mut [u8],
) -> io::Result<usize> {
    let mut length = libc::socklen_t::try_from(value.len()).unwrap_or(libc::socklen_t::MAX);
    // SAFETY: the kernel writes at most `length` bytes through the first pointer, and one `socklen_t` through
    // the second. `value` has at least that many bytes, both outlive the call, and nothing else uses them.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            value.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(length as usize)
}

/// Sends `bytes` as a record of the type `content_type` on a socket whose TLS records the kernel seals; returns
/// how many bytes it accepted.
///
/// # Errors
///
/// `EAGAIN` when a nonblocking socket is full, and what
/// [`sendmsg(2)`](https://man7.org/linux/man-pages/man2/sendmsg.2.html) reports.
#[cfg(feature = "ktls")]
pub(crate) fn send_tls_record(
    socket: impl AsFd,
    content_type: u8,
    bytes: &[u8],
) -> io::Result<usize> {
    /// A control message of one byte, with the alignment and the length that `CMSG_SPACE(1)` has.
    #[repr(C)]
    struct ContentType {
        header: libc::cmsghdr,
        value: u8,
        padding: [u8; size_of::<usize>() - 1],
    }
    const LENGTH: usize = size_of::<libc::cmsghdr>() + 1;
    // SAFETY: all fields of `cmsghdr` and `msghdr` are integers and pointers, so all bytes zero is a valid
    // value of both.
    let (header, mut message): (libc::cmsghdr, libc::msghdr) = unsafe { std::mem::zeroed() };
    let mut control = ContentType {
        header,
        value: content_type,
        padding: [0; size_of::<usize>() - 1],
    };
    // `as _`: the C libraries have other types here.
    control.header.cmsg_len = LENGTH as _;
    control.header.cmsg_level = libc::SOL_TLS;
    control.header.cmsg_type = libc::TLS_SET_RECORD_TYPE;
    let mut vector = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = size_of::<ContentType>() as _;
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: the kernel only reads: one vector, which names the borrowed `bytes`, and `msg_controllen` bytes of
    // `control`. All of them outlive the call, and it keeps no pointer.
    let answer = unsafe { libc::sendmsg(socket, &raw const message, libc::MSG_NOSIGNAL) };
    usize::try_from(answer).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_queue_grows_without_a_reader_and_shrinks_with_one() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut reader = TcpStream::connect(listener.local_addr().expect("bound")).expect("us");
        let (mut sender, _) = listener.accept().expect("us");
        sender.set_nonblocking(true).expect("a socket");
        let mut sent = 0;
        while let Ok(count) = sender.write(&[7; 65536]) {
            sent += count;
        }
        let full = send_queue_bytes(&sender).expect("a socket");
        assert!(full > 0);
        let mut received = vec![0; sent];
        reader.read_exact(&mut received).expect("all of it");
        assert!(send_queue_bytes(&sender).expect("a socket") < full);
    }

    #[test]
    fn a_read_that_must_not_wait_gives_the_bytes_or_refuses() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"0123456789").expect("room");
        let mut buffer = [0; 4];
        match preadv2_nowait(&file, &mut buffer, 7) {
            // Just written, so in memory; and only three bytes are left.
            Ok(count) => assert_eq!((count, &buffer), (3, b"789\0")),
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP)),
        }
        assert_eq!(io::Seek::stream_position(&mut file).expect("a file"), 10);
    }

    #[test]
    fn an_offset_beyond_the_signed_range_never_means_the_file_position() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"0123456789").expect("room");
        for offset in [1 << 63, u64::MAX] {
            let error = preadv2_nowait(&file, &mut [0], offset).expect_err("no such offset");
            assert_eq!(error.raw_os_error(), Some(libc::EOVERFLOW));
        }
    }

    #[test]
    fn a_pipe_cannot_be_read_at_an_offset() {
        let (reader, _writer) = io::pipe().expect("a pipe");
        let error = preadv2_nowait(&reader, &mut [0], 0).expect_err("no offsets");
        assert_eq!(error.raw_os_error(), Some(libc::ESPIPE));
    }

    #[test]
    fn a_deferred_connection_is_accepted_with_its_first_bytes() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        set_defer_accept(&listener, 60).expect("a TCP socket");
        listener.set_nonblocking(true).expect("a socket");
        let mut client = TcpStream::connect(listener.local_addr().expect("bound")).expect("us");
        let early = listener.accept().expect_err("nothing has come");
        assert_eq!(early.kind(), io::ErrorKind::WouldBlock);
        client.write_all(b"x").expect("sent");
        // What is written over the loopback has arrived when the call returns.
        let (mut accepted, _) = listener.accept().expect("with its first byte");
        let mut byte = [0];
        accepted.read_exact(&mut byte).expect("that byte");
        let error = set_defer_accept(tempfile::tempfile().expect("a file"), 1);
        assert_eq!(
            error.expect_err("no socket").raw_os_error(),
            Some(libc::ENOTSOCK)
        );
    }

    #[test]
    fn a_nice_value_leaves_the_io_priority_usual_unless_one_was_chosen() {
        let usual = || {
            pin_io_priority().expect("no privilege is needed");
            set_scheduling(Scheduling::Batch { nice: 19 }).expect("no privilege is needed");
            io_priority().expect("this thread")
        };
        let answer = std::thread::spawn(usual).join().expect("no panic");
        assert_eq!(answer, 2 << 13 | 4);
        let chosen = || {
            set_io_priority(2 << 13 | 7).expect("no privilege is needed");
            pin_io_priority().expect("no privilege is needed");
            io_priority().expect("this thread")
        };
        let answer = std::thread::spawn(chosen).join().expect("no panic");
        assert_eq!(answer, 2 << 13 | 7);
    }

    #[test]
    fn a_file_has_no_send_queue() {
        let file = tempfile::tempfile().expect("a file");
        assert!(send_queue_bytes(&file).is_err());
    }
}
