//! The demo's stage in the tap world: a bridge in a namespace of its own, with the kernel and two machines on TAPs.

use super::TAP;
use super::interrupt::Guard;
use super::kernel::Kernel;
use super::peer::Peer;
use super::record::Record;
use super::show;
use super::stage::{ANNA, BEN, KERNEL, PREFIX_LEN, Report, Stage};
use super::watch::Watch;
use crate::testbed::{self, Bridge};
use crate::ui::Ui;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{SystemTime, UNIX_EPOCH};
use tapstack::device::{Device, TapOptions};
use tapstack::net::tap::{Machine, MachineConfig, RunningMachine};
use tapstack::stack::{Cidr, Config, InterfaceConfig, InterfaceId, MacAddr, Medium, Offloads};

/// The machines, ready to run.
pub(super) struct Set {
    anna: Machine,
    ben: RunningMachine,
    watch: Watch,
}

/// Moves this process into a network namespace of its own and makes the machines in it. Errors: why that can't be,
/// and what would allow it.
pub(super) fn set_up(seed: u64, record: &Record, guard: &Guard) -> Result<Set, String> {
    testbed::available().map_err(|why| why.to_string())?;
    testbed::move_in().map_err(|error| error.to_string())?;
    guard.arm();
    let mut bridge = Bridge::new("br0", &[cidr(KERNEL)]).map_err(|error| error.to_string())?;
    let mut tap = |name: &str| {
        let options = TapOptions { name: Some(name.to_owned()), ..TapOptions::default() };
        bridge.tap(options).map_err(|error| format!("{name}: {error}"))
    };
    let (tap0, tap1) = (tap("tap0")?, tap("tap1")?);
    let machine = |name, number, address, tap| {
        machine(name, number, seed, address, tap, record).map_err(|error| format!("machine {name}: {error}"))
    };
    record.begin(epoch_unix_nanos(), guard);
    let watch = Watch::default();
    let anna = machine("anna", 1, ANNA, tap0)?;
    let ben = machine("ben", 2, BEN, tap1)?;
    record.observe(&anna.host(), Some(&watch));
    record.observe(&ben.host(), None);
    let ben = ben.spawn().map_err(|error| format!("machine ben: {error}"))?;
    Ok(Set { anna, ben, watch })
}

impl Set {
    /// Runs all steps; anna's machine is driven by this thread. Errors: a device failed.
    pub(super) fn run(self, ui: &Ui, seed: u64, record: &Record) -> io::Result<Vec<Report>> {
        show::cast(
            ui,
            TAP,
            "virtual interfaces in a private network namespace",
            [
                (KERNEL, "kernel", "the Linux kernel, on bridge br0"),
                (ANNA, "anna", "a machine of this stack, on tap0"),
                (BEN, "ben", "another one, on tap1"),
            ],
        );
        let stage = Stage {
            kernel: Peer::Kernel(Kernel),
            anna: self.anna.host(),
            ben: self.ben.host(),
            watch: self.watch,
            seed,
            ui: *ui,
        };
        let reports = self.anna.run(show::all_steps(&stage, record))?;
        self.ben.shutdown()?;
        Ok(reports)
    }
}

fn machine(
    name: &str,
    number: u16,
    seed: u64,
    address: IpAddr,
    tap: Device,
    record: &Record,
) -> io::Result<Machine> {
    let [_, _, _, last] = ipv4(address).octets();
    let interface = InterfaceConfig {
        name: tap.name.clone(),
        medium: Medium::Ethernet,
        mac: MacAddr([0x02, 0x74, 0, 0, 0, last]),
        mtu: tap.mtu,
        addresses: vec![cidr(address)],
        offloads: Offloads::default(),
    };
    record.describe(name, InterfaceId(1), &interface);
    let stack = Config { machine: number, ..Config::default() };
    // Each machine's randomness is its own, and the same for the same seed.
    let seed = Some(seed ^ u64::from(number) << 48);
    Machine::new(MachineConfig { name: name.to_owned(), seed, stack, interfaces: vec![(interface, tap)] })
}

fn ipv4(address: IpAddr) -> Ipv4Addr {
    match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => unreachable!("the demo's addresses are IPv4"),
    }
}

fn cidr(address: IpAddr) -> Cidr {
    Cidr { address: ipv4(address), prefix_len: PREFIX_LEN }
}

/// When the monotonic clock, which is the machines', showed zero.
fn epoch_unix_nanos() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let monotonic = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(monotonic.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(monotonic.tv_nsec).unwrap_or(0);
    u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX).saturating_sub(seconds * 1_000_000_000 + nanos)
}
