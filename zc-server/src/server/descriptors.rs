//! File descriptors: how many may be needed, and how many there may be.

use crate::config::Config;
use crate::start::StartWarning;

/// What a connection may need: its socket and a file, and where an I/O thread sends, a copy of the socket.
const DESCRIPTORS_PER_CONNECTION: u64 = 3;
/// What one thread that sends and one that reads may hold for clients that are gone, until the disk answers: a
/// file each, and a socket.
const DESCRIPTORS_PER_THREADS: u64 = 3;
/// Descriptors that are neither a connection nor a file under way: listeners, epoll, log, root.
const DESCRIPTORS_RESERVED: u64 = 64;

/// The descriptors that the process may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DescriptorLimit {
    /// What it was when the server started.
    pub(crate) before: u64,
    pub(crate) now: u64,
}

/// Raises the limit of open files as far as it may be raised, and answers it, and a warning where it is too low for
/// the connections. The cache holds files as well; one that has too few for itself does with what is left.
pub(crate) fn raise_descriptor_limit(config: &Config) -> (DescriptorLimit, Option<StartWarning>) {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let connections_max = config.connections_max;
    let needed = descriptors_needed(connections_max, config.disk_threads);
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        let unknown = DescriptorLimit {
            before: needed,
            now: needed,
        };
        return (unknown, None);
    };
    if soft < hard {
        // Refused only where a sandbox forbids it; the warning below then tells.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(soft, |(soft, _)| soft);
    let warning = (limit < needed).then_some(StartWarning::Descriptors {
        connections_max,
        needed,
        limit,
    });
    let limit = DescriptorLimit {
        before: soft,
        now: limit,
    };
    (limit, warning)
}

/// The descriptors that so many connections and threads may need.
pub(crate) fn descriptors_needed(connections_max: usize, disk_threads: usize) -> u64 {
    let of_connections = (connections_max as u64).saturating_mul(DESCRIPTORS_PER_CONNECTION);
    let of_threads = (disk_threads as u64).saturating_mul(DESCRIPTORS_PER_THREADS);
    of_connections.saturating_add(of_threads + DESCRIPTORS_RESERVED)
}
