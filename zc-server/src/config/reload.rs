//! What of a new configuration a running server can take over.

use super::{CacheLimits, Config};

/// Options that a server cannot take over while it runs.
struct Kept(Vec<&'static str>);

impl Kept {
    /// Sets `value` to what is in use.
    fn keep<T: PartialEq + Clone>(&mut self, option: &'static str, value: &mut T, in_use: &T) {
        if value != in_use {
            value.clone_from(in_use);
            self.0.push(option);
        }
    }

    fn keep_cache(&mut self, new: &mut CacheLimits, old: &CacheLimits) {
        self.keep("--cache-files", &mut new.files, &old.files);
        self.keep("--cache-bytes", &mut new.bytes, &old.bytes);
        self.keep(
            "--cache-file-max",
            &mut new.file_max_bytes,
            &old.file_max_bytes,
        );
        self.keep("--cache-ttl", &mut new.ttl_ms, &old.ttl_ms);
    }
}

impl Config {
    /// This configuration as far as a server that runs with `running` can take it over, and the options that stay as
    /// they are there until a restart.
    pub(crate) fn taken_over(mut self, running: &Self) -> (Self, Vec<&'static str>) {
        let mut kept = Kept(Vec::new());
        // Each field is named, so that nobody forgets a new one.
        let Self {
            root: _,
            binds,
            #[cfg(feature = "tls")]
            tls,
            #[cfg(feature = "tls")]
                acme_webroot: _,
            threads,
            access_log,
            header_timeout_ms: _,
            idle_timeout_ms: _,
            send_timeout_ms: _,
            grace_ms: _,
            drain_delay_ms: _,
            connections_max: _,
            limits: _,
            clients,
            admin_bind,
            offload_cold_reads,
            io_uring,
            disk_threads,
            disk_timeout_ms: _,
            cache,
            network,
            files: _,
            sites: _,
        } = &mut self;
        kept.keep("--bind", binds, &running.binds);
        let (new, old) = (clients, &running.clients);
        kept.keep(
            "--proxy-protocol",
            &mut new.proxy_protocol,
            &old.proxy_protocol,
        );
        kept.keep("--admin-bind", admin_bind, &running.admin_bind);
        kept.keep("--threads", threads, &running.threads);
        let (new, old) = (network, &running.network);
        kept.keep("--congestion", &mut new.congestion, &old.congestion);
        kept.keep("--defer-accept", &mut new.defer_accept, &old.defer_accept);
        kept.keep("--socket-mode", &mut new.socket_mode, &old.socket_mode);
        #[cfg(feature = "tls")]
        match (&mut *tls, &running.tls) {
            (Some(new), Some(old)) => {
                kept.keep("--tls-bind", &mut new.binds, &old.binds);
                kept.keep("--ktls", &mut new.kernel, &old.kernel);
                kept.keep("--tls-key-log", &mut new.key_log, &old.key_log);
            }
            (None, None) => {}
            (new, old) => {
                new.clone_from(old);
                kept.0.push("HTTPS");
            }
        }
        kept.keep_cache(cache, &running.cache);
        let old = running;
        kept.keep(
            "--offload-cold-reads",
            offload_cold_reads,
            &old.offload_cold_reads,
        );
        kept.keep("--io-uring", io_uring, &old.io_uring);
        kept.keep("--disk-threads", disk_threads, &old.disk_threads);
        kept.keep("--access-log", access_log, &old.access_log);
        (self, kept.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogFormat;

    #[test]
    fn what_cannot_change_is_named_and_stays() {
        let running = Config::for_root(env!("CARGO_MANIFEST_DIR")).expect("a root");
        let (same, kept) = running.clone().taken_over(&running);
        assert_eq!(
            (format!("{same:?}"), kept),
            (format!("{running:?}"), Vec::new())
        );

        let mut other = running.clone();
        other.binds = Vec::new();
        other.threads += 1;
        other.network.defer_accept = false;
        other.network.socket_mode = 0o600;
        other.network.congestion = crate::config::Congestion::Bbr;
        other.cache = CacheLimits {
            files: 1,
            bytes: 1,
            file_max_bytes: 1,
            ttl_ms: 1,
        };
        (other.offload_cold_reads, other.io_uring, other.disk_threads) = (false, false, 1);
        other.access_log = LogFormat::Json;
        other.idle_timeout_ms = 1;
        other.files.hidden = true;
        let (taken, kept) = other.taken_over(&running);
        let expected = [
            "--bind",
            "--threads",
            "--congestion",
            "--defer-accept",
            "--socket-mode",
            "--cache-files",
            "--cache-bytes",
            "--cache-file-max",
            "--cache-ttl",
            "--offload-cold-reads",
            "--io-uring",
            "--disk-threads",
            "--access-log",
        ];
        assert_eq!(kept, expected);
        assert_eq!(
            (taken.binds, taken.threads),
            (running.binds, running.threads)
        );
        assert_eq!((taken.idle_timeout_ms, taken.files.hidden), (1, true));
    }
}
