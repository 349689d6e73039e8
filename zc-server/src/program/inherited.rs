//! The sockets of socket activation: `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES`
//! ([`sd_listen_fds(3)`](https://man7.org/linux/man-pages/man3/sd_listen_fds.3.html)).

use std::env;

use anyhow::{Result, bail};
use listenfd::ListenFd;
use zc_server::{InheritedError, InheritedSocket, SocketFault};

/// The most sockets that are taken: past what anybody listens on.
const SOCKETS_MAX: usize = 1024;

/// Takes the sockets that this process was given. To be called before there is another thread: the environment is
/// cleared, so that no other process takes them for its own.
pub(crate) fn take() -> Result<Vec<InheritedSocket>> {
    // They are for another process, which has left them in the environment of this one.
    let pid = env::var("LISTEN_PID").unwrap_or_default();
    if !pid.is_empty() && pid != std::process::id().to_string() {
        return Ok(Vec::new());
    }
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    if let Some(count) = env::var_os("LISTEN_FDS").filter(|count| !count.is_empty()) {
        let number = count.to_str().and_then(|count| count.parse().ok());
        if number.is_none_or(|number: usize| number > SOCKETS_MAX) {
            let count = count.display();
            bail!("LISTEN_FDS is `{count}`, and not a number up to {SOCKETS_MAX}; unset it");
        }
    }
    let mut given = ListenFd::from_env();
    let mut names = names.split(':');
    let mut sockets = Vec::new();
    for index in 0..given.len() {
        let name = names.next().unwrap_or_default();
        let label = match name {
            "" => format!("socket {} of LISTEN_FDS", index + 1),
            name => format!("socket {} of LISTEN_FDS, `{name}`,", index + 1),
        };
        match given.take_tcp_listener(index) {
            Ok(Some(socket)) => sockets.push(InheritedSocket::new(label, name, socket)?),
            // Each is taken once.
            Ok(None) => {}
            Err(_) => {
                let is_unix = given.take_unix_listener(index).is_ok();
                let fault = match is_unix {
                    true => SocketFault::Unix,
                    false => SocketFault::NotTcp,
                };
                return Err(InheritedError::new(label, fault).into());
            }
        }
    }
    Ok(sockets)
}
