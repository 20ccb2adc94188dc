//! Building a world: machines, switches, and the wires between them.

use super::disk::{DiskConfig, DiskCounts, SimDisk};
use super::wire::{End, Wire, WireCounts, WireId};
use super::world::{Outside, SimWorld};
use super::{Controls, run};
use crate::capture::Capture;
use crate::net::{Executor, Host, Machine};
use crate::stack::{Cidr, Config, InterfaceConfig, InterfaceId, MacAddr, Medium, Offloads, Stack};
use crate::time::Instant;
use std::sync::Arc;

/// A simulated world.
///
/// Its methods panic on what only a mistake in the scenario can bring about: a name that is taken, an address that
/// can't be read, a machine of another world.
pub struct Sim {
    pub(super) seed: u64,
    pub(super) world: Arc<SimWorld>,
    pub(super) executor: Arc<Executor>,
    pub(super) machines: Vec<Arc<Machine>>,
    /// The machine that the last step concerned, until it has sent what came of it.
    pub(super) unsettled: Option<u32>,
    pub(super) steps: run::Steps,
}

/// A machine at its making.
#[derive(Clone, Debug, Default)]
pub struct MachineConfig {
    /// Its name, unique in its world; its seed follows from it.
    pub name: String,
    /// Its stack's settings; seed and machine number are the world's to fill in.
    pub stack: Config,
    /// The addresses of its first interface.
    pub addresses: Vec<Cidr>,
    /// How its disk behaves.
    pub disk: DiskConfig,
}

/// A switch of a simulated world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch(u32);

impl Sim {
    /// An empty world, all of whose chance follows from `seed`.
    pub fn new(seed: u64) -> Sim {
        Sim {
            seed,
            world: Arc::new(SimWorld::new(seed)),
            executor: Executor::new(|| {}),
            machines: Vec::new(),
            unsettled: None,
            steps: run::Steps::default(),
        }
    }

    /// The world's seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The world's clock.
    pub fn now(&self) -> Instant {
        self.world.clock()
    }

    /// Adds a machine with default settings and one address, such as `"10.0.0.1/24"`, for its first interface.
    pub fn machine(&mut self, name: &str, address: &str) -> Host {
        self.machine_with(MachineConfig {
            name: name.to_owned(),
            addresses: vec![cidr(address)],
            ..MachineConfig::default()
        })
    }

    /// Adds a machine. It has no interface but the loopback until it is wired.
    pub fn machine_with(&mut self, config: MachineConfig) -> Host {
        assert!(self.machines.iter().all(|m| m.name != config.name), "two machines named {}", config.name);
        let index = self.machines.len() as u32;
        let MachineConfig { name, mut stack, addresses, disk } = config;
        // 0 would stand for a machine that is alone in its world.
        stack.machine = u16::try_from(index + 1).expect("a world has at most 65,535 machines");
        stack.seed = self.world.seed_of(&format!("machine {name}"));
        self.world.outside(Outside::Machine(name.clone()));
        self.world.add_machine(&name, stack.clone(), addresses, SimDisk::new(disk));
        let machine = Machine::new(
            name,
            index,
            Stack::new(self.now(), stack),
            Arc::clone(&self.executor),
            Arc::clone(&self.world) as Arc<_>,
        );
        self.world.observe(&machine, &mut machine.lock_or_panic());
        self.machines.push(Arc::clone(&machine));
        Host::new(machine)
    }

    /// Adds a switch: a learning Ethernet bridge.
    pub fn switch(&mut self, name: &str) -> Switch {
        self.world.outside(Outside::Switch(name.to_owned()));
        Switch(self.world.add_switch(name))
    }

    /// Connects two machines by a new interface on each. A machine's first interface has its configured
    /// addresses; a further one has none: see [`Sim::connect`].
    pub fn wire(&mut self, a: &Host, b: &Host, wire: Wire) -> WireId {
        let (a, b) = (self.interface(a, None, &wire), self.interface(b, None, &wire));
        self.join(a, b, wire)
    }

    /// Connects two machines by a new interface on each, with addresses such as `"10.1.0.1/24"`.
    pub fn connect(&mut self, a: &Host, address_a: &str, b: &Host, address_b: &str, wire: Wire) -> WireId {
        let a = self.interface(a, Some(cidr(address_a)), &wire);
        let b = self.interface(b, Some(cidr(address_b)), &wire);
        self.join(a, b, wire)
    }

    /// Connects a machine to a switch by a new interface, which has addresses as with [`Sim::wire`].
    pub fn plug(&mut self, switch: &Switch, host: &Host, wire: Wire) -> WireId {
        assert_eq!(wire.medium, Medium::Ethernet, "a switch carries Ethernet frames");
        let (port, machine) = (self.world.add_port(switch.0), self.interface(host, None, &wire));
        self.join(machine, port, wire)
    }

    /// As [`Sim::plug`], with an address such as `"10.1.0.1/24"` for the new interface.
    pub fn plug_with(&mut self, switch: &Switch, host: &Host, address: &str, wire: Wire) -> WireId {
        assert_eq!(wire.medium, Medium::Ethernet, "a switch carries Ethernet frames");
        let port = self.world.add_port(switch.0);
        let machine = self.interface(host, Some(cidr(address)), &wire);
        self.join(machine, port, wire)
    }

    /// Connects two switches. A loop of switches floods for ever: there is no spanning tree.
    pub fn link(&mut self, a: &Switch, b: &Switch, wire: Wire) -> WireId {
        let (a, b) = (self.world.add_port(a.0), self.world.add_port(b.0));
        self.join(a, b, wire)
    }

    /// Records every frame of every machine, those that are still to be made included. The frames of a failing run
    /// are so at hand: run its seed again with a capture.
    pub fn capture(&mut self, capture: &Capture) {
        self.world.set_capture(capture);
        for machine in &self.machines {
            self.world.observe(machine, &mut machine.lock_or_panic());
        }
    }

    /// What happened on a wire so far: from its first end to its second, and back. The first end is the first
    /// machine, or the machine that was plugged in.
    pub fn counts(&self, wire: WireId) -> (WireCounts, WireCounts) {
        self.world.counts(wire)
    }

    /// What happened to a machine's disk so far.
    pub fn disk_counts(&self, host: &Host) -> DiskCounts {
        self.world.disk_of(self.own(host)).counts()
    }

    /// Changes what a wire does to frames that enter it from now on. Its MTU and medium stay.
    pub fn set_wire(&mut self, wire: WireId, to: Wire) {
        self.controls().set_wire(wire, to);
    }

    /// Takes a machine down at once: see [`Controls::crash`].
    pub fn crash(&mut self, host: &Host) {
        self.controls().crash(host);
    }

    /// Starts a machine that has crashed: see [`Controls::restart`].
    pub fn restart(&mut self, host: &Host) {
        self.controls().restart(host);
    }

    /// What a scenario that runs inside the world may do to it.
    pub fn controls(&self) -> Controls {
        Controls::new(&self.world)
    }

    /// Adds an interface to a machine: its address, or the configured ones if it is the first.
    fn interface(&self, host: &Host, address: Option<Cidr>, wire: &Wire) -> End {
        let machine = self.own(host);
        let config = self.world.next_interface(machine.index, |number, configured| InterfaceConfig {
            name: format!("eth{number}"),
            medium: wire.medium,
            mac: mac(machine.index, number),
            mtu: wire.mtu,
            addresses: address.map_or_else(|| configured.to_vec(), |address| vec![address]),
            offloads: Offloads::default(),
        });
        let mut core = machine.lock_or_panic();
        let added = core.stack.add_interface(self.now(), config);
        let interface = added.unwrap_or_else(|errno| panic!("{}'s new interface: {errno}", machine.name));
        End::Machine { machine: machine.index, interface }
    }

    fn join(&mut self, a: End, b: End, wire: Wire) -> WireId {
        let id = self.world.join(a, b, wire);
        // The new interfaces announce themselves.
        for end in [a, b] {
            if let End::Machine { machine, interface: InterfaceId(_) } = end {
                let machine = &self.machines[machine as usize];
                machine.world.settle(machine, machine.lock_or_panic(), machine.now());
            }
        }
        id
    }

    fn own<'a>(&self, host: &'a Host) -> &'a Arc<Machine> {
        let machine = host.machine();
        let known = self.machines.get(machine.index as usize);
        assert!(known.is_some_and(|known| Arc::ptr_eq(known, machine)), "{host:?} is of another world");
        machine
    }
}

/// The link address of a simulated machine's interface: locally administered, told apart by both numbers.
fn mac(machine: u32, interface: u16) -> MacAddr {
    let ([_, _, m1, m0], [i1, i0]) = (machine.to_be_bytes(), interface.to_be_bytes());
    MacAddr([0x02, 0x74, m1, m0, i1, i0])
}

fn cidr(text: &str) -> Cidr {
    text.parse().unwrap_or_else(|error| panic!("{text:?} is {error}"))
}
