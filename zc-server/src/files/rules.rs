//! Rules of how files become responses: the configuration in the form that requests use.

use std::path::Path;
use std::sync::Arc;

use zc_http::{Coding, Status};

use crate::config::Scheme;
use crate::config::files::{CacheControl, Cors, EntityTags, Field, Files, PathGlob, RateRule};
use crate::files::mime::{self, Types};
use crate::html::{self, OwnStyle};
use crate::rate::RateLimit;

/// The time to live of a sidecar's tag, while the file stays the same, as a multiple of that of the response
/// cache. Looking for sidecars each time took 3 % of the CPU of requests for 10,000 files of 4 KiB.
const SIDECAR_TTLS: i128 = 8;

/// Fields of responses whose body is the server's own, unless they are configured.
fn own_fields(own_style: Option<&OwnStyle>) -> [(&'static str, String); 2] {
    [
        ("X-Content-Type-Options", "nosniff".to_owned()),
        ("Content-Security-Policy", html::policy(own_style)),
    ]
}

/// Rules of how files become responses.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) index: Vec<String>,
    pub(crate) listing: bool,
    /// Whether a directory can be asked for as one file.
    pub(crate) archive: bool,
    /// The style of the operator for the pages of the server.
    pub(crate) own_style: Option<OwnStyle>,
    /// Whether a listing has the README of its directory.
    pub(crate) readme: bool,
    pub(crate) spa: Option<Vec<u8>>,
    error_pages: Vec<(u16, Vec<u8>)>,
    cache_control: Vec<CacheControl>,
    limits: Vec<(PathGlob, Option<RateLimit>)>,
    limit_of_others: Option<RateLimit>,
    pub(crate) types: Arc<Types>,
    pub(crate) etags: EntityTags,
    /// How long the tag of a sidecar holds while the file stays the same, in nanoseconds.
    pub(crate) sidecar_ttl_ns: i128,
    pub(crate) hidden: bool,
    pub(crate) precompressed: Vec<Coding>,
    pub(crate) cors: Option<Cors>,
    /// Whether `?download` counts.
    pub(crate) download_query: bool,
    /// How file bytes reach the socket.
    pub(crate) method: zc_core::SendMethod,
    /// Whether a request may choose the method for itself.
    pub(crate) method_override: bool,
    /// Fields of every response, as lines of a head.
    lines: Vec<u8>,
    /// The same over HTTPS, where they are others.
    secure_lines: Option<Vec<u8>>,
    /// Fields of responses whose body is the server's own: listings, and messages of errors and redirects.
    pub(crate) own_lines: Vec<u8>,
    /// Fields of files that a glob matches, each as a line of a head.
    file_lines: Vec<(PathGlob, Vec<u8>)>,
    /// Content codings of files themselves, by glob.
    codings: Vec<(PathGlob, String)>,
}

impl Rules {
    pub(crate) fn new(
        files: &Files,
        own_style: Option<OwnStyle>,
        ttl_ms: u64,
        hsts_seconds: Option<u64>,
    ) -> Self {
        let is_server = |field: &Field| field.name.eq_ignore_ascii_case("server");
        let is_set = |name: &str| {
            let is_name = |field: &Field| field.name.eq_ignore_ascii_case(name);
            let mut fields = files.fields.iter();
            fields.any(|field| field.glob.is_none() && is_name(field))
        };
        let line = |field: &Field| format!("{}: {}\r\n", field.name, field.value).into_bytes();
        let mut lines = Vec::new();
        if !files.fields.iter().any(is_server) {
            lines.extend_from_slice(b"Server: zc\r\n");
        }
        let own_fields = own_fields(own_style.as_ref())
            .into_iter()
            .filter(|(name, _)| !is_set(name));
        let own_lines =
            own_fields.flat_map(|(name, value)| format!("{name}: {value}\r\n").into_bytes());
        let (mut file_lines, mut codings) = (Vec::new(), Vec::new());
        for field in &files.fields {
            match &field.glob {
                None if field.value.is_empty() => {}
                None => lines.extend(line(field)),
                Some(glob) if field.name.eq_ignore_ascii_case("content-encoding") => {
                    codings.push((glob.clone(), field.value.clone()));
                }
                Some(glob) => file_lines.push((glob.clone(), line(field))),
            }
        }
        let limit = |rule: &RateRule| limit_of(rule, files.limit_rate_after_bytes);
        let of_glob = |rule: &RateRule| Some((rule.glob.clone()?, limit(rule)));
        let mut rates = files.limit_rates.iter();
        Self {
            limits: files.limit_rates.iter().filter_map(of_glob).collect(),
            limit_of_others: rates.find(|rule| rule.glob.is_none()).and_then(limit),
            index: files.index.clone(),
            listing: files.listing,
            archive: files.archive,
            own_style,
            readme: files.listing_readme,
            spa: files.spa.as_deref().map(bytes_of),
            error_pages: error_pages_of(files),
            cache_control: files.cache_control.clone(),
            types: Arc::new(Types::new(
                files.types.clone(),
                files.default_type.clone(),
                files.charset.clone(),
            )),
            etags: files.etags,
            sidecar_ttl_ns: i128::from(ttl_ms) * 1_000_000 * SIDECAR_TTLS,
            hidden: files.hidden,
            precompressed: files.precompressed.clone(),
            cors: files.cors.clone(),
            download_query: files.download_query,
            method: files.method,
            method_override: files.method_override,
            secure_lines: hsts_seconds.map(|seconds| {
                let line = format!("Strict-Transport-Security: max-age={seconds}\r\n");
                [&lines[..], line.as_bytes()].concat()
            }),
            lines,
            own_lines: own_lines.collect(),
            file_lines,
            codings,
        }
    }

    /// Fields of every response, as lines of a head. Browsers are told to use HTTPS alone by HTTPS alone
    /// ([RFC 6797 §7.2](https://www.rfc-editor.org/rfc/rfc6797#section-7.2)).
    pub(crate) fn lines(&self, scheme: Scheme) -> &[u8] {
        match (scheme, &self.secure_lines) {
            (Scheme::Https, Some(lines)) => lines,
            _ => &self.lines,
        }
    }

    /// Whether responses differ by scheme.
    pub(crate) fn depends_on_scheme(&self) -> bool {
        self.secure_lines.is_some()
    }

    /// The page of this status, if it has one.
    pub(crate) fn error_page(&self, status: Status) -> Option<&[u8]> {
        let mut pages = self.error_pages.iter();
        let page = pages.find(|(code, _)| *code == status.code())?;
        Some(&page.1)
    }

    /// The content coding of the file at `path` itself. Such a file is sent whatever the client accepts, and no
    /// precompressed file is looked for.
    pub(crate) fn own_coding(&self, path: &[u8]) -> Option<&str> {
        let mut codings = self.codings.iter();
        let configured = codings.find(|(glob, _)| glob.is_match(path));
        let configured = configured.map(|(_, coding)| coding.as_str());
        configured.or_else(|| mime::coding_of(path))
    }

    /// The configured fields of the file at `path`, as lines of a head.
    pub(crate) fn file_lines(&self, path: &[u8]) -> Vec<u8> {
        let lines = self.file_lines.iter();
        let lines = lines.filter(|(glob, _)| glob.is_match(path));
        lines.flat_map(|(_, line)| line).copied().collect()
    }

    /// The most that the file at `path` is sent at.
    pub(crate) fn limit(&self, path: &[u8]) -> Option<RateLimit> {
        let mut limits = self.limits.iter();
        let limit = limits.find(|(glob, _)| glob.is_match(path));
        limit.map_or(self.limit_of_others, |(_, limit)| *limit)
    }

    /// The same for what no glob matches, and for listings.
    pub(crate) fn limit_of_others(&self) -> Option<RateLimit> {
        self.limit_of_others
    }

    /// The value of `Cache-Control` for a path.
    pub(crate) fn cache_control(&self, path: &[u8]) -> Option<&str> {
        let mut rules = self.cache_control.iter();
        let rule = rules.find(|rule| rule.glob.is_match(path))?;
        Some(&rule.value)
    }
}

fn limit_of(rule: &RateRule, after_bytes: u64) -> Option<RateLimit> {
    Some(RateLimit {
        bytes_per_second: rule.bytes_per_second?,
        after_bytes,
    })
}

fn error_pages_of(files: &Files) -> Vec<(u16, Vec<u8>)> {
    let pages = files.error_pages.iter();
    pages
        .map(|page| (page.code, bytes_of(&page.file)))
        .collect()
}

fn bytes_of(path: &Path) -> Vec<u8> {
    path.as_os_str().as_encoded_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_fields_replace_those_of_the_server() {
        let lines = |fields: &[(Option<&str>, &str)]| {
            let fields = fields.iter().map(|(glob, name)| Field {
                glob: glob.map(|glob| PathGlob::new(glob).expect("a glob")),
                name: (*name).to_owned(),
                value: "x".to_owned(),
            });
            let files = Files {
                fields: fields.collect(),
                ..Files::default()
            };
            String::from_utf8(Rules::new(&files, None, 0, None).own_lines).expect("ASCII")
        };
        let names = |lines: String| -> Vec<String> {
            let names = lines.lines().filter_map(|line| line.split_once(": "));
            names.map(|(name, _)| name.to_owned()).collect()
        };
        let both = ["X-Content-Type-Options", "Content-Security-Policy"];
        assert_eq!(names(lines(&[])), both);
        // That of some files says nothing about the server's own pages.
        assert_eq!(
            names(lines(&[(Some("*.html"), "content-security-policy")])),
            both
        );
        assert_eq!(
            names(lines(&[(None, "content-security-policy")])),
            both[..1]
        );
        assert_eq!(names(lines(&[(None, "x-content-type-options")])), both[1..]);
    }
}
