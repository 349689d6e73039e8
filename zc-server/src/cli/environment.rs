//! Environment variables of options. The value of a variable is read as if it stood on the command line: an
//! empty variable counts as not set, and each line is one value of an option that may be repeated. The
//! variables of clap are not used: clap takes an empty one for a value, and splits at one delimiter alone.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::builder::{BoolishValueParser, TypedValueParser};
use clap::{Arg, ArgAction, Command, CommandFactory};

use super::Args;

impl Args {
    /// Variables among `names` that begin with `ZC_`, as those of options do, and belong to no option.
    pub fn unknown_variables(names: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
        let command = Self::command();
        let is_unknown = |name: &OsString| {
            let mut known = command.get_arguments().filter_map(Arg::get_env);
            name.as_bytes().starts_with(b"ZC_") && !known.any(|known| known == name)
        };
        names.into_iter().filter(is_unknown).collect()
    }
}

/// The variable of `arg`, as words of a command line.
pub(super) fn words_of(
    arg: &Arg,
    value: &OsStr,
    command: &Command,
) -> Result<Vec<OsString>, clap::Error> {
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

pub(super) fn joined(one: &[u8], other: &[u8]) -> OsString {
    OsString::from_vec([one, other].concat())
}
