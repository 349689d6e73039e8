//! The picture of a run: responses and failures each second, and which event was when.

use std::fmt::Write as _;

use html_escape::encode_text as text;

use super::report::{Run, Second};
use crate::bench::report::charts::short;

/// The size of the picture, and what is left of the curves, to the right, above and below, in pixels.
const WIDTH: f64 = 960.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 70.0;
/// The height of each of the curves, and what is between them.
const HEIGHT: f64 = 130.0;
const GAP: f64 = 34.0;
/// Below the last curve: the axis, and a line for each event.
const AXIS: f64 = 30.0;
const LINE: f64 = 18.0;

const STYLE: &str = "text{font-family:system-ui,sans-serif;font-size:14px;fill:#1b1f24}\
.card{fill:#ffffff;stroke:#d9dee4}.title{font-size:18px;font-weight:700}.small{font-size:13px;fill:#566069}\
.odd{fill:#eef2f6}.axis{stroke:#d9dee4}.good{fill:none;stroke:#0b62d6;stroke-width:1.6}\
.failed{fill:none;stroke:#a3211a;stroke-width:1.8}.slow{fill:none;stroke:#c2540a;stroke-width:1.6}";

/// A curve over the seconds of a run.
struct Curve {
    class: &'static str,
    title: &'static str,
    values: Vec<f64>,
}

/// The picture as SVG.
pub(super) fn svg(run: &Run) -> String {
    let seconds = run.seconds();
    let curves = curves(&seconds);
    let bottom = TOP + curves.len() as f64 * (HEIGHT + GAP) - GAP;
    let height = bottom + AXIS + LINE * (run.events.len() as f64 / 2.0).ceil() + 16.0;
    let title = format!("{} nodes behind HAProxy, links of {}", run.nodes, run.rate);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"title\">\n\
         <title id=\"title\">{0}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"card\" x=\"0.5\" y=\"0.5\" width=\"{1}\" height=\"{2}\" rx=\"8\"/>\n\
         <text class=\"title\" x=\"16\" y=\"28\">{0}</text>\n",
        text(&title),
        WIDTH - 1.0,
        height - 1.0
    );
    let length = seconds.len().max(1) as f64;
    let place = |second: f64| LEFT + second / length * (WIDTH - LEFT - RIGHT);
    draw_events(&mut out, run, bottom, &place);
    for (index, curve) in curves.iter().enumerate() {
        let top = TOP + index as f64 * (HEIGHT + GAP);
        draw(&mut out, curve, top, &place);
    }
    let y = bottom + 18.0;
    // A `String` takes every write.
    let _ = writeln!(
        out,
        "<text class=\"small\" x=\"{LEFT}\" y=\"{y}\">0</text>\
         <text class=\"small\" x=\"{}\" y=\"{y}\" text-anchor=\"end\">{length} s</text>",
        WIDTH - RIGHT
    );
    out + "</svg>\n"
}

fn curves(seconds: &[Second]) -> [Curve; 3] {
    // The last second is not a whole one.
    let whole = &seconds[..seconds.len().saturating_sub(1)];
    let values = |of: fn(&Second) -> f64| whole.iter().map(of).collect();
    [
        Curve {
            class: "good",
            title: "good responses each second",
            values: values(|second| second.good as f64),
        },
        Curve {
            class: "failed",
            title: "failed requests each second",
            values: values(|second| second.failed as f64),
        },
        Curve {
            class: "slow",
            title: "p99 of the latency, ms",
            values: values(|second| second.p99_ms),
        },
    ]
}

/// A band with a number for each event, and what the numbers mean.
fn draw_events(out: &mut String, run: &Run, bottom: f64, place: &dyn Fn(f64) -> f64) {
    let half = run.events.len().div_ceil(2);
    for (index, (event, happened, _)) in run.events.iter().enumerate() {
        let number = index + 1;
        let left = place(happened.window.from.as_secs_f64());
        let width = place(happened.window.to.as_secs_f64()) - left;
        if index % 2 == 1 {
            let height = bottom - TOP + 24.0;
            let _ = writeln!(
                out,
                "<rect class=\"odd\" x=\"{left:.1}\" y=\"{}\" width=\"{width:.1}\" height=\"{height}\"/>",
                TOP - 24.0
            );
        }
        let _ = writeln!(
            out,
            "<text class=\"small\" x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{number}</text>",
            left + width / 2.0,
            TOP - 28.0
        );
        let (column, line) = (index / half, index % half);
        let _ = writeln!(
            out,
            "<text class=\"small\" x=\"{}\" y=\"{}\">{number} {}</text>",
            LEFT + column as f64 * (WIDTH - LEFT) / 2.0,
            bottom + AXIS + LINE * (line as f64 + 0.6),
            text(event.title())
        );
    }
}

fn draw(out: &mut String, curve: &Curve, top: f64, place: &dyn Fn(f64) -> f64) {
    let highest = curve.values.iter().copied().fold(0.0, f64::max);
    let scale = if highest > 0.0 { HEIGHT / highest } else { 0.0 };
    let bottom = top + HEIGHT;
    let _ = writeln!(
        out,
        "<text class=\"small\" x=\"{LEFT}\" y=\"{0}\">{1}</text>\
         <path class=\"axis\" d=\"M{LEFT} {bottom}H{2}M{LEFT} {top}V{bottom}\"/>\
         <text class=\"small\" x=\"{3}\" y=\"{4}\" text-anchor=\"end\">{5}</text>\
         <text class=\"small\" x=\"{3}\" y=\"{bottom}\" text-anchor=\"end\">0</text>",
        top - 6.0,
        text(curve.title),
        WIDTH - RIGHT,
        LEFT - 6.0,
        top + 10.0,
        short(highest)
    );
    let points = curve.values.iter().enumerate().map(|(second, value)| {
        format!(
            "{:.1} {:.1}",
            place(second as f64 + 0.5),
            bottom - value * scale
        )
    });
    let points: Vec<String> = points.collect();
    if !points.is_empty() {
        let _ = writeln!(
            out,
            "<path class=\"{}\" d=\"M{}\"/>",
            curve.class,
            points.join("L")
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::made_up;
    use super::*;

    #[test]
    fn events_are_marked_and_failures_are_drawn() {
        let svg = svg(&made_up());
        for part in [
            ">2 nodes behind HAProxy, links of 200 Mbit/s</title>",
            ">1 quiet</text>",
            ">2 SIGKILL and restart, each node</text>",
            "<path class=\"failed\" d=\"M",
            "<path class=\"good\" d=\"M",
        ] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn a_run_without_requests_has_a_picture_too() {
        let mut run = made_up();
        run.records.clear();
        run.events.clear();
        let svg = svg(&run);
        assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN"), "{svg}");
    }
}
