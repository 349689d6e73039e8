//! Options from all their sources: the command line takes precedence over the environment, and that over the
//! configuration file.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches, Id};

use super::effective::{self, ServerOptions, Source, is_typed};
use super::environment::words_of;
use super::file::ConfigFile;
use super::file::{SITE, key_of};
use super::mistakes::{self, blame};
use super::site::ReadSite;
use super::{Args, Command as Task, ListeningArgs, SiteArgs};

/// Two options of which one is in effect: that from the source that takes precedence. Both from one source are refused
/// (`conflicts_with`).
const RIVALS: [(&str, &str); 1] = [("binds", "lan")];

/// The longest default that `-h` shows: an address with a port.
const SHORT_DEFAULT_BYTES_MAX: usize = "127.0.0.1:8080".len();

impl Args {
    /// The options of this process, from its command line and its environment. Exits after `--help` and
    /// `--version`, and with an error where an option is wrong.
    #[must_use]
    pub fn from_process() -> Self {
        Self::again().unwrap_or_else(|error| error.exit())
    }

    /// The same once more, as the configuration file is now.
    ///
    /// # Errors
    ///
    /// Those of the options.
    pub fn again() -> Result<Self, clap::Error> {
        let words: Vec<_> = std::env::args_os().collect();
        Self::from_words(&words, |name| std::env::var_os(name))
    }

    /// The options of a command line, with variables and the configuration file for those that it leaves out.
    pub(super) fn from_words(
        words: &[OsString],
        variable: impl Fn(&OsStr) -> Option<OsString>,
    ) -> Result<Self, clap::Error> {
        let parsed = Options::gather(words, &variable)?.parsed()?;
        let of_server = match &parsed.command {
            Some(Task::Check(task) | Task::PrintConfig(task)) => task.words.clone(),
            Some(Task::Healthcheck(task)) => task.server_words(),
            _ => return Ok(parsed),
        };
        let words = server_words(words, &of_server);
        let options = Options::gather(&words, &variable)?;
        Ok(Self {
            command: parsed.command,
            ..options.parsed()?
        })
    }

    pub(super) fn toml_of(
        words: &[OsString],
        variable: impl Fn(&OsStr) -> Option<OsString>,
    ) -> Result<String, clap::Error> {
        let options = Options::gather(words, &variable)?;
        let source_of = |arg: &Arg| {
            // Sites that have tables stand behind all else.
            let has_tables = key_of(arg) == SITE && !options.sites.is_empty();
            (!has_tables).then(|| options.source_of(arg))
        };
        let lines = effective::lines(&options.command, &options.matches, source_of);
        let tables = options.sites.iter().map(ReadSite::to_toml);
        Ok(tables.fold(lines, |lines, table| lines + &table))
    }
}

impl ServerOptions {
    /// The options in effect as TOML, with where each comes from.
    ///
    /// # Errors
    ///
    /// Those of the options.
    pub fn to_toml(&self) -> Result<String, clap::Error> {
        let program: Vec<_> = std::env::args_os().take(1).collect();
        Args::toml_of(&server_words(&program, &self.words), |name| {
            std::env::var_os(name)
        })
    }
}

/// The words of the server behind those of a task.
fn server_words(words: &[OsString], of_server: &[OsString]) -> Vec<OsString> {
    words.iter().take(1).chain(of_server).cloned().collect()
}

/// What was found of all options.
struct Options {
    command: Command,
    matches: ArgMatches,
    /// The options that were typed nowhere, with where their values come from.
    sources: Vec<(Id, Source)>,
    /// The sites that have tables in the configuration file.
    sites: Vec<ReadSite>,
}

impl Options {
    fn gather(
        words: &[OsString],
        variable: &impl Fn(&OsStr) -> Option<OsString>,
    ) -> Result<Self, clap::Error> {
        let mut command = Args::command();
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
        let mut sources = Vec::new();
        // The variables are those of the server.
        if typed.subcommand().is_some() {
            return Ok(Self {
                command,
                matches: typed,
                sources,
                sites: Vec::new(),
            });
        }
        let file = config_file(&typed, variable, &command)?;
        let all = all_words(
            words,
            &typed,
            variable,
            file.as_ref(),
            &command,
            &mut sources,
        )?;
        let matches = bare.try_get_matches_from(all);
        let matches = matches.map_err(|error| blame(error, &command, &sources))?;
        let is_of_file = |(id, source): &(Id, Source)| {
            id.as_str() == "sites" && matches!(source, Source::File { .. })
        };
        let sites = match file.filter(|_| sources.iter().any(is_of_file)) {
            None => Vec::new(),
            Some(file) => {
                let read = |table| ReadSite::read(table, &file.path, (&command, &matches));
                file.sites.iter().map(read).collect::<Result<_, _>>()?
            }
        };
        Ok(Self {
            command,
            matches,
            sources,
            sites,
        })
    }

    fn parsed(&self) -> Result<Args, clap::Error> {
        let mut args = Args::from_arg_matches(&self.matches)?;
        args.site_tables = self.sites.iter().map(|site| site.args.clone()).collect();
        self.refuse_idle_port(&args.listening)?;
        Ok(args)
    }

    /// Refuses a port that was typed, and that no address takes.
    fn refuse_idle_port(&self, listening: &ListeningArgs) -> Result<(), clap::Error> {
        let mut args = self.command.get_arguments();
        let port = args.find(|arg| arg.get_id() == "port");
        let is_typed = port.is_some_and(|arg| self.source_of(arg) == Source::CommandLine);
        if !is_typed || listening.takes_port() {
            return Ok(());
        }
        let port = listening.port;
        let message = format!(
            "--port {port} is for addresses without a port, and --bind names none; write --bind :{port}"
        );
        Err(mistakes::failure(&self.command, &message))
    }

    fn source_of(&self, arg: &Arg) -> Source {
        let mut sources = self.sources.iter();
        match sources.find(|(id, _)| id == arg.get_id()) {
            Some((_, source)) => source.clone(),
            None if is_typed(&self.matches, arg) => Source::CommandLine,
            None => Source::Default,
        }
    }
}

/// The words of the command line behind those of variables and of the file, for options that are not typed. Where
/// those come from is added to `sources`.
fn all_words(
    words: &[OsString],
    typed: &ArgMatches,
    variable: &impl Fn(&OsStr) -> Option<OsString>,
    file: Option<&ConfigFile>,
    command: &Command,
    sources: &mut Vec<(Id, Source)>,
) -> Result<Vec<OsString>, clap::Error> {
    let (program, typed_words) = match words.split_first() {
        Some((program, rest)) => (Some(program.clone()), rest),
        None => (None, words),
    };
    let mut all: Vec<OsString> = program.into_iter().collect();
    let is_set = |arg: &Arg| {
        let value = arg.get_env().and_then(variable);
        // What is no value is told where it is read.
        value.is_some_and(|value| {
            words_of(arg, &value, command).is_ok_and(|words| !words.is_empty())
        })
    };
    for arg in command.get_arguments() {
        let rival = rival_of(arg, command);
        if is_typed(typed, arg) || rival.is_some_and(|rival| is_typed(typed, rival)) {
            continue;
        }
        let value = arg.get_env().and_then(variable);
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let name = arg.get_env().unwrap_or_default().to_owned();
            sources.push((arg.get_id().clone(), Source::Environment(name)));
            let words = words_of(arg, &value, command);
            all.extend(words.map_err(|error| blame(error, command, sources))?);
        } else if let Some((file, (words, line))) =
            file.and_then(|file| Some((file, file.words(arg)?)))
            && !rival.is_some_and(is_set)
        {
            let path = file.path.clone();
            sources.push((arg.get_id().clone(), Source::File { path, line }));
            all.extend_from_slice(words);
        }
    }
    all.extend_from_slice(typed_words);
    Ok(all)
}

fn rival_of<'c>(arg: &Arg, command: &'c Command) -> Option<&'c Arg> {
    let id = arg.get_id().as_str();
    let mut rivals = RIVALS
        .iter()
        .flat_map(|&(one, other)| [(one, other), (other, one)]);
    let (_, rival) = rivals.find(|(one, _)| *one == id)?;
    command.get_arguments().find(|arg| arg.get_id() == rival)
}

/// The configuration file that the command line names, or its variable.
fn config_file(
    typed: &ArgMatches,
    variable: &impl Fn(&OsStr) -> Option<OsString>,
    command: &Command,
) -> Result<Option<ConfigFile>, clap::Error> {
    let path = match typed.get_one::<PathBuf>("config") {
        Some(path) => Some(path.clone()),
        None => {
            let mut args = command.get_arguments();
            let arg = args.find(|arg| arg.get_id() == "config");
            let value = arg.and_then(|arg| arg.get_env()).and_then(variable);
            let value = value.filter(|value| !value.is_empty());
            value.map(PathBuf::from)
        }
    };
    let mut site = SiteArgs::command();
    site.build();
    path.map(|path| ConfigFile::read(&path, command, &site))
        .transpose()
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
