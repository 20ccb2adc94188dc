//! What a scenario may do to its world while it runs: crash machines, start them again, change wires.

use super::wire::{Wire, WireId};
use super::world::{Outside, SimWorld};
use crate::device::Impairment;
use crate::net::Host;
use std::sync::Arc;

/// What a scenario that runs inside a world may do to it.
#[derive(Clone)]
pub struct Controls {
    world: Arc<SimWorld>,
}

impl Controls {
    pub(super) fn new(world: &Arc<SimWorld>) -> Controls {
        Controls { world: Arc::clone(world) }
    }

    /// Takes a machine down at once, as a power failure does: its tasks are dropped, nobody is told, no FIN is sent.
    /// Frames that are under way stay so. Calls on its sockets and files say `NetworkDown`, and go on doing so after a
    /// restart. Its disk loses what was not synced, as the seed has it.
    pub fn crash(&self, host: &Host) {
        self.world.outside(Outside::Crash(host.name().to_owned()));
        self.world.crash(host.machine());
    }

    /// Starts a machine that has crashed: a new stack with the same interfaces, addresses and settings. What was
    /// changed on the old stack (routes) has to be done again, and apps have to be spawned again.
    pub fn restart(&self, host: &Host) {
        self.world.outside(Outside::Restart(host.name().to_owned()));
        self.world.restart(host.machine());
    }

    /// Changes what a wire does to frames that enter it from now on. Its MTU and medium stay.
    pub fn set_wire(&self, wire: WireId, to: Wire) {
        self.world.outside(Outside::SetWire(wire, to));
        self.world.set_impairment(wire, Impairment::from(&to));
    }
}
