//! The options of clients, validated.

use super::ClientArgs;
use super::absolute::absolute_bind;
use super::clients::Proxied;
use crate::config::{Bind, Clients, ConfigError, ProxyProtocol};

/// What `args` say about clients; `binds` are the listeners, with their options.
pub(super) fn clients_from(
    args: &ClientArgs,
    binds: &[(&'static str, Bind)],
) -> Result<Clients, ConfigError> {
    Ok(Clients {
        proxy_protocol: proxy_protocol_from(&args.proxy_protocol, binds)?,
        trusted_proxies: args.trusted_proxies.iter().copied().collect(),
        allow: args.allow.iter().copied().collect(),
        deny: args.deny.iter().copied().collect(),
        request_ids: args.request_ids,
        connections_per_ip_max: args.connections_per_ip_max,
    })
}

fn proxy_protocol_from(
    values: &[Proxied],
    binds: &[(&'static str, Bind)],
) -> Result<ProxyProtocol, ConfigError> {
    let mut on = Vec::new();
    for value in values {
        match value {
            Proxied::Everywhere => return Ok(ProxyProtocol::Everywhere),
            Proxied::At(bind) => {
                let bind = absolute_bind(bind)?;
                if binds.iter().any(|(_, other)| *other == bind) {
                    on.push(bind);
                    continue;
                }
                let named = binds
                    .iter()
                    .map(|(option, bind)| format!("{option} {bind}"));
                return Err(ConfigError::NoSuchListener {
                    option: format!("--proxy-protocol={bind}"),
                    listeners: named.collect(),
                });
            }
        }
    }
    Ok(match on.is_empty() {
        true => ProxyProtocol::Off,
        false => ProxyProtocol::On(on),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::Args;
    use crate::config::{Bind, Config, ConfigError, ProxyProtocol};

    fn of(words: &[&str]) -> Result<ProxyProtocol, ConfigError> {
        let words = ["zc-server"].iter().chain(words);
        let words = words.chain(&[env!("CARGO_MANIFEST_DIR")]);
        let args = Args::try_parse_from(words).expect("right words");
        Config::try_from(args).map(|config| config.clients.proxy_protocol)
    }

    #[test]
    fn the_proxy_protocol_is_on_where_it_is_said() {
        let bind = |text: &str| text.parse::<Bind>().expect(text);
        let binds = ["--bind=8080", "--bind=:81"];
        assert_eq!(of(&binds).expect("right"), ProxyProtocol::Off);
        let all = ProxyProtocol::Everywhere;
        assert_eq!(of(&["--proxy-protocol"]).expect("right"), all);
        assert_eq!(of(&["--proxy-protocol=all"]).expect("right"), all);
        let one = of(&[&binds[..], &["--proxy-protocol=localhost:8080"]].concat());
        let one = one.expect("right");
        assert_eq!(one, ProxyProtocol::On(vec![bind("8080")]));
        assert!(one.is_on(&bind("8080")) && !one.is_on(&bind(":81")));
        assert!(all.is_on(&bind(":81")) && !ProxyProtocol::Off.is_on(&bind(":81")));
    }

    #[test]
    fn an_address_that_is_no_listener_is_wrong_usage() {
        let error = of(&["--bind=8080", "--bind=:81", "--proxy-protocol=:8080"]);
        let error = error.expect_err("nobody listens there");
        assert_eq!(error.exit_code(), 2);
        assert_eq!(
            error.to_string(),
            "--proxy-protocol=:8080 is no listener; use one of --bind localhost:8080, --bind :81"
        );
    }
}
