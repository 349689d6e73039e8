//! The pictures and tables of README and the book are those of the newest committed results.

use std::path::Path;

use super::Finding;
use crate::pictures::stale;

/// Looks for pictures and tables that are missing or of other results.
pub(super) fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let findings = stale(root)?.into_iter().map(|path| Finding {
        path,
        line: 1,
        fault: "is not of the newest results in zc-bench/results/".to_owned(),
        mend: "run `cargo xtask pictures`".to_owned(),
    });
    Ok(findings.collect())
}
