//! Folders for the pages to show.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::harness::clients::Home;
use crate::harness::{Server, pattern};

/// 2026-01-05 at 9:30 UTC: summer in Auckland, and winter in New York.
const JANUARY: Duration = Duration::from_secs(1_767_605_400);
/// 2026-07-05 at 13:45 UTC.
const JULY: Duration = Duration::from_secs(1_783_259_100);
const DAY: Duration = Duration::from_secs(86_400);

/// The longest name that a file system takes has 255 bytes.
const LONG: usize = 200;
/// How many entries the folder of hostile names has.
const ENTRIES: usize = 60;

/// The path of the folder whose names are the worst that people, or programs, make up.
pub(super) const HOSTILE: &str = "/hostile/";

/// Names that a page could show wrong, take for its own, or be made wide by.
fn hostile_names() -> Vec<Vec<u8>> {
    let unbroken = "x".repeat(LONG);
    let wide = "W".repeat(LONG);
    let dashed = "a-long-name-of-words-".repeat(9);
    let marks = format!("Z{}algo", "\u{301}\u{323}\u{489}".repeat(LONG / 6));
    let joined = "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}".repeat(10);
    let texts = [
        &unbroken,
        &wide,
        &dashed,
        &marks,
        &joined,
        "\u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{5e2}\u{5d5}\u{5dc}\u{5dd} 2026.txt",
        "\u{645}\u{644}\u{641} \u{637}\u{648}\u{64a}\u{644} (1).pdf",
        "\u{202e}gpj.exe",
        "e\u{301}te\u{301} en Provence.jpg",
        "\u{65e5}\u{672c}\u{8a9e}\u{306e}\u{540d}\u{524d}.mp4",
        "<script>alert(1)<script>",
        "<img src=x onerror=alert(2)>.png",
        "\"onmouseover=\"alert(3)",
        "' onfocus='alert(4)' autofocus='",
        "javascript:alert(5)",
        "a&amp;b;c",
        "?query#fragment",
        "%2e%2e%2fetc",
        "100% & more",
        " a space before, and one behind ",
        "two\nlines\tand a bell\x07",
        "-->]]>",
        "back\\slash",
        "~",
    ];
    let mut names: Vec<Vec<u8>> = texts.iter().map(|name| name.as_bytes().to_vec()).collect();
    names.push(b"no UTF-8 \xff\xfe\xc3".to_vec());
    names
}

/// Makes the folder of [`HOSTILE`]: names as they are, one folder with a long one, and the rest plain.
pub(super) fn make_hostile(server: &Server) {
    let directory = server.path(HOSTILE.trim_matches('/'));
    let folder = format!("folder-{}", "y".repeat(LONG));
    std::fs::create_dir_all(directory.join(folder)).expect("a directory");
    let plain = |number: usize| format!("IMG_{number:04}.jpg").into_bytes();
    let names = hostile_names().into_iter().chain((0..).map(plain));
    for (number, name) in names.take(ENTRIES - 1).enumerate() {
        let path = directory.join(OsStr::from_bytes(&name));
        // Sizes of every unit that is written in a byte or two.
        let bytes = pattern(number * number * 37, number as u64);
        std::fs::write(path, bytes).expect("a file");
    }
}

/// Gives an entry its time.
fn set_time(path: &Path, time: Duration) {
    let entry = File::open(path).expect("an entry");
    let time = SystemTime::UNIX_EPOCH + time;
    entry.set_modified(time).expect("a time");
}

/// Makes `/sorted/`; answers its names in each order.
pub(super) fn make_sorted(server: &Server) -> Value {
    // The days of the first four and of the last two are apart: folders come first in every order.
    for (name, bytes, day) in [
        ("b.txt", 100, 1),
        ("c 10.bin", 50, 2),
        ("a.txt", 300_000, 3),
        ("c 2.bin", 2000, 4),
    ] {
        let path = format!("sorted/{name}");
        server.write(&path, &pattern(bytes, 1));
        set_time(&server.path(&path), JANUARY + DAY * day);
    }
    for (name, day) in [("album 10", 5), ("album 2", 6)] {
        server.write(&format!("sorted/{name}/in it.txt"), b"");
        set_time(&server.path("sorted").join(name), JANUARY + DAY * day);
    }
    let order = |folders: [&str; 2], files: [&str; 4]| json!([&folders[..], &files[..]].concat());
    let (up, down) = (["album 2", "album 10"], ["album 10", "album 2"]);
    json!({
        "name": {
            "asc": order(up, ["a.txt", "b.txt", "c 2.bin", "c 10.bin"]),
            "desc": order(down, ["c 10.bin", "c 2.bin", "b.txt", "a.txt"]),
        },
        "size": {
            "asc": order(up, ["c 10.bin", "b.txt", "c 2.bin", "a.txt"]),
            // A folder has no size, and none is before another by it.
            "desc": order(up, ["a.txt", "c 2.bin", "b.txt", "c 10.bin"]),
        },
        "time": {
            "asc": order(down, ["b.txt", "c 10.bin", "a.txt", "c 2.bin"]),
            "desc": order(up, ["c 2.bin", "a.txt", "c 10.bin", "b.txt"]),
        },
    })
}

/// Makes `/read/`: files of a winter and of a summer, each with its name in it.
pub(super) fn make_read(server: &Server) {
    for (name, time) in [
        ("january 1.txt", JANUARY),
        ("january 2.txt", JANUARY + DAY / 2),
        ("july.txt", JULY),
    ] {
        let path = format!("read/{name}");
        server.write(&path, name.as_bytes());
        set_time(&server.path(&path), time);
    }
}

/// Makes `/media/`: a photo, a film with a poster and subtitles, and a drawing.
pub(super) fn make_media(home: &Home, server: &Server) {
    let picture = "gradients=size=640x480:duration=20:rate=5:speed=0.01:seed=7";
    let film = [
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p",
        "-movflags",
        "+faststart",
    ];
    let one = ["-frames:v", "1"];
    std::fs::create_dir(server.path("media")).expect("a directory");
    for (name, options) in [
        ("1 dawn.jpg", &one[..]),
        ("2 film.jpg", &one),
        ("2 film.mp4", &film),
        ("3 noon.png", &one),
    ] {
        let path = server.path("media").join(name);
        let source = ["-nostdin", "-v", "error", "-f", "lavfi", "-i", picture];
        let path = path.to_str().expect("UTF-8");
        home.succeed("ffmpeg", &[&source[..], options, &[path]].concat());
    }
    let subtitles = b"WEBVTT\n\n00:00.000 --> 00:20.000\nIt dawns.\n";
    server.write("media/2 film.vtt", subtitles);
}
