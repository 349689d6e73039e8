//! Entity-tags that the owner of a file declares: in a sidecar `NAME.etag`, or in the extended
//! attribute `user.etag`.
//!
//! * A sidecar counts if it is not older than the file.
//! * The attribute counts unless the attribute `user.etag.for` names another [state](state_mark) of the file.
//! * A sidecar overrides the attribute.
//!
//! A worker does not block on either: a disk I/O thread reads what is not in memory. The tag of an attribute
//! is remembered as long as the file stays the same, since setting an attribute changes `ctime`. The tag of a
//! sidecar is remembered for a limited time: as long as the file stays the same, an earlier tag is as good.

use std::fs::File;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io;
use std::os::unix::fs::FileExt as _;

use rustix::buffer::spare_capacity;
use rustix::fs::fgetxattr;
use rustix::io::Errno;
use zc_http::EntityTag;

use crate::files::facts::SidecarTag;
use crate::files::file_state::{FileState, Stability, coarse_now_ns};
use crate::files::open_file::{OpenFile, OpenMode, ResolveError};
use crate::files::root::Root;

/// The extended attribute with the tag.
pub(crate) const ATTRIBUTE: &str = "user.etag";
/// The extended attribute that says which state of the file the tag is of.
pub(crate) const ATTRIBUTE_FOR: &str = "user.etag.for";
/// The extension of sidecars.
pub(crate) const SIDECAR_EXTENSION: &str = ".etag";
/// How long an attribute is that one call reads, in bytes: longer than any tag.
const ATTRIBUTE_BYTES: usize = 256;
/// The longest attribute that there is, in bytes (`XATTR_SIZE_MAX`).
const ATTRIBUTE_BYTES_MAX: usize = 64 << 10;
/// The longest sidecar that is read, in bytes: a tag of 128 with quotes and a line end.
const SIDECAR_BYTES_MAX: u64 = 160;

/// The declared tag of a file, if it has one. `path` is its path below `root`. A sidecar is looked for again
/// after `ttl_ns`.
///
/// # Errors
///
/// [`ResolveError::WouldBlock`] with [`OpenMode::CachedOnly`].
pub(crate) fn declared_tag(
    root: &Root,
    path: &[u8],
    file: &OpenFile,
    ttl_ns: i128,
    open_mode: OpenMode,
) -> Result<Option<EntityTag>, ResolveError> {
    let memo = file.mount.sidecars();
    let name = BuildHasherDefault::<DefaultHasher>::new().hash_one(path);
    let now_ns = coarse_now_ns();
    let known = memo.get_named(&file.state, name);
    let is_new = |known: &SidecarTag| (0..ttl_ns).contains(&(now_ns - known.looked_ns));
    let tag = match known.filter(is_new) {
        Some(known) => known.tag.as_deref().copied(),
        None => {
            let tag = sidecar_tag(root, path, file, open_mode)?;
            if file.stability == Stability::Settled {
                let looked = SidecarTag {
                    tag: tag.map(Box::new),
                    looked_ns: now_ns,
                };
                memo.remember_named(&file.state, name, looked);
            }
            tag
        }
    };
    match tag {
        Some(tag) => Ok(Some(tag)),
        None => attribute_tag(file, open_mode),
    }
}

/// The state of the bytes of a file: their modification time in nanoseconds since 1970, and their number.
pub(crate) fn state_mark(state: &FileState) -> String {
    format!("{}-{}", state.mtime_ns, state.length)
}

fn sidecar_tag(
    root: &Root,
    path: &[u8],
    file: &OpenFile,
    open_mode: OpenMode,
) -> Result<Option<EntityTag>, ResolveError> {
    let name = [path, SIDECAR_EXTENSION.as_bytes()].concat();
    let sidecar = match root.open_file(&name, open_mode) {
        Ok(sidecar) => sidecar,
        Err(ResolveError::WouldBlock) => return Err(ResolveError::WouldBlock),
        // Absent or unreadable: the file is served without it.
        Err(_) => return Ok(None),
    };
    let is_of_this_state = sidecar.state.is_as_new_as(&file.state);
    let is_whole = sidecar.stability != Stability::Written;
    let length = sidecar.state.length;
    if !is_of_this_state || !is_whole || length > SIDECAR_BYTES_MAX {
        return Ok(None);
    }
    let mut bytes = vec![0; length as usize];
    let read = match open_mode {
        OpenMode::MayBlock => sidecar.file.file().read_at(&mut bytes, 0),
        OpenMode::CachedOnly if !sidecar.file.lets_probe(0..length) => {
            return Err(ResolveError::WouldBlock);
        }
        OpenMode::CachedOnly => zc_core::read_resident(&sidecar.file, &mut bytes, 0),
    };
    match read {
        Ok(count) if count == bytes.len() => Ok(EntityTag::from_opaque(bytes.trim_ascii())),
        // Not all of it is in memory.
        _ if open_mode == OpenMode::CachedOnly => Err(ResolveError::WouldBlock),
        _ => Ok(None),
    }
}

fn attribute_tag(file: &OpenFile, open_mode: OpenMode) -> Result<Option<EntityTag>, ResolveError> {
    let memo = file.mount.attributes();
    if let Some(known) = memo.get(&file.state) {
        return Ok(known.as_deref().copied());
    }
    // An attribute may be in a block of its own, which is not in memory.
    if open_mode == OpenMode::CachedOnly && !file.mount.is_memory() {
        return Err(ResolveError::WouldBlock);
    }
    let tag = read_attributes(file.file.file(), &file.state);
    if file.stability == Stability::Settled {
        memo.remember(&file.state, tag.map(Box::new));
    }
    Ok(tag)
}

/// The tag that the attributes of a file declare for this state. Unreadable ones declare none.
pub(crate) fn read_attributes(file: &File, state: &FileState) -> Option<EntityTag> {
    let tag = attribute(file, ATTRIBUTE).ok()??;
    let of_state = attribute(file, ATTRIBUTE_FOR).ok()?;
    let is_of_this_state = of_state.is_none_or(|mark| mark == state_mark(state).as_bytes());
    EntityTag::from_opaque(tag.trim_ascii()).filter(|_| is_of_this_state)
}

/// The value of an extended attribute; `None` where the file has none of this name.
pub(crate) fn attribute(file: &File, name: &str) -> io::Result<Option<Vec<u8>>> {
    for capacity in [ATTRIBUTE_BYTES, ATTRIBUTE_BYTES_MAX] {
        let mut value = Vec::with_capacity(capacity);
        match fgetxattr(file, name, spare_capacity(&mut value)) {
            Ok(_) => return Ok(Some(value)),
            Err(Errno::NODATA) => return Ok(None),
            Err(Errno::RANGE) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Errno::RANGE.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_of_any_length_is_read_as_it_was_written() {
        let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = directory.path().join("f");
        let file = File::create_new(&path).unwrap();
        if let Err(error) = attribute(&file, ATTRIBUTE) {
            assert_eq!(error.kind(), io::ErrorKind::Unsupported);
            println!("no extended attributes here: nothing to test");
            return;
        }
        assert_eq!(attribute(&file, ATTRIBUTE).unwrap(), None);
        for length in [0, 1, ATTRIBUTE_BYTES, ATTRIBUTE_BYTES + 1, 2_000] {
            let value: Vec<u8> = (0..length).map(|index| index as u8).collect();
            xattr::set(&path, ATTRIBUTE, &value).unwrap();
            let read = attribute(&file, ATTRIBUTE).unwrap();
            assert_eq!(read, Some(value), "{length}");
        }
    }
}
