//! Putting fragments together: bounded, and without trust in what overlaps (RFC 815, RFC 5722's lesson).

use super::PacketIn;
use crate::frame::{DropReason, RxChecksum};
use crate::hash::{KeyedMap, KeyedState};
use crate::time::{Duration, Instant};
use crate::wire::ipv4;
use bytes::Bytes;
use core::net::Ipv4Addr;
use std::collections::VecDeque;

/// Datagrams that wait for fragments.
pub(super) struct Reassembly {
    datagrams: KeyedMap<Key, Datagram>,
    /// All in the order of their beginning, which is that of their deadlines; some are gone already.
    order: VecDeque<(Instant, u64, Key)>,
    /// Tells a datagram from a later one with the same key.
    next_number: u64,
    /// Bytes that are held for all.
    charge: usize,
}

/// What names a datagram (RFC 791 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    ident: u16,
}

struct Datagram {
    number: u64,
    /// By offset; none overlap. Empty once fragments did, until the time is up, so that the rest is dropped too.
    pieces: Vec<Piece>,
    is_poisoned: bool,
    /// Bytes of the whole payload, once the last fragment is in.
    total: Option<usize>,
    charge: usize,
    /// The first fragment's packet, without its payload: it speaks for the whole.
    first: Option<PacketIn>,
    /// Whether any fragment met congestion (RFC 3168 section 5.3).
    met_congestion: bool,
}

struct Piece {
    offset: usize,
    data: Bytes,
}

impl Piece {
    fn end(&self) -> usize {
        self.offset + self.data.len()
    }
}

/// What a fragment brought.
#[derive(Debug)]
pub(super) enum Fragment {
    /// It was the last one that was missing.
    Whole(Box<PacketIn>),
    Waits,
    Refused(DropReason),
}

impl Reassembly {
    pub(super) fn new(key: KeyedState) -> Reassembly {
        let datagrams = KeyedMap::with_hasher(key);
        Reassembly { datagrams, order: VecDeque::new(), next_number: 0, charge: 0 }
    }

    /// A fragment came in. Returns how many datagrams had to go to make room, too.
    pub(super) fn add(&mut self, now: Instant, header: &ipv4::Header, packet: PacketIn) -> (Fragment, usize) {
        let (offset, len) = (usize::from(header.fragment_offset), packet.payload.len());
        // RFC 791 section 3.2: all but the last are multiples of eight long, and the whole fits 65,535 bytes.
        let is_malformed = len == 0
            || (header.more_fragments && !len.is_multiple_of(8))
            || usize::from(header.header_len) + offset + len > usize::from(u16::MAX);
        if is_malformed {
            return (Fragment::Refused(DropReason::FragmentMalformed), 0);
        }
        let key = Key {
            source: header.source,
            destination: header.destination,
            protocol: header.protocol,
            ident: header.ident,
        };
        let evicted = self.make_room(&key, len + FRAGMENT_OVERHEAD);
        let datagram = self.datagrams.entry(key).or_insert_with(|| {
            self.next_number += 1;
            self.order.push_back((now + REASSEMBLY_TIME, self.next_number, key));
            Datagram::new(self.next_number)
        });
        let before = datagram.charge;
        let added = datagram.add(offset, header.more_fragments, packet);
        self.charge = self.charge + datagram.charge - before;
        let fragment = match added {
            Err(reason) => Fragment::Refused(reason),
            Ok(false) => Fragment::Waits,
            Ok(true) => {
                let whole = self.remove(&key).and_then(Datagram::whole);
                whole.map_or(Fragment::Refused(DropReason::FragmentMalformed), |packet| {
                    Fragment::Whole(Box::new(packet))
                })
            }
        };
        (fragment, evicted)
    }

    /// The next datagram whose time is up. If its first fragment is there, its sender may be told.
    pub(super) fn time_out(&mut self, now: Instant) -> Option<Option<PacketIn>> {
        while let Some(&(deadline, number, key)) = self.order.front() {
            if deadline > now {
                return None;
            }
            self.order.pop_front();
            if self.datagrams.get(&key).is_some_and(|datagram| datagram.number == number) {
                return self.remove(&key).map(Datagram::first_fragment);
            }
        }
        None
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.order.front().map(|&(deadline, _, _)| deadline)
    }

    fn remove(&mut self, key: &Key) -> Option<Datagram> {
        let datagram = self.datagrams.remove(key)?;
        self.charge -= datagram.charge;
        if self.datagrams.is_empty() {
            self.order.clear();
        }
        Some(datagram)
    }

    /// The oldest datagrams go where there is no room for a new fragment: what waits longest comes last.
    fn make_room(&mut self, key: &Key, charge: usize) -> usize {
        let mut evicted = 0;
        loop {
            let is_full = self.charge + charge > REASSEMBLY_BYTES_MAX
                || (self.datagrams.len() >= DATAGRAMS_MAX && !self.datagrams.contains_key(key));
            let Some((_, number, oldest)) = is_full.then(|| self.order.pop_front()).flatten() else {
                // Entries of datagrams that were completed behind one that waits don't pile up.
                if self.order.len() > 4 * DATAGRAMS_MAX {
                    let live = |(_, number, key): &(Instant, u64, Key)| {
                        self.datagrams.get(key).is_some_and(|datagram| datagram.number == *number)
                    };
                    self.order.retain(live);
                }
                return evicted;
            };
            if self.datagrams.get(&oldest).is_some_and(|datagram| datagram.number == number) {
                self.remove(&oldest);
                evicted += 1;
            }
        }
    }
}

impl Datagram {
    fn new(number: u64) -> Datagram {
        Datagram {
            number,
            pieces: Vec::new(),
            is_poisoned: false,
            total: None,
            charge: 0,
            first: None,
            met_congestion: false,
        }
    }

    /// Adds a piece; true when it was the last one that was missing.
    fn add(&mut self, offset: usize, more: bool, mut packet: PacketIn) -> Result<bool, DropReason> {
        if self.is_poisoned {
            return Err(DropReason::FragmentOverlap);
        }
        let payload = core::mem::take(&mut packet.payload);
        let end = offset + payload.len();
        let at = self.pieces.partition_point(|piece| piece.offset < offset);
        if let Some(same) = self.pieces.get(at)
            && same.offset == offset
            && same.data == payload
        {
            return Err(DropReason::FragmentDuplicate);
        }
        let overlaps = at.checked_sub(1).and_then(|i| self.pieces.get(i)).is_some_and(|p| p.end() > offset)
            || self.pieces.get(at).is_some_and(|piece| piece.offset < end);
        // An end that moves is as much of a lie as bytes that change.
        let contradicts = match (more, self.total) {
            (false, Some(total)) => end != total,
            (false, None) => self.pieces.last().is_some_and(|last| last.end() > end),
            (true, Some(total)) => end >= total,
            (true, None) => false,
        };
        if overlaps || contradicts {
            self.pieces.clear();
            (self.first, self.charge, self.is_poisoned) = (None, 0, true);
            return Err(DropReason::FragmentOverlap);
        }

        if !more {
            self.total = Some(end);
        }
        self.met_congestion |= packet.tos & 3 == CONGESTION_EXPERIENCED;
        self.charge += payload.len() + FRAGMENT_OVERHEAD;
        // Copied, so that a small fragment does not pin its frame's whole buffer.
        self.pieces.insert(at, Piece { offset, data: Bytes::copy_from_slice(&payload) });
        if offset == 0 {
            self.first = Some(packet);
        }
        // No two pieces overlap, so their lengths tell whether a hole is left.
        let held: usize = self.pieces.iter().map(|piece| piece.data.len()).sum();
        Ok(self.total == Some(held))
    }

    fn whole(self) -> Option<PacketIn> {
        let mut payload = Vec::with_capacity(self.total?);
        self.pieces.iter().for_each(|piece| payload.extend_from_slice(&piece.data));
        let first = self.first?;
        let ecn = if self.met_congestion { CONGESTION_EXPERIENCED } else { 0 };
        Some(PacketIn {
            payload: payload.into(),
            tos: first.tos | ecn,
            checksum: RxChecksum::Unverified,
            gso: None,
            ..first
        })
    }

    fn first_fragment(self) -> Option<PacketIn> {
        let payload = self.pieces.first().filter(|piece| piece.offset == 0)?.data.clone();
        Some(PacketIn { payload, ..self.first? })
    }
}

/// How long a datagram waits for its fragments. Linux's 30 s, where RFC 1122 section 3.3.2 has 60 to 120: at today's
/// rates, identifications come round long before that (RFC 4963).
const REASSEMBLY_TIME: Duration = Duration::from_secs(30);
/// Datagrams that wait at most.
const DATAGRAMS_MAX: usize = 1024;
/// Bytes that wait at most: Linux's `ipfrag_high_thresh`.
const REASSEMBLY_BYTES_MAX: usize = 4 << 20;
/// Bytes that a fragment is charged beside its own.
const FRAGMENT_OVERHEAD: usize = 128;
/// The ECN code point (RFC 3168 section 5).
const CONGESTION_EXPERIENCED: u8 = 3;

#[cfg(test)]
mod tests;
