//! Text of messages: what is written the same way wherever the server prints something.

mod size;

use std::fmt;
use std::path::Path;

pub(crate) use size::{parse_size, size};

/// A number of things: `1 line`, `2 lines`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// A path on one line: control characters are escaped, and bytes that are not UTF-8 are replaced.
pub(crate) struct OneLine<'path>(pub(crate) &'path Path);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.to_string_lossy().chars().try_for_each(|char| {
            if char.is_control() {
                write!(f, "{}", char.escape_debug())
            } else {
                write!(f, "{char}")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_paths_are_said_plainly() {
        assert_eq!(counted(0, "line"), "0 lines");
        assert_eq!(counted(1, "line"), "1 line");
        assert_eq!(counted(2, "response"), "2 responses");
        let path = OneLine(Path::new("/a\nb\x1b[2J")).to_string();
        assert_eq!(path, "/a\\nb\\u{1b}[2J");
    }
}
