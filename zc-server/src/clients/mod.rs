//! Who asks: the client behind proxies, whether it may ask, how many connections it has, and what its request is
//! called.

mod forwarded;
#[cfg(test)]
mod oracle;
mod per_address;
pub(crate) mod proxy;
mod request_id;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod strange;

use std::net::IpAddr;
use std::sync::Arc;

use zc_http::Headers;

use crate::config::{self, Networks};
use crate::socket::Host;
use per_address::PerAddress;

pub(crate) use per_address::{Counted, queue_key};
pub(crate) use request_id::{RequestId, RequestIds};

/// What is configured about clients.
#[derive(Debug)]
pub(crate) struct Clients {
    trusted: Networks,
    allow: Networks,
    deny: Networks,
    has_request_ids: bool,
    per_address: Option<Arc<PerAddress>>,
}

/// Who has sent a request, and what that is called, as far as it says more than its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sender {
    /// The client that a trusted proxy names; `None` where none is trusted.
    pub(crate) client: Option<IpAddr>,
    /// `None` without `--request-id`.
    pub(crate) request_id: Option<RequestId>,
}

impl Sender {
    /// It, or if nothing is known of it `other`.
    pub(crate) fn or(self, other: impl FnOnce() -> Self) -> Self {
        if self == Self::default() {
            other()
        } else {
            self
        }
    }
}

/// Whether a connection is one too many.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It does not count.
    Free,
    /// One of those that its client may have.
    Counted(#[expect(dead_code, reason = "it is there to be dropped")] Counted),
    /// Its client has so many others.
    Refused { max: usize },
}

impl Admission {
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

impl Clients {
    pub(crate) fn new(config: &config::Clients) -> Self {
        let per_address = config.connections_per_ip_max.map(PerAddress::new);
        Self {
            trusted: config.trusted_proxies.clone(),
            allow: config.allow.clone(),
            deny: config.deny.clone(),
            has_request_ids: config.request_ids,
            per_address: per_address.map(Arc::new),
        }
    }

    /// What is configured from now on. Connections that are counted stay counted.
    pub(crate) fn renewed(&self, config: &config::Clients) -> Self {
        let per_address = match (&self.per_address, config.connections_per_ip_max) {
            (Some(counts), Some(max)) => {
                counts.set_max(max);
                Some(Arc::clone(counts))
            }
            (_, max) => max.map(PerAddress::new).map(Arc::new),
        };
        Self {
            per_address,
            ..Self::new(config)
        }
    }

    /// Who has sent a request with these fields, on a connection of `peer`.
    #[inline]
    pub(crate) fn sender(&self, peer: Host, headers: &Headers<'_>, ids: &mut RequestIds) -> Sender {
        let is_trusted = !self.trusted.is_empty() && self.trusted.has(peer);
        Sender {
            client: is_trusted
                .then(|| forwarded::client(headers, &self.trusted))
                .flatten(),
            request_id: self.has_request_ids.then(|| {
                let given = headers.get("x-request-id").and_then(RequestId::taken);
                given.unwrap_or_else(|| ids.next())
            }),
        }
    }

    /// What is not sent by a request that could be read is called.
    pub(crate) fn unread_sender(&self, ids: &mut RequestIds) -> Sender {
        Sender {
            client: None,
            request_id: self.has_request_ids.then(|| ids.next()),
        }
    }

    /// Whether `client` may not ask.
    #[inline]
    pub(crate) fn is_forbidden(&self, client: Host) -> bool {
        let is_left_out = || !self.allow.is_empty() && !self.allow.has(client);
        self.deny.has(client) || is_left_out()
    }

    /// Counts a connection of `client`. Those of trusted proxies are of many clients, and not counted; nor are those
    /// on Unix-domain sockets, which come from no address.
    pub(crate) fn admit(&self, client: Host) -> Admission {
        let (Some(per_address), Host::Internet(client)) = (&self.per_address, client) else {
            return Admission::Free;
        };
        if self.trusted.contains(client) {
            return Admission::Free;
        }
        match per_address.count(client) {
            Some(counted) => Admission::Counted(counted),
            None => Admission::Refused {
                max: per_address.max(),
            },
        }
    }
}

#[cfg(test)]
mod tests;
