//! What is to be served, and its filesystem.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use nix::libc::O_PATH;
use zc_core::{FileSystem, Residency};

use super::Finding;
use crate::config::ServedRoot;
use crate::config::files::Symlinks;
use crate::files::mount_table::MountTable;
use crate::files::mounts::{Mount, MountId, Mounts, ReadPath};
use crate::files::open_file::{OpenFile, OpenMode, Opened};
use crate::files::root::Root;
use crate::text::OneLine;

/// How many names are looked at for a file to try things with.
const NAMES_MAX: usize = 1000;
/// How much of it is sent and probed, in bytes.
const TRIED_BYTES: u64 = 16 << 10;

/// A regular file of the root that is not empty.
struct Tried {
    path: PathBuf,
    file: OpenFile,
}

pub(super) fn findings(path: &Path) -> Vec<Finding> {
    let mounts = Arc::new(Mounts::default());
    let (served, root) = match open(path, &mounts) {
        Ok(opened) => opened,
        Err(finding) => return vec![finding],
    };
    let what = if root.is_file() { "file" } else { "directory" };
    let mut findings = vec![Finding::ok(
        "root",
        format!("`{}` is a {what}", OneLine(served.path())),
    )];
    let mut options = File::options();
    match options.read(true).custom_flags(O_PATH).open(served.path()) {
        Ok(place) => {
            let mount = mounts.mount_of(&place);
            findings.extend([file_system(&mount), mount_id(&place)]);
        }
        Err(error) => findings.extend(
            ["filesystem", "mount-ids"].map(|name| Finding::unknown(name, error.to_string())),
        ),
    }
    match file_below(&root) {
        Some(tried) => findings.extend([sendfile(&tried), residency(&tried), cachestat(&tried)]),
        None => findings.extend(["sendfile", "residency", "cachestat"].map(|name| {
            Finding::unknown(
                name,
                "not tried: no file was found below the root, and none is written",
            )
        })),
    }
    findings
}

fn open(path: &Path, mounts: &Arc<Mounts>) -> Result<(ServedRoot, Root), Finding> {
    const NAME: &str = "root";
    let served = ServedRoot::open(path).map_err(|error| {
        let said = error.to_string();
        let missing = |text| Finding::missing(NAME, text).needed();
        match said.rsplit_once("; ") {
            Some((text, mend)) => missing(text).with_mend(mend),
            None => missing(&said),
        }
    })?;
    let root = Root::open(served.path(), Symlinks::Within, Arc::clone(mounts));
    let root = root.map_err(|error| {
        let text = format!("`{}` cannot be opened: {error}", OneLine(served.path()));
        Finding::missing(NAME, text).needed()
    })?;
    Ok((served, root))
}

/// The first file that is found, nearest to the root.
fn file_below(root: &Root) -> Option<Tried> {
    if let Some(name) = root.only(b"") {
        return tried(root, name);
    }
    let top = root.path_below(b"");
    let mut directories = VecDeque::from([top.clone()]);
    let mut names = 0;
    while let Some(directory) = directories.pop_front() {
        // What cannot be read has no file to try.
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            names += 1;
            if names > NAMES_MAX {
                return None;
            }
            let is_hidden = entry.file_name().as_bytes().starts_with(b".");
            let Some(kind) = entry.file_type().ok().filter(|_| !is_hidden) else {
                continue;
            };
            let path = entry.path();
            if kind.is_dir() {
                directories.push_back(path);
            } else if kind.is_file()
                && let Ok(below) = path.strip_prefix(&top)
                && let Some(tried) = tried(root, below.as_os_str().as_bytes())
            {
                return Some(tried);
            }
        }
    }
    None
}

fn tried(root: &Root, path: &[u8]) -> Option<Tried> {
    match root.open_path(path, OpenMode::MayBlock) {
        Ok(Opened::File(file)) if file.state.length > 0 => Some(Tried {
            path: root.path_below(path),
            file,
        }),
        _ => None,
    }
}

/// Which filesystem the root is on, and what that means.
fn file_system(mount: &Mount) -> Finding {
    const NAME: &str = "filesystem";
    let table = MountTable::read();
    let kind = table.kind_of(mount.key()).unwrap_or("of an unknown kind");
    if mount.is_synthetic() {
        let text = format!("{kind}: its files are interfaces of the kernel, and are not served");
        return Finding::warning(NAME, text).with_mend("name another root");
    }
    let copied = mount.file_system.and_then(FileSystem::copied);
    if mount.is_remote() {
        let sent = match copied {
            Some(_) => "copied by I/O threads",
            None => "sent by I/O threads",
        };
        let text =
            format!("{kind}: every call on it may wait, so files are opened, read and {sent}");
        return Finding::warning(NAME, text).with_mend("a local filesystem costs less");
    }
    let place = if mount.is_memory() {
        "in memory"
    } else {
        "on a disk of this machine"
    };
    Finding::ok(NAME, format!("{kind}: files are {place}"))
}

/// Whether mounts are told apart.
fn mount_id(place: &File) -> Finding {
    const NAME: &str = "mount-ids";
    match MountId::of(place) {
        Ok(MountId::Unique(_)) => Finding::ok(NAME, "statx(2) has an identifier for each mount"),
        Ok(MountId::Reused { mount: 1.., .. }) => Finding::ok(
            NAME,
            "statx(2) has identifiers that later mounts may get: mounts are looked at more often",
        ),
        Ok(MountId::Reused { .. }) | Err(_) => Finding::missing(
            NAME,
            "statx(2) has no identifier of mounts: one that hangs may hold up others",
        )
        .with_mend("use Linux 5.8 or later"),
    }
}

/// Sends a part of a file over the loopback interface, and compares what arrives.
fn sendfile(tried: &Tried) -> Finding {
    const NAME: &str = "sendfile";
    let file_system = tried.file.mount.file_system;
    if let Some(kind) = file_system.and_then(FileSystem::copied) {
        return Finding::warning(
            NAME,
            format!("not used on {kind}, where it may send old bytes: files are copied"),
        );
    }
    let path = OneLine(&tried.path);
    match send(tried) {
        Ok(Sent::Equal(bytes)) => Finding::ok(
            NAME,
            format!("it sent {bytes} bytes of `{path}` to a socket"),
        ),
        Ok(Sent::Other) => Finding::warning(
            NAME,
            format!("it sent other bytes of `{path}` than reading gives, or the file was changed"),
        )
        .with_mend("if it says so again, use --method copy"),
        Ok(Sent::Refused(error)) => Finding::missing(
            NAME,
            format!("it is refused ({error}): files are copied through this program"),
        )
        .with_mend("permit sendfile in the sandbox"),
        Err(error) => Finding::unknown(NAME, format!("it could not be tried: {error}")),
    }
}

enum Sent {
    /// What was sent is what is read.
    Equal(u64),
    Other,
    Refused(io::Error),
}

fn send(tried: &Tried) -> io::Result<Sent> {
    let file = tried.file.file.file();
    let count = tried.file.state.length.min(TRIED_BYTES);
    let mut read = vec![0; count as usize];
    file.read_exact_at(&mut read, 0)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut peer = TcpStream::connect(listener.local_addr()?)?;
    let (socket, _) = listener.accept()?;
    thread::scope(|scope| {
        let receiver = thread::Builder::new().spawn_scoped(scope, || {
            let mut received = Vec::new();
            peer.read_to_end(&mut received).map(|_| received)
        })?;
        let mut offset = 0;
        let mut refused = None;
        while offset < count {
            match zc_core::sendfile(file, &socket, offset, count - offset) {
                Ok(sent) if sent.bytes == 0 => break,
                Ok(sent) => offset += sent.bytes,
                Err(error) => {
                    refused = Some(error.source);
                    break;
                }
            }
        }
        // The other end reads up to here.
        drop(socket);
        let received = receiver.join();
        let received = received.map_err(|_| io::Error::other("a thread panicked"))??;
        Ok(match refused {
            Some(error) => Sent::Refused(error),
            None if received == read => Sent::Equal(count),
            None => Sent::Other,
        })
    })
}

/// Whether it can be told what is in memory.
fn residency(tried: &Tried) -> Finding {
    const NAME: &str = "residency";
    let OpenFile { file, mount, .. } = &tried.file;
    match mount.read_path(file) {
        ReadPath::Direct => Finding::ok(NAME, "files are in memory: they are sent without a probe"),
        ReadPath::Probe | ReadPath::Prefetched => Finding::ok(
            NAME,
            "preadv2(2) tells what is in memory: workers wait for no cold file",
        ),
        ReadPath::Offload if mount.is_remote() => Finding::warning(
            NAME,
            "not asked on a filesystem that may wait: I/O threads read every file",
        ),
        ReadPath::Offload => Finding::missing(
            NAME,
            "preadv2(2) with RWF_NOWAIT is refused: I/O threads read every file",
        )
        .with_mend("use another filesystem, or permit preadv2 in the sandbox"),
    }
}

/// Whether what is in memory can be looked at without a read.
fn cachestat(tried: &Tried) -> Finding {
    const NAME: &str = "cachestat";
    let OpenFile {
        file, mount, state, ..
    } = &tried.file;
    if mount.is_memory() || mount.is_remote() {
        return Finding::ok(NAME, "not needed on this filesystem");
    }
    match Residency::peek(file, 0..state.length.min(TRIED_BYTES)) {
        Residency::Hot | Residency::Cold => Finding::ok(
            NAME,
            "cachestat(2) works: files in memory are sent even while a disk does not answer",
        ),
        Residency::Unknown => Finding::missing(
            NAME,
            "cachestat(2) is refused: while a disk does not answer, files in memory wait as well",
        )
        .with_mend(
            "use Linux 6.5 or later, as the owner of the files or with permission to write to them",
        ),
    }
}
