//! `cargo xtask ci`: the gates that `.ci/run` applies, without installing anything.

/// Runs the gates in order, and stops at the first that fails.
pub(crate) fn run() -> anyhow::Result<()> {
    crate::cargo(&["fmt", "--all", "--check"], &[])?;
    crate::cargo(
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
        &[],
    )?;
    crate::fuzz::lint()?;
    crate::cargo(
        &["doc", "--workspace", "--no-deps"],
        &[("RUSTDOCFLAGS", "-D warnings")],
    )?;
    crate::cargo(&["test", "--workspace"], &[])?;
    for files in ["0", "1"] {
        crate::cargo(
            &["test", "-p", "zc-server", "--test", "*", "--quiet"],
            &[("ZC_TEST_CACHE_FILES", files)],
        )?;
    }
    crate::cargo(
        &["test", "-p", "xtask", "--test", "bench", "--", "--ignored"],
        &[],
    )?;
    // A process of its own: it puts itself into another network and on one core.
    crate::cargo(&["xtask", "bench", "--trial"], &[])?;
    crate::fuzz::run(&["--seconds".to_owned(), "5".to_owned()])
}
