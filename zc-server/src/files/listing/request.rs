//! Reads a directory that is to be listed, on a disk I/O thread.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use nix::dir::{Dir, Type};
use nix::fcntl::AtFlags;
use nix::sys::stat::{SFlag, fstatat};

use super::companions::ByName;
use super::gzip::{self, Gzip};
use super::totals::Totals;
use super::view::{Format, View};
use super::{Listing, Role, Stage, page, readme};
use crate::files::budget::{Budget, Reservation};
use crate::files::file_state::FileState;
use crate::files::mime::Types;
use crate::files::open_file::FileHandle;
use crate::files::root::Root;
use crate::html::{self, OwnStyle};

/// The most entries of one listing. A larger directory is refused: its page would be hundreds of
/// megabytes.
const ENTRIES_MAX: usize = 1_000_000;

/// A directory to be listed, and how.
#[derive(Debug)]
pub(crate) struct ListingRequest {
    pub(crate) root: Arc<Root>,
    pub(crate) directory: FileHandle,
    /// The decoded path, empty for the root.
    pub(crate) path: Vec<u8>,
    /// How many directories below the root the URL of the page is, as the client sees it.
    pub(crate) depth: usize,
    pub(crate) hidden: bool,
    pub(crate) own_style: Option<OwnStyle>,
    /// Whether the directory can be had as one file.
    pub(crate) archive: bool,
    /// Whether the README of the directory is shown.
    pub(crate) readme: bool,
    pub(crate) view: View,
    /// What tells films and pictures from other files.
    pub(crate) types: Arc<Types>,
    /// Whether the page is compressed.
    pub(crate) gzip: bool,
    pub(crate) memory: Budget,
}

impl ListingRequest {
    /// Reads the directory. It leaves out what is not served: devices, links that lead outside, hidden
    /// names.
    ///
    /// # Errors
    ///
    /// Those of reading the directory; `FileTooLarge` for too many entries, `OutOfMemory` when the memory of
    /// all listings is used up.
    pub(crate) fn read(self) -> io::Result<Listing> {
        let mut memory = Reservation::new(self.memory.clone());
        let mut listing = Listing {
            path: self.path.clone(),
            depth: self.depth,
            view: self.view,
            own_style: self.own_style.clone(),
            archive: self.archive,
            entries: Vec::new(),
            names: Vec::new(),
            media: 0,
            by_name: None,
            readme: Vec::new(),
            totals: Totals::default(),
            stage: Stage::Start,
            gzip: self.gzip.then(Gzip::new),
            _memory: Reservation::new(self.memory.clone()),
        };
        let gzip_bytes = if self.gzip { gzip::MEMORY_BYTES } else { 0 };
        let head_bytes = page::head_bytes_max(&self.path, self.depth, self.own_style.as_ref());
        let head_bytes = head_bytes + html::GALLERY.len() + gzip_bytes;
        memory.need(head_bytes)?;
        let shows_readme = self.readme && self.view.format == Format::Html;
        let mut readme = readme::Choice::default();
        let is_synthetic = self.root.is_synthetic(&self.directory);
        let mut directory = Dir::from_fd(self.directory.as_fd().try_clone_to_owned()?)?;
        for entry in directory.iter() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            let is_hidden = name.starts_with(b".") && !self.hidden;
            if is_hidden || name == b"." || name == b".." {
                continue;
            }
            let Some((is_directory, state)) = self.look_at(name, entry.file_type()) else {
                continue;
            };
            if is_synthetic && !is_directory {
                continue;
            }
            if listing.entries.len() >= ENTRIES_MAX {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            let role = match is_directory {
                true => Role::Directory,
                false => self.types.media_kind(name).map_or(Role::Other, Role::Media),
            };
            memory.need(head_bytes + listing.memory_bytes() + name.len())?;
            listing.push(name, role, &state);
            if shows_readme && !is_directory {
                readme.look_at(name);
            }
        }
        if listing.view.is_gallery() {
            let index_bytes = listing.entries.len() * ByName::BYTES;
            memory.need(head_bytes + listing.memory_bytes() + index_bytes)?;
            listing.find_companions();
        }
        listing.sort();
        listing.by_name = listing.view.is_gallery().then(|| listing.index());
        let used = head_bytes + listing.memory_bytes();
        let reserve = |bytes| memory.need(used + bytes).is_ok();
        let readme = readme.read(&self.root, &self.path, reserve);
        listing.readme = readme.unwrap_or_default();
        listing._memory = memory;
        Ok(listing)
    }

    /// Whether a name is a directory, and its state; `None` if it is not served.
    fn look_at(&self, name: &[u8], kind: Option<Type>) -> Option<(bool, FileState)> {
        // The kernel resolves links. Some filesystems do not tell the type of an entry.
        if !matches!(kind, Some(Type::File | Type::Directory)) {
            let path = match &self.path[..] {
                [] => name.to_vec(),
                path => [path, name].join(&b'/'),
            };
            return self.root.look_at(&path);
        }
        let stat = fstatat(&self.directory, name, AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
        match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG => Some((false, FileState::from(&stat))),
            SFlag::S_IFDIR => Some((true, FileState::from(&stat))),
            // It was replaced in the meantime.
            _ => None,
        }
    }
}
