//! The command line as typed; [`Config`](crate::config::Config) is what comes of it.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{
    Parser,
    builder::{BoolishValueParser, PossibleValue, PossibleValuesParser, TypedValueParser},
};
use zc_core::Method;

use crate::config::{CONNECTIONS_MAX_LIMIT, LogFormat, THREADS_MAX};

/// The longest duration that is taken: 24 hours. Past that a unit was mistyped.
const DURATION_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// What `--help` ends with.
const EXAMPLES: &str = "\
Durations: a bare number is seconds; or with a unit, as 500ms, 10s, 1m. At most 24h.

Examples:
  zc-server                             the current directory, on 127.0.0.1:8080
  zc-server --bind 0.0.0.0:80 /srv/www  a directory, on every IPv4 address
  zc-server --bind 127.0.0.1:8080 --bind '[::1]:8080' .
                                        on two addresses
  zc-server image.iso                   one file and nothing beside it
  zc-server --access-log json | jq .outcome
                                        how each response ended";

/// Serves the files below a directory, or one file, over HTTP/1.1 with sendfile(2).
#[derive(Debug, Clone, Parser)]
#[command(name = "zc-server", version, after_help = EXAMPLES)]
pub struct Args {
    /// Directory to serve, or one regular file.
    #[arg(default_value = ".")]
    pub root: PathBuf,

    /// Address and port to listen on, such as `127.0.0.1:8080` or `[::1]:8080`; may be repeated. Port 0 lets the
    /// system choose. Several in the variable are separated by commas.
    #[arg(
        long = "bind",
        value_name = "ADDR",
        env = "ZC_BIND",
        hide_env_values = true,
        value_delimiter = ',',
        default_value = "127.0.0.1:8080",
        value_parser = address
    )]
    pub binds: Vec<SocketAddr>,

    /// Worker threads. [default: one for each processor]
    #[arg(long, value_name = "N", env = "ZC_THREADS", hide_env_values = true, value_parser = threads)]
    pub threads: Option<usize>,

    /// How file bytes reach the socket.
    #[arg(
        long,
        env = "ZC_METHOD",
        hide_env_values = true,
        default_value = "auto",
        value_parser = method_parser()
    )]
    pub method: Method,

    /// Let a request choose the method for itself; for measurements, not for the open internet.
    #[arg(
        long,
        env = "ZC_METHOD_OVERRIDE",
        hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub method_override: bool,

    /// One line on standard output for each response.
    #[arg(
        long,
        value_name = "FORMAT",
        env = "ZC_ACCESS_LOG",
        hide_env_values = true,
        value_enum,
        default_value = "off"
    )]
    pub access_log: LogFormat,

    /// Time that a client has to send a whole request head.
    #[arg(
        long = "header-timeout",
        value_name = "DURATION",
        env = "ZC_HEADER_TIMEOUT",
        hide_env_values = true,
        default_value = "10s",
        value_parser = duration_ms
    )]
    pub header_timeout_ms: u64,

    /// Time that a connection is kept between requests.
    #[arg(
        long = "idle-timeout",
        value_name = "DURATION",
        env = "ZC_IDLE_TIMEOUT",
        hide_env_values = true,
        default_value = "75s",
        value_parser = duration_ms
    )]
    pub idle_timeout_ms: u64,

    /// Time in which a client must take at least one byte of a response that waits for it.
    #[arg(
        long = "stall-timeout",
        value_name = "DURATION",
        env = "ZC_STALL_TIMEOUT",
        hide_env_values = true,
        default_value = "60s",
        value_parser = duration_ms
    )]
    pub stall_timeout_ms: u64,

    /// Time that responses under way have to end after SIGTERM or SIGINT.
    #[arg(
        long = "grace-period",
        value_name = "DURATION",
        env = "ZC_GRACE_PERIOD",
        hide_env_values = true,
        default_value = "30s",
        value_parser = duration_ms
    )]
    pub grace_ms: u64,

    /// Connections open at once, over all threads; more wait in the listen queue.
    #[arg(
        long = "max-connections",
        value_name = "N",
        env = "ZC_MAX_CONNECTIONS",
        hide_env_values = true,
        default_value = "8192",
        value_parser = connections_max
    )]
    pub connections_max: usize,
}

/// Parses `IP:PORT` or `[IPv6]:PORT`; names are not looked up.
fn address(text: &str) -> Result<SocketAddr, String> {
    text.trim().parse().map_err(|_| {
        "not an IP address with a port: write it as 127.0.0.1:8080 or [::1]:8080".to_owned()
    })
}

/// Parses a count of threads.
fn threads(text: &str) -> Result<usize, String> {
    count(text, THREADS_MAX)
}

/// Parses a count of connections.
fn connections_max(text: &str) -> Result<usize, String> {
    count(text, CONNECTIONS_MAX_LIMIT)
}

/// Parses a whole number from 1 to `max`.
fn count(text: &str, max: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err(format!("0 would serve nobody: give 1 to {max}")),
        Ok(number) if number <= max => Ok(number),
        _ => Err(format!("not a whole number from 1 to {max}: give one")),
    }
}

/// Parses a duration into milliseconds: a bare number is seconds, otherwise units are named.
fn duration_ms(text: &str) -> Result<u64, String> {
    let duration = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Too many digits for a u64 is past the maximum in any case.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        humantime::parse_duration(text)
            .map_err(|error| format!("{error}: write it as 500ms, 10s or 1m"))?
    };
    match u64::try_from(duration.as_millis()) {
        Ok(0) if duration.is_zero() => {
            Err("0 would be over at once: give a duration from 1ms to 24h".to_owned())
        }
        Ok(0) => Err("below one millisecond: give a duration from 1ms to 24h".to_owned()),
        Ok(duration_ms) if duration_ms <= DURATION_MS_MAX => Ok(duration_ms),
        _ => Err("over a day: give a duration from 1ms to 24h".to_owned()),
    }
}

/// Parses the name of a [`Method`].
fn method_parser() -> impl TypedValueParser<Value = Method> {
    PossibleValuesParser::new([
        PossibleValue::new("auto").help("sendfile, and a copy loop where the kernel refuses it"),
        PossibleValue::new("sendfile").help("sendfile and nothing else; a refusal is an error"),
        PossibleValue::new("splice").help("splice through a pipe and nothing else"),
        PossibleValue::new("copy").help("read and write through a buffer, for comparison"),
    ])
    .map(|name| match name.as_str() {
        "sendfile" => Method::Sendfile,
        "splice" => Method::Splice,
        "copy" => Method::Copy,
        // `auto`: the parser lets nothing else through.
        _ => Method::Auto,
    })
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, error::ErrorKind};

    use super::*;

    fn parsed(words: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from([&["zc-server"], words].concat())
    }

    #[test]
    fn the_command_is_consistent_and_every_option_has_a_variable() {
        let command = Args::command();
        command.clone().debug_assert();
        for option in command
            .get_opts()
            .filter(|option| option.get_id() != "help" && option.get_id() != "version")
        {
            let long = option.get_long().expect("every option has a long name");
            let expected = format!("ZC_{}", long.replace('-', "_").to_uppercase());
            let variable = option.get_env().and_then(|name| name.to_str());
            assert_eq!(variable, Some(expected.as_str()));
            assert!(option.get_help().is_some(), "{long} has no help");
        }
    }

    #[test]
    fn addresses() {
        let args = parsed(&["--bind", "0.0.0.0:80", "--bind=[::1]:0", "www"]).expect("valid");
        assert_eq!(
            args.binds,
            ["0.0.0.0:80".parse().unwrap(), "[::1]:0".parse().unwrap()]
        );
        assert_eq!(args.root, PathBuf::from("www"));
        let args = parsed(&["--bind", "127.0.0.1:1,127.0.0.1:2"]).expect("valid");
        assert_eq!(args.binds.len(), 2);
        for wrong in [
            "localhost:80",
            "127.0.0.1",
            "::1:80:",
            "127.0.0.1:65536",
            "",
        ] {
            let error = parsed(&["--bind", wrong]).expect_err(wrong);
            assert_eq!(error.exit_code(), 2, "{wrong}");
            assert!(error.to_string().contains("[::1]:8080"), "{error}");
        }
    }

    #[test]
    fn durations() {
        for (text, expected_ms) in [
            ("10", 10_000),
            ("10s", 10_000),
            ("500ms", 500),
            ("1m", 60_000),
            ("1m 30s", 90_000),
            ("24h", DURATION_MS_MAX),
            ("86400", DURATION_MS_MAX),
        ] {
            assert_eq!(duration_ms(text), Ok(expected_ms), "{text}");
        }
        for wrong in [
            "0",
            "0s",
            "100us",
            "86401",
            "25h",
            "",
            "-1",
            "ten",
            "10 parsecs",
            "99999999999999999999999",
            "18446744073709551615",
        ] {
            assert!(duration_ms(wrong).is_err(), "{wrong}");
        }
        let error = parsed(&["--idle-timeout", "0"]).expect_err("zero");
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("from 1ms to 24h"), "{error}");
    }

    #[test]
    fn counts() {
        assert_eq!(parsed(&["--threads", "3"]).expect("valid").threads, Some(3));
        for option in ["--threads", "--max-connections"] {
            for wrong in ["0", "-1", "many", "99999999999", "99999999999999999999999"] {
                let error = parsed(&[&format!("{option}={wrong}")]).expect_err(wrong);
                assert_eq!(error.exit_code(), 2);
                assert!(error.to_string().contains(option), "{error}");
            }
        }
    }

    #[test]
    fn names() {
        let args = parsed(&[
            "--method",
            "copy",
            "--access-log",
            "clf",
            "--method-override",
        ])
        .expect("valid");
        assert_eq!(args.method, Method::Copy);
        assert_eq!(args.access_log, LogFormat::Clf);
        assert!(args.method_override);
        let error = parsed(&["--method", "mmap"]).expect_err("no such method");
        assert_eq!(error.kind(), ErrorKind::InvalidValue);
    }
}
