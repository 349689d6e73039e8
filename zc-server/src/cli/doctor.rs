//! Options of `zc-server doctor`.

use std::path::PathBuf;

use clap::Args;

/// Say what this machine can do, and what it lacks
///
/// Each line is one finding: ok, warning, missing or unknown, its name, and what it means. Where something can
/// be mended, the line ends in how. The exit code is 1 if the server could not start, and 0 otherwise. Nothing is
/// written; a file below ROOT is read.
#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// Directory or file that is to be served
    ///
    /// To serve a directory named doctor, write ./doctor.
    #[arg(default_value = ".")]
    pub root: PathBuf,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
