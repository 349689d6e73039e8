//! The record layer from the end of the handshake on: what is sent is sealed in place, without an allocation,
//! and what comes is opened in place. The keys are rustls' own.
//!
//! A record that is sent stands in memory as *prefix*, plaintext, *suffix*: the caller puts the plaintext
//! between them.
//! See [RFC 8446 §5](https://www.rfc-editor.org/rfc/rfc8446#section-5) for TLS 1.3,
//! [RFC 5246 §6.2](https://www.rfc-editor.org/rfc/rfc5246#section-6.2) and
//! [RFC 5288 §3](https://www.rfc-editor.org/rfc/rfc5288#section-3) for TLS 1.2.

use std::fmt;
use std::ops::Range;

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use rustls::crypto::cipher::{AeadKey, InboundOpaqueMessage, MessageDecrypter, make_tls12_aad};
use rustls::{
    AlertDescription, ConnectionTrafficSecrets, ContentType, ProtocolVersion, SupportedCipherSuite,
};

use zc_core::ktls::{Cipher, SendSecrets, Version};

/// The header of a record: type, version, length.
pub(super) const HEADER_BYTES: usize = 5;
/// The most plaintext in one record.
pub(super) const PLAIN_BYTES_MAX: usize = 1 << 14;
/// The longest record that may come: TLS 1.2 allows an expansion of 2,048 bytes, TLS 1.3 one of 256.
const EXPANSION_MAX_TLS12: usize = 2048;
const EXPANSION_MAX_TLS13: usize = 256;
const TAG_BYTES: usize = 16;
/// The part of the nonce that a record of AES-GCM in TLS 1.2 has in front.
const EXPLICIT_NONCE_BYTES: usize = 8;
const NONCE_BYTES: usize = 12;

/// How records are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Tls13,
    /// TLS 1.2 with an explicit nonce in each record.
    Tls12Gcm,
    /// TLS 1.2 with a nonce that both sides count.
    Tls12ChaCha,
}

/// Seals records, in order.
pub(super) struct Sealer {
    key: LessSafeKey,
    /// The bytes of the key, for the kernel.
    secret: AeadKey,
    cipher: Cipher,
    iv: [u8; NONCE_BYTES],
    /// The number of the next record.
    sequence: u64,
    form: Form,
}

impl Sealer {
    /// What goes on with record number `sequence` under `secrets`.
    pub(super) fn new(
        version: ProtocolVersion,
        (sequence, secrets): (u64, ConnectionTrafficSecrets),
    ) -> Result<Self, SealError> {
        let (algorithm, cipher, secret, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => {
                (&AES_128_GCM, Cipher::Aes128Gcm, key, iv)
            }
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => {
                (&AES_256_GCM, Cipher::Aes256Gcm, key, iv)
            }
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                (&CHACHA20_POLY1305, Cipher::Chacha20Poly1305, key, iv)
            }
            _ => return Err(SealError),
        };
        let form = match version {
            ProtocolVersion::TLSv1_3 => Form::Tls13,
            _ if algorithm == &CHACHA20_POLY1305 => Form::Tls12ChaCha,
            _ => Form::Tls12Gcm,
        };
        // The key of a 128 bit cipher stands in the first half of a longer array.
        let key = secret.as_ref().get(..algorithm.key_len());
        let key = UnboundKey::new(algorithm, key.ok_or(SealError)?).map_err(|_| SealError)?;
        Ok(Self {
            key: LessSafeKey::new(key),
            secret,
            cipher,
            iv: iv.as_ref().try_into().map_err(|_| SealError)?,
            sequence,
            form,
        })
    }

    /// The number of the next record.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// What the kernel goes on with.
    pub(super) fn kernel_secrets(&self) -> Result<SendSecrets, SealError> {
        let version = match self.form {
            Form::Tls13 => Version::Tls13,
            Form::Tls12Gcm | Form::Tls12ChaCha => Version::Tls12,
        };
        let key = self.secret.as_ref().get(..self.cipher.key_bytes());
        let key = key.ok_or(SealError)?;
        SendSecrets::new(version, self.cipher, key, &self.iv, self.sequence).map_err(|_| SealError)
    }

    /// Where plaintext of `bytes` bytes stands in its record, and how long that is.
    pub(super) fn layout(&self, bytes: usize) -> (Range<usize>, usize) {
        let prefix = match self.form {
            Form::Tls13 | Form::Tls12ChaCha => HEADER_BYTES,
            Form::Tls12Gcm => HEADER_BYTES + EXPLICIT_NONCE_BYTES,
        };
        // The type of what a record holds stands behind it in TLS 1.3.
        let suffix = TAG_BYTES + usize::from(self.form == Form::Tls13);
        (prefix..prefix + bytes, prefix + bytes + suffix)
    }

    /// Seals `record`, in which the plaintext stands by the [layout](Self::layout).
    pub(super) fn seal(
        &mut self,
        content_type: ContentType,
        record: &mut [u8],
    ) -> Result<(), SealError> {
        let overhead = self.layout(0).1;
        let plain_bytes = record.len().checked_sub(overhead).ok_or(SealError)?;
        let (plain, _) = self.layout(plain_bytes);
        let payload_bytes = u16::try_from(record.len() - HEADER_BYTES).map_err(|_| SealError)?;
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= number;
        }
        let (outer_type, sealed) = match self.form {
            Form::Tls13 => {
                record[plain.end] = content_type.into();
                (ContentType::ApplicationData, plain.start..plain.end + 1)
            }
            Form::Tls12Gcm => {
                record[HEADER_BYTES..plain.start].copy_from_slice(&nonce[4..]);
                (content_type, plain)
            }
            Form::Tls12ChaCha => (content_type, plain),
        };
        let [high, low] = payload_bytes.to_be_bytes();
        record[..HEADER_BYTES].copy_from_slice(&[outer_type.into(), 3, 3, high, low]);
        let mut header = [0; HEADER_BYTES];
        header.copy_from_slice(&record[..HEADER_BYTES]);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let text = &mut record[sealed.clone()];
        let tag = match self.form {
            Form::Tls13 => {
                let aad = Aad::from(header);
                self.key.seal_in_place_separate_tag(nonce, aad, text)
            }
            Form::Tls12Gcm | Form::Tls12ChaCha => {
                let version = ProtocolVersion::TLSv1_2;
                let aad = make_tls12_aad(self.sequence, content_type, version, plain_bytes);
                self.key
                    .seal_in_place_separate_tag(nonce, Aad::from(aad), text)
            }
        };
        let tag = tag.map_err(|_| SealError)?;
        record[sealed.end..].copy_from_slice(tag.as_ref());
        self.sequence += 1;
        Ok(())
    }

    /// Appends the records of `bytes` to `out`.
    pub(super) fn seal_into(
        &mut self,
        content_type: ContentType,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        for piece in bytes.chunks(PLAIN_BYTES_MAX) {
            let (plain, length) = self.layout(piece.len());
            let start = out.len();
            out.resize(start + length, 0);
            let record = &mut out[start..];
            record[plain].copy_from_slice(piece);
            self.seal(content_type, record)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Sealer {
    /// Shows no secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer")
            .field("form", &self.form)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

/// A record could not be sealed: its cipher is not known here, or it is longer than a record may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SealError;

/// Opens records, in order.
pub(super) struct Opener {
    decrypter: Box<dyn MessageDecrypter>,
    version: ProtocolVersion,
    /// Where the plaintext stands in its record once it is opened.
    plain_start: usize,
    /// The number of the next record.
    sequence: u64,
}

/// A record that came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) content_type: ContentType,
    /// Where its plaintext stands.
    pub(super) plain: Range<usize>,
    /// How long it is.
    pub(super) record_bytes: usize,
}

impl Opener {
    /// What goes on with record number `sequence` under `secrets`.
    pub(super) fn new(
        suite: SupportedCipherSuite,
        (sequence, secrets): (u64, ConnectionTrafficSecrets),
    ) -> Result<Self, SealError> {
        let has_explicit_nonce =
            !matches!(secrets, ConnectionTrafficSecrets::Chacha20Poly1305 { .. });
        let (ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = secrets
        else {
            return Err(SealError);
        };
        let (decrypter, version, explicit) = match suite {
            SupportedCipherSuite::Tls13(suite) => (
                suite.aead_alg.decrypter(key, iv),
                ProtocolVersion::TLSv1_3,
                0,
            ),
            SupportedCipherSuite::Tls12(suite) => {
                // Of AES-GCM the fixed part alone: the other one comes in each record.
                let shape = suite.aead_alg.key_block_shape();
                let iv = iv.as_ref().get(..shape.fixed_iv_len).ok_or(SealError)?;
                let explicit = if has_explicit_nonce {
                    EXPLICIT_NONCE_BYTES
                } else {
                    0
                };
                (
                    suite.aead_alg.decrypter(key, iv),
                    ProtocolVersion::TLSv1_2,
                    explicit,
                )
            }
        };
        Ok(Self {
            decrypter,
            version,
            plain_start: HEADER_BYTES + explicit,
            sequence,
        })
    }

    /// How long the record is that `bytes` begin with; `None` while its header is not there.
    pub(super) fn record_bytes(&self, bytes: &[u8]) -> Result<Option<usize>, AlertDescription> {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let payload_bytes = usize::from(u16::from_be_bytes([header[3], header[4]]));
        let expansion = match self.version {
            ProtocolVersion::TLSv1_3 => EXPANSION_MAX_TLS13,
            _ => EXPANSION_MAX_TLS12,
        };
        if payload_bytes > PLAIN_BYTES_MAX + expansion {
            return Err(AlertDescription::RecordOverflow);
        }
        Ok(Some(HEADER_BYTES + payload_bytes))
    }

    /// Opens the record that `bytes` begin with; `None` while it is not there as a whole.
    pub(super) fn open(&mut self, bytes: &mut [u8]) -> Result<Option<Opened>, AlertDescription> {
        let Some(record_bytes) = self.record_bytes(bytes)? else {
            return Ok(None);
        };
        let Some(record) = bytes.get_mut(..record_bytes) else {
            return Ok(None);
        };
        let (header, payload) = record.split_at_mut(HEADER_BYTES);
        let outer_type = ContentType::from(header[0]);
        let is_tls13 = self.version == ProtocolVersion::TLSv1_3;
        // Nothing but sealed records may come, and sealed ones of TLS 1.3 have one type.
        if is_tls13 && outer_type != ContentType::ApplicationData || header[1] != 3 {
            return Err(AlertDescription::UnexpectedMessage);
        }
        let message = InboundOpaqueMessage::new(outer_type, ProtocolVersion::TLSv1_2, payload);
        let opened = self.decrypter.decrypt(message, self.sequence);
        let message = opened.map_err(|error| match error {
            rustls::Error::PeerSentOversizedRecord => AlertDescription::RecordOverflow,
            rustls::Error::DecryptError => AlertDescription::BadRecordMac,
            _ => AlertDescription::UnexpectedMessage,
        })?;
        self.sequence += 1;
        if message.payload.len() > PLAIN_BYTES_MAX {
            return Err(AlertDescription::RecordOverflow);
        }
        Ok(Some(Opened {
            content_type: message.typ,
            plain: self.plain_start..self.plain_start + message.payload.len(),
            record_bytes,
        }))
    }
}

impl fmt::Debug for Opener {
    /// Shows no secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener")
            .field("version", &self.version)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}
