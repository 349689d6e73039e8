//! What is served is replaced while the server runs: `Handle::reload`.

mod harness;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use harness::{HANG, pattern, temp_root};
use zc_server::config::files::Field;
use zc_server::{Config, Handle, Server, StartError, Stopped};

/// More than the buffers of two sockets hold.
const LONG_BYTES: usize = 32 << 20;
const SWAPS: usize = 200;

/// A tree whose every file, and every response, tells `name`.
fn tree(parent: &Path, name: &str) -> PathBuf {
    let root = parent.join(name);
    std::fs::create_dir_all(root.join("listed").join(name)).expect("a directory");
    std::fs::write(root.join("file"), name).expect("a file");
    root
}

fn config(root: &Path, name: &str) -> Config {
    let mut config = Config::for_root(root).expect("a root");
    config.binds = vec!["127.0.0.1:0".parse().expect("an address")];
    config.threads = 2;
    config.files.fields.push(Field {
        glob: None,
        name: "X-Content".to_owned(),
        value: name.to_owned(),
    });
    config
}

/// Runs `test` beside a server of `config`, which must then drain.
fn serving(config: Config, test: impl FnOnce(SocketAddr, &Handle)) {
    let server = Server::bind(config).expect("a server");
    let address = server.listening()[0].address.socket_address();
    let (address, handle) = (address.expect("of TCP"), server.handle());
    let running = std::thread::spawn(move || server.run());
    test(address, &handle);
    handle.stop();
    let outcome = running.join().expect("no panic").expect("a server");
    assert_eq!(outcome, Stopped::Drained);
}

fn request(stream: &mut TcpStream, path: &str) {
    let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("the server");
}

/// The head of a response, byte by byte.
fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("ASCII")
}

fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut lines = head.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Asks for `path`; answers which content the head and which the body is of.
fn ask(stream: &mut TcpStream, path: &str) -> (String, String) {
    request(stream, path);
    let head = head(stream);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let body = match field(&head, "Content-Length") {
        Some(length) => {
            let mut body = vec![0; length.parse().expect("a number")];
            stream.read_exact(&mut body).expect("a body");
            body
        }
        None => {
            let mut body = Vec::new();
            while !body.ends_with(b"\r\n0\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("a chunk");
                body.push(byte[0]);
            }
            body
        }
    };
    let content = field(&head, "X-Content").expect("the field").to_owned();
    (content, String::from_utf8(body).expect("UTF-8"))
}

#[test]
fn each_response_is_of_one_content_while_it_is_replaced_under_load() {
    let parent = temp_root();
    let trees = ["old", "new"].map(|name| (tree(parent.path(), name), name));
    serving(config(&trees[0].0, "old"), |address, handle| {
        let is_over = AtomicBool::new(false);
        let seen = [AtomicUsize::new(0), AtomicUsize::new(0)];
        std::thread::scope(|scope| {
            for client in 0..4 {
                let (is_over, seen) = (&is_over, &seen);
                scope.spawn(move || {
                    let mut stream = TcpStream::connect(address).expect("the server");
                    // One that is in memory and cached, and one that a thread reads.
                    let path = ["/file", "/listed/?format=json"][client % 2];
                    while !is_over.load(Ordering::Relaxed) {
                        let (content, body) = ask(&mut stream, path);
                        let other = if content == "old" { "new" } else { "old" };
                        assert!(body.contains(&content), "{content}: {body}");
                        assert!(!body.contains(other), "{content}: {body}");
                        seen[usize::from(content == "new")].fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            for swap in 1..=SWAPS {
                let (root, name) = &trees[swap % 2];
                handle.reload(config(root, name)).expect("a root");
                // It has arrived when a new request says so.
                let began = Instant::now();
                let mut stream = TcpStream::connect(address).expect("the server");
                while ask(&mut stream, "/file").0 != *name {
                    assert!(began.elapsed() < HANG);
                }
            }
            is_over.store(true, Ordering::Relaxed);
        });
        let [old, new] = seen.map(AtomicUsize::into_inner);
        assert!(old > 0 && new > 0, "{old} {new}");
    });
}

#[test]
fn a_download_ends_as_it_began_and_the_old_root_is_let_go() {
    let parent = temp_root();
    let (old, new) = (tree(parent.path(), "old"), tree(parent.path(), "new"));
    let bytes = pattern(LONG_BYTES, 5);
    std::fs::write(old.join("long"), &bytes).expect("a file");
    std::fs::write(new.join("long"), b"short").expect("a file");
    let mut config_of_old = config(&old, "old");
    config_of_old.threads = 1;
    serving(config_of_old, |address, handle| {
        let mut download = TcpStream::connect(address).expect("the server");
        request(&mut download, "/long");
        let head = head(&mut download);
        assert_eq!(field(&head, "X-Content"), Some("old"), "{head}");
        handle.reload(config(&new, "new")).expect("a root");
        let mut other = TcpStream::connect(address).expect("the server");
        let began = Instant::now();
        while ask(&mut other, "/file").0 != "new" {
            assert!(began.elapsed() < HANG);
        }
        let mut body = vec![0; LONG_BYTES];
        download.read_exact(&mut body).expect("all of it");
        assert!(body == bytes);
        // The same connection goes on with what is served now.
        assert_eq!(
            ask(&mut download, "/long"),
            ("new".to_owned(), "short".to_owned())
        );
        let began = Instant::now();
        while open_below(&old) > 0 {
            assert!(began.elapsed() < HANG, "{} are open", open_below(&old));
            std::thread::yield_now();
        }
    });
}

/// How many descriptors of this process are of `root` or of something in it.
fn open_below(root: &Path) -> usize {
    let descriptors = std::fs::read_dir("/proc/self/fd").expect("proc(5)");
    let links = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link.starts_with(root)).count()
}

#[test]
fn a_content_that_cannot_be_opened_changes_nothing() {
    let parent = temp_root();
    let old = tree(parent.path(), "old");
    let handle = {
        let mut kept = None;
        serving(config(&old, "old"), |address, handle| {
            let gone = tree(parent.path(), "gone");
            let config_of_gone = config(&gone, "gone");
            std::fs::remove_dir_all(&gone).expect("a directory");
            let error = handle.reload(config_of_gone);
            assert!(matches!(error, Err(StartError::Root { .. })), "{error:?}");
            let mut config_without_page = config(&old, "page");
            config_without_page.files.spa = Some("none.html".into());
            let error = handle.reload(config_without_page);
            assert!(matches!(error, Err(StartError::Page { .. })), "{error:?}");
            let mut stream = TcpStream::connect(address).expect("the server");
            assert_eq!(ask(&mut stream, "/file"), ("old".into(), "old".into()));
            kept = Some(handle.clone());
        });
        kept.expect("a handle")
    };
    // The server has ended.
    handle.reload(config(&old, "old")).expect("nothing is done");
}
