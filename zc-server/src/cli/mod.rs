//! The command line as typed. [`into_config`] makes a [`Config`](crate::config::Config) of it.
//!
//! The comments of options are the text of the help: the first paragraph that of `-h`, all of them that of
//! `--help`. The first paragraph has no period at its end, and fits one line beside its option.

mod absolute;
mod admin;
mod caching;
mod choice;
mod clients;
mod cold;
mod completions;
mod doctor;
mod effective;
mod environment;
mod etag;
mod file;
mod healthcheck;
mod into_clients;
mod into_config;
#[cfg(feature = "tls")]
mod into_tls;
mod limits;
mod listening;
mod logging;
mod mistakes;
pub(crate) mod parse;
mod rates;
mod serving;
mod site;
mod sources;
#[cfg(feature = "tls")]
mod tls;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub use admin::AdminArgs;
pub use caching::CacheArgs;
pub use choice::{FileOrOff, IoUring, Listen, Precompressed, Qr, Switch};
pub use clients::{ClientArgs, Proxied};
pub use cold::ColdArgs;
pub use completions::CompletionsArgs;
pub use doctor::DoctorArgs;
pub use effective::ServerOptions;
pub use etag::{EtagArgs, TagStore};
pub use healthcheck::HealthcheckArgs;
pub use limits::LimitArgs;
pub use listening::ListeningArgs;
pub use logging::LoggingArgs;
pub use rates::{CountOrOff, RateArgs, RateOrOff};
pub use serving::ServingArgs;
pub use site::SiteArgs;
#[cfg(feature = "tls")]
pub use tls::TlsArgs;

/// The widest line of the help, in columns.
const HELP_COLUMNS_MAX: usize = 80;

/// The end of `-h`.
const EXAMPLES: &str = "\
Examples:
  zc-server                         the current directory on 127.0.0.1:8080
  zc-server --lan                   the same, for the local network
  zc-server --bind :80 /srv/www     a directory on every address, port 80
  zc-server image.iso               a single file
  zc-server etag /srv/www           write entity-tags, do not serve
  zc-server doctor /srv/www         what this machine can do, do not serve
  zc-server check --config zc.toml  are the options right? Do not serve

'zc-server --help' explains each option.";

/// The end of `--help`.
const EXAMPLES_LONG: &str = "\
Values:
  TIME is a number with a unit: 500ms, 10s, 1m. Without a unit it is seconds.
  It is 1ms to 24h; --cache-ttl and --drain-delay can be 0.
  SIZE is a number with a unit: 64KiB, 100kB, 1GB. Without a unit it is bytes.

Environment:
  Each option has a variable, which is used if the option is not on the
  command line. An empty variable counts as not set. The variable of an option
  that may be repeated has one value per line. The values of --bind, --index,
  --precompressed, --cors, --cors-headers, --tls-bind, --tls-self-signed,
  --proxy-protocol, --trusted-proxy, --allow and --deny can also be separated
  by commas. An option without a value is set by on, and not set by off:
  ZC_HIDDEN=on. --cors, --spa, --hsts, --tls-self-signed and --proxy-protocol
  without a value are ZC_CORS=*, ZC_SPA=index.html, ZC_HSTS=31536000,
  ZC_TLS_SELF_SIGNED=localhost and ZC_PROXY_PROTOCOL=all.

Examples:
  zc-server
      Serve the current directory on 127.0.0.1:8080.
  zc-server --lan --port 9000 photos
      Serve a directory to the local network, and print a QR code.
  zc-server --bind :80 /srv/www
      Serve a directory on every address of this machine.
  zc-server --bind 127.0.0.1:8080 --bind 10.0.0.7:8080 .
      Listen on two addresses.
  zc-server image.iso
      Serve a single file.
  zc-server --access-log json | jq .outcome
      Print how each response ended.
  zc-server etag /srv/www
      Write entity-tags made from the content of files.
  zc-server doctor /srv/www
      Say what this machine can do for the server, and what it lacks.
  zc-server check --config /etc/zc/zc.toml
      Check a configuration file, and what it names.
  zc-server print-config --config /etc/zc/zc.toml --bind :80
      Print all options, and where each comes from.";

/// Serve a directory or a file over HTTP/1.1
#[derive(Debug, Clone, Parser)]
#[command(name = "zc-server", version, after_help = EXAMPLES, after_long_help = EXAMPLES_LONG)]
#[command(max_term_width = HELP_COLUMNS_MAX)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub struct Args {
    /// A task in place of serving.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Directory to serve, or one regular file
    #[arg(default_value = ".", env = "ZC_ROOT", hide_env_values = true)]
    pub root: PathBuf,

    /// Read options from a TOML file
    ///
    /// Each key is the name of an option without hyphens in front, and `root` is ROOT. An option that may be repeated
    /// has an array, and one without a value has true or false. The command line and the environment take precedence
    /// over the file. Paths in it are relative to the current directory.
    #[arg(
        long,
        value_name = "FILE",
        env = "ZC_CONFIG",
        hide_env_values = true,
        help_heading = "Configuration"
    )]
    pub config: Option<PathBuf>,

    /// Options of the listening sockets.
    #[command(flatten)]
    pub listening: ListeningArgs,

    /// Options of HTTPS.
    #[cfg(feature = "tls")]
    #[command(flatten)]
    pub tls: TlsArgs,

    /// Serve DIR to requests for HOST
    ///
    /// HOST has no port and is compared without regard to case. Requests for all other hosts are served
    /// from ROOT. May be repeated. The configuration file can give each site options of its own.
    #[arg(
        long = "site",
        value_name = "HOST=DIR",
        env = "ZC_SITE",
        hide_env_values = true,
        value_parser = parse::site,
        help_heading = "Serving"
    )]
    pub sites: Vec<(String, PathBuf)>,

    /// The tables `[[site]]` of the configuration file, where it is that which names the sites.
    #[arg(skip)]
    pub site_tables: Vec<SiteArgs>,

    /// Options of what is served, and of the responses.
    #[command(flatten)]
    pub serving: ServingArgs,

    /// Options of the response cache.
    #[command(flatten)]
    pub cache: CacheArgs,

    /// Options of cold files.
    #[command(flatten)]
    pub cold: ColdArgs,

    /// Options that limit connections.
    #[command(flatten)]
    pub limits: LimitArgs,

    /// Options that limit one connection.
    #[command(flatten)]
    pub rates: RateArgs,

    /// Options of clients.
    #[command(flatten)]
    pub clients: ClientArgs,

    /// Options of the access log.
    #[command(flatten)]
    pub logging: LoggingArgs,

    /// Options of the admin listener.
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// A task in place of serving. A directory of such a name is served as `./NAME`.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Write entity-tags made from the content of files
    ///
    /// The tag of a file is the SHA-256 of its bytes. The server sends it as long as the file has the modification
    /// time and the length that it had when the tag was made. Run the command again after files have changed; files
    /// that have not changed are skipped.
    Etag(EtagArgs),
    /// Say what this machine can do, and what it lacks
    ///
    /// Each line is one finding: ok, warning, missing or unknown, its name, and what it means. Where something can be
    /// mended, the line ends in how. The exit code is 1 if the server could not start, and 0 otherwise. Nothing is
    /// written; a file below ROOT is read.
    Doctor(DoctorArgs),
    /// Check options and configuration file, and what they name
    ///
    /// Roots, pages and certificates are opened as the server would open them. Nothing listens. The exit code is 0 if
    /// the server could start, as far as that can be said without its addresses.
    Check(ServerOptions),
    /// Print the options in effect as TOML, with where each comes from
    ///
    /// The output is a configuration file for --config.
    PrintConfig(ServerOptions),
    /// Ask whether a server is ready
    ///
    /// For images without a shell: HEALTHCHECK CMD ["/zc-server", "healthcheck"]. It asks the admin listener for
    /// /readyz; without one, the first address of --bind for /. The addresses are those of the server: from options,
    /// variables and the configuration file. One line says what came of it. The exit code is 0 or 1.
    Healthcheck(HealthcheckArgs),
    /// Print the completions of a shell
    ///
    /// For bash: zc-server completions bash > /etc/bash_completion.d/zc-server.
    Completions(CompletionsArgs),
}

#[cfg(test)]
mod file_tests;
#[cfg(test)]
mod help_tests;
#[cfg(test)]
mod option_values;
#[cfg(test)]
mod tests;
#[cfg(all(test, feature = "tls"))]
mod tls_tests;
