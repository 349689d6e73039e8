//! Paths from `/` on: the program leaves the directory that it was started in.

use std::path::{Path, PathBuf};

use crate::config::{Bind, ConfigError, ListenAddress};

/// The path from `/`. Links stay.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, ConfigError> {
    crate::config::absolute(path).map_err(|error| ConfigError::CurrentDirectory {
        path: path.to_owned(),
        error,
    })
}

/// The same of the path of a Unix-domain socket.
pub(super) fn absolute_bind(bind: &Bind) -> Result<Bind, ConfigError> {
    match bind {
        Bind::Unix(path) => absolute(path).map(Bind::Unix),
        other => Ok(other.clone()),
    }
}

/// The same of an address of the admin listener.
pub(super) fn absolute_address(address: &ListenAddress) -> Result<ListenAddress, ConfigError> {
    match address {
        ListenAddress::Unix(path) => absolute(path).map(ListenAddress::Unix),
        ListenAddress::Internet(_) => Ok(address.clone()),
    }
}
