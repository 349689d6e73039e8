//! The page of a gallery: directories, pictures and films as tiles, and other files below them.
//!
//! A tile leads to the page that shows or plays its entry. Programs that mirror a tree never come here: the
//! page of a listing has no link to it, but a button.

use percent_encoding::percent_encode;

use super::companions::ByName;
use super::view::{SortKey, View};
use super::{Entry, Listing, Role, Stage, page};
use crate::files::mime::MediaKind;
use crate::files::percent::SEGMENT;
use crate::html::{self, put, shown};

/// The icons, each drawn once and shown by its name.
const ICONS: &str = "<svg class=\"sprite\" aria-hidden=\"true\">\
    <symbol id=\"folder\" viewBox=\"0 0 24 24\"><path d=\"M3 6.5A1.5 1.5 0 0 1 4.5 5h4.6c.4 0 .8.2 1.1.5L11.7 7h7.8A1.5 1.5 0 0 1 21 8.5v9a1.5 1.5 0 0 1-1.5 1.5h-15A1.5 1.5 0 0 1 3 17.5z\"/></symbol>\
    <symbol id=\"video\" viewBox=\"0 0 24 24\"><path d=\"M4.5 5h15A1.5 1.5 0 0 1 21 6.5v11a1.5 1.5 0 0 1-1.5 1.5h-15A1.5 1.5 0 0 1 3 17.5v-11A1.5 1.5 0 0 1 4.5 5zm5.5 3.9v6.2a.5.5 0 0 0 .8.4l4.8-3.1a.5.5 0 0 0 0-.8l-4.8-3.1a.5.5 0 0 0-.8.4z\" fill-rule=\"evenodd\"/></symbol>\
    <symbol id=\"audio\" viewBox=\"0 0 24 24\"><path d=\"M19 4.2v11.3a3 3 0 1 1-1.8-2.7V8.4L10 9.9v7.6a3 3 0 1 1-1.8-2.7V6.5c0-.4.3-.8.7-.9l9-1.9c.6-.1 1.1.3 1.1.5z\"/></symbol>\
    <symbol id=\"play\" viewBox=\"0 0 24 24\"><path d=\"M8 5.2v13.6a.8.8 0 0 0 1.2.7l10.8-6.8a.8.8 0 0 0 0-1.4L9.2 4.5a.8.8 0 0 0-1.2.7z\"/></symbol>\
    </svg>\n";

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
            _ if entry.is_directory => Some(Self::Folders),
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
                start(out, &self.path, self.depth, self.view);
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
            Stage::End => {
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
        let order = self.view.order_in_query();
        match entry.role {
            _ if entry.is_directory => put(
                out,
                format_args!(
                    "<li><a href=\"{href}/?view=gallery{order}\"><svg aria-hidden=\"true\">\
                     <use href=\"#folder\"/></svg><bdi>{text}</bdi></a></li>\n"
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
                    page::size(entry.length)
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
    name: &[u8],
    kind: MediaKind,
    poster: impl Fn() -> Option<&'a [u8]>,
) {
    let picture = match kind {
        MediaKind::Photo | MediaKind::Image => Some((name, kind == MediaKind::Photo)),
        MediaKind::Video | MediaKind::Audio => poster().map(|poster| (poster, false)),
    };
    let badge = match kind {
        MediaKind::Photo | MediaKind::Image => "",
        MediaKind::Video => "play",
        MediaKind::Audio => "audio",
    };
    match picture {
        Some((name, may_have_thumbnail)) => {
            let query = if may_have_thumbnail {
                "?view=thumbnail"
            } else {
                ""
            };
            put(
                out,
                format_args!(
                    "<img loading=\"lazy\" decoding=\"async\" src=\"{}{query}\" alt=\"\">",
                    percent_encode(name, SEGMENT)
                ),
            );
            if !badge.is_empty() {
                put(
                    out,
                    format_args!(
                        "<span class=\"badge\"><svg aria-hidden=\"true\"><use href=\"#{badge}\"/></svg></span>"
                    ),
                );
            }
        }
        None => {
            let icon = if kind == MediaKind::Audio {
                "audio"
            } else {
                "video"
            };
            put(
                out,
                format_args!("<svg aria-hidden=\"true\"><use href=\"#{icon}\"/></svg>"),
            );
        }
    }
}

fn start(out: &mut Vec<u8>, path: &[u8], depth: usize, view: View) {
    let slash = if path.is_empty() { "" } else { "/" };
    let title = format!("Gallery of /{}{slash}", shown(path));
    html::start(out, &title, &[html::BASE, html::GALLERY]);
    out.extend_from_slice(ICONS.as_bytes());
    out.extend_from_slice(b"<header>\n<h1><span class=\"of\">Gallery of</span> ");
    page::breadcrumbs(out, path, depth);
    out.extend_from_slice(b"</h1>\n<nav aria-label=\"View\">\n");
    for (key, word, title) in [
        (SortKey::Name, "name", "Name"),
        (SortKey::Size, "size", "Size"),
        (SortKey::Time, "time", "Modified"),
    ] {
        sort_button(out, view, key, word, title);
    }
    put(
        out,
        format_args!("<a class=\"button\" href=\"./\">List</a>\n</nav>\n</header>\n<main>\n"),
    );
}

/// Writes a button that sorts by a key, or reverses the order.
fn sort_button(out: &mut Vec<u8>, view: View, key: SortKey, word: &str, title: &str) {
    let (order, arrow) = match (view.key == key, view.descending) {
        (true, false) => ("desc", " <span aria-hidden=\"true\">\u{2191}</span>"),
        (true, true) => ("asc", " <span aria-hidden=\"true\">\u{2193}</span>"),
        // Who asks for times looks for what is new.
        (false, _) if key == SortKey::Time => ("desc", ""),
        (false, _) => ("asc", ""),
    };
    let current = if view.key == key {
        " aria-current=\"true\""
    } else {
        ""
    };
    put(
        out,
        format_args!(
            "<form><input type=\"hidden\" name=\"view\" value=\"gallery\">\
             <input type=\"hidden\" name=\"sort\" value=\"{word}\">\
             <button class=\"button\" name=\"order\" value=\"{order}\"{current}>{title}{arrow}</button></form>\n"
        ),
    );
}
