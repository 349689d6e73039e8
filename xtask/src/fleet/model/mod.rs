//! A model of a fleet: N nodes behind HAProxy, with the lines of `deploy/haproxy/haproxy.cfg`.
//!
//! Requests follow Zipf's law over objects whose sizes have a log-normal distribution. The ring of HAProxy is computed
//! as HAProxy does, so that it can be compared with a real one, URL by URL: that is `--check`. `--against-nodes` compares it with zc-server behind HAProxy. Costs of a node are those
//! of the newest benchmarks.

mod check;
mod cost;
mod forecast;
mod load;
mod nodes;
mod report;
mod ring;
mod trace;

use clap::Parser;

use super::report::About;

use self::cost::Costs;
use self::forecast::Operation;
use self::load::Traffic;
use self::trace::{Catalogue, Shape};

/// Predict what a fleet of nodes behind HAProxy does
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask fleet --model",
    bin_name = "cargo xtask fleet --model",
    max_term_width = 80
)]
struct Parameters {
    /// Compare the model with a real HAProxy too, and fail where they differ by more than 10 %
    #[arg(long)]
    check: bool,

    /// Compare the model with 3, 6 and 12 real nodes too, and fail where they differ by more than 10 %: as root, for
    /// about 13 minutes
    #[arg(long)]
    against_nodes: bool,

    /// Numbers of nodes
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "3,6,12,100,1000",
        value_parser = clap::value_parser!(u16).range(2..=10_000))]
    nodes: Vec<u16>,

    /// The largest number of requests under way at a node, in percent of the mean (hash-balance-factor)
    #[arg(long, value_name = "PERCENT", default_value_t = 150)]
    factor: u32,

    /// The weight of each node in the tables. Comparisons are with the weight of deploy/haproxy/haproxy.cfg
    #[arg(long, value_name = "N", default_value_t = ring::WEIGHT,
        value_parser = clap::value_parser!(u32).range(1..=256))]
    weight: u32,

    #[command(flatten)]
    shape: Shape,

    #[command(flatten)]
    traffic: Traffic,

    #[command(flatten)]
    operation: Operation,
}

/// Prints the model, and compares it with a real HAProxy where that is asked for.
pub(super) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let name = "cargo xtask fleet --model".to_owned();
    let about = About::of(&name, arguments, &super::haproxy::version());
    let options = &Parameters::parse_from(std::iter::once(&name).chain(arguments));
    let catalogue = Catalogue::new(&options.shape)?;
    let costs = Costs::of_the_book()?;
    print!("{}", report::text(options, &catalogue, &costs));
    if options.check {
        check::run(options, &catalogue)?;
    }
    if options.against_nodes {
        nodes::run(options, &about)?;
    }
    Ok(())
}
