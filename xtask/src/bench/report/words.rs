//! The summary, in words. Every sentence is chosen by the figures, and none claims what lies within
//! the noise.

use super::figures::{Against, Goal, Verdict, goals, label, samples, tail};
use super::numbers::{count, decimals, list, ratio};
use super::tables::{beside_name, small_requests};
use crate::bench::cold::BESIDE;
use crate::bench::load::{STEAL_MAX, STEAL_MAX_OF_TAIL};
use crate::bench::peers::OURS;
use crate::bench::results::{Idle, Results};
use crate::bench::sizes::SCENARIOS;
use crate::bench::stats::{CLAIM_COUNT_MIN, spread};

/// A core that is busy beyond this part of the time is full.
const FULL: f64 = 0.95;
/// And one below this is not.
const FREE: f64 = 0.9;

/// What the run found, sentence by sentence.
pub(crate) fn summary(results: &Results) -> Vec<String> {
    let goals = goals(results);
    let mut sentences = Vec::new();
    if results.command.iter().any(|word| word == "--trial") {
        sentences.push("This was a trial of the harness: its figures mean nothing.".to_owned());
    }
    sentences.extend(of_rounds(results));
    sentences.extend(of_floors(&goals));
    sentences.extend(of_others(&goals));
    sentences.extend(of_clients(results));
    sentences.extend(of_cold(results));
    sentences.extend(of_idle(results));
    sentences.extend(of_steal(results));
    sentences
}

fn of_rounds(results: &Results) -> Option<String> {
    let rounds = results
        .samples
        .iter()
        .map(|sample| sample.round as usize + 1);
    let rounds = rounds.max()?;
    let figures = format!(
        "Figures of sizes are medians of {}",
        count(rounds, "round", "rounds")
    );
    Some(if rounds < CLAIM_COUNT_MIN {
        format!("{figures}, which are too few to tell a difference from noise.")
    } else {
        format!("{figures}; a difference counts where the middle halves of both do not overlap.")
    })
}

/// How near the least is that the work takes.
fn of_floors(goals: &[Goal]) -> Option<String> {
    let costs = || goals.iter().filter(|goal| !goal.is_tail());
    let against: Vec<&Against> = costs().filter_map(|goal| goal.floor.as_ref()).collect();
    let told: Vec<&&Against> = against
        .iter()
        .filter(|against| against.verdict != Verdict::TooFew)
        .collect();
    let ratios: Vec<f64> = told.iter().map(|against| against.ratio.median).collect();
    let least = ratios.iter().copied().reduce(f64::min)?;
    let most = ratios.iter().copied().reduce(f64::max)?;
    let above = told
        .iter()
        .filter(|against| against.verdict == Verdict::More)
        .count();
    let (least, most) = (ratio(least), ratio(most));
    let range = if least == most {
        least
    } else {
        format!("{least} to {most}")
    };
    Some(format!(
        "Of the CPU that the bare system calls take (the floor), {} took {range} times as much; in \
         {above} of {} the difference is beyond the noise.",
        OURS.name,
        count(told.len(), "scenario", "scenarios"),
    ))
}

/// Where ours takes less than the best of the others, and where more.
fn of_others(goals: &[Goal]) -> Option<String> {
    let compared = goals
        .iter()
        .filter_map(|goal| Some((goal, goal.best_other.as_ref()?)));
    let of = |verdict: Verdict| -> Vec<String> {
        compared
            .clone()
            .filter(|(_, against)| against.verdict == verdict)
            .map(|(goal, _)| goal.label())
            .collect()
    };
    let (less, more, noise) = (of(Verdict::Less), of(Verdict::More), of(Verdict::Noise));
    let parts = [
        ("less", &less),
        ("more", &more),
        ("as much within the noise", &noise),
    ];
    let all: usize = parts.iter().map(|(_, found)| found.len()).sum();
    let parts: Vec<String> = parts
        .iter()
        .filter(|(_, found)| !found.is_empty())
        .map(|(what, found)| format!("{what} in {} ({})", found.len(), list(found)))
        .collect();
    (all > 0).then(|| {
        format!(
            "Beside the best other server of each scenario, in {}, {} took {}.",
            count(all, "comparison", "comparisons"),
            OURS.name,
            list(&parts),
        )
    })
}

/// Where the client was full before the server.
fn of_clients(results: &Results) -> Option<String> {
    let bound: Vec<String> = SCENARIOS
        .iter()
        .filter(|scenario| {
            let median = |seconds: &dyn Fn(&crate::bench::results::Sample) -> f64| {
                let samples = samples(results, scenario.id, OURS.name);
                spread(samples.map(|sample| seconds(sample) / sample.load.seconds))
                    .map_or(f64::NAN, |spread| spread.median)
            };
            median(&|sample| sample.load.client_cpu_seconds) >= FULL
                && median(&|sample| sample.server_cpu_seconds) < FREE
        })
        .map(label)
        .collect();
    (!bound.is_empty()).then(|| {
        format!(
            "The client's core was full before that of {} with {}: there, requests/s and GB/s are \
             the client's, and CPU is what compares.",
            OURS.name,
            list(&bound)
        )
    })
}

/// What small requests wait beside others.
fn of_cold(results: &Results) -> Option<String> {
    let mut parts = Vec::new();
    for beside in BESIDE {
        let tail = tail(results, beside, OURS.name);
        let (Some(alone), Some(together)) = (tail.alone, tail.together) else {
            continue;
        };
        let name = beside_name(beside);
        parts.push(if tail.is_without_answer() {
            format!("no answer to most beside {name}")
        } else {
            let sign = if tail.is_answered() { "" } else { "at least " };
            let (alone, together) = (decimals(alone), decimals(together));
            format!("{alone} → {sign}{together} ms beside {name}")
        });
    }
    (!parts.is_empty()).then(|| {
        format!(
            "p99 latency of {} for {}, alone → beside others: {}.",
            OURS.name,
            small_requests(),
            parts.join(", ")
        )
    })
}

/// The memory of idle connections, of one measurement each: figures, and no claim.
fn of_idle(results: &Results) -> Option<String> {
    let is_ours = |idle: &&Idle| idle.server == OURS.name;
    let ours = results.idle.iter().find(is_ours)?;
    let others = results.idle.iter().filter(|idle| !is_ours(idle));
    let least = others.min_by(|a, b| a.user_bytes_each.total_cmp(&b.user_bytes_each));
    let beside = least.map_or(String::new(), |idle| {
        format!(
            "; the least of the others is {} of {}",
            decimals(idle.user_bytes_each),
            idle.server
        )
    });
    Some(format!(
        "An idle connection takes {} {} bytes of user memory{beside}.",
        OURS.name,
        decimals(ours.user_bytes_each)
    ))
}

/// How much of the time the host took away.
fn of_steal(results: &Results) -> Vec<String> {
    let samples = results.samples.iter().map(|sample| sample.steal);
    let cold = results.cold.iter().map(|cold| cold.steal);
    [
        stolen(samples.collect(), STEAL_MAX, ["sample", "samples"]),
        stolen(
            cold.collect(),
            STEAL_MAX_OF_TAIL,
            ["measurement", "measurements beside others"],
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn stolen(all: Vec<f64>, limit: f64, [one, many]: [&str; 2]) -> Option<String> {
    let stolen = all.iter().filter(|steal| **steal > limit).count();
    (stolen > 0).then(|| {
        format!(
            "The machine's host took more than {} % of the time away in {stolen} of {}: differences \
             may be of the host.",
            limit * 100.0,
            count(all.len(), one, many)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::made_up::{add_samples, cold, empty, full};

    /// The summary has each of some words, and none of others.
    fn check(results: &Results, wanted: &[&str], unwanted: &[&str]) {
        let text = summary(results).join(" ");
        for words in wanted {
            assert!(text.contains(words), "no “{words}” in: {text}");
        }
        for words in unwanted.iter().chain(&["NaN", "inf"]) {
            assert!(!text.contains(words), "“{words}” in: {text}");
        }
    }

    #[test]
    fn nothing_is_said_of_nothing() {
        assert!(summary(&empty()).is_empty());
    }

    #[test]
    fn what_the_host_took_is_told() {
        let mut results = empty();
        results.cold = vec![cold("fuse", "zc", 1, 0), cold("greedy", "zc", 1, 0)];
        check(&results, &[], &["host"]);
        results.cold[1].steal = 2.0 * STEAL_MAX_OF_TAIL;
        let words = "0.2 % of the time away in 1 of 2 measurements beside others";
        check(&results, &[words], &["sample"]);
    }

    #[test]
    fn differences_beyond_the_noise_are_told_by_scenario() {
        let mut results = empty();
        add_samples(&mut results, "1k", "zc", 10.0, 5);
        add_samples(&mut results, "1k", "nginx", 14.0, 5);
        add_samples(&mut results, "10k", "zc", 20.0, 5);
        add_samples(&mut results, "10k", "nginx", 14.0, 5);
        add_samples(&mut results, "100k", "zc", 14.1, 5);
        add_samples(&mut results, "100k", "nginx", 14.0, 5);
        check(
            &results,
            &[
                "medians of 5 rounds",
                "less in 1 (1 KiB)",
                "more in 1 (10 KiB)",
                "as much within the noise in 1 (100 KiB)",
                "3 comparisons",
            ],
            &["floor", "idle", "p99"],
        );
    }

    #[test]
    fn too_few_rounds_claim_nothing() {
        let mut results = empty();
        for (server, cpu) in [("zc", 10.0), ("nginx", 99.0), ("floor: one send", 1.0)] {
            add_samples(&mut results, "1k", server, cpu, 2);
        }
        check(
            &results,
            &["medians of 2 rounds, which are too few"],
            &["less in", "more in", "times as much"],
        );
    }

    #[test]
    fn the_floor_is_told_as_a_range() {
        let mut results = empty();
        for (scenario, floor) in [("1k", 8.0), ("10k", 5.0)] {
            add_samples(&mut results, scenario, "zc", 10.0, 5);
            add_samples(&mut results, scenario, "floor: one send", floor, 5);
        }
        check(
            &results,
            &["zc took 1.25 to 2.00 times as much", "in 2 of 2 scenarios"],
            &["best other server"],
        );
    }

    #[test]
    fn a_trial_says_that_it_is_one() {
        let mut results = full();
        check(&results, &[], &["trial"]);
        results.command = vec!["--trial".to_owned()];
        check(&results, &["its figures mean nothing"], &[]);
    }

    #[test]
    fn a_full_client_and_a_host_that_takes_time_are_told() {
        let mut results = empty();
        add_samples(&mut results, "100k", "zc", 10.0, 5);
        check(&results, &[], &["client's core", "host"]);
        for sample in &mut results.samples {
            sample.load.client_cpu_seconds = 0.99;
        }
        results.samples[0].steal = 0.2;
        check(
            &results,
            &[
                "client's core was full before that of zc with 100 KiB",
                "more than 1 % of the time away in 1 of 5 samples",
            ],
            &[],
        );
    }

    #[test]
    fn requests_without_an_answer_have_no_latency() {
        let mut results = empty();
        results.cold = vec![
            cold("fuse", "zc", 300, 900),
            cold("greedy", "zc", 2, 0),
            cold("disk-small", "zc", 30, 100),
        ];
        check(
            &results,
            &[
                "no answer to most beside slow files",
                "1.00 → 2.00 ms beside greedy downloads",
                "1.00 → at least 30.0 ms beside small cold files",
            ],
            &["large cold files"],
        );
    }

    #[test]
    fn idle_connections_are_told_beside_the_least_of_the_others() {
        check(
            &full(),
            &["takes zc 300 bytes of user memory; the least of the others is 4,000 of nginx"],
            &[],
        );
    }
}
