//! Tail loss probes: one segment, two round trips after the last, in place of a time-out (RFC 8985 section 7).

/// The state of RFC 8985 section 7.
#[derive(Debug, Default)]
pub(super) struct Probe {
    /// The probe timer has run out, and the probe has not left yet.
    pub(super) due: bool,
    /// `TLP.end_seq`: `snd.nxt` when the probe was sent; none when there is none to account for.
    end: Option<u64>,
    /// `TLP.is_retrans`.
    retransmission: bool,
}

/// What an ACK says about a probe (section 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing (yet).
    Nothing,
    /// The probe repaired a loss that nothing else would have shown: the window has to pay for it.
    RepairedLoss,
}

/// What an ACK is to the probe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence {
    pub(super) una: u64,
    /// It moves nothing, SACKs nothing, carries nothing.
    pub(super) pure_duplicate: bool,
    /// It carries a D-SACK whose end is the probe's.
    pub(super) dsack: bool,
}

impl Probe {
    /// The probe left.
    pub(super) fn on_sent(&mut self, nxt: u64, retransmission: bool) {
        *self = Probe { due: false, end: Some(nxt), retransmission };
    }

    /// Recovery or a time-out has begun: its accounting takes over.
    pub(super) fn cancel(&mut self) {
        *self = Probe::default();
    }

    /// One probe at a time.
    pub(super) fn is_open(&self) -> bool {
        self.end.is_some()
    }

    pub(super) fn end(&self) -> Option<u64> {
        self.end
    }

    /// A retransmitted probe is on its way.
    pub(super) fn is_retransmission(&self) -> bool {
        self.end.is_some() && self.retransmission
    }

    /// Section 7.4.2: was the probe's data lost before, or was the probe a needless copy?
    pub(super) fn on_ack(&mut self, ack: &Evidence) -> Verdict {
        let Some(end) = self.end.filter(|end| ack.una >= *end) else { return Verdict::Nothing };
        if !self.retransmission || ack.dsack {
            // New data needs no judgement; a D-SACK says that both copies arrived.
            self.end = None;
        } else if ack.una > end {
            // The ACK is past the probe and no D-SACK came: only one copy arrived.
            self.end = None;
            return Verdict::RepairedLoss;
        } else if ack.pure_duplicate {
            // A second ACK without SACK: both copies arrived.
            self.end = None;
        }
        Verdict::Nothing
    }
}

/// Section 7.2: how long to wait for an ACK, in nanoseconds. With one segment in flight the receiver may delay its ACK. An
/// `srtt_ns` of 0 is not known yet.
pub(super) fn timeout_ns(srtt_ns: u64, segments_out: u32, delay_max_ns: u64) -> u64 {
    match (srtt_ns, segments_out) {
        (0, _) => RTT_UNKNOWN_NS,
        (_, 1) => srtt_ns.saturating_mul(2).saturating_add(delay_max_ns),
        _ => srtt_ns.saturating_mul(2).saturating_add(TIMEOUT_MIN_NS),
    }
}

/// The time-out without a round-trip time.
const RTT_UNKNOWN_NS: u64 = 1_000_000_000;
/// Two ticks of Linux's clock at 1000 Hz.
const TIMEOUT_MIN_NS: u64 = 2_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(retransmission: bool) -> Probe {
        let mut probe = Probe::default();
        probe.on_sent(1000, retransmission);
        probe
    }

    const ACK: Evidence = Evidence { una: 1000, pure_duplicate: false, dsack: false };

    #[test]
    fn waits_two_round_trips_and_for_a_delayed_ack() {
        let ms = |ms: u64| ms * 1_000_000;
        assert_eq!(timeout_ns(0, 5, ms(200)), ms(1000));
        assert_eq!(timeout_ns(ms(50), 5, ms(200)), ms(102));
        assert_eq!(timeout_ns(ms(50), 1, ms(200)), ms(300));
    }

    #[test]
    fn new_data_needs_no_judgement() {
        let mut probe = sent(false);
        assert_eq!(probe.on_ack(&Evidence { una: 999, ..ACK }), Verdict::Nothing);
        assert!(probe.is_open(), "not acknowledged yet");
        assert_eq!(probe.on_ack(&ACK), Verdict::Nothing);
        assert!(!probe.is_open());
    }

    #[test]
    fn two_copies_arrived() {
        let mut probe = sent(true);
        assert_eq!(probe.on_ack(&Evidence { dsack: true, ..ACK }), Verdict::Nothing);
        assert!(!probe.is_open());
        let mut probe = sent(true);
        assert_eq!(probe.on_ack(&ACK), Verdict::Nothing);
        assert!(probe.is_open(), "the other copy's ACK may still come");
        assert_eq!(probe.on_ack(&Evidence { pure_duplicate: true, ..ACK }), Verdict::Nothing);
        assert!(!probe.is_open());
    }

    #[test]
    fn one_copy_arrived_so_the_first_was_lost() {
        let mut probe = sent(true);
        assert_eq!(probe.on_ack(&ACK), Verdict::Nothing);
        assert_eq!(probe.on_ack(&Evidence { una: 1500, ..ACK }), Verdict::RepairedLoss);
        assert!(!probe.is_open());
    }
}
