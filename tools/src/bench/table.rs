//! What was measured, as rows: for people, ratios first, and as JSON for programs.

use super::scenarios;
use crate::ui::Ui;
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
    for row in rows {
        let Row { scenario, subject, reference, metric, .. } = row;
        let what = scenarios::find(scenario).what;
        ui.line(format!("{scenario}, {} in {}: {what}", metric.name, metric.unit));
        for (name, figures) in [(subject, &row.subject_figures), (reference, &row.reference_figures)] {
            ui.line(format!("    {name:<18} {}", spread(figures)));
        }
    }
}

fn spread(figures: &Figures) -> String {
    format!("{:>10.3}  ({:.3} to {:.3})", figures.median(), figures.min(), figures.max())
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

    fn figures(of: &[f64]) -> Figures {
        Figures(of.to_vec())
    }

    #[test]
    fn medians_are_the_middle() {
        assert_eq!(figures(&[3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(figures(&[4.0, 1.0, 2.0, 3.0]).median(), 2.5);
        assert!(figures(&[]).median().is_nan());
        assert_eq!((figures(&[2.0, 1.0]).min(), figures(&[2.0, 1.0]).max()), (1.0, 2.0));
    }

    #[test]
    fn rows_become_json() {
        let metric = Metric { name: "goodput", unit: "Gbit/s", better: Better::Higher };
        let row = Row {
            scenario: "loss.1.send",
            subject: "tapstack",
            reference: "kernel",
            metric,
            subject_figures: figures(&[1.0]),
            reference_figures: figures(&[2.0]),
        };
        let expected = r#"  {"scenario": "loss.1.send", "subject": "tapstack", "reference": "kernel", "metric": "goodput", "unit": "Gbit/s", "better": "higher", "subject_value": 1.000000, "reference_value": 2.000000, "ratio": 0.500000}"#;
        let nothing = Row { reference_figures: figures(&[]), ..row.clone() };
        let json = to_json(&[row, nothing]);
        assert_eq!(json.lines().nth(1), Some(&*format!("{expected},")));
        assert!(json.contains(r#""reference_value": null, "ratio": null}"#), "{json}");
        assert_eq!(to_json(&[]), "[\n]\n");
    }
}
