//! Options of what is served, and of the responses.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;
use zc_core::SendMethod;

use super::choice::{FileOrOff, Precompressed, Switch};
use super::parse;
use crate::config::files::{
    CORS_REQUEST_FIELDS, CacheControl, Charset, EntityTags, ErrorPage, Field, MEDIA_TYPE_DEFAULT,
    MediaType, Symlinks,
};

/// Options of what is served, and of the responses.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Serving")]
pub struct ServingArgs {
    /// Name of index files
    ///
    /// The index file is sent for its directory. May be repeated: the first name that exists is used.
    #[arg(
        long,
        value_name = "NAME",
        env = "ZC_INDEX",
        hide_env_values = true,
        value_delimiter = ',',
        default_value = "index.html",
        value_parser = parse::file_name
    )]
    pub index: Vec<String>,

    /// Symbolic links to follow
    #[arg(
        long,
        value_name = "WHICH",
        env = "ZC_SYMLINKS",
        hide_env_values = true,
        value_enum,
        default_value = "within"
    )]
    pub symlinks: Symlinks,

    /// Page of a single-page application
    ///
    /// Send FILE, by default index.html, for a path that does not exist. Browsers get it when they
    /// navigate to any such path, other clients for paths without an extension. FILE is relative to the
    /// root and must exist when the server starts.
    #[arg(
        long,
        value_name = "FILE",
        env = "ZC_SPA",
        hide_env_values = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "index.html",
        value_parser = parse::path_below
    )]
    pub spa: Option<PathBuf>,

    /// Send FILE as the page of status CODE
    ///
    /// CODE is a status of errors that the server sends: 400, 401, 403 to 406, 408, 412 to 414, 416, 417, 431, 500,
    /// 501, 503 to 505. FILE is relative to the root, and to the root of each --site; it must exist in all of
    /// them when the server starts. An error before a request is complete has the page of ROOT. Such an error,
    /// and one because the disk is busy or slow, has its page if that has at most 64 KiB and can be read
    /// without waiting for the disk. May be repeated.
    #[arg(
        long = "error-page",
        value_name = "CODE=FILE",
        env = "ZC_ERROR_PAGE",
        hide_env_values = true,
        value_parser = parse::error_page
    )]
    pub error_pages: Vec<ErrorPage>,

    /// Ask for a name and a password
    ///
    /// FILE has users and their passwords, as htpasswd -B writes it. Who has no name and password of FILE is
    /// answered with 401. FILE must not be below a root, and is read again on SIGHUP. With off, which is for a site
    /// in the configuration file, nobody is asked.
    #[arg(
        long,
        value_name = "FILE|off",
        env = "ZC_AUTH_FILE",
        hide_env_values = true,
        value_parser = parse::auth_file
    )]
    pub auth_file: Option<FileOrOff>,

    /// Cache-Control of paths that match GLOB
    ///
    /// A glob without a slash matches file names in every directory: *.js. One with a slash matches
    /// paths from the root: /*.js, assets/**. * does not match a slash, ** does. ? is one byte, [a-z] one of
    /// several, {js,css} one of several words. A directory is matched as its index file. May be repeated: the first glob that matches is used.
    #[arg(
        long = "cache-control",
        value_name = "GLOB=VALUE",
        env = "ZC_CACHE_CONTROL",
        hide_env_values = true,
        value_parser = parse::cache_control
    )]
    pub cache_control: Vec<CacheControl>,

    /// Add a field to responses
    ///
    /// With GLOB, only to responses for files that match it, as in --cache-control. May be repeated: all
    /// that match are added, in order. 'Server:' without a value removes the Server field.
    /// 'GLOB=Content-Encoding: gzip' declares that these files are stored in that coding.
    #[arg(
        long = "header",
        value_name = "[GLOB=]NAME: VALUE",
        env = "ZC_HEADER",
        hide_env_values = true,
        value_parser = parse::field
    )]
    pub fields: Vec<Field>,

    /// Allow cross-origin requests by scripts
    ///
    /// Scripts of ORIGIN may read the responses; without ORIGIN, scripts of every origin. May be
    /// repeated.
    #[arg(
        long,
        value_name = "ORIGIN",
        env = "ZC_CORS",
        hide_env_values = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "*",
        value_delimiter = ',',
        value_parser = parse::origin
    )]
    pub cors: Vec<String>,

    /// Request fields allowed with --cors
    ///
    /// LIST replaces the default. * allows every field except Authorization. May be repeated. Needs
    /// --cors.
    #[arg(
        long,
        value_name = "LIST",
        env = "ZC_CORS_HEADERS",
        hide_env_values = true,
        value_delimiter = ',',
        requires = "cors",
        default_value = CORS_REQUEST_FIELDS,
        value_parser = parse::field_name
    )]
    pub cors_headers: Vec<String>,

    /// Let ?download save a file
    ///
    /// A request for FILE?download is answered with Content-Disposition: attachment, so that browsers save
    /// the file. It has no effect on index files and on the page of --spa.
    #[arg(
        long,
        value_name = "on|off",
        env = "ZC_DOWNLOAD_QUERY",
        hide_env_values = true,
        value_enum,
        hide_possible_values = true,
        default_value = "on"
    )]
    pub download_query: Switch,

    /// Media type of files that end in .EXT
    ///
    /// EXT is an extension such as log or wasm.gz; the longest that matches is used. May be repeated.
    #[arg(
        long = "mime",
        value_name = "EXT=TYPE",
        env = "ZC_MIME",
        hide_env_values = true,
        value_parser = parse::extension_type
    )]
    pub types: Vec<MediaType>,

    /// Media type of unknown extensions
    ///
    /// It is sent for files with an unknown extension, and for files without one.
    #[arg(
        long = "default-type",
        value_name = "TYPE",
        env = "ZC_DEFAULT_TYPE",
        hide_env_values = true,
        default_value = MEDIA_TYPE_DEFAULT,
        value_parser = parse::media_type
    )]
    pub default_type: String,

    /// Charset of text types
    ///
    /// auto adds utf-8 to text types that cannot declare their own encoding, and nothing to HTML, XML,
    /// CSS and JavaScript. NAME is added to all text types except XML. With off nothing is added.
    #[arg(
        long,
        value_name = "auto|off|NAME",
        env = "ZC_CHARSET",
        hide_env_values = true,
        default_value = "auto",
        value_parser = parse::charset
    )]
    pub charset: Charset,

    /// Precompressed files
    ///
    /// A file NAME.br, NAME.zst or NAME.gz beside NAME is sent in its place to clients that accept its
    /// coding. The order of LIST decides where a client accepts several equally. With off none is sent.
    #[arg(
        long,
        value_name = "LIST",
        env = "ZC_PRECOMPRESSED",
        hide_env_values = true,
        value_enum,
        value_delimiter = ',',
        default_value = "br,zst,gz"
    )]
    pub precompressed: Vec<Precompressed>,

    /// Source of entity-tags
    #[arg(
        long,
        value_name = "SOURCE",
        env = "ZC_ETAG",
        hide_env_values = true,
        value_enum,
        default_value = "auto"
    )]
    pub etag: EntityTags,

    /// Serve names that begin with a dot
    ///
    /// /.well-known/ is always served.
    #[arg(
        long,
        env = "ZC_HIDDEN",
        hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub hidden: bool,

    /// Directory listings
    ///
    /// A directory without an index file is answered with a list of its entries: as HTML, or as JSON where
    /// the client prefers it.
    #[arg(
        long,
        value_name = "on|off",
        env = "ZC_LISTING",
        hide_env_values = true,
        value_enum,
        hide_possible_values = true,
        default_value = "on"
    )]
    pub listing: Switch,

    /// Directories as tar archives
    ///
    /// A request for DIRECTORY/?archive=tar is answered with all that is in it, as one file that is made while it is
    /// sent. It has a length and ranges, so that a download can be resumed. What is not listed is left out. By default on
    /// with --lan, and off otherwise.
    #[arg(
        long,
        value_name = "on|off",
        env = "ZC_ARCHIVE",
        hide_env_values = true,
        value_enum,
        hide_possible_values = true
    )]
    pub archive: Option<Switch>,

    /// Add a style to the pages of the server
    ///
    /// FILE is CSS, of at most 64 KiB. Listings, galleries, players and errors have it behind the CSS of the server. It
    /// may hold pictures and fonts as data: URLs, and name those below the root. FILE is read again on SIGHUP. off is for
    /// a site in the configuration file that is to have none.
    #[arg(
        long,
        value_name = "FILE|off",
        env = "ZC_LISTING_STYLE",
        hide_env_values = true,
        value_parser = parse::style_file
    )]
    pub listing_style: Option<FileOrOff>,

    /// Show README.md in listings
    ///
    /// README.md of the directory, or else its HEADER.html, is shown below the entries; case does not matter. A file of
    /// more than 256 KiB is not shown. HTML in Markdown is shown as text, and so are all but a few harmless elements of
    /// HEADER.html.
    #[arg(
        long,
        value_name = "on|off",
        env = "ZC_LISTING_README",
        hide_env_values = true,
        value_enum,
        hide_possible_values = true,
        default_value = "off"
    )]
    pub listing_readme: Switch,

    /// How file content is sent
    #[arg(
        long,
        value_name = "METHOD",
        env = "ZC_METHOD",
        hide_env_values = true,
        default_value = "auto",
        value_parser = parse::method_parser()
    )]
    pub method: SendMethod,

    /// Let requests choose the method
    ///
    /// A request for FILE?method=copy is then sent by the method copy; io is another name of copy. This is
    /// for measurements; do not use it on a public server.
    #[arg(
        long,
        env = "ZC_METHOD_OVERRIDE",
        hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub method_override: bool,
}
