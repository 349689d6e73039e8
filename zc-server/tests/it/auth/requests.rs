//! What is answered to whom.

use super::{ANN, Users, ask, assert_challenged, basic, start};
#[cfg(feature = "tls")]
use crate::harness::temp_root;

#[test]
fn whoever_is_not_known_is_asked_for_a_name_and_a_password() {
    let users = Users::of(&format!("# staff\n{ANN}"));
    let server = start(&users, &[("f", b"content"), ("d/x", b"")], &[]);
    let mut client = server.connect();
    for fields in [
        "".to_owned(),
        basic("ann:wrong"),
        basic("ann:"),
        basic("ann:secretx"),
        basic("Ann:secret"),
        basic("nobody:secret"),
        basic("ann"),
        basic("ann:secret\n"),
        basic(&format!("ann:{}", "x".repeat(2000))),
        "Authorization: Basic\r\n".to_owned(),
        "Authorization: Basic !!!\r\n".to_owned(),
        "Authorization: Bearer YW5uOnNlY3JldA==\r\n".to_owned(),
        "Authorization: YW5uOnNlY3JldA==\r\n".to_owned(),
        "Authorization: Digest username=\"ann\"\r\n".to_owned(),
        "Proxy-Authorization: Basic YW5uOnNlY3JldA==\r\n".to_owned(),
        // Which of them would count?
        basic("ann:secret") + &basic("ann:wrong"),
    ] {
        for target in ["/f", "/none", "/", "/d", "/d/", "/%zz", "/f?method=no"] {
            let response = ask(&mut client, target, &fields);
            assert_challenged(&response);
            assert_eq!(response.body, b"401 Unauthorized\n", "{fields}");
        }
        let head = server.head_with("/f", &fields);
        assert_challenged(&head);
    }
    for fields in [
        basic("ann:secret"),
        basic("ann:secret").replace("Basic", "bAsIc"),
        basic("ann:secret").replace("Authorization: Basic ", "AUTHORIZATION:  BASIC   "),
    ] {
        assert_eq!(ask(&mut client, "/f", &fields).body, b"content");
        assert_eq!(ask(&mut client, "/none", &fields).status, 404);
        assert_eq!(ask(&mut client, "/d", &fields).status, 301);
        assert_eq!(ask(&mut client, "/%zz", &fields).status, 400);
        let listing = ask(&mut client, "/d/", &fields);
        assert!(String::from_utf8_lossy(&listing.body).contains("href=\"x\""));
        let part = ask(&mut client, "/f", &format!("{fields}Range: bytes=1-2\r\n"));
        assert_eq!((part.status, &part.body[..]), (206, &b"on"[..]));
        assert_eq!(
            server.head_with("/f", &fields).field("content-length"),
            Some("7")
        );
    }
}

#[test]
fn what_says_nothing_of_files_needs_no_password() {
    let users = Users::of(ANN);
    let server = start(&users, &[("f", b"content")], &["--cors"]);
    let preflight = "OPTIONS /f HTTP/1.1\r\nHost: t\r\nOrigin: https://a.example\r\n\
                     Access-Control-Request-Method: GET\r\n\
                     Access-Control-Request-Headers: authorization\r\n\r\n";
    let response = server.request(preflight);
    assert_eq!(response.status, 204);
    let allowed = response
        .field("access-control-allow-headers")
        .expect("a list");
    assert!(allowed.contains("Authorization"), "{allowed}");
    // The script can read that it needs a password, and come with one.
    let origin = "Origin: https://a.example\r\n";
    let refused = server.get_with("/f", origin);
    assert_challenged(&refused);
    assert_eq!(refused.field("access-control-allow-origin"), Some("*"));
    let response = server.get_with("/f", &(origin.to_owned() + &basic("ann:secret")));
    assert_eq!(response.body, b"content");
    let post = server.request("POST /f HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(post.status, 405);
}

#[test]
fn a_401_has_its_page_and_other_pages_are_for_users() {
    let users = Users::of(ANN);
    let files: [(&str, &[u8]); 2] = [("401.html", b"<p>who?"), ("404.html", b"<p>gone")];
    let options = [
        "--error-page",
        "401=401.html",
        "--error-page",
        "404=404.html",
    ];
    let server = start(&users, &files, &options);
    for _ in 0..3 {
        for target in ["/none", "/404.html"] {
            let response = server.get_with(target, &basic("ann:wrong"));
            assert_challenged(&response);
            assert_eq!(response.body, b"<p>who?");
        }
        let response = server.get_with("/none", &basic("ann:secret"));
        assert_eq!(
            (response.status, &response.body[..]),
            (404, &b"<p>gone"[..])
        );
        assert_eq!(response.field("www-authenticate"), None);
    }
}

#[test]
fn the_cache_gives_nothing_to_strangers() {
    let users = Users::of(ANN);
    let server = start(&users, &[], &["--cache-ttl", "10m"]);
    server.write("f", b"content");
    server.wait_until_settled_by("/f", &basic("ann:secret"));
    let mut client = server.connect();
    let mut tag = String::new();
    for _ in 0..3 {
        let response = ask(&mut client, "/f", &basic("ann:secret"));
        assert_eq!(response.body, b"content");
        tag = response.field("etag").expect("a tag").to_owned();
    }
    let condition = format!("If-None-Match: {tag}\r\n");
    let known = ask(
        &mut client,
        "/f",
        &(condition.clone() + &basic("ann:secret")),
    );
    assert_eq!(known.status, 304);
    // On the same connection, and with what the cache has made ready.
    for fields in [String::new(), condition, "Range: bytes=0-0\r\n".to_owned()] {
        assert_challenged(&ask(&mut client, "/f", &fields));
        assert_challenged(&ask(&mut client, "/f", &(fields + &basic("ann:x"))));
    }
    // Pipelined behind one that is known.
    let known = format!("GET /f HTTP/1.1\r\nHost: t\r\n{}\r\n", basic("ann:secret"));
    client.send((known.clone() + "GET /f HTTP/1.1\r\nHost: t\r\n\r\n" + &known).as_bytes());
    let codes = [(); 3].map(|()| client.response(false).status);
    assert_eq!(codes, [200, 401, 200]);
}

#[cfg(feature = "tls")]
#[test]
fn redirects_to_https_and_certificate_authorities_come_before_passwords() {
    let users = Users::of(ANN);
    let webroot = temp_root();
    let tokens = webroot.path().join(".well-known/acme-challenge");
    std::fs::create_dir_all(&tokens).expect("a directory");
    std::fs::write(tokens.join("token"), "answer").expect("a file");
    let webroot = webroot.path().to_str().expect("UTF-8");
    let tls = ["--tls-self-signed", "--tls-bind", "127.0.0.1:0"];
    // A page for what is not there is one of the root, and for users.
    std::fs::write(tokens.join("../../index.html"), "secret").expect("a file");
    let options = [&tls[..], &["--acme-webroot", webroot, "--spa=index.html"]].concat();
    let files: [(&str, &[u8]); 2] = [("f", b"content"), ("index.html", b"a page")];
    let server = start(&users, &files, &options);
    assert_eq!(
        server.get("/.well-known/acme-challenge/token").body,
        b"answer"
    );
    assert_eq!(server.get("/.well-known/acme-challenge/none").status, 404);
    assert_challenged(&server.get("/.well-known/f"));
    let redirecting = start(
        &users,
        &[("f", b"content")],
        &[&tls[..], &["--redirect-http"]].concat(),
    );
    let response = redirecting.get("/f");
    assert_eq!(
        (response.status, response.field("www-authenticate")),
        (308, None)
    );
}
