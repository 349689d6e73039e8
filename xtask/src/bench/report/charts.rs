//! Charts: rows of marks over a common scale, and lines over time.

use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::numbers::decimals;
use super::palette::Tone;
use super::sheet::{
    AXIS_HEIGHT, Area, Axes, Drawn, FINE, Frame, Place, WIDTH, drawn, on_axes, stroke, text,
    text_width,
};

const ROW_HEIGHT: i32 = 22;
/// Half the thickness of a bar, as part of a row.
const BAR_HALF: f64 = 0.27;
const LINES_HEIGHT: i32 = 210;
/// Runs with fewer points than these show each of them.
const POINTS_SHOWN_MAX: usize = 30;

/// How values are laid along the horizontal axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    FromZero,
    Logarithmic,
}

/// One thing that stands in a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Mark {
    /// From the beginning of the axis.
    Bar(f64),
    /// From the least to the greatest.
    Whisker(f64, f64),
    Line(f64, f64),
    Thick(f64, f64),
    Dot(f64),
    Ring(f64),
    Tick(f64),
}

/// A row: who, what is drawn, and the figure at its end.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) label: String,
    pub(crate) tone: Tone,
    /// Paler, where two rows have one tone.
    pub(crate) is_pale: bool,
    pub(crate) marks: Vec<Mark>,
    /// At the right end.
    pub(crate) value: String,
    /// In place of marks.
    pub(crate) note: Option<String>,
}

/// A chart of rows.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    pub(crate) title: String,
    pub(crate) unit: String,
    pub(crate) scale: Scale,
    /// What the figures at the ends are, where they are not simply what is drawn.
    pub(crate) values: Option<String>,
    /// Where a line across all rows stands.
    pub(crate) reference: Option<f64>,
    pub(crate) rows: Vec<Row>,
}

/// A line over time, one point a second.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) label: String,
    pub(crate) tone: Tone,
    pub(crate) is_dashed: bool,
    pub(crate) points: Vec<f64>,
}

/// A chart of lines over seconds.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    pub(crate) title: String,
    pub(crate) unit: String,
    pub(crate) lines: Vec<Line>,
}

impl Mark {
    fn values(self) -> Vec<f64> {
        match self {
            Self::Bar(at) | Self::Dot(at) | Self::Ring(at) | Self::Tick(at) => vec![at],
            Self::Whisker(from, to) | Self::Line(from, to) | Self::Thick(from, to) => {
                vec![from, to]
            }
        }
    }

    /// Whether it has a place: nothing is drawn of what is not a number, nor, on a logarithmic axis,
    /// of zero.
    fn is_drawable(self, scale: Scale) -> bool {
        let has_place = |value: &f64| match scale {
            Scale::FromZero => value.is_finite() && *value >= 0.0,
            Scale::Logarithmic => value.is_finite() && *value > 0.0,
        };
        self.values().iter().all(has_place)
    }
}

impl Rows {
    /// The chart as an element of a page.
    pub(crate) fn svg(&self) -> anyhow::Result<String> {
        let head = if self.values.is_some() { 20 } else { 6 };
        let height = head + ROW_HEIGHT * self.rows.len() as i32 + AXIS_HEIGHT;
        drawn(&self.title, height, |root| {
            let widest = |text: &dyn Fn(&Row) -> &str| {
                let width = |row: &Row| {
                    let regular = text_width(text(row).chars().count());
                    // Bold letters are wider.
                    let is_bold = row.tone == Tone::Ours;
                    if is_bold { regular * 11 / 10 } else { regular }
                };
                self.rows.iter().map(width).max().unwrap_or(0)
            };
            let frame = Frame {
                top: head,
                bottom: AXIS_HEIGHT,
                left: widest(&|row| &row.label) + 10,
                right: (widest(&|row| &row.value) + 8).max(16),
            };
            let (from, to) = self.range();
            let rows = 0.0..self.rows.len().max(1) as f64;
            let draw: &dyn Fn(Place<'_>) -> Drawn = &|place| self.draw(root, place, (from, to));
            match self.scale {
                Scale::FromZero => on_axes(root, &frame, (from..to, rows), self.axes(), draw)?,
                Scale::Logarithmic => {
                    on_axes(
                        root,
                        &frame,
                        ((from..to).log_scale(), rows),
                        self.axes(),
                        draw,
                    )?;
                }
            }
            if let Some(values) = &self.values {
                let at = (WIDTH - 1, head / 2);
                text(root, values, at, HPos::Right, Tone::Muted, false)?;
            }
            Ok(())
        })
    }

    fn axes(&self) -> Axes<'_> {
        Axes {
            below: &self.unit,
            beside: None,
        }
    }

    /// The values at both ends of the axis.
    fn range(&self) -> (f64, f64) {
        let marks = self.rows.iter().flat_map(|row| &row.marks);
        let drawable = marks.filter(|mark| mark.is_drawable(self.scale));
        let values = drawable.flat_map(|mark| mark.values());
        let values: Vec<f64> = values.chain(self.reference).collect();
        let highest = values.iter().copied().fold(f64::MIN, f64::max);
        let lowest = values.iter().copied().fold(f64::MAX, f64::min);
        match self.scale {
            Scale::FromZero if highest > 0.0 => (0.0, highest * 1.03),
            Scale::FromZero => (0.0, 1.0),
            Scale::Logarithmic if values.is_empty() => (0.999, 10.01),
            Scale::Logarithmic => {
                // Whole decades, and a little more on both sides so that rounding loses no tick.
                let from = (lowest * 0.9).log10().floor();
                let to = highest.log10().ceil().max(from + 1.0);
                (10_f64.powf(from) * 0.999, 10_f64.powf(to) * 1.001)
            }
        }
    }

    fn draw(&self, root: &Area<'_>, place: Place<'_>, (from, to): (f64, f64)) -> Drawn {
        let count = self.rows.len() as f64;
        if let Some(reference) = self.reference {
            let line = vec![place(reference, 0.0), place(reference, count)];
            root.draw(&PathElement::new(line, stroke(Tone::Muted, 10)))?;
        }
        for (index, row) in self.rows.iter().enumerate() {
            // The first row stands on top.
            let middle = count - index as f64 - 0.5;
            let is_drawable = |mark: &&Mark| mark.is_drawable(self.scale);
            for mark in row.marks.iter().filter(is_drawable) {
                draw_mark(root, place, (from, middle), *mark, row)?;
            }
            let (left, y) = place(from, middle);
            let y = y / FINE;
            let is_ours = row.tone == Tone::Ours;
            let at = (left / FINE - 7, y);
            text(root, &row.label, at, HPos::Right, Tone::Ink, is_ours)?;
            text(
                root,
                &row.value,
                (WIDTH - 1, y),
                HPos::Right,
                Tone::Ink,
                is_ours,
            )?;
            if let Some(note) = &row.note {
                let (at, anchor) = self.free_place(row, place, (from, to));
                text(root, note, (at, y), anchor, Tone::Warning, false)?;
            }
        }
        Ok(())
    }

    /// Where a note meets no mark of its row: after the last or before the first, whichever side has
    /// more room.
    fn free_place(&self, row: &Row, place: Place<'_>, (from, to): (f64, f64)) -> (i32, HPos) {
        let at = |value: f64| place(value, 0.0).0 / FINE;
        let marks = row.marks.iter().filter(|mark| mark.is_drawable(self.scale));
        let taken: Vec<i32> = marks.flat_map(|mark| mark.values()).map(at).collect();
        match (taken.iter().min(), taken.iter().max()) {
            (Some(first), Some(last)) if first - at(from) > at(to) - last => {
                (first - 12, HPos::Right)
            }
            (_, Some(last)) => (last + 12, HPos::Left),
            _ => (at(from) + 4, HPos::Left),
        }
    }
}

fn draw_mark(
    root: &Area<'_>,
    place: Place<'_>,
    (from, middle): (f64, f64),
    mark: Mark,
    row: &Row,
) -> Drawn {
    let colour = row.tone.colour().mix(if row.is_pale { 0.55 } else { 1.0 });
    let path = |points: Vec<(f64, f64)>, style: ShapeStyle| {
        let points: Vec<_> = points.into_iter().map(|(x, y)| place(x, y)).collect();
        PathElement::new(points, style)
    };
    let across = |at: f64, half: f64| vec![(at, middle - half), (at, middle + half)];
    match mark {
        Mark::Bar(to) => {
            let corners = [place(from, middle + BAR_HALF), place(to, middle - BAR_HALF)];
            root.draw(&Rectangle::new(corners, colour.filled()))?;
        }
        Mark::Whisker(low, high) => {
            let style = stroke(Tone::Ink, 12);
            root.draw(&path(vec![(low, middle), (high, middle)], style))?;
            for end in [low, high] {
                root.draw(&path(across(end, 0.14), style))?;
            }
        }
        Mark::Line(from, to) => {
            let style = colour.stroke_width(12);
            root.draw(&path(vec![(from, middle), (to, middle)], style))?;
        }
        Mark::Thick(from, to) => {
            let style = colour.stroke_width(70);
            root.draw(&path(vec![(from, middle), (to, middle)], style))?;
        }
        Mark::Dot(at) => {
            let dot = Circle::new(place(at, middle), 45, colour.filled());
            root.draw(&dot)?;
        }
        Mark::Ring(at) => {
            let ring = Circle::new(place(at, middle), 38, stroke(Tone::Ink, 14));
            root.draw(&ring)?;
        }
        Mark::Tick(at) => root.draw(&path(across(at, 0.25), colour.stroke_width(15)))?,
    }
    Ok(())
}

impl Lines {
    /// The chart as an element of a page.
    pub(crate) fn svg(&self) -> anyhow::Result<String> {
        drawn(&self.title, LINES_HEIGHT, |root| {
            let points = self.lines.iter().flat_map(|line| &line.points);
            let highest = points
                .copied()
                .filter(|y| y.is_finite())
                .fold(0.0, f64::max);
            let highest = if highest > 0.0 { highest * 1.08 } else { 1.0 };
            let seconds = self.lines.iter().map(|line| line.points.len()).max();
            let seconds = seconds.unwrap_or(0).max(1) as f64;
            let frame = Frame {
                top: 24,
                bottom: AXIS_HEIGHT,
                left: text_width(decimals(highest.ceil()).len().max(3)) + 10,
                right: 10,
            };
            let axes = Axes {
                below: "seconds since the beginning",
                beside: Some(&self.unit),
            };
            let ranges = (0.0..seconds, 0.0..highest);
            on_axes(root, &frame, ranges, axes, &|place| {
                self.lines
                    .iter()
                    .try_for_each(|line| draw_line(root, place, line))
            })
        })
    }
}

fn draw_line(root: &Area<'_>, place: Place<'_>, line: &Line) -> Drawn {
    let colour = line.tone.colour();
    let points: Vec<(i32, i32)> = line
        .points
        .iter()
        .enumerate()
        .filter(|(_, y)| y.is_finite() && **y >= 0.0)
        // A figure is of the second that ends there.
        .map(|(index, y)| place(index as f64 + 1.0, *y))
        .collect();
    if line.points.len() <= POINTS_SHOWN_MAX {
        for point in &points {
            let size = if line.points.len() == 1 { 40 } else { 22 };
            let style = if line.is_dashed {
                colour.stroke_width(14)
            } else {
                colour.filled()
            };
            root.draw(&Circle::new(*point, size, style))?;
        }
    }
    if points.len() < 2 {
        return Ok(());
    }
    let style = colour.stroke_width(16);
    if line.is_dashed {
        root.draw(&DashedPathElement::new(points, 50, 40, style))?;
    } else {
        root.draw(&PathElement::new(points, style))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(label: &str, marks: Vec<Mark>) -> Row {
        Row {
            label: label.to_owned(),
            tone: Tone::Other,
            is_pale: false,
            marks,
            value: "42".to_owned(),
            note: None,
        }
    }

    fn rows(scale: Scale, rows: Vec<Row>) -> String {
        let chart = Rows {
            title: "A \"title\"".to_owned(),
            unit: "units each".to_owned(),
            scale,
            values: None,
            reference: None,
            rows,
        };
        checked(&chart.svg().expect("a chart"))
    }

    fn lines(points: Vec<f64>) -> String {
        let line = Line {
            label: "a line".to_owned(),
            tone: Tone::Copy,
            is_dashed: false,
            points,
        };
        let dashed = Line {
            is_dashed: true,
            ..line.clone()
        };
        let chart = Lines {
            title: "Lines".to_owned(),
            unit: "units".to_owned(),
            lines: vec![line, dashed],
        };
        checked(&chart.svg().expect("a chart"))
    }

    /// What holds of every chart.
    fn checked(svg: &str) -> String {
        assert!(svg.starts_with("<svg viewBox=\"0 0 3600 "), "{svg}");
        assert!(svg.trim_end().ends_with("</svg>"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        svg.to_owned()
    }

    #[test]
    fn labels_figures_units_and_ticks_are_text() {
        let svg = rows(
            Scale::FromZero,
            vec![
                row("first", vec![Mark::Bar(10.0)]),
                row("a<b", vec![Mark::Bar(5.0), Mark::Whisker(4.0, 6.0)]),
            ],
        );
        for text in ["first", "a&lt;b", "42", "units each", "10"] {
            assert!(
                svg.contains(&format!(">\n{text}\n</text>")),
                "{text}: {svg}"
            );
        }
        assert!(svg.contains("aria-label=\"A &quot;title&quot;\""));
        // The sheet, and one bar each.
        assert_eq!(svg.matches("<rect").count(), 2);
    }

    #[test]
    fn rows_of_nothing_of_zero_and_of_what_is_no_number_are_drawn() {
        for scale in [Scale::FromZero, Scale::Logarithmic] {
            rows(scale, vec![]);
            rows(scale, vec![row("none", vec![])]);
            for number in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE, 1e300] {
                rows(
                    scale,
                    vec![row(
                        "one",
                        vec![
                            Mark::Bar(number),
                            Mark::Whisker(number, number),
                            Mark::Line(number, number),
                            Mark::Thick(number, number),
                            Mark::Dot(number),
                            Mark::Ring(number),
                            Mark::Tick(number),
                        ],
                    )],
                );
            }
        }
    }

    #[test]
    fn a_logarithmic_axis_has_a_tick_at_every_decade() {
        let svg = rows(
            Scale::Logarithmic,
            vec![row("one", vec![Mark::Line(0.2, 800.0)])],
        );
        for tick in ["0.1", "1", "10", "100", "1,000"] {
            assert!(
                svg.contains(&format!(">\n{tick}\n</text>")),
                "{tick}: {svg}"
            );
        }
    }

    #[test]
    fn a_note_stands_where_no_mark_does() {
        let mut noted = row("one", vec![Mark::Ring(2.0)]);
        noted.note = Some("no answer".to_owned());
        let with_mark_at = |at: f64| {
            let mut noted = noted.clone();
            noted.marks = vec![Mark::Ring(at)];
            let other = row("other", vec![Mark::Dot(1.0), Mark::Dot(100.0)]);
            let svg = rows(Scale::Logarithmic, vec![noted, other]);
            let before = svg
                .split("no answer")
                .next()
                .expect("text before")
                .to_owned();
            before
                .rsplit("<text")
                .next()
                .expect("its element")
                .to_owned()
        };
        assert!(with_mark_at(2.0).contains("text-anchor=\"start\""));
        assert!(with_mark_at(90.0).contains("text-anchor=\"end\""));
    }

    #[test]
    fn lines_of_no_point_one_point_and_zeros_are_drawn() {
        lines(vec![]);
        assert!(lines(vec![5.0]).contains("<circle"));
        lines(vec![0.0, 0.0]);
        lines(vec![f64::NAN, f64::INFINITY, -1.0]);
        let many = lines((0..120).map(f64::from).collect());
        assert!(many.contains("<polyline") && !many.contains("<circle"));
        assert!(many.contains("seconds since the beginning"));
    }
}
