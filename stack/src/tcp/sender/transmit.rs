//! What may be sent now, and what has been sent.

use super::congestion::CongestionControl;
use super::frto::Frto;
use super::scoreboard::SEGMENTS_MAX;
use super::timers::TimerKind;
use super::{Limits, Plan, SendKind, Sender};
use crate::frame::RetransmitWhy;
use crate::socket::CongestionState;
use crate::time::Instant;

/// [`Limits`] as offsets.
#[derive(Clone, Copy)]
struct Bounds {
    /// The end of queued payload.
    data_end: u64,
    /// One past the FIN, when one is queued.
    fin_end: Option<u64>,
    window_edge: u64,
    /// Segments that fit one frame.
    frame_segments: u32,
}

impl Sender {
    /// What may be sent now: lost segments first, then new data. Lost segments go out even into a closed window
    /// if they are the first unacknowledged ones. Nothing is recorded until [`Sender::on_sent`].
    pub(crate) fn next(&mut self, now: Instant, limits: &Limits) -> Option<Plan> {
        let bounds = self.bounds(limits);
        if self.probe.due {
            return self.plan_probe(&bounds);
        }
        if self.pacer.gate(now).is_some() {
            return None;
        }
        self.restart_after_idle(now, &bounds);
        let quota = self.window.cwnd.saturating_sub(self.in_flight());
        if quota == 0 {
            if self.plan_new(&bounds, 1).is_some() {
                self.note_usage(true);
            }
            return None;
        }
        if self.frto == Frto::SendNew {
            // RFC 5682 section 2.1, step 2b: new data instead of retransmissions; if there is none, give F-RTO up.
            if let Some(plan) = self.plan_new(&bounds, quota) {
                return Some(plan);
            }
            let sent = self.board.nxt() > self.high_seq;
            self.frto = if sent { Frto::AwaitSecondAck } else { Frto::Off };
        }
        if self.frto != Frto::AwaitSecondAck
            && let Some(plan) = self.plan_resend(&bounds, quota)
        {
            return plan;
        }
        self.plan_new(&bounds, quota)
    }

    /// A frame left: the plan as it was, or cut shorter. New data may also be sent without a plan (data on a SYN, a probe
    /// into a small window): `seq` is then `snd.nxt` and `kind` is `New`.
    pub(crate) fn on_sent(&mut self, now: Instant, plan: &Plan) {
        if plan.len == 0 {
            return;
        }
        self.totals.bytes_sent += u64::from(plan.payload());
        if self.pacer.is_on() {
            self.pacer.on_sent(now, plan.payload(), self.pacing_rate());
        }
        let segments = match plan.kind {
            SendKind::New => self.on_sent_new(now, plan),
            SendKind::Retransmit(why) => self.on_sent_again(now, plan, why),
        };
        self.totals.segments_sent += u64::from(segments);
        if matches!(self.state, CongestionState::Cwr | CongestionState::Recovery) {
            self.prr.on_sent(segments);
        }
        self.last_sent_at = now;
    }

    fn on_sent_new(&mut self, now: Instant, plan: &Plan) -> u32 {
        debug_assert_eq!(plan.seq, self.nxt(), "new data starts at snd.nxt");
        let was_idle = self.board.is_empty();
        if was_idle {
            self.congestion.on_idle(now - self.last_sent_at);
        }
        let before = self.board.counts().out;
        self.board.push(now, plan.len, plan.fin, self.settings.mss);
        if plan.cwr {
            self.cwr_due = false;
        }
        let probing = self.probe.due;
        if probing {
            self.probe.on_sent(self.board.nxt(), false);
        }
        self.note_usage(self.in_flight() >= self.window.cwnd);
        let armed = !probing && self.arm_probe(now, false);
        if !armed && (was_idle || probing || matches!(self.timer, None | Some((TimerKind::Probe, _)))) {
            self.arm_rto(now);
        }
        self.board.counts().out - before
    }

    fn on_sent_again(&mut self, now: Instant, plan: &Plan, why: RetransmitWhy) -> u32 {
        let Some(start) = self.offset(plan.seq) else { return 0 };
        let at_head = start <= self.board.una();
        let segments = self.board.on_resent(now, start, start + u64::from(plan.len), self.settings.mss);
        self.undo.on_resent(now, segments);
        if why != RetransmitWhy::TailLossProbe {
            // A probe asks; only what is taken for lost means that the peer may be gone.
            self.stalled_since.get_or_insert(now);
        }
        self.totals.bytes_resent += u64::from(plan.payload());
        self.totals.segments_resent = self.totals.segments_resent.wrapping_add(segments);
        if why == RetransmitWhy::TailLossProbe {
            self.probe.on_sent(self.board.nxt(), true);
            self.arm_rto(now);
        } else if at_head && !matches!(self.timer, Some((TimerKind::Reorder, _))) {
            // RFC 6298 section 5: the timer runs for the oldest segment's last transmission.
            self.timer = Some((TimerKind::Rto, now + self.rtt.rto()));
        }
        segments
    }

    fn bounds(&self, limits: &Limits) -> Bounds {
        let una = self.board.una();
        let queue_end = self.offset(limits.queue_end).unwrap_or(una).max(una);
        Bounds {
            data_end: queue_end.saturating_sub(u64::from(limits.fin)),
            fin_end: limits.fin.then_some(queue_end),
            window_edge: self.offset(limits.window_edge).unwrap_or(una),
            frame_segments: (self.frame_max(limits.max_len) / self.settings.mss.max(1)).max(1),
        }
    }

    fn frame_max(&self, limit: u32) -> u32 {
        if self.pacer.is_on() {
            limit.min(self.pacer.frame_max(self.pacing_rate(), self.settings.mss))
        } else {
            limit
        }
    }

    /// New data, at most `quota` segments.
    fn plan_new(&self, bounds: &Bounds, quota: u32) -> Option<Plan> {
        let start = self.board.nxt();
        let room = SEGMENTS_MAX.saturating_sub(self.board.counts().out);
        let segments = quota.min(bounds.frame_segments).min(room);
        if segments == 0 {
            return None;
        }
        let payload = bounds.data_end.min(bounds.window_edge).saturating_sub(start);
        let payload = payload.min(u64::from(segments) * u64::from(self.settings.mss));
        let end = start + payload;
        let fin = bounds.fin_end.is_some_and(|fin_end| {
            end >= bounds.data_end && start < fin_end && fin_end <= bounds.window_edge
        });
        let len = payload as u32 + u32::from(fin);
        (len > 0).then(|| Plan {
            seq: self.seq(start),
            len,
            fin,
            kind: SendKind::New,
            cwr: self.cwr_due && payload > 0,
            probe: false,
        })
    }

    /// Lost segments. The outer option says whether there are any; the inner is none when the window forbids them.
    fn plan_resend(&mut self, bounds: &Bounds, quota: u32) -> Option<Option<Plan>> {
        let (mut i, first) = self.board.next_to_resend()?;
        let mss = u64::from(self.settings.mss);
        let segments = quota.min(bounds.frame_segments);
        if first.end() > bounds.window_edge && first.start > self.board.una() {
            // The peer took its window back. The first segment is sent all the same (it probes the window, RFC 9293
            // section 3.8.6); the rest waits.
            return Some(None);
        }
        let room = bounds.window_edge.saturating_sub(first.start) / mss;
        let limit = first.start + u64::from(segments).min(room).max(1) * mss;
        let mut end = first.start;
        let mut fin = false;
        while let Some(record) = self.board.get(i) {
            if record.start != end || !record.needs_resend() || record.why != first.why || end >= limit {
                break;
            }
            let payload_end = record.end() - u64::from(record.fin);
            end = payload_end.min(limit);
            if payload_end > limit {
                break;
            }
            fin = record.fin;
            end = record.end();
            // What follows a short segment would not lie at a segment boundary of the frame.
            if u64::from(record.len) % mss != 0 {
                break;
            }
            i += 1;
        }
        let why =
            first.why.explain(RetransmitWhy::Timeout { rto: self.last_timeout, backoff: self.timeouts });
        Some(Some(Plan {
            seq: self.seq(first.start),
            len: (end - first.start) as u32,
            fin,
            kind: SendKind::Retransmit(why),
            cwr: false,
            probe: false,
        }))
    }

    /// A tail loss probe: a new segment where there is one, else the last one again (RFC 8985 section 7.3). The congestion
    /// window does not hold it back.
    fn plan_probe(&mut self, bounds: &Bounds) -> Option<Plan> {
        if let Some(plan) = self.plan_new(bounds, 1) {
            return Some(Plan { probe: true, ..plan });
        }
        let Some(tail) = self.board.tail().filter(|tail| tail.is_undecided()) else {
            self.probe.due = false;
            return None;
        };
        let mss = self.settings.mss.min(u32::from(tail.mss));
        let start = tail.start + u64::from(tail.payload().saturating_sub(1) / mss * mss);
        Some(Plan {
            seq: self.seq(start),
            len: (tail.end() - start) as u32,
            fin: tail.fin,
            kind: SendKind::Retransmit(RetransmitWhy::TailLossProbe),
            cwr: false,
            probe: false,
        })
    }

    /// RFC 5681 section 4.1, softened as RFC 2861 and Linux do: half for each RTO of silence, down to the initial window.
    fn restart_after_idle(&mut self, now: Instant, bounds: &Bounds) {
        if !self.settings.slow_start_after_idle
            || !self.board.is_empty()
            || self.plan_new(bounds, 1).is_none()
        {
            return;
        }
        let rto = self.rtt.rto();
        let mut idle = now - self.last_sent_at;
        if idle <= rto {
            return;
        }
        self.window.ssthresh = self.prudent_ssthresh();
        let floor = self.settings.initial_window.min(self.window.cwnd);
        while idle > rto && self.window.cwnd > floor {
            idle -= rto;
            self.window.cwnd = (self.window.cwnd / 2).max(floor);
        }
        // Once an idle time: it counts from now on.
        self.last_sent_at = now;
    }

    fn note_usage(&mut self, limited: bool) {
        let counts = self.board.counts();
        self.usage.on_attempt(limited, counts.out, self.board.una(), self.board.nxt());
    }
}
