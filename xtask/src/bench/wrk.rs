//! wrk: run, and its output read.

use std::process::Command;

use anyhow::{Context, bail};

use super::results::{Wrk, WrkErrors};

/// How wrk is asked to load a server.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) url: String,
    pub(crate) threads: u32,
    pub(crate) connections: u32,
    pub(crate) seconds: u64,
}

impl Plan {
    /// The command line; a response may take a minute before wrk counts it as an error.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("wrk");
        command
            .arg(format!("-t{}", self.threads))
            .arg(format!("-c{}", self.connections))
            .arg(format!("-d{}s", self.seconds))
            .args(["--latency", "--timeout", "60s"])
            .arg(&self.url);
        command
    }
}

/// Reads what wrk prints.
pub(crate) fn parse(output: &str) -> anyhow::Result<Wrk> {
    let mut found = Wrk::default();
    let mut has_summary = false;
    for line in output.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["Latency", mean, stdev, max, _] if mean != "Distribution" => {
                found.latency_mean_us = time_us(mean);
                found.latency_stdev_us = time_us(stdev);
                found.latency_max_us = time_us(max);
            }
            [percent, time] if percent.ends_with('%') => {
                let percentile = percent.trim_end_matches('%').parse().ok();
                found.percentiles_us.extend(percentile.zip(time_us(time)));
            }
            [requests, "requests", "in", seconds, bytes, "read"] => {
                found.requests = requests
                    .parse()
                    .context("wrk: cannot read the number of requests")?;
                let us =
                    time_us(seconds.trim_end_matches(',')).context("wrk: cannot read a time")?;
                found.seconds = us / 1e6;
                found.bytes = size_bytes(bytes).context("wrk: cannot read a size")?;
            }
            ["Socket", "errors:", ..] => found.errors = socket_errors(line, found.errors),
            ["Non-2xx", "or", "3xx", "responses:", count] => {
                found.errors.status = count
                    .parse()
                    .context("wrk: cannot read the number of responses")?;
            }
            ["Requests/sec:", rate] => {
                found.requests_per_second = rate.parse().context("wrk: cannot read a rate")?;
                has_summary = true;
            }
            ["Transfer/sec:", size] => {
                found.bytes_per_second = size_bytes(size).context("wrk: cannot read a rate")?;
            }
            _ => {}
        }
    }
    if !has_summary {
        bail!("wrk printed no summary: {}", output.trim());
    }
    // Without a response every one of them is 0, and means nothing.
    if found.requests == 0 {
        (
            found.latency_mean_us,
            found.latency_stdev_us,
            found.latency_max_us,
        ) = (None, None, None);
        found.percentiles_us.clear();
    }
    Ok(found)
}

/// `Socket errors: connect 0, read 1, write 2, timeout 3`.
fn socket_errors(line: &str, before: WrkErrors) -> WrkErrors {
    let count = |name: &str| {
        let mut words = line.split([' ', ',']).skip_while(|word| *word != name);
        words.nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
    };
    WrkErrors {
        connect: count("connect"),
        read: count("read"),
        write: count("write"),
        timeout: count("timeout"),
        ..before
    }
}

/// A time with its unit, in microseconds; `None` for `-nan`.
fn time_us(text: &str) -> Option<f64> {
    let units = [
        ("us", 1.0),
        ("ms", 1e3),
        ("s", 1e6),
        ("m", 60e6),
        ("h", 3600e6),
    ];
    with_unit(text, &units)
}

/// A size with its unit, in bytes; wrk counts in 1024s.
fn size_bytes(text: &str) -> Option<f64> {
    let units = [
        ("KB", 1024.0),
        ("MB", 1024.0 * 1024.0),
        ("GB", 1024.0 * 1024.0 * 1024.0),
        ("TB", 1024.0 * 1024.0 * 1024.0 * 1024.0),
        ("PB", 1024.0 * 1024.0 * 1024.0 * 1024.0 * 1024.0),
        ("B", 1.0),
    ];
    with_unit(text, &units)
}

fn with_unit(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let (number, factor) = units
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    let number: f64 = number.parse().ok()?;
    number.is_finite().then_some(number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDINARY: &str = "\
Running 20s test @ http://127.0.0.1:8080/video.mp4?method=sendfile
  6 threads and 30 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   568.29ms  102.04ms   1.20s    71.23%
    Req/Sec     5.72      3.26    20.00     61.54%
  Latency Distribution
     50%  561.00ms
     75%  633.11ms
     90%    1.02s
     99%    1.19s
  655 requests in 20.05s, 186.55GB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 5
Requests/sec:     32.67
Transfer/sec:      9.30GB
";

    #[test]
    fn an_ordinary_output() {
        let wrk = parse(ORDINARY).expect("wrk's output");
        let gib = 1024.0 * 1024.0 * 1024.0;
        assert_eq!((wrk.requests, wrk.seconds), (655, 20.05));
        assert_eq!(wrk.bytes, 186.55 * gib);
        assert_eq!(wrk.requests_per_second, 32.67);
        assert_eq!(wrk.bytes_per_second, 9.30 * gib);
        assert_eq!(wrk.latency_mean_us, Some(568_290.0));
        assert_eq!(wrk.latency_max_us, Some(1_200_000.0));
        let expected = [
            (50.0, 561e3),
            (75.0, 633.11e3),
            (90.0, 1.02e6),
            (99.0, 1.19e6),
        ];
        assert_eq!(wrk.percentiles_us, expected);
        let errors = WrkErrors {
            connect: 1,
            read: 2,
            write: 3,
            timeout: 4,
            status: 5,
        };
        assert_eq!(wrk.errors, errors);
    }

    #[test]
    fn no_response_at_all() {
        let output = "\
Running 1s test @ http://127.0.0.1:1/
  1 threads and 1 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     0.00us    0.00us   0.00us    -nan%
    Req/Sec     0.00      0.00     0.00      -nan%
  Latency Distribution
     50%    0.00us
     75%    0.00us
     90%    0.00us
     99%    0.00us
  0 requests in 1.00s, 0.00B read
  Socket errors: connect 1, read 0, write 0, timeout 0
Requests/sec:      0.00
Transfer/sec:       0.00B
";
        let wrk = parse(output).expect("wrk's output");
        assert_eq!(
            (wrk.requests, wrk.bytes, wrk.latency_mean_us),
            (0, 0.0, None)
        );
        assert!(wrk.percentiles_us.is_empty());
        assert_eq!(wrk.errors.connect, 1);
    }

    #[test]
    fn every_response_over_the_limit_leaves_no_latency() {
        // 174 responses, each counted as a timeout: the averages are of none.
        let output = ORDINARY.replace("568.29ms  102.04ms   1.20s ", "-nanus    -nanus   0.00us ");
        let wrk = parse(&output).expect("wrk's output");
        assert_eq!((wrk.latency_mean_us, wrk.latency_stdev_us), (None, None));
        assert_eq!(wrk.requests, 655);
    }

    #[test]
    fn units_from_microseconds_to_hours_and_from_bytes_to_petabytes() {
        for (text, expected) in [
            ("0.00us", Some(0.0)),
            ("157.45us", Some(157.45)),
            ("1.50ms", Some(1500.0)),
            ("2.00s", Some(2e6)),
            ("1.25m", Some(75e6)),
            ("1.00h", Some(3600e6)),
            ("-nanus", None),
            ("nan", None),
            ("", None),
        ] {
            assert_eq!(time_us(text), expected, "{text}");
        }
        for (text, expected) in [
            ("12.00B", Some(12.0)),
            ("1.50KB", Some(1536.0)),
            ("1.00MB", Some(1048576.0)),
            ("2.00TB", Some(2.0 * 1024f64.powi(4))),
            ("1.00PB", Some(1024f64.powi(5))),
            ("x", None),
        ] {
            assert_eq!(size_bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_output_of_wrk_is_an_error() {
        for wrong in [
            "",
            "unable to connect to 127.0.0.1:1 Connection refused\n",
            "\0\0",
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
