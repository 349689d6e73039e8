//! The `Content-Type` of a file, by its name.

/// What is said of a file whose name says nothing.
const UNKNOWN: &str = "application/octet-stream";

/// The media type for a path, by its last extension and without regard to case.
///
/// Text and scripts are declared as UTF-8: that is what files are written in today, and without it
/// a browser guesses by locale.
pub(crate) fn content_type(path: &[u8]) -> &'static str {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    // A leading dot hides a file; it does not begin an extension.
    let extension = match name.iter().rposition(|&byte| byte == b'.') {
        None | Some(0) => return UNKNOWN,
        Some(dot) => &name[dot + 1..],
    };
    // Every known extension is ASCII, so whatever is not UTF-8 is not known.
    str::from_utf8(extension)
        .ok()
        .and_then(|extension| mime_guess::from_ext(extension).first_raw())
        .map_or(UNKNOWN, with_charset)
}

/// Appends the charset to the types that people write by hand and browsers show.
fn with_charset(media_type: &'static str) -> &'static str {
    match media_type {
        "text/html" => "text/html; charset=utf-8",
        "text/css" => "text/css; charset=utf-8",
        "text/plain" => "text/plain; charset=utf-8",
        // RFC 9239 §6: `text/javascript` is the one name, and all others are aliases.
        "text/javascript" | "application/javascript" => "text/javascript; charset=utf-8",
        "text/csv" => "text/csv; charset=utf-8",
        // RFC 7763 registered the name without `x-`.
        "text/markdown" | "text/x-markdown" => "text/markdown; charset=utf-8",
        "text/xml" => "text/xml; charset=utf-8",
        "text/calendar" => "text/calendar; charset=utf-8",
        "text/vtt" => "text/vtt; charset=utf-8",
        "text/tab-separated-values" => "text/tab-separated-values; charset=utf-8",
        "text/x-rust" => "text/x-rust; charset=utf-8",
        "text/x-toml" => "text/x-toml; charset=utf-8",
        "text/x-yaml" => "text/x-yaml; charset=utf-8",
        "text/x-c" => "text/x-c; charset=utf-8",
        // JSON is UTF-8 by definition (RFC 8259 §8.1) and has no such parameter.
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(content_type(path), expected, "{}", path.escape_ascii());
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
            assert_eq!(content_type(path), UNKNOWN, "{}", path.escape_ascii());
        }
        // The stem may be anything.
        assert_eq!(content_type(b"\xff\xfe.png"), "image/png");
    }
}
