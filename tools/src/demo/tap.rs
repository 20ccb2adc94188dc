//! The demo's stage in the tap world.
use super::interrupt::Guard;
use super::record::Record;
use super::stage::Report;
use crate::ui::Ui;
pub(super) fn run(ui: &Ui, seed: u64, record: &Record, guard: &Guard) -> Result<Vec<Report>, String> {
    todo!()
}
