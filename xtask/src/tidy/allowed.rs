//! What is untidy today and may not become more: `allowed.txt`, with a number for each check and file.
//!
//! A file that has more than its number fails, and so does one that has fewer, so that the number is
//! lowered in the commit that mends something. `cargo xtask tidy --lower` writes the numbers of now;
//! it moves them along with what was moved, and raises no sum.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, ensure};

/// Where the numbers stand, from the root.
pub(super) const PATH: &str = "xtask/src/tidy/allowed.txt";

/// The check and the file.
type Key = (String, String);

/// How many findings each check may have in each file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Allowed(BTreeMap<Key, usize>);

impl Allowed {
    /// Reads lines of a number, a check and a path.
    pub(super) fn read(text: &str) -> anyhow::Result<Self> {
        let mut allowed = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.splitn(3, ' ');
            let read = (|| {
                let count = words.next()?.parse().ok()?;
                let key = (words.next()?.to_owned(), words.next()?.to_owned());
                Some((key, count))
            })();
            let (key, count) =
                read.with_context(|| format!("{PATH}: not `N CHECK PATH`: {line}"))?;
            allowed.insert(key, count);
        }
        Ok(Self(allowed))
    }

    pub(super) fn of(&self, check: &str, path: &str) -> usize {
        let key = (check.to_owned(), path.to_owned());
        self.0.get(&key).copied().unwrap_or(0)
    }

    /// Counts a finding.
    pub(super) fn count(&mut self, check: &str, path: &str) {
        *self
            .0
            .entry((check.to_owned(), path.to_owned()))
            .or_default() += 1;
    }

    /// The checks and files whose number is higher than what was `found`.
    pub(super) fn above<'a>(
        &'a self,
        found: &'a Self,
    ) -> impl Iterator<Item = (&'a Key, usize, usize)> {
        let all = self
            .0
            .iter()
            .map(|(key, &allowed)| (key, allowed, found.of(&key.0, &key.1)));
        all.filter(|(_, allowed, found)| allowed > found)
    }

    /// The text of what was found, to be allowed from now on.
    ///
    /// # Errors
    ///
    /// If a check has found more than these numbers allow in sum.
    pub(super) fn lowered_to(&self, found: &Self) -> anyhow::Result<String> {
        for (check, sum) in found.sums() {
            let allowed = self.sums().get(check).copied().unwrap_or(0);
            ensure!(
                sum <= allowed,
                "{check}: {sum} findings, {allowed} are allowed; fix the new ones first"
            );
        }
        let mut text = String::from(
            "# Findings that are allowed; the numbers may only fall. See allowed.rs; `cargo xtask tidy --lower`.\n",
        );
        for ((check, path), count) in &found.0 {
            writeln!(text, "{count} {check} {path}")?;
        }
        Ok(text)
    }

    fn sums(&self) -> BTreeMap<&str, usize> {
        let mut sums = BTreeMap::new();
        for ((check, _), count) in &self.0 {
            *sums.entry(check.as_str()).or_default() += count;
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_move_and_shrink_and_do_not_grow() {
        let allowed = Allowed::read("# said\n2 words a.md\n1 words b.md\n1 safety a b.rs\n")
            .expect("numbers");
        assert_eq!(allowed.of("words", "a.md"), 2);
        assert_eq!(allowed.of("safety", "a b.rs"), 1);
        assert_eq!(allowed.of("words", "c.md"), 0);

        let moved = Allowed::read("3 words c.md").expect("numbers");
        let text = allowed.lowered_to(&moved).expect("no more than before");
        assert_eq!(Allowed::read(&text).expect("numbers"), moved);
        let above: Vec<_> = allowed
            .above(&moved)
            .map(|(key, ..)| key.1.as_str())
            .collect();
        assert_eq!(above, ["a b.rs", "a.md", "b.md"]);

        let more = Allowed::read("4 words c.md").expect("numbers");
        let refused = allowed.lowered_to(&more).expect_err("one more");
        assert!(
            refused
                .to_string()
                .starts_with("words: 4 findings, 3 are allowed")
        );
        assert!(Allowed::read("words a.md").is_err());
    }
}
