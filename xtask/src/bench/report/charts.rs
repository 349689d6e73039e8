//! Charts as elements of the page: rows of marks over a common scale, and lines over time. What is drawn
//! takes its colours from `page.css`, by the name of its tone.

use std::fmt::Write;

use html_escape::encode_text as text;

use super::numbers::decimals;

/// How values are laid along the horizontal axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    FromZero,
    Logarithmic,
}

/// One thing that stands in a row, by its values.
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
}

/// A row: who, in which colour, what is drawn, and the figure at its end.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) label: String,
    pub(crate) tone: &'static str,
    pub(crate) marks: Vec<Mark>,
    pub(crate) value: String,
}

/// A chart of rows.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    pub(crate) title: String,
    pub(crate) unit: &'static str,
    pub(crate) scale: Scale,
    /// Where a line across all rows stands.
    pub(crate) reference: Option<f64>,
    /// What marks mean: how each is drawn, and its meaning.
    pub(crate) keys: &'static [(&'static str, &'static str)],
    pub(crate) rows: Vec<Row>,
}

/// A line over time, one point a second.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) label: String,
    pub(crate) tone: &'static str,
    pub(crate) is_dashed: bool,
    pub(crate) points: Vec<f64>,
}

/// A chart of lines over seconds.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) lines: Vec<Line>,
}

impl Mark {
    /// How it is drawn, where it begins and where it ends.
    pub(crate) fn drawn(self, from: f64) -> (&'static str, f64, f64) {
        match self {
            Self::Bar(to) => ("bar", from, to),
            Self::Whisker(low, high) => ("whisker", low, high),
            Self::Line(a, b) => ("line", a.min(b), a.max(b)),
            Self::Thick(low, high) => ("thick", low, high),
            Self::Dot(at) => ("dot", at, at),
            Self::Ring(at) => ("ring", at, at),
        }
    }
}

impl Rows {
    /// The values at both ends of the axis.
    pub(crate) fn range(&self) -> (f64, f64) {
        let marks = self.rows.iter().flat_map(|row| &row.marks);
        let ends = marks.flat_map(|mark| {
            let (_, low, high) = mark.drawn(f64::NAN);
            [low, high]
        });
        let values: Vec<f64> = ends
            .chain(self.reference)
            .filter(|value| self.has_place(*value))
            .collect();
        let highest = values.iter().copied().fold(0.0, f64::max);
        let lowest = values.iter().copied().fold(highest, f64::min);
        match self.scale {
            Scale::FromZero if highest > 0.0 => (0.0, highest * 1.03),
            Scale::FromZero => (0.0, 1.0),
            Scale::Logarithmic if values.is_empty() => (1.0, 10.0),
            // Whole decades, and one more where a bar of the least would have no length.
            Scale::Logarithmic => {
                let from = (lowest * 0.99).log10().floor();
                let to = highest.log10().ceil().max(from + 1.0);
                (10_f64.powf(from), 10_f64.powf(to))
            }
        }
    }

    /// Nothing is drawn of what is not a number, nor, on a logarithmic axis, of zero.
    pub(crate) fn has_place(&self, value: f64) -> bool {
        let is_enough = match self.scale {
            Scale::FromZero => value >= 0.0,
            Scale::Logarithmic => value > 0.0,
        };
        is_enough && value.is_finite()
    }

    /// Where a value stands, in hundredths of the axis.
    pub(crate) fn place(&self, value: f64, (from, to): (f64, f64)) -> f64 {
        100.0
            * match self.scale {
                Scale::FromZero => value / to,
                Scale::Logarithmic => (value.log10() - from.log10()) / (to / from).log10(),
            }
    }

    /// The chart as an element of a page.
    pub(crate) fn html(&self) -> String {
        let range = self.range();
        let place = |value| self.place(value, range);
        let mut out = String::from("<div class=\"rows\">\n");
        for row in &self.rows {
            let mut track = String::new();
            if let Some(reference) = self.reference {
                let at = place(reference);
                let _ = write!(track, "<i class=\"reference\" style=\"left:{at:.1}%\"></i>");
            }
            for mark in &row.marks {
                let (class, low, high) = mark.drawn(range.0);
                if self.has_place(high) && (self.has_place(low) || class == "bar") {
                    let (left, right) = (place(low), place(high));
                    let width = right - left;
                    let style = format!("left:{left:.1}%;width:{width:.1}%");
                    let _ = write!(track, "<i class=\"{class}\" style=\"{style}\"></i>");
                }
            }
            let (label, value) = (text(&row.label), text(&row.value));
            let _ = writeln!(
                out,
                "<div class=\"row {}\"><span>{label}</span><span class=\"track\">{track}</span>\
                 <span>{value}</span></div>",
                row.tone
            );
        }
        let ticks: String = self
            .ticks(range)
            .into_iter()
            .map(|tick| {
                let at = place(tick);
                format!("<i style=\"left:{at:.1}%\">{}</i>", short(tick))
            })
            .collect();
        let _ = writeln!(
            out,
            "<div class=\"row ticks\"><span></span><span class=\"track\">{ticks}</span><span></span></div>\n</div>"
        );
        figure(&self.title, self.unit, &out, &keys(self.keys))
    }

    pub(crate) fn ticks(&self, (from, to): (f64, f64)) -> Vec<f64> {
        match self.scale {
            Scale::FromZero => {
                let step = step(to);
                (0..)
                    .map(|count| f64::from(count) * step)
                    .take_while(|tick| *tick <= to)
                    .collect()
            }
            Scale::Logarithmic => {
                let decades = (to / from).log10().round() as i32;
                // Of many decades not all have the room.
                let every = decades.unsigned_abs().div_ceil(4) as usize;
                let decades = (0..=decades).step_by(every);
                decades.map(|decade| from * 10_f64.powi(decade)).collect()
            }
        }
    }
}

/// A round number of which three to seven make so much.
fn step(of: f64) -> f64 {
    let decade = 10_f64.powf(of.log10().floor());
    let steps = [0.2, 0.5, 1.0, 2.0];
    decade
        * steps
            .into_iter()
            .find(|step| of / (decade * step) <= 6.0)
            .unwrap_or(2.0)
}

/// The figure at a tick.
pub(crate) fn short(number: f64) -> String {
    let text = decimals(number);
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// The room that lines have, without the figures beside and below.
const WIDTH: f64 = 308.0;
const HEIGHT: f64 = 172.0;
/// What is left of it, and above.
const LEFT: f64 = 44.0;
const TOP: f64 = 8.0;

impl Lines {
    /// The chart as an element of a page.
    pub(crate) fn html(&self) -> String {
        let points = self.lines.iter().flat_map(|line| &line.points);
        let highest = points
            .copied()
            .filter(|y| y.is_finite())
            .fold(0.0, f64::max);
        let highest = if highest > 0.0 { highest * 1.05 } else { 1.0 };
        let seconds = self.lines.iter().map(|line| line.points.len()).max();
        let seconds = seconds.unwrap_or(0).max(1);
        let place = |second: f64, value: f64| {
            let x = LEFT + second / seconds as f64 * WIDTH;
            (x, TOP + HEIGHT - value / highest * HEIGHT)
        };
        let (title, unit) = (self.title, self.unit);
        let mut out =
            format!("<svg viewBox=\"0 0 360 212\" role=\"img\" aria-label=\"{title}, {unit}\">");
        let step = step(highest);
        let ticks = (0..).map(|count| f64::from(count) * step);
        for tick in ticks.take_while(|tick| *tick <= highest) {
            let ((x, y), figure) = (place(0.0, tick), short(tick));
            let _ = write!(
                out,
                "<path class=\"grid\" d=\"M{x} {y:.1}h{WIDTH}\"/>\
                 <text x=\"38\" y=\"{:.1}\" text-anchor=\"end\">{figure}</text>",
                y + 4.0
            );
        }
        let _ = write!(
            out,
            "<text x=\"{LEFT}\" y=\"198\">0</text>\
             <text x=\"352\" y=\"198\" text-anchor=\"end\">{seconds} s</text>"
        );
        out.extend(self.lines.iter().map(|line| line.path(&place)));
        out.push_str("</svg>\n");
        let classes: Vec<String> = self
            .lines
            .iter()
            .map(|line| format!("swatch {}", line.class()))
            .collect();
        let labels = self.lines.iter().map(|line| line.label.as_str());
        let found: Vec<(&str, &str)> = classes.iter().map(String::as_str).zip(labels).collect();
        figure(title, unit, &out, &keys(&found))
    }
}

impl Line {
    fn class(&self) -> String {
        format!(
            "{}{}",
            self.tone,
            if self.is_dashed { " dashed" } else { "" }
        )
    }

    fn path(&self, place: &dyn Fn(f64, f64) -> (f64, f64)) -> String {
        let points = self.points.iter().enumerate();
        let points = points.filter(|(_, value)| value.is_finite() && **value >= 0.0);
        // A figure is of the second that ends there.
        let places = points.map(|(index, value)| place(index as f64 + 1.0, *value));
        let places: Vec<String> = places.map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
        if places.is_empty() {
            return String::new();
        }
        // A line of no length is a dot, by its round ends.
        format!(
            "<path class=\"{}\" d=\"M{}h0\"/>",
            self.class(),
            places.join("L")
        )
    }
}

/// What the marks of a chart mean: how each is drawn, and its meaning.
pub(crate) fn keys(keys: &[(&str, &str)]) -> String {
    let one = |(class, meaning): &(&str, &str)| {
        format!("<span class=\"key {class}\">{}</span> ", text(meaning))
    };
    let all: String = keys.iter().map(one).collect();
    if all.is_empty() {
        all
    } else {
        format!("<p class=\"keys\">{all}</p>\n")
    }
}

fn figure(title: &str, unit: &str, inside: &str, keys: &str) -> String {
    let (title, unit) = (text(title), text(unit));
    format!(
        "<figure><figcaption>{title} <small>{unit}</small></figcaption>\n{inside}{keys}</figure>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(scale: Scale, marks: Vec<Vec<Mark>>) -> String {
        let row = |marks| Row {
            label: "a<b".to_owned(),
            tone: "other",
            marks,
            value: "42 > 1".to_owned(),
        };
        let chart = Rows {
            title: "A \"title\" & more".to_owned(),
            unit: "units each",
            scale,
            reference: None,
            keys: &[("dot", "here")],
            rows: marks.into_iter().map(row).collect(),
        };
        checked(chart.html())
    }

    fn lines(points: Vec<f64>) -> String {
        let line = |is_dashed| Line {
            label: "a<b".to_owned(),
            tone: "copy",
            is_dashed,
            points: points.clone(),
        };
        let chart = Lines {
            title: "Lines",
            unit: "units",
            lines: vec![line(false), line(true)],
        };
        checked(chart.html())
    }

    /// What holds of every chart.
    fn checked(html: String) -> String {
        for wrong in ["NaN", "inf", "a<b", "%;width:-"] {
            assert!(!html.contains(wrong), "{wrong}: {html}");
        }
        html
    }

    #[test]
    fn labels_figures_units_and_keys_are_text() {
        let html = rows(Scale::FromZero, vec![vec![Mark::Bar(10.0)]]);
        for text in [
            "a&lt;b",
            "42 &gt; 1",
            "units each",
            "&amp; more",
            ">here<",
            "a&lt;b",
        ] {
            assert!(html.contains(text), "{text}: {html}");
        }
        assert!(lines(vec![1.0]).contains("a&lt;b"));
    }

    #[test]
    fn a_bar_is_as_long_as_its_part_of_the_axis() {
        let html = rows(
            Scale::FromZero,
            vec![
                vec![Mark::Bar(100.0)],
                vec![Mark::Bar(50.0), Mark::Whisker(25.0, 100.0)],
            ],
        );
        for style in [
            "class=\"bar\" style=\"left:0.0%;width:97.1%\"",
            "class=\"bar\" style=\"left:0.0%;width:48.5%\"",
            "class=\"whisker\" style=\"left:24.3%;width:72.8%\"",
        ] {
            assert!(html.contains(style), "{style}: {html}");
        }
        let html = rows(
            Scale::Logarithmic,
            vec![vec![Mark::Line(100.0, 1.0), Mark::Dot(10.0)]],
        );
        assert!(
            html.contains("class=\"dot\" style=\"left:66.7%;width:0.0%\""),
            "{html}"
        );
    }

    #[test]
    fn rows_of_nothing_of_zero_and_of_what_is_no_number_are_drawn() {
        for scale in [Scale::FromZero, Scale::Logarithmic] {
            rows(scale, vec![]);
            rows(scale, vec![vec![]]);
            for number in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE, 1e300] {
                let marks = [
                    Mark::Bar(number),
                    Mark::Whisker(number, number),
                    Mark::Line(number, 1.0),
                    Mark::Thick(number, number),
                    Mark::Dot(number),
                    Mark::Ring(number),
                ];
                rows(scale, vec![marks.to_vec()]);
            }
        }
    }

    #[test]
    fn axes_have_a_tick_at_every_decade_or_round_number() {
        let ticks = |html: &str| -> Vec<String> {
            let ticks = html.split("row ticks").nth(1).expect("ticks");
            let ticks = ticks
                .split("</i>")
                .filter_map(|tick| tick.rsplit_once("%\">"));
            ticks.map(|(_, tick)| tick.to_owned()).collect()
        };
        let found = ticks(&rows(
            Scale::Logarithmic,
            vec![vec![Mark::Line(0.2, 800.0)]],
        ));
        assert_eq!(found, ["0.1", "1", "10", "100", "1,000"]);
        let found = ticks(&rows(Scale::FromZero, vec![vec![Mark::Bar(1.4)]]));
        assert_eq!(found, ["0", "0.5", "1"]);
    }

    #[test]
    fn lines_of_no_point_one_point_and_zeros_are_drawn() {
        assert!(!lines(vec![]).contains("class=\"copy\" d"));
        assert!(lines(vec![5.0]).contains("class=\"copy\" d=\"M"));
        lines(vec![0.0, 0.0]);
        assert!(!lines(vec![f64::NAN, f64::INFINITY, -1.0]).contains("class=\"copy\" d"));
        let many = lines((0..120).map(f64::from).collect());
        assert!(many.contains(">120 s<"), "{many}");
    }
}
