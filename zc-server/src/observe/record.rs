//! What the access log tells of a request, kept while its response is under way.

use std::borrow::Cow;
use std::time::Instant;

use zc_http::Request;

use crate::auth::User;
use crate::clients::Sender;
use crate::socket::PeerAddress;

/// What the access log tells of a request.
#[derive(Debug)]
pub(crate) struct RequestRecord<'b> {
    pub(crate) started: Instant,
    pub(crate) request_line: Cow<'b, [u8]>,
    /// The host that it is for, as the client sent it.
    pub(crate) host: Cow<'b, [u8]>,
    pub(crate) referer: Cow<'b, [u8]>,
    pub(crate) user_agent: Cow<'b, [u8]>,
    pub(crate) sender: Sender,
    /// Who has sent it, where that took a password.
    pub(crate) user: Option<User>,
}

/// What the access log tells of a request beside its head.
#[derive(Debug)]
pub(crate) struct Requester {
    /// When the head was complete.
    pub(crate) started: Instant,
    pub(crate) sender: Sender,
    pub(crate) user: Option<User>,
}

/// Who a response is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client<'c> {
    /// The peer: a proxy, where the PROXY protocol is spoken.
    pub(crate) remote: PeerAddress,
    /// The client of the connection: what the PROXY protocol says, or the peer.
    pub(crate) address: PeerAddress,
    /// `None` without TLS.
    pub(crate) tls: Option<&'c TlsInfo>,
}

/// What both sides of a TLS connection agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsInfo {
    /// `1.2` or `1.3`.
    pub(crate) version: &'static str,
    /// The name of the cipher suite, as in the [registry of
    /// IANA](https://www.iana.org/assignments/tls-parameters/#tls-parameters-4).
    pub(crate) cipher: &'static str,
    /// The name that the client asked for.
    pub(crate) server_name: Option<Box<str>>,
    /// Whether the client has resumed an earlier session.
    pub(crate) is_resumed: bool,
    /// The subject of the certificate of the client, as the text of RFC 4514 in printable ASCII. `None` if it has none.
    pub(crate) client_subject: Option<Box<str>>,
}

/// How an exchange ended, in the words of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Complete,
    Truncated,
    Modified,
    PeerGone,
    Failed,
    Stalled,
    TooSlow,
    DiskTimeout,
    Shutdown,
}

impl Outcome {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Truncated => "truncated",
            Self::Modified => "modified",
            Self::PeerGone => "peer_gone",
            Self::Failed => "failed",
            Self::Stalled => "stalled",
            Self::TooSlow => "too_slow",
            Self::DiskTimeout => "disk_timeout",
            Self::Shutdown => "shutdown",
        }
    }
}

impl<'b> RequestRecord<'b> {
    /// Of a request, and who asks.
    pub(crate) fn new(request: &Request<'b>, requester: Requester) -> Self {
        let Requester {
            started,
            sender,
            user,
        } = requester;
        let field = |name| Cow::Borrowed(request.headers.get(name).unwrap_or_default());
        Self {
            started,
            request_line: Cow::Borrowed(request.request_line()),
            host: Cow::Borrowed(request.authority()),
            referer: field("referer"),
            user_agent: field("user-agent"),
            sender,
            user,
        }
    }

    /// Of bytes that are no request, or not answered as one: their first line.
    pub(crate) fn from_received(received: &'b [u8], sender: Sender) -> Self {
        let line = received
            .split(|&byte| byte == b'\r' || byte == b'\n')
            .find(|line| !line.is_empty());
        Self {
            started: Instant::now(),
            request_line: Cow::Borrowed(line.unwrap_or_default()),
            host: Cow::default(),
            referer: Cow::default(),
            user_agent: Cow::default(),
            sender,
            user: None,
        }
    }

    pub(crate) fn into_owned(self) -> RequestRecord<'static> {
        let owned = |text: Cow<'_, [u8]>| Cow::Owned(text.into_owned());
        RequestRecord {
            started: self.started,
            request_line: owned(self.request_line),
            host: owned(self.host),
            referer: owned(self.referer),
            user_agent: owned(self.user_agent),
            sender: self.sender,
            user: self.user,
        }
    }
}
