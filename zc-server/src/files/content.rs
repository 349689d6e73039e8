//! What is served: the roots, the hosts, the rules. It is replaced as a whole when the configuration is
//! read again; exchanges under way keep the content that they began with.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use zc_http::Request;

use crate::auth::{FileError, Gate};
use crate::config::files::Files;
use crate::config::{self, Config, Scheme};
use crate::files::mounts::Mounts;
use crate::files::open_file::OpenMode;
use crate::files::root::Root;
use crate::files::roots::RootPath;
use crate::files::rules::Rules;
use crate::html::{OwnStyle, StyleError};
use crate::observe::diagnostics::Diagnostics;
use crate::text::OneLine;

/// The port of HTTPS that no URL names.
const HTTPS_PORT: u16 = 443;

/// What is served, and how files become responses.
#[derive(Debug)]
pub(crate) struct Content {
    /// Its number among the contents that there were.
    pub(crate) generation: u64,
    /// The paths that are served: of ROOT, and then of the sites.
    pub(crate) roots: Vec<Arc<RootPath>>,
    /// The rules of ROOT, and then of the sites.
    rules: Vec<Rules>,
    /// Who may see what is below ROOT, and then below the roots of the sites; `None` for everybody.
    gates: Vec<Option<Arc<Gate>>>,
    /// The hosts of the sites, in lower case, with the place of their root.
    hosts: Vec<(String, usize)>,
    /// The place among the roots of what a certificate authority asks for by HTTP.
    challenges: Option<usize>,
    /// The port of HTTPS, where requests by HTTP are redirected there.
    redirect_port: Option<u16>,
}

/// What of the configuration cannot be served.
#[derive(Debug)]
pub(crate) enum ContentError {
    /// The root could not be opened.
    Root {
        /// The root, an absolute path.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A page of the configuration could not be opened.
    Page {
        /// The option that names it, with its value.
        option: String,
        /// Where it should be.
        path: PathBuf,
        /// What is wrong with it.
        reason: Box<dyn Error + Send + Sync>,
    },
    /// A file of users cannot be used.
    AuthFile(FileError),
    /// A style cannot be used.
    Style(StyleError),
}

/// Those of the server, but that what is not there is answered with nothing else.
fn rules_of_challenges(files: &Files) -> Files {
    Files {
        spa: None,
        ..files.clone()
    }
}

impl Content {
    /// Opens the roots, and answers them as well: they are in the order of their paths. `https_port` is where
    /// the server listens for HTTPS.
    pub(crate) fn open(
        config: &Config,
        mounts: &Arc<Mounts>,
        diagnostics: &Diagnostics,
        https_port: Option<u16>,
    ) -> Result<(Self, Vec<Arc<Root>>), ContentError> {
        static GENERATIONS: AtomicU64 = AtomicU64::new(0);
        let open_path = |path: &Path, files: &Files| {
            let (mounts, diagnostics) = (Arc::clone(mounts), diagnostics.clone());
            let opened = RootPath::open(path, files.symlinks, mounts, diagnostics);
            let (path, root) = opened.map_err(|error| ContentError::Root {
                path: path.to_owned(),
                error,
            })?;
            Ok((Arc::new(path), root))
        };
        let open = |(root, files): (&config::ServedRoot, &Files)| {
            let (path, root) = open_path(root.path(), files)?;
            check_pages(files, &root)?;
            Ok((path, root))
        };
        let sites = config.sites.iter().map(|site| (&site.root, &site.files));
        let all = std::iter::once((&config.root, &config.files)).chain(sites);
        let opened = all.clone().map(open);
        let mut opened = opened.collect::<Result<Vec<_>, ContentError>>()?;
        let secure = Secure::new(config);
        let webroot = secure
            .acme_webroot
            .map(|path| open_path(path, &config.files));
        let webroot = webroot.transpose()?;
        let challenges = webroot.is_some().then_some(opened.len());
        opened.extend(webroot);
        let (paths, opened) = opened.into_iter().unzip();
        let content = Self {
            gates: open_gates(all.clone().map(|(_, files)| files))
                .map_err(ContentError::AuthFile)?,
            generation: GENERATIONS.fetch_add(1, Ordering::Relaxed),
            roots: paths,
            rules: (all.map(|(_, files)| files).cloned())
                .chain(challenges.map(|_| rules_of_challenges(&config.files)))
                .map(|files| {
                    let style = files.listing_style.as_deref().map(OwnStyle::read);
                    let style = style.transpose().map_err(ContentError::Style)?;
                    let ttl_ms = config.cache.ttl_ms;
                    Ok(Rules::new(&files, style, ttl_ms, secure.hsts_seconds))
                })
                .collect::<Result<_, ContentError>>()?,
            // ROOT comes first.
            hosts: (1..)
                .zip(&config.sites)
                .flat_map(|(place, site)| site.hosts.iter().map(move |host| (host.clone(), place)))
                .collect(),
            challenges,
            redirect_port: https_port.filter(|_| secure.redirects),
        };
        Ok((content, opened))
    }

    /// How files below this root become responses.
    pub(crate) fn rules_of(&self, root: usize) -> &Rules {
        &self.rules[root]
    }

    /// Who may see what is below this root; `None` for everybody. What a certificate authority asks for, it sees.
    #[inline]
    pub(crate) fn gate_of(&self, root: usize) -> Option<&Arc<Gate>> {
        self.gates.get(root)?.as_ref()
    }

    /// Those there are, each once.
    pub(crate) fn gates(&self) -> Vec<&Gate> {
        let mut gates: Vec<&Gate> = Vec::new();
        for gate in self.gates.iter().flatten() {
            if gates.iter().all(|known| !std::ptr::eq(*known, &**gate)) {
                gates.push(gate);
            }
        }
        gates
    }

    /// Whether this root has answers for a certificate authority alone, and no pages of errors.
    pub(crate) fn is_of_challenges(&self, root: usize) -> bool {
        self.challenges == Some(root)
    }

    /// Where a request by HTTP is redirected, if it is: to the same target by HTTPS.
    pub(crate) fn https_location(&self, request: &Request<'_>, scheme: Scheme) -> Option<Vec<u8>> {
        let port = self.redirect_port?;
        let host = host_of(request.authority());
        let is_served = self.challenges.is_some() && is_challenge(request, scheme);
        if scheme == Scheme::Https || host.is_empty() || is_served {
            return None;
        }
        let mut location = [b"https://", host].concat();
        if port != HTTPS_PORT {
            location.extend_from_slice(format!(":{port}").as_bytes());
        }
        location.extend_from_slice(request.target.path()?);
        if let Some(query) = request.target.query() {
            location.push(b'?');
            location.extend_from_slice(query);
        }
        Some(location)
    }

    /// The place in [`roots`](Self::roots) of the one that serves the host of this request
    /// ([RFC 9112 §3.3](https://www.rfc-editor.org/rfc/rfc9112#section-3.3)).
    pub(crate) fn root_of(&self, request: &Request<'_>, scheme: Scheme) -> usize {
        if let Some(root) = self.challenges
            && is_challenge(request, scheme)
        {
            return root;
        }
        if self.hosts.is_empty() {
            return 0;
        }
        let host = host_of(request.authority());
        let mut hosts = self.hosts.iter();
        let site = hosts.find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(host));
        // ROOT serves all other hosts.
        site.map_or(0, |(_, place)| *place)
    }
}

/// Reads the file of users of each, or of none. What was checked for one root is known for all with the same file.
fn open_gates<'f>(
    files: impl Iterator<Item = &'f Files>,
) -> Result<Vec<Option<Arc<Gate>>>, FileError> {
    let mut opened: HashMap<&Path, Arc<Gate>> = HashMap::new();
    let gates = files.map(|files| {
        let Some(path) = files.auth_file.as_deref() else {
            return Ok(None);
        };
        if let Some(gate) = opened.get(path) {
            return Ok(Some(Arc::clone(gate)));
        }
        let gate = Arc::new(Gate::open(path)?);
        opened.insert(path, Arc::clone(&gate));
        Ok(Some(gate))
    });
    gates.collect()
}

/// What the configuration of HTTPS says of content.
struct Secure<'c> {
    acme_webroot: Option<&'c Path>,
    redirects: bool,
    hsts_seconds: Option<u64>,
}

impl<'c> Secure<'c> {
    #[cfg(feature = "tls")]
    fn new(config: &'c Config) -> Self {
        let tls = config.tls.as_ref();
        Self {
            acme_webroot: config.acme_webroot.as_deref(),
            redirects: tls.is_some_and(|tls| tls.redirect_http),
            hsts_seconds: tls.and_then(|tls| tls.hsts_seconds),
        }
    }

    #[cfg(not(feature = "tls"))]
    fn new(_: &'c Config) -> Self {
        Self {
            acme_webroot: None,
            redirects: false,
            hsts_seconds: None,
        }
    }
}

/// Whether a certificate authority may be asking whether a host is ours, which it does by HTTP
/// ([RFC 8555 §8.3](https://www.rfc-editor.org/rfc/rfc8555#section-8.3)).
fn is_challenge(request: &Request<'_>, scheme: Scheme) -> bool {
    let path = request.target.path().unwrap_or_default();
    let token = path.strip_prefix(b"/.well-known/acme-challenge/");
    // It is of the base64url alphabet, so that nothing else of the webroot can be named.
    let is_token = |token: &[u8]| {
        let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !token.is_empty() && token.iter().all(is_allowed)
    };
    scheme == Scheme::Http && token.is_some_and(is_token)
}

/// Opens each page of the configuration once, so that a missing one is reported at the start and not
/// by the first request for it. Every site needs its own.
fn check_pages(files: &Files, root: &Root) -> Result<(), ContentError> {
    let spa = files.spa.iter().map(|file| ("--spa=".to_owned(), file));
    let errors = files.error_pages.iter();
    let errors = errors.map(|page| (format!("--error-page {}=", page.code), &page.file));
    for (option, file) in spa.chain(errors) {
        let name = file.as_os_str().as_encoded_bytes();
        let opened = root.open_file(name, OpenMode::MayBlock);
        opened.map_err(|error| ContentError::Page {
            option: format!("{option}{}", OneLine(file)),
            path: root.path_below(name),
            reason: Box::new(error),
        })?;
    }
    Ok(())
}

/// The host of an authority, without the port and the final dot.
fn host_of(authority: &[u8]) -> &[u8] {
    let end = match authority {
        [b'[', ..] => authority
            .iter()
            .position(|&byte| byte == b']')
            .map(|at| at + 1),
        _ => authority.iter().position(|&byte| byte == b':'),
    };
    let host = end
        .and_then(|end| authority.get(..end))
        .unwrap_or(authority);
    host.strip_suffix(b".").unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_without_port_and_final_dot() {
        for (authority, host) in [
            ("example.org", "example.org"),
            ("example.org:8080", "example.org"),
            ("example.org.:80", "example.org"),
            ("example.org:", "example.org"),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("", ""),
        ] {
            assert_eq!(
                host_of(authority.as_bytes()),
                host.as_bytes(),
                "{authority}"
            );
        }
    }
}
