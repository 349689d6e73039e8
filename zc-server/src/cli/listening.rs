//! Options of the listening sockets.

use clap::Args;

use super::choice::{Listen, Qr, Switch};
use super::parse;
use crate::config::{Bind, Congestion, PORT_DEFAULT};

/// Options of the listening sockets.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Listening")]
pub struct ListeningArgs {
    /// Address to listen on
    ///
    /// `8080` and `localhost:8080` listen on the loopback addresses only, IPv4 and IPv6. `:8080` and
    /// `[::]:8080` listen on every address, IPv4 and IPv6. `127.0.0.1:8080` and `[::1]:8080` are single
    /// addresses. `localhost`, `0.0.0.0` and `[::]` have the port of --port. With port 0 the kernel chooses a free port.
    /// `unix:PATH` is a Unix-domain socket, which is made, and removed at the end. May be repeated. With off there is
    /// HTTPS alone.
    #[arg(
        long = "bind",
        value_name = "ADDR",
        env = "ZC_BIND",
        hide_env_values = true,
        value_delimiter = ',',
        default_value = "127.0.0.1",
        value_parser = parse::bind_or_off
    )]
    pub binds: Vec<Listen>,

    /// Port of addresses without one
    ///
    /// Used by --lan, by the default of --bind, and by values of --bind that name no port. With 0 the kernel chooses a
    /// free port.
    #[arg(
        short = 'p',
        long,
        value_name = "N",
        env = "ZC_PORT",
        hide_env_values = true,
        default_value_t = PORT_DEFAULT
    )]
    pub port: u16,

    /// Share with the local network
    ///
    /// Listen on every address of this machine, by IPv4 and IPv6, in place of --bind. The addresses that others can type
    /// are printed, one for each network interface, and a QR code of the best one. HTTPS without --tls-bind does the
    /// same.
    #[arg(long, env = "ZC_LAN", hide_env_values = true, conflicts_with = "binds")]
    pub lan: bool,

    /// Print a QR code of the address
    ///
    /// With auto it is printed on a terminal, with --lan. With on it is printed in any case, of an address that other
    /// machines can reach if there is one.
    #[arg(
        long,
        value_name = "auto|on|off",
        value_enum,
        hide_possible_values = true,
        env = "ZC_QR",
        hide_env_values = true,
        default_value_t = Qr::Auto
    )]
    pub qr: Qr,

    /// Open a browser
    ///
    /// It shows the first address, by xdg-open. Where there is no desktop, that is said.
    #[arg(long, env = "ZC_OPEN", hide_env_values = true)]
    pub open: bool,

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

impl ListeningArgs {
    /// Whether some address has the port of `--port`.
    pub(super) fn takes_port(&self) -> bool {
        let has_none = |listen: &Listen| matches!(listen, Listen::WithoutPort(_));
        self.lan || self.binds.iter().any(has_none)
    }

    /// Where plain HTTP is spoken, in order. [`Listen::Off`] is passed over.
    pub fn plain(&self) -> Vec<Bind> {
        if self.lan {
            return vec![Bind::Everywhere(self.port)];
        }
        let binds = self.binds.iter();
        binds.filter_map(|listen| listen.at(self.port)).collect()
    }
}
