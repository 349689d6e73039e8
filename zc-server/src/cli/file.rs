//! The configuration file: TOML whose keys are the names of options.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::environment::joined;

/// The key of what is served, which has no option.
const ROOT: &str = "root";
/// The option that names the file, which a file cannot.
const CONFIG: &str = "config";
/// How alike two names are at least, from 0 to 1, for one to be proposed in place of the other.
const ALIKE_MIN: f64 = 0.8;

/// A configuration file whose keys are all known.
#[derive(Debug)]
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    entries: Vec<Entry>,
}

/// A key with its value, as words of a command line.
#[derive(Debug)]
struct Entry {
    key: String,
    words: Vec<OsString>,
    line: usize,
}

/// The name of an option in a file.
pub(super) fn key_of(arg: &Arg) -> &str {
    arg.get_long().unwrap_or(ROOT)
}

/// Whether a file may set it.
pub(super) fn is_key(arg: &Arg) -> bool {
    // Help and version have no variable.
    arg.get_env().is_some() && arg.get_long() != Some(CONFIG)
}

impl ConfigFile {
    /// Reads the file at `path`, whose keys are options of `command`.
    pub(super) fn read(path: &Path, command: &Command) -> Result<Self, clap::Error> {
        let failed = |message: String| failure(command, message);
        let text = std::fs::read_to_string(path).map_err(|error| {
            let path = path.display();
            failed(format!(
                "cannot read the configuration file `{path}`: {error}"
            ))
        })?;
        Self::parse(path, &text, command)
    }

    fn parse(path: &Path, text: &str, command: &Command) -> Result<Self, clap::Error> {
        let at = |start: usize, message: String| {
            let (line, column) = position(text, start);
            let path = path.display();
            failure(command, format!("{path}:{line}:{column}: {message}"))
        };
        let table = DeTable::parse(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            at(start, error.message().replace('\n', ", "))
        })?;
        let mut entries = Vec::new();
        for (key, value) in table.into_inner() {
            let start = key.span().start;
            let mut args = command.get_arguments().filter(|arg| is_key(arg));
            let Some(arg) = args.find(|arg| key_of(arg) == key.get_ref()) else {
                return Err(at(start, unknown(key.get_ref(), command)));
            };
            let words = words_of(arg, &value);
            let words = words.map_err(|(start, message)| at(start, message))?;
            entries.push(Entry {
                line: position(text, start).0,
                key: key.into_inner().into_owned(),
                words,
            });
        }
        Ok(Self {
            path: path.to_owned(),
            entries,
        })
    }

    /// What the file says of `arg`: the words of a command line, and the line of the file.
    pub(super) fn words(&self, arg: &Arg) -> Option<(&[OsString], usize)> {
        let mut entries = self.entries.iter();
        let entry = entries.find(|entry| is_key(arg) && entry.key == key_of(arg))?;
        Some((&entry.words, entry.line))
    }
}

/// What is said of a key that no option has.
fn unknown(key: &str, command: &Command) -> String {
    let keys = command
        .get_arguments()
        .filter(|arg| is_key(arg))
        .map(key_of);
    let likeness = |known: &str| strsim::jaro_winkler(key, known);
    let nearest = keys
        .map(|known| (likeness(known), known))
        .filter(|(likeness, _)| *likeness >= ALIKE_MIN)
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    match nearest {
        Some((_, nearest)) => format!("there is no option `{key}`; did you mean `{nearest}`?"),
        None if key == CONFIG => "a file cannot name another one; use --config".to_owned(),
        None => format!(
            "there is no option `{key}`; keys are the names in --help without hyphens in front"
        ),
    }
}

/// Where a value is wrong, and how.
type WrongValue = (usize, String);

/// The value of an option as words of a command line.
fn words_of(arg: &Arg, value: &Spanned<DeValue<'_>>) -> Result<Vec<OsString>, WrongValue> {
    let Some(long) = arg.get_long() else {
        let path = text_of(arg, value)?;
        // A path that begins with a hyphen would be taken for an option.
        let prefix: &[u8] = if path.starts_with('-') { b"./" } else { b"" };
        return Ok(vec![joined(prefix, path.as_bytes())]);
    };
    let word = |text: String| OsString::from(format!("--{long}={text}"));
    match (value.get_ref(), arg.get_action()) {
        // One without a value, or whose value may be left out.
        (&DeValue::Boolean(is_on), ArgAction::SetTrue) => Ok(alone(long, is_on)),
        (&DeValue::Boolean(is_on), _) if arg.is_require_equals_set() => Ok(alone(long, is_on)),
        (_, ArgAction::SetTrue) => Err(wrong(arg, value, "true or false")),
        (DeValue::Array(values), ArgAction::Append) => {
            let words = values.iter().map(|value| Ok(word(text_of(arg, value)?)));
            words.collect()
        }
        _ => Ok(vec![word(text_of(arg, value)?)]),
    }
}

fn alone(long: &str, is_on: bool) -> Vec<OsString> {
    let word = is_on.then(|| format!("--{long}").into());
    word.into_iter().collect()
}

/// A single value, as it would be typed.
fn text_of(arg: &Arg, value: &Spanned<DeValue<'_>>) -> Result<String, WrongValue> {
    let is_switch = || {
        let possible = arg.get_possible_values();
        let mut possible = possible.iter();
        possible.any(|value| value.matches("on", false))
    };
    match value.get_ref() {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(is_on) if is_switch() => Ok(if *is_on { "on" } else { "off" }.to_owned()),
        _ => {
            let expected = match arg.get_action() {
                ArgAction::Append => "a string, or an array of strings",
                _ if is_switch() => "a string, true or false",
                _ => "a string or a number",
            };
            Err(wrong(arg, value, expected))
        }
    }
}

fn wrong(arg: &Arg, value: &Spanned<DeValue<'_>>, expected: &str) -> WrongValue {
    let (key, found) = (key_of(arg), value.get_ref().type_str());
    let message = format!("`{key}` must be {expected}, not of type {found}");
    (value.span().start, message)
}

/// Line and column of a byte, from 1.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

fn failure(command: &Command, message: String) -> clap::Error {
    command.clone().error(ErrorKind::ValueValidation, message)
}
