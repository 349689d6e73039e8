//! What `--lan`, `--qr` and `--open` add to the start: addresses to type, a QR code, a browser.

use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use zc_server::config::{ListenAddress, Scheme};
use zc_server::{Args, Listening, Qr};

use super::stderr::Stderr;

/// An address for documentation (RFC 5737), to which nothing is sent: it only has the kernel choose a route.
const ELSEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);
/// White on black, whatever the colours of the terminal are, and back.
const COLOURS: (&str, &str) = ("\x1b[97;40m", "\x1b[0m");

/// The options, which are not those of the server but of its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sharing {
    lan: bool,
    qr: Qr,
    opens: bool,
}

/// An address of a network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Interface {
    name: String,
    address: IpAddr,
}

impl From<&Args> for Sharing {
    fn from(args: &Args) -> Self {
        Self {
            lan: args.listening.lan,
            qr: args.listening.qr,
            opens: args.listening.open,
        }
    }
}

impl Sharing {
    /// Says where the server listens and can be found, and shows it.
    pub(crate) fn tell(self, listening: &[Listening], stderr: &Stderr) {
        let interfaces = self.interfaces(stderr);
        for listening in listening {
            stderr.say(format_args!("  {listening}"));
            for interface in interfaces.iter().filter(|_| self.lan) {
                if let Some(url) = url_at(listening, interface.address) {
                    stderr.say(format_args!("    {url} on {}", interface.name));
                }
            }
        }
        if self.lan && interfaces.is_empty() {
            stderr.say("zc-server: warning: no network interface is up: nobody else can connect");
        }
        let is_wanted = match self.qr {
            Qr::Auto => self.lan && io::stderr().is_terminal(),
            Qr::On => true,
            Qr::Off => false,
        };
        let best = interfaces.first().map(|interface| interface.address);
        match shown(listening, best).filter(|_| is_wanted) {
            Some(url) => print_code(&url, stderr),
            None if self.qr == Qr::On => {
                stderr.say("zc-server: no QR code is printed: there is no address to show");
            }
            None => {}
        }
    }

    /// Opens a browser, if that is wanted.
    pub(crate) fn open(self, listening: &[Listening], stderr: &Stderr) {
        if !self.opens {
            return;
        }
        let here = Some(Ipv4Addr::LOCALHOST.into());
        match shown(listening, here) {
            Some(url) => open(&url, stderr),
            None => stderr.say("zc-server: no browser is opened: there is no address to show"),
        }
    }

    /// The best one first. None unless they are wanted.
    fn interfaces(self, stderr: &Stderr) -> Vec<Interface> {
        if !self.lan && self.qr != Qr::On {
            return Vec::new();
        }
        match interfaces() {
            Ok(all) => sorted(all, outgoing()),
            Err(error) => {
                let what = "cannot read the addresses of this machine";
                stderr.say(format_args!("zc-server: warning: {what}: {error}"));
                Vec::new()
            }
        }
    }
}

/// All addresses of interfaces that are up, but for those that only this machine has.
fn interfaces() -> nix::Result<Vec<Interface>> {
    let wanted = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
    let all = getifaddrs()?.filter_map(|found| {
        let is_usable =
            found.flags.contains(wanted) && !found.flags.contains(InterfaceFlags::IFF_LOOPBACK);
        let storage = found.address.filter(|_| is_usable)?;
        let ipv4 = storage.as_sockaddr_in().map(|address| address.ip().into());
        let ipv6 = || storage.as_sockaddr_in6().map(|address| address.ip().into());
        Some(Interface {
            name: found.interface_name,
            address: ipv4.or_else(ipv6)?,
        })
    });
    Ok(all.collect())
}

/// The address that this machine has in the network of its default route.
fn outgoing() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(ELSEWHERE).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// One address of each interface, by IPv4 where it has that, which is shorter to type; the best one first: the one that
/// leads `outgoing`, and then those of private networks.
fn sorted(all: Vec<Interface>, outgoing: Option<IpAddr>) -> Vec<Interface> {
    let mut chosen: Vec<Interface> = Vec::new();
    // Who types an address of a link would have to add the name of an own interface.
    let is_typed = |address: &IpAddr| match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(address) => !address.is_unicast_link_local(),
    };
    for interface in all.into_iter().filter(|one| is_typed(&one.address)) {
        let mut others = chosen.iter_mut();
        match others.find(|other| other.name == interface.name) {
            None => chosen.push(interface),
            Some(other) if Some(interface.address) == outgoing => *other = interface,
            Some(other) if other.address.is_ipv6() && interface.address.is_ipv4() => {
                *other = interface;
            }
            Some(_) => {}
        }
    }
    chosen.sort_by_key(|interface| match interface.address {
        address if Some(address) == outgoing => 0,
        IpAddr::V4(address) if address.is_private() => 1,
        IpAddr::V4(_) => 2,
        IpAddr::V6(_) => 3,
    });
    chosen
}

/// The URL of a listener at `address`, where it accepts connections to every address of that family.
fn url_at(listening: &Listening, address: IpAddr) -> Option<String> {
    let bound = listening.address.socket_address()?;
    let takes = match (bound.ip(), address) {
        (IpAddr::V4(bound), IpAddr::V4(_)) => bound.is_unspecified(),
        (IpAddr::V6(bound), IpAddr::V6(_)) => bound.is_unspecified(),
        (IpAddr::V6(bound), IpAddr::V4(_)) => bound.is_unspecified() && listening.takes_ipv4,
        (IpAddr::V4(_), IpAddr::V6(_)) => false,
    };
    let at = ListenAddress::Internet(SocketAddr::new(address, bound.port()));
    takes.then(|| at.url(listening.scheme))
}

/// The URL to show: the first of HTTP, at `address` where it accepts connections to that; else of HTTPS.
fn shown(listening: &[Listening], address: Option<IpAddr>) -> Option<String> {
    let url = |listening: &Listening| {
        let bound = listening.address.socket_address()?;
        match address.and_then(|address| url_at(listening, address)) {
            Some(url) => Some(url),
            None if bound.ip().is_unspecified() => None,
            None => Some(listening.address.url(listening.scheme)),
        }
    };
    let of = |scheme: Scheme| {
        let mut of_scheme = listening.iter().filter(|one| one.scheme == scheme);
        of_scheme.find_map(url)
    };
    of(Scheme::Http).or_else(|| of(Scheme::Https))
}

fn print_code(url: &str, stderr: &Stderr) {
    // A URL is far shorter than the longest that fits.
    let Ok(code) = QrCode::new(url) else {
        return;
    };
    // Light is what is drawn: terminals are dark.
    let mut renderer = code.render::<Dense1x2>();
    renderer.dark_color(Dense1x2::Light);
    let drawn = renderer.light_color(Dense1x2::Dark).build();
    let (colour, plain) = match io::stderr().is_terminal() {
        true => COLOURS,
        false => ("", ""),
    };
    for line in drawn.lines() {
        stderr.say(format_args!("{colour}{line}{plain}"));
    }
    stderr.say(format_args!("the QR code is of {url}"));
}

/// Has the desktop open a URL.
fn open(url: &str, stderr: &Stderr) {
    const PROGRAM: &str = "xdg-open";
    let why_not = |why: &dyn Display| {
        stderr.say(format_args!("zc-server: no browser is opened: {why}"));
    };
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if !is_set("DISPLAY") && !is_set("WAYLAND_DISPLAY") {
        return why_not(&"there is no desktop (neither DISPLAY nor WAYLAND_DISPLAY is set)");
    }
    let mut command = Command::new(PROGRAM);
    command.arg(url).current_dir(Path::new("/"));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    match command.stderr(Stdio::null()).spawn() {
        Err(error) => why_not(&format_args!("cannot run {PROGRAM}: {error}")),
        Ok(mut child) => {
            let stderr = stderr.clone();
            // It may stay for as long as the browser does.
            let wait = move || match child.wait() {
                Ok(status) if !status.success() => {
                    stderr.say(format_args!("zc-server: {PROGRAM}: {status}"));
                }
                _ => {}
            };
            // Without the thread its exit is not told, and all else is the same.
            let _ = thread::Builder::new()
                .name("zc-browser".to_owned())
                .spawn(wait);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, address: &str) -> Interface {
        Interface {
            name: name.to_owned(),
            address: address.parse().expect("an address"),
        }
    }

    fn listening(address: &str, takes_ipv4: bool, scheme: Scheme) -> Listening {
        Listening {
            address: ListenAddress::Internet(address.parse().expect("an address")),
            takes_ipv4,
            scheme,
            proxy_protocol: false,
            inherited: false,
        }
    }

    #[test]
    fn each_interface_has_one_address_and_the_best_is_first() {
        let all = vec![
            interface("tun0", "2001:db8::1"),
            interface("docker0", "172.17.0.1"),
            interface("eth0", "fe80::1"),
            interface("eth0", "2001:db8::2"),
            interface("eth0", "192.168.1.20"),
            interface("eth0", "192.168.1.21"),
            interface("eth1", "203.0.113.5"),
            interface("eth2", "fe80::2"),
        ];
        let outgoing = Some("192.168.1.21".parse().expect("an address"));
        let expected = [
            interface("eth0", "192.168.1.21"),
            interface("docker0", "172.17.0.1"),
            interface("eth1", "203.0.113.5"),
            interface("tun0", "2001:db8::1"),
        ];
        assert_eq!(sorted(all.clone(), outgoing), expected);
        let first = sorted(all, None).into_iter().next();
        assert_eq!(first, Some(interface("docker0", "172.17.0.1")));
    }

    #[test]
    fn an_address_is_shown_where_its_listener_takes_it() {
        let address = |text: &str| Some(text.parse().expect("an address"));
        let everywhere = listening("[::]:80", true, Scheme::Http);
        let shown_at = |one: &Listening, at| shown(std::slice::from_ref(one), at);
        let url = |text: &str| Some(text.to_owned());
        assert_eq!(
            shown_at(&everywhere, address("10.0.0.1")),
            url("http://10.0.0.1:80/")
        );
        assert_eq!(
            shown_at(&everywhere, address("2001:db8::1")),
            url("http://[2001:db8::1]:80/")
        );
        assert_eq!(shown_at(&everywhere, None), None);
        let ipv6_alone = listening("[::]:80", false, Scheme::Http);
        assert_eq!(shown_at(&ipv6_alone, address("10.0.0.1")), None);
        let one = listening("10.0.0.7:80", false, Scheme::Http);
        assert_eq!(
            shown_at(&one, address("10.0.0.1")),
            url("http://10.0.0.7:80/")
        );
        let both = [listening("[::]:443", true, Scheme::Https), everywhere];
        assert_eq!(
            shown(&both, address("10.0.0.1")),
            url("http://10.0.0.1:80/")
        );
        assert_eq!(
            shown(&both[..1], address("10.0.0.1")),
            url("https://10.0.0.1:443/")
        );
    }
}
