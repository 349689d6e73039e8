//! Options of the access log.

use std::path::PathBuf;

use clap::Args;

use super::absolute::absolute;
use crate::config::{ConfigError, JOURNALD_SOCKET, LogFormat, LogTarget, SYSLOG_SOCKET};

/// Options of the access log.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logging")]
pub struct LoggingArgs {
    /// Log responses in this format
    ///
    /// One line for each response. Without this option there is a log if --log-file or --access-log-to says where it
    /// goes, and its format is combined. `off` writes no log, and no file is opened.
    #[arg(
        long,
        value_name = "FORMAT",
        env = "ZC_ACCESS_LOG",
        hide_env_values = true,
        value_enum
    )]
    pub access_log: Option<LogFormat>,

    /// Write the access log to a file
    ///
    /// The file is appended to. SIGUSR1 and SIGHUP have it opened again by its name, after a program such as logrotate
    /// has renamed it. It must not be below a root, where it would be served.
    #[arg(long, value_name = "PATH", env = "ZC_LOG_FILE", hide_env_values = true)]
    pub log_file: Option<PathBuf>,

    /// Log to stdout, syslog or journald
    ///
    /// `stdout` is the default. `syslog` is the daemon at /dev/log, and `journald` that at /run/systemd/journal/socket.
    /// Another socket stands behind a colon: syslog:/run/log. Lines are dropped and counted while nobody takes them
    /// there. It cannot be combined with --log-file.
    #[arg(
        long,
        value_name = "TARGET",
        env = "ZC_ACCESS_LOG_TO",
        hide_env_values = true,
        value_parser = target
    )]
    pub access_log_to: Option<LogTarget>,
}

/// A value of `--access-log-to`.
fn target(text: &str) -> Result<LogTarget, String> {
    let (name, path) = match text.split_once(':') {
        Some((name, path)) => (name, Some(path)),
        None => (text, None),
    };
    let path_or = |default: &str| match path {
        Some("") => Err(format!(
            "there is no path behind `{name}:`; name a socket, or write {name}"
        )),
        path => Ok(PathBuf::from(path.unwrap_or(default))),
    };
    match (name, path) {
        ("stdout", None) => Ok(LogTarget::Stdout),
        ("stdout", Some(_)) => {
            Err("stdout has no path; write stdout, or use --log-file".to_owned())
        }
        ("syslog", _) => Ok(LogTarget::Syslog(path_or(SYSLOG_SOCKET)?)),
        ("journald", _) => Ok(LogTarget::Journald(path_or(JOURNALD_SOCKET)?)),
        _ => Err("use stdout, syslog, journald, syslog:PATH or journald:PATH".to_owned()),
    }
}

/// The format of the access log, and where it goes.
pub(super) fn log_from(args: &LoggingArgs) -> Result<(LogFormat, LogTarget), ConfigError> {
    let target = match (&args.log_file, &args.access_log_to) {
        (Some(_), Some(_)) => return Err(ConfigError::LogTargets),
        (Some(file), None) => Some(LogTarget::File(absolute(file)?)),
        (None, Some(LogTarget::Syslog(path))) => Some(LogTarget::Syslog(absolute(path)?)),
        (None, Some(LogTarget::Journald(path))) => Some(LogTarget::Journald(absolute(path)?)),
        (None, target) => target.clone(),
    };
    let format = match (args.access_log, &target) {
        (Some(format), _) => format,
        (None, Some(_)) => LogFormat::Combined,
        (None, None) => LogFormat::Off,
    };
    Ok((format, target.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use clap::Parser;

    use super::*;
    use crate::cli::Args as All;

    fn log_of(words: &[&str]) -> Result<(LogFormat, LogTarget), String> {
        let words = ["zc-server"].iter().chain(words);
        let args = All::try_parse_from(words).map_err(|error| error.to_string())?;
        log_from(&args.logging).map_err(|error| error.to_string())
    }

    #[test]
    fn format_and_target_make_one_log() {
        let syslog = |path: &str| LogTarget::Syslog(PathBuf::from(path));
        let journald = |path: &str| LogTarget::Journald(PathBuf::from(path));
        let file = || LogTarget::File(PathBuf::from("/a"));
        for (words, format, target) in [
            (&[][..], LogFormat::Off, LogTarget::Stdout),
            (&["--access-log=json"], LogFormat::Json, LogTarget::Stdout),
            (&["--log-file=/a"], LogFormat::Combined, file()),
            (
                &["--log-file=/a", "--access-log=clf"],
                LogFormat::Clf,
                file(),
            ),
            (
                &["--log-file=/a", "--access-log=off"],
                LogFormat::Off,
                file(),
            ),
            (
                &["--access-log-to=stdout"],
                LogFormat::Combined,
                LogTarget::Stdout,
            ),
            (
                &["--access-log-to=syslog"],
                LogFormat::Combined,
                syslog("/dev/log"),
            ),
            (
                &["--access-log-to=syslog:/a:b"],
                LogFormat::Combined,
                syslog("/a:b"),
            ),
            (
                &["--access-log-to=journald"],
                LogFormat::Combined,
                journald("/run/systemd/journal/socket"),
            ),
            (
                &["--access-log-to=journald:/a"],
                LogFormat::Combined,
                journald("/a"),
            ),
        ] {
            assert_eq!(log_of(words), Ok((format, target)), "{words:?}");
        }
    }

    #[test]
    fn relative_paths_begin_at_the_directory_of_the_start() {
        let here = std::env::current_dir().expect("a directory");
        for words in [
            "--log-file=logs/a",
            "--access-log-to=syslog:logs/a",
            "--access-log-to=journald:logs/a",
        ] {
            let (_, target) = log_of(&[words]).expect("right");
            let (LogTarget::File(path) | LogTarget::Syslog(path) | LogTarget::Journald(path)) =
                target
            else {
                panic!("{words}: no path");
            };
            assert!(path.is_absolute() && path.ends_with("logs/a"), "{path:?}");
            let parent = path.ancestors().nth(2).expect("two levels");
            let same = |path: &Path| path.canonicalize().expect("it is there");
            assert_eq!(same(parent), same(&here));
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_mend() {
        for (words, said) in [
            (
                &["--access-log-to=syslog:"][..],
                "name a socket, or write syslog",
            ),
            (&["--access-log-to=stdout:/a"], "use --log-file"),
            (&["--access-log-to=file:/a"], "use stdout, syslog, journald"),
            (
                &["--log-file=/a", "--access-log-to=stdout"],
                "--log-file and --access-log-to are both given, and there is one access log; remove one",
            ),
        ] {
            let error = log_of(words).expect_err(said);
            assert!(error.contains(said), "{words:?}: {error}");
        }
    }
}
