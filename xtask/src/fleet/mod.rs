//! `cargo xtask fleet`: many nodes that serve the same files behind HAProxy.

mod model;

use clap::Parser;

/// Predict what a fleet of nodes behind HAProxy does
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask fleet",
    bin_name = "cargo xtask fleet",
    max_term_width = 80
)]
struct Options {
    /// Print a model of the fleet, from deploy/haproxy/haproxy.cfg and the measured costs of a node
    #[arg(long, required = true)]
    model: bool,

    #[command(flatten)]
    of_the_model: model::Parameters,
}

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let name = "cargo xtask fleet".to_owned();
    let options = Options::parse_from(std::iter::once(&name).chain(arguments));
    model::run(&options.of_the_model)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_options_are_consistent() {
        Options::command().debug_assert();
    }
}
