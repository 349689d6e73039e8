//! A table `[[site]]` of the configuration file: a host, its root, and options of its own.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches, Parser};

use super::effective::{self, Source, is_typed};
use super::environment::joined;
use super::file::{SiteTable, is_key, key_of};
use super::mistakes::blame;
use super::{ServingArgs, parse};

/// The option that another one needs, and that one.
const NEEDS: (&str, &str) = ("cors-headers", "cors");

/// What a site is.
#[derive(Debug, Clone, Parser)]
#[command(name = "site", disable_help_flag = true, no_binary_name = true)]
pub struct SiteArgs {
    /// Hosts whose requests are for this site.
    #[arg(long = "host", value_name = "HOST", value_parser = parse::host)]
    pub hosts: Vec<String>,

    /// What is served: a directory or a file.
    pub root: PathBuf,

    /// How it is served.
    #[command(flatten)]
    pub serving: ServingArgs,
}

/// A site, and where each of its own options comes from.
pub(super) struct ReadSite {
    pub(super) args: SiteArgs,
    command: Command,
    matches: ArgMatches,
    sources: Vec<(clap::Id, Source)>,
    line: usize,
    file: PathBuf,
}

impl ReadSite {
    /// Reads a table of the file at `file`. What it leaves out is that of the server, by `command` and `matches`.
    pub(super) fn read(
        table: &SiteTable,
        file: &std::path::Path,
        (server, matches): (&Command, &ArgMatches),
    ) -> Result<Self, clap::Error> {
        let mut command = SiteArgs::command().mut_args(|arg| arg.env(None::<&str>));
        command.build();
        let entry_of = |key: &str| table.entries.iter().find(|entry| entry.key == key);
        let is_off = entry_of(NEEDS.1).is_some_and(|entry| entry.words.is_empty());
        let (mut words, mut sources) = (Vec::new(), Vec::new());
        for arg in command.get_arguments() {
            if let Some(entry) = entry_of(key_of(arg)) {
                let (path, line) = (file.to_owned(), entry.line);
                sources.push((arg.get_id().clone(), Source::File { path, line }));
                words.extend_from_slice(&entry.words);
            } else if !(is_off && key_of(arg) == NEEDS.0) {
                words.extend(inherited(arg, server, matches));
            }
        }
        let found = command.clone().try_get_matches_from(words);
        let found = found.map_err(|error| blame(error, &command, &sources))?;
        Ok(Self {
            args: SiteArgs::from_arg_matches(&found)?,
            command,
            matches: found,
            sources,
            line: table.line,
            file: file.to_owned(),
        })
    }

    /// Its own options as a table of TOML, each with its source.
    pub(super) fn to_toml(&self) -> String {
        let source_of = |arg: &Arg| {
            let mut sources = self.sources.iter();
            let own = sources.find(|(id, _)| id == arg.get_id());
            own.map(|(_, source)| source.clone())
        };
        let lines = effective::lines(&self.command, &self.matches, source_of);
        let (file, line) = (self.file.display(), self.line);
        format!("\n[[site]] # {file}:{line}\n{lines}")
    }
}

/// What is typed of `arg` for the server, as words.
fn inherited(arg: &Arg, server: &Command, matches: &ArgMatches) -> Vec<OsString> {
    let of_server = |other: &&Arg| other.get_long().is_some() && other.get_long() == arg.get_long();
    let Some(of_server) = server.get_arguments().find(of_server) else {
        return Vec::new();
    };
    if !is_typed(matches, of_server) || !is_key(arg) {
        return Vec::new();
    }
    let (id, key) = (of_server.get_id().as_str(), key_of(arg));
    if matches!(arg.get_action(), clap::ArgAction::SetTrue) {
        return vec![format!("--{key}").into()];
    }
    let values = matches.get_raw(id).into_iter().flatten();
    let option = format!("--{key}=");
    values
        .map(|value| joined(option.as_bytes(), value.as_encoded_bytes()))
        .collect()
}
