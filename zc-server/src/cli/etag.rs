//! Options of `zc-server etag`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Options of `zc-server etag`.
#[derive(Debug, Clone, Args)]
pub struct EtagArgs {
    /// Directory whose files get tags, or one file
    ///
    /// Symbolic links are not followed. To serve a directory named etag, write ./etag.
    pub root: PathBuf,

    /// Where to write the tags
    #[arg(long, value_name = "STORE", value_enum, default_value_t = TagStore::Attributes)]
    pub to: TagStore,
}

/// Where `zc-server etag` writes tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TagStore {
    /// The extended attributes user.etag and user.etag.for of each file.
    Attributes,
    /// A file NAME.etag beside each file, for file systems without extended attributes.
    Sidecars,
}
