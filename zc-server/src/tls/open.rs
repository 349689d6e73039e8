//! A TLS connection whose handshake is over: its keys, what came and is not opened, and the messages that are no
//! requests.

use std::io;
use std::ops::Range;
use std::os::fd::AsFd;

use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{AlertDescription, ContentType, ProtocolVersion};
use zc_core::ktls::{self, KernelTlsSocket, KernelTlsState};

use super::handshake::Agreed;
use super::record::{Opened, Opener, SealError, Sealer};
use crate::observe::record::TlsInfo;

/// Records without plaintext, or with anything but requests, that may come one behind the other.
const IDLE_RECORDS_MAX: u8 = 32;
/// After how many records TLS 1.3 goes on with the next keys: half of what AES-GCM allows
/// ([RFC 8446 §5.5](https://www.rfc-editor.org/rfc/rfc8446#section-5.5)).
const RECORDS_PER_KEY_MAX: u64 = 1 << 23;
/// After how many TLS 1.2, which has no next keys, ends.
const RECORDS_MAX_TLS12: u64 = 1 << 24;

pub(super) const ALERT_WARNING: u8 = 1;
/// The handshake message KeyUpdate, which has one byte
/// ([RFC 8446 §4.6.3](https://www.rfc-editor.org/rfc/rfc8446#section-4.6.3)).
const KEY_UPDATE: [u8; 4] = [24, 0, 0, 1];

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// So many bytes of requests, at the start of the scratch memory.
    Plain(usize),
    /// The handshake is over.
    Established,
    /// Nothing that is complete.
    Nothing,
    /// So many bytes, at the start of the scratch memory, of a peer that does not speak TLS.
    NotTls(usize),
    /// The peer has sent everything it will send.
    Closed,
}

/// The connection has failed. An alert waits to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failed;

/// Who seals what is sent.
pub(super) enum Sealing {
    Here(Sealer),
    Kernel(KernelTlsState),
}

pub(super) struct Open {
    pub(super) sealing: Sealing,
    opener: Opener,
    keys: KernelConnection<ServerConnectionData>,
    version: ProtocolVersion,
    pub(super) info: TlsInfo,
    /// Records that came and are not opened, the last one perhaps in part.
    incoming: Vec<u8>,
    has_peer_closed: bool,
    /// Our close_notify is among the output, or was.
    pub(super) has_closed: bool,
    /// The peer wants the next keys to be used.
    pub(super) must_update_keys: bool,
    /// Whether the kernel has refused to seal.
    pub(super) was_refused: bool,
    /// Records in a row that were no requests.
    idle_records: u8,
    /// Records of responses that were sealed here since the last request came, or as many as can be counted.
    pub(super) response_records: u8,
    /// A KeyUpdate whose end has not come.
    begun_update: Vec<u8>,
}

impl Open {
    pub(super) fn new(agreed: Agreed) -> Result<Self, SealError> {
        let Agreed {
            keys,
            secrets,
            info,
            incoming,
        } = agreed;
        let version = keys.protocol_version();
        Ok(Self {
            sealing: Sealing::Here(Sealer::new(version, secrets.tx)?),
            was_refused: false,
            opener: Opener::new(keys.negotiated_cipher_suite(), secrets.rx)?,
            keys,
            version,
            info,
            incoming,
            has_peer_closed: false,
            has_closed: false,
            must_update_keys: false,
            idle_records: 0,
            response_records: 0,
            begun_update: Vec::new(),
        })
    }

    pub(super) fn has_received(&self) -> bool {
        let has_record = match self.opener.record_bytes(&self.incoming) {
            Ok(Some(bytes)) => bytes <= self.incoming.len(),
            Ok(None) => false,
            Err(_) => true,
        };
        self.has_peer_closed || has_record
    }

    pub(super) fn next(&mut self, scratch: &mut [u8]) -> Result<Received, AlertDescription> {
        let mut incoming = std::mem::take(&mut self.incoming);
        let (mut at, mut count) = (0, 0);
        while !self.has_peer_closed {
            // No plaintext is longer than its record.
            let length = self.opener.record_bytes(&incoming[at..])?.unwrap_or(0);
            if count > 0 && length > scratch.len() - count {
                break;
            }
            let Some(plain) = self.open_next(&mut incoming, &mut at)? else {
                break;
            };
            scratch[count..count + plain.len()].copy_from_slice(&incoming[plain.clone()]);
            count += plain.len();
        }
        incoming.drain(..at);
        if !incoming.is_empty() {
            self.incoming = incoming;
        }
        Ok(self.received(count))
    }

    pub(super) fn receive(
        &mut self,
        scratch: &mut [u8],
        end: usize,
    ) -> Result<Received, AlertDescription> {
        if !self.incoming.is_empty() {
            self.incoming.extend_from_slice(&scratch[..end]);
            return self.next(scratch);
        }
        let (mut at, mut count) = (0, 0);
        while !self.has_peer_closed
            && let Some(plain) = self.open_next(&mut scratch[..end], &mut at)?
        {
            // What is opened stands behind what was: a record is longer than its plaintext.
            let length = plain.len();
            scratch.copy_within(plain, count);
            count += length;
        }
        self.incoming.extend_from_slice(&scratch[at..end]);
        Ok(self.received(count))
    }

    fn received(&mut self, count: usize) -> Received {
        match count {
            0 if self.has_peer_closed => {
                self.incoming = Vec::new();
                Received::Closed
            }
            0 => Received::Nothing,
            count => {
                self.response_records = 0;
                Received::Plain(count)
            }
        }
    }

    /// Opens the record that begins at `at`, which moves behind it, and answers where the plaintext of
    /// requests stands. `None` while it is not there as a whole.
    fn open_next(
        &mut self,
        bytes: &mut [u8],
        at: &mut usize,
    ) -> Result<Option<Range<usize>>, AlertDescription> {
        let start = *at;
        let Some(opened) = self.opener.open(&mut bytes[start..])? else {
            return Ok(None);
        };
        let Opened {
            content_type,
            plain,
            record_bytes,
        } = opened;
        *at += record_bytes;
        let plain = start + plain.start..start + plain.end;
        // No other record may stand between those of one message.
        if !self.begun_update.is_empty() && content_type != ContentType::Handshake {
            return Err(AlertDescription::UnexpectedMessage);
        }
        if content_type == ContentType::ApplicationData && !plain.is_empty() {
            self.idle_records = 0;
            return Ok(Some(plain));
        }
        self.idle_records += 1;
        if self.idle_records > IDLE_RECORDS_MAX {
            return Err(AlertDescription::UnexpectedMessage);
        }
        match content_type {
            ContentType::ApplicationData => {}
            ContentType::Alert => self.on_alert(&bytes[plain])?,
            ContentType::Handshake => self.on_handshake_record(&bytes[plain])?,
            _ => return Err(AlertDescription::UnexpectedMessage),
        }
        Ok(Some(start..start))
    }

    fn on_alert(&mut self, alert: &[u8]) -> Result<(), AlertDescription> {
        let &[level, description] = alert else {
            return Err(match alert {
                // RFC 8446 §5.4.
                [] if self.version == ProtocolVersion::TLSv1_3 => {
                    AlertDescription::UnexpectedMessage
                }
                _ => AlertDescription::DecodeError,
            });
        };
        match AlertDescription::from(description) {
            AlertDescription::CloseNotify => self.has_peer_closed = true,
            // Another alert follows.
            AlertDescription::UserCanceled => {}
            // In TLS 1.2 a warning changes nothing; in TLS 1.3 every other alert is an error.
            _ if level == ALERT_WARNING && self.version == ProtocolVersion::TLSv1_2 => {}
            // It is over for the peer: it takes nothing more.
            _ => self.has_peer_closed = true,
        }
        Ok(())
    }

    /// The one message that may come after the handshake is KeyUpdate. It may come in several records, but its last
    /// one has nothing else ([RFC 8446 §5.1](https://www.rfc-editor.org/rfc/rfc8446#section-5.1)).
    fn on_handshake_record(&mut self, piece: &[u8]) -> Result<(), AlertDescription> {
        if self.version != ProtocolVersion::TLSv1_3 || piece.is_empty() {
            return Err(AlertDescription::UnexpectedMessage);
        }
        let mut message = std::mem::take(&mut self.begun_update);
        message.extend_from_slice(piece);
        let (head, body) = message.split_at(message.len().min(KEY_UPDATE.len()));
        if head[0] != KEY_UPDATE[0] {
            return Err(AlertDescription::UnexpectedMessage);
        }
        if !KEY_UPDATE.starts_with(head) {
            return Err(AlertDescription::DecodeError);
        }
        match *body {
            [] => {
                self.begun_update = message;
                Ok(())
            }
            [request] => self.on_key_update(request),
            _ => Err(AlertDescription::UnexpectedMessage),
        }
    }

    fn on_key_update(&mut self, request: u8) -> Result<(), AlertDescription> {
        if request > 1 {
            return Err(AlertDescription::IllegalParameter);
        }
        let internal = |_| AlertDescription::InternalError;
        let secrets = self.keys.update_rx_secret().map_err(internal)?;
        self.opener = Opener::new(self.keys.negotiated_cipher_suite(), secrets)
            .map_err(|SealError| AlertDescription::InternalError)?;
        self.must_update_keys |= request == 1;
        Ok(())
    }

    /// Goes on with the next keys where that is due, and tells the peer by a record in `out`.
    pub(super) fn update_keys(&mut self, out: &mut Vec<u8>) -> Result<(), SealError> {
        let Sealing::Here(sealer) = &mut self.sealing else {
            return Err(SealError);
        };
        let sequence = sealer.sequence();
        if self.version != ProtocolVersion::TLSv1_3 {
            return if sequence < RECORDS_MAX_TLS12 {
                Ok(())
            } else {
                Err(SealError)
            };
        }
        if !self.must_update_keys && sequence < RECORDS_PER_KEY_MAX {
            return Ok(());
        }
        self.must_update_keys = false;
        let mut message = KEY_UPDATE.to_vec();
        // The peer need not do the same.
        message.push(0);
        sealer.seal_into(ContentType::Handshake, &message, out)?;
        let secrets = self.keys.update_tx_secret().map_err(|_| SealError)?;
        *sealer = Sealer::new(self.version, secrets)?;
        Ok(())
    }

    /// The same where the kernel seals. False when the socket has no room for the record.
    pub(super) fn update_kernel_keys(
        &mut self,
        socket: impl AsFd,
        state: KernelTlsState,
    ) -> Result<bool, Failed> {
        let mut socket = KernelTlsSocket::from_parts(socket, state);
        match socket.send_record(ktls::ContentType::Handshake, &ktls::KEY_UPDATE) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(_) => return Err(Failed),
        }
        self.must_update_keys = false;
        let secrets = self.keys.update_tx_secret().map_err(|_| Failed)?;
        let sealer = Sealer::new(self.version, secrets).map_err(|SealError| Failed)?;
        let secrets = sealer.kernel_secrets().map_err(|SealError| Failed)?;
        socket.rekey(&secrets).map_err(|_| Failed)?;
        let (_, state) = socket.into_parts();
        self.sealing = Sealing::Kernel(state);
        Ok(true)
    }
}

impl std::fmt::Debug for Open {
    /// Shows no secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open")
            .field("info", &self.info)
            .field("is_in_kernel", &matches!(self.sealing, Sealing::Kernel(_)))
            .field("opener", &self.opener)
            .finish_non_exhaustive()
    }
}
