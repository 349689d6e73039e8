//! What was tried and what was seen, as a table in Markdown.

use std::fmt::Write as _;

use super::Options;
use super::cluster::{NODES, VOLUME_SERVERS};
use crate::fleet::report::About;

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) trial: &'static str,
    pub(super) what: String,
    pub(super) seen: String,
    /// Whether it is what was expected. `None`: nothing was, it is a figure.
    pub(super) holds: Option<bool>,
}

impl Row {
    /// Something that is expected. Its trial is filled in later.
    pub(super) fn new(what: &str, seen: &str, holds: bool) -> Self {
        Self::expected("", what, seen, holds)
    }

    pub(super) fn expected(trial: &'static str, what: &str, seen: &str, holds: bool) -> Self {
        Self {
            trial,
            what: what.to_owned(),
            seen: seen.to_owned(),
            holds: Some(holds),
        }
    }

    /// A figure.
    pub(super) fn shown(what: &str, seen: &str) -> Self {
        Self {
            holds: None,
            ..Self::new(what, seen, true)
        }
    }
}

/// The page.
pub(super) fn page(about: &About, options: &Options, rows: &[Row]) -> String {
    let mut out = format!(
        "# Nodes whose files are in SeaweedFS\n\n{}, commit {}, {}\n\n    {}\n\n",
        about.date, about.commit, about.machine, about.command
    );
    // A `String` takes every write.
    let _ = writeln!(
        out,
        "A master, a filer and {VOLUME_SERVERS} volume servers, replication 001. {NODES} nodes with a FUSE mount and \
         zc-server each, of one worker thread and with a disk timeout of {} s. Large files have {} MB. All are on one \
         machine. Every body was compared with the bytes that were written. `figure` is measured, and nothing was \
         expected of it.\n",
        options.disk_timeout, options.large_mb
    );
    out += "| | what | seen | as expected |\n| --- | --- | --- | --- |\n";
    let mut trial = "";
    for row in rows {
        let name = if row.trial == trial { "" } else { row.trial };
        trial = row.trial;
        let holds = match row.holds {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "figure",
        };
        let seen = row.seen.replace('|', "\\|").replace('\n', " ");
        let _ = writeln!(out, "| {name} | {} | {seen} | {holds} |", row.what);
    }
    out
}

/// The value in the middle. The values are sorted.
pub(super) fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let (below, above) = (
        values.get(values.len().checked_sub(1)? / 2)?,
        values.get(values.len() / 2)?,
    );
    Some(f64::midpoint(*below, *above))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_that_was_seen() {
        let about = About {
            date: "2026-01-01T00:00:00Z".to_owned(),
            commit: "abc".to_owned(),
            command: "cargo xtask fleet --seaweedfs".to_owned(),
            machine: "a machine".to_owned(),
        };
        let rows = [
            Row::expected("tags", "equal", "yes", true),
            Row::expected("tags", "whole", "a | b\nc", false),
            Row {
                trial: "speed",
                ..Row::shown("ratio", "0.5")
            },
        ];
        let options = Options::try_parse_from(["seaweedfs"]).expect("options");
        let page = page(&about, &options, &rows);
        let table = "| tags | equal | yes | yes |\n|  | whole | a \\| b c | **no** |\n| speed | ratio | 0.5 | figure |\n";
        assert!(page.ends_with(table), "{page}");
        assert!(page.contains("disk timeout of 5 s"), "{page}");
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut [4.0, 1.0]), Some(2.5));
        assert_eq!(median(&mut []), None);
    }
}
