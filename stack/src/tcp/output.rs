//! What a connection sends next, decided when the device is about to take it (RFC 9293 section 3.8).
//!
//! The order: the handshake; duplicate ACKs, which are signals; data, as the sender plans it and Nagle lets it; probes; an
//! ACK that nothing carried.

use super::config::{EcnMode, TcpConfig};
use super::connection::{Connection, HEADERS_BYTES, Probe, TIMESTAMP_BYTES};
use super::open::RTO_INITIAL;
use super::sender::{Limits, Plan, SendKind};
use super::seq::SeqNum;
use crate::frame::{AckWhy, Cause, CauseKind, Gso, GsoKind, TxFrame};
use crate::ip::{LinkLimits, PacketOut};
use crate::socket::TcpState;
use crate::stack::Context;
use crate::time::{Duration, Instant};
use crate::wire::tcp::{Flags, Header, PROTOCOL};
use crate::wire::tcp_options::{SackBlocks, TcpOptions, Timestamps};

/// How long a corked partial segment is held back at least: it goes when the time-out would come (as in Linux).
const CORK_MIN: Duration = Duration::from_millis(200);
/// The longest round trip for which the end of a stream may wait to make up a super-frame.
const GATHERING_MAX: Duration = Duration::from_millis(1);
/// ECN-capable transport, ECT(0) (RFC 3168 section 5).
const ECT0: u8 = 2;
/// Payload slices that one super-frame may gather: as many as one `writev` takes with headers, by a wide margin.
const SLICES_MAX: usize = 64;

impl Connection {
    /// Makes the next segment in `frame`, TCP header and payload; tells how its IP header has to be.
    pub(crate) fn next_segment(
        &mut self,
        cx: &mut Context,
        config: &TcpConfig,
        link: LinkLimits,
        frame: &mut TxFrame,
    ) -> Option<PacketOut> {
        if self.handshake.due {
            return Some(self.send_handshake(cx, config, link, frame));
        }
        if !self.is_synchronized() {
            // SYN-RECEIVED answers what is unacceptable, too (RFC 9293 section 3.10.7.4, first check).
            let why = self.ack.due().filter(|_| self.state == TcpState::SynReceived)?;
            return Some(self.send_ack(cx, link, frame, why));
        }
        if self.ack.duplicates > 0 || (self.ack.now.is_some() && self.rcv.has_sack()) {
            let why = self.ack.now.unwrap_or(AckWhy::OutOfOrder);
            return Some(self.send_ack(cx, link, frame, why));
        }
        if let Some(packet) = self.send_data(cx, config, link, frame) {
            return Some(packet);
        }
        if let Some(probe) = self.timers.probe_due.take() {
            return Some(self.send_probe(cx, link, frame, probe));
        }
        let why = self.ack.due()?;
        Some(self.send_ack(cx, link, frame, why))
    }

    /// SYN or SYN-ACK; its timer runs until it is answered (RFC 6298 section 5).
    fn send_handshake(
        &mut self,
        cx: &mut Context,
        config: &TcpConfig,
        link: LinkLimits,
        frame: &mut TxFrame,
    ) -> PacketOut {
        let now = cx.now;
        let passive = self.state == TcpState::SynReceived;
        let retries = self.handshake.retries;
        self.handshake.due = false;
        if retries == 0 {
            self.handshake.sent_at = now;
        }
        let rto = RTO_INITIAL.saturating_mul(1 << u32::from(retries).min(16)).min(config.rto_max);
        self.timers.handshake = now + rto;
        let kind =
            if passive { CauseKind::SynAck { retries, cookie: false } } else { CauseKind::Syn { retries } };
        frame.reset(Cause::from(kind));
        let mut flags = Flags::SYN;
        // RFC 3168 section 6.1.1; a SYN that was lost once goes without, in case a middlebox drops it (6.1.1.1).
        if passive {
            flags |= if self.ecn.enabled { Flags::ECE } else { Flags::default() };
        } else if config.ecn == EcnMode::Offer && retries == 0 {
            flags |= Flags::ECE | Flags::CWR;
        } else {
            self.ecn.enabled = false;
        }
        let window = self.syn_window();
        self.rcv.advertise_syn(window);
        let echo = if passive { self.timestamps.recent } else { 0 };
        let options = TcpOptions {
            mss: Some(self.advertised_mss()),
            window_scale: self.scale_option(),
            sack_permitted: self.handshake.sack,
            timestamps: self.timestamps.enabled.then(|| Timestamps { value: self.timestamp(now), echo }),
            ..TcpOptions::default()
        };
        if passive {
            self.ack.last_sent = self.rcv.next;
        }
        let header = Header {
            seq: self.snd.iss.get(),
            ack: if passive { self.rcv.next.get() } else { 0 },
            flags: if passive { flags | Flags::ACK } else { flags },
            window,
            options,
            ..self.ports()
        };
        self.emit(cx, link, frame, &header, false)
    }

    /// Data, a FIN, or both, as far as the sender's plan and Nagle's rule go.
    fn send_data(
        &mut self,
        cx: &mut Context,
        config: &TcpConfig,
        link: LinkLimits,
        frame: &mut TxFrame,
    ) -> Option<PacketOut> {
        let now = cx.now;
        let window_edge = self.sender.una() + self.snd.wnd;
        let limits = Limits {
            queue_end: self.queue_end(),
            fin: self.fin_queued,
            window_edge,
            max_len: self.frame_payload_max(link),
        };
        let Some(mut plan) = self.sender.next(now, &limits) else {
            self.start_persist(now);
            return None;
        };
        if plan.kind == SendKind::New
            && let Some(end) = self.pushes.record_end(plan.seq, plan.end())
        {
            // A record's end is a segment's end, and nothing that would have to wait for more.
            plan.len = end.distance_from(plan.seq);
            plan.fin = false;
        } else if plan.kind == SendKind::New
            && (self.gathers(config, link, &plan) || !self.hold_back(now, &mut plan))
        {
            return None;
        }
        let probe = if plan.kind == SendKind::New { self.mtu_probe(now, &mut plan, config) } else { None };
        if probe.is_none() && plan.payload() > self.sender.mss() && !self.link_segments(link) {
            // The room for a probe is for a probe alone: this link takes one segment a frame.
            (plan.len, plan.fin) = (self.sender.mss(), false);
        }
        frame.reset(Cause::default());
        if plan.payload() > 0 {
            self.send_queue.gather(plan.seq, plan.payload() as usize, &mut frame.payload);
            self.limit_slices(&mut plan, frame);
        }
        frame.cause = self.cause(&plan, probe);
        let mss = self.sender.mss();
        if plan.payload() > mss && probe.is_none() {
            frame.gso = Some(Gso { kind: GsoKind::Tcp4, size: mss as u16 });
        }
        let header = self.data_header(now, &plan, frame);
        let packet = self.emit(cx, link, frame, &header, plan.kind == SendKind::New);
        self.after_data(cx, &plan);
        if let Some(mtu) = probe {
            self.sender.on_mtu_probe_sent(plan.seq, plan.end());
            self.probe_sent(now, mtu);
        }
        Some(packet)
    }

    fn data_header(&mut self, now: Instant, plan: &Plan, frame: &mut TxFrame) -> Header {
        let mut flags = Flags::ACK;
        let riders = &mut frame.cause.riders;
        if plan.fin {
            flags |= Flags::FIN;
            riders.fin = plan.payload() > 0;
        }
        // PSH at the end of what was written (RFC 9293 section 3.9.1, SEND).
        let end = plan.seq + plan.payload();
        let at_end = end == self.send_queue.end_seq() && !self.pushes.open;
        let push = at_end || self.pushes.within(plan.seq, end);
        if plan.payload() > 0 && push {
            flags |= Flags::PSH;
            riders.push = true;
        }
        if plan.cwr && self.ecn.enabled {
            flags |= Flags::CWR;
            riders.cwr = true;
        }
        riders.ack = self.ack.now.is_some() || self.ack.delayed != Instant::FAR_FUTURE;
        let mut urgent = 0;
        if let Some(up) = self.urgent.send.filter(|up| up.after(plan.seq)) {
            flags |= Flags::URG;
            urgent = up.distance_from(plan.seq).min(u32::from(u16::MAX)) as u16;
        }
        // SACK blocks ride along where a segment leaves room for them.
        let room = self.sender.mss().saturating_sub(plan.payload());
        let sack_max = (room.saturating_sub(4) / 8).min(self.sack_blocks_max() as u32) as usize;
        Header { seq: plan.seq.get(), flags, urgent, ..self.ack_header(now, &mut frame.cause, sack_max) }
    }

    /// Books what has left.
    pub(super) fn after_data(&mut self, cx: &mut Context, plan: &Plan) {
        let now = cx.now;
        let mss = self.sender.mss();
        self.sender.on_sent(now, plan);
        // A division takes its time, and most data doesn't need one.
        if plan.payload() > 0 && (plan.payload() < mss || !plan.payload().is_multiple_of(mss)) {
            self.snd.small_end = plan.end();
            self.flags.push = false;
        }
        let segments = if plan.payload() <= mss { 1 } else { u64::from(plan.payload().div_ceil(mss)) };
        self.counts.data_segments_out += segments;
        self.counts.bytes_sent += u64::from(plan.payload());
        cx.counters.tcp_segments_out += segments - 1;
        if let SendKind::Retransmit(_) = plan.kind {
            self.counts.bytes_retransmitted += u64::from(plan.payload());
            cx.counters.tcp_retransmits += segments;
        }
        self.timers.persist = Instant::FAR_FUTURE;
        self.timers.cork = Instant::FAR_FUTURE;
    }

    /// Whether the end of a stream in flow waits to become a whole super-frame: a small frame costs almost as much as a
    /// large one, and a writer of 64 KiB at a time would leave one behind every few super-frames.
    ///
    /// It waits for the next write, or for an ACK that is under way and near: two full segments are acknowledged without
    /// delay (RFC 5681 section 4.2). What a request consists of never waits: nothing is in flight when it is written. Nor
    /// does half of what windows and buffer let be in flight: the other half would be all that is.
    fn gathers(&self, config: &TcpConfig, link: LinkLimits, plan: &Plan) -> bool {
        let mss = self.sender.mss();
        let room = || {
            let congestion_window = self.sender.cwnd().saturating_mul(mss);
            congestion_window.min(self.snd.wnd).min(self.send_limit(config) as u32)
        };
        // Other links have room for more than a segment where a probe for the path's MTU may be due.
        self.link_segments(link)
            && plan.payload() < self.frame_payload_max(link)
            && self.snd.in_flow
            && !(self.settings.no_delay || self.flags.push || plan.fin || plan.probe)
            && self.sender.outstanding() >= 2 * mss
            && plan.end() == self.send_queue.end_seq()
            && plan.payload() < room() / 2
            && self.sender.min_rtt().is_some_and(|round_trip| round_trip < GATHERING_MAX)
    }

    /// Nagle's rule with Minshall's change, the cork, and the sender's side of silly-window avoidance (RFC 9293
    /// section 3.8.6.2.1). Cuts the plan to whole segments, or says that nothing may go.
    fn hold_back(&mut self, now: Instant, plan: &mut Plan) -> bool {
        let mss = self.sender.mss();
        let partial = plan.payload() % mss;
        if partial == 0 || plan.probe || plan.fin {
            return true;
        }
        let outstanding = self.sender.outstanding() > 0;
        let last = plan.seq + plan.payload() == self.send_queue.end_seq();
        let hold = if self.flags.push {
            false
        } else if !last {
            // The peer's window cuts the segment short: wait for a better one, unless it is half of its largest.
            partial < self.snd.wnd_max / 2
        } else if self.settings.cork || self.snd.more {
            // With something in flight, its ACK asks again.
            if self.timers.cork == Instant::FAR_FUTURE && !outstanding {
                self.timers.cork = now + self.sender.rto().max(CORK_MIN);
            }
            true
        } else {
            !self.settings.no_delay && outstanding && self.snd.small_end.after(self.sender.una())
        };
        if !hold {
            return true;
        }
        plan.len = plan.payload() - partial;
        plan.fin = false;
        if plan.len == 0 && !last && !outstanding {
            self.start_persist(now);
        }
        plan.len > 0
    }

    /// Data waits, nothing is in flight that an ACK could come for: probe the window (RFC 9293 section 3.8.6.1).
    fn start_persist(&mut self, now: Instant) {
        let waiting = self.queue_end().after(self.sender.nxt());
        if waiting && self.sender.is_idle() && self.timers.persist == Instant::FAR_FUTURE {
            self.timers.persist = now + self.sender.rto();
        }
    }

    /// Turns the plan into a path MTU probe when one is due (RFC 4821): one segment that is larger than the known MTU.
    fn mtu_probe(&mut self, now: Instant, plan: &mut Plan, config: &TcpConfig) -> Option<u16> {
        if !config.mtu_probing || plan.fin {
            return None;
        }
        let mtu = self.probe_mtu(now)?;
        let options = if self.timestamps.enabled { TIMESTAMP_BYTES } else { 0 };
        let payload = u32::from(mtu - HEADERS_BYTES - options);
        if payload > plan.payload() || mtu > self.route.mtu {
            return None;
        }
        plan.len = payload;
        Some(mtu)
    }

    /// The payload of the largest frame: a super-frame where the link segments, else a segment; as many as make the
    /// largest probe, where one may be due.
    fn frame_payload_max(&self, link: LinkLimits) -> u32 {
        let (mss, largest) = (self.sender.mss(), self.super_frame_max(link));
        if self.link_segments(link) {
            largest / mss * mss
        } else if let Some(mtu) = self.probing.largest() {
            u32::from(mtu.saturating_sub(HEADERS_BYTES)).div_ceil(mss) * mss
        } else {
            mss
        }
    }

    fn link_segments(&self, link: LinkLimits) -> bool {
        self.super_frame_max(link) > self.sender.mss()
    }

    /// The payload that the link takes in a super-frame at most.
    fn super_frame_max(&self, link: LinkLimits) -> u32 {
        let options = u32::from(HEADERS_BYTES) + if self.timestamps.enabled { 12 } else { 0 };
        link.tso_max.min(u32::from(u16::MAX)).saturating_sub(options)
    }

    /// A gather list that is too long is cut at a whole segment.
    fn limit_slices(&self, plan: &mut Plan, frame: &mut TxFrame) {
        if frame.payload.len() <= SLICES_MAX {
            return;
        }
        let mss = self.sender.mss() as usize;
        let gathered: usize = frame.payload.iter().take(SLICES_MAX).map(bytes::Bytes::len).sum();
        let keep = if gathered >= mss { gathered / mss * mss } else { gathered };
        let mut left = keep;
        frame.payload.truncate(SLICES_MAX);
        frame.payload.retain(|slice| {
            slice.truncate(left);
            left -= slice.len();
            !slice.is_empty()
        });
        plan.fin = false;
        plan.len = keep as u32;
    }

    fn cause(&self, plan: &Plan, probe: Option<u16>) -> Cause {
        Cause::from(match (plan.kind, probe) {
            (SendKind::Retransmit(why), _) => CauseKind::Retransmit(why),
            (SendKind::New, Some(_)) => CauseKind::MtuProbe { size: plan.payload() as u16 },
            (SendKind::New, None) if plan.payload() == 0 => CauseKind::Fin,
            (SendKind::New, None) => CauseKind::Data,
        })
    }

    /// Probes into a zero window and of idle peers look alike: an old sequence number without data, which every peer has to
    /// answer (RFC 1122 section 4.2.3.6; Linux probes at `snd.una - 1`).
    fn send_probe(
        &mut self,
        cx: &mut Context,
        link: LinkLimits,
        frame: &mut TxFrame,
        probe: Probe,
    ) -> PacketOut {
        let kind = match probe {
            Probe::Window => CauseKind::WindowProbe { retries: self.timers.probes.saturating_sub(1) },
            Probe::KeepAlive => {
                CauseKind::KeepAlive { retries: self.timers.keepalive_probes.saturating_sub(1) }
            }
        };
        frame.reset(Cause::from(kind));
        let seq = (self.sender.una() - 1).get();
        let header = Header { seq, ..self.ack_header(cx.now, &mut frame.cause, 0) };
        self.emit(cx, link, frame, &header, false)
    }

    fn send_ack(
        &mut self,
        cx: &mut Context,
        link: LinkLimits,
        frame: &mut TxFrame,
        why: AckWhy,
    ) -> PacketOut {
        frame.reset(Cause::from(CauseKind::Ack(why)));
        let sack_max = self.sack_blocks_max();
        let header = self.ack_header(cx.now, &mut frame.cause, sack_max);
        self.emit(cx, link, frame, &header, false)
    }

    /// SACK blocks that fit beside the other options.
    fn sack_blocks_max(&self) -> usize {
        if self.timestamps.enabled { 3 } else { 4 }
    }

    /// A header that acknowledges, with SND.NXT as its sequence number.
    fn ack_header(&mut self, now: Instant, cause: &mut Cause, sack_max: usize) -> Header {
        let mut flags = Flags::ACK;
        if self.ecn.enabled && self.ecn.echo {
            flags |= Flags::ECE;
            cause.riders.ece = true;
        }
        let mut sack = SackBlocks::default();
        if sack_max > 0 && self.handshake.sack && self.rcv.has_sack() {
            let (blocks, count) = self.rcv.sack_blocks(sack_max);
            for (left, right) in &blocks[..count] {
                sack.push((left.get(), right.get()));
            }
            cause.riders.sack = count > 0;
        }
        let timestamps = self.timestamps_option(now);
        let mss = u32::from(self.advertised_mss());
        Header {
            seq: self.snd_nxt().get(),
            ack: self.rcv.next.get(),
            flags,
            window: self.rcv.advertise(mss),
            options: TcpOptions { timestamps, sack, ..TcpOptions::default() },
            ..self.ports()
        }
    }

    fn ports(&self) -> Header {
        Header { src_port: self.tuple.local.1, dst_port: self.tuple.remote.1, ..Header::default() }
    }

    /// Writes the header and books the ACK that it carries.
    fn emit(
        &mut self,
        cx: &mut Context,
        link: LinkLimits,
        frame: &mut TxFrame,
        header: &Header,
        new_data: bool,
    ) -> PacketOut {
        let (source, destination) = (self.tuple.local.0, self.tuple.remote.0);
        let with_data = !frame.payload.is_empty();
        // Whoever cuts a super-frame makes its checksums.
        header.emit(frame, source, destination, link.tx_checksum || frame.gso.is_some());
        if header.flags.ack() {
            let delay = crate::tcp::ack::INTERACTIVE_WITHIN;
            self.ack.sent(cx.now, SeqNum::new(header.ack), with_data, delay);
        }
        self.counts.segments_out += 1;
        cx.counters.tcp_segments_out += 1;
        // RFC 3168 section 6.1.4 and .5: only new data is ECN-capable, no pure ACK and no retransmission.
        let ect = if self.ecn.enabled && new_data { ECT0 } else { 0 };
        PacketOut {
            source,
            destination,
            protocol: PROTOCOL,
            ttl: self.settings.ttl,
            tos: self.settings.tos & !3 | ect,
            dont_fragment: true,
        }
    }
}
