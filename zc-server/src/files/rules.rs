//! How files become responses: the part of the configuration that answers depend on, made ready.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use globset::GlobMatcher;
use zc_http::{Coding, Status};

use crate::config::files::{CacheControl, Cors, EntityTags, Field, Files};
use crate::files::mime::{self, Types};

/// For how many times the time to live of the cache what a sidecar declares of a file is believed, while
/// the file stays the same. Looking for sidecars each time took 3 % of the CPU of requests for 10,000 files
/// of 4 KiB.
const SIDECAR_TTLS: i128 = 8;

/// How files become responses.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) index: Vec<String>,
    pub(crate) listing: bool,
    pub(crate) spa: Option<Vec<u8>>,
    error_pages: Vec<(u16, Vec<u8>)>,
    cache_control: Vec<CacheControl>,
    pub(crate) types: Types,
    pub(crate) etags: EntityTags,
    /// How long what a sidecar declares of a file that stays the same is believed, in nanoseconds.
    pub(crate) sidecars_believed_ns: i128,
    pub(crate) hidden: bool,
    pub(crate) precompressed: Vec<Coding>,
    pub(crate) cors: Option<Cors>,
    /// Whether a query may ask for a download.
    pub(crate) download_query: bool,
    /// Fields of every response, as lines of a head.
    pub(crate) lines: Vec<u8>,
    /// Fields of the files that a glob matches, each as a line of a head.
    file_lines: Vec<(GlobMatcher, Vec<u8>)>,
    /// The codings that the bytes of files are in by themselves.
    codings: Vec<(GlobMatcher, String)>,
}

impl Rules {
    pub(crate) fn new(files: &Files, ttl_ms: u64) -> Self {
        let bytes = |path: &Path| path.as_os_str().as_encoded_bytes().to_vec();
        let is_server = |field: &Field| field.name.eq_ignore_ascii_case("server");
        let line = |field: &Field| format!("{}: {}\r\n", field.name, field.value).into_bytes();
        let mut lines = Vec::new();
        if !files.fields.iter().any(is_server) {
            lines.extend_from_slice(b"Server: zc\r\n");
        }
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
        Self {
            index: files.index.clone(),
            listing: files.listing,
            spa: files.spa.as_deref().map(bytes),
            error_pages: files
                .error_pages
                .iter()
                .map(|page| (page.code, bytes(&page.file)))
                .collect(),
            cache_control: files.cache_control.clone(),
            types: Types::new(
                files.types.clone(),
                files.default_type.clone(),
                files.charset.clone(),
            ),
            etags: files.etags,
            sidecars_believed_ns: i128::from(ttl_ms) * 1_000_000 * SIDECAR_TTLS,
            hidden: files.hidden,
            precompressed: files.precompressed.clone(),
            cors: files.cors.clone(),
            download_query: files.download_query,
            lines,
            file_lines,
            codings,
        }
    }

    /// The file that is sent with this status, if there is one.
    pub(crate) fn error_page(&self, status: Status) -> Option<&[u8]> {
        let mut pages = self.error_pages.iter();
        let page = pages.find(|(code, _)| *code == status.code())?;
        Some(&page.1)
    }

    /// The content coding that the bytes of the file at `path` are in by themselves. Such a file goes
    /// out as it is, whatever is accepted, and nothing is looked for beside it.
    pub(crate) fn own_coding(&self, path: &[u8]) -> Option<&str> {
        let mut codings = self.codings.iter();
        let configured = codings.find(|(glob, _)| glob.is_match(as_path(path)));
        let configured = configured.map(|(_, coding)| coding.as_str());
        configured.or_else(|| mime::coding_of(path))
    }

    /// The fields of the file at `path` that not every response has, as lines of a head.
    pub(crate) fn file_lines(&self, path: &[u8]) -> Vec<u8> {
        let lines = self.file_lines.iter();
        let lines = lines.filter(|(glob, _)| glob.is_match(as_path(path)));
        lines.flat_map(|(_, line)| line).copied().collect()
    }

    /// What caches are told of a path.
    pub(crate) fn cache_control(&self, path: &[u8]) -> Option<&str> {
        let mut rules = self.cache_control.iter();
        let rule = rules.find(|rule| rule.glob.is_match(as_path(path)))?;
        Some(&rule.value)
    }
}

fn as_path(path: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(path))
}
