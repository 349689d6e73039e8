//! The pages that the server writes itself: their head, their styles and scripts, and the policy by which a
//! browser applies and runs nothing else. Listings, players and errors look alike by it.

mod fragment;
mod own_style;

use std::io::Write;

use sha2::{Digest, Sha256};

#[cfg(test)]
pub(crate) use fragment::tests::assert_is_harmless;
pub(crate) use fragment::{Element, Fragment};
pub(crate) use own_style::{OwnStyle, StyleError};

/// The icons of all pages, to be referred to by `<use href="#…">`.
pub(crate) const ICONS: &str = include_str!("icons.svg");
/// The style of every page: colours, text, links. It loads nothing.
pub(crate) const BASE: &str = include_str!("base.css");
/// The style of listings.
pub(crate) const LISTING: &str = include_str!("listing.css");
/// The style of galleries.
pub(crate) const GALLERY: &str = include_str!("gallery.css");
/// The style of the page that shows or plays one file.
pub(crate) const PLAYER: &str = include_str!("player.css");
/// The style of the README of a directory.
pub(crate) const README: &str = include_str!("readme.css");
/// The style of errors.
pub(crate) const ERROR: &str = include_str!("error.css");

/// The script of listings: times in the reader's zone, the filter, and keys.
pub(crate) const LISTING_SCRIPT: &str = include_str!("listing.js");
/// The script of the page that plays one file: keys, swipes, speed, and where somebody stopped.
pub(crate) const PLAYER_SCRIPT: &str = include_str!("player.js");

/// The styles and scripts of all pages.
const STYLES: [&str; 6] = [BASE, LISTING, README, GALLERY, PLAYER, ERROR];
const SCRIPTS: [&str; 2] = [LISTING_SCRIPT, PLAYER_SCRIPT];

/// A reference to an icon of [`ICONS`].
macro_rules! icon {
    ($id:literal) => {
        concat!(
            "<svg class=\"",
            $id,
            "\" aria-hidden=\"true\"><use href=\"#",
            $id,
            "\"/></svg>"
        )
    };
}
pub(crate) use icon;

/// The most bytes of [`start`] beside the title and the styles.
pub(crate) const START_BYTES_MAX: usize = 512;

/// The value of `Content-Security-Policy` for every page. Styles and scripts are named by their hashes
/// ([CSP 3 §2.3.1](https://www.w3.org/TR/CSP3/#grammardef-hash-source)), and nothing is loaded from elsewhere. With a
/// style of the operator, pictures and fonts may stand in it.
pub(crate) fn policy(own_style: Option<&OwnStyle>) -> String {
    let sources =
        |texts: &[&str]| -> String { texts.iter().map(|text| hash_source(text)).collect() };
    let own = own_style.map(|style| hash_source(style.text()));
    let (pictures, fonts) = match own_style {
        Some(_) => (" data:", "; font-src 'self' data:"),
        None => ("", ""),
    };
    format!(
        "default-src 'none'; style-src{}{}; script-src{}; img-src 'self'{pictures}{fonts}; media-src 'self'; \
         form-action 'self'; base-uri 'none'",
        sources(&STYLES),
        own.unwrap_or_default(),
        sources(&SCRIPTS)
    )
}

fn hash_source(text: &str) -> String {
    format!(" 'sha256-{}'", base64(&Sha256::digest(text)))
}

/// Base64 with padding ([RFC 4648 §4](https://www.rfc-editor.org/rfc/rfc4648#section-4)).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let byte = |index: usize| usize::from(three.get(index).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (index, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            text.push(match index <= three.len() {
                true => char::from(ALPHABET[bits >> shift & 63]),
                false => '=',
            });
        }
    }
    text
}

/// Writes what precedes the content of a page, down to `<body>`. The title is escaped here. The style of the
/// operator comes last.
pub(crate) fn start(out: &mut Vec<u8>, title: &str, styles: &[&str], own_style: Option<&OwnStyle>) {
    put(
        out,
        format_args!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n",
            html_escape::encode_safe(title)
        ),
    );
    let own_style = own_style.map(OwnStyle::text);
    for style in styles.iter().copied().chain(own_style) {
        put(out, format_args!("<style>{style}</style>\n"));
    }
    out.extend_from_slice(b"</head>\n<body>\n");
}

/// Writes a script, which the browser runs by [`policy`] if it is one of [`SCRIPTS`].
pub(crate) fn script(out: &mut Vec<u8>, script: &str) {
    put(out, format_args!("<script>{script}</script>\n"));
}

/// Writes the end of a page.
pub(crate) fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"</body>\n</html>\n");
}

/// A name for display, not escaped: bytes that are not UTF-8 and control characters are replaced. So are those that
/// turn the order of letters round: with one in front, `gpj.exe` would be shown as `exe.jpg`.
pub(crate) fn shown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let visible = |char: char| match char {
        // The pictures of the control characters.
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(char)).unwrap_or('\u{fffd}'),
        '\x7f' => '\u{2421}',
        '\u{202d}' | '\u{202e}' => char::REPLACEMENT_CHARACTER,
        other => other,
    };
    text.chars().map(visible).collect()
}

pub(crate) fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // A `Vec` takes every write.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shown_as_what_it_is() {
        for (name, text) in [
            (&b"plain \xf0\x9f\x8e\x89"[..], "plain \u{1f389}"),
            (
                "\u{5e9}\u{200f}(1).txt".as_bytes(),
                "\u{5e9}\u{200f}(1).txt",
            ),
            (b"two\nlines\x7f", "two\u{240a}lines\u{2421}"),
            (b"no UTF-8 \xff", "no UTF-8 \u{fffd}"),
            ("\u{202e}gpj.exe".as_bytes(), "\u{fffd}gpj.exe"),
        ] {
            assert_eq!(shown(name), text);
        }
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn the_policy_allows_each_style_and_script_by_its_hash_and_nothing_inline() {
        let policy = policy(None);
        for text in STYLES.iter().chain(&SCRIPTS) {
            assert!(policy.contains(&hash_source(text)));
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(!policy.contains("http"), "{policy}");
    }
}
