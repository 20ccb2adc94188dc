//! A record of the scoreboard: one frame in flight, or a part of it, and what is known of its fate.

use crate::frame::RetransmitWhy;
use crate::time::Instant;

/// What was handed out as one frame, or a part of it after a SACK cut through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) start: u64,
    pub(super) len: u32,
    /// Payload of each of its segments, in bytes; the last may have less.
    pub(super) mss: u16,
    /// In how many segments it went, at least one.
    pub(super) segments: u16,
    /// When it was sent last.
    pub(super) sent_at: Instant,
    /// The last number is a FIN.
    pub(super) fin: bool,
    pub(super) sacked: bool,
    pub(super) lost: bool,
    /// A retransmission of it is taken to be in the network.
    pub(super) retransmitting: bool,
    /// It was sent more than once.
    pub(super) retransmitted: bool,
    /// Why it has to be sent again, when it is lost.
    pub(super) why: LossWhy,
}

impl Record {
    pub(super) fn end(&self) -> u64 {
        self.start + u64::from(self.len)
    }

    /// Lost, and not sent again yet.
    pub(super) fn needs_resend(&self) -> bool {
        self.lost && !self.retransmitting && !self.sacked
    }

    /// Its last transmission may still be found lost by the order of time.
    pub(super) fn is_undecided(&self) -> bool {
        !self.sacked && !self.needs_resend()
    }

    pub(super) fn payload(&self) -> u32 {
        self.len - u32::from(self.fin)
    }

    pub(super) fn count(&mut self) {
        self.segments = match self.payload() {
            // A division takes its time.
            payload if payload <= u32::from(self.mss) => 1,
            payload => u16::try_from(payload.div_ceil(u32::from(self.mss))).unwrap_or(u16::MAX),
        };
    }

    /// The last segment boundary at or before `offset`, which lies inside.
    pub(super) fn boundary_before(&self, offset: u64) -> u64 {
        let into = offset - self.start;
        let boundary = into - into % u64::from(self.mss);
        self.start + boundary.min(u64::from(self.segments - 1) * u64::from(self.mss))
    }

    /// The first segment boundary at or after `offset`, which lies inside.
    pub(super) fn boundary_after(&self, offset: u64) -> u64 {
        let before = self.boundary_before(offset);
        if before == offset || offset == self.end() {
            offset
        } else {
            (before + u64::from(self.mss)).min(self.end())
        }
    }
}

/// Why something was taken for lost: [`RetransmitWhy`] without the values that the sender keeps once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LossWhy {
    Fast,
    PartialAck,
    Rack,
    Timeout,
    AfterTimeout,
    PathMtu,
}

impl LossWhy {
    /// With the time-out that ran out last.
    pub(super) fn explain(self, timeout: RetransmitWhy) -> RetransmitWhy {
        match self {
            LossWhy::Fast => RetransmitWhy::Fast,
            LossWhy::PartialAck => RetransmitWhy::PartialAck,
            LossWhy::Rack => RetransmitWhy::Rack,
            LossWhy::Timeout => timeout,
            LossWhy::AfterTimeout => RetransmitWhy::AfterTimeout,
            LossWhy::PathMtu => RetransmitWhy::PathMtu,
        }
    }
}

/// Counts of segments: the terms of RFC 6675's pipe, under Linux's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Sent and not cumulatively acknowledged.
    pub(super) out: u32,
    /// SACKed.
    pub(super) sacked: u32,
    /// Taken for lost (whether sent again or not).
    pub(super) lost: u32,
    /// Retransmissions that are taken to be in the network.
    pub(super) retransmitting: u32,
}

impl Counts {
    pub(super) fn add(&mut self, record: &Record) {
        let n = u32::from(record.segments);
        self.out += n;
        self.sacked += if record.sacked { n } else { 0 };
        self.lost += if record.lost { n } else { 0 };
        self.retransmitting += if record.retransmitting { n } else { 0 };
    }

    pub(super) fn remove(&mut self, record: &Record) {
        let n = u32::from(record.segments);
        self.out -= n;
        self.sacked -= if record.sacked { n } else { 0 };
        self.lost -= if record.lost { n } else { 0 };
        self.retransmitting -= if record.retransmitting { n } else { 0 };
    }
}
