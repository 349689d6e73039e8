use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::CommandFactory;

use super::effective::Source;
use super::file::{ConfigFile, is_key, key_of};
use super::option_values::VALUES;
use super::{Args, SiteArgs};

/// Options that need another one, and what is typed beside them.
const BESIDE: [(&str, &str); 3] = [
    ("tls-key", "--tls-cert=x"),
    ("tls-ocsp", "--tls-cert=x"),
    ("cors-headers", "--cors"),
];

/// A file with this text, in a directory that is removed with it.
fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("zc.toml");
    std::fs::write(&path, text).expect("a file");
    (directory, path)
}

/// The options in effect as `print-config` has them, of words, variables and a file.
fn effective(
    words: &[String],
    variables: &[(String, &str)],
    file: Option<&Path>,
) -> Result<String, clap::Error> {
    let mut all = vec![OsString::from("zc-server")];
    all.extend(words.iter().map(OsString::from));
    if let Some(path) = file {
        all.extend([OsString::from("--config"), path.into()]);
    }
    Args::toml_of(&all, |name| {
        let set = variables.iter().find(|(set, _)| OsStr::new(set) == name);
        set.map(|(_, value)| value.into())
    })
}

fn line_of<'t>(toml: &'t str, key: &str) -> Option<&'t str> {
    let mut lines = toml.lines();
    lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))
}

#[test]
fn each_option_is_taken_from_the_command_line_before_the_environment_before_the_file() {
    let command = Args::command();
    for arg in command.get_arguments().filter(|arg| is_key(arg)) {
        let key = key_of(arg);
        let of_key = VALUES.iter().find(|(name, _)| *name == key);
        let (_, values) = of_key.unwrap_or_else(|| panic!("no values of {key}"));
        let is_flag = matches!(arg.get_action(), clap::ArgAction::SetTrue);
        let typed = match (key, is_flag) {
            ("root", _) => values[0].to_owned(),
            (_, true) => format!("--{key}"),
            (_, false) => format!("--{key}={}", values[0]),
        };
        let name = format!("ZC_{}", key.replace('-', "_").to_uppercase());
        let quote = if is_flag { "" } else { "\"" };
        let (_directory, path) =
            written(&format!("# first\n{key} = {quote}{}{quote}\n", values[2]));
        for sources in 0..8 {
            let beside = BESIDE.iter().filter(|(of, _)| *of == key);
            let mut words = Vec::from_iter(beside.map(|(_, word)| (*word).to_owned()));
            words.extend((sources & 1 > 0).then(|| typed.clone()));
            let variables = Vec::from_iter((sources & 2 > 0).then(|| (name.clone(), values[1])));
            let file = (sources & 4 > 0).then_some(&*path);
            let toml = effective(&words, &variables, file);
            let toml = toml.unwrap_or_else(|error| panic!("{key}, {sources}: {error}"));
            let line = line_of(&toml, key);
            let (value, source) = match sources {
                0 => {
                    let is_default = line.is_none_or(|line| line.ends_with("# default"));
                    assert!(is_default, "{line:?}");
                    continue;
                }
                _ if sources & 1 > 0 => (values[0], Source::CommandLine),
                _ if sources & 2 > 0 => (values[1], Source::Environment(name.clone().into())),
                _ => (
                    values[2],
                    Source::File {
                        path: path.clone(),
                        line: 2,
                    },
                ),
            };
            let line = line.unwrap_or_else(|| panic!("{key}, {sources}: not set"));
            let (found, told) = line.split_once(" # ").expect("a source");
            let found = found.trim_matches(['[', ']', '"']);
            assert_eq!((found, told), (value, &*source.to_string()), "{key}");
        }
    }
    let known = |name: &str| command.get_arguments().any(|arg| key_of(arg) == name);
    assert!(
        VALUES
            .iter()
            .all(|(name, _)| known(name) || !cfg!(feature = "tls"))
    );
}

#[test]
fn of_two_that_exclude_each_other_the_source_decides() {
    const OF_FILE: [&str; 3] = ["", "bind = \":3\"\n", "lan = true\n"];
    const SET: [&str; 3] = ["", "--bind=:1", "--lan"];
    for typed in SET {
        for set in ["", "ZC_BIND", "ZC_LAN"] {
            for of_file in OF_FILE {
                let (_directory, path) = written(of_file);
                let words = Vec::from_iter((!typed.is_empty()).then(|| typed.to_owned()));
                let value = if set == "ZC_BIND" { ":2" } else { "on" };
                let variables = Vec::from_iter((!set.is_empty()).then(|| (set.to_owned(), value)));
                let toml = effective(&words, &variables, Some(&path)).expect("valid");
                let expected = [typed, set, of_file.trim()]
                    .into_iter()
                    .find(|set| !set.is_empty());
                let bind = match expected {
                    Some("--bind=:1") => Some("[\":1\"]"),
                    Some("ZC_BIND") => Some("[\":2\"]"),
                    Some("bind = \":3\"") => Some("[\":3\"]"),
                    Some(_) => None,
                    None => Some("[\"127.0.0.1\"]"),
                };
                let found = line_of(&toml, "bind").and_then(|line| line.split_once(" # "));
                let context = format!("{typed}, {set}, {of_file}");
                assert_eq!(found.map(|(value, _)| value), bind, "{context}");
                let lan = line_of(&toml, "lan").expect("a line");
                assert_eq!(lan.starts_with("true"), bind.is_none(), "{context}");
            }
        }
    }
    // A switch that is off stands in nobody's way.
    let (_directory, path) = written("bind = \":3\"\n");
    let off = [("ZC_LAN".to_owned(), "off")];
    let toml = effective(&[], &off, Some(&path)).expect("valid");
    assert!(
        line_of(&toml, "bind")
            .expect("a line")
            .starts_with("[\":3\"]")
    );
    let (_directory, path) = written("bind = \":3\"\nlan = true\n");
    for (words, variables, file) in [
        (
            vec!["--lan".to_owned(), "--bind=:1".to_owned()],
            vec![],
            None,
        ),
        (
            vec![],
            vec![("ZC_LAN".to_owned(), "on"), ("ZC_BIND".to_owned(), ":2")],
            None,
        ),
        (vec![], vec![], Some(&*path)),
    ] {
        let error = effective(&words, &variables, file).expect_err("both");
        let said = error.to_string();
        assert!(said.contains("--lan") && said.contains("--bind"), "{said}");
    }
}

#[test]
fn what_is_printed_can_be_read_again() {
    let (_directory, path) = written(
        "root = \"a \\\"b\\\"\\u0009\"\nbind = [\"127.0.0.1:1\", \":2\"]\nthreads = 3\nhidden = true\n\
         listing = false\ncors = true\nheader = [\"*.js=X-A: a, b\", \"X-B: \\\\\"]\nspa = true\n",
    );
    let first = effective(&[], &[], Some(&path)).expect("right");
    let (_other_directory, other) = written(&first);
    let again = effective(&[], &[], Some(&other)).expect("right");
    let values = |toml: &str| -> Vec<String> {
        let lines = toml
            .lines()
            .map(|line| line.rsplit_once(" # ").expect("a source").0.to_owned());
        lines.collect()
    };
    assert_eq!(values(&first), values(&again));
    assert_eq!(
        line_of(&first, "listing").map(|line| &line[..5]),
        Some("\"off\"")
    );
    assert!(first.contains("root = 'a \"b\"\t'"), "{first}");
    assert!(first.contains("cors = [\"*\"]"), "{first}");
}

#[test]
fn what_is_wrong_in_a_file_is_named_with_its_place_and_what_helps() {
    for (text, said) in [
        (
            "\nthread = 3\n",
            ":2:1: there is no option `thread`; did you mean `threads`?",
        ),
        (
            "cache_files = 3\n",
            ":1:1: there is no option `cache_files`; did you mean `cache-files`?",
        ),
        ("[server]\nbind = 1\n", "there is no option `server`"),
        (
            "config = \"other\"\n",
            "a file cannot name another one; use --config",
        ),
        ("help = true\n", "there is no option `help`"),
        (
            "hidden = \"on\"\n",
            ":1:10: `hidden` must be true or false, not of type string",
        ),
        (
            "threads = true\n",
            ":1:11: `threads` must be a string or a number, not of type boolean",
        ),
        (
            "threads = [1, 2]\n",
            ":1:11: `threads` must be a string or a number, not of type array",
        ),
        (
            "bind = [[\":80\"]]\n",
            ":1:9: `bind` must be a string, or an array of strings",
        ),
        (
            "listing = 1979-05-27\n",
            ":1:11: `listing` must be a string, true or false",
        ),
        ("root = 0x10\n", ":1:8: `root` must be a string or a number"),
        ("threads = 1\nthreads = 2\n", ":2:1: "),
        ("root = \"a\n", ":1:"),
        ("threads = 0\n", "the value comes from "),
        (
            "spa = [\"a\", \"b\"]\n",
            ":1:7: `spa` must be a string or a number",
        ),
    ] {
        let (_directory, path) = written(text);
        let error = effective(&[], &[], Some(&path))
            .expect_err(text)
            .to_string();
        let is_named = error.contains(&*path.to_string_lossy()) || said.starts_with("a file");
        assert!(error.contains(said) && is_named, "{text:?}: {error}");
    }
    let missing = effective(&[], &[], Some(Path::new("/nowhere/zc.toml"))).expect_err("no file");
    let said = missing.to_string();
    assert!(
        said.contains("cannot read the configuration file `/nowhere/zc.toml`"),
        "{said}"
    );
}

/// What the options in effect are, without their sources.
fn values_of(toml: &str) -> Vec<&str> {
    let lines = toml.lines().filter(|line| !line.is_empty());
    let value = |line| <str>::rsplit_once(line, " # ").map_or(line, |(value, _)| value);
    lines.map(value).collect()
}

#[test]
fn tables_stand_for_options() {
    let tables = "[[listen]]\naddress = \":80\"\n[[listen]]\naddress = 8080\nproxy-protocol = true\n\
         [cache-control]\n\"*.js\" = \"max-age=1\"\n\"**\" = \"no-cache\"\n\
         [headers]\nZ-First = \"1\"\nA-Second = \"a=b: c\"\n[headers.\"*.js\"]\nX-Third = \"3\"\n";
    let options = "bind = [\":80\", \"8080\"]\nproxy-protocol = \"8080\"\ncache-control = [\"*.js=max-age=1\", \"**=no-cache\"]\n\
         header = [\"Z-First: 1\", \"A-Second: a=b: c\", \"*.js=X-Third: 3\"]\n";
    let [tables, options] = [tables, options].map(|text| {
        let (_directory, path) = written(text);
        effective(&[], &[], Some(&path)).expect("right")
    });
    assert_eq!(values_of(&tables), values_of(&options));
}

#[cfg(feature = "tls")]
#[test]
fn with_https_listeners_alone_there_is_no_plain_one() {
    let (_directory, path) =
        written("tls-self-signed = true\n[[listen]]\naddress = \"127.0.0.1:0\"\ntls = true\n");
    let toml = effective(&[], &[], Some(&path)).expect("right");
    let values = values_of(&toml);
    for expected in ["bind = [\"off\"]", "tls-bind = [\"127.0.0.1:0\"]"] {
        assert!(values.contains(&expected), "{toml}");
    }
}

#[test]
fn a_site_has_the_options_of_the_server_and_its_own_before_them() {
    let (_directory, path) = written(
        "hidden = true\nlisting = false\nindex = [\"a\"]\ncors = true\ncors-headers = \"X-A\"\n\n\
         [[site]]\nhost = [\"A.example\", \"www.a.example\"]\nroot = \"a\"\nhidden = false\ncors = false\n\
         [site.headers]\nX-A = \"1\"\n\n[[site]]\nhost = \"b.example\"\nroot = \"-b\"\nindex = [\"b\"]\n",
    );
    let words = ["zc-server", "--spa=page.html", "--config"].map(OsString::from);
    let words = [&words[..], &[path.clone().into()]].concat();
    let args = Args::from_words(&words, |_| None).expect("right");
    let [a, b] = &args.site_tables[..] else {
        panic!("{:?}", args.site_tables)
    };
    let page = Some(PathBuf::from("page.html"));
    assert_eq!(a.hosts, ["a.example", "www.a.example"]);
    assert_eq!((a.serving.hidden, a.serving.cors.len()), (false, 0));
    assert_eq!((a.serving.fields.len(), b.serving.fields.len()), (1, 0));
    assert_eq!(
        (&a.serving.index[..], &a.serving.spa),
        (&["a".to_owned()][..], &page)
    );
    assert_eq!((&b.root, b.serving.hidden), (&PathBuf::from("./-b"), true));
    assert_eq!(
        (&b.serving.index[..], &b.serving.cors_headers[..]),
        (&["b".to_owned()][..], &["X-A".to_owned()][..])
    );
    assert_eq!(a.serving.listing, b.serving.listing);

    let toml = Args::toml_of(&words, |_| None).expect("right");
    let file = path.display();
    let own = format!("[[site]] # {file}:7\n");
    let (_, tables) = toml.split_once(&own).expect("a table");
    assert!(
        tables.contains(&format!("hidden = false # {file}:10\n")),
        "{toml}"
    );
    assert!(!tables.contains("spa"), "{toml}");
    let (_other_directory, again) = written(&toml);
    assert_eq!(
        values_of(&effective(&[], &[], Some(&again)).expect("right")),
        values_of(&toml)
    );
    // Sites that are typed take the place of all in the file.
    let words = [&words[..], &[OsString::from("--site=c=c")]].concat();
    let args = Args::from_words(&words, |_| None).expect("right");
    assert_eq!((args.sites.len(), args.site_tables.len()), (1, 0));
}

#[track_caller]
fn assert_refused(text: &str, said: &str) {
    let (_directory, path) = written(text);
    let error = effective(&[], &[], Some(&path))
        .expect_err(text)
        .to_string();
    assert!(error.contains(said), "{text:?}: {error}");
}

#[test]
fn what_is_wrong_in_a_table_is_named_with_its_place() {
    for (text, said) in [
        (
            "bind = 1\n[[listen]]\naddress = 2\n",
            ":2:3: `bind` is set on line 1 already",
        ),
        (
            "header = \"A: b\"\n[headers]\nA = \"b\"\n",
            ":2:2: `header` is set on line 1 already",
        ),
        (
            "[listen]\naddress = 1\n",
            "`listen` must be tables, each headed [[listen]]",
        ),
        (
            "[[listen]]\ntls = false\n",
            ":1:1: a listener needs `address`, as in --bind",
        ),
        (
            "[[listen]]\naddres = 1\n",
            ":2:1: a listener has no key `addres`; did you mean `address`?",
        ),
        (
            "[[listen]]\naddress = 1\nweight = 2\n",
            ":3:1: a listener has no key `weight`; its keys are address, tls, proxy-protocol",
        ),
        (
            "[[listen]]\naddress = 1\ntls = \"on\"\n",
            ":3:7: `tls` must be true or false",
        ),
        (
            "[[listen]]\naddress = \"nowhere\"\n",
            "the value comes from ",
        ),
        (
            "[cache-control]\n\"a=b\" = \"c\"\n",
            ":2:1: the glob `a=b` has a `=`; match it by `?`",
        ),
        (
            "[cache-control]\n\"a\" = true\n",
            ":2:7: `a` must be a string",
        ),
        (
            "[headers]\n\"*.js\" = \"c\"\n",
            ":2:1: `*.js` is a glob; head a table by [headers.\"*.js\"]",
        ),
        (
            "headers = \"A: b\"\n",
            "`headers` must be a table, headed [headers], not of type string",
        ),
    ] {
        assert_refused(text, said);
    }
}

#[test]
fn what_is_wrong_in_the_table_of_a_site_is_named_with_its_place() {
    for (text, said) in [
        ("[[site]]\nroot = \"a\"\n", ":1:1: a site needs `host`"),
        (
            "[[site]]\nhost = []\nroot = \"a\"\n",
            ":1:1: a site needs `host`",
        ),
        ("[[site]]\nhost = \"a\"\n", ":1:1: a site needs `root`"),
        (
            "[[site]]\nhost = \"a:1\"\nroot = \"a\"\n",
            "`a:1` is not a host name, or has a port",
        ),
        (
            "[[site]]\nhost = \"a\"\nroot = \"a\"\nthreads = 2\n",
            ":4:1: `threads` is an option of the whole server; move it in front of the tables",
        ),
        (
            "[[site]]\nhost = \"a\"\nroot = \"a\"\nxyz = 2\n",
            ":4:1: a site has no option `xyz`; it has `host`, `root`, and the options under",
        ),
        (
            "[[site]]\nhost = \"a\"\nroot = \"a\"\nlistin = true\n",
            ":4:1: a site has no option `listin`; did you mean `listing`?",
        ),
        (
            "[[site]]\nhost = \"a\"\nroot = \"a\"\nlisting = \"no\"\n",
            "zc.toml:4",
        ),
        (
            "site = [\"a=b\", { host = \"a\", root = \"b\" }]\n",
            "not both",
        ),
    ] {
        assert_refused(text, said);
    }
}

#[test]
fn the_file_may_be_named_by_its_variable_and_the_command_line_goes_before_it() {
    let (_directory, path) = written("threads = 3\n");
    let (_other_directory, other) = written("threads = 4\n");
    let name = path.to_str().expect("UTF-8");
    let by_variable = [("ZC_CONFIG".to_owned(), name)];
    let toml = effective(&[], &by_variable, None).expect("right");
    assert!(
        line_of(&toml, "threads").is_some_and(|line| line.starts_with("\"3\"")),
        "{toml}"
    );
    let toml = effective(&[], &by_variable, Some(&other)).expect("right");
    assert!(
        line_of(&toml, "threads").is_some_and(|line| line.starts_with("\"4\"")),
        "{toml}"
    );
}

#[test]
fn a_file_of_any_bytes_is_refused_or_read() {
    let command = {
        let mut command = Args::command();
        command.build();
        command
    };
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("zc.toml");
    proptest::proptest!(|(bytes: Vec<u8>)| {
        std::fs::write(&path, &bytes).expect("a file");
        let _ = ConfigFile::read(&path, &command, &SiteArgs::command());
    });
}
