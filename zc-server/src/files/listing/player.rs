//! The page that shows or plays one file, with links to the one before and the one behind it in the gallery.
//!
//! It needs no script: that adds keys, swipes, speed and the position where somebody stopped.

use std::io;

use percent_encoding::percent_encode;

use super::companions::language;
use super::gallery::name_of;
use super::view::{Format, Layout, View};
use super::{Entry, Listing, ListingRequest, Role};
use crate::files::mime::MediaKind;
use crate::files::percent::SEGMENT;
use crate::html::{self, OwnStyle, put, shown};

/// The arrows, and the sign of a gallery.
const ICONS: &str = "<svg class=\"sprite\" aria-hidden=\"true\">\
    <symbol id=\"prev\" viewBox=\"0 0 24 24\"><path d=\"M15 5l-7 7 7 7\"/></symbol>\
    <symbol id=\"next\" viewBox=\"0 0 24 24\"><path d=\"M9 5l7 7-7 7\"/></symbol>\
    <symbol id=\"all\" viewBox=\"0 0 24 24\"><path d=\"M4 4h6v6H4zM14 4h6v6h-6zM4 14h6v6H4zM14 14h6v6h-6z\"/></symbol>\
    </svg>\n";

/// A file to be shown, and the directory that it is in.
#[derive(Debug)]
pub(crate) struct PlayerRequest {
    pub(crate) directory: ListingRequest,
    pub(crate) name: Vec<u8>,
    /// Whether `?download` is answered with a download.
    pub(crate) has_download_query: bool,
}

impl PlayerRequest {
    /// Reads the directory and writes the page; `None` if the file is none that a gallery shows.
    ///
    /// # Errors
    ///
    /// Those of [`ListingRequest::read`].
    pub(crate) fn read(mut self) -> io::Result<Option<Vec<u8>>> {
        self.directory.view.format = Format::Html;
        self.directory.view.layout = Layout::Gallery;
        let listing = self.directory.read()?;
        Ok(Player::find(&listing, &self.name).map(|player| player.page(self.has_download_query)))
    }
}

/// The file among its neighbours.
struct Player<'a> {
    view: View,
    own_style: Option<&'a OwnStyle>,
    name: &'a [u8],
    kind: MediaKind,
    /// Its place, counted from 1, and how many there are.
    place: usize,
    count: usize,
    before: Option<&'a [u8]>,
    behind: Option<&'a [u8]>,
    poster: Option<&'a [u8]>,
    subtitles: Vec<&'a [u8]>,
}

impl<'a> Player<'a> {
    fn find(listing: &'a Listing, name: &[u8]) -> Option<Self> {
        let Listing { entries, names, .. } = listing;
        let media = |entry: &'a Entry| match entry.role {
            Role::Media(kind) => Some((entry.name(names), kind)),
            Role::Directory | Role::Companion | Role::Other => None,
        };
        let all: Vec<_> = entries.iter().filter_map(media).collect();
        let index = all.iter().position(|&(other, _)| other == name)?;
        let (name, kind) = all[index];
        let by_name = listing.by_name.as_ref()?;
        let name_of = |number| name_of(entries, names, number);
        let subtitles = by_name.subtitles(name, name_of).map(name_of);
        Some(Self {
            view: listing.view,
            own_style: listing.own_style.as_ref(),
            name,
            kind,
            place: index + 1,
            count: all.len(),
            before: index.checked_sub(1).map(|index| all[index].0),
            behind: all.get(index + 1).map(|&(name, _)| name),
            poster: by_name.poster(name, name_of).map(name_of),
            subtitles: subtitles.collect(),
        })
    }

    fn page(&self, has_download_query: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let text = shown(self.name);
        html::start(&mut out, &text, &[html::BASE, html::PLAYER], self.own_style);
        out.extend_from_slice(ICONS.as_bytes());
        put(
            &mut out,
            format_args!(
                "<header>\n<a class=\"button\" href=\"./{}\">\
                 <svg aria-hidden=\"true\"><use href=\"#all\"/></svg> Gallery</a>\n\
                 <h1><bdi>{}</bdi></h1>\n<p>{} of {}</p>\n</header>\n<main>\n<div id=\"stage\">\n",
                self.view.kept(),
                html_escape::encode_safe(&text),
                self.place,
                self.count,
            ),
        );
        self.medium(&mut out);
        out.extend_from_slice(b"</div>\n");
        let query = if has_download_query { "?download" } else { "" };
        self.messages(&mut out, query);
        out.extend_from_slice(b"<nav aria-label=\"Gallery\">\n");
        self.step(&mut out, self.before, "prev", "Previous");
        let href = percent_encode(self.name, SEGMENT);
        put(
            &mut out,
            format_args!(
                "<div id=\"tools\">\n<a class=\"button\" href=\"{href}\">Open the file</a>\n\
                 <a class=\"button\" href=\"{href}{query}\" download>Download</a>\n</div>\n"
            ),
        );
        self.step(&mut out, self.behind, "next", "Next");
        out.extend_from_slice(b"</nav>\n</main>\n");
        html::script(&mut out, html::PLAYER_SCRIPT);
        html::end(&mut out);
        out
    }

    /// Writes what shows or plays the file.
    fn medium(&self, out: &mut Vec<u8>) {
        let href = percent_encode(self.name, SEGMENT);
        let text = shown(self.name);
        let text = html_escape::encode_safe(&text);
        match self.kind {
            MediaKind::Photo | MediaKind::Image => put(
                out,
                format_args!(
                    "<a href=\"{href}\"><img id=\"medium\" src=\"{href}\" alt=\"{text}\"></a>\n"
                ),
            ),
            MediaKind::Video => {
                put(
                    out,
                    format_args!(
                        "<video id=\"medium\" src=\"{href}\" controls playsinline preload=\"metadata\" \
                         aria-label=\"{text}\""
                    ),
                );
                if let Some(poster) = self.poster {
                    put(
                        out,
                        format_args!(" poster=\"{}\"", percent_encode(poster, SEGMENT)),
                    );
                }
                out.extend_from_slice(b">\n");
                self.tracks(out);
                out.extend_from_slice(b"</video>\n");
            }
            MediaKind::Audio => {
                if let Some(cover) = self.poster {
                    put(
                        out,
                        format_args!(
                            "<img class=\"cover\" src=\"{}\" alt=\"\">\n",
                            percent_encode(cover, SEGMENT)
                        ),
                    );
                }
                put(
                    out,
                    format_args!(
                        "<audio id=\"medium\" src=\"{href}\" controls preload=\"metadata\" \
                         aria-label=\"{text}\"></audio>\n"
                    ),
                );
            }
        }
    }

    /// Writes the subtitles of a film, of which the first are shown.
    fn tracks(&self, out: &mut Vec<u8>) {
        for (index, subtitles) in self.subtitles.iter().enumerate() {
            let tag = language(self.name, subtitles);
            let default = if index == 0 { " default" } else { "" };
            put(
                out,
                format_args!(
                    "<track kind=\"subtitles\" src=\"{}\" srclang=\"{}\" label=\"{}\"{default}>\n",
                    percent_encode(subtitles, SEGMENT),
                    // Not known which (ISO 639-2).
                    tag.unwrap_or("und"),
                    tag.unwrap_or("Subtitles"),
                ),
            );
        }
    }

    /// Writes the link to a neighbour, or its place where there is none.
    fn step(&self, out: &mut Vec<u8>, name: Option<&[u8]>, rel: &str, title: &str) {
        let icon = format!("<svg aria-hidden=\"true\"><use href=\"#{rel}\"/></svg>");
        let content = match rel {
            "prev" => format!("{icon}<span>{title}</span>"),
            _ => format!("<span>{title}</span>{icon}"),
        };
        match name {
            Some(name) => put(
                out,
                format_args!(
                    "<a class=\"button {rel}\" rel=\"{rel}\" href=\"{}?view=play{}\">{content}</a>\n",
                    percent_encode(name, SEGMENT),
                    self.view.kept_order()
                ),
            ),
            None => put(
                out,
                format_args!("<span class=\"button {rel} off\">{content}</span>\n"),
            ),
        }
    }

    /// Writes what the script shows: that the browser cannot play the file, or goes on where it was left.
    fn messages(&self, out: &mut Vec<u8>, query: &str) {
        let href = percent_encode(self.name, SEGMENT);
        let verb = if self.kind.is_picture() {
            "show"
        } else {
            "play"
        };
        put(
            out,
            format_args!(
                "<p id=\"failed\" role=\"status\" hidden>This browser cannot {verb} the file. \
                 Another program may: <a href=\"{href}{query}\" download>download it</a>.</p>\n\
                 <p id=\"resumed\" role=\"status\" hidden></p>\n"
            ),
        );
    }
}
