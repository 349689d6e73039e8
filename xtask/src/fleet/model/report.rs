//! The tables of the model, in Markdown.

use std::fmt::Write as _;

use super::Parameters;
use super::cost::Costs;
use super::load::Outcome;
use super::ring::Ring;
use super::trace::Catalogue;

/// What was computed for one number of nodes.
struct Row {
    nodes: usize,
    rack: usize,
    hashed: Outcome,
    bounded: Outcome,
    /// With bounded loads, after the loss of a rack.
    after: Outcome,
    /// The share of all objects that node 0 has, the largest share of a node, and that of the first rack.
    moved: [f64; 3],
}

impl Row {
    fn new(nodes: usize, options: &Parameters, catalogue: &Catalogue, costs: &Costs) -> Self {
        let ring = Ring::weighted(nodes, &[], options.weight);
        let rack = options.operation.rack(nodes);
        let down: Vec<usize> = (0..rack).collect();
        let fewer = Ring::weighted(nodes, &down, options.weight);
        let run = |ring: &Ring, factor| options.traffic.run(catalogue, ring, factor, costs, nodes);
        Self {
            nodes,
            rack,
            hashed: run(&ring, 0),
            bounded: run(&ring, options.factor),
            after: run(&fewer, options.factor),
            moved: moved(&ring, &fewer, catalogue),
        }
    }
}

fn moved(ring: &Ring, fewer: &Ring, catalogue: &Catalogue) -> [f64; 3] {
    let mut owned = vec![0_usize; ring.nodes()];
    let mut of_the_rack = 0;
    for object in &catalogue.objects {
        let node = ring.node(object.key);
        owned[node] += 1;
        of_the_rack += usize::from(node != fewer.node(object.key));
    }
    let share = |count: usize| count as f64 / catalogue.objects.len() as f64;
    let most = owned.iter().copied().max().unwrap_or_default();
    [share(owned[0]), share(most), share(of_the_rack)]
}

/// All of the report.
pub(super) fn text(options: &Parameters, catalogue: &Catalogue, costs: &Costs) -> String {
    let mut rows = Vec::new();
    for &nodes in &options.nodes {
        rows.push(Row::new(usize::from(nodes), options, catalogue, costs));
    }
    let mut text = format!(
        "# A model of a fleet\n\n\
         HAProxy 2.6 with `balance uri`, `hash-type consistent sdbm avalanche`, weight {} and \
         `hash-balance-factor {}`.\n{} objects; for each node {} requests a second, by clients with {} Mbit/s each.\n\n",
        options.weight,
        options.factor,
        catalogue.objects.len(),
        options.traffic.node_requests,
        options.traffic.client_mbit,
    );
    shares(&mut text, &rows, options);
    moves(&mut text, &rows);
    nodes(&mut text, &rows, options, costs);
    operation(&mut text, &rows, options, catalogue);
    text.push_str(NOTES);
    text
}

fn table(text: &mut String, title: &str, columns: &[&str]) {
    let _ = writeln!(
        text,
        "## {title}\n\n| {} |\n|{}",
        columns.join(" | "),
        " --- |".repeat(columns.len())
    );
}

fn shares(text: &mut String, rows: &[Row], options: &Parameters) {
    let columns = [
        "nodes",
        "requests",
        "bytes",
        "requests, bounded",
        "bytes, bounded",
        "under way, bounded",
        "share of the hot object",
        "its nodes, bounded",
        "by ⌈p·N/c⌉",
    ];
    table(
        text,
        "Load of the busiest node, divided by the mean",
        &columns,
    );
    for row in rows {
        let (hashed, bounded) = (&row.hashed, &row.bounded);
        let share = bounded.hot_share();
        let by_formula = share * row.nodes as f64 / (f64::from(options.factor) / 100.0);
        let _ = writeln!(
            text,
            "| {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} % | {} | {} |",
            row.nodes,
            hashed.requests_skew(),
            hashed.bytes_skew(),
            bounded.requests_skew(),
            bounded.bytes_skew(),
            bounded.under_way_skew(),
            share * 100.0,
            bounded.hot_nodes(),
            by_formula.ceil(),
        );
    }
    text.push_str(
        "\nThe first two columns are without bounded loads. The hot object is the most popular one, and its nodes are the \
         fewest\nthat serve nine tenths of its requests.\n\n",
    );
}

fn moves(text: &mut String, rows: &[Row]) {
    let columns = [
        "nodes",
        "node 1 lost",
        "1/N",
        "at most",
        "nodes of a rack",
        "rack lost",
        "k/N",
    ];
    table(
        text,
        "Objects that move when a node or a rack is lost",
        &columns,
    );
    for row in rows {
        let [first, most, rack] = row.moved.map(|share| share * 100.0);
        let expected = 100.0 / row.nodes as f64;
        let _ = writeln!(
            text,
            "| {} | {first:.2} % | {expected:.2} % | {most:.2} % | {} | {rack:.2} % | {:.2} % |",
            row.nodes,
            row.rack,
            expected * row.rack as f64,
        );
    }
    text.push_str("\nAll other objects stay where they are.\n\n");
}

fn nodes(text: &mut String, rows: &[Row], options: &Parameters, costs: &Costs) {
    let columns = [
        "nodes",
        "Gbit/s",
        "cores",
        "cores of the busiest",
        "requests under way",
        "memory of their connections, KB",
        "capacity of a node, Gbit/s",
    ];
    table(text, "A node", &columns);
    for row in rows {
        let (mean, most) = row.bounded.cores();
        let under_way = row.bounded.under_way_mean();
        let gbit = row.bounded.gbit_mean();
        let _ = writeln!(
            text,
            "| {} | {gbit:.2} | {mean:.3} | {most:.3} | {under_way:.0} | {:.1} | {:.1} |",
            row.nodes,
            under_way * costs.connection_bytes / 1e3,
            options.operation.node_capacity_gbit(mean / gbit),
        );
    }
    let _ = writeln!(
        text,
        "\nA response of 1 KiB takes {:.2} µs of CPU, and long files {} s for each GB. A connection has {} bytes of user \
         memory;\nbuffers of the kernel are not counted.\n",
        costs.response_seconds(1024) * 1e6,
        costs.cpu_seconds_per_gb,
        costs.connection_bytes,
    );
}

fn operation(text: &mut String, rows: &[Row], options: &Parameters, catalogue: &Catalogue) {
    let columns = [
        "nodes",
        "capacity, Gbit/s",
        "less a rack",
        "less a rack, by B·(N−k)/c",
        "roll-out, min",
        "errors of a SIGKILL without retries",
        "share of a minute's requests",
    ];
    table(text, "Operation", &columns);
    let operation = &options.operation;
    let longest = options.traffic.longest(catalogue);
    for row in rows {
        let capacity = |outcome: &Outcome, nodes, skew| {
            operation.capacity_gbit(nodes, outcome.cores().0 / outcome.gbit_mean(), skew)
        };
        let left = row.nodes - row.rack;
        let limit = f64::from(options.factor.max(100)) / 100.0;
        let errors = operation.errors(
            options.traffic.node_requests as f64,
            row.bounded.under_way_mean(),
        );
        let of_a_minute = errors / (options.traffic.rate(row.nodes) * 60.0);
        let _ = writeln!(
            text,
            "| {} | {:.1} | {:.1} | {:.1} | {:.1} | {errors:.0} | {:.3} % |",
            row.nodes,
            capacity(&row.bounded, row.nodes, row.bounded.bytes_skew()),
            capacity(&row.after, left, row.after.bytes_skew()),
            capacity(&row.after, left, limit),
            operation.roll_out_seconds(row.nodes, longest) / 60.0,
            of_a_minute * 100.0,
        );
    }
    let _ = writeln!(
        text,
        "\nThe longest download takes {longest:.0} s. A node that is killed is taken out after {:.2} s on average. \
         By B·(N−k)/c, the busiest\nnode has c = {limit} times the mean. The other columns take its share of the bytes, bounded, from the model.\n",
        operation.outage_mean_seconds(),
        limit = f64::from(options.factor.max(100)) / 100.0,
    );
}

const NOTES: &str = "\
Compared with real nodes by `--against-nodes`, with 3, 6 and 12 of them: shares of the requests, objects that move, bounded
loads, and errors of a killed node. Compared with a real HAProxy by `--check`, before as many servers that only tell their
number: the node of each URL. Measured on one machine: CPU time and memory of a node. Predicted, and compared with nothing:
the roll-out, capacity, and all of 100 and 1,000 nodes but for one run, below. Capacity is the demand at which the busiest
node is full, if it has the same part of the bytes at any demand.

HAProxy multiplies points on the ring by places for requests in 32 bits. With 1,000 nodes of weight 128, that is
exceeded from 1,398 requests under way; some nodes then have no limit. A real HAProxy 2.6.12 with 1,000 servers and
3,000 requests for one URL chose 668 servers, and gave 12 requests to one where 5 are the limit: so does the model. A
ring has 16 points for each node and unit of weight. Up to 65,535 points in all, nothing is exceeded: `--weight 4` with
1,000 nodes, 40 with 100. Above that, capacity can be that of a node without a limit, and rise when such a node goes.

";
