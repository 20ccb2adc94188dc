//! Runs the steps one after the other and says how each went.

use super::record::Record;
use super::stage::{Report, Stage};
use super::steps::{STEP_TIME_MAX, STEPS, short};
use crate::ui::{Mark, Ui};
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

fn line(report: &Report) -> String {
    let title = report.title;
    match &report.result {
        Ok(held) => {
            format!("  {}  {title:<TITLE_WIDTH$}  {}", Mark::Ok.show("ok", 4), held.said)
        }
        Err(why) => {
            let after = short(report.took);
            format!("  {}  {title:<TITLE_WIDTH$}  {why} (after {after})", Mark::Bad.show("FAIL", 4))
        }
    }
}
