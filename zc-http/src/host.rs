//! A host with an optional port, as in `Host` and in the authority of a target.

use crate::grammar::{AUTHORITY, NAME, hex_digit};

/// Whether `value` may stand in a `Host` field: `uri-host [ ":" port ]`, or nothing
/// ([RFC 9110 §7.2](https://www.rfc-editor.org/rfc/rfc9110#section-7.2)).
pub(crate) fn is_host_field(value: &[u8]) -> bool {
    value.is_empty() || is_authority(value)
}

/// Whether `bytes` are a host that is not empty, with or without a port
/// ([RFC 9110 §4.2.1](https://www.rfc-editor.org/rfc/rfc9110#section-4.2.1)).
pub(crate) fn is_authority(bytes: &[u8]) -> bool {
    split(bytes).is_some()
}

/// Whether `bytes` are a host and a port, neither empty: the target of CONNECT
/// ([RFC 9112 §3.2.3](https://www.rfc-editor.org/rfc/rfc9112#section-3.2.3)).
pub(crate) fn is_authority_with_port(bytes: &[u8]) -> bool {
    split(bytes).is_some_and(|port| port.is_some_and(|digits| !digits.is_empty()))
}

/// The digits of the port, if there is a colon for one; `None` when host or port is invalid.
fn split(bytes: &[u8]) -> Option<Option<&[u8]>> {
    let host_bytes = match bytes {
        [b'[', ..] => literal_bytes(bytes)?,
        _ => name_bytes(bytes)?,
    };
    match bytes.get(host_bytes..)? {
        [] => Some(None),
        [b':', digits @ ..] if digits.iter().all(u8::is_ascii_digit) => Some(Some(digits)),
        _ => None,
    }
}

/// The length of an address in brackets. That the address itself makes sense is not checked, since
/// nothing here ever connects to it.
fn literal_bytes(bytes: &[u8]) -> Option<usize> {
    let close = memchr::memchr(b']', bytes)?;
    let address = bytes.get(1..close)?;
    let plain = |&byte: &u8| byte != b'[' && byte != b'%' && AUTHORITY.contains(byte);
    (!address.is_empty() && address.iter().all(plain)).then_some(close + 1)
}

/// The length of a registered name or IPv4 address: everything before the first colon.
fn name_bytes(bytes: &[u8]) -> Option<usize> {
    let end = memchr::memchr(b':', bytes).unwrap_or(bytes.len());
    let mut rest = bytes.get(..end).filter(|name| !name.is_empty())?;
    while let [byte, tail @ ..] = rest {
        rest = match tail {
            tail if NAME.contains(*byte) => tail,
            [high, low, tail @ ..] if *byte == b'%' => {
                hex_digit(*high)?;
                hex_digit(*low)?;
                tail
            }
            _ => return None,
        };
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        // (text, as a Host field, as an authority, as the target of CONNECT)
        let rows = [
            ("", true, false, false),
            ("example.com", true, true, false),
            ("example.com:", true, true, false),
            ("example.com:80", true, true, true),
            ("127.0.0.1:8080", true, true, true),
            ("[::1]", true, true, false),
            ("[::1]:80", true, true, true),
            ("a%20b", true, true, false),
            ("a_b~c", true, true, false),
            (":80", false, false, false),
            ("a:b", false, false, false),
            ("a:80:80", false, false, false),
            ("a b", false, false, false),
            ("a/b", false, false, false),
            ("u@a", false, false, false),
            ("a%2", false, false, false),
            ("a%zz", false, false, false),
            ("[::1", false, false, false),
            ("[]", false, false, false),
            ("[::1]x", false, false, false),
            ("a]", false, false, false),
            ("\u{e9}", false, false, false),
        ];
        for (text, field, authority, with_port) in rows {
            assert_eq!(is_host_field(text.as_bytes()), field, "{text}");
            assert_eq!(is_authority(text.as_bytes()), authority, "{text}");
            assert_eq!(is_authority_with_port(text.as_bytes()), with_port, "{text}");
        }
    }
}
