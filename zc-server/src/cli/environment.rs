//! Environment variables of options. The value of a variable is read as if it stood on the command line: an
//! empty variable counts as not set, and each line is one value of an option that may be repeated. The
//! variables of clap are not used: clap takes an empty one for a value, and splits at one delimiter alone.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::builder::{BoolishValueParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, Command, CommandFactory, FromArgMatches};

use super::{Args, mistakes};

/// The longest default that `-h` shows: an address with a port.
const SHORT_DEFAULT_BYTES_MAX: usize = "127.0.0.1:8080".len();

impl Args {
    /// The options of this process, from its command line and its environment. Exits after `--help` and
    /// `--version`, and with an error where an option is wrong.
    #[must_use]
    pub fn from_process() -> Self {
        let words: Vec<_> = std::env::args_os().collect();
        Self::from_words(&words, |name| std::env::var_os(name)).unwrap_or_else(|error| error.exit())
    }

    /// Variables among `names` that begin with `ZC_`, as those of options do, and belong to no option.
    pub fn unknown_variables(names: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
        let command = Self::command();
        let is_unknown = |name: &OsString| {
            let mut known = command.get_arguments().filter_map(Arg::get_env);
            name.as_bytes().starts_with(b"ZC_") && !known.any(|known| known == name)
        };
        names.into_iter().filter(is_unknown).collect()
    }

    /// The options of a command line, with variables for those that it leaves out.
    pub(super) fn from_words(
        words: &[OsString],
        variable: impl Fn(&OsStr) -> Option<OsString>,
    ) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        // An argument can be shown in an error only when its command is complete.
        command.build();
        let bare = command
            .clone()
            .mut_args(|arg| arg.env(None::<&str>).allow_negative_numbers(true));
        let typed = match bare.clone().try_get_matches_from(words) {
            Ok(typed) => typed,
            Err(error) if error.kind() == ErrorKind::DisplayHelp => {
                let command = help_command(command, words);
                return Err(command.try_get_matches_from(words).err().unwrap_or(error));
            }
            Err(error) => return Err(mistakes::explained(error, words, &bare)),
        };
        mistakes::refuse_url(&typed, &bare)?;
        // The variables are those of the server.
        if typed.subcommand().is_some() {
            return Self::from_arg_matches(&typed);
        }
        let (program, typed_words) = match words.split_first() {
            Some((program, rest)) => (Some(program.clone()), rest),
            None => (None, words),
        };
        let mut all: Vec<OsString> = program.into_iter().collect();
        let mut used = Vec::new();
        for arg in command.get_arguments() {
            let is_typed =
                typed.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
            let value = arg.get_env().filter(|_| !is_typed).and_then(&variable);
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                all.extend(words_of(arg, &value, &command).map_err(|error| blame(error, &[arg]))?);
                used.push(arg);
            }
        }
        all.extend_from_slice(typed_words);
        let matches = bare.try_get_matches_from(all);
        Self::from_arg_matches(&matches.map_err(|error| blame(error, &used))?)
    }
}

/// The command whose help is shown. `--help` names the variables and explains the values; `-h` has one line
/// for each option, without them and without long defaults.
fn help_command(command: Command, words: &[OsString]) -> Command {
    if words.iter().any(|word| word == "--help") {
        return command;
    }
    let shorten = |arg: Arg| {
        let is_long = |value: &OsStr| value.len() > SHORT_DEFAULT_BYTES_MAX;
        let hides_default = arg.get_default_values().iter().any(|value| is_long(value));
        arg.env(None::<&str>)
            .hide_possible_values(true)
            .hide_default_value(hides_default)
    };
    let command = command.mut_args(shorten);
    command.mut_subcommands(|subcommand| subcommand.mut_args(shorten))
}

/// The variable of `arg`, as words of a command line.
fn words_of(arg: &Arg, value: &OsStr, command: &Command) -> Result<Vec<OsString>, clap::Error> {
    let Some(long) = arg.get_long() else {
        // The root: a path that begins with a hyphen would be taken for an option.
        let is_option = value.as_bytes().starts_with(b"-");
        let prefix: &[u8] = if is_option { b"./" } else { b"" };
        return Ok(vec![joined(prefix, value.as_bytes())]);
    };
    let option = format!("--{long}=");
    match arg.get_action() {
        ArgAction::SetTrue => {
            let is_on = BoolishValueParser::new().parse_ref(command, Some(arg), value)?;
            Ok(is_on
                .then(|| format!("--{long}").into())
                .into_iter()
                .collect())
        }
        ArgAction::Append => {
            let ends = |byte: &u8| *byte == b'\n' || (*byte == b',' && separates_by_commas(arg));
            let values = value.as_bytes().split(ends).map(<[u8]>::trim_ascii);
            let values = values.filter(|value| !value.is_empty());
            Ok(values
                .map(|value| joined(option.as_bytes(), value))
                .collect())
        }
        _ => Ok(vec![joined(option.as_bytes(), value.as_bytes())]),
    }
}

fn separates_by_commas(arg: &Arg) -> bool {
    arg.get_value_delimiter() == Some(',')
}

fn joined(one: &[u8], other: &[u8]) -> OsString {
    OsString::from_vec([one, other].concat())
}

/// Adds the variable to an error about its value.
fn blame(mut error: clap::Error, used: &[&Arg]) -> clap::Error {
    let Some(ContextValue::String(about)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let arg = used.iter().find(|arg| arg.to_string() == *about);
    if let Some(name) = arg.and_then(|arg| arg.get_env()) {
        let tip = format!(
            "the value comes from the environment variable {}",
            name.display()
        );
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![tip.into()]),
        );
    }
    error
}
