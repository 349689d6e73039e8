//! Relative links and pictures of all documents lead somewhere, to the heading as well.

use std::collections::BTreeMap;

use super::Finding;
use super::tree::Tree;
use crate::markdown::{Document, Link};

/// Looks for links to files and headings that are not there.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let texts = tree.texts().filter(|(path, _)| path.ends_with(".md"));
    let documents: BTreeMap<&str, Document> = texts
        .map(|(path, text)| (path, Document::read(text)))
        .collect();
    let mut findings = Vec::new();
    for (path, document) in &documents {
        for link in &document.links {
            if let Some((fault, mend)) = fault(tree, &documents, path, link) {
                findings.push(Finding {
                    path: (*path).to_owned(),
                    line: link.line,
                    fault,
                    mend: mend.to_owned(),
                });
            }
        }
    }
    findings
}

fn fault(
    tree: &Tree,
    documents: &BTreeMap<&str, Document>,
    from: &str,
    link: &Link,
) -> Option<(String, &'static str)> {
    // A scheme: what is elsewhere is not looked at.
    if link.target.contains(':') || link.target.is_empty() {
        return None;
    }
    let (path, anchor) = link.target.split_once('#').unwrap_or((&link.target, ""));
    let directory = from.rsplit_once('/').map_or("", |(directory, _)| directory);
    let target = match path {
        "" => from.to_owned(),
        path => joined(directory, path),
    };
    if !tree.has(&target) {
        let fault = format!("the link to {path} leads nowhere");
        return Some((fault, "link to where it is now"));
    }
    let document = documents.get(target.as_str())?;
    let is_there = anchor.is_empty() || document.anchors.contains(anchor);
    (!is_there).then(|| {
        let fault = format!("{target} has no heading #{anchor}");
        (fault, "link to a heading that is there")
    })
}

fn joined(directory: &str, link: &str) -> String {
    let mut parts: Vec<&str> = directory
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    for part in link.split('/') {
        match part {
            ".." => {
                parts.pop();
            }
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(document: &str) -> Vec<String> {
        let tree = Tree::of(&[
            ("docs/src/page.md", document),
            ("docs/src/other.md", "# Other page\n"),
            ("docs/src/images/a.svg", ""),
            ("README.md", "# zc\n\n## Quick start\n"),
            ("zc-core/src/cork.rs", ""),
        ]);
        let findings = check(&tree);
        let shown = findings
            .iter()
            .map(|finding| format!("{} {}", finding.line, finding.fault));
        shown.collect()
    }

    #[test]
    fn links_lead_somewhere() {
        let fine = "# Memory\n[a](../../zc-core/src/cork.rs#L1) [b](https://a.b/c#d) [c](#memory)\n\
                    [d](../../zc-core) [e](other.md#other-page) ![f](images/a.svg)\n\
                    [g](../../README.md#quick-start)\n";
        assert_eq!(faults(fine), [""; 0]);
        assert_eq!(
            faults("[a](cork.rs)\n\n<img src=\"images/b.svg\">\n"),
            [
                "1 the link to cork.rs leads nowhere",
                "3 the link to images/b.svg leads nowhere"
            ]
        );
    }

    #[test]
    fn anchors_are_those_of_the_document_that_is_linked_to() {
        assert_eq!(
            faults("# Here\n[a](#there) [b](other.md#here)\n"),
            [
                "2 docs/src/page.md has no heading #there",
                "2 docs/src/other.md has no heading #here"
            ]
        );
    }
}
