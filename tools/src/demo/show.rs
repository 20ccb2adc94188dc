//! Runs the steps one after the other and says how each went.

use super::record::Record;
use super::stage::{Report, Stage};
use super::steps::{STEP_TIME_MAX, STEPS, short};
use crate::ui::{self, Mark, Ui};
use std::net::IpAddr;

/// Columns of the widest title.
pub(super) const TITLE_WIDTH: usize = 24;

/// Presents who takes part.
pub(super) fn cast(ui: &Ui, world: &str, place: &str, parts: [(IpAddr, &str, &str); 3]) {
    ui.line(format!("tapstack demo, in the {world} world: {place}"));
    ui.line("");
    for (address, name, what) in parts {
        ui.line(format!("  {address}  {name:<6}  {what}"));
    }
    ui.line("");
}

/// Runs all steps, also after one that did not hold: the others may say why.
pub(super) async fn all_steps(stage: &Stage, record: &Record) -> Vec<Report> {
    let mut reports = Vec::new();
    for step in &STEPS {
        let began = stage.anna.now();
        let result = stage.anna.timeout(STEP_TIME_MAX, (step.run)(stage)).await;
        let result = result.unwrap_or_else(|_| Err("took too long".to_owned()));
        let report = Report { title: step.title, result, took: stage.anna.now() - began };
        record.flush();
        stage.ui.line(line(&report));
        reports.push(report);
    }
    reports
}

/// A step in a line of a terminal's width, or in several whose words stand below each other.
fn line(report: &Report) -> String {
    let title = report.title;
    let (mark, says) = match &report.result {
        Ok(held) => (Mark::Ok.show("ok", MARK_WIDTH), held.said.clone()),
        Err(why) => (Mark::Bad.show("FAIL", MARK_WIDTH), format!("{why} (after {})", short(report.took))),
    };
    let indent = 2 + MARK_WIDTH + 2 + TITLE_WIDTH + 2;
    let says = ui::wrap(&says, LINE_WIDTH - indent).join(&format!("\n{:indent$}", ""));
    format!("  {mark}  {title:<TITLE_WIDTH$}  {says}")
}

const MARK_WIDTH: usize = 4;
/// Columns that a terminal has at the least.
const LINE_WIDTH: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;
    use tapstack::time::Duration;

    #[test]
    fn steps_keep_to_a_terminal_s_width() {
        let why = "nobody answered, though many words were said about it and more than a line has room for";
        let report =
            Report { title: STEPS[0].title, result: Err(why.to_owned()), took: Duration::from_millis(3) };
        let shown = anstream::adapter::strip_str(&line(&report)).to_string();
        assert!(shown.lines().count() > 1 && shown.lines().all(|line| line.len() <= 80), "{shown}");
        let words: Vec<&str> = shown.split_whitespace().collect();
        assert!(words.join(" ").ends_with("a line has room for (after 3.0 ms)"), "{shown}");
    }
}
