//! The options of HTTPS, validated.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::TlsArgs;
use super::absolute::{absolute, absolute_bind};
use crate::config::tls::{CertificateFiles, Certificates, TLS_PORT_DEFAULT, Tls};
use crate::config::{Bind, ConfigError};

/// The variable that names the file of `--tls-key-log`, as in browsers, curl and Wireshark.
pub(super) const KEY_LOG_VARIABLE: &str = "SSLKEYLOGFILE";

/// What the options say of HTTPS; `None` where there is no certificate, and nothing that needs one.
pub(super) fn tls_from(
    args: &TlsArgs,
    lan: bool,
    key_log_file: Option<OsString>,
) -> Result<Option<Tls>, ConfigError> {
    let Some(certificates) = certificates_from(args)? else {
        return match needing_certificate(args) {
            Some(option) => Err(ConfigError::CertificateMissing { option }),
            None => Ok(None),
        };
    };
    let mut tls = Tls::new(certificates);
    if !args.tls_binds.is_empty() {
        let binds = args.tls_binds.iter().map(absolute_bind);
        tls.binds = binds.collect::<Result<_, _>>()?;
    } else if lan {
        tls.binds = vec![Bind::Everywhere(TLS_PORT_DEFAULT)];
    }
    tls.version_min = args.version_min;
    tls.client_ca = args.client_ca.as_deref().map(absolute).transpose()?;
    tls.handshake_timeout_ms = args.handshake_timeout_ms;
    tls.handshakes_max = args.handshakes_max.0;
    tls.kernel = args.kernel;
    tls.redirect_http = args.redirect_http;
    tls.hsts_seconds = args.hsts_seconds;
    if args.key_log {
        let file = key_log_file.filter(|file| !file.is_empty());
        let file = file.ok_or(ConfigError::KeyLogFileUnset)?;
        tls.key_log = Some(absolute(Path::new(&file))?);
    }
    Ok(Some(tls))
}

/// The directory of the answers for a certificate authority.
pub(super) fn acme_webroot_from(args: &TlsArgs) -> Result<Option<PathBuf>, ConfigError> {
    let Some(path) = &args.acme_webroot else {
        return Ok(None);
    };
    let is_directory = std::fs::metadata(path).and_then(|found| match found.is_dir() {
        true => Ok(()),
        false => Err(io::ErrorKind::NotADirectory.into()),
    });
    is_directory.map_err(|error| ConfigError::AcmeWebroot {
        path: path.clone(),
        error,
    })?;
    absolute(path).map(Some)
}

fn certificates_from(args: &TlsArgs) -> Result<Option<Certificates>, ConfigError> {
    if !args.self_signed.is_empty() {
        let names = args.self_signed.clone();
        return Ok(Some(Certificates::SelfSigned { names }));
    }
    if args.certificates.is_empty() {
        return Ok(None);
    }
    let keys = match args.keys.is_empty() {
        true => &args.certificates,
        false => &args.keys,
    };
    let certificates = args.certificates.len();
    if keys.len() != certificates {
        let keys = keys.len();
        return Err(ConfigError::KeyCount { certificates, keys });
    }
    let responses = args.ocsp.len();
    if responses > certificates {
        return Err(ConfigError::OcspCount {
            certificates,
            responses,
        });
    }
    let ocsp = args.ocsp.iter().map(Some).chain(std::iter::repeat(None));
    let files = args.certificates.iter().zip(keys).zip(ocsp);
    let files = files.map(|((chain, key), ocsp)| {
        Ok(CertificateFiles {
            chain: absolute(chain)?,
            key: absolute(key)?,
            ocsp: ocsp.map(|path| absolute(path)).transpose()?,
        })
    });
    let files = files.collect::<Result<Vec<_>, _>>()?;
    Ok(Some(Certificates::Files(files)))
}

/// An option, with its value, that is without effect where there is no certificate.
fn needing_certificate(args: &TlsArgs) -> Option<String> {
    let path = |option: &str, path: &PathBuf| format!("{option} {}", path.display());
    let bind = args
        .tls_binds
        .first()
        .map(|bind| format!("--tls-bind {bind}"));
    bind.or_else(|| Some(path("--tls-client-ca", args.client_ca.as_ref()?)))
        .or_else(|| Some(path("--tls-ocsp", args.ocsp.first()?)))
        .or_else(|| args.redirect_http.then(|| "--redirect-http".to_owned()))
        .or_else(|| Some(format!("--hsts={}", args.hsts_seconds?)))
        .or_else(|| args.key_log.then(|| "--tls-key-log".to_owned()))
}
