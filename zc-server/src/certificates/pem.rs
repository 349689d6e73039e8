//! Reads certificates and keys from files.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::Fault;

/// The longest file that is read: hundreds of certificates of authorities.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// What DER begins with: a SEQUENCE whose length takes one, two or three bytes.
const DER_STARTS: [&[u8]; 3] = [&[0x30, 0x81], &[0x30, 0x82], &[0x30, 0x83]];

/// A file as it was found: when another one stands in its place, or it was written, this is another one too.
/// It is of what the path leads to, whichever links are on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    length: u64,
}

impl Stamp {
    /// That of the file at `path`; `None` where there is none.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
            length: found.size(),
        })
    }
}

/// The content of a regular file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    let mut options = OpenOptions::new();
    // A FIFO is not waited for.
    options.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(Fault::NotRegular);
    }
    let mut content = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content)?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(Fault::TooLong);
    }
    Ok(content)
}

/// The certificates of a file in PEM, in order. There is at least one.
pub(super) fn certificates(content: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let found = CertificateDer::pem_slice_iter(content).collect::<Result<Vec<_>, _>>();
    match found.map_err(Fault::Damaged)? {
        found if !found.is_empty() => Ok(found),
        _ if is_der(content) => Err(Fault::Der),
        _ => Err(Fault::NoCertificate),
    }
}

/// The first key of a file in PEM.
pub(super) fn key(content: &[u8]) -> Result<PrivateKeyDer<'static>, Fault> {
    let has = |text: &[u8]| content.windows(text.len()).any(|found| found == text);
    // The older form has a header inside, and its section is named as one that is not encrypted.
    if has(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || has(b"\nProc-Type: 4,ENCRYPTED") {
        return Err(Fault::EncryptedKey);
    }
    match PrivateKeyDer::from_pem_slice(content) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) if is_der(content) => Err(Fault::Der),
        Err(pem::Error::NoItemsFound) => Err(Fault::NoKey),
        Err(error) => Err(Fault::Damaged(error)),
    }
}

fn is_der(content: &[u8]) -> bool {
    DER_STARTS.iter().any(|start| content.starts_with(start))
}

/// Whether this is an OCSP response that is successful (RFC 6960, section 4.2.1): a SEQUENCE as long as the
/// file, which begins with the ENUMERATED 0. What it says is for the client to check.
pub(super) fn is_ocsp_response(content: &[u8]) -> bool {
    let (length, body) = match content {
        [0x30, 0x81, length, body @ ..] => (usize::from(*length), body),
        [0x30, 0x82, high, low, body @ ..] => (usize::from(*high) << 8 | usize::from(*low), body),
        [0x30, length @ ..=0x7f, body @ ..] => (usize::from(*length), body),
        _ => return false,
    };
    body.len() == length && body.starts_with(&[0x0a, 0x01, 0x00])
}
