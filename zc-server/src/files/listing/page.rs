//! The page of a listing, in HTML: a list of links with icons, sizes and times.

use std::borrow::Cow;

use jiff::Timestamp;
use percent_encoding::percent_encode;

use super::Row;
use super::kind::Kind;
use super::totals::Totals;
use super::view::{SortKey, View};
use crate::files::percent::SEGMENT;
use crate::html::{self, OwnStyle, icon, put, shown};
use crate::text::size;

/// The links of the breadcrumb: to as many directories below the root, and to as many at the end of the path. A
/// link has 3 bytes for each directory that it leads up, so that links to all of 2,000 directories would have 6
/// MB.
const LINKS_FIRST: usize = 3;
const LINKS_LAST: usize = 8;

/// The first second of the year 1, in seconds since 1970.
const YEAR_1_SECONDS: i64 = -62_135_596_800;

/// Which directory is listed, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// The decoded path, empty for the root.
    pub(super) path: &'a [u8],
    /// How many segments the path of the request has.
    pub(super) depth: usize,
    pub(super) view: View,
    pub(super) own_style: Option<&'a OwnStyle>,
    pub(super) has_readme: bool,
    /// Whether there is a button for the directory as one file.
    pub(super) offers_archive: bool,
    /// Whether there is a button for the gallery.
    pub(super) offers_gallery: bool,
}

/// The most bytes that [`start`] writes.
pub(super) fn head_bytes_max(path: &[u8], depth: usize, own_style: Option<&OwnStyle>) -> usize {
    // A byte becomes 6 where it is escaped (`&#x27;`), in the title and in the breadcrumb.
    let names = 2 * 6 * path.len();
    let segments = path.split(|&byte| byte == b'/').count();
    let ups = 3 * (depth + LINKS_FIRST * segments + LINKS_LAST * LINKS_LAST);
    let constant = html::BASE.len() + html::LISTING.len() + html::README.len() + html::ICONS.len();
    let own = own_style.map_or(0, |style| style.text().len());
    constant + own + html::START_BYTES_MAX + 2048 + names + ups + 128 * (LINKS_FIRST + LINKS_LAST)
}

/// Writes what precedes the entries.
pub(super) fn start(out: &mut Vec<u8>, place: Place<'_>, totals: &Totals) {
    let slash = if place.path.is_empty() { "" } else { "/" };
    let title = format!("Index of /{}{slash}", shown(place.path));
    let styles = match place.has_readme {
        true => &[html::BASE, html::LISTING, html::README][..],
        false => &[html::BASE, html::LISTING],
    };
    html::start(out, &title, styles, place.own_style);
    out.extend_from_slice(html::ICONS.as_bytes());
    out.extend_from_slice(b"<header>\n<h1><nav aria-label=\"Path\">");
    breadcrumbs(out, place);
    out.extend_from_slice(b"</nav></h1>\n");
    tools(out, place, totals);
    out.extend_from_slice(b"</header>\n<main>\n");
    sort_buttons(out, place.view);
    out.extend_from_slice(b"<ul>\n");
    if !place.path.is_empty() {
        put(
            out,
            format_args!(
                "<li class=\"up\"><a href=\"../{}\">{}Parent folder</a></li>\n",
                place.view.kept(),
                icon!("u")
            ),
        );
    }
}

/// Writes the totals and the buttons. They are no links: programs that mirror a tree would follow them.
fn tools(out: &mut Vec<u8>, place: Place<'_>, totals: &Totals) {
    put(out, format_args!("<div class=\"tools\"><p>{totals}</p>"));
    if place.offers_gallery {
        out.extend_from_slice(b"<form>");
        if let Some((key, order)) = place.view.chosen() {
            put(
                out,
                format_args!(
                    "<input type=\"hidden\" name=\"sort\" value=\"{key}\">\
                     <input type=\"hidden\" name=\"order\" value=\"{order}\">"
                ),
            );
        }
        let icon = icon!("i");
        put(
            out,
            format_args!("<button name=\"view\" value=\"gallery\">{icon}Gallery</button></form>"),
        );
    }
    if place.offers_archive && !totals.is_empty() {
        let icon = icon!("z");
        put(
            out,
            format_args!(
                "<form><button name=\"archive\" value=\"tar\">{icon}Download folder</button></form>"
            ),
        );
    }
    out.extend_from_slice(b"</div>\n");
}

/// Writes the end of the entries.
pub(super) fn entries_end(out: &mut Vec<u8>, totals: &Totals) {
    out.extend_from_slice(b"</ul>\n");
    if totals.is_empty() {
        out.extend_from_slice(b"<p class=\"empty\">This folder is empty.</p>\n");
    }
    out.extend_from_slice(b"</main>\n");
}

/// Writes a piece of the README, which is harmless HTML, in an element of its own.
pub(super) fn readme(out: &mut Vec<u8>, piece: &[u8], is_first: bool, is_last: bool) {
    if piece.is_empty() && is_first && is_last {
        return;
    }
    if is_first {
        out.extend_from_slice(b"<section class=\"readme\" aria-label=\"README\">\n");
    }
    out.extend_from_slice(piece);
    if is_last {
        out.extend_from_slice(b"</section>\n");
    }
}

/// Writes the end of the page.
pub(super) fn end(out: &mut Vec<u8>) {
    html::script(out, html::LISTING_SCRIPT);
    html::end(out);
}

/// Writes a link to each directory above, but those in the middle of a long path. The links are relative, so
/// that they work behind a proxy that serves the root under a prefix.
pub(super) fn breadcrumbs(out: &mut Vec<u8>, place: Place<'_>) {
    let Place {
        path, depth, view, ..
    } = place;
    let kept = view.kept();
    let segments: Vec<_> = match path {
        [] => Vec::new(),
        path => path.split(|&byte| byte == b'/').collect(),
    };
    let up = |steps: usize| match steps {
        0 => "./".to_owned(),
        _ => "../".repeat(steps),
    };
    let home = icon!("h");
    let current = current(segments.is_empty());
    put(
        out,
        format_args!(
            "<a href=\"{}{kept}\" aria-label=\"Top folder\"{current}>{home}</a>",
            up(depth)
        ),
    );
    let last = segments.len().saturating_sub(LINKS_LAST);
    for (index, segment) in segments.iter().enumerate() {
        if (LINKS_FIRST..last).contains(&index) {
            if index == LINKS_FIRST {
                out.extend_from_slice("<i>›</i><wbr>…".as_bytes());
            }
            continue;
        }
        let steps = segments.len() - 1 - index;
        let current = self::current(steps == 0);
        put(
            out,
            format_args!(
                "<i>›</i><wbr><a href=\"{}{kept}\"{current}><bdi>{}</bdi></a>",
                up(steps),
                html_escape::encode_safe(&shown(segment))
            ),
        );
    }
}

fn current(is_current: bool) -> &'static str {
    match is_current {
        true => " aria-current=\"page\"",
        false => "",
    }
}

/// Writes the buttons that sort by a column, or reverse the order. They are no links, since programs that mirror a
/// tree follow every link: `wget` ignores `rel=nofollow`, and would fetch seven pages of every directory.
pub(super) fn sort_buttons(out: &mut Vec<u8>, view: View) {
    let layout = match view.is_gallery() {
        true => "<input type=\"hidden\" name=\"view\" value=\"gallery\">",
        false => "",
    };
    out.extend_from_slice(b"<div class=\"sort\" role=\"group\" aria-label=\"Sort by\">");
    for (key, word, title) in [
        (SortKey::Name, "name", "Name"),
        (SortKey::Size, "size", "Size"),
        (SortKey::Time, "time", "Modified"),
    ] {
        let (order, class, said) = match (view.key == key, view.descending) {
            (true, false) => ("desc", " class=\"up\"", ", ascending"),
            (true, true) => ("asc", " class=\"down\"", ", descending"),
            // Who asks for times looks for what is new.
            (false, _) if key == SortKey::Time => ("desc", "", ""),
            (false, _) => ("asc", "", ""),
        };
        put(
            out,
            format_args!(
                "<form>{layout}<input type=\"hidden\" name=\"sort\" value=\"{word}\">\
                 <button name=\"order\" value=\"{order}\"{class}>{title}<b>{said}</b></button></form>"
            ),
        );
    }
    out.extend_from_slice(b"</div>\n");
}

/// Writes one entry; with the exact number of bytes where `is_exact`.
pub(super) fn row(out: &mut Vec<u8>, row: Row<'_>, view: View, is_exact: bool) {
    let (slash, kept) = match row.length {
        Some(_) => ("", Cow::Borrowed("")),
        None => ("/", view.kept()),
    };
    put(
        out,
        format_args!(
            "<li><a href=\"{}{slash}{kept}\">{}<bdi>{}</bdi></a>",
            percent_encode(row.name, SEGMENT),
            Kind::of(row).icon(),
            html_escape::encode_safe(&shown(row.name)),
        ),
    );
    match row.length {
        Some(bytes) if is_exact => put(
            out,
            format_args!("<span title=\"{bytes} bytes\">{}</span>", size(bytes)),
        ),
        Some(bytes) => put(out, format_args!("<span>{}</span>", size(bytes))),
        None => {}
    }
    // A date of HTML has a year from 1 on.
    let time = (row.mtime_seconds >= YEAR_1_SECONDS).then_some(row.mtime_seconds);
    if let Some(time) = time.and_then(|seconds| Timestamp::from_second(seconds).ok()) {
        // The same text twice is short when it is compressed.
        let time = time.strftime("%Y-%m-%d %H:%M");
        put(
            out,
            format_args!("<time datetime=\"{time}Z\">{time}</time>"),
        );
    }
    out.extend_from_slice(b"</li>\n");
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("UTF-8 whatever the names are")
    }

    fn view(query: &str) -> View {
        View::from_query(Some(query.as_bytes()), false)
    }

    fn head(path: &[u8], depth: usize, query: &str) -> String {
        let view = view(query);
        let place = Place {
            path,
            depth,
            view,
            own_style: None,
            has_readme: true,
            offers_archive: true,
            offers_gallery: true,
        };
        written(|out| start(out, place, &Totals::default()))
    }

    fn file(name: &[u8]) -> Row<'_> {
        Row {
            name,
            length: Some(5),
            mtime_seconds: 0,
        }
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
        let plain = written(|out| row(out, file(b"plain"), view(""), true));
        for name in hostile {
            let html = written(|out| row(out, file(name), view(""), true));
            for of_tags in ["<", ">", "\"", "\n"] {
                let count = |text: &str| text.matches(of_tags).count();
                assert_eq!(count(&html), count(&plain), "only those of ours: {html}");
            }
            let json = written(|out| json::row(out, file(name), true));
            let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
            let href = value["href"].as_str().expect("a string");
            let decoded: Vec<u8> = percent_encoding::percent_decode_str(href).collect();
            assert_eq!(decoded, name, "the link leads to the very name");
            assert!(html.contains(&format!("href=\"{href}\"")), "{html}");
            let page = head(name, 0, "");
            assert!(!page.contains("<script") && !page.contains("onmouseover=\"x"));
        }
    }

    #[test]
    fn the_head_of_a_page_is_short_however_deep_the_directory_is() {
        for depth in [0, 1, 11, 12, 2000] {
            let names: Vec<_> = (0..depth).map(|number| format!("'{number}")).collect();
            let path = names.join("/");
            let page = head(path.as_bytes(), depth, "sort=name");
            assert!(
                page.len() <= head_bytes_max(path.as_bytes(), depth, None),
                "{depth}"
            );
            assert!(page.len() < 200_000, "{depth}: {} bytes", page.len());
            let links = page.matches("<bdi>").count();
            assert_eq!(links, depth.min(LINKS_FIRST + LINKS_LAST));
            assert_eq!(page.contains('…'), depth > links);
            let is_linked = |number: usize| {
                let (up, current) = match depth - 1 - number {
                    0 => ("./".to_owned(), " aria-current=\"page\""),
                    steps => ("../".repeat(steps), ""),
                };
                page.contains(&format!(
                    "\"{up}?sort=name&amp;order=asc\"{current}><bdi>&#x27;{number}</bdi></a>"
                ))
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
            let html = written(|out| row(out, file(name), view("sort=size"), true));
            assert!(html.contains(&format!("href=\"{href}\"")), "{html}");
        }
    }

    #[test]
    fn an_order_that_was_chosen_is_kept_in_links_to_directories_alone() {
        let directory = Row {
            length: None,
            ..file(b"sub")
        };
        for (query, kept) in [
            ("", ""),
            ("format=html", ""),
            ("sort=time&order=desc", "?sort=time&amp;order=desc"),
            ("order=desc", "?sort=name&amp;order=desc"),
            ("sort=%22%3E", "?sort=name&amp;order=asc"),
        ] {
            let html = written(|out| row(out, directory, view(query), true));
            assert!(html.contains(&format!("href=\"sub/{kept}\"")), "{html}");
            let html = written(|out| row(out, file(b"f"), view(query), true));
            assert!(html.contains("href=\"f\""), "{html}");
            let page = head(b"a/b", 2, query);
            for up in ["./", "../", "../../"] {
                assert!(page.contains(&format!("href=\"{up}{kept}\"")), "{page}");
            }
        }
    }

    #[test]
    fn a_time_that_is_no_date_of_html_is_left_out() {
        for (mtime_seconds, expected) in [
            (0, Some("1970-01-01 00:00")),
            (YEAR_1_SECONDS, Some("0001-01-01 00:00")),
            (YEAR_1_SECONDS - 1, None),
            (253_402_207_200, Some("9999-12-30 22:00")),
            (i64::MAX, None),
            (i64::MIN, None),
        ] {
            let entry = Row {
                mtime_seconds,
                ..file(b"f")
            };
            let html = written(|out| row(out, entry, view(""), true));
            let time = html.split("<time datetime=\"").nth(1);
            let time = time.and_then(|rest| rest.split_once("Z\">"));
            assert_eq!(time.map(|(date, _)| date), expected, "{html}");
        }
    }

    #[test]
    fn the_head_of_a_column_sorts_by_it_and_then_the_other_way_round() {
        let sorts = |query: &str, word: &str, order: &str| {
            head(b"", 0, query).contains(&format!(
                "<input type=\"hidden\" name=\"sort\" value=\"{word}\"><button name=\"order\" value=\"{order}\""
            ))
        };
        assert!(sorts("", "name", "desc"));
        assert!(sorts("order=desc", "name", "asc"));
        assert!(sorts("sort=size", "name", "asc"));
        assert!(sorts("sort=size", "size", "desc"));
        assert!(sorts("sort=size&order=desc", "time", "desc"));
        assert!(sorts("sort=time&order=desc", "time", "asc"));
        let by_time = head(b"", 0, "sort=time&order=desc");
        assert!(by_time.contains("class=\"down\">Modified<b>, descending</b></button>"));
    }
}
