//! TCP as this machine has it set up.

use std::net::{Ipv4Addr, SocketAddr};

use mio::net::TcpListener;
use socket2::SockRef;

use super::{Finding, sysctl, sysctl_number};
use crate::reactor::listener::{BACKLOG, unpaced_under};

pub(super) fn findings() -> Vec<Finding> {
    vec![backlog(sysctl_number("net/core/somaxconn")), congestion()]
}

/// How many connections can wait to be accepted.
fn backlog(most: Option<u64>) -> Finding {
    const NAME: &str = "backlog";
    let wanted = u64::from(BACKLOG.unsigned_abs());
    match most {
        Some(most) if most < wanted => {
            let text = format!(
                "each worker may have {most} connections waiting to be accepted, not {wanted}: more at a time \
                 are delayed by a second"
            );
            Finding::warning(NAME, text)
                .with_mend(format!("run sysctl -w net.core.somaxconn={wanted} as root"))
        }
        Some(_) => Finding::ok(
            NAME,
            format!("each worker may have {wanted} connections waiting to be accepted"),
        ),
        None => Finding::unknown(NAME, "the sysctl net.core.somaxconn cannot be read"),
    }
}

/// What congestion control connections are under, and whether it is paced.
fn congestion() -> Finding {
    const NAME: &str = "congestion";
    let listener = match TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))) {
        Ok(listener) => listener,
        Err(error) => return Finding::unknown(NAME, error.to_string()),
    };
    let name = match SockRef::from(&listener).tcp_congestion() {
        Ok(name) => name,
        Err(error) => return Finding::unknown(NAME, error.to_string()),
    };
    // The kernel fills the name up with zeros.
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    let name = String::from_utf8_lossy(name);
    let qdisc = sysctl("net/core/default_qdisc").unwrap_or_else(|| "not known".to_owned());
    let text = format!("{name}; the default queueing discipline is {qdisc}");
    match unpaced_under(&listener) {
        Some(_) => Finding::warning(
            NAME,
            format!("{text}, and bbr without fq uses twice the CPU"),
        )
        .with_mend("run sysctl -w net.core.default_qdisc=fq, or use --congestion cubic"),
        None => Finding::ok(NAME, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn a_short_backlog_is_warned_of() {
        assert_eq!(backlog(Some(4096)).state, State::Ok);
        assert_eq!(backlog(Some(128)).state, State::Warning);
        assert_eq!(backlog(None).state, State::Unknown);
    }
}
