//! The validated configuration of a server. Names of durations and sizes end in their unit.
//!
//! The command line becomes one in `cli`; a program that embeds the server starts from
//! [`Config::for_root`].

mod bind;
mod clients;
mod error;
pub mod files;
mod limits;
mod log;
mod network;
mod reload;
mod root;
mod served;
#[cfg(feature = "tls")]
pub mod tls;

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZero,
    path::Path,
    thread,
};

pub(crate) use bind::Spoken;
pub use bind::{Bind, ListenAddress, ParseBindError, PortlessBind, Scheme};
pub use clients::{Cidr, Clients, Networks, ParseCidrError, ProxyProtocol};
pub use error::ConfigError;
use files::{Files, Site};
pub use limits::ConnectionLimits;
pub(crate) use log::{JOURNALD_SOCKET, SYSLOG_SOCKET};
pub use log::{LogFormat, LogTarget};
pub use network::{Congestion, Network, SOCKET_MODE_DEFAULT};
pub use root::ServedRoot;
pub(crate) use root::absolute;
pub(crate) use served::{is_same, refuse_served};

/// The default port.
pub const PORT_DEFAULT: u16 = 8080;
/// Default time for a request head. A head is one packet, which honest clients send at once.
const HEADER_TIMEOUT_MS_DEFAULT: u64 = 10_000;
/// Default idle timeout, as in nginx (`keepalive_timeout 75s`).
const IDLE_TIMEOUT_MS_DEFAULT: u64 = 75_000;
/// Default send timeout, as in nginx (`send_timeout 60s`).
const SEND_TIMEOUT_MS_DEFAULT: u64 = 60_000;
/// Default grace period, as Kubernetes gives it to a container (`terminationGracePeriodSeconds`).
const GRACE_MS_DEFAULT: u64 = 30_000;
/// Default limit of open connections: what a machine with default limits can hold.
pub(crate) const CONNECTIONS_MAX_DEFAULT: usize = 8192;

/// Default time limit for the disk.
const DISK_TIMEOUT_MS_DEFAULT: u64 = 30_000;
/// Default number of disk I/O threads. They are started on demand, and one mount has half of them at most.
/// With 32 streams of cold files of 64 MiB, 32 threads brought 1,887 MB/s, 64 brought 2,086 and
/// 128 brought 2,114 (medians of 5 interleaved runs), and small requests beside them had a p99 of 0.92 ms
/// with 32 threads and of 0.63 ms with 64. With files of 64 KiB it was 862, 801 MB/s, 0.78 and 0.55 ms.
pub const DISK_THREADS_DEFAULT: usize = 64;
/// The most disk I/O threads.
pub const DISK_THREADS_MAX: usize = 1024;

/// Default number of open files in the response cache: what one busy site uses at a time.
pub const CACHE_FILES_DEFAULT: usize = 16_384;
/// The most open files in the response cache: about as many as a system has descriptors.
pub const CACHE_FILES_MAX: usize = 10_000_000;
/// The most memory of the response cache, in bytes: more than all of its files can fill.
pub const CACHE_BYTES_MAX: u64 = 1 << 40;
/// Default memory of the response cache: enough for ten thousand small files.
const CACHE_BYTES_DEFAULT: u64 = 128 << 20;
/// Default size up to which the content of a file is cached. One send from memory costs less than
/// `send(MSG_MORE)` and `sendfile`, which took 1.07 times as much with bodies of 32 KiB, and 0.98 times with
/// 64 KiB.
const CACHE_FILE_MAX_BYTES_DEFAULT: u64 = 32 << 10;
/// The highest limit of the size of files whose content is cached.
pub const CACHE_FILE_MAX_BYTES_LIMIT: u64 = 64 << 10;
/// Default time to live of entries of the response cache.
const CACHE_TTL_MS_DEFAULT: u64 = 1_000;

/// The most worker threads: past the processors of any machine.
pub const THREADS_MAX: usize = 1024;
/// The highest limit of open connections: past what one address pair can hold, and far below the
/// 32 bits of a slot key.
pub const CONNECTIONS_MAX_LIMIT: usize = 10_000_000;

/// The configuration of a server.
///
/// Start from [`for_root`](Self::for_root) and change the fields that matter.
#[derive(Debug, Clone)]
pub struct Config {
    /// What is served.
    pub root: ServedRoot,
    /// Where to listen.
    pub binds: Vec<Bind>,
    /// HTTPS; `None` where there is no certificate.
    #[cfg(feature = "tls")]
    pub tls: Option<tls::Tls>,
    /// A directory whose `.well-known/acme-challenge/` is served on [`binds`](Self::binds) in place of that of the
    /// roots: what a certificate authority asks for (RFC 8555, section 8.3).
    #[cfg(feature = "tls")]
    pub acme_webroot: Option<std::path::PathBuf>,
    /// Worker threads, from 1 to [`THREADS_MAX`].
    pub threads: usize,
    /// Whether and how responses are logged.
    pub access_log: LogFormat,
    /// Where they are logged.
    pub log_target: LogTarget,
    /// Where metrics and health are told, apart from what is served; `None` for nowhere.
    pub admin_bind: Option<ListenAddress>,
    /// Time limit for a whole request head, in milliseconds.
    pub header_timeout_ms: u64,
    /// Time after which a connection without a request is closed, in milliseconds.
    pub idle_timeout_ms: u64,
    /// Time after which a connection is closed whose client accepts no data, in milliseconds.
    pub send_timeout_ms: u64,
    /// Time for which a server that is to stop accepts connections although it is not ready, in milliseconds.
    pub drain_delay_ms: u64,
    /// Time that responses in progress have to end at shutdown, in milliseconds.
    pub grace_ms: u64,
    /// Connections open at once, over all threads; from 1 to [`CONNECTIONS_MAX_LIMIT`].
    pub connections_max: usize,
    /// Limits of each connection.
    pub limits: ConnectionLimits,
    /// Whether disk I/O threads do the blocking file I/O: cold files, and files on network and FUSE file
    /// systems.
    pub offload_cold_reads: bool,
    /// Whether short cold files are read by io_uring, where the kernel allows it.
    pub io_uring: bool,
    /// Disk I/O threads, from 1 to [`DISK_THREADS_MAX`].
    pub disk_threads: usize,
    /// Time limit for the disk, in milliseconds.
    pub disk_timeout_ms: u64,
    /// The response cache.
    pub cache: CacheLimits,
    /// Options of the listening sockets.
    pub network: Network,
    /// Who may ask, and who is believed about that.
    pub clients: Clients,
    /// How files become responses.
    pub files: Files,
    /// Further sites by the host of the request; all other hosts get [`root`](Self::root).
    pub sites: Vec<Site>,
}

/// The response cache. Each worker has its own, with an equal share of these limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// Open files, up to [`CACHE_FILES_MAX`]; 0 turns the cache off.
    pub files: usize,
    /// Memory for responses and the bytes of small files, in bytes, up to [`CACHE_BYTES_MAX`].
    pub bytes: u64,
    /// The largest file whose content is cached, in bytes, up to [`CACHE_FILE_MAX_BYTES_LIMIT`]; 0 for empty
    /// files alone.
    pub file_max_bytes: u64,
    /// Time to live of an entry, in milliseconds, after which it is compared with the file; 0 compares it for
    /// each request.
    pub ttl_ms: u64,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self {
            files: CACHE_FILES_DEFAULT,
            bytes: CACHE_BYTES_DEFAULT,
            file_max_bytes: CACHE_FILE_MAX_BYTES_DEFAULT,
            ttl_ms: CACHE_TTL_MS_DEFAULT,
        }
    }
}

impl Config {
    /// The defaults of the command line for this root. Environment variables are ignored.
    ///
    /// # Errors
    ///
    /// The root is missing, unreadable, or neither a directory nor a regular file.
    pub fn for_root(root: impl AsRef<Path>) -> Result<Self, ConfigError> {
        Ok(Self {
            root: ServedRoot::open(root.as_ref())?,
            binds: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, PORT_DEFAULT)).into()],
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "tls")]
            acme_webroot: None,
            threads: threads_default(),
            access_log: LogFormat::Off,
            log_target: LogTarget::Stdout,
            admin_bind: None,
            header_timeout_ms: HEADER_TIMEOUT_MS_DEFAULT,
            idle_timeout_ms: IDLE_TIMEOUT_MS_DEFAULT,
            send_timeout_ms: SEND_TIMEOUT_MS_DEFAULT,
            drain_delay_ms: 0,
            grace_ms: GRACE_MS_DEFAULT,
            connections_max: CONNECTIONS_MAX_DEFAULT,
            limits: ConnectionLimits::default(),
            offload_cold_reads: true,
            io_uring: true,
            disk_threads: DISK_THREADS_DEFAULT,
            disk_timeout_ms: DISK_TIMEOUT_MS_DEFAULT,
            cache: CacheLimits::default(),
            network: Network::default(),
            clients: Clients::default(),
            files: Files::default(),
            sites: Vec::new(),
        })
    }
}

/// One thread for each processor that this process may use.
pub(crate) fn threads_default() -> usize {
    thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(THREADS_MAX)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::{fs::symlink, net::UnixListener};

    use super::*;

    #[test]
    fn the_path_of_a_root_is_made_absolute_and_its_links_stay() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("real")).unwrap();
        fs::write(temp.path().join("page"), "x").unwrap();
        symlink("real", temp.path().join("link")).unwrap();
        for name in ["real", "link", "link/../page"] {
            let path = temp.path().join(name);
            let config = Config::for_root(&path).unwrap();
            assert_eq!(config.root.path(), path);
        }
        let here = Config::for_root(".").unwrap();
        let below = Config::for_root("src/lib.rs").unwrap();
        assert!(here.root.path().is_absolute());
        assert_eq!(below.root.path(), here.root.path().join("src/lib.rs"));
        let same = |path: &Path| path.canonicalize().unwrap();
        assert_eq!(same(here.root.path()), same(Path::new(".")));
    }

    #[test]
    fn roots_that_cannot_be_served() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("page"), "x").unwrap();
        let _socket = UnixListener::bind(temp.path().join("socket")).unwrap();
        symlink("loop", temp.path().join("loop")).unwrap();
        for (name, expected) in [
            ("none", "does not exist; name a directory or a file"),
            ("page/below", "does not exist; name a directory or a file"),
            (
                "two\nlines",
                "two\\nlines` does not exist; name a directory or a file",
            ),
            (
                "socket",
                "is neither a directory nor a regular file; name one of those",
            ),
            ("loop", "; name another root"),
        ] {
            let error = Config::for_root(temp.path().join(name)).unwrap_err();
            let message = error.to_string();
            assert!(
                message.starts_with("root `") && message.ends_with(expected),
                "{message}"
            );
            assert!(!message.contains('\n'), "{message}");
            assert_eq!(error.exit_code(), 1);
        }
    }
}
