//! How long things are measured, and what all of it takes by plan.

use std::time::Duration;

use super::fixtures::Size;
use super::peers::{Peer, Protocol};
use super::section::Section;
use super::watch::Repeats;
use super::{cold, idle, micro, sizes, study, tls};

/// How thorough a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Only whether the harness works.
    Trial,
    Quick,
    Ordinary,
    Full,
}

/// The other servers of a quick run, of those that are installed. All of them would take too long.
pub(crate) const QUICK_PEERS: [&str; 2] = ["nginx", "lighttpd"];

/// A server's start, its first answer, and its end.
pub(crate) const START: Duration = Duration::from_millis(80);
/// The start of the load generator, and looking at what the server used.
pub(crate) const LOOK: Duration = Duration::from_millis(30);

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) rounds: u32,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    /// How long is measured for want of responses at most.
    pub(crate) measured_max: Duration,
    pub(crate) study: Duration,
    pub(crate) cold_rounds: u32,
    pub(crate) cold: Duration,
    pub(crate) micro: Option<micro::Times>,
    pub(crate) idle_connections: usize,
    pub(crate) size: Size,
    /// Whether what was disturbed is measured again.
    pub(crate) is_repeated: bool,
}

impl Times {
    /// What may be repeated, of so much.
    pub(crate) fn repeats(&self, of: u32, steal_max: f64) -> Repeats {
        let left = if self.is_repeated { of } else { 0 };
        Repeats { left, steal_max }
    }

    pub(crate) fn of(depth: Depth) -> Self {
        let ms = Duration::from_millis;
        let of_each = |warm_up, measured, samples| {
            Some(micro::Times {
                warm_up: ms(warm_up),
                measured: ms(measured),
                samples,
            })
        };
        match depth {
            Depth::Trial => Self {
                rounds: 1,
                warm_up: ms(10),
                measured: ms(70),
                measured_max: ms(2_000),
                study: ms(1000),
                cold_rounds: 1,
                cold: ms(100),
                micro: None,
                idle_connections: 100,
                size: Size::Trial,
                is_repeated: false,
            },
            // Of fewer than three rounds nothing can be said.
            Depth::Quick => Self {
                rounds: 3,
                warm_up: ms(100),
                measured: ms(500),
                measured_max: ms(10_000),
                study: ms(4_000),
                cold_rounds: 2,
                cold: ms(1_000),
                micro: of_each(50, 200, 10),
                idle_connections: 10_000,
                size: Size::Full,
                is_repeated: true,
            },
            Depth::Ordinary => Self {
                rounds: 5,
                // In which 10,000 files are asked for twice, so that caches have them.
                warm_up: ms(400),
                measured: ms(600),
                measured_max: ms(10_000),
                study: ms(20_000),
                cold_rounds: 3,
                cold: ms(2_000),
                micro: of_each(200, 700, 20),
                idle_connections: 10_000,
                size: Size::Full,
                is_repeated: true,
            },
            Depth::Full => Self {
                rounds: 7,
                warm_up: ms(1_000),
                measured: ms(5_000),
                measured_max: ms(10_000),
                study: ms(120_000),
                cold_rounds: 4,
                cold: ms(20_000),
                micro: of_each(200, 700, 20),
                idle_connections: 10_000,
                size: Size::Full,
                is_repeated: true,
            },
        }
    }
}

/// The parts of a run in their order, and what each takes by plan.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    parts: Vec<(Section, Duration)>,
}

impl Plan {
    pub(crate) fn of(times: &Times, sections: &[Section], others: &[Peer]) -> Self {
        let planned = |section: &Section| match section {
            Section::Micro => micro::planned(times),
            Section::Study => study::planned(times),
            Section::Sizes => sizes::planned(*section, times, others),
            Section::Tls => tls::planned(times, others),
            Section::Cold => cold::planned(times, others),
            Section::Idle => idle::planned(Protocol::Http, times, others),
        };
        Self {
            parts: sections
                .iter()
                .map(|section| (*section, planned(section)))
                .collect(),
        }
    }

    /// The time of a section by plan, and that of all behind it.
    pub(crate) fn of_section(&self, section: Section) -> (Duration, Duration) {
        let mut parts = self.parts.iter().map(|(part, time)| (*part, *time));
        let of_it = parts.find(|(part, _)| *part == section);
        let planned = of_it.map_or(Duration::ZERO, |(_, time)| time);
        (planned, parts.map(|(_, time)| time).sum())
    }

    #[cfg(test)]
    pub(crate) fn of_parts(parts: Vec<(Section, Duration)>) -> Self {
        Self { parts }
    }

    pub(crate) fn total(&self) -> Duration {
        self.parts.iter().map(|(_, time)| *time).sum()
    }

    /// For people: the whole, and its parts.
    pub(crate) fn line(&self) -> String {
        let parts = self
            .parts
            .iter()
            .map(|(section, time)| format!("{} {}", section.name(), in_words(*time)));
        let parts: Vec<String> = parts.collect();
        format!("planned: {} ({})", in_words(self.total()), parts.join(", "))
    }
}

/// Whole seconds, and minutes where there are some.
pub(crate) fn in_words(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::peers::OTHERS;

    const MINUTE: Duration = Duration::from_secs(60);

    fn total(depth: Depth, others: &[Peer]) -> Duration {
        Plan::of(&Times::of(depth), &Section::ALL, others).total()
    }

    #[test]
    fn a_quick_run_is_planned_in_five_minutes_with_the_files_and_rounds_enough_for_a_claim() {
        let is_quick = |peer: &Peer| QUICK_PEERS.contains(&peer.name);
        let peers: Vec<Peer> = OTHERS.into_iter().filter(is_quick).collect();
        assert_eq!(peers.len(), QUICK_PEERS.len());
        let usual = Section::ALL.into_iter();
        let usual: Vec<Section> = usual.filter(|section| *section != Section::Tls).collect();
        let planned = Plan::of(&Times::of(Depth::Quick), &usual, &peers).total();
        assert!(planned < 5 * MINUTE - MINUTE / 2, "{planned:?}");
        let rounds = Times::of(Depth::Quick).rounds as usize;
        assert!(rounds >= crate::bench::stats::CLAIM_COUNT_MIN);
    }

    #[test]
    fn a_run_with_every_other_server_is_planned_in_32_minutes_and_a_trial_in_70_seconds() {
        let planned = total(Depth::Ordinary, &OTHERS);
        assert!(planned < 32 * MINUTE, "{planned:?}");
        let planned = total(Depth::Trial, &OTHERS);
        assert!(planned < Duration::from_secs(70), "{planned:?}");
    }

    #[test]
    fn a_trial_repeats_nothing_since_its_figures_mean_nothing() {
        assert_eq!(Times::of(Depth::Trial).repeats(9, 0.01).left, 0);
        for depth in [Depth::Quick, Depth::Ordinary, Depth::Full] {
            assert_eq!(Times::of(depth).repeats(9, 0.01).left, 9, "{depth:?}");
        }
    }

    #[test]
    fn a_window_is_so_long_that_what_disturbs_it_can_be_seen() {
        use crate::bench::{cores::tick_seconds, watch::FOREIGN_MAX};
        for depth in [Depth::Quick, Depth::Ordinary, Depth::Full] {
            let times = Times::of(depth);
            for window in [times.measured, times.cold, times.study] {
                let borne = window.as_secs_f64() * FOREIGN_MAX;
                assert!(borne >= tick_seconds(), "{depth:?}: {window:?}");
            }
        }
    }

    #[test]
    fn a_full_run_has_the_time_of_the_study() {
        assert_eq!(Times::of(Depth::Full).study, 2 * MINUTE);
    }

    #[test]
    fn a_plan_is_told_with_its_parts() {
        let plan = Plan::of_parts(vec![
            (Section::Study, Duration::from_millis(60_400)),
            (Section::Idle, Duration::from_secs(5)),
        ]);
        assert_eq!(plan.line(), "planned: 1 min 5 s (study 1 min, idle 5 s)");
    }
}
