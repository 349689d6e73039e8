//! How files become responses: what stands for a directory, which names are served, and what is
//! said of a file beside its bytes.

use std::path::PathBuf;

use clap::ValueEnum;
use globset::GlobMatcher;
use zc_http::Coding;

use super::root::Root;

/// The fields that requests of scripts of other origins may have where nothing else is configured: those
/// that ask for a part or a validation, and those that libraries add to every request.
pub const CORS_REQUEST_FIELDS: &str = "Accept, Authorization, Cache-Control, Content-Type, If-Match, \
    If-Modified-Since, If-None-Match, If-Range, If-Unmodified-Since, Pragma, Range, X-Requested-With";

/// The media type of files whose name says nothing, where no other is configured.
pub const MEDIA_TYPE_DEFAULT: &str = "application/octet-stream";

/// How files become responses. [`Default`] is what the command line does without options.
#[derive(Debug, Clone)]
pub struct Files {
    /// Further sites by the host of the request; all other hosts get the root of the server.
    pub sites: Vec<Site>,
    /// Names that stand for their directory; the first that is there is sent.
    pub index: Vec<String>,
    /// Whether a directory without an index is listed.
    pub listing: bool,
    /// The file that is sent for paths where nothing is and whose last segment has no extension.
    pub spa: Option<PathBuf>,
    /// Files that are sent with an error, below the root of the site.
    pub error_pages: Vec<ErrorPage>,
    /// `Cache-Control` by path; the first that matches.
    pub cache_control: Vec<CacheControl>,
    /// Fields of responses; all that match, in this order.
    pub fields: Vec<Field>,
    /// What scripts of other origins may do; `None` for nothing.
    pub cors: Option<Cors>,
    /// Whether `?download` asks for a `Content-Disposition`.
    pub download_query: bool,
    /// The media type of a file whose name says nothing.
    pub default_type: String,
    /// Media types by extension, before those that are known.
    pub types: Vec<MediaType>,
    /// Where entity-tags come from.
    pub etags: EntityTags,
    /// The charset of text whose type is neither of the above.
    pub charset: Charset,
    /// Whether names that begin with a dot are served; `/.well-known/` always is.
    pub hidden: bool,
    /// Which symbolic links are followed.
    pub symlinks: Symlinks,
    /// Codings of which files lie ready beside the originals; the first is preferred.
    pub precompressed: Vec<Coding>,
}

impl Default for Files {
    fn default() -> Self {
        Self {
            sites: Vec::new(),
            index: vec!["index.html".to_owned()],
            listing: true,
            spa: None,
            error_pages: Vec::new(),
            cache_control: Vec::new(),
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
        }
    }
}

/// A root of its own for one host.
#[derive(Debug, Clone)]
pub struct Site {
    /// The host, in lower case and without a port.
    pub host: String,
    /// What is served there.
    pub root: Root,
}

/// A file that is sent with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorPage {
    /// The status code, from 400 to 599.
    pub code: u16,
    /// The file, relative to the root of the site.
    pub file: PathBuf,
}

/// `Cache-Control` for the paths that a glob matches.
#[derive(Debug, Clone)]
pub struct CacheControl {
    /// Matched against the path below the root, without a slash at its start.
    pub glob: GlobMatcher,
    /// The value of the field.
    pub value: String,
}

/// A field of responses.
#[derive(Debug, Clone)]
pub struct Field {
    /// Which files have it, matched against the path below the root without a slash at its start. `None`
    /// for every response. `Content-Encoding` is for files alone: their bytes are in that coding.
    pub glob: Option<GlobMatcher>,
    /// Its name.
    pub name: String,
    /// Its value. Empty for `Server` alone, which is then left out.
    pub value: String,
}

/// The media type of an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType {
    /// The extension, in lower case and without a dot at its start; `wasm.gz` is one, too.
    pub extension: String,
    /// Its type, with parameters where it has some.
    pub media_type: String,
}

/// Which charset the types of text are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Charset {
    /// UTF-8 where the text has no way to declare its encoding itself, and none elsewhere: a charset in
    /// the head overrides `<meta charset>`, `@charset` and the declaration of XML
    /// ([RFC 7303 §3](https://www.rfc-editor.org/rfc/rfc7303#section-3)).
    Auto,
    /// None.
    Off,
    /// This one, for all text but XML.
    Named(String),
}

/// What scripts of other origins may do ([Fetch](https://fetch.spec.whatwg.org/#http-cors-protocol)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// Whose scripts may read responses.
    pub origins: Origins,
    /// The names of the fields that their requests may have, separated by commas.
    pub request_fields: String,
}

/// Whose scripts may read responses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Everybody's.
    Any,
    /// Those of these origins.
    Listed(Vec<String>),
}

/// Where entity-tags come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum EntityTags {
    /// A sidecar `NAME.etag`, the extended attribute `user.etag`, else modification time and length.
    #[default]
    Auto,
    /// A sidecar or the attribute alone; a file without them has none.
    Declared,
    /// No response has one.
    Off,
}

/// Which symbolic links are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Symlinks {
    /// None.
    Deny,
    /// Those whose target lies inside the root, absolute ones too.
    #[default]
    Within,
    /// All, wherever they lead. The root keeps nobody in then.
    Follow,
}
