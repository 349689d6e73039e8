//! Listings of directories. A disk I/O thread reads and sorts the entries; the worker writes the page part
//! by part as it is sent.

mod companions;
mod gallery;
mod gzip;
mod json;
mod kind;
mod natural;
mod page;
pub(crate) mod player;
mod readme;
mod request;
mod totals;
mod view;

use std::cmp::Ordering;

use crate::files::budget::Reservation;
use crate::files::file_state::FileState;
use crate::files::mime::MediaKind;
use crate::html::OwnStyle;
use companions::ByName;
use gzip::Gzip;
use page::Place;
pub(crate) use request::ListingRequest;
use totals::Totals;
use view::SortKey;
pub(crate) use view::{Format, ListingForm, View};

/// The most entries of a page with the exact sizes of files: those are a seventh of a page that is compressed.
const EXACT_ENTRIES_MAX: usize = 5_000;

/// The sorted entries of a directory, and how far the page is written.
#[derive(Debug)]
pub(crate) struct Listing {
    path: Vec<u8>,
    depth: usize,
    view: View,
    own_style: Option<OwnStyle>,
    /// Whether the directory can be had as one file.
    archive: bool,
    entries: Vec<Entry>,
    /// All names, concatenated.
    names: Vec<u8>,
    /// How many entries a browser shows or plays.
    media: usize,
    /// For a gallery alone.
    by_name: Option<ByName>,
    /// What stands below the entries, in HTML; empty for nothing.
    readme: Vec<u8>,
    totals: Totals,
    stage: Stage,
    gzip: Option<Gzip>,
    _memory: Reservation,
}

/// One entry.
#[derive(Debug, Clone, Copy)]
struct Row<'a> {
    name: &'a [u8],
    /// In bytes; `None` for a directory.
    length: Option<u64>,
    /// Seconds since 1970.
    mtime_seconds: i64,
}

/// What is written next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Start,
    Entry(usize),
    EntriesEnd,
    /// From this byte on.
    Readme(usize),
    End,
    Done,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    name_start: u32,
    name_bytes: u16,
    role: Role,
    length: u64,
    mtime_seconds: i64,
}

/// What an entry is, in the order of a gallery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Directory,
    /// What a browser shows or plays.
    Media(MediaKind),
    /// The poster or the subtitles of another entry, which are not shown by themselves.
    Companion,
    Other,
}

impl Listing {
    /// The memory of the entries, in bytes.
    fn memory_bytes(&self) -> usize {
        self.names.len() + self.entries.len() * size_of::<Entry>()
    }

    fn push(&mut self, name: &[u8], role: Role, state: &FileState) {
        // The bound of memory is far below 4 GiB, and that of a name is 255 bytes.
        let (Ok(name_start), Ok(name_bytes)) =
            (u32::try_from(self.names.len()), u16::try_from(name.len()))
        else {
            return;
        };
        self.names.extend_from_slice(name);
        self.media += usize::from(matches!(role, Role::Media(_)));
        let is_file = role != Role::Directory;
        self.totals.count(is_file.then_some(state.length));
        self.entries.push(Entry {
            name_start,
            name_bytes,
            role,
            length: state.length,
            mtime_seconds: state.mtime_seconds(),
        });
    }

    fn sort(&mut self) {
        let Self {
            entries,
            names,
            view,
            ..
        } = self;
        let by_name = |a: &Entry, b: &Entry| natural::compare(a.name(names), b.name(names));
        entries.sort_unstable_by(|a, b| {
            let by_key = match view.key {
                SortKey::Name => by_name(a, b),
                // A directory has no size of its own.
                SortKey::Size if a.is_directory() && b.is_directory() => Ordering::Equal,
                SortKey::Size => a.length.cmp(&b.length),
                SortKey::Time => a.mtime_seconds.cmp(&b.mtime_seconds),
            };
            let by_key = if view.descending {
                by_key.reverse()
            } else {
                by_key
            };
            let by_kind = match view.is_gallery() {
                true => a.role.place().cmp(&b.role.place()),
                false => b.is_directory().cmp(&a.is_directory()),
            };
            by_kind.then(by_key).then_with(|| by_name(a, b))
        });
    }

    pub(crate) fn form(&self) -> ListingForm {
        ListingForm {
            format: self.view.format,
            is_gzip: self.gzip.is_some(),
        }
    }

    fn place(&self) -> Place<'_> {
        Place {
            path: &self.path,
            depth: self.depth,
            view: self.view,
            own_style: self.own_style.as_ref(),
            has_readme: !self.readme.is_empty(),
            offers_archive: self.archive,
            // It shows most of what is there.
            offers_gallery: self.media * 2 > self.entries.len(),
        }
    }

    /// Writes the next part of the page to `out`, until that has about `bytes` or more. Answers whether more
    /// follows.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, bytes: usize) -> bool {
        let Some(mut gzip) = self.gzip.take() else {
            return self.write_plain(out, bytes);
        };
        let is_first = self.stage == Stage::Start;
        let mut plain = Vec::with_capacity(bytes + 1024);
        let has_more = self.write_plain(&mut plain, bytes);
        // A browser shows the first part while the others are on their way.
        gzip.write(&plain, out, is_first, !has_more);
        self.gzip = Some(gzip);
        has_more
    }

    fn write_plain(&mut self, out: &mut Vec<u8>, bytes: usize) -> bool {
        let is_json = self.view.format == Format::Json;
        let is_exact = self.entries.len() <= EXACT_ENTRIES_MAX;
        while out.len() < bytes {
            self.stage = match self.stage {
                Stage::Done => return false,
                stage if self.by_name.is_some() => self.write_gallery(out, stage),
                Stage::Start => {
                    match is_json {
                        true => out.push(b'['),
                        false => page::start(out, self.place(), &self.totals),
                    }
                    Stage::Entry(0)
                }
                Stage::Entry(index) => match self.entries.get(index) {
                    Some(entry) => {
                        let row = entry.row(&self.names);
                        match is_json {
                            true => json::row(out, row, index == 0),
                            false => page::row(out, row, self.view, is_exact),
                        }
                        Stage::Entry(index + 1)
                    }
                    None => Stage::EntriesEnd,
                },
                Stage::EntriesEnd => {
                    match is_json {
                        true => out.extend_from_slice(b"\n]\n"),
                        false => page::entries_end(out, &self.totals),
                    }
                    Stage::Readme(0)
                }
                Stage::Readme(written) => {
                    let rest = &self.readme[written..];
                    let piece = rest.len().min(bytes - out.len());
                    page::readme(out, &rest[..piece], written == 0, piece == rest.len());
                    match piece == rest.len() {
                        true => Stage::End,
                        false => Stage::Readme(written + piece),
                    }
                }
                Stage::End => {
                    if !is_json {
                        page::end(out);
                    }
                    Stage::Done
                }
            };
        }
        self.stage != Stage::Done
    }
}

impl Role {
    /// What comes first in a gallery. Companions come last, as nothing is shown of them.
    fn place(self) -> u8 {
        match self {
            Self::Directory => 0,
            Self::Media(_) => 1,
            Self::Other => 2,
            Self::Companion => 3,
        }
    }
}

impl Entry {
    fn is_directory(&self) -> bool {
        self.role == Role::Directory
    }

    fn name<'a>(&self, names: &'a [u8]) -> &'a [u8] {
        let start = self.name_start as usize;
        names
            .get(start..start + usize::from(self.name_bytes))
            .unwrap_or_default()
    }

    fn row<'a>(&self, names: &'a [u8]) -> Row<'a> {
        Row {
            name: self.name(names),
            length: (!self.is_directory()).then_some(self.length),
            mtime_seconds: self.mtime_seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::files::Symlinks;
    use crate::files::budget::Budget;
    use crate::files::mime::Types;
    use crate::files::open_file::{OpenMode, Opened};
    use crate::files::root::Root;
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::sync::Arc;

    fn types() -> Arc<Types> {
        let charset = crate::config::files::Charset::Off;
        Arc::new(Types::new(Vec::new(), String::new(), charset))
    }

    fn list(directory: &Path, symlinks: Symlinks, hidden: bool, query: &str) -> Listing {
        let root = Root::open(directory, symlinks, Arc::default());
        let root = Arc::new(root.expect("a root"));
        let Ok(Opened::Directory(fd)) = root.open_path(b"", OpenMode::MayBlock) else {
            panic!("no directory");
        };
        let request = ListingRequest {
            root,
            directory: fd,
            path: Vec::new(),
            depth: 0,
            hidden,
            own_style: None,
            archive: false,
            readme: true,
            view: View::from_query(Some(query.as_bytes()), false),
            types: types(),
            gzip: false,
            memory: Budget::default(),
        };
        request.read().expect("it can be read")
    }

    fn names(listing: &Listing) -> Vec<String> {
        let name = |entry: &Entry| String::from_utf8_lossy(entry.name(&listing.names)).into();
        listing.entries.iter().map(name).collect()
    }

    #[test]
    fn what_can_be_served_is_listed_in_order() {
        let temp = tempfile::tempdir().expect("a directory");
        let path = |name: &str| temp.path().join(name);
        for (name, length) in [("b", 3), ("a", 5), (".hidden", 1)] {
            std::fs::write(path(name), vec![0; length]).expect("a file");
        }
        std::fs::create_dir(path("z")).expect("a directory");
        symlink("a", path("link")).expect("a link");
        symlink("/etc/passwd", path("outside")).expect("a link");
        symlink("nowhere", path("dangling")).expect("a link");
        nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRUSR).expect("a fifo");

        let within = |query| names(&list(temp.path(), Symlinks::Within, false, query));
        assert_eq!(within(""), ["z", "a", "b", "link"]);
        assert_eq!(within("order=desc"), ["z", "link", "b", "a"]);
        assert_eq!(within("sort=size"), ["z", "b", "a", "link"]);
        assert_eq!(within("sort=size&order=desc"), ["z", "a", "link", "b"]);
        let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(5);
        let file = std::fs::File::options()
            .write(true)
            .open(path("b"))
            .expect("a file");
        file.set_modified(time).expect("a time");
        assert_eq!(within("sort=time")[..2], ["z", "b"]);
        assert_eq!(within("sort=time&order=desc")[3], "b");
        let with_hidden = list(temp.path(), Symlinks::Within, true, "");
        assert_eq!(names(&with_hidden), ["z", ".hidden", "a", "b", "link"]);
        let denied = list(temp.path(), Symlinks::Deny, false, "");
        assert_eq!(names(&denied), ["z", "a", "b"]);
        let all = list(temp.path(), Symlinks::Follow, false, "");
        assert_eq!(names(&all), ["z", "a", "b", "link", "outside"]);
    }

    #[test]
    fn a_page_is_the_same_whatever_the_size_of_its_parts() {
        let temp = tempfile::tempdir().expect("a directory");
        for number in 0..300 {
            std::fs::write(temp.path().join(format!("file {number}")), "x").expect("a file");
        }
        for query in ["", "format=json", "view=gallery"] {
            let whole = |bytes| {
                let mut listing = list(temp.path(), Symlinks::Within, false, query);
                let (mut page, mut parts) = (Vec::new(), 0);
                loop {
                    let mut part = Vec::new();
                    let more = listing.write(&mut part, bytes);
                    page.append(&mut part);
                    parts += 1;
                    if !more {
                        return (page, parts);
                    }
                }
            };
            let (at_once, _) = whole(usize::MAX);
            let (in_parts, parts) = whole(1000);
            assert!(parts > 10);
            assert_eq!(at_once, in_parts);
        }
    }

    #[test]
    fn the_head_of_a_page_counts_as_memory() {
        let temp = tempfile::tempdir().expect("a directory");
        let root = Root::open(temp.path(), Symlinks::Within, Arc::default());
        let root = Arc::new(root.expect("a root"));
        let Ok(Opened::Directory(directory)) = root.open_path(b"", OpenMode::MayBlock) else {
            panic!("no directory");
        };
        let memory = Budget::default();
        let request = ListingRequest {
            root,
            directory,
            path: b"a/".repeat(1000),
            depth: 1000,
            hidden: false,
            own_style: None,
            archive: false,
            readme: false,
            view: View::from_query(None, false),
            types: types(),
            gzip: false,
            memory: memory.clone(),
        };
        let mut listing = request.read().expect("it can be read");
        let mut page = Vec::new();
        listing.write(&mut page, usize::MAX);
        assert!(memory.used() >= page.len());
    }
}
