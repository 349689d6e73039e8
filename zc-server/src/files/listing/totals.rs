//! How much is in a directory.

use std::borrow::Cow;
use std::fmt;

/// The units of sizes, each 1000 times the one before.
const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];

/// How many entries a directory has, and how many bytes its files have together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    directories: usize,
    files: usize,
    bytes: u64,
}

impl Totals {
    /// Counts one more: a file by its length in bytes, a directory by `None`.
    pub(super) fn count(&mut self, length: Option<u64>) {
        match length {
            Some(length) => {
                self.files += 1;
                self.bytes = self.bytes.saturating_add(length);
            }
            None => self.directories += 1,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.directories == 0 && self.files == 0
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count| if count == 1 { "" } else { "s" };
        let directories = format!("{} folder{}", self.directories, plural(self.directories));
        let files = format!("{} file{}", self.files, plural(self.files));
        match (self.directories, self.files) {
            (0, 0) => out.write_str("Nothing"),
            (_, 0) => out.write_str(&directories),
            (0, _) => write!(out, "{files}, {}", size(self.bytes)),
            _ => write!(out, "{directories}, {files}, {}", size(self.bytes)),
        }
    }
}

/// A size as people read it: three digits and a unit.
pub(super) fn size(bytes: u64) -> Cow<'static, str> {
    if bytes < 1000 {
        return format!("{bytes} B").into();
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    // Rounded up to 1000 a value belongs to the next unit.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if value < 9.95 { 1 } else { 0 };
    format!("{value:.digits$} {}", UNITS[unit]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_said_in_words() {
        let said = |directories: usize, lengths: &[u64]| {
            let mut totals = Totals::default();
            (0..directories).for_each(|_| totals.count(None));
            lengths
                .iter()
                .for_each(|&length| totals.count(Some(length)));
            totals.to_string()
        };
        assert_eq!(said(0, &[]), "Nothing");
        assert_eq!(said(1, &[]), "1 folder");
        assert_eq!(said(0, &[5]), "1 file, 5 B");
        assert_eq!(said(2, &[1000, 500]), "2 folders, 2 files, 1.5 kB");
        assert_eq!(said(1, &[u64::MAX, 1]), "1 folder, 2 files, 18 EB");
    }

    #[test]
    fn sizes_have_three_digits_at_most() {
        for (bytes, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (9_949, "9.9 kB"),
            (9_950, "10 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (300_000_000, "300 MB"),
            (4_294_967_296, "4.3 GB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(size(bytes), expected, "{bytes}");
        }
    }
}
