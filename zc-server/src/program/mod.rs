//! The program around the library: signals, standard error, its configuration read again, the service manager, and
//! what shows people where the server is.

pub(crate) mod inherited;
pub(crate) mod manager;
pub(crate) mod reload;
pub(crate) mod sharing;
pub(crate) mod signals;
pub(crate) mod stderr;
