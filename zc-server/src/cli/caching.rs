//! Options of the response cache.

use clap::Args;

use super::parse;
use crate::config::CACHE_FILES_DEFAULT;

/// Options of the response cache.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Caching")]
pub struct CacheArgs {
    /// Files that the cache keeps open
    ///
    /// The number for all worker threads together, each of which has a cache of its own: with fewer files
    /// than threads, some threads cache none. 0 turns the response cache off.
    #[arg(
        long = "cache-files",
        value_name = "N",
        env = "ZC_CACHE_FILES",
        hide_env_values = true,
        default_value_t = CACHE_FILES_DEFAULT,
        value_parser = parse::cache_files
    )]
    pub files: usize,

    /// Memory for cached responses
    ///
    /// Response heads and the content of small files, for all worker threads together. At most 1TiB.
    #[arg(
        long = "cache-bytes",
        value_name = "SIZE",
        env = "ZC_CACHE_BYTES",
        hide_env_values = true,
        default_value = "128MiB",
        value_parser = parse::cache_bytes
    )]
    pub bytes: u64,

    /// Largest file held in memory
    ///
    /// The content of larger files is not cached; they are sent with sendfile. At most 64KiB. With 0 no
    /// file content is cached.
    #[arg(
        long = "cache-file-max",
        value_name = "SIZE",
        env = "ZC_CACHE_FILE_MAX",
        hide_env_values = true,
        default_value = "32KiB",
        value_parser = parse::cache_file_max
    )]
    pub file_max_bytes: u64,

    /// Time between checks for changes
    ///
    /// A cached response is sent without a look at the disk for this long. Then the server checks whether
    /// the file has changed. With 0 it checks on every request.
    #[arg(
        long = "cache-ttl",
        value_name = "TIME",
        env = "ZC_CACHE_TTL",
        hide_env_values = true,
        default_value = "1s",
        value_parser = parse::duration_ms_or_zero
    )]
    pub ttl_ms: u64,
}
