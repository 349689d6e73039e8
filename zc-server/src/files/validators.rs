//! Validators of a file: its entity-tag and `Last-Modified`, where they are reliable (RFC 9110 §8.8).
//!
//! | the file | entity-tag | `Last-Modified` |
//! | --- | --- | --- |
//! | has a declared tag, in a sidecar or an attribute | that | as below |
//! | was written a moment ago: another write may leave it the same time | none | none |
//! | was written in this second: another write may leave it the same second | as below | none |
//! | has a time that build tools stamp on everything | none | none |
//! | any other | modification time and length | modification time |
//!
//! The tag is made of what copies of a tree have in common, so that replicas have equal tags. It stays the
//! same when metadata alone changes.

use zc_http::{Coding, EntityTag, HttpTime, Validators};

use crate::config::files::EntityTags;
use crate::files::file_state::{FileState, Stability};

/// Times that build tools stamp on every file, in seconds since 1970: 0, 1 (Nix), and 1980-01-01
/// (the beginning of time in ZIP archives, and with it of Bazel and Buildpacks).
const CONSTANT_MTIMES: [i64; 3] = [0, 1, 315_532_800];

/// Whether the modification time does not tell one version of the file from another.
fn has_constant_mtime(state: &FileState) -> bool {
    CONSTANT_MTIMES.contains(&state.mtime_seconds())
}

/// Whether another version of the file is sure to have another modification time or length.
pub(crate) fn tells_versions_apart(state: &FileState, stability: Stability) -> bool {
    !has_constant_mtime(state) && stability != Stability::Written
}

/// The validators of a file that was in `state` at or before `now`.
pub(crate) fn validators(
    state: &FileState,
    stability: Stability,
    declared: Option<EntityTag>,
    coding: Coding,
    source: EntityTags,
    now: HttpTime,
) -> Validators {
    let tag_tells = tells_versions_apart(state, stability);
    let date_tells = tag_tells && stability != Stability::ThisSecond;
    let made = || (tag_tells && source == EntityTags::Auto).then(|| tag(state, coding));
    let modified = HttpTime::from_unix_seconds(state.mtime_seconds());
    Validators {
        etag: declared.or_else(made),
        // A time that is yet to come would say that the file changes until then (RFC 9110 §8.8.2.1).
        last_modified: date_tells.then(|| modified.min(now)),
    }
}

fn tag(state: &FileState, coding: Coding) -> EntityTag {
    // A file and its precompressed form may have equal times and lengths.
    let coded = match coding {
        Coding::Identity => "",
        coded => coded.token(),
    };
    EntityTag::from_numbers(&[state.mtime_ns, i128::from(state.length)], coded)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_SECONDS: i64 = 1_700_000_000;
    const NS_PER_SECOND: i128 = 1_000_000_000;

    fn state(mtime_ns: i128) -> FileState {
        FileState {
            device: 1,
            inode: 0xAB,
            length: 0x10,
            mtime_ns,
            ctime_ns: 1_600_000_000 * NS_PER_SECOND,
        }
    }

    fn of(
        state: &FileState,
        stability: Stability,
        declared: Option<EntityTag>,
        coding: Coding,
        source: EntityTags,
    ) -> (Option<String>, Option<HttpTime>) {
        let now = HttpTime::from_unix_seconds(NOW_SECONDS);
        let found = validators(state, stability, declared, coding, source, now);
        let text = |tag: EntityTag| String::from_utf8(tag.as_bytes().to_vec()).expect("ASCII");
        (found.etag.map(text), found.last_modified)
    }

    fn tag_of(state: &FileState, stability: Stability, coding: Coding) -> Option<String> {
        of(state, stability, None, coding, EntityTags::Auto).0
    }

    #[test]
    fn time_and_length_make_the_tag_and_nothing_else_does() {
        let file = state(0x1234_5678_9ABC);
        for stability in [
            Stability::Settled,
            Stability::Touched,
            Stability::ThisSecond,
        ] {
            let tag = tag_of(&file, stability, Coding::Identity);
            assert_eq!(tag.as_deref(), Some("\"123456789abc-10\""));
        }
        let coded = tag_of(&file, Stability::Settled, Coding::Brotli);
        assert_eq!(coded.as_deref(), Some("\"123456789abc-10-br\""));
        let replica = FileState {
            device: 2,
            inode: 3,
            ctime_ns: 4,
            ..file
        };
        for mtime_ns in [file.mtime_ns, 1_600_000_000 * NS_PER_SECOND] {
            let [one, other] = [file, replica].map(|file| {
                let file = FileState { mtime_ns, ..file };
                tag_of(&file, Stability::Settled, Coding::Identity)
            });
            assert!(one.is_some() && one == other, "{one:?} {other:?}");
        }
        let longer = FileState {
            length: 0x11,
            ..file
        };
        let later = FileState {
            mtime_ns: file.mtime_ns + 1,
            ..file
        };
        let tag = tag_of(&file, Stability::Settled, Coding::Identity);
        for other in [longer, later] {
            assert_ne!(tag_of(&other, Stability::Settled, Coding::Identity), tag);
        }
    }

    #[test]
    fn a_file_that_was_just_written_is_known_by_what_is_declared_alone() {
        let file = state(i128::from(NOW_SECONDS) * NS_PER_SECOND + 5);
        let [auto, declared_alone] = [EntityTags::Auto, EntityTags::Declared];
        assert_eq!(
            of(&file, Stability::Written, None, Coding::Identity, auto),
            (None, None)
        );
        let declared = EntityTag::from_opaque(b"v1");
        for source in [auto, declared_alone] {
            let found = of(
                &file,
                Stability::Written,
                declared,
                Coding::Identity,
                source,
            );
            assert_eq!(found, (Some("\"v1\"".to_owned()), None));
        }
    }

    #[test]
    fn a_date_is_given_when_its_second_is_over() {
        let file = state(i128::from(NOW_SECONDS) * NS_PER_SECOND + 5);
        let auto = EntityTags::Auto;
        let (tag, date) = of(&file, Stability::ThisSecond, None, Coding::Identity, auto);
        assert!(tag.is_some() && date.is_none());
    }

    #[test]
    fn what_is_declared_comes_first_and_may_be_all_there_is() {
        let file = state(1_600_000_000 * NS_PER_SECOND + 5);
        let modified = Some(HttpTime::from_unix_seconds(1_600_000_000));
        let declared = EntityTag::from_opaque(b"v1");
        for source in [EntityTags::Auto, EntityTags::Declared] {
            let found = of(
                &file,
                Stability::Settled,
                declared,
                Coding::Identity,
                source,
            );
            assert_eq!(found, (Some("\"v1\"".to_owned()), modified));
        }
        for source in [EntityTags::Declared, EntityTags::Off] {
            let found = of(&file, Stability::Settled, None, Coding::Identity, source);
            assert_eq!(found, (None, modified));
        }
    }

    #[test]
    fn a_time_that_tools_stamp_on_everything_validates_nothing() {
        let found = |file: &FileState, declared| {
            let auto = EntityTags::Auto;
            of(file, Stability::Settled, declared, Coding::Identity, auto)
        };
        for seconds in CONSTANT_MTIMES {
            let file = state(i128::from(seconds) * NS_PER_SECOND);
            assert_eq!(found(&file, None), (None, None));
            let declared = EntityTag::from_opaque(b"v1");
            assert_eq!(found(&file, declared), (Some("\"v1\"".to_owned()), None));
        }
        for seconds in [-1, 2, 315_532_799] {
            let file = state(i128::from(seconds) * NS_PER_SECOND);
            let (tag, modified) = found(&file, None);
            assert!(tag.is_some() && modified.is_some());
        }
    }

    #[test]
    fn nothing_was_last_modified_in_the_future() {
        let file = state(i128::from(NOW_SECONDS + 1000) * NS_PER_SECOND);
        let auto = EntityTags::Auto;
        let (_, modified) = of(&file, Stability::Settled, None, Coding::Identity, auto);
        assert_eq!(modified, Some(HttpTime::from_unix_seconds(NOW_SECONDS)));
    }
}
