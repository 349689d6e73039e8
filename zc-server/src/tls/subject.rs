//! The subject of a certificate, as the text of RFC 4514.
//!
//! `openssl x509 -subject -nameopt RFC2253` prints it so, and nginx has it in `$ssl_client_s_dn`. No crate that is here
//! in any case does this: webpki does not look into a name, and yasna, which is below rcgen, panics on a length that
//! overflows.

use std::borrow::Cow;
use std::fmt::Write;

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// The longest text, in bytes.
const TEXT_BYTES_MAX: usize = 1024;
/// What stands for the rest of a longer one. It is no part of a name: nothing is without `=` there.
const REST: &str = "...";
/// The text of what is no name.
const MALFORMED: &str = "malformed";

/// Elements of DER ([X.690](https://www.itu.int/rec/T-REC-X.690), section 8).
mod tag {
    pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
    pub(super) const UTF8_STRING: u8 = 0x0c;
    pub(super) const NUMERIC_STRING: u8 = 0x12;
    pub(super) const PRINTABLE_STRING: u8 = 0x13;
    pub(super) const TELETEX_STRING: u8 = 0x14;
    pub(super) const IA5_STRING: u8 = 0x16;
    pub(super) const VISIBLE_STRING: u8 = 0x1a;
    pub(super) const BMP_STRING: u8 = 0x1e;
    pub(super) const SEQUENCE: u8 = 0x30;
    pub(super) const SET: u8 = 0x31;
}

/// Types of attributes by the content of their object identifiers: those of RFC 4514, section 3, and others that are
/// common in certificates, as OpenSSL writes them.
const TYPES: [(&[u8], &str); 15] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 4], "SN"),
    (&[0x55, 4, 5], "serialNumber"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "street"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x55, 4, 12], "title"),
    (&[0x55, 4, 42], "GN"),
    (&[0x55, 4, 46], "dnQualifier"),
    // 0.9.2342.19200300.100.1.1 and .25
    (&[9, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
    (&[9, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
    // 1.2.840.113549.1.9.1
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1],
        "emailAddress",
    ),
];

/// The subject of a certificate, in printable ASCII.
pub(super) fn subject(certificate: &CertificateDer<'_>) -> Box<str> {
    let parsed = EndEntityCert::try_from(certificate).ok();
    let text = parsed.and_then(|parsed| text(parsed.subject()));
    text.map_or_else(|| MALFORMED.into(), String::into_boxed_str)
}

/// The text of a name, which is given without its own tag: the last part comes first. `None` where it is malformed.
fn text(mut name: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    while !name.is_empty() {
        let mut set = take(&mut name, tag::SET)?.content;
        let mut attributes = Vec::new();
        while !set.is_empty() {
            attributes.push(attribute(take(&mut set, tag::SEQUENCE)?.content)?);
        }
        if attributes.is_empty() {
            return None;
        }
        attributes.reverse();
        parts.push(attributes.join("+"));
    }
    let mut text = String::new();
    for part in parts.iter().rev() {
        if !text.is_empty() {
            text.push(',');
        }
        // A comma comes before the rest.
        if text.len() + part.len() + 1 + REST.len() > TEXT_BYTES_MAX {
            text.push_str(REST);
            break;
        }
        text.push_str(part);
    }
    Some(text)
}

/// `TYPE=VALUE`. A value that is no text is written in hexadecimal, and so is one whose type has no name here
/// (RFC 4514, section 2.4).
fn attribute(mut content: &[u8]) -> Option<String> {
    let identifier = take(&mut content, tag::OBJECT_IDENTIFIER)?.content;
    let value = take_any(&mut content)?;
    if !content.is_empty() {
        return None;
    }
    let known = TYPES.iter().find(|(known, _)| *known == identifier);
    let mut out = match known {
        Some((_, name)) => (*name).to_owned(),
        None => dotted(identifier)?,
    };
    out.push('=');
    match known.and_then(|_| string(&value)) {
        Some(text) => escape(&text, &mut out),
        None => {
            out.push('#');
            for byte in value.whole {
                // A `String` takes every write.
                let _ = write!(out, "{byte:02X}");
            }
        }
    }
    Some(out)
}

/// The text of a value, if it is one.
fn string<'d>(value: &Element<'d>) -> Option<Cow<'d, str>> {
    let content = value.content;
    match value.tag {
        tag::UTF8_STRING => str::from_utf8(content).ok().map(Cow::Borrowed),
        tag::NUMERIC_STRING | tag::PRINTABLE_STRING | tag::IA5_STRING | tag::VISIBLE_STRING => {
            let text = str::from_utf8(content).ok();
            text.filter(|text| text.is_ascii()).map(Cow::Borrowed)
        }
        // Whatever the standard says, certificates have ISO 8859-1 in it.
        tag::TELETEX_STRING => Some(content.iter().map(|&byte| char::from(byte)).collect()),
        tag::BMP_STRING => {
            let (units, rest) = content.as_chunks::<2>();
            let units = units.iter().map(|&unit| u16::from_be_bytes(unit));
            let text: Result<String, _> = char::decode_utf16(units).collect();
            text.ok().filter(|_| rest.is_empty()).map(Cow::Owned)
        }
        _ => None,
    }
}

/// Appends a value with all that has a meaning in a name escaped, and all that is not printable ASCII.
fn escape(text: &str, out: &mut String) {
    for (index, byte) in text.bytes().enumerate() {
        let is_end = index == 0 || index + 1 == text.len();
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => out.extend(['\\', byte.into()]),
            b' ' if is_end => out.push_str("\\ "),
            b'#' if index == 0 => out.push_str("\\#"),
            b' '..=b'~' => out.push(byte.into()),
            // A `String` takes every write.
            _ => drop(write!(out, "\\{byte:02X}")),
        }
    }
}

/// An object identifier as people write it: `2.5.4.3`.
fn dotted(mut content: &[u8]) -> Option<String> {
    let mut out = String::new();
    while !content.is_empty() {
        let mut arc: u128 = 0;
        loop {
            let (&byte, rest) = content.split_first()?;
            content = rest;
            arc = arc.checked_mul(128)? | u128::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                break;
            }
        }
        // The first two are one number. A `String` takes every write.
        let _ = match (out.is_empty(), arc) {
            (true, 0..40) => write!(out, "0.{arc}"),
            (true, 40..80) => write!(out, "1.{}", arc - 40),
            (true, _) => write!(out, "2.{}", arc - 80),
            (false, _) => write!(out, ".{arc}"),
        };
    }
    (!out.is_empty()).then_some(out)
}

/// An element of DER.
struct Element<'d> {
    tag: u8,
    content: &'d [u8],
    /// With tag and length.
    whole: &'d [u8],
}

/// Takes an element with this tag from the start of `bytes`.
fn take<'d>(bytes: &mut &'d [u8], tag: u8) -> Option<Element<'d>> {
    take_any(bytes).filter(|element| element.tag == tag)
}

/// Takes any element from the start of `bytes`. A handshake has no longer ones than 64 KiB.
fn take_any<'d>(bytes: &mut &'d [u8]) -> Option<Element<'d>> {
    const TAG_CONTINUES: u8 = 0x1f;
    let whole = *bytes;
    let (&tag, rest) = whole.split_first()?;
    let (&first, rest) = rest.split_first()?;
    if tag & TAG_CONTINUES == TAG_CONTINUES {
        return None;
    }
    let (length, rest) = match (first, rest) {
        (0..=0x7f, _) => (u16::from(first), rest),
        (0x81, &[length, ref rest @ ..]) if length > 0x7f => (length.into(), rest),
        (0x82, &[high, low, ref rest @ ..]) if high > 0 => (u16::from_be_bytes([high, low]), rest),
        // Indefinite, not the shortest one for its length, or longer.
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length.into())?;
    *bytes = rest;
    Some(Element {
        tag,
        content,
        whole: &whole[..whole.len() - rest.len()],
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair};

    use super::*;

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len();
        let mut out = vec![tag];
        match length {
            0..=0x7f => out.push(length as u8),
            0x80..=0xff => out.extend([0x81, length as u8]),
            _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
        }
        out.extend_from_slice(content);
        out
    }

    /// A part of a name with these attributes.
    fn part(attributes: &[(&[u8], u8, &[u8])]) -> Vec<u8> {
        let attributes = attributes.iter().map(|(identifier, tag, value)| {
            let identifier = element(tag::OBJECT_IDENTIFIER, identifier);
            element(tag::SEQUENCE, &[identifier, element(*tag, value)].concat())
        });
        element(tag::SET, &attributes.collect::<Vec<_>>().concat())
    }

    const CN: &[u8] = &[0x55, 4, 3];
    const O: &[u8] = &[0x55, 4, 10];

    fn common_name(tag: u8, value: &[u8]) -> Option<String> {
        text(&part(&[(CN, tag, value)]))
    }

    #[test]
    fn the_last_part_comes_first() {
        assert_eq!(text(&[]).unwrap(), "");
        let name = [
            part(&[(&[0x55, 4, 6], tag::PRINTABLE_STRING, b"DE")]),
            part(&[
                (O, tag::UTF8_STRING, b"Acme, Inc."),
                (&[0x55, 4, 11], tag::UTF8_STRING, b"Sales"),
            ]),
            part(&[(CN, tag::UTF8_STRING, b"alice")]),
        ];
        let found = text(&name.concat()).unwrap();
        assert_eq!(found, "CN=alice,OU=Sales+O=Acme\\, Inc.,C=DE");
    }

    #[test]
    fn what_has_a_meaning_is_escaped() {
        for (value, expected) in [
            (&b""[..], "CN="),
            (b" ", "CN=\\ "),
            (b" a b ", "CN=\\ a b\\ "),
            (b"#a#", "CN=\\#a#"),
            (b"a=b+c\"d\\e<f>g;h", "CN=a=b\\+c\\\"d\\\\e\\<f\\>g\\;h"),
            (b"a\n\x1b[2J\0\x7f", "CN=a\\0A\\1B[2J\\00\\7F"),
            ("é".as_bytes(), "CN=\\C3\\A9"),
        ] {
            assert_eq!(common_name(tag::UTF8_STRING, value).unwrap(), expected);
        }
    }

    #[test]
    fn every_kind_of_string_is_one_and_anything_else_is_hexadecimal() {
        for (tag, value, expected) in [
            (tag::NUMERIC_STRING, &b"1 2"[..], "CN=1 2"),
            (tag::IA5_STRING, b"a@b", "CN=a@b"),
            (tag::VISIBLE_STRING, b"a", "CN=a"),
            (tag::TELETEX_STRING, b"\xe9", "CN=\\C3\\A9"),
            (tag::BMP_STRING, b"\0a\0\xe9", "CN=a\\C3\\A9"),
            (tag::BMP_STRING, b"\xd8\x3d\xde\0", "CN=\\F0\\9F\\98\\80"),
            // Half a character, half a pair, no UTF-8, no ASCII, and no string.
            (tag::BMP_STRING, b"\0", "CN=#1E0100"),
            (tag::BMP_STRING, b"\xd8\x3d", "CN=#1E02D83D"),
            (tag::UTF8_STRING, b"\xff", "CN=#0C01FF"),
            (tag::PRINTABLE_STRING, b"\xc3\xa9", "CN=#1302C3A9"),
            (0x02, b"\x05", "CN=#020105"),
        ] {
            assert_eq!(common_name(tag, value).unwrap(), expected, "{value:?}");
        }
    }

    #[test]
    fn a_type_without_a_name_is_a_number() {
        for (identifier, expected) in [
            (&[0x2a, 3][..], "1.2.3=#0C0161"),
            (&[0x88, 0x37, 3], "2.999.3=#0C0161"),
            (&[0], "0.0=#0C0161"),
        ] {
            let name = part(&[(identifier, tag::UTF8_STRING, b"a")]);
            assert_eq!(text(&name).unwrap(), expected);
        }
        // None; one that does not end; one that is longer than any UUID.
        for identifier in [&[][..], &[0x2a, 0x80], &[0xff; 20]] {
            assert_eq!(text(&part(&[(identifier, tag::UTF8_STRING, b"a")])), None);
        }
    }

    #[test]
    fn what_is_malformed_is_no_name() {
        let good = part(&[(CN, tag::UTF8_STRING, b"alice")]);
        for length in 1..good.len() {
            assert_eq!(text(&good[..length]), None, "{length}");
        }
        for bad in [
            // No attribute, something behind the value, and another element.
            element(tag::SET, &[]),
            element(tag::SET, &element(tag::SEQUENCE, &[6, 1, 42, 12, 0, 12, 0])),
            element(tag::SEQUENCE, &[]),
            // Lengths: not the shortest, indefinite, and too long.
            vec![tag::SET, 0x81, 0],
            vec![tag::SET, 0x82, 0, 0x80],
            vec![tag::SET, 0x80, 0, 0],
            [&[tag::SET, 0x88][..], &[0xff; 8]].concat(),
            vec![0x3f, 0x21, 0],
        ] {
            assert_eq!(text(&bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_long_name_is_cut_between_two_parts() {
        let attribute = part(&[(O, tag::UTF8_STRING, &[b'x'; 300])]);
        let long = text(&attribute.repeat(5)).unwrap();
        let whole = format!("O={}", "x".repeat(300));
        assert_eq!(long, format!("{whole},{whole},{whole},..."));
        assert_eq!(
            text(&part(&[(O, tag::UTF8_STRING, &[b'x'; 2000])])).unwrap(),
            "..."
        );
    }

    #[test]
    fn the_subject_of_a_certificate_is_found() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let empty = params.self_signed(&key).unwrap();
        assert_eq!(&*subject(empty.der()), "");
        let name = DnValue::Utf8String("alice".to_owned());
        params.distinguished_name.push(DnType::CommonName, name);
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Acme");
        let certificate = params.self_signed(&key).unwrap();
        assert_eq!(&*subject(certificate.der()), "O=Acme,CN=alice");
        assert_eq!(&*subject(&CertificateDer::from(&b"none"[..])), MALFORMED);
    }

    proptest! {
        #[test]
        fn any_bytes_make_printable_ascii_or_nothing(bytes in vec(any::<u8>(), 0..200)) {
            assert_printable(&bytes);
        }

        #[test]
        fn any_value_and_any_damage_make_printable_ascii_or_nothing(
            value in vec(any::<u8>(), 0..600),
            tag in any::<u8>(),
            damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let mut name = [
                part(&[(O, tag::TELETEX_STRING, &value)]),
                part(&[(CN, tag, &value), (&[0x2a, 3], tag, b"b")]),
            ]
            .concat();
            for (at, byte) in damage {
                let at = at.index(name.len());
                name[at] = byte;
            }
            assert_printable(&name);
        }
    }

    fn assert_printable(name: &[u8]) {
        let text = text(name).unwrap_or_default();
        assert!(text.len() <= TEXT_BYTES_MAX);
        assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    }
}
