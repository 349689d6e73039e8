//! HTTPS: where it listens, and with which certificates.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::ValueEnum;
use rustls::pki_types::DnsName;

use super::Bind;

/// The default port of HTTPS.
pub const TLS_PORT_DEFAULT: u16 = 8443;
/// Default time for a handshake: two round trips, which honest clients make at once.
pub const HANDSHAKE_TIMEOUT_MS_DEFAULT: u64 = 10_000;

/// HTTPS. Start from [`Tls::new`] and change the fields that matter.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Where to listen for HTTPS.
    pub binds: Vec<Bind>,
    /// The certificates and their keys.
    pub certificates: Certificates,
    /// The lowest version of TLS that is spoken.
    pub version_min: TlsVersion,
    /// Certificates in PEM, one of which must have signed that of a client; `None` asks for none.
    pub client_ca: Option<PathBuf>,
    /// Time limit for a handshake, in milliseconds.
    pub handshake_timeout_ms: u64,
    /// Handshakes under way at a time, over all threads; `None` for any number.
    pub handshakes_max: Option<NonZeroU32>,
    /// Whether the kernel encrypts long responses.
    pub kernel: KernelTls,
    /// Whether listeners without TLS redirect to HTTPS.
    pub redirect_http: bool,
    /// For how many seconds browsers are told to use HTTPS alone (`Strict-Transport-Security`, RFC 6797).
    pub hsts_seconds: Option<u64>,
    /// A file to which the secrets of all connections are appended, as `SSLKEYLOGFILE` names it. Whoever reads it
    /// can decrypt them.
    pub key_log: Option<PathBuf>,
}

impl Tls {
    /// The defaults of the command line for these certificates.
    #[must_use]
    pub fn new(certificates: Certificates) -> Self {
        let address = (std::net::Ipv4Addr::LOCALHOST, TLS_PORT_DEFAULT);
        Self {
            binds: vec![std::net::SocketAddr::from(address).into()],
            certificates,
            version_min: TlsVersion::Tls12,
            client_ca: None,
            handshake_timeout_ms: HANDSHAKE_TIMEOUT_MS_DEFAULT,
            handshakes_max: None,
            kernel: KernelTls::Auto,
            redirect_http: false,
            hsts_seconds: None,
            key_log: None,
        }
    }
}

/// Where certificates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificates {
    /// Files. The first certificate is for clients that ask for another name than those of the certificates, or
    /// for none.
    Files(Vec<CertificateFiles>),
    /// One that is made at each start, signed with its own key.
    SelfSigned {
        /// What it is for, beside `127.0.0.1` and `::1`: names, with `*.` at their beginning or without, and
        /// addresses.
        names: Vec<String>,
    },
}

/// Whether a certificate can be for this: a name, with `*.` at its beginning or without, or an address.
#[must_use]
pub fn is_certificate_name(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    DnsName::try_from(name).is_ok() || text.parse::<IpAddr>().is_ok()
}

/// The files of one certificate. Paths should be absolute: files are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate in PEM, and then those that it is signed with.
    pub chain: PathBuf,
    /// Its key in PEM; it may be the same file.
    pub key: PathBuf,
    /// An OCSP response in DER, which is sent with the certificate.
    pub ocsp: Option<PathBuf>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[value(name = "1.2", help = None::<&'static str>)]
    #[default]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    #[value(name = "1.3", help = None::<&'static str>)]
    Tls13,
}

/// Whether the kernel encrypts long responses (kernel TLS).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum KernelTls {
    /// Where the kernel can and is faster, as measured at the start.
    #[default]
    Auto,
    /// Where the kernel can; the server does not start where it cannot.
    On,
    /// Never.
    Off,
}
