//! Every input that the fuzzers have kept, once more through the function that it was kept for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[path = "harness/samples.rs"]
mod samples;
#[path = "../../fuzz/src/targets/mod.rs"]
mod targets;

/// Takes any bytes, and panics where a promise is broken.
type Check = fn(&[u8]);

/// Each target, as its fuzzer and the directory of its corpus are called.
const TARGETS: [(&str, Check); 7] = [
    ("accept_encoding", targets::accept_encoding),
    ("conditional", targets::conditional),
    ("date", targets::date),
    ("drain", targets::drain),
    ("range", targets::range),
    ("request", targets::request),
    ("target", targets::target),
];

/// What the tests of zc-server replay.
const OF_ZC_SERVER: [&str; 2] = ["proxy_header", "tls_records"];

#[test]
fn every_saved_input_keeps_every_promise() {
    for (target, check) in TARGETS {
        let inputs = entries(&fuzz().join("corpus").join(target));
        assert!(!inputs.is_empty(), "{target} has no corpus");
        for input in inputs {
            let bytes = std::fs::read(&input).unwrap();
            replay(check, &bytes, &input.display().to_string());
        }
    }
}

#[test]
fn every_sample_of_a_request_keeps_every_promise() {
    for sample in samples::samples() {
        replay(targets::request, &sample.bytes, &sample.name);
    }
}

#[test]
fn no_target_needs_any_bytes() {
    for (target, check) in TARGETS {
        replay(check, b"", target);
    }
}

/// A fuzzer without a row here would find inputs that nothing replays.
#[test]
fn every_fuzzer_and_every_corpus_is_replayed() {
    let here = TARGETS.iter().map(|(name, _)| *name);
    let known: BTreeSet<_> = here.chain(OF_ZC_SERVER).map(str::to_owned).collect();
    for directory in ["fuzz_targets", "corpus"] {
        let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        let found: BTreeSet<_> = entries(&fuzz().join(directory))
            .into_iter()
            .map(stem)
            .collect();
        assert_eq!(found, known, "{directory}");
    }
}

/// Calls `check`, and says which input it was when that panics.
fn replay(check: Check, bytes: &[u8], name: &str) {
    let result = std::panic::catch_unwind(|| check(bytes));
    assert!(result.is_ok(), "a promise is broken by {name}");
}

fn fuzz() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

/// What is in a directory, in the order of the names.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
}
