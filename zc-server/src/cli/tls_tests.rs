//! The options of HTTPS, as typed and validated.

use clap::error::ErrorKind;

use super::into_tls::{acme_webroot_from, tls_from};
use super::tests::{parsed, parsed_with};
use crate::config::tls::{CertificateFiles, Certificates, KernelTls, Tls, TlsVersion};
use crate::config::{Config, ConfigError};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What the options say of HTTPS.
fn tls(words: &[&str]) -> Result<Option<Tls>, ConfigError> {
    tls_from(&parsed(words).expect("valid").tls, false, None)
}

fn error(words: &[&str]) -> String {
    let error = tls(words).expect_err("an error");
    assert_eq!(error.exit_code(), 2, "{error}");
    error.to_string()
}

fn files(chain: &str, key: &str, ocsp: Option<&str>) -> CertificateFiles {
    CertificateFiles {
        chain: chain.into(),
        key: key.into(),
        ocsp: ocsp.map(Into::into),
    }
}

#[test]
fn without_a_certificate_there_is_no_https() {
    assert!(tls(&[]).expect("valid").is_none());
    // These are defaults anyway.
    let words = ["--tls-min=1.2", "--ktls=auto", "--handshake-timeout=10s"];
    assert!(tls(&words).expect("valid").is_none());
    for option in [
        "--tls-bind 127.0.0.1:8443",
        "--tls-client-ca /ca.pem",
        "--tls-ocsp /a.ocsp",
        "--redirect-http",
        "--hsts=31536000",
        "--tls-key-log",
    ] {
        let words: Vec<&str> = option.split(' ').collect();
        assert_eq!(
            error(&words),
            format!(
                "{option} needs a certificate; add --tls-cert and --tls-key, or --tls-self-signed"
            )
        );
    }
    let error = parsed(&["--tls-key", "a.key"]).expect_err("no certificate");
    assert_eq!(error.kind(), ErrorKind::MissingRequiredArgument);
    assert!(error.to_string().contains("--tls-cert"), "{error}");
}

#[test]
fn the_defaults_with_a_certificate() {
    let found = tls(&["--tls-cert=/a.pem", "--tls-key=/a.key"]);
    let found = found.expect("valid").expect("HTTPS");
    let certificates = Certificates::Files(vec![files("/a.pem", "/a.key", None)]);
    let expected = Tls::new(certificates);
    assert_eq!(format!("{found:?}"), format!("{expected:?}"));
    assert_eq!(found.binds[0].to_string(), "127.0.0.1:8443");
    assert_eq!(found.version_min, TlsVersion::Tls12);
    assert_eq!(found.handshake_timeout_ms, 10_000);
}

#[test]
fn every_option_is_in_the_configuration() {
    let words = "--tls-cert=/a --tls-key=/b --tls-bind=:443,[::1]:444 --tls-bind=445 --tls-min=1.3 \
                 --tls-client-ca=/ca --handshake-timeout=5s --ktls=off --redirect-http --hsts=60 --tls-key-log";
    let words: Vec<&str> = words.split_whitespace().collect();
    let args = parsed(&words).expect("valid").tls;
    let found = tls_from(&args, false, Some("/keys".into()));
    let found = found.expect("valid").expect("HTTPS");
    let binds = found.binds.iter().map(ToString::to_string);
    assert_eq!(
        binds.collect::<Vec<_>>(),
        [":443", "[::1]:444", "localhost:445"]
    );
    assert_eq!(found.version_min, TlsVersion::Tls13);
    assert_eq!(found.client_ca, Some("/ca".into()));
    assert_eq!(found.handshake_timeout_ms, 5_000);
    assert_eq!(found.kernel, KernelTls::Off);
    assert!(found.redirect_http);
    assert_eq!(found.hsts_seconds, Some(60));
    assert_eq!(found.key_log, Some("/keys".into()));
    for unset in [None, Some("".into())] {
        let error = tls_from(&args, false, unset).expect_err("no file");
        assert_eq!(
            error.to_string(),
            "--tls-key-log: the environment variable SSLKEYLOGFILE is not set; set it to the path of a file"
        );
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn keys_and_responses_belong_to_certificates_in_order() {
    let found = tls(&[
        "--tls-cert=/a.pem",
        "--tls-cert=/b.pem",
        "--tls-key=/a.key",
        "--tls-key=/b.key",
        "--tls-ocsp=/a.ocsp",
    ]);
    assert_eq!(
        found.expect("valid").expect("HTTPS").certificates,
        Certificates::Files(vec![
            files("/a.pem", "/a.key", Some("/a.ocsp")),
            files("/b.pem", "/b.key", None),
        ])
    );
    let found = tls(&["--tls-cert=/both.pem"]).expect("valid");
    assert_eq!(
        found.expect("HTTPS").certificates,
        Certificates::Files(vec![files("/both.pem", "/both.pem", None)])
    );
    assert_eq!(
        error(&["--tls-cert=/a", "--tls-cert=/b", "--tls-key=/k"]),
        "there are 2 certificates (--tls-cert) and 1 key (--tls-key); give each certificate its key, in the \
         same order"
    );
    assert_eq!(
        error(&["--tls-cert=/a", "--tls-ocsp=/b", "--tls-ocsp=/c"]),
        "there are 1 certificate (--tls-cert) and 2 OCSP responses (--tls-ocsp); give at most one for each \
         certificate, in the same order"
    );
}

#[test]
fn a_relative_path_is_made_absolute() {
    let found = tls(&["--tls-cert=certs/a.pem"]).expect("valid");
    let Certificates::Files(files) = found.expect("HTTPS").certificates else {
        panic!("files")
    };
    let here = std::env::current_dir().expect("a directory");
    let same = |path: &std::path::Path| path.canonicalize().expect("a directory");
    let directory = files[0].chain.parent().and_then(|certs| certs.parent());
    assert_eq!(same(directory.expect("a directory")), same(&here));
    assert!(files[0].chain.is_absolute() && files[0].chain.ends_with("certs/a.pem"));
}

#[test]
fn a_self_signed_certificate_has_names() {
    for (words, expected) in [
        (&["--tls-self-signed", "www"][..], &["localhost"][..]),
        (&["--tls-self-signed=a.b,*.a.b"], &["a.b", "*.a.b"]),
        (
            &["--tls-self-signed=a", "--tls-self-signed=192.168.1.20"],
            &["a", "192.168.1.20"],
        ),
    ] {
        let names = expected.iter().map(|name| (*name).to_owned()).collect();
        let found = tls(words).expect("valid").expect("HTTPS");
        assert_eq!(found.certificates, Certificates::SelfSigned { names });
    }
    for wrong in ["a b", "*", "a.*.b", "https://a.b", "a:8443", "", "-"] {
        let error = parsed(&[&format!("--tls-self-signed={wrong}")]).expect_err(wrong);
        assert!(error.to_string().contains("*.example.org"), "{error}");
    }
    for other in ["--tls-cert", "--tls-key", "--tls-ocsp"] {
        let words = ["--tls-self-signed", "--tls-cert=/a", other, "/b"];
        let error = parsed(&words).expect_err(other);
        assert_eq!(error.kind(), ErrorKind::ArgumentConflict);
    }
}

#[test]
fn the_time_of_hsts_is_a_year_unless_it_is_given() {
    for (word, expected) in [
        ("--hsts", 31_536_000),
        ("--hsts=0", 0),
        ("--hsts=300", 300),
        ("--hsts=315360000", 315_360_000),
    ] {
        let found = tls(&["--tls-self-signed", word]).expect("valid");
        assert_eq!(found.expect("HTTPS").hsts_seconds, Some(expected));
    }
    for wrong in ["--hsts=1y", "--hsts=-1", "--hsts=315360001", "--hsts="] {
        let error = parsed(&["--tls-self-signed", wrong]).expect_err(wrong);
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn variables_have_the_values_of_options() {
    let variables = [
        ("ZC_TLS_CERT", "/a.pem\n/b,c.pem"),
        ("ZC_TLS_KEY", "/a.key\n/b.key"),
        ("ZC_TLS_BIND", ":443,:444"),
        ("ZC_HSTS", "60"),
        ("ZC_REDIRECT_HTTP", "on"),
    ];
    let args = parsed_with(&[], &variables).expect("valid");
    let found = tls_from(&args.tls, false, None)
        .expect("valid")
        .expect("HTTPS");
    assert_eq!(
        found.certificates,
        Certificates::Files(vec![
            files("/a.pem", "/a.key", None),
            files("/b,c.pem", "/b.key", None),
        ])
    );
    assert_eq!((found.binds.len(), found.hsts_seconds), (2, Some(60)));
    assert!(found.redirect_http);
    let args = parsed_with(&[], &[("ZC_TLS_SELF_SIGNED", "a.b,c.d")]).expect("valid");
    assert_eq!(args.tls.self_signed, ["a.b", "c.d"]);
}

#[test]
fn an_address_for_http_and_https_is_wrong_usage() {
    let config = |words: &[&str]| {
        let words = [&["--tls-self-signed", ROOT], words].concat();
        Config::try_from(parsed(&words).expect("valid"))
    };
    for (words, expected) in [
        (
            &["--bind=:8443", "--tls-bind=127.0.0.1:8443"][..],
            "--bind :8443 and --tls-bind 127.0.0.1:8443 both listen on 127.0.0.1:8443; remove one",
        ),
        (
            &["--bind=127.0.0.1:8443"],
            "--bind 127.0.0.1:8443 and --tls-bind 127.0.0.1:8443 both listen on 127.0.0.1:8443; remove one",
        ),
        (
            &["--tls-bind=:1,:1"],
            "--tls-bind :1 is given twice; remove one",
        ),
    ] {
        let error = config(words).expect_err("an error");
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.exit_code(), 2);
    }
    let plain = config(&[]).expect("valid");
    assert_eq!(plain.binds[0].to_string(), "127.0.0.1:8080");
    let tls = plain.tls.expect("HTTPS");
    assert_eq!(tls.binds[0].to_string(), "127.0.0.1:8443");
    for (words, expected) in [
        (&["--lan"][..], ":8443"),
        (&["--lan", "--tls-bind=127.0.0.1:443"], "127.0.0.1:443"),
    ] {
        let tls = config(words).expect("valid").tls.expect("HTTPS");
        assert_eq!(tls.binds.len(), 1);
        assert_eq!(tls.binds[0].to_string(), expected);
    }
}

#[test]
fn answers_for_an_authority_are_in_a_directory() {
    let webroot = |path: &str| {
        let args = parsed(&["--acme-webroot", path]).expect("valid");
        acme_webroot_from(&args.tls)
    };
    assert_eq!(webroot(ROOT).expect("valid"), Some(ROOT.into()));
    for path in ["none", "Cargo.toml"].map(|name| format!("{ROOT}/{name}")) {
        let error = webroot(&path).expect_err("an error");
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("--acme-webroot `{path}` ")),
            "{text}"
        );
        assert!(text.ends_with("; name a directory"), "{text}");
        assert_eq!(error.exit_code(), 1);
    }
}
