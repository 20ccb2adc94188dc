//! The state of a simulated world: its clock, what is planned, and what connects the machines.

use super::disk::SimDisk;
use super::switch::{Bridge, Egress};
use super::wire::{End, Lane, Wire, WireCounts, WireId};
use crate::capture::Capture;
use crate::device::Impairment;
use crate::device::impair::Passage;
use crate::frame::{Cause, RxFrame, TxFrame};
use crate::net::{Core, Drive, Machine, Store, Woken, World};
use crate::stack::{Cidr, Config, InterfaceConfig, InterfaceId, Stack};
use crate::time::Instant;
use siphasher::sip::SipHasher13;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::hash::Hasher;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// A simulated world, as its machines see it. A machine's lock is always taken before the world's.
pub(super) struct SimWorld {
    seed: u64,
    clock: AtomicU64,
    net: Mutex<Net>,
}

/// What is planned, and what connects the machines.
struct Net {
    events: BTreeMap<EventKey, Event>,
    planned: u64,
    places: Vec<Place>,
    lanes: Vec<Lane>,
    switches: Vec<SwitchPlace>,
    journal: VecDeque<(Instant, Outside)>,
    capture: Option<Capture>,
    /// Where frames are made in, over and over.
    frame: TxFrame,
}

/// Time, and the order of planning among what is planned for the same time.
type EventKey = (Instant, u64);

/// Something that is going to happen.
pub(super) enum Event {
    /// A frame reaches an end of a wire.
    Arrival { to: End, frame: RxFrame },
    /// A machine wants a turn.
    Deadline { machine: u32 },
}

/// What the world knows of a machine.
struct Place {
    name: String,
    config: Config,
    /// The addresses that its first interface gets.
    addresses: Vec<Cidr>,
    interfaces: Vec<InterfaceConfig>,
    /// The way out of each interface; the loopback has none.
    lanes: Vec<Option<u32>>,
    deadline: Option<EventKey>,
    rng: fastrand::Rng,
    disk: Arc<SimDisk>,
}

struct SwitchPlace {
    name: String,
    bridge: Bridge,
    /// The way out of each port.
    lanes: Vec<Option<u32>>,
}

/// What comes into a world from outside. All of it is noted in the journal: together with the seed and the apps, it
/// is what a run follows from.
#[derive(Clone, Debug)]
pub(super) enum Outside {
    Machine(String),
    Switch(String),
    Wire(WireId, String, String, Wire),
    SetWire(WireId, Wire),
    Crash(String),
    Restart(String),
}

/// Entries that the journal holds; the oldest go first.
const JOURNAL_MAX: usize = 4096;

impl SimWorld {
    pub(super) fn new(seed: u64) -> SimWorld {
        let net = Net {
            events: BTreeMap::new(),
            planned: 0,
            places: Vec::new(),
            lanes: Vec::new(),
            switches: Vec::new(),
            journal: VecDeque::new(),
            capture: None,
            frame: TxFrame::new(Cause::default()),
        };
        SimWorld { seed, clock: AtomicU64::new(super::EPOCH.as_nanos()), net: Mutex::new(net) }
    }

    pub(super) fn clock(&self) -> Instant {
        Instant::from_nanos(self.clock.load(Ordering::Relaxed))
    }

    /// Lets the clock jump; never back.
    pub(super) fn set_clock(&self, to: Instant) {
        self.clock.fetch_max(to.as_nanos(), Ordering::Relaxed);
    }

    /// The seed of what has this name: it doesn't depend on what else there is.
    pub(super) fn seed_of(&self, name: &str) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.seed, 0);
        hasher.write(name.as_bytes());
        hasher.finish()
    }

    /// Something comes from outside.
    pub(super) fn outside(&self, what: Outside) {
        let now = self.clock();
        let journal = &mut self.net().journal;
        if journal.len() >= JOURNAL_MAX {
            journal.pop_front();
        }
        journal.push_back((now, what));
    }

    pub(super) fn add_machine(&self, name: &str, config: Config, addresses: Vec<Cidr>, disk: SimDisk) {
        let rng = fastrand::Rng::with_seed(self.seed_of(&format!("apps of {name}")));
        self.net().places.push(Place {
            name: name.to_owned(),
            config,
            addresses,
            interfaces: Vec::new(),
            lanes: vec![None],
            deadline: None,
            rng,
            disk: Arc::new(disk),
        });
    }

    pub(super) fn add_switch(&self, name: &str) -> u32 {
        let mut net = self.net();
        net.switches.push(SwitchPlace {
            name: name.to_owned(),
            bridge: Bridge::default(),
            lanes: Vec::new(),
        });
        (net.switches.len() - 1) as u32
    }

    /// A new port of a switch.
    pub(super) fn add_port(&self, switch: u32) -> End {
        let mut net = self.net();
        let lanes = &mut net.switches[switch as usize].lanes;
        lanes.push(None);
        End::Switch { switch, port: (lanes.len() - 1) as u32 }
    }

    /// Notes a machine's next interface: `make` is given its number and the addresses that it has by configuration.
    pub(super) fn next_interface(
        &self,
        machine: u32,
        make: impl FnOnce(u16, &[Cidr]) -> InterfaceConfig,
    ) -> InterfaceConfig {
        let mut net = self.net();
        let place = &mut net.places[machine as usize];
        let number = place.interfaces.len() as u16;
        let configured: &[Cidr] = if number == 0 { &place.addresses } else { &[] };
        let config = make(number, configured);
        place.interfaces.push(config.clone());
        place.lanes.push(None);
        let Net { places, capture, .. } = &*net;
        if let Some(capture) = capture {
            capture.add_interface(&places[machine as usize].name, InterfaceId(number + 1), &config);
        }
        config
    }

    /// Where all frames are recorded from now on, once [`SimWorld::observe`] is called for each machine.
    pub(super) fn set_capture(&self, capture: &Capture) {
        let mut net = self.net();
        for place in &net.places {
            for (number, config) in (1..).zip(&place.interfaces) {
                capture.add_interface(&place.name, InterfaceId(number), config);
            }
        }
        net.capture = Some(capture.clone());
    }

    /// Has a machine's frames recorded, if any are.
    pub(super) fn observe(&self, machine: &Machine, core: &mut Core) {
        if let Some(capture) = &self.net().capture {
            core.stack.set_observer(Some(Box::new(capture.observer(&machine.name))));
        }
    }

    /// Joins two ends by a wire, whose two directions have chances of their own.
    pub(super) fn join(&self, a: End, b: End, wire: Wire) -> WireId {
        let (id, name_a, name_b) = {
            let net = self.net();
            (WireId((net.lanes.len() / 2) as u32), net.name(a), net.name(b))
        };
        self.outside(Outside::Wire(id, name_a.clone(), name_b.clone(), wire));
        let mut net = self.net();
        for (from, to, name) in
            [(a, b, format!("{name_a} > {name_b}")), (b, a, format!("{name_b} > {name_a}"))]
        {
            let lane = net.lanes.len() as u32;
            net.lanes.push(Lane::new(to, &wire, self.seed_of(&format!("wire {name}"))));
            *net.way_out(from) = Some(lane);
        }
        id
    }

    pub(super) fn counts(&self, wire: WireId) -> (WireCounts, WireCounts) {
        let net = self.net();
        let lane = |direction: u32| net.lanes[(2 * wire.0 + direction) as usize].counts();
        (lane(0), lane(1))
    }

    pub(super) fn set_impairment(&self, wire: WireId, impairment: Impairment) {
        let mut net = self.net();
        for direction in 0..2 {
            net.lanes[(2 * wire.0 + direction) as usize].set_impairment(impairment);
        }
    }

    /// When something happens next.
    pub(super) fn next_time(&self) -> Option<Instant> {
        self.net().events.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes what happens next, unless that is after `until`.
    pub(super) fn next_event(&self, until: Instant) -> Option<(Instant, Event)> {
        let mut net = self.net();
        let first = net.events.first_entry().filter(|entry| entry.key().0 <= until)?;
        let ((at, _), event) = first.remove_entry();
        if let Event::Deadline { machine } = event {
            net.places[machine as usize].deadline = None;
        }
        Some((at, event))
    }

    /// Takes what happens next if it is a frame that reaches the same end in the same instant.
    pub(super) fn next_of_batch(&self, at: Instant, same: End) -> Option<RxFrame> {
        let mut net = self.net();
        let first = net.events.first_entry()?;
        match first.get() {
            Event::Arrival { to, .. } if first.key().0 == at && *to == same => {}
            _ => return None,
        }
        match first.remove() {
            Event::Arrival { frame, .. } => Some(frame),
            Event::Deadline { .. } => None,
        }
    }

    /// A frame reached a switch: it goes on.
    pub(super) fn switch_frame(&self, now: Instant, switch: u32, port: u32, frame: &RxFrame) {
        let mut net = self.net();
        let place = &mut net.switches[switch as usize];
        match place.bridge.forward(now, port, &frame.bytes) {
            Egress::Nowhere => {}
            Egress::Port(out) => {
                if let Some(lane) = place.lanes[out as usize] {
                    net.send(now, lane, frame);
                }
            }
            Egress::Flood => {
                for out in 0..place.lanes.len() {
                    let lane = net.switches[switch as usize].lanes[out];
                    if out as u32 != port
                        && let Some(lane) = lane
                    {
                        net.send(now, lane, frame);
                    }
                }
            }
        }
    }

    /// Sends what a machine's stack has, notes its deadline, and collects whom its events concern.
    pub(super) fn pump(&self, machine: &Machine, core: &mut Core, woken: &mut Woken) {
        let now = self.clock();
        let mut net = self.net();
        if core.up {
            let lanes = net.places[machine.index as usize].lanes.len();
            for interface in 0..lanes {
                net.transmit(now, machine.index, InterfaceId(interface as u16), core);
            }
        }
        core.take_events(woken);
        net.plan_deadline(now, machine.index, core.next_deadline());
    }

    /// The machine loses its stack, then its tasks, which so have nobody to send a FIN by.
    pub(super) fn crash(&self, machine: &Machine) {
        let mut woken = Woken::new();
        {
            let mut core = machine.lock_or_panic();
            let config = self.net().places[machine.index as usize].config.clone();
            core.take_down(Some(Stack::new(self.clock(), config)), &mut woken);
            self.pump(machine, &mut core, &mut woken);
        }
        machine.executor.drop_tasks(Some(machine.index));
        let life = machine.lock_or_panic().life;
        let chance = self.seed_of(&format!("disk of {}, life {life}", machine.name));
        self.disk_of(machine).crash(fastrand::Rng::with_seed(chance));
        woken.into_iter().for_each(Waker::wake);
    }

    /// A machine's disk, whether the machine is up or not.
    pub(super) fn disk_of(&self, machine: &Machine) -> Arc<SimDisk> {
        Arc::clone(&self.net().places[machine.index as usize].disk)
    }

    pub(super) fn restart(&self, machine: &Machine) {
        let mut core = machine.lock_or_panic();
        assert!(!core.up, "{} is up", machine.name);
        let (mut config, interfaces) = {
            let net = self.net();
            let place = &net.places[machine.index as usize];
            (place.config.clone(), place.interfaces.clone())
        };
        // A machine that starts again does not draw the same initial sequence numbers.
        config.seed = self.seed_of(&format!("machine {}, life {}", machine.name, core.life));
        core.stack = Stack::new(self.clock(), config);
        core.up = true;
        self.observe(machine, &mut core);
        for interface in interfaces {
            let added = core.stack.add_interface(self.clock(), interface);
            added.unwrap_or_else(|errno| panic!("{}'s interface: {errno}", machine.name));
        }
        self.settle(machine, core, self.clock());
    }

    /// The name of a machine, for messages.
    pub(super) fn machine_name(&self, machine: u32) -> String {
        self.net().places.get(machine as usize).map_or_else(String::new, |place| place.name.clone())
    }

    /// The name of an end of a wire, for messages.
    pub(super) fn end_name(&self, end: End) -> String {
        self.net().name(end)
    }

    /// What came from outside, for messages.
    pub(super) fn journal(&self) -> Vec<(Instant, Outside)> {
        self.net().journal.iter().cloned().collect()
    }

    fn net(&self) -> MutexGuard<'_, Net> {
        // A panic under this lock is a fault of the simulation itself, and ends the run that it happened in.
        self.net.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World for SimWorld {
    fn now(&self) -> Instant {
        self.clock()
    }

    fn settle(&self, machine: &Machine, mut core: MutexGuard<'_, Core>, _now: Instant) {
        let mut woken = Woken::new();
        self.pump(machine, &mut core, &mut woken);
        drop(core);
        woken.into_iter().for_each(Waker::wake);
    }

    fn reschedule(&self, machine: &Machine, core: MutexGuard<'_, Core>) {
        self.net().plan_deadline(self.clock(), machine.index, core.next_deadline());
    }

    fn fill_random(&self, machine: &Machine, bytes: &mut [u8]) {
        self.net().places[machine.index as usize].rng.fill(bytes);
    }

    fn disk(&self, machine: &Machine) -> io::Result<Arc<dyn Store>> {
        Ok(self.disk_of(machine))
    }

    fn drive(&self) -> io::Result<&dyn Drive> {
        let text =
            "a simulated world runs on one thread, which can't block: use the async types of tapstack::net";
        Err(io::Error::new(io::ErrorKind::Unsupported, text))
    }
}

impl Net {
    fn plan(&mut self, at: Instant, event: Event) -> EventKey {
        self.planned += 1;
        let key = (at, self.planned);
        self.events.insert(key, event);
        key
    }

    /// Moves a machine's turn to where it wants it now. What is overdue happens in this instant.
    fn plan_deadline(&mut self, now: Instant, machine: u32, deadline: Option<Instant>) {
        let deadline = deadline.map(|at| at.max(now));
        let planned = self.places[machine as usize].deadline;
        if planned.map(|(at, _)| at) == deadline {
            return;
        }
        if let Some(key) = planned {
            self.events.remove(&key);
        }
        self.places[machine as usize].deadline =
            deadline.map(|at| self.plan(at, Event::Deadline { machine }));
    }

    /// Takes all that a machine's interface has to send.
    fn transmit(&mut self, now: Instant, machine: u32, interface: InterfaceId, core: &mut Core) {
        let Some(lane) = self.places[machine as usize].lanes[usize::from(interface.0)] else { return };
        while core.stack.poll_transmit(now, interface, &mut self.frame) {
            // A stack that makes one although the interface said that it can't would lose it on a real device.
            assert!(
                self.frame.gso.is_none(),
                "a super-frame for an interface without offloads: {}",
                self.frame.cause
            );
            let frame = RxFrame { id: self.frame.id, ..RxFrame::new(self.frame.completed()) };
            self.send(now, lane, &frame);
        }
    }

    /// A frame enters a direction of a wire.
    fn send(&mut self, now: Instant, lane: u32, frame: &RxFrame) {
        let direction = &mut self.lanes[lane as usize];
        let Some(Passage::Delivered(deliveries)) = direction.send(now, frame.bytes.len()) else { return };
        for delivery in deliveries {
            let direction = &self.lanes[lane as usize];
            let (to, frame) = (direction.to, direction.deliver(frame, delivery.corrupt));
            self.plan(delivery.at, Event::Arrival { to, frame });
        }
    }

    /// Where the way out of an end is kept.
    fn way_out(&mut self, end: End) -> &mut Option<u32> {
        match end {
            End::Machine { machine, interface } => {
                &mut self.places[machine as usize].lanes[usize::from(interface.0)]
            }
            End::Switch { switch, port } => &mut self.switches[switch as usize].lanes[port as usize],
        }
    }

    fn name(&self, end: End) -> String {
        match end {
            End::Machine { machine, interface } => {
                format!("{} {interface}", self.places[machine as usize].name)
            }
            End::Switch { switch, port } => {
                format!("{} port {port}", self.switches[switch as usize].name)
            }
        }
    }
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outside::Machine(name) => write!(f, "machine {name}"),
            Outside::Switch(name) => write!(f, "switch {name}"),
            Outside::Wire(id, a, b, wire) => write!(f, "wire {} from {a} to {b}: {wire:?}", id.0),
            Outside::SetWire(id, wire) => write!(f, "wire {} becomes {wire:?}", id.0),
            Outside::Crash(name) => write!(f, "{name} crashes"),
            Outside::Restart(name) => write!(f, "{name} restarts"),
        }
    }
}
