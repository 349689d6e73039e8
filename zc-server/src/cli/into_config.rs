//! The command line, validated: [`Args`] become a [`Config`].

use std::path::{Path, PathBuf};

use zc_http::Coding;

use super::absolute::{absolute, absolute_address, absolute_bind};
use super::choice::{FileOrOff, IoUring, Listen, Precompressed, Switch};
use super::into_clients::clients_from;
#[cfg(feature = "tls")]
use super::into_tls::{self, KEY_LOG_VARIABLE};
use super::logging::log_from;
use super::{Args, CacheArgs, ListeningArgs, RateArgs, ServingArgs, SiteArgs};
use crate::config::files::{Cors, Files, Origins, Site};
use crate::config::{
    Bind, CacheLimits, Config, ConfigError, ConnectionLimits, LogTarget, Network, ServedRoot,
    is_same, refuse_served, threads_default,
};

impl TryFrom<Args> for Config {
    type Error = ConfigError;

    /// The configuration that the command line asks for.
    ///
    /// # Errors
    ///
    /// A root cannot be served, an address or a site is given twice, or values contradict each other.
    /// The message says what to change, and [`ConfigError::exit_code`] the code to exit with.
    fn try_from(args: Args) -> Result<Self, ConfigError> {
        #[cfg(feature = "tls")]
        let tls = into_tls::tls_from(
            &args.tls,
            args.listening.lan,
            std::env::var_os(KEY_LOG_VARIABLE),
        )?;
        let binds = binds_from(&args.listening)?;
        let named = binds.iter().map(|bind| ("--bind", bind.clone()));
        #[cfg(feature = "tls")]
        let named = named.chain(tls.iter().flat_map(|tls| {
            let binds = tls.binds.iter();
            binds.map(|bind| ("--tls-bind", bind.clone()))
        }));
        let mut named = named.collect::<Vec<_>>();
        if named.is_empty() {
            return Err(ConfigError::NothingToListenOn);
        }
        let clients = clients_from(&args.clients, &named)?;
        let admin_bind = args.admin.bind.as_ref().map(absolute_address);
        let admin_bind = admin_bind.transpose()?;
        let admin = admin_bind.clone();
        named.extend(admin.map(|address| ("--admin-bind", address.into())));
        refuse_repeated(&named)?;
        let files = files_from(&args.serving, &args)?;
        let sites = sites_from(&args, &files)?;
        let root = ServedRoot::open(&args.root)?;
        #[cfg(feature = "tls")]
        let acme_webroot = into_tls::acme_webroot_from(&args.tls)?;
        let (access_log, log_target) = log_from(&args.logging)?;
        let secrets = secrets(args.config.as_deref(), &files, &sites);
        let roots = sites.iter().map(|site| &site.root).chain([&root]);
        let roots = roots.map(ServedRoot::path);
        #[cfg(feature = "tls")]
        let roots = roots.chain(acme_webroot.as_deref());
        refuse_misplaced(&secrets, &log_target, roots)?;
        Ok(Self {
            root,
            files,
            sites,
            clients,
            #[cfg(feature = "tls")]
            tls,
            #[cfg(feature = "tls")]
            acme_webroot,
            binds,
            threads: args.listening.threads.unwrap_or_else(threads_default),
            access_log,
            log_target,
            admin_bind,
            header_timeout_ms: args.limits.header_timeout_ms,
            idle_timeout_ms: args.limits.idle_timeout_ms,
            send_timeout_ms: args.limits.send_timeout_ms,
            drain_delay_ms: args.limits.drain_delay_ms,
            grace_ms: args.limits.grace_ms,
            connections_max: args.limits.connections_max,
            limits: limits_from(&args.rates),
            offload_cold_reads: args.cold.offload_cold_reads == Switch::On,
            io_uring: args.cold.io_uring == IoUring::Auto,
            disk_threads: args.cold.disk_threads,
            disk_timeout_ms: args.cold.disk_timeout_ms,
            cache: cache_from(&args.cache),
            network: Network {
                congestion: args.listening.congestion,
                defer_accept: args.listening.defer_accept == Switch::On,
                socket_mode: args.listening.socket_mode,
            },
        })
    }
}

fn limits_from(args: &RateArgs) -> ConnectionLimits {
    ConnectionLimits {
        requests_max: args.requests_max.0,
        min_rate: args.min_rate.0,
        min_rate_window_ms: args.min_rate_window_ms,
    }
}

fn cache_from(args: &CacheArgs) -> CacheLimits {
    CacheLimits {
        files: args.files,
        bytes: args.bytes,
        file_max_bytes: args.file_max_bytes,
        ttl_ms: args.ttl_ms,
    }
}

/// The files with secrets that are read, and what each is.
fn secrets<'f>(
    config: Option<&'f Path>,
    files: &'f Files,
    sites: &'f [Site],
) -> Vec<(&'static str, &'f Path)> {
    let all = sites.iter().map(|site| &site.files).chain([files]);
    let users = all.filter_map(|files| files.auth_file.as_deref());
    let users = users.map(|file| ("the file of --auth-file", file));
    let config = config.map(|file| ("the configuration file", file));
    config.into_iter().chain(users).collect()
}

/// Refuses to serve what has secrets in it, the log among it, and to write the log to a file that is read.
fn refuse_misplaced<'r>(
    secrets: &[(&'static str, &Path)],
    log: &LogTarget,
    roots: impl Iterator<Item = &'r Path> + Clone,
) -> Result<(), ConfigError> {
    for &(what, file) in secrets {
        refuse_served(what, file, roots.clone())?;
    }
    let LogTarget::File(log) = log else {
        return Ok(());
    };
    refuse_served("--log-file", log, roots)?;
    let mut secrets = secrets.iter();
    match secrets.find(|(_, file)| is_same(file, log)) {
        Some(&(what, _)) => Err(ConfigError::LogRead {
            file: log.clone(),
            what,
        }),
        None => Ok(()),
    }
}

/// Refuses two options that listen on the same address: the second one could not be bound.
fn refuse_repeated(binds: &[(&'static str, Bind)]) -> Result<(), ConfigError> {
    for (index, (option, other)) in binds.iter().enumerate() {
        let common = |(first, one): &(&'static str, Bind)| {
            let address = one.common(other)?;
            Some((*first, one.clone(), address))
        };
        if let Some((first, one, address)) = binds[..index].iter().find_map(common) {
            return Err(ConfigError::BindRepeated {
                one: format!("{first} {one}"),
                other: format!("{option} {other}"),
                address,
            });
        }
    }
    Ok(())
}

/// The addresses of plain HTTP.
fn binds_from(args: &ListeningArgs) -> Result<Vec<Bind>, ConfigError> {
    if args.binds.len() > 1 && args.binds.contains(&Listen::Off) {
        return Err(ConfigError::BindOffBesideOthers);
    }
    args.plain().iter().map(absolute_bind).collect()
}

/// The sites: those of `--site`, which are served as ROOT is, and those of tables.
fn sites_from(args: &Args, files: &Files) -> Result<Vec<Site>, ConfigError> {
    let open = |hosts: &[String], directory: &Path| {
        ServedRoot::open(directory).map_err(|error| ConfigError::Site {
            site: format!("{}={}", hosts.join(","), directory.display()),
            error: Box::new(error),
        })
    };
    let typed = args.sites.iter().map(|(host, directory)| {
        let hosts = vec![host.clone()];
        Ok(Site {
            root: open(&hosts, directory)?,
            hosts,
            files: files.clone(),
        })
    });
    let tables = args.site_tables.iter().map(|site: &SiteArgs| {
        Ok(Site {
            root: open(&site.hosts, &site.root)?,
            hosts: site.hosts.clone(),
            files: files_from(&site.serving, args)?,
        })
    });
    let sites = typed
        .chain(tables)
        .collect::<Result<Vec<_>, ConfigError>>()?;
    let hosts: Vec<&String> = sites.iter().flat_map(|site| &site.hosts).collect();
    let twice = |(index, host): &(usize, &&String)| hosts[..*index].contains(host);
    if let Some((_, host)) = hosts.iter().enumerate().find(twice) {
        return Err(ConfigError::SiteRepeated {
            host: (*host).clone(),
        });
    }
    Ok(sites)
}

/// How files are served with `args`, which are those of the `server` or of a site.
fn files_from(args: &ServingArgs, server: &Args) -> Result<Files, ConfigError> {
    let rates = &server.rates;
    let mut others = rates.limit_rates.iter().filter(|rule| rule.glob.is_none());
    if others.nth(1).is_some() {
        return Err(ConfigError::RateRepeated);
    }
    Ok(Files {
        index: args.index.clone(),
        listing: args.listing == Switch::On,
        archive: args
            .archive
            .map_or(server.listening.lan, |archive| archive == Switch::On),
        listing_style: file_from(args.listing_style.as_ref())?,
        listing_readme: args.listing_readme == Switch::On,
        spa: args.spa.clone(),
        error_pages: args.error_pages.clone(),
        auth_file: file_from(args.auth_file.as_ref())?,
        cache_control: args.cache_control.clone(),
        limit_rates: rates.limit_rates.clone(),
        limit_rate_after_bytes: rates.limit_rate_after_bytes,
        fields: args.fields.clone(),
        cors: cors_from(args),
        download_query: args.download_query == Switch::On,
        default_type: args.default_type.clone(),
        types: args.types.clone(),
        etags: args.etag,
        charset: args.charset.clone(),
        hidden: args.hidden,
        symlinks: args.symlinks,
        precompressed: precompressed_from(&args.precompressed)?,
        method: args.method,
        method_override: args.method_override,
    })
}

fn file_from(file: Option<&FileOrOff>) -> Result<Option<PathBuf>, ConfigError> {
    let Some(FileOrOff::At(path)) = file else {
        return Ok(None);
    };
    // The program leaves its directory before it reads the file.
    absolute(path).map(Some)
}

fn cors_from(args: &ServingArgs) -> Option<Cors> {
    let origins = match &args.cors[..] {
        [] => return None,
        origins if origins.iter().any(|origin| origin == "*") => Origins::Any,
        origins => Origins::Listed(origins.to_vec()),
    };
    Some(Cors {
        origins,
        request_fields: args.cors_headers.join(", "),
    })
}

fn precompressed_from(list: &[Precompressed]) -> Result<Vec<Coding>, ConfigError> {
    let mut codings = Vec::new();
    for word in list {
        let coding = match word {
            Precompressed::Br => Coding::Brotli,
            Precompressed::Zst => Coding::Zstd,
            Precompressed::Gz => Coding::Gzip,
            Precompressed::Off if list.len() == 1 => return Ok(Vec::new()),
            Precompressed::Off => return Err(ConfigError::PrecompressedOffBesideOthers),
        };
        if !codings.contains(&coding) {
            codings.push(coding);
        }
    }
    Ok(codings)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn defaults_agree_with_the_command_line() {
        let root = tempfile::tempdir().unwrap();
        let args = Args::try_parse_from(["zc-server".as_ref(), root.path().as_os_str()]).unwrap();
        let typed = Config::try_from(args).unwrap();
        let embedded = Config::for_root(root.path()).unwrap();
        assert_eq!(format!("{typed:?}"), format!("{embedded:?}"));
        assert!(typed.threads >= 1);
    }

    #[test]
    fn an_address_given_twice_is_wrong_usage() {
        let parsed = |binds: &str| {
            Args::try_parse_from(["zc-server", "--bind", binds, env!("CARGO_MANIFEST_DIR")])
                .unwrap()
        };
        let error = Config::try_from(parsed("127.0.0.1:1,127.0.0.1:2,127.0.0.1:1")).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert_eq!(
            error.to_string(),
            "--bind 127.0.0.1:1 is given twice; remove one"
        );
        let error = Config::try_from(parsed(":1,127.0.0.1:1")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "--bind :1 and --bind 127.0.0.1:1 both listen on 127.0.0.1:1; remove one"
        );
        // With port 0 the system chooses two different ports.
        assert!(Config::try_from(parsed("127.0.0.1:0,127.0.0.1:0")).is_ok());
    }

    #[test]
    fn sharing_with_the_local_network_offers_archives_unless_that_is_typed() {
        let root = env!("CARGO_MANIFEST_DIR");
        for (words, expected) in [
            (&[][..], false),
            (&["--lan"], true),
            (&["--lan", "--archive", "off"], false),
            (&["--archive", "on"], true),
        ] {
            let words = [&["zc-server"], words, &[root]].concat();
            let config = Config::try_from(Args::try_parse_from(&words).unwrap()).unwrap();
            assert_eq!(config.files.archive, expected, "{words:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_site_is_the_source_of_its_error() {
        let root = env!("CARGO_MANIFEST_DIR");
        let site = format!("a.example={root}/none");
        let args = Args::try_parse_from(["zc-server", "--site", &site, root]).unwrap();
        let error = Config::try_from(args).unwrap_err();
        let source = std::error::Error::source(&error).expect("a source");
        let source = source.downcast_ref::<ConfigError>();
        assert!(
            matches!(source, Some(ConfigError::RootMissing { .. })),
            "{source:?}"
        );
    }
}
