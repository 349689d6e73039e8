//! The corpus on disk.

use std::path::PathBuf;

/// One file of the corpus.
pub(crate) struct Sample {
    /// `ok-…`, or the expected status and what is wrong.
    pub(crate) name: String,
    /// What a client sends.
    pub(crate) bytes: Vec<u8>,
}

/// All samples, in the order of their names.
pub(crate) fn samples() -> Vec<Sample> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut paths: Vec<_> = std::fs::read_dir(directory)
        .expect("the corpus is a directory")
        .map(|entry| entry.expect("the corpus can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "req"))
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| Sample {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            bytes: std::fs::read(&path).unwrap(),
        })
        .collect()
}
