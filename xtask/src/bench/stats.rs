//! Medians, spread, and ratios by round.

/// What is said of several numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    /// First and third quartile.
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) count: usize,
}

/// Median and quartiles; `None` for no numbers. What is not a finite number does not count.
pub(crate) fn spread(numbers: impl IntoIterator<Item = f64>) -> Option<Spread> {
    let mut sorted: Vec<f64> = numbers
        .into_iter()
        .filter(|number| number.is_finite())
        .collect();
    sorted.sort_by(f64::total_cmp);
    let at = |quantile: f64| {
        let place = quantile * (sorted.len() - 1) as f64;
        let (below, part) = (place.floor() as usize, place.fract());
        let above = sorted[(below + 1).min(sorted.len() - 1)];
        sorted[below] * (1.0 - part) + above * part
    };
    (!sorted.is_empty()).then(|| Spread {
        median: at(0.5),
        low: at(0.25),
        high: at(0.75),
        count: sorted.len(),
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

/// Fewer numbers than these have no middle half: they are apart by chance more often than not.
pub(crate) const CLAIM_COUNT_MIN: usize = 3;

impl Spread {
    /// Whether the middle halves of two have nothing in common: the least that a claim needs.
    pub(crate) fn is_apart_from(&self, other: &Self) -> bool {
        self.can_be_compared_with(other) && (self.low > other.high || other.low > self.high)
    }

    /// Whether both are of enough numbers to tell a difference from noise.
    pub(crate) fn can_be_compared_with(&self, other: &Self) -> bool {
        self.count.min(other.count) >= CLAIM_COUNT_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_the_numbers() {
        let of = |numbers: &[f64]| spread(numbers.iter().copied());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[f64::NAN, f64::INFINITY]), None);
        let one = of(&[7.0]).expect("a number");
        assert_eq!(
            (one.median, one.low, one.high, one.count),
            (7.0, 7.0, 7.0, 1)
        );
        let four = of(&[4.0, 1.0, f64::NAN, 2.0, 3.0]).expect("numbers");
        assert_eq!((four.median, four.low, four.high), (2.5, 1.75, 3.25));
        let five = of(&[5.0, 1.0, 2.0, 3.0, 4.0]).expect("numbers");
        assert_eq!((five.median, five.low, five.high), (3.0, 2.0, 4.0));
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
