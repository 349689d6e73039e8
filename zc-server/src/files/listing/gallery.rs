//! The page of a gallery: directories, pictures and films as tiles, and other files below them.
//!
//! A tile leads to the page that shows or plays its entry. Programs that mirror a tree never come here: the
//! page of a listing has no link to it, but a button.

use percent_encoding::percent_encode;

use super::companions::ByName;
use super::kind::Kind;
use super::page::{self, Place};
use super::{Entry, Listing, Role, Stage};
use crate::files::mime::MediaKind;
use crate::files::percent::SEGMENT;
use crate::html::{self, put, shown};
use crate::text::size;

/// The entries of a gallery in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Folders,
    Tiles,
    Others,
}

impl Section {
    /// `None` for what is not shown by itself.
    fn of(entry: &Entry) -> Option<Self> {
        match entry.role {
            Role::Directory => Some(Self::Folders),
            Role::Media(_) => Some(Self::Tiles),
            Role::Other => Some(Self::Others),
            Role::Companion => None,
        }
    }

    fn start(self) -> &'static str {
        match self {
            Self::Folders => "<ul class=\"folders\">\n",
            Self::Tiles => "<ul class=\"tiles\">\n",
            Self::Others => "<h2>Other files</h2>\n<ul class=\"files\">\n",
        }
    }
}

impl Listing {
    /// Finds posters and subtitles, which are not shown by themselves.
    pub(super) fn find_companions(&mut self) {
        let by_name = self.index();
        let name_of = |number| name_of(&self.entries, &self.names, number);
        let mut companions = Vec::new();
        for entry in &self.entries {
            let name = entry.name(&self.names);
            if let Role::Media(MediaKind::Video | MediaKind::Audio) = entry.role {
                companions.extend(by_name.poster(name, name_of));
                companions.extend(by_name.subtitles(name, name_of));
            }
        }
        for number in companions {
            if let Some(entry) = self.entries.get_mut(number as usize) {
                entry.role = Role::Companion;
            }
        }
    }

    /// The entries by their names, as long as their order stays.
    pub(super) fn index(&self) -> ByName {
        // There are no more than a million.
        let count = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        ByName::new(count, |number| name_of(&self.entries, &self.names, number))
    }

    /// Writes what is next of a gallery; answers what follows.
    pub(super) fn write_gallery(&self, out: &mut Vec<u8>, stage: Stage) -> Stage {
        let Some(by_name) = &self.by_name else {
            return Stage::Done;
        };
        match stage {
            Stage::Start => {
                start(out, self.place());
                if self.media == 0 {
                    out.extend_from_slice(
                        b"<p class=\"none\">No pictures, films or sounds here.</p>\n",
                    );
                }
                Stage::Entry(0)
            }
            Stage::Entry(index) => {
                let before = index
                    .checked_sub(1)
                    .and_then(|index| self.entries.get(index));
                let before = before.and_then(Section::of);
                let section = self.entries.get(index).and_then(Section::of);
                if before.is_some() && before != section {
                    out.extend_from_slice(b"</ul>\n");
                }
                let (Some(entry), Some(section)) = (self.entries.get(index), section) else {
                    return Stage::End;
                };
                if before != Some(section) {
                    out.extend_from_slice(section.start().as_bytes());
                }
                self.write_entry(out, entry, by_name);
                Stage::Entry(index + 1)
            }
            Stage::End | Stage::EntriesEnd | Stage::Readme(_) => {
                out.extend_from_slice(b"</main>\n");
                html::end(out);
                Stage::Done
            }
            Stage::Done => Stage::Done,
        }
    }

    fn write_entry(&self, out: &mut Vec<u8>, entry: &Entry, by_name: &ByName) {
        let name = entry.name(&self.names);
        let href = percent_encode(name, SEGMENT);
        let text = shown(name);
        let text = html_escape::encode_safe(&text);
        let order = self.view.kept_order();
        match entry.role {
            Role::Directory => put(
                out,
                format_args!(
                    "<li><a href=\"{href}/{}\">{}<bdi>{text}</bdi></a></li>\n",
                    self.view.kept(),
                    Kind::Directory.icon()
                ),
            ),
            Role::Media(kind) => {
                put(
                    out,
                    format_args!("<li><a href=\"{href}?view=play{order}\"><span class=\"frame\">"),
                );
                let poster = || {
                    let name_of = |number| name_of(&self.entries, &self.names, number);
                    by_name.poster(name, name_of).map(name_of)
                };
                frame(out, name, kind, poster);
                put(
                    out,
                    format_args!("</span><span class=\"name\"><bdi>{text}</bdi></span></a></li>\n"),
                );
            }
            Role::Companion => {}
            Role::Other => put(
                out,
                format_args!(
                    "<li><a href=\"{href}\"><bdi>{text}</bdi> <span>{}</span></a></li>\n",
                    size(entry.length)
                ),
            ),
        }
    }
}

/// The name of an entry, by its number.
pub(super) fn name_of<'a>(entries: &[Entry], names: &'a [u8], number: u32) -> &'a [u8] {
    let entry = entries.get(number as usize);
    entry.map(|entry| entry.name(names)).unwrap_or_default()
}

/// What a tile shows: the picture, the poster of a film, or an icon.
fn frame<'a>(
    out: &mut Vec<u8>,
    name: &'a [u8],
    kind: MediaKind,
    poster: impl Fn() -> Option<&'a [u8]>,
) {
    let (icon, picture, query) = match kind {
        MediaKind::Photo => ("", Some(name), "?view=thumbnail"),
        MediaKind::Image => ("", Some(name), ""),
        MediaKind::Video => (Kind::Video.icon(), poster(), ""),
        MediaKind::Audio => (Kind::Audio.icon(), poster(), ""),
    };
    if let Some(name) = picture {
        let src = percent_encode(name, SEGMENT);
        put(
            out,
            format_args!("<img loading=\"lazy\" decoding=\"async\" src=\"{src}{query}\" alt=\"\">"),
        );
    }
    out.extend_from_slice(icon.as_bytes());
}

fn start(out: &mut Vec<u8>, place: Place<'_>) {
    let slash = if place.path.is_empty() { "" } else { "/" };
    let title = format!("Gallery of /{}{slash}", shown(place.path));
    html::start(out, &title, &[html::BASE, html::GALLERY], place.own_style);
    out.extend_from_slice(html::ICONS.as_bytes());
    out.extend_from_slice(b"<header>\n<h1><nav aria-label=\"Path\">");
    page::breadcrumbs(out, place);
    out.extend_from_slice(b"</nav></h1>\n");
    page::sort_buttons(out, place.view);
    let order = place.view.kept_order();
    let order = order.strip_prefix("&amp;").unwrap_or_default();
    put(
        out,
        format_args!("<a class=\"button\" href=\"./?{order}\">List</a>\n</header>\n<main>\n"),
    );
}
