//! What the names in the tables stand for that are no product's: the floors, and ours with other
//! options. A page tells it before the first table that has them.

use crate::bench::peers::meaning_of;
use crate::bench::results::Results;

/// Each such name that was measured, in the order of the run, and what it stands for.
pub(crate) fn terms(results: &Results) -> Vec<(String, &'static str)> {
    let mut terms: Vec<(String, &'static str)> = Vec::new();
    for sample in &results.samples {
        let is_told = terms.iter().any(|(name, _)| *name == sample.server);
        if let (false, Some(meaning)) = (is_told, meaning_of(&sample.server)) {
            terms.push((sample.server.clone(), meaning));
        }
    }
    terms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::made_up::{add_samples, empty};

    #[test]
    fn what_was_measured_is_told_once_and_nothing_else() {
        let mut results = empty();
        for server in ["zc", "floor: MORE + sendfile", "nginx", "zc (bodies off)"] {
            add_samples(&mut results, "1m", server, 10.0, 2);
        }
        let names: Vec<String> = terms(&results).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["floor: MORE + sendfile", "zc (bodies off)"]);
    }
}
