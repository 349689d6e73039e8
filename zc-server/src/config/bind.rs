//! Addresses to listen on, in the forms that the command line takes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use crate::text::OneLine;

/// What stands before the path of a Unix-domain socket, as in nginx.
const UNIX: &str = "unix:";

/// What is spoken on an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP, in plain.
    Http,
    /// HTTP over TLS.
    Https,
}

/// What is spoken on the connections of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spoken {
    pub(crate) scheme: Scheme,
    /// Whether a header of the PROXY protocol comes before all else.
    pub(crate) has_proxy_header: bool,
}

impl From<Scheme> for Spoken {
    /// Without the PROXY protocol.
    fn from(scheme: Scheme) -> Self {
        Self {
            scheme,
            has_proxy_header: false,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

/// Where to listen. Port 0 lets the system choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bind {
    /// One address. `[::]` takes connections by IPv4 as well, unless an address of IPv4 with the same
    /// port is listened on beside it.
    Address(SocketAddr),
    /// `127.0.0.1` and `[::1]`, as far as the machine has them: nobody else can connect.
    Loopback(u16),
    /// Every address of the machine, by IPv4 and by IPv6.
    Everywhere(u16),
    /// A Unix-domain socket with this path, which is made.
    Unix(PathBuf),
}

/// Where to listen, but for the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortlessBind {
    /// One address.
    Address(IpAddr),
    /// `127.0.0.1` and `[::1]`.
    Loopback,
}

impl PortlessBind {
    /// The same with this port.
    #[must_use]
    pub fn with(self, port: u16) -> Bind {
        match self {
            Self::Address(address) => Bind::Address(SocketAddr::new(address, port)),
            Self::Loopback => Bind::Loopback(port),
        }
    }
}

impl FromStr for PortlessBind {
    type Err = ParseBindError;

    /// Reads `localhost`, `0.0.0.0` or `[::]`. An address of IPv6 has brackets: without them `::80` would be one.
    fn from_str(text: &str) -> Result<Self, ParseBindError> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("localhost") {
            return Ok(Self::Loopback);
        }
        let bracketed = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let address = match bracketed {
            Some(inside) => inside.parse().map(IpAddr::V6).ok(),
            None => text.parse().map(IpAddr::V4).ok(),
        };
        address.map(Self::Address).ok_or(ParseBindError)
    }
}

/// Where somebody listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// An address with its port.
    Internet(SocketAddr),
    /// The path of a Unix-domain socket.
    Unix(PathBuf),
}

impl ListenAddress {
    /// The address with its port; `None` of a Unix-domain socket.
    #[must_use]
    pub fn socket_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Internet(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// The URL where `scheme` is spoken there: `http://127.0.0.1:80/`, or `http+unix:/run/zc.sock`.
    #[must_use]
    pub fn url(&self, scheme: Scheme) -> String {
        match self {
            Self::Internet(address) => format!("{scheme}://{address}/"),
            Self::Unix(_) => format!("{scheme}+{self}"),
        }
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Internet(address)
    }
}

impl From<ListenAddress> for Bind {
    fn from(address: ListenAddress) -> Self {
        match address {
            ListenAddress::Internet(address) => Self::Address(address),
            ListenAddress::Unix(path) => Self::Unix(path),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Internet(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", OneLine(path)),
        }
    }
}

/// Text that is no [`Bind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseBindError;

impl Bind {
    /// The port; 0 for any, and `None` of a Unix-domain socket.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Address(address) => Some(address.port()),
            Self::Loopback(port) | Self::Everywhere(port) => Some(*port),
            Self::Unix(_) => None,
        }
    }

    /// Whether no other machine can connect.
    pub(crate) fn is_loopback(&self) -> bool {
        self.addresses().iter().all(IpAddr::is_loopback)
    }

    /// The addresses, without the port.
    fn addresses(&self) -> Vec<IpAddr> {
        match self {
            Self::Address(address) => vec![address.ip()],
            Self::Loopback(_) => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            Self::Everywhere(_) => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            Self::Unix(_) => Vec::new(),
        }
    }

    /// Whether this is an address of IPv4.
    pub(crate) fn is_ipv4(&self) -> bool {
        matches!(self, Self::Address(SocketAddr::V4(_)) | Self::Loopback(_))
    }

    /// The address that both listen on, if there is one. With port 0 the system chooses two different
    /// ports.
    pub(crate) fn common(&self, other: &Self) -> Option<ListenAddress> {
        if let (Self::Unix(path), Self::Unix(other)) = (self, other) {
            return (path == other).then(|| ListenAddress::Unix(path.clone()));
        }
        let port = self.port().filter(|&port| port != 0)?;
        if Some(port) != other.port() {
            return None;
        }
        let includes = |one: IpAddr, other: IpAddr| {
            one == other || (one.is_unspecified() && one.is_ipv4() == other.is_ipv4())
        };
        let pairs = self
            .addresses()
            .into_iter()
            .flat_map(|one| other.addresses().into_iter().map(move |other| (one, other)));
        let mut common =
            pairs.filter_map(
                |(one, other)| match (includes(one, other), includes(other, one)) {
                    (true, _) => Some(other),
                    (false, true) => Some(one),
                    (false, false) => None,
                },
            );
        common.next().map(|ip| SocketAddr::new(ip, port).into())
    }
}

impl From<SocketAddr> for Bind {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

impl FromStr for Bind {
    type Err = ParseBindError;

    /// Reads `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, `:8080`, `8080` or `unix:PATH`. No other names
    /// are looked up. A port alone is the loopback, since nobody has said more; `:8080` is every address, as
    /// in Go and Caddy.
    fn from_str(text: &str) -> Result<Self, ParseBindError> {
        // `u16` would take a sign, too.
        let port = |digits: &str| {
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|_| is_number)
        };
        let text = text.trim();
        if let Some(path) = text.strip_prefix(UNIX).filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(path.into()));
        }
        if let Some(port) = port(text) {
            return Ok(Self::Loopback(port));
        }
        match text.rsplit_once(':') {
            Some(("", digits)) => port(digits).map(Self::Everywhere),
            Some((name, digits)) if name.eq_ignore_ascii_case("localhost") => {
                port(digits).map(Self::Loopback)
            }
            _ => text.parse().ok().map(Self::Address),
        }
        .ok_or(ParseBindError)
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Loopback(port) => write!(f, "localhost:{port}"),
            Self::Everywhere(port) => write!(f, ":{port}"),
            Self::Unix(path) => write!(f, "{UNIX}{}", OneLine(path)),
        }
    }
}

impl fmt::Display for ParseBindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not an address with a port; examples: 127.0.0.1:8080, [::1]:8080, :8080 (every address), \
             8080 (this machine only), unix:/run/zc.sock",
        )
    }
}

impl std::error::Error for ParseBindError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Bind {
        text.parse().expect(text)
    }

    #[test]
    fn each_form_says_where() {
        for (text, expected, shown) in [
            ("8080", Bind::Loopback(8080), "localhost:8080"),
            ("localhost:80", Bind::Loopback(80), "localhost:80"),
            ("LOCALHOST:80", Bind::Loopback(80), "localhost:80"),
            (":8080", Bind::Everywhere(8080), ":8080"),
            (" 0 ", Bind::Loopback(0), "localhost:0"),
            ("unix:/a b:1", Bind::Unix("/a b:1".into()), "unix:/a b:1"),
        ] {
            assert_eq!(parsed(text), expected, "{text}");
            assert_eq!(expected.to_string(), shown);
            assert_eq!(parsed(shown), expected);
        }
        for text in ["127.0.0.1:80", "0.0.0.0:65535", "[::1]:0", "[::]:8080"] {
            assert_eq!(
                parsed(text),
                Bind::Address(text.parse().expect("an address"))
            );
            assert_eq!(parsed(text).to_string(), text);
        }
        for wrong in [
            "",
            ":",
            "localhost",
            "localhost:",
            "127.0.0.1",
            "::1",
            "::1:80:",
            "::8080",
            "+80",
            "-1",
            ":+80",
            "65536",
            ":65536",
            "localhost:65536",
            "127.0.0.1:65536",
            "example.org:80",
            "[::1]80",
            "80:",
            "8080:localhost",
            "unix:",
            "unix",
        ] {
            assert_eq!(wrong.parse::<Bind>(), Err(ParseBindError), "{wrong}");
        }
    }

    #[test]
    fn an_address_without_a_port_takes_any() {
        for (text, expected) in [
            ("localhost", "localhost:9"),
            (" LocalHost ", "localhost:9"),
            ("0.0.0.0", "0.0.0.0:9"),
            ("[::]", "[::]:9"),
            ("[::1]", "[::1]:9"),
        ] {
            let bind: PortlessBind = text.parse().expect(text);
            assert_eq!(bind.with(9).to_string(), expected);
        }
        for wrong in [
            "",
            "::1",
            "::8080",
            "[::1",
            "[127.0.0.1]",
            "[]",
            "example.org",
            "0.0.0.0:",
        ] {
            assert_eq!(
                wrong.parse::<PortlessBind>(),
                Err(ParseBindError),
                "{wrong}"
            );
        }
    }

    #[test]
    fn what_two_of_them_have_in_common() {
        for (one, other, common) in [
            ("127.0.0.1:80", "127.0.0.1:80", Some("127.0.0.1:80")),
            ("80", "127.0.0.1:80", Some("127.0.0.1:80")),
            ("80", "[::1]:80", Some("[::1]:80")),
            (":80", "127.0.0.1:80", Some("127.0.0.1:80")),
            (":80", "80", Some("127.0.0.1:80")),
            (":80", "[::]:80", Some("[::]:80")),
            ("0.0.0.0:80", "127.0.0.2:80", Some("127.0.0.2:80")),
            ("[::]:80", "[::1]:80", Some("[::1]:80")),
            ("127.0.0.1:80", "127.0.0.1:81", None),
            ("127.0.0.1:80", "127.0.0.2:80", None),
            // The one with the address of IPv4 leaves the other to IPv6.
            ("0.0.0.0:80", "[::]:80", None),
            ("127.0.0.1:80", "[::]:80", None),
            // The system chooses two ports.
            ("0", "0", None),
            (":0", "127.0.0.1:0", None),
            ("unix:/a", "unix:/a", Some("unix:/a")),
            ("unix:/a", "unix:/b", None),
            ("unix:/80", "80", None),
        ] {
            let found = parsed(one).common(&parsed(other));
            let found = found.map(|address| address.to_string());
            assert_eq!(found.as_deref(), common, "{one} {other}");
            let found = parsed(other).common(&parsed(one));
            let found = found.map(|address| address.to_string());
            assert_eq!(found.as_deref(), common, "{other} {one}");
        }
    }
}
