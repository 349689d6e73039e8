//! The program around the library: signals, standard error, its configuration read again, and the service manager.

pub(crate) mod inherited;
pub(crate) mod manager;
pub(crate) mod reload;
pub(crate) mod signals;
pub(crate) mod stderr;
