//! When to acknowledge: RFC 1122 section 4.2.3.2 and RFC 5681 section 4.2, with Linux's quick ACKs at the start.

use super::seq::SeqNum;
use crate::frame::AckWhy;
use crate::time::{Duration, Instant};

/// What is owed to the peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AckState {
    /// An ACK is due now, and why.
    pub(crate) now: Option<AckWhy>,
    /// Duplicate ACKs that are due in addition: they are signals, and a peer without SACK counts them.
    pub(crate) duplicates: u8,
    /// A delayed ACK is due then; [`Instant::FAR_FUTURE`] if none is.
    pub(crate) delayed: Instant,
    /// ACKs that are still to be sent at once: the peer is in slow start (Linux's quick ACKs).
    quick: u8,
    /// The application answers what it reads: its answers carry the ACKs.
    pub(crate) interactive: bool,
    /// RCV.NXT of the last ACK that was sent.
    pub(crate) last_sent: SeqNum,
    /// When data last came in.
    last_data: Instant,
    /// Data came in since the end of the last batch.
    pub(crate) undecided: bool,
}

/// Quick ACKs at most at a connection's start.
const QUICK_MAX: u32 = 16;
/// Duplicate ACKs that are owed at most: more would tell the peer nothing new.
const DUPLICATES_MAX: u8 = 64;

impl AckState {
    pub(crate) fn new(next: SeqNum) -> AckState {
        AckState {
            now: None,
            duplicates: 0,
            delayed: Instant::FAR_FUTURE,
            quick: QUICK_MAX as u8,
            interactive: false,
            last_sent: next,
            last_data: Instant::ZERO,
            undecided: false,
        }
    }

    /// In-order data came in; the decision falls at the end of the batch.
    pub(crate) fn data_in(&mut self, now: Instant, rto: Duration) {
        if self.last_data != Instant::ZERO && now.since(self.last_data) > rto {
            // After a pause the peer restarts in slow start.
            self.enter_quick();
        }
        self.last_data = now;
        self.undecided = true;
    }

    /// Acknowledge at once for a while.
    pub(crate) fn enter_quick(&mut self) {
        self.quick = QUICK_MAX as u8;
        self.interactive = false;
    }

    /// An ACK is due at once. The first reason stays.
    pub(crate) fn at_once(&mut self, why: AckWhy) {
        self.now.get_or_insert(why);
    }

    /// A duplicate ACK is due (RFC 5681 section 4.2: immediately, for each segment out of order). For a peer with SACK
    /// one ACK tells of a whole batch.
    pub(crate) fn duplicate(&mut self, sack: bool) {
        if self.now.is_none() {
            self.now = Some(AckWhy::OutOfOrder);
        } else if !sack && self.duplicates < DUPLICATES_MAX {
            self.duplicates += 1;
        }
    }

    /// The end of a batch: RFC 1122's second full-sized segment, a quick ACK, or the timer.
    pub(crate) fn decide(&mut self, now: Instant, next: SeqNum, mss: u32, delay: Duration) {
        if !core::mem::take(&mut self.undecided) || self.now.is_some() {
            return;
        }
        let unacknowledged = next.distance_from(self.last_sent);
        if unacknowledged > mss {
            self.now = Some(AckWhy::EverySecond);
        } else if self.quick > 0 && !self.interactive {
            self.now = Some(AckWhy::Quick);
        } else if unacknowledged > 0 && self.delayed == Instant::FAR_FUTURE {
            self.delayed = now + delay;
        }
    }

    /// A segment with an ACK was sent; `with_data` if it carried data.
    pub(crate) fn sent(&mut self, now: Instant, next: SeqNum, with_data: bool, delay: Duration) {
        if next != self.last_sent {
            self.quick = self.quick.saturating_sub(1);
        }
        if with_data && now.since(self.last_data) < delay {
            // We answered within the delay: the next answer will carry its ACK, too.
            self.interactive = true;
        }
        if self.duplicates > 0 && !with_data {
            self.duplicates -= 1;
        } else {
            self.now = None;
        }
        self.delayed = Instant::FAR_FUTURE;
        self.last_sent = next;
        self.undecided = false;
    }

    /// Whether a segment without data has to go out.
    pub(crate) fn due(&self) -> Option<AckWhy> {
        self.now
    }
}

/// Who answers data within this time holds a conversation: its answers carry the ACKs (Linux's `TCP_ATO_MIN`).
pub(crate) const INTERACTIVE_WITHIN: Duration = Duration::from_millis(40);
