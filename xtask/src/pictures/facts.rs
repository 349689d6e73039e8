//! What pictures and tables say of a run: when, where, and what was measured.

use crate::bench::report::numbers::count;
use crate::bench::results::Results;

/// The versions of the other servers, which results do not record: the day of the run, and what was
/// installed. A new run needs a new line.
const VERSIONS: [(&str, &str); 1] = [(
    "2026-11-26",
    "nginx 1.22.1, h2o 2.2.5, lighttpd 1.4.69, Caddy 2.6.2, Go 1.27, static-web-server 2.44.1",
)];

/// The day of a run.
pub(super) fn day(results: &Results) -> &str {
    results.date.get(..10).unwrap_or(&results.date)
}

/// The versions of the other servers.
fn versions(results: &Results) -> &'static str {
    let known = VERSIONS.iter().find(|(date, _)| *date == day(results));
    known.map_or("versions not recorded", |(_, versions)| *versions)
}

/// The processor, the cores and the kernel.
pub(super) fn machine(results: &Results) -> String {
    let machine = &results.machine;
    let cores = count(machine.cores, "core", "cores");
    // A kernel's own name is what precedes the first dash.
    let kernel = machine.kernel.split('-').next().unwrap_or_default();
    format!("{}, {cores}, Linux {kernel}", machine.cpu)
}

/// The line under a table: when, on what, and of which versions.
pub(super) fn line(results: &Results) -> String {
    let (day, machine, versions) = (day(results), machine(results), versions(results));
    let commit = &results.commit;
    format!("Measured on {day}: {machine}; zc at commit {commit}, {versions}.")
}

/// How servers are called here.
pub(super) fn name(server: &str) -> &str {
    match server {
        "nginx" => "nginx, tuned",
        "nginx-default" => "nginx, as packaged",
        "nginx-aio" => "nginx, aio threads",
        "caddy" => "Caddy",
        "go" => "Go",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::made_up::empty;

    #[test]
    fn the_line_names_date_machine_kernel_and_versions() {
        let mut results = empty();
        assert_eq!(
            line(&results),
            "Measured on 2026-01-02: A processor, 2 cores, Linux 6.1.0; zc at commit 0123456789ab, \
             versions not recorded."
        );
        results.date = "2026-11-26T01:50:36Z".to_owned();
        assert!(line(&results).contains("nginx 1.22.1, h2o 2.2.5"));
    }
}
