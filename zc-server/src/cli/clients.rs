//! Options of clients: who they are behind proxies, who may ask, and how much.

use clap::Args;

use super::parse;
use crate::config::{Bind, Cidr};

/// The value of --proxy-protocol for all listeners.
const EVERYWHERE: &str = "all";

/// Options of clients.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Clients")]
pub struct ClientArgs {
    /// Expect the PROXY protocol
    ///
    /// Each connection must begin with a header of the PROXY protocol, version 1 or 2, which names the client.
    /// Connections without one are closed. With ADDR, only at the listener that --bind or --tls-bind names so; without
    /// ADDR, or with all, at every listener. May be repeated. Only proxies may reach such a listener, as anybody can
    /// send the header.
    #[arg(
        long,
        value_name = "ADDR",
        env = "ZC_PROXY_PROTOCOL",
        hide_env_values = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = EVERYWHERE,
        value_delimiter = ',',
        value_parser = proxied
    )]
    pub proxy_protocol: Vec<Proxied>,

    /// Believe proxies of a network
    ///
    /// If the peer is in one of these networks, the client is the last address in X-Forwarded-For that is in none. If
    /// there is no X-Forwarded-For, Forwarded is used. From all other peers both fields are ignored. CIDR is a network
    /// such as 10.0.0.0/8, or an address, or unix: for all peers on Unix-domain sockets. May be repeated.
    #[arg(
        long = "trusted-proxy",
        value_name = "CIDR",
        env = "ZC_TRUSTED_PROXY",
        hide_env_values = true,
        value_delimiter = ',',
        value_parser = parse::cidr
    )]
    pub trusted_proxies: Vec<Cidr>,

    /// Serve clients of these networks only
    ///
    /// Other clients are answered with 403. CIDR is as for --trusted-proxy. May be repeated.
    #[arg(
        long,
        value_name = "CIDR",
        env = "ZC_ALLOW",
        hide_env_values = true,
        value_delimiter = ',',
        value_parser = parse::cidr
    )]
    pub allow: Vec<Cidr>,

    /// Do not serve clients of these networks
    ///
    /// They are answered with 403, also where --allow includes them. May be repeated.
    #[arg(
        long,
        value_name = "CIDR",
        env = "ZC_DENY",
        hide_env_values = true,
        value_delimiter = ',',
        value_parser = parse::cidr
    )]
    pub deny: Vec<Cidr>,

    /// Open connections of one address
    ///
    /// A further connection is answered with 503, and closed before the handshake with HTTPS. The number is for all
    /// worker threads together. Addresses of IPv6 are counted by their /64. Connections of --trusted-proxy and
    /// on Unix-domain sockets are not counted. Browsers and download managers open 6 to 16 connections, and many clients may share an address: use 64
    /// or more.
    #[arg(
        long = "max-connections-per-ip",
        value_name = "N",
        env = "ZC_MAX_CONNECTIONS_PER_IP",
        hide_env_values = true,
        value_parser = parse::connections_max
    )]
    pub connections_per_ip_max: Option<usize>,

    /// Give each request an X-Request-Id
    ///
    /// The X-Request-Id of the request is used if it has 1 to 64 bytes of visible ASCII. Otherwise a random one of 32
    /// hexadecimal digits is made. The response and the access log have it.
    #[arg(long = "request-id", env = "ZC_REQUEST_ID", hide_env_values = true)]
    pub request_ids: bool,
}

/// A value of --proxy-protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proxied {
    /// Every listener.
    Everywhere,
    /// The listener of this name.
    At(Bind),
}

/// Parses a value of --proxy-protocol.
fn proxied(text: &str) -> Result<Proxied, String> {
    match text.trim() {
        EVERYWHERE => Ok(Proxied::Everywhere),
        address => parse::bind(address).map(Proxied::At),
    }
}
