//! The ratios as a bar chart in SVG: a bar for each row, and a line where subject and reference are alike.

use super::table::{Better, Row};
use std::fmt::Write as _;

const ROW_HEIGHT: usize = 22;
const FONT_SIZE: usize = 12;
/// No letter of a label is wider on the average, in tenths of a pixel.
const LETTER_WIDTH: usize = 66;
/// Free room left and right of the labels.
const MARGIN: usize = 10;
const UNIT_WIDTH: f64 = 220.0;
/// Ratios beyond this are cut: the number beside the bar is exact.
const RATIO_MAX: f64 = 2.0;
/// Room for the number beside the longest bar.
const NUMBER_WIDTH: usize = 90;
const TOP: usize = 40;

/// A chart of the rows; where lower is better, the bar shows the ratio turned round, so that longer is always better.
pub(super) fn to_svg(rows: &[Row]) -> String {
    let labels: Vec<String> = rows.iter().map(label).collect();
    let longest = labels.iter().map(String::len).max().unwrap_or(0);
    let bars_at = 2 * MARGIN + longest * LETTER_WIDTH / 10;
    let width = (bars_at + (UNIT_WIDTH * RATIO_MAX) as usize + NUMBER_WIDTH).max(TITLE_WIDTH);
    let height = TOP + rows.len() * ROW_HEIGHT + MARGIN;
    let one = bars_at as f64 + UNIT_WIDTH;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"{FONT_SIZE}\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"{MARGIN}\" y=\"20\" \
         font-weight=\"bold\">{TITLE}</text>\n"
    );
    let mut numbers = String::new();
    for (i, (row, label)) in rows.iter().zip(&labels).enumerate() {
        let y = TOP + i * ROW_HEIGHT;
        let goodness = if row.metric.better == Better::Higher { row.ratio() } else { 1.0 / row.ratio() };
        let shown = if goodness.is_finite() { goodness.clamp(0.0, RATIO_MAX) } else { 0.0 };
        // As good as alike counts as alike: the number says 1.00.
        let colour = if goodness >= 0.995 { "#2a7f62" } else { "#c06c2b" };
        let (text_y, bar_width) = (y + 14, shown * UNIT_WIDTH);
        let number_x = bars_at as f64 + bar_width + 6.0;
        let cut = if goodness > RATIO_MAX { ", cut" } else { "" };
        // Writing to a string can't fail.
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{text_y}\" text-anchor=\"end\">{label}</text><rect x=\"{bars_at}\" y=\"{}\" \
             width=\"{bar_width:.1}\" height=\"14\" fill=\"{colour}\"/>",
            bars_at - MARGIN,
            y + 3,
        );
        let _ = writeln!(numbers, "<text x=\"{number_x:.1}\" y=\"{text_y}\">{goodness:.2}{cut}</text>");
    }
    let _ = writeln!(
        svg,
        "<line x1=\"{one}\" x2=\"{one}\" y1=\"{}\" y2=\"{height}\" stroke=\"black\" stroke-dasharray=\"3\"/>",
        TOP - 8
    );
    // In front of the line, which they would else be hard to tell from.
    let _ = writeln!(
        svg,
        "<g paint-order=\"stroke\" stroke=\"white\" stroke-width=\"4\">\n{numbers}</g>\n</svg>"
    );
    svg
}

const TITLE: &str = "Subject beside reference: medians of interleaved rounds; longer is better";
const TITLE_WIDTH: usize = 2 * MARGIN + TITLE.len() * 8;

fn label(row: &Row) -> String {
    format!("{} {}: {} / {}", row.scenario, row.metric.name, row.subject, row.reference)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::table::{Figures, Metric};

    #[test]
    fn every_row_has_a_bar_and_lower_is_turned_round() {
        let figures = |figure| {
            let mut figures = Figures::default();
            figures.push(figure);
            figures
        };
        let row = Row {
            scenario: "latency.block.1",
            subject: "tapstack",
            reference: "kernel",
            metric: Metric { name: "p50", unit: "us", better: Better::Lower },
            subject_figures: figures(10.0),
            reference_figures: figures(5.0),
        };
        let svg = to_svg(&[row.clone(), row.clone()]);
        assert_eq!(svg.matches(">0.50</text>").count(), 2);
        assert_eq!(svg.matches("<rect").count(), 3);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));

        let long =
            Row { subject_figures: figures(1.0), scenario: "idle.10000.bulk.offload.receive", ..row.clone() };
        let wider = to_svg(&[row, long]);
        assert!(width(&wider) > width(&svg), "labels have the room that the longest one needs");
        assert!(wider.contains(">5.00, cut</text>"));
    }

    fn width(svg: &str) -> usize {
        svg.split("width=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().parse().unwrap()
    }
}
