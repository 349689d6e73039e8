//! What a run is to yield, and a trial has to: a figure of every scenario, from every server that is
//! here.

use super::peers::{OURS, Peer, Protocol};
use super::report::figures;
use super::report::tables::idle_of;
use super::results::Results;
use super::scenarios::Scenario;
use super::section::Section;
use super::{cold, idle, study};

/// What has no figure, in one line; `None` where everything has.
pub(crate) fn in_words(results: &Results, sections: &[Section], others: &[Peer]) -> Option<String> {
    let missing: Vec<String> = sections
        .iter()
        .flat_map(|section| missing_in(results, *section, others))
        .collect();
    (!missing.is_empty()).then(|| format!("not measured: {}", missing.join("; ")))
}

fn missing_in(results: &Results, section: Section, others: &[Peer]) -> Vec<String> {
    let name = section.name();
    let peers = || [OURS].into_iter().chain(others.iter().copied());
    match section {
        Section::Micro if results.micro.is_empty() => vec![name.to_owned()],
        Section::Micro => Vec::new(),
        Section::Study => study::METHODS
            .into_iter()
            .filter(|method| !results.study.iter().any(|study| study.method == *method))
            .map(|method| format!("{name}: {method}"))
            .collect(),
        Section::Sizes => missing_sizes(results, section, others),
        Section::Tls => {
            let mut missing = missing_sizes(results, section, others);
            missing.extend(missing_idle(results, section, others));
            missing
        }
        Section::Cold => {
            let kinds = cold::BESIDE.into_iter();
            kinds
                .filter(|beside| *beside != "fuse" || cold::has_fuse())
                .flat_map(|beside| peers().map(move |peer| (beside, peer)))
                .filter(|(beside, peer)| {
                    let mut found = results.cold.iter();
                    !found.any(|cold| cold.beside == *beside && cold.server == peer.name)
                })
                .map(|(beside, peer)| format!("{name}: {beside}: {}", peer.name))
                .collect()
        }
        Section::Idle => missing_idle(results, section, others),
    }
}

fn missing_idle(results: &Results, section: Section, others: &[Peer]) -> Vec<String> {
    let (name, protocol) = match section {
        Section::Tls => ("tls: idle", Protocol::Https),
        _ => (section.name(), Protocol::Http),
    };
    let found = idle_of(results, section);
    let peers = idle::peers(protocol, others).into_iter();
    peers
        .filter(|peer| !found.iter().any(|idle| idle.server == peer.name))
        .map(|peer| format!("{name}: {}", peer.name))
        .collect()
}

fn missing_sizes(results: &Results, section: Section, others: &[Peer]) -> Vec<String> {
    let mut missing = Vec::new();
    for scenario in Scenario::of(section) {
        for peer in scenario.peers(others) {
            if figures::samples(results, scenario.id, peer.name)
                .next()
                .is_none()
            {
                let (section, title) = (section.name(), scenario.title);
                missing.push(format!("{section}: {title}: {}", peer.name));
            }
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::peers::OTHERS;
    use crate::bench::report::made_up::{
        add_samples, cold as cold_of, empty, full, study as study_of,
    };
    use crate::bench::results::Idle;
    use crate::bench::scenarios::SCENARIOS;

    /// Of everything that our own server and one other are asked for.
    fn complete() -> (Results, [Peer; 1]) {
        let mut results = Results {
            micro: full().micro,
            ..empty()
        };
        let others = [OTHERS[0]];
        for method in study::METHODS {
            results.study.push(study_of(method, 10.0, 1.0, 1e6));
        }
        for scenario in &SCENARIOS {
            for peer in scenario.peers(&others) {
                add_samples(&mut results, scenario.id, peer.name, 10.0, 1);
            }
        }
        for peer in [OURS, others[0]] {
            for beside in cold::BESIDE {
                results.cold.push(cold_of(beside, peer.name, 1, 0));
            }
            for tls in [false, true] {
                results.idle.push(Idle {
                    server: peer.name.to_owned(),
                    tls,
                    ..full().idle[0].clone()
                });
            }
        }
        (results, others)
    }

    fn said(results: &Results, others: &[Peer]) -> String {
        in_words(results, &Section::ALL, others).unwrap_or_default()
    }

    #[test]
    fn a_figure_of_everything_is_enough() {
        let (results, others) = complete();
        assert_eq!(said(&results, &others), "");
    }

    #[test]
    fn what_has_no_figure_is_named() {
        let (mut results, others) = complete();
        results.micro.clear();
        results.study.remove(2);
        results
            .samples
            .retain(|sample| (&*sample.scenario, &*sample.server) != ("10k", "nginx"));
        results
            .cold
            .retain(|cold| (&*cold.beside, &*cold.server) != ("greedy", "zc"));
        results.idle.retain(|idle| idle.server != "nginx");
        let expected = "not measured: micro; study: splice; sizes: 10 KiB: nginx; \
                        tls: idle: nginx; cold: greedy: zc; idle: nginx";
        assert_eq!(said(&results, &others), expected);
    }

    #[test]
    fn a_load_without_a_response_is_no_figure() {
        let (mut results, others) = complete();
        results.samples[0].load = Default::default();
        assert_eq!(said(&results, &others), "not measured: sizes: 1 KiB: zc");
    }
}
