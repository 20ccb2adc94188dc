//! What one ACK delivered, gathered while the scoreboard takes it in.

use super::record::Record;
use crate::time::{Duration, Instant};

/// Gathered from the records that one ACK acknowledges, cumulatively or selectively.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivery {
    now: Instant,
    /// A retransmission that seems to have come back sooner than this was not what was acknowledged.
    min_rtt: Duration,
    /// Where the recovery that is under way ends.
    recovery_end: u64,
    /// The highest SACKed number before this ACK.
    highest_sacked: u64,
    /// Segments acknowledged cumulatively, whether they were SACKed before or not.
    pub(super) acked: u32,
    /// Segments SACKed for the first time.
    pub(super) sacked: u32,
    /// Segments that are known to have arrived only now.
    pub(super) delivered: u32,
    /// Something acknowledged cumulatively was sent more than once: its round trip is ambiguous (Karn).
    pub(super) ambiguous: bool,
    /// When the first and the last segment were sent that are acknowledged cumulatively, were sent once, and
    /// were not SACKed before.
    pub(super) acked_sent: Option<(Instant, Instant)>,
    /// The same of what was SACKed.
    pub(super) sacked_sent: Option<(Instant, Instant)>,
    /// Something arrived that was sent once, before the recovery's end: F-RTO's proof that not all is lost.
    pub(super) original: bool,
    /// The lowest number that was sent once and arrived after something higher: reordering.
    pub(super) reordered_from: Option<u64>,
    /// RACK: the transmission, sent last, that has arrived: its time and its end.
    pub(super) newest: Option<(Instant, u64)>,
}

impl Delivery {
    pub(super) fn new(
        now: Instant,
        min_rtt: Option<Duration>,
        recovery_end: u64,
        highest_sacked: u64,
    ) -> Delivery {
        Delivery {
            now,
            min_rtt: min_rtt.unwrap_or_default(),
            recovery_end,
            highest_sacked,
            acked: 0,
            sacked: 0,
            delivered: 0,
            ambiguous: false,
            acked_sent: None,
            sacked_sent: None,
            original: false,
            reordered_from: None,
            newest: None,
        }
    }

    /// A record is acknowledged cumulatively, all of its segments.
    pub(super) fn on_acked(&mut self, record: &Record, segments: u32) {
        self.on_acked_in_part(record, segments);
        if !record.retransmitted && !record.sacked {
            self.on_original(record);
        }
    }

    /// The first segments of a record are acknowledged cumulatively.
    pub(super) fn on_acked_in_part(&mut self, record: &Record, segments: u32) {
        self.acked += segments;
        if record.retransmitted {
            self.ambiguous = true;
        } else if !record.sacked && segments > 0 {
            extend(&mut self.acked_sent, record.sent_at);
        }
        if !record.sacked && segments > 0 {
            self.delivered += segments;
            self.on_arrival(record);
        }
    }

    /// A record is SACKed.
    pub(super) fn on_sacked(&mut self, record: &Record) {
        let segments = u32::from(record.segments);
        self.sacked += segments;
        self.delivered += segments;
        if !record.retransmitted {
            extend(&mut self.sacked_sent, record.sent_at);
            self.on_original(record);
        }
        self.on_arrival(record);
    }

    fn on_original(&mut self, record: &Record) {
        self.original |= record.end() <= self.recovery_end;
        if record.start < self.highest_sacked {
            self.reordered_from = Some(self.reordered_from.map_or(record.start, |low| low.min(record.start)));
        }
    }

    /// RFC 8985 section 6.2, step 2: the most recently sent segment that has arrived; a retransmission whose round trip
    /// would be below the minimum is ambiguous and left out.
    fn on_arrival(&mut self, record: &Record) {
        let spurious = record.retransmitted && self.now - record.sent_at < self.min_rtt;
        if !spurious && self.newest.is_none_or(|newest| newest < (record.sent_at, record.end())) {
            self.newest = Some((record.sent_at, record.end()));
        }
    }
}

fn extend(span: &mut Option<(Instant, Instant)>, at: Instant) {
    let (first, last) = span.unwrap_or((at, at));
    *span = Some((first.min(at), last.max(at)));
}
