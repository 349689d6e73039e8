//! The colours of charts, in daylight and in the dark. A chart is drawn in those of daylight; the
//! style sheet of the page finds them by their value, and turns them with the theme of the reader.

use plotters::style::RGBColor;

/// What a colour stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Ink,
    Muted,
    Grid,
    Ours,
    Other,
    Floor,
    Copy,
    Sendfile,
    Splice,
    Auto,
    Warning,
}

impl Tone {
    const ALL: [Self; 11] = [
        Self::Ink,
        Self::Muted,
        Self::Grid,
        Self::Ours,
        Self::Other,
        Self::Floor,
        Self::Copy,
        Self::Sendfile,
        Self::Splice,
        Self::Auto,
        Self::Warning,
    ];

    /// Its name in the style sheet, and its colours by day and by night. No two are alike by day.
    fn entry(self) -> (&'static str, [u8; 3], [u8; 3]) {
        match self {
            Self::Ink => ("ink", [0x1b, 0x1f, 0x24], [0xe8, 0xea, 0xed]),
            Self::Muted => ("muted", [0x5a, 0x64, 0x70], [0x9d, 0xa7, 0xb3]),
            Self::Grid => ("grid", [0xe1, 0xe5, 0xea], [0x33, 0x3a, 0x44]),
            Self::Ours => ("ours", [0x0b, 0x62, 0xd6], [0x58, 0xa6, 0xff]),
            Self::Other => ("other", [0x8f, 0x9c, 0xab], [0x76, 0x83, 0x93]),
            Self::Floor => ("floor", [0xc9, 0xbd, 0x9a], [0x8a, 0x7d, 0x55]),
            Self::Copy => ("copy", [0xc2, 0x54, 0x0a], [0xf0, 0x88, 0x3e]),
            Self::Sendfile => ("sendfile", [0x0a, 0x63, 0xd7], [0x59, 0xa7, 0xff]),
            Self::Splice => ("splice", [0x0b, 0x80, 0x5f], [0x3f, 0xc0, 0x97]),
            Self::Auto => ("auto", [0x8a, 0x3f, 0xc4], [0xc0, 0x8a, 0xf5]),
            Self::Warning => ("warning", [0xb4, 0x23, 0x18], [0xff, 0x7b, 0x72]),
        }
    }

    /// Its name in the style sheet.
    pub(crate) fn name(self) -> &'static str {
        self.entry().0
    }

    /// The colour a chart is drawn in.
    pub(crate) fn colour(self) -> RGBColor {
        let [red, green, blue] = self.entry().1;
        RGBColor(red, green, blue)
    }
}

/// The colours as variables, and the rules by which charts take them.
pub(crate) fn style_sheet() -> String {
    let hex = |[red, green, blue]: [u8; 3]| format!("#{red:02X}{green:02X}{blue:02X}");
    let variables = |of: &dyn Fn(Tone) -> [u8; 3]| -> String {
        let one = |tone: &Tone| format!("--{}:{};", tone.name(), hex(of(*tone)));
        Tone::ALL.iter().map(one).collect()
    };
    let rules: String = Tone::ALL
        .iter()
        .map(|tone| {
            let (name, day, _) = tone.entry();
            let day = hex(day);
            format!(
                "svg [fill=\"{day}\"]{{fill:var(--{name})}}\
                 svg [stroke=\"{day}\"]{{stroke:var(--{name})}}\
                 .key.{name}{{--swatch:var(--{name})}}\n"
            )
        })
        .collect();
    format!(
        ":root{{{}}}\n@media (prefers-color-scheme: dark){{:root{{{}}}}}\n{rules}",
        variables(&|tone| tone.entry().1),
        variables(&|tone| tone.entry().2),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_tones_are_alike_by_day() {
        for (index, tone) in Tone::ALL.iter().enumerate() {
            for other in &Tone::ALL[..index] {
                assert_ne!(tone.colour(), other.colour(), "{tone:?} and {other:?}");
                assert_ne!(tone.name(), other.name());
            }
        }
    }

    #[test]
    fn every_tone_has_a_colour_by_night_and_a_rule() {
        let sheet = style_sheet();
        for tone in Tone::ALL {
            let name = tone.name();
            assert_eq!(sheet.matches(&format!("--{name}:#")).count(), 2, "{name}");
            assert!(sheet.contains(&format!("{{fill:var(--{name})}}")), "{name}");
            assert!(
                sheet.contains(&format!("{{stroke:var(--{name})}}")),
                "{name}"
            );
        }
    }
}
