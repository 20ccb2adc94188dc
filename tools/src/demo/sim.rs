//! The demo's stage in the simulated world: a switch, and a third machine of the stack in the kernel's place.

use super::SIM;
use super::interrupt::Guard;
use super::peer::Peer;
use super::record::Record;
use super::show;
use super::stage::{ANNA, BEN, KERNEL, PREFIX_LEN, Report, Stage};
use super::watch::Watch;
use crate::ui::Ui;
use tapstack::capture::SIM_EPOCH_UNIX_NANOS;
use tapstack::sim::{Sim, Wire};
use tapstack::time::Duration;

/// A cable of a gigabit, a few metres long, with what two network cards add.
const CABLE: (Duration, u64) = (Duration::from_micros(20), 1_000_000_000);

/// Runs all steps on a virtual clock.
pub(super) fn run(ui: &Ui, seed: u64, record: &Record, guard: &Guard) -> Vec<Report> {
    guard.arm();
    let mut sim = Sim::new(seed);
    sim.capture(&record.begin(SIM_EPOCH_UNIX_NANOS, guard));
    let switch = sim.switch("switch");
    let watch = Watch::default();
    let mut machine = |name: &str, address| {
        let host = sim.machine(name, &format!("{address}/{PREFIX_LEN}"));
        let (delay, rate_bits_per_s) = CABLE;
        sim.plug(&switch, &host, Wire { delay, rate_bits_per_s, ..Wire::default() });
        host
    };
    let (kernel, anna, ben) = (machine("kernel", KERNEL), machine("anna", ANNA), machine("ben", BEN));
    record.observe(&anna, Some(&watch));
    show::cast(
        ui,
        SIM,
        &format!("simulated, on a virtual clock, from seed {seed}"),
        [
            (KERNEL, "kernel", "a third machine of this stack, in the kernel's place"),
            (ANNA, "anna", "a machine of this stack"),
            (BEN, "ben", "another one"),
        ],
    );
    let stage = Stage { kernel: Peer::Machine(kernel), anna, ben, watch, seed, ui: *ui };
    sim.run(show::all_steps(&stage, record))
}
