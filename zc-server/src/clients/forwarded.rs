//! The client that proxies name: `X-Forwarded-For`, and `Forwarded`
//! ([RFC 7239](https://www.rfc-editor.org/rfc/rfc7239)).
//!
//! Each proxy adds the address of its peer at the end. What a stranger claims stands in front of that. So the last
//! address counts that is not of a trusted network. An entry that names no address (`unknown`, `_hidden`, garbage)
//! ends the search: nothing is known about what stands in front of it.

use std::net::{IpAddr, Ipv6Addr};

use zc_http::Headers;

use crate::config::Networks;

/// The client of a request that a trusted proxy has sent; `None` where its fields name none.
pub(super) fn client(headers: &Headers<'_>, trusted: &Networks) -> Option<IpAddr> {
    let mut search = Search {
        trusted,
        found: None,
    };
    let mut has_list = false;
    for line in headers.get_all("x-forwarded-for") {
        has_list = true;
        search.list(line);
    }
    if !has_list {
        for line in headers.get_all("forwarded") {
            search.elements(line);
        }
    }
    search.found
}

/// Entries are taken from the first to the last, each once. It comes to what a search from the last to the first
/// comes to.
struct Search<'t> {
    trusted: &'t Networks,
    /// What the search would come to if this entry were the last one.
    found: Option<IpAddr>,
}

impl Search<'_> {
    fn add(&mut self, entry: Option<IpAddr>) {
        self.found = match (entry, self.found) {
            // It hides what is in front of it.
            (None, _) => None,
            // Believed, so that what is in front of it counts.
            (Some(proxy), found) if self.trusted.contains(proxy) => found.or(Some(proxy)),
            (client, _) => client,
        };
    }

    /// A line of `X-Forwarded-For`.
    fn list(&mut self, line: &[u8]) {
        let entries = line.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        for entry in entries.filter(|entry| !entry.is_empty()) {
            self.add(node(entry));
        }
    }

    /// A line of `Forwarded`: elements behind commas, of pairs behind semicolons, whose values may be quoted.
    fn elements(&mut self, line: &[u8]) {
        let mut rest = line;
        while !rest.is_empty() {
            let (element, behind) = split(rest, b',');
            rest = behind;
            if !element.trim_ascii().is_empty() {
                self.add(node_of(element));
            }
        }
    }
}

/// The bytes up to a delimiter that is not quoted, and those behind it.
fn split(bytes: &[u8], delimiter: u8) -> (&[u8], &[u8]) {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let at = bytes.iter().position(|&byte| {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            _ => return byte == delimiter && !is_quoted,
        }
        false
    });
    match at {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[]),
    }
}

/// The address of the parameter `for` of an element, which "MUST NOT occur more than once".
fn node_of(element: &[u8]) -> Option<IpAddr> {
    let mut node_found = None;
    let mut rest = element;
    while !rest.is_empty() {
        let (pair, behind) = split(rest, b';');
        rest = behind;
        let at = pair.iter().position(|&byte| byte == b'=');
        let (name, value) = match at {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &b""[..]),
        };
        if name.trim_ascii().eq_ignore_ascii_case(b"for") {
            if node_found.is_some() {
                return None;
            }
            node_found = Some(value.trim_ascii());
        }
    }
    let value = node_found?;
    match value.strip_prefix(b"\"") {
        // No address needs an escape.
        Some(quoted) => node(quoted.strip_suffix(b"\"")?),
        None => node(value),
    }
}

/// An address, which may have a port; one of IPv6 is in brackets then.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let address = if let Some(rest) = text.strip_prefix('[') {
        let (address, behind) = rest.split_once(']')?;
        is_port_or_nothing(behind).then_some(())?;
        IpAddr::V6(address.parse::<Ipv6Addr>().ok()?)
    } else if let Ok(address) = text.parse::<IpAddr>() {
        address
    } else {
        let (address, port) = text.split_once(':')?;
        is_port(port).then_some(())?;
        IpAddr::V4(address.parse().ok()?)
    };
    Some(address.to_canonical())
}

fn is_port_or_nothing(behind: &str) -> bool {
    behind.is_empty() || behind.strip_prefix(':').is_some_and(is_port)
}

/// A number, or an identifier that hides it.
fn is_port(text: &str) -> bool {
    let is_hidden = text.len() > 1 && text.starts_with('_');
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_hidden || is_number && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use zc_http::{Limits, Parse, parse};

    use super::*;

    fn trusted() -> Networks {
        let networks = ["10.0.0.0/8", "fd00::/8"];
        networks
            .iter()
            .map(|text| text.parse().expect(text))
            .collect()
    }

    #[track_caller]
    fn expect(fields: &str, expected: Option<&str>) {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
        let Ok(Parse::Complete(request)) = parse(head.as_bytes(), &Limits::default()) else {
            panic!("no request: {fields}");
        };
        let found = client(&request.headers, &trusted());
        let expected = expected.map(|text| text.parse().expect(text));
        assert_eq!(found, expected, "{fields}");
    }

    #[test]
    fn the_last_address_that_is_not_trusted_is_the_client() {
        for (value, expected) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("203.0.113.9, 192.0.2.1", Some("192.0.2.1")),
            ("192.0.2.1, 10.0.0.1", Some("192.0.2.1")),
            (
                "203.0.113.9,192.0.2.1 ,10.0.0.1,\t10.9.9.9",
                Some("192.0.2.1"),
            ),
            // All are trusted: the first of them has sent it.
            ("10.0.0.1, 10.0.0.2", Some("10.0.0.1")),
            ("192.0.2.1,, ,10.0.0.1,", Some("192.0.2.1")),
            ("", None),
            (",", None),
            ("192.0.2.1:4711", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:80, [fd00::1]:1", Some("2001:db8::1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("192.0.2.1, ::ffff:10.0.0.1", Some("192.0.2.1")),
        ] {
            expect(&format!("X-Forwarded-For: {value}"), expected);
        }
        let lines = "X-Forwarded-For: 203.0.113.9\r\nA: b\r\nx-forwarded-for: 192.0.2.1, 10.0.0.1";
        expect(lines, Some("192.0.2.1"));
    }

    #[test]
    fn an_entry_that_is_no_address_ends_the_search() {
        for entry in [
            "unknown",
            "_hidden",
            "localhost",
            "192.0.2.1:",
            "192.0.2.1:x",
            "192.0.2.1:65536",
            "192.0.2.1:+1",
            "192.0.2.256",
            "192.0.2.01",
            "[192.0.2.1]",
            "[2001:db8::1",
            "[2001:db8::1]80",
            "2001:db8::1:g",
            "\"192.0.2.1\"",
            "192.0.2.1 192.0.2.2",
            "\u{fc}",
        ] {
            expect(&format!("X-Forwarded-For: {entry}"), None);
            let before = format!("X-Forwarded-For: 203.0.113.9, {entry}, 10.0.0.2, 10.0.0.1");
            expect(&before, Some("10.0.0.2"));
            let behind = format!("X-Forwarded-For: {entry}, 203.0.113.9, 10.0.0.1");
            expect(&behind, Some("203.0.113.9"));
        }
    }

    #[test]
    fn forwarded_is_read_where_the_other_field_is_missing() {
        for (value, expected) in [
            ("for=192.0.2.1", Some("192.0.2.1")),
            (
                "For=192.0.2.1;proto=http;by=203.0.113.43",
                Some("192.0.2.1"),
            ),
            ("by=203.0.113.43; FOR = 192.0.2.1", Some("192.0.2.1")),
            ("for=\"192.0.2.1:4711\"", Some("192.0.2.1")),
            (
                "for=\"[2001:db8:cafe::17]:4711\"",
                Some("2001:db8:cafe::17"),
            ),
            (
                "for=\"[2001:db8:cafe::17]:_port\"",
                Some("2001:db8:cafe::17"),
            ),
            (
                "for=203.0.113.9, for=192.0.2.1, for=10.0.0.1",
                Some("192.0.2.1"),
            ),
            // A comma and a quote within quotes end nothing.
            (
                "for=192.0.2.1;host=\"a,for=10.0.0.1\\\",\", for=10.0.0.1",
                Some("192.0.2.1"),
            ),
            ("for=192.0.2.1, for=unknown", None),
            ("for=192.0.2.1, for=_hidden, for=10.0.0.1", Some("10.0.0.1")),
            ("for=192.0.2.1, proto=http, for=10.0.0.1", Some("10.0.0.1")),
            ("for=192.0.2.1;for=192.0.2.2", None),
            ("for=\"192.0.2.1", None),
            ("for=\"192.0.2.1, for=192.0.2.2", None),
            ("for=", None),
            ("for", None),
            ("192.0.2.1", None),
            ("", None),
        ] {
            expect(&format!("Forwarded: {value}"), expected);
        }
        expect(
            "Forwarded: for=203.0.113.9\r\nForwarded: for=192.0.2.1",
            Some("192.0.2.1"),
        );
        let both = "Forwarded: for=203.0.113.9\r\nX-Forwarded-For: 192.0.2.1";
        expect(both, Some("192.0.2.1"));
        // An answer that names nobody is one.
        expect(
            "Forwarded: for=203.0.113.9\r\nX-Forwarded-For: unknown",
            None,
        );
    }

    /// The rule as it is said: from the last entry to the first.
    fn backwards(entries: &[Option<IpAddr>], trusted: &Networks) -> Option<IpAddr> {
        let mut last_good = None;
        for &entry in entries.iter().rev() {
            let Some(address) = entry else {
                return last_good;
            };
            last_good = Some(address);
            if !trusted.contains(address) {
                return last_good;
            }
        }
        last_good
    }

    proptest::proptest! {
        #[test]
        fn one_pass_comes_to_what_the_rule_says(kinds in proptest::collection::vec(0_u8..3, 0..8)) {
            let networks = trusted();
            let entry = |(index, kind): (usize, &u8)| match kind {
                0 => None,
                1 => Some(IpAddr::from([10, 0, 0, index as u8])),
                _ => Some(IpAddr::from([192, 0, 2, index as u8])),
            };
            let entries: Vec<_> = kinds.iter().enumerate().map(entry).collect();
            let mut search = Search { trusted: &networks, found: None };
            for &entry in &entries {
                search.add(entry);
            }
            proptest::prop_assert_eq!(search.found, backwards(&entries, &networks));
        }
    }
}
