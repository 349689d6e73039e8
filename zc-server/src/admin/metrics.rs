//! The metrics, from the counters of all workers, in the names of Prometheus.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use zc_http::Method;

use crate::disk::DiskState;
use crate::observe::access_log::DroppedLines;
use crate::observe::counters::{
    BOUNDS_US, BodyPath, CloseReason, Counter, FallbackReason, HandshakeResult, Histogram, Phase,
    Process, Words, WorkerCounters, unix_seconds,
};
use crate::services::Services;

/// What the metrics are read from.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) workers: Vec<Arc<WorkerCounters>>,
    pub(crate) services: Arc<Services>,
    pub(crate) process: Arc<Process>,
    /// `None` without an access log.
    pub(crate) dropped_lines: Option<DroppedLines>,
}

impl Sources {
    pub(crate) fn new(
        workers: Vec<Arc<WorkerCounters>>,
        services: Arc<Services>,
        process: &Arc<Process>,
        dropped_lines: Option<DroppedLines>,
    ) -> Self {
        Self {
            workers,
            services,
            process: Arc::clone(process),
            dropped_lines,
        }
    }
}

/// All metrics, read on each scrape.
#[derive(Debug)]
pub(super) struct Metrics(pub(super) Arc<Sources>);

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        self.0.encode_requests(encoder)?;
        self.0.encode_connections(encoder)?;
        self.0.encode_cache(encoder)?;
        self.0.encode_disk(encoder)?;
        self.0.encode_checks(encoder)?;
        self.0.encode_process(encoder)
    }
}

/// Writes the series of one metric.
struct Family<'e> {
    encoder: MetricEncoder<'e>,
    kind: MetricType,
}

impl<'e> Family<'e> {
    fn new(
        encoder: &'e mut DescriptorEncoder<'_>,
        name: &'e str,
        help: &str,
        kind: MetricType,
    ) -> Result<Self, fmt::Error> {
        let encoder = encoder.encode_descriptor(name, help, None, kind)?;
        Ok(Self { encoder, kind })
    }

    fn series(&mut self, labels: &impl EncodeLabelSet, value: u64) -> fmt::Result {
        let mut encoder = self.encoder.encode_family(labels)?;
        match self.kind {
            MetricType::Counter => encoder.encode_counter::<NoLabelSet, _, u64>(&value, None),
            _ => encoder.encode_gauge(&value),
        }
    }

    fn single(&mut self, value: u64) -> fmt::Result {
        match self.kind {
            MetricType::Counter => self
                .encoder
                .encode_counter::<NoLabelSet, _, u64>(&value, None),
            _ => self.encoder.encode_gauge(&value),
        }
    }
}

impl Sources {
    fn encode_requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests by method and status code; the code of one without an answer is none";
        let name = "zc_http_requests";
        let mut requests = Family::new(encoder, name, help, MetricType::Counter)?;
        for (method, code, number) in self.requests() {
            let method = match method {
                Method::Unrecognized => "_OTHER",
                known => known.as_str(),
            };
            let code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
            requests.series(&[("method", method), ("code", &code)], number)?;
        }
        let help = "Time from a request to the end of its response";
        let name = "zc_http_request_duration_seconds";
        self.encode_times(encoder, name, help, |worker| &worker.duration)?;
        let help = "Time from a request to the first byte of its response that the socket accepted";
        let name = "zc_http_time_to_first_byte_seconds";
        self.encode_times(encoder, name, help, |worker| &worker.first_byte)?;
        let help = "Bytes of response bodies by the way they were sent";
        let name = "zc_response_body_bytes";
        let mut bytes = Family::new(encoder, name, help, MetricType::Counter)?;
        for &path in BodyPath::ALL {
            if path != BodyPath::None {
                let number = self.sum(|worker| worker.body_bytes(path));
                bytes.series(&[("path", path.word())], number)?;
            }
        }
        let help = "Responses whose file went another way than the first, by why";
        let mut fallbacks = Family::new(encoder, "zc_fallbacks", help, MetricType::Counter)?;
        for &reason in FallbackReason::ALL {
            let number = self.sum(|worker| worker.fallbacks(reason));
            fallbacks.series(&[("reason", reason.word())], number)?;
        }
        Ok(())
    }

    fn encode_connections(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Open connections by what they do";
        let mut open = Family::new(encoder, "zc_connections", help, MetricType::Gauge)?;
        for &phase in Phase::ALL {
            let number = self.sum(|worker| worker.phase(phase));
            open.series(&[("state", phase.word())], number)?;
        }
        let help = "Accepted connections";
        let name = "zc_connections_accepted";
        let number = self.sum(|worker| worker.accepted.get());
        Family::new(encoder, name, help, MetricType::Counter)?.single(number)?;
        let help = "Closed connections by why";
        let name = "zc_connections_closed";
        let mut closed = Family::new(encoder, name, help, MetricType::Counter)?;
        for &reason in CloseReason::ALL {
            let number = self.sum(|worker| worker.closed(reason));
            closed.series(&[("reason", reason.word())], number)?;
        }
        let help = "TLS handshakes by how they ended";
        let name = "zc_tls_handshakes";
        let mut handshakes = Family::new(encoder, name, help, MetricType::Counter)?;
        for &result in HandshakeResult::ALL {
            let number = self.sum(|worker| worker.handshakes(result));
            handshakes.series(&[("result", result.word())], number)?;
        }
        Ok(())
    }

    fn encode_cache(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        type Of = fn(&WorkerCounters) -> &Counter;
        let (gauge, counter) = (MetricType::Gauge, MetricType::Counter);
        let metrics: [(&str, &str, MetricType, Of); 5] = [
            (
                "zc_cache_entries",
                "Entries of the response cache, each with an open file or none",
                gauge,
                |worker| &worker.cache.entries,
            ),
            (
                "zc_cache_bytes",
                "Memory of the response cache",
                gauge,
                |worker| &worker.cache.bytes,
            ),
            (
                "zc_cache_hits",
                "Look-ups that the response cache answered",
                counter,
                |worker| &worker.cache.hits,
            ),
            (
                "zc_cache_misses",
                "Look-ups that the response cache did not answer",
                counter,
                |worker| &worker.cache.misses,
            ),
            (
                "zc_cache_evictions",
                "Entries of the response cache that were dropped for want of room",
                counter,
                |worker| &worker.cache.evictions,
            ),
        ];
        for (name, help, kind, of) in metrics {
            let number = self.sum(|worker| of(worker).get());
            Family::new(encoder, name, help, kind)?.single(number)?;
        }
        Ok(())
    }

    fn encode_disk(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let pools = [
            ("read", self.services.readers.state()),
            ("other", self.services.disk.state()),
            ("auth", self.services.checkers_state()),
        ];
        type Of = fn(&DiskState) -> u64;
        let (gauge, counter) = (MetricType::Gauge, MetricType::Counter);
        let metrics: [(&str, &str, MetricType, Of); 4] = [
            (
                "zc_disk_queue_jobs",
                "Jobs that wait for a disk I/O thread",
                gauge,
                |state| state.queued,
            ),
            (
                "zc_disk_queue_threads",
                "Disk I/O threads that were started",
                gauge,
                |state| state.threads,
            ),
            (
                "zc_disk_queue_threads_busy",
                "Disk I/O threads that have a job",
                gauge,
                |state| state.busy,
            ),
            (
                "zc_disk_queue_refused",
                "Jobs for which the queue of the disk I/O threads had no place",
                counter,
                |state| state.refused,
            ),
        ];
        for (name, help, kind, of) in metrics {
            let mut family = Family::new(encoder, name, help, kind)?;
            for (pool, state) in &pools {
                family.series(&[("pool", *pool)], of(state))?;
            }
        }
        Ok(())
    }

    fn encode_checks(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Passwords that were checked and not remembered, by what came of it";
        let mut checks = Family::new(encoder, "zc_auth_checks", help, MetricType::Counter)?;
        let counted = &self.services.checks;
        checks.series(&[("result", "granted")], counted.granted())?;
        checks.series(&[("result", "denied")], counted.denied())
    }

    fn encode_process(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Lines of the access log that were dropped";
        let dropped = self.dropped_lines.as_ref().map_or(0, DroppedLines::get);
        Family::new(encoder, "zc_log_dropped", help, MetricType::Counter)?.single(dropped)?;
        let help = "Configurations that there were, the present one included";
        let generation = self.process.generation.load(Ordering::Relaxed);
        Family::new(encoder, "zc_config_generation", help, MetricType::Gauge)?
            .single(generation)?;
        let help = "Whether the configuration that was read last could be used";
        let is_reloaded = self.process.is_reloaded.load(Ordering::Relaxed);
        let name = "zc_config_last_reload_successful";
        Family::new(encoder, name, help, MetricType::Gauge)?.single(is_reloaded.into())?;
        let help = "When the present configuration was read, in seconds since 1970";
        let reloaded_at = self.process.reloaded_at.load(Ordering::Relaxed);
        let name = "zc_config_last_reload_success_timestamp_seconds";
        Family::new(encoder, name, help, MetricType::Gauge)?.single(reloaded_at)?;
        let help = "Whether new connections are wanted: 1, or 0 once the server stops";
        let ready = self.process.ready.load(Ordering::Acquire);
        Family::new(encoder, "zc_ready", help, MetricType::Gauge)?.single(ready.into())?;
        let help = "When the server began, in seconds since 1970";
        let seconds = unix_seconds(self.process.started_at);
        let name = "process_start_time_seconds";
        Family::new(encoder, name, help, MetricType::Gauge)?.single(seconds)?;
        let help = "The version of the server";
        let mut build = Family::new(encoder, "zc_build_info", help, MetricType::Gauge)?;
        build.series(&[("version", env!("CARGO_PKG_VERSION"))], 1)
    }

    fn encode_times(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        of: fn(&WorkerCounters) -> &Histogram,
    ) -> fmt::Result {
        let seconds = |time_us: u64| time_us as f64 / 1e6;
        let bounds = BOUNDS_US.iter().map(|&bound_us| seconds(bound_us));
        let mut buckets: Vec<(f64, u64)> = bounds
            .chain([f64::INFINITY])
            .map(|bound| (bound, 0))
            .collect();
        let mut sum_us = 0;
        for worker in &self.workers {
            sum_us += of(worker).sum_us();
            for ((_, sum), number) in buckets.iter_mut().zip(of(worker).buckets()) {
                *sum += number;
            }
        }
        let count = buckets.iter().map(|(_, number)| number).sum();
        let mut encoder = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        encoder.encode_histogram::<NoLabelSet>(seconds(sum_us), count, &buckets, None)
    }

    fn sum(&self, of: impl Fn(&WorkerCounters) -> u64) -> u64 {
        self.workers.iter().map(|worker| of(worker)).sum()
    }

    /// The requests of all workers, in order.
    fn requests(&self) -> Vec<(Method, Option<u16>, u64)> {
        let mut all: Vec<(Method, Option<u16>, u64)> = Vec::new();
        for (method, code, number) in self.workers.iter().flat_map(|worker| worker.requests()) {
            let known = all
                .iter_mut()
                .find(|known| (known.0, known.1) == (method, code));
            match known {
                Some((_, _, sum)) => *sum += number,
                None => all.push((method, code, number)),
            }
        }
        all
    }
}
