//! Charts beside each other as one SVG: a row for each server, a column for each thing measured.

use std::fmt::Write;

use html_escape::encode_text as text;

use crate::bench::report::charts::{Mark, Row, Rows, Scale, short};

/// The width in pixels. A telephone shows the picture at about two thirds of it, and the least text,
/// of 15 px, is still read there.
const WIDTH: f64 = 560.0;
const PADDING: f64 = 16.0;
/// Before each column.
const GAP: f64 = 20.0;
/// About the width of a letter of the names of rows, in the widest of the usual fonts.
const LETTER: f64 = 9.2;
const ROW: f64 = 40.0;
const LINE: f64 = 20.0;

/// In which colours a picture is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Theme {
    Light,
    Dark,
}

/// A picture: text, columns of marks, and text.
#[derive(Debug, Clone, Default)]
pub(super) struct Grid {
    pub(super) title: String,
    /// Lines under the title.
    pub(super) lead: Vec<String>,
    /// What marks mean: the class of each, and its meaning.
    pub(super) keys: Vec<(&'static str, &'static str)>,
    pub(super) bands: Vec<Band>,
    /// Lines at the end.
    pub(super) foot: Vec<String>,
    pub(super) axis: Axis,
}

/// Columns over the same rows.
#[derive(Debug, Clone, Default)]
pub(super) struct Band {
    /// Stands above the names of the rows.
    pub(super) heading: String,
    /// Each with as many rows. The title and the unit are the two lines of its head.
    pub(super) columns: Vec<Rows>,
}

/// Which columns have one axis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Axis {
    /// All: they have one unit.
    #[default]
    Common,
    /// Those that stand below each other.
    OfColumn,
}

impl Theme {
    pub(super) const ALL: [Self; 2] = [Self::Light, Self::Dark];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    fn style(self) -> String {
        let [card, edge, ink, muted, ours, other, copy, missing] = match self {
            Self::Light => [
                "#ffffff", "#d9dee4", "#1b1f24", "#566069", "#0b62d6", "#8f9cab", "#c2540a",
                "#a3211a",
            ],
            Self::Dark => [
                "#0f1318", "#2c343e", "#e8eaed", "#a3adb8", "#58a6ff", "#768393", "#f0883e",
                "#ff9d96",
            ],
        };
        format!(
            "text{{font-family:system-ui,sans-serif;font-size:17px;fill:{ink}}}\
             .card{{fill:{card};stroke:{edge}}}\
             .title{{font-size:21px;font-weight:700}}\
             .small{{font-size:15px;fill:{muted}}}\
             .head,.our{{font-weight:700}}\
             .our{{fill:{ours}}}\
             .none{{fill:{missing}}}\
             .axis{{stroke:{edge}}}\
             .ours{{fill:{ours};stroke:{ours}}}\
             .other{{fill:{other};stroke:{other}}}\
             .copy{{fill:{copy};stroke:{copy}}}\
             .ring{{fill:{card};stroke-width:2}}\
             .line{{stroke-width:3}}\
             .gone{{stroke:{missing};stroke-width:2;stroke-dasharray:4 3}}\
             .reference{{stroke:{ours};stroke-width:2}}"
        )
    }
}

/// The SVG while it is written, from top to bottom.
struct Canvas {
    out: String,
    /// The bottom of what is there.
    y: f64,
}

impl Canvas {
    fn text(&mut self, class: &str, x: f64, y: f64, written: &str) {
        let class = if class.is_empty() {
            String::new()
        } else {
            format!(" class=\"{class}\"")
        };
        let written = text(written);
        // A `String` takes every write.
        let _ = writeln!(
            self.out,
            "<text{class} x=\"{x}\" y=\"{y}\">{written}</text>"
        );
    }

    fn lines(&mut self, class: &str, lines: &[String]) {
        for line in lines {
            self.y += LINE;
            self.text(class, PADDING, self.y, line);
        }
    }

    /// A mark from `left` to `right`, whose middle is at `y`.
    fn mark(&mut self, class: &str, tone: &str, left: f64, right: f64, y: f64) {
        let width = (right - left).max(1.0);
        let _ = match class {
            "ring" | "dot" => writeln!(
                self.out,
                "<circle class=\"{tone} {class}\" cx=\"{left:.1}\" cy=\"{y}\" r=\"5\"/>"
            ),
            "line" | "gone" => writeln!(
                self.out,
                "<line class=\"{tone} {class}\" x1=\"{left:.1}\" y1=\"{y}\" x2=\"{right:.1}\" y2=\"{y}\"/>"
            ),
            _ => writeln!(
                self.out,
                "<rect class=\"{tone}\" x=\"{left:.1}\" y=\"{}\" width=\"{width:.1}\" height=\"9\"/>",
                y - 4.5
            ),
        };
    }
}

impl Grid {
    /// The picture, with its text as a description.
    pub(super) fn svg(&self, theme: Theme) -> String {
        let mut canvas = Canvas {
            out: String::new(),
            y: PADDING + LINE - 4.0,
        };
        canvas.text("title", PADDING, canvas.y, &self.title);
        canvas.y += 4.0;
        canvas.lines("small", &self.lead);
        self.draw_keys(&mut canvas);
        let mut heads: Vec<(&str, &str)> = Vec::new();
        for band in &self.bands {
            self.draw_band(&mut canvas, band, &mut heads);
        }
        canvas.y += 6.0;
        canvas.lines("small", &self.foot);
        let height = canvas.y + PADDING;
        let (title, description) = (text(&self.title), self.description());
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
             viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"title desc\">\n\
             <title id=\"title\">{title}</title>\n<desc id=\"desc\">{}</desc>\n<style>{}</style>\n\
             <rect class=\"card\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"8\"/>\n{}</svg>\n",
            text(&description),
            theme.style(),
            WIDTH - 1.0,
            height - 1.0,
            canvas.out
        )
    }

    fn draw_keys(&self, canvas: &mut Canvas) {
        if self.keys.is_empty() {
            return;
        }
        canvas.y += LINE + 4.0;
        let mut x = PADDING + 6.0;
        for (class, meaning) in &self.keys {
            let (tone, mark) = class.split_once(' ').unwrap_or((class, "bar"));
            canvas.mark(mark, tone, x, x, canvas.y - 5.0);
            canvas.text("small", x + 12.0, canvas.y, meaning);
            x += 36.0 + (meaning.chars().count() as f64 * LETTER).round();
        }
    }

    fn draw_band<'g>(
        &'g self,
        canvas: &mut Canvas,
        band: &'g Band,
        heads: &mut Vec<(&'g str, &'g str)>,
    ) {
        // Columns of all bands are of one width, so that bars are of one scale.
        let count = self.bands.iter().map(|band| band.columns.len()).max();
        let labels = self.width_of_labels();
        let width = (WIDTH - 2.0 * PADDING - labels) / count.unwrap_or(1).max(1) as f64 - GAP;
        let left = |column: usize| PADDING + labels + GAP + column as f64 * (width + GAP);
        canvas.y += 12.0;
        let found: Vec<(&str, &str)> = band
            .columns
            .iter()
            .map(|column| (column.title.as_str(), column.unit))
            .collect();
        // Below equal heads they are not said again.
        if *heads != found {
            let has_units = found.iter().any(|(_, unit)| !unit.is_empty());
            canvas.y += LINE;
            for (column, (title, unit)) in found.iter().enumerate() {
                canvas.text("head", left(column), canvas.y, title);
                if has_units {
                    canvas.text("small", left(column), canvas.y + LINE - 2.0, unit);
                }
            }
            canvas.y += if has_units { LINE } else { 0.0 };
            *heads = found;
        }
        if !band.heading.is_empty() {
            canvas.y += LINE + 2.0;
            canvas.text("head", PADDING, canvas.y, &band.heading);
        }
        let top = canvas.y + 6.0;
        let labels = band.columns.first().map_or(&[][..], |column| &column.rows);
        for (index, row) in labels.iter().enumerate() {
            let y = top + index as f64 * ROW + 25.0;
            canvas.text(class_of_label(row), PADDING, y, &row.label);
        }
        canvas.y = top + labels.len() as f64 * ROW;
        for (index, column) in band.columns.iter().enumerate() {
            let range = self.range(index, column);
            draw_column(canvas, column, range, (left(index), width), top);
        }
        if band
            .columns
            .iter()
            .any(|column| column.scale == Scale::Logarithmic)
        {
            canvas.y += LINE;
        }
    }

    /// What the names of the rows have.
    fn width_of_labels(&self) -> f64 {
        let columns = self.bands.iter().flat_map(|band| &band.columns);
        let rows = columns.flat_map(|column| &column.rows);
        let longest = rows.map(|row| row.label.chars().count()).max();
        (longest.unwrap_or(0) as f64 * LETTER).round()
    }

    /// The ends of the axis of a column.
    fn range(&self, index: usize, column: &Rows) -> (f64, f64) {
        let all = self.bands.iter().flat_map(|band| match self.axis {
            Axis::Common => &band.columns[..],
            Axis::OfColumn => band.columns.get(index..=index).unwrap_or_default(),
        });
        all.map(Rows::range)
            .fold(column.range(), |(low, high), (from, to)| {
                (low.min(from), high.max(to))
            })
    }

    /// What is drawn, in words.
    fn description(&self) -> String {
        let mut said = self.lead.clone();
        for band in &self.bands {
            for column in &band.columns {
                let rows = column.rows.iter();
                let rows = rows.map(|row| format!("{} {}", row.label, row.value));
                let heads = [&band.heading, &column.title, column.unit];
                let heads: Vec<&str> = heads.into_iter().filter(|head| !head.is_empty()).collect();
                let rows: Vec<String> = rows.collect();
                said.push(format!("{}: {}.", heads.join(", "), rows.join(", ")));
            }
        }
        said.join(" ")
    }
}

fn class_of_label(row: &Row) -> &'static str {
    if row.label == "zc" { "our" } else { "" }
}

/// The marks of a column with the values above them, between `left` and `left + width`.
fn draw_column(
    canvas: &mut Canvas,
    column: &Rows,
    range: (f64, f64),
    (left, width): (f64, f64),
    top: f64,
) {
    let place = |value| left + column.place(value, range) / 100.0 * width;
    let bottom = top + column.rows.len() as f64 * ROW;
    let _ = writeln!(
        canvas.out,
        "<line class=\"axis\" x1=\"{left}\" y1=\"{top}\" x2=\"{left}\" y2=\"{bottom}\"/>"
    );
    for (index, row) in column.rows.iter().enumerate() {
        let y = top + index as f64 * ROW;
        let class = match row.marks.last() {
            _ if row.label == "zc" => "our",
            Some(Mark::Ring(_)) => "none",
            _ => "",
        };
        canvas.text(class, left + 4.0, y + 18.0, &row.value);
        if let Some(Mark::Ring(alone)) = row.marks.last() {
            canvas.mark("gone", "", place(*alone), left + width, y + 29.0);
        }
        for mark in &row.marks {
            let (class, low, high) = mark.drawn(range.0);
            if column.has_place(high) && (column.has_place(low) || class == "bar") {
                canvas.mark(class, row.tone, place(low), place(high), y + 29.0);
            }
        }
        // Over the bar, and not through the figures above it.
        if let Some(x) = column.reference.map(place) {
            let (from, to) = (y + 23.0, y + 35.0);
            let _ = writeln!(
                canvas.out,
                "<line class=\"reference\" x1=\"{x:.1}\" y1=\"{from}\" x2=\"{x:.1}\" y2=\"{to}\"/>"
            );
        }
    }
    if column.scale == Scale::Logarithmic {
        for tick in column.ticks(range) {
            let (x, y) = (place(tick), bottom + LINE - 2.0);
            let _ = writeln!(
                canvas.out,
                "<text class=\"small\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{}</text>",
                short(tick)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let row = |label: &str, tone, value: f64| Row {
            label: label.to_owned(),
            tone,
            marks: vec![Mark::Bar(value)],
            value: format!("{value}×"),
        };
        let column = |title: &str, theirs| Rows {
            title: title.to_owned(),
            unit: "",
            scale: Scale::FromZero,
            reference: None,
            keys: &[],
            rows: vec![row("zc", "ours", 1.0), row("a<b", "other", theirs)],
        };
        Grid {
            title: "CPU & more".to_owned(),
            lead: vec!["Less is better.".to_owned()],
            bands: vec![Band {
                heading: String::new(),
                columns: vec![column("1 KiB", 8.0), column("1 MiB", 2.0)],
            }],
            ..Grid::default()
        }
    }

    /// The widths of all bars of a tone.
    fn widths(svg: &str, tone: &str) -> Vec<f64> {
        let bar = format!("<rect class=\"{tone}\"");
        let bars = svg.split(&bar).skip(1);
        bars.map(|bar| {
            let width = bar.split("width=\"").nth(1).expect("a width");
            let width = width.split('"').next().expect("a number");
            width.parse().expect("a number")
        })
        .collect()
    }

    #[test]
    fn bars_are_as_long_as_their_values_over_all_columns() {
        let svg = grid().svg(Theme::Light);
        let (ours, others) = (widths(&svg, "ours"), widths(&svg, "other"));
        assert_eq!(ours[0], ours[1]);
        assert!((others[0] / ours[0] - 8.0).abs() < 0.1, "{svg}");
        assert!((others[1] / ours[1] - 2.0).abs() < 0.1, "{svg}");
        let by_column = Grid {
            axis: Axis::OfColumn,
            ..grid()
        };
        let others = widths(&by_column.svg(Theme::Light), "other");
        assert_eq!(others[0], others[1]);
    }

    #[test]
    fn a_picture_has_its_title_and_its_values_as_text() {
        for theme in Theme::ALL {
            let svg = grid().svg(theme);
            for part in [
                "<title id=\"title\">CPU &amp; more</title>",
                "<desc id=\"desc\">Less is better. 1 KiB: zc 1×, a&lt;b 8×. 1 MiB: zc 1×, a&lt;b 2×.</desc>",
                ">8×</text>",
                "<text class=\"our\" x=\"16\"",
                "font-family:system-ui,sans-serif",
            ] {
                assert!(svg.contains(part), "{part}: {svg}");
            }
            assert!(!svg.contains("a<b") && !svg.contains("NaN"), "{svg}");
        }
        assert_ne!(grid().svg(Theme::Light), grid().svg(Theme::Dark));
    }

    #[test]
    fn a_logarithmic_column_has_ticks_and_says_what_has_no_answer() {
        let mut grid = grid();
        let column = &mut grid.bands[0].columns[0];
        column.scale = Scale::Logarithmic;
        column.rows[0].marks = vec![Mark::Ring(0.2), Mark::Dot(90.0)];
        column.rows[1].marks = vec![Mark::Ring(0.2)];
        column.rows[1].value = "no answer".to_owned();
        grid.bands[0].columns.truncate(1);
        let svg = grid.svg(Theme::Dark);
        for part in [
            "<circle class=\"ours dot\"",
            "text-anchor=\"middle\">0.1</text>",
            "text-anchor=\"middle\">100</text>",
            "<text class=\"none\"",
            ">no answer</text>",
            "class=\" gone\"",
        ] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
    }
}
