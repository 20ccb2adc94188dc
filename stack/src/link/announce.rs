//! Telling the link which addresses are ours, and keeping them (RFC 5227).

use crate::stack::InterfaceId;
use crate::time::{Duration, Instant};
use core::net::Ipv4Addr;

/// Announcements that are still to be sent, and defences that were.
#[derive(Default)]
pub(super) struct Announcements {
    planned: Vec<Planned>,
    defended: Vec<(InterfaceId, Ipv4Addr, Instant)>,
}

struct Planned {
    due: Instant,
    interface: InterfaceId,
    address: Ipv4Addr,
    left: u8,
}

impl Announcements {
    /// An address was added: it is announced now, and again.
    pub(super) fn plan(&mut self, now: Instant, interface: InterfaceId, address: Ipv4Addr) {
        self.planned.push(Planned { due: now, interface, address, left: ANNOUNCEMENTS });
    }

    /// An address was removed.
    pub(super) fn forget(&mut self, interface: InterfaceId, address: Ipv4Addr) {
        self.planned.retain(|planned| (planned.interface, planned.address) != (interface, address));
        self.defended.retain(|&(of, defended, _)| (of, defended) != (interface, address));
    }

    /// The next announcement that is due.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<(InterfaceId, Ipv4Addr)> {
        let index = self.planned.iter().position(|planned| planned.due <= now)?;
        let planned = &mut self.planned[index];
        planned.left -= 1;
        planned.due = now + ANNOUNCE_INTERVAL;
        let what = (planned.interface, planned.address);
        if planned.left == 0 {
            self.planned.remove(index);
        }
        Some(what)
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.planned.iter().map(|planned| planned.due).min()
    }

    /// Somebody else uses our address: may it be defended now? RFC 5227 section 2.4 (c): a host that wants to keep
    /// its address at any price "MUST NOT" defend it more often than every DEFEND_INTERVAL.
    pub(super) fn may_defend(&mut self, now: Instant, interface: InterfaceId, address: Ipv4Addr) -> bool {
        match self.defended.iter_mut().find(|(of, defended, _)| (*of, *defended) == (interface, address)) {
            Some((_, _, last)) if now.since(*last) < DEFEND_INTERVAL => false,
            Some((_, _, last)) => {
                *last = now;
                true
            }
            None => {
                self.defended.push((interface, address, now));
                true
            }
        }
    }
}

/// How often an address is announced (RFC 5227 section 1.1, ANNOUNCE_NUM).
const ANNOUNCEMENTS: u8 = 2;
/// Time between announcements (RFC 5227 section 1.1, ANNOUNCE_INTERVAL).
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);
/// Time between defences (RFC 5227 section 1.1, DEFEND_INTERVAL).
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);
