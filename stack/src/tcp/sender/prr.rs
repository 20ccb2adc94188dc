//! Proportional rate reduction: how fast the window shrinks in recovery (RFC 9937).

/// The state of RFC 9937 section 5, in segments.
#[derive(Debug, Default)]
pub(super) struct Prr {
    /// `RecoverFS`: the window when the reduction began.
    prior_cwnd: u32,
    /// `prr_delivered`.
    delivered: u32,
    /// `prr_out`.
    out: u32,
}

impl Prr {
    /// A reduction begins.
    pub(super) fn start(prior_cwnd: u32) -> Prr {
        Prr { prior_cwnd, delivered: 0, out: 0 }
    }

    /// Segments left, new or again.
    pub(super) fn on_sent(&mut self, segments: u32) {
        self.out = self.out.saturating_add(segments);
    }

    /// An ACK delivered segments: the window now (section 6.2). `safe`: it moved `snd.una`, and showed no further loss.
    pub(super) fn on_ack(
        &mut self,
        delivered: u32,
        in_flight: u32,
        ssthresh: u32,
        safe: bool,
    ) -> Option<u32> {
        if delivered == 0 || self.prior_cwnd == 0 {
            return None;
        }
        self.delivered = self.delivered.saturating_add(delivered);
        let mut send = if in_flight > ssthresh {
            // Proportional rate reduction: for each segment delivered, ssthresh / RecoverFS may leave.
            let target =
                (u64::from(self.delivered) * u64::from(ssthresh)).div_ceil(u64::from(self.prior_cwnd));
            u32::try_from(target).unwrap_or(u32::MAX).saturating_sub(self.out)
        } else {
            // Packet conservation; slow start on top of it while the ACKs are good news.
            let room = self.delivered.saturating_sub(self.out).max(delivered) + u32::from(safe);
            room.min(ssthresh - in_flight)
        };
        if self.out == 0 {
            // Recovery begins with a retransmission, whatever the proportion says.
            send = send.max(1);
        }
        Some(in_flight + send)
    }
}

#[cfg(test)]
mod tests {
    use super::Prr;

    /// Delivers one segment an ACK, sends what the window allows, and tells how many left each time.
    fn run(prr: &mut Prr, mut in_flight: u32, ssthresh: u32, acks: u32, safe: bool) -> (Vec<u32>, u32) {
        let mut sent = Vec::new();
        for _ in 0..acks {
            in_flight -= 1;
            let cwnd = prr.on_ack(1, in_flight, ssthresh, safe).unwrap();
            let leave = cwnd - in_flight;
            prr.on_sent(leave);
            in_flight += leave;
            sent.push(leave);
        }
        (sent, in_flight)
    }

    #[test]
    fn halving_sends_one_for_every_two_delivered() {
        // RFC 9937's figure for one lost segment of 20, with ssthresh at half: after the fast retransmit (taken out of
        // the first ACK), every other ACK sends; the window ends at ssthresh, and once there each ACK sends.
        let mut prr = Prr::start(20);
        let (sent, in_flight) = run(&mut prr, 19, 10, 19, false);
        assert_eq!(sent, [1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 1, 1]);
        assert_eq!(in_flight, 10);
    }

    #[test]
    fn cubic_sends_seven_for_every_ten_delivered() {
        let mut prr = Prr::start(100);
        let (sent, in_flight) = run(&mut prr, 99, 70, 99, false);
        assert_eq!(sent.iter().sum::<u32>(), 70);
        assert_eq!(in_flight, 70);
        for part in sent.chunks(10).take(9) {
            assert_eq!(part.iter().sum::<u32>(), 7, "evenly: {sent:?}");
        }
    }

    #[test]
    fn after_heavy_loss_conservation_without_good_news_and_slow_start_with_it() {
        // 15 of 20 are lost: 5 in flight, below ssthresh 10. Conservation: one for one.
        let mut prr = Prr::start(20);
        let (sent, in_flight) = run(&mut prr, 5, 10, 4, false);
        assert_eq!((sent, in_flight), (vec![1, 1, 1, 1], 5));
        // Safe ACKs let one more leave each, up to ssthresh and not beyond.
        let (sent, in_flight) = run(&mut prr, in_flight, 10, 8, true);
        assert_eq!(sent, [2, 2, 2, 2, 2, 1, 1, 1]);
        assert_eq!(in_flight, 10);
    }

    #[test]
    fn an_ack_that_delivers_nothing_changes_nothing() {
        assert_eq!(Prr::start(20).on_ack(0, 5, 10, true), None);
        assert_eq!(Prr::default().on_ack(1, 5, 10, true), None);
    }
}
