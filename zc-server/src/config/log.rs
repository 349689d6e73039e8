//! The access log: its format, and where it goes.

use std::path::PathBuf;

use clap::ValueEnum;

/// The socket of the syslog daemon, as in `syslog(3)`.
pub(crate) const SYSLOG_SOCKET: &str = "/dev/log";
/// The socket of journald for its own protocol.
pub(crate) const JOURNALD_SOCKET: &str = "/run/systemd/journal/socket";

/// The form of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// No access log.
    #[value(help = None::<&'static str>)]
    #[default]
    Off,
    /// Common log format, as Apache and nginx write it.
    Clf,
    /// Combined log format, then host, send path, microseconds and outcome.
    Combined,
    /// One JSON object per line.
    Json,
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LogTarget {
    /// Standard output.
    #[default]
    Stdout,
    /// A file, which is appended to. Its path is absolute: the program leaves the directory that it is started in.
    File(PathBuf),
    /// The syslog daemon at this socket.
    Syslog(PathBuf),
    /// journald at this socket, by its own protocol.
    Journald(PathBuf),
}
