//! Results that nobody measured, for the tests of the pages.

use crate::bench::results::{
    Cold, FORMAT, Idle, Load, Machine, Micro, Results, Sample, Second, Skipped, Study, Wrk,
};
use crate::bench::scenarios::SCENARIOS;

/// Of a run that was ended before anything was measured.
pub(crate) fn empty() -> Results {
    Results {
        format: FORMAT,
        date: "2026-01-02T03:04:05Z".to_owned(),
        commit: "0123456789ab".to_owned(),
        machine: Machine {
            cpu: "A processor".to_owned(),
            cores: 2,
            memory_bytes: 8 << 30,
            kernel: "6.1.0".to_owned(),
            system_congestion: "bbr".to_owned(),
            congestion: "cubic".to_owned(),
            mtu: 1500,
            private_network: true,
            pinned: true,
            urgent_client: true,
            files_in_memory: false,
            notes: Vec::new(),
        },
        ..Results::default()
    }
}

/// Of everything, with figures a reader could believe.
pub(crate) fn full() -> Results {
    let mut results = empty();
    for scenario in &SCENARIOS {
        for (server, cpu_us) in [("zc", 10.0), ("floor: one send", 8.0), ("nginx", 14.0)] {
            add_samples(&mut results, scenario.id, server, cpu_us, 5);
        }
    }
    results.study = vec![
        study("io", 160.0, 1.0, 2e6),
        study("sendfile", 40.0, 1.0, 2e6),
    ];
    for beside in crate::bench::cold::BESIDE {
        for (server, together_ms) in [("zc", 2), ("nginx", 90)] {
            results.cold.push(cold(beside, server, together_ms, 0));
        }
    }
    for (server, tls, bytes) in [
        ("zc", false, 300.0),
        ("nginx", false, 4000.0),
        ("zc", true, 3000.0),
        ("nginx", true, 20_000.0),
    ] {
        results.idle.push(Idle {
            server: server.to_owned(),
            tls,
            connections: if tls { 2_000 } else { 10_000 },
            resident_at_start_bytes: 4 << 20,
            user_bytes_each: bytes,
            kernel_bytes_each: 2500.0,
        });
    }
    for name in ["parse short/zc-http", "transfer 1MiB/Auto, whole"] {
        results.micro.push(Micro {
            name: name.to_owned(),
            unit: "ns".to_owned(),
            median: 120.0,
            low: 110.0,
            high: 130.0,
            bytes: Some(1 << 10),
            foreign: vec![0.0],
        });
    }
    results
}

/// What was not measured, with what would help.
pub(crate) fn skipped(what: &str, mend: &str) -> Skipped {
    Skipped {
        what: what.to_owned(),
        why: format!("{what} is not installed"),
        mend: Some(mend.to_owned()),
    }
}

/// Rounds of one server in one scenario, a hundredth apart.
pub(crate) fn add_samples(
    results: &mut Results,
    scenario: &str,
    server: &str,
    cpu_us: f64,
    rounds: u32,
) {
    for round in 0..rounds {
        let noise = 1.0 + f64::from(round) / 100.0;
        results.samples.push(Sample {
            scenario: scenario.to_owned(),
            server: server.to_owned(),
            round,
            load: Load {
                responses: 10_000,
                body_bytes: 10_240_000,
                seconds: 1.0,
                client_cpu_seconds: 0.5,
                p50_ns: 100_000,
                p90_ns: 200_000,
                p99_ns: (cpu_us * 100_000.0 * noise) as u64,
                p999_ns: 9_000_000,
                max_ns: 20_000_000,
                ..Load::default()
            },
            server_cpu_seconds: cpu_us * noise * 10_000.0 / 1e6,
            machine_cpu_seconds: Some(2.0 * cpu_us * noise * 10_000.0 / 1e6),
            steal: 0.0,
            foreign: vec![0.0, 0.0],
        });
    }
}

/// A run of twenty seconds, whose CPU goes up and down by a hundredth.
pub(crate) fn study(method: &str, cpu_percent: f64, gb: f64, latency_us: f64) -> Study {
    let second = |index: u32| Second {
        cpu_percent: cpu_percent * (1.0 + f64::from(index % 3) / 100.0),
        resident_bytes: 4 << 20,
        minor_faults: 10,
        ..Second::default()
    };
    Study {
        method: method.to_owned(),
        wrk: Wrk {
            seconds: 20.0,
            requests: 60,
            bytes: gb * 20e9,
            requests_per_second: gb / 0.3,
            bytes_per_second: gb * 1e9,
            latency_mean_us: Some(latency_us),
            latency_max_us: Some(latency_us * 3.0),
            percentiles_us: vec![(50.0, latency_us), (99.0, latency_us * 2.0)],
            ..Wrk::default()
        },
        seconds: (0..20).map(second).collect(),
        // Half a core of the client comes on top.
        machine_cpu_seconds: Some((cpu_percent + 50.0) / 100.0 * 20.0),
        foreign: vec![0.0],
    }
}

/// Small requests beside others, of which some had no answer.
pub(crate) fn cold(beside: &str, server: &str, together_ms: u64, unanswered: u64) -> Cold {
    let load = |p99_ms: u64, unanswered: u64| Load {
        responses: 1000 - unanswered,
        unanswered,
        seconds: 2.0,
        p50_ns: 200_000,
        p99_ns: p99_ms * 1_000_000,
        p999_ns: p99_ms * 2_000_000,
        ..Load::default()
    };
    Cold {
        beside: beside.to_owned(),
        server: server.to_owned(),
        round: 0,
        alone: load(1, 0),
        together: load(together_ms, unanswered),
        others_bytes_per_second: 1e8,
        disk_bytes_per_second: Some(2e8),
        steal: 0.0,
        foreign: vec![0.0, 0.0],
    }
}
