//! How files become responses: indexes and listings, which names are served, and the fields of
//! responses.

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::ValueEnum;
use zc_core::SendMethod;
use zc_http::Coding;

use super::root::ServedRoot;

/// The default request fields that cross-origin scripts may send: those of ranges and preconditions, and
/// those that libraries add to every request.
pub const CORS_REQUEST_FIELDS: &str = "Accept, Authorization, Cache-Control, Content-Type, If-Match, \
    If-Modified-Since, If-None-Match, If-Range, If-Unmodified-Since, Pragma, Range, X-Requested-With";

/// The default media type of files with an unknown extension.
pub const MEDIA_TYPE_DEFAULT: &str = "application/octet-stream";

/// How files become responses. [`Default`] is the command line without options.
#[derive(Debug, Clone)]
pub struct Files {
    /// Names of index files; the first that exists is sent for its directory.
    pub index: Vec<String>,
    /// Whether a directory without an index is listed.
    pub listing: bool,
    /// Whether `?archive=tar` of a directory that may be listed is answered with all that is in it, as one file.
    pub archive: bool,
    /// A file of CSS, an absolute path, that the pages of the server have as well.
    pub listing_style: Option<PathBuf>,
    /// Whether a listing shows the `README.md` or `HEADER.html` of its directory.
    pub listing_readme: bool,
    /// The page of a single-page application: sent for paths that do not exist, to clients that navigate, and
    /// to other clients for paths without an extension.
    pub spa: Option<PathBuf>,
    /// Error pages, below the root of the site.
    pub error_pages: Vec<ErrorPage>,
    /// A file of users and hashes of their passwords, an absolute path: only they may see what is served. `None` for
    /// everybody.
    pub auth_file: Option<PathBuf>,
    /// `Cache-Control` by path; the first match counts.
    pub cache_control: Vec<CacheControl>,
    /// The most that responses are sent at: the first whose glob matches counts, and then the one without.
    pub limit_rates: Vec<RateRule>,
    /// How many of the first bytes of a response are sent without that limit.
    pub limit_rate_after_bytes: u64,
    /// Fields of responses; all matches are sent, in this order.
    pub fields: Vec<Field>,
    /// What cross-origin scripts may do; `None` for nothing.
    pub cors: Option<Cors>,
    /// Whether `?download` is answered with `Content-Disposition: attachment`.
    pub download_query: bool,
    /// The media type of files with an unknown extension.
    pub default_type: String,
    /// Media types by extension; they override the built-in ones.
    pub types: Vec<MediaType>,
    /// Where entity-tags come from.
    pub etags: EntityTags,
    /// The charset of text types that are not configured above.
    pub charset: Charset,
    /// Whether names that begin with a dot are served. `/.well-known/` always is.
    pub hidden: bool,
    /// Which symbolic links are followed.
    pub symlinks: Symlinks,
    /// Content codings of precompressed files beside the originals; the first is preferred.
    pub precompressed: Vec<Coding>,
    /// How file bytes reach the socket.
    pub method: SendMethod,
    /// Whether a request may choose the method for itself.
    pub method_override: bool,
}

impl Default for Files {
    fn default() -> Self {
        Self {
            index: vec!["index.html".to_owned()],
            listing: true,
            archive: false,
            listing_style: None,
            listing_readme: false,
            spa: None,
            error_pages: Vec::new(),
            auth_file: None,
            cache_control: Vec::new(),
            limit_rates: Vec::new(),
            limit_rate_after_bytes: 0,
            fields: Vec::new(),
            cors: None,
            download_query: true,
            default_type: MEDIA_TYPE_DEFAULT.to_owned(),
            types: Vec::new(),
            etags: EntityTags::Auto,
            charset: Charset::Auto,
            hidden: false,
            symlinks: Symlinks::Within,
            precompressed: vec![Coding::Brotli, Coding::Zstd, Coding::Gzip],
            method: SendMethod::Auto,
            method_override: false,
        }
    }
}

/// A site: hosts with their own root.
#[derive(Debug, Clone)]
pub struct Site {
    /// The hosts, in lower case and without a port.
    pub hosts: Vec<String>,
    /// What is served to requests for them.
    pub root: ServedRoot,
    /// How files of this site become responses.
    pub files: Files,
}

/// The page of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorPage {
    /// The status code, from 400 to 599.
    pub code: u16,
    /// The file, relative to the root of the site.
    pub file: PathBuf,
}

/// A pattern of paths: `*` stops at slashes, `**` does not, `?` is one byte, and there are `[a-z]`, `{a,b}` and `\`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathGlob(String);

impl PathGlob {
    /// Takes a pattern.
    ///
    /// # Errors
    ///
    /// What is wrong with it, such as a brace that is not closed.
    pub fn new(pattern: &str) -> Result<Self, fast_glob::ErrorKind> {
        // At the start it would stand for all paths that do not match.
        let pattern = match pattern.strip_prefix('!') {
            Some(_) => format!("\\{pattern}"),
            None => pattern.to_owned(),
        };
        match fast_glob::validate(&pattern) {
            Ok(()) => Ok(Self(pattern)),
            Err(error) => Err(error.kind),
        }
    }

    /// Whether it matches `path`, which is below the root and has no slash at its start.
    pub fn is_match(&self, path: &[u8]) -> bool {
        fast_glob::glob_match(&self.0, path)
    }
}

/// `Cache-Control` for the paths that a glob matches.
#[derive(Debug, Clone)]
pub struct CacheControl {
    /// Matched against the path below the root, without a slash at its start.
    pub glob: PathGlob,
    /// The value of the field.
    pub value: String,
}

/// The most that responses for the paths that a glob matches are sent at.
#[derive(Debug, Clone)]
pub struct RateRule {
    /// Matched against the path below the root, without a slash at its start. `None` is for all others.
    pub glob: Option<PathGlob>,
    /// Bytes per second of one connection; `None` for no limit.
    pub bytes_per_second: Option<NonZeroU64>,
}

/// A field of responses.
#[derive(Debug, Clone)]
pub struct Field {
    /// Matched against the path below the root, without a slash at its start. `None` is for every response.
    /// `Content-Encoding` needs a glob: it says which coding the bytes of these files are in.
    pub glob: Option<PathGlob>,
    /// Its name.
    pub name: String,
    /// Its value. Only `Server` may be empty, and is then not sent.
    pub value: String,
}

/// The media type of an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType {
    /// The extension, in lower case and without a dot at its start, such as `log` or `wasm.gz`.
    pub extension: String,
    /// The type, with its parameters.
    pub media_type: String,
}

/// Which charset text types have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Charset {
    /// UTF-8 for text that cannot declare its encoding itself, and none elsewhere: a charset in the head
    /// overrides `<meta charset>`, `@charset` and the declaration of XML
    /// ([RFC 7303 §3](https://www.rfc-editor.org/rfc/rfc7303#section-3)).
    Auto,
    /// None.
    Off,
    /// This one, for all text but XML.
    Named(String),
}

/// What cross-origin scripts may do ([Fetch](https://fetch.spec.whatwg.org/#http-cors-protocol)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// The origins whose scripts may read responses.
    pub origins: Origins,
    /// The request fields that they may send, separated by commas.
    pub request_fields: String,
}

/// The origins whose scripts may read responses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// All.
    Any,
    /// These.
    Listed(Vec<String>),
}

/// Where entity-tags come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum EntityTags {
    /// A file NAME.etag, else the extended attribute user.etag, else modification time and length.
    #[default]
    Auto,
    /// A file NAME.etag, else the extended attribute user.etag, else none.
    Declared,
    /// None.
    #[value(help = None::<&'static str>)]
    Off,
}

/// Which symbolic links are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Symlinks {
    /// No links.
    Deny,
    /// Links to targets inside the root, by relative or absolute paths.
    #[default]
    Within,
    /// All links; files outside the root become reachable.
    Follow,
}
