//! Options of cold files: those that are not in the page cache.

use clap::Args;

use super::choice::{IoUring, Switch};
use super::parse;
use crate::config::DISK_THREADS_DEFAULT;

/// Options of cold files.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Cold files")]
pub struct ColdArgs {
    /// Offload blocking file I/O
    ///
    /// Disk I/O threads read files that are not in the page cache, and all files on network and FUSE
    /// file systems. With off, a worker thread reads them itself, and its other connections wait.
    #[arg(
        long = "offload-cold-reads",
        value_name = "on|off",
        env = "ZC_OFFLOAD_COLD_READS",
        hide_env_values = true,
        value_enum,
        hide_possible_values = true,
        default_value = "on"
    )]
    pub offload_cold_reads: Switch,

    /// Use io_uring for cold files
    ///
    /// Cold files of up to 256 KiB are then read without occupying a disk I/O thread. auto uses io_uring
    /// on Linux 6.1 and later. Where the kernel or a container refuses it, disk I/O threads are used.
    #[arg(
        long = "io-uring",
        value_name = "auto|off",
        env = "ZC_IO_URING",
        hide_env_values = true,
        value_enum,
        hide_possible_values = true,
        default_value = "auto"
    )]
    pub io_uring: IoUring,

    /// Disk I/O threads
    ///
    /// Up to N threads read files, at a low CPU priority (nice 19), and up to N threads look up and list.
    /// At most half of each work for one mounted file system.
    #[arg(
        long = "disk-threads",
        value_name = "N",
        env = "ZC_DISK_THREADS",
        hide_env_values = true,
        default_value_t = DISK_THREADS_DEFAULT,
        value_parser = parse::disk_threads
    )]
    pub disk_threads: usize,

    /// Time limit for the disk
    ///
    /// How long the disk may answer nothing: a slow file is read for as long as bytes of it arrive. Then 504
    /// if nothing was sent yet; otherwise the connection is closed.
    #[arg(
        long = "disk-timeout",
        value_name = "TIME",
        env = "ZC_DISK_TIMEOUT",
        hide_env_values = true,
        default_value = "30s",
        value_parser = parse::duration_ms
    )]
    pub disk_timeout_ms: u64,
}
