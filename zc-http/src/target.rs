//! Request targets: their four forms, and the decoding of their paths.

use std::error::Error;
use std::fmt;

use crate::grammar::{AUTHORITY, hex_digit};
use crate::{Method, Status, host};

/// A request target ([RFC 9112 §3.2](https://www.rfc-editor.org/rfc/rfc9112#section-3.2)).
///
/// All bytes are as sent, percent-escapes included; [`decode_path`] decodes a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'buf> {
    /// A path on this server, the usual form. The path starts with `/`.
    Origin {
        /// Everything before the first `?`.
        path: &'buf [u8],
        /// Everything after the first `?`.
        query: Option<&'buf [u8]>,
    },
    /// A whole `http` or `https` URI, as sent to proxies; every server must take it. Its authority
    /// stands in for the `Host` field.
    Absolute {
        /// Host and optional port, never empty.
        authority: &'buf [u8],
        /// Everything from the first `/` to the first `?`; `/` when the URI has no path.
        path: &'buf [u8],
        /// Everything after the first `?`.
        query: Option<&'buf [u8]>,
    },
    /// Host and port: CONNECT, and nothing but CONNECT.
    Authority(&'buf [u8]),
    /// `*`, the server as a whole: OPTIONS, and nothing but OPTIONS.
    Asterisk,
}

impl<'buf> Target<'buf> {
    /// The path, in the two forms that have one.
    pub fn path(&self) -> Option<&'buf [u8]> {
        match *self {
            Self::Origin { path, .. } | Self::Absolute { path, .. } => Some(path),
            Self::Authority(_) | Self::Asterisk => None,
        }
    }

    /// What follows the first `?`, if there is one.
    pub fn query(&self) -> Option<&'buf [u8]> {
        match *self {
            Self::Origin { query, .. } | Self::Absolute { query, .. } => query,
            Self::Authority(_) | Self::Asterisk => None,
        }
    }

    /// Parses a whole target. `*` is accepted for any method here; [`is_allowed_for`](Self::is_allowed_for)
    /// checks the pair.
    pub(crate) fn parse(method: Method, raw: &'buf [u8]) -> Option<Self> {
        if method == Method::Connect {
            return host::is_authority_with_port(raw).then_some(Self::Authority(raw));
        }
        match raw {
            [b'/', ..] => {
                let (path, query) = split_query(raw);
                Some(Self::Origin { path, query })
            }
            b"*" => Some(Self::Asterisk),
            _ => {
                let (authority, rest) = split_authority(after_scheme(raw)?);
                let (path, query) = split_query(rest);
                let path = if path.is_empty() { b"/" } else { path };
                host::is_authority(authority).then_some(Self::Absolute {
                    authority,
                    path,
                    query,
                })
            }
        }
    }

    /// Whether `prefix`, the first bytes of a target, may still grow into one.
    pub(crate) fn may_start_with(method: Method, prefix: &[u8]) -> bool {
        if method == Method::Connect {
            return AUTHORITY.contains_all(prefix);
        }
        if prefix.is_empty() || prefix == b"*" || prefix.starts_with(b"/") {
            return true;
        }
        let Some(after) = after_scheme(prefix) else {
            return SCHEMES
                .iter()
                .filter_map(|scheme| scheme.get(..prefix.len()))
                .any(|scheme| scheme.eq_ignore_ascii_case(prefix));
        };
        let (authority, rest) = split_authority(after);
        if rest.is_empty() {
            AUTHORITY.contains_all(authority)
        } else {
            host::is_authority(authority)
        }
    }

    /// Whether `method` takes a target of this form. Asked once the version is known, so that the
    /// preface of HTTP/2 (`PRI * HTTP/2.0`) is refused for its version.
    pub(crate) fn is_allowed_for(&self, method: Method) -> bool {
        match self {
            Self::Asterisk => method == Method::Options,
            Self::Authority(_) => method == Method::Connect,
            Self::Origin { .. } | Self::Absolute { .. } => method != Method::Connect,
        }
    }
}

/// A path below a root, ready to be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelativePath<'a> {
    /// The decoded path: no slash at either end, no segment that is empty, `.` or `..`, no NUL.
    /// Empty for the root itself. Any other byte may occur, line feeds included.
    pub bytes: &'a [u8],
    /// Whether the decoded target ended in `/`, `/.` or `/..`, so that only a directory can be meant.
    pub is_directory: bool,
}

/// Decodes the path of a target into `out`, which is cleared first, and removes its dot segments.
///
/// It does what nginx does, in the same order:
///
/// 1. Percent-escapes are decoded, once. An escaped slash or dot is a slash or a dot from then on:
///    `/@scope%2fname`, as npm asks for it, is `/@scope/name`.
/// 2. Empty segments are dropped: `/a//b` is `/a/b`.
/// 3. Dot segments are removed as in
///    [RFC 3986 §5.2.4](https://www.rfc-editor.org/rfc/rfc3986#section-5.2.4): `.` is dropped, and `..`
///    takes the segment before it along, so that `/a//../b` is `/b`. Nothing is looked up: that segment
///    may name a file, a symbolic link or nothing. Where there is none the path leaves the root, and is
///    refused.
///
/// The result is shorter than `path`. A caller that reuses `out` allocates only until it has grown.
///
/// ```
/// # use zc_http::decode_path;
/// let mut out = Vec::new();
/// let path = decode_path(b"/a%20b//./c/", &mut out)?;
/// assert_eq!((path.bytes, path.is_directory), (&b"a b/c"[..], true));
/// let path = decode_path(b"/hls%2f../seg/1.ts", &mut out)?;
/// assert_eq!((path.bytes, path.is_directory), (&b"seg/1.ts"[..], false));
/// assert!(decode_path(b"/a/../%2e%2E/b", &mut out).is_err());
/// # Ok::<(), zc_http::TargetError>(())
/// ```
///
/// # Errors
///
/// [`TargetError`] for a path that is malformed or leaves the root: answer 400.
pub fn decode_path<'a>(path: &[u8], out: &'a mut Vec<u8>) -> Result<RelativePath<'a>, TargetError> {
    out.clear();
    out.reserve(path.len());
    let mut rest = path.strip_prefix(b"/").ok_or(TargetError::NotAbsolute)?;
    // `out` has whole segments, each with a slash behind it, and from `start` on one that grows.
    let mut start = 0;
    while let Some(at) = memchr::memchr3(b'/', b'%', 0, rest) {
        let (plain, special) = rest.split_at_checked(at).unwrap_or((rest, b""));
        out.extend_from_slice(plain);
        let (byte, tail) = first_decoded(special)?;
        match byte {
            0 => return Err(TargetError::Nul),
            b'/' => start = end_segment(start, out)?,
            _ => out.push(byte),
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
    let is_directory = matches!(out.get(start..), Some(b"" | b"." | b".."));
    end_segment(start, out)?;
    // The slash behind the last segment, if there is any.
    out.pop();
    Ok(RelativePath {
        bytes: out,
        is_directory,
    })
}

/// Why a path cannot be looked up. Every variant is answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetError {
    /// The path does not start with `/`.
    NotAbsolute,
    /// A `%` that two hexadecimal digits do not follow.
    BadEscape,
    /// A NUL, raw or escaped.
    Nul,
    /// More `..` segments than segments before them.
    LeavesRoot,
}

impl TargetError {
    /// The status to answer with.
    pub const fn status(self) -> Status {
        Status::BadRequest
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAbsolute => "path does not start with a slash",
            Self::BadEscape => "invalid percent-escape in the path",
            Self::Nul => "NUL in the path",
            Self::LeavesRoot => "path leaves the root",
        })
    }
}

impl Error for TargetError {}

/// The raw value of the first pair called `name` in a query of `name=value` pairs split by `&`;
/// empty for a name without `=`.
///
/// Nothing is decoded, in the query or in `name`.
pub fn query_value<'q>(query: &'q [u8], name: &str) -> Option<&'q [u8]> {
    query
        .split(|&byte| byte == b'&')
        .find_map(|pair| match pair.strip_prefix(name.as_bytes())? {
            [] => Some(&b""[..]),
            [b'=', value @ ..] => Some(value),
            _ => None,
        })
}

/// The schemes an absolute target may have
/// ([RFC 9110 §4.2](https://www.rfc-editor.org/rfc/rfc9110#section-4.2)).
const SCHEMES: [&[u8]; 2] = [b"http://", b"https://"];

fn after_scheme(raw: &[u8]) -> Option<&[u8]> {
    SCHEMES.iter().find_map(|scheme| {
        let (start, rest) = raw.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

/// The authority, and what follows it from the `/` or `?` on.
fn split_authority(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr2(b'/', b'?', bytes).unwrap_or(bytes.len());
    bytes.split_at_checked(end).unwrap_or((bytes, b""))
}

fn split_query(bytes: &[u8]) -> (&[u8], Option<&[u8]>) {
    let split = memchr::memchr(b'?', bytes).and_then(|at| bytes.split_at_checked(at));
    match split {
        Some((path, [_, query @ ..])) => (path, Some(query)),
        _ => (bytes, None),
    }
}

/// The first byte of `bytes`, decoded if it is an escape, and what follows it.
fn first_decoded(bytes: &[u8]) -> Result<(u8, &[u8]), TargetError> {
    match bytes {
        [b'%', high, low, tail @ ..] => match (hex_digit(*high), hex_digit(*low)) {
            (Some(high), Some(low)) => Ok((high << 4 | low, tail)),
            _ => Err(TargetError::BadEscape),
        },
        [b'%', ..] | [] => Err(TargetError::BadEscape),
        [byte, tail @ ..] => Ok((*byte, tail)),
    }
}

/// Ends the segment of `out` that starts at `start`: it stays, with a slash behind it, or is dropped.
/// Answers where the next one starts.
fn end_segment(start: usize, out: &mut Vec<u8>) -> Result<usize, TargetError> {
    match out.get(start..).unwrap_or_default() {
        b"" => return Ok(start),
        b"." => out.truncate(start),
        b".." => {
            // One that stands before it has its slash behind it.
            let before = start.checked_sub(1).ok_or(TargetError::LeavesRoot)?;
            let parents = out.get(..before).unwrap_or_default();
            out.truncate(memchr::memrchr(b'/', parents).map_or(0, |slash| slash + 1));
        }
        _ => out.push(b'/'),
    }
    Ok(out.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin<'a>(path: &'a str, query: Option<&'a str>) -> Option<Target<'a>> {
        Some(Target::Origin {
            path: path.as_bytes(),
            query: query.map(str::as_bytes),
        })
    }

    fn absolute<'a>(
        authority: &'a str,
        path: &'a str,
        query: Option<&'a str>,
    ) -> Option<Target<'a>> {
        Some(Target::Absolute {
            authority: authority.as_bytes(),
            path: path.as_bytes(),
            query: query.map(str::as_bytes),
        })
    }

    #[test]
    fn the_four_forms() {
        let get = Method::Get;
        let rows = [
            (get, "/", origin("/", None)),
            (get, "/a?b?c", origin("/a", Some("b?c"))),
            (get, "/a?", origin("/a", Some(""))),
            (get, "//a", origin("//a", None)),
            (get, "http://a/b?c", absolute("a", "/b", Some("c"))),
            (get, "HTTPS://a:1", absolute("a:1", "/", None)),
            (get, "http://a?c/d", absolute("a", "/", Some("c/d"))),
            (get, "http:///b", None),
            (get, "http://u@a/b", None),
            (get, "ftp://a/b", None),
            (get, "http:/a", None),
            (get, "a", None),
            (get, "?a", None),
            (get, "", None),
            (get, "**", None),
            (get, "a:80", None),
            (get, "*", Some(Target::Asterisk)),
            (Method::Connect, "a:80", Some(Target::Authority(b"a:80"))),
            (Method::Connect, "a", None),
            (Method::Connect, "/", None),
            (Method::Connect, "*", None),
        ];
        for (method, raw, expected) in rows {
            assert_eq!(Target::parse(method, raw.as_bytes()), expected, "{raw}");
            if expected.is_some() {
                for end in 0..=raw.len() {
                    let prefix = raw.get(..end).unwrap();
                    let may = Target::may_start_with(method, prefix.as_bytes());
                    assert!(may, "{prefix} of {raw}");
                }
            }
        }
        assert!(!Target::Asterisk.is_allowed_for(Method::Get));
        assert!(Target::Asterisk.is_allowed_for(Method::Options));
    }

    #[test]
    fn hopeless_targets_are_known_early() {
        for prefix in [
            "a",
            "**",
            "hp",
            "http:/a",
            "http://a b",
            "http://@",
            "http://a:b/",
            "http:///",
        ] {
            let may = Target::may_start_with(Method::Get, prefix.as_bytes());
            assert!(!may, "{prefix}");
        }
        assert!(!Target::may_start_with(Method::Connect, b"/"));
    }

    #[test]
    fn paths_decode_to_plain_segments() {
        let rows = [
            ("/", "", true),
            ("/a", "a", false),
            ("/a/", "a", true),
            ("//a///b", "a/b", false),
            ("/./a/./b", "a/b", false),
            ("/a/.", "a", true),
            ("/a/%2e", "a", true),
            ("/%2E/", "", true),
            ("/a%20b", "a b", false),
            ("/%61%2B+", "a++", false),
            ("/%2561", "%61", false),
            ("/...", "...", false),
            ("/.a/b.", ".a/b.", false),
            ("/..a/b..", "..a/b..", false),
            ("/a%0Ab", "a\nb", false),
            ("/\u{e9}", "\u{e9}", false),
            ("/%C3%A9", "\u{e9}", false),
            ("/a\\..\\b", "a\\..\\b", false),
            // A slash is a slash, however it is written.
            ("/@sc%2Fpkg", "@sc/pkg", false),
            ("/a%2f", "a", true),
            ("/%2f%2fa%2f%2f", "a", true),
            ("/a%252fb", "a%2fb", false),
        ];
        assert_decoded(&rows);
    }

    #[test]
    fn dot_segments_are_removed_after_decoding() {
        let rows = [
            // RFC 3986 §5.2.4, §5.4.1.
            ("/a/b/c/./../../g", "a/g", false),
            ("/b/c/..", "b", true),
            ("/b/c/../", "b", true),
            ("/b/c/../g", "b/g", false),
            ("/b/c/../..", "", true),
            ("/b/c/../../", "", true),
            ("/b/c/../../g", "g", false),
            // §5.4.2.
            ("/b/c/g.", "b/c/g.", false),
            ("/b/c/..g", "b/c/..g", false),
            ("/b/c/./g/.", "b/c/g", true),
            ("/b/c/g;x=1/../y", "b/c/y", false),
            // Whatever was before.
            ("/a/..", "", true),
            ("/a/.%2e", "", true),
            ("/a/%2E%2e/b", "b", false),
            ("/a%2f..%2fb", "b", false),
            ("/a/..%2Fb/..", "", true),
            ("/.../..", "", true),
            // Empty segments are dropped first.
            ("/a//../b", "b", false),
            ("/a/b//..//../c", "c", false),
            ("/a/.//./../b", "b", false),
            ("/a%2f%2f%2e%2e/b", "b", false),
        ];
        assert_decoded(&rows);
    }

    fn assert_decoded(rows: &[(&str, &str, bool)]) {
        let mut out = b"left over".to_vec();
        for &(path, bytes, is_directory) in rows {
            let decoded = decode_path(path.as_bytes(), &mut out).unwrap();
            assert_eq!(
                decoded.bytes.escape_ascii().to_string(),
                bytes.as_bytes().escape_ascii().to_string(),
                "{path}"
            );
            assert_eq!(decoded.is_directory, is_directory, "{path}");
        }
    }

    #[test]
    fn malformed_paths_and_those_that_leave_the_root_are_refused() {
        let rows = [
            ("", TargetError::NotAbsolute),
            ("a", TargetError::NotAbsolute),
            ("%2fa", TargetError::NotAbsolute),
            ("/..", TargetError::LeavesRoot),
            ("/../a", TargetError::LeavesRoot),
            ("/a/../..", TargetError::LeavesRoot),
            ("/a/../../a", TargetError::LeavesRoot),
            ("/a/b/../../../a/b/c", TargetError::LeavesRoot),
            ("/a//../../b", TargetError::LeavesRoot),
            ("/a/./../../b", TargetError::LeavesRoot),
            ("/%2e%2e/", TargetError::LeavesRoot),
            ("/.%2E", TargetError::LeavesRoot),
            ("/..%2fb", TargetError::LeavesRoot),
            ("/a%2f..%2f..%2fb", TargetError::LeavesRoot),
            ("//..", TargetError::LeavesRoot),
            ("/a\0b", TargetError::Nul),
            ("/a%00b", TargetError::Nul),
            ("/a%00/../b", TargetError::Nul),
            ("/a/..%00/b", TargetError::Nul),
            ("/%", TargetError::BadEscape),
            ("/%2", TargetError::BadEscape),
            ("/%2/a", TargetError::BadEscape),
            ("/%g0", TargetError::BadEscape),
            ("/%+1", TargetError::BadEscape),
            ("/%zz/../a", TargetError::BadEscape),
        ];
        for (path, expected) in rows {
            let error = decode_path(path.as_bytes(), &mut Vec::new()).unwrap_err();
            assert_eq!(error, expected, "{path}");
            assert_eq!(error.status(), Status::BadRequest);
        }
    }

    #[test]
    fn query_values_are_raw_and_first() {
        let query = b"aa=0&a=1&a=2&flag&e=&q=x=y%20";
        let rows = [
            ("a", Some("1")),
            ("aa", Some("0")),
            ("flag", Some("")),
            ("e", Some("")),
            ("q", Some("x=y%20")),
            ("b", None),
            ("f", None),
        ];
        for (name, expected) in rows {
            assert_eq!(
                query_value(query, name),
                expected.map(str::as_bytes),
                "{name}"
            );
        }
    }
}
