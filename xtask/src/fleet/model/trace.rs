//! Objects with sizes, and requests for them: the same for the same seed.

use anyhow::Context;
use rand::SeedableRng;
use rand_distr::{Distribution, LogNormal, Zipf};
use rand_xorshift::XorShiftRng;

use super::ring::key;

/// What is served, the most popular object first.
#[derive(Debug)]
pub(super) struct Catalogue {
    pub(super) objects: Vec<Object>,
    popularity: Zipf<f64>,
    seed: u64,
}

#[derive(Debug)]
pub(super) struct Object {
    pub(super) target: String,
    pub(super) key: u32,
    pub(super) bytes: u64,
}

/// How objects are distributed.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Shape {
    /// Objects that are served
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    objects: usize,

    /// Exponent of Zipf's law: 0 is equally popular, 1 is a few very popular objects
    #[arg(long, value_name = "S", default_value_t = 0.9)]
    zipf: f64,

    /// Median size in bytes; sizes have a log-normal distribution
    #[arg(long, value_name = "BYTES", default_value_t = 100_000)]
    size_median: u64,

    /// Standard deviation of the logarithm of the size
    #[arg(long, value_name = "SIGMA", default_value_t = 2.0)]
    size_sigma: f64,

    /// Largest size in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 256 << 20)]
    pub(super) size_max: u64,

    /// Seed of sizes and requests
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

impl Shape {
    /// As popular, but few, and of sizes that are more alike.
    pub(super) fn narrowed(&self, objects: usize, size_median: u64, size_max: u64) -> Self {
        Self {
            objects,
            size_median,
            size_sigma: 1.0,
            size_max,
            ..self.clone()
        }
    }
}

impl Catalogue {
    pub(super) fn new(shape: &Shape) -> anyhow::Result<Self> {
        Self::below("objects", shape)
    }

    /// The same with targets in another directory.
    pub(super) fn below(directory: &str, shape: &Shape) -> anyhow::Result<Self> {
        anyhow::ensure!(shape.objects > 0, "--objects must be at least 1");
        let sizes = LogNormal::new((shape.size_median as f64).ln(), shape.size_sigma)
            .context("--size-sigma")?;
        let popularity = Zipf::new(shape.objects as f64, shape.zipf).context("--zipf")?;
        let mut random = XorShiftRng::seed_from_u64(shape.seed);
        let objects = (0..shape.objects).map(|number| {
            let target = format!("/{directory}/{:02}/{number}.bin", number % 97);
            let bytes = sizes.sample(&mut random).min(shape.size_max as f64);
            Object {
                key: key(&target),
                target,
                bytes: bytes as u64,
            }
        });
        let mut objects: Vec<Object> = objects.collect();
        // The most popular object has the mean size, so that its share of the requests is also its share of the load.
        let total: u64 = objects.iter().map(|object| object.bytes).sum();
        objects[0].bytes = total / objects.len() as u64;
        Ok(Self {
            objects,
            popularity,
            seed: shape.seed,
        })
    }

    /// Requests, as indices of objects.
    pub(super) fn requests(&self) -> impl Iterator<Item = usize> + '_ {
        let random = XorShiftRng::seed_from_u64(self.seed.wrapping_add(1));
        self.popularity
            .sample_iter(random)
            .map(|rank| (rank as usize).clamp(1, self.objects.len()) - 1)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn shape() -> Shape {
        Shape {
            objects: 1_000,
            zipf: 1.0,
            size_median: 100_000,
            size_sigma: 1.0,
            size_max: 1 << 20,
            seed: 1,
        }
    }

    #[test]
    fn requests_follow_zipfs_law_and_are_the_same_again() {
        let catalogue = Catalogue::new(&shape()).expect("a catalogue");
        let mut counts = [0_u32; 1_000];
        for object in catalogue.requests().take(100_000) {
            counts[object] += 1;
        }
        // The sum of 1/k up to 1,000 is 7.485.
        assert!((13_000..13_700).contains(&counts[0]), "{}", counts[0]);
        assert!((6_400..7_000).contains(&counts[1]), "{}", counts[1]);
        let again = Catalogue::new(&shape()).expect("a catalogue");
        assert!(
            catalogue
                .requests()
                .take(100)
                .eq(again.requests().take(100))
        );
    }

    #[test]
    fn sizes_have_the_median_and_the_limit() {
        let catalogue = Catalogue::new(&shape()).expect("a catalogue");
        let mut sizes: Vec<u64> = catalogue
            .objects
            .iter()
            .map(|object| object.bytes)
            .collect();
        sizes.sort_unstable();
        assert!((90_000..110_000).contains(&sizes[500]), "{}", sizes[500]);
        assert_eq!(sizes[999], 1 << 20);
    }
}
