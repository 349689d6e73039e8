//! What a running server takes over from a new configuration.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use crate::config::Config;
use crate::files::content::Content;
#[cfg(feature = "tls")]
use crate::server::handshakes_max;
use crate::server::{Handle, prepare_passwords, raise_descriptor_limit, worker_limits};
use crate::start::{StartError, StartWarning};
use crate::worker::WorkerMessage;

/// What came of a new configuration.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Reloaded {
    /// Options whose new values need a restart, and stay as they were until then.
    pub kept: Vec<&'static str>,
    /// What the operator should know although the configuration is in use.
    pub warnings: Vec<StartWarning>,
}

impl Handle {
    /// Serves by `config` from now on: roots, sites and their rules, limits of time and of connections,
    /// certificates, the access log. A log file is opened again, also where nothing else changes.
    /// What needs a restart stays as it was, and is named. A request is answered by the one or the other as a whole,
    /// and what is under way ends as it began. It waits for the disk. Does nothing when the server has ended.
    ///
    /// # Errors
    ///
    /// [`StartError::Root`], [`StartError::Page`], [`StartError::AuthFile`], [`StartError::ListingStyle`],
    /// [`StartError::Certificate`] or [`StartError::LogFile`]; the server then goes on as before.
    pub fn reload(&self, config: Config) -> Result<Reloaded, StartError> {
        let answer = self.take_over(config);
        self.shared.process.note_reload(answer.is_ok());
        answer
    }

    /// Says in the metrics that there is a configuration that cannot be read.
    pub fn note_unreadable_config(&self) {
        self.shared.process.note_reload(false);
    }

    fn take_over(&self, config: Config) -> Result<Reloaded, StartError> {
        let Some(services) = self.services.upgrade() else {
            return Ok(Reloaded::default());
        };
        let mut running = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        let (config, kept) = config.taken_over(&running);
        let diagnostics = &services.diagnostics;
        let opened = Content::open(&config, &services.mounts, diagnostics, self.https_port);
        let (content, roots) = opened?;
        let of_passwords = prepare_passwords(&config, &content, &services)?;
        #[cfg(feature = "tls")]
        let certificates = match (&services.acceptor, &config.tls) {
            (Some(acceptor), Some(tls)) => Some((acceptor, acceptor.prepare(tls)?)),
            _ => None,
        };
        let (format, target) = (config.access_log, &config.log_target);
        let log = self.log.prepare(format, target, diagnostics)?;
        // From here on nothing fails.
        #[cfg(feature = "tls")]
        if let Some((acceptor, prepared)) = certificates {
            acceptor.install(prepared);
        }
        let shared = &self.shared;
        shared
            .connections_max
            .store(config.connections_max, Ordering::Relaxed);
        #[cfg(feature = "tls")]
        shared.set_handshakes_max(handshakes_max(&config));
        shared.grace_ms.store(config.grace_ms, Ordering::Relaxed);
        shared
            .drain_delay_ms
            .store(config.drain_delay_ms, Ordering::Relaxed);
        services.set_connections_max(config.connections_max);
        let (_, too_few) = raise_descriptor_limit(&config);
        let clients = services.renew_clients(&config.clients);
        let (content, roots) = (Arc::new(content), Arc::from(roots));
        self.log.install(log, |sink| {
            for mailbox in self.mailboxes.iter() {
                mailbox.send(WorkerMessage::Reload {
                    content: Arc::clone(&content),
                    roots: Arc::clone(&roots),
                    clients: Arc::clone(&clients),
                    limits: worker_limits(&config),
                    log: sink.cloned(),
                });
            }
        });
        *running = config;
        Ok(Reloaded {
            kept,
            warnings: of_passwords.into_iter().chain(too_few).collect(),
        })
    }
}
