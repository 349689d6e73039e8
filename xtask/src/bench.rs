//! `cargo xtask bench`: the microbenchmarks of `zc-bench`.

/// Runs criterion; `arguments` are handed on to it.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let mut command = vec!["bench", "--package", "zc-bench", "--"];
    command.extend(arguments.iter().map(String::as_str));
    crate::cargo(&command, &[])
}
