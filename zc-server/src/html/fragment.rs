//! HTML made of texts of others: of a few elements, with no attribute but those of a link, a picture and a list. Nothing
//! else can be written by this module, and each element that is opened is closed.

use std::borrow::Cow;

use super::put;

/// The longest fragment, in bytes, beside the ends of its elements.
const BYTES_MAX: usize = 1 << 20;
/// The most elements within each other that are written; those deeper have their text alone.
const DEPTH_MAX: usize = 64;
/// The most bytes that one of a text becomes: `&quot;`, `&#x27;`.
const ESCAPED_BYTES_MAX: usize = 6;

/// The elements that there are, but for a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    A,
    B,
    Blockquote,
    Br,
    Code,
    Del,
    Em,
    H1,
    H2,
    H3,
    H4,
    H5,
    H6,
    Hr,
    I,
    Li,
    Ol,
    P,
    Pre,
    Strong,
    Table,
    Tbody,
    Td,
    Th,
    Thead,
    Tr,
    Ul,
}

/// Each with its name, in the order of their declaration.
const ELEMENTS: [(Element, &str); 27] = [
    (Element::A, "a"),
    (Element::B, "b"),
    (Element::Blockquote, "blockquote"),
    (Element::Br, "br"),
    (Element::Code, "code"),
    (Element::Del, "del"),
    (Element::Em, "em"),
    (Element::H1, "h1"),
    (Element::H2, "h2"),
    (Element::H3, "h3"),
    (Element::H4, "h4"),
    (Element::H5, "h5"),
    (Element::H6, "h6"),
    (Element::Hr, "hr"),
    (Element::I, "i"),
    (Element::Li, "li"),
    (Element::Ol, "ol"),
    (Element::P, "p"),
    (Element::Pre, "pre"),
    (Element::Strong, "strong"),
    (Element::Table, "table"),
    (Element::Tbody, "tbody"),
    (Element::Td, "td"),
    (Element::Th, "th"),
    (Element::Thead, "thead"),
    (Element::Tr, "tr"),
    (Element::Ul, "ul"),
];

impl Element {
    /// The element of this name, in any case.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let mut elements = ELEMENTS.iter();
        let found = elements.find(|(_, known)| known.eq_ignore_ascii_case(name));
        found.map(|(element, _)| *element)
    }

    fn name(self) -> &'static str {
        ELEMENTS[self as usize].1
    }

    /// Whether it has no content, and no end.
    fn is_void(self) -> bool {
        matches!(self, Self::Br | Self::Hr)
    }

    fn is_inline(self) -> bool {
        use Element::{A, B, Br, Code, Del, Em, I, Strong};
        matches!(self, A | B | Br | Code | Del | Em | I | Strong)
    }
}

/// A fragment while it is written.
#[derive(Debug, Default)]
pub(crate) struct Fragment {
    out: Vec<u8>,
    /// The elements that are open, and whether that was written.
    open: Vec<(Element, bool)>,
    /// How many of each.
    counts: [usize; ELEMENTS.len()],
    /// Whether more would be longer than [`BYTES_MAX`].
    is_full: bool,
}

impl Fragment {
    /// Begins an element without attributes.
    pub(crate) fn open(&mut self, element: Element) {
        self.open_with(element, "", "");
    }

    /// Begins a list that counts from `first`.
    pub(crate) fn open_list_from(&mut self, first: u64) {
        self.open_with(Element::Ol, "start", &first.to_string());
    }

    /// Begins a link, if `url` is one that leads to a page, and not for instance to a script.
    pub(crate) fn open_link(&mut self, url: &str) {
        if leads_to_a_page(url) {
            // There is no link within a link.
            self.close(Element::A);
            self.open_with(Element::A, "href", url);
        }
    }

    /// Ends the innermost element of this kind, and all within it. Does nothing where none is open.
    pub(crate) fn close(&mut self, element: Element) {
        if self.counts[element as usize] == 0 {
            return;
        }
        while let Some((innermost, is_written)) = self.open.pop() {
            self.counts[innermost as usize] -= 1;
            if is_written {
                put(&mut self.out, format_args!("</{}>", innermost.name()));
            }
            if innermost == element {
                if is_written && !element.is_inline() {
                    self.out.push(b'\n');
                }
                break;
            }
        }
    }

    pub(crate) fn text(&mut self, text: &str) {
        if self.has_room_for(text) {
            let text = printable(text);
            put(
                &mut self.out,
                format_args!("{}", html_escape::encode_safe(&text)),
            );
        }
    }

    /// A picture that the server has itself. Of others the text remains.
    pub(crate) fn image(&mut self, url: &str, text: &str) {
        if !is_of_this_server(url) {
            return self.text(text);
        }
        if self.has_room_for(url) && self.has_room_for(text) {
            let (url, text) = (printable(url), printable(text));
            put(
                &mut self.out,
                format_args!(
                    "<img src=\"{}\" alt=\"{}\">",
                    html_escape::encode_safe(&url),
                    html_escape::encode_safe(&text)
                ),
            );
        }
    }

    /// The fragment, with an end of each element.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        while let Some((element, _)) = self.open.first() {
            self.close(*element);
        }
        if self.is_full {
            self.out.extend_from_slice("<p>…</p>\n".as_bytes());
        }
        self.out
    }

    fn open_with(&mut self, element: Element, attribute: &str, value: &str) {
        // A browser would end the paragraph as well.
        if !element.is_inline() && self.open.last().is_some_and(|last| last.0 == Element::P) {
            self.close(Element::P);
        }
        let has_room = self.has_room_for(value);
        let is_written = has_room && (element.is_void() || self.open.len() < DEPTH_MAX);
        if is_written {
            put(&mut self.out, format_args!("<{}", element.name()));
            if !attribute.is_empty() {
                let value = html_escape::encode_safe(value);
                put(&mut self.out, format_args!(" {attribute}=\"{value}\""));
            }
            self.out.push(b'>');
        }
        if !element.is_void() {
            self.open.push((element, is_written));
            self.counts[element as usize] += 1;
        }
    }

    fn has_room_for(&mut self, text: &str) -> bool {
        self.is_full |= self.out.len() + text.len() * ESCAPED_BYTES_MAX > BYTES_MAX;
        !self.is_full
    }
}

/// Control characters, but for white space, are replaced.
fn printable(text: &str) -> Cow<'_, str> {
    let is_strange = |char: char| char.is_control() && !matches!(char, '\t' | '\n' | '\r');
    match text.contains(is_strange) {
        true => text.replace(is_strange, "\u{fffd}").into(),
        false => text.into(),
    }
}

/// Whether a reference is relative, or an URL of HTTP or mail.
fn leads_to_a_page(url: &str) -> bool {
    match scheme_of(url) {
        Ok(None) => true,
        Ok(Some(scheme)) => ["http", "https", "mailto"]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(scheme)),
        Err(Strange) => false,
    }
}

/// Whether a reference is relative, and leads to no other host: a browser takes a backslash for a slash.
fn is_of_this_server(url: &str) -> bool {
    scheme_of(url) == Ok(None) && !url.starts_with("//") && !url.contains('\\')
}

/// A reference that browsers read in another way than it is written.
#[derive(Debug, PartialEq, Eq)]
struct Strange;

/// The scheme of a reference, `None` of one that is relative. Browsers drop control characters from an URL, and white
/// space around it ([URL §4.4](https://url.spec.whatwg.org/#url-parsing)).
fn scheme_of(url: &str) -> Result<Option<&str>, Strange> {
    if url.contains(char::is_control) || url.trim() != url {
        return Err(Strange);
    }
    let end = url.find([':', '/', '?', '#', '\\']);
    Ok(end
        .filter(|&end| url[end..].starts_with(':'))
        .map(|end| &url[..end]))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Asserts that a fragment has no element, attribute and scheme but those that are allowed, and that its elements
    /// are balanced. It reads what is written, by rules of its own.
    pub(crate) fn assert_is_harmless(fragment: &[u8]) {
        let text = std::str::from_utf8(fragment).expect("UTF-8");
        let mut open: Vec<&str> = Vec::new();
        let mut pieces = text.split('<');
        let mut contents = vec![pieces.next().expect("the first")];
        for piece in pieces {
            let (tag, content) = piece.split_once('>').expect("the end of a tag");
            contents.push(content);
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "{text}");
                continue;
            }
            let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
            match name {
                "a" => assert_is_link(attributes),
                "img" => assert_is_image(attributes),
                "ol" if !attributes.is_empty() => {
                    let number = attributes.strip_prefix("start=\"").expect("a number");
                    let number = number.strip_suffix('"').expect("an end");
                    assert!(number.parse::<u64>().is_ok(), "{tag}");
                }
                _ => {
                    assert!(attributes.is_empty(), "{tag}");
                    let mut known = ELEMENTS.iter();
                    assert!(known.any(|(_, known)| *known == name), "{tag}");
                }
            }
            if !matches!(name, "br" | "hr" | "img") {
                open.push(name);
            }
        }
        assert!(open.is_empty(), "{open:?}: {text}");
        for content in contents {
            assert!(!content.contains(['<', '>', '"', '\'']), "{content}");
            assert!(!content.contains('\0'), "{content}");
        }
    }

    fn assert_is_link(attributes: &str) {
        let url = attributes.strip_prefix("href=\"").expect("a link");
        let url = url.strip_suffix('"').expect("an end");
        assert!(!url.contains('"'), "{url}");
        let url = html_escape::decode_html_entities(url).to_lowercase();
        let allowed = ["http:", "https:", "mailto:"];
        let is_relative = !url
            .split(['/', '?', '#'])
            .next()
            .expect("one")
            .contains(':');
        let is_allowed = allowed.iter().any(|scheme| url.starts_with(scheme));
        assert!(is_relative || is_allowed, "{url}");
        assert!(!url.chars().any(|char| char <= '\x1f'), "{url}");
        assert!(!url.starts_with(' '), "{url}");
    }

    fn assert_is_image(attributes: &str) {
        let url = attributes.strip_prefix("src=\"").expect("a picture");
        let (url, text) = url.split_once("\" alt=\"").expect("a text");
        let text = text.strip_suffix('"').expect("an end");
        assert!(!url.contains('"') && !text.contains('"'), "{attributes}");
        let url = html_escape::decode_html_entities(url);
        assert!(!url.starts_with("//") && !url.contains('\\'), "{url}");
        let first = url.split(['/', '?', '#']).next().expect("one");
        assert!(!first.contains(':'), "{url}");
    }

    fn written(write: impl FnOnce(&mut Fragment)) -> String {
        let mut fragment = Fragment::default();
        write(&mut fragment);
        let bytes = fragment.finish();
        assert_is_harmless(&bytes);
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn the_names_are_in_the_order_of_the_elements() {
        for (index, (element, name)) in ELEMENTS.iter().enumerate() {
            assert_eq!(*element as usize, index);
            assert_eq!(Element::from_name(&name.to_uppercase()), Some(*element));
        }
        assert_eq!(Element::from_name("script"), None);
    }

    #[test]
    fn links_lead_to_pages_and_pictures_are_of_this_server() {
        for (url, is_link, is_image) in [
            ("a", true, true),
            ("", true, true),
            ("../a/b?c:d#e:f", true, true),
            ("/a:b", true, true),
            ("./a:b", true, true),
            ("http://a/", true, false),
            ("HTTPS://a/", true, false),
            ("mailto:a@b", true, false),
            ("//a/b", true, false),
            ("/\\a/b", true, false),
            ("javascript:alert(1)", false, false),
            ("JavaScript:alert(1)", false, false),
            (" javascript:alert(1)", false, false),
            ("\u{1}javascript:alert(1)", false, false),
            ("java\nscript:alert(1)", false, false),
            ("java\tscript:alert(1)", false, false),
            ("data:text/html,x", false, false),
            ("vbscript:x", false, false),
            ("file:///etc/passwd", false, false),
            ("a:b", false, false),
            ("&#106;avascript:x", true, true),
        ] {
            let link = written(|fragment| fragment.open_link(url));
            assert_eq!(link.contains("href"), is_link, "{url}");
            let image = written(|fragment| fragment.image(url, "x"));
            assert_eq!(image.contains("src"), is_image, "{url}");
        }
    }

    #[test]
    fn what_is_open_is_closed_in_order() {
        let nested = written(|fragment| {
            fragment.open(Element::Ul);
            fragment.open(Element::Li);
            fragment.open(Element::B);
            fragment.text("<a & \"b\" 'c'>\u{0}");
            fragment.close(Element::Ul);
            fragment.close(Element::B);
            fragment.open(Element::P);
            fragment.open(Element::Pre);
        });
        let expected = "<ul><li><b>&lt;a &amp; &quot;b&quot; &#x27;c&#x27;&gt;\u{fffd}</b></li></ul>\n\
                        <p></p>\n<pre></pre>\n";
        assert_eq!(nested, expected);
    }

    #[test]
    fn depth_and_length_are_bounded() {
        let deep = written(|fragment| {
            for _ in 0..100_000 {
                fragment.open(Element::Blockquote);
            }
            fragment.text("deep");
            for _ in 0..50_000 {
                fragment.close(Element::Blockquote);
            }
        });
        assert!(deep.len() < 4096, "{}", deep.len());
        assert!(deep.contains("deep"));
        let long = written(|fragment| {
            fragment.open(Element::P);
            for _ in 0..100_000 {
                fragment.text(&"\"".repeat(100));
                fragment.open_link("a");
            }
        });
        assert!(long.len() < BYTES_MAX + 2048, "{}", long.len());
        assert!(long.ends_with("<p>…</p>\n"));
    }
}
