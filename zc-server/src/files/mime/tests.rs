use super::*;
use crate::config::files::MEDIA_TYPE_DEFAULT as UNKNOWN;

fn own(extension: &str, media_type: &str) -> MediaType {
    MediaType {
        extension: extension.to_owned(),
        media_type: media_type.to_owned(),
    }
}

fn types(charset: Charset) -> Types {
    Types::new(Vec::new(), UNKNOWN.to_owned(), charset)
}

#[test]
fn a_configured_type_comes_before_all_others_and_is_taken_as_it_is() {
    let configured = vec![own("log", "text/x-log"), own("mkv", "video/matroska")];
    let types = Types::new(configured, UNKNOWN.to_owned(), Charset::Auto);
    assert_eq!(types.media_type(b"a.LOG", None), "text/x-log");
    assert_eq!(types.media_type(b"film.mkv", None), "video/matroska");
    let latin = "text/plain; charset=latin1".to_owned();
    let plain = Types::new(Vec::new(), latin, Charset::Named("utf-8".to_owned()));
    assert_eq!(
        plain.media_type(b"README", None),
        "text/plain; charset=latin1"
    );
    assert_eq!(plain.media_type(b"film.mkv", None), "video/x-matroska");
}

#[test]
fn of_several_configured_extensions_the_longest_counts() {
    let configured = vec![
        own("gz", "a/gz"),
        own("js.gz", "a/js"),
        own("wasm.gz", "application/wasm"),
        own("gz", "a/second"),
        own("js", "a/plain"),
    ];
    let types = Types::new(configured, UNKNOWN.to_owned(), Charset::Auto);
    for (name, expected) in [
        (&b"build/game.WASM.gz"[..], "application/wasm"),
        (b"lib.min.js.gz", "a/js"),
        (b"notes.gz", "a/gz"),
        (b".gz", UNKNOWN),
        (b"dir.wasm.gz/file", UNKNOWN),
        // A whole name is no end of one, and the last part counts.
        (b"wasm.gz", "a/gz"),
        (b".wasm.gz", "a/gz"),
        (b"xwasm.gz", "a/gz"),
    ] {
        assert_eq!(
            types.media_type(name, None),
            expected,
            "{}",
            name.escape_ascii()
        );
    }
    // In a coding, a file is what it is without it, unless its whole name says otherwise.
    assert_eq!(types.media_type(b"lib.js.br", Some("br")), "a/plain");
    assert_eq!(types.media_type(b"lib.js.gz", Some("gzip")), "a/js");
}

#[test]
fn in_a_coding_a_file_is_what_it_is_without_it() {
    for (name, coding, expected) in [
        (&b"a.wasm.gz"[..], Some("gzip"), "application/wasm"),
        (b"a.wasm.br", Some("br"), "application/wasm"),
        (b"a.html.zst", Some("zstd"), "text/html"),
        (b"a.wasm", Some("gzip"), "application/wasm"),
        (b"a.svgz", Some("gzip"), "image/svg+xml"),
        (b"a.data.gz", Some("gzip"), UNKNOWN),
        (b"a.wasm.gz", None, "application/gzip"),
        // What nobody undoes is no other name.
        (b"a.wasm.gz", Some("compress"), "application/gzip"),
    ] {
        let types = types(Charset::Auto);
        assert_eq!(
            types.media_type(name, coding),
            expected,
            "{}",
            name.escape_ascii()
        );
    }
    assert_eq!(coding_of(b"a/pic.SVGZ"), Some("gzip"));
    for plain in [&b"pic.svg"[..], b".svgz", b"svgz", b"pic.svg.gz", b"x.tgz"] {
        assert_eq!(coding_of(plain), None, "{}", plain.escape_ascii());
    }
}

#[test]
fn a_name_that_says_nothing_is_octets() {
    for path in [
        &b""[..],
        b"/",
        b".",
        b"Makefile",
        b"name.",
        b".html",
        b"dir.html/file",
        b"dir/.html",
        b"x.unheard-of",
        b"x.\xff\xfe",
        b"x.ht\xccml",
        "x.\u{212a}".as_bytes(),
        b"x.html\0",
        b"x. html",
        // A whole name that is known, with something before or behind it.
        b"my-apple-app-site-association",
        b"openid-configuration2",
    ] {
        let found = types(Charset::Auto).media_type(path, None).into_owned();
        assert_eq!(found, UNKNOWN, "{}", path.escape_ascii());
    }
    // The stem may be anything.
    assert_eq!(
        types(Charset::Auto).media_type(b"\xff\xfe.png", None),
        "image/png"
    );
}

#[test]
fn a_charset_is_added_to_text_that_cannot_declare_its_own() {
    let named = || Charset::Named("Shift_JIS".to_owned());
    for (name, auto, configured) in [
        (
            "a.txt",
            "text/plain; charset=utf-8",
            "text/plain; charset=Shift_JIS",
        ),
        ("a.html", "text/html", "text/html; charset=Shift_JIS"),
        ("a.css", "text/css", "text/css; charset=Shift_JIS"),
        (
            "a.js",
            "text/javascript",
            "text/javascript; charset=Shift_JIS",
        ),
        ("a.xml", "text/xml", "text/xml"),
        ("a.xsl", "text/xml", "text/xml"),
        ("a.wml", "text/vnd.wap.wml", "text/vnd.wap.wml"),
        ("a.opml", "text/x-opml", "text/x-opml"),
        ("a.rss", "application/rss+xml", "application/rss+xml"),
        ("a.atom", "application/atom+xml", "application/atom+xml"),
        ("a.xhtml", "application/xhtml+xml", "application/xhtml+xml"),
        ("a.svg", "image/svg+xml", "image/svg+xml"),
        ("a.json", "application/json", "application/json"),
        ("a.png", "image/png", "image/png"),
        ("a", UNKNOWN, UNKNOWN),
    ] {
        let plain = auto.split(';').next().expect("a type");
        for (charset, expected) in [
            (Charset::Auto, auto),
            (named(), configured),
            (Charset::Off, plain),
        ] {
            let types = types(charset);
            assert_eq!(types.media_type(name.as_bytes(), None), expected, "{name}");
        }
    }
}

/// Extensions and their whole `Content-Type` with `--charset auto`, by what they are used for.
const EXPECTED: &str = "
    pages:       html text/html | htm text/html | xhtml application/xhtml+xml | css text/css
    scripts:     js text/javascript | mjs text/javascript | cjs text/javascript
                 wasm application/wasm | map application/json | wgsl text/wgsl; charset=utf-8
                 d.ts application/typescript | d.mts application/typescript | d.cts application/typescript
                 java text/x-java-source; charset=utf-8
    manifests:   webmanifest application/manifest+json | mobileconfig application/x-apple-aspen-config
                 pkpass application/vnd.apple.pkpass | pkpasses application/vnd.apple.pkpasses
    text:        txt text/plain; charset=utf-8 | log text/plain; charset=utf-8
                 md text/markdown; charset=utf-8 | mkd text/markdown; charset=utf-8
                 csv text/csv; charset=utf-8 | tsv text/tab-separated-values; charset=utf-8
                 ics text/calendar; charset=utf-8 | vcf text/vcard; charset=utf-8
                 diff text/x-diff; charset=utf-8 | patch text/x-diff; charset=utf-8
                 xml text/xml | atom application/atom+xml | rss application/rss+xml | opml text/x-opml
                 mml application/mathml+xml
    data:        json application/json | jsonl application/x-ndjson | ndjson application/x-ndjson
                 yaml application/yaml | yml application/yaml | toml application/toml | sql application/sql
                 sqlite application/vnd.sqlite3 | sqlite3 application/vnd.sqlite3
                 ipynb application/x-ipynb+json | parquet application/vnd.apache.parquet
                 arrow application/vnd.apache.arrow.file | arrows application/vnd.apache.arrow.stream
                 cbor application/cbor | msgpack application/vnd.msgpack | dcm application/dicom
    captions:    vtt text/vtt; charset=utf-8 | srt application/x-subrip | ttml application/ttml+xml
                 ass text/x-ssa; charset=utf-8 | ssa text/x-ssa; charset=utf-8
    playlists:   m3u8 application/vnd.apple.mpegurl | m3u audio/mpegurl | pls audio/x-scpls
                 mpd application/dash+xml | xspf application/xspf+xml
    segments:    ts video/mp2t | m2t video/mp2t | m2ts video/mp2t | mts video/mp2t
                 m4s video/iso.segment | cmfv video/mp4 | cmfa audio/mp4 | cmft application/mp4
                 aac audio/aac | ac3 audio/ac3 | ec3 audio/eac3 | eac3 audio/eac3
    video:       mp4 video/mp4 | m4v video/mp4 | webm video/webm | mkv video/x-matroska
    sound:       mp3 audio/mpeg | m4a audio/mp4 | m4b audio/mp4 | m4r audio/mp4 | flac audio/flac
                 opus audio/ogg | mka audio/x-matroska | amr audio/AMR | awb audio/AMR-WB
                 mid audio/midi | midi audio/midi
    pictures:    png image/png | svg image/svg+xml | svgz image/svg+xml | webp image/webp | avif image/avif
                 avifs image/avif | heic image/heic | heif image/heif | jxl image/jxl | jxr image/jxr
                 apng image/apng | cur image/x-icon | psd image/vnd.adobe.photoshop | exr image/aces
                 ktx2 image/ktx2 | dwg image/vnd.dwg | dxf image/vnd.dxf
    fonts:       woff2 font/woff2 | woff font/woff | ttf font/ttf | otf font/otf | ttc font/collection
    books:       epub application/epub+zip | mobi application/x-mobipocket-ebook
                 azw3 application/vnd.amazon.mobi8-ebook | fb2 application/x-fictionbook+xml
                 cbz application/vnd.comicbook+zip | cbr application/vnd.comicbook-rar
                 cb7 application/x-cb7 | cbt application/x-cbt | pdf application/pdf
    maps:        mvt application/vnd.mapbox-vector-tile | pbf application/x-protobuf
                 pmtiles application/vnd.pmtiles | mbtiles application/octet-stream
                 geojson application/geo+json | topojson application/json | gpx application/gpx+xml
                 kml application/vnd.google-earth.kml+xml | gpkg application/geopackage+sqlite3
    models:      glb model/gltf-binary | gltf model/gltf+json | stl model/stl | 3mf model/3mf
                 obj model/obj | mtl model/mtl | step model/step | stp model/step | wrl model/vrml
                 usda model/vnd.usda | usdz model/vnd.usdz+zip | ply application/octet-stream
    weights:     safetensors application/octet-stream | gguf application/octet-stream
                 onnx application/octet-stream | npz application/octet-stream
    packages:    deb application/vnd.debian.binary-package | udeb application/vnd.debian.binary-package
                 ddeb application/vnd.debian.binary-package | rpm application/x-rpm
                 apk application/vnd.android.package-archive | appimage application/vnd.appimage
                 flatpak application/vnd.flatpak | flatpakref application/vnd.flatpak.ref
                 flatpakrepo application/vnd.flatpak.repo | snap application/vnd.snap
                 appx application/appx | appxbundle application/appxbundle | msix application/msix
                 msixbundle application/msixbundle | appinstaller application/appinstaller
                 jar application/java-archive | crate application/gzip
                 whl application/octet-stream | nupkg application/octet-stream
    archives:    gz application/gzip | tar.gz application/gzip | tgz application/gzip
                 zst application/zstd | zstd application/zstd | tar.zst application/zstd | tzst application/zstd
                 xz application/x-xz | tar.xz application/x-xz | txz application/x-xz
                 bz2 application/x-bzip2 | tar.bz2 application/x-bzip2 | tbz application/x-bzip2
                 tbz2 application/x-bzip2 | br application/x-brotli | lz application/x-lzip
                 lz4 application/x-lz4 | lzma application/x-lzma | 7z application/x-7z-compressed
                 rar application/vnd.rar | zip application/zip | cab application/vnd.ms-cab-compressed
    images:      iso application/x-iso9660-image | dmg application/x-apple-diskimage
                 img application/octet-stream | msi application/octet-stream | qcow2 application/octet-stream
    keys:        pem application/pem-certificate-chain | crt application/x-x509-ca-cert
                 der application/x-x509-ca-cert | cer application/pkix-cert | crl application/pkix-crl
                 p7b application/x-pkcs7-certificates | p12 application/pkcs12 | pfx application/pkcs12
";

fn expected() -> Vec<(&'static str, &'static str)> {
    let rows = EXPECTED.lines().flat_map(|line| {
        let rows = match line.trim_start().split_once(": ") {
            // What they are used for; the colon of none of the rows has a space behind it.
            Some((_, rows)) => rows,
            None => line,
        };
        rows.split('|').filter_map(|row| row.trim().split_once(' '))
    });
    rows.map(|(extension, media_type)| (extension, media_type.trim()))
        .collect()
}

#[test]
fn every_extension_has_the_type_that_its_clients_ask_for() {
    let types = types(Charset::Auto);
    let expected = expected();
    assert!(expected.len() > 150, "{}", expected.len());
    for (extension, media_type) in &expected {
        for name in [
            format!("dir.d/name.{extension}"),
            format!("A.{extension}").to_uppercase(),
        ] {
            assert_eq!(
                types.media_type(name.as_bytes(), None),
                *media_type,
                "{name}"
            );
        }
    }
    for (extension, ..) in BY_EXTENSION {
        assert!(
            expected.iter().any(|(known, _)| *known == extension),
            "no expectation for .{extension}"
        );
    }
}

#[test]
fn whole_names_without_an_extension_have_their_types() {
    let types = types(Charset::Auto);
    for (path, expected) in [
        (".well-known/apple-app-site-association", "application/json"),
        ("apple-app-site-association", "application/json"),
        (".well-known/openid-configuration", "application/json"),
        (".well-known/oauth-authorization-server", "application/json"),
        (".well-known/oauth-protected-resource", "application/json"),
        (".well-known/host-meta", "application/xrd+xml"),
    ] {
        assert_eq!(types.media_type(path.as_bytes(), None), expected, "{path}");
    }
    assert_eq!(BY_NAME.len(), 5, "each has a row above");
}

#[test]
fn the_table_is_sorted_and_has_no_row_that_changes_nothing() {
    assert!(BY_EXTENSION.is_sorted_by(|one, next| one.0 < next.0));
    for (extension, media_type, source) in BY_EXTENSION {
        assert_eq!(extension, extension.to_ascii_lowercase());
        assert_ne!(source, "", "{extension}");
        let known = mime_guess::from_ext(extension).first_raw();
        assert_ne!(known, Some(media_type), "{extension} is known without");
    }
}
