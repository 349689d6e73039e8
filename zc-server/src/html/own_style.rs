//! A style of the operator, which the pages have behind that of the server.

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, fs, io};

use crate::text::OneLine;

/// The longest style, in bytes: every page has it.
const BYTES_MAX: u64 = 64 * 1024;
/// What would end the element that holds the style.
const END: &[u8] = b"</style";

/// The text of a style. A clone is another handle of the same.
#[derive(Debug, Clone)]
pub(crate) struct OwnStyle(Arc<str>);

/// Why a style cannot be used. Displayed in one line that says what to change.
#[derive(Debug)]
pub(crate) struct StyleError {
    path: PathBuf,
    fault: Fault,
}

#[derive(Debug)]
enum Fault {
    Unreadable(io::Error),
    NotAFile,
    TooLong,
    NotUtf8,
    /// The line that has [`END`].
    Ends {
        line: usize,
    },
}

impl OwnStyle {
    /// Reads the style at `path`.
    pub(crate) fn read(path: &Path) -> Result<Self, StyleError> {
        let read = || {
            // A pipe would be waited for.
            if !fs::metadata(path).map_err(Fault::Unreadable)?.is_file() {
                return Err(Fault::NotAFile);
            }
            let mut bytes = Vec::new();
            let file = File::open(path).map_err(Fault::Unreadable)?;
            let read = file.take(BYTES_MAX + 1).read_to_end(&mut bytes);
            read.map_err(Fault::Unreadable)?;
            Self::from_bytes(bytes)
        };
        read().map_err(|fault| StyleError {
            path: path.to_owned(),
            fault,
        })
    }

    fn from_bytes(bytes: Vec<u8>) -> Result<Self, Fault> {
        if bytes.len() as u64 > BYTES_MAX {
            return Err(Fault::TooLong);
        }
        let text = String::from_utf8(bytes).map_err(|_| Fault::NotUtf8)?;
        let ends = |line: &str| {
            let mut windows = line.as_bytes().windows(END.len());
            windows.any(|window| window.eq_ignore_ascii_case(END))
        };
        if let Some(line) = text.lines().position(ends) {
            return Err(Fault::Ends { line: line + 1 });
        }
        // A browser does the same before it compares the hash
        // (HTML §13.2.3.5, preprocessing the input stream; §13.2.5.3, RAWTEXT state).
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        Ok(Self(text.replace('\0', "\u{fffd}").into()))
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StyleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = OneLine(&self.path);
        f.write_str("--listing-style: ")?;
        match &self.fault {
            Fault::Unreadable(error) => write!(
                f,
                "cannot read `{path}`: {error}; create the file, or name another one"
            ),
            Fault::NotAFile => write!(f, "`{path}` is not a file; name a file of CSS"),
            Fault::TooLong => write!(
                f,
                "`{path}` has more than {} KiB, which every page would have; make it shorter",
                BYTES_MAX / 1024
            ),
            Fault::NotUtf8 => write!(f, "`{path}` is not UTF-8; save the file as UTF-8"),
            Fault::Ends { line } => write!(
                f,
                "{path}:{line}: `</style` would end the style; write `<\\/style` in a string, or remove it"
            ),
        }
    }
}

impl Error for StyleError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.fault {
            Fault::Unreadable(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_style_is_what_a_browser_reads() {
        for (bytes, text) in [
            ("a { color: red }", "a { color: red }"),
            ("\u{feff}a\r\nb\rc\n", "a\nb\nc\n"),
            ("a\0b", "a\u{fffd}b"),
            ("<style>", "<style>"),
            ("", ""),
        ] {
            let style = OwnStyle::from_bytes(bytes.into()).expect("a style");
            assert_eq!(style.text(), text);
        }
    }

    #[test]
    fn what_is_wrong_with_a_style_is_said_with_the_mend() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("s.css");
        let long = vec![b' '; 64 * 1024 + 1];
        for (bytes, said) in [
            (&b"a\nb </StYlE>"[..], "s.css:2: `</style` would end"),
            (b"\xff", "s.css` is not UTF-8; save"),
            (&long, "s.css` has more than 64 KiB"),
        ] {
            fs::write(&path, bytes).expect("a file");
            let error = OwnStyle::read(&path).expect_err("wrong").to_string();
            assert!(error.starts_with("--listing-style: "), "{error}");
            assert!(error.contains(said), "{error}");
        }
        fs::write(&path, &long[1..]).expect("a file");
        assert!(OwnStyle::read(&path).is_ok());
        let error = OwnStyle::read(directory.path()).expect_err("a directory");
        assert!(error.to_string().contains("is not a file"), "{error}");
        fs::remove_file(&path).expect("it is there");
        let error = OwnStyle::read(&path).expect_err("nothing");
        assert!(error.to_string().contains("cannot read"), "{error}");
    }
}
