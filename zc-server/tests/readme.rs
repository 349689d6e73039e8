//! README's tables of options and those of the command line are the same, defaults included.
//!
//! clap is asked here, where it is a dependency already: xtask would have to build the server for it.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, CommandFactory};
use zc_server::Args;

const README: &str = include_str!("../../README.md");

/// Defaults that README gives in words, since they are not one value that could be typed.
const IN_WORDS: &[(&str, &str)] = &[
    ("threads", "the cores it may use"),
    ("mime", "IANA's, or what clients ask for"),
    ("header", "`Server: zc`"),
];

/// What README says of an option: what can be typed behind it, and its default.
struct Row {
    line: usize,
    default: String,
}

fn rows() -> BTreeMap<&'static str, Row> {
    let mut rows = BTreeMap::new();
    for (index, line) in README.lines().enumerate() {
        let Some(option) = line.strip_prefix("| `--") else {
            continue;
        };
        // A bar in a cell has a backslash before it.
        let cells = line.trim_end_matches('|').replace("\\|", "/");
        let default = cells.rsplit('|').next().expect("a cell").trim().to_owned();
        let name = option.split([' ', '`', '[']).next().expect("a name");
        let row = Row {
            line: index + 1,
            default,
        };
        assert!(rows.insert(name, row).is_none(), "--{name} is there twice");
    }
    rows
}

fn options(command: &clap::Command) -> BTreeMap<&str, &Arg> {
    let named = command
        .get_arguments()
        .filter_map(|arg| Some((arg.get_long()?, arg)));
    named
        .filter(|(name, arg)| !arg.is_hide_set() && !["help", "version"].contains(name))
        .collect()
}

#[test]
fn readme_has_the_options_of_the_command_line_and_no_others() {
    let mut command = Args::command();
    command.build();
    let (rows, options) = (rows(), options(&command));
    let missing: Vec<_> = options
        .keys()
        .filter(|name| !rows.contains_key(*name))
        .collect();
    assert!(missing.is_empty(), "README has no row for {missing:?}");
    for (name, row) in &rows {
        let is_there = options.contains_key(name);
        assert!(is_there, "README.md:{}: there is no --{name}", row.line);
    }
}

#[test]
fn readme_has_the_defaults_of_the_command_line() {
    let mut command = Args::command();
    command.build();
    for (name, row) in rows() {
        let Some(option) = options(&command).remove(name) else {
            continue; // The other test says so.
        };
        let values = option.get_default_values().iter();
        let values: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
        let in_words = IN_WORDS.iter().find(|(known, _)| *known == name);
        // A flag is off, and an option that need not be there has no value.
        let is_flag = matches!(option.get_action(), ArgAction::SetTrue)
            || option
                .get_num_args()
                .is_some_and(|range| range.min_values() == 0);
        let wanted = match (in_words, values.as_slice()) {
            (Some((_, words)), []) => (*words).to_owned(),
            // clap calls it "false".
            (_, _) if is_flag => "off".to_owned(),
            (_, []) => "none".to_owned(),
            (_, values) => values.join(","),
        };
        let said = row.default.replace(['`', ' '], "");
        let line = row.line;
        let wanted = wanted.replace(['`', ' '], "");
        assert_eq!(said, wanted, "README.md:{line}: the default of --{name}");
    }
}
