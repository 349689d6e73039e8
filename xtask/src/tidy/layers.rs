//! Which room of zc-server may know which: the order is the table below, and there is no circle.

use super::Finding;
use super::graph::{Graph, room};
use super::tree::Tree;

/// Whether what is found fails the check. It is off until `zc-server/src` has the rooms of the
/// table: until then the findings are printed by `cargo xtask tidy`, and nothing is claimed.
pub(super) const IS_ENFORCED: bool = true;

/// Where the rooms lie, and what they are called from outside.
const DIRECTORY: &str = "zc-server/src/";
const CRATE: &str = "zc_server";

/// What a room may know.
enum Knows {
    /// All that stand in lines above its own, and those in its line.
    Below,
    /// These alone.
    Only(&'static [&'static str]),
}

use Knows::{Below, Only};

/// The rooms from the lowest to the highest. `lib` and `main` are the roots.
const LAYERS: &[&[(&str, Knows)]] = &[
    &[
        ("text", Below),
        ("html", Below),
        ("pool", Below),
        ("mailbox", Below),
        ("rate", Below),
        ("socket", Below),
    ],
    &[("config", Below)],
    &[
        ("clients", Only(&["config", "socket"])),
        ("auth", Only(&["text"])),
    ],
    &[("observe", Below), ("disk", Below)],
    &[
        ("certificates", Only(&["config", "observe", "text"])),
        ("tls", Only(&["config", "observe"])),
    ],
    &[("files", Below)],
    &[("services", Below)],
    &[("body", Below)],
    &[("respond", Below)],
    &[("admin", Below)],
    &[("worker", Below)],
    &[("exchange", Below)],
    &[("connection", Below)],
    &[("reactor", Below)],
    &[("start", Below)],
    &[("server", Below)],
    &[("reload", Below)],
    // Beside the others: what was typed, made into what is configured.
    &[("cli", Only(&["config", "text"]))],
    &[
        ("bench", Below),
        ("fuzz", Below),
        ("doctor", Below),
        ("healthcheck", Below),
        ("tagging", Below),
        ("lib", Below),
        ("main", Below),
        ("program", Below),
    ],
];

/// Checks the real tree against the table.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    check_against(tree, LAYERS)
}

fn check_against(tree: &Tree, layers: &[&[(&str, Knows)]]) -> Vec<Finding> {
    let graph = Graph::read(tree, DIRECTORY, CRATE);
    let mut findings = strangers(&graph, layers);
    findings.extend(upward(&graph, layers));
    findings.extend(circles(&graph, "modules"));
    findings.extend(circles(&graph.of_rooms(), "rooms"));
    findings
}

/// Modules that no line of the table has.
fn strangers(graph: &Graph, layers: &[&[(&str, Knows)]]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for (module, path) in &graph.files {
        let room = room(module);
        let fault = format!("the room `{room}` has no place in the order");
        let is_known = place(layers, room).is_some();
        if !is_known && findings.iter().all(|known| known.fault != fault) {
            findings.push(Finding {
                path: path.clone(),
                line: 1,
                fault,
                mend: "put it into a room that has one, or into LAYERS of xtask/src/tidy/layers.rs"
                    .to_owned(),
            });
        }
    }
    findings
}

/// Imports of what stands higher, or of what a room must not know.
fn upward(graph: &Graph, layers: &[&[(&str, Knows)]]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for ((from, to), line) in &graph.edges {
        let places = (place(layers, room(from)), place(layers, room(to)));
        let (Some((low, knows)), Some((high, _))) = places else {
            continue;
        };
        let is_own = room(from) == room(to);
        let reason = match knows {
            _ if is_own => continue,
            Only(these) if !these.contains(&room(to)) => {
                format!("which knows {} alone", these.join(", "))
            }
            Below if high > low => "which stands below it".to_owned(),
            _ => continue,
        };
        findings.push(Finding {
            path: graph.files[from].clone(),
            line: *line,
            fault: format!("`{to}` is known in `{}`, {reason}", room(from)),
            mend: format!("hand in a value, or move what is needed down from `{to}`"),
        });
    }
    findings
}

/// Each set of modules that are in circles, by one of the shortest.
fn circles(graph: &Graph, what: &str) -> Vec<Finding> {
    let describe = |(way, set): (Vec<&str>, std::collections::BTreeSet<&str>)| {
        let steps = way.windows(2).map(|step| {
            let ends = (step[0].to_owned(), step[1].to_owned());
            format!("{}:{}", graph.files[step[0]], graph.edges[&ends])
        });
        let steps: Vec<String> = steps.collect();
        let all: Vec<&str> = set.into_iter().collect();
        let first = (way[0].to_owned(), way[1].to_owned());
        Finding {
            path: graph.files[way[0]].clone(),
            line: graph.edges[&first],
            fault: format!(
                "{what} in a circle: {}, by {}",
                way.join(" -> "),
                steps.join(", ")
            ),
            mend: format!(
                "cut one of these; {} are in circles here: {}",
                all.len(),
                all.join(", ")
            ),
        }
    };
    graph.circles().into_iter().map(describe).collect()
}

/// The line of the table in which a room stands, and what it may know.
fn place<'a>(layers: &'a [&[(&str, Knows)]], room: &str) -> Option<(usize, &'a Knows)> {
    layers.iter().enumerate().find_map(|(line, rooms)| {
        let found = rooms.iter().find(|(name, _)| *name == room);
        found.map(|(_, knows)| (line, knows))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[&[(&str, Knows)]] = &[
        &[("low", Below)],
        &[("mid", Below), ("twin", Below)],
        &[("high", Below)],
        &[("typed", Only(&["low"]))],
        &[("lib", Below), ("main", Below)],
    ];

    /// The faults of a tree, each with its place.
    fn faults(files: &[(&str, &str)]) -> Vec<String> {
        let lib = (
            "lib.rs",
            "mod low; mod mid; mod twin; mod high; mod typed; pub use high::H;",
        );
        let files: Vec<(String, &str)> = std::iter::once(&lib)
            .chain(files)
            .map(|(path, text)| (format!("{DIRECTORY}{path}"), *text))
            .collect();
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(path, text)| (path.as_str(), *text))
            .collect();
        let findings = check_against(&Tree::of(&files), TABLE);
        let shown = findings.iter().map(|finding| {
            let path = finding.path.trim_start_matches(DIRECTORY);
            format!("{path}:{} {}", finding.line, finding.fault)
        });
        shown.collect()
    }

    #[test]
    fn a_tree_in_order_passes() {
        let found = faults(&[
            ("low.rs", "pub struct L;"),
            (
                "mid/mod.rs",
                "mod part;\nuse crate::low::L;\npub(crate) use part::P;\nuse std::fmt;",
            ),
            (
                "mid/part.rs",
                "use super::M;\nuse crate::low;\npub struct P(low::L);",
            ),
            ("twin.rs", "use crate::mid::P;"),
            (
                "high.rs",
                "use crate::{low::L, mid::{self, P}};\npub struct H;",
            ),
            ("typed.rs", "use crate::low::L;"),
            ("main.rs", "use demo::H;"),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn an_upward_import_is_found_however_it_is_written() {
        for text in [
            "\nuse crate::high::H;",
            "\npub(crate) use crate::high::H;",
            "\nuse crate::{low::{self, M}, high::deep::H};",
            "\nfn f() { crate::high::g() }",
            "\nfn f() { use crate::high as h; }",
            "\nuse super::high::H;",
            "\nfn f() { println!(\"{}\", crate::high::g()) }",
            "\n#[doc(alias = crate::high::NAME)] struct L;",
            "\nmod inner { use super::super::high::H; }",
            "\nuse crate::H;",
            "\nuse zc_server::high::H;",
            "\ntype L = Vec<crate::high::H>;",
        ] {
            let high = ("high.rs", "pub struct H;");
            let found = faults(&[("low.rs", text), high]);
            let wanted = "low.rs:2 `high` is known in `low`, which stands below it";
            assert_eq!(found, [wanted], "{text}");
        }
    }

    #[test]
    fn who_uses_what_is_passed_on_knows_where_it_is_from() {
        let found = faults(&[
            ("low.rs", "use crate::mid::H;"),
            ("mid.rs", "pub use crate::high::H;"),
            ("high.rs", "pub struct H;"),
        ]);
        assert_eq!(
            found,
            [
                "low.rs:1 `high` is known in `low`, which stands below it",
                "mid.rs:1 `high` is known in `mid`, which stands below it",
            ]
        );
    }

    #[test]
    fn what_knows_a_few_alone_is_held_to_them() {
        let found = faults(&[("typed.rs", "use crate::low::L;\nuse crate::mid::M;")]);
        assert_eq!(found, Vec::<String>::new(), "there is no such file");
        let found = faults(&[("typed.rs", "\nuse crate::mid::M;"), ("mid.rs", "")]);
        assert_eq!(
            found,
            ["typed.rs:2 `mid` is known in `typed`, which knows low alone"]
        );
    }

    #[test]
    fn what_is_for_tests_alone_may_know_all() {
        let found = faults(&[
            (
                "low.rs",
                "#[cfg(test)]\nmod tests { use crate::high::H; }\n#[cfg(test)]\nuse crate::high::H;",
            ),
            (
                "mid/mod.rs",
                "#[cfg(test)]\nmod tests;\nimpl M { #[cfg(test)]\n fn f() { crate::high::g() } }",
            ),
            ("mid/tests.rs", "use crate::high::H;"),
            ("high.rs", "pub struct H;"),
        ]);
        assert_eq!(found, Vec::<String>::new());
        let found = faults(&[
            ("low.rs", "#[cfg(not(test))]\nuse crate::high::H;"),
            ("high.rs", ""),
        ]);
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn a_circle_is_told_with_its_lines() {
        let found = faults(&[
            ("mid/mod.rs", "mod a;\nmod b;\nmod c;"),
            ("mid/a.rs", "\nuse super::b::B;"),
            ("mid/b.rs", "\n\nfn f() { crate::mid::c::g() }"),
            ("mid/c.rs", "use crate::mid::a;\nuse super::b;"),
        ]);
        let [circle] = found.as_slice() else {
            panic!("{found:?}")
        };
        let wanted = "mid/b.rs:3 modules in a circle: mid::b -> mid::c -> mid::b, by ";
        assert!(circle.starts_with(wanted), "{circle}");
        assert!(
            circle.ends_with("src/mid/b.rs:3, zc-server/src/mid/c.rs:2"),
            "{circle}"
        );
    }

    #[test]
    fn rooms_of_one_line_may_know_each_other_one_way_only() {
        let there = ("mid/mod.rs", "mod a;\nmod b;");
        let back = ("twin/mod.rs", "mod c;\nmod d;");
        let one = ("mid/a.rs", "use crate::twin::c::C;");
        let other = ("twin/d.rs", "use crate::mid::b::B;");
        let ends = [("mid/b.rs", ""), ("twin/c.rs", "")];
        let one_way = faults(&[there, back, one, ("twin/d.rs", ""), ends[0], ends[1]]);
        assert_eq!(one_way, Vec::<String>::new());
        let both = faults(&[there, back, one, other, ends[0], ends[1]]);
        assert_eq!(both.len(), 1, "{both:?}");
        assert!(
            both[0].contains("rooms in a circle: mid -> twin -> mid"),
            "{both:?}"
        );
    }

    #[test]
    fn a_room_without_a_place_is_told_once() {
        let found = faults(&[("new/mod.rs", ""), ("new/part.rs", "")]);
        assert_eq!(
            found,
            ["new/mod.rs:1 the room `new` has no place in the order"]
        );
    }
}
