//! The lone segment: all that an application wrote while nothing was in flight, if it fits one segment. It is what a
//! conversation consists of, and nothing about it has to be weighed: a short way to the wire beside `output.rs`.
//!
//! Where [`Connection::lone_segment`] finds one, [`Connection::next_segment`] would make the same frame and leave the same
//! state behind: `stack/short_ways_tests.rs` compares the two.

use super::ack::INTERACTIVE_WITHIN;
use super::connection::Connection;
use super::sender::{Plan, SendKind};
use crate::frame::{Cause, CauseKind, TxFrame};
use crate::socket::TcpState;
use crate::stack::{Context, MacAddr};
use crate::time::Instant;
use crate::wire::segment;
use crate::wire::tcp::Flags;
use core::net::{IpAddr, Ipv4Addr};

/// What the layers below decide about the segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Below {
    /// Destination and source of its link header; none on a medium without.
    pub(crate) link: Option<(MacAddr, MacAddr)>,
    /// The device completes its checksum.
    pub(crate) tx_checksum: bool,
}

/// A segment that [`Connection::lone_segment`] has found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lone {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    len: u32,
}

impl Connection {
    /// All that is queued, if it is a lone segment: new data that window, congestion control and Nagle's rule let go whole,
    /// on a connection that has nothing else to say but an ACK.
    pub(crate) fn lone_segment(&self) -> Option<Lone> {
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (self.tuple.local.0, self.tuple.remote.0) else {
            return None;
        };
        let len = self.send_queue.end_seq().signed_from(self.sender.nxt()) as u32;
        let fits = len.wrapping_sub(1) < self.sender.mss() && len <= self.snd.wnd;
        let is_lone = fits
            && self.state == TcpState::Established
            && self.sender.is_at_rest()
            && self.ack.duplicates == 0
            && !self.rcv.has_sack()
            && self.timers.probe_due.is_none()
            && self.pushes.is_plain()
            // Cork and MSG_MORE hold small segments back; Nagle's rule doesn't, where nothing is in flight.
            && !self.snd.more
            && !self.settings.cork
            && !self.ecn.enabled
            && self.urgent.send.is_none()
            && self.probing.is_quiet();
        is_lone.then_some(Lone { source, destination, len })
    }

    /// Makes the frame of a lone segment, all headers in place, and books what has left.
    pub(crate) fn send_lone(&mut self, cx: &mut Context, lone: Lone, below: &Below, frame: &mut TxFrame) {
        let now = cx.now;
        let Lone { source, destination, len } = lone;
        let seq = self.sender.nxt();
        frame.cause = Cause::from(CauseKind::Data);
        frame.cause.riders.push = true;
        frame.cause.riders.ack = self.ack.now.is_some() || self.ack.delayed != Instant::FAR_FUTURE;
        match self.send_queue.unshared(seq, len as usize) {
            Some(bytes) if bytes.len() <= COPIED_MAX => frame.prepend(bytes.len()).copy_from_slice(bytes),
            _ => self.send_queue.gather(seq, len as usize, &mut frame.payload),
        }
        let mss = u32::from(self.advertised_mss());
        let headers = segment::Headers {
            link: below.link,
            source: (source, self.tuple.local.1),
            destination: (destination, self.tuple.remote.1),
            tos: self.settings.tos & !3,
            ttl: self.settings.ttl,
            seq: seq.get(),
            ack: self.rcv.next.get(),
            // PSH at the end of what was written (RFC 9293 section 3.9.1, SEND).
            flags: Flags::ACK | Flags::PSH,
            window: self.rcv.advertise(mss),
            timestamps: self.timestamps_option(now),
        };
        headers.emit(frame, below.tx_checksum);
        self.ack.sent(now, self.rcv.next, true, INTERACTIVE_WITHIN);
        self.counts.segments_out += 1;
        cx.counters.tcp_segments_out += 1;
        let plan = Plan { seq, len, fin: false, kind: SendKind::New, cwr: false, probe: false };
        self.after_data(cx, &plan);
    }
}

/// A payload of so many bytes is copied behind the headers, where it fits the headroom beside any that are ordinary.
const COPIED_MAX: usize = 64;
