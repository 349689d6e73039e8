//! HTML of others → HTML that can do no harm. It is taken apart strictly, and what is known is written anew; all else
//! is shown as text.

use std::borrow::Cow;

use html_escape::decode_html_entities;

use crate::html::{Element, Fragment};

/// The longest tag, in bytes. A longer one is text.
const TAG_BYTES_MAX: usize = 8192;

/// The harmless HTML of a text in HTML. Comments and the type of the document are left out.
pub(super) fn to_html(text: &str) -> Vec<u8> {
    let mut fragment = Fragment::default();
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        write_text(&mut fragment, &rest[..start]);
        let markup = &rest[start..];
        rest = match skipped(markup) {
            Skipped::Nothing => on_tag(&mut fragment, markup),
            Skipped::Up(after) => after,
            Skipped::Endless => {
                fragment.text(markup);
                return fragment.finish();
            }
        };
    }
    write_text(&mut fragment, rest);
    fragment.finish()
}

fn write_text(fragment: &mut Fragment, text: &str) {
    fragment.text(&decode_html_entities(text));
}

/// What is left out at the start of a text.
enum Skipped<'t> {
    Nothing,
    /// Up to here.
    Up(&'t str),
    /// It has no end. Nothing behind it is looked at, which would take a time that is quadratic.
    Endless,
}

fn skipped(markup: &str) -> Skipped<'_> {
    let (body, end) = match markup.strip_prefix("<!--") {
        Some(body) => (body, "-->"),
        None if markup.starts_with("<!") => (markup, ">"),
        None => return Skipped::Nothing,
    };
    match body.split_once(end) {
        Some((_, after)) => Skipped::Up(after),
        None => Skipped::Endless,
    }
}

/// Writes the tag at the start of `markup`, or its first byte as text. Answers what follows.
fn on_tag<'t>(fragment: &mut Fragment, markup: &'t str) -> &'t str {
    let Some((tag, rest)) = Tag::parse(markup) else {
        fragment.text("<");
        return &markup[1..];
    };
    match (tag.is_end, Element::from_name(tag.name)) {
        (true, Some(element)) => fragment.close(element),
        (false, Some(Element::A)) => {
            if let Some(url) = tag.href {
                fragment.open_link(&url);
            }
        }
        (false, Some(element)) => fragment.open(element),
        (false, None) if tag.name.eq_ignore_ascii_case("img") => {
            fragment.image(&tag.src.unwrap_or_default(), &tag.alt.unwrap_or_default());
        }
        (_, None) => fragment.text(&markup[..markup.len() - rest.len()]),
    }
    rest
}

/// A tag, with the attributes that matter. Each is the first of its name, decoded.
#[derive(Debug, Default)]
struct Tag<'t> {
    is_end: bool,
    name: &'t str,
    href: Option<Cow<'t, str>>,
    src: Option<Cow<'t, str>>,
    alt: Option<Cow<'t, str>>,
}

impl<'t> Tag<'t> {
    /// The tag that `markup` begins with, and what follows. `None` where it is none, or unlike what people write.
    fn parse(markup: &'t str) -> Option<(Self, &'t str)> {
        let start = markup.strip_prefix('<')?;
        let (is_end, start) = match start.strip_prefix('/') {
            Some(start) => (true, start),
            None => (false, start),
        };
        let (name, mut rest) = word(start, |byte| byte.is_ascii_alphanumeric())?;
        if !name.starts_with(|char: char| char.is_ascii_alphabetic()) {
            return None;
        }
        let mut tag = Self {
            is_end,
            name,
            ..Self::default()
        };
        while markup.len() - rest.len() <= TAG_BYTES_MAX {
            let behind = rest.trim_start_matches(is_space);
            if let Some(after) = behind
                .strip_prefix('>')
                .or_else(|| behind.strip_prefix("/>"))
            {
                return Some((tag, after));
            }
            // White space is between attributes, as between the first one and the name.
            if behind.len() == rest.len() {
                return None;
            }
            rest = tag.attribute(behind)?;
        }
        None
    }

    /// Takes in the attribute that `text` begins with. Answers what follows.
    fn attribute(&mut self, text: &'t str) -> Option<&'t str> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':');
        let (name, rest) = word(text, is_name)?;
        let Some(value) = rest.trim_start_matches(is_space).strip_prefix('=') else {
            return Some(rest);
        };
        let value = value.trim_start_matches(is_space);
        let (value, rest) = match value.as_bytes().first()? {
            b'"' => value[1..].split_once('"')?,
            b'\'' => value[1..].split_once('\'')?,
            _ => word(value, |byte| {
                !byte.is_ascii_whitespace() && !b"\"'<>=`".contains(&byte)
            })?,
        };
        if value.len() > TAG_BYTES_MAX {
            return None;
        }
        let place = [
            ("href", &mut self.href),
            ("src", &mut self.src),
            ("alt", &mut self.alt),
        ]
        .into_iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
        if let Some((_, place)) = place {
            place.get_or_insert_with(|| decode_html_entities(value));
        }
        Some(rest)
    }
}

fn is_space(char: char) -> bool {
    char.is_ascii_whitespace()
}

/// As many bytes as belong to a word, which is not empty, and what follows. `belongs` holds for all bytes or for none of
/// a character that is not of ASCII.
fn word(text: &str, belongs: impl Fn(u8) -> bool) -> Option<(&str, &str)> {
    let end = text.bytes().position(|byte| !belongs(byte));
    let end = end.unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::html::assert_is_harmless;

    fn html(text: &str) -> String {
        let html = to_html(text);
        assert_is_harmless(&html);
        String::from_utf8(html).expect("UTF-8")
    }

    #[test]
    fn what_is_known_is_written_anew() {
        for (text, expected) in [
            (
                "<P class=x style='a'>a &amp; b<BR/>c",
                "<p>a &amp; b<br>c</p>\n",
            ),
            ("<a href=\"b?c&amp;d\">e</a>", "<a href=\"b?c&amp;d\">e</a>"),
            ("<a name=x>e</a>", "e"),
            ("<a href=b target=_blank>e</a >", "<a href=\"b\">e</a>"),
            (
                "<img alt='a \"b\"' src=c.png>",
                "<img src=\"c.png\" alt=\"a &quot;b&quot;\">",
            ),
            ("<!DOCTYPE html><!-- <b> -->a", "a"),
            ("<ul><li>a<li>b</ul>c", "<ul><li>a<li>b</li></li></ul>\nc"),
            ("1 < 2 <3 a<b", "1 &lt; 2 &lt;3 a&lt;b"),
        ] {
            assert_eq!(html(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_known_is_text() {
        for (text, expected) in [
            (
                "<script>alert(1)</script>",
                "&lt;script&gt;alert(1)&lt;&#x2F;script&gt;",
            ),
            ("<b onclick=x>a</b>", "<b>a</b>"),
            ("<a href='javascript:x'>a</a>", "a"),
            ("<a href='java&#115;cript:x'>a</a>", "a"),
            ("<a href='java&Tab;script:x'>a</a>", "a"),
            ("<a href=b href=javascript:x>a</a>", "<a href=\"b\">a</a>"),
            ("<img src=//evil.example/ alt=a>", "a"),
            (
                "<img src=a\" onerror=x>",
                "&lt;img src=a&quot; onerror=x&gt;",
            ),
            ("<!-- <b>", "&lt;!-- &lt;b&gt;"),
            ("</b></ul>a", "a"),
            ("&lt;b&gt;", "&lt;b&gt;"),
            ("<b", "&lt;b"),
            ("<b/a>", "&lt;b&#x2F;a&gt;"),
            ("<svg/onload=x>", "&lt;svg&#x2F;onload=x&gt;"),
        ] {
            assert_eq!(html(text), expected, "{text}");
        }
    }

    #[test]
    fn the_time_does_not_grow_with_the_square_of_the_length() {
        for piece in [
            "<!--",
            "<",
            "<a b=\"",
            "<a href='<a ",
            "<b><i>",
            "</b>",
            "<a b c d e f g ",
        ] {
            html(&piece.repeat(256 * 1024 / piece.len()));
        }
    }

    proptest! {
        #[test]
        fn of_any_markup_harmless_html_is_made(pieces in prop::collection::vec(
            prop::sample::select(vec![
                "<", ">", "</", "/>", "<p>", "</p>", "<a ", "href", "src", "alt", "=", "\"", "'", " ", "b", "<b>", "</b>",
                "<table>", "<td>", "</table>", "<img ", "<script", "</script>", "javascript:", "http://c", "//d", "&#58;",
                "&lt;", "&colon;", "&NewLine;", "<!--", "-->", "<!", "onclick", "\u{0}", "\n", "\\", "ü", "<ul>", "<li>",
            ]), 0..60)) {
            html(&pieces.concat());
        }

        #[test]
        fn of_any_bytes_harmless_html_is_made(bytes: Vec<u8>) {
            html(&String::from_utf8_lossy(&bytes));
        }
    }
}
