//! Options of `zc-server etag`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Writes entity-tags made of the contents of files, for the server to send.
///
/// The tag of a file is the SHA-256 of its bytes. The server believes it as long as the file keeps the
/// modification time and the length that it had when the tag was made. Run it again after the files
/// have changed: those that have not are passed over.
#[derive(Debug, Clone, Args)]
pub struct EtagArgs {
    /// Directory whose files get tags, or one file. Symbolic links are not followed.
    #[arg(default_value = ".")]
    pub root: PathBuf,

    /// Where the tags are written.
    #[arg(long, value_enum, default_value_t = TagStore::Attributes)]
    pub to: TagStore,
}

/// Where `zc-server etag` writes tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TagStore {
    /// The extended attributes `user.etag` and `user.etag.for` of each file.
    Attributes,
    /// A file `NAME.etag` beside each file, for filesystems and copies without extended attributes.
    Sidecars,
}
