//! Hashes of passwords by bcrypt: the block cipher is that of RustCrypto, and what bcrypt makes of it stands here.
//!
//! The crate `bcrypt` is the same with random salts and hashing in front, and two crates more.

use std::ops::RangeInclusive;

use blowfish::Blowfish;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The costs that `htpasswd` makes. Checking takes twice as long with each step: from a millisecond to half a minute.
pub(super) const COSTS: RangeInclusive<u8> = 4..=17;
/// The most of a password that counts, with the zero behind it, in bytes.
const KEY_BYTES_MAX: usize = 72;
const SALT_BYTES: usize = 16;
/// The last byte of what is encrypted is left out.
const DIGEST_BYTES: usize = 23;
const SALT_DIGITS: usize = 22;
const DIGEST_DIGITS: usize = 31;
/// The digits of bcrypt are those of base64 in another order.
const DIGITS: &[u8; 64] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// What is encrypted: "OrpheanBeholderScryDoubt".
const TEXT: [[u32; 2]; 3] = [
    [0x4F72_7068, 0x6561_6E42],
    [0x6568_6F6C, 0x6465_7253],
    [0x6372_7944, 0x6F75_6274],
];

/// A hash of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hash {
    pub(super) cost: u8,
    salt: [u8; SALT_BYTES],
    digest: [u8; DIGEST_BYTES],
}

/// Why a text is no hash that can be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HashError {
    Malformed,
    Cost(u8),
}

impl Hash {
    /// The hash of no password that anybody knows, which takes as long to check as others of this cost.
    pub(super) fn of_nobody(cost: u8) -> Self {
        Self {
            cost,
            salt: [0; SALT_BYTES],
            digest: [0; DIGEST_BYTES],
        }
    }

    /// Reads what stands behind `$2y$`: cost, salt and digest, as in `10$` and 53 digits.
    pub(super) fn parse(text: &str) -> Result<Self, HashError> {
        let (cost, digits) = text.split_once('$').ok_or(HashError::Malformed)?;
        let is_number = cost.len() == 2 && cost.bytes().all(|byte| byte.is_ascii_digit());
        let cost = cost.parse().ok().filter(|_| is_number);
        let cost = cost.ok_or(HashError::Malformed)?;
        let is_whole = digits.is_ascii() && digits.len() == SALT_DIGITS + DIGEST_DIGITS;
        if !is_whole {
            return Err(HashError::Malformed);
        }
        let (salt, digest) = digits.split_at(SALT_DIGITS);
        let hash = Self {
            cost,
            salt: decoded(salt).ok_or(HashError::Malformed)?,
            digest: decoded(digest).ok_or(HashError::Malformed)?,
        };
        match COSTS.contains(&cost) {
            true => Ok(hash),
            false => Err(HashError::Cost(cost)),
        }
    }

    /// Whether it is the hash of `password`. How long that takes depends on nothing but the cost.
    pub(super) fn is_of(&self, password: &[u8]) -> bool {
        let mut key = Zeroizing::new(Vec::with_capacity(KEY_BYTES_MAX));
        key.extend_from_slice(&password[..password.len().min(KEY_BYTES_MAX)]);
        if key.len() < KEY_BYTES_MAX {
            key.push(0);
        }
        let digest = Zeroizing::new(digest(self.cost, &self.salt, &key));
        digest.ct_eq(&self.digest).into()
    }
}

/// [Provos and Mazières, 1999](https://www.usenix.org/legacy/events/usenix99/provos/provos.pdf): the key schedule is
/// run again 2 to the power of `cost` times, by key and by salt.
fn digest(cost: u8, salt: &[u8; SALT_BYTES], key: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut cipher: Blowfish = Blowfish::bc_init_state();
    cipher.salted_expand_key(salt, key);
    for _ in 0..1_u32 << cost {
        cipher.bc_expand_key(key);
        cipher.bc_expand_key(salt);
    }
    let encrypted = TEXT.map(|block| (0..64).fold(block, |block, _| cipher.bc_encrypt(block)));
    let mut words = encrypted.as_flattened().iter();
    let mut digest = [0; DIGEST_BYTES];
    for bytes in digest.chunks_mut(size_of::<u32>()) {
        let word = words.next().copied().unwrap_or_default().to_be_bytes();
        bytes.copy_from_slice(&word[..bytes.len()]);
    }
    digest
}

/// The first bytes that these digits stand for.
fn decoded<const BYTES: usize>(digits: &str) -> Option<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    let (mut bits, mut count, mut place) = (0_u32, 0, 0);
    for digit in digits.bytes() {
        let value = DIGITS.iter().position(|&known| known == digit)?;
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 8 && place < BYTES {
            count -= 8;
            bytes[place] = (bits >> count) as u8;
            place += 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hashes that others have made: the vectors of jBCrypt, of OpenWall's crypt_blowfish, and of Apache.
    const HASHES: [(&str, &[u8]); 8] = [
        (
            "06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.",
            b"",
        ),
        (
            "06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe",
            b"a",
        ),
        (
            "08$aTsUwsyowQuzRrDqFflhgekJ8d9/7Z3GV3UcgvzQW3J5zMyrTvlz.",
            b"abcdefghijklmnopqrstuvwxyz",
        ),
        (
            "05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            b"U*U",
        ),
        (
            "05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK",
            b"U*U*",
        ),
        (
            "05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a",
            b"U*U*U",
        ),
        (
            "05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
            b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789\
              chars after 72 are ignored",
        ),
        (
            "05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e",
            b"\xFF\xFF\xA3",
        ),
    ];

    #[test]
    fn hashes_of_others_are_of_their_passwords_alone() {
        for (text, password) in &HASHES[..7] {
            let hash = Hash::parse(text).expect("a hash");
            assert!(hash.is_of(password), "{text}");
            assert!(
                !hash.is_of(&[password, &b"x"[..]].concat()) || password.len() >= KEY_BYTES_MAX
            );
            assert!(!hash.is_of(b"another"));
        }
    }

    #[test]
    fn bytes_above_127_count_as_they_are() {
        // `$2a$` of old has made others of them, with `$2x$` for what it made.
        let (text, password) = HASHES[7];
        assert!(Hash::parse(text).expect("a hash").is_of(password));
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        let (right, _) = HASHES[0];
        assert!(Hash::parse(right).is_ok());
        let cost = |cost: &str| right.replace("06$", cost);
        for (text, error) in [
            (cost("6$"), HashError::Malformed),
            (cost("+6$"), HashError::Malformed),
            (cost("xx$"), HashError::Malformed),
            (cost("006$"), HashError::Malformed),
            (cost(""), HashError::Malformed),
            (cost("03$"), HashError::Cost(3)),
            (cost("18$"), HashError::Cost(18)),
            (format!("{right}."), HashError::Malformed),
            (right[..59 - 4].to_owned(), HashError::Malformed),
            (right.replace('V', "!"), HashError::Malformed),
            (String::new(), HashError::Malformed),
        ] {
            assert_eq!(Hash::parse(&text), Err(error), "{text}");
        }
    }

    #[test]
    fn nobody_has_a_password() {
        assert!(!Hash::of_nobody(4).is_of(b""));
    }
}
