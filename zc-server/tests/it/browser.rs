//! Headless Chromium plays and seeks a video, shows and sorts a listing, reads texts in their encodings,
//! compiles a module and asks another origin. What happens in a page is told by its script, which asks
//! for `/report?…`, and so stands in the access log.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;

use crate::harness::clients::{Home, said};
use crate::harness::tls::{CERTIFICATE, sent_by};
use crate::harness::{HANG, Server, pattern};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The profile is new, nothing is asked of the network, and a page may play without a click.
pub(super) fn always() -> [&'static str; 14] {
    /// Whose certificate is believed.
    static TRUSTED: LazyLock<String> = LazyLock::new(|| {
        let key = CERTIFICATE.key_hash();
        format!("--ignore-certificate-errors-spki-list={key}")
    });
    [
        &TRUSTED,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--no-default-browser-check",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        "--autoplay-policy=no-user-gesture-required",
        "--user-data-dir=profile",
    ]
}

/// How often the browser is begun again when it has crashed.
pub(super) const CRASHES_MAX: usize = 5;

/// One page at a time: a browser takes all that a small machine has, and lets pages rest that are not in
/// front.
pub(super) static TURN: Mutex<()> = Mutex::new(());
/// The browser, while some test holds it: one takes seconds to begin.
static RUNNING: Mutex<Weak<Browser>> = Mutex::new(Weak::new());

/// Chromium, until the last test that has it drops it.
pub(super) struct Browser {
    child: Child,
    /// Where its debugger listens.
    address: SocketAddr,
    /// Reads what it says, to its end.
    said: Option<JoinHandle<()>>,
    _home: Home,
}

/// A page of it, which is closed when it is dropped.
pub(super) struct Page {
    id: String,
    _turn: MutexGuard<'static, ()>,
    browser: Arc<Browser>,
}

/// A test that failed in its turn is no reason for the others.
pub(super) fn lock<T>(mutex: &'static Mutex<T>) -> MutexGuard<'static, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Browser {
    fn running() -> Arc<Self> {
        let mut running = lock(&RUNNING);
        running.upgrade().unwrap_or_else(|| {
            let browser = Arc::new(Self::start());
            *running = Arc::downgrade(&browser);
            browser
        })
    }

    fn start() -> Self {
        let home = Home::for_clients(&["chromium"]).expect("a test has looked");
        let mut command = home.command("chromium");
        // Without a port for a debugger it would end when the page is there.
        let page = ["--remote-debugging-port=0", "about:blank"];
        command.args(always()).args(page);
        let piped = command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = piped.spawn().expect("timeout(1) starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let address = loop {
            let line = lines.next().expect("it listens").expect("text");
            if let Some(behind) = line.strip_prefix("DevTools listening on ws://") {
                let address = behind.split('/').next().expect("a piece");
                break address.parse().expect("an address");
            }
        };
        let said = std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            address,
            said: Some(said),
            _home: home,
        }
    }

    /// Asks the debugger; answers what it says.
    fn debug(&self, method: &str, target: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("the debugger listens");
        stream.set_read_timeout(Some(HANG)).expect("a timeout");
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let count = answer.read_line(&mut head).expect("a head");
            assert!(count > 0, "it ended: {head}");
        }
        assert!(head.starts_with("HTTP/1.1 200 "), "{target}: {head}");
        let length = head.split("Content-Length:").nth(1);
        let length = length.and_then(|behind| behind.lines().next()?.trim().parse().ok());
        let mut body = vec![0; length.expect("a length")];
        answer.read_exact(&mut body).expect("a body");
        String::from_utf8(body).expect("UTF-8")
    }

    /// Opens a page in front of all others.
    pub(super) fn open(url: &str) -> Page {
        let browser = Self::running();
        let turn = lock(&TURN);
        let page = browser.debug("PUT", &format!("/json/new?{url}"));
        let page: serde_json::Value = serde_json::from_str(&page).expect("JSON");
        Page {
            id: page["id"].as_str().expect("an id").to_owned(),
            _turn: turn,
            browser,
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.browser
                .debug("GET", &format!("/json/close/{}", self.id));
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // timeout(1) hands the signal on. The pipe ends when the last process of the browser does,
        // so that none writes into the profile while that is removed.
        let _ = kill(
            Pid::from_raw(self.child.id().cast_signed()),
            Signal::SIGTERM,
        );
        let _ = self.child.wait();
        if let Some(said) = self.said.take() {
            let _ = said.join();
        }
    }
}

pub(super) fn is_report(line: &serde_json::Value) -> bool {
    line["target"]
        .as_str()
        .is_some_and(|target| target.starts_with("/report?"))
}

/// A value of a report: `/report?name=value&…`.
pub(super) fn reported(line: &serde_json::Value, name: &str) -> f64 {
    let target = line["target"].as_str().expect("a target");
    let value = target
        .split(['?', '&'])
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        .unwrap_or_else(|| panic!("no {name} in {target}"));
    value
        .parse()
        .unwrap_or_else(|_| panic!("{name} in {target}"))
}

/// Plays the beginning, seeks to the last two seconds, and reports what the element says.
const PLAYER: &str = r#"<!DOCTYPE html>
<title>player</title>
<video id="video" src="video.mp4" muted></video>
<script>
const report = text => fetch("/report?" + text);
const buffered = () => video.buffered.length ? video.buffered.end(0) : 0;
video.onerror = () => report("error=" + video.error.code);
video.ontimeupdate = () => {
  if (video.currentTime == 0) return;
  video.ontimeupdate = null;
  const text = "playing=" + video.currentTime + "&buffered=" + buffered() + "&duration=" + video.duration;
  video.onseeked = () => report(text + "&seeked=" + video.currentTime);
  video.currentTime = video.duration - 2;
};
video.play().catch(error => report("refused=" + error.name));
</script>
"#;

/// A minute of H.264 of about 70 MB, with its index first: four seconds, again and again.
pub(super) fn write_video(home: &Home, path: &std::path::Path) {
    let ffmpeg = |arguments: &[&str]| {
        home.succeed(
            "ffmpeg",
            &[&["-nostdin", "-v", "error"], arguments].concat(),
        )
    };
    let picture = "testsrc2=size=640x360:rate=25:duration=4,noise=alls=30:allf=t";
    let coded = [
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-pix_fmt",
        "yuv420p",
        "-g",
        "25",
        "-b:v",
        "8M",
    ];
    ffmpeg(&[&["-f", "lavfi", "-i", picture][..], &coded, &["clip.mp4"]].concat());
    let path = path.to_str().expect("UTF-8");
    let again = ["-stream_loop", "14", "-i", "clip.mp4", "-c", "copy"];
    ffmpeg(&[&again[..], &["-movflags", "+faststart", path]].concat());
}

#[test]
fn chromium_plays_a_video_and_seeks_in_it_by_a_range() {
    let Some(home) = Home::for_clients(&["chromium", "ffmpeg"]) else {
        return;
    };
    let mut server = Server::start(&[]);
    let log = server.follow_log();
    write_video(&home, &server.path("video.mp4"));
    let length = std::fs::metadata(server.path("video.mp4"))
        .expect("a file")
        .len();
    assert!(
        length > 40_000_000,
        "longer than a browser reads ahead: {length}"
    );
    server.write("player.html", PLAYER.as_bytes());
    let page = Browser::open(&server.url("/player.html"));
    let mut lines = log.until(is_report);
    let report = lines.last().expect("the report").clone();
    let (duration, seeked) = (reported(&report, "duration"), reported(&report, "seeked"));
    let played = reported(&report, "playing") > 0.0;
    assert!((59.0..61.0).contains(&duration) && played, "{report}");
    assert!((seeked - (duration - 2.0)).abs() < 0.5, "{report}");

    // What the seek asked for begins behind all that was there before it, and goes on to the end:
    // where it began is told by how many bytes came. The bit rate is even, so that times are places.
    let length = length as f64;
    let behind = (reported(&report, "buffered") / duration * length).max(length * 0.9);
    let is_video = |line: &serde_json::Value| line["target"] == "/video.mp4";
    let is_sought = |line: &serde_json::Value| {
        let bytes = line["bytes"].as_f64().expect("bytes");
        is_video(line) && line["outcome"] == "complete" && length - bytes > behind
    };
    if !lines.iter().any(is_sought) {
        lines.extend(log.until(is_sought));
    }
    drop(page);
    lines.extend(log.so_far(&server));
    for line in lines.iter().filter(|line| is_video(line)) {
        assert_eq!(
            (&line["status"], &line["send_path"]),
            (&206.into(), &sent_by("sendfile").into())
        );
    }
}

/// Reads the listing in a frame, sorts it by size with a click, and reports both orders.
const SORTER: &str = r#"<!DOCTYPE html>
<title>sorter</title>
<iframe id="frame" src="/dir/"></iframe>
<script>
const names = () => [...frame.contentDocument.querySelectorAll("li a")].map(link => link.textContent).join(",");
let before;
frame.onload = () => {
  if (before === undefined) {
    before = names();
    const button = [...frame.contentDocument.querySelectorAll(".sort button")].find(button => button.textContent.startsWith("Size"));
    return button ? button.click() : fetch("/report?nothing-to-click");
  }
  fetch("/report?" + encodeURIComponent(before + " " + names()) + "&" + frame.contentWindow.location.search.slice(1));
};
</script>
"#;

#[test]
fn chromium_sorts_a_listing_at_a_click() {
    if Home::for_clients(&["chromium"]).is_none() {
        return;
    }
    let mut server = Server::start(&[]);
    let log = server.follow_log();
    for (name, length) in [("a", 30), ("b", 10), ("c & d", 20)] {
        server.write(&format!("dir/{name}"), &pattern(length, 1));
    }
    server.write("sorter.html", SORTER.as_bytes());
    let page = Browser::open(&server.url("/sorter.html"));
    let lines = log.until(is_report);
    drop(page);
    let report = lines.last().expect("the report")["target"]
        .as_str()
        .expect("a target");
    let orders = ["", "a%2Cb%2Cc%20%26%20d%20", "b%2Cc%20%26%20d%2Ca"].join("Parent%20folder%2C");
    // What the first frame shows is in order of the names, and what comes of the click in that of sizes.
    assert_eq!(report, format!("/report?{orders}&sort=size&order=asc"));
}

/// A picture of a page, as bytes of red, green and blue.
struct Picture {
    width: usize,
    pixels: Vec<u8>,
}

impl Picture {
    fn take(home: &Home, url: &str, (width, height): (usize, usize), dark: bool) -> Self {
        let size = format!("--window-size={width},{height}");
        let scheme = format!("--blink-settings=preferredColorScheme={}", u8::from(!dark));
        let shot = [&size, &scheme, "--screenshot=picture.png", url];
        let turn = lock(&TURN);
        // Chromium 148 crashes in one of some twenty runs (SIGSEGV), which says nothing about a server.
        let outputs =
            (0..CRASHES_MAX).map(|_| home.run("chromium", &[&always()[..], &shot].concat()));
        let output = { outputs }.find(|output| output.status.signal().is_none());
        drop(turn);
        said(&output.expect("it crashes each time"), "chromium");
        let png = home.read("picture.png");
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"), "a PNG");
        let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().expect("4 bytes"));
        assert_eq!((number(16) as usize, number(20) as usize), (width, height));
        let raw = [
            "-nostdin",
            "-y",
            "-v",
            "error",
            "-i",
            "picture.png",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgb24",
            "raw",
        ];
        home.succeed("ffmpeg", &raw);
        let pixels = home.read("raw");
        assert_eq!(pixels.len(), width * height * 3);
        Self { width, pixels }
    }

    fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let at = (y * self.width + x) * 3;
        self.pixels[at..at + 3].try_into().expect("three")
    }

    fn all(&self) -> impl Iterator<Item = [u8; 3]> + '_ {
        self.pixels
            .chunks_exact(3)
            .map(|pixel| pixel.try_into().expect("three"))
    }

    fn height(&self) -> usize {
        self.pixels.len() / 3 / self.width
    }
}

#[test]
fn chromium_shows_a_listing_by_day_by_night_and_on_a_phone() {
    let Some(home) = Home::for_clients(&["chromium", "ffmpeg"]) else {
        return;
    };
    let server = Server::start(&[]);
    let long = format!("{}.tar.gz", "a-long-name-".repeat(10));
    let unbroken = "x".repeat(100);
    for name in [
        "two words.txt",
        "Ünïcödé.md",
        "<b>bold&amp;</b>.html",
        &long,
        &unbroken,
    ] {
        server.write(&format!("dir/{name}"), &pattern(12_345, 1));
    }
    server.write("dir/sub/file", b"");
    for (size, dark) in [
        ((1280, 800), false),
        ((1280, 800), true),
        ((390, 844), false),
    ] {
        let url = server.url("/dir/?sort=size&order=desc");
        let picture = Picture::take(&home, &url, size, dark);
        let background = picture.pixel(0, 0);
        let fits = |value: &u8| if dark { *value < 40 } else { *value > 240 };
        assert!(
            background.iter().all(fits),
            "{size:?} dark: {dark}: {background:?}"
        );
        let drawn = picture.all().filter(|&pixel| pixel != background).count();
        let share = drawn as f64 / (size.0 * size.1) as f64;
        assert!(
            (0.005..0.5).contains(&share),
            "{size:?} dark: {dark}: {share}"
        );
        let is_link = |pixel: &[u8; 3]| pixel[2] > pixel[0].max(pixel[1]).saturating_add(60);
        let links = picture.all().filter(is_link).count();
        assert!(links > 500, "{size:?} dark: {dark}: {links}");
        // A page that is wider than the window would reach into its margin.
        let margin = (size.0 - 8..size.0).flat_map(|x| (0..picture.height()).map(move |y| (x, y)));
        for (x, y) in margin {
            assert_eq!(
                picture.pixel(x, y),
                background,
                "{size:?} dark: {dark}: {x}, {y}"
            );
        }
    }
}

/// Reads texts in encodings of their own, and reports what came out of them.
const READER: &str = r#"<!DOCTYPE html>
<title>reader</title>
<iframe id="page" src="page.html"></iframe>
<iframe id="notes" src="notes.txt"></iframe>
<img id="picture" src="picture.svgz">
<script>
onload = () => {
  const request = new XMLHttpRequest();
  request.open("GET", "feed.xml");
  request.onload = () => fetch("/report?" + [
    page.contentDocument.title,
    notes.contentDocument.body.textContent.trim(),
    request.responseXML.documentElement.textContent,
    picture.naturalWidth,
  ].map(encodeURIComponent).join("&"));
  request.send();
};
</script>
"#;

#[test]
fn chromium_reads_each_text_in_its_own_encoding() {
    let Some(home) = Home::for_clients(&["chromium", "gzip"]) else {
        return;
    };
    let mut server = Server::start(&[]);
    let log = server.follow_log();
    server.write("reader.html", READER.as_bytes());
    // The title is U+65E5 U+672C.
    let page = b"<!DOCTYPE html><meta charset=Shift_JIS><title>\x93\xfa\x96\x7b</title>";
    server.write("page.html", page);
    let feed = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>caf\xe9</a>";
    server.write("feed.xml", feed);
    server.write("notes.txt", "na\u{ef}ve".as_bytes());
    home.write(
        "picture.svg",
        b"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"42\" height=\"7\"/>",
    );
    home.succeed("gzip", &["picture.svg"]);
    server.write("picture.svgz", &home.read("picture.svg.gz"));
    let page = Browser::open(&server.url("/reader.html"));
    let lines = log.until(is_report);
    drop(page);
    let report = lines.last().expect("the report");
    let expected = "/report?%E6%97%A5%E6%9C%AC&na%C3%AFve&caf%C3%A9&42";
    assert_eq!(report["target"], expected);
}

/// A module of WebAssembly: its function `answer` returns 42.
const MODULE: &[u8] = b"\0asm\x01\0\0\0\x01\x05\x01\x60\0\x01\x7f\x03\x02\x01\0\
    \x07\x0a\x01\x06answer\0\0\x0a\x06\x01\x04\0\x41\x2a\x0b";

/// Compiles a module while it comes, which takes the right type and the right coding.
const STREAMER: &str = r#"<!DOCTYPE html>
<title>streamer</title>
<script src="lib.js.gz"></script>
<script>
WebAssembly.instantiateStreaming(fetch("game.wasm.gz"))
  .then(loaded => fetch("/report?answer=" + loaded.instance.exports.answer() + "&script=" + script))
  .catch(error => fetch("/report?error=" + encodeURIComponent(error)));
</script>
"#;

#[test]
fn chromium_compiles_a_module_that_is_stored_compressed() {
    let Some(home) = Home::for_clients(&["chromium", "gzip"]) else {
        return;
    };
    let mut server = Server::start(&[
        "--mime=wasm.gz=application/wasm",
        "--header=*.gz=Content-Encoding: gzip",
    ]);
    let log = server.follow_log();
    server.write("streamer.html", STREAMER.as_bytes());
    for (name, bytes) in [("game.wasm", MODULE), ("lib.js", b"const script = 7;")] {
        home.write(name, bytes);
        home.succeed("gzip", &[name]);
        server.write(&format!("{name}.gz"), &home.read(&format!("{name}.gz")));
    }
    let page = Browser::open(&server.url("/streamer.html"));
    let lines = log.until(is_report);
    drop(page);
    let report = lines.last().expect("the report");
    assert_eq!(report["target"], "/report?answer=42&script=7");
}

/// Asks another origin for a part of a file, with the fields that libraries add.
const ASKER: &str = r#"<!DOCTYPE html>
<title>asker</title>
<script>
fetch("OTHER/f", {headers: {Range: "bytes=1-2", "If-Range": '"x"', "X-Requested-With": "asker", "Cache-Control": "no-cache"}})
  .then(response => response.text())
  .then(text => fetch("/report?text=" + text), error => fetch("/report?" + encodeURIComponent(error)));
</script>
"#;

#[test]
fn chromium_asks_another_origin_with_the_usual_fields() {
    if Home::for_clients(&["chromium"]).is_none() {
        return;
    }
    let other = Server::start(&["--cors"]);
    other.write("f", b"granted");
    let mut server = Server::start(&[]);
    let log = server.follow_log();
    let page = ASKER.replace("OTHER", &other.url(""));
    server.write("asker.html", page.as_bytes());
    let page = Browser::open(&server.url("/asker.html"));
    let lines = log.until(is_report);
    drop(page);
    // The tag is none of the file's, so that all of it is sent.
    assert_eq!(
        lines.last().expect("the report")["target"],
        "/report?text=granted"
    );
}
