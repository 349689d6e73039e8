//! The configuration file: TOML whose keys are the names of options. What has structure may stand in tables.

mod tables;
mod words;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Arg, Command};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use words::WrongValue;

/// The key of what is served, which has no option.
const ROOT: &str = "root";
/// The key of sites.
pub(super) const SITE: &str = "site";
/// The option that names the file, which a file cannot.
const CONFIG: &str = "config";
/// How alike two names are at least, from 0 to 1, for one to be proposed in place of the other.
const ALIKE_MIN: f64 = 0.8;

/// A configuration file whose keys are all known.
#[derive(Debug)]
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    entries: Vec<Entry>,
    /// The tables `[[site]]`, in their order.
    pub(super) sites: Vec<SiteTable>,
}

/// An option with its value, as words of a command line.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The name of the option.
    pub(super) key: String,
    pub(super) words: Vec<OsString>,
    pub(super) line: usize,
}

/// What a table `[[site]]` says.
#[derive(Debug, Clone)]
pub(super) struct SiteTable {
    pub(super) line: usize,
    pub(super) entries: Vec<Entry>,
}

/// The name of an option in a file.
pub(super) fn key_of(arg: &Arg) -> &str {
    arg.get_long().unwrap_or(ROOT)
}

/// Whether a file may set it.
pub(super) fn is_key(arg: &Arg) -> bool {
    !["help", "version", CONFIG].contains(&arg.get_id().as_str())
}

impl ConfigFile {
    /// Reads the file at `path`, whose keys are options of `command`, and those of a site options of `site`.
    pub(super) fn read(
        path: &Path,
        command: &Command,
        site: &Command,
    ) -> Result<Self, clap::Error> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let path = path.display();
            let message = format!("cannot read the configuration file `{path}`: {error}");
            failure(command, message)
        })?;
        let reader = Reader {
            path,
            text: &text,
            server: command,
        };
        let parsed = reader.parse(site);
        parsed.map_err(|(start, message)| reader.failure(command, start, &message))
    }

    /// What the file says of `arg`: the words of a command line, and the line of the file.
    pub(super) fn words(&self, arg: &Arg) -> Option<(&[OsString], usize)> {
        let mut entries = self.entries.iter();
        let entry = entries.find(|entry| is_key(arg) && entry.key == key_of(arg))?;
        Some((&entry.words, entry.line))
    }
}

/// A file while it is read. What is wrong has a place in its text.
struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    /// What has the options of the whole server.
    server: &'a Command,
}

impl Reader<'_> {
    fn parse(&self, site: &Command) -> Result<ConfigFile, WrongValue> {
        let table = DeTable::parse(self.text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            (start, error.message().replace('\n', ", "))
        })?;
        let mut sites = Vec::new();
        let mut entries = Entries::default();
        for (key, value) in in_order(table.into_inner()) {
            let start = key.span().start;
            match (&**key.get_ref(), value.get_ref()) {
                (tables::LISTEN, _) => {
                    for (key, words) in tables::listening(&value)? {
                        self.add(&mut entries, key, words, start)?;
                    }
                }
                (SITE, DeValue::Array(tables)) if tables.iter().any(is_table) => {
                    self.add(&mut entries, SITE, Vec::new(), start)?;
                    for table in tables.iter() {
                        sites.push(self.site(table, site)?);
                    }
                }
                (key, _) => self.option(&mut entries, key, &value, start, self.server)?,
            }
        }
        Ok(ConfigFile {
            path: self.path.to_owned(),
            entries: entries.0,
            sites,
        })
    }

    /// A table `[[site]]`.
    fn site(
        &self,
        table: &Spanned<DeValue<'_>>,
        command: &Command,
    ) -> Result<SiteTable, WrongValue> {
        let start = table.span().start;
        let DeValue::Table(keys) = table.get_ref() else {
            let message = "`site` must be tables, or strings of the form HOST=DIR, not both";
            return Err((start, message.to_owned()));
        };
        let mut entries = Entries::default();
        for (key, value) in in_order(keys.clone()) {
            let (name, start) = (key.get_ref(), key.span().start);
            self.option(&mut entries, name, &value, start, command)?;
        }
        for key in ["host", ROOT] {
            let mut of_site = entries.0.iter();
            if !of_site.any(|entry| entry.key == key && !entry.words.is_empty()) {
                return Err((start, format!("a site needs `{key}`")));
            }
        }
        Ok(SiteTable {
            line: position(self.text, start).0,
            entries: entries.0,
        })
    }

    /// Adds a key that is an option of `command`, or a table for one.
    fn option(
        &self,
        entries: &mut Entries,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        start: usize,
        command: &Command,
    ) -> Result<(), WrongValue> {
        let (key, words) = match (key, value.get_ref()) {
            (tables::CACHE_CONTROL, DeValue::Table(table)) => {
                (tables::CACHE_CONTROL, tables::cache_control(table)?)
            }
            (tables::HEADERS, _) => (tables::HEADER, tables::headers(value)?),
            (key, _) => {
                let mut args = command.get_arguments().filter(|arg| is_key(arg));
                let arg = args.find(|arg| key_of(arg) == key);
                let arg = arg.ok_or_else(|| (start, unknown(key, command, self.server)))?;
                (key, words::words_of(arg, value)?)
            }
        };
        self.add(entries, key, words, start)
    }

    /// Adds what a key says of an option, which another key may have set as well.
    fn add(
        &self,
        entries: &mut Entries,
        key: &str,
        words: Vec<OsString>,
        start: usize,
    ) -> Result<(), WrongValue> {
        if let Some(earlier) = entries.0.iter().find(|entry| entry.key == key) {
            let message = format!(
                "`{key}` is set on line {} already; keep one of them",
                earlier.line
            );
            return Err((start, message));
        }
        entries.0.push(Entry {
            key: key.to_owned(),
            words,
            line: position(self.text, start).0,
        });
        Ok(())
    }

    fn failure(&self, command: &Command, start: usize, message: &str) -> clap::Error {
        let (line, column) = position(self.text, start);
        let path = self.path.display();
        failure(command, format!("{path}:{line}:{column}: {message}"))
    }
}

/// What a table says, each option once.
#[derive(Default)]
struct Entries(Vec<Entry>);

/// The keys of a table as they stand in the file.
fn in_order<'t>(table: DeTable<'t>) -> Vec<(Spanned<DeString<'t>>, Spanned<DeValue<'t>>)> {
    let mut keys = Vec::from_iter(table);
    keys.sort_by_key(|(key, _)| key.span().start);
    keys
}

fn is_table(value: &Spanned<DeValue<'_>>) -> bool {
    matches!(value.get_ref(), DeValue::Table(_))
}

/// What is said of a key that no option of `command` has.
fn unknown(key: &str, command: &Command, server: &Command) -> String {
    let is_site = command.get_name() == SITE;
    let mut of_server = server.get_arguments().filter(|arg| is_key(arg));
    if is_site && of_server.any(|arg| key_of(arg) == key) {
        return format!("`{key}` is an option of the whole server; move it in front of the tables");
    }
    let tables = [tables::HEADERS, tables::CACHE_CONTROL, tables::LISTEN];
    let tables = tables.into_iter().take(if is_site { 2 } else { 3 });
    let keys = command.get_arguments().filter(|arg| is_key(arg));
    let mend = match nearest(key, keys.map(key_of).chain(tables)) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None if is_site => "it has `host`, `root`, and the options under \"Serving\"".to_owned(),
        None if key == CONFIG => return "a file cannot name another one; use --config".to_owned(),
        None => "keys are the names in --help without hyphens in front".to_owned(),
    };
    match is_site {
        true => format!("a site has no option `{key}`; {mend}"),
        false => format!("there is no option `{key}`; {mend}"),
    }
}

/// The name that a wrong one was meant for.
fn nearest<'k>(wrong: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let likeness = |known: &str| strsim::jaro_winkler(wrong, known);
    let alike = known
        .map(|known| (likeness(known), known))
        .filter(|(likeness, _)| *likeness >= ALIKE_MIN);
    let nearest = alike.max_by(|(one, _), (other, _)| one.total_cmp(other));
    nearest.map(|(_, nearest)| nearest)
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
