//! Media types of files, by their names.

mod media;
mod table;

use std::borrow::Cow;

use crate::config::files::{Charset, MediaType};
pub(crate) use media::MediaKind;
use table::{BY_EXTENSION, BY_NAME, DECLARES_ITSELF, XML};

/// The extension of files that are in a content coding by definition, and that coding: compressed SVG
/// ([SVG 2 §C.2](https://www.w3.org/TR/SVG2/mimereg.html)).
const CODED: (&[u8], &str) = (b"svgz", "gzip");

/// Media types by name: from the configuration, else from the built-in table, else from `mime_guess`.
#[derive(Debug, Clone)]
pub(crate) struct Types {
    /// The longest extension first.
    configured: Vec<MediaType>,
    default: String,
    charset: Charset,
}

impl Types {
    pub(crate) fn new(mut configured: Vec<MediaType>, default: String, charset: Charset) -> Self {
        configured.sort_by_key(|own| std::cmp::Reverse(own.extension.len()));
        Self {
            configured,
            default,
            charset,
        }
    }

    /// The media type for a path, by the end of its name and without regard to case. `coding` is the
    /// content coding of its bytes: `lib.js.gz` in gzip is what `lib.js` is.
    ///
    /// A configured type is used as it is. Other text types have the configured charset.
    pub(crate) fn media_type(&self, path: &[u8], coding: Option<&str>) -> Cow<'_, str> {
        let name = name_of(path).to_ascii_lowercase();
        if let Some(own) = self.configured(&name) {
            return Cow::Borrowed(own);
        }
        let decoded = match extension_of_coding(coding.unwrap_or_default()) {
            Some(coded) => name.strip_suffix(coded).unwrap_or(&name),
            None => &name,
        };
        if let Some(own) = self.configured(decoded) {
            return Cow::Borrowed(own);
        }
        match known(decoded) {
            Some(media_type) => self.with_charset(media_type),
            None => Cow::Borrowed(&self.default),
        }
    }

    /// What a browser makes of a file of this name.
    pub(crate) fn media_kind(&self, path: &[u8]) -> Option<MediaKind> {
        MediaKind::of(&self.media_type(path, None))
    }

    /// The type of the longest configured extension that `name` ends in.
    fn configured(&self, name: &[u8]) -> Option<&str> {
        let has = |own: &&MediaType| {
            let stem = name.strip_suffix(own.extension.as_bytes());
            // A leading dot hides a file; it does not begin an extension.
            stem.is_some_and(|stem| stem.len() > 1 && stem.ends_with(b"."))
        };
        let own = self.configured.iter().find(has)?;
        Some(&own.media_type)
    }

    /// Appends the charset to types that are text.
    fn with_charset(&self, media_type: &'static str) -> Cow<'static, str> {
        let is_text = media_type.starts_with("text/");
        let is_xml = media_type.ends_with("+xml") || XML.contains(&media_type);
        let declares_itself = || {
            DECLARES_ITSELF
                .iter()
                .any(|(known, _)| *known == media_type)
        };
        match &self.charset {
            Charset::Auto if is_text && !is_xml && !declares_itself() => {
                format!("{media_type}; charset=utf-8").into()
            }
            Charset::Named(charset) if is_text && !is_xml => {
                format!("{media_type}; charset={charset}").into()
            }
            Charset::Auto | Charset::Named(_) | Charset::Off => media_type.into(),
        }
    }
}

/// The content coding that a file of this name is in by definition, if any.
pub(crate) fn coding_of(path: &[u8]) -> Option<&'static str> {
    let (coded, coding) = CODED;
    let is_coded = |extension: &[u8]| extension.eq_ignore_ascii_case(coded);
    extension(path).is_some_and(is_coded).then_some(coding)
}

/// The extension: what follows the last dot of the last segment.
pub(crate) fn extension(path: &[u8]) -> Option<&[u8]> {
    let name = name_of(path);
    // A leading dot hides a file; it does not begin an extension.
    match name.iter().rposition(|&byte| byte == b'.') {
        None | Some(0) => None,
        Some(dot) => Some(&name[dot + 1..]),
    }
}

/// The media type of a path by the built-in tables alone: for what is no answer to a client.
pub(crate) fn built_in(path: &[u8]) -> Option<&'static str> {
    known(&name_of(path).to_ascii_lowercase())
}

fn name_of(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

/// The extension of files in this coding, with its dot.
fn extension_of_coding(coding: &str) -> Option<&'static [u8]> {
    match coding {
        "br" => Some(b".br"),
        "gzip" => Some(b".gz"),
        "zstd" => Some(b".zst"),
        _ => None,
    }
}

/// The type of a name in lower case, from the built-in table or `mime_guess`.
fn known(name: &[u8]) -> Option<&'static str> {
    let by_name = BY_NAME.iter().find(|(known, ..)| known.as_bytes() == name);
    if let Some((_, media_type, _)) = by_name {
        return Some(media_type);
    }
    let mut dots = (1..name.len()).filter(|&at| name[at] == b'.');
    // The longest extension first.
    let in_table = |at: usize| {
        let extension = &name[at + 1..];
        let found = BY_EXTENSION.binary_search_by(|(known, ..)| known.as_bytes().cmp(extension));
        found.ok().map(|row| BY_EXTENSION[row].1)
    };
    dots.clone().find_map(in_table).or_else(|| {
        // Every extension that it knows is UTF-8.
        let extension = str::from_utf8(&name[dots.next_back()? + 1..]).ok()?;
        mime_guess::from_ext(extension).first_raw()
    })
}

#[cfg(test)]
mod tests;
