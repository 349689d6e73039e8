//! Options of the listening sockets.

use clap::Args;

use super::choice::{Listen, Switch};
use super::parse;
use crate::config::Congestion;

/// Options of the listening sockets.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Listening")]
pub struct ListeningArgs {
    /// Address to listen on
    ///
    /// `8080` and `localhost:8080` listen on the loopback addresses only, IPv4 and IPv6. `:8080` and
    /// `[::]:8080` listen on every address, IPv4 and IPv6. `127.0.0.1:8080` and `[::1]:8080` are single
    /// addresses. With port 0 the kernel chooses a free port. `unix:PATH` is a Unix-domain socket, which is made, and
    /// removed at the end. May be repeated. With off there is HTTPS alone.
    #[arg(
        long = "bind",
        value_name = "ADDR",
        env = "ZC_BIND",
        hide_env_values = true,
        value_delimiter = ',',
        default_value = "127.0.0.1:8080",
        value_parser = parse::bind_or_off
    )]
    pub binds: Vec<Listen>,

    /// Worker threads [default: one per CPU]
    #[arg(
        long,
        value_name = "N",
        env = "ZC_THREADS",
        hide_env_values = true,
        value_parser = parse::threads
    )]
    pub threads: Option<usize>,

    /// TCP congestion control
    #[arg(
        long,
        value_name = "NAME",
        value_enum,
        env = "ZC_CONGESTION",
        hide_env_values = true,
        default_value_t = Congestion::System
    )]
    pub congestion: Congestion,

    /// Accept when the first bytes arrive
    ///
    /// The kernel passes a connection to the server when its first bytes have arrived, or after about
    /// one second (TCP_DEFER_ACCEPT). A connection with a single request then costs a third less CPU.
    /// With off, connections without a request are accepted and counted at once.
    #[arg(
        long = "defer-accept",
        value_name = "on|off",
        value_enum,
        hide_possible_values = true,
        env = "ZC_DEFER_ACCEPT",
        hide_env_values = true,
        default_value_t = Switch::On
    )]
    pub defer_accept: Switch,

    /// Mode of Unix sockets
    ///
    /// The permissions of sockets of unix:PATH, in octal as for chmod. Whoever may write to a socket may connect: with
    /// 0660 the user and the group of the server, with 0666 everybody on this machine.
    #[arg(
        long,
        value_name = "MODE",
        env = "ZC_SOCKET_MODE",
        hide_env_values = true,
        default_value = "0660",
        value_parser = parse::socket_mode
    )]
    pub socket_mode: u32,
}
