//! Certificates of clients, and what the log has of them.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use rcgen::string::{BmpString, Ia5String, PrintableString, TeletexString};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, DnValue, IsCa,
    KeyPair,
};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tempfile::TempDir;

use super::{VERSIONS, Version, connect_with};
use crate::harness::tls::client_config;
use crate::harness::{Client, Server, temp_root};

/// An authority, and files of certificates.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

/// A certificate that an authority has signed.
pub(super) struct Signed {
    certified: Arc<CertifiedKey>,
    pem: String,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).expect("a certificate"),
            directory: temp_root(),
        }
    }

    /// A server that wants certificates of this authority.
    pub(super) fn server(&self) -> Server {
        let file = self.write("ca.pem", &self.issuer.pem());
        let file = file.to_str().expect("UTF-8");
        Server::start_https(&["--tls-client-ca", file])
    }

    pub(super) fn der(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    fn write(&self, name: &str, pem: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, pem).expect("a file");
        path
    }

    /// A certificate for a client with this name.
    pub(super) fn sign(&self, name: DistinguishedName) -> Signed {
        let mut params = CertificateParams::new([]).expect("no names");
        params.distinguished_name = name;
        self.sign_as(&params)
    }

    pub(super) fn sign_as(&self, params: &CertificateParams) -> Signed {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("PKCS #8");
        let key = default_provider().key_provider.load_private_key(key);
        let key = key.expect("a key");
        let certified = CertifiedKey::new(vec![certificate.der().clone()], key);
        Signed {
            certified: Arc::new(certified),
            pem: certificate.pem(),
        }
    }

    /// The subject as OpenSSL prints it.
    fn subject_by_openssl(&self, signed: &Signed) -> String {
        let file = self.write("client.pem", &signed.pem);
        let mut command = Command::new("openssl");
        command.args(["x509", "-noout", "-subject", "-nameopt", "RFC2253", "-in"]);
        let output = command.arg(file).output().expect("openssl");
        assert!(output.status.success(), "{output:?}");
        let printed = String::from_utf8(output.stdout).expect("UTF-8");
        let subject = printed.strip_prefix("subject=").expect("a subject");
        subject.strip_suffix('\n').expect("a line").to_owned()
    }
}

/// A client that has this certificate, if any.
pub(super) fn config_with(version: Version, signed: Option<&Signed>) -> Arc<ClientConfig> {
    let mut config = client_config(version);
    if let Some(signed) = signed {
        let certified = Arc::clone(&signed.certified);
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(certified));
    }
    Arc::new(config)
}

fn names() -> Vec<DistinguishedName> {
    let utf8 = |text: &str| DnValue::Utf8String(text.to_owned());
    let bmp = |text: &str| DnValue::BmpString(BmpString::try_from(text).expect("UCS-2"));
    let printable = PrintableString::try_from("DE").expect("ASCII");
    let teletex = TeletexString::try_from("Nord + Ost").expect("ASCII");
    let address = Ia5String::try_from("alice@a.example").expect("ASCII");
    let lists = [
        vec![(DnType::CommonName, utf8("alice"))],
        vec![],
        vec![
            (
                DnType::CountryName,
                DnValue::PrintableString(printable.clone()),
            ),
            (DnType::StateOrProvinceName, utf8("<\"a\\b\">; c=d")),
            (DnType::LocalityName, bmp("Käsebüttel")),
            (DnType::OrganizationName, utf8("Acme, Inc.")),
            (
                DnType::OrganizationalUnitName,
                DnValue::TeletexString(teletex),
            ),
            (
                DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]),
                DnValue::Ia5String(address),
            ),
            (
                DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 25]),
                utf8("example"),
            ),
            (DnType::CustomDnType(vec![2, 5, 4, 5]), utf8("4711")),
            (
                DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 99_999, 7]),
                utf8("its own"),
            ),
            (DnType::CommonName, utf8("# a\r\n\0\u{1b}[2J\u{7f} é 🦀 ")),
        ],
    ];
    let name = |list: Vec<(DnType, DnValue)>| {
        let mut name = DistinguishedName::new();
        for (kind, value) in list {
            name.push(kind, value);
        }
        name
    };
    lists.into_iter().map(name).collect()
}

#[test]
fn the_log_has_the_subject_of_a_client_as_openssl_prints_it() {
    let authority = Authority::new("authority of clients");
    let mut server = authority.server();
    for name in names() {
        let signed = authority.sign(name);
        let expected = authority.subject_by_openssl(&signed);
        for version in VERSIONS {
            let config = config_with(version, Some(&signed));
            for is_resumed in [false, true] {
                let mut client = connect_with(&server, Arc::clone(&config));
                // Both responses of a connection have it.
                for _ in 0..2 {
                    assert_eq!(client.get("/none").status, 404);
                    let log = server.log();
                    assert_eq!(log["client_subject"], *expected, "{log}");
                    assert_eq!(log["resumed"], is_resumed, "{log}");
                }
            }
        }
    }
    let stream = std::net::TcpStream::connect(server.plain_address);
    let mut plain = Client::plain(stream.expect("the server accepts"));
    assert_eq!(plain.get("/none").status, 404);
    assert!(server.log()["client_subject"].is_null());
}
