//! Options of `zc-server doctor`.

use std::path::PathBuf;

use clap::Args;

/// Options of `zc-server doctor`.
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
