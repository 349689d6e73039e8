//! The command line as typed. [`into_config`] makes a [`Config`](crate::config::Config) of it.
//!
//! The comments of options are the text of `--help`.

mod cache;
mod choice;
mod environment;
mod etag;
mod into_config;
mod network;
pub(crate) mod parse;

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Parser, Subcommand};
use zc_core::SendMethod;

use crate::config::files::{
    CORS_REQUEST_FIELDS, CacheControl, Charset, EntityTags, ErrorPage, Field, MEDIA_TYPE_DEFAULT,
    MediaType, Symlinks,
};
use crate::config::{Bind, LogFormat};
pub use cache::CacheArgs;
pub use choice::{ColdGuard, IoUring, Precompressed, Switch};
pub use etag::{EtagArgs, TagStore};
pub use network::NetworkArgs;

/// What `--help` ends with.
const EXAMPLES: &str = "\
Durations: a bare number is seconds; or with a unit, as 500ms, 10s, 1m. At most 24h.

Environment: a variable counts where its option is not on the command line. An empty variable
counts as not set. Where an option may be repeated, its variable has one value on each line;
commas separate the values of --bind, --index, --precompressed, --cors and --cors-headers as well.

Examples:
  zc-server                             the current directory, on 127.0.0.1:8080
  zc-server --bind :80 /srv/www         a directory, on every address of this machine
  zc-server --bind 127.0.0.1:8080 --bind 10.0.0.7:8080 .
                                        on two addresses
  zc-server image.iso                   one file and nothing beside it
  zc-server etag /srv/www               write entity-tags from the contents of files
  zc-server --access-log json | jq .outcome
                                        how each response ended";

/// Headings of `--help`.
const FILES: &str = "Files";
const FIELDS: &str = "Fields of responses";

/// Serves the files below a directory, or one file, over HTTP/1.1 with sendfile(2).
#[derive(Debug, Clone, Parser)]
#[command(name = "zc-server", version, after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub struct Args {
    /// What is done instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Directory to serve, or one regular file.
    #[arg(default_value = ".", env = "ZC_ROOT", hide_env_values = true)]
    pub root: PathBuf,

    /// Where to listen: `127.0.0.1:8080`, `[::1]:8080`, `8080` or `localhost:8080` for this machine alone,
    /// `:8080` or `[::]:8080` for every address by IPv4 and IPv6; may be repeated. Port 0 lets the system
    /// choose.
    #[arg(
        long = "bind",
        value_name = "ADDR",
        env = "ZC_BIND",
        hide_env_values = true,
        value_delimiter = ',',
        default_value = "127.0.0.1:8080",
        value_parser = parse::bind
    )]
    pub binds: Vec<Bind>,

    /// Worker threads. [default: one for each processor]
    #[arg(long, value_name = "N", env = "ZC_THREADS", hide_env_values = true, value_parser = parse::threads)]
    pub threads: Option<usize>,

    /// How file bytes reach the socket.
    #[arg(
        long,
        env = "ZC_METHOD",
        hide_env_values = true,
        default_value = "auto",
        value_parser = parse::method_parser()
    )]
    pub method: SendMethod,

    /// Let a request choose the method for itself; for measurements, not for the open internet.
    #[arg(
        long,
        env = "ZC_METHOD_OVERRIDE",
        hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub method_override: bool,

    /// One line on standard output for each response.
    #[arg(
        long,
        value_name = "FORMAT",
        env = "ZC_ACCESS_LOG",
        hide_env_values = true,
        value_enum,
        default_value = "off"
    )]
    pub access_log: LogFormat,

    /// Time that a client has to send a whole request head.
    #[arg(
        long = "header-timeout",
        value_name = "DURATION",
        env = "ZC_HEADER_TIMEOUT",
        hide_env_values = true,
        default_value = "10s",
        value_parser = parse::duration_ms
    )]
    pub header_timeout_ms: u64,

    /// Time that a connection is kept between requests.
    #[arg(
        long = "idle-timeout",
        value_name = "DURATION",
        env = "ZC_IDLE_TIMEOUT",
        hide_env_values = true,
        default_value = "75s",
        value_parser = parse::duration_ms
    )]
    pub idle_timeout_ms: u64,

    /// Time in which a client must take at least one byte of a response that waits for it.
    #[arg(
        long = "stall-timeout",
        value_name = "DURATION",
        env = "ZC_STALL_TIMEOUT",
        hide_env_values = true,
        default_value = "60s",
        value_parser = parse::duration_ms
    )]
    pub stall_timeout_ms: u64,

    /// Time that responses under way have to end after SIGINT, SIGTERM or SIGQUIT.
    #[arg(
        long = "grace-period",
        value_name = "DURATION",
        env = "ZC_GRACE_PERIOD",
        hide_env_values = true,
        default_value = "30s",
        value_parser = parse::duration_ms
    )]
    pub grace_ms: u64,

    /// Leave to threads of their own what a worker would have to wait for: files that are not in
    /// memory, and filesystems behind a network or another program.
    #[arg(
        long,
        env = "ZC_COLD_GUARD",
        hide_env_values = true,
        value_enum,
        default_value = "auto"
    )]
    pub cold_guard: ColdGuard,

    /// Wait for files of up to 256 KiB that are not in memory without a thread for each, by io_uring.
    #[arg(
        long = "io-uring",
        env = "ZC_IO_URING",
        hide_env_values = true,
        value_enum,
        default_value = "auto"
    )]
    pub io_uring: IoUring,

    /// Threads that wait for the disk. One mount has half of them at most. They have the policy
    /// SCHED_IDLE, so that others on the same core go first.
    #[arg(
        long = "disk-threads",
        value_name = "N",
        env = "ZC_DISK_THREADS",
        hide_env_values = true,
        default_value_t = crate::config::DISK_THREADS_DEFAULT,
        value_parser = parse::disk_threads
    )]
    pub disk_threads: usize,

    /// Time that the disk has to answer; a request that nothing was sent for yet is answered with 504
    /// then.
    #[arg(
        long = "disk-timeout",
        value_name = "DURATION",
        env = "ZC_DISK_TIMEOUT",
        hide_env_values = true,
        default_value = "30s",
        value_parser = parse::duration_ms
    )]
    pub disk_timeout_ms: u64,

    /// Connections open at once, over all threads; more wait in the listen queue.
    #[arg(
        long = "max-connections",
        value_name = "N",
        env = "ZC_MAX_CONNECTIONS",
        hide_env_values = true,
        default_value = "8192",
        value_parser = parse::connections_max
    )]
    pub connections_max: usize,

    /// What is kept of files that are asked for often.
    #[command(flatten)]
    pub cache: CacheArgs,

    /// What the kernel does for connections.
    #[command(flatten)]
    pub network: NetworkArgs,

    /// Name that stands for its directory; may be repeated, and the first that is there is sent.
    #[arg(
        long,
        value_name = "NAME",
        env = "ZC_INDEX",
        hide_env_values = true,
        value_delimiter = ',',
        default_value = "index.html",
        value_parser = parse::file_name,
        help_heading = FILES
    )]
    pub index: Vec<String>,

    /// Whether a directory without an index is listed, as HTML or as JSON.
    #[arg(
        long,
        env = "ZC_LISTING",
        hide_env_values = true,
        value_enum,
        default_value = "on",
        help_heading = FILES
    )]
    pub listing: Switch,

    /// Codings of which files lie ready beside the originals, as NAME.br, NAME.zst and NAME.gz; the
    /// first is preferred.
    #[arg(
        long,
        value_name = "LIST",
        env = "ZC_PRECOMPRESSED",
        hide_env_values = true,
        value_enum,
        value_delimiter = ',',
        default_value = "br,zst,gz",
        help_heading = FILES
    )]
    pub precompressed: Vec<Precompressed>,

    /// Where entity-tags come from.
    #[arg(
        long,
        env = "ZC_ETAG",
        hide_env_values = true,
        value_enum,
        default_value = "auto",
        help_heading = FILES
    )]
    pub etag: EntityTags,

    /// Serve names that begin with a dot. `/.well-known/` is served in any case.
    #[arg(
        long,
        env = "ZC_HIDDEN",
        hide_env_values = true,
        value_parser = BoolishValueParser::new(),
        help_heading = FILES
    )]
    pub hidden: bool,

    /// Which symbolic links are followed.
    #[arg(
        long,
        env = "ZC_SYMLINKS",
        hide_env_values = true,
        value_enum,
        default_value = "within",
        help_heading = FILES
    )]
    pub symlinks: Symlinks,

    /// Send FILE for a path where nothing is, to browsers that navigate there; other clients get it for
    /// paths without an extension. The file must be there when the server starts.
    #[arg(
        long,
        value_name = "FILE",
        env = "ZC_SPA",
        hide_env_values = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "index.html",
        value_parser = parse::path_below,
        help_heading = FILES
    )]
    pub spa: Option<PathBuf>,

    /// Send FILE, from below the root, with the status CODE; may be repeated. The file must be there when
    /// the server starts.
    #[arg(
        long = "error-page",
        value_name = "CODE=FILE",
        env = "ZC_ERROR_PAGE",
        hide_env_values = true,
        value_parser = parse::error_page,
        help_heading = FILES
    )]
    pub error_pages: Vec<ErrorPage>,

    /// Another root for requests to HOST; may be repeated. All other hosts get ROOT.
    #[arg(
        long = "site",
        value_name = "HOST=DIR",
        env = "ZC_SITE",
        hide_env_values = true,
        value_parser = parse::site,
        help_heading = FILES
    )]
    pub sites: Vec<(String, PathBuf)>,

    /// `Cache-Control` for the paths that GLOB matches; may be repeated, and the first that matches
    /// counts. A glob without a slash is matched against names in every directory.
    #[arg(
        long = "cache-control",
        value_name = "GLOB=VALUE",
        env = "ZC_CACHE_CONTROL",
        hide_env_values = true,
        value_parser = parse::cache_control,
        help_heading = FIELDS
    )]
    pub cache_control: Vec<CacheControl>,

    /// A field for every response or, with GLOB, for the files that it matches, as in --cache-control; may
    /// be repeated, and all that match are sent, in order. `Server:` leaves that field out.
    /// `GLOB=Content-Encoding: gzip` is for files whose bytes are in that coding.
    #[arg(
        long = "header",
        value_name = "[GLOB=]NAME: VALUE",
        env = "ZC_HEADER",
        hide_env_values = true,
        value_parser = parse::field,
        help_heading = FIELDS
    )]
    pub fields: Vec<Field>,

    /// Let scripts of other origins read the responses: those of ORIGIN, which may be repeated, or
    /// of all.
    #[arg(
        long,
        value_name = "ORIGIN",
        env = "ZC_CORS",
        hide_env_values = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "*",
        value_delimiter = ',',
        value_parser = parse::origin,
        help_heading = FIELDS
    )]
    pub cors: Vec<String>,

    /// Fields that requests of such scripts may have, in place of these; may be repeated. `*` is for any
    /// but Authorization.
    #[arg(
        long,
        value_name = "LIST",
        env = "ZC_CORS_HEADERS",
        hide_env_values = true,
        value_delimiter = ',',
        requires = "cors",
        default_value = CORS_REQUEST_FIELDS,
        value_parser = parse::field_name,
        help_heading = FIELDS
    )]
    pub cors_headers: Vec<String>,

    /// Whether `?download` behind the path of a file asks for a `Content-Disposition`, by which browsers
    /// save the file. Never for an index or the page of --spa.
    #[arg(
        long,
        env = "ZC_DOWNLOAD_QUERY",
        hide_env_values = true,
        value_enum,
        default_value = "on",
        help_heading = FIELDS
    )]
    pub download_query: Switch,

    /// Media type of files whose names end in .EXT, such as `log` or `wasm.gz`; may be repeated, and the
    /// longest that matches counts.
    #[arg(
        long = "mime",
        value_name = "EXT=TYPE",
        env = "ZC_MIME",
        hide_env_values = true,
        value_parser = parse::extension_type,
        help_heading = FIELDS
    )]
    pub types: Vec<MediaType>,

    /// Media type of files whose name says nothing.
    #[arg(
        long = "default-type",
        value_name = "TYPE",
        env = "ZC_DEFAULT_TYPE",
        hide_env_values = true,
        default_value = MEDIA_TYPE_DEFAULT,
        value_parser = parse::media_type,
        help_heading = FIELDS
    )]
    pub default_type: String,

    /// Charset of text types. `auto` adds utf-8 to text that cannot declare its encoding itself, and
    /// none to HTML, XML, CSS and JavaScript; NAME is added to all text but XML; `off` adds none.
    #[arg(
        long,
        value_name = "auto|off|NAME",
        env = "ZC_CHARSET",
        hide_env_values = true,
        default_value = "auto",
        value_parser = parse::charset,
        help_heading = FIELDS
    )]
    pub charset: Charset,
}

/// What can be done instead of serving. A directory of such a name is served as `./NAME`.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Writes entity-tags of contents.
    Etag(EtagArgs),
}

#[cfg(test)]
mod tests;
