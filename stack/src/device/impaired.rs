//! A device whose frames are impaired on their way in and out.

use super::impair::{Impairment, ImpairmentCounts, Link, corrupted};
use super::{Device, Receive, Transmit};
use crate::frame::{RxChecksum, RxFrame, TxFrame};
use crate::stack::{Medium, Offloads};
use crate::time::{Duration, Instant};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Frames that one direction holds back at most; what comes beyond them is dropped like by a full queue.
const HELD_FRAMES_MAX: usize = 65_536;
/// Frames that are taken from the device and lost in a row before the caller gets a turn.
const LOST_IN_A_ROW_MAX: usize = 256;
/// How long until a frame is tried again that the device refused.
const RETRY_AFTER: Duration = Duration::from_millis(1);
/// Bytes of an Ethernet header, which corruption spares.
const ETHERNET_LEN: usize = 14;

/// Puts an impairment around each direction of a device, and returns what tells and changes them later: first the
/// receiving direction's, then the transmitting one's.
///
/// Decisions are made once per frame, so the device is said to have no segmentation offload. A device that
/// *receives* super-frames loses up to 64 KiB at once: open a TAP in plain mode to impair it. The two directions
/// draw from different streams of the seed.
pub fn impair(device: Device, rx: Impairment, tx: Impairment, seed: u64) -> (Device, [ImpairedLink; 2]) {
    let (rx, tx) = (ImpairedLink::new(rx, seed), ImpairedLink::new(tx, !seed));
    let skip = if device.medium == Medium::Ethernet { ETHERNET_LEN } else { 0 };
    let receive =
        ImpairedReceive { inner: device.rx, link: rx.clone(), held: Held::default(), more_since: None, skip };
    let transmit =
        ImpairedTransmit { inner: device.tx, link: tx.clone(), held: Held::default(), retry_at: None, skip };
    let offloads = Offloads { tso_max: 0, uso_max: 0, software: false, ..device.offloads };
    let device = Device { offloads, rx: Box::new(receive), tx: Box::new(transmit), ..device };
    (device, [rx, tx])
}

/// A shared view of one impaired direction.
#[derive(Clone, Debug)]
pub struct ImpairedLink(Arc<Mutex<Link>>);

impl ImpairedLink {
    fn new(impairment: Impairment, seed: u64) -> ImpairedLink {
        ImpairedLink(Arc::new(Mutex::new(Link::new(impairment, seed))))
    }

    /// How often each impairment really occurred.
    pub fn counts(&self) -> ImpairmentCounts {
        *self.lock().counts()
    }

    /// The impairment in force.
    pub fn impairment(&self) -> Impairment {
        *self.lock().impairment()
    }

    /// Changes the impairment for frames that enter from now on.
    pub fn set(&self, impairment: Impairment) {
        self.lock().set_impairment(impairment);
    }

    /// A panic elsewhere leaves the link whole enough: it holds counters and times.
    fn lock(&self) -> MutexGuard<'_, Link> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct ImpairedReceive {
    inner: Box<dyn Receive>,
    link: ImpairedLink,
    held: Held<RxFrame>,
    /// Set when the caller was given a turn although the device may have more.
    more_since: Option<Instant>,
    skip: usize,
}

impl Receive for ImpairedReceive {
    fn receive(&mut self, now: Instant) -> io::Result<Option<RxFrame>> {
        self.more_since = None;
        for _ in 0..LOST_IN_A_ROW_MAX {
            if let Some(frame) = self.held.pop_due(now) {
                return Ok(Some(frame));
            }
            let Some(frame) = self.inner.receive(now)? else { return Ok(None) };
            let mut link = self.link.lock();
            let passage = link.send(now, frame.bytes.len());
            for delivery in passage.deliveries() {
                let copy = match delivery.corrupt {
                    None => frame.clone(),
                    // The bytes as a wire has them: what the device vouched for is no longer true.
                    Some(pick) => RxFrame {
                        bytes: corrupted(&frame.completed(), self.skip, pick),
                        checksum: RxChecksum::Unverified,
                        ..frame.clone()
                    },
                };
                if !self.held.push(delivery.at, copy) {
                    link.count_overflow();
                }
            }
        }
        self.more_since = Some(now);
        Ok(None)
    }

    fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [self.more_since, self.held.next_due(), self.inner.next_deadline()];
        deadlines.into_iter().flatten().min()
    }
}

struct ImpairedTransmit {
    inner: Box<dyn Transmit>,
    link: ImpairedLink,
    held: Held<TxFrame>,
    /// Set when the device refused a frame that is due: when it is tried again.
    retry_at: Option<Instant>,
    skip: usize,
}

impl Transmit for ImpairedTransmit {
    /// Never says `WouldBlock`: what the device refuses waits here, since its fate is decided.
    fn transmit(&mut self, now: Instant, frame: &TxFrame) -> io::Result<()> {
        let passage = self.link.lock().send(now, frame.len());
        for delivery in passage.deliveries() {
            match delivery.corrupt {
                None if delivery.at <= now && self.held.is_empty() => match self.inner.transmit(now, frame) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.retry_at = Some(now + RETRY_AFTER);
                        self.hold(delivery.at, frame.clone());
                    }
                    sent => sent?,
                },
                None => self.hold(delivery.at, frame.clone()),
                // A super-frame can't be damaged truthfully, since whoever segments it makes new checksums.
                Some(_) if frame.gso.is_some() => {}
                Some(pick) => {
                    let bytes = corrupted(&frame.completed(), self.skip, pick);
                    self.hold(delivery.at, TxFrame::from_completed(bytes, frame));
                }
            }
        }
        self.send_due(now)
    }

    fn handle_deadline(&mut self, now: Instant) -> io::Result<()> {
        self.inner.handle_deadline(now)?;
        self.send_due(now)
    }

    fn next_deadline(&self) -> Option<Instant> {
        let due = self.held.next_due().map(|due| due.max(self.retry_at.unwrap_or(due)));
        [due, self.inner.next_deadline()].into_iter().flatten().min()
    }
}

impl ImpairedTransmit {
    fn hold(&mut self, at: Instant, frame: TxFrame) {
        if !self.held.push(at, frame) {
            self.link.lock().count_overflow();
        }
    }

    fn send_due(&mut self, now: Instant) -> io::Result<()> {
        if self.retry_at.is_some_and(|at| at > now) {
            return Ok(());
        }
        self.retry_at = None;
        while let Some(frame) = self.held.peek_due(now) {
            match self.inner.transmit(now, frame) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.retry_at = Some(now + RETRY_AFTER);
                    return Ok(());
                }
                sent => sent?,
            }
            self.held.pop_due(now);
        }
        Ok(())
    }
}

/// Frames that are on their way, the next to come out first; of two at the same time the one that entered first.
struct Held<T> {
    heap: BinaryHeap<HeldFrame<T>>,
    entered: u64,
}

struct HeldFrame<T> {
    at: Instant,
    order: u64,
    frame: T,
}

impl<T> Default for Held<T> {
    fn default() -> Held<T> {
        Held { heap: BinaryHeap::new(), entered: 0 }
    }
}

impl<T> Held<T> {
    fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// False if there is no room.
    fn push(&mut self, at: Instant, frame: T) -> bool {
        if self.heap.len() >= HELD_FRAMES_MAX {
            return false;
        }
        self.entered += 1;
        self.heap.push(HeldFrame { at, order: self.entered, frame });
        true
    }

    fn next_due(&self) -> Option<Instant> {
        self.heap.peek().map(|held| held.at)
    }

    fn peek_due(&self, now: Instant) -> Option<&T> {
        self.heap.peek().filter(|held| held.at <= now).map(|held| &held.frame)
    }

    fn pop_due(&mut self, now: Instant) -> Option<T> {
        self.peek_due(now)?;
        self.heap.pop().map(|held| held.frame)
    }
}

impl<T> Ord for HeldFrame<T> {
    /// A `BinaryHeap` gives the largest first, so the earliest is the largest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl<T> PartialOrd for HeldFrame<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for HeldFrame<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for HeldFrame<T> {}

#[cfg(test)]
#[path = "impaired_tests.rs"]
mod tests;
