//! A value of a file as words of a command line.

use std::ffi::OsString;

use clap::{Arg, ArgAction};
use toml::Spanned;
use toml::de::DeValue;

use super::key_of;
use crate::cli::environment::joined;

/// Where a value is wrong, and how.
pub(super) type WrongValue = (usize, String);

/// The value of an option as words of a command line.
pub(super) fn words_of(
    arg: &Arg,
    value: &Spanned<DeValue<'_>>,
) -> Result<Vec<OsString>, WrongValue> {
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

pub(super) fn wrong(arg: &Arg, value: &Spanned<DeValue<'_>>, expected: &str) -> WrongValue {
    let (key, found) = (key_of(arg), value.get_ref().type_str());
    let message = format!("`{key}` must be {expected}, not of type {found}");
    (value.span().start, message)
}
