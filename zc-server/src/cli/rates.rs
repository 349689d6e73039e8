//! Options that limit one connection: its requests, how fast it is sent to, and how fast it has to take that.

use std::num::{NonZeroU32, NonZeroU64};

use clap::Args;

use super::parse;
use crate::config::files::RateRule;
use crate::text::parse_size;

/// The lowest rate, in bytes per second: below it a response takes minutes for what one packet holds.
const RATE_MIN: u64 = 100;
/// The highest rate: past what any machine sends.
const RATE_MAX: u64 = 1 << 40;

/// What a value of `--limit-rate` looks like.
const FORM: &str = "examples: 1MiB, 500kB, '*.iso=10MiB', '*.html=off'";

/// Options that limit one connection.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits of a connection")]
pub struct RateArgs {
    /// Requests per connection
    ///
    /// The response to the last request of a connection says Connection: close, and the connection ends behind it.
    /// Requests that were sent after it are not answered. off is no limit.
    #[arg(
        long = "max-requests-per-connection",
        value_name = "N",
        env = "ZC_MAX_REQUESTS_PER_CONNECTION",
        hide_env_values = true,
        default_value = "off",
        value_parser = count_or_off
    )]
    pub requests_max: CountOrOff,

    /// Rate limit of a connection
    ///
    /// RATE is a SIZE per second. The bodies of files, listings and archives are sent at it, with their heads. All responses of
    /// a connection share it. A client with several connections has it on each.
    /// With GLOB, the rate of files that match it, as in --cache-control; without, that of all others. RATE is off
    /// for no limit. May be repeated: the first glob that matches is used.
    #[arg(
        long = "limit-rate",
        value_name = "[GLOB=]RATE",
        env = "ZC_LIMIT_RATE",
        hide_env_values = true,
        value_parser = rate_rule
    )]
    pub limit_rates: Vec<RateRule>,

    /// Bytes before --limit-rate
    ///
    /// The first bytes of a response are sent without --limit-rate, as fast as the client takes them. A connection has
    /// them once, and again as far as it was sent less than the rate since.
    #[arg(
        long = "limit-rate-after",
        value_name = "SIZE",
        env = "ZC_LIMIT_RATE_AFTER",
        hide_env_values = true,
        default_value = "0",
        value_parser = after_bytes
    )]
    pub limit_rate_after_bytes: u64,

    /// Slowest client rate
    ///
    /// Close a connection whose client takes less than RATE, a SIZE per second, on average over --min-rate-window. Only the time
    /// counts in which the server waits for the client: not --limit-rate, and not the disk. off is no limit.
    #[arg(
        long = "min-rate",
        value_name = "RATE",
        env = "ZC_MIN_RATE",
        hide_env_values = true,
        default_value = "off",
        value_parser = rate_or_off
    )]
    pub min_rate: RateOrOff,

    /// Window of --min-rate
    ///
    /// The time of waiting for a client over which --min-rate is measured.
    #[arg(
        long = "min-rate-window",
        value_name = "TIME",
        env = "ZC_MIN_RATE_WINDOW",
        hide_env_values = true,
        default_value = "30s",
        value_parser = parse::duration_ms
    )]
    pub min_rate_window_ms: u64,
}

/// A number, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountOrOff(pub Option<NonZeroU32>);

/// Bytes per second, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateOrOff(pub Option<NonZeroU64>);

/// Parses `RATE`, or `GLOB=RATE`.
fn rate_rule(text: &str) -> Result<RateRule, String> {
    let (glob, rate) = match text.rsplit_once('=') {
        Some((glob, rate)) => (Some(parse::path_glob(glob, FORM)?), rate),
        None => (None, text),
    };
    let RateOrOff(bytes_per_second) = rate_or_off(rate)?;
    Ok(RateRule {
        glob,
        bytes_per_second,
    })
}

/// Parses a number from 1, or `off`.
pub(super) fn count_or_off(text: &str) -> Result<CountOrOff, String> {
    match (text, text.parse()) {
        ("off", _) => Ok(CountOrOff(None)),
        (_, Ok(number)) => Ok(CountOrOff(Some(number))),
        _ => Err(format!("must be 1 to {}, or off", u32::MAX)),
    }
}

/// Parses bytes per second, or `off`.
fn rate_or_off(text: &str) -> Result<RateOrOff, String> {
    if text == "off" {
        return Ok(RateOrOff(None));
    }
    let bytes = parse_size(text.strip_suffix("/s").unwrap_or(text))
        .ok_or("not a rate; examples: 1MiB, 500kB, off")?;
    match NonZeroU64::new(bytes) {
        Some(rate) if (RATE_MIN..=RATE_MAX).contains(&bytes) => Ok(RateOrOff(Some(rate))),
        _ => Err("must be 100 bytes to 1TiB a second, or off".to_owned()),
    }
}

/// Parses the bytes before a limit.
fn after_bytes(text: &str) -> Result<u64, String> {
    match parse::size(text)? {
        bytes if bytes <= RATE_MAX => Ok(bytes),
        _ => Err("must be at most 1TiB".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_sizes_with_a_glob_or_without() {
        for (text, glob, rate) in [
            ("1MiB", false, Some(1 << 20)),
            ("500kB/s", false, Some(500_000)),
            ("100", false, Some(100)),
            ("off", false, None),
            ("*.iso=10MB", true, Some(10_000_000)),
            ("a=b.iso=10MB", true, Some(10_000_000)),
            ("*.html=off", true, None),
        ] {
            let rule = rate_rule(text).expect(text);
            let found = rule.bytes_per_second.map(NonZeroU64::get);
            assert_eq!((rule.glob.is_some(), found), (glob, rate), "{text}");
        }
        for (text, error) in [
            ("fast", "not a rate; examples: 1MiB, 500kB, off"),
            ("0", "must be 100 bytes to 1TiB a second, or off"),
            ("99", "must be 100 bytes to 1TiB a second, or off"),
            ("*.iso=", "not a rate; examples: 1MiB, 500kB, off"),
            ("2TiB", "must be 100 bytes to 1TiB a second, or off"),
        ] {
            assert_eq!(rate_rule(text).expect_err(text), error, "{text}");
        }
        assert!(rate_rule("=1MiB").expect_err("no glob").contains(FORM));
        assert_eq!(
            after_bytes("2TiB").expect_err("large"),
            "must be at most 1TiB"
        );
    }
}
