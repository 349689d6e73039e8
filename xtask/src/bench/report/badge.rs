//! The badge beside a ratio, and the interval that bears it out.
//!
//! One rule for all of them: *less* is below 1 in every round, *more* is above 1 in every round, and all
//! else is noise. The interval beside a badge is from the least ratio of any round to the greatest, so
//! that a reader can check the badge by it. For the same reason the numbers are judged as they are shown,
//! with two digits: `(1.00–1.02)` is noise.

use super::numbers::ratio;
use crate::bench::stats::{CLAIM_COUNT_MIN, Spread};

/// What may be said of ours over another's; of all that is compared, less is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Badge {
    Less,
    More,
    Noise,
    /// There are too few rounds to tell.
    TooFew,
}

impl Badge {
    pub(crate) const ALL: [Self; 4] = [Self::Less, Self::More, Self::Noise, Self::TooFew];

    /// The badge of the ratios of so many rounds.
    pub(crate) fn of(ratios: &Spread) -> Self {
        match (as_shown(ratios.low), as_shown(ratios.high)) {
            _ if ratios.count < CLAIM_COUNT_MIN => Self::TooFew,
            (_, high) if high < 1.0 => Self::Less,
            (low, _) if low > 1.0 => Self::More,
            _ => Self::Noise,
        }
    }

    /// As it stands beside a ratio.
    pub(crate) fn mark(self) -> &'static str {
        match self {
            Self::Less => "▼ less",
            Self::More => "▲ more",
            Self::Noise => "≈ noise",
            Self::TooFew => "? few rounds",
        }
    }

    /// As the legend tells it.
    pub(crate) fn meaning(self) -> String {
        match self {
            Self::Less => "below 1 in every round".to_owned(),
            Self::More => "above 1 in every round".to_owned(),
            Self::Noise => "neither".to_owned(),
            Self::TooFew => format!("fewer than {CLAIM_COUNT_MIN} rounds"),
        }
    }

    /// How it is drawn.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Less => "less",
            Self::More => "more",
            Self::Noise | Self::TooFew => "noise",
        }
    }
}

/// The numbers of a badge: the median, and what its interval is.
pub(crate) const INTERVAL: &str = "median (minimum–maximum of the rounds)";

/// The interval of ratios: from the least of any round to the greatest; `None` for a single one.
pub(crate) fn interval(ratios: &Spread) -> Option<String> {
    let ends = || format!("({}–{})", ratio(ratios.low), ratio(ratios.high));
    (ratios.count > 1).then(ends)
}

/// The median of ratios with their interval.
pub(crate) fn with_interval(ratios: &Spread) -> String {
    let median = ratio(ratios.median);
    match interval(ratios) {
        Some(interval) => format!("{median} {interval}"),
        None => median,
    }
}

/// A ratio as a reader takes it from the page.
fn as_shown(number: f64) -> f64 {
    ratio(number).replace(',', "").parse().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::stats::ratios;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// What a reader has: the median and the interval as they are printed, if there is one.
    fn read(shown: &str) -> (f64, Option<(f64, f64)>) {
        let number = |text: &str| text.replace(',', "").parse().expect("a number");
        let Some((median, interval)) = shown.split_once(" (") else {
            return (number(shown), None);
        };
        let (low, high) = interval.trim_end_matches(')').split_once('–').expect("two");
        (number(median), Some((number(low), number(high))))
    }

    /// Figures of rounds around a value, with so much noise.
    fn figures() -> impl Strategy<Value = Vec<(u32, f64)>> {
        let noise = prop_oneof![Just(0.0), Just(0.003), Just(0.05), Just(2.0)];
        (0.5..20.0_f64, noise, vec(-1.0..1.0_f64, 1..9)).prop_map(|(value, noise, rounds)| {
            let figure = |(round, part)| (round, value * f64::exp(noise * part));
            (0..).zip(rounds).map(figure).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 20_000,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn the_interval_beside_a_badge_bears_it_out(ours in figures(), base in figures()) {
            let ratios = ratios(&ours, &base).expect("a round in common");
            let badge = Badge::of(&ratios);
            let (median, interval) = read(&with_interval(&ratios));
            if let Some((low, high)) = interval {
                prop_assert!(low <= median && median <= high);
            }
            match (badge, interval) {
                (Badge::Less, Some((_, high))) => prop_assert!(high < 1.0),
                (Badge::More, Some((low, _))) => prop_assert!(low > 1.0),
                (Badge::Noise, Some((low, high))) => prop_assert!(low <= 1.0 && 1.0 <= high),
                (Badge::TooFew, _) => prop_assert!(ratios.count < CLAIM_COUNT_MIN),
                (badge, None) => prop_assert!(false, "{badge:?} without an interval"),
            }
            if badge != Badge::TooFew {
                prop_assert!(ratios.count >= CLAIM_COUNT_MIN);
            }
        }
    }

    #[test]
    fn the_badge_is_of_the_interval_and_not_of_the_median() {
        let of = |median, low, high| {
            let ratios = Spread {
                median,
                low,
                high,
                count: 5,
            };
            (Badge::of(&ratios), with_interval(&ratios))
        };
        // As they stood in a report, with the other badge each.
        let (badge, shown) = of(1.01, 0.84, 1.03);
        assert_eq!((badge, &*shown), (Badge::Noise, "1.01 (0.84–1.03)"));
        let (badge, shown) = of(1.16, 1.12, 1.16);
        assert_eq!((badge, &*shown), (Badge::More, "1.16 (1.12–1.16)"));
        // What is shown counts, and not what is behind it.
        let (badge, shown) = of(1.01, 1.004, 1.02);
        assert_eq!((badge, &*shown), (Badge::Noise, "1.01 (1.00–1.02)"));
        let (badge, shown) = of(2_000.0, 1_500.0, 2_500.0);
        assert_eq!((badge, &*shown), (Badge::More, "2,000 (1,500–2,500)"));
    }

    #[test]
    fn few_rounds_have_no_badge_but_that() {
        let ratios = Spread {
            median: 0.1,
            low: 0.1,
            high: 0.1,
            count: CLAIM_COUNT_MIN - 1,
        };
        assert_eq!(Badge::of(&ratios), Badge::TooFew);
    }
}
