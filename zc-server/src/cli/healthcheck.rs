//! Options of `zc-server healthcheck`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::parse;
use crate::config::ListenAddress;

/// Options of `zc-server healthcheck`.
#[derive(Debug, Clone, Args)]
pub struct HealthcheckArgs {
    /// Address of the admin listener [default: that of the server]
    #[arg(value_name = "ADDR", value_parser = parse::admin_bind, conflicts_with = "url")]
    pub address: Option<ListenAddress>,

    /// Ask this http:// URL instead
    ///
    /// Any status below 400 is well.
    #[arg(long, value_name = "URL", value_parser = parse::http_url)]
    pub url: Option<String>,

    /// Time limit for the answer
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = parse::duration_ms)]
    pub timeout: u64,

    /// The server's configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The server's --admin-bind
    #[arg(long, value_name = "ADDR", value_parser = parse::admin_bind)]
    pub admin_bind: Option<ListenAddress>,
}

impl HealthcheckArgs {
    /// The options of the server that it has, as words.
    pub(super) fn server_words(&self) -> Vec<OsString> {
        let config = self.config.as_ref().map(|path| ("--config", path.into()));
        let bind = self.admin_bind.as_ref();
        let bind = bind.map(|address| ("--admin-bind", address.to_string().into()));
        let options = config.into_iter().chain(bind);
        options
            .flat_map(|(name, value): (&str, OsString)| [name.into(), value])
            .collect()
    }
}
