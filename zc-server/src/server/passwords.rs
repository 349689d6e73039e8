//! What the operator should know where passwords are asked for.

use std::path::{Path, PathBuf};

use crate::auth::Gate;
use crate::config::files::Files;
use crate::config::{Bind, Config};
use crate::files::content::Content;
use crate::services::Services;
use crate::start::{StartError, StartWarning};

/// What lets shared caches keep a response to a request that has credentials
/// ([RFC 9111 §3.5](https://www.rfc-editor.org/rfc/rfc9111#section-3.5)).
const FOR_SHARED_CACHES: [&str; 3] = ["public", "s-maxage", "must-revalidate"];

/// Gets ready to ask for passwords, if `content` is not for everybody.
pub(crate) fn prepare(
    config: &Config,
    content: &Content,
    services: &Services,
) -> Result<Vec<StartWarning>, StartError> {
    let gates = content.gates();
    if gates.is_empty() {
        return Ok(Vec::new());
    }
    services.start_checkers().map_err(StartError::Disk)?;
    let readable = gates.into_iter().filter(|gate| gate.is_public());
    let readable = readable.map(|gate: &Gate| StartWarning::AuthFileReadable {
        path: gate.path().to_owned(),
    });
    let sites = config.sites.iter().map(|site| &site.files);
    let files = std::iter::once(&config.files).chain(sites);
    let values = files.filter_map(value_for_shared_caches);
    let shared = values.map(|value| StartWarning::SharedCaches {
        value: value.to_owned(),
    });
    let above = served_from_above(config);
    let clear = in_clear(config).map(|bind| StartWarning::PasswordsInClear { bind });
    let mut warnings: Vec<StartWarning> = Vec::new();
    for warning in readable.chain(above).chain(shared).chain(clear) {
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    Ok(warnings)
}

/// Roots that take a password, and are below one that asks nobody, or others.
fn served_from_above(config: &Config) -> Vec<StartWarning> {
    let sites = config.sites.iter().map(|site| (&site.root, &site.files));
    let all = sites.chain([(&config.root, &config.files)]);
    let all = all.filter_map(|(root, files)| {
        let real = root.path().canonicalize().ok()?;
        Some((root.path(), real, files.auth_file.as_deref()))
    });
    let all = Vec::from_iter(all);
    let mut warnings = Vec::new();
    for (root, real, users) in all.iter().filter(|(_, _, users)| users.is_some()) {
        let is_above = |other: &&(&Path, PathBuf, Option<&Path>)| {
            other.2 != *users && real.starts_with(&other.1)
        };
        warnings.extend(all.iter().filter(is_above).map(|(above, ..)| {
            StartWarning::ServedFromAbove {
                root: (*root).to_owned(),
                above: (*above).to_owned(),
            }
        }));
    }
    warnings
}

/// A value of `Cache-Control` by which others than those who have a password may be sent what takes one.
fn value_for_shared_caches(files: &Files) -> Option<&str> {
    files.auth_file.as_ref()?;
    let is_shared = |value: &str| {
        let mut directives = value.split(',').map(str::trim);
        let name = |directive: &str| directive.split('=').next().map(str::to_ascii_lowercase);
        directives.any(|directive| {
            name(directive).is_some_and(|name| FOR_SHARED_CACHES.contains(&&*name))
        })
    };
    let values = files.cache_control.iter().map(|rule| &*rule.value);
    values.into_iter().find(|value| is_shared(value))
}

/// The addresses where passwords come from other machines without encryption, as far as can be known: behind a proxy
/// that is trusted it is the proxy that has HTTPS.
fn in_clear(config: &Config) -> impl Iterator<Item = Bind> {
    let is_behind_proxy = !config.clients.trusted_proxies.is_empty();
    let binds = config.binds.iter().cloned();
    let binds = binds.filter(move |bind| {
        !is_behind_proxy && !bind.is_loopback() && !config.clients.proxy_protocol.is_on(bind)
    });
    #[cfg(feature = "tls")]
    let binds = {
        let redirects = config.tls.as_ref().is_some_and(|tls| tls.redirect_http);
        binds.filter(move |_| !redirects)
    };
    binds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::files::{CacheControl, PathGlob};

    #[test]
    fn values_for_shared_caches_are_told() {
        let files = |value: &str| Files {
            auth_file: Some("/users".into()),
            cache_control: vec![CacheControl {
                glob: PathGlob::new("*").expect("a glob"),
                value: value.to_owned(),
            }],
            ..Files::default()
        };
        for value in [
            "public",
            "max-age=1, Public",
            "s-maxage=5",
            "must-revalidate",
        ] {
            let files = files(value);
            assert_eq!(value_for_shared_caches(&files), Some(value));
        }
        for value in ["private", "max-age=3600", "no-cache", "x=public"] {
            assert_eq!(value_for_shared_caches(&files(value)), None, "{value}");
        }
        let open = Files {
            auth_file: None,
            ..files("public")
        };
        assert_eq!(value_for_shared_caches(&open), None);
    }

    #[test]
    fn addresses_without_encryption_are_told() {
        let told = |binds: &[&str], change: fn(&mut Config)| {
            let mut config = Config::for_root(env!("CARGO_MANIFEST_DIR")).expect("a root");
            config.binds = binds
                .iter()
                .map(|bind| bind.parse().expect("an address"))
                .collect();
            change(&mut config);
            in_clear(&config)
                .map(|bind| bind.to_string())
                .collect::<Vec<_>>()
        };
        let binds = [
            "80",
            "127.0.0.2:80",
            "[::1]:80",
            ":81",
            "192.0.2.1:82",
            "0.0.0.0:83",
        ];
        assert_eq!(told(&binds, |_| ()), [":81", "192.0.2.1:82", "0.0.0.0:83"]);
        let behind = |config: &mut Config| {
            let bind = "192.0.2.1:82".parse().expect("an address");
            config.clients.proxy_protocol = crate::config::ProxyProtocol::On(vec![bind]);
        };
        assert_eq!(told(&binds, behind), [":81", "0.0.0.0:83"]);
    }
}
