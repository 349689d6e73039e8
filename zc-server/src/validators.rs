//! What identifies a state of a file: entity-tags and dates that can be trusted.
//!
//! | the file | entity-tag | `Last-Modified` |
//! | --- | --- | --- |
//! | has a time of its own | time and size | its time |
//! | its time is a whole second: the clock may be too coarse | time, size and inode | its time |
//! | was changed a moment ago: it may be changed again within the same tick | change time, size, inode, `-f` | its time |
//! | has a time that build tools stamp on everything | what a sidecar or `user.etag` says, or none | none |
//!
//! A tag given out in the moment of writing is another than the one given out later. Whoever got
//! bytes in that moment, which may be a mixture, is thus never told that they are current.

use zc_http::{Coding, EntityTag, HttpTime, Validators};

use crate::resolve::{FileState, OpenFile, Patience, ResolveError, Root};

/// Times that build tools stamp on every file, in seconds since 1970: 0, 1 (Nix), and 1980-01-01
/// (the beginning of time in ZIP archives, and with it of Bazel and Buildpacks).
const CONSTANT_MTIMES: [i64; 3] = [0, 1, 315_532_800];
/// How long after its last change a file counts as being written, in nanoseconds: the tick of the
/// coarsest clock in use, that of FAT.
const FRESH_NS: i128 = 2 * NS_PER_SECOND;
/// How far a time may be ahead of `now`, in nanoseconds: that is rounded down to a second, and was
/// looked at when the turn began, which may be a while before the file was. A time further ahead was
/// set by another clock, and tells nothing.
const AHEAD_NS: i128 = 2 * NS_PER_SECOND;
const NS_PER_SECOND: i128 = 1_000_000_000;
/// The longest sidecar that is read, in bytes: a tag of 128 with quotes and a line end.
const SIDECAR_BYTES_MAX: usize = 160;
/// The name of the extended attribute.
const ATTRIBUTE: &str = "user.etag";

/// Whether the time of the file says nothing about it.
fn has_constant_mtime(state: &FileState) -> bool {
    CONSTANT_MTIMES.contains(&state.mtime_seconds())
}

/// The tag that a sidecar `NAME.etag` or the attribute `user.etag` declares for a file whose time
/// says nothing; other files are not asked for one. Asking may wait.
///
/// # Errors
///
/// [`ResolveError::Waits`] when it would have to be asked for and waiting is not allowed.
pub(crate) fn declared_tag(
    root: &Root,
    path: &[u8],
    file: &OpenFile,
    patience: Patience,
) -> Result<Option<EntityTag>, ResolveError> {
    if !has_constant_mtime(&file.state) {
        return Ok(None);
    }
    if patience == Patience::Cached {
        return Err(ResolveError::Waits);
    }
    let sidecar = || root.read_small(&[path, b".etag"].concat(), SIDECAR_BYTES_MAX);
    let attribute = || {
        use xattr::FileExt;
        file.file.file().get_xattr(ATTRIBUTE).ok().flatten()
    };
    let read = |bytes: Vec<u8>| EntityTag::from_opaque(bytes.trim_ascii());
    let declared = sidecar().and_then(read);
    Ok(declared.or_else(|| attribute().and_then(read)))
}

/// The validators of a file at the time `now`, the second one in nanoseconds since 1970.
pub(crate) fn validators(
    state: &FileState,
    declared: Option<EntityTag>,
    coding: Coding,
    now: HttpTime,
) -> Validators {
    if has_constant_mtime(state) {
        return Validators {
            etag: declared,
            last_modified: None,
        };
    }
    let modified = HttpTime::from_unix_seconds(state.mtime_seconds());
    Validators {
        etag: Some(tag(state, coding, now)),
        // A time that is yet to come would say that the file changes until then (RFC 9110 §8.8.2.1).
        last_modified: Some(modified.min(now)),
    }
}

fn tag(state: &FileState, coding: Coding, now: HttpTime) -> EntityTag {
    let (length, inode) = (i128::from(state.length), i128::from(state.inode));
    // Two files with equal numbers may be one in two codings.
    let coded = match coding {
        Coding::Identity => "",
        coded => coded.token(),
    };
    if is_fresh(state, now) {
        let suffix = match coding {
            Coding::Identity => "f".to_owned(),
            coded => format!("{}-f", coded.token()),
        };
        return EntityTag::from_numbers(&[state.ctime_ns, length, inode], &suffix);
    }
    if state.mtime_ns.rem_euclid(1_000_000_000) == 0 {
        return EntityTag::from_numbers(&[state.mtime_ns, length, inode], coded);
    }
    EntityTag::from_numbers(&[state.mtime_ns, length], coded)
}

/// Whether the file changed so recently that it may change again without its times telling.
pub(crate) fn is_fresh(state: &FileState, now: HttpTime) -> bool {
    let now_ns = i128::from(now.unix_seconds()) * NS_PER_SECOND;
    let is_recent = |time_ns: i128| (-AHEAD_NS..FRESH_NS).contains(&(now_ns - time_ns));
    is_recent(state.ctime_ns) || is_recent(state.mtime_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_SECONDS: i64 = 1_700_000_000;

    fn now() -> HttpTime {
        HttpTime::from_unix_seconds(NOW_SECONDS)
    }

    fn state(mtime_ns: i128) -> FileState {
        FileState {
            device: 1,
            inode: 0xAB,
            length: 0x10,
            mtime_ns,
            ctime_ns: 1_600_000_000 * NS_PER_SECOND,
        }
    }

    fn tag_of(state: &FileState, coding: Coding) -> String {
        let etag = validators(state, None, coding, now()).etag.expect("a tag");
        String::from_utf8(etag.as_bytes().to_vec()).expect("ASCII")
    }

    #[test]
    fn a_time_of_its_own_and_the_size_make_the_tag() {
        let mut file = state(0x1234_5678_9ABC);
        assert_eq!(tag_of(&file, Coding::Identity), "\"123456789abc-10\"");
        assert_eq!(tag_of(&file, Coding::Brotli), "\"123456789abc-10-br\"");
        file.inode += 1;
        file.ctime_ns += 1;
        assert_eq!(tag_of(&file, Coding::Identity), "\"123456789abc-10\"");
    }

    #[test]
    fn a_whole_second_needs_the_inode_as_well() {
        let mut file = state(1_600_000_000 * NS_PER_SECOND);
        let first = tag_of(&file, Coding::Identity);
        assert!(first.ends_with("-10-ab\""), "{first}");
        file.inode += 1;
        assert_ne!(tag_of(&file, Coding::Identity), first);
    }

    #[test]
    fn a_file_being_written_has_a_tag_that_it_never_has_again() {
        let settled = state(1_600_000_000 * NS_PER_SECOND + 5);
        for fresh_ns in [
            i128::from(NOW_SECONDS) * NS_PER_SECOND + 999_999_999,
            i128::from(NOW_SECONDS) * NS_PER_SECOND,
            i128::from(NOW_SECONDS - 1) * NS_PER_SECOND + 1,
            // Changed in a turn that began before the second did.
            i128::from(NOW_SECONDS + 1) * NS_PER_SECOND + 1_000_000,
        ] {
            // By the time of its bytes, or by that of its metadata.
            for (mtime_ns, ctime_ns) in [
                (fresh_ns, settled.ctime_ns),
                (settled.mtime_ns, fresh_ns),
                (fresh_ns, fresh_ns),
            ] {
                let fresh = FileState {
                    mtime_ns,
                    ctime_ns,
                    ..settled
                };
                let tag = tag_of(&fresh, Coding::Identity);
                assert!(tag.ends_with("-f\""), "{tag}");
                let later = HttpTime::from_unix_seconds(NOW_SECONDS + 10);
                let same_later = validators(&fresh, None, Coding::Identity, later);
                assert_ne!(same_later.etag.expect("a tag").as_bytes(), tag.as_bytes());
                let other = FileState {
                    ctime_ns: ctime_ns + 1,
                    ..fresh
                };
                assert_ne!(tag_of(&other, Coding::Identity), tag);
            }
        }
        // Long ago, or by a clock that is far ahead.
        for ns in [NOW_SECONDS - 3, NOW_SECONDS + 2].map(|s| i128::from(s) * NS_PER_SECOND + 1) {
            assert!(!tag_of(&state(ns), Coding::Identity).ends_with("-f\""));
        }
    }

    #[test]
    fn a_time_that_tools_stamp_on_everything_validates_nothing() {
        for seconds in CONSTANT_MTIMES {
            let file = state(i128::from(seconds) * NS_PER_SECOND);
            let found = validators(&file, None, Coding::Identity, now());
            assert_eq!((found.etag, found.last_modified), (None, None));
            let declared = EntityTag::from_opaque(b"v1");
            let found = validators(&file, declared, Coding::Identity, now());
            assert_eq!((found.etag, found.last_modified), (declared, None));
        }
        for seconds in [-1, 2, 315_532_799] {
            let file = state(i128::from(seconds) * NS_PER_SECOND);
            let found = validators(&file, None, Coding::Identity, now());
            assert!(found.etag.is_some() && found.last_modified.is_some());
        }
    }

    #[test]
    fn nothing_was_last_modified_in_the_future() {
        let file = state(i128::from(NOW_SECONDS + 1000) * NS_PER_SECOND);
        let found = validators(&file, None, Coding::Identity, now());
        assert_eq!(found.last_modified, Some(now()));
    }
}
