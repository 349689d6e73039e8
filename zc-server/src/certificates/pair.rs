//! A certificate with its key, loaded and checked.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::InconsistentKeys;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::sign::{CertifiedKey, SigningKey};
use webpki::{EndEntityCert, KeyUsage};

use super::error::{CertificateError, CertificateWarning, Date, Fault};
use super::pem;
use crate::config::tls::CertificateFiles;
use crate::text::OneLine;

/// The options that name the files.
const CHAIN: &str = "--tls-cert";
const KEY: &str = "--tls-key";
const OCSP: &str = "--tls-ocsp";

const DAY_SECONDS: u64 = 24 * 60 * 60;
/// A certificate that is valid for less is warned of: half of what programs that renew leave themselves.
const EXPIRES_SOON_DAYS: u64 = 14;
/// The mode bit with which every user may read a file.
const OTHERS_MAY_READ: u32 = 0o004;
/// A time after the end of any certificate: RFC 5280 has no later one than the year 9999.
const END_OF_TIME_SECONDS: u64 = 300_000_000_000;

/// A certificate with its key.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) certified: Arc<CertifiedKey>,
    /// The names that it is for, in lower case; a wildcard begins with `*.`.
    pub(super) names: Vec<String>,
    /// The last second in which it is valid, since 1970.
    pub(super) expires: u64,
    /// The file of the certificate; `None` for one that was made here.
    pub(super) chain: Option<PathBuf>,
}

impl Pair {
    /// Reads the files, and checks that clients can use what is in them at the time `now`, in seconds.
    pub(super) fn load(
        files: &CertificateFiles,
        provider: &CryptoProvider,
        now: u64,
    ) -> Result<Self, CertificateError> {
        let of_chain = |fault| CertificateError::new(CHAIN, &files.chain, fault);
        let of_key = |fault| CertificateError::new(KEY, &files.key, fault);
        let content = pem::read(&files.chain).map_err(of_chain)?;
        let chain = pem::certificates(&content).map_err(of_chain)?;
        let is_one_file = files.key == files.chain;
        let of_key_file = |fault| {
            if is_one_file {
                of_chain(fault)
            } else {
                of_key(fault)
            }
        };
        let content = match is_one_file {
            true => content,
            false => pem::read(&files.key).map_err(of_key)?,
        };
        let key = pem::key(&content).map_err(of_key_file)?;
        let key = provider.key_provider.load_private_key(key);
        let key = key.map_err(|_| of_key_file(Fault::UnsupportedKey))?;
        let mut pair = Self::new(chain, key, now).map_err(|wrong| match wrong {
            Wrong::Certificate(fault) => of_chain(fault),
            Wrong::OtherKey => of_key_file(Fault::OtherKey(files.chain.clone())),
            Wrong::NotFirst => of_key_file(Fault::NotFirst(files.chain.clone())),
        })?;
        pair.chain = Some(files.chain.clone());
        if let Some(path) = &files.ocsp {
            let of_ocsp = |fault| CertificateError::new(OCSP, path, fault);
            let response = pem::read(path).map_err(of_ocsp)?;
            if !pem::is_ocsp_response(&response) {
                return Err(of_ocsp(Fault::NotOcsp));
            }
            // Nobody else has it yet.
            if let Some(certified) = Arc::get_mut(&mut pair.certified) {
                certified.ocsp = Some(response);
            }
        }
        Ok(pair)
    }

    /// The pair of a chain and a key, if they belong together and can be used.
    pub(super) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: Arc<dyn SigningKey>,
        now: u64,
    ) -> Result<Self, Wrong> {
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            // Not every key tells its public half.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                let is_later = certified.cert.iter().skip(1).any(|later| {
                    let key = Arc::clone(&certified.key);
                    CertifiedKey::new(vec![later.clone()], key)
                        .keys_match()
                        .is_ok()
                });
                return Err(if is_later {
                    Wrong::NotFirst
                } else {
                    Wrong::OtherKey
                });
            }
            Err(error) => return Err(unusable(&error)),
        }
        let leaf = certified
            .end_entity_cert()
            .map_err(|error| unusable(&error))?;
        let parsed = EndEntityCert::try_from(leaf).map_err(|error| unusable(&error))?;
        let names = parsed.valid_dns_names().map(str::to_lowercase).collect();
        match validity_at(&parsed, now) {
            Validity::Valid => {}
            Validity::Until(end) => return Err(Wrong::Certificate(Fault::Expired(Date(end)))),
            Validity::From(start) => {
                return Err(Wrong::Certificate(Fault::NotYetValid(Date(start))));
            }
            Validity::Never => {
                let never = "its validity ends before it begins".to_owned();
                return Err(Wrong::Certificate(Fault::Unusable(never)));
            }
        }
        let expires = match validity_at(&parsed, END_OF_TIME_SECONDS) {
            Validity::Until(end) => end,
            _ => END_OF_TIME_SECONDS,
        };
        Ok(Self {
            certified: Arc::new(certified),
            names,
            expires,
            chain: None,
        })
    }

    /// What to warn of at the time `now`, if this one expires soon.
    pub(super) fn expiry_warning(&self, now: u64) -> Option<CertificateWarning> {
        let path = self.chain.clone()?;
        let left = self.expires.checked_sub(now);
        let days = left.map(|seconds| seconds / DAY_SECONDS);
        let is_soon = days.is_none_or(|days| days < EXPIRES_SOON_DAYS);
        is_soon.then_some(CertificateWarning::Expires { path, days })
    }

    /// What is said when this one has replaced another.
    pub(super) fn renewal(&self) -> String {
        let until = Date(self.expires);
        match &self.chain {
            Some(path) => {
                let path = OneLine(path);
                format!("HTTPS: the certificate `{path}` is a new one, valid until {until}")
            }
            None => format!("HTTPS: a new self-signed certificate, valid until {until}"),
        }
    }

    /// The certificate itself, in DER.
    pub(super) fn leaf(&self) -> &[u8] {
        self.certified
            .cert
            .first()
            .map_or(&[], |leaf| leaf.as_ref())
    }
}

/// What is wrong with a pair.
#[derive(Debug)]
pub(super) enum Wrong {
    Certificate(Fault),
    /// The key belongs to none of the certificates.
    OtherKey,
    /// The key belongs to a certificate that is not the first.
    NotFirst,
}

fn unusable(error: &impl ToString) -> Wrong {
    Wrong::Certificate(Fault::Unusable(error.to_string()))
}

/// When a certificate is valid, as seen from one point of time.
enum Validity {
    Valid,
    /// It was, until then.
    Until(u64),
    /// It will be, from then on.
    From(u64),
    Never,
}

/// Whether a certificate is valid at the time `now`. The path to a trust anchor is not looked for: there is none,
/// and the validity is checked before.
fn validity_at(certificate: &EndEntityCert<'_>, now: u64) -> Validity {
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
    let usage = KeyUsage::server_auth();
    let checked = certificate.verify_for_usage(&[], &[], &[], now, usage, None, None);
    match checked.err() {
        Some(webpki::Error::CertExpired { not_after, .. }) => Validity::Until(not_after.as_secs()),
        Some(webpki::Error::CertNotValidYet { not_before, .. }) => {
            Validity::From(not_before.as_secs())
        }
        Some(webpki::Error::InvalidCertValidity) => Validity::Never,
        _ => Validity::Valid,
    }
}

/// The warning of a key that every user of the machine can read.
pub(super) fn readable_key(path: &Path) -> Option<CertificateWarning> {
    let mode = fs::metadata(path).ok()?.permissions().mode();
    let path = path.to_owned();
    (mode & OTHERS_MAY_READ != 0).then_some(CertificateWarning::KeyReadable { path })
}
