//! The look-up of a path: a file in one of its codings, an index, a directory, or nothing.
//!
//! Every call to a filesystem before a response is planned is made here. A worker and a disk I/O thread run
//! the same code.

use zc_http::{AcceptEncoding, Coding, EntityTag, MediaAcceptance};

use crate::config::files::EntityTags;
use crate::files::declared::declared_tag;
use crate::files::mime;
use crate::files::open_file::{FileHandle, OpenFile, OpenMode, Opened, ResolveError};
use crate::files::precompressed;
use crate::files::root::Root;
use crate::files::rules::Rules;

/// The directory that is never hidden: clients ask for certificates there (RFC 8615).
const WELL_KNOWN: &[u8] = b".well-known";

/// What a request asks for, as far as files depend on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<'a> {
    /// Decoded, relative and free of dot segments; empty for the root.
    pub(crate) path: &'a [u8],
    /// Whether the target ended in a slash.
    pub(crate) is_directory: bool,
    pub(crate) accepted: AcceptEncoding,
    /// Whether it accepts `text/html`: a client that names it navigates.
    pub(crate) html: MediaAcceptance,
    pub(crate) open_mode: OpenMode,
}

/// The outcome of a look-up.
#[derive(Debug)]
pub(crate) enum Found {
    File(Box<Resource>),
    /// A directory, for a path without a final slash.
    Redirect,
    /// A directory without an index, which is to be listed.
    Directory(FileHandle),
    /// A file none of whose codings is accepted.
    NotAcceptable,
    Nothing(ResolveError),
}

/// A file that can be sent.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) file: OpenFile,
    pub(crate) coding: Coding,
    /// Whether another request for the path could be given another coding.
    pub(crate) is_negotiated: bool,
    /// Whether it is the page of a single-page application, for a path that does not exist.
    pub(crate) is_fallback: bool,
    /// The entity-tag that a sidecar or an attribute declares.
    pub(crate) declared_tag: Option<EntityTag>,
    /// The path that was opened, without the extension of a coding. It decides media type and rules.
    pub(crate) path: Vec<u8>,
}

/// Looks up what the query names.
pub(crate) fn look_up(root: &Root, rules: &Rules, query: Query<'_>) -> Found {
    if !rules.hidden && !root.is_file() && is_hidden(query.path) {
        return Found::Nothing(ResolveError::NotFound);
    }
    let found = find(root, rules, query);
    match (found, &rules.spa) {
        (Found::Nothing(ResolveError::NotFound), Some(spa)) if is_route(query) => {
            match resolve_at(root, rules, spa, query) {
                Found::File(resource) => Found::File(Box::new(Resource {
                    is_fallback: true,
                    ..*resource
                })),
                found => found,
            }
        }
        (found, _) => found,
    }
}

/// The page of an error. Its coding is not negotiated.
pub(crate) fn error_page(root: &Root, path: &[u8], open_mode: OpenMode) -> Found {
    match root.open_file(path, open_mode) {
        Ok(file) => Found::File(Box::new(Resource {
            file,
            coding: Coding::Identity,
            is_negotiated: false,
            is_fallback: false,
            declared_tag: None,
            path: path.to_vec(),
        })),
        Err(error) => Found::Nothing(error),
    }
}

/// A number for what the outcome depends on beside the path: requests with equal numbers have equal
/// outcomes. It is below [`PREFERENCES`].
pub(crate) fn preference(query: &Query<'_>, rules: &Rules) -> u16 {
    let html = match (&rules.spa, query.html) {
        (None, _) | (_, MediaAcceptance::Covered) => 0,
        (_, MediaAcceptance::Named) => 1,
        (_, MediaAcceptance::Refused) => 2,
    };
    html * CODING_ORDERS + coding_order(query.accepted, &rules.precompressed)
}

/// The numbers of [`preference`] are below this.
pub(crate) const PREFERENCES: u16 = 3 * CODING_ORDERS;

/// The numbers of [`coding_order`] are below this.
const CODING_ORDERS: u16 = 0o10000;

/// A number for the order in which a client prefers codings.
fn coding_order(accepted: AcceptEncoding, ready: &[Coding]) -> u16 {
    if ready.is_empty() {
        return 0;
    }
    let all = [Coding::Identity, Coding::Brotli, Coding::Zstd, Coding::Gzip];
    all.iter().fold(0, |number, &coding| {
        let quality = accepted.quality(coding);
        let place = match quality {
            0 => 7,
            _ => all
                .iter()
                .filter(|&&other| accepted.quality(other) > quality)
                .count(),
        };
        // One octal digit for each: how many codings are preferred to it, or 7 for one that is not accepted.
        number * 8 + place as u16
    })
}

fn find(root: &Root, rules: &Rules, query: Query<'_>) -> Found {
    if root.is_file() {
        // A final slash would make its name that of a directory.
        let is_name = query.path.is_empty() || !query.is_directory;
        let Some(name) = root.only(query.path).filter(|_| is_name) else {
            return Found::Nothing(ResolveError::NotFound);
        };
        // No precompressed file beside it is sent.
        let found = root
            .open_file(name, query.open_mode)
            .and_then(|file| whole(root, rules, name, file, query.open_mode));
        return found.map_or_else(Found::Nothing, |resource| Found::File(Box::new(resource)));
    }
    if query.is_directory {
        return find_in_directory(root, rules, query);
    }
    resolve_at(root, rules, query.path, query)
}

/// The index of a directory, or the directory itself.
fn find_in_directory(root: &Root, rules: &Rules, query: Query<'_>) -> Found {
    for name in &rules.index {
        let path = match query.path {
            [] => name.clone().into_bytes(),
            directory => [directory, name.as_bytes()].join(&b'/'),
        };
        match resolve_at(root, rules, &path, query) {
            // A directory is no index.
            Found::Redirect => {}
            // An index that cannot be served, such as a link that leads outside, hides the listing as well.
            Found::Nothing(ResolveError::NotFound) => {
                match root.has_entry(&path, query.open_mode) {
                    Ok(false) => {}
                    Ok(true) => return Found::Nothing(ResolveError::NotFound),
                    Err(error) => return Found::Nothing(error),
                }
            }
            found => return found,
        }
    }
    if !rules.listing {
        return Found::Nothing(ResolveError::NotFound);
    }
    match root.open_path(query.path, query.open_mode) {
        Ok(Opened::Directory(directory)) => Found::Directory(directory),
        Ok(Opened::File(_)) => Found::Nothing(ResolveError::NotFound),
        Err(error) => Found::Nothing(error),
    }
}

/// Looks `path` up, which need not be the path of the query.
fn resolve_at(root: &Root, rules: &Rules, path: &[u8], query: Query<'_>) -> Found {
    match root.open_path(path, query.open_mode) {
        Ok(Opened::File(file)) => {
            negotiate(root, rules, path, file, query).unwrap_or_else(Found::Nothing)
        }
        Ok(Opened::Directory(_)) => Found::Redirect,
        Err(error) => Found::Nothing(error),
    }
}

/// The file in the coding that the client prefers, among the precompressed ones and the original.
fn negotiate(
    root: &Root,
    rules: &Rules,
    path: &[u8],
    original: OpenFile,
    query: Query<'_>,
) -> Result<Found, ResolveError> {
    if rules.own_coding(path).is_some() {
        let resource = whole(root, rules, path, original, query.open_mode)?;
        return Ok(Found::File(Box::new(resource)));
    }
    let is_negotiated = !rules.precompressed.is_empty();
    let mut ready = rules.precompressed.clone();
    let resource = loop {
        match query.accepted.choose(&ready) {
            None if is_negotiated => return Ok(Found::NotAcceptable),
            None | Some(Coding::Identity) => {
                break whole(root, rules, path, original, query.open_mode)?;
            }
            Some(coding) => match sibling(root, rules, path, &original, coding, query.open_mode)? {
                Some(resource) => break resource,
                None => ready.retain(|&other| other != coding),
            },
        }
    };
    Ok(Found::File(Box::new(Resource {
        is_negotiated,
        ..resource
    })))
}

/// The precompressed file, such as `NAME.br`, if it can be sent for the original.
fn sibling(
    root: &Root,
    rules: &Rules,
    path: &[u8],
    original: &OpenFile,
    coding: Coding,
    open_mode: OpenMode,
) -> Result<Option<Resource>, ResolveError> {
    let name = [path, extension_of(coding)].concat();
    let file = match root.open_file(&name, open_mode) {
        Ok(file) => file,
        Err(ResolveError::WouldBlock) => return Err(ResolveError::WouldBlock),
        // Absent or unreadable: the original is sent.
        Err(_) => return Ok(None),
    };
    if !precompressed::is_ready(&file, original, coding, open_mode)? {
        return Ok(None);
    }
    let resource = whole(root, rules, &name, file, open_mode)?;
    Ok(Some(Resource {
        coding,
        path: path.to_vec(),
        ..resource
    }))
}

/// A file in no coding.
fn whole(
    root: &Root,
    rules: &Rules,
    path: &[u8],
    file: OpenFile,
    open_mode: OpenMode,
) -> Result<Resource, ResolveError> {
    let declared_tag = match rules.etags {
        EntityTags::Off => None,
        EntityTags::Auto | EntityTags::Declared => {
            declared_tag(root, path, &file, rules.sidecar_ttl_ns, open_mode)?
        }
    };
    Ok(Resource {
        declared_tag,
        file,
        coding: Coding::Identity,
        is_negotiated: false,
        is_fallback: false,
        path: path.to_vec(),
    })
}

fn extension_of(coding: Coding) -> &'static [u8] {
    match coding {
        Coding::Identity => b"",
        Coding::Brotli => b".br",
        Coding::Zstd => b".zst",
        Coding::Gzip => b".gz",
    }
}

/// Whether a segment begins with a dot, other than `.well-known` at the start.
pub(crate) fn is_hidden(path: &[u8]) -> bool {
    let mut segments = path.split(|&byte| byte == b'/').peekable();
    segments.next_if_eq(&WELL_KNOWN);
    segments.any(|segment| segment.starts_with(b"."))
}

/// Whether a path that does not exist may be a route of a single-page application, and not a missing file. A
/// client that navigates names `text/html` in `Accept`. For scripts and tools, which do not, a last segment
/// without an extension is a route.
fn is_route(query: Query<'_>) -> bool {
    match query.html {
        MediaAcceptance::Named => true,
        MediaAcceptance::Covered => mime::extension(query.path).is_none(),
        MediaAcceptance::Refused => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_hide_and_well_known_does_not() {
        for (path, expected) in [
            (&b""[..], false),
            (b"a", false),
            (b"a.b/c.d", false),
            (b".git", true),
            (b"a/.git/config", true),
            (b"a/..b", true),
            (b".well-known", false),
            (b".well-known/acme-challenge/x", false),
            (b".well-known/.x", true),
            (b"a/.well-known/x", true),
            (b".well-knownx", true),
        ] {
            assert_eq!(is_hidden(path), expected, "{}", path.escape_ascii());
        }
    }

    #[test]
    fn clients_with_one_preference_are_given_the_same() {
        const CODINGS: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];
        let accepted = |value: &str| {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {value}\r\n\r\n");
            let limits = zc_http::Limits::default();
            match zc_http::parse(head.as_bytes(), &limits) {
                Ok(zc_http::Parse::Complete(request)) => {
                    AcceptEncoding::from_headers(&request.headers)
                }
                other => panic!("{other:?}"),
            }
        };
        let qualities = ["0", "0.3", "0.6", "1"];
        let mut clients = vec![AcceptEncoding::IDENTITY];
        for index in 0..256 {
            let digit = |place: usize| qualities[index / 4_usize.pow(place as u32) % 4];
            clients.push(accepted(&format!(
                "br;q={}, zstd;q={}, gzip;q={}, identity;q={}",
                digit(0),
                digit(1),
                digit(2),
                digit(3)
            )));
        }
        let subsets: Vec<Vec<Coding>> = (0..8)
            .map(|bits| {
                let is_in = |&(at, _): &(usize, &Coding)| bits & (1 << at) != 0;
                CODINGS
                    .iter()
                    .enumerate()
                    .filter(is_in)
                    .map(|(_, &coding)| coding)
                    .collect()
            })
            .collect();
        let choices = |client: &AcceptEncoding| -> Vec<_> {
            subsets.iter().map(|ready| client.choose(ready)).collect()
        };
        for one in &clients {
            assert!(coding_order(*one, &CODINGS) < CODING_ORDERS);
            for other in &clients {
                if coding_order(*one, &CODINGS) == coding_order(*other, &CODINGS) {
                    assert_eq!(choices(one), choices(other), "{one:?} {other:?}");
                }
            }
        }
        assert_ne!(
            coding_order(accepted("gzip"), &CODINGS),
            coding_order(accepted("br, gzip"), &CODINGS)
        );
    }

    #[test]
    fn a_missing_asset_is_no_route_and_whoever_navigates_is_on_one() {
        use MediaAcceptance::{Covered, Named, Refused};
        for (path, html, expected) in [
            (&b""[..], Covered, true),
            (b"users/7", Covered, true),
            (b"v1.2/users", Covered, true),
            (b"app.js", Covered, false),
            (b"users/photo.png", Covered, false),
            (b"users/john.doe", Named, true),
            (b"pkg/vue@3.4.1", Named, true),
            (b"v1.2", Named, true),
            (b"api/users", Refused, false),
        ] {
            let query = Query {
                path,
                is_directory: false,
                accepted: AcceptEncoding::IDENTITY,
                html,
                open_mode: OpenMode::MayBlock,
            };
            assert_eq!(is_route(query), expected, "{}", path.escape_ascii());
        }
    }
}
