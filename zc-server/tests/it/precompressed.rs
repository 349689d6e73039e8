//! Sidecars in content codings: one that is being written, was cut, or was made of another version of
//! the file is not sent for it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::harness::clients::Home;
use crate::harness::{Server, codings, pattern, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Text that takes a while to be compressed.
fn text(bytes: usize) -> Vec<u8> {
    let mut text = String::with_capacity(bytes + 64);
    let mut number = 1_u64;
    while text.len() < bytes {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let (id, name) = (number >> 40, number >> 20 & 0xfff);
        text.push_str(&format!("{{\"id\": {id}, \"name\": \"user-{name:x}\"}},\n"));
    }
    text.truncate(bytes);
    text.into_bytes()
}

fn digest(bytes: &[u8]) -> (usize, u64) {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    (bytes.len(), hasher.finish())
}

/// A compressor that goes on when it is told to: it stands still in between.
struct Compressor {
    child: Child,
    sidecar: PathBuf,
}

impl Compressor {
    fn start(program: &str, arguments: &[&str], server: &Server, sidecar: &Path) -> Self {
        let child = Command::new(program)
            .args(arguments)
            .arg("big.json")
            .current_dir(server.root.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("it runs");
        Self {
            child,
            sidecar: sidecar.to_owned(),
        }
    }

    /// Lets it go on until its sidecar has grown; false once it has ended.
    fn grow(&mut self) -> bool {
        let before = self.length();
        self.signal(Signal::SIGCONT);
        let mut is_over = false;
        wait_until("the sidecar grows", || {
            is_over = self.child.try_wait().expect("our own child").is_some();
            is_over || self.length() > before
        });
        if !is_over {
            self.signal(Signal::SIGSTOP);
        }
        !is_over
    }

    /// Of the sidecar, if it is there.
    fn length(&self) -> Option<u64> {
        self.sidecar.metadata().ok().map(|file| file.len())
    }

    fn signal(&self, signal: Signal) {
        let child = Pid::from_raw(self.child.id().cast_signed());
        kill(child, signal).expect("our own child");
    }
}

impl Drop for Compressor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_sidecar_is_not_sent_while_a_compressor_writes_it() {
    for (program, arguments, extension, coding) in [
        ("gzip", &["-k", "-9"][..], "gz", "gzip"),
        ("zstd", &["-q", "-12"], "zst", "zstd"),
        ("brotli", &["-k", "-q", "9"], "br", "br"),
        // The time of the original is not given to the result.
        ("brotli", &["-k", "-q", "9", "--no-copy-stat"], "br", "br"),
    ] {
        if Home::for_clients(&[program]).is_none() {
            continue;
        }
        let server = Server::start(&["--cache-ttl", "0"]);
        let original = text(2 << 20);
        server.write("big.json", &original);
        let fields = format!("Accept-Encoding: {coding}\r\n");
        let mut coded = Vec::new();
        let mut while_it_was_there = 0;
        let sidecar = server.path(&format!("big.json.{extension}"));
        // On a busy machine a compressor may be over before it is seen at work. Then it begins again.
        while while_it_was_there == 0 {
            let _ = std::fs::remove_file(&sidecar);
            let mut compressor = Compressor::start(program, arguments, &server, &sidecar);
            while compressor.grow() {
                let response = server.get_with("/big.json", &fields);
                assert_eq!(response.status, 200);
                match response.field("content-encoding") {
                    Some(_) => coded.push(digest(&response.body)),
                    None => {
                        assert!(response.body == original, "{program}");
                        while_it_was_there += 1;
                    }
                }
            }
        }
        wait_until("the sidecar is sent", || {
            let response = server.get_with("/big.json", &fields);
            response.field("content-encoding") == Some(coding)
        });
        let whole = std::fs::read(&sidecar).expect("it is written");
        assert!(server.get_with("/big.json", &fields).body == whole);
        let whole = digest(&whole);
        assert!(
            coded.iter().all(|sent| *sent == whole),
            "{program}: {coded:?}"
        );
    }
}

#[test]
fn a_sidecar_that_is_cut_or_of_another_version_is_not_sent() {
    let original = pattern(200_000, 4);
    let longer = pattern(200_001, 4);
    for (extension, coding, encode) in [
        ("gz", "gzip", codings::gzip as fn(&[u8]) -> Vec<u8>),
        ("zst", "zstd", codings::zstd),
        ("br", "br", codings::brotli),
    ] {
        let server = Server::start(&["--cache-ttl", "0"]);
        server.write("file", &original);
        let name = format!("file.{extension}");
        let is_sent = |bytes: &[u8]| {
            server.write(&name, bytes);
            let fields = format!("Accept-Encoding: {coding}\r\n");
            let response = server.get_with("/file", &fields);
            let expected = if response.field("content-encoding").is_some() {
                bytes
            } else {
                &original
            };
            assert!(response.body == expected, "{coding}");
            response.field("content-encoding").is_some()
        };
        let whole = encode(&original);
        assert!(is_sent(&whole), "{coding}");
        for end in [0, 1, 5, 12, 70_000, whole.len() - 5, whole.len() - 1] {
            assert!(!is_sent(&whole[..end]), "{coding} cut at {end}");
        }
        assert!(!is_sent(&encode(&longer)), "{coding} of a longer file");
        assert!(!is_sent(&encode(b"")), "{coding} of nothing");
        assert!(!is_sent(&original), "{coding} that is none");
        // Two of them behind each other are one content, where the format allows it.
        if coding == "zstd" {
            let (first, second) = original.split_at(1000);
            assert!(is_sent(&[encode(first), encode(second)].concat()));
        }
        assert!(is_sent(&whole), "{coding} again");
        // An empty file has an empty content.
        server.write("file", b"");
        server.write(&name, &encode(b""));
        let response = server.get_with("/file", &format!("Accept-Encoding: {coding}\r\n"));
        assert_eq!(response.field("content-encoding"), Some(coding));
    }
}

#[test]
fn what_compressors_make_of_streams_is_whole() {
    // Of a stream zstd does not tell the length; in several frames; with a frame to be skipped.
    let Some(home) = Home::for_clients(&["zstd", "sh"]) else {
        return;
    };
    let server = Server::start(&["--cache-ttl", "0"]);
    let original = text(3 << 20);
    server.write("file", &original);
    home.write("file", &original);
    for command in [
        "cat file | zstd -q -c > file.zst",
        "cat file | zstd -q -c --no-check > file.zst",
        "zstd -q -c -3 --long=27 file > file.zst",
        "zstd -q -c --content-size --check file > file.zst",
        "(head -c 1000000 file | zstd -qc; tail -c +1000001 file | zstd -qc) > file.zst",
        "(printf '\\120\\052\\115\\030\\003\\000\\000\\000abc'; zstd -qc file) > file.zst",
    ] {
        home.succeed("sh", &["-c", command]);
        let coded = home.read("file.zst");
        server.write("file.zst", &coded);
        let response = server.get_with("/file", "Accept-Encoding: zstd\r\n");
        assert_eq!(
            response.field("content-encoding"),
            Some("zstd"),
            "{command}"
        );
        assert!(response.body == coded);
        server.write("file.zst", &coded[..coded.len() - 2]);
        let response = server.get_with("/file", "Accept-Encoding: zstd\r\n");
        assert_eq!(response.field("content-encoding"), None, "{command}");
    }
}
