//! The options of `cargo xtask fuzz`.

use anyhow::{Context, bail, ensure};

pub(super) const HELP: &str = "\
Usage: cargo xtask fuzz [--seconds N] [--target NAME ...] [--jobs N] [--save]

Runs the fuzzers of fuzz, and fails if one finds an input that violates an assertion.
libFuzzer needs a C++ compiler: apt-get install g++

  --seconds N        seconds that each fuzzer runs [default: 60]
  --target NAME ...  fuzzers to run [default: all in fuzz/fuzz_targets]
  --jobs N           fuzzers to run at a time [default: 1]
  --save             add the new inputs, minimised, to fuzz/corpus
";

/// The options, checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) seconds: u32,
    pub(super) jobs: u32,
    pub(super) saves: bool,
    /// At least one.
    pub(super) targets: Vec<String>,
}

impl Options {
    /// Reads the command line; `None` when it asks for help. `names` are the targets there are.
    pub(super) fn read(arguments: &[String], names: &[String]) -> anyhow::Result<Option<Self>> {
        let mut options = Self {
            seconds: 60,
            jobs: 1,
            saves: false,
            targets: Vec::new(),
        };
        let mut rest = arguments.iter().map(String::as_str).peekable();
        while let Some(argument) = rest.next() {
            match argument {
                "--seconds" => options.seconds = number(argument, rest.next())?,
                "--jobs" => options.jobs = number(argument, rest.next())?,
                "--save" => options.saves = true,
                "--target" => {
                    while let Some(name) = rest.next_if(|next| !next.starts_with('-')) {
                        let is_known = names.iter().any(|known| known == name);
                        ensure!(
                            is_known,
                            "unknown target `{name}`; use {}",
                            names.join(", ")
                        );
                        options.targets.push(name.to_owned());
                    }
                    ensure!(!options.targets.is_empty(), "--target needs a name");
                }
                "--help" | "-h" => return Ok(None),
                other => bail!("unknown option `{other}`\n\n{HELP}"),
            }
        }
        if options.targets.is_empty() {
            options.targets = names.to_vec();
        }
        Ok(Some(options))
    }
}

/// A number of at least one: libFuzzer takes zero seconds for no limit.
fn number(option: &str, value: Option<&str>) -> anyhow::Result<u32> {
    let value = value.with_context(|| format!("{option} needs a number"))?;
    let number = value.parse().ok().filter(|&number| number > 0);
    number.with_context(|| format!("{option} must be a number of at least 1, not `{value}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Option<Options>, String> {
        let arguments: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        let names = ["date", "range"].map(str::to_owned);
        Options::read(&arguments, &names).map_err(|error| error.to_string())
    }

    #[test]
    fn a_minute_for_each_target_by_default() {
        let options = read("").unwrap().unwrap();
        assert_eq!((options.seconds, options.jobs), (60, 1));
        assert_eq!(options.targets, ["date", "range"]);
        assert!(!options.saves);
    }

    #[test]
    fn targets_are_named_in_a_row_or_one_by_one() {
        let options = read("--target range date --seconds 5").unwrap().unwrap();
        assert_eq!(options.targets, ["range", "date"]);
        assert_eq!(options.seconds, 5);
        let options = read("--target date --save --target range --jobs 2");
        let options = options.unwrap().unwrap();
        assert_eq!(options.targets, ["date", "range"]);
        assert!(options.saves && options.jobs == 2);
        assert_eq!(read("--seconds 5 --help"), Ok(None));
    }

    #[test]
    fn a_wrong_command_line_is_refused_with_a_reason() {
        for (line, reason) in [
            ("--seconds", "needs a number"),
            ("--seconds 0", "at least 1"),
            ("--seconds soon", "not `soon`"),
            ("--jobs -1", "at least 1"),
            ("--target", "needs a name"),
            ("--target --save", "needs a name"),
            ("--target x", "use date, range"),
            ("date", "unknown option `date`"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.contains(reason), "{line}: {error}");
        }
    }
}
