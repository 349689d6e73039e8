//! Galleries of pictures and films: their tiles, their links, and thumbnails.

use std::collections::BTreeSet;

use super::downloaders::with_wget;
use crate::harness::Server;
use crate::harness::clients::assert_same_files;

/// A picture of one pixel.
pub(super) const GIF: &[u8] =
    b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

/// The values of an attribute, in the order of the page, as a browser reads them.
pub(super) fn values(page: &str, attribute: &str) -> Vec<String> {
    let start = format!(" {attribute}=\"");
    let rest = page.split(start.as_str()).skip(1);
    let value = |rest: &str| {
        rest.split('"')
            .next()
            .expect("an end")
            .replace("&amp;", "&")
    };
    rest.map(value).collect()
}

pub(super) fn page_of(server: &Server, target: &str) -> String {
    let response = server.get(target);
    assert_eq!(response.status, 200, "{target}");
    assert_eq!(
        response.field("content-type"),
        Some("text/html; charset=utf-8")
    );
    String::from_utf8(response.body).expect("UTF-8")
}

/// The links of a gallery to what it shows, without those around it.
fn entries(page: &str) -> Vec<String> {
    let content = page.split("<main>").nth(1).expect("its content");
    let links = values(content, "href").into_iter();
    links.filter(|link| !link.starts_with('#')).collect()
}

/// A picture with a thumbnail in it, by the book (Exif 2.32).
fn photo(thumbnail: &[u8], orientation: u8) -> Vec<u8> {
    let length = u8::try_from(thumbnail.len()).expect("a short one");
    let mut tiff = b"II*\0\x08\0\0\0".to_vec();
    // The directory of the picture, and then that of the thumbnail, each with its entries of 12 bytes.
    tiff.extend(b"\x01\0\x12\x01\x03\0\x01\0\0\0");
    tiff.extend([orientation, 0, 0, 0, 26, 0, 0, 0]);
    tiff.extend(b"\x02\0\x01\x02\x04\0\x01\0\0\0");
    tiff.extend([56, 0, 0, 0]);
    tiff.extend(b"\x02\x02\x04\0\x01\0\0\0");
    tiff.extend([length, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(tiff.len(), 56);
    tiff.extend(thumbnail);
    let mut file = b"\xFF\xD8\xFF\xE1\0".to_vec();
    file.push(u8::try_from(tiff.len() + 8).expect("a short one"));
    file.extend(b"Exif\0\0");
    file.extend(tiff);
    file.extend(b"\xFF\xDA\0\x02");
    file.extend(crate::harness::pattern(200_000, 1));
    file
}

const THUMBNAIL: &[u8] = b"\xFF\xD8\xFF\xDB the small picture \xFF\xD9";

#[test]
fn a_gallery_has_folders_then_media_then_other_files() {
    let server = Server::start(&[]);
    for name in [
        "b.png",
        "a.jpg",
        "film.mp4",
        "film.jpg",
        "film.vtt",
        "film.de.vtt",
        "song.mp3",
        "notes.txt",
        "scan.tiff",
        "sub/x",
    ] {
        server.write(&format!("dir/{name}"), GIF);
    }
    let page = page_of(&server, "/dir/?view=gallery");
    assert_eq!(
        entries(&page),
        [
            "sub/?view=gallery",
            "a.jpg?view=play",
            "b.png?view=play",
            "film.mp4?view=play",
            "song.mp3?view=play",
            "notes.txt",
            "scan.tiff",
        ]
    );
    // A picture shows itself, or its thumbnail; a film its poster; a sound an icon.
    let pictures = ["a.jpg?view=thumbnail", "b.png", "film.jpg"];
    assert_eq!(values(&page, "src"), pictures);
    assert_eq!(page.matches(" loading=\"lazy\"").count(), pictures.len());
    for link in entries(&page).iter().chain(&values(&page, "src")) {
        assert_eq!(server.get(&format!("/dir/{link}")).status, 200, "{link}");
    }
    // The order is that of the query, and each link keeps it.
    let page = page_of(&server, "/dir/?view=gallery&order=desc");
    let sorted = entries(&page);
    assert_eq!(sorted[0], "sub/?view=gallery&sort=name&order=desc");
    assert_eq!(sorted[1], "song.mp3?view=play&sort=name&order=desc");
    assert_eq!(sorted[5], "scan.tiff");
    // A list of bytes has no layout.
    let json = server.get("/dir/?view=gallery&format=json");
    assert_eq!(json.field("content-type"), Some("application/json"));
    let page = page_of(&server, "/dir/sub/?view=gallery");
    assert!(page.contains("No pictures"), "{page}");
    assert_eq!(entries(&page), ["x"]);
}

#[test]
fn a_gallery_escapes_hostile_names() {
    let server = Server::start(&[]);
    let names = [
        "\"onerror=\"alert(1).png",
        "<script>alert(1)<&.png",
        "javascript:alert(1).png",
        "?view=play#x.mp4",
        "a&amp;b.mp3",
        "'quoted' <u>.txt",
    ];
    for name in names {
        server.write(&format!("dir/{name}"), GIF);
    }
    server.write("dir/<s>folder</s>/x", GIF);
    let page = page_of(&server, "/dir/?view=gallery");
    for hostile in ["<script", "<u>", "<s>", "=\"alert", "href=\"javascript:"] {
        assert!(!page.contains(hostile), "{hostile}: {page}");
    }
    for link in entries(&page) {
        let path = link.split('?').next().expect("a path");
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%/".contains(&byte);
        assert!(path.bytes().all(safe), "{link}");
        assert_eq!(server.get(&format!("/dir/{link}")).status, 200, "{link}");
    }
    assert_eq!(entries(&page).len(), names.len() + 1);
}

#[test]
fn a_thumbnail_is_the_one_in_the_picture() {
    let mut server = Server::start(&[]);
    let (upright, turned) = (photo(THUMBNAIL, 1), photo(THUMBNAIL, 6));
    server.write("upright.jpg", &upright);
    server.write("turned.JPG", &turned);
    server.write("none.jpg", b"\xFF\xD8\xFF\xDA\0\x02 no thumbnail");
    server.write("other.png", &upright);
    server.wait_until_settled("/other.png");

    let thumbnail = server.get("/upright.jpg?view=thumbnail");
    assert_eq!(thumbnail.body, THUMBNAIL);
    assert_eq!(thumbnail.field("content-type"), Some("image/jpeg"));
    let length = THUMBNAIL.len().to_string();
    assert_eq!(thumbnail.field("content-length"), Some(&length[..]));
    let whole = server.get("/upright.jpg");
    assert_eq!(whole.body, upright);
    let tag = thumbnail.field("etag").expect("a tag");
    let expected = format!(
        "{}-thumb\"",
        whole.field("etag").expect("a tag").trim_end_matches('"')
    );
    assert_eq!(tag, expected);
    assert_eq!(
        thumbnail.field("last-modified"),
        whole.field("last-modified")
    );

    let head = server.head_with("/upright.jpg?view=thumbnail", "");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.field("content-length"), Some(&length[..]));
    let same = server.get_with(
        "/upright.jpg?view=thumbnail",
        &format!("If-None-Match: {tag}\r\n"),
    );
    assert_eq!((same.status, same.field("etag")), (304, Some(tag)));
    let other = whole.field("etag").expect("a tag");
    for (field, status) in [
        (format!("If-None-Match: {other}\r\n"), 200),
        (format!("If-Match: {other}\r\n"), 412),
        // It is short, and sent as a whole.
        ("Range: bytes=1-2\r\n".to_owned(), 200),
    ] {
        let response = server.get_with("/upright.jpg?view=thumbnail", &field);
        assert_eq!(response.status, status, "{field}");
    }

    // What is turned has a segment behind its first two bytes that says so.
    let thumbnail = server.get("/turned.JPG?view=thumbnail").body;
    assert_eq!(thumbnail[..2], THUMBNAIL[..2]);
    assert_eq!((&thumbnail[6..12], thumbnail[30]), (&b"Exif\0\0"[..], 6));
    assert_eq!(thumbnail[38..], THUMBNAIL[2..]);

    // Where there is none, the file is sent.
    let files = [
        ("/none.jpg?view=thumbnail", &server.get("/none.jpg").body),
        ("/other.png?view=thumbnail", &upright),
        ("/upright.jpg?view=other", &upright),
    ];
    for (target, file) in files {
        assert_eq!(&server.get(target).body, file, "{target}");
    }
    let part = server.get_with("/none.jpg?view=thumbnail", "Range: bytes=1-2\r\n");
    assert_eq!((part.status, &part.body[..]), (206, &b"\xD8\xFF"[..]));
    assert_eq!(server.get("/absent.jpg?view=thumbnail").status, 404);
    while server.log()["target"] != "/absent.jpg?view=thumbnail" {}
}

#[test]
fn wget_does_not_come_into_a_gallery() {
    let Some(home) = with_wget() else { return };
    let mut server = Server::start_in_memory(&[]);
    let log = server.follow_log();
    for number in 0..20 {
        server.write(&format!("album/{number}.gif"), GIF);
    }
    let (url, authority) = (server.url("/"), "--ca-certificate=.authority.pem");
    let how = [
        "--no-config",
        authority,
        "-q",
        "-nH",
        "-P",
        "tree",
        "-r",
        "-np",
    ];
    home.succeed("wget", &[&how[..], &[&url]].concat());
    let lines = log.so_far(&server);
    let targets = lines
        .iter()
        .map(|line| line["target"].as_str().expect("a target"));
    let targets: BTreeSet<_> = targets.collect();
    assert!(
        !targets.iter().any(|target| target.contains('?')),
        "{targets:?}"
    );
    for page in ["index.html", "album/index.html"] {
        std::fs::remove_file(home.path("tree").join(page)).expect("a page");
    }
    assert_same_files(&home.path("tree"), server.root.path());
}
