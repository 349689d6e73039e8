use std::ffi::{OsStr, OsString};

use clap::{ArgAction, CommandFactory, error::ErrorKind};

use super::*;
use crate::config::Bind;
use crate::config::LogFormat;
use crate::config::files::CORS_REQUEST_FIELDS;
use zc_core::SendMethod;

pub(super) fn parsed(words: &[&str]) -> Result<Args, clap::Error> {
    parsed_with(words, &[])
}

/// The same with these variables in the environment.
pub(super) fn parsed_with(words: &[&str], variables: &[(&str, &str)]) -> Result<Args, clap::Error> {
    let words: Vec<_> = ["zc-server"]
        .iter()
        .chain(words)
        .map(OsString::from)
        .collect();
    Args::from_words(&words, |name| {
        let set = variables.iter().find(|(set, _)| OsStr::new(set) == name);
        set.map(|(_, value)| value.into())
    })
}

#[test]
fn the_command_is_consistent_and_every_option_has_a_variable() {
    let command = Args::command();
    command.clone().debug_assert();
    for option in command.get_arguments() {
        let long = option.get_long().unwrap_or("root");
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
        args.listening.binds,
        ["0.0.0.0:80", "[::1]:0"].map(|text| Listen::At(text.parse().unwrap()))
    );
    assert_eq!(args.root, PathBuf::from("www"));
    let args = parsed(&["--bind", "127.0.0.1:1,127.0.0.1:2"]).expect("valid");
    assert_eq!(args.listening.binds.len(), 2);
    let args = parsed(&["--bind=8080,:80", "--bind", "localhost:8081"]).expect("valid");
    let expected = [
        Bind::Loopback(8080),
        Bind::Everywhere(80),
        Bind::Loopback(8081),
    ];
    assert_eq!(args.listening.binds, expected.map(Listen::At));
    for wrong in ["example.org:80", "::1:80:", "::1", "127.0.0.1:65536", ""] {
        let error = parsed(&["--bind", wrong]).expect_err(wrong);
        assert_eq!(error.exit_code(), 2, "{wrong}");
        assert!(error.to_string().contains("[::1]:8080"), "{error}");
    }
}

#[test]
fn addresses_without_a_port_have_that_of_the_option() {
    for (words, expected) in [
        (&[][..], &["127.0.0.1:8080"][..]),
        (&["--port", "9000"], &["127.0.0.1:9000"]),
        (&["-p9000", "--bind=0.0.0.0"], &["0.0.0.0:9000"]),
        (
            &["--bind=[::],localhost,:80", "-p", "1"],
            &["[::]:1", "localhost:1", ":80"],
        ),
        (&["--lan"], &[":8080"]),
        (&["--lan", "--port=0"], &[":0"]),
        (&["--bind=off"], &[]),
    ] {
        let plain = parsed(words).expect("valid").listening.plain();
        let found: Vec<String> = plain.iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{words:?}");
    }
    for wrong in ["65536", "-1", "http", ""] {
        let error = parsed(&[&format!("--port={wrong}")]).expect_err(wrong);
        assert!(error.to_string().contains("--port"), "{error}");
    }
}

#[test]
fn a_value_that_is_wrong_is_named_with_its_option() {
    for (option, wrong, mend) in [
        ("--threads", "0", "must be 1 to 1024"),
        ("--threads", "many", "must be 1 to 1024"),
        ("--idle-timeout", "0", "must be 1ms to 24h"),
        ("--cache-files", "-1", "must be 0 to"),
        ("--cache-bytes", "12 apples", "64MiB"),
        ("--cache-bytes", "16EiB", "at most 1TiB"),
        ("--cache-bytes", "1025GiB", "at most 1TiB"),
        ("--cache-file-max", "65KiB", "at most 64KiB"),
        ("--cache-ttl", "25h", "must be 0, or 1ms to 24h"),
        ("--index", "a/b", "a name without a slash"),
        ("--spa", "/etc/passwd", "relative to the root"),
        ("--error-page", "404", "example: 404="),
        ("--cache-control", "*.js", "no `=`"),
        (
            "--header",
            "X-Request-Id: 1",
            "`X-Request-Id` cannot be set; use --request-id",
        ),
        (
            "--header",
            "Date: now",
            "`Date` cannot be set; it is computed",
        ),
        (
            "--cors",
            "example.org",
            "not a valid origin; examples: https://example.org",
        ),
        ("--mime", "md", "example: md=text/plain"),
        ("--default-type", "text", "examples: text/plain"),
        ("--charset", "utf 8", "examples: utf-8"),
        ("--cors-headers", "A:", "examples: If-None-Match"),
        ("--download-query", "maybe", "off"),
        ("--site", "a.b", "example: example.org="),
        ("--symlinks", "all", "within"),
        ("--precompressed", "lzma", "zst"),
        ("--listing", "maybe", "off"),
    ] {
        let error = parsed(&[&format!("{option}={wrong}")]).expect_err(wrong);
        assert_eq!(error.exit_code(), 2);
        let text = error.to_string();
        assert!(
            text.contains(option) && text.contains(wrong) && text.contains(mend),
            "{text}"
        );
    }
}

#[test]
fn an_optional_value_does_not_swallow_the_root() {
    let args = parsed(&["--spa", "--cors", "www"]).expect("valid");
    assert_eq!(args.root, PathBuf::from("www"));
    assert_eq!(args.serving.spa, Some(PathBuf::from("index.html")));
    assert_eq!(args.serving.cors, ["*"]);
    let args = parsed(&["--spa=app.html", "--cors=https://a.b", "--cors=https://c.d"]);
    let args = args.expect("valid");
    assert_eq!(args.serving.spa, Some(PathBuf::from("app.html")));
    assert_eq!(args.serving.cors, ["https://a.b", "https://c.d"]);
    let args = parsed(&[]).expect("valid");
    assert_eq!((args.serving.spa, args.serving.cors.len()), (None, 0));
    assert_eq!(args.serving.cors_headers.join(", "), CORS_REQUEST_FIELDS);
    let error = parsed(&["--cors-headers=X-A"]).expect_err("nobody may send them");
    assert!(error.to_string().contains("--cors"), "{error}");
}

#[test]
fn counts() {
    assert_eq!(
        parsed(&["--threads", "3"])
            .expect("valid")
            .listening
            .threads,
        Some(3)
    );
    for option in ["--threads", "--max-connections", "--disk-threads"] {
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
    assert_eq!(args.serving.method, SendMethod::Copy);
    assert_eq!(args.logging.access_log, Some(LogFormat::Clf));
    assert!(args.serving.method_override);
    let error = parsed(&["--method", "mmap"]).expect_err("no such method");
    assert_eq!(error.kind(), ErrorKind::InvalidValue);
}

/// All variables, by option.
fn variables() -> Vec<(clap::Arg, String)> {
    let command = Args::command();
    let variable = |arg: &clap::Arg| {
        let name = arg.get_env()?.to_str().expect("ASCII").to_owned();
        Some((arg.clone(), name))
    };
    command.get_arguments().filter_map(variable).collect()
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let without = format!("{:?}", parsed(&[]).expect("valid"));
    let variables = variables();
    assert!(variables.len() > 30, "{}", variables.len());
    for (_, name) in &variables {
        let with = parsed_with(&[], &[(name, "")]).expect(name);
        assert_eq!(format!("{with:?}"), without, "{name}");
    }
}

/// Two values of each option that may be repeated.
const SAMPLES: &[(&str, [&str; 2])] = &[
    ("--bind", ["127.0.0.1:1", "[::1]:2"]),
    ("--index", ["index.html", "home.htm"]),
    ("--precompressed", ["zst", "br"]),
    ("--error-page", ["404=a,b.html", "403=c.html"]),
    ("--site", ["a.example=/srv/a,b", "c.example=/srv/c"]),
    ("--cache-control", ["*.js=public, max-age=5", "**=no-cache"]),
    ("--header", ["X-A: b, c", "*.js=X-D: e"]),
    ("--cors", ["https://a.example", "https://b.example"]),
    ("--cors-headers", ["X-A", "X-B"]),
    ("--limit-rate", ["*.{a,b}=1MiB", "2MiB"]),
    ("--mime", ["log=text/x-log", "md=text/plain"]),
    #[cfg(feature = "tls")]
    ("--tls-cert", ["/a,b.pem", "/c.pem"]),
    #[cfg(feature = "tls")]
    ("--tls-key", ["/a,b.key", "/c.key"]),
    #[cfg(feature = "tls")]
    ("--tls-ocsp", ["/a,b.ocsp", "/c.ocsp"]),
    #[cfg(feature = "tls")]
    ("--tls-bind", ["127.0.0.1:1", "[::1]:2"]),
    #[cfg(feature = "tls")]
    ("--tls-self-signed", ["a.example", "*.b.example"]),
    ("--proxy-protocol", ["127.0.0.1:8080", "all"]),
    ("--trusted-proxy", ["10.0.0.0/8", "::1"]),
    ("--allow", ["10.0.0.0/8", "::1"]),
    ("--deny", ["10.0.0.0/8", "::1"]),
];

#[test]
fn a_variable_has_a_value_on_each_line_for_every_option_that_may_be_repeated() {
    let mut seen = 0;
    for (option, variable) in variables() {
        if !matches!(option.get_action(), ArgAction::Append) {
            continue;
        }
        let long = format!("--{}", option.get_long().expect("a long name"));
        let samples = SAMPLES.iter().find(|(name, _)| *name == long);
        let [one, two] = samples.unwrap_or_else(|| panic!("no sample of {long}")).1;
        let words = [one, two].map(|value| format!("{long}={value}"));
        // What one of them is for.
        let cause: &[&str] = match &*long {
            "--cors-headers" => &["--cors"],
            "--tls-key" => &["--tls-cert=/a.pem"],
            _ => &[],
        };
        let typed = parsed(&[&[&*words[0], &*words[1]], cause].concat()).expect("valid");
        let has_commas = option.get_value_delimiter() == Some(',');
        assert_eq!(has_commas, !one.contains(',') && long != "--mime", "{long}");
        let mut texts = vec![
            format!("{one}\n{two}"),
            // As a block of YAML has it, and as an editor of Windows leaves it.
            format!("\n  {one}\r\n\r\n{two}\r\n"),
        ];
        if has_commas {
            texts.push(format!("{one},{two}"));
            texts.push(format!(" {one} , {two} ,\n"));
        }
        for text in texts {
            let read = parsed_with(cause, &[(&variable, &text)]).expect(&text);
            assert_eq!(
                format!("{read:?}"),
                format!("{typed:?}"),
                "{variable}={text:?}"
            );
        }
        seen += 1;
    }
    assert_eq!(seen, SAMPLES.len());
}

#[test]
fn the_command_line_comes_before_the_environment() {
    let variables = [
        ("ZC_BIND", "127.0.0.1:1\n127.0.0.1:2"),
        ("ZC_THREADS", "7"),
        ("ZC_HIDDEN", "on"),
        ("ZC_METHOD_OVERRIDE", "0"),
        ("ZC_SPA", "app.html"),
        ("ZC_ROOT", "-odd"),
    ];
    let args = parsed_with(&["--threads", "3"], &variables).expect("valid");
    assert_eq!(
        (args.listening.threads, args.listening.binds.len()),
        (Some(3), 2)
    );
    assert_eq!(
        (args.serving.hidden, args.serving.method_override),
        (true, false)
    );
    assert_eq!(args.serving.spa, Some(PathBuf::from("app.html")));
    // A name, and no option.
    assert_eq!(args.root, PathBuf::from("./-odd"));
    let args = parsed_with(&["--bind", "127.0.0.1:3", "www"], &variables).expect("valid");
    assert_eq!(
        (args.listening.binds.len(), args.root),
        (1, PathBuf::from("www"))
    );
}

#[test]
fn an_error_in_a_variable_names_it() {
    for (name, value) in [
        ("ZC_BIND", "127.0.0.1:1\nnonsense"),
        ("ZC_THREADS", "many"),
        ("ZC_HIDDEN", "maybe"),
        ("ZC_LISTING", "perhaps"),
    ] {
        let error = parsed_with(&[], &[(name, value)]).expect_err(name);
        assert_eq!(error.exit_code(), 2);
        let text = error.to_string();
        let wrong = value.lines().last().expect("a line");
        assert!(text.contains(name) && text.contains(wrong), "{text}");
    }
    // What is wrong on the command line is not blamed on it.
    let error = parsed_with(&["--threads=0"], &[("ZC_BIND", "127.0.0.1:1")]).expect_err("0");
    assert!(!error.to_string().contains("ZC_"), "{error}");
}

#[test]
fn a_mistake_is_named_with_its_mend() {
    for (words, expected) in [
        (
            &["--cors", "http://a.b", "www"][..],
            "write --cors=http://a.b",
        ),
        (&["--cors", "http://a.b"], "write --cors=http://a.b"),
        (&["--spa", "app.html", "www"], "write --spa=app.html"),
        (
            &["--hidden", "on", "www"],
            "--hidden has no value; remove `on`",
        ),
        (
            &["--hidden=on"],
            "--hidden has no value; write --hidden alone",
        ),
        (
            &["a", "b"],
            "only one ROOT can be served, and `b` is a second one",
        ),
        (&["--host", "10.0.0.7"], "use --bind HOST:PORT"),
        (
            &["--bind=:80", "-p", "9000"],
            "--bind names none; write --bind :9000",
        ),
        (&["--cache-files", "-1"], "must be 0 to"),
        (&["--idle-timeout", "x"], "not a time; examples: 500ms"),
        (&["--cache-ttl", "48h"], "must be 0, or 1ms to 24h"),
        (&["--lisitng", "off"], "--listing"),
        (&["etag"], "<ROOT>"),
    ] {
        let error = parsed(words).expect_err("a mistake");
        assert_eq!(error.exit_code(), 2, "{words:?}");
        let text = error.to_string();
        assert!(text.contains(expected), "{words:?}: {text}");
        for misleading in ["subcommand", "as a value", "expected number"] {
            assert!(!text.contains(misleading), "{words:?}: {text}");
        }
    }
}

#[test]
fn a_variable_of_no_option_is_told_apart() {
    let names = ["ZC_BIND", "ZC_BINDS", "PATH", "ZC_ROOT", "ZC_"].map(OsString::from);
    assert_eq!(Args::unknown_variables(names), ["ZC_BINDS", "ZC_"]);
}
