//! The files that are served: roots, look-ups of paths below them, and what is known of a file.
//!
//! Nothing here knows requests in progress, responses or connections.

pub(crate) mod archive;
pub(crate) mod budget;
pub(crate) mod content;
pub(crate) mod declared;
pub(crate) mod exif;
pub(crate) mod facts;
pub(crate) mod file_state;
pub(crate) mod listing;
pub(crate) mod lookup;
pub(crate) mod memo;
pub(crate) mod mime;
pub(crate) mod mount_table;
pub(crate) mod mounts;
mod open;
pub(crate) mod open_file;
pub(crate) mod percent;
pub(crate) mod precompressed;
pub(crate) mod read_gate;
mod regular;
pub(crate) mod representation;
pub(crate) mod root;
pub(crate) mod roots;
pub(crate) mod rules;
pub(crate) mod validators;
