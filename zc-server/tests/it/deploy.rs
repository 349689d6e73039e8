//! The files in `deploy/`: the programs that they are for accept them, the server accepts what they set, and times in
//! different files agree.

use std::collections::BTreeSet;

use crate::harness::binary;
use crate::harness::clients::{Home, said};

const SERVICE: &str = include_str!("../../../deploy/systemd/zc.service");
const SOCKET: &str = include_str!("../../../deploy/systemd/zc.socket");
const HTTPS_SOCKET: &str = include_str!("../../../deploy/systemd/zc-https.socket");
const SYSTEMD_TOML: &str = include_str!("../../../deploy/systemd/zc.toml");
const HAPROXY: &str = include_str!("../../../deploy/haproxy/haproxy.cfg");
const NGINX: &str = include_str!("../../../deploy/nginx/nginx.conf");
const SCRAPE: &str = include_str!("../../../deploy/prometheus/scrape.yml");
const ALERTS: &str = include_str!("../../../deploy/prometheus/alerts.yml");
const ALERTS_TEST: &str = include_str!("../../../deploy/prometheus/alerts.test.yml");
const CONTAINERFILE: &str = include_str!("../../../deploy/container/Containerfile");
const COMPOSE: &str = include_str!("../../../deploy/container/compose.yaml");
const CONFIG_MAP: &str = include_str!("../../../deploy/kubernetes/configmap.yaml");
const DEPLOYMENT: &str = include_str!("../../../deploy/kubernetes/deployment.yaml");
const LIFE_CYCLE: &str = include_str!("../../../docs/src/life-cycle.md");
const METRICS: &str = include_str!("../../../docs/src/metrics.md");

/// Where the server is, according to the unit.
const INSTALLED: &str = "/usr/local/bin/zc-server";

/// What `systemd-analyze security` may say of the unit, in tenths.
const EXPOSURE_MAX: &str = "15";

/// System calls of the server, and of the C library on its behalf, that sandboxes are known to refuse or that a
/// set of systemd might lose.
const CALLS: [&str; 22] = [
    "accept4",
    "epoll_wait",
    "eventfd2",
    "fadvise64",
    "fchmod",
    "fgetxattr",
    "flock",
    "getdents64",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "ioprio_get",
    "ioprio_set",
    "memfd_create",
    "openat2",
    "preadv2",
    "prlimit64",
    "sched_getattr",
    "sched_setattr",
    "sendfile",
    "splice",
    "statx",
];

/// What stands behind the first `name` of a text, up to a blank or a quotation mark.
#[track_caller]
fn value<'a>(text: &'a str, name: &str) -> &'a str {
    let found = text.split_once(name);
    let (_, rest) = found.unwrap_or_else(|| panic!("no {name} in {text}"));
    let end = rest.find([' ', '\n', '"']).unwrap_or(rest.len());
    &rest[..end]
}

/// The letters at the beginning of a text that are part of a name.
fn first_of(text: &str, is_name: impl Fn(char) -> bool) -> &str {
    let end = text.find(|letter| !is_name(letter));
    &text[..end.unwrap_or(text.len())]
}

/// A time as `500ms`, `5s`, or in seconds without a unit.
#[track_caller]
fn time_ms(word: &str) -> u64 {
    let (number, factor) = match word.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (word.strip_suffix('s').unwrap_or(word), 1000),
    };
    let number: u64 = number
        .parse()
        .unwrap_or_else(|error| panic!("{word}: {error}"));
    number * factor
}

/// The drain delay and the grace period of a configuration file, added.
#[track_caller]
fn shutdown_ms(toml: &str) -> u64 {
    let of = |key: &str| time_ms(value(toml, &format!("\n{key} = \"")));
    of("drain-delay") + of("grace-period")
}

/// The configuration file in the ConfigMap.
fn kubernetes_toml() -> String {
    let (_, block) = CONFIG_MAP.split_once("  zc.toml: |\n").expect("a block");
    let lines = block
        .lines()
        .map(|line| line.strip_prefix("    ").unwrap_or(line));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn haproxy_accepts_its_configuration() {
    let Some(home) = Home::for_clients(&["haproxy"]) else {
        return;
    };
    home.write("haproxy.cfg", HAPROXY.as_bytes());
    home.succeed("haproxy", &["-c", "-f", "haproxy.cfg"]);
}

#[test]
fn haproxy_takes_a_node_out_before_its_drain_delay_is_over() {
    let interval_ms = time_ms(value(HAPROXY, "check port 9180 inter "));
    let failed_ms = time_ms(value(HAPROXY, "fastinter "));
    let checks: u64 = value(HAPROXY, "fall ").parse().expect("a number");
    let noticed_ms = interval_ms + (checks - 1) * failed_ms;
    let delay_ms = time_ms(value(SYSTEMD_TOML, "\ndrain-delay = \""));
    // Twice: checks are late where the balancer is busy.
    assert!(delay_ms >= 2 * noticed_ms, "{delay_ms}, {noticed_ms}");
}

#[test]
fn nginx_accepts_its_configuration() {
    let Some(home) = Home::for_clients(&["nginx"]) else {
        return;
    };
    let directory = home.path("");
    let directory = directory.to_str().expect("UTF-8").trim_end_matches('/');
    let mut own = format!("http {{\n    client_body_temp_path {directory}/body;\n");
    for kind in ["proxy", "fastcgi", "uwsgi", "scgi"] {
        own += &format!("    {kind}_temp_path {directory}/{kind};\n");
    }
    // Places that only root may use.
    let mut configuration = NGINX.to_owned();
    for (theirs, ours) in [
        ("http {\n", own),
        ("/var/log/nginx", directory.to_owned()),
        ("/run/nginx.pid", format!("{directory}/pid")),
        ("listen 80;", format!("listen unix:{directory}/socket;")),
    ] {
        assert!(configuration.contains(theirs), "{theirs}");
        configuration = configuration.replace(theirs, &ours);
    }
    home.write("nginx.conf", configuration.as_bytes());
    let path = format!("{directory}/nginx.conf");
    home.succeed("nginx", &["-t", "-e", "stderr", "-c", &path]);
}

/// A home with the units, which start the server of this build.
fn units() -> Option<Home> {
    let home = Home::for_clients(&["systemd-analyze"])?;
    let server = binary();
    let server = server.get_program().to_str().expect("UTF-8");
    assert!(SERVICE.contains(INSTALLED));
    home.write("zc.service", SERVICE.replace(INSTALLED, server).as_bytes());
    home.write("zc.socket", SOCKET.as_bytes());
    home.write("zc-https.socket", HTTPS_SOCKET.as_bytes());
    Some(home)
}

#[test]
fn systemd_finds_no_fault_with_the_units() {
    let Some(home) = units() else {
        return;
    };
    let [service, http, https] = ["./zc.service", "./zc.socket", "./zc-https.socket"];
    let arguments = ["verify", "--man=no", service, http, https];
    let output = home.run("systemd-analyze", &arguments);
    said(&output, "systemd-analyze verify");
    // Units of the machine may have faults as well.
    let stderr = String::from_utf8_lossy(&output.stderr);
    let of_ours = stderr.lines().filter(|line| line.contains("zc"));
    assert_eq!(of_ours.collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn systemd_finds_the_service_hardly_exposed() {
    let Some(home) = units() else {
        return;
    };
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let unit = "./zc.service";
    let arguments = ["--no-pager", "security", "--offline=true", &threshold, unit];
    home.succeed("systemd-analyze", &arguments);
}

/// The system calls of a set, or the one of that name.
fn members(home: &Home, name: &str) -> BTreeSet<String> {
    if !name.starts_with('@') {
        return BTreeSet::from([name.to_owned()]);
    }
    let text = home.succeed("systemd-analyze", &["--no-pager", "syscall-filter", name]);
    let names = text.lines().skip(1).map(str::trim);
    let names = names.filter(|line| !line.is_empty() && !line.starts_with('#'));
    names.flat_map(|name| members(home, name)).collect()
}

#[test]
fn the_service_may_call_what_the_server_calls() {
    let Some(home) = units() else {
        return;
    };
    let mut allowed = BTreeSet::new();
    let filters = SERVICE
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="));
    for filter in filters {
        let names = filter.trim_start_matches('~').split(' ');
        let names: BTreeSet<String> = names.flat_map(|name| members(&home, name)).collect();
        if filter.starts_with('~') {
            allowed = &allowed - &names;
        } else {
            allowed.extend(names);
        }
    }
    // Systemd permits these in each list of what is allowed.
    allowed.extend(members(&home, "@default"));
    for call in CALLS {
        assert!(allowed.contains(call), "{call} is refused");
    }
    // Each of these refuses openat2(2).
    for line in ["RestrictSUIDSGID=yes", "DynamicUser=yes"] {
        assert!(!SERVICE.lines().any(|found| found == line), "{line}");
    }
}

#[test]
fn the_book_has_lines_of_the_units() {
    let section = LIFE_CYCLE
        .split_once("## Sockets that outlive the server")
        .expect("a section")
        .1;
    let blocks: Vec<&str> = section.split("```").skip(1).step_by(2).collect();
    let mut compared = 0;
    for (block, unit) in blocks
        .iter()
        .filter_map(|block| block.strip_prefix("ini\n"))
        .zip([SOCKET, SERVICE])
    {
        for line in block.lines() {
            let is_there = unit.lines().any(|other| other == line);
            assert!(is_there, "`{line}` is not in {unit}");
        }
        compared += 1;
    }
    assert_eq!(compared, 2);
}

#[test]
fn the_server_accepts_its_configuration_files() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().to_str().expect("UTF-8");
    for name in ["www", "log"] {
        std::fs::create_dir(home.path().join(name)).expect("a directory");
    }
    for toml in [SYSTEMD_TOML.to_owned(), kubernetes_toml()] {
        // What is commented out there, and names no file.
        let toml = toml.replace("#trusted-proxy", "trusted-proxy");
        assert!(toml.contains("\ntrusted-proxy = ["), "{toml}");
        let toml = toml
            .replace("/srv/www", &format!("{directory}/www"))
            .replace("/var/log/zc", &format!("{directory}/log"));
        let path = home.path().join("zc.toml");
        std::fs::write(&path, toml).expect("a file");
        let mut command = binary();
        let output = command.args(["check", "--config"]).arg(&path).output();
        let output = output.expect("the server starts");
        assert_eq!(said(&output, "check"), "the configuration is valid\n");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

#[test]
fn managers_wait_longer_than_the_server_takes_to_stop() {
    let systemd_ms = time_ms(value(SERVICE, "\nTimeoutStopSec="));
    assert!(systemd_ms > shutdown_ms(SYSTEMD_TOML), "{systemd_ms}");
    let kubernetes_ms = time_ms(value(DEPLOYMENT, "terminationGracePeriodSeconds: "));
    let needed_ms = shutdown_ms(&kubernetes_toml());
    assert!(kubernetes_ms > needed_ms, "{kubernetes_ms}, {needed_ms}");
    let compose_ms = time_ms(value(COMPOSE, "\n    stop_grace_period: "));
    let grace_ms = time_ms(value(COMPOSE, "ZC_GRACE_PERIOD: "));
    assert!(compose_ms > grace_ms, "{compose_ms}, {grace_ms}");
}

#[test]
fn containers_set_variables_that_the_server_knows() {
    let output = binary().arg("--help").output().expect("it starts");
    let help = said(&output, "--help");
    let mut found = 0;
    for text in [CONTAINERFILE, COMPOSE, DEPLOYMENT] {
        let lines = text.lines().map(str::trim_start);
        for line in lines.filter(|line| !line.starts_with('#')) {
            let Some(at) = line.find("ZC_") else {
                continue;
            };
            let is_name = |letter: char| letter.is_ascii_uppercase() || letter == '_';
            let name = first_of(&line[at..], is_name);
            assert!(help.contains(&format!("[env: {name}]")), "{name}");
            found += 1;
        }
    }
    assert_eq!(found, 6, "ENV of the image, and those set in its place");
    let port = value(CONTAINERFILE, "\nENV ZC_BIND=0.0.0.0:");
    assert_eq!(value(CONTAINERFILE, "\nEXPOSE "), port);
    let user = value(DEPLOYMENT, "runAsUser: ");
    assert_eq!(value(CONTAINERFILE, "\nUSER "), format!("{user}:{user}"));
}

#[test]
fn prometheus_accepts_its_files_and_each_alert_fires() {
    let Some(home) = Home::for_clients(&["promtool"]) else {
        return;
    };
    for (name, text) in [
        ("scrape.yml", SCRAPE),
        ("alerts.yml", ALERTS),
        ("alerts.test.yml", ALERTS_TEST),
    ] {
        home.write(name, text.as_bytes());
    }
    home.succeed("promtool", &["check", "config", "scrape.yml"]);
    home.succeed("promtool", &["check", "rules", "alerts.yml"]);
    home.succeed("promtool", &["test", "rules", "alerts.test.yml"]);
    let alerts = ALERTS.lines().filter_map(|line| {
        let name = line.trim_start().strip_prefix("- alert: ")?;
        Some(name.trim())
    });
    for alert in alerts {
        let fires = format!("alertname=\"{alert}\", severity=");
        assert!(ALERTS_TEST.contains(&fires), "{alert} is not made to fire");
        let is_quiet = format!("alertname: {alert}, ");
        assert!(ALERTS_TEST.contains(&is_quiet), "{alert} is not kept quiet");
    }
}

#[test]
fn the_alerts_are_about_metrics_of_the_book() {
    let is_name = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    for (at, _) in ALERTS.match_indices("zc_") {
        let name = first_of(&ALERTS[at..], is_name).trim_end_matches("_bucket");
        let is_there = ["`", "{"].map(|end| METRICS.contains(&format!("`{name}{end}")));
        assert!(is_there.contains(&true), "{name}");
    }
    let conditions = METRICS
        .split_once("Some conditions to alert on:\n\n```text\n")
        .and_then(|(_, rest)| rest.split_once("```"))
        .expect("a block")
        .0;
    for condition in conditions.lines() {
        let is_there = ALERTS.contains(&format!("expr: {condition}\n"));
        assert!(is_there, "{condition} is no alert");
    }
}
