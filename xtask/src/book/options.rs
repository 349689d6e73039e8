//! The page of options, made of what clap knows of the command line and of nothing else.

use std::fmt::Write as _;

use clap::builder::PossibleValue;
use clap::{Arg, ArgAction, Command, CommandFactory};
use zc_server::Args;

use crate::markdown::slug;

/// The page, from the root.
pub(crate) const PATH: &str = "docs/src/options.md";

/// The section of options without a heading of their own.
const WITHOUT_HEADING: &str = "Other";

/// The level of the headings of options, `###`. Those of a task are one lower, and may have the same names.
const OPTION_LEVEL: usize = 3;

/// The text of the page.
pub(crate) fn page() -> String {
    page_of(Args::command())
}

fn page_of(mut command: Command) -> String {
    // Names of values and defaults are complete only then.
    command.build();
    let mut page = String::from("# Options\n\n");
    page.push_str(
        "<!-- Written by `cargo xtask book` from the comments in zc-server/src/cli: change those. -->\n\n",
    );
    add_usage(&mut page, &command);
    add_sections_of_help(&mut page, &command);
    add_arguments(&mut page, &command, OPTION_LEVEL);
    for task in command.get_subcommands().filter(|task| !task.is_hide_set()) {
        let name = format!("{} {}", command.get_name(), task.get_name());
        // Lines of `write!` into a `String` do not fail.
        let _ = writeln!(page, "## `{name}`\n");
        add_usage(&mut page, task);
        let about = task.get_long_about().or_else(|| task.get_about());
        if let Some(about) = about {
            let _ = writeln!(page, "{}\n", prose(&about.to_string()));
        }
        add_sections_of_help(&mut page, task);
        add_arguments(&mut page, task, OPTION_LEVEL + 1);
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn add_usage(page: &mut String, command: &Command) {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:");
    let lines: Vec<&str> = usage.lines().map(str::trim).collect();
    let _ = writeln!(page, "```text\n{}\n```\n", lines.join("\n"));
}

/// What `--help` ends with: sections of a title with a colon and lines behind or below it.
fn add_sections_of_help(page: &mut String, command: &Command) {
    let Some(help) = command
        .get_after_long_help()
        .or_else(|| command.get_after_help())
    else {
        return;
    };
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    for block in help.to_string().split("\n\n") {
        let Some((title, rest)) = block.split_once(':') else {
            let _ = writeln!(page, "{}\n", prose(block.trim()));
            continue;
        };
        // Lines below the title are indented, all as the first.
        let lines: Vec<&str> = rest.trim().lines().collect();
        let indent = match rest.strip_prefix('\n') {
            Some(below) => below.len() - below.trim_start().len(),
            None => 0,
        };
        let lines = lines.iter().enumerate().map(|(index, line)| match index {
            0 => line,
            _ => line.get(indent..).unwrap_or_default(),
        });
        let lines: Vec<&str> = lines.collect();
        let is_as_printed = lines
            .iter()
            .any(|line| line.starts_with(' ') || line.starts_with(name));
        let text = lines.join("\n");
        let text = if is_as_printed {
            format!("```text\n{text}\n```")
        } else {
            prose(&capitalized(&text))
        };
        let _ = writeln!(page, "## {}\n\n{text}\n", title.trim());
    }
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).collect()
}

/// The arguments in the order of clap, with titles of this level, in sections by their headings.
fn add_arguments(page: &mut String, command: &Command, level: usize) {
    let is_shown = |arg: &&Arg| !arg.is_hide_set();
    let (positional, named): (Vec<&Arg>, Vec<&Arg>) = command
        .get_arguments()
        .filter(is_shown)
        .partition(|arg| arg.is_positional());
    let mut sections: Vec<(&str, Vec<&Arg>)> = vec![("Arguments", positional)];
    for arg in named.iter().filter(|arg| arg.get_help_heading().is_some()) {
        let heading = arg.get_help_heading().unwrap_or_default();
        match sections.iter_mut().find(|(title, _)| *title == heading) {
            Some((_, args)) => args.push(arg),
            None => sections.push((heading, vec![arg])),
        }
    }
    let mut rest = named;
    rest.retain(|arg| arg.get_help_heading().is_none());
    let title = match sections.len() {
        // Where there are no headings, all are called what they are.
        1 => "Options",
        _ => WITHOUT_HEADING,
    };
    sections.push((title, rest));
    for (title, args) in sections.iter().filter(|(_, args)| !args.is_empty()) {
        let _ = writeln!(page, "{} {title}\n", "#".repeat(level - 1));
        for arg in args {
            add_argument(page, arg, level);
        }
    }
}

fn add_argument(page: &mut String, arg: &Arg, level: usize) {
    let title = title(arg);
    let anchor = (level == OPTION_LEVEL).then(|| anchor(arg, &title));
    // In the heading itself it would leave mdBook's sidebar without a name for it.
    let anchor = anchor.flatten().unwrap_or_default();
    let _ = writeln!(page, "{anchor}{} {}\n", "#".repeat(level), code(&title));
    let help = arg.get_long_help().or_else(|| arg.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    let (help, default_in_words) = without_default(&help);
    if !help.is_empty() {
        let _ = writeln!(page, "{}\n", prose(&with_full_stops(help)));
    }
    let values = arg.get_possible_values();
    let values: Vec<_> = values.iter().filter(|value| !value.is_hide_set()).collect();
    let mut facts = Vec::new();
    if !values.is_empty() && !arg.is_hide_possible_values_set() {
        facts.push(possible(&values));
    }
    facts.extend(default(arg, default_in_words).map(|default| format!("Default: {default}")));
    if let Some(variable) = arg.get_env() {
        facts.push(format!(
            "Environment: {}",
            code(&variable.to_string_lossy())
        ));
    }
    if matches!(arg.get_action(), ArgAction::Append) {
        let separated = match arg.get_value_delimiter() {
            Some(',') => ", or give several values with commas between them",
            _ => "",
        };
        facts.push(format!("May be repeated{separated}"));
    }
    for fact in &facts {
        let _ = writeln!(page, "- {fact}");
    }
    if !facts.is_empty() {
        page.push('\n');
    }
}

/// An anchor by which other pages link to an option whatever its value is called: `options.md#--name`.
fn anchor(arg: &Arg, title: &str) -> Option<String> {
    let name = format!("--{}", arg.get_long()?);
    (slug(title) != name).then(|| format!("<a id=\"{name}\"></a>\n\n"))
}

/// As it is typed: `-s, --name VALUE`, `--name[=VALUE]` or `VALUE`.
fn title(arg: &Arg) -> String {
    let names = [
        arg.get_short().map(|short| format!("-{short}")),
        arg.get_long().map(|long| format!("--{long}")),
    ];
    let names: Vec<String> = names.into_iter().flatten().collect();
    let names = names.join(", ");
    let takes_values = arg.get_num_args().is_some_and(|range| range.takes_values());
    if !takes_values {
        return names;
    }
    let values = arg.get_value_names().unwrap_or_default();
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    let mut values = values.join(" ");
    let choices = arg.get_possible_values();
    // A name that clap has made of the field's says less than what can be typed.
    if values == arg.get_id().as_str().to_uppercase() && !choices.is_empty() {
        let shown = choices.iter().filter(|choice| !choice.is_hide_set());
        let names: Vec<&str> = shown.map(PossibleValue::get_name).collect();
        values = names.join("|");
    }
    let is_optional = arg
        .get_num_args()
        .is_some_and(|range| range.min_values() == 0);
    match (names.is_empty(), is_optional, arg.is_require_equals_set()) {
        (true, ..) => values,
        (_, true, _) => format!("{names}[={values}]"),
        (_, false, true) => format!("{names}={values}"),
        (_, false, false) => format!("{names} {values}"),
    }
}

/// Ends each paragraph: clap takes the full stop of the only one away.
fn with_full_stops(help: &str) -> String {
    let paragraphs = help.split("\n\n").map(|paragraph| {
        let ends = |last: char| last.is_alphanumeric() || matches!(last, '`' | ')');
        let stop = if paragraph.ends_with(ends) { "." } else { "" };
        format!("{paragraph}{stop}")
    });
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

/// A default that the help has in words, as clap writes those that it knows: `[default: …]` at the end.
fn without_default(help: &str) -> (&str, Option<&str>) {
    let help = help.trim();
    let words = help
        .strip_suffix(']')
        .and_then(|help| help.rsplit_once("[default: "));
    words.map_or((help, None), |(help, words)| (help.trim_end(), Some(words)))
}

fn default(arg: &Arg, in_words: Option<&str>) -> Option<String> {
    if let Some(words) = in_words {
        return Some(prose(words));
    }
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return Some("off".to_owned());
    }
    let values = arg.get_default_values().iter();
    let values: Vec<String> = values.map(|value| code(&value.to_string_lossy())).collect();
    let is_told = !values.is_empty() && !arg.is_hide_default_value_set();
    is_told.then(|| values.join(", "))
}

fn possible(values: &[&PossibleValue]) -> String {
    let is_bare = values.iter().all(|value| value.get_help().is_none());
    if is_bare {
        let names: Vec<String> = values.iter().map(|value| code(value.get_name())).collect();
        return format!("Values: {}", names.join(", "));
    }
    let lines = values.iter().map(|value| {
        let help = value.get_help().map(ToString::to_string);
        let help = help.map(|help| format!(": {}", prose(&help)));
        format!(
            "\n  - {}{}",
            code(value.get_name()),
            help.unwrap_or_default()
        )
    });
    format!("Values:{}", lines.collect::<String>())
}

/// In code font. A backtick inside of it needs two around it.
fn code(text: &str) -> String {
    if text.contains('`') {
        format!("`` {text} ``")
    } else {
        format!("`{text}`")
    }
}

/// Help as Markdown: what is between backticks stays as it is, options and variables are in code font, and
/// signs that mean something in Markdown are escaped.
fn prose(text: &str) -> String {
    let text = with_backticks(text);
    let parts: Vec<&str> = text.split('`').collect();
    // Backticks come in pairs, or the last is one of the text.
    let is_paired = parts.len() % 2 == 1;
    let mut markdown = String::with_capacity(text.len());
    for (index, part) in parts.iter().enumerate() {
        let is_last = index + 1 == parts.len();
        if index % 2 == 1 && (is_paired || !is_last) {
            markdown.push_str(&code(part));
        } else {
            if index % 2 == 1 {
                markdown.push_str("\\`");
            }
            markdown.push_str(&escaped(part));
        }
    }
    markdown
}

/// A terminal shows what is typed between single quotes: here it is in code font. The apostrophe of a word
/// has a letter before it.
fn with_backticks(text: &str) -> String {
    if text.contains('`') {
        return text.to_owned();
    }
    let mut quoted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\'') {
        let (before, behind) = (&rest[..at], &rest[at + 1..]);
        let begins_word = before.ends_with(|last: char| last.is_whitespace() || last == '(')
            || (before.is_empty() && quoted.is_empty());
        quoted.push_str(before);
        match behind.find('\'').filter(|_| begins_word) {
            Some(end) => {
                quoted.push_str(&code(&behind[..end]));
                rest = &behind[end + 1..];
            }
            None => {
                quoted.push('\'');
                rest = behind;
            }
        }
    }
    quoted.push_str(rest);
    quoted
}

fn escaped(text: &str) -> String {
    let mut markdown = String::with_capacity(text.len());
    for word in text.split_inclusive(char::is_whitespace) {
        let bare = word.trim_end();
        let trailing = &word[bare.len()..];
        let end = bare.trim_end_matches(['.', ',', ';', ':', ')']);
        let begin = end.trim_start_matches('(');
        if begin.starts_with("--") && begin.len() > 2 {
            markdown.push_str(&end[..end.len() - begin.len()]);
            markdown.push_str(&code(begin));
            markdown.push_str(&bare[end.len()..]);
        } else {
            for found in bare.chars() {
                if r"\`*_<>[]#|~&".contains(found) {
                    markdown.push('\\');
                }
                markdown.push(found);
            }
        }
        markdown.push_str(trailing);
    }
    markdown
}

#[cfg(test)]
mod tests {
    use clap::builder::EnumValueParser;
    use clap::{Parser, ValueEnum};

    use super::*;
    use crate::markdown::Document;

    /// One of each kind.
    #[derive(Debug, Parser)]
    #[command(
        name = "demo",
        disable_help_subcommand = true,
        after_help = "Sizes: bytes\nor <KiB>.\n\nExamples:\n  demo -n 1\n    one"
    )]
    struct Demo {
        /// What is served.
        #[arg(default_value = ".", env = "DEMO_ROOT")]
        root: String,

        /// How many.
        ///
        /// A *star* in `*.js` (--count), and SCHED_IDLE. [default: one for each <processor>]
        #[arg(
            short = 'n',
            long,
            value_name = "N",
            help_heading = "Limits",
            env = "DEMO_COUNT"
        )]
        count: Option<u32>,

        #[arg(long, num_args = 0..=1, require_equals = true, value_name = "FILE", help_heading = "Limits")]
        spa: Vec<String>,

        /// Kind of it.
        #[arg(long, value_parser = EnumValueParser::<Kind>::new(), default_value = "one", value_delimiter = ',', value_name = "KIND", help_heading = "Limits")]
        kinds: Vec<Kind>,

        /// Not so.
        #[arg(long)]
        never: bool,

        /// Nobody sees it.
        #[arg(long, hide = true)]
        secret: bool,

        #[command(subcommand)]
        task: Option<Task>,
    }

    #[derive(Debug, Clone, ValueEnum)]
    enum Kind {
        /// The first.
        One,
        Two,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Task {
        /// Counts.
        ///
        /// Twice.
        Tell {
            /// Where to.
            #[arg(long, value_name = "PLACE")]
            to: String,
        },
    }

    #[test]
    fn a_page_has_all_that_clap_knows() {
        let page = page_of(Demo::command());
        for wanted in [
            "# Options\n",
            "## Sizes\n\nBytes\nor \\<KiB\\>.\n",
            "## Examples\n\n```text\ndemo -n 1\n  one\n```\n",
            "## Arguments\n\n### `ROOT`\n\nWhat is served.\n\n- Default: `.`\n- Environment: `DEMO_ROOT`\n",
            "## Limits\n\n<a id=\"--count\"></a>\n\n### `-n, --count N`\n\nHow many.\n\nA \\*star\\* in `*.js` (`--count`), and \
             SCHED\\_IDLE.\n\n- Default: one for each \\<processor\\>\n- Environment: `DEMO_COUNT`\n",
            "<a id=\"--spa\"></a>\n\n### `--spa[=FILE]`\n\n- May be repeated\n",
            "<a id=\"--kinds\"></a>\n\n### `--kinds KIND`\n\nKind of it.\n\n- Values:\n  - `one`: The first\n  - `two`\n- Default: `one`\n\
             - May be repeated, or give several values with commas between them\n",
            "## Other\n\n### `--never`\n\nNot so.\n\n- Default: off\n",
            "## `demo tell`\n\n```text\ndemo tell --to <PLACE>\n```\n\nCounts.\n\nTwice.\n\n### Options\n\n\
             #### `--to PLACE`\n\nWhere to.\n",
        ] {
            assert!(page.contains(wanted), "{wanted}\nis not in\n{page}");
        }
        assert!(!page.contains("secret"), "{page}");
    }

    #[test]
    fn every_option_of_the_server_is_on_its_page_under_its_name() {
        let page = page();
        let anchors = Document::read(&page).anchors;
        let mut command = Args::command();
        command.build();
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            let names = arg.get_long().map(|long| format!("--{long}"));
            for anchor in names.into_iter().chain([slug(&title(arg))]) {
                assert!(anchors.contains(&anchor), "{anchor}: {anchors:?}");
            }
        }
        let etag = command.find_subcommand("etag").expect("a task");
        for arg in etag.get_arguments() {
            assert!(page.contains(&format!("`{}`\n", title(arg))), "{arg}");
        }
    }

    #[test]
    fn an_odd_backtick_is_one_of_the_text() {
        assert_eq!(prose("a `b` c"), "a `b` c");
        assert_eq!(prose("a ` c"), "a \\` c");
    }

    #[test]
    fn what_is_typed_between_quotes_is_in_code_font() {
        let text = "'Server: *' is the server's, and users' are ('a b') not";
        let wanted = "`Server: *` is the server's, and users' are (`a b`) not";
        assert_eq!(prose(text), wanted);
    }
}
