//! What an entry is, for its icon.

use super::Row;
use crate::files::mime;
use crate::html::icon;

/// What an icon shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Archive,
    Audio,
    Code,
    Directory,
    Document,
    Image,
    Other,
    Text,
    Video,
}

/// Media types that are no text to everybody.
const CODE: [&str; 8] = [
    "text/html",
    "text/css",
    "text/javascript",
    "text/xml",
    "application/json",
    "application/xml",
    "application/toml",
    "application/wasm",
];

/// What is in the names of media types of packed files.
const ARCHIVES: [&str; 14] = [
    "zip",
    "x-tar",
    "x-7z",
    "x-bzip",
    "x-xz",
    "zstd",
    "rar",
    "x-cpio",
    "debian",
    "x-rpm",
    "rpm",
    "java-archive",
    "android.package",
    "iso9660",
];

/// What is in the names of media types of documents.
const DOCUMENTS: [&str; 7] = [
    "pdf",
    "msword",
    "ms-excel",
    "ms-powerpoint",
    "officedocument",
    "opendocument",
    "epub",
];

impl Kind {
    pub(super) fn of(row: Row<'_>) -> Self {
        if row.length.is_none() {
            return Self::Directory;
        }
        let Some(media_type) = mime::built_in(row.name) else {
            return Self::Other;
        };
        let has = |words: &[&str]| words.iter().any(|word| media_type.contains(word));
        match media_type.split('/').next() {
            Some("image") => Self::Image,
            Some("video") => Self::Video,
            Some("audio") => Self::Audio,
            _ if CODE.contains(&media_type) || media_type.starts_with("text/x-") => Self::Code,
            Some("text") => Self::Text,
            _ if has(&ARCHIVES) => Self::Archive,
            _ if has(&DOCUMENTS) => Self::Document,
            _ => Self::Other,
        }
    }

    /// The icon, which refers to a symbol of [`ICONS`](crate::html::ICONS).
    pub(super) const fn icon(self) -> &'static str {
        match self {
            Self::Archive => icon!("z"),
            Self::Audio => icon!("a"),
            Self::Code => icon!("c"),
            Self::Directory => icon!("d"),
            Self::Document => icon!("p"),
            Self::Image => icon!("i"),
            Self::Other => icon!("f"),
            Self::Text => icon!("t"),
            Self::Video => icon!("v"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_follows_the_media_type() {
        for (name, kind) in [
            ("a.JPG", Kind::Image),
            ("a.mkv", Kind::Video),
            ("a.flac", Kind::Audio),
            ("a.txt", Kind::Text),
            ("README.md", Kind::Text),
            ("a.html", Kind::Code),
            ("a.json", Kind::Code),
            ("a.tar", Kind::Archive),
            ("a.tar.gz", Kind::Archive),
            ("a.zip", Kind::Archive),
            ("a.deb", Kind::Archive),
            ("a.zst", Kind::Archive),
            ("a.pdf", Kind::Document),
            ("a.odt", Kind::Document),
            ("a.docx", Kind::Document),
            ("a.bin", Kind::Other),
            ("a", Kind::Other),
            ("a.nothing-known", Kind::Other),
        ] {
            let row = Row {
                name: name.as_bytes(),
                length: Some(1),
                mtime_seconds: 0,
            };
            assert_eq!(Kind::of(row), kind, "{name}");
        }
        let directory = Row {
            name: b"a.jpg",
            length: None,
            mtime_seconds: 0,
        };
        assert_eq!(Kind::of(directory), Kind::Directory);
    }

    #[test]
    fn each_icon_is_in_the_sprite() {
        let kinds = [
            Kind::Archive,
            Kind::Audio,
            Kind::Code,
            Kind::Directory,
            Kind::Document,
            Kind::Image,
            Kind::Other,
            Kind::Text,
            Kind::Video,
        ];
        for kind in kinds {
            let (_, id) = kind.icon().split_once("href=\"#").expect("a reference");
            let id = id.split('"').next().expect("an end");
            let symbol = format!("<symbol id=\"{id}\" ");
            assert!(crate::html::ICONS.contains(&symbol), "{kind:?}");
        }
    }
}
