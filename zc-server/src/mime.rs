//! The `Content-Type` of a file, by its name.

use std::borrow::Cow;

use crate::config::files::MediaType;

/// What is said of a file whose name says nothing.
pub(crate) const UNKNOWN: &str = "application/octet-stream";

/// Types that `mime_guess` does not know, or gives another name than browsers want. Sorted.
const CORRECTED: [(&str, &str); 17] = [
    ("apk", "application/vnd.android.package-archive"),
    ("br", "application/x-brotli"),
    // A stream of FLAC (RFC 9639 §10.1).
    ("flac", "audio/flac"),
    // HLS: playlists (RFC 8216 §4) and their segments. TypeScript has the same extension, but no
    // browser runs it.
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("ts", "video/mp2t"),
    ("m2ts", "video/mp2t"),
    // DASH: manifests and segments.
    ("mpd", "application/dash+xml"),
    ("m4s", "video/iso.segment"),
    ("map", "application/json"),
    ("mkv", "video/x-matroska"),
    ("mka", "audio/x-matroska"),
    ("opus", "audio/ogg"),
    // The example of RFC 4337 has no other name for files with video.
    ("m4v", "video/mp4"),
    ("usdz", "model/vnd.usdz+zip"),
    ("webmanifest", "application/manifest+json"),
    ("jxl", "image/jxl"),
    ("zst", "application/zstd"),
];

/// Media types by extension: those of the configuration, then the corrected, then the known ones.
#[derive(Debug, Clone)]
pub(crate) struct Types {
    configured: Vec<MediaType>,
    default: String,
}

impl Types {
    pub(crate) fn new(configured: Vec<MediaType>, default: String) -> Self {
        Self {
            configured,
            default,
        }
    }

    /// The media type for a path, by its last extension and without regard to case.
    ///
    /// Text and scripts are declared as UTF-8: that is what files are written in today, and without
    /// it a browser guesses by locale. A configured type is taken as it is.
    pub(crate) fn of(&self, path: &[u8]) -> Cow<'_, str> {
        // Every extension that is known or configured is UTF-8.
        let Some(extension) = extension(path).and_then(|bytes| str::from_utf8(bytes).ok()) else {
            return Cow::Borrowed(&self.default);
        };
        let lower = extension.to_lowercase();
        if let Some(own) = self.configured.iter().find(|own| own.extension == lower) {
            return Cow::Borrowed(&own.media_type);
        }
        if let Some((_, name)) = CORRECTED.iter().find(|(known, _)| *known == lower) {
            return with_charset(name);
        }
        match mime_guess::from_ext(extension).first_raw() {
            Some(known) => with_charset(known),
            None => Cow::Borrowed(&self.default),
        }
    }
}

/// What stands behind the last dot of the last segment.
pub(crate) fn extension(path: &[u8]) -> Option<&[u8]> {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    // A leading dot hides a file; it does not begin an extension.
    match name.iter().rposition(|&byte| byte == b'.') {
        None | Some(0) => None,
        Some(dot) => Some(&name[dot + 1..]),
    }
}

/// Appends the charset to types that are text.
fn with_charset(media_type: &'static str) -> Cow<'static, str> {
    match media_type {
        // RFC 9239 §6: `text/javascript` is the one name, and all others are aliases.
        "application/javascript" => "text/javascript; charset=utf-8".into(),
        // RFC 7763 registered the name without `x-`.
        "text/x-markdown" => "text/markdown; charset=utf-8".into(),
        // JSON is UTF-8 by definition (RFC 8259 §8.1) and has no such parameter.
        text if text.starts_with("text/") => format!("{text}; charset=utf-8").into(),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types() -> Types {
        let own = |extension: &str, media_type: &str| MediaType {
            extension: extension.to_owned(),
            media_type: media_type.to_owned(),
        };
        let configured = vec![own("log", "text/x-log"), own("mkv", "video/matroska")];
        Types::new(configured, UNKNOWN.to_owned())
    }

    #[test]
    fn a_configured_type_comes_before_all_others() {
        let types = types();
        assert_eq!(types.of(b"a.LOG"), "text/x-log");
        assert_eq!(types.of(b"film.mkv"), "video/matroska");
        let plain = Types::new(Vec::new(), "text/plain; charset=latin1".to_owned());
        assert_eq!(plain.of(b"README"), "text/plain; charset=latin1");
        assert_eq!(plain.of(b"film.mkv"), "video/x-matroska");
    }

    #[test]
    fn by_extension() {
        for (path, expected) in [
            (&b"index.html"[..], "text/html; charset=utf-8"),
            (b"a/b/INDEX.HtM", "text/html; charset=utf-8"),
            (b"app.js", "text/javascript; charset=utf-8"),
            (b"app.mjs", "text/javascript; charset=utf-8"),
            (b"app.min.css", "text/css; charset=utf-8"),
            (b"notes.txt", "text/plain; charset=utf-8"),
            (b"readme.md", "text/markdown; charset=utf-8"),
            (b"table.csv", "text/csv; charset=utf-8"),
            (b"feed.xml", "text/xml; charset=utf-8"),
            (b"diary.ics", "text/calendar; charset=utf-8"),
            (b"film.vtt", "text/vtt; charset=utf-8"),
            (b"data.json", "application/json"),
            (b"program.wasm", "application/wasm"),
            (b"picture.PNG", "image/png"),
            (b"icon.svg", "image/svg+xml"),
            (b"font.woff2", "font/woff2"),
        ] {
            assert_eq!(types().of(path), expected, "{}", path.escape_ascii());
        }
    }

    #[test]
    fn a_name_that_says_nothing_is_octets() {
        for path in [
            &b""[..],
            b"/",
            b".",
            b"Makefile",
            b"name.",
            b".html",
            b"dir.html/file",
            b"dir/.html",
            b"x.unheard-of",
            b"x.\xff\xfe",
            b"x.ht\xccml",
            "x.\u{212a}".as_bytes(),
            b"x.html\0",
            b"x. html",
        ] {
            assert_eq!(types().of(path), UNKNOWN, "{}", path.escape_ascii());
        }
        // The stem may be anything.
        assert_eq!(types().of(b"\xff\xfe.png"), "image/png");
    }
}
