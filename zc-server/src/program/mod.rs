//! The program around the library: signals, standard error, and its configuration read again.

pub(crate) mod reload;
pub(crate) mod signals;
pub(crate) mod stderr;
