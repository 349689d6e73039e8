//! Medians, spread, and ratios by round.

/// What is said of several numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    /// The least.
    pub(crate) low: f64,
    /// The greatest.
    pub(crate) high: f64,
    pub(crate) count: usize,
}

/// Median, least and greatest; `None` for no numbers. What is not a finite number does not count.
pub(crate) fn spread(numbers: impl IntoIterator<Item = f64>) -> Option<Spread> {
    let mut sorted: Vec<f64> = numbers
        .into_iter()
        .filter(|number| number.is_finite())
        .collect();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
    Some(Spread {
        // Of an even count, what lies between the two in the middle.
        median: sorted.get(count.saturating_sub(1) / 2)? / 2.0 + sorted[count / 2] / 2.0,
        low: *sorted.first()?,
        high: *sorted.last()?,
        count,
    })
}

/// The ratios of two figures that were measured in the same round.
pub(crate) fn ratios(ours: &[(u32, f64)], base: &[(u32, f64)]) -> Option<Spread> {
    let of_round = |round: u32| base.iter().find(|(other, _)| *other == round);
    spread(ours.iter().filter_map(|&(round, figure)| {
        let (_, base) = of_round(round)?;
        (*base > 0.0).then_some(figure / base)
    }))
}

/// Of fewer rounds nothing is claimed: two are on the same side of a third by chance as often as not.
pub(crate) const CLAIM_COUNT_MIN: usize = 3;

impl Spread {
    /// Whether each number of the one is less than each of the other: the least that a claim needs.
    pub(crate) fn is_apart_from(&self, other: &Self) -> bool {
        let are_enough = self.count.min(other.count) >= CLAIM_COUNT_MIN;
        are_enough && (self.low > other.high || other.low > self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_between_the_least_and_the_greatest() {
        let of = |numbers: &[f64]| spread(numbers.iter().copied());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[f64::NAN, f64::INFINITY]), None);
        let one = of(&[7.0]).expect("a number");
        assert_eq!(
            (one.median, one.low, one.high, one.count),
            (7.0, 7.0, 7.0, 1)
        );
        let four = of(&[4.0, 1.0, f64::NAN, 2.0, 3.0]).expect("numbers");
        assert_eq!((four.median, four.low, four.high), (2.5, 1.0, 4.0));
        let five = of(&[5.0, 1.0, 2.0, 3.0, 4.0]).expect("numbers");
        assert_eq!((five.median, five.low, five.high), (3.0, 1.0, 5.0));
    }

    #[test]
    fn ratios_are_of_one_round() {
        let ours = [(0, 2.0), (1, 9.0), (2, 4.0), (3, 1.0)];
        let base = [(2, 2.0), (0, 1.0), (1, 3.0), (3, 0.0)];
        let found = ratios(&ours, &base).expect("rounds in common");
        assert_eq!((found.median, found.count), (2.0, 3));
        assert_eq!(ratios(&ours, &[(7, 1.0)]), None);
    }

    #[test]
    fn overlapping_spreads_claim_nothing() {
        let spread = |low, high| Spread {
            median: (low + high) / 2.0,
            low,
            high,
            count: 5,
        };
        assert!(spread(1.0, 2.0).is_apart_from(&spread(2.1, 3.0)));
        assert!(spread(2.1, 3.0).is_apart_from(&spread(1.0, 2.0)));
        assert!(!spread(1.0, 2.0).is_apart_from(&spread(1.5, 3.0)));
    }

    #[test]
    fn few_numbers_claim_nothing() {
        let of = |numbers: &[f64]| spread(numbers.iter().copied()).expect("numbers");
        assert!(!of(&[1.0]).is_apart_from(&of(&[9.0])));
        assert!(!of(&[1.0, 1.0]).is_apart_from(&of(&[9.0, 9.0, 9.0])));
        assert!(of(&[1.0, 1.0, 1.0]).is_apart_from(&of(&[9.0, 9.0, 9.0])));
    }
}
