//! The study, in words: what copying cost, what is repeated here, and where it ran. Why a figure differs
//! from a published one is not told, since no figure here shows it.

use super::numbers::{decimals, ratio};
use super::ratios::{Pair, cpu_seconds_per_gb};
use crate::bench::arena::{CLIENT_CORE, SERVER_CORE};
use crate::bench::results::{Results, Study};
use crate::bench::study::THREADS;
use crate::bench::watch::{FOREIGN_MAX, most};

/// Runs whose costs are nearer to each other than this are told as alike: each was made once.
const ALIKE: f64 = 0.1;

/// What the study repeats.
pub(crate) struct Source {
    pub(crate) title: &'static str,
    pub(crate) article: &'static str,
    pub(crate) code: &'static str,
}

pub(crate) const SOURCE: Source = Source {
    title: "How I used Zero-Copy To Achieve Blazingly Fast File Transfers",
    article: "https://samirkattel.com.np/blog",
    code: "https://github.com/probablysamir/zero-copy-go",
};

/// The sentence that the study opens with: what copying cost, and why. None where one of the two runs
/// has no figure.
pub(crate) fn opening(results: &Results) -> Option<String> {
    let pair = Pair::find(results, "io", "sendfile")?;
    let (copy, sendfile) = (
        cpu_seconds_per_gb(pair.copy),
        cpu_seconds_per_gb(pair.sendfile),
    );
    let times = copy / sendfile;
    if !(times.is_finite() && times > 0.0) {
        return None;
    }
    let figures = format!("{} s against {} s", decimals(copy), decimals(sendfile));
    let is_disturbed = |study: &Study| most(&study.foreign) > FOREIGN_MAX;
    Some(if is_disturbed(pair.copy) || is_disturbed(pair.sendfile) {
        format!(
            "Copying took {} s of CPU for each GB and sendfile(2) {} s, while other programs disturbed \
             the measurement.",
            decimals(copy),
            decimals(sendfile)
        )
    } else if times > 1.0 + ALIKE {
        format!(
            "Copying cost {} times as much CPU as sendfile(2) for each GB ({figures}), because a \
             program that copies has the kernel copy every byte into its memory and back again, and \
             sendfile(2) sends what is in the page cache from there.",
            ratio(times)
        )
    } else if times < 1.0 - ALIKE {
        format!("Copying cost less CPU than sendfile(2) for each GB: {figures}.")
    } else {
        format!("Copying cost about as much CPU as sendfile(2) for each GB: {figures}.")
    })
}

/// Whose the runs called `go` are.
pub(crate) fn of_go(results: &Results) -> Option<&'static str> {
    let mut names = results.study.iter().map(|study| study.method.as_str());
    names
        .any(|name| name.starts_with("go "))
        .then_some("Its two handlers in Go, run here, are “go io” and “go sendfile”.")
}

/// What else has to be known of the runs.
pub(crate) fn sentences(results: &Results) -> Vec<String> {
    let errors = Pair::find(results, "io", "sendfile").and_then(|pair| of_errors(&pair));
    of_placement(results).into_iter().chain(errors).collect()
}

/// Where both sides ran, and on how many threads: of the rates they decide as much as the method.
fn of_placement(results: &Results) -> Option<String> {
    let cores = if results.machine.pinned {
        format!("cores {SERVER_CORE} and {CLIENT_CORE}")
    } else {
        "the machine's cores".to_owned()
    };
    (!results.study.is_empty()).then(|| {
        format!("Each server had one worker thread. It shared {cores} with the {THREADS} threads of wrk.")
    })
}

fn of_errors(pair: &Pair<'_>) -> Option<String> {
    let of = |study: &Study| {
        let errors = study.wrk.errors;
        errors.connect + errors.read + errors.write + errors.timeout + errors.status
    };
    let (copy, sendfile) = (of(pair.copy), of(pair.sendfile));
    (copy + sendfile > 0).then(|| {
        format!(
            "wrk counted {copy} errors of copying and {sendfile} of sendfile. Latencies are of the \
             other responses."
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::made_up::{empty, study};

    /// A copying run, and one of sendfile, which take so much of a core for 2 GB/s.
    fn results(copy_percent: f64, sendfile_percent: f64) -> Results {
        Results {
            study: vec![
                study("io", copy_percent, 2.0, 2e6),
                study("sendfile", sendfile_percent, 2.0, 2e6),
            ],
            ..empty()
        }
    }

    #[test]
    fn it_opens_with_what_copying_cost_and_why() {
        let opening = opening(&results(100.0, 20.0)).expect("both were measured");
        let words = "Copying cost 5.00 times as much CPU as sendfile(2) for each GB (0.505 s against \
                     0.101 s), because a program that copies";
        assert!(opening.starts_with(words), "{opening}");
        assert_eq!(opening.matches(". ").count(), 0, "one sentence: {opening}");
    }

    #[test]
    fn a_reason_is_told_only_where_copying_cost_more() {
        for (copy, begins) in [
            (21.5, "Copying cost about as much CPU as sendfile(2)"),
            (18.5, "Copying cost about as much CPU as sendfile(2)"),
            (10.0, "Copying cost less CPU than sendfile(2)"),
        ] {
            let opening = opening(&results(copy, 20.0)).expect("both were measured");
            assert!(opening.starts_with(begins), "{opening}");
            assert!(!opening.contains("because"), "{opening}");
        }
    }

    #[test]
    fn a_disturbed_measurement_has_figures_and_no_finding() {
        let mut found = results(100.0, 20.0);
        found.study[1].foreign = vec![2.0 * FOREIGN_MAX];
        let opening = opening(&found).expect("both were measured");
        assert!(
            opening.starts_with("Copying took 0.505 s of CPU"),
            "{opening}"
        );
        assert!(opening.contains("disturbed"), "{opening}");
        assert!(!opening.contains("times") && !opening.contains("because"));
    }

    #[test]
    fn it_opens_with_nothing_where_a_figure_is_missing() {
        assert_eq!(opening(&empty()), None);
        let mut one = results(100.0, 20.0);
        one.study.truncate(1);
        assert_eq!(opening(&one), None);
        // Nothing was sent, or nobody looked.
        let mut without_bytes = results(100.0, 20.0);
        without_bytes.study[0].wrk.bytes_per_second = 0.0;
        assert_eq!(opening(&without_bytes), None);
        let mut without_seconds = results(100.0, 20.0);
        without_seconds.study[1].seconds.clear();
        assert_eq!(opening(&without_seconds), None);
        assert_eq!(opening(&results(0.0, 0.0)), None);
        assert_eq!(opening(&results(0.0, 20.0)), None);
    }

    #[test]
    fn it_is_told_where_both_sides_ran_and_on_how_many_threads() {
        let mut found = results(100.0, 20.0);
        let pinned =
            "Each server had one worker thread. It shared cores 0 and 1 with the 6 threads of wrk.";
        assert_eq!(sentences(&found), [pinned]);
        found.machine.pinned = false;
        assert!(sentences(&found)[0].contains("the machine's cores"));
        assert!(sentences(&empty()).is_empty());
    }

    #[test]
    fn errors_are_told_where_there_are_some() {
        let mut found = results(100.0, 20.0);
        found.study[1].wrk.errors.timeout = 7;
        let told = sentences(&found);
        assert!(told[1].starts_with("wrk counted 0 errors of copying and 7 of sendfile."));
    }

    #[test]
    fn the_handlers_in_go_are_named_where_they_ran() {
        let mut found = results(100.0, 20.0);
        assert_eq!(of_go(&found), None);
        found.study.push(study("go io", 100.0, 2.0, 2e6));
        assert!(of_go(&found).is_some());
    }
}
