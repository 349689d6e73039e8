//! A static and media file server that moves bytes from the page cache to the socket without
//! carrying them through the program.
//!
//! The binary `zc-server` is a thin shell over this library, which can be embedded:
//!
//! ```no_run
//! use zc_server::{Config, Server};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = Config::for_root("public")?;
//! config.binds = vec!["127.0.0.1:0".parse()?];
//! let server = Server::bind(config)?;
//! println!("listening on {:?}", server.listening());
//! let handle = server.handle(); // `handle.stop()` from another thread drains and ends it
//! let outcome = server.run()?;
//! # let _ = (handle, outcome);
//! # Ok(())
//! # }
//! ```
//!
//! `ARCHITECTURE.md` at the root of the repository says which module does what, and follows one
//! request from the socket to the file and back.
//!
//! Linux only: paths are kept inside the root by `openat2(2)` (Linux 5.6), and bodies go by
//! `sendfile(2)`.

#![forbid(unsafe_code)]

mod access_log;
mod args;
mod balance;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod cache;
pub mod config;
mod connection;
mod context;
mod deadline;
mod declared;
mod diagnostics;
mod disk;
mod drain;
mod exchange;
mod file_state;
mod input;
mod listener;
mod listing;
mod lookup;
mod memo;
mod mime;
mod mounts;
mod natural;
mod outgoing;
mod pace;
mod page;
mod plan;
mod precompressed;
mod prepared;
mod reactor;
mod render;
mod reply;
mod representation;
mod resolve;
mod respond;
mod roots;
mod server;
mod site;
mod slots;
pub mod tagging;
mod validators;
mod values;

pub use args::{Args, CacheArgs, Command, EtagArgs, NetworkArgs, TagStore};
pub use config::{Config, ConfigError};
pub use listener::{BindError, Listening};
pub use server::{Handle, Outcome, Server, StartError};
