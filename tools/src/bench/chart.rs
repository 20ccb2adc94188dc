//! The ratios as a bar chart in SVG: a bar for each row, and a line where subject and reference are alike.

use super::table::{Better, Row};
use std::fmt::Write as _;

const ROW_HEIGHT: usize = 22;
const LABEL_WIDTH: usize = 400;
const UNIT_WIDTH: f64 = 220.0;
/// Ratios beyond this are cut: the number beside the bar is exact.
const RATIO_MAX: f64 = 2.0;
const WIDTH: usize = LABEL_WIDTH + (UNIT_WIDTH * RATIO_MAX) as usize + 80;
const TOP: usize = 40;

/// A chart of the rows; where lower is better, the bar shows the ratio turned round, so that longer is always better.
pub(super) fn to_svg(rows: &[Row]) -> String {
    let height = TOP + rows.len() * ROW_HEIGHT + 10;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"10\" y=\"20\" \
         font-weight=\"bold\">Subject beside reference: medians of interleaved rounds; longer is better</text>\n"
    );
    for (i, row) in rows.iter().enumerate() {
        let y = TOP + i * ROW_HEIGHT;
        let goodness = if row.metric.better == Better::Higher { row.ratio() } else { 1.0 / row.ratio() };
        let shown = if goodness.is_finite() { goodness.clamp(0.0, RATIO_MAX) } else { 0.0 };
        let colour = if goodness >= 1.0 { "#2a7f62" } else { "#c06c2b" };
        let label = format!("{} {}: {} / {}", row.scenario, row.metric.name, row.subject, row.reference);
        let (text_y, bar_width) = (y + 14, shown * UNIT_WIDTH);
        let number_x = LABEL_WIDTH as f64 + bar_width + 6.0;
        // Writing to a string can't fail.
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{text_y}\" text-anchor=\"end\">{label}</text><rect x=\"{LABEL_WIDTH}\" y=\"{}\" \
             width=\"{bar_width:.1}\" height=\"14\" fill=\"{colour}\"/><text x=\"{number_x:.1}\" \
             y=\"{text_y}\">{goodness:.2}</text>",
            LABEL_WIDTH - 8,
            y + 3,
        );
    }
    let one = LABEL_WIDTH as f64 + UNIT_WIDTH;
    let _ = writeln!(
        svg,
        "<line x1=\"{one}\" x2=\"{one}\" y1=\"{}\" y2=\"{height}\" stroke=\"black\" stroke-dasharray=\"3\"/>\n</svg>",
        TOP - 8
    );
    svg
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
        let svg = to_svg(&[row.clone(), row]);
        assert_eq!(svg.matches(">0.50</text>").count(), 2);
        assert_eq!(svg.matches("<rect").count(), 3);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    }
}
