//! The example that explains says the truth on every path.

mod common;

use common::PORTABLE;

// Its `main` takes the arguments of a program, which a test has none of.
#[allow(dead_code)]
#[path = "../examples/which_path.rs"]
mod which_path;

/// The lines about a file of these bytes, on the disk of the build directory.
fn told(bytes: &[u8]) -> String {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    let mut lines = Vec::new();
    which_path::tell(&path, &mut lines).unwrap();
    String::from_utf8(lines).unwrap()
}

#[test]
fn which_path_answers_where_the_filesystem_is_not_told() {
    let told = told(&[7; 5000]);
    let (path, filesystem) = if PORTABLE {
        ("path        copy", "not told: ")
    } else {
        ("path        sendfile", "FileSystem(")
    };
    for part in [path, filesystem, ": 5000 bytes", "received    4096 bytes"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    let refused = told.contains("because     sendfile refused");
    assert_eq!(refused, PORTABLE, "{told}");
}
