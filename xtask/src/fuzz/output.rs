//! What libFuzzer prints, read.

/// The heading of the table whose rows are [`Run::row`].
pub(super) const HEADING: &str =
    "target             seconds   executions  executions/s  edges reached      new inputs";

/// What came of a fuzzer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Its time was over.
    Finished(Run),
    /// It found an input that breaks a promise.
    Crashed {
        /// The file with the input.
        input: String,
        /// What was said of it.
        reason: String,
    },
    /// Neither: it did not start, or was ended from outside.
    Unknown,
}

/// The figures of a run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    executions: u64,
    executions_per_s: u64,
    edges_reached: u64,
    edges: u64,
}

impl Run {
    pub(super) fn row(&self, target: &str, seconds: u32, new_inputs: usize) -> String {
        let edges = format!("{} of {}", self.edges_reached, self.edges);
        format!(
            "{target:<18} {seconds:>7} {:>12} {:>13}  {edges:<17} {new_inputs:>11}",
            self.executions, self.executions_per_s
        )
    }
}

/// Reads all that a fuzzer has printed.
pub(super) fn read(text: &str) -> Outcome {
    if let Some(input) = text.lines().find_map(crash_input) {
        return Outcome::Crashed {
            input: input.to_owned(),
            reason: reason(text),
        };
    }
    run(text).map_or(Outcome::Unknown, Outcome::Finished)
}

/// The file that a crash was written to.
fn crash_input(line: &str) -> Option<&str> {
    let (_, path) = line.split_once("Test unit written to ")?;
    Some(path.trim_end())
}

/// What the panic said, or else the engine, as when an input takes too long.
fn reason(text: &str) -> String {
    let panic = text.split_once(" panicked at ").map(|(_, after)| after);
    let message = panic.map(|after| {
        let end = ["\nstack backtrace:", "\nnote: "]
            .iter()
            .find_map(|end| after.find(end));
        after.get(..end.unwrap_or(after.len())).unwrap_or(after)
    });
    let summary = || text.lines().find_map(|line| line.strip_prefix("SUMMARY: "));
    message.or_else(summary).unwrap_or("no reason").to_owned()
}

fn run(text: &str) -> Option<Run> {
    let stat = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line?.trim().parse().ok()
    };
    let (before, _) = text.split_once(" inline 8-bit counters)")?;
    let (_, edges) = before.rsplit_once('(')?;
    let last = text
        .lines()
        .rfind(|line| line.starts_with('#') && line.contains(" cov: "))?;
    let (_, reached) = last.split_once(" cov: ")?;
    Some(Run {
        executions: stat("stat::number_of_executed_units:")?,
        executions_per_s: stat("stat::average_exec_per_sec:")?,
        edges_reached: reached.split_whitespace().next()?.parse().ok()?,
        edges: edges.trim().parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "\
Dictionary: 15 entries
INFO: Running with entropic power schedule (0xFF, 100).
INFO: Seed: 3057105912
INFO: Loaded 1 modules   (946 inline 8-bit counters): 946 [0x561c37d3fe88, 0x561c37d4023a), 
INFO: Loaded 1 PC tables (946 PCs): 946 [0x561c37d40240,0x561c37d43d60), 
INFO:       87 files found in fuzz/corpus/range
#88\tINITED cov: 301 ft: 911 corp: 75/1953b exec/s: 0 rss: 27Mb
";

    #[test]
    fn the_figures_of_a_run_are_the_last_ones() {
        let text = format!(
            "{START}\
#180880\tREDUCE cov: 338 ft: 1622 corp: 410/26Kb lim: 467 exec/s: 18088 rss: 28Mb L: 96/418 MS: 3 \
PersAutoDict-ManualDict-EraseBytes- DE: \"18446744073709551614\"-
#182000\tDONE   cov: 339 ft: 1622 corp: 410/26Kb lim: 475 exec/s: 16545 rss: 28Mb
###### Recommended dictionary. ######
\"\\001\\006\" # Uses: 261
###### End of recommended dictionary. ######
Done 182000 runs in 11 second(s)
stat::number_of_executed_units: 182000
stat::average_exec_per_sec:     16545
stat::new_units_added:          970
stat::slowest_unit_time_sec:    0
stat::peak_rss_mb:              28
"
        );
        let Outcome::Finished(run) = read(&text) else {
            panic!("{:?}", read(&text));
        };
        let expected = Run {
            executions: 182_000,
            executions_per_s: 16_545,
            edges_reached: 339,
            edges: 946,
        };
        assert_eq!(run, expected);
        let row = run.row("range", 10, 323);
        for (word, figure) in row
            .split_whitespace()
            .zip(["range", "10", "182000", "16545", "339", "of", "946", "323"])
        {
            assert_eq!(word, figure, "{row}");
        }
        assert!(row.len() <= HEADING.len(), "{row}");
    }

    #[test]
    fn a_crash_is_named_with_what_was_said_of_it() {
        let text = format!(
            "{START}
thread '<unnamed>' (17493) panicked at src/targets/range.rs:36:5:
assertion `left == right` failed: bytes=0-0 of 1
  left: Whole
 right: Partial(0..1)
stack backtrace:
   0: __rustc::rust_begin_unwind
note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.
==29441== ERROR: libFuzzer: deadly signal
SUMMARY: libFuzzer: deadly signal
MS: 0 ; base unit: 0000000000000000000000000000000000000000
artifact_prefix='target/fuzz/crashes/range-'; Test unit written to target/fuzz/crashes/range-crash-8b5b
Base64: Ynl0ZXM9MC0w
stat::number_of_executed_units: 110
stat::average_exec_per_sec:     0
"
        );
        let Outcome::Crashed { input, reason } = read(&text) else {
            panic!("{:?}", read(&text));
        };
        assert_eq!(input, "target/fuzz/crashes/range-crash-8b5b");
        assert!(
            reason.starts_with("src/targets/range.rs:36:5:\n"),
            "{reason}"
        );
        assert!(reason.ends_with("right: Partial(0..1)"), "{reason}");
    }

    #[test]
    fn an_input_that_takes_too_long_is_a_crash() {
        let text = format!(
            "{START}ALARM: working on the last Unit for 21 seconds
       and the timeout value is 20 (use -timeout=N to change)
MS: 1 ChangeBit-; base unit: 9f34
artifact_prefix='target/fuzz/crashes/range-'; Test unit written to target/fuzz/crashes/range-timeout-01
==30211== ERROR: libFuzzer: timeout after 21 seconds
SUMMARY: libFuzzer: timeout
"
        );
        let expected = Outcome::Crashed {
            input: "target/fuzz/crashes/range-timeout-01".to_owned(),
            reason: "libFuzzer: timeout".to_owned(),
        };
        assert_eq!(read(&text), expected);
    }

    #[test]
    fn a_run_without_an_end_says_nothing() {
        assert_eq!(read(START), Outcome::Unknown);
        assert_eq!(read(""), Outcome::Unknown);
    }
}
