//! The files that the nodes serve: two releases of many small files, a few large ones, and certificates.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::load::{FIRST, SECOND};
use super::network::run;

/// Small files on an ordinary disk.
const ORDINARY: u16 = 512;
/// Small files on the file system that can hang, and their length in bytes. There are many, so that for minutes no
/// request for one of them finds it in memory.
pub(super) const SLOW: u16 = 16384;
pub(super) const SLOW_BYTES: u64 = 1 << 10;
/// Of so many requests one is for a file that can hang.
const SLOW_EVERY: u64 = 8;
/// Large files.
pub(super) const LARGE: u64 = 4;
/// What is written in one call, in bytes.
const BLOCK_BYTES: usize = 64 << 10;

/// All files, in a directory that is removed with this.
#[derive(Debug)]
pub(super) struct Content {
    directory: tempfile::TempDir,
}

/// What the responses for small files must be.
#[derive(Debug, Clone)]
pub(super) struct Small {
    /// The bodies of both releases, by key.
    bodies: Vec<[Vec<u8>; 2]>,
}

impl Content {
    /// Makes the releases and the authority of the certificates below `parent`.
    pub(super) fn make(parent: &Path, large_bytes: u64) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("zc-fleet-")
            .tempdir_in(parent)?;
        let content = Self { directory };
        for (index, release) in ["release-1", "release-2"].iter().enumerate() {
            let small = content.path(&format!("{release}/small"));
            fs::create_dir_all(&small)?;
            for key in 0..ORDINARY {
                fs::write(small.join(format!("{key}.bin")), body(key, index as u64))?;
            }
        }
        fs::create_dir(content.path("large"))?;
        for number in 0..LARGE {
            write_large(&content.large(number), number, large_bytes)?;
        }
        content.make_authority()?;
        Ok(content)
    }

    /// A path in the directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The original of a large file.
    pub(super) fn large(&self, number: u64) -> PathBuf {
        self.path(&format!("large/{number}.bin"))
    }

    /// Makes the directory of a node: copies of both releases with the same times, of which `current` is the
    /// first. Large files are the same file on all nodes, by hard links, so that the disk has room for them.
    pub(super) fn add_node(&self, node: u8) -> anyhow::Result<PathBuf> {
        let own = self.path(&format!("node-{node}"));
        fs::create_dir_all(own.join("slow"))?;
        let shown = own.display();
        for release in ["release-1", "release-2"] {
            let source = self.path(release);
            run(&format!("cp -a {} {shown}/{release}", source.display()))?;
            run(&format!(
                "cp -al {} {shown}/{release}/large",
                self.path("large").display()
            ))?;
            fs::create_dir(own.join(release).join("slow"))?;
        }
        std::os::unix::fs::symlink("release-1", own.join("current"))?;
        self.certify(node, 1)?;
        Ok(own)
    }

    /// Replaces the link to the first release by one to the second, in one step.
    pub(super) fn roll_out(&self, node: u8) -> anyhow::Result<()> {
        let own = self.path(&format!("node-{node}"));
        std::os::unix::fs::symlink("release-2", own.join("next"))?;
        let shown = own.display();
        run(&format!("mv -T {shown}/next {shown}/current"))
    }

    /// What small files are, as read from a directory like those of the nodes.
    pub(super) fn small(&self, slow: &Path) -> anyhow::Result<Small> {
        let ordinary = (0..ORDINARY).map(|key| Ok([body(key, 0), body(key, 1)]));
        let slow = (0..SLOW).map(|number| {
            let path = slow.join(format!("{number}.bin"));
            let read =
                fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok([read.clone(), read])
        });
        let bodies = ordinary.chain(slow).collect::<anyhow::Result<_>>()?;
        Ok(Small { bodies })
    }

    fn make_authority(&self) -> anyhow::Result<()> {
        let (key, certificate) = (self.path("ca.key"), self.path("ca.pem"));
        openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
             -subj /CN=fleet -keyout {} -out {}",
            key.display(),
            certificate.display()
        ))
    }

    /// Makes a certificate with this serial number for a node, and replaces the one it has in one step.
    pub(super) fn certify(&self, node: u8, serial: u32) -> anyhow::Result<()> {
        let own = self.path(&format!("node-{node}"));
        let (key, certificate) = (own.join("new.key"), own.join("new.pem"));
        openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
             -subj /CN=files.example.org -addext subjectAltName=DNS:files.example.org \
             -set_serial {serial} -CA {} -CAkey {} -keyout {} -out {}",
            self.path("ca.pem").display(),
            self.path("ca.key").display(),
            key.display(),
            certificate.display()
        ))?;
        let mut both = fs::read(&certificate)?;
        both.extend(fs::read(&key)?);
        let next = own.join("tls.next");
        fs::write(&next, both)?;
        fs::rename(next, own.join("tls.pem"))?;
        Ok(())
    }
}

impl Small {
    /// The key of a request, by its number: of each kind all in turn, the ordinary ones in another order in each
    /// round.
    pub(super) fn key_of(number: u64) -> u16 {
        let (ordinary, slow) = (u64::from(ORDINARY), u64::from(SLOW));
        if number.is_multiple_of(SLOW_EVERY) {
            return ORDINARY + (number / SLOW_EVERY % slow) as u16;
        }
        // Without gaps.
        let number = number - number / SLOW_EVERY - 1;
        let (round, step) = (number / ordinary, number % ordinary);
        // An odd factor permutes the keys, of which there is a power of two.
        let factor = 2 * (round % 101) + 1;
        ((step * factor + round) % ordinary) as u16
    }

    /// The request target of a key.
    pub(super) fn target(key: u16) -> String {
        match key.checked_sub(ORDINARY) {
            None => format!("/small/{key}.bin"),
            Some(number) => format!("/slow/{number}.bin"),
        }
    }

    /// Whether a body is that of an allowed release.
    pub(super) fn is_expected(&self, key: u16, allowed: u8, body: &[u8]) -> bool {
        let Some(bodies) = self.bodies.get(usize::from(key)) else {
            return false;
        };
        let mut both = bodies.iter().zip([FIRST, SECOND]);
        both.any(|(expected, release)| allowed & release != 0 && expected == body)
    }
}

/// Whether two files have the same bytes.
pub(super) fn are_equal(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (fs::File::open(one)?, fs::File::open(other)?);
    let mut left = one.metadata()?.len();
    if left != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut a, mut b) = (vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]);
    while left > 0 {
        let count = left.min(BLOCK_BYTES as u64) as usize;
        one.read_exact(&mut a[..count])?;
        other.read_exact(&mut b[..count])?;
        if a[..count] != b[..count] {
            return Ok(false);
        }
        left -= count as u64;
    }
    Ok(true)
}

/// Bytes that do not repeat, another sequence for each seed.
pub(super) fn fill(block: &mut [u8], state: &mut u64) {
    for word in block.chunks_mut(8) {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        word.copy_from_slice(&state.to_le_bytes()[..word.len()]);
    }
}

/// The beginning of a sequence.
pub(super) fn seed(number: u64) -> u64 {
    (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1
}

/// The body of a small file, of 1 to 16 KiB.
fn body(key: u16, release: u64) -> Vec<u8> {
    let mut body = vec![0; 1024 * (1 + usize::from(key) % 16)];
    fill(&mut body, &mut seed(u64::from(key) * 2 + release));
    body
}

fn write_large(path: &Path, number: u64, length: u64) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    let (mut state, mut left) = (seed(1_000_000 + number), length);
    let mut block = vec![0; BLOCK_BYTES];
    while left > 0 {
        let count = left.min(BLOCK_BYTES as u64) as usize;
        fill(&mut block, &mut state);
        file.write_all(&block[..count])?;
        left -= count as u64;
    }
    Ok(())
}

fn openssl(arguments: &str) -> anyhow::Result<()> {
    run(&format!("openssl {arguments}"))
}

/// The serial number of the certificate that a node shows, in hexadecimal.
pub(super) fn shown_serial(address: &str, authority: &Path) -> anyhow::Result<String> {
    let shown = Command::new("openssl")
        .args([
            "s_client",
            "-connect",
            address,
            "-servername",
            "files.example.org",
        ])
        .arg("-verify_return_error")
        .arg("-CAfile")
        .arg(authority)
        .stdin(Stdio::null())
        .output()
        .context("cannot run openssl")?;
    ensure!(
        shown.status.success(),
        "{address} shows no certificate of ours"
    );
    let mut command = Command::new("openssl");
    command.args(["x509", "-noout", "-serial"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(&shown.stdout)?;
    }
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.trim().trim_start_matches("serial=").to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_round_asks_for_each_key_once() {
        let keys: Vec<u16> = (0..u64::from(SLOW) * SLOW_EVERY)
            .map(Small::key_of)
            .collect();
        let (slow, ordinary): (Vec<u16>, Vec<u16>) = keys.iter().partition(|key| **key >= ORDINARY);
        assert_eq!(
            slow.iter().collect::<BTreeSet<_>>().len(),
            usize::from(SLOW)
        );
        for (round, keys) in ordinary.chunks_exact(usize::from(ORDINARY)).enumerate() {
            let keys: BTreeSet<&u16> = keys.iter().collect();
            assert_eq!(keys.len(), usize::from(ORDINARY), "round {round}");
        }
        assert_eq!(Small::target(0), "/small/0.bin");
        let last = ORDINARY + SLOW - 1;
        assert_eq!(Small::target(last), format!("/slow/{}.bin", SLOW - 1));
    }

    #[test]
    fn a_body_must_be_of_an_allowed_release() {
        let bodies = vec![[body(0, 0), body(0, 1)]];
        let small = Small { bodies };
        let (first, second) = (body(0, 0), body(0, 1));
        assert_ne!(first, second);
        assert!(small.is_expected(0, FIRST, &first));
        assert!(!small.is_expected(0, FIRST, &second));
        assert!(small.is_expected(0, FIRST | SECOND, &second));
        assert!(!small.is_expected(0, SECOND, &first));
        assert!(!small.is_expected(0, FIRST, &first[1..]));
        assert!(!small.is_expected(1, FIRST, &first));
    }

    #[test]
    fn files_are_equal_when_each_byte_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: &str, bytes: &[u8]| {
            let path = directory.path().join(name);
            fs::write(&path, bytes).expect("a file");
            path
        };
        let long = vec![7; BLOCK_BYTES + 5];
        let mut other = long.clone();
        other[BLOCK_BYTES + 4] = 8;
        let (a, b) = (write("a", &long), write("b", &long));
        assert!(are_equal(&a, &b).expect("files"));
        assert!(!are_equal(&a, &write("c", &other)).expect("files"));
        assert!(!are_equal(&a, &write("d", &long[1..])).expect("files"));
    }
}
