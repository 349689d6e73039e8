//! What has to be known before a figure is read. It stands at the top of every page.

use super::figures::{label, samples};
use super::numbers::{count, list};
use crate::bench::load::{RESPONSES_MIN, STEAL_MAX, STEAL_MAX_OF_TAIL};
use crate::bench::peers::OURS;
use crate::bench::results::{Results, Sample};
use crate::bench::scenarios::{SCENARIOS, Scenario};
use crate::bench::section::Section;
use crate::bench::stats::spread;
use crate::bench::watch::{FOREIGN_MAX, most};

/// A core that is busy beyond this part of the time is full.
const FULL: f64 = 0.95;
/// And one below this is not.
const FREE: f64 = 0.9;

/// Where nothing is cold.
pub(crate) const FILES_IN_MEMORY: &str = "the served files are on tmpfs, where they are never cold; the \
     figures of cold mean nothing. Use --files DIR with a directory on a disk";

/// All of it, one thing after the other.
pub(crate) fn warnings(results: &Results) -> Vec<String> {
    let mut warnings = Vec::new();
    if results.interrupted {
        let rest = "This report has the measurements up to then.";
        warnings.push(format!("The run was interrupted. {rest}"));
    }
    if results.machine.files_in_memory && !results.cold.is_empty() {
        let (first, rest) = FILES_IN_MEMORY.split_at(1);
        warnings.push(format!("{}{rest}.", first.to_uppercase()));
    }
    if results.is_trial() {
        warnings.push("This was a trial run: its figures mean nothing.".to_owned());
    }
    warnings.extend(of_other_programs(results));
    warnings.extend(of_the_host(results));
    warnings.extend(of_few_responses(results));
    warnings.extend(of_full_clients(results));
    warnings
}

/// The foreign time of each window, by section.
fn foreign(results: &Results) -> [(Section, Vec<&[f64]>); 5] {
    let micro = results.micro.iter().map(|micro| &*micro.foreign);
    let study = results.study.iter().map(|study| &*study.foreign);
    let sizes = |section| samples_of(results, section).map(|sample| &*sample.foreign);
    let cold = results.cold.iter().map(|cold| &*cold.foreign);
    [
        (Section::Micro, micro.collect()),
        (Section::Study, study.collect()),
        (Section::Sizes, sizes(Section::Sizes).collect()),
        (Section::Tls, sizes(Section::Tls).collect()),
        (Section::Cold, cold.collect()),
    ]
}

/// The samples of all scenarios of a section.
fn samples_of(results: &Results, section: Section) -> impl Iterator<Item = &Sample> {
    let is_of = move |sample: &&Sample| {
        let mut scenarios = Scenario::of(section);
        scenarios.any(|scenario| scenario.id == sample.scenario)
    };
    results.samples.iter().filter(is_of)
}

fn of_other_programs(results: &Results) -> Option<String> {
    let by_section = foreign(results);
    let all = by_section.iter().flat_map(|(_, windows)| windows);
    let all: Vec<f64> = all.map(|foreign| most(foreign)).collect();
    let is_disturbed = |foreign: &f64| *foreign > FOREIGN_MAX;
    let disturbed = all.iter().copied().filter(is_disturbed);
    let greatest = disturbed.clone().fold(0.0, f64::max);
    let disturbed = disturbed.count();
    let sections = by_section.iter().filter_map(|(section, windows)| {
        let parts = windows.iter().map(|foreign| most(foreign));
        let disturbed = parts.filter(is_disturbed).count();
        (disturbed > 0).then(|| format!("{disturbed} in {}", section.name()))
    });
    let sections: Vec<String> = sections.collect();
    (disturbed > 0).then(|| {
        format!(
            "Other programs disturbed {disturbed} of {}: {}. In each of those they used more than \
             {} % of a core, and at most {:.0} %. These figures include the effect of the other \
             programs.",
            count(all.len(), "measurement", "measurements"),
            list(&sections),
            FOREIGN_MAX * 100.0,
            greatest * 100.0,
        )
    })
}

fn of_the_host(results: &Results) -> Option<String> {
    let sizes = |section| samples_of(results, section).map(|sample| sample.steal);
    let cold = results.cold.iter().map(|cold| cold.steal);
    let told = [
        (
            Section::Sizes,
            sizes(Section::Sizes).collect::<Vec<f64>>(),
            STEAL_MAX,
        ),
        (Section::Tls, sizes(Section::Tls).collect(), STEAL_MAX),
        (Section::Cold, cold.collect(), STEAL_MAX_OF_TAIL),
    ];
    let told = told.iter().filter_map(|(section, all, limit)| {
        let stolen = all.iter().filter(|steal| *steal > limit).count();
        let (name, limit) = (section.name(), limit * 100.0);
        let all = all.len();
        (stolen > 0).then(|| format!("more than {limit} % in {stolen} of {all} in {name}"))
    });
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| {
        format!(
            "The hypervisor of this virtual machine took CPU time during measurements: {}. Differences may \
             come from the hypervisor.",
            list(&told)
        )
    })
}

/// Where a window has ended at its bound.
fn of_few_responses(results: &Results) -> Option<String> {
    let closed = SCENARIOS.iter().filter(|scenario| !scenario.is_paced());
    let mut few: Vec<String> = closed
        .filter_map(|scenario| {
            let samples = results.samples.iter();
            let samples = samples.filter(|sample| sample.scenario == scenario.id);
            let few = samples.filter(|sample| sample.load.responses < RESPONSES_MIN);
            named(scenario.title, few.map(|sample| &*sample.server))
        })
        .collect();
    let runs = results.study.iter();
    let short = runs.filter(|study| study.wrk.requests < RESPONSES_MIN);
    let name = Section::Study.name();
    few.extend(named(name, short.map(|study| &*study.method)));
    (!few.is_empty()).then(|| {
        format!(
            "Fewer than {RESPONSES_MIN} responses ended in a measurement of {}. Rates and latencies \
             there are based on few responses.",
            list(&few)
        )
    })
}

/// Where the client was full before the server.
fn of_full_clients(results: &Results) -> Option<String> {
    let is_full = |scenario: &&Scenario| {
        let median = |seconds: fn(&Sample) -> f64| {
            let samples = samples(results, scenario.id, OURS.name);
            spread(samples.map(|sample| seconds(sample) / sample.load.seconds))
                .map_or(f64::NAN, |parts| parts.median)
        };
        median(|sample| sample.load.client_cpu_seconds) >= FULL
            && median(|sample| sample.server_cpu_seconds) < FREE
    };
    // At a fixed rate the client does not sleep, and limits nothing.
    let closed = SCENARIOS.iter().filter(|scenario| !scenario.is_paced());
    let full: Vec<String> = closed.filter(is_full).map(label).collect();
    (!full.is_empty()).then(|| {
        format!(
            "The client's core was full and that of {} was not with {}. The client limited \
             requests/s and GB/s there; compare CPU.",
            OURS.name,
            list(&full)
        )
    })
}

/// What was measured, and with whom, each once.
fn named<'n>(what: &str, names: impl Iterator<Item = &'n str>) -> Option<String> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    (!names.is_empty()).then(|| format!("{what} ({})", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::made_up::{add_samples, cold, empty, full, study};

    #[test]
    fn a_run_that_nothing_disturbed_has_none() {
        assert_eq!(warnings(&full()), Vec::<String>::new());
        assert_eq!(warnings(&empty()), Vec::<String>::new());
    }

    #[test]
    fn runs_of_before_did_not_look_and_have_none() {
        let mut results = full();
        for sample in &mut results.samples {
            sample.foreign.clear();
        }
        results.study[0].foreign.clear();
        assert_eq!(warnings(&results), Vec::<String>::new());
    }

    #[test]
    fn an_interrupted_run_and_a_trial_say_so() {
        let mut results = full();
        results.interrupted = true;
        results.command = vec!["--trial".to_owned()];
        let found = warnings(&results);
        assert!(
            found[0].starts_with("The run was interrupted."),
            "{found:?}"
        );
        assert!(found[1].ends_with("its figures mean nothing."), "{found:?}");
    }

    #[test]
    fn cold_files_in_memory_are_told_where_they_were_measured() {
        let mut results = full();
        results.machine.files_in_memory = true;
        let told = warnings(&results);
        assert!(
            told[0].starts_with("The served files are on tmpfs,"),
            "{told:?}"
        );
        results.cold.clear();
        assert_eq!(warnings(&results), Vec::<String>::new());
    }

    #[test]
    fn what_other_programs_disturbed_is_told_by_section_with_the_most() {
        let mut results = empty();
        add_samples(&mut results, "1k", "zc", 10.0, 5);
        results.cold = vec![cold("fuse", "zc", 1, 0)];
        results.study = vec![study("io", 90.0, 1.0, 1e6)];
        // What is borne is not told.
        results.samples[0].foreign = vec![FOREIGN_MAX, 0.0];
        assert_eq!(warnings(&results), Vec::<String>::new());
        results.samples[1].foreign = vec![0.0, 0.109];
        results.samples[2].foreign = vec![0.03, 0.0];
        results.study[0].foreign = vec![0.05];
        let expected = "Other programs disturbed 3 of 7 measurements: 1 in study and 2 in sizes. In \
                        each of those they used more than 2 % of a core, and at most 11 %. These \
                        figures include the effect of the other programs.";
        assert_eq!(warnings(&results), [expected]);
    }

    #[test]
    fn what_the_host_took_is_told() {
        let mut results = empty();
        add_samples(&mut results, "1k", "zc", 10.0, 5);
        results.cold = vec![cold("fuse", "zc", 1, 0), cold("greedy", "zc", 1, 0)];
        results.cold[1].steal = 2.0 * STEAL_MAX_OF_TAIL;
        let told = |results: &Results| warnings(results).join(" ");
        assert!(told(&results).contains(": more than 0.2 % in 1 of 2 in cold."));
        results.samples[0].steal = 0.2;
        let both = "more than 1 % in 1 of 5 in sizes and more than 0.2 % in 1 of 2 in cold.";
        assert!(told(&results).contains(both), "{}", told(&results));
    }

    #[test]
    fn windows_that_ended_at_their_bound_are_told() {
        let mut results = empty();
        for server in ["zc", "h2o"] {
            add_samples(&mut results, "video", server, 10.0, 3);
        }
        // At a fixed rate few responses are a figure of their own.
        add_samples(&mut results, "1k-paced", "zc", 10.0, 1);
        results.study = vec![study("io", 90.0, 1.0, 1e6)];
        assert_eq!(warnings(&results), Vec::<String>::new());
        for sample in &mut results.samples[4..] {
            sample.load.responses = RESPONSES_MIN - 1;
        }
        results.study[0].wrk.requests = 0;
        let found = warnings(&results).join(" ");
        let expected = "ended in a measurement of 300 MB (h2o) and study (io).";
        assert!(found.contains(expected), "{found}");
    }
    #[test]
    fn a_full_client_is_told() {
        let mut results = empty();
        add_samples(&mut results, "100k", "zc", 10.0, 5);
        assert_eq!(warnings(&results), Vec::<String>::new());
        for sample in &mut results.samples {
            sample.load.client_cpu_seconds = 0.99;
        }
        let told = "The client's core was full and that of zc was not with 100 KiB.";
        assert!(
            warnings(&results)[0].starts_with(told),
            "{:?}",
            warnings(&results)
        );
        // At a fixed rate it is full by itself.
        for sample in &mut results.samples {
            sample.scenario = "10k-paced".to_owned();
        }
        assert_eq!(warnings(&results), Vec::<String>::new());
    }
}
