//! The dashboard of the book, asked of a Prometheus that scrapes a server.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::Watched;
use crate::harness::clients::Home;
use crate::harness::reserved::Reserved;
use crate::harness::{Client, wait_until};

const DASHBOARD: &str = include_str!("../../../../docs/src/grafana-dashboard.json");

/// A running Prometheus, ended when it is dropped.
struct Prometheus {
    child: Child,
    port: Reserved,
}

impl Prometheus {
    /// Starts one that scrapes `target` five times a second.
    fn start(home: &Home, target: SocketAddr) -> Self {
        let port = Reserved::at(Ipv4Addr::new(127, 80, 0, 1));
        let address = port.address;
        let configuration = format!(
            "global: {{ scrape_interval: 200ms, scrape_timeout: 200ms }}\n\
             scrape_configs:\n\
             - {{ job_name: zc, static_configs: [{{ targets: [\"{target}\"] }}] }}\n"
        );
        home.write("prometheus.yml", configuration.as_bytes());
        let mut command = Command::new("prometheus");
        command
            .arg("--config.file")
            .arg(home.path("prometheus.yml"));
        command.arg("--storage.tsdb.path").arg(home.path("data"));
        command.arg(format!("--web.listen-address={address}"));
        let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = quiet.spawn().expect("prometheus starts");
        let mut prometheus = Self { child, port };
        wait_until("prometheus is ready", || {
            let ended = prometheus.child.try_wait().expect("our own child");
            assert!(ended.is_none(), "prometheus ended: {ended:?}");
            TcpStream::connect(address).is_ok() && prometheus.get("/-/ready").0 == 200
        });
        prometheus
    }

    fn get(&self, target: &str) -> (u16, Vec<u8>) {
        let stream = TcpStream::connect(self.port.address).expect("it listens");
        let response = Client::plain(stream).get(target);
        (response.status, response.body)
    }

    /// The values of a query, those that are numbers.
    fn values(&self, query: &str) -> Vec<f64> {
        let query = utf8_percent_encode(query, NON_ALPHANUMERIC);
        let (status, body) = self.get(&format!("/api/v1/query?query={query}"));
        let answer: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(status, 200, "{query}: {answer}");
        let results = answer["data"]["result"].as_array().expect("a vector");
        let values = results
            .iter()
            .filter_map(|result| result["value"][1].as_str());
        let numbers = values.filter_map(|value| value.parse().ok());
        numbers.filter(|value: &f64| value.is_finite()).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The queries of the panels, with the title of each.
fn queries() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let of_panel = |panel: &Value| {
        let title = panel["title"].as_str().expect("a title").to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        let queries = targets.into_iter().map(move |target| {
            let query = target["expr"].as_str().expect("a query").to_owned();
            (title.clone(), query)
        });
        queries.collect::<Vec<_>>()
    };
    panels.iter().flat_map(of_panel).collect()
}

#[test]
fn each_panel_of_the_dashboard_has_values() {
    let Some(home) = Home::for_clients(&["prometheus"]) else {
        return;
    };
    let watched = Watched::start(&[("file", b"x")], &[]);
    let prometheus = Prometheus::start(&home, watched.admin);
    for (title, query) in queries() {
        // What Grafana puts in their places: any job and instance, and some scrapes.
        let query = query.replace("$job", ".*").replace("$instance", ".*");
        let query = query.replace("$__rate_interval", "2s");
        wait_until(&format!("{title}: {query}"), || {
            assert_eq!(watched.server.get("/file").status, 200);
            !prometheus.values(&query).is_empty()
        });
    }
}

#[test]
fn the_dashboard_shows_each_metric() {
    let watched = Watched::start(&[], &[]);
    let text = watched.text("/metrics");
    let queries: String = queries()
        .into_iter()
        .map(|(_, query)| query + "\n")
        .collect();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    for (name, _) in types.filter_map(|line| line.split_once(' ')) {
        assert!(queries.contains(name), "{name} is in no panel");
    }
}
