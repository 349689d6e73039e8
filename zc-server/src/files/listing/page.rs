//! The pages of listings, in HTML and JSON.

use std::borrow::Cow;

use jiff::Timestamp;
use percent_encoding::percent_encode;

use super::view::{Format, SortKey, View};
use crate::files::percent::SEGMENT;
use crate::html::{self, OwnStyle, put, shown};

/// The units of sizes, each 1000 times the one before.
const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];

/// One entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) name: &'a [u8],
    /// In bytes; `None` for a directory.
    pub(crate) length: Option<u64>,
    /// Seconds since 1970.
    pub(crate) mtime_seconds: i64,
}

/// What the styles of a page depend on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Styles<'a> {
    /// That of the operator.
    pub(crate) own: Option<&'a OwnStyle>,
    pub(crate) has_readme: bool,
}

/// The links of the breadcrumb: to as many directories below the root, and to as many at the end of the path. A
/// link has 3 bytes for each directory that it leads up, so that links to all of 2,000 directories would have 6
/// MB.
const LINKS_FIRST: usize = 3;
const LINKS_LAST: usize = 8;

/// The most bytes that [`start`] writes.
pub(crate) fn head_bytes_max(path: &[u8], depth: usize, own_style: Option<&OwnStyle>) -> usize {
    // A byte becomes 6 where it is escaped (`&#x27;`), in the title and in the breadcrumb.
    let names = 2 * 6 * path.len();
    let segments = path.split(|&byte| byte == b'/').count();
    let ups = 3 * (depth + LINKS_FIRST * segments + LINKS_LAST * LINKS_LAST);
    html::BASE.len()
        + html::LISTING.len()
        + html::README.len()
        + own_style.map_or(0, |style| style.text().len())
        + html::START_BYTES_MAX
        + 2048
        + names
        + ups
        + 64 * (LINKS_FIRST + LINKS_LAST)
}

/// Writes what precedes the entries. `path` is the decoded path, empty for the root. `depth` is how many
/// segments the path of the request has.
pub(crate) fn start(out: &mut Vec<u8>, path: &[u8], depth: usize, view: View, styles: Styles<'_>) {
    if view.format == Format::Json {
        return out.push(b'[');
    }
    let slash = if path.is_empty() { "" } else { "/" };
    let title = format!("Index of /{}{slash}", shown(path));
    let all = [html::BASE, html::LISTING, html::README];
    let of_page = if styles.has_readme {
        &all[..]
    } else {
        &all[..2]
    };
    html::start(out, &title, of_page, styles.own);
    out.extend_from_slice(b"<h1><span class=\"of\">Index of</span> ");
    breadcrumbs(out, path, depth);
    out.extend_from_slice(b"</h1>\n<table>\n<thead><tr>");
    for (key, word, title) in [
        (SortKey::Name, "name", "Name"),
        (SortKey::Size, "size", "Size"),
        (SortKey::Time, "time", "Modified"),
    ] {
        heading(out, view, key, word, title);
    }
    out.extend_from_slice(b"</tr></thead>\n<tbody>\n");
    if !path.is_empty() {
        out.extend_from_slice(
            b"<tr class=\"up\"><td><a href=\"../\">Parent directory</a></td><td></td><td></td></tr>\n",
        );
    }
}

/// Writes one entry.
pub(crate) fn row(out: &mut Vec<u8>, row: Row<'_>, format: Format, is_first: bool) {
    match format {
        Format::Html => html_row(out, row),
        Format::Json => {
            out.extend_from_slice(if is_first { b"\n" } else { b",\n" });
            json_row(out, row);
        }
    }
}

/// Writes the end of the entries.
pub(crate) fn entries_end(out: &mut Vec<u8>, format: Format, count: usize) {
    match format {
        Format::Json => out.extend_from_slice(b"\n]\n"),
        Format::Html => {
            let noun = if count == 1 { "entry" } else { "entries" };
            put(
                out,
                format_args!("</tbody>\n</table>\n<p>{count} {noun}</p>\n"),
            );
        }
    }
}

/// Writes a piece of the README, which is harmless HTML, in an element of its own.
pub(crate) fn readme(out: &mut Vec<u8>, piece: &[u8], is_first: bool, is_last: bool) {
    if piece.is_empty() && is_first && is_last {
        return;
    }
    if is_first {
        out.extend_from_slice(b"<article class=\"readme\">\n");
    }
    out.extend_from_slice(piece);
    if is_last {
        out.extend_from_slice(b"</article>\n");
    }
}

/// Writes the end of the page.
pub(crate) fn end(out: &mut Vec<u8>, format: Format) {
    if format == Format::Html {
        html::script(out, html::LISTING_SCRIPT);
        html::end(out);
    }
}

/// Writes a link to each directory above, but those in the middle of a long path. The links are relative, so
/// that they work behind a proxy that serves the root under a prefix.
fn breadcrumbs(out: &mut Vec<u8>, path: &[u8], depth: usize) {
    let segments: Vec<_> = match path {
        [] => Vec::new(),
        path => path.split(|&byte| byte == b'/').collect(),
    };
    let up = |steps: usize| match steps {
        0 => "./".to_owned(),
        _ => "../".repeat(steps),
    };
    put(out, format_args!("<a href=\"{}\">/</a>", up(depth)));
    let last = segments.len().saturating_sub(LINKS_LAST);
    for (index, segment) in segments.iter().enumerate() {
        if (LINKS_FIRST..last).contains(&index) {
            if index == LINKS_FIRST {
                out.extend_from_slice("<wbr>…/".as_bytes());
            }
            continue;
        }
        put(
            out,
            format_args!(
                "<wbr><a href=\"{}\"><bdi>{}</bdi>/</a>",
                up(segments.len() - 1 - index),
                html_escape::encode_safe(&shown(segment))
            ),
        );
    }
}

/// Writes the heading of a column: a button that sorts by it, or reverses the order. It is no link, since
/// programs that mirror a tree follow every link: `wget` ignores `rel=nofollow`, and would fetch seven pages
/// of every directory.
fn heading(out: &mut Vec<u8>, view: View, key: SortKey, word: &str, title: &str) {
    let is_key = view.key == key;
    let (order, sorted) = match (is_key, view.descending) {
        (true, false) => ("desc", " aria-sort=\"ascending\""),
        (true, true) => ("asc", " aria-sort=\"descending\""),
        // Who asks for times looks for what is new.
        (false, _) if key == SortKey::Time => ("desc", ""),
        (false, _) => ("asc", ""),
    };
    put(
        out,
        format_args!(
            "<th{sorted}><form><input type=\"hidden\" name=\"sort\" value=\"{word}\">\
             <button name=\"order\" value=\"{order}\">{title}</button></form></th>"
        ),
    );
}

fn html_row(out: &mut Vec<u8>, row: Row<'_>) {
    let slash = if row.length.is_none() { "/" } else { "" };
    put(
        out,
        format_args!(
            "<tr><td><a href=\"{}{slash}\"><bdi>{}</bdi>{slash}</a></td>",
            percent_encode(row.name, SEGMENT),
            html_escape::encode_safe(&shown(row.name)),
        ),
    );
    match row.length {
        Some(bytes) => put(
            out,
            format_args!("<td title=\"{bytes} bytes\">{}</td>", size(bytes)),
        ),
        None => out.extend_from_slice(b"<td></td>"),
    }
    match time(row.mtime_seconds) {
        Some(time) => put(
            out,
            format_args!(
                "<td><time datetime=\"{time}\">{}</time></td></tr>\n",
                time.strftime("%Y-%m-%d %H:%M")
            ),
        ),
        None => out.extend_from_slice(b"<td></td></tr>\n"),
    }
}

fn json_row(out: &mut Vec<u8>, row: Row<'_>) {
    let entry = serde_json::json!({
        "name": String::from_utf8_lossy(row.name),
        "type": if row.length.is_none() { "directory" } else { "file" },
        "size": row.length,
        "mtime": time(row.mtime_seconds).map(|time| time.to_string()),
        // The reference to it, which has all bytes of the name.
        "href": format!(
            "{}{}",
            percent_encode(row.name, SEGMENT),
            if row.length.is_none() { "/" } else { "" }
        ),
    });
    // A `Vec` takes every write, and every value here can be written.
    let _ = serde_json::to_writer(out, &entry);
}

/// A size as people read it: three digits and a unit.
fn size(bytes: u64) -> Cow<'static, str> {
    if bytes < 1000 {
        return format!("{bytes} B").into();
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    // Rounded up to 1000 a value belongs to the next unit.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if value < 9.95 { 1 } else { 0 };
    format!("{value:.digits$} {}", UNITS[unit]).into()
}

fn time(seconds: i64) -> Option<Timestamp> {
    Timestamp::from_second(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(format: Format) -> View {
        View {
            format,
            key: SortKey::Name,
            descending: false,
        }
    }

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("UTF-8 whatever the names are")
    }

    #[test]
    fn names_of_any_bytes_are_escaped() {
        let hostile: [&[u8]; 5] = [
            b"<script>alert(1)</script>",
            b"\"onmouseover=\"x",
            b"a&b;c'd",
            b"new\nline\x1b[31m\x7f",
            b"\xff\xfe../x",
        ];
        for name in hostile {
            let file = Row {
                name,
                length: Some(5),
                mtime_seconds: 0,
            };
            let html = written(|out| row(out, file, Format::Html, true));
            assert_eq!(html.matches('<').count(), 14, "only tags of ours: {html}");
            assert_eq!(html.matches('"').count(), 6, "only quotes of ours: {html}");
            assert_eq!(html.matches('\n').count(), 1, "one line: {html}");
            let json = written(|out| row(out, file, Format::Json, true));
            let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
            let href = value["href"].as_str().expect("a string");
            let decoded: Vec<u8> = percent_encoding::percent_decode_str(href).collect();
            assert_eq!(decoded, name, "the link leads to the very name");
            assert!(html.contains(&format!("href=\"{href}\"")), "{html}");
            let page = written(|out| start(out, name, 0, view(Format::Html), Styles::default()));
            assert!(
                !page.contains("<script") && !page.contains("onmouseover=\"x"),
                "{page}"
            );
        }
    }

    #[test]
    fn the_head_of_a_page_is_short_however_deep_the_directory_is() {
        for depth in [0, 1, 11, 12, 2000] {
            let names: Vec<_> = (0..depth).map(|number| format!("'{number}")).collect();
            let path = names.join("/");
            let page = written(|out| {
                start(
                    out,
                    path.as_bytes(),
                    depth,
                    view(Format::Html),
                    Styles::default(),
                )
            });
            assert!(
                page.len() <= head_bytes_max(path.as_bytes(), depth, None),
                "{depth}"
            );
            assert!(page.len() < 200_000, "{depth}: {} bytes", page.len());
            let links = page.matches("<bdi>").count();
            assert_eq!(links, depth.min(LINKS_FIRST + LINKS_LAST));
            assert_eq!(page.contains('…'), depth > links);
            let is_linked = |number: usize| {
                let up = match depth - 1 - number {
                    0 => "./".to_owned(),
                    steps => "../".repeat(steps),
                };
                page.contains(&format!("\"{up}\"><bdi>&#x27;{number}</bdi>/"))
            };
            let is_shown = |number| number < LINKS_FIRST || number + LINKS_LAST >= depth;
            for number in 0..depth {
                assert_eq!(is_linked(number), is_shown(number), "{number} of {depth}");
            }
        }
    }

    #[test]
    fn a_link_never_leaves_its_directory() {
        for (name, href) in [
            (&b"a:b"[..], "a%3Ab"),
            (b"//host", "%2F%2Fhost"),
            (b"?x#y", "%3Fx%23y"),
            (b"100%", "100%25"),
            (b"plain-name_1.txt~", "plain-name_1.txt~"),
        ] {
            let file = Row {
                name,
                length: Some(5),
                mtime_seconds: 0,
            };
            let html = written(|out| row(out, file, Format::Html, true));
            assert!(html.contains(&format!("href=\"{href}\"")), "{html}");
        }
    }

    #[test]
    fn a_json_page_is_json_with_any_number_of_entries() {
        for count in 0..3 {
            let page = written(|out| {
                start(out, b"a", 0, view(Format::Json), Styles::default());
                for index in 0..count {
                    let entry = Row {
                        name: b"n",
                        length: (index > 0).then_some(u64::MAX),
                        mtime_seconds: 1_700_000_000,
                    };
                    row(out, entry, Format::Json, index == 0);
                }
                entries_end(out, Format::Json, count);
                end(out, Format::Json);
            });
            let value: serde_json::Value = serde_json::from_str(&page).expect("JSON");
            assert_eq!(value.as_array().map(Vec::len), Some(count));
            if count == 2 {
                assert_eq!(value[0]["type"], "directory");
                assert_eq!(value[0]["size"], serde_json::Value::Null);
                assert_eq!(value[0]["href"], "n/");
                assert_eq!(value[1]["size"], u64::MAX);
                assert_eq!(value[1]["mtime"], "2023-11-14T22:13:20Z");
            }
        }
    }

    #[test]
    fn sizes_have_three_digits_at_most() {
        for (bytes, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (9_949, "9.9 kB"),
            (9_950, "10 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (300_000_000, "300 MB"),
            (4_294_967_296, "4.3 GB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(size(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn the_head_of_a_column_sorts_by_it_and_then_the_other_way_round() {
        let page = |key, descending| {
            let view = View {
                format: Format::Html,
                key,
                descending,
            };
            written(|out| start(out, b"", 0, view, Styles::default()))
        };
        let sorts = |page: &str, word: &str, order: &str| {
            page.contains(&format!(
                "<input type=\"hidden\" name=\"sort\" value=\"{word}\"><button name=\"order\" value=\"{order}\">"
            ))
        };
        assert!(sorts(&page(SortKey::Name, false), "name", "desc"));
        assert!(sorts(&page(SortKey::Name, true), "name", "asc"));
        assert!(sorts(&page(SortKey::Size, false), "name", "asc"));
        assert!(sorts(&page(SortKey::Size, false), "size", "desc"));
        assert!(sorts(&page(SortKey::Size, false), "time", "desc"));
        assert!(sorts(&page(SortKey::Time, true), "time", "asc"));
        assert!(page(SortKey::Time, true).contains("aria-sort=\"descending\""));
    }
}
