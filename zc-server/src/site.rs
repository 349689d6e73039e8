//! What is served: the roots, the rules, and what the workers share to serve them.

use std::sync::Arc;

use zc_core::PipePool;
use zc_http::{Request, Target};

use crate::config::files::Files;
use crate::config::{self, Config};
use crate::disk::Disk;
use crate::files::listing;
use crate::files::mounts::{Mounts, ReadPath};
use crate::files::open_file::{OpenFile, OpenMode};
use crate::files::root::Root;
use crate::files::roots::RootPath;
use crate::files::rules::Rules;
use crate::observe::diagnostics::Diagnostics;
use crate::start::StartError;
use crate::text::OneLine;

/// What every worker, and every thread that waits for the disk, needs to know.
#[derive(Debug)]
pub(crate) struct Site {
    /// The paths that are served: of ROOT, and then of the sites.
    pub(crate) roots: Vec<Arc<RootPath>>,
    /// The hosts of the sites, in lower case.
    hosts: Vec<String>,
    pub(crate) rules: Rules,
    pub(crate) method: zc_core::Method,
    pub(crate) method_override: bool,
    /// The pipes of responses that go by splice.
    pub(crate) pipes: PipePool,
    pub(crate) disk: Disk,
    /// Whether workers leave to the disk's threads what they would have to wait for.
    pub(crate) cold_guard: bool,
    /// Whether a worker may wait for requests to the disk by io_uring.
    pub(crate) may_use_io_uring: bool,
    /// The memory of all listings being sent.
    pub(crate) listings: listing::Budget,
    pub(crate) diagnostics: Diagnostics,
}

impl Site {
    /// Opens the roots, and answers them as well: they are in the order of their paths.
    pub(crate) fn open(
        config: &Config,
        diagnostics: Diagnostics,
    ) -> Result<(Self, Vec<Arc<Root>>), StartError> {
        // Each connection waits for one thing at a time, and may leave a file to be closed.
        let disk = Disk::start(config.disk_threads, config.connections_max * 2);
        let disk = disk.map_err(StartError::Disk)?;
        let mounts = Arc::new(Mounts::new(disk.handle()));
        let open = |root: &config::Root| {
            let (mounts, diagnostics) = (Arc::clone(&mounts), diagnostics.clone());
            let opened = RootPath::open(root.path(), config.files.symlinks, mounts, diagnostics);
            let (path, root) = opened.map_err(StartError::Root)?;
            check_pages(&config.files, &root)?;
            Ok((Arc::new(path), root))
        };
        let sites = &config.files.sites;
        let roots = std::iter::once(&config.root).chain(sites.iter().map(|site| &site.root));
        let opened = roots.map(open).collect::<Result<Vec<_>, StartError>>()?;
        let (paths, opened) = opened.into_iter().unzip();
        let site = Self {
            roots: paths,
            hosts: sites.iter().map(|site| site.host.clone()).collect(),
            rules: Rules::new(&config.files, config.cache.ttl_ms),
            method: config.method,
            method_override: config.method_override,
            pipes: PipePool::new(config.connections_max, zc_core::PIPE_BYTES_DEFAULT),
            disk,
            cold_guard: config.cold_guard,
            may_use_io_uring: config.cold_guard && config.io_uring,
            listings: listing::Budget::default(),
            diagnostics,
        };
        Ok((site, opened))
    }

    /// Whether a worker may wait for a disk.
    pub(crate) fn open_mode(&self) -> OpenMode {
        if self.cold_guard {
            OpenMode::CachedOnly
        } else {
            OpenMode::MayBlock
        }
    }

    /// How the bytes of a file are to go.
    pub(crate) fn read_path(&self, file: &OpenFile) -> ReadPath {
        if self.cold_guard && file.state.length > 0 {
            file.mount.read_path(&file.file)
        } else {
            ReadPath::Direct
        }
    }

    /// The place in [`roots`](Self::roots) of the one that serves the host of this request
    /// ([RFC 9112 §3.3](https://www.rfc-editor.org/rfc/rfc9112#section-3.3)).
    pub(crate) fn root_of(&self, request: &Request<'_>) -> usize {
        if self.hosts.is_empty() {
            return 0;
        }
        let host = host_of(authority(request));
        let mut hosts = self.hosts.iter();
        let site = hosts.position(|name| name.as_bytes().eq_ignore_ascii_case(host));
        // ROOT comes first, and serves all other hosts.
        site.map_or(0, |site| site + 1)
    }
}

/// Opens each page of the configuration once, so that one that is missing is told of at the start and
/// not by the first request that wants it. Every site needs its own.
fn check_pages(files: &Files, root: &Root) -> Result<(), StartError> {
    let spa = files.spa.iter().map(|file| ("--spa=".to_owned(), file));
    let errors = files.error_pages.iter();
    let errors = errors.map(|page| (format!("--error-page {}=", page.code), &page.file));
    for (option, file) in spa.chain(errors) {
        let name = file.as_os_str().as_encoded_bytes();
        let opened = root.open_file(name, OpenMode::MayBlock);
        opened.map_err(|error| StartError::Page {
            option: format!("{option}{}", OneLine(file)),
            path: root.path_below(name),
            reason: Box::new(error),
        })?;
    }
    Ok(())
}

/// The host that a request is for, with the port if it has one: the authority of the target comes before
/// the `Host` field ([RFC 9112 §3.2.2](https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2)). Empty where
/// there is neither.
pub(crate) fn authority<'b>(request: &Request<'b>) -> &'b [u8] {
    match request.target {
        Target::Absolute { authority, .. } => authority,
        _ => request.headers.get("host").unwrap_or_default(),
    }
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
