//! Options that limit connections: how many, and for how long.

use clap::Args;

use super::parse;

/// Options that limit connections.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Open connections at a time
    ///
    /// The number for all worker threads together. For a further connection the one that has been idle
    /// longest is closed: between two requests, or without a byte one second after it was accepted. While no
    /// connection is idle, further ones wait in the listen queue.
    #[arg(
        long = "max-connections",
        value_name = "N",
        env = "ZC_MAX_CONNECTIONS",
        hide_env_values = true,
        default_value = "8192",
        value_parser = parse::connections_max
    )]
    pub connections_max: usize,

    /// Time limit for a request head
    ///
    /// A client that has not sent a whole request head by then is answered with 408.
    #[arg(
        long = "header-timeout",
        value_name = "TIME",
        env = "ZC_HEADER_TIMEOUT",
        hide_env_values = true,
        default_value = "10s",
        value_parser = parse::duration_ms
    )]
    pub header_timeout_ms: u64,

    /// Time limit for an idle connection
    ///
    /// Close a connection that has had no request for this long. At --max-connections, and where no file
    /// descriptor is free, the one that has been idle longest is closed earlier, to make room for a new one.
    #[arg(
        long = "idle-timeout",
        value_name = "TIME",
        env = "ZC_IDLE_TIMEOUT",
        hide_env_values = true,
        default_value = "75s",
        value_parser = parse::duration_ms
    )]
    pub idle_timeout_ms: u64,

    /// Time limit for a stalled client
    ///
    /// Close a connection whose client accepts no data for this long.
    #[arg(
        long = "send-timeout",
        value_name = "TIME",
        env = "ZC_SEND_TIMEOUT",
        hide_env_values = true,
        default_value = "60s",
        value_parser = parse::duration_ms
    )]
    pub send_timeout_ms: u64,

    /// Time to go on accepting at shutdown
    ///
    /// After SIGINT, SIGTERM or SIGQUIT `/readyz` of the admin listener fails at once, and the server goes on
    /// accepting connections and answering requests for this long, so that a load balancer takes it out
    /// first. Each response says `Connection: close`. Then the listeners close, and the grace period begins.
    #[arg(
        long = "drain-delay",
        value_name = "TIME",
        env = "ZC_DRAIN_DELAY",
        hide_env_values = true,
        default_value = "0s",
        value_parser = parse::duration_ms_or_zero
    )]
    pub drain_delay_ms: u64,

    /// Time for responses at shutdown
    ///
    /// When the drain delay is over, the server accepts no more connections, and responses in progress
    /// have this long to end. Those that have not are cut, and the exit status is 3. A second signal ends
    /// the server at once.
    #[arg(
        long = "grace-period",
        value_name = "TIME",
        env = "ZC_GRACE_PERIOD",
        hide_env_values = true,
        default_value = "30s",
        value_parser = parse::duration_ms
    )]
    pub grace_ms: u64,
}
