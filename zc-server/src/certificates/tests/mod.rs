//! A directory of certificates, and what the tests of it look at.

mod faults;
mod handshakes;
mod reload;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{self, Receiver, Sender};

use rcgen::{CertificateParams, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::*;
use crate::config::tls::{CertificateFiles, Certificates};

const DAY: u64 = 24 * 60 * 60;

/// A directory of certificates and keys: `NAME.pem` and `NAME.key`.
struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.path(name), content).unwrap();
    }

    /// Makes pairs, each for its names, and answers their configuration.
    fn tls(&self, pairs: &[(&str, &[&str])]) -> Tls {
        for (name, names) in pairs {
            self.make(name, names, |_| {});
        }
        let names: Vec<&str> = pairs.iter().map(|(name, _)| *name).collect();
        self.tls_of(&names)
    }

    /// The configuration of pairs that are there.
    fn tls_of(&self, pairs: &[&str]) -> Tls {
        let files = pairs.iter().map(|name| CertificateFiles {
            chain: self.path(&format!("{name}.pem")),
            key: self.path(&format!("{name}.key")),
            ocsp: None,
        });
        Tls::new(Certificates::Files(files.collect()))
    }

    fn set_ocsp(&self, tls: &mut Tls, name: &str) {
        let Certificates::Files(files) = &mut tls.certificates else {
            panic!("{tls:?}")
        };
        files[0].ocsp = Some(self.path(name));
    }

    fn make(&self, name: &str, names: &[&str], change: impl FnOnce(&mut CertificateParams)) {
        let key = KeyPair::generate().unwrap();
        let names = names.iter().map(|name| (*name).to_owned());
        let mut params = CertificateParams::new(names.collect::<Vec<_>>()).unwrap();
        change(&mut params);
        let certificate = params.self_signed(&key).unwrap();
        self.write(&format!("{name}.pem"), certificate.pem().as_bytes());
        self.write_key(name, &key);
    }

    /// Makes an authority, and a pair that it has signed.
    fn authority(&self, name: &str, signed: &str) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).unwrap();
        self.write(&format!("{name}.pem"), certificate.pem().as_bytes());
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![signed.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        self.write(&format!("{signed}.pem"), certificate.pem().as_bytes());
        self.write_key(signed, &key);
    }

    fn write_key(&self, name: &str, key: &KeyPair) {
        let name = format!("{name}.key");
        self.write(&name, key.serialize_pem().as_bytes());
        fs::set_permissions(self.path(&name), PermissionsExt::from_mode(0o600)).unwrap();
    }

    fn certificate(&self, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path(&format!("{name}.pem"))).unwrap()
    }

    /// Runs it here; answers what it prints.
    fn openssl(&self, arguments: &str) -> String {
        let mut command = Command::new("openssl");
        command
            .args(arguments.split(' '))
            .current_dir(self.0.path());
        let output = command.output().expect("openssl");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {text}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Lines that were said, without the name of the program.
struct Said(Receiver<Vec<u8>>, Diagnostics);

struct Lines(Sender<Vec<u8>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Whoever listened may be gone.
        let _ = self.0.send(bytes.to_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Said {
    fn new() -> Self {
        let (sender, lines) = mpsc::channel();
        let diagnostics = Diagnostics::start_to(Lines(sender)).unwrap();
        Self(lines, diagnostics)
    }

    /// Everything since the last call.
    fn lines(&self) -> Vec<String> {
        self.1.finish();
        let text = String::from_utf8(self.0.try_iter().flatten().collect()).unwrap();
        let lines = text.lines().map(|line| line.strip_prefix("zc-server: "));
        lines
            .map(|line| line.expect("a prefix").to_owned())
            .collect()
    }
}

fn diagnostics() -> Diagnostics {
    Diagnostics::start_to(io::sink()).unwrap()
}

/// One that does not look by itself.
fn acceptor(tls: &Tls) -> Acceptor {
    Acceptor::start_looking(tls, diagnostics(), Duration::from_secs(3600)).unwrap()
}

fn said_acceptor(tls: &Tls) -> (Acceptor, Said) {
    let said = Said::new();
    let hour = Duration::from_secs(3600);
    let acceptor = Acceptor::start_looking(tls, said.1.clone(), hour);
    (acceptor.unwrap(), said)
}

/// What the start with this pair fails with, after the directory is taken out of it.
fn fault(directory: &Directory, tls: &Tls) -> String {
    match Acceptor::start(tls, diagnostics()) {
        Err(AcceptorError::Certificate(error)) => {
            let text = error.to_string();
            assert!(!text.contains('\n'), "{text}");
            let here = format!("{}/", directory.0.path().display());
            assert!(text.contains(&here), "no path: {text}");
            text.replace(&here, "")
        }
        other => panic!("{other:?}"),
    }
}
