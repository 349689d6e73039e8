//! The header of the PROXY protocol, [versions 1 and
//! 2](https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt): what a proxy sends in front of a connection to
//! say whose it is.
//!
//! What the crates for it let through, the specification forbids: other bytes than a space behind `PROXY`, signs and
//! leading zeros in ports, lines of more than 107 bytes. Or they refuse what it wants to be taken: a LOCAL of any
//! family. One of them is the oracle of the tests.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The longest header of version 1, with its line end: the protocol's own bound.
const LINE_BYTES_MAX: usize = 107;
/// The most bytes that a header of version 2 may declare behind its first 16. Proxies in use add some hundred: names,
/// certificates of clients.
const DECLARED_BYTES_MAX: usize = 4096;
/// The longest header.
pub(crate) const HEADER_BYTES_MAX: usize = FIXED_BYTES + DECLARED_BYTES_MAX;

/// What a header of version 1 begins with.
const NAME: &[u8] = b"PROXY ";
/// What a header of version 2 begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, command, family and length of version 2.
const FIXED_BYTES: usize = 16;
/// The source, the destination and their ports: over IPv4, over IPv6, and two paths of Unix domain sockets.
const IPV4_BYTES: usize = 12;
const IPV6_BYTES: usize = 36;
const UNIX_BYTES: usize = 216;

/// What the first bytes of a connection say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preamble {
    /// The beginning of a header.
    Partial,
    /// A header.
    Header {
        length: usize,
        /// `None` where the header names no client that has come by TCP. The peer is the client then.
        client: Option<SocketAddr>,
    },
}

/// Why the first bytes of a connection are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WrongPreamble {
    Absent,
    Malformed,
    TooLong,
}

impl WrongPreamble {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "it does not begin with a PROXY header",
            Self::Malformed => "its PROXY header is malformed",
            Self::TooLong => "its PROXY header is too long",
        }
    }
}

/// Reads the header that `bytes` begin with.
pub(crate) fn parse(bytes: &[u8]) -> Result<Preamble, WrongPreamble> {
    let begins = |mark: &[u8]| {
        let common = bytes.len().min(mark.len());
        bytes[..common] == mark[..common]
    };
    if begins(SIGNATURE) {
        binary(bytes)
    } else if begins(NAME) {
        text(bytes)
    } else {
        Err(WrongPreamble::Absent)
    }
}

/// Version 1: a line.
fn text(bytes: &[u8]) -> Result<Preamble, WrongPreamble> {
    let within = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = within.iter().position(|&byte| byte == b'\n') else {
        return if bytes.len() < LINE_BYTES_MAX {
            Ok(Preamble::Partial)
        } else {
            Err(WrongPreamble::TooLong)
        };
    };
    let line = std::str::from_utf8(&within[NAME.len().min(end)..end]);
    let line = line.ok().and_then(|line| line.strip_suffix('\r'));
    let line = line.filter(|line| !line.contains('\r'));
    let client = line.and_then(client_of_line);
    Ok(Preamble::Header {
        length: end + 1,
        client: client.ok_or(WrongPreamble::Malformed)?,
    })
}

/// The client, if the line names one. `None` of a line that is wrong.
fn client_of_line(line: &str) -> Option<Option<SocketAddr>> {
    let mut words = line.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(None);
    }
    let mut next = || words.next();
    let addresses = [next()?, next()?];
    let ports = [port(next()?)?, port(next()?)?];
    if next().is_some() {
        return None;
    }
    let [source, _] = match family {
        "TCP4" => both::<Ipv4Addr>(addresses)?,
        "TCP6" => both::<Ipv6Addr>(addresses)?,
        _ => return None,
    };
    Some(Some(SocketAddr::new(source, ports[0])))
}

fn both<A: FromStr + Into<IpAddr>>([one, other]: [&str; 2]) -> Option<[IpAddr; 2]> {
    let address = |text: &str| {
        let address: IpAddr = text.parse::<A>().ok()?.into();
        Some(address.to_canonical())
    };
    Some([address(one)?, address(other)?])
}

/// A port, "in the range [0..65535] inclusive. Heading zeroes are not permitted".
fn port(digits: &str) -> Option<u16> {
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_padded = digits.len() > 1 && digits.starts_with('0');
    digits.parse().ok().filter(|_| is_number && !is_padded)
}

/// Version 2: a block.
fn binary(bytes: &[u8]) -> Result<Preamble, WrongPreamble> {
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED_BYTES) else {
        return Ok(Preamble::Partial);
    };
    let (command, family) = (fixed[12], fixed[13]);
    let declared = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if declared > DECLARED_BYTES_MAX {
        return Err(WrongPreamble::TooLong);
    }
    let needed = match (command, family) {
        // LOCAL, of the proxy itself: the family is to be ignored.
        (0x20, _) | (0x21, 0x00) => 0,
        (0x21, 0x11 | 0x12) => IPV4_BYTES,
        (0x21, 0x21 | 0x22) => IPV6_BYTES,
        (0x21, 0x31 | 0x32) => UNIX_BYTES,
        _ => return Err(WrongPreamble::Malformed),
    };
    if declared < needed {
        return Err(WrongPreamble::Malformed);
    }
    let Some(block) = rest.get(..declared) else {
        return Ok(Preamble::Partial);
    };
    // What stands behind the addresses is not asked for.
    let source = match (command, family) {
        (0x21, 0x11) => source::<4, IPV4_BYTES>(block),
        (0x21, 0x21) => source::<16, IPV6_BYTES>(block),
        _ => None,
    };
    Ok(Preamble::Header {
        length: FIXED_BYTES + declared,
        client: source,
    })
}

/// The source in a block of addresses, which begins with it and has its port behind both.
fn source<const ADDRESS: usize, const BLOCK: usize>(block: &[u8]) -> Option<SocketAddr>
where
    IpAddr: From<[u8; ADDRESS]>,
{
    let block = block.first_chunk::<BLOCK>()?;
    let address = IpAddr::from(*block.first_chunk::<ADDRESS>()?);
    let port = u16::from_be_bytes([block[2 * ADDRESS], block[2 * ADDRESS + 1]]);
    Some(SocketAddr::new(address.to_canonical(), port))
}
