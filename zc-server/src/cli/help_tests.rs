//! What `-h` and `--help` print.

use std::ffi::OsString;

use clap::builder::StyledStr;
use clap::{Arg, Command, CommandFactory, error::ErrorKind};

use super::{Args, HELP_COLUMNS_MAX};

/// The options by heading, in their order.
const HEADINGS: &[(&str, &str)] = &[
    ("Configuration", "config"),
    (
        "Listening",
        "bind port lan qr open threads congestion defer-accept socket-mode",
    ),
    #[cfg(feature = "tls")]
    (
        "HTTPS",
        "tls-cert tls-key tls-self-signed tls-bind tls-min tls-client-ca tls-ocsp handshake-timeout max-handshakes ktls \
         redirect-http acme-webroot hsts tls-key-log",
    ),
    (
        "Serving",
        "site index symlinks spa error-page auth-file cache-control header cors cors-headers download-query \
         mime default-type charset precompressed etag hidden listing archive listing-style listing-readme method \
         method-override",
    ),
    (
        "Caching",
        "cache-files cache-bytes cache-file-max cache-ttl",
    ),
    (
        "Cold files",
        "offload-cold-reads io-uring disk-threads disk-timeout",
    ),
    (
        "Limits",
        "max-connections header-timeout idle-timeout send-timeout drain-delay grace-period",
    ),
    (
        "Limits of a connection",
        "max-requests-per-connection limit-rate limit-rate-after min-rate min-rate-window",
    ),
    (
        "Clients",
        "proxy-protocol trusted-proxy allow deny max-connections-per-ip request-id",
    ),
    ("Logging", "access-log log-file access-log-to"),
    ("Monitoring", "admin-bind"),
];

/// The output for a command line that asks for help.
fn help(words: &[&str]) -> String {
    let words = ["zc-server"].iter().chain(words).map(OsString::from);
    let words: Vec<_> = words.collect();
    // Whatever the variables hold.
    let error = Args::from_words(&words, |_| Some("nonsense".into())).expect_err("help");
    assert_eq!(
        (error.kind(), error.exit_code()),
        (ErrorKind::DisplayHelp, 0)
    );
    error.to_string()
}

/// The options of the server, without `--help` and `--version`.
fn options(command: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    let named = command
        .get_arguments()
        .filter_map(|arg| Some((arg.get_long()?, arg)));
    named.filter(|(long, _)| !["help", "version"].contains(long))
}

#[test]
fn no_line_is_wider_than_a_terminal() {
    for words in [
        &["-h"][..],
        &["--help"],
        &["etag", "-h"],
        &["etag", "--help"],
        &["doctor", "-h"],
        &["doctor", "--help"],
        &["check", "-h"],
        &["check", "--help"],
        &["print-config", "-h"],
        &["print-config", "--help"],
        &["completions", "-h"],
        &["completions", "--help"],
        &["healthcheck", "-h"],
        &["healthcheck", "--help"],
    ] {
        for line in help(words).lines() {
            let columns = line.chars().count();
            assert!(columns <= HELP_COLUMNS_MAX, "{words:?}: {columns}: {line}");
        }
    }
}

#[test]
fn every_option_is_under_its_heading_in_order() {
    let command = Args::command();
    let expected = HEADINGS.iter().flat_map(|(heading, longs)| {
        let longs = longs.split_whitespace();
        longs.map(move |long| (Some(*heading), long))
    });
    let found = options(&command).map(|(long, arg)| (arg.get_help_heading(), long));
    assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    for words in ["-h", "--help"] {
        let text = help(&[words]);
        let lines: Vec<&str> = text.lines().collect();
        let place = |line: &str| lines.iter().position(|other| *other == line);
        let places = HEADINGS.iter();
        let places = places.map(|(heading, _)| place(&format!("{heading}:")));
        let places: Vec<_> = places.collect();
        assert!(places.iter().all(Option::is_some), "{text}");
        assert!(places.is_sorted() && places.last() < Some(&place("Examples:")));
    }
}

#[test]
fn the_short_help_has_one_line_for_each_option() {
    let (text, command) = (help(&["-h"]), Args::command());
    let is_option = |line: &str| line.trim_start().starts_with('-');
    let from = text.lines().skip_while(|line| *line != "Configuration:");
    let lines = from.take_while(|line| *line != "Examples:");
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let (of_options, headings) = lines
        .iter()
        .partition::<Vec<&str>, _>(|line| is_option(line));
    assert_eq!(headings.len(), HEADINGS.len(), "{headings:?}");
    assert_eq!(of_options.len(), options(&command).count());
    for ((_, arg), line) in options(&command).zip(of_options) {
        let help = arg.get_help().expect("a help").to_string();
        assert!(line.contains(&help), "{help} is not in: {line}");
    }
    for word in ["[env:", "possible values"] {
        assert!(!text.contains(word), "{text}");
        assert!(!help(&["etag", "-h"]).contains(word));
    }
}

#[test]
fn the_long_help_names_the_variables_and_does_not_describe_on_and_off() {
    let (text, command) = (help(&["--help"]), Args::command());
    for arg in command
        .get_arguments()
        .filter(|arg| arg.get_env().is_some())
    {
        let name = arg.get_env().and_then(|name| name.to_str());
        let name = name.expect("ASCII");
        assert!(text.contains(&format!("[env: {name}]")), "no {name}");
    }
    for line in text.lines().map(str::trim) {
        let is_described = line.starts_with("- on:") || line.starts_with("- off:");
        assert!(!is_described, "{line}");
    }
}

/// The paragraphs of all help texts.
fn texts() -> Vec<(String, Vec<String>)> {
    let mut commands = vec![Args::command()];
    commands.extend(commands[0].get_subcommands().cloned().collect::<Vec<_>>());
    let mut texts = Vec::new();
    let mut add = |name: &str, long: Option<&StyledStr>, short: Option<&StyledStr>| {
        let text = long
            .or(short)
            .unwrap_or_else(|| panic!("{name} has no help"));
        let text = text.to_string();
        texts.push((
            name.to_owned(),
            text.split("\n\n").map(str::to_owned).collect(),
        ));
    };
    for command in &commands {
        add(
            command.get_name(),
            command.get_long_about(),
            command.get_about(),
        );
        for arg in command.get_arguments() {
            add(arg.get_id().as_str(), arg.get_long_help(), arg.get_help());
            for value in arg.get_possible_values() {
                if let Some(help) = value.get_help() {
                    add(value.get_name(), None, Some(help));
                }
            }
        }
    }
    texts
}

#[test]
fn first_lines_end_without_a_period_and_sentences_with_one() {
    for (name, paragraphs) in texts() {
        let (first, rest) = paragraphs.split_first().expect("a paragraph");
        assert!(!first.ends_with('.'), "{name}: {first}");
        for paragraph in rest {
            assert!(paragraph.ends_with('.'), "{name}: {paragraph}");
        }
    }
}

#[test]
fn no_text_has_a_phrase_that_tidy_bans() {
    let list = include_str!("../../../xtask/src/tidy/words.rs");
    let phrases = list.lines().filter_map(|line| {
        let phrase = line.strip_prefix("    (\"")?.split('"').next()?;
        Some(phrase.to_owned())
    });
    let phrases: Vec<String> = phrases.collect();
    assert!(phrases.len() > 10, "{phrases:?}");
    let texts = texts()
        .into_iter()
        .map(|(_, paragraphs)| paragraphs.join(" "));
    let outputs = ["-h", "--help"].map(|word| help(&[word]));
    for text in texts.chain(outputs) {
        let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        let text = words.join(" ");
        for phrase in &phrases {
            assert!(!text.contains(phrase.as_str()), "{phrase}: {text}");
        }
    }
}
