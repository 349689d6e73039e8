//! A static and media file server that moves bytes from the page cache to the socket without
//! carrying them through the program.
//!
//! The program `zc-server` is a thin layer over this library, which can be embedded:
//!
//! ```no_run
//! use zc_server::{Config, Server};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = Config::for_root("public")?;
//! config.binds = vec!["127.0.0.1:0".parse()?];
//! let server = Server::bind(config)?;
//! println!("listening on {:?}", server.listening());
//! let handle = server.handle(); // `handle.stop()`, from another thread, lets responses finish and stops
//! let outcome = server.run()?;
//! # let _ = (handle, outcome);
//! # Ok(())
//! # }
//! ```
//!
//! `ARCHITECTURE.md` at the root of the repository tells which module does what, and follows one request
//! from the socket to the file and back.
//!
//! It needs Linux 5.6 or later: `openat2(2)` keeps paths inside the root, and bodies are sent by
//! `sendfile(2)`.

#![forbid(unsafe_code)]
// What there is to say is returned, or told by `observe`.
#![cfg_attr(not(test), warn(clippy::print_stderr, clippy::print_stdout))]

mod admin;
mod auth;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod body;
#[cfg(feature = "tls")]
mod certificates;
mod cli;
mod clients;
pub mod config;
mod connection;
mod disk;
pub mod doctor;
mod exchange;
mod files;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
pub mod healthcheck;
mod html;
mod mailbox;
mod observe;
mod pool;
mod rate;
mod reactor;
mod reload;
mod respond;
mod server;
mod services;
mod socket;
mod start;
pub mod tagging;
mod text;
#[cfg(feature = "tls")]
mod tls;
mod worker;

#[cfg(feature = "tls")]
pub use certificates::{CertificateError, CertificateWarning};
#[cfg(feature = "tls")]
pub use cli::TlsArgs;
pub use cli::{
    AdminArgs, Args, CacheArgs, ClientArgs, ColdArgs, Command, CompletionsArgs, CountOrOff,
    DoctorArgs, EtagArgs, FileOrOff, HealthcheckArgs, IoUring, LimitArgs, Listen, ListeningArgs,
    LoggingArgs, Precompressed, Proxied, Qr, RateArgs, RateOrOff, ServerOptions, ServingArgs,
    SiteArgs, Switch, TagStore,
};
pub use config::{Config, ConfigError};
pub use reactor::listener::{
    BindError, InheritedError, InheritedSocket, Listening, SocketFault, SocketRole,
};
pub use reload::Reloaded;
pub use server::{Handle, Ping, Server, Stopped};
pub use start::{StartError, StartWarning};
#[cfg(feature = "tls")]
pub use tls::KernelTlsError;
