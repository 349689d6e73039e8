//! What a document of Markdown has in it: code blocks, links, and the anchors of its headings.

use std::collections::BTreeSet;
use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// A document, as far as the checks read it.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) blocks: Vec<CodeBlock>,
    /// Comments of HTML that are blocks of their own.
    pub(crate) comments: Vec<Comment>,
    pub(crate) links: Vec<Link>,
    /// What a link can name behind `#`: slugs of headings, and ids.
    pub(crate) anchors: BTreeSet<String>,
}

/// A fenced code block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CodeBlock {
    /// The number of the line of the fence.
    pub(crate) line: usize,
    /// The first word behind the fence.
    pub(crate) language: String,
    pub(crate) text: String,
}

/// A comment of HTML, on lines of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Comment {
    /// The number of its last line.
    pub(crate) line: usize,
    /// What is between `<!--` and `-->`.
    pub(crate) text: String,
}

/// A link or a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) line: usize,
    pub(crate) target: String,
}

/// Attributes of HTML that name files.
const ATTRIBUTES_OF_LINKS: [&str; 3] = ["href", "src", "srcset"];
/// Attributes of HTML that a link can name.
const ATTRIBUTES_OF_ANCHORS: [&str; 2] = ["id", "name"];

impl Document {
    pub(crate) fn read(text: &str) -> Self {
        let mut reader = Reader {
            text,
            document: Self::default(),
            slugs: BTreeSet::new(),
            heading: None,
            is_code: false,
        };
        let options =
            Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES | Options::ENABLE_HEADING_ATTRIBUTES;
        for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
            reader.take(event, range);
        }
        let mut document = reader.document;
        document.anchors.extend(reader.slugs);
        document
    }
}

struct Reader<'a> {
    text: &'a str,
    document: Document,
    slugs: BTreeSet<String>,
    /// The text so far of the heading that is being read.
    heading: Option<String>,
    is_code: bool,
}

impl Reader<'_> {
    fn line(&self, offset: usize) -> usize {
        self.text[..offset].matches('\n').count() + 1
    }

    fn take(&mut self, event: Event<'_>, range: Range<usize>) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                let language = info.split([' ', ',']).next().unwrap_or_default();
                self.document.blocks.push(CodeBlock {
                    line: self.line(range.start),
                    language: language.to_owned(),
                    text: String::new(),
                });
                self.is_code = true;
            }
            Event::End(TagEnd::CodeBlock) => self.is_code = false,
            Event::Start(Tag::Heading { id, .. }) => {
                self.document.anchors.extend(id.map(String::from));
                self.heading = Some(String::new());
            }
            Event::End(TagEnd::Heading(_)) => {
                let slug = slug(&self.heading.take().unwrap_or_default());
                self.add_slug(&slug);
            }
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut self.heading {
                    heading.push_str(&text);
                } else if let (true, Some(block)) = (self.is_code, self.document.blocks.last_mut())
                {
                    block.text.push_str(&text);
                }
            }
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                self.add_link(&dest_url, range.start);
            }
            Event::Html(_) | Event::InlineHtml(_) => {
                self.take_html(range);
            }
            _ => {}
        }
    }

    /// Adds the slug of a heading; the second of the same text has a number behind it.
    fn add_slug(&mut self, slug: &str) {
        let numbered = (1..).map(|number| format!("{slug}-{number}"));
        let mut candidates = std::iter::once(slug.to_owned()).chain(numbered);
        let free = candidates.find(|candidate| !self.slugs.contains(candidate));
        self.slugs.extend(free);
    }

    fn add_link(&mut self, target: &str, offset: usize) {
        self.document.links.push(Link {
            line: self.line(offset),
            target: target.to_owned(),
        });
    }

    fn take_html(&mut self, range: Range<usize>) {
        let html = &self.text[range.clone()];
        let comment = html.trim().strip_prefix("<!--");
        if let Some(comment) = comment.and_then(|comment| comment.strip_suffix("-->")) {
            let end = range.start + html.trim_end().len();
            self.document.comments.push(Comment {
                line: self.line(end),
                text: comment.trim().to_owned(),
            });
            return;
        }
        for name in ATTRIBUTES_OF_LINKS {
            for value in attributes(html, name) {
                // Of several pictures in `srcset`, each has its width behind it.
                for link in value
                    .split(',')
                    .filter_map(|one| one.split_whitespace().next())
                {
                    self.add_link(link, range.start);
                }
            }
        }
        for name in ATTRIBUTES_OF_ANCHORS {
            let ids = attributes(html, name).map(str::to_owned);
            self.document.anchors.extend(ids);
        }
    }
}

/// The values of an attribute in a piece of HTML, which are between double quotes.
fn attributes<'a>(html: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let begin = format!("{name}=\"");
    let found = html
        .match_indices(&begin)
        .map(|(at, _)| (at, at + begin.len()));
    let found: Vec<_> = found
        .filter(|(at, _)| html[..*at].ends_with(char::is_whitespace))
        .collect();
    found
        .into_iter()
        .filter_map(move |(_, from)| html[from..].split('"').next())
}

/// The anchor of a heading, as mdBook and GitHub make it: letters, digits, `_` and `-` in lower case, and
/// a hyphen for each space.
pub(crate) fn slug(heading: &str) -> String {
    let lower = heading.trim().to_lowercase();
    let kept = lower.chars().filter_map(|found| match found {
        '_' | '-' => Some(found),
        _ if found.is_whitespace() => Some('-'),
        _ => found.is_alphanumeric().then_some(found),
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_with_their_language_and_line() {
        let text = "# A\n\n```sh\nls\n```\n\n- b\n  ```rust,no_run\n  fn f() {}\n  ```\n\n    ```sh\n    no fence\n";
        let blocks = Document::read(text).blocks;
        let wanted = [(3, "sh", "ls\n"), (8, "rust", "fn f() {}\n")];
        let found: Vec<_> = blocks
            .iter()
            .map(|block| (block.line, &*block.language, &*block.text))
            .take(2)
            .collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn comments_are_read_with_their_last_line() {
        let text = "a\n<!-- one -->\n```sh\nls\n```\n<!--\ntwo -->\n\n`<!-- code -->`\n";
        let comments = Document::read(text).comments;
        assert_eq!(comments[0].text, "one");
        assert_eq!(comments[0].line, 2);
        assert!(comments.iter().all(|comment| comment.text != "code"));
    }

    #[test]
    fn links_are_those_of_markdown_and_of_html_and_none_in_code() {
        let text = "[a](b.md#c) ![d](e.svg)\n| [f][g] |\n\n`[no](no.md)`\n\n```text\n[no](no.md)\n```\n\n\
                    <picture>\n<source srcset=\"dark.svg 2x, light.svg\">\n<img alt=\"\" src=\"h.png\">\n</picture>\n\n\
                    [g]: i.md\n";
        let links = Document::read(text).links;
        let found: Vec<_> = links
            .iter()
            .map(|link| (link.line, &*link.target))
            .collect();
        let wanted = [
            (1, "b.md#c"),
            (1, "e.svg"),
            (2, "i.md"),
            (11, "dark.svg"),
            (11, "light.svg"),
            (12, "h.png"),
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn anchors_are_slugs_and_ids() {
        let text = "# A `--b C`: d_e!\n## Same\n## Same\n## Named {#own}\n<a id=\"here\"></a>\n";
        let anchors = Document::read(text).anchors;
        for anchor in ["a---b-c-d_e", "same", "same-1", "own", "here"] {
            assert!(anchors.contains(anchor), "{anchor}: {anchors:?}");
        }
    }
}
