//! The model compared with real nodes behind a real HAProxy, in network namespaces.

mod cluster;
mod flow;
mod held;
mod kills;
mod phases;
mod tally;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::ensure;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use self::cluster::{Backend, Cluster};
use super::check::{Agreement, DIFFERENCE_MAX, Line, SIZES};
use super::trace::Catalogue;
use crate::fleet::network::Network;
use crate::fleet::report::About;

/// Small objects that the nodes serve, with their median size and the largest.
const SMALL: (usize, u64, u64) = (2_000, 4 << 10, 64 << 10);
/// The same of objects that clients read slowly.
const PACED: (usize, u64, u64) = (500, 400 << 10, 3 << 20);
/// Fewer requests than this are not judged, where they are passed on.
const FEW: f64 = 100.0;
/// What is sent, for the page.
const ABOUT: &str = "\
Parts from `quiet` to `it is back from the kill`: 500 requests a second by Zipf's law for 2,000 small objects, one after
the other, so that bounded loads change nothing. A node is drained or killed half an interval after a health check.
`many under way`: 10 long responses for each node, of which clients read the head alone; each request that begins lets the
eldest end; every third is for the most popular object. `clients of 8 Mbit/s`: 10 requests a second for each node, each at
its time and on a connection of its own, which reads at that rate; what is under way follows from durations, as in the
tables above. Such a client begins to read 50 ms late, because the sockets before it hold 50 KB, which HAProxy counts as
sent. HAProxy has the deployed lines, but for `kills without retries`: there `retries 0`, and times of kills are spread over the
interval of the checks. A key has moved if another node than in the quiet time answered for it; with many under way,
another one than without load. Of the shares of all nodes, the one that deviates most is shown besides the largest.
`of few`: fewer than 100 requests were to be passed on, and the deviation does not count for the verdict. All other figures do.
";

/// A figure of a part of the comparison.
type Row = (&'static str, Line);

/// What is compared, for all numbers of nodes.
struct Comparison<'a> {
    options: &'a super::Parameters,
    small: Catalogue,
    paced: Catalogue,
    agreement: Agreement,
    /// How late a request was sent at most, in seconds.
    late: f64,
}

/// Prints the comparison, and fails where the model is wrong.
pub(super) fn run(options: &super::Parameters, about: &About) -> anyhow::Result<()> {
    cluster::refuse_other_settings(&options.operation, options.factor)?;
    crate::fleet::refuse_without_means(&crate::fleet::NEEDED)?;
    let programs = crate::fleet::build()?;
    let catalogue = |directory, (objects, median, most)| {
        Catalogue::below(directory, &options.shape.narrowed(objects, median, most))
    };
    let mut comparison = Comparison {
        options,
        small: catalogue("objects", SMALL)?,
        paced: catalogue("paced", PACED)?,
        agreement: Agreement::default(),
        late: 0.0,
    };
    // Before any thread is started: it would stay outside.
    let network = Network::enter()?;
    cluster::make_buffers_small()?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    println!(
        "## The model beside real nodes\n\n{}, commit {}, {}.\n\n    {}\n\n{ABOUT}\n\
         | nodes | part | figure | predicted | seen | deviation |\n| ---: | --- | --- | ---: | ---: | ---: |",
        about.date, about.commit, about.machine, about.command
    );
    let mut worst: f64 = 0.0;
    for nodes in SIZES {
        eprintln!("{nodes} nodes");
        let catalogues = [&comparison.small, &comparison.paced];
        let mut cluster = Cluster::start(&network, &programs, &catalogues, nodes, &stop)?;
        for (part, line) in comparison.compare(&mut cluster)? {
            if is_judged(&line) {
                worst = worst.max(line.difference());
            }
            println!("{}", row(nodes, part, &line));
        }
    }
    let Agreement {
        compared,
        mismatches,
    } = comparison.agreement;
    println!(
        "\n{compared} requests compared one by one; {mismatches} had another end than the model says: another node, or \
         an error.\nA request was sent {:.0} ms late at most. Largest deviation of a figure: {worst:.1} %.",
        comparison.late * 1e3
    );
    ensure!(
        worst <= DIFFERENCE_MAX,
        "a figure deviates by {worst:.1} %, and may by {DIFFERENCE_MAX} %"
    );
    Ok(())
}

impl Comparison<'_> {
    fn compare(&mut self, cluster: &mut Cluster) -> anyhow::Result<Vec<Row>> {
        let (operation, factor) = (&self.options.operation, self.options.factor);
        let agreement = &mut self.agreement;
        let (mut rows, late) = phases::compare_all(cluster, &self.small, operation, agreement)?;
        self.late = self.late.max(late);
        let mut add = |part, lines: Vec<Line>| {
            eprintln!("  {part}");
            rows.extend(lines.into_iter().map(|line| (part, line)));
        };
        let lines = held::compare_bounded(cluster, &self.small, factor, agreement)?;
        add("many under way", lines);
        let lines = flow::compare(cluster, &self.paced, factor, &[])?;
        add("clients of 8 Mbit/s", lines);
        cluster.kill(0)?;
        cluster.wait_until_out(0)?;
        let lines = flow::compare(cluster, &self.paced, factor, &[0])?;
        add("the same, less a node", lines);
        cluster.revive(0, Backend::Deployed)?;
        let lines = kills::compare(cluster, &self.small, operation, agreement)?;
        add("kills without retries", lines);
        Ok(rows)
    }
}

/// Whether a figure counts for the verdict. One request is more than 10 % of a few.
fn is_judged(line: &Line) -> bool {
    line.what != flow::PASSED_ON || line.model >= FEW
}

/// A row of the table. Counts have no decimals.
fn row(nodes: u8, part: &str, line: &Line) -> String {
    let Line {
        what,
        model,
        measured,
    } = line;
    let decimals = if what.contains('%') || what.contains("mean") {
        2
    } else {
        0
    };
    let few = if is_judged(line) { "" } else { ", of few" };
    format!(
        "| {nodes} | {part} | {what} | {model:.decimals$} | {measured:.decimals$} | {:.1} %{few} |",
        line.difference()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_what_was_predicted_and_seen() {
        let line = Line::new("keys moved, %", 16.0, 17.0);
        let expected = "| 6 | a node drains | keys moved, % | 16.00 | 17.00 | 6.2 % |";
        assert_eq!(row(6, "a node drains", &line), expected);
        let none = row(3, "quiet", &Line::new("failed requests", 0.0, 1.0));
        assert_eq!(none, "| 3 | quiet | failed requests | 0 | 1 | inf % |");
        let few = row(3, "quiet", &Line::new(flow::PASSED_ON, 2.0, 3.0));
        assert!(few.ends_with("| 2 | 3 | 50.0 %, of few |"), "{few}");
        assert!(is_judged(&Line::new(flow::PASSED_ON, 100.0, 90.0)));
    }
}
