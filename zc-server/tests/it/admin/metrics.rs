//! Each metric moves when it should, and no other does.

use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use super::{Series, Watched};
use crate::harness::clients::say_missing;
use crate::harness::tls::{says_not_by_tls, sent_by};
use crate::harness::{pattern, wait_until};
use crate::refused::without_sendfile;

/// What is done with a server, and which counters grow by how much.
type Row = (&'static str, fn(&Watched), Vec<(String, f64)>);

/// Counters that grow in any case: the time is not known before.
const OF_TIME: [&str; 2] = [
    "zc_http_request_duration_seconds",
    "zc_http_time_to_first_byte_seconds",
];

fn request(watched: &Watched, request: &str) {
    watched.server.request(request);
}

/// A request with this method and code, of which `bytes` of body were sent by `path`.
fn answered(method: &str, code: &str, path: &str, bytes: usize) -> Vec<(String, f64)> {
    let name = format!("zc_http_requests_total{{method=\"{method}\",code=\"{code}\"}}");
    let mut grown = vec![
        (name, 1.0),
        (format!("{}_count", OF_TIME[0]), 1.0),
        (format!("{}_count", OF_TIME[1]), 1.0),
        ("zc_connections_accepted_total".to_owned(), 1.0),
        (
            "zc_connections_closed_total{reason=\"complete\"}".to_owned(),
            1.0,
        ),
    ];
    if bytes > 0 {
        let path = sent_by(path);
        let name = format!("zc_response_body_bytes_total{{path=\"{path}\"}}");
        grown.push((name, bytes as f64));
    }
    grown
}

fn rows() -> Vec<Row> {
    vec![
        (
            "a file",
            |watched| {
                request(
                    watched,
                    "GET /small HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
                )
            },
            answered("GET", "200", "copy", 1_000),
        ),
        (
            "a head",
            |watched| {
                request(
                    watched,
                    "HEAD /small HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
                )
            },
            answered("HEAD", "200", "none", 0),
        ),
        (
            "a part of a long file",
            |watched| {
                let fields = "Range: bytes=100-200099\r\nConnection: close\r\n";
                let get = format!("GET /long HTTP/1.1\r\nHost: t\r\n{fields}\r\n");
                request(watched, &get);
            },
            answered("GET", "206", "copy", 200_000),
        ),
        (
            "nothing there",
            |watched| {
                request(
                    watched,
                    "GET /none HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
                )
            },
            answered("GET", "404", "memory", "404 Not Found\n".len()),
        ),
        (
            "a head of nothing",
            |watched| {
                request(
                    watched,
                    "HEAD /none HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
                )
            },
            answered("HEAD", "404", "none", 0),
        ),
        (
            "options",
            |watched| {
                request(
                    watched,
                    "OPTIONS / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
                )
            },
            answered("OPTIONS", "204", "none", 0),
        ),
    ]
}

/// The counters that grew, and by how much.
fn grown(before: &Series, after: &Series) -> Vec<(String, f64)> {
    let is_counter = |name: &str| name.contains("_total") || name.ends_with("_seconds_count");
    let counters = after.iter().filter(|(name, _)| is_counter(name));
    let differences = counters.map(|(name, value)| {
        let before = before.get(name).copied().unwrap_or_default();
        (name.clone(), value - before)
    });
    differences.filter(|(_, by)| *by != 0.0).collect()
}

#[test]
fn each_request_is_counted_once_by_what_it_was() {
    let (small, long) = (pattern(1_000, 1), pattern(300_000, 2));
    let options = ["--method", "copy", "--cache-files", "0"];
    let watched = Watched::start(&[("small", &small), ("long", &long)], &options);
    for (what, act, expected) in rows() {
        let mut expected = expected;
        if watched.server.is_tls() {
            let result = "zc_tls_handshakes_total{result=\"full\"}";
            expected.push((result.to_owned(), 1.0));
        }
        expected.sort_by(|one, other| one.0.cmp(&other.0));
        let before = watched.series();
        act(&watched);
        let mut found = Vec::new();
        wait_until(what, || {
            found = grown(&before, &watched.series());
            found.retain(|(name, _)| !name.starts_with("zc_cache_"));
            // Whether a client resumes is its own affair.
            for (name, _) in &mut found {
                *name = name.replace("resumed", "full");
            }
            found.len() >= expected.len()
        });
        assert_eq!(found, expected, "{what}");
    }
    let series = watched.series();
    for name in OF_TIME {
        let count = series[&format!("{name}_count")];
        assert_eq!(series[&format!("{name}_bucket{{le=\"+Inf\"}}")], count);
        assert!(series[&format!("{name}_sum")] > 0.0, "{name}");
    }
}

#[test]
fn bytes_of_bodies_are_counted_by_the_way_they_were_sent() {
    let body = pattern(300_000, 4);
    let watched = Watched::start(&[("file", &body)], &["--method-override"]);
    for method in ["sendfile", "splice", "copy"] {
        let path = sent_by(method);
        let name = format!("zc_response_body_bytes_total{{path=\"{path}\"}}");
        let before = watched.value(&name);
        let target = format!("/file?method={method}");
        assert!(watched.server.get(&target).body == body, "{method}");
        watched.wait_for(&name, before + body.len() as f64);
    }
}

#[test]
fn what_is_no_request_is_counted_as_well() {
    let watched = Watched::start(&[], &["--header-timeout", "200ms"]);
    for (sent, method, code) in [
        (
            "BREW /pot HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
            "_OTHER",
            501,
        ),
        ("\u{1} HTTP/1.1\r\n\r\n", "_OTHER", 400),
        ("GET / HTTP/9.9\r\nHost: t\r\n\r\n", "GET", 505),
        (
            "POST / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
            "POST",
            405,
        ),
        ("PUT /late HTTP/1.1\r\n", "PUT", 408),
    ] {
        assert_eq!(watched.server.request(sent).status, code);
        let name = format!("zc_http_requests_total{{method=\"{method}\",code=\"{code}\"}}");
        watched.wait_for(&name, 1.0);
    }
}

#[test]
fn what_connections_do() {
    let body = pattern(24 << 20, 3);
    let watched = Watched::start(&[("long", &body)], &[]);
    let state = |state: &str| format!("zc_connections{{state=\"{state}\"}}");
    let mut idle = watched.server.connect();
    idle.get("/none");
    watched.wait_for(&state("idle"), 1.0);
    let mut reading = watched.server.connect();
    reading.send(b"GET /");
    watched.wait_for(&state("reading"), 1.0);
    let mut sending = watched.server.connect();
    sending.send(b"GET /long HTTP/1.1\r\nHost: t\r\n\r\n");
    watched.wait_for(&state("sending"), 1.0);
    assert_eq!(watched.value("zc_connections_accepted_total"), 3.0);
    reading.send(b"none HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(reading.response(false).status, 404);
    assert!(sending.response(false).body == body);
    watched.wait_for(&state("idle"), 3.0);
    drop((idle, reading, sending));
    watched.wait_for("zc_connections_closed_total{reason=\"client\"}", 3.0);
    let series = watched.series();
    let open = series
        .iter()
        .filter(|(name, _)| name.starts_with("zc_connections{"));
    assert_eq!(open.map(|(_, number)| number).sum::<f64>(), 0.0);
}

#[test]
fn a_connection_that_its_client_does_not_end_is_closing() {
    let watched = Watched::start(&[], &[]);
    let mut clients = Vec::new();
    // The server waits for a client for some seconds alone; on a busy machine the next one is tried.
    wait_until("one is closing", || {
        let mut client = watched.server.connect();
        client.send(b"no request\r\n\r\n");
        assert_eq!(client.response(false).status, 400);
        clients.push(client);
        watched.value("zc_connections{state=\"closing\"}") >= 1.0
    });
    drop(clients);
    watched.wait_for("zc_connections{state=\"closing\"}", 0.0);
}

#[test]
fn the_cache_says_what_it_holds_and_does() {
    let options = ["--cache-files", "1", "--cache-ttl", "1h"];
    let watched = Watched::start(&[], &options);
    watched.server.write("one", b"1");
    watched.server.write("other", b"2");
    watched.server.wait_until_settled("/one");
    // Kept from the second time on, and found from the third.
    for _ in 0..4 {
        assert_eq!(watched.server.get("/one").body, b"1");
    }
    wait_until("it is found", || {
        watched.value("zc_cache_hits_total") >= 1.0
    });
    let series = watched.series();
    assert_eq!(series["zc_cache_entries"], 1.0);
    assert!(series["zc_cache_bytes"] > 0.0 && series["zc_cache_misses_total"] >= 2.0);
    for _ in 0..3 {
        assert_eq!(watched.server.get("/other").body, b"2");
    }
    wait_until("one makes room", || {
        watched.value("zc_cache_evictions_total") >= 1.0
    });
    assert_eq!(watched.value("zc_cache_entries"), 1.0);
}

#[test]
fn a_fallback_has_its_reason() {
    if says_not_by_tls("nothing asks for sendfile") {
        return;
    }
    let bytes = pattern(48 * 1024, 7);
    let options = ["--admin-bind", "127.0.0.1:0"];
    let watched = Watched::of(without_sendfile(&[("file", &bytes)], &options));
    assert!(watched.server.get("/file").body == bytes);
    watched.wait_for("zc_fallbacks_total{reason=\"refused\"}", 1.0);
    watched.wait_for("zc_response_body_bytes_total{path=\"copy\"}", 48.0 * 1024.0);
}

#[test]
fn lines_of_the_log_that_were_dropped() {
    // Nobody reads standard output.
    let watched = Watched::start(&[], &[]);
    let target = format!("/{}", "x".repeat(7_000));
    let mut client = watched.server.connect();
    wait_until("lines are dropped", || {
        for _ in 0..200 {
            assert_eq!(client.get(&target).status, 404);
        }
        watched.value("zc_log_dropped_total") > 0.0
    });
}

#[test]
#[cfg(feature = "tls")]
fn handshakes_by_how_they_ended() {
    let server = crate::harness::Server::start_https(&["--admin-bind", "127.0.0.1:0"]);
    let watched = Watched::of(server);
    let result = |result: &str| format!("zc_tls_handshakes_total{{result=\"{result}\"}}");
    let mut client = std::net::TcpStream::connect(watched.server.address).expect("it listens");
    client
        .write_all(b"nothing of TLS\r\n\r\n")
        .expect("it reads");
    watched.wait_for(&result("failed"), 1.0);
    assert_eq!(watched.value(&result("full")), 0.0);
}

#[test]
fn a_server_says_what_it_is() {
    let watched = Watched::start(&[], &["--threads", "2"]);
    let version = env!("CARGO_PKG_VERSION");
    let series = watched.series();
    assert_eq!(
        series[&format!("zc_build_info{{version=\"{version}\"}}")],
        1.0
    );
    assert_eq!(
        (series["zc_ready"], series["zc_config_generation"]),
        (1.0, 1.0)
    );
    assert!(series["zc_disk_queue_threads{pool=\"read\"}"] >= 1.0);
    assert!(series["process_start_time_seconds"] > 1.7e9);
    let response = watched.get("/metrics");
    let expected = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(response.field("content-type"), Some(expected));
}

#[test]
fn promtool_finds_no_fault() {
    let watched = Watched::start(&[("file", b"x")], &[]);
    watched.server.get("/file");
    watched.server.get("/none");
    watched.wait_for("zc_http_requests_total{method=\"GET\",code=\"404\"}", 1.0);
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        return say_missing("promtool");
    };
    let mut input = promtool.stdin.take().expect("piped");
    input
        .write_all(watched.text("/metrics").as_bytes())
        .expect("it reads");
    drop(input);
    let output = promtool.wait_with_output().expect("our own child");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn the_book_has_each_metric_with_its_type() {
    let watched = Watched::start(&[], &[]);
    let text = watched.text("/metrics");
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let told: BTreeSet<(&str, &str)> = types.filter_map(|line| line.split_once(' ')).collect();
    let page = include_str!("../../../../docs/src/metrics.md");
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|');
        let (name, kind) = (cells.next()?, cells.next()?.trim());
        let name = name.split(['`', '{']).next()?;
        let is_metric = ["counter", "gauge", "histogram"].contains(&kind);
        is_metric.then_some((name, kind))
    });
    assert_eq!(rows.collect::<BTreeSet<_>>(), told);
}

#[test]
fn a_configuration_that_is_read_again_is_counted() {
    let root = crate::harness::temp_root();
    let file = root.path().join("zc.toml");
    let served = root.path().join("served");
    std::fs::create_dir(&served).expect("a directory");
    std::fs::write(&file, "").expect("a file");
    let mut command = crate::harness::binary();
    command.arg("--config").arg(&file);
    let options = ["--admin-bind", "127.0.0.1:0"];
    let server = crate::harness::Server::start_with(command, root, &served, &options);
    let mut watched = Watched::of(server);
    let told = |watched: &Watched| {
        let series = watched.series();
        let names = ["successful", "success_timestamp_seconds"];
        let [is_right, time] = names.map(|name| series[&format!("zc_config_last_reload_{name}")]);
        (is_right, series["zc_config_generation"], time)
    };
    let (is_right, generation, began) = told(&watched);
    assert_eq!((is_right, generation), (1.0, 1.0));
    assert!(began > 1.7e9, "{began}");
    for wrong in ["thread = 1\n", "error-page = \"404=none.html\"\n"] {
        std::fs::write(&file, wrong).expect("a file");
        watched.server.signal(Signal::SIGHUP);
        watched
            .server
            .said_with("the configuration stays as it was");
        assert_eq!(told(&watched), (0.0, 1.0, began));
    }
    std::fs::write(&file, "listing = false\n").expect("a file");
    watched.server.signal(Signal::SIGHUP);
    watched.server.said_with("the configuration was read again");
    let (is_right, generation, time) = told(&watched);
    assert_eq!((is_right, generation), (1.0, 2.0));
    assert!(time >= began, "{time}");
}
