//! TLS on a connection: bytes that came → requests, responses → bytes to be sent. The socket is lent where the kernel
//! seals; everything else is memory.
//!
//! rustls makes the handshake. At its end it gives up the keys, and from then on the record layer is
//! [ours](record): what is sent is sealed in place, so that a file is read to where its record goes out from.
//!
//! ```text
//! state        event                          next
//! -----------  -----------------------------  ------------------------------------------------
//! Handshaking  more has to come               Handshaking
//!              the keys are there             Open
//!              no TLS                         Over; the first bytes are given back
//!              it fails                       Over, with an alert
//!              the peer leaves, time is over  Over
//! Open         a request                      Open
//!              KeyUpdate                      Open, with the next keys
//!              close_notify                   Open, nothing comes any more
//!              anything else, or a forgery    Over, with an alert
//!              closed by us                   Over, with close_notify
//! ```

mod failure;
mod handshake;
mod kernel;
mod open;
mod record;
#[cfg(any(test, feature = "fuzz"))]
mod scene;
mod session;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod strange;
#[cfg(test)]
mod strange_tests;
mod subject;
#[cfg(test)]
mod tests;

pub(crate) use failure::FailedHandshake;
pub use kernel::KernelTlsError;
pub(crate) use kernel::{KernelSealing, Timed, time_here};
pub(crate) use open::{Failed, Received};
pub(crate) use session::{KERNEL_BYTES_MAX, PEER_GONE, RECORD_BYTES_MAX, Session};
