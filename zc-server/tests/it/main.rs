//! Tests of the real binary over real sockets: one program, so that some wait while others work.
//!
//! Tests that count what their own process does, or serve in it, are programs of their own beside this
//! directory.

#[path = "../harness/mod.rs"]
mod harness;

mod admin;
mod archive;
mod auth;
mod browser;
mod busy_cores;
#[cfg(feature = "tls")]
mod certificates;
mod changing_files;
mod clients;
mod coherence;
mod cold;
mod completions;
mod config_file;
mod cork;
mod curl;
mod deploy;
mod descriptors;
mod diagnostics;
mod directories;
mod disk_timeout;
mod doctor;
mod downloaders;
mod entity_tags;
mod error_bodies;
mod error_pages;
mod full_queue;
mod gallery;
mod hostile;
#[cfg(feature = "tls")]
mod https;
mod invariant;
mod keep_alive;
mod leases;
mod life_cycle;
mod limits;
mod listing_readme;
mod listing_style;
mod local_disk;
mod log_daemons;
mod log_file;
mod log_room;
mod log_rotation;
mod mounts;
mod network;
mod options;
mod own_pages;
mod package_managers;
mod paths;
mod player;
mod playwright;
mod precompressed;
mod ranges;
mod rates;
mod redirect_http;
mod refused;
mod reload;
mod representations;
mod room;
mod roots;
mod serve;
mod sites;
mod slow_reader;
mod types;
mod unix_sockets;
mod unread_output;
mod updaters;
