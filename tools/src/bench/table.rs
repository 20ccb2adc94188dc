//! What was measured, as rows: for people, ratios first, and as JSON for programs.

use super::scenarios;
use crate::ui::{self, Ui};
use std::fmt::Write as _;

/// What a figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) better: Better,
}

/// Which way is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Better {
    Higher,
    Lower,
}

impl Better {
    pub(super) fn word(self) -> &'static str {
        match self {
            Better::Higher => "higher",
            Better::Lower => "lower",
        }
    }
}

/// The figures of one contender in one metric, one for each round.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Figures(Vec<f64>);

impl Figures {
    pub(super) fn push(&mut self, figure: f64) {
        self.0.push(figure);
    }

    /// The middle one, or the mean of both in the middle; not a number when there is none.
    pub(super) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match (sorted.get(middle), sorted.len() % 2, middle.checked_sub(1).and_then(|i| sorted.get(i))) {
            (Some(&above), 0, Some(&below)) => (below + above) / 2.0,
            (Some(&exact), _, _) => exact,
            (None, _, _) => f64::NAN,
        }
    }

    pub(super) fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::min)
    }

    pub(super) fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::max)
    }
}

/// One comparison: a subject's median beside a reference's.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) scenario: &'static str,
    pub(super) subject: &'static str,
    pub(super) reference: &'static str,
    pub(super) metric: Metric,
    pub(super) subject_figures: Figures,
    pub(super) reference_figures: Figures,
}

impl Row {
    /// The subject's median to the reference's; equal ones are 1, also where both are nothing.
    pub(super) fn ratio(&self) -> f64 {
        let (subject, reference) = (self.subject_figures.median(), self.reference_figures.median());
        if subject == reference { 1.0 } else { subject / reference }
    }
}

/// Prints the ratios, then the figures that they come from.
pub(super) fn print(ui: &Ui, rows: &[Row]) {
    ui.heading("Ratios (medians of interleaved rounds)");
    for row in rows {
        let Row { scenario, subject, reference, metric, .. } = row;
        let arrow = if metric.better == Better::Higher { "^" } else { "v" };
        let against = format!("{subject} / {reference}");
        ui.last_line(format!("{scenario:<32} {:<8} {against:<28} {:>7.3} {arrow}", metric.name, row.ratio()));
    }
    ui.heading("Figures: median (lowest to highest)");
    for line in figures(rows) {
        ui.line(line);
    }
}

/// What each scenario's ratios come from: once for everybody who takes part, however many there are to compare with.
fn figures(rows: &[Row]) -> Vec<String> {
    let mut lines = Vec::new();
    for (i, first) in rows.iter().enumerate() {
        if rows[..i].iter().any(|row| row.scenario == first.scenario) {
            continue;
        }
        let title = format!("{}: {}", first.scenario, scenarios::find(first.scenario).what);
        lines.extend(ui::wrap(&title, LINE_WIDTH));
        let rows: Vec<&Row> = rows.iter().filter(|row| row.scenario == first.scenario).collect();
        for (i, first) in rows.iter().enumerate() {
            if rows[..i].iter().any(|row| row.metric == first.metric) {
                continue;
            }
            lines.push(format!("  {} in {}", first.metric.name, first.metric.unit));
            lines.push(spread(first.subject, &first.subject_figures));
            for row in rows.iter().filter(|row| row.metric == first.metric) {
                lines.push(spread(row.reference, &row.reference_figures));
            }
        }
    }
    lines
}

/// Columns that a terminal has at the least.
const LINE_WIDTH: usize = 80;

fn spread(name: &str, figures: &Figures) -> String {
    let [median, min, max] = [figures.median(), figures.min(), figures.max()].map(|figure| {
        let digits = if figure.abs() < 1000.0 { 3 } else { 0 };
        format!("{figure:.digits$}")
    });
    format!("    {name:<18} {median:>10}  ({min} to {max})")
}

/// The rows as a JSON array, one row a line.
pub(super) fn to_json(rows: &[Row]) -> String {
    let mut json = String::from("[");
    for (i, row) in rows.iter().enumerate() {
        json.push_str(if i == 0 { "\n" } else { ",\n" });
        let Row { scenario, subject, reference, metric, .. } = row;
        // Names are this program's own: none holds a quotation mark or a backslash.
        let _ = write!(
            json,
            r#"  {{"scenario": "{scenario}", "subject": "{subject}", "reference": "{reference}", "metric": "{}", "unit": "{}", "better": "{}", "subject_value": {}, "reference_value": {}, "ratio": {}}}"#,
            metric.name,
            metric.unit,
            metric.better.word(),
            number(row.subject_figures.median()),
            number(row.reference_figures.median()),
            number(row.ratio()),
        );
    }
    json.push_str("\n]\n");
    json
}

/// A number as JSON has them, six digits after the point; what is none is null.
fn number(value: f64) -> String {
    if value.is_finite() { format!("{value:.6}") } else { "null".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(figures: &[f64]) -> Figures {
        Figures(figures.to_vec())
    }

    #[test]
    fn medians_are_the_middle() {
        assert_eq!(of(&[3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]).median(), 2.5);
        assert!(of(&[]).median().is_nan());
        assert_eq!((of(&[2.0, 1.0]).min(), of(&[2.0, 1.0]).max()), (1.0, 2.0));
    }

    fn row() -> Row {
        Row {
            scenario: "loss.1.send",
            subject: "tapstack",
            reference: "kernel",
            metric: Metric { name: "goodput", unit: "Gbit/s", better: Better::Higher },
            subject_figures: of(&[1.0]),
            reference_figures: of(&[2.0]),
        }
    }

    #[test]
    fn everybody_s_figures_stand_once_below_their_scenario() {
        let smoltcp = Row { reference: "smoltcp", reference_figures: of(&[1000.5]), ..row() };
        let other = Row { scenario: "idle.100000.memory", ..row() };
        let lines = super::figures(&[row(), other, smoltcp]);
        let expected = [
            "loss.1.send: 1 % of the data lost on its way out",
            "  goodput in Gbit/s",
            "    tapstack                1.000  (1.000 to 1.000)",
            "    kernel                  2.000  (2.000 to 2.000)",
            "    smoltcp                  1000  (1000 to 1000)",
            "idle.100000.memory: resident memory of an idle connection, of 100,000 that all",
            "answer",
        ];
        assert_eq!(lines[..7], expected);
    }

    #[test]
    fn rows_become_json() {
        let row = row();
        let expected = r#"  {"scenario": "loss.1.send", "subject": "tapstack", "reference": "kernel", "metric": "goodput", "unit": "Gbit/s", "better": "higher", "subject_value": 1.000000, "reference_value": 2.000000, "ratio": 0.500000}"#;
        let nothing = Row { reference_figures: of(&[]), ..row.clone() };
        let json = to_json(&[row, nothing]);
        assert_eq!(json.lines().nth(1), Some(&*format!("{expected},")));
        assert!(json.contains(r#""reference_value": null, "ratio": null}"#), "{json}");
        assert_eq!(to_json(&[]), "[\n]\n");
    }
}
