//! How much is in a directory.

use std::fmt;

use crate::text::size;

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
}
