//! What a driver calls: frames in, deadlines, frames out, and the loopback in between.

use super::express::Head;
use super::{RX_BATCH_MAX, Stack};
use crate::frame::{
    DropReason, Outcome, PacketId, RxChecksum, RxFrame, RxTrain, Strided, TxChecksum, TxFrame,
};
use crate::icmp;
use crate::ip::{Input, News, PacketIn, Sender};
use crate::link::{Received, Turn};
use crate::stack::InterfaceId;
use crate::tcp::Pulled;
use crate::time::{Instant, earliest};
use crate::wire;

impl Stack {
    /// A frame came in. Never sends: replies are pulled by [`Stack::poll_transmit`].
    pub fn handle_frame(&mut self, now: Instant, interface: InterfaceId, mut frame: RxFrame) -> Outcome {
        self.cx.now = now;
        if frame.id == PacketId::default() {
            frame.id = self.numbers.next();
        }
        if self.observer.is_some() {
            return self.handle_observed(interface, frame);
        }
        self.handle_numbered(interface, frame)
    }

    /// Frames came in together: as [`Stack::handle_frame`] of each, in order, but what is alike in them is done for all.
    /// Returns how many they were, as they count in a batch.
    pub fn handle_train(&mut self, now: Instant, interface: InterfaceId, mut train: RxTrain) -> usize {
        self.cx.now = now;
        let count = train.frames.count();
        loop {
            if self.observer.is_none()
                && let Some(taken) = self.express(interface, &mut train.frames, train.checksum, train.gso)
            {
                let numbered = u64::from(core::mem::take(&mut train.id) != PacketId::default());
                self.numbers.skip(taken.count as u64 - numbered);
            } else if let Some(frame) = train.pop_front() {
                self.handle_frame(now, interface, frame);
            } else {
                return count;
            }
        }
    }

    /// All frames that waited are in (at most [`RX_BATCH_MAX`]): ACKs are decided now.
    pub fn end_batch(&mut self, now: Instant) {
        self.cx.now = now;
        self.tcp.end_batch(&mut self.cx, &mut self.ip, &mut self.sockets);
        self.carry_loopback();
    }

    /// A deadline passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.cx.now = now;
        self.ip.handle_timeout(&mut self.cx);
        self.tell_news();
        self.tcp.handle_timeout(&mut self.cx, &mut self.ip, &mut self.sockets);
        self.carry_loopback();
    }

    /// When [`Stack::handle_timeout`] has to be called next; none when nothing is planned. It may turn out that nothing
    /// was due: a later time is given then.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.ip.link.is_idle(InterfaceId::LOOPBACK) {
            return Some(self.cx.now);
        }
        earliest([self.ip.next_timeout(), self.tcp.next_timeout()])
    }

    /// Makes the interface's next frame in `frame` (which is reset first); false when there is none.
    pub fn poll_transmit(&mut self, now: Instant, interface: InterfaceId, frame: &mut TxFrame) -> bool {
        self.cx.now = now;
        self.carry_loopback();
        interface != InterfaceId::LOOPBACK && self.transmit(interface, frame)
    }

    /// Whether [`Stack::poll_transmit`] may have a frame for this interface; false is certain.
    pub fn wants_transmit(&self, interface: InterfaceId) -> bool {
        !self.ip.link.is_idle(interface) || !self.ip.link.is_idle(InterfaceId::LOOPBACK)
    }

    /// Whether [`Stack::wants_transmit`] says so of any interface.
    pub(crate) fn wants_turn(&self) -> bool {
        self.ip.link.interfaces().iter().any(|interface| !interface.is_idle())
    }

    /// A frame came in that the observer is shown.
    fn handle_observed(&mut self, interface: InterfaceId, frame: RxFrame) -> Outcome {
        let outcome = self.handle_numbered(interface, frame.clone());
        if let Some(observer) = &mut self.observer {
            observer.received(self.cx.now, interface, &frame, &outcome);
        }
        outcome
    }

    /// Hands a frame up, by the express lane or the long way.
    fn handle_numbered(&mut self, interface: InterfaceId, mut frame: RxFrame) -> Outcome {
        let mut bytes = Strided::from(core::mem::take(&mut frame.bytes));
        if let Some(taken) = self.express(interface, &mut bytes, frame.checksum, frame.gso) {
            return taken.outcome;
        }
        frame.bytes = bytes.into_only();
        self.input(interface, frame)
    }

    /// Hands a frame up through the layers.
    fn input(&mut self, interface: InterfaceId, frame: RxFrame) -> Outcome {
        self.cx.counters.frames_in += 1;
        self.cx.counters.bytes_in += frame.bytes.len() as u64;
        let (offset, broadcast) = match self.ip.link.input(&mut self.cx, interface, &frame) {
            Received::Ipv4 { offset, broadcast } => (offset, broadcast),
            Received::Done(outcome) => return outcome,
        };
        let head = Head::of(&frame.bytes, offset).filter(|_| !broadcast);
        match self.ip.input(&mut self.cx, interface, frame, offset, broadcast) {
            Input::Deliver(mut packet) => {
                let before = self.tcp.batch().len();
                let outcome = self.deliver(&mut packet);
                if let (Some(head), Some(&new)) = (head, self.tcp.batch().get(before)) {
                    self.open_lane(interface, head, new);
                }
                outcome
            }
            Input::Done(outcome) => outcome,
            Input::Report { packet, error, outcome } => {
                self.icmp.report(&mut self.cx, &mut self.ip, &packet, error);
                outcome
            }
        }
    }

    /// A packet is for a transport of this machine.
    fn deliver(&mut self, packet: &mut PacketIn) -> Outcome {
        match packet.protocol {
            wire::tcp::PROTOCOL => self.tcp.input(&mut self.cx, &mut self.ip, &mut self.sockets, packet),
            wire::udp::PROTOCOL => {
                let outcome = self.udp.input(&mut self.cx, &mut self.sockets, packet);
                if outcome == Outcome::Dropped(DropReason::UdpNoPort) {
                    let error = icmp::ErrorOut::PortUnreachable;
                    self.icmp.report(&mut self.cx, &mut self.ip, packet, error);
                }
                outcome
            }
            wire::icmp::PROTOCOL => {
                match self.icmp.input(&mut self.cx, &mut self.ip, &mut self.sockets, packet) {
                    icmp::Input::Done(outcome) => outcome,
                    icmp::Input::Notice { protocol, notice } => self.notice(protocol, &notice),
                }
            }
            _ => {
                let outcome = self.cx.drop(DropReason::UnknownProtocol);
                let error = icmp::ErrorOut::ProtocolUnreachable;
                self.icmp.report(&mut self.cx, &mut self.ip, packet, error);
                outcome
            }
        }
    }

    /// An ICMP error is about a packet of this protocol.
    fn notice(&mut self, protocol: u8, notice: &icmp::IcmpNotice) -> Outcome {
        let (cx, sockets) = (&mut self.cx, &mut self.sockets);
        match protocol {
            wire::tcp::PROTOCOL => self.tcp.icmp_error(cx, &mut self.ip, sockets, notice),
            wire::udp::PROTOCOL => self.udp.icmp_error(cx, sockets, notice),
            wire::icmp::PROTOCOL => self.icmp.icmp_error(cx, sockets, notice),
            _ => cx.drop(DropReason::IcmpUnmatched),
        }
    }

    /// Tells those above what happened below.
    fn tell_news(&mut self) {
        while let Some(news) = self.ip.next_news() {
            let (cx, ip, sockets) = (&mut self.cx, &mut self.ip, &mut self.sockets);
            match news {
                News::Unreachable(Sender::Tcp(id)) => self.tcp.unreachable(cx, ip, sockets, id),
                News::Unreachable(Sender::Udp(id)) => self.udp.unreachable(cx, ip, sockets, id),
                News::Unreachable(Sender::Echo(id)) => self.icmp.unreachable(cx, ip, sockets, id),
                News::Report { packet, error } => {
                    self.icmp.report(cx, ip, &packet, error);
                }
            }
        }
    }

    /// Makes an interface's next frame: from its egress queue, or by the sender whose turn it is.
    fn transmit(&mut self, interface: InterfaceId, frame: &mut TxFrame) -> bool {
        frame.reset(Default::default());
        loop {
            let sender = match self.ip.pull(interface, frame) {
                Turn::Frame => break,
                Turn::Sender(sender) => sender,
                Turn::Nobody => return false,
            };
            let (cx, ip, sockets) = (&mut self.cx, &mut self.ip, &mut self.sockets);
            let pulled = match sender {
                Sender::Tcp(id) => self.tcp.transmit(cx, ip, sockets, id, frame),
                Sender::Udp(id) => self.udp.transmit(cx, ip, sockets, interface, id, frame),
                Sender::Echo(id) => self.icmp.transmit(cx, ip, sockets, interface, id, frame),
            };
            match pulled {
                Pulled::Frame { more } => {
                    if more {
                        self.ip.ready(interface, sender);
                    }
                    break;
                }
                Pulled::Nothing => frame.reset(Default::default()),
            }
        }
        if frame.id == PacketId::default() {
            frame.id = self.numbers.next();
        }
        let (frames, bytes) = self.ip.link.count_out(interface, frame);
        self.cx.counters.frames_out += frames;
        self.cx.counters.bytes_out += bytes;
        if let Some(observer) = &mut self.observer {
            observer.sent(self.cx.now, interface, frame);
        }
        true
    }

    /// Carries what the machine sends to itself from the loopback's queues to its input, like a driver would: in
    /// batches, with an end that the transports are told.
    fn carry_loopback(&mut self) {
        if self.ip.link.is_idle(InterfaceId::LOOPBACK) {
            return;
        }
        let mut frame = TxFrame::default();
        for _ in 0..LOOPBACK_BATCHES_MAX {
            let mut carried = 0;
            while carried < RX_BATCH_MAX && self.transmit(InterfaceId::LOOPBACK, &mut frame) {
                carried += 1;
                self.handle_frame(self.cx.now, InterfaceId::LOOPBACK, looped_back(&frame));
            }
            if carried == 0 {
                return;
            }
            self.tcp.end_batch(&mut self.cx, &mut self.ip, &mut self.sockets);
        }
    }
}

/// A frame as it comes back in. Its bytes never cross a wire, so its checksum needs no work.
fn looped_back(frame: &TxFrame) -> RxFrame {
    RxFrame {
        bytes: frame.to_vec().into(),
        id: frame.id,
        checksum: match frame.checksum {
            TxChecksum::Complete => RxChecksum::Verified,
            TxChecksum::Partial { start, offset } => RxChecksum::Partial { start, offset },
        },
        gso: frame.gso,
    }
}

/// Numbers packets so that the numbers of one simulated world's machines never collide.
pub(super) struct PacketNumbers(u64);

impl PacketNumbers {
    pub(super) fn new(machine: u16) -> PacketNumbers {
        PacketNumbers(u64::from(machine) << PacketId::MACHINE_SHIFT)
    }

    fn next(&mut self) -> PacketId {
        self.0 += 1;
        PacketId(self.0)
    }

    /// Leaves out numbers, for frames that nobody is shown.
    fn skip(&mut self, count: u64) {
        self.0 += count;
    }
}

/// Batches that one call carries over the loopback, so that no call takes for ever.
const LOOPBACK_BATCHES_MAX: usize = 4;
