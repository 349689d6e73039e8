//! The parts of a run. Each has one name: the command line, the progress, the headings of the report and
//! BENCHMARKING.md call it by that.

use clap::ValueEnum;

/// A part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Section {
    /// Microbenchmarks: parsing, heads, ranges, transfers.
    Micro,
    /// One video, copied and sent, with wrk as the client.
    Study,
    /// Files of 1 KiB to 300 MB, compared with bare system calls and other servers.
    Sizes,
    /// The same by TLS: long bodies, small files, handshakes, and idle connections.
    Tls,
    /// Small requests beside cold files and long downloads.
    Cold,
    /// Memory of idle connections.
    Idle,
}

impl Section {
    /// All of them, in the order in which they are measured.
    pub(crate) const ALL: [Self; 6] = [
        Self::Micro,
        Self::Study,
        Self::Sizes,
        Self::Tls,
        Self::Cold,
        Self::Idle,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Micro => "micro",
            Self::Study => "study",
            Self::Sizes => "sizes",
            Self::Tls => "tls",
            Self::Cold => "cold",
            Self::Idle => "idle",
        }
    }

    /// The name as a heading begins with it.
    pub(crate) fn title(self) -> String {
        let name = self.name();
        if self == Self::Tls {
            return name.to_uppercase();
        }
        let (first, rest) = name.split_at(1);
        first.to_uppercase() + rest
    }

    /// Whether it measures other servers. The Go program of the study is none of them.
    pub(crate) fn has_others(self) -> bool {
        match self {
            Self::Sizes | Self::Tls | Self::Cold | Self::Idle => true,
            Self::Micro | Self::Study => false,
        }
    }

    /// The heading in a report.
    pub(crate) fn heading(self) -> String {
        let what = match self {
            Self::Micro => "microbenchmarks",
            Self::Study => "one video, copied and sent",
            Self::Sizes => "files of 1 KiB to 300 MB",
            Self::Tls => "files, handshakes and idle connections by TLS 1.3",
            Self::Cold => "small requests beside cold files and long downloads",
            Self::Idle => "memory of idle connections",
        };
        format!("{}: {what}", self.title())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_and_headings_have_the_same_name() {
        let on_the_command_line: Vec<String> = Section::value_variants()
            .iter()
            .filter_map(|section| Some(section.to_possible_value()?.get_name().to_owned()))
            .collect();
        assert_eq!(on_the_command_line, Section::ALL.map(Section::name));
        for section in Section::ALL {
            let heading = section.heading().to_lowercase();
            assert!(heading.starts_with(&format!("{}: ", section.name())));
        }
    }

    #[test]
    fn benchmarking_md_has_a_row_for_each() {
        let path = crate::artifacts::root().join("BENCHMARKING.md");
        let text = std::fs::read_to_string(path).expect("a file of the repository");
        let table = text.split("## Sections\n").nth(1).expect("a table");
        let table = table.split("\n#").next().unwrap_or_default();
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
        let names: Vec<&str> = rows.filter_map(|row| row.split('`').next()).collect();
        assert_eq!(names, Section::ALL.map(Section::name));
    }
}
