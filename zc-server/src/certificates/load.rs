//! What is read from files, and made into the configuration of rustls.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::{KeyLog, NoKeyLog, RootCertStore, ServerConfig, SupportedProtocolVersion, version};

use super::AcceptorError;
use super::by_name::ByName;
use super::error::{CertificateError, CertificateWarning, Fault};
use super::key_log::KeyLogFile;
use super::pair::{Pair, readable_key};
use super::pem::{self, Stamp};
use super::self_signed;
use crate::config::tls::{Certificates, Tls, TlsVersion};

/// The options that name files.
const CLIENT_CA: &str = "--tls-client-ca";
const KEY_LOG: &str = "--tls-key-log";

/// The one protocol that is spoken over TLS, as ALPN calls it (RFC 7301). A client that offers others alone is
/// refused; one that offers none is served.
const PROTOCOL: &[u8] = b"http/1.1";

/// Where certificates come from, and what stays the same when they are read again.
#[derive(Debug)]
pub(super) struct Sources {
    tls: Tls,
    provider: Arc<CryptoProvider>,
    key_log: Arc<dyn KeyLog>,
}

/// What was read.
#[derive(Debug)]
pub(super) struct Loaded {
    /// In the order of the configuration; one that was made is alone.
    pub(super) pairs: Vec<Pair>,
    clients: Option<Clients>,
    /// Of all workers. It makes new keys of its own every few hours.
    ticketer: Arc<dyn ProducesTickets>,
}

/// Who may connect.
#[derive(Debug)]
struct Clients {
    content: Vec<u8>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Sources {
    pub(super) fn new(tls: &Tls) -> Result<Self, CertificateError> {
        let key_log: Arc<dyn KeyLog> = match &tls.key_log {
            None => Arc::new(NoKeyLog),
            Some(path) => {
                let file = KeyLogFile::open(path);
                Arc::new(file.map_err(|error| CertificateError::new(KEY_LOG, path, error))?)
            }
        };
        Ok(Self {
            tls: tls.clone(),
            provider: Arc::new(default_provider()),
            key_log,
        })
    }

    /// The sources that `tls` names in place of these.
    pub(super) fn with(&self, tls: &Tls) -> Self {
        Self {
            tls: tls.clone(),
            provider: Arc::clone(&self.provider),
            key_log: Arc::clone(&self.key_log),
        }
    }

    /// Reads all, beside what `others` have loaded: one that was made here is kept while its names stay the same, and
    /// tickets while the authorities do.
    pub(super) fn load_beside(
        &self,
        others: &Self,
        loaded: &Loaded,
        now: u64,
    ) -> Result<Loaded, AcceptorError> {
        let is_made = matches!(self.tls.certificates, Certificates::SelfSigned { .. });
        let mut new = if is_made && self.tls.certificates == others.tls.certificates {
            self.loaded_with(loaded.pairs.clone())?
        } else {
            self.load(now)?
        };
        let content = |loaded: &Loaded| {
            loaded
                .clients
                .as_ref()
                .map(|clients| clients.content.clone())
        };
        if content(&new) == content(loaded) {
            new.ticketer = Arc::clone(&loaded.ticketer);
        }
        Ok(new)
    }

    /// Reads all, for the first time.
    pub(super) fn load(&self, now: u64) -> Result<Loaded, AcceptorError> {
        let pairs = match &self.tls.certificates {
            Certificates::SelfSigned { names } => {
                vec![self.self_signed(names, now).map_err(AcceptorError::Io)?]
            }
            Certificates::Files(files) => {
                let pairs = files.iter();
                let pairs = pairs.map(|files| Pair::load(files, &self.provider, now));
                let pairs = pairs.collect::<Result<Vec<_>, _>>();
                pairs.map_err(AcceptorError::Certificate)?
            }
        };
        self.loaded_with(pairs)
    }

    fn loaded_with(&self, pairs: Vec<Pair>) -> Result<Loaded, AcceptorError> {
        let path = self.tls.client_ca.as_deref();
        let clients = path.map(|path| self.clients(path)).transpose();
        Ok(Loaded {
            pairs,
            clients: clients.map_err(AcceptorError::Certificate)?,
            ticketer: ticketer().map_err(AcceptorError::Io)?,
        })
    }

    /// Reads all again. What is right replaces what was; the errors are those of the rest.
    pub(super) fn load_again(&self, loaded: &mut Loaded, now: u64) -> Vec<CertificateError> {
        let mut errors = Vec::new();
        match &self.tls.certificates {
            Certificates::SelfSigned { names } => {
                if self.is_old(loaded, now)
                    && let Ok(pair) = self.self_signed(names, now)
                {
                    loaded.pairs = vec![pair];
                }
            }
            Certificates::Files(files) => {
                for (files, pair) in files.iter().zip(&mut loaded.pairs) {
                    match Pair::load(files, &self.provider, now) {
                        Ok(new) => *pair = new,
                        Err(error) => errors.push(error),
                    }
                }
            }
        }
        if let Some(path) = self.tls.client_ca.as_deref()
            && let Err(error) = self.load_clients_again(path, loaded)
        {
            errors.push(error);
        }
        errors
    }

    /// A ticket stands for a certificate that was checked: with other authorities, earlier ones are worth nothing.
    fn load_clients_again(&self, path: &Path, loaded: &mut Loaded) -> Result<(), CertificateError> {
        let clients = self.clients(path)?;
        let before = loaded.clients.as_ref().map(|before| &before.content);
        if before != Some(&clients.content) {
            let ticketer = ticketer();
            loaded.ticketer =
                ticketer.map_err(|error| CertificateError::new(CLIENT_CA, path, error))?;
            loaded.clients = Some(clients);
        }
        Ok(())
    }

    /// Whether a certificate that was made here is to be made anew.
    pub(super) fn is_old(&self, loaded: &Loaded, now: u64) -> bool {
        let is_old = |pair: &Pair| self_signed::is_old(pair.expires, now);
        matches!(self.tls.certificates, Certificates::SelfSigned { .. })
            && loaded.pairs.iter().any(is_old)
    }

    fn self_signed(&self, names: &[String], now: u64) -> io::Result<Pair> {
        self_signed::make(names, &self.provider, now).map_err(io::Error::other)
    }

    fn clients(&self, path: &Path) -> Result<Clients, CertificateError> {
        let wrong = |fault| CertificateError::new(CLIENT_CA, path, fault);
        let unusable = |error: String| wrong(Fault::Unusable(error));
        let content = pem::read(path).map_err(wrong)?;
        let mut roots = RootCertStore::empty();
        for certificate in pem::certificates(&content).map_err(wrong)? {
            roots
                .add(certificate)
                .map_err(|error| unusable(error.to_string()))?;
        }
        let provider = Arc::clone(&self.provider);
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = verifier
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        Ok(Clients { content, verifier })
    }

    /// The files as they are now, in an order of their own.
    pub(super) fn stamps(&self) -> Vec<Option<Stamp>> {
        self.paths().map(Stamp::of).collect()
    }

    fn paths(&self) -> impl Iterator<Item = &Path> {
        let files = match &self.tls.certificates {
            Certificates::Files(files) => files.as_slice(),
            Certificates::SelfSigned { .. } => &[],
        };
        let files = files.iter().flat_map(|files| {
            let both = [files.chain.as_path(), files.key.as_path()];
            both.into_iter().chain(files.ocsp.as_deref())
        });
        files.chain(self.tls.client_ca.as_deref())
    }

    /// What to warn of at the start, beside what expires.
    pub(super) fn warnings(&self) -> Vec<CertificateWarning> {
        let keys = match &self.tls.certificates {
            Certificates::Files(files) => files.as_slice(),
            Certificates::SelfSigned { .. } => &[],
        };
        let keys = keys.iter().filter_map(|files| readable_key(&files.key));
        let log = self.tls.key_log.clone();
        keys.chain(log.map(|path| CertificateWarning::KeyLog { path }))
            .collect()
    }

    /// The configuration of handshakes. The client's order of cipher suites is followed: it knows whether its
    /// processor has instructions for AES.
    pub(super) fn server_config(&self, loaded: &Loaded) -> Result<ServerConfig, AcceptorError> {
        const ONLY_13: &[&SupportedProtocolVersion] = &[&version::TLS13];
        const FROM_12: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];
        let versions = match self.tls.version_min {
            TlsVersion::Tls12 => FROM_12,
            TlsVersion::Tls13 => ONLY_13,
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider));
        let builder = builder.with_protocol_versions(versions);
        let builder = builder.map_err(|error| AcceptorError::Io(io::Error::other(error)))?;
        let builder = match &loaded.clients {
            None => builder.with_no_client_auth(),
            Some(clients) => builder.with_client_cert_verifier(Arc::clone(&clients.verifier)),
        };
        let mut config = builder.with_cert_resolver(Arc::new(ByName::new(&loaded.pairs)));
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        // From the end of the handshake on, records are ours.
        config.enable_secret_extraction = true;
        config.key_log = Arc::clone(&self.key_log);
        // A client keeps its session itself, in a ticket that every worker can read.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Arc::clone(&loaded.ticketer);
        Ok(config)
    }
}

impl Loaded {
    /// What to warn of at the time `now`.
    pub(super) fn expiry_warnings(&self, now: u64) -> Vec<CertificateWarning> {
        let warnings = self.pairs.iter().map(|pair| pair.expiry_warning(now));
        warnings.flatten().collect()
    }
}

fn ticketer() -> io::Result<Arc<dyn ProducesTickets>> {
    Ticketer::new().map_err(io::Error::other)
}
