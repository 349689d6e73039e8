//! The sheet that charts are drawn upon: axes with their figures, text in the reader's own font, and
//! the element that a page takes. The size is that of a phone; a wider page shows several beside each
//! other.

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::numbers::decimals;
use super::palette::Tone;

/// The width of every chart, in the units of its own text: 11 px or more on a phone.
pub(crate) const WIDTH: i32 = 360;
pub(crate) const TEXT_SIZE: i32 = 12;
/// plotters places everything on whole units: these are so many to ours, for smooth lines.
pub(crate) const FINE: i32 = 10;
/// What a character takes on average, in tenths of our units; wide system fonts included.
pub(crate) const CHAR_WIDTH_TENTHS: i32 = 67;
/// Ticks and the unit below an axis.
pub(crate) const AXIS_HEIGHT: i32 = 38;

pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(crate) type Drawn = anyhow::Result<()>;
/// From values to places, in fine units.
pub(crate) type Place<'a> = &'a dyn Fn(f64, f64) -> (i32, i32);

/// What is left free around the axes, in our units.
pub(crate) struct Frame {
    pub(crate) top: i32,
    pub(crate) bottom: i32,
    pub(crate) left: i32,
    pub(crate) right: i32,
}

/// What the axes say.
pub(crate) struct Axes<'a> {
    pub(crate) below: &'a str,
    /// Over the vertical axis; without it there is none.
    pub(crate) beside: Option<&'a str>,
}

/// Draws a grid with its figures and units, and upon it what `draw` draws.
pub(crate) fn on_axes<X>(
    root: &Area<'_>,
    frame: &Frame,
    (x, y): (X, std::ops::Range<f64>),
    axes: Axes<'_>,
    draw: &dyn Fn(Place<'_>) -> Drawn,
) -> Drawn
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    // A tick's figure is outside of the axes, and has its room in the frame.
    let mut chart = ChartBuilder::on(root)
        .margin_top(frame.top * FINE)
        .margin_right(frame.right * FINE)
        .margin_bottom((frame.bottom - 20) * FINE)
        .set_label_area_size(LabelAreaPosition::Bottom, 20 * FINE)
        .set_label_area_size(LabelAreaPosition::Left, frame.left * FINE)
        .build_cartesian_2d(x, y)?;
    let number = |number: &f64| tick(*number);
    let mut mesh = chart.configure_mesh();
    mesh.bold_line_style(stroke(Tone::Grid, 10))
        .light_line_style(TRANSPARENT)
        .axis_style(TRANSPARENT)
        .label_style(style(Tone::Muted, false))
        .set_all_tick_mark_size(3 * FINE)
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(&number)
        .y_label_formatter(&number);
    if axes.beside.is_none() {
        mesh.disable_y_mesh().disable_y_axis();
    } else {
        mesh.disable_x_mesh();
    }
    mesh.draw()?;
    let area = chart.plotting_area();
    let (columns, rows) = area.get_pixel_range();
    let bottom = rows.end / FINE;
    let middle = (columns.start + columns.end) / 2 / FINE;
    text(
        root,
        axes.below,
        (middle, bottom + 29),
        HPos::Center,
        Tone::Muted,
        false,
    )?;
    if let Some(beside) = axes.beside {
        text(root, beside, (1, 9), HPos::Left, Tone::Muted, false)?;
    }
    draw(&|x, y| area.map_coordinate(&(x, y)))
}

/// The figure at a tick.
fn tick(number: f64) -> String {
    let text = decimals(number);
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Draws upon an empty sheet.
pub(crate) fn drawn(
    title: &str,
    height: i32,
    draw: impl FnOnce(&Area<'_>) -> Drawn,
) -> anyhow::Result<String> {
    let mut svg = String::new();
    {
        let size = ((WIDTH * FINE) as u32, (height * FINE) as u32);
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        draw(&root)?;
        root.present()?;
    }
    // The first element is the sheet. Ours says what it shows, and takes the width it is given.
    let inside = svg.split_once('>').map_or("", |(_, inside)| inside);
    let title = html_escape::encode_double_quoted_attribute(title);
    Ok(format!(
        "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{title}\">{inside}",
        WIDTH * FINE,
        height * FINE
    ))
}

/// What so many characters take at most, in our units.
pub(crate) fn text_width(chars: usize) -> i32 {
    chars as i32 * CHAR_WIDTH_TENTHS / 10
}

pub(crate) fn stroke(tone: Tone, width: u32) -> ShapeStyle {
    tone.colour().stroke_width(width)
}

fn style(tone: Tone, is_bold: bool) -> TextStyle<'static> {
    // plotters divides by this what it is given.
    let size = f64::from(TEXT_SIZE * FINE) * 1.24;
    let weight = if is_bold {
        FontStyle::Bold
    } else {
        FontStyle::Normal
    };
    let font = FontDesc::new(FontFamily::SansSerif, size, weight);
    TextStyle {
        color: tone.colour().to_backend_color(),
        ..TextStyle::from(font)
    }
}

/// Writes at a place in our units, in the middle of its height.
pub(crate) fn text(
    root: &Area<'_>,
    text: &str,
    (x, y): (i32, i32),
    anchor: HPos,
    tone: Tone,
    is_bold: bool,
) -> Drawn {
    let style = style(tone, is_bold).pos(Pos::new(anchor, VPos::Center));
    root.draw_text(text, &style, (x * FINE, y * FINE))?;
    Ok(())
}
