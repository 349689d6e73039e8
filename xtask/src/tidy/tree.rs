//! The files that are checked.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Context;

/// Directories that are not of the repository.
const PASSED_OVER: [&str; 2] = ["target", ".git"];
/// Directories whose files nobody writes by hand.
const MADE: [&str; 2] = ["fuzz/corpus/", "zc-bench/results/"];
/// Files whose text is read.
const TEXTS: [&str; 5] = ["rs", "md", "toml", "yml", "css"];

/// The repository as the checks see it: paths from its root, and the texts of some.
#[derive(Default)]
pub(super) struct Tree {
    /// All files.
    paths: BTreeSet<String>,
    texts: BTreeMap<String, String>,
    rust: OnceCell<Vec<Source>>,
}

/// A file of Rust.
pub(super) struct Source {
    pub(super) path: String,
    pub(super) file: syn::File,
}

impl Tree {
    /// Reads what is below `root`.
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        let mut tree = Self::default();
        tree.read_directory(root, "")?;
        Ok(tree)
    }

    fn read_directory(&mut self, directory: &Path, prefix: &str) -> anyhow::Result<()> {
        let entries = fs::read_dir(directory)
            .with_context(|| format!("cannot list {}", directory.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            if entry.file_type()?.is_dir() {
                if !PASSED_OVER.contains(&name.as_str()) {
                    self.read_directory(&entry.path(), &format!("{path}/"))?;
                }
                continue;
            }
            let is_made = MADE.iter().any(|made| path.starts_with(made));
            if TEXTS.contains(&extension(&path)) && !is_made {
                let text = fs::read_to_string(entry.path())
                    .with_context(|| format!("cannot read {path}"))?;
                self.texts.insert(path.clone(), text);
            }
            self.paths.insert(path);
        }
        Ok(())
    }

    /// A tree that is made up.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            tree.paths.insert((*path).to_owned());
            tree.texts.insert((*path).to_owned(), (*text).to_owned());
        }
        tree
    }

    /// All texts, by their paths.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        let texts = self.texts.iter();
        texts.map(|(path, text)| (path.as_str(), text.as_str()))
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// All files and directories that `name` may mean: a path from the root, or the end of one. A
    /// slash at its end means a directory.
    pub(super) fn find(&self, name: &str) -> Vec<&str> {
        let is_meant = |path: &str| match name.strip_suffix('/') {
            Some(directory) => format!("/{path}").contains(&format!("/{directory}/")),
            None => path == name || path.ends_with(&format!("/{name}")),
        };
        let paths = self.paths.iter().map(String::as_str);
        paths.filter(|path| is_meant(path)).collect()
    }

    /// Whether `path` is a file, or a directory with files, from the root.
    pub(super) fn has(&self, path: &str) -> bool {
        let directory = format!("{}/", path.trim_end_matches('/'));
        let below = self.paths.range(directory.clone()..).next();
        self.paths.contains(path) || below.is_some_and(|below| below.starts_with(&directory))
    }

    /// All files of Rust. One that does not parse is left to the compiler, which says more of it.
    pub(super) fn rust(&self) -> &[Source] {
        self.rust.get_or_init(|| {
            let sources = self.texts().filter(|(path, _)| extension(path) == "rs");
            let parsed = sources.filter_map(|(path, text)| {
                let file = syn::parse_file(text).ok()?;
                let path = path.to_owned();
                Some(Source { path, file })
            });
            parsed.collect()
        })
    }
}

fn extension(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, extension)| extension)
}
