//! What a node uses for a response and a connection: the newest benchmarks, as the book has them.

use anyhow::Context;

/// The page with the table of `cargo xtask pictures`.
const PAGE: &str = include_str!("../../../../docs/src/compared.md");

/// Sizes whose cost was measured, with their rows.
const ROWS: [(&str, f64); 4] = [
    ("1 KiB", 1024.0),
    ("10 KiB", 10_240.0),
    ("100 KiB", 102_400.0),
    ("1 MiB", 1_048_576.0),
];
const ROW_OF_LONG: &str = "300 MB, s of CPU per GB";
const ROW_OF_IDLE: &str = "idle connection, bytes of user memory";

#[derive(Debug, Clone)]
pub(super) struct Costs {
    /// Sizes in bytes, with the CPU time of one response in seconds.
    responses: Vec<(f64, f64)>,
    pub(super) cpu_seconds_per_gb: f64,
    pub(super) connection_bytes: f64,
}

impl Costs {
    pub(super) fn of_the_book() -> anyhow::Result<Self> {
        Self::read(PAGE)
    }

    fn read(page: &str) -> anyhow::Result<Self> {
        let figure = |name: &str| -> anyhow::Result<f64> {
            let row = page.lines().find_map(|line| {
                let (first, rest) = line.strip_prefix("| ")?.split_once(" | ")?;
                (first == name).then_some(rest)
            });
            let row = row.with_context(|| format!("no row `{name}` in docs/src/compared.md"))?;
            let cell = row.split([' ', '|']).next().unwrap_or_default();
            let digits = cell.replace(',', "");
            digits
                .parse()
                .with_context(|| format!("`{cell}` in the row `{name}` is no figure"))
        };
        let responses = ROWS.map(|(name, bytes)| Ok((bytes, figure(name)? / 1e6)));
        Ok(Self {
            responses: responses.into_iter().collect::<anyhow::Result<_>>()?,
            cpu_seconds_per_gb: figure(ROW_OF_LONG)?,
            connection_bytes: figure(ROW_OF_IDLE)?,
        })
    }

    /// CPU time of a response on a kept connection, in seconds. Between two measured sizes it is interpolated; beyond the
    /// largest, each byte costs what one of a long file does.
    pub(super) fn response_seconds(&self, bytes: u64) -> f64 {
        let bytes = bytes as f64;
        let mut smaller: Option<(f64, f64)> = None;
        for &(size, seconds) in &self.responses {
            if bytes <= size {
                return smaller.map_or(seconds, |(from, least)| {
                    least + (seconds - least) * (bytes - from) / (size - from)
                });
            }
            smaller = Some((size, seconds));
        }
        let (from, least) = smaller.unwrap_or_default();
        least + (bytes - from) * self.cpu_seconds_per_gb / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_read_and_interpolated() {
        let page = "| 1 KiB | 5.0 | 1 |\n| 10 KiB | 10.0 |\n| 100 KiB | 15 |\n| 1 MiB | 111 | x |\n\
                    | 300 MB, s of CPU per GB | 0.1 |\n| idle connection, bytes of user memory | 1,184 B |\n";
        let costs = Costs::read(page).expect("costs");
        assert!((costs.connection_bytes - 1184.0).abs() < 0.1);
        let micros = |bytes| costs.response_seconds(bytes) * 1e6;
        for (bytes, expected) in [
            (0, 5.0),
            (1024, 5.0),
            ((1024 + 10_240) / 2, 7.5),
            (1 << 20, 111.0),
            ((1 << 20) + 1_000_000_000, 100_111.0),
        ] {
            let found = micros(bytes);
            assert!((found - expected).abs() < 1e-3, "{bytes}: {found}");
        }
        assert!(Costs::read("").is_err());
    }

    #[test]
    fn the_book_has_them() {
        let costs = Costs::of_the_book().expect("costs");
        assert!(costs.response_seconds(1) < costs.response_seconds(1 << 20));
    }
}
