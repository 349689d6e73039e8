//! The handshake, by rustls, from bytes that came to bytes that are to be sent.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use rustls::kernel::KernelConnection;
use rustls::server::{
    ClientHello, ResolvesServerCert, ServerConnectionData, UnbufferedServerConnection,
};
use rustls::sign::CertifiedKey;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{
    CipherSuite, CommonState, ExtractedSecrets, HandshakeKind, ProtocolVersion, ServerConfig,
};

use super::failure::{self, FailedHandshake};
use super::record::HEADER_BYTES;
use super::subject::subject;
use crate::observe::record::TlsInfo;

/// Where the first record has the version that the client offers: behind the headers of record and message.
const OFFERED_VERSION: Range<usize> = 9..11;

/// A handshake that is under way.
pub(super) struct Handshake {
    connection: UnbufferedServerConnection,
    names: Arc<NameRecorder>,
    /// Whether nothing has come yet.
    is_new: bool,
    /// The version that the ClientHello begins with.
    offered: Option<[u8; 2]>,
    /// What came and is not done with.
    incoming: Vec<u8>,
    /// How much of it rustls has seen, in whole records.
    seen: usize,
}

/// How far a handshake came.
pub(super) enum Advanced {
    /// More has to come.
    Blocked,
    /// The peer has ended it.
    Closed,
    Failed(FailedHandshake),
    /// The keys are there.
    Over(Box<Agreed>),
}

/// What both sides agreed on.
pub(super) struct Agreed {
    pub(super) keys: KernelConnection<ServerConnectionData>,
    pub(super) secrets: ExtractedSecrets,
    pub(super) info: TlsInfo,
    /// Records that came behind it.
    pub(super) incoming: Vec<u8>,
}

impl Handshake {
    /// A handshake as `config` says. Its certificate is chosen by the resolver of `config`.
    pub(super) fn new(config: &ServerConfig) -> Result<Self, rustls::Error> {
        let names = Arc::new(NameRecorder {
            resolver: Arc::clone(&config.cert_resolver),
            name: OnceLock::new(),
        });
        let mut config = config.clone();
        config.cert_resolver = Arc::clone(&names) as Arc<dyn ResolvesServerCert>;
        Ok(Self {
            connection: UnbufferedServerConnection::new(Arc::new(config))?,
            names,
            is_new: true,
            offered: None,
            incoming: Vec::new(),
            seen: 0,
        })
    }

    /// Whether nothing has come yet.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Goes on with `bytes`, which came. What is to be sent is appended to `output`.
    ///
    /// rustls sees one record more at a time, and none that follows the handshake: its answer to a KeyUpdate could
    /// not be taken from it, but would count as sent.
    pub(super) fn advance(
        mut self: Box<Self>,
        bytes: &[u8],
        output: &mut Vec<u8>,
    ) -> (Option<Box<Self>>, Advanced) {
        self.is_new = false;
        self.incoming.extend_from_slice(bytes);
        if self.offered.is_none() {
            let offered = self.incoming.get(OFFERED_VERSION);
            self.offered = offered.and_then(|version| version.try_into().ok());
        }
        let mut shown = self.seen;
        let advanced = loop {
            let (was_all_shown, mut wants_more) = (shown == self.incoming.len(), false);
            let UnbufferedStatus { discard, state } = self
                .connection
                .process_tls_records(&mut self.incoming[..shown]);
            let advanced = match state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    let start = output.len();
                    // Told of by an error is how much room it takes.
                    let room = match data.encode(&mut []) {
                        Err(EncodeError::InsufficientSize(size)) => size.required_size,
                        _ => 0,
                    };
                    output.resize(start + room, 0);
                    let written = data.encode(&mut output[start..]).unwrap_or(0);
                    output.truncate(start + written);
                    None
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    None
                }
                Ok(ConnectionState::WriteTraffic(_)) => {
                    self.incoming.drain(..discard);
                    return (None, self.finish());
                }
                Ok(ConnectionState::BlockedHandshake) if was_all_shown => Some(Advanced::Blocked),
                Ok(ConnectionState::BlockedHandshake) => {
                    wants_more = true;
                    None
                }
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Some(Advanced::Closed),
                // Early data is not accepted, and there are no other states.
                Ok(_) => Some(Advanced::Failed(self.failed("the client sent early data"))),
                Err(error) => {
                    self.incoming.drain(..discard);
                    self.encode_alert(output);
                    let reason = failure::reason(&error, self.offered);
                    return (None, Advanced::Failed(self.failed(reason)));
                }
            };
            self.incoming.drain(..discard);
            self.seen = self.seen.saturating_sub(discard);
            shown -= discard;
            if wants_more {
                (self.seen, shown) = next_record(&self.incoming, shown);
            }
            if let Some(advanced) = advanced {
                break advanced;
            }
        };
        (Some(self), advanced)
    }

    /// What is told of this handshake when it fails for `reason`.
    pub(super) fn failed(&self, reason: impl Into<Cow<'static, str>>) -> FailedHandshake {
        FailedHandshake {
            server_name: self.names.name.get().cloned(),
            reason: reason.into(),
        }
    }

    /// After an error: the alert that tells the peer.
    fn encode_alert(&mut self, output: &mut Vec<u8>) {
        // The alert comes before anything else is looked at, but rustls must find what it has looked at before.
        let UnbufferedStatus { state, .. } =
            self.connection.process_tls_records(&mut self.incoming);
        if let Ok(ConnectionState::EncodeTlsData(mut data)) = state {
            let start = output.len();
            output.resize(start + ALERT_BYTES_MAX, 0);
            let written = data.encode(&mut output[start..]).unwrap_or(0);
            output.truncate(start + written);
        }
    }

    fn finish(self: Box<Self>) -> Advanced {
        let Self {
            connection,
            names,
            incoming,
            seen: _,
            is_new: _,
            offered: _,
        } = *self;
        let info = info(&connection, names.name.get().cloned());
        match (connection.dangerous_into_kernel_connection(), info) {
            (Ok((secrets, keys)), Some(info)) => Advanced::Over(Box::new(Agreed {
                keys,
                secrets,
                info,
                incoming,
            })),
            _ => Advanced::Failed(FailedHandshake {
                server_name: names.name.get().cloned(),
                reason: "rustls did not give up the keys".into(),
            }),
        }
    }
}

/// For the record of `bytes` that begins at `start`: the end of what came in whole records, and the end of what is
/// there of it.
fn next_record(bytes: &[u8], start: usize) -> (usize, usize) {
    let header = bytes[start..].first_chunk::<HEADER_BYTES>();
    let end = header.map(|header| {
        let payload_bytes = u16::from_be_bytes([header[3], header[4]]);
        start + HEADER_BYTES + usize::from(payload_bytes)
    });
    match end {
        Some(end) if end <= bytes.len() => (end, end),
        // A header that is wrong is refused before the rest of its record comes.
        _ => (start, bytes.len()),
    }
}

/// Room for a sealed alert.
const ALERT_BYTES_MAX: usize = 64;

fn info(connection: &CommonState, server_name: Option<Box<str>>) -> Option<TlsInfo> {
    let version = match connection.protocol_version()? {
        ProtocolVersion::TLSv1_3 => "1.3",
        _ => "1.2",
    };
    let cipher = connection.negotiated_cipher_suite()?.suite();
    Some(TlsInfo {
        version,
        cipher: iana_name(cipher),
        is_resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        server_name,
        client_subject: connection
            .peer_certificates()
            .and_then(<[_]>::first)
            .map(subject),
    })
}

/// The name of a suite in the registry of IANA: rustls has others for those of TLS 1.3.
fn iana_name(cipher: CipherSuite) -> &'static str {
    match cipher {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        other => other.as_str().unwrap_or("unknown"),
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("incoming", &self.incoming.len())
            .finish_non_exhaustive()
    }
}

/// Chooses the certificate, and keeps the name that the client asked for: rustls does not tell it afterwards.
#[derive(Debug)]
struct NameRecorder {
    resolver: Arc<dyn ResolvesServerCert>,
    name: OnceLock<Box<str>>,
}

impl ResolvesServerCert for NameRecorder {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let Some(name) = hello.server_name() {
            self.name.get_or_init(|| name.into());
        }
        self.resolver.resolve(hello)
    }

    fn only_raw_public_keys(&self) -> bool {
        self.resolver.only_raw_public_keys()
    }
}
