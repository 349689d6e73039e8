//! Options of the admin listener.

use clap::Args;

use super::parse;
use crate::config::ListenAddress;

/// Options of the admin listener.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Monitoring")]
pub struct AdminArgs {
    /// Address of metrics and health
    ///
    /// Serves /metrics, /healthz, /readyz and /status there, by a thread of its own, and nowhere else. `9180` and
    /// `:9180` listen on 127.0.0.1 only. Write `0.0.0.0:9180` or `[::]:9180` for every address; whoever can connect
    /// can read paths and clients. `unix:PATH` is a Unix-domain socket, as for --bind.
    #[arg(
        long = "admin-bind",
        value_name = "ADDR",
        env = "ZC_ADMIN_BIND",
        hide_env_values = true,
        value_parser = parse::admin_bind
    )]
    pub bind: Option<ListenAddress>,
}
