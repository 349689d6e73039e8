//! Options of the listening sockets.

use clap::Args;

use super::choice::Switch;
use crate::config::Congestion;

/// Heading of `--help`.
const NETWORK: &str = "Network";

/// What the kernel does for connections.
#[derive(Debug, Clone, Copy, Args)]
pub struct NetworkArgs {
    /// Congestion control of connections; `system` is what net.ipv4.tcp_congestion_control says.
    #[arg(
        long,
        value_enum,
        env = "ZC_CONGESTION",
        hide_env_values = true,
        default_value_t = Congestion::System,
        help_heading = NETWORK
    )]
    pub congestion: Congestion,

    /// Whether the kernel keeps a new connection until its first bytes have come, for a second or
    /// so. It saves a third of the CPU of connections that have one request.
    #[arg(
        long = "defer-accept",
        value_enum,
        env = "ZC_DEFER_ACCEPT",
        hide_env_values = true,
        default_value_t = Switch::On,
        help_heading = NETWORK
    )]
    pub defer_accept: Switch,
}
