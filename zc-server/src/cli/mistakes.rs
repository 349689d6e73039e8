//! Errors of the command line whose cause the parser does not know: that ROOT is a single path, that an
//! optional value follows `=`, how options of other servers are called here, and where a value comes from.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, ArgMatches, Command, Id};

use super::effective::Source;

/// Options that other servers have, and what to use here.
const ELSEWHERE: [(&str, &str); 7] = [
    ("--host", "use --bind HOST:PORT"),
    ("--listen", "use --bind HOST:PORT"),
    ("-d", "name the directory without an option"),
    ("--root", "name the directory without an option"),
    ("--directory", "name the directory without an option"),
    ("--workers", "use --threads N"),
    ("--log-format", "use --access-log FORMAT"),
];

/// `error`, with its cause and its mend where the parser names another one.
pub(super) fn explained(
    mut error: clap::Error,
    words: &[OsString],
    command: &Command,
) -> clap::Error {
    let named = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::ArgumentConflict => match named(ContextKind::InvalidSubcommand) {
            Some(word) if command.find_subcommand(&word).is_none() => {
                let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
                second_root(&word, &words, command)
            }
            _ => error,
        },
        ErrorKind::UnknownArgument => {
            let word = named(ContextKind::InvalidArg).unwrap_or_default();
            // The parser proposes to serve a directory of that name.
            error.remove(ContextKind::Suggested);
            if let Some((_, mend)) = ELSEWHERE.iter().find(|(elsewhere, _)| *elsewhere == word) {
                error.remove(ContextKind::SuggestedArg);
                let tip = (*mend).into();
                error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
            }
            error
        }
        ErrorKind::TooManyValues => match named(ContextKind::InvalidArg) {
            Some(flag) => failure(command, &format!("{flag} has no value; write {flag} alone")),
            None => error,
        },
        _ => error,
    }
}

/// ROOT was given twice: `word` is the second one.
fn second_root(word: &str, words: &[impl AsRef<str>], command: &Command) -> clap::Error {
    // The word before the first root, if it is an option that could have had it as its value.
    let mut pairs = words.windows(2);
    let taken = pairs.find_map(|pair| {
        let (option, value) = (pair[0].as_ref(), pair[1].as_ref());
        let long = option.strip_prefix("--")?;
        let mut args = command.get_arguments();
        let arg = args.find(|arg| arg.get_long() == Some(long))?;
        let may_have_value =
            arg.is_require_equals_set() || matches!(arg.get_action(), ArgAction::SetTrue);
        (may_have_value && !value.starts_with('-')).then_some((arg, option, value))
    });
    let mend = match taken {
        Some((arg, option, value)) if arg.is_require_equals_set() => {
            format!("to give {option} a value, write {option}={value}")
        }
        Some((_, option, value)) => format!("{option} has no value; remove `{value}`"),
        None => "serve the directory above both, or use --site".to_owned(),
    };
    failure(
        command,
        &format!("only one ROOT can be served, and `{word}` is a second one; {mend}"),
    )
}

/// Refuses a URL in place of ROOT: it is meant as the value of an option.
pub(super) fn refuse_url(matches: &ArgMatches, command: &Command) -> Result<(), clap::Error> {
    let Some(root) = matches.get_raw("root").and_then(|mut roots| roots.next()) else {
        return Ok(());
    };
    let root = root.to_string_lossy();
    if !root.contains("://") {
        return Ok(());
    }
    Err(failure(
        command,
        &format!(
            "ROOT must be a directory or a file, not the URL `{root}`; \
             to allow an origin, write --cors={root}"
        ),
    ))
}

pub(super) fn failure(command: &Command, message: &str) -> clap::Error {
    command.clone().error(ErrorKind::ArgumentConflict, message)
}

/// Adds to an error about a value where that comes from.
pub(super) fn blame(
    mut error: clap::Error,
    command: &Command,
    sources: &[(Id, Source)],
) -> clap::Error {
    let Some(ContextValue::String(about)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let mut args = command.get_arguments();
    let arg = args.find(|arg| arg.to_string() == *about);
    let source = arg.and_then(|arg| {
        let mut sources = sources.iter();
        sources.find(|(id, _)| id == arg.get_id())
    });
    if let Some((_, source)) = source {
        let from = match source {
            Source::Environment(_) => format!("the {source}"),
            source => source.to_string(),
        };
        let tip = format!("the value comes from {from}");
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![tip.into()]),
        );
    }
    error
}
