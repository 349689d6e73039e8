//! Who may ask, who is believed about that, and how many connections each may have.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::Bind;
use crate::socket::Host;

/// Stands for the peers on Unix-domain sockets, as in nginx.
const UNIX: &str = "unix:";

/// Who may ask, and who is believed about that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Clients {
    /// The listeners whose connections begin with a header of the PROXY protocol.
    pub proxy_protocol: ProxyProtocol,
    /// Peers that are believed about the client: by `X-Forwarded-For`, and by `Forwarded` where that is missing.
    pub trusted_proxies: Networks,
    /// If there are any, all other clients are answered with 403.
    pub allow: Networks,
    /// Clients that are answered with 403, whatever is allowed.
    pub deny: Networks,
    /// Whether each request has an identifier, which the response and the access log tell.
    pub request_ids: bool,
    /// Connections of one client at a time, from 1; `None` for any number. Addresses of IPv6 count by their /64.
    pub connections_per_ip_max: Option<usize>,
}

/// The listeners whose connections begin with a header of the PROXY protocol.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ProxyProtocol {
    /// None.
    #[default]
    Off,
    /// Those of these addresses, as they are named to listen on.
    On(Vec<Bind>),
    /// All.
    Everywhere,
}

impl ProxyProtocol {
    /// Whether the connections of the listener that is named `bind` begin with the header.
    #[must_use]
    pub fn is_on(&self, bind: &Bind) -> bool {
        match self {
            Self::Off => false,
            Self::On(binds) => binds.contains(bind),
            Self::Everywhere => true,
        }
    }

    /// The same of one that was opened by another process, at this address, in whatever way it is named here.
    #[must_use]
    pub(crate) fn is_on_address(&self, address: &Bind) -> bool {
        match self {
            Self::On(binds) => binds.iter().any(|bind| bind.common(address).is_some()),
            Self::Off | Self::Everywhere => self.is_on(address),
        }
    }
}

/// Networks of addresses, and single addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks(Vec<Cidr>);

/// A network of addresses (RFC 4632), a single address, or the peers on Unix-domain sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr(Range);

/// Whom a [`Cidr`] has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    Internet(IpNet),
    Unix,
}

/// Text that is no [`Cidr`]. Displayed with what is wrong and an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseCidrError {
    /// Neither an address nor a network.
    Unknown,
    /// Bits are set behind the prefix; this is the network without them.
    BitsBehindPrefix(Cidr),
    /// It is of IPv4, in a form of IPv6 that no address of a client has.
    Mapped,
}

impl Networks {
    /// Whether there are none.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them has `address`.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.has(Host::Internet(address))
    }

    /// Whether one of them has `host`.
    pub(crate) fn has(&self, host: Host) -> bool {
        self.0.iter().any(|network| match (network.0, host) {
            (Range::Internet(network), Host::Internet(address)) => network.contains(&address),
            (Range::Unix, Host::Unix) => true,
            _ => false,
        })
    }
}

impl FromIterator<Cidr> for Networks {
    fn from_iter<I: IntoIterator<Item = Cidr>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

impl FromStr for Cidr {
    type Err = ParseCidrError;

    /// Reads `10.0.0.0/8`, `2001:db8::/32`, single addresses without a prefix, and `unix:`.
    fn from_str(text: &str) -> Result<Self, ParseCidrError> {
        let text = text.trim();
        if text == UNIX {
            return Ok(Self(Range::Unix));
        }
        let network = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse().map_err(|_| ParseCidrError::Unknown)?,
        };
        match network {
            IpNet::V6(v6) if v6.prefix_len() >= 96 && v6.addr().to_ipv4_mapped().is_some() => {
                Err(ParseCidrError::Mapped)
            }
            _ if network.trunc() != network => {
                let right = Self(Range::Internet(network.trunc()));
                Err(ParseCidrError::BitsBehindPrefix(right))
            }
            _ => Ok(Self(Range::Internet(network))),
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Range::Internet(network) => network.fmt(f),
            Range::Unix => f.write_str(UNIX),
        }
    }
}

impl fmt::Display for ParseCidrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str(
                "not an address or a network; examples: 192.0.2.7, 10.0.0.0/8, 2001:db8::/32, unix:",
            ),
            Self::BitsBehindPrefix(right) => {
                write!(f, "bits are set behind the prefix; the network is {right}")
            }
            Self::Mapped => f.write_str(
                "this is IPv4 in a form of IPv6; write the IPv4 address, as in 10.0.0.0/8",
            ),
        }
    }
}

impl std::error::Error for ParseCidrError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Cidr, String> {
        let network: Result<Cidr, ParseCidrError> = text.parse();
        network.map_err(|error| error.to_string())
    }

    #[test]
    fn a_network_has_its_addresses_and_no_others() {
        let networks = ["10.0.0.0/8", "192.0.2.7", " 2001:db8::/32 ", "::1"];
        let networks: Networks = networks
            .iter()
            .map(|text| parsed(text).expect(text))
            .collect();
        for (address, expected) in [
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("9.255.255.255", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db8::", true),
            ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true),
            ("2001:db9::", false),
            ("::1", true),
            ("::2", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(
                networks.contains(address.parse().expect(address)),
                expected,
                "{address}"
            );
        }
        assert!(!networks.has(Host::Unix));
        let unix: Networks = [parsed("unix:").expect("a word")].into_iter().collect();
        assert!(unix.has(Host::Unix));
        assert!(!unix.contains("127.0.0.1".parse().expect("an address")));
        assert!(!Networks::default().contains("10.0.0.1".parse().expect("an address")));
        let all: Networks = [parsed("0.0.0.0/0").expect("a network")]
            .into_iter()
            .collect();
        assert!(all.contains("203.0.113.1".parse().expect("an address")));
        assert!(!all.contains("::1".parse().expect("an address")));
    }

    #[test]
    fn what_is_wrong_with_a_network_is_said() {
        let unknown =
            "not an address or a network; examples: 192.0.2.7, 10.0.0.0/8, 2001:db8::/32, unix:";
        for (text, said) in [
            ("", unknown),
            ("10", unknown),
            ("10.0.0.0/33", unknown),
            ("10.0.0.0/", unknown),
            ("10.0.0.0/8/8", unknown),
            ("example.org", unknown),
            ("unix:/a", unknown),
            (
                "10.1.2.3/8",
                "bits are set behind the prefix; the network is 10.0.0.0/8",
            ),
            (
                "2001:db8::1/64",
                "bits are set behind the prefix; the network is 2001:db8::/64",
            ),
            (
                "::ffff:10.0.0.0/104",
                "this is IPv4 in a form of IPv6; write the IPv4 address, as in 10.0.0.0/8",
            ),
        ] {
            assert_eq!(parsed(text), Err(said.to_owned()), "{text}");
        }
    }
}
