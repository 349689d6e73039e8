//! What a directory says of itself: its `README.md` or `HEADER.html`, as HTML that can do no harm.

mod header;
mod markdown;

use std::io::Read;

use crate::files::open_file::OpenMode;
use crate::files::root::Root;

/// The longest file that is shown, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// The names, in lower case; the first that exists is shown.
const NAMES: [(&[u8], Kind); 2] = [(b"readme.md", Kind::Markdown), (b"header.html", Kind::Html)];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Markdown,
    Html,
}

/// The name that is shown, of those of a directory.
#[derive(Debug, Default)]
pub(super) struct Choice(Option<(Kind, Vec<u8>)>);

impl Choice {
    /// Looks at the name of a file. Of names that differ by case, the first in the order of their bytes is chosen.
    pub(super) fn look_at(&mut self, name: &[u8]) {
        let mut names = NAMES.iter();
        let Some((_, kind)) = names.find(|(known, _)| known.eq_ignore_ascii_case(name)) else {
            return;
        };
        let other = (*kind, name.to_vec());
        if self.0.as_ref().is_none_or(|chosen| other < *chosen) {
            self.0 = Some(other);
        }
    }

    /// Reads it from the directory at `path`, and answers it as HTML. `reserve` is asked for the memory of so many bytes.
    /// `None` without one that can be read, and that is not too long.
    pub(super) fn read(
        self,
        root: &Root,
        path: &[u8],
        mut reserve: impl FnMut(usize) -> bool,
    ) -> Option<Vec<u8>> {
        let (kind, name) = self.0?;
        let path = match path {
            [] => name,
            path => [path, &name].join(&b'/'),
        };
        let opened = root.open_file(&path, OpenMode::MayBlock).ok()?;
        let length = opened.state.length;
        if length > FILE_BYTES_MAX || !reserve(usize::try_from(length).ok()?) {
            return None;
        }
        let mut bytes = Vec::new();
        let file = opened.file.file();
        let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).ok()?;
        if read as u64 > FILE_BYTES_MAX {
            return None;
        }
        let text = String::from_utf8_lossy(&bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let mut html = match kind {
            Kind::Markdown => markdown::to_html(text),
            Kind::Html => header::to_html(text),
        };
        html.shrink_to_fit();
        reserve(html.len()).then_some(html)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_comes_before_html_and_capitals_first() {
        let chosen = |names: &[&str]| {
            let mut choice = Choice::default();
            for name in names {
                choice.look_at(name.as_bytes());
            }
            choice
                .0
                .map(|(_, name)| String::from_utf8(name).expect("ASCII"))
        };
        assert_eq!(
            chosen(&["a", "README", "README.md.bak", "readme.html"]),
            None
        );
        assert_eq!(chosen(&["Header.HTML"]).as_deref(), Some("Header.HTML"));
        assert_eq!(
            chosen(&["HEADER.html", "readme.md", "Readme.MD"]).as_deref(),
            Some("Readme.MD")
        );
        assert_eq!(
            chosen(&["README.md", "readme.md", "HEADER.html"]).as_deref(),
            Some("README.md")
        );
    }
}
