//! Content negotiation: which of several representations the client prefers.

use crate::Headers;
use crate::grammar::{list_pieces, trim_ows};

/// A content coding that a server may have files in
/// ([RFC 9110 §8.4.1](https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// No coding: the bytes as they are.
    Identity,
    /// Brotli ([RFC 7932](https://www.rfc-editor.org/rfc/rfc7932)).
    Brotli,
    /// Zstandard ([RFC 8878](https://www.rfc-editor.org/rfc/rfc8878)).
    Zstd,
    /// gzip ([RFC 1952](https://www.rfc-editor.org/rfc/rfc1952)).
    Gzip,
}

/// A quality value (`q`) in thousandths, 0 to 1000. 0 means *not acceptable*
/// ([RFC 9110 §12.4.2](https://www.rfc-editor.org/rfc/rfc9110#section-12.4.2)).
pub type Quality = u16;

/// The quality of an element without `q`.
const FULL: Quality = 1000;
/// The quality of `identity` where no element matches it: acceptable, and below any other.
const IDENTITY_UNNAMED: Quality = 1;

/// What the `Accept-Encoding` fields of a request say, by
/// [RFC 9110 §12.5.3](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3).
///
/// ```
/// use zc_http::{AcceptEncoding, Coding, Limits, Parse, parse};
///
/// let head = b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip, br;q=0.5\r\n\r\n";
/// let Parse::Complete(request) = parse(head, &Limits::default())? else { panic!() };
/// let accepted = AcceptEncoding::from_headers(&request.headers);
/// let ready = [Coding::Brotli, Coding::Gzip];
/// assert_eq!(accepted.choose(&ready), Some(Coding::Gzip));
/// # Ok::<(), zc_http::ParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptEncoding {
    identity: Quality,
    brotli: Quality,
    zstd: Quality,
    gzip: Quality,
}

impl Coding {
    /// The name in `Content-Encoding`; that of identity is never sent.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }
}

impl AcceptEncoding {
    /// Identity alone: what a request without the field accepts.
    pub const IDENTITY: Self = Self {
        identity: FULL,
        brotli: 0,
        zstd: 0,
        gzip: 0,
    };

    /// Reads the fields. Malformed elements are ignored.
    pub fn from_headers(headers: &Headers<'_>) -> Self {
        let mut fields = headers.get_all("accept-encoding").peekable();
        if fields.peek().is_none() {
            return Self::IDENTITY;
        }
        let (mut identity, mut brotli, mut zstd, mut gzip, mut any) =
            (None, None, None, None, None);
        for (name, quality) in fields.flat_map(list_pieces).filter_map(weighted) {
            let slot = if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip")
            {
                &mut gzip
            } else if name.eq_ignore_ascii_case(b"br") {
                &mut brotli
            } else if name.eq_ignore_ascii_case(b"zstd") {
                &mut zstd
            } else if name.eq_ignore_ascii_case(b"identity") {
                &mut identity
            } else if name == b"*" {
                &mut any
            } else {
                continue;
            };
            slot.get_or_insert(quality);
        }
        let coded = |named: Option<Quality>| named.or(any).unwrap_or(0);
        Self {
            identity: identity.or(any).unwrap_or(IDENTITY_UNNAMED),
            brotli: coded(brotli),
            zstd: coded(zstd),
            gzip: coded(gzip),
        }
    }

    /// The quality of `coding`.
    pub const fn quality(&self, coding: Coding) -> Quality {
        match coding {
            Coding::Identity => self.identity,
            Coding::Brotli => self.brotli,
            Coding::Zstd => self.zstd,
            Coding::Gzip => self.gzip,
        }
    }

    /// The coding of `ready` with the highest quality, or identity, which is always available. Of equal
    /// qualities the first in `ready` is chosen, and identity last. `None` when none is acceptable, not
    /// even identity: answer 406, or send identity all the same.
    pub fn choose(&self, ready: &[Coding]) -> Option<Coding> {
        let mut best = (Coding::Identity, 0);
        for &coding in ready.iter().chain(&[Coding::Identity]) {
            let quality = self.quality(coding);
            if quality > best.1 {
                best = (coding, quality);
            }
        }
        (best.1 > 0).then_some(best.0)
    }
}

/// Whether the `Accept` fields give the media type `this` a higher quality than `other`; both are
/// written `type/subtype` in lower case. False without the field
/// ([RFC 9110 §12.5.1](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1)).
///
/// Parameters of media ranges other than `q` are ignored. A comma in a quoted parameter ends the element.
pub fn prefers_media_type(headers: &Headers<'_>, this: &str, other: &str) -> bool {
    media_quality(headers, this) > media_quality(headers, other)
}

/// How the `Accept` fields treat one media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaAcceptance {
    /// It is named, with a quality above 0.
    Named,
    /// A range such as `*/*` covers it, or there is no `Accept` field.
    Covered,
    /// It is not acceptable: no range covers it, or its quality is 0.
    Refused,
}

/// How the `Accept` fields treat `media_type`, which is written `type/subtype` in lower case
/// ([RFC 9110 §12.5.1](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1)).
///
/// Browsers name `text/html` in navigations, and not in the requests of a page. Parameters are treated as
/// by [`prefers_media_type`].
pub fn media_acceptance(headers: &Headers<'_>, media_type: &str) -> MediaAcceptance {
    if headers.get("accept").is_none() {
        return MediaAcceptance::Covered;
    }
    match best_range(headers, media_type) {
        (_, 0) => MediaAcceptance::Refused,
        (Specificity::Type, _) => MediaAcceptance::Named,
        _ => MediaAcceptance::Covered,
    }
}

/// The quality of the most specific range that covers `media_type`; 0 when none does.
fn media_quality(headers: &Headers<'_>, media_type: &str) -> Quality {
    best_range(headers, media_type).1
}

/// How specific the media range is that covers a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Specificity {
    /// No range covers it.
    None,
    /// `*/*`
    Any,
    /// `text/*`
    Kind,
    /// `text/html`
    Type,
}

/// The most specific range that covers `media_type`, and its quality.
fn best_range(headers: &Headers<'_>, media_type: &str) -> (Specificity, Quality) {
    let kind = media_type.split('/').next().unwrap_or_default().as_bytes();
    let mut best = (Specificity::None, 0);
    let elements = headers.get_all("accept").flat_map(list_pieces);
    for (range, quality) in elements.filter_map(weighted) {
        let specificity = if range.eq_ignore_ascii_case(media_type.as_bytes()) {
            Specificity::Type
        } else if range
            .strip_suffix(b"/*")
            .is_some_and(|start| start.eq_ignore_ascii_case(kind))
        {
            Specificity::Kind
        } else if range == b"*/*" {
            Specificity::Any
        } else {
            continue;
        };
        if specificity > best.0 {
            best = (specificity, quality);
        }
    }
    best
}

/// One element of a list and its weight; `None` when it is empty or its weight malformed.
fn weighted(element: &[u8]) -> Option<(&[u8], Quality)> {
    let mut pieces = element.split(|&byte| byte == b';').map(trim_ows);
    let name = pieces.next().filter(|name| !name.is_empty())?;
    let mut quality = FULL;
    for parameter in pieces {
        if let [b'q' | b'Q', b'=', value @ ..] = parameter {
            quality = weight(value)?;
        }
    }
    Some((name, quality))
}

/// `qvalue`: 0 or 1, with up to three digits behind a point.
fn weight(value: &[u8]) -> Option<Quality> {
    let (whole, fraction) = match value {
        [whole] => (whole, &b""[..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    let mut thousandths: Quality = 0;
    for place in 0..3 {
        let digit = fraction.get(place).copied().unwrap_or(b'0');
        if !digit.is_ascii_digit() {
            return None;
        }
        thousandths = thousandths * 10 + Quality::from(digit - b'0');
    }
    match whole {
        b'0' => Some(thousandths),
        b'1' if thousandths == 0 => Some(FULL),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Parse, parse};

    fn with_headers<T>(fields: &str, test: impl FnOnce(&Headers<'_>) -> T) -> T {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let Ok(Parse::Complete(request)) = parse(head.as_bytes(), &Limits::default()) else {
            panic!("{head}");
        };
        test(&request.headers)
    }

    /// RFC 9110 §12.5.3, row by row.
    #[test]
    fn codings_by_the_wish_of_the_client() {
        use Coding::{Brotli, Gzip, Identity, Zstd};
        let all = &[Brotli, Zstd, Gzip][..];
        let rows: [(&str, &[Coding], Option<Coding>); 36] = [
            // Without the field identity is what is sure to be understood.
            ("", all, Some(Identity)),
            // An empty field wants no coding.
            ("Accept-Encoding:\r\n", all, Some(Identity)),
            ("Accept-Encoding: gzip\r\n", all, Some(Gzip)),
            ("Accept-Encoding: gzip\r\n", &[], Some(Identity)),
            ("Accept-Encoding: gzip\r\n", &[Brotli], Some(Identity)),
            ("Accept-Encoding: GZip\r\n", all, Some(Gzip)),
            ("Accept-Encoding: x-gzip\r\n", all, Some(Gzip)),
            // Equally wanted: the server's order decides, and a coding comes before identity.
            ("Accept-Encoding: gzip, zstd, br\r\n", all, Some(Brotli)),
            (
                "Accept-Encoding: gzip, zstd, br\r\n",
                &[Gzip, Brotli],
                Some(Gzip),
            ),
            ("Accept-Encoding: identity, gzip\r\n", all, Some(Gzip)),
            // Weights.
            ("Accept-Encoding: br;q=0.5, gzip;q=0.8\r\n", all, Some(Gzip)),
            (
                "Accept-Encoding: br;q=0.5,gzip; q=0.501\r\n",
                all,
                Some(Gzip),
            ),
            (
                "Accept-Encoding: br ;Q=1.000 , gzip;q=0.999\r\n",
                all,
                Some(Brotli),
            ),
            (
                "Accept-Encoding: gzip;q=0.5, identity\r\n",
                all,
                Some(Identity),
            ),
            ("Accept-Encoding: gzip;q=0.001\r\n", all, Some(Gzip)),
            // 0 is a refusal.
            ("Accept-Encoding: gzip;q=0\r\n", all, Some(Identity)),
            (
                "Accept-Encoding: gzip;q=0.000, br\r\n",
                &[Gzip],
                Some(Identity),
            ),
            // `*` is everything that is not named.
            ("Accept-Encoding: *\r\n", all, Some(Brotli)),
            ("Accept-Encoding: *\r\n", &[], Some(Identity)),
            ("Accept-Encoding: br;q=0, *\r\n", all, Some(Zstd)),
            ("Accept-Encoding: *;q=0.5, gzip\r\n", all, Some(Gzip)),
            (
                "Accept-Encoding: *, gzip;q=0.5\r\n",
                &[Gzip],
                Some(Identity),
            ),
            ("Accept-Encoding: gzip, *;q=0\r\n", all, Some(Gzip)),
            // Identity refused, by name or by `*`.
            ("Accept-Encoding: identity;q=0\r\n", all, None),
            ("Accept-Encoding: identity;q=0, gzip\r\n", all, Some(Gzip)),
            ("Accept-Encoding: identity;q=0, gzip\r\n", &[Brotli], None),
            ("Accept-Encoding: *;q=0\r\n", all, None),
            (
                "Accept-Encoding: *;q=0, identity;q=0.1\r\n",
                all,
                Some(Identity),
            ),
            // Several fields are one list.
            (
                "Accept-Encoding: a\r\nAccept-Encoding: zstd\r\n",
                all,
                Some(Zstd),
            ),
            // What is malformed or unknown is as good as absent.
            ("Accept-Encoding: gzip;q=1.5\r\n", all, Some(Identity)),
            ("Accept-Encoding: gzip;q=0.1234\r\n", all, Some(Identity)),
            ("Accept-Encoding: gzip;q=, br;q=x\r\n", all, Some(Identity)),
            ("Accept-Encoding: gzip;q=-1\r\n", all, Some(Identity)),
            ("Accept-Encoding: ,, ;q=1, gzip\r\n", all, Some(Gzip)),
            (
                "Accept-Encoding: deflate, compress\r\n",
                all,
                Some(Identity),
            ),
            // The first word on a coding stands.
            ("Accept-Encoding: gzip;q=0, gzip\r\n", all, Some(Identity)),
        ];
        for (fields, ready, expected) in rows {
            let chosen = with_headers(fields, |headers| {
                AcceptEncoding::from_headers(headers).choose(ready)
            });
            assert_eq!(chosen, expected, "{fields:?} of {ready:?}");
        }
    }

    /// RFC 9110 §12.5.1, as far as two types have to be told apart.
    #[test]
    fn media_types_by_the_wish_of_the_client() {
        let rows = [
            ("", false),
            ("Accept: */*\r\n", false),
            ("Accept: text/html, */*;q=0.8\r\n", false),
            ("Accept: application/json\r\n", true),
            ("Accept: Application/JSON;charset=utf-8\r\n", true),
            ("Accept: application/json, text/html\r\n", false),
            ("Accept: application/json, text/html;q=0.9\r\n", true),
            ("Accept: application/*\r\n", true),
            ("Accept: application/*, application/json;q=0\r\n", false),
            ("Accept: */*, text/*;q=0.1\r\n", true),
            ("Accept: application/json;q=0\r\n", false),
            ("Accept: application/json;q=2\r\n", false),
            ("Accept: text/plain\r\nAccept: application/json\r\n", true),
        ];
        for (fields, expected) in rows {
            let prefers = with_headers(fields, |headers| {
                prefers_media_type(headers, "application/json", "text/html")
            });
            assert_eq!(prefers, expected, "{fields:?}");
        }
    }

    #[test]
    fn a_navigation_names_html_and_a_fetch_does_not() {
        use MediaAcceptance::{Covered, Named, Refused};
        let rows = [
            ("", Covered),
            ("Accept: */*\r\n", Covered),
            ("Accept: text/css,*/*;q=0.1\r\n", Covered),
            ("Accept: text/*\r\n", Covered),
            ("Accept: image/avif,image/webp,*/*;q=0.8\r\n", Covered),
            (
                "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n",
                Named,
            ),
            ("Accept: Text/HTML;q=0.1\r\n", Named),
            ("Accept: application/json\r\n", Refused),
            ("Accept: text/html;q=0, */*\r\n", Refused),
            ("Accept: \r\n", Refused),
        ];
        for (fields, expected) in rows {
            let said = with_headers(fields, |headers| media_acceptance(headers, "text/html"));
            assert_eq!(said, expected, "{fields:?}");
        }
    }
}
