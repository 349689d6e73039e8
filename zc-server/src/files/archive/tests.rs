//! Archives of real trees, byte by byte.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::BytesMut;

use super::*;
use crate::config::files::{EntityTags, Symlinks};
use crate::disk::CancelToken;
use crate::files::budget::Budget;

/// The archive of a directory, or why there is none.
fn walk(
    directory: &Path,
    path: &str,
    symlinks: Symlinks,
    hidden: bool,
) -> Result<Box<Archive>, ArchiveError> {
    let root = Root::open(directory, symlinks, Arc::default());
    let request = ArchiveRequest {
        root: Arc::new(root.expect("a root")),
        path: path.as_bytes().to_vec(),
        hidden,
        symlinks,
        etags: EntityTags::Auto,
        memory: Budget::default(),
        place: Places::default().take().expect("a place"),
    };
    request.read(&CancelToken::default()).map(Box::new)
}

/// A tree whose files have settled long ago.
fn tree() -> tempfile::TempDir {
    let temp = tempfile::tempdir().expect("a directory");
    let at = |name: &str| temp.path().join(name);
    std::fs::create_dir_all(at("top/sub/empty")).expect("directories");
    let long = format!("top/{}", "n".repeat(200));
    for (name, length) in [
        ("top/b", 0),
        ("top/a", 3),
        ("top/sub/exact", 512),
        ("top/sub/odd", 1000),
        (&long[..], 700),
        ("top/.hidden", 1),
    ] {
        let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        std::fs::write(at(name), bytes).expect("a file");
        set_time(&at(name), 1_600_000_000);
    }
    let executable = std::fs::Permissions::from_mode(0o751);
    std::fs::set_permissions(at("top/a"), executable).expect("a file");
    symlink("sub/odd", at("top/link")).expect("a link");
    symlink("../../out", at("top/sub/out")).expect("a link");
    temp
}

fn set_time(path: &Path, seconds: u64) {
    let file = std::fs::File::options().write(true).open(path);
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    file.expect("a file").set_modified(time).expect("a time");
}

fn names(archive: &Archive) -> Vec<String> {
    let name = |member: &Member| {
        let mut name = Vec::new();
        archive.append_name(member, &mut name);
        String::from_utf8(name).expect("UTF-8")
    };
    archive.members.iter().map(name).collect()
}

/// The bytes of a range, with those of files read in one go.
fn bytes_of(archive: Box<Archive>, range: std::ops::Range<u64>, bytes_max: usize) -> Vec<u8> {
    let mut cursor = Cursor::new(archive, range);
    let mut all = Vec::new();
    while cursor.remaining() > 0 {
        let mut out = BytesMut::new();
        let part = cursor.next(&mut out, bytes_max);
        all.extend_from_slice(&out);
        if let Some(FilePart { member, range }) = part {
            let path = cursor.archive().absolute_path(member);
            let file = std::fs::read(path).expect("a file");
            all.extend_from_slice(&file[range.start as usize..range.end as usize]);
        }
    }
    all
}

#[test]
fn a_tree_is_sent_by_name_and_without_what_is_not_served() {
    let temp = tree();
    let within = walk(temp.path(), "top", Symlinks::Within, false).expect("an archive");
    let long = format!("top/{}", "n".repeat(200));
    let mut expected = vec!["top", "top/a", "top/b", "top/link", &long, "top/sub"];
    expected.extend(["top/sub/empty", "top/sub/exact", "top/sub/odd"]);
    assert_eq!(names(&within), expected);
    assert_eq!(within.file_name(), b"top.tar");
    let denied = walk(temp.path(), "top", Symlinks::Deny, true).expect("an archive");
    assert_eq!(names(&denied)[1], "top/.hidden");
    assert!(!names(&denied).contains(&"top/link".to_owned()));
    let root = walk(temp.path(), "", Symlinks::Within, false).expect("an archive");
    assert_eq!(names(&root)[..2], ["files", "files/top"]);
    assert_eq!(root.file_name(), b"files.tar");
    for index in 1..root.members.len() {
        assert!(
            root.absolute_path(index).symlink_metadata().is_ok(),
            "{index}"
        );
    }
}

#[test]
fn every_range_has_the_bytes_of_the_whole() {
    let temp = tree();
    let walk = || walk(temp.path(), "top", Symlinks::Within, false).expect("an archive");
    let length = walk().length();
    let whole = bytes_of(walk(), 0..length, usize::MAX);
    assert_eq!(whole.len() as u64, length);
    assert_eq!(bytes_of(walk(), 0..length, 1), whole);
    assert_eq!(length % 512, 0);
    assert_eq!(whole[whole.len() - 1024..], [0; 1024]);
    for start in (0..length).step_by(37).chain(length - 1030..length) {
        for bytes in [1, 511, 513, 5000] {
            let range = start..length.min(start + bytes);
            let expected = &whole[range.start as usize..range.end as usize];
            assert_eq!(bytes_of(walk(), range.clone(), 700), expected, "{range:?}");
        }
    }
}

#[test]
fn a_tag_is_that_of_equal_trees_and_of_no_other() {
    let tag = |temp: &tempfile::TempDir| {
        let archive = walk(temp.path(), "top", Symlinks::Within, false).expect("an archive");
        archive.etag()
    };
    // Times of directories are in the archive.
    let settle = |temp: &tempfile::TempDir| {
        for name in ["top", "top/sub", "top/sub/empty", "top/link"] {
            let time = nix::sys::time::TimeSpec::new(1_600_000_000, 7);
            let path = temp.path().join(name);
            let flags = nix::sys::stat::UtimensatFlags::NoFollowSymlink;
            nix::sys::stat::utimensat(nix::fcntl::AT_FDCWD, &path, &time, &time, flags)
                .expect("a time");
        }
    };
    let (one, other) = (tree(), tree());
    settle(&one);
    settle(&other);
    assert!(tag(&one).is_some());
    assert_eq!(tag(&one), tag(&other));
    set_time(&other.path().join("top/b"), 1_600_000_001);
    assert_ne!(tag(&one), tag(&other));
    // Nobody could tell another version of it.
    set_time(&other.path().join("top/b"), 0);
    assert_eq!(tag(&other), None);
}

#[test]
fn a_file_is_sent_only_as_it_was_walked() {
    let temp = tree();
    let archive = walk(temp.path(), "top", Symlinks::Within, false).expect("an archive");
    let open = || archive.open(1, OpenMode::MayBlock);
    let a = temp.path().join("top/a");
    assert!(open().is_ok());
    // A copy is what was promised.
    std::fs::copy(&a, temp.path().join("copy")).expect("a copy");
    set_time(&temp.path().join("copy"), 1_600_000_000);
    std::fs::rename(temp.path().join("copy"), &a).expect("a file");
    assert!(open().is_ok());
    set_time(&a, 1_600_000_001);
    assert!(matches!(open(), Err(MemberError::Changed)));
    std::fs::write(&a, "four").expect("a file");
    set_time(&a, 1_600_000_000);
    assert!(matches!(open(), Err(MemberError::Changed)));
    std::fs::remove_file(&a).expect("a file");
    assert!(matches!(open(), Err(MemberError::Changed)));
}

#[test]
fn a_tree_that_is_too_deep_has_no_archive() {
    let temp = tempfile::tempdir().expect("a directory");
    for (depth, is_sent) in [(walk::DEPTH_MAX, true), (walk::DEPTH_MAX + 1, false)] {
        std::fs::create_dir_all(temp.path().join("d/".repeat(depth))).expect("directories");
        match walk(temp.path(), "", Symlinks::Within, false) {
            Ok(archive) => assert_eq!((archive.members.len(), is_sent), (depth + 1, true)),
            Err(error) => assert!(matches!(error, ArchiveError::TooDeep) && !is_sent),
        }
    }
}

#[test]
fn places_are_bounded_and_come_back() {
    let places = Places::default();
    let mut taken: Vec<_> = (0..ARCHIVES_MAX).map(|_| places.take()).collect();
    assert!(taken.iter().all(Option::is_some));
    assert!(places.take().is_none());
    taken.pop();
    assert!(places.take().is_some());
}
