//! What arrives, by which way.

use std::fs;
use std::net::{SocketAddr, TcpStream};

use zc_core::ktls::{Cipher, Version};

use super::client::{Client, End, all, one_of_each_version};
use super::harness;
use super::{SMALL_BYTES, assert_same_bytes, has_module, log_of, patterned, start};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const USUAL: (Version, Cipher) = (Version::Tls13, Cipher::Aes128Gcm);

/// A number of `/proc/net/tls_stat`.
fn count_of(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/net/tls_stat").unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn bodies_from_256_kib_on_are_sealed_by_the_kernel() {
    if !has_module() {
        return;
    }
    let files = [
        ("255k", 255 * KIB),
        ("below", 256 * KIB - 1),
        ("256k", 256 * KIB),
        ("odd", 256 * KIB + 1),
        ("1m", MIB),
        ("8m", 8 * MIB + 4321),
    ];
    let (mut server, address) = start(&files, &[]);
    let with_the_long_one = one_of_each_version();
    for suite in all() {
        let number = files.len() - usize::from(!with_the_long_one.contains(&suite));
        // Each of them as the first one of a connection, and behind others.
        let mut one = Client::connect(address, suite, None);
        for &(name, length) in &files[..number] {
            let sealed = count_of("TlsTxSw ");
            let target = format!("/{name}");
            let mut other = Client::connect(address, suite, None);
            for client in [&mut one, &mut other] {
                let response = client.get(&target, "");
                assert_eq!(response.status, 200);
                assert_same_bytes(&response.body, &patterned(length));
                let line = log_of(&mut server, &target);
                let path = line["send_path"].as_str().unwrap();
                let is_long = length >= 256 * KIB;
                assert_eq!(path == "ktls-sendfile", is_long, "{line}");
                assert!(
                    is_long || ["tls-copy", "tls-memory", "ktls-sendfile"].contains(&path),
                    "{line}"
                );
                assert_eq!(
                    (&line["outcome"], line["bytes"].as_u64()),
                    (&"complete".into(), Some(length as u64))
                );
            }
            assert_eq!(count_of("TlsTxSw ") > sealed, length >= 256 * KIB, "{name}");
        }
    }
    assert_eq!(count_of("TlsDecryptError"), 0);
}

#[test]
fn bytes_are_counted_by_the_way_they_were_sent() {
    if !has_module() {
        return;
    }
    let options = ["--admin-bind", "127.0.0.1:0", "--method-override"];
    let (mut server, address) = start(&[("long", MIB)], &options);
    let said = server.said_with("metrics and health are at ");
    let admin = said.trim().trim_end_matches('/').rsplit('/').next();
    let admin: SocketAddr = admin.and_then(|admin| admin.parse().ok()).expect(&said);
    let count_of = |path: &str| {
        let stream = TcpStream::connect(admin).expect("it listens");
        let page = harness::Client::plain(stream).get("/metrics").body;
        let page = String::from_utf8(page).expect("text");
        let name = format!("zc_response_body_bytes_total{{path=\"{path}\"}} ");
        let value = page.lines().find_map(|line| line.strip_prefix(&name));
        value.map_or(0, |value| value.parse().expect("a number"))
    };
    for (method, path) in [("sendfile", "ktls-sendfile"), ("splice", "ktls-splice")] {
        let before = count_of(path);
        let mut client = Client::connect(address, USUAL, None);
        let response = client.get(&format!("/long?method={method}"), "");
        assert_same_bytes(&response.body, &patterned(MIB));
        harness::wait_until(path, || count_of(path) == before + MIB);
    }
}

#[test]
fn everything_else_follows_on_the_same_connection() {
    if !has_module() {
        return;
    }
    let (mut server, address) = start(&[("long", MIB + 17)], &[]);
    let long = patterned(MIB + 17);
    for suite in all() {
        let mut client = Client::connect(address, suite, None);
        assert_same_bytes(&client.get("/long", "").body, &long);
        let small = client.get("/small", "");
        assert_same_bytes(&small.body, &patterned(SMALL_BYTES));
        let range = client.get("/long", "Range: bytes=70000-170000\r\n");
        assert_eq!(range.status, 206);
        assert_same_bytes(&range.body, &long[70_000..=170_000]);
        let parts = client.get(
            "/long",
            "Range: bytes=1-9,300000-700000,1000000-1000002\r\n",
        );
        assert_eq!(parts.status, 206);
        let kind = &parts.fields["content-type"];
        let boundary = kind
            .strip_prefix("multipart/byteranges; boundary=")
            .expect(kind);
        let mut rest = &parts.body[..];
        for (first, last) in [(1, 9), (300_000, 700_000), (1_000_000, 1_000_002)] {
            let at = rest
                .windows(4)
                .position(|at| at == b"\r\n\r\n")
                .expect("a head")
                + 4;
            let head = String::from_utf8_lossy(&rest[..at]);
            assert!(head.contains(boundary), "{head}");
            let range = format!("bytes {first}-{last}/{}", long.len());
            assert!(head.contains(&range), "{head}");
            let end = at + (last - first + 1);
            assert_same_bytes(&rest[at..end], &long[first..=last]);
            rest = &rest[end..];
        }
        assert_eq!(rest, format!("\r\n--{boundary}--\r\n").as_bytes());
        client.send("HEAD /long HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let head = client.response(true);
        assert_eq!(head.fields["content-length"], long.len().to_string());
        let etag = format!("If-None-Match: {}\r\n", head.fields["etag"]);
        assert_eq!(client.get("/long", &etag).status, 304);
        assert_eq!(client.get("/none", "").status, 404);
        // Several in one record.
        let one = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.send(
            &["/small", "/long", "/small", "/small", "/long"]
                .map(one)
                .concat(),
        );
        for length in [SMALL_BYTES, MIB + 17, SMALL_BYTES, SMALL_BYTES, MIB + 17] {
            assert_same_bytes(&client.response(false).body, &long[..length]);
        }
        client.ask("/long", "Connection: close\r\n");
        assert_same_bytes(&client.response(false).body, &long);
        assert_eq!(
            (client.read_to_end(), client.opened.len()),
            (End::Closed, 0)
        );
    }
    let line = log_of(&mut server, "/long");
    assert_eq!(line["send_path"], "ktls-sendfile", "{line}");
}

#[test]
fn a_listing_follows_a_long_body() {
    if !has_module() {
        return;
    }
    let (_server, address) = start(&[("long", MIB)], &[]);
    let mut client = Client::connect(address, USUAL, None);
    assert_same_bytes(&client.get("/long", "").body, &patterned(MIB));
    client.ask("/", "Connection: close\r\n");
    let listing = client.response(false);
    assert_eq!((listing.status, client.read_to_end()), (200, End::Closed));
    let text = String::from_utf8_lossy(&[listing.body, client.opened].concat()).into_owned();
    assert!(text.contains("small") && text.contains("</html>"), "{text}");
}

/// The files of an archive whose names and lengths fit its oldest form: each with its bytes.
fn members(archive: &[u8]) -> Vec<(String, &[u8])> {
    let (mut rest, mut members) = (archive, Vec::new());
    while let Some((header, behind)) = rest.split_at_checked(512) {
        let text = |range: std::ops::Range<usize>| {
            let field = header[range].split(|byte| *byte == 0).next();
            String::from_utf8(field.unwrap().to_vec()).unwrap()
        };
        if header[0] == 0 {
            break;
        }
        let length = usize::from_str_radix(text(124..136).trim(), 8).unwrap();
        if header[156] == b'0' {
            members.push((text(0..100), &behind[..length]));
        }
        rest = &behind[length.next_multiple_of(512)..];
    }
    members
}

#[test]
fn an_archive_is_sealed_by_the_kernel_and_has_every_byte() {
    if !has_module() {
        return;
    }
    const LENGTHS: [(&str, usize); 2] = [("a", 5 * MIB + 1), ("b", 3 * MIB)];
    let (mut server, address) = start(&LENGTHS, &["--archive", "on"]);
    let mut client = Client::connect(address, USUAL, None);
    let whole = client.get("/?archive=tar", "").body;
    let found = members(&whole);
    let names = found.iter().map(|(name, _)| name.as_str());
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["files/a", "files/b", "files/small"]
    );
    for ((_, bytes), (_, length)) in found.iter().zip(LENGTHS) {
        assert_same_bytes(bytes, &patterned(length));
    }
    let line = log_of(&mut server, "/?archive=tar");
    assert_eq!(line["send_path"], "ktls-sendfile", "{line}");
    // On the same connection, from the middle of a file on.
    let part = client.get("/?archive=tar", "Range: bytes=4000000-\r\n");
    assert_eq!(part.status, 206);
    assert_same_bytes(&part.body, &whole[4_000_000..]);
}

#[test]
fn no_byte_of_a_long_body_goes_through_the_program() {
    if !has_module() {
        return;
    }
    const LENGTH: usize = 8 * MIB;
    let (mut server, address) = start(&[("long", LENGTH)], &[]);
    let read = |server: &super::Server| {
        let text = fs::read_to_string(format!("/proc/{}/io", server.pid())).unwrap();
        let number = |name: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().trim().parse().unwrap()
        };
        // Calls: sendfile counts its bytes among those that are read, and no call.
        number("syscr:")
    };
    let mut client = Client::connect(address, USUAL, None);
    client.get("/small", "");
    let before = read(&server);
    client.ask("/long", "");
    assert_same_bytes(&client.response(false).body, &patterned(LENGTH));
    let line = log_of(&mut server, "/long");
    assert_eq!(line["send_path"], "ktls-sendfile", "{line}");
    let calls = read(&server) - before;
    println!("{calls} reads, {} sends for 8 MiB", line["calls"]);
    // Each sendfile counts as one. Copied by 64 KiB, as where this program seals, it would be 128.
    assert!(calls < 128, "{calls} reads");
}

#[test]
fn eight_clients_at_once_are_served_by_two_workers() {
    if !has_module() {
        return;
    }
    let (_server, address) = start(&[("long", MIB + 5)], &["--threads", "2"]);
    let suites = all();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let suite = suites[number % suites.len()];
            scope.spawn(move || {
                let mut client = Client::connect(address, suite, None);
                for _ in 0..3 {
                    assert_same_bytes(&client.get("/long", "").body, &patterned(MIB + 5));
                    assert_eq!(client.get("/small", "").status, 200);
                }
            });
        }
    });
}

#[test]
fn a_file_that_is_truncated_ends_the_connection_in_the_middle() {
    if !has_module() {
        return;
    }
    const LENGTH: usize = 16 * MIB;
    let (mut server, address) = start(&[("long", LENGTH)], &[]);
    let path = server.path("served/long");
    for suite in [USUAL, (Version::Tls12, Cipher::Aes256Gcm)] {
        fs::write(&path, patterned(LENGTH)).unwrap();
        let mut client = Client::connect(address, suite, Some(4096));
        client.ask("/long", "");
        client.read_up_to(300 * KIB);
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_len((LENGTH / 2) as u64).unwrap();
        let end = client.read_to_end();
        assert!(matches!(end, End::Cut | End::Reset), "{end:?}");
        let line = log_of(&mut server, "/long");
        assert_eq!(line["outcome"], "truncated", "{line}");
        let at = client
            .opened
            .windows(4)
            .position(|at| at == b"\r\n\r\n")
            .unwrap()
            + 4;
        let body = &client.opened[at..];
        assert!(body.len() <= LENGTH / 2, "{}", body.len());
        assert_same_bytes(body, &patterned(LENGTH)[..body.len()]);
    }
}
