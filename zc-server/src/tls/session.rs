//! One side of a TLS connection, ours.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{AlertDescription, ContentType, ProtocolVersion, ServerConfig};
use zc_core::ktls::{self, Finish, KernelTls, KernelTlsSocket, KernelTlsState};
use zc_core::{Progress, SendError, Slots};

use crate::observe::record::TlsInfo;

use super::handshake::{Advanced, Agreed, Handshake};
use super::kernel::KernelSealing;
use super::record::{Opened, Opener, PLAIN_BYTES_MAX, SealError, Sealer};

/// The most plaintext in one record, in bytes.
pub(crate) const RECORD_BYTES_MAX: u64 = PLAIN_BYTES_MAX as u64;

/// Records without plaintext, or with anything but requests, that may come one behind the other.
const IDLE_RECORDS_MAX: u8 = 32;
/// The most records that are sealed before they are written.
const BATCH_RECORDS_MAX: usize = 4;
/// After how many records TLS 1.3 goes on with the next keys: half of what AES-GCM allows
/// ([RFC 8446 §5.5](https://www.rfc-editor.org/rfc/rfc8446#section-5.5)).
const RECORDS_PER_KEY_MAX: u64 = 1 << 23;
/// After how many TLS 1.2, which has no next keys, ends.
const RECORDS_MAX_TLS12: u64 = 1 << 24;

/// After how many the connection ends between two responses where the kernel seals: as many as this and those of
/// the longest body that it is given are allowed.
const KERNEL_RECORDS_MAX: u64 = 1 << 22;
/// The longest body that is left to the kernel, in bytes.
pub(crate) const KERNEL_BYTES_MAX: u64 = PLAIN_BYTES_MAX as u64 * (1 << 23);

/// The first byte of every TLS connection: the type of a handshake record.
const HANDSHAKE_RECORD: u8 = 22;

const ALERT_WARNING: u8 = 1;
const ALERT_FATAL: u8 = 2;
/// The handshake message KeyUpdate, which has one byte
/// ([RFC 8446 §4.6.3](https://www.rfc-editor.org/rfc/rfc8446#section-4.6.3)).
const KEY_UPDATE: [u8; 4] = [24, 0, 0, 1];

/// TLS on one connection.
#[derive(Debug)]
pub(crate) struct Session {
    state: State,
    kernel: Arc<KernelSealing>,
    /// An alert that the kernel has to send, which ends everything.
    last_alert: Option<(KernelTlsState, [u8; 2])>,
    /// What is to be sent before anything else, in sealed records.
    output: Output,
}

#[derive(Debug)]
enum State {
    Handshaking(Box<Handshake>),
    Open(Box<Open>),
    Over,
}

/// Bytes of which the socket has taken the first ones.
#[derive(Debug, Default)]
struct Output {
    bytes: Vec<u8>,
    taken: usize,
}

/// Who seals what is sent.
enum Sealing {
    Here(Sealer),
    Kernel(KernelTlsState),
}

struct Open {
    sealing: Sealing,
    opener: Opener,
    keys: KernelConnection<ServerConnectionData>,
    version: ProtocolVersion,
    info: TlsInfo,
    /// Records that came and are not opened, the last one perhaps in part.
    incoming: Vec<u8>,
    /// What came with the end of the handshake, in plain.
    early: Vec<u8>,
    has_peer_closed: bool,
    /// Our close_notify is among the output, or was.
    has_closed: bool,
    /// The peer wants the next keys to be used.
    must_update_keys: bool,
    /// Whether the kernel has refused to seal.
    was_refused: bool,
    /// Records in a row that were no requests.
    idle_records: u8,
}

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

impl Session {
    /// One that waits for the first bytes of the peer.
    /// The kernel is to seal where `kernel` says so.
    pub(crate) fn new(
        config: &ServerConfig,
        kernel: Arc<KernelSealing>,
    ) -> Result<Self, rustls::Error> {
        Ok(Self {
            state: State::Handshaking(Box::new(Handshake::new(config)?)),
            kernel,
            last_alert: None,
            output: Output::default(),
        })
    }

    /// What both sides agreed on, once the handshake is over.
    pub(crate) fn info(&self) -> Option<&TlsInfo> {
        match &self.state {
            State::Open(open) => Some(&open.info),
            State::Handshaking(_) | State::Over => None,
        }
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        matches!(self.state, State::Handshaking(_))
    }

    /// Whether [`next`](Self::next) has something to tell without another read.
    pub(crate) fn has_received(&self) -> bool {
        match &self.state {
            State::Handshaking(_) => false,
            State::Open(open) => open.has_received(),
            State::Over => true,
        }
    }

    /// What came with earlier reads.
    pub(crate) fn next(&mut self, scratch: &mut [u8]) -> Result<Received, Failed> {
        match &mut self.state {
            State::Handshaking(_) => Ok(Received::Nothing),
            State::Open(open) => {
                let received = open.next(scratch);
                self.checked(received)
            }
            State::Over => Err(Failed),
        }
    }

    /// Takes the `count` bytes that were read into `scratch`. To be called once [`next`](Self::next) has nothing.
    pub(crate) fn receive(&mut self, scratch: &mut [u8], count: usize) -> Result<Received, Failed> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Handshaking(handshake) => self.shake_hands(handshake, &scratch[..count]),
            State::Open(mut open) => {
                let received = open.receive(scratch, count);
                self.state = State::Open(open);
                self.checked(received)
            }
            State::Over => Err(Failed),
        }
    }

    fn shake_hands(&mut self, handshake: Box<Handshake>, bytes: &[u8]) -> Result<Received, Failed> {
        if handshake.is_new()
            && bytes
                .first()
                .is_some_and(|&first| first != HANDSHAKE_RECORD)
        {
            return Ok(Received::NotTls(bytes.len()));
        }
        let (handshake, advanced) = handshake.advance(bytes, &mut self.output.bytes);
        match advanced {
            Advanced::Blocked => {
                self.state = handshake.map_or(State::Over, State::Handshaking);
                Ok(Received::Nothing)
            }
            Advanced::Closed => Ok(Received::Closed),
            Advanced::Failed => Err(Failed),
            Advanced::Over(agreed) => {
                let open = Open::new(*agreed).map_err(|SealError| Failed)?;
                self.state = State::Open(Box::new(open));
                Ok(Received::Established)
            }
        }
    }

    /// An alert makes an end of everything.
    fn checked(
        &mut self,
        received: Result<Received, AlertDescription>,
    ) -> Result<Received, Failed> {
        received.map_err(|alert| {
            if let State::Open(open) = &mut self.state {
                let alert = [ALERT_FATAL, alert.into()];
                match &mut open.sealing {
                    Sealing::Here(sealer) => {
                        // Where it cannot be sealed, the peer sees the end of the connection.
                        let output = &mut self.output.bytes;
                        let _ = sealer.seal_into(ContentType::Alert, &alert, output);
                    }
                    Sealing::Kernel(state) => self.last_alert = Some((*state, alert)),
                }
            }
            self.state = State::Over;
            Failed
        })
    }

    /// What is to be sent before anything else.
    pub(crate) fn output(&self) -> &[u8] {
        &self.output.bytes[self.output.taken..]
    }

    /// The socket has taken the first `count` bytes of the output.
    pub(crate) fn on_taken(&mut self, count: usize) {
        self.output.taken += count;
        if self.output.taken == self.output.bytes.len() {
            // A connection that waits holds no memory for what it has sent.
            self.output = Output::default();
        }
    }

    /// Sees to it that the keys may be used for one more batch. That may add to the [output](Self::output), which
    /// has to be sent before what is sealed next. False when the socket has no room for what the kernel has
    /// to send first.
    pub(crate) fn renew_keys(&mut self, socket: impl AsFd) -> Result<bool, Failed> {
        let State::Open(open) = &mut self.state else {
            return Err(Failed);
        };
        match open.sealing {
            Sealing::Here(_) => {
                let renewed = open.update_keys(&mut self.output.bytes);
                renewed.map(|()| true).map_err(|SealError| Failed)
            }
            Sealing::Kernel(_) if !open.must_update_keys => Ok(true),
            // The peer waits for keys that will never come.
            Sealing::Kernel(_) if !self.kernel.can_rekey => Err(Failed),
            Sealing::Kernel(state) => open.update_kernel_keys(socket, state),
        }
    }

    /// Has the kernel seal from the next byte on, if that is chosen for this connection. All
    /// [output](Self::output) must have been sent. False when it goes on as before.
    pub(crate) fn move_to_kernel(&mut self, socket: impl AsFd) -> bool {
        let State::Open(open) = &mut self.state else {
            return false;
        };
        let Sealing::Here(sealer) = &open.sealing else {
            return false;
        };
        let Ok(secrets) = sealer.kernel_secrets() else {
            return false;
        };
        if open.was_refused || !self.kernel.is_for(&secrets) {
            return false;
        }
        match KernelTls::enable(socket, secrets) {
            Ok(socket) => {
                let (_, state) = socket.into_parts();
                open.sealing = Sealing::Kernel(state);
                true
            }
            Err(_) => {
                open.was_refused = true;
                false
            }
        }
    }

    /// What is known of the kernel's sealing, where it seals.
    fn kernel_state(&mut self) -> Option<&mut KernelTlsState> {
        match &mut self.state {
            State::Open(open) => match &mut open.sealing {
                Sealing::Kernel(state) => Some(state),
                Sealing::Here(_) => None,
            },
            State::Handshaking(_) | State::Over => None,
        }
    }

    /// Whether the kernel seals what is sent on the socket.
    pub(crate) fn is_in_kernel(&self) -> bool {
        matches!(&self.state, State::Open(open) if matches!(open.sealing, Sealing::Kernel(_)))
    }

    /// Whether the peer waits for keys that the kernel cannot set.
    pub(crate) fn lacks_keys(&self) -> bool {
        !self.kernel.can_rekey
            && matches!(&self.state, State::Open(open)
                if open.must_update_keys && matches!(open.sealing, Sealing::Kernel(_)))
    }

    /// Whether heads are to be sent apart from bodies.
    pub(crate) fn has_heads_apart(&self) -> bool {
        self.kernel.has_heads_apart
    }

    /// Whether the connection is to end between two responses: the kernel has sealed so much with its keys that
    /// one more response could be too much.
    pub(crate) fn must_end(&mut self, socket: impl AsFd) -> bool {
        let Some(state) = self.kernel_state() else {
            return false;
        };
        let records = KernelTlsSocket::from_parts(socket, *state).records();
        // One that cannot be told is not relied on.
        records.map_or(true, |records| records > KERNEL_RECORDS_MAX)
    }

    /// Sends the alert that the kernel has to seal, if there is one, as far as there is room for it.
    pub(crate) fn send_last_alert(&mut self, socket: impl AsFd) {
        if let Some((state, alert)) = self.last_alert.take() {
            let socket = KernelTlsSocket::from_parts(socket, state);
            // Without it the peer sees the end of the connection.
            let _ = socket.send_record(ktls::ContentType::Alert, &alert);
        }
    }

    /// Where the kernel seals: tells the peer that nothing more comes. False while the kernel has records that
    /// it would drop if the socket was closed.
    pub(crate) fn finish_in_kernel(&mut self, socket: impl AsFd) -> bool {
        let Some(state) = self.kernel_state() else {
            return true;
        };
        let mut socket = KernelTlsSocket::from_parts(socket, *state);
        // After an error there is nobody who could receive them.
        let finished = socket.finish().unwrap_or(Finish::Complete);
        (_, *state) = socket.into_parts();
        finished == Finish::Complete
    }

    /// Seals what `read` brings, up to `records_max` records, at the start of `sealed`, which grows as far as
    /// it has to. Answers how far `read` came, and how many bytes are sealed.
    ///
    /// # Errors
    ///
    /// The error of `read`; or of the connection, which is over then.
    pub(crate) fn seal_from(
        &mut self,
        sealed: &mut Vec<u8>,
        records_max: usize,
        read: impl FnOnce(&mut Slots<'_, '_>) -> Result<Progress, SendError>,
    ) -> Result<(Progress, usize), SendError> {
        let State::Open(open) = &mut self.state else {
            return Err(is_over());
        };
        let Sealing::Here(sealer) = &mut open.sealing else {
            return Err(is_over());
        };
        let (plain, stride) = sealer.layout(PLAIN_BYTES_MAX);
        let records_max = records_max.min(BATCH_RECORDS_MAX);
        if sealed.len() < records_max * stride {
            sealed.resize(records_max * stride, 0);
        }
        let mut pieces: [&mut [u8]; BATCH_RECORDS_MAX] = Default::default();
        let records = sealed.chunks_exact_mut(stride);
        for (piece, record) in pieces.iter_mut().zip(records) {
            *piece = &mut record[plain.clone()];
        }
        let mut slots = Slots::new(&mut pieces[..records_max]);
        let progress = read(&mut slots)?;
        // At most what there is room for.
        let mut left = slots.filled() as usize;
        let mut end = 0;
        while left > 0 {
            let bytes = left.min(PLAIN_BYTES_MAX);
            let (_, length) = sealer.layout(bytes);
            let record = &mut sealed[end..end + length];
            let sealed = sealer.seal(ContentType::ApplicationData, record);
            sealed.map_err(|SealError| is_over())?;
            end += length;
            left -= bytes;
        }
        Ok((progress, end))
    }

    /// Keeps the end of what was [sealed](Self::seal_from), which the socket did not take, as output.
    pub(crate) fn keep(&mut self, rest: &[u8]) {
        self.output.bytes.extend_from_slice(rest);
    }

    /// Where this program seals: has the [output](Self::output) tell the peer that nothing more comes.
    pub(crate) fn close(&mut self) {
        if let State::Open(open) = &mut self.state
            && let Sealing::Here(sealer) = &mut open.sealing
            && !std::mem::replace(&mut open.has_closed, true)
        {
            let alert = [ALERT_WARNING, AlertDescription::CloseNotify.into()];
            let output = &mut self.output.bytes;
            // Where it cannot be sealed, the peer sees the end of the connection.
            let _ = sealer.seal_into(ContentType::Alert, &alert, output);
        }
    }
}

fn is_over() -> SendError {
    SendError::from_read_error(io::Error::other("the TLS connection is over"))
}

impl Open {
    fn new(agreed: Agreed) -> Result<Self, SealError> {
        let Agreed {
            keys,
            secrets,
            info,
            incoming,
            early,
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
            early,
            has_peer_closed: false,
            has_closed: false,
            must_update_keys: false,
            idle_records: 0,
        })
    }

    fn has_received(&self) -> bool {
        let has_record = match self.opener.record_bytes(&self.incoming) {
            Ok(Some(bytes)) => bytes <= self.incoming.len(),
            Ok(None) => false,
            Err(_) => true,
        };
        !self.early.is_empty() || self.has_peer_closed || has_record
    }

    fn next(&mut self, scratch: &mut [u8]) -> Result<Received, AlertDescription> {
        if !self.early.is_empty() {
            let count = self.early.len().min(scratch.len());
            scratch[..count].copy_from_slice(&self.early[..count]);
            self.early.drain(..count);
            self.early.shrink_to_fit();
            return Ok(Received::Plain(count));
        }
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

    fn receive(&mut self, scratch: &mut [u8], end: usize) -> Result<Received, AlertDescription> {
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
            count => Received::Plain(count),
        }
    }

    /// Opens the record that begins at `at`, which moves behind it, and answers where the plaintext of
    /// requests stands. `None` while it is not there as a whole.
    fn open_next(
        &mut self,
        bytes: &mut [u8],
        at: &mut usize,
    ) -> Result<Option<std::ops::Range<usize>>, AlertDescription> {
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
            ContentType::Handshake => self.on_handshake_message(&bytes[plain])?,
            _ => return Err(AlertDescription::UnexpectedMessage),
        }
        Ok(Some(start..start))
    }

    fn on_alert(&mut self, alert: &[u8]) -> Result<(), AlertDescription> {
        let &[level, description] = alert else {
            return Err(AlertDescription::DecodeError);
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

    /// The one message that may come after the handshake is KeyUpdate.
    fn on_handshake_message(&mut self, message: &[u8]) -> Result<(), AlertDescription> {
        let update = message.strip_prefix(&KEY_UPDATE);
        let (Some(&[request]), ProtocolVersion::TLSv1_3) = (update, self.version) else {
            return Err(AlertDescription::UnexpectedMessage);
        };
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
    fn update_keys(&mut self, out: &mut Vec<u8>) -> Result<(), SealError> {
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
    fn update_kernel_keys(
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
