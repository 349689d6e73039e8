//! `zc-server check` and `zc-server print-config`: the options of the server, without serving.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use toml::Value;

use super::file::{is_key, key_of};

/// The options of the server behind a task that looks at them.
#[derive(Debug, Clone, clap::Args)]
pub struct ServerOptions {
    /// Options and ROOT, as to serve
    #[arg(
        value_name = "OPTIONS",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub words: Vec<OsString>,
}

/// Where the value of an option comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    CommandLine,
    Environment(OsString),
    File { path: PathBuf, line: usize },
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("command line"),
            Self::Environment(name) => write!(f, "environment variable {}", name.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Options whose defaults are in effect beside another one alone, and that one: without it they are refused.
const BESIDE: [(&str, &str); 1] = [("cors_headers", "cors")];

/// Options whose defaults are not in effect beside a switch, and that switch: a file with both is refused.
const INSTEAD: [(&str, &str); 1] = [("binds", "lan")];

/// Options in effect as TOML, each with its source. What has no source or no value is left out.
pub(super) fn lines(
    command: &Command,
    matches: &ArgMatches,
    source_of: impl Fn(&Arg) -> Option<Source>,
) -> String {
    let mut lines = String::new();
    for arg in command.get_arguments().filter(|arg| is_key(arg)) {
        if let (Some(value), Some(source)) = (value_of(arg, matches), source_of(arg))
            && !(source == Source::Default && is_idle(arg, matches))
        {
            lines.push_str(&format!("{} = {value} # {source}\n", key_of(arg)));
        }
    }
    lines
}

/// Whether the option is not there that it is for, or another one is in its place.
fn is_idle(arg: &Arg, matches: &ArgMatches) -> bool {
    let id = arg.get_id().as_str();
    let is_of = |(option, _): &&(&str, &str)| *option == id;
    let is_missing = BESIDE
        .iter()
        .filter(is_of)
        .any(|(_, other)| !matches.contains_id(other));
    let is_replaced = INSTEAD
        .iter()
        .filter(is_of)
        .any(|(_, other)| matches.get_flag(other));
    is_missing || is_replaced
}

/// Whether an option was typed.
pub(super) fn is_typed(matches: &ArgMatches, arg: &Arg) -> bool {
    matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
}

fn value_of(arg: &Arg, matches: &ArgMatches) -> Option<Value> {
    let id = arg.get_id().as_str();
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return Some(Value::Boolean(matches.get_flag(id)));
    }
    // White space may stand around what a delimiter separates.
    let is_separated = arg.get_value_delimiter().is_some();
    let values = matches.get_raw(id)?.map(|value| {
        // Bytes that are no UTF-8 cannot stand in TOML, and are replaced.
        let text = value.to_string_lossy();
        let text = if is_separated { text.trim() } else { &text };
        Value::String(text.to_owned())
    });
    match arg.get_action() {
        ArgAction::Append => Some(Value::Array(values.collect())),
        _ => values.into_iter().next(),
    }
}
