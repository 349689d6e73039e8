//! The credentials of a request: `Authorization: Basic` ([RFC 7617](https://www.rfc-editor.org/rfc/rfc7617)).

use std::fmt;

use zc_http::Headers;
use zeroize::Zeroizing;

/// The longest user name and password together that are checked, in bytes.
const CREDENTIALS_BYTES_MAX: usize = 1024;

/// A user name and a password. The memory is overwritten when they are dropped.
pub(crate) struct Credentials {
    text: Zeroizing<Vec<u8>>,
    /// Where the colon is between both.
    colon: usize,
}

impl Credentials {
    /// Those of a request. `None` where there are none, where they cannot be read, and where there are several.
    pub(crate) fn from_headers(headers: &Headers<'_>) -> Option<Self> {
        let mut fields = headers.get_all("authorization");
        let field = fields.next()?;
        if fields.next().is_some() {
            return None;
        }
        Self::parse(field)
    }

    fn parse(field: &[u8]) -> Option<Self> {
        let space = field.iter().position(|&byte| byte == b' ')?;
        let (scheme, rest) = field.split_at(space);
        if !scheme.eq_ignore_ascii_case(b"basic") {
            return None;
        }
        let text = decode_base64(rest.trim_ascii())?;
        // RFC 7617, section 2: neither may have control characters.
        let is_control = |byte: &u8| byte.is_ascii_control();
        if text.len() > CREDENTIALS_BYTES_MAX || text.iter().any(is_control) {
            return None;
        }
        // A user name has no colon; a password may.
        let colon = text.iter().position(|&byte| byte == b':')?;
        Some(Self { text, colon })
    }

    pub(crate) fn user(&self) -> &[u8] {
        &self.text[..self.colon]
    }

    pub(crate) fn password(&self) -> &[u8] {
        &self.text[self.colon + 1..]
    }

    /// Both, with the colon.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.text
    }

    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Self {
        let colon = text.find(':').expect("a colon");
        let text = Zeroizing::new(text.as_bytes().to_vec());
        Self { text, colon }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// The bytes that a text of base64 stands for
/// ([RFC 4648, section 4](https://www.rfc-editor.org/rfc/rfc4648#section-4)). Padding may be left out.
fn decode_base64(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let padding = text.iter().rev().take_while(|&&byte| byte == b'=').count();
    let digits = &text[..text.len() - padding];
    let is_whole = padding == 0 || padding <= 2 && text.len().is_multiple_of(4);
    if !is_whole || digits.len() % 4 == 1 || digits.len() > CREDENTIALS_BYTES_MAX * 2 {
        return None;
    }
    // It must not grow: what it had before would stay in memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(digits.len()));
    let (mut bits, mut count) = (0_u32, 0);
    for &digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    // What is left over stands for nothing.
    (bits == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(field: &str) -> Option<(String, String)> {
        let credentials = Credentials::parse(field.as_bytes())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some((text(credentials.user()), text(credentials.password())))
    }

    #[test]
    fn the_field_is_read() {
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        for (field, expected) in [
            // The examples of RFC 7617.
            (
                "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
                pair("Aladdin", "open sesame"),
            ),
            ("basic dGVzdDoxMjPCow==", pair("test", "123£")),
            ("BASIC  dGVzdDoxMjPCow", pair("test", "123£")),
            ("Basic YTpiOmM=", pair("a", "b:c")),
            ("Basic YTo=", pair("a", "")),
            ("Basic Og==", pair("", "")),
            ("Basic", None),
            ("Basic ", None),
            ("Basic YQ==", None),
            ("Basic YTpi=", None),
            ("Basic YTpiYw=", None),
            ("Basic YTpi====", None),
            ("Basic Y=pi", None),
            ("Basic YTpi!", None),
            ("Basic YTo", pair("a", "")),
            ("Basic YTp", None),
            ("Basic Y", None),
            // A line end, and a byte of zero.
            ("Basic YTpiCg==", None),
            ("Basic YTpiAGM=", None),
            ("Bearer YTpi", None),
            ("Basically YTpi", None),
            ("Digest username=\"a\"", None),
        ] {
            assert_eq!(parsed(field), expected, "{field}");
        }
        let long = format!("Basic {}", "YTph".repeat(CREDENTIALS_BYTES_MAX / 3));
        assert!(parsed(&long).is_some());
        assert_eq!(parsed(&format!("{long}YTphYTph")), None);
    }

    #[test]
    fn base64_of_any_bytes_is_read_back() {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        proptest::proptest!(|(bytes in proptest::collection::vec(0_u8.., 0..200))| {
            let mut text = Vec::new();
            for three in bytes.chunks(3) {
                let whole = [three, &[0; 2]].concat();
                let bits = whole[..3].iter().fold(0, |bits, &byte| bits << 8 | usize::from(byte));
                let digits = [18, 12, 6, 0].map(|shift| alphabet[bits >> shift & 63]);
                text.extend_from_slice(&digits[..=three.len()]);
                text.extend(std::iter::repeat_n(b'=', 3 - three.len()));
            }
            assert_eq!(decode_base64(&text).as_deref(), Some(&bytes));
        });
    }

    #[test]
    fn what_is_shown_for_debugging_has_no_password() {
        assert_eq!(format!("{:?}", Credentials::of("a:secret")), "Credentials");
    }
}
