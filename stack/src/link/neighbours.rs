//! The neighbour cache: a bounded table with a timer queue, keyed by interface and IP address.

use super::neighbour::{Ask, Entry, NeighbourState, TimeOut, Use};
use crate::frame::{DropReason, TxFrame};
use crate::hash::{KeyedMap, KeyedState};
use crate::ip::Sender;
use crate::stack::{InterfaceId, MacAddr};
use crate::time::Instant;
use core::net::IpAddr;
use std::collections::{BTreeSet, VecDeque};

/// A neighbour as [`crate::Stack::neighbours`] lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The interface whose link it is on.
    pub interface: InterfaceId,
    /// Its address.
    pub address: IpAddr,
    /// Its link address, where it is known.
    pub mac: Option<MacAddr>,
    /// What is known of it.
    pub state: NeighbourState,
}

/// What the cache says of a next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    Known(MacAddr),
    Waiting,
    Failed,
}

/// What waited for a neighbour.
#[derive(Default)]
pub(super) struct Released {
    pub(super) waiting: Vec<Sender>,
    pub(super) parked: VecDeque<TxFrame>,
}

/// The cache. Entries stay where they are, so that indexes name them.
pub(super) struct Neighbours {
    entries: Vec<Entry>,
    indexes: KeyedMap<(InterfaceId, IpAddr), u32>,
    /// Where the last entry was found: most packets go to the neighbour that the one before went to.
    last: usize,
    deadlines: BTreeSet<(Instant, u32)>,
    /// Where the search for an entry to evict goes on.
    hand: usize,
}

impl Neighbours {
    pub(super) fn new(key: KeyedState) -> Neighbours {
        Neighbours {
            entries: Vec::new(),
            indexes: KeyedMap::with_hasher(key),
            last: 0,
            deadlines: BTreeSet::new(),
            hand: 0,
        }
    }

    /// The link address of the neighbour that was used last, while it is known to be there: what nearly every packet
    /// asks for. None says nothing: see [`Neighbours::resolve`].
    pub(super) fn in_use(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        address: IpAddr,
    ) -> Option<MacAddr> {
        let entry = self.entries.get_mut(self.last)?;
        let is_it = entry.address == address && entry.interface == interface;
        (is_it && entry.is_reachable(now)).then(|| {
            entry.used = true;
            entry.mac
        })
    }

    /// Somebody wants to send to a next hop; a sender is kept if it has to wait.
    pub(super) fn resolve(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        address: IpAddr,
        sender: Option<Sender>,
    ) -> Result<(Resolution, Option<Ask>), DropReason> {
        let index = self.find_or_insert(interface, address)?;
        let (usable, ask) = self.change(index, |entry| entry.touch(now));
        let resolution = match usable {
            Use::Known(mac) => Resolution::Known(mac),
            Use::Failed => Resolution::Failed,
            Use::Unknown => {
                self.entries[index].waiting.extend(sender);
                Resolution::Waiting
            }
        };
        Ok((resolution, ask))
    }

    /// A packet has to go to a next hop now: gives its link address, or takes the packet (`frame` is then empty).
    pub(super) fn resolve_or_park(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        address: IpAddr,
        frame: &mut Option<TxFrame>,
    ) -> Result<(Option<MacAddr>, Option<Ask>), DropReason> {
        let index = self.find_or_insert(interface, address)?;
        let (usable, ask) = self.change(index, |entry| entry.touch(now));
        match usable {
            Use::Known(mac) => return Ok((Some(mac), None)),
            Use::Failed => return Err(DropReason::NeighbourUnreachable),
            Use::Unknown => {}
        }
        let parked = &mut self.entries[index].parked;
        if parked.len() >= PARKED_MAX {
            return Err(DropReason::NeighbourQueueFull);
        }
        parked.extend(frame.take());
        Ok((None, ask))
    }

    /// Whether so many more packets could be parked for a next hop.
    pub(super) fn has_room(&self, interface: InterfaceId, address: IpAddr, packets: usize) -> bool {
        let parked = self.find(interface, address).map_or(0, |index| self.entries[index].parked.len());
        parked + packets <= PARKED_MAX
    }

    /// The link address of a neighbour that [`Neighbours::resolve`] has just said to be known.
    pub(super) fn mac(&self, interface: InterfaceId, address: IpAddr) -> Option<MacAddr> {
        let entry = &self.entries[self.find(interface, address)?];
        entry.is_known().then_some(entry.mac)
    }

    /// A neighbour's link address was told. Unknown ones are remembered if `create`. Returns what waited for it, or
    /// none when it isn't in the cache.
    pub(super) fn learn(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        address: IpAddr,
        mac: MacAddr,
        solicited: bool,
        create: bool,
    ) -> Option<Released> {
        let index = match self.find(interface, address) {
            Some(index) => index,
            None if create => self.find_or_insert(interface, address).ok()?,
            None => return None,
        };
        self.change(index, |entry| entry.learn(now, mac, solicited));
        Some(self.release(index))
    }

    /// A transport made progress through a neighbour.
    pub(super) fn confirm(&mut self, now: Instant, interface: InterfaceId, address: IpAddr) {
        let Some(index) = self.find(interface, address) else { return };
        let entry = &mut self.entries[index];
        if entry.state == NeighbourState::Reachable && entry.deadline.is_none() {
            // It stays as it is, for longer.
            entry.confirm(now);
        } else if entry.is_known() {
            self.change(index, |entry| entry.confirm(now));
        }
    }

    /// The next passed deadline that asks for something; what waited for a neighbour that failed is handed out.
    pub(super) fn time_out(&mut self, now: Instant) -> Option<Result<Ask, Released>> {
        while let Some(&(deadline, index)) = self.deadlines.first() {
            if deadline > now {
                return None;
            }
            let index = index as usize;
            match self.change(index, |entry| entry.time_out(now)) {
                Some(TimeOut::Ask(ask)) => return Some(Ok(ask)),
                Some(TimeOut::Failed) => return Some(Err(self.release(index))),
                None => {}
            }
        }
        None
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// Forgets a neighbour; false where it isn't known, or something waits for it: that one is being asked for anyway.
    pub(super) fn forget(&mut self, interface: InterfaceId, address: IpAddr) -> bool {
        let Some(index) = self.find(interface, address) else { return false };
        let entry = &self.entries[index];
        if !entry.waiting.is_empty() || !entry.parked.is_empty() {
            return false;
        }
        self.change(index, |entry| entry.deadline = None);
        self.indexes.remove(&(interface, address));
        // The last entry moves into the gap, and what names it follows.
        let moved = self.entries.len() - 1;
        self.entries.swap_remove(index);
        if let Some(entry) = self.entries.get(index) {
            self.indexes.insert((entry.interface, entry.address), index as u32);
            if let Some(deadline) = entry.deadline {
                self.deadlines.remove(&(deadline, moved as u32));
                self.deadlines.insert((deadline, index as u32));
            }
        }
        (self.last, self.hand) = (0, 0);
        true
    }

    /// All neighbours, by interface and address.
    pub(super) fn list(&self) -> Vec<Neighbour> {
        let mut list: Vec<Neighbour> = self
            .entries
            .iter()
            .map(|entry| Neighbour {
                interface: entry.interface,
                address: entry.address,
                mac: entry.is_known().then_some(entry.mac),
                state: entry.state,
            })
            .collect();
        list.sort_by_key(|neighbour| (neighbour.interface, neighbour.address));
        list
    }

    fn release(&mut self, index: usize) -> Released {
        let entry = &mut self.entries[index];
        Released { waiting: core::mem::take(&mut entry.waiting), parked: core::mem::take(&mut entry.parked) }
    }

    fn find(&self, interface: InterfaceId, address: IpAddr) -> Option<usize> {
        match self.entries.get(self.last) {
            Some(entry) if entry.address == address && entry.interface == interface => Some(self.last),
            _ => self.indexes.get(&(interface, address)).map(|&index| index as usize),
        }
    }

    fn find_or_insert(&mut self, interface: InterfaceId, address: IpAddr) -> Result<usize, DropReason> {
        let index = match self.find(interface, address) {
            Some(index) => index,
            None => self.insert(interface, address)?,
        };
        self.last = index;
        Ok(index)
    }

    fn insert(&mut self, interface: InterfaceId, address: IpAddr) -> Result<usize, DropReason> {
        let entry = Entry::new(interface, address);
        let index = if self.entries.len() < NEIGHBOURS_MAX {
            self.entries.push(entry);
            self.entries.len() - 1
        } else {
            let index = self.evictable().ok_or(DropReason::NeighbourTableFull)?;
            self.change(index, |old| old.deadline = None);
            let old = core::mem::replace(&mut self.entries[index], entry);
            self.indexes.remove(&(old.interface, old.address));
            index
        };
        self.indexes.insert((interface, address), index as u32);
        Ok(index)
    }

    /// An entry that nothing waits for and that was not used since the hand last passed (the clock algorithm, so
    /// that a flood of new neighbours costs a step each, not a search).
    fn evictable(&mut self) -> Option<usize> {
        for _ in 0..2 * self.entries.len() {
            self.hand = (self.hand + 1) % self.entries.len();
            let entry = &mut self.entries[self.hand];
            let is_free = entry.waiting.is_empty() && entry.parked.is_empty();
            if is_free && !core::mem::take(&mut entry.used) {
                return Some(self.hand);
            }
        }
        None
    }

    /// Changes an entry and keeps the timer queue in step.
    fn change<R>(&mut self, index: usize, change: impl FnOnce(&mut Entry) -> R) -> R {
        let entry = &mut self.entries[index];
        let before = entry.deadline;
        let result = change(entry);
        if entry.deadline != before {
            if let Some(deadline) = before {
                self.deadlines.remove(&(deadline, index as u32));
            }
            if let Some(deadline) = entry.deadline {
                self.deadlines.insert((deadline, index as u32));
            }
        }
        result
    }
}

/// Neighbours that a stack remembers; a /22 full of hosts.
pub(super) const NEIGHBOURS_MAX: usize = 1024;
/// Packets that wait for one neighbour. Linux keeps three full frames at least; a burst of fragments needs more.
pub(super) const PARKED_MAX: usize = 64;
