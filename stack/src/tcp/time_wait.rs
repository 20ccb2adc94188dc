//! TIME-WAIT (RFC 9293 section 3.6.1): what is left of a connection, in a small entry, for twice the maximum segment lifetime.

use super::arrives::Verdict;
use super::connection::Connection;
use super::demux::Tuple;
use super::ports::PortName;
use super::segment::Segment;
use super::seq::SeqNum;
use crate::frame::{DropReason, Outcome};
use crate::ip::Route;
use crate::stack::Context;
use crate::time::{Duration, Instant};
use std::collections::VecDeque;

/// Names a TIME-WAIT entry. Numbers are never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeWaitId(u64);

/// What is left of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeWait {
    pub(crate) tuple: Tuple,
    pub(crate) port: PortName,
    pub(crate) route: Route,
    pub(crate) snd_nxt: SeqNum,
    pub(crate) rcv_nxt: SeqNum,
    /// The window of the last segment, as its header had it.
    pub(crate) window: u16,
    pub(crate) timestamps: Option<super::connection::Timestamps>,
    pub(crate) ttl: u8,
    pub(crate) tos: u8,
    expires: Instant,
    /// When the last segment was answered: answers are limited.
    answered: Instant,
}

/// All entries, oldest first: since all last equally long, a queue is all the timer they need.
#[derive(Default)]
pub(crate) struct TimeWaits {
    entries: VecDeque<Option<TimeWait>>,
    /// The number of the entry in front.
    first: u64,
    live: usize,
}

/// What a TIME-WAIT entry does with a segment.
pub(crate) enum Arrival {
    /// Answer with an ACK, and start the time again.
    Acknowledge,
    /// The peer may open a new connection with the same ports (RFC 6191): the entry makes way.
    Reopen,
    /// Dropped, perhaps with a reset to answer.
    Done(Verdict),
}

impl TimeWaits {
    /// Entries that are waiting.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Adds an entry; it lasts for `duration` from now.
    pub(crate) fn insert(
        &mut self,
        now: Instant,
        conn: &Connection,
        window: u16,
        duration: Duration,
    ) -> TimeWaitId {
        let entry = TimeWait {
            tuple: conn.tuple,
            port: conn.port,
            route: conn.route,
            snd_nxt: conn.snd_nxt(),
            rcv_nxt: conn.rcv.next,
            window,
            timestamps: conn.timestamps.enabled.then_some(conn.timestamps),
            ttl: conn.settings.ttl,
            tos: conn.settings.tos,
            expires: now + duration,
            answered: Instant::ZERO,
        };
        self.push(entry)
    }

    pub(crate) fn get(&self, id: TimeWaitId) -> Option<&TimeWait> {
        self.entries.get(id.0.checked_sub(self.first)? as usize)?.as_ref()
    }

    /// All entries, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &TimeWait> {
        self.entries.iter().flatten()
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, id: TimeWaitId) -> Option<TimeWait> {
        let entry = self.entries.get_mut(id.0.checked_sub(self.first)? as usize)?.take()?;
        self.live -= 1;
        self.trim();
        Some(entry)
    }

    /// The 2 MSL start again, at the queue's end (RFC 9293 section 3.10.7.4, eighth check). Returns the new name.
    pub(crate) fn restart(&mut self, now: Instant, id: TimeWaitId, duration: Duration) -> Option<TimeWaitId> {
        let mut entry = self.remove(id)?;
        entry.expires = now + duration;
        entry.answered = now;
        Some(self.push(entry))
    }

    /// Takes the oldest entry if its time has come, or if `force` makes room.
    pub(crate) fn pop_expired(&mut self, now: Instant, force: bool) -> Option<(TimeWaitId, TimeWait)> {
        let expired = self.entries.front()?.as_ref().is_some_and(|entry| force || entry.expires <= now);
        if !expired {
            return None;
        }
        let id = TimeWaitId(self.first);
        self.remove(id).map(|entry| (id, entry))
    }

    /// When the oldest entry's time comes.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.entries.front()?.as_ref().map(|entry| entry.expires)
    }

    fn push(&mut self, entry: TimeWait) -> TimeWaitId {
        self.entries.push_back(Some(entry));
        self.live += 1;
        TimeWaitId(self.first + self.entries.len() as u64 - 1)
    }

    /// The front is never an empty place, so that it tells the next time-out.
    fn trim(&mut self) {
        while let Some(None) = self.entries.front() {
            self.entries.pop_front();
            self.first += 1;
        }
    }
}

impl TimeWait {
    /// A segment for a connection in TIME-WAIT. `may_reopen` tells whether somebody listens.
    pub(crate) fn arrives(&self, cx: &mut Context, segment: &Segment, may_reopen: bool) -> Arrival {
        let paws = match (self.timestamps, segment.options.timestamps) {
            (Some(ours), Some(theirs)) => Some(theirs.value.wrapping_sub(ours.recent) as i32),
            _ => None,
        };
        if segment.flags.rst() {
            // RFC 1337: a RST must not end TIME-WAIT early.
            return Arrival::Done(cx.drop(DropReason::TcpStrayRst).into());
        }
        if segment.flags.syn() && !segment.flags.ack() {
            // RFC 6191 section 2: a later timestamp, or a sequence number beyond what was received, is a new connection.
            let newer = paws.map_or(segment.seq.after(self.rcv_nxt), |age| {
                age > 0 || (age == 0 && segment.seq.after(self.rcv_nxt))
            });
            if newer && may_reopen {
                return Arrival::Reopen;
            }
        }
        let bare_ack = segment.len() == 0 && segment.seq == self.rcv_nxt;
        let limited = self.answered != Instant::ZERO
            && cx.now.since(self.answered) < super::connection::INVALID_ANSWER_INTERVAL;
        if bare_ack || limited {
            return Arrival::Done(Outcome::Orphan.into());
        }
        Arrival::Acknowledge
    }
}
