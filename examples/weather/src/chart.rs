//! The year as an SVG: bars of rain, a band of temperature.

use crate::observations::Month;
use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const MARGIN: f64 = 48.0;
const NAMES: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Degrees at the bottom and at the top.
const DEGREES: (f64, f64) = (0.0, 30.0);

/// Millimetres a day at the top.
const MILLIMETRES: f64 = 10.0;

/// Draws the months.
pub fn svg(months: &[Month]) -> String {
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{MARGIN}\" y=\"24\" font-size=\"16\">Seattle 2012 to 2015: daily rain and temperature by month</text>\n"
    );
    axes(&mut out);
    for month in months {
        bar(&mut out, month);
    }
    band(&mut out, months);
    out.push_str("</svg>\n");
    out
}

fn x(month: usize) -> f64 {
    MARGIN + (month as f64 - 0.5) * (WIDTH - 2.0 * MARGIN) / 12.0
}

fn y(share: f64) -> f64 {
    HEIGHT - MARGIN - share.clamp(0.0, 1.0) * (HEIGHT - 2.0 * MARGIN)
}

fn degrees(value: f64) -> f64 {
    y((value - DEGREES.0) / (DEGREES.1 - DEGREES.0))
}

// Writing to a String does not fail.
fn axes(out: &mut String) {
    let (left, right) = (MARGIN, WIDTH - MARGIN);
    for step in 0..=5 {
        let share = f64::from(step) / 5.0;
        let at = y(share);
        let _ = writeln!(out, "<line x1=\"{left}\" y1=\"{at}\" x2=\"{right}\" y2=\"{at}\" stroke=\"#ddd\"/>");
        let (rain, heat) = (MILLIMETRES * share, DEGREES.0 + (DEGREES.1 - DEGREES.0) * share);
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#36c\">{rain} mm</text>",
            left - 6.0,
            at + 4.0
        );
        let _ =
            writeln!(out, "<text x=\"{}\" y=\"{}\" fill=\"#c63\">{heat} °C</text>", right + 4.0, at + 4.0);
    }
}

fn bar(out: &mut String, month: &Month) {
    let (top, bottom) = (y(month.precipitation / MILLIMETRES), y(0.0));
    let name = NAMES.get(month.month.wrapping_sub(1)).copied().unwrap_or("?");
    let _ = writeln!(
        out,
        "<rect x=\"{}\" y=\"{top}\" width=\"28\" height=\"{}\" fill=\"#9bd\"><title>{name}: {} mm a day</title></rect>",
        x(month.month) - 14.0,
        bottom - top,
        month.precipitation
    );
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{name}</text>",
        x(month.month),
        bottom + 18.0
    );
}

fn band(out: &mut String, months: &[Month]) {
    let line = |value: fn(&Month) -> f64| -> String {
        months.iter().map(|m| format!("{:.1},{:.1} ", x(m.month), degrees(value(m)))).collect()
    };
    for (points, colour) in [(line(|m| m.temp_max), "#c63"), (line(|m| m.temp_min), "#e9a")] {
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            points.trim_end()
        );
    }
}
