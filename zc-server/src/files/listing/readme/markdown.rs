//! Markdown → HTML. The HTML that stands in it is shown as text.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use crate::html::{Element, Fragment};

/// The HTML of a text: CommonMark, and of the extensions tables, strikethrough and lists of tasks.
pub(super) fn to_html(text: &str) -> Vec<u8> {
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut writer = Writer::default();
    for event in Parser::new_ext(text, options) {
        writer.on_event(event);
    }
    writer.fragment.finish()
}

#[derive(Debug, Default)]
struct Writer {
    fragment: Fragment,
    /// The picture whose text comes.
    image: Option<Image>,
    is_in_table_head: bool,
}

#[derive(Debug)]
struct Image {
    url: String,
    text: String,
    /// How many pictures stand in its text.
    nested: usize,
}

impl Writer {
    fn on_event(&mut self, event: Event<'_>) {
        match (event, &mut self.image) {
            (Event::Start(Tag::Image { .. }), Some(image)) => image.nested += 1,
            (Event::End(TagEnd::Image), Some(image)) if image.nested > 0 => image.nested -= 1,
            (Event::End(TagEnd::Image), Some(_)) => self.end_image(),
            (Event::Text(text) | Event::Code(text) | Event::InlineHtml(text), Some(image)) => {
                image.text.push_str(&text);
            }
            (Event::SoftBreak | Event::HardBreak, Some(image)) => image.text.push(' '),
            // The text of a picture has no elements.
            (_, Some(_)) => {}
            (Event::Start(tag), None) => self.start(tag),
            (Event::End(tag), None) => self.end(tag),
            (Event::Code(text), None) => {
                self.fragment.open(Element::Code);
                self.fragment.text(&text);
                self.fragment.close(Element::Code);
            }
            (Event::SoftBreak, None) => self.fragment.text("\n"),
            (Event::HardBreak, None) => self.fragment.open(Element::Br),
            (Event::Rule, None) => self.fragment.open(Element::Hr),
            (Event::TaskListMarker(is_done), None) => {
                self.fragment.text(if is_done { "☑ " } else { "☐ " });
            }
            (
                Event::Text(text)
                | Event::Html(text)
                | Event::InlineHtml(text)
                | Event::InlineMath(text)
                | Event::DisplayMath(text)
                | Event::FootnoteReference(text),
                None,
            ) => self.fragment.text(&text),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::List(Some(first)) => self.fragment.open_list_from(first),
            Tag::Link { dest_url, .. } => self.fragment.open_link(&dest_url),
            Tag::Image { dest_url, .. } => {
                self.image = Some(Image {
                    url: dest_url.into_string(),
                    text: String::new(),
                    nested: 0,
                });
            }
            Tag::TableHead => {
                self.is_in_table_head = true;
                self.fragment.open(Element::Thead);
                self.fragment.open(Element::Tr);
            }
            tag => {
                if let Some(element) = self.element_of(tag.to_end()) {
                    self.fragment.open(element);
                }
            }
        }
    }

    fn end(&mut self, tag: TagEnd) {
        if let Some(element) = self.element_of(tag) {
            self.fragment.close(element);
        }
        if tag == TagEnd::TableHead {
            self.is_in_table_head = false;
            self.fragment.open(Element::Tbody);
        }
    }

    fn end_image(&mut self) {
        if let Some(image) = self.image.take() {
            self.fragment.image(&image.url, &image.text);
        }
    }

    fn element_of(&self, tag: TagEnd) -> Option<Element> {
        Some(match tag {
            // Its lines are text.
            TagEnd::Paragraph | TagEnd::HtmlBlock => Element::P,
            TagEnd::Heading(level) => match level {
                HeadingLevel::H1 => Element::H1,
                HeadingLevel::H2 => Element::H2,
                HeadingLevel::H3 => Element::H3,
                HeadingLevel::H4 => Element::H4,
                HeadingLevel::H5 => Element::H5,
                HeadingLevel::H6 => Element::H6,
            },
            TagEnd::BlockQuote(_) => Element::Blockquote,
            TagEnd::CodeBlock => Element::Pre,
            TagEnd::List(true) => Element::Ol,
            TagEnd::List(false) => Element::Ul,
            TagEnd::Item => Element::Li,
            TagEnd::Table => Element::Table,
            TagEnd::TableHead => Element::Thead,
            TagEnd::TableRow => Element::Tr,
            TagEnd::TableCell if self.is_in_table_head => Element::Th,
            TagEnd::TableCell => Element::Td,
            TagEnd::Emphasis => Element::Em,
            TagEnd::Strong => Element::Strong,
            TagEnd::Strikethrough => Element::Del,
            TagEnd::Link => Element::A,
            // Extensions that are off.
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::html::assert_is_harmless;

    fn html(text: &str) -> String {
        let html = to_html(text);
        assert_is_harmless(&html);
        String::from_utf8(html).expect("UTF-8")
    }

    #[test]
    fn what_markdown_has_is_written() {
        for (text, expected) in [
            ("# A *b*\n", "<h1>A <em>b</em></h1>\n"),
            ("a\nb  \nc", "<p>a\nb<br>c</p>\n"),
            ("`<b>`", "<p><code>&lt;b&gt;</code></p>\n"),
            ("```sh\na < b\n```", "<pre>a &lt; b\n</pre>\n"),
            ("- a\n- [x] b", "<ul><li>a</li>\n<li>☑ b</li>\n</ul>\n"),
            ("3. a", "<ol start=\"3\"><li>a</li>\n</ol>\n"),
            ("~~a~~ **b**", "<p><del>a</del> <strong>b</strong></p>\n"),
            (
                "|a|b|\n|-|-|\n|1|2|\n",
                "<table><thead><tr><th>a</th>\n<th>b</th>\n</tr></thead>\n<tbody><tr><td>1</td>\n<td>2</td>\n</tr>\n\
                 </tbody></table>\n",
            ),
            ("> a", "<blockquote><p>a</p>\n</blockquote>\n"),
            ("---", "<hr>"),
            (
                "[a](b%20c \"t\") <https://d/>",
                "<p><a href=\"b%20c\">a</a> <a href=\"https:&#x2F;&#x2F;d&#x2F;\">https:&#x2F;&#x2F;d&#x2F;</a></p>\n",
            ),
            (
                "![*a* `b` ![c](d)](e.png)",
                "<p><img src=\"e.png\" alt=\"a b c\"></p>\n",
            ),
        ] {
            assert_eq!(html(text), expected, "{text}");
        }
    }

    #[test]
    fn nothing_in_it_runs() {
        for text in [
            "<script>alert(1)</script>",
            "a <img src=x onerror=alert(1)> b",
            "<div>\n*a*\n</div>",
            "[a](javascript:alert(1))",
            "[a](JAVASCRIPT&colon;alert(1))",
            "[a](java&#10;script:alert(1))",
            "[a](<data:text/html,x>)",
            "<javascript:alert(1)>",
            "[a]\n\n[a]: javascript:alert(1)",
            "![a](https://evil.example/x.png)",
            "![a](//evil.example/x.png)",
            "[a](b\"onclick=\"alert\\(1\\))",
            "```\"><script>\n</code></pre><script>\n```",
            "<!-- --><script>",
        ] {
            let html = html(text);
            for live in ["<script", "<img", "<div", "href=\"java", "href=\"data"] {
                assert!(!html.contains(live), "{text}: {html}");
            }
        }
    }

    proptest! {
        #[test]
        fn of_any_text_harmless_html_is_made(pieces in prop::collection::vec(
            prop::sample::select(vec![
                "# ", "\n", "\n\n", "- ", "1. ", "> ", "`", "```", "*", "**", "~~", "[", "](", ")", "![", "<", ">", "</",
                "a", "b c", "javascript:", "http://", "|", "|-|\n", "<script>", "</p>", "<!--", "-->", "&lt;", "&#58;",
                "\"", "'", "\\", "\u{0}", "\t", "    ", "[x] ", "<a href=", "]: ", "ü", "\r",
            ]), 0..60)) {
            html(&pieces.concat());
        }

        #[test]
        fn of_any_bytes_harmless_html_is_made(bytes: Vec<u8>) {
            html(&String::from_utf8_lossy(&bytes));
        }
    }
}
