//! Files that change.

use rcgen::date_time_ymd;

use super::*;

#[test]
fn a_certificate_that_expires_soon_is_warned_of_once_a_day() {
    let directory = Directory::new();
    let now = now();
    directory.make("a", &["a.example"], |params| {
        params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(now + 20 * DAY + 100);
    });
    let (acceptor, said) = said_acceptor(&directory.tls_of(&["a"]));
    let path = directory.path("a.pem");
    let path = path.display();
    assert_eq!(acceptor.warnings(), []);
    for (days, expected) in [
        (0, None),
        (6, None),
        (7, Some("expires in 13 days")),
        (7, None),
        (19, Some("expires in 1 day")),
        (20, Some("expires today")),
        (20, None),
        (21, Some("has expired")),
        (22, None),
    ] {
        acceptor.shared.look(now + days * DAY);
        let expected =
            expected.map(|what| format!("warning: the certificate `{path}` {what}; renew it"));
        assert_eq!(said.lines(), Vec::from_iter(expected), "{days}");
    }
    // At the start it is returned.
    directory.make("a", &["a.example"], |params| {
        params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(now + 3 * DAY + 100);
    });
    let (acceptor, said) = said_acceptor(&directory.tls_of(&["a"]));
    let path = directory.path("a.pem");
    let days = Some(3);
    assert_eq!(
        acceptor.warnings(),
        [CertificateWarning::Expires { path, days }]
    );
    acceptor.shared.look(now);
    assert_eq!(said.lines(), Vec::<String>::new());
}

#[test]
fn files_that_change_are_read_at_the_next_look() {
    let directory = Directory::new();
    let tls = directory.tls(&[("a", &["a.example"])]);
    let (acceptor, said) = said_acceptor(&tls);
    let (first, config) = (acceptor.fingerprints(), acceptor.current());
    acceptor.shared.look(now());
    assert!(Arc::ptr_eq(&config, &acceptor.current()), "nothing changed");
    directory.make("a", &["a.example"], |_| {});
    assert_eq!(acceptor.fingerprints(), first);
    acceptor.shared.look(now());
    assert_ne!(acceptor.fingerprints(), first);
    let path = directory.path("a.pem");
    assert_eq!(
        said.lines(),
        [format!(
            "HTTPS: the certificate `{}` is a new one, valid until 4096-01-01 00:00 UTC",
            path.display()
        )]
    );
}

#[test]
fn a_pair_that_is_wrong_leaves_the_earlier_one_and_is_said_once() {
    let directory = Directory::new();
    let tls = directory.tls(&[("a", &["a.example"]), ("b", &["b.example"])]);
    let (acceptor, said) = said_acceptor(&tls);
    let before = acceptor.fingerprints();
    let old_key = fs::read(directory.path("a.key")).unwrap();
    directory.make("a", &["a.example"], |_| {});
    let new_key = fs::read(directory.path("a.key")).unwrap();
    // The certificate is there, and its key is not yet.
    directory.write("a.key", &old_key);
    directory.make("b", &["b.example"], |_| {});
    let path = |name| directory.path(name).display().to_string();
    let line = format!(
        "HTTPS: --tls-key `{}` is not the key of `{}`; name the key that the certificate was made for; until \
         then the earlier one is used",
        path("a.key"),
        path("a.pem")
    );
    let renewed = |name| {
        let path = path(name);
        format!("HTTPS: the certificate `{path}` is a new one, valid until 4096-01-01 00:00 UTC")
    };
    acceptor.shared.look(now());
    let after = acceptor.fingerprints();
    assert_eq!(after[0], before[0]);
    assert_ne!(after[1], before[1], "the other one is renewed");
    assert_eq!(said.lines(), [renewed("b.pem")]);
    acceptor.shared.look(now());
    assert_eq!(said.lines(), [&*line]);
    for _ in 0..3 {
        acceptor.shared.look(now());
    }
    assert_eq!(said.lines(), Vec::<String>::new());
    // On request it is said again.
    let errors = acceptor.reload().unwrap_err();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].path(), directory.path("a.key"));
    assert_eq!(said.lines(), [&*line]);
    acceptor.shared.look(now());
    assert_eq!(said.lines(), Vec::<String>::new());
    assert_eq!(acceptor.fingerprints(), after);
    directory.write("a.key", &new_key);
    acceptor.shared.look(now());
    assert_eq!(said.lines(), [renewed("a.pem")]);
    assert_ne!(acceptor.fingerprints()[0], before[0]);
    acceptor.reload().unwrap();
    assert_eq!(
        said.lines(),
        ["HTTPS: the certificates were read again; none has changed"]
    );
}

#[test]
fn a_pair_that_is_complete_at_the_second_look_is_not_an_error() {
    let directory = Directory::new();
    let tls = directory.tls(&[("a", &["a.example"])]);
    let (acceptor, said) = said_acceptor(&tls);
    let old_key = fs::read(directory.path("a.key")).unwrap();
    directory.make("a", &["a.example"], |_| {});
    let new_key = fs::read(directory.path("a.key")).unwrap();
    directory.write("a.key", &old_key);
    acceptor.shared.look(now());
    directory.write("a.key", &new_key);
    acceptor.shared.look(now());
    let lines = said.lines();
    assert!(
        lines.len() == 1 && lines[0].contains("is a new one"),
        "{lines:?}"
    );
}

/// As Kubernetes mounts a secret: each file is a link through `..data`, which is replaced by `rename`. And as
/// certbot has its `live` directory.
#[test]
fn links_on_the_way_to_a_file_may_be_replaced() {
    let directory = Directory::new();
    for version in ["one", "two"] {
        directory.make("tls", &["a.example"], |_| {});
        fs::create_dir(directory.path(version)).unwrap();
        for name in ["tls.pem", "tls.key"] {
            let to = directory.path(version).join(name);
            fs::rename(directory.path(name), to).unwrap();
        }
    }
    symlink("one", directory.path("..data")).unwrap();
    for name in ["tls.pem", "tls.key"] {
        symlink(format!("..data/{name}"), directory.path(name)).unwrap();
    }
    let (acceptor, said) = said_acceptor(&directory.tls_of(&["tls"]));
    let first = acceptor.fingerprints();
    symlink("two", directory.path("..data_tmp")).unwrap();
    fs::rename(directory.path("..data_tmp"), directory.path("..data")).unwrap();
    acceptor.shared.look(now());
    let second = acceptor.fingerprints();
    assert_ne!(second, first);
    assert_eq!(said.lines().len(), 1);
    for name in ["tls.pem", "tls.key"] {
        symlink(format!("one/{name}"), directory.path("new")).unwrap();
        fs::rename(directory.path("new"), directory.path(name)).unwrap();
    }
    acceptor.shared.look(now());
    assert_eq!(acceptor.fingerprints(), first);
}

#[test]
fn the_thread_looks_and_ends_with_the_acceptor() {
    let directory = Directory::new();
    let tls = directory.tls(&[("a", &["a.example"])]);
    let said = Said::new();
    let interval = Duration::from_millis(1);
    let acceptor = Acceptor::start_looking(&tls, said.1.clone(), interval).unwrap();
    directory.make("a", &["a.example"], |_| {});
    let first = said
        .0
        .recv_timeout(Duration::from_secs(60))
        .expect("a line");
    assert!(first.starts_with(b"zc-server: "));
    let shared = Arc::downgrade(&acceptor.shared);
    drop(acceptor);
    // The thread has the other handle. When it ends, the last line but this one cannot be said any more.
    while shared.upgrade().is_some() {
        std::thread::yield_now();
    }
}

#[test]
fn authorities_of_clients_are_read_again_and_wrong_ones_are_errors() {
    let directory = Directory::new();
    let mut tls = directory.tls(&[("a", &["a.example"])]);
    tls.client_ca = Some(directory.path("ca.pem"));
    assert_eq!(
        fault(&directory, &tls),
        "--tls-client-ca `ca.pem` does not exist; name a file"
    );
    directory.write("ca.pem", b"");
    assert_eq!(
        fault(&directory, &tls),
        "--tls-client-ca `ca.pem` has no certificate in PEM (BEGIN CERTIFICATE); name a file that has one"
    );
    directory.authority("ca", "alice");
    let (acceptor, said) = said_acceptor(&tls);
    directory.write("ca.pem", b"");
    acceptor.shared.look(now());
    assert_eq!(said.lines(), Vec::<String>::new());
    acceptor.shared.look(now());
    let lines = said.lines();
    assert!(
        lines.len() == 1 && lines[0].contains("--tls-client-ca"),
        "{lines:?}"
    );
}

#[test]
fn a_self_signed_certificate_is_made_anew_when_half_of_its_time_is_over() {
    let names = vec!["localhost".to_owned()];
    let (acceptor, said) = said_acceptor(&Tls::new(Certificates::SelfSigned { names }));
    let first = acceptor.fingerprints();
    assert_eq!(first[0].len(), 32 * 3 - 1, "{first:?}");
    acceptor.reload().unwrap();
    assert_eq!(acceptor.fingerprints(), first);
    let now = now();
    acceptor.shared.look(now + 14 * DAY);
    assert_eq!(acceptor.fingerprints(), first);
    assert_eq!(
        said.lines(),
        ["HTTPS: the certificates were read again; none has changed"]
    );
    acceptor.shared.look(now + 16 * DAY);
    assert_ne!(acceptor.fingerprints(), first);
    let lines = said.lines();
    let expected = "HTTPS: a new self-signed certificate, valid until ";
    assert!(
        lines.len() == 1 && lines[0].starts_with(expected),
        "{lines:?}"
    );
}
