//! `zc-server etag`: writes entity-tags made from the content of files.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use jiff::SignedDuration;
use rustix::fs::{XattrFlags, fsetxattr};
use sha2::{Digest, Sha256};
use zc_http::EntityTag;

use crate::cli::{EtagArgs, TagStore};
use crate::files::declared::{ATTRIBUTE, ATTRIBUTE_FOR, SIDECAR_EXTENSION, attribute, state_mark};
use crate::files::file_state::{Clock, FileState, Stability, coarse_now_ns};
use crate::text::size;

/// What is read of a file at a time, in bytes.
const READ_BYTES: usize = 1 << 20;

/// How long a file that is being written is waited for. Whole seconds settle in two.
const SETTLED_MAX: Duration = Duration::from_secs(3);

/// What became of the files of one run.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tagged {
    /// Files that were given a tag.
    pub written: u64,
    /// Files whose tag is of their present state.
    pub up_to_date: u64,
    /// Files with a tag that another program has set, which is left as it is.
    pub declared: u64,
    /// Files that could not be read, whose tag could not be written, or that changed meanwhile.
    pub failed: u64,
}

/// Gives a tag to each regular file below a directory, or to one file. Failures are passed to
/// `report`, a line each, and do not end the run. Progress is shown on standard error where that is a terminal.
///
/// # Errors
///
/// If the root cannot be looked at.
pub fn write_tags(args: &EtagArgs, mut report: impl FnMut(&str)) -> io::Result<Tagged> {
    fs::metadata(&args.root)?;
    let mut progress = Progress::start(&args.root);
    let mut tagged = Tagged::default();
    for path in files_below(&args.root) {
        let outcome = match &path {
            Ok(path) => tag_file(path, args.to, &mut progress),
            Err(unreadable) => Err(io::Error::new(
                unreadable.error.kind(),
                unreadable.error.to_string(),
            )),
        };
        match outcome {
            Ok(TagOutcome::Written) => tagged.written += 1,
            Ok(TagOutcome::UpToDate) => tagged.up_to_date += 1,
            Ok(TagOutcome::Declared) => tagged.declared += 1,
            Err(error) => {
                tagged.failed += 1;
                let path = path.unwrap_or_else(|unreadable| unreadable.path);
                progress.clear();
                report(&format!(
                    "{}: {error}",
                    path.to_string_lossy().escape_debug()
                ));
            }
        }
    }
    progress.clear();
    Ok(tagged)
}

enum TagOutcome {
    Written,
    UpToDate,
    Declared,
}

/// A directory that cannot be read.
struct Unreadable {
    path: PathBuf,
    error: io::Error,
}

/// Each regular file that is no sidecar, by a walk that follows no symbolic link but `root` itself.
fn files_below(root: &Path) -> impl Iterator<Item = Result<PathBuf, Unreadable>> {
    let is_sidecar = |name: &OsStr| name.as_bytes().ends_with(SIDECAR_EXTENSION.as_bytes());
    let mut files = Vec::new();
    let mut directories = Vec::new();
    if root.is_dir() {
        directories.push(root.to_owned());
    } else {
        files.push(root.to_owned());
    }
    std::iter::from_fn(move || {
        loop {
            if let Some(file) = files.pop() {
                return Some(Ok(file));
            }
            let path = directories.pop()?;
            let read = fs::read_dir(&path).and_then(|entries| {
                for entry in entries {
                    let entry = entry?;
                    let kind = entry.file_type()?;
                    if kind.is_dir() {
                        directories.push(entry.path());
                    } else if kind.is_file() && !is_sidecar(&entry.file_name()) {
                        files.push(entry.path());
                    }
                }
                Ok(())
            });
            if let Err(error) = read {
                return Some(Err(Unreadable { path, error }));
            }
        }
    })
}

/// How far a run has come, on standard error where that is a terminal.
struct Progress {
    /// The lengths of all files; `None` where nobody would see it.
    total_bytes: Option<u64>,
    done_bytes: u64,
    began: Instant,
    shown: Option<Instant>,
}

#[expect(
    clippy::print_stderr,
    reason = "the line is for a terminal, and is drawn on nothing else"
)]
impl Progress {
    /// How often the line is renewed.
    const INTERVAL: Duration = Duration::from_millis(200);

    fn start(root: &Path) -> Self {
        let length = |path: Result<PathBuf, Unreadable>| fs::metadata(path.ok()?).ok();
        let total = || {
            files_below(root)
                .filter_map(length)
                .map(|file| file.len())
                .sum()
        };
        Self {
            total_bytes: io::stderr().is_terminal().then(total),
            done_bytes: 0,
            began: Instant::now(),
            shown: None,
        }
    }

    fn add(&mut self, bytes: u64) {
        self.done_bytes += bytes;
        let is_due = self
            .shown
            .is_none_or(|shown| shown.elapsed() >= Self::INTERVAL);
        if let Some(total_bytes) = self.total_bytes.filter(|_| is_due) {
            self.shown = Some(Instant::now());
            let line = progress_line(self.done_bytes, total_bytes, self.began.elapsed());
            eprint!("\r\x1b[K{line}");
        }
    }

    /// Leaves the line to others.
    fn clear(&mut self) {
        if self.shown.take().is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

/// `1.2 GB of 3.4 GB, 410 MB/s, 6s left`
fn progress_line(done_bytes: u64, total_bytes: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(0.001);
    let rate = (done_bytes as f64 / seconds) as u64;
    let left_bytes = total_bytes.saturating_sub(done_bytes);
    let left_seconds = left_bytes.div_ceil(rate.max(1));
    let left = SignedDuration::from_secs(i64::try_from(left_seconds).unwrap_or(i64::MAX));
    format!(
        "{} of {}, {}/s, {left:#} left",
        size(done_bytes),
        size(total_bytes),
        size(rate)
    )
}

fn tag_file(path: &Path, store: TagStore, progress: &mut Progress) -> io::Result<TagOutcome> {
    let file = File::open(path)?;
    let state = settled_state(&file)?;
    let present = match store {
        TagStore::Attributes => present_attribute(&file, &state)?,
        TagStore::Sidecars => present_sidecar(path, &state)?,
    };
    if let Some(outcome) = present {
        progress.add(state.length);
        return Ok(outcome);
    }
    let tag = tag_of_content(&file, progress)?;
    // A change of the attributes alone is none of the bytes.
    if state_mark(&FileState::from_file(&file)?) != state_mark(&state) {
        return Err(io::Error::other(
            "the file changed while it was read; run the command again",
        ));
    }
    match store {
        TagStore::Attributes => write_attributes(&file, &state, &tag)?,
        TagStore::Sidecars => write_sidecar(path, &file, &tag)?,
    }
    Ok(TagOutcome::Written)
}

/// The state of a file once any write after it gives it another.
fn settled_state(file: &File) -> io::Result<FileState> {
    let began = Instant::now();
    loop {
        let now_ns = coarse_now_ns();
        let state = FileState::from_file(file)?;
        if state.stability(now_ns, Clock::Ours) != Stability::Written {
            return Ok(state);
        }
        if began.elapsed() > SETTLED_MAX {
            return Err(io::Error::other(
                "the file is being written; run the command again later",
            ));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn present_attribute(file: &File, state: &FileState) -> io::Result<Option<TagOutcome>> {
    if attribute(file, ATTRIBUTE).map_err(unsupported)?.is_none() {
        return Ok(None);
    }
    Ok(match attribute(file, ATTRIBUTE_FOR)? {
        None => Some(TagOutcome::Declared),
        Some(mark) => (mark == state_mark(state).as_bytes()).then_some(TagOutcome::UpToDate),
    })
}

/// A sidecar with the time of its file was written here; a later one was written by somebody else.
fn present_sidecar(path: &Path, state: &FileState) -> io::Result<Option<TagOutcome>> {
    let sidecar = match File::open(sidecar_path(path)) {
        Ok(sidecar) => FileState::from_file(&sidecar)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(match sidecar.mtime_ns.cmp(&state.mtime_ns) {
        std::cmp::Ordering::Less => None,
        std::cmp::Ordering::Equal => Some(TagOutcome::UpToDate),
        std::cmp::Ordering::Greater => Some(TagOutcome::Declared),
    })
}

fn tag_of_content(mut file: &File, progress: &mut Progress) -> io::Result<EntityTag> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = file.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        hash.update(bytes);
        progress.add(count as u64);
    }
    let hex: String = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    EntityTag::from_opaque(format!("sha256-{hex}").as_bytes())
        .ok_or_else(|| io::Error::other("the digest is not a valid entity-tag"))
}

/// The tag before the state that it is of: in between, the server takes it for one of an earlier state.
fn write_attributes(file: &File, state: &FileState, tag: &EntityTag) -> io::Result<()> {
    let set = |name, value| fsetxattr(file, name, value, XattrFlags::empty()).map_err(Into::into);
    set(ATTRIBUTE, tag.as_bytes()).map_err(unsupported)?;
    set(ATTRIBUTE_FOR, state_mark(state).as_bytes())
}

fn unsupported(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::Unsupported {
        let mend = "the file system has no extended attributes; use --to sidecars";
        return io::Error::new(io::ErrorKind::Unsupported, mend);
    }
    error
}

/// Writes it under another name, and gives it the time of the file and its own name in one step.
fn write_sidecar(path: &Path, file: &File, tag: &EntityTag) -> io::Result<()> {
    let sidecar = sidecar_path(path);
    let mut unfinished = OsString::from(".");
    unfinished.push(sidecar.file_name().unwrap_or_default());
    unfinished.push(".unfinished");
    let unfinished = sidecar.with_file_name(unfinished);
    let written = || -> io::Result<()> {
        let mut out = File::create(&unfinished)?;
        out.write_all(tag.as_bytes())?;
        out.write_all(b"\n")?;
        let modified: SystemTime = file.metadata()?.modified()?;
        out.set_modified(modified)?;
        out.set_permissions(file.metadata()?.permissions())?;
        fs::rename(&unfinished, &sidecar)
    };
    written().inspect_err(|_| {
        // What is left of it is of no use; that it cannot be removed is not what went wrong.
        let _ = fs::remove_file(&unfinished);
    })
}

fn sidecar_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(SIDECAR_EXTENSION);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_has_numbers_and_the_time_that_is_left() {
        let line = progress_line(500_000_000, 2_000_000_000, Duration::from_secs(5));
        assert_eq!(line, "500 MB of 2.0 GB, 100 MB/s, 15s left");
        let line = progress_line(0, 0, Duration::ZERO);
        assert_eq!(line, "0 B of 0 B, 0 B/s, 0s left");
    }
}
