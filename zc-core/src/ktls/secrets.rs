//! What the kernel has to know to seal records: version, cipher, key, nonce and sequence number.

use std::fmt;

use nix::libc;
use nix::sys::socket::sockopt::TlsCryptoInfo;

/// A version of TLS that the kernel can seal records of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.2, [RFC 5246](https://www.rfc-editor.org/rfc/rfc5246).
    Tls12,
    /// TLS 1.3, [RFC 8446](https://www.rfc-editor.org/rfc/rfc8446).
    Tls13,
}

impl Version {
    /// Both, the older one first.
    pub const ALL: [Self; 2] = [Self::Tls12, Self::Tls13];

    fn on_the_wire(self) -> u16 {
        match self {
            Self::Tls12 => libc::TLS_1_2_VERSION,
            Self::Tls13 => libc::TLS_1_3_VERSION,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tls12 => "TLS 1.2",
            Self::Tls13 => "TLS 1.3",
        })
    }
}

/// A cipher that the kernel can seal records with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cipher {
    /// AES-128-GCM.
    Aes128Gcm,
    /// AES-256-GCM.
    Aes256Gcm,
    /// CHACHA20-POLY1305, from Linux 5.11 on.
    Chacha20Poly1305,
}

impl Cipher {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Aes128Gcm, Self::Aes256Gcm, Self::Chacha20Poly1305];

    /// The length of a key, in bytes.
    pub fn key_bytes(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::Aes256Gcm | Self::Chacha20Poly1305 => 32,
        }
    }

    /// The length of the structure that the kernel has for it. Its last eight bytes are the sequence number.
    pub(super) fn crypto_info_bytes(self) -> usize {
        match self {
            Self::Aes128Gcm => size_of::<libc::tls12_crypto_info_aes_gcm_128>(),
            Self::Aes256Gcm => size_of::<libc::tls12_crypto_info_aes_gcm_256>(),
            Self::Chacha20Poly1305 => size_of::<libc::tls12_crypto_info_chacha20_poly1305>(),
        }
    }

    /// By how much a record is longer than its content: header, explicit nonce, tag, and in TLS 1.3 the byte of
    /// the content type. The kernel pads no record.
    pub(super) fn overhead_bytes(self, version: Version) -> u64 {
        const HEADER_AND_TAG: u64 = 5 + 16;
        HEADER_AND_TAG
            + match (version, self) {
                (Version::Tls13, _) => 1,
                (Version::Tls12, Self::Chacha20Poly1305) => 0,
                (Version::Tls12, Self::Aes128Gcm | Self::Aes256Gcm) => 8,
            }
    }
}

impl fmt::Display for Cipher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Aes128Gcm => "AES-128-GCM",
            Self::Aes256Gcm => "AES-256-GCM",
            Self::Chacha20Poly1305 => "CHACHA20-POLY1305",
        })
    }
}

/// The length of an initialization vector, in bytes: of a whole nonce.
pub const IV_BYTES: usize = 12;

/// What records of one direction are sealed with, as a TLS library gives it away after the handshake.
///
/// `Debug` shows neither key nor initialization vector.
#[derive(Clone)]
pub struct SendSecrets {
    version: Version,
    cipher: Cipher,
    /// Invariant: `cipher.key_bytes()` of them are the key.
    key: [u8; 32],
    iv: [u8; IV_BYTES],
    sequence: u64,
}

/// A key or an initialization vector with the wrong length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretsError {
    /// The key has not the length that the cipher needs.
    KeyLength {
        /// The cipher.
        cipher: Cipher,
        /// The length of the key, in bytes.
        bytes: usize,
    },
    /// The initialization vector has not [`IV_BYTES`].
    IvLength {
        /// Its length, in bytes.
        bytes: usize,
    },
}

impl SendSecrets {
    /// Secrets of these bytes. `iv` is the initialization vector of the direction, not the nonce of a record: in
    /// TLS 1.2 with AES-GCM the four implicit bytes and then the eight with which the explicit nonces begin.
    /// `sequence` is the number of the next record, and so of those that were sealed with this key before.
    ///
    /// # Errors
    ///
    /// `key` or `iv` has the wrong length.
    pub fn new(
        version: Version,
        cipher: Cipher,
        key: &[u8],
        iv: &[u8],
        sequence: u64,
    ) -> Result<Self, SecretsError> {
        let bytes = key.len();
        if bytes != cipher.key_bytes() {
            return Err(SecretsError::KeyLength { cipher, bytes });
        }
        let wrong_iv = |_| SecretsError::IvLength { bytes: iv.len() };
        let iv = iv.try_into().map_err(wrong_iv)?;
        let mut whole = [0; 32];
        whole[..bytes].copy_from_slice(key);
        Ok(Self {
            version,
            cipher,
            key: whole,
            iv,
            sequence,
        })
    }

    /// The version of the records.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The cipher of the records.
    pub fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// The number of the next record.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// As the kernel takes them.
    pub(super) fn crypto_info(&self) -> TlsCryptoInfo {
        let info = |cipher| libc::tls_crypto_info {
            version: self.version.on_the_wire(),
            cipher_type: cipher,
        };
        let [salt @ .., _, _, _, _, _, _, _, _] = self.iv;
        let [_, _, _, _, explicit @ ..] = self.iv;
        let iv = match self.version {
            Version::Tls12 => kernel_explicit_nonce(explicit),
            Version::Tls13 => explicit,
        };
        let rec_seq = self.sequence.to_be_bytes();
        match self.cipher {
            Cipher::Aes128Gcm => {
                let [key @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = self.key;
                TlsCryptoInfo::Aes128Gcm(libc::tls12_crypto_info_aes_gcm_128 {
                    info: info(libc::TLS_CIPHER_AES_GCM_128),
                    iv,
                    key,
                    salt,
                    rec_seq,
                })
            }
            Cipher::Aes256Gcm => TlsCryptoInfo::Aes256Gcm(libc::tls12_crypto_info_aes_gcm_256 {
                info: info(libc::TLS_CIPHER_AES_GCM_256),
                iv,
                key: self.key,
                salt,
                rec_seq,
            }),
            Cipher::Chacha20Poly1305 => {
                TlsCryptoInfo::Chacha20Poly1305(libc::tls12_crypto_info_chacha20_poly1305 {
                    info: info(libc::TLS_CIPHER_CHACHA20_POLY1305),
                    iv: self.iv,
                    key: self.key,
                    salt: [],
                    rec_seq,
                })
            }
        }
    }
}

/// The explicit nonce with which the kernel begins, in TLS 1.2 with AES-GCM.
///
/// A nonce that is used twice with one key gives away the difference of two plaintexts, and the key that
/// authenticates. In TLS 1.2 the sender chooses the explicit eight bytes of it, which stand in front of
/// each record. rustls takes `explicit XOR sequence`, so that its first record, the one with Finished,
/// has `explicit` itself. The kernel ignores the sequence for this. Its first record has the nonce that it
/// was given, and each later one a nonce that is one higher. With `explicit` as given it would begin
/// with the nonce of Finished.
///
/// So the top bit is flipped. No library reaches that bit by counting records, and neither does the kernel.
/// If the kernel counts across the top bit, the other bits begin at 0 again, and those of the library were
/// then near their end. TLS 1.3 and CHACHA20-POLY1305 have no explicit nonce: all of them compute
/// `iv XOR sequence`, and go on where the library stopped.
fn kernel_explicit_nonce(explicit: [u8; 8]) -> [u8; 8] {
    const TOP_BIT: u64 = 1 << 63;
    (u64::from_be_bytes(explicit) ^ TOP_BIT).to_be_bytes()
}

impl fmt::Debug for SendSecrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SendSecrets")
            .field("version", &self.version)
            .field("cipher", &self.cipher)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for SecretsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyLength { cipher, bytes } => write!(
                formatter,
                "a key of {bytes} bytes, where {cipher} needs {}",
                cipher.key_bytes()
            ),
            Self::IvLength { bytes } => {
                write!(
                    formatter,
                    "an initialization vector of {bytes} bytes, not {IV_BYTES}"
                )
            }
        }
    }
}

impl std::error::Error for SecretsError {}

#[cfg(test)]
mod tests {
    use super::*;

    const IV: [u8; IV_BYTES] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

    fn secrets(version: Version, cipher: Cipher) -> SendSecrets {
        SendSecrets::new(version, cipher, &[0xab; 32][..cipher.key_bytes()], &IV, 1)
            .expect("lengths that fit")
    }

    #[test]
    fn the_kernel_begins_far_from_the_nonces_of_the_library() {
        let first = 0x0405_0607_0809_0a0b_u64;
        let ours = u64::from_be_bytes(kernel_explicit_nonce(first.to_be_bytes()));
        assert_eq!(ours, first | 1 << 63);
        // More than any key may seal, from the worst beginning there is.
        const RECORDS: u64 = 1 << 40;
        for first in [u64::MAX, u64::MAX >> 1, 0, 1 << 63, RECORDS - 1] {
            let ours = u64::from_be_bytes(kernel_explicit_nonce(first.to_be_bytes()));
            let library = |record: u64| first ^ record;
            let kernel = |record: u64| ours.wrapping_add(record);
            // Each goes through one stretch of numbers, or through two where it wraps.
            for record in [0, 1, 2, 1000, RECORDS - 1, RECORDS] {
                for other in [0, 1, 2, 1000, RECORDS - 1, RECORDS] {
                    assert_ne!(library(record), kernel(other), "{first:x} {record} {other}");
                }
            }
        }
    }

    #[test]
    fn only_explicit_nonces_are_changed() {
        for cipher in Cipher::ALL {
            for version in Version::ALL {
                let (iv, salt, sequence) = match secrets(version, cipher).crypto_info() {
                    TlsCryptoInfo::Aes128Gcm(info) => {
                        assert_eq!(info.key, [0xab; 16]);
                        (info.iv.to_vec(), info.salt.to_vec(), info.rec_seq)
                    }
                    TlsCryptoInfo::Aes256Gcm(info) => {
                        assert_eq!(info.key, [0xab; 32]);
                        (info.iv.to_vec(), info.salt.to_vec(), info.rec_seq)
                    }
                    TlsCryptoInfo::Chacha20Poly1305(info) => {
                        assert_eq!(info.key, [0xab; 32]);
                        (info.iv.to_vec(), info.salt.to_vec(), info.rec_seq)
                    }
                };
                let mut expected = IV;
                if version == Version::Tls12 && cipher != Cipher::Chacha20Poly1305 {
                    expected[4] ^= 0x80;
                }
                assert_eq!([salt, iv].concat(), expected, "{version} {cipher}");
                assert_eq!(u64::from_be_bytes(sequence), 1);
            }
        }
    }

    #[test]
    fn a_wrong_length_is_named() {
        let made = |key: usize, iv: usize| {
            let (key, iv) = (vec![1; key], vec![2; iv]);
            SendSecrets::new(Version::Tls13, Cipher::Aes256Gcm, &key, &iv, 0)
        };
        assert!(made(32, 12).is_ok());
        let key = made(16, 12).expect_err("too short");
        assert_eq!(
            key.to_string(),
            "a key of 16 bytes, where AES-256-GCM needs 32"
        );
        let iv = made(32, 8).expect_err("too short");
        assert_eq!(
            iv.to_string(),
            "an initialization vector of 8 bytes, not 12"
        );
    }

    #[test]
    fn debug_shows_no_secret() {
        for cipher in Cipher::ALL {
            let shown = format!("{:?}", secrets(Version::Tls12, cipher));
            // The key is 171 or 0xab everywhere; of the other the end would show.
            for secret in ["171", "ab", "10, 11", "key", "iv"] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
    }
}
