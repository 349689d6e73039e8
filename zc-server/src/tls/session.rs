//! One side of a TLS connection, ours.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustls::{AlertDescription, ContentType, ServerConfig};
use zc_core::ktls::{self, Finish, KernelTls, KernelTlsSocket, KernelTlsState};
use zc_core::{Progress, SendError, Slots};

use crate::observe::record::TlsInfo;

use super::failure::{FailedHandshake, not_tls};
use super::handshake::{Advanced, Handshake};
use super::kernel::KernelSealing;
use super::open::{ALERT_WARNING, Failed, Open, Received, Sealing};
use super::record::{PLAIN_BYTES_MAX, SealError};

/// The most plaintext in one record, in bytes.
pub(crate) const RECORD_BYTES_MAX: u64 = PLAIN_BYTES_MAX as u64;

/// The most full records that are sealed before they are written.
const FULL_RECORDS_MAX: usize = 4;
/// The most plaintext in the first records of a response, in bytes. Nothing of a record can be used before its last
/// byte is there, and a full one does not fit into what TCP sends before the first acknowledgement: ten segments
/// ([RFC 6928](https://www.rfc-editor.org/rfc/rfc6928)), 14,480 bytes by Ethernet. These do, and the first one is there
/// soon on a slow line.
const FIRST_BYTES_MAX: [usize; 2] = [4096, 10_240];
/// The most records that are sealed before they are written.
const BATCH_RECORDS_MAX: usize = FULL_RECORDS_MAX - 1 + FIRST_BYTES_MAX.len();
/// After how many the connection ends between two responses where the kernel seals: as many as this and those of
/// the longest body that it is given are allowed.
const KERNEL_RECORDS_MAX: u64 = 1 << 22;
/// The longest body that is left to the kernel, in bytes.
pub(crate) const KERNEL_BYTES_MAX: u64 = PLAIN_BYTES_MAX as u64 * (1 << 23);

/// The first byte of every TLS connection: the type of a handshake record.
const HANDSHAKE_RECORD: u8 = 22;

const ALERT_FATAL: u8 = 2;

/// Why a handshake fails that the client has left.
pub(crate) const PEER_GONE: &str = "the client closed the connection";

/// TLS on one connection.
#[derive(Debug)]
pub(crate) struct Session {
    state: State,
    /// Why the handshake has failed, until it is told.
    failed: Option<Box<FailedHandshake>>,
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

impl Session {
    /// One that waits for the first bytes of the peer.
    /// The kernel is to seal where `kernel` says so.
    pub(crate) fn new(
        config: &ServerConfig,
        kernel: Arc<KernelSealing>,
    ) -> Result<Self, rustls::Error> {
        Ok(Self {
            state: State::Handshaking(Box::new(Handshake::new(config)?)),
            failed: None,
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

    /// Has a handshake fail that has begun and is not over.
    pub(crate) fn fail_handshake(&mut self, reason: &'static str) {
        if let State::Handshaking(handshake) = &self.state
            && !handshake.is_new()
        {
            self.failed = Some(Box::new(handshake.failed(reason)));
            self.state = State::Over;
        }
    }

    /// Why the handshake has failed, once.
    pub(crate) fn take_failed_handshake(&mut self) -> Option<Box<FailedHandshake>> {
        self.failed.take()
    }

    /// Whether nothing more comes or goes but the output.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Whether [`next`](Self::next) has something to tell without another read.
    pub(crate) fn has_received(&self) -> bool {
        match &self.state {
            State::Handshaking(_) => false,
            State::Open(open) => open.has_received(),
            State::Over => false,
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
            self.failed = Some(Box::new(handshake.failed(not_tls(bytes))));
            return Ok(Received::NotTls(bytes.len()));
        }
        let (handshake, advanced) = handshake.advance(bytes, &mut self.output.bytes);
        match advanced {
            Advanced::Blocked => {
                self.state = handshake.map_or(State::Over, State::Handshaking);
                Ok(Received::Nothing)
            }
            Advanced::Closed => {
                self.failed = handshake.map(|handshake| Box::new(handshake.failed(PEER_GONE)));
                Ok(Received::Closed)
            }
            Advanced::Failed(failed) => {
                self.failed = Some(Box::new(failed));
                Err(Failed)
            }
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

    /// Seals what `read` brings, up to what `full_records` have room for, and four at most, at the start of
    /// `sealed`, which grows as far as it has to. Answers how far `read` came, and how many bytes are sealed.
    ///
    /// # Errors
    ///
    /// The error of `read`; or of the connection, which is over then.
    pub(crate) fn seal_from(
        &mut self,
        sealed: &mut Vec<u8>,
        full_records: usize,
        read: impl FnOnce(&mut Slots<'_, '_>) -> Result<Progress, SendError>,
    ) -> Result<(Progress, usize), SendError> {
        let State::Open(open) = &mut self.state else {
            return Err(is_over());
        };
        let Sealing::Here(sealer) = &mut open.sealing else {
            return Err(is_over());
        };
        let sizes = sizes(open.response_records, full_records);
        let room = sizes.iter().map(|&size| sealer.layout(size).1).sum();
        if sealed.len() < room {
            sealed.resize(room, 0);
        }
        let mut pieces: [&mut [u8]; BATCH_RECORDS_MAX] = Default::default();
        let mut rest = &mut sealed[..];
        for (piece, &size) in pieces.iter_mut().zip(&sizes) {
            let (plain, length) = sealer.layout(size);
            let (record, behind) = rest.split_at_mut(length);
            *piece = &mut record[plain];
            rest = behind;
        }
        let mut slots = Slots::new(&mut pieces);
        let progress = read(&mut slots)?;
        // At most what there is room for.
        let mut left = slots.filled() as usize;
        let mut end = 0;
        for size in sizes {
            let bytes = left.min(size);
            if bytes == 0 {
                break;
            }
            let (_, length) = sealer.layout(bytes);
            let record = &mut sealed[end..end + length];
            let sealed = sealer.seal(ContentType::ApplicationData, record);
            sealed.map_err(|SealError| is_over())?;
            open.response_records = open.response_records.saturating_add(1);
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

/// How much plaintext each of the next records may have, where a response has `before` already; together no more than
/// `full_records`.
fn sizes(before: u8, full_records: usize) -> [usize; BATCH_RECORDS_MAX] {
    let mut left = full_records.min(FULL_RECORDS_MAX) * PLAIN_BYTES_MAX;
    std::array::from_fn(|index| {
        let first = FIRST_BYTES_MAX.get(usize::from(before) + index);
        let size = left.min(first.copied().unwrap_or(PLAIN_BYTES_MAX));
        left -= size;
        size
    })
}

fn is_over() -> SendError {
    SendError::from_read_error(io::Error::other("the TLS connection is over"))
}
