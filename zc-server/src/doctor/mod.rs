//! `zc-server doctor`: what this machine gives the server, found out by the calls that the server makes.
//!
//! A finding keeps its name in later versions. Each group is a file of this directory.

#[cfg(feature = "tls")]
mod https;
mod limits;
mod machine;
mod network;
mod root;

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::text::{OneLine, counted};

/// What was found out about a machine and a root. Displayed as text, one line for each finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    root: PathBuf,
    groups: Vec<(&'static str, Vec<Finding>)>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The same in every version: lower-case words with hyphens between them.
    pub name: String,
    /// Whether it is as it should be.
    pub state: State,
    /// Whether the server cannot start without it. Then it is [`State::Missing`].
    pub is_needed: bool,
    /// What was found and what that means, in one line.
    pub text: String,
    /// What can be done about it, if anything.
    pub mend: Option<String>,
}

/// Whether something is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is.
    Ok,
    /// It is there, and costs time or limits something.
    Warning,
    /// It is not there, and the server does without it, or cannot start.
    Missing,
    /// It could not be found out.
    Unknown,
}

impl State {
    /// The word for it, in text and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Missing => "missing",
            Self::Unknown => "unknown",
        }
    }
}

impl Finding {
    fn new(name: impl Into<String>, state: State, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            state,
            is_needed: false,
            text: text.into(),
            mend: None,
        }
    }

    fn ok(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(name, State::Ok, text)
    }

    fn warning(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(name, State::Warning, text)
    }

    fn missing(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(name, State::Missing, text)
    }

    fn unknown(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(name, State::Unknown, text)
    }

    fn with_mend(self, mend: impl Into<String>) -> Self {
        Self {
            mend: Some(mend.into()),
            ..self
        }
    }

    /// Without it the server does not start.
    fn needed(self) -> Self {
        Self {
            is_needed: true,
            ..self
        }
    }
}

/// Looks at this machine, and at `root` as at a directory or file that is to be served. It takes a tenth of a
/// second of CPU time where the kernel has TLS, and may wait as long as the filesystem of the root does. It
/// writes nothing. It listens on ports of the loopback interface, and connects to them.
#[must_use]
pub fn examine(root: &Path) -> Report {
    let groups = vec![
        ("Machine", machine::findings()),
        ("Root", root::findings(root)),
        #[cfg(feature = "tls")]
        ("HTTPS", https::findings()),
        ("Limits", limits::findings()),
        ("Network", network::findings()),
    ];
    Report {
        root: root.to_owned(),
        groups,
    }
}

impl Report {
    /// All findings, in the order of their groups.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.groups.iter().flat_map(|(_, findings)| findings)
    }

    /// Whether nothing is missing that a server needs to start.
    #[must_use]
    pub fn can_serve(&self) -> bool {
        !self.findings().any(|finding| finding.is_needed)
    }

    /// The same as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let object = |(group, finding): (&str, &Finding)| {
            json!({
                "group": group,
                "name": finding.name,
                "state": finding.state.as_str(),
                "needed": finding.is_needed,
                "text": finding.text,
                "mend": finding.mend,
            })
        };
        let grouped = self.groups.iter();
        let grouped = grouped
            .flat_map(|(group, findings)| findings.iter().map(move |finding| (*group, finding)));
        let findings: Vec<_> = grouped.map(object).collect();
        let report = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "root": self.root.to_string_lossy(),
            "can_serve": self.can_serve(),
            "findings": findings,
        });
        format!("{report:#}")
    }

    fn count(&self, state: State) -> u64 {
        let found = self.findings().filter(|finding| finding.state == state);
        found.count() as u64
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (version, root) = (env!("CARGO_PKG_VERSION"), OneLine(&self.root));
        writeln!(f, "zc-server {version}, root `{root}`")?;
        for (group, findings) in &self.groups {
            writeln!(f, "\n{group}")?;
            for finding in findings {
                let state = finding.state.as_str();
                write!(f, "  {state:<7} {}: {}", finding.name, finding.text)?;
                match &finding.mend {
                    Some(mend) => writeln!(f, "; {mend}")?,
                    None => writeln!(f)?,
                }
            }
        }
        let needed = self.findings().filter(|finding| finding.is_needed);
        let needed: Vec<&str> = needed.map(|finding| &*finding.name).collect();
        if needed.is_empty() {
            write!(f, "\nThe server can start here: ")?;
        } else {
            write!(
                f,
                "\nThe server cannot start here, see {}: ",
                needed.join(", ")
            )?;
        }
        let warnings = counted(self.count(State::Warning), "warning");
        let (missing, unknown) = (self.count(State::Missing), self.count(State::Unknown));
        write!(f, "{warnings}, {missing} missing, {unknown} unknown")
    }
}

/// A value below `/proc/sys`, where it can be read.
fn sysctl(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/sys/{path}")).ok()?;
    Some(text.trim().to_owned())
}

/// The same, of a value that is a number.
fn sysctl_number(path: &str) -> Option<u64> {
    sysctl(path)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(findings: Vec<Finding>) -> Report {
        Report {
            root: PathBuf::from("/srv"),
            groups: vec![("Machine", findings)],
        }
    }

    #[test]
    fn a_line_has_state_name_text_and_mend() {
        let report = report(vec![
            Finding::ok("cores", "2 processors"),
            Finding::missing("io-uring", "refused").with_mend("permit it"),
        ]);
        let version = env!("CARGO_PKG_VERSION");
        let expected = format!(
            "zc-server {version}, root `/srv`\n\nMachine\n  ok      cores: 2 processors\n  \
             missing io-uring: refused; permit it\n\n\
             The server can start here: 0 warnings, 1 missing, 0 unknown"
        );
        assert_eq!(report.to_string(), expected);
        assert!(report.can_serve());
    }

    #[test]
    fn what_is_needed_is_named_at_the_end() {
        let report = report(vec![Finding::missing("openat2", "refused").needed()]);
        assert!(!report.can_serve());
        let text = report.to_string();
        assert!(text.contains("cannot start here, see openat2: "), "{text}");
        let json: serde_json::Value = report.to_json().parse().expect("JSON");
        assert_eq!(json["can_serve"], false);
        let finding = json!({
            "group": "Machine", "name": "openat2", "state": "missing", "needed": true, "text": "refused",
            "mend": null,
        });
        assert_eq!(json["findings"], json!([finding]));
    }
}
