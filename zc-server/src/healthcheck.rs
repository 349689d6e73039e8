//! `zc-server healthcheck`: asks a server whether it is ready, as an image without a shell has it asked.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::cli::{Args, HealthcheckArgs};
use crate::config::{Bind, ListenAddress, Scheme};

/// The longest line that a status line may be, and the most that is shown of an answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 4096;

/// What is asked, and which answers are good.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    asked: Asked,
    target: String,
    /// The lowest status that is none of health.
    bad_from: u16,
}

/// Where it is asked.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// At a name or an address, with a port.
    Authority(String),
    /// At the path of a Unix-domain socket.
    Unix(PathBuf),
}

/// Asks, and answers in one line what came of it: an error if the server is not ready. `server` are the options of
/// the server.
///
/// # Errors
///
/// The server is not ready, does not answer, or there is no address to ask.
pub fn check(server: &Args, task: &HealthcheckArgs) -> Result<String, String> {
    let question = Question::of(server, task)?;
    let limit = Duration::from_millis(task.timeout);
    let url = question.to_string();
    let (sender, answer) = mpsc::channel();
    // All of it has one limit, the look-up of a name included: a thread that is late is left behind.
    thread::spawn(move || sender.send(question.ask()));
    let answer = answer
        .recv_timeout(limit)
        .unwrap_or_else(|_| Err(format!("no answer within {} ms", limit.as_millis())));
    match answer {
        Ok(said) => Ok(format!("{url}: {said}")),
        Err(why) => Err(format!("{url}: {why}")),
    }
}

impl Question {
    fn of(server: &Args, task: &HealthcheckArgs) -> Result<Self, String> {
        if let Some(url) = &task.url {
            return Ok(Self::of_url(url));
        }
        let admin = task.address.as_ref().or(server.admin.bind.as_ref());
        if let Some(address) = admin {
            return Ok(Self {
                asked: Asked::at(address.clone()),
                target: "/readyz".to_owned(),
                bad_from: 300,
            });
        }
        let first = server.listening.plain().into_iter().next();
        let first = first.ok_or("there is no listener of plain HTTP to ask; add --admin-bind")?;
        let address = match first {
            Bind::Address(address) => address.into(),
            Bind::Loopback(port) | Bind::Everywhere(port) => {
                SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()
            }
            Bind::Unix(path) => ListenAddress::Unix(path),
        };
        Ok(Self {
            asked: Asked::at(address),
            target: "/".to_owned(),
            // A root without an index or a listing is one that is served.
            bad_from: 500,
        })
    }

    fn of_url(url: &str) -> Self {
        let rest = url.strip_prefix("http://").unwrap_or(url);
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let bare = authority
            .rsplit_once(']')
            .map_or(authority, |(_, port)| port);
        let port = if bare.contains(':') { "" } else { ":80" };
        let slash = if target.starts_with('/') { "" } else { "/" };
        Self {
            asked: Asked::Authority(format!("{authority}{port}")),
            target: format!("{slash}{target}"),
            bad_from: 400,
        }
    }

    fn ask(&self) -> Result<String, String> {
        let cannot = |error: io::Error| format!("cannot ask: {error}");
        let mut answer = Vec::new();
        let read = match &self.asked {
            Asked::Authority(authority) => TcpStream::connect(authority)
                .and_then(|stream| self.ask_on(stream, authority, &mut answer)),
            Asked::Unix(path) => UnixStream::connect(path)
                .and_then(|stream| self.ask_on(stream, "localhost", &mut answer)),
        };
        self.judge(&answer).ok_or_else(|| match read {
            Ok(()) => "the answer is none of HTTP".to_owned(),
            Err(error) => cannot(error),
        })?
    }

    fn ask_on(
        &self,
        mut stream: impl Read + Write,
        host: &str,
        answer: &mut Vec<u8>,
    ) -> io::Result<()> {
        let target = &self.target;
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        stream.take(ANSWER_BYTES_MAX).read_to_end(answer)?;
        Ok(())
    }

    /// What an answer says; `None` where it is none.
    fn judge(&self, answer: &[u8]) -> Option<Result<String, String>> {
        let answer = String::from_utf8_lossy(answer);
        let (line, rest) = answer.split_once("\r\n")?;
        let (_, status) = line.strip_prefix("HTTP/1.")?.split_once(' ')?;
        let code: u16 = status.get(..3)?.parse().ok()?;
        if code < self.bad_from {
            return Some(Ok(status.to_owned()));
        }
        // The pages of health have their reason in one line.
        let body = rest.split_once("\r\n\r\n").map(|(_, body)| body);
        let reason = body
            .and_then(|body| body.lines().next())
            .unwrap_or_default();
        let reason: String = reason
            .chars()
            .filter(|letter| !letter.is_control())
            .collect();
        // Those of errors repeat the status.
        Some(Err(match reason == status {
            true => reason,
            false => format!("{status} ({reason})"),
        }))
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = &self.target;
        match &self.asked {
            Asked::Authority(authority) => write!(f, "http://{authority}{target}"),
            Asked::Unix(path) => {
                let url = ListenAddress::Unix(path.clone()).url(Scheme::Http);
                write!(f, "{url}:{target}")
            }
        }
    }
}

impl Asked {
    fn at(address: ListenAddress) -> Self {
        match address {
            ListenAddress::Internet(address) => Self::Authority(reachable(address).to_string()),
            ListenAddress::Unix(path) => Self::Unix(path),
        }
    }
}

/// Where a server is asked that listens there: what stands for every address is none to connect to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_url() {
        for (url, authority, target) in [
            ("http://a", "a:80", "/"),
            ("http://a:1/b?c#d", "a:1", "/b?c"),
            ("http://a?c", "a:80", "/?c"),
            ("http://[::1]", "[::1]:80", "/"),
            ("http://[::1]:2/b", "[::1]:2", "/b"),
        ] {
            let question = Question::of_url(url);
            let asked = Asked::Authority(authority.to_owned());
            assert_eq!(
                (question.asked, &question.target[..]),
                (asked, target),
                "{url}"
            );
        }
    }

    #[test]
    fn what_an_answer_says() {
        let question = Question::of_url("http://a");
        let judge = |answer: &str| question.judge(answer.as_bytes());
        let good = "HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(judge(good), Some(Ok("204 No Content".to_owned())));
        let bad = "HTTP/1.0 503 Service Unavailable\r\nA: b\r\n\r\ndraining\nmore";
        let expected = Err("503 Service Unavailable (draining)".to_owned());
        assert_eq!(judge(bad), Some(expected));
        for none in [
            "",
            "HTTP/1.1 200",
            "SSH-2.0-x\r\n",
            "HTTP/1.1 2\r\n",
            "HTTP/1.1 abc\r\n",
        ] {
            assert_eq!(judge(none), None, "{none}");
        }
    }
}
