//! Options of HTTPS.

use std::path::PathBuf;

use clap::Args;

use super::parse;
use super::rates::{CountOrOff, count_or_off};
use crate::config::Bind;
use crate::config::tls::{KernelTls, TlsVersion, is_certificate_name};

/// The longest time of `--hsts`, ten years: browsers have no longer ones either.
const HSTS_SECONDS_MAX: u64 = 10 * 365 * 24 * 60 * 60;

/// Options of HTTPS.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "HTTPS")]
pub struct TlsArgs {
    /// Certificate, a file in PEM
    ///
    /// The certificate of the server is the first one in FILE, and those that it is signed with follow it. May be
    /// repeated: a client gets the certificate that is for the name it asks for, otherwise the first one. FILE is
    /// read again on SIGHUP, and when it changes.
    #[arg(
        long = "tls-cert",
        value_name = "FILE",
        env = "ZC_TLS_CERT",
        hide_env_values = true
    )]
    pub certificates: Vec<PathBuf>,

    /// Key of the certificate, a file in PEM
    ///
    /// The first key belongs to the first certificate, the second key to the second one. Without this option each
    /// file of --tls-cert has the key in it as well.
    #[arg(
        long = "tls-key",
        value_name = "FILE",
        env = "ZC_TLS_KEY",
        hide_env_values = true,
        requires = "certificates"
    )]
    pub keys: Vec<PathBuf>,

    /// Make a certificate at each start
    ///
    /// It is signed with its own key, so clients warn. It is for NAME, by default localhost, and for 127.0.0.1 and
    /// ::1. It is valid for 30 days, and replaced by a new one after 15. May be repeated, for several names.
    #[arg(
        long = "tls-self-signed",
        value_name = "NAME",
        env = "ZC_TLS_SELF_SIGNED",
        hide_env_values = true,
        num_args = 0..=1,
        require_equals = true,
        value_delimiter = ',',
        default_missing_value = "localhost",
        conflicts_with_all = ["certificates", "keys", "ocsp"],
        value_parser = certificate_name
    )]
    pub self_signed: Vec<String>,

    /// Address for HTTPS [default: 127.0.0.1:8443]
    ///
    /// In the forms of --bind. Needs a certificate. May be repeated.
    #[arg(
        long = "tls-bind",
        value_name = "ADDR",
        env = "ZC_TLS_BIND",
        hide_env_values = true,
        value_delimiter = ',',
        value_parser = parse::bind
    )]
    pub tls_binds: Vec<Bind>,

    /// Lowest version of TLS
    #[arg(
        long = "tls-min",
        value_name = "1.2|1.3",
        value_enum,
        hide_possible_values = true,
        env = "ZC_TLS_MIN",
        hide_env_values = true,
        default_value = "1.2"
    )]
    pub version_min: TlsVersion,

    /// Require certificates of clients
    ///
    /// FILE has certificates in PEM. A client needs one that is signed with one of them. FILE is read again on
    /// SIGHUP, and when it changes.
    #[arg(
        long = "tls-client-ca",
        value_name = "FILE",
        env = "ZC_TLS_CLIENT_CA",
        hide_env_values = true
    )]
    pub client_ca: Option<PathBuf>,

    /// OCSP response to send, a file in DER
    ///
    /// The first one belongs to the first certificate, the second one to the second. FILE is read again on
    /// SIGHUP, and when it changes. May be repeated.
    #[arg(
        long = "tls-ocsp",
        value_name = "FILE",
        env = "ZC_TLS_OCSP",
        hide_env_values = true
    )]
    pub ocsp: Vec<PathBuf>,

    /// Time limit for a handshake
    ///
    /// Close a connection that has not agreed on keys by then.
    #[arg(
        long = "handshake-timeout",
        value_name = "TIME",
        env = "ZC_HANDSHAKE_TIMEOUT",
        hide_env_values = true,
        default_value = "10s",
        value_parser = parse::duration_ms
    )]
    pub handshake_timeout_ms: u64,

    /// TLS handshakes at a time
    ///
    /// The number for all worker threads together. While there are so many, further connections of HTTPS wait in the
    /// listen queue; listeners of HTTP are not affected. off is no limit.
    #[arg(
        long = "max-handshakes",
        value_name = "N",
        env = "ZC_MAX_HANDSHAKES",
        hide_env_values = true,
        default_value = "off",
        value_parser = count_or_off
    )]
    pub handshakes_max: CountOrOff,

    /// Use kernel TLS
    ///
    /// The kernel then encrypts long responses, which sendfile sends. With auto it does where it can and is faster, as measured at the
    /// start. With on the server does not start where the kernel cannot.
    #[arg(
        long = "ktls",
        value_name = "auto|on|off",
        value_enum,
        hide_possible_values = true,
        env = "ZC_KTLS",
        hide_env_values = true,
        default_value = "auto"
    )]
    pub kernel: KernelTls,

    /// Redirect from HTTP to HTTPS
    ///
    /// The addresses of --bind answer with 308 and the same path on the first address of --tls-bind,
    /// or on port 443 if there are only Unix-domain sockets.
    #[arg(
        long = "redirect-http",
        env = "ZC_REDIRECT_HTTP",
        hide_env_values = true
    )]
    pub redirect_http: bool,

    /// Answers for a certificate authority
    ///
    /// Serve /.well-known/acme-challenge/ from DIR/.well-known/acme-challenge/ on the addresses of --bind, where
    /// programs such as certbot put them (--webroot). It is not redirected.
    #[arg(
        long = "acme-webroot",
        value_name = "DIR",
        env = "ZC_ACME_WEBROOT",
        hide_env_values = true
    )]
    pub acme_webroot: Option<PathBuf>,

    /// Have browsers use HTTPS alone
    ///
    /// For SECONDS, by default a year, they do not use HTTP for this host (Strict-Transport-Security). They keep
    /// to it even when the server has HTTPS no longer. 0 ends it.
    #[arg(
        long = "hsts",
        value_name = "SECONDS",
        env = "ZC_HSTS",
        hide_env_values = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "31536000",
        value_parser = hsts_seconds
    )]
    pub hsts_seconds: Option<u64>,

    /// Write the secrets of all connections
    ///
    /// They are appended to the file that the variable SSLKEYLOGFILE names. Whoever can read it can decrypt what
    /// is sent. For looking for faults only.
    #[arg(long = "tls-key-log", env = "ZC_TLS_KEY_LOG", hide_env_values = true)]
    pub key_log: bool,
}

/// Parses a name, or an address, that a certificate is for.
fn certificate_name(text: &str) -> Result<String, String> {
    if is_certificate_name(text) {
        return Ok(text.to_owned());
    }
    Err("not a name or an address; examples: example.org, *.example.org, 192.168.1.20".to_owned())
}

/// Parses the time of `--hsts`.
fn hsts_seconds(text: &str) -> Result<u64, String> {
    let seconds = text.parse().ok();
    let seconds = seconds.filter(|&seconds| seconds <= HSTS_SECONDS_MAX);
    seconds.ok_or_else(|| format!("must be 0 to {HSTS_SECONDS_MAX}, in seconds without a unit"))
}
