//! Files that are wrong, and files that are right.

use rcgen::date_time_ymd;

use super::*;

/// What the start says of a pair with this content.
fn fault_of(chain: &[u8], key: &[u8]) -> String {
    let directory = Directory::new();
    directory.write("a.pem", chain);
    directory.write("a.key", key);
    fault(&directory, &directory.tls_of(&["a"]))
}

/// The certificates and keys of two pairs.
fn two_pairs() -> [[Vec<u8>; 2]; 2] {
    let directory = Directory::new();
    directory.tls(&[("a", &["a.example"]), ("b", &["b.example"])]);
    let read = |name: &str| fs::read(directory.path(name)).unwrap();
    ["a", "b"].map(|name| [read(&format!("{name}.pem")), read(&format!("{name}.key"))])
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_with_its_mend() {
    let [[pem, key], _] = two_pairs();
    let none = "has no certificate in PEM (BEGIN CERTIFICATE); name a file that has one";
    for chain in [b"", &b"no pem"[..], &key] {
        assert_eq!(fault_of(chain, &key), format!("--tls-cert `a.pem` {none}"));
    }
    let der = CertificateDer::from_pem_slice(&pem).unwrap();
    assert_eq!(
        fault_of(&der, &key),
        "--tls-cert `a.pem` is DER; make PEM of it: openssl x509 -inform der -in a.pem -out NAME.pem"
    );
    for (chain, why) in [
        (&pem[..pem.len() - 40], "a section has no END line"),
        (
            b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
            "a line is not base64",
        ),
        (b"-----BEGIN CERTIFICATE", "a BEGIN line is incomplete"),
    ] {
        assert_eq!(
            fault_of(chain, &key),
            format!("--tls-cert `a.pem` is damaged: {why}; copy the file again")
        );
    }
    let empty = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(
        fault_of(empty, &key),
        "--tls-cert `a.pem` cannot be used: invalid peer certificate: BadEncoding; make another one"
    );
    assert_eq!(
        fault_of(&vec![b'x'; (1 << 20) + 1], &key),
        "--tls-cert `a.pem` is longer than 1 MiB; name another file"
    );
}

#[test]
fn what_is_wrong_with_a_key_is_said_with_its_mend() {
    let [[pem, key], [other_pem, other_key]] = two_pairs();
    for without in [b"", &pem[..]] {
        assert_eq!(
            fault_of(&pem, without),
            "--tls-key `a.key` has no key in PEM (BEGIN PRIVATE KEY); name the file of the key with --tls-key"
        );
    }
    let unknown = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert_eq!(
        fault_of(&pem, unknown),
        "--tls-key `a.key` has a key of a kind or length that is not supported; use ECDSA (P-256, P-384 or \
         P-521), Ed25519, or RSA of 2048 to 8192 bits"
    );
    for (pem, key) in [(&pem, &other_key), (&other_pem, &key)] {
        assert_eq!(
            fault_of(pem, key),
            "--tls-key `a.key` is not the key of `a.pem`; name the key that the certificate was made for"
        );
    }
    assert_eq!(
        fault_of(&[other_pem, pem].concat(), &key),
        "--tls-key `a.key` is the key of a later certificate of `a.pem`; put that certificate first"
    );
}

#[test]
fn what_is_not_a_file_is_not_waited_for() {
    let directory = Directory::new();
    let tls = directory.tls(&[("a", &["a.example"])]);
    let key = directory.path("a.key");
    fs::remove_file(&key).unwrap();
    let missing = "--tls-key `a.key` does not exist; name a file";
    assert_eq!(fault(&directory, &tls), missing);
    let irregular = "--tls-key `a.key` is not a regular file; name one";
    fs::create_dir(&key).unwrap();
    assert_eq!(fault(&directory, &tls), irregular);
    fs::remove_dir(&key).unwrap();
    nix::unistd::mkfifo(&key, nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert_eq!(fault(&directory, &tls), irregular);
}

#[test]
fn a_key_without_permission_is_an_error_and_one_for_all_a_warning() {
    let directory = Directory::new();
    let tls = directory.tls(&[("a", &["a.example"])]);
    let key = directory.path("a.key");
    assert_eq!(acceptor(&tls).warnings(), []);
    for (mode, warns) in [(0o640, false), (0o644, true), (0o604, true), (0o400, false)] {
        fs::set_permissions(&key, PermissionsExt::from_mode(mode)).unwrap();
        let warnings = acceptor(&tls).warnings().to_vec();
        let expected = CertificateWarning::KeyReadable { path: key.clone() };
        let expected = if warns { vec![expected] } else { Vec::new() };
        assert_eq!(warnings, expected, "{mode:o}");
    }
    let key = key.display();
    assert_eq!(
        CertificateWarning::KeyReadable {
            path: directory.path("a.key")
        }
        .to_string(),
        format!("every user can read the key `{key}`; run chmod o-r {key}")
    );
    fs::set_permissions(directory.path("a.key"), PermissionsExt::from_mode(0o000)).unwrap();
    // Root may read everything.
    if !nix::unistd::geteuid().is_root() {
        assert_eq!(
            fault(&directory, &tls),
            "--tls-key `a.key` cannot be read: permission denied; give this user permission to read it"
        );
    }
}

#[test]
fn keys_of_openssl_are_read_and_weak_or_encrypted_ones_are_refused() {
    let directory = Directory::new();
    let tls = directory.tls_of(&["a"]);
    let request = "req -x509 -nodes -subj /CN=a.example -days 30 -keyout a.key -out a.pem";
    for kind in [
        "-newkey rsa:2048",
        "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1",
        "-newkey ec -pkeyopt ec_paramgen_curve:secp384r1",
        "-newkey ed25519",
    ] {
        directory.openssl(&format!("{request} {kind}"));
        assert!(Acceptor::start(&tls, diagnostics()).is_ok(), "{kind}");
    }
    // The forms of older programs.
    directory.openssl(&format!("{request} -newkey rsa:2048"));
    directory.openssl("rsa -in a.key -traditional -out old.key");
    fs::rename(directory.path("old.key"), directory.path("a.key")).unwrap();
    assert!(Acceptor::start(&tls, diagnostics()).is_ok());
    directory.openssl("ecparam -name prime256v1 -genkey -out a.key");
    directory.openssl("req -x509 -subj /CN=a.example -days 30 -key a.key -out a.pem");
    assert!(Acceptor::start(&tls, diagnostics()).is_ok());

    for old in ["-aes256", "-aes256 -traditional"] {
        directory.openssl("genrsa -out plain.key 2048");
        directory.openssl(&format!(
            "rsa -in plain.key {old} -passout pass:secret -out a.key"
        ));
        assert_eq!(
            fault(&directory, &tls),
            "--tls-key `a.key` has a key that is encrypted; decrypt it: openssl pkey -in a.key -out NAME.pem"
        );
    }
    directory.openssl("genrsa -out a.key 2048");
    directory.openssl("rsa -in a.key -outform der -out der.key");
    fs::rename(directory.path("der.key"), directory.path("a.key")).unwrap();
    assert_eq!(
        fault(&directory, &tls),
        "--tls-key `a.key` is DER; make PEM of it: openssl pkey -inform der -in a.key -out NAME.pem"
    );
    for weak in [
        "-newkey rsa:1024",
        "-newkey ec -pkeyopt ec_paramgen_curve:secp256k1",
    ] {
        directory.openssl(&format!("{request} {weak}"));
        assert_eq!(
            fault(&directory, &tls),
            "--tls-key `a.key` has a key of a kind or length that is not supported; use ECDSA (P-256, P-384 or \
             P-521), Ed25519, or RSA of 2048 to 8192 bits"
        );
    }
}

#[test]
fn one_file_may_have_both() {
    let directory = Directory::new();
    let mut tls = directory.tls(&[("a", &["a.example"])]);
    let both = [
        fs::read(directory.path("a.key")).unwrap(),
        fs::read(directory.path("a.pem")).unwrap(),
    ];
    directory.write("both.pem", &both.concat());
    let file = directory.path("both.pem");
    tls.certificates = Certificates::Files(vec![CertificateFiles {
        chain: file.clone(),
        key: file,
        ocsp: None,
    }]);
    assert!(Acceptor::start(&tls, diagnostics()).is_ok());
    directory.write("both.pem", &both[1]);
    assert_eq!(
        fault(&directory, &tls),
        "--tls-cert `both.pem` has no key in PEM (BEGIN PRIVATE KEY); name the file of the key with --tls-key"
    );
}

#[test]
fn a_certificate_is_valid_now() {
    let directory = Directory::new();
    let tls = directory.tls_of(&["a"]);
    directory.make("a", &["a.example"], |params| {
        params.not_after = date_time_ymd(2020, 2, 29);
    });
    assert_eq!(
        fault(&directory, &tls),
        "--tls-cert `a.pem` expired on 2020-02-29 00:00 UTC; renew it"
    );
    directory.make("a", &["a.example"], |params| {
        params.not_before = date_time_ymd(3000, 1, 1);
    });
    assert_eq!(
        fault(&directory, &tls),
        "--tls-cert `a.pem` is valid from 3000-01-01 00:00 UTC on; check the clock of this machine, or wait"
    );
    directory.make("a", &["a.example"], |params| {
        params.not_before = date_time_ymd(3000, 1, 1);
        params.not_after = date_time_ymd(2999, 1, 1);
    });
    assert_eq!(
        fault(&directory, &tls),
        "--tls-cert `a.pem` cannot be used: its validity ends before it begins; make another one"
    );
}

#[test]
fn an_ocsp_response_is_one() {
    let directory = Directory::new();
    let mut tls = directory.tls(&[("a", &["a.example"])]);
    directory.set_ocsp(&mut tls, "a.ocsp");
    for wrong in [
        &b""[..],
        b"-----BEGIN OCSP RESPONSE-----",
        // `tryLater`, and one that is cut.
        b"\x30\x03\x0a\x01\x03",
        b"\x30\x82\x01\x00\x0a\x01\x00",
    ] {
        directory.write("a.ocsp", wrong);
        assert_eq!(
            fault(&directory, &tls),
            "--tls-ocsp `a.ocsp` is not a successful OCSP response in DER; get one with openssl ocsp -respout"
        );
    }
}

#[test]
fn a_file_for_secrets_that_cannot_be_written_is_an_error() {
    let directory = Directory::new();
    let mut tls = directory.tls(&[("a", &["a.example"])]);
    tls.key_log = Some(directory.path("none/keys"));
    assert_eq!(
        fault(&directory, &tls),
        "--tls-key-log `none/keys` does not exist; name a file"
    );
}

#[test]
fn fingerprints_are_those_of_openssl() {
    let directory = Directory::new();
    let tls = directory.tls(&[("a", &["a.example"]), ("b", &["b.example"])]);
    let expected = ["a", "b"].map(|name| {
        let said = directory.openssl(&format!("x509 -noout -fingerprint -sha256 -in {name}.pem"));
        let (_, fingerprint) = said.trim().split_once('=').unwrap();
        fingerprint.to_owned()
    });
    assert_eq!(acceptor(&tls).fingerprints(), expected);
}
