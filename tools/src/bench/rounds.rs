//! Who is measured against whom, and the rounds: every contender once a round, so that a busy minute hits all alike.

use super::scenarios;
use super::table::{Figures, Metric, Row};
use crate::ui::Ui;
use indicatif::{ProgressBar, ProgressStyle};
use std::io;

/// Measures once: a figure for each of its metrics.
type Measure<'a> = Box<dyn FnMut() -> io::Result<Vec<f64>> + 'a>;

/// Names a contender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContenderId(usize);

struct Contender<'a> {
    name: String,
    metrics: &'static [Metric],
    measure: Measure<'a>,
    figures: Vec<Figures>,
}

struct Comparison {
    scenario: &'static str,
    subject: (&'static str, ContenderId),
    reference: (&'static str, ContenderId),
}

/// What one part of the benchmark measures.
pub(super) struct Rounds<'a> {
    only: Option<&'a str>,
    contenders: Vec<Contender<'a>>,
    comparisons: Vec<Comparison>,
}

impl<'a> Rounds<'a> {
    /// Nothing so far. Comparisons whose key doesn't begin with `only` will be left out.
    pub(super) fn new(only: Option<&'a str>) -> Rounds<'a> {
        Rounds { only, contenders: Vec::new(), comparisons: Vec::new() }
    }

    /// Whether a scenario is wanted.
    pub(super) fn wants(&self, key: &str) -> bool {
        self.only.is_none_or(|prefix| key.starts_with(prefix))
    }

    /// Whether a scenario whose key begins with `group` may be wanted.
    pub(super) fn wants_some_of(&self, group: &str) -> bool {
        self.only.is_none_or(|prefix| group.starts_with(prefix) || prefix.starts_with(group))
    }

    /// Adds somebody to be measured; `measure` gives a figure for each metric.
    pub(super) fn contender(
        &mut self,
        name: impl Into<String>,
        metrics: &'static [Metric],
        measure: impl FnMut() -> io::Result<Vec<f64>> + 'a,
    ) -> ContenderId {
        let figures = vec![Figures::default(); metrics.len()];
        self.contenders.push(Contender { name: name.into(), metrics, measure: Box::new(measure), figures });
        ContenderId(self.contenders.len() - 1)
    }

    /// Adds a comparison of two contenders with the same metrics.
    pub(super) fn compare(
        &mut self,
        key: &'static str,
        subject: (&'static str, ContenderId),
        reference: (&'static str, ContenderId),
    ) {
        let scenario = scenarios::find(key).key;
        if self.wants(scenario) {
            self.comparisons.push(Comparison { scenario, subject, reference });
        }
    }

    /// Measures whoever is compared, once in each of `rounds`, and returns the comparisons.
    pub(super) fn run(mut self, ui: &Ui, rounds: u32) -> io::Result<Vec<Row>> {
        let used: Vec<bool> = (0..self.contenders.len())
            .map(|i| self.comparisons.iter().any(|c| c.subject.1.0 == i || c.reference.1.0 == i))
            .collect();
        let count = used.iter().filter(|used| **used).count() as u64;
        let bar = progress(ui, count * u64::from(rounds));
        for round in 1..=rounds {
            for (contender, _) in self.contenders.iter_mut().zip(&used).filter(|(_, used)| **used) {
                bar.set_message(format!("round {round} of {rounds}: {}", contender.name));
                let figures = (contender.measure)()
                    .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", contender.name)))?;
                log::info!("{}: {figures:.3?}", contender.name);
                for (all, figure) in contender.figures.iter_mut().zip(figures) {
                    all.push(figure);
                }
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        Ok(self.rows())
    }

    fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for comparison in &self.comparisons {
            let subject = &self.contenders[comparison.subject.1.0];
            let reference = &self.contenders[comparison.reference.1.0];
            debug_assert_eq!(subject.metrics, reference.metrics, "{}", comparison.scenario);
            for (i, &metric) in subject.metrics.iter().enumerate() {
                rows.push(Row {
                    scenario: comparison.scenario,
                    subject: comparison.subject.0,
                    reference: comparison.reference.0,
                    metric,
                    subject_figures: subject.figures[i].clone(),
                    reference_figures: reference.figures[i].clone(),
                });
            }
        }
        rows
    }
}

/// A bar where a terminal shows it.
fn progress(ui: &Ui, steps: u64) -> ProgressBar {
    if !ui.shows_progress() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("  [{bar:20}] {pos}/{len} {msg}")
        .map(|style| style.progress_chars("=> "))
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(steps).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::table::Better;
    use std::cell::RefCell;

    const METRICS: &[Metric] = &[Metric { name: "goodput", unit: "Gbit/s", better: Better::Higher }];

    #[test]
    fn rounds_are_interleaved_and_only_the_wanted_are_measured() {
        let order = RefCell::new(String::new());
        let mut rounds = Rounds::new(Some("loss.1."));
        let mut contender = |name: &'static str, figure: f64| {
            let order = &order;
            rounds.contender(name, METRICS, move || {
                order.borrow_mut().push_str(name);
                Ok(vec![figure])
            })
        };
        let (a, b, c) = (contender("a", 3.0), contender("b", 2.0), contender("c", 1.0));
        rounds.compare("loss.1.send", ("tapstack", a), ("kernel", b));
        rounds.compare("loss.3.send", ("tapstack", a), ("kernel", c));
        let rows = rounds.run(&Ui::new(true), 3).unwrap();
        assert_eq!(*order.borrow(), "ababab");
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].scenario, rows[0].ratio()), ("loss.1.send", 1.5));
    }
}
