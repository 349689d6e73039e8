//! The summary, in words. Every sentence is chosen by the figures that are in it, and none claims what
//! no badge does.

use super::badge::Badge;
use super::figures::{Against, Goal, goals, label, samples, tail};
use super::numbers::{count, decimals, list, ratio};
use super::tables::{beside_name, small_requests};
use crate::bench::cold::BESIDE;
use crate::bench::peers::OURS;
use crate::bench::results::{Idle, Results, Sample};
use crate::bench::sizes::{SCENARIOS, Scenario};
use crate::bench::stats::{CLAIM_COUNT_MIN, spread};

/// A core that is busy beyond this part of the time is full.
const FULL: f64 = 0.95;
/// And one below this is not.
const FREE: f64 = 0.9;

/// What the run found, sentence by sentence.
pub(crate) fn summary(results: &Results) -> Vec<String> {
    let goals = goals(results);
    let sentences = [
        of_rounds(results),
        of_floors(&goals),
        of_others(&goals),
        of_clients(results),
        of_cold(results),
        of_idle(results),
    ];
    sentences.into_iter().flatten().collect()
}

fn of_rounds(results: &Results) -> Option<String> {
    let rounds = results
        .samples
        .iter()
        .map(|sample| sample.round as usize + 1);
    let rounds = rounds.max()?;
    let figures = format!(
        "Figures of sizes are medians of {}.",
        count(rounds, "round", "rounds")
    );
    Some(if rounds < CLAIM_COUNT_MIN {
        format!("{figures} Those are too few to tell a difference from noise.")
    } else {
        figures
    })
}

/// How near the least is that the work takes.
fn of_floors(goals: &[Goal]) -> Option<String> {
    let costs = goals.iter().filter(|goal| goal.is_cost());
    let against = costs.filter_map(|goal| goal.floor.as_ref());
    let told: Vec<&Against> = against
        .filter(|against| against.badge() != Badge::TooFew)
        .collect();
    let ratios = || told.iter().map(|against| against.ratio.median);
    let (least, most) = (ratios().reduce(f64::min)?, ratios().reduce(f64::max)?);
    let above = told.iter().filter(|against| against.badge() == Badge::More);
    let (least, most) = (ratio(least), ratio(most));
    let range = if least == most {
        least
    } else {
        format!("{least} to {most}")
    };
    Some(format!(
        "{} took {range} times the CPU of the floor, which is the bare system calls. In {} of {} it took \
         more in every round.",
        OURS.name,
        above.count(),
        count(told.len(), "scenario", "scenarios"),
    ))
}

/// Where ours takes less than the best of the others, and where more.
fn of_others(goals: &[Goal]) -> Option<String> {
    let compared = goals
        .iter()
        .filter_map(|goal| Some((goal, goal.best_other.as_ref()?)));
    let of = |badge: Badge| -> Vec<String> {
        compared
            .clone()
            .filter(|(_, against)| against.badge() == badge)
            .map(|(goal, _)| goal.label())
            .collect()
    };
    let (less, more, noise) = (of(Badge::Less), of(Badge::More), of(Badge::Noise));
    let parts = [
        ("less in every round in", &less),
        ("more in every round in", &more),
        ("neither in", &noise),
    ];
    let all: usize = parts.iter().map(|(_, found)| found.len()).sum();
    let parts: Vec<String> = parts
        .iter()
        .filter(|(_, found)| !found.is_empty())
        .map(|(what, found)| format!("{what} {} ({})", found.len(), list(found)))
        .collect();
    (all > 0).then(|| {
        format!(
            "Compared with the best other server in {}, {} took {}.",
            count(all, "figure", "figures"),
            OURS.name,
            list(&parts),
        )
    })
}

/// Where the client was full before the server.
fn of_clients(results: &Results) -> Option<String> {
    let is_bound = |scenario: &&Scenario| {
        let median = |seconds: &dyn Fn(&Sample) -> f64| {
            let samples = samples(results, scenario.id, OURS.name);
            spread(samples.map(|sample| seconds(sample) / sample.load.seconds))
                .map_or(f64::NAN, |spread| spread.median)
        };
        median(&|sample| sample.load.client_cpu_seconds) >= FULL
            && median(&|sample| sample.server_cpu_seconds) < FREE
    };
    // At a fixed rate the client does not sleep, and limits nothing.
    let closed = SCENARIOS.iter().filter(|scenario| !scenario.is_paced());
    let bound: Vec<String> = closed.filter(is_bound).map(label).collect();
    (!bound.is_empty()).then(|| {
        format!(
            "The client's core was full and that of {} was not with {}. There the client limits \
             requests/s and GB/s: compare CPU.",
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
        // Nothing was answered at all.
        if alone <= 0.0 {
            continue;
        }
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

/// The memory of idle connections, of one measurement each: figures, and no claim. A byte at least must
/// have been seen, else what the server keeps was there before.
fn of_idle(results: &Results) -> Option<String> {
    let is_ours = |idle: &&Idle| idle.server == OURS.name;
    let seen = results
        .idle
        .iter()
        .filter(|idle| idle.user_bytes_each >= 1.0);
    let ours = seen.clone().find(is_ours)?;
    let others = seen.filter(|idle| !is_ours(idle));
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
    fn differences_beyond_the_noise_are_told_by_scenario() {
        let mut results = empty();
        add_samples(&mut results, "1k", "zc", 10.0, 5);
        add_samples(&mut results, "1k", "nginx", 14.0, 5);
        add_samples(&mut results, "10k", "zc", 20.0, 5);
        add_samples(&mut results, "10k", "nginx", 14.0, 5);
        add_samples(&mut results, "100k", "zc", 14.01, 5);
        add_samples(&mut results, "100k", "nginx", 14.0, 5);
        check(
            &results,
            &[
                "medians of 5 rounds",
                "less in every round in 1 (1 KiB)",
                "more in every round in 1 (10 KiB)",
                "neither in 1 (100 KiB)",
                "in 3 figures",
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
            &["medians of 2 rounds. Those are too few"],
            &["less in", "more in", "times the CPU"],
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
            &[
                "zc took 1.25 to 2.00 times the CPU of the floor",
                "In 2 of 2 scenarios",
            ],
            &["best other server"],
        );
    }

    #[test]
    fn a_full_client_is_told() {
        let mut results = empty();
        add_samples(&mut results, "100k", "zc", 10.0, 5);
        check(&results, &[], &["client's core"]);
        for sample in &mut results.samples {
            sample.load.client_cpu_seconds = 0.99;
        }
        let words = "client's core was full and that of zc was not with 100 KiB";
        check(&results, &[words], &[]);
        // At a fixed rate it is full by itself.
        for sample in &mut results.samples {
            sample.scenario = "10k-paced".to_owned();
        }
        check(&results, &[], &["client's core"]);
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
        let mut results = full();
        results.idle[1].user_bytes_each = -3.0;
        check(&results, &["zc 300 bytes"], &["least of the others"]);
        results.idle[0].user_bytes_each = -3.0;
        check(&results, &[], &["idle connection"]);
    }

    #[test]
    fn a_latency_of_nothing_is_not_told() {
        let mut results = full();
        for cold in &mut results.cold {
            cold.alone = crate::bench::results::Load::default();
        }
        check(&results, &[], &["p99 latency of zc"]);
    }
}
