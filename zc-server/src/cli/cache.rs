//! Options of the response cache.

use clap::Args;

use super::parse;

/// Heading of `--help`.
const CACHE: &str = "Cache";

/// What is kept of files that are asked for often, and for how long.
#[derive(Debug, Clone, Args)]
pub struct CacheArgs {
    /// Files that are kept open, over all threads; 0 keeps none.
    #[arg(
        long = "cache-files",
        value_name = "N",
        env = "ZC_CACHE_FILES",
        hide_env_values = true,
        default_value_t = crate::config::CACHE_FILES_DEFAULT,
        value_parser = parse::cache_files,
        help_heading = CACHE
    )]
    pub files: usize,

    /// Memory for what is kept, over all threads: the responses, and the bytes of small files.
    #[arg(
        long = "cache-bytes",
        value_name = "SIZE",
        env = "ZC_CACHE_BYTES",
        hide_env_values = true,
        default_value = "128MiB",
        value_parser = parse::size,
        help_heading = CACHE
    )]
    pub bytes: u64,

    /// The longest file whose bytes are kept, at most 64KiB; 0 keeps the bytes of none.
    #[arg(
        long = "inline-max",
        value_name = "SIZE",
        env = "ZC_INLINE_MAX",
        hide_env_values = true,
        default_value = "32KiB",
        value_parser = parse::inline_max,
        help_heading = CACHE
    )]
    pub inline_max_bytes: u64,

    /// Time after which what is kept is compared with the disk again; 0 compares for each request.
    #[arg(
        long = "cache-ttl",
        value_name = "DURATION",
        env = "ZC_CACHE_TTL",
        hide_env_values = true,
        default_value = "1s",
        value_parser = parse::duration_ms_or_zero,
        help_heading = CACHE
    )]
    pub ttl_ms: u64,
}
