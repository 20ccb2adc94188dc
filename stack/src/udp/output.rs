//! Datagrams out, when it is a socket's turn.

use super::Udp;
use super::datagrams::{Datagrams, Next, Outgoing, SEGMENTS_MAX, SUPER_FRAME_MAX};
use crate::frame::{CauseKind, Gso, GsoKind, TxFrame};
use crate::ip::{Ip, Sender};
use crate::socket::{SocketId, Sockets};
use crate::stack::{Context, InterfaceId};
use crate::tcp::Pulled;
use crate::wire::{ipv4, udp};

impl Udp {
    /// Makes a socket's next datagram, or a super-frame of several; the frame is finished on return.
    pub(crate) fn transmit(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        interface: InterfaceId,
        id: SocketId,
        frame: &mut TxFrame,
    ) -> Pulled {
        let Ok(socket) = sockets.udp_mut(id) else { return Pulled::Nothing };
        let datagrams = &mut socket.datagrams;
        let before = datagrams.readiness();
        let port = datagrams.local_addr().port();
        let pulled = match datagrams.next(cx, ip, Sender::Udp(id), interface, udp::HEADER_BYTES) {
            Next::Now(outgoing) => {
                frame.reset(CauseKind::Datagram.into());
                frame.payload.push(outgoing.data.clone());
                // Who watches is shown each datagram by itself.
                let uso_max = if ip.is_watched() { 0 } else { ip.link_limits(interface).uso_max };
                gather(datagrams, &outgoing, uso_max as usize, frame);
                // Whoever cuts a super-frame makes its checksums.
                let partial = frame.gso.is_some() || ip.link_limits(interface).tx_checksum;
                emit(&outgoing, port, frame, partial);
                ip.finish(cx, &outgoing.route, &outgoing.packet(udp::PROTOCOL), frame);
                Pulled::Frame { more: datagrams.more() }
            }
            Next::Queue(outgoing) => {
                queue(cx, ip, &outgoing, port);
                if datagrams.more() {
                    ip.ready(interface, Sender::Udp(id));
                }
                Pulled::Nothing
            }
            Next::Nothing => Pulled::Nothing,
        };
        if datagrams.readiness() != before {
            cx.wake(sockets, id);
        }
        pulled
    }

    /// The next hop that a socket waits for did not answer.
    pub(crate) fn unreachable(&mut self, cx: &mut Context, ip: &mut Ip, sockets: &mut Sockets, id: SocketId) {
        if let Ok(socket) = sockets.udp_mut(id) {
            socket.datagrams.next_hop_failed(ip, Sender::Udp(id));
            cx.wake(sockets, id);
        }
    }
}

/// Adds the datagrams that follow the first one to its super-frame, as many as can share it: all are of the same
/// length, but for the last, which may be shorter.
fn gather(datagrams: &mut Datagrams, first: &Outgoing, uso_max: usize, frame: &mut TxFrame) {
    let size = first.data.len();
    let fits = size + udp::HEADER_BYTES + ipv4::HEADER_BYTES <= usize::from(first.route.mtu);
    let mut left = uso_max.min(SUPER_FRAME_MAX).saturating_sub(size);
    if !fits || size == 0 {
        return;
    }
    while frame.payload.len() < SEGMENTS_MAX
        && let Some(data) = datagrams.next_with(first, size.min(left))
    {
        let len = data.len();
        frame.payload.push(data);
        frame.gso = Some(Gso { kind: GsoKind::Udp4, size: size as u16 });
        left -= len;
        if len < size {
            break;
        }
    }
}

/// Hands a datagram to IP's own queues, to be fragmented or to wait.
pub(super) fn queue(cx: &mut Context, ip: &mut Ip, outgoing: &Outgoing, port: u16) {
    let mut frame = TxFrame::new(CauseKind::Datagram.into());
    frame.payload.push(outgoing.data.clone());
    emit(outgoing, port, &mut frame, false);
    if let Err(reason) = ip.send(cx, &outgoing.route, &outgoing.packet(udp::PROTOCOL), frame) {
        cx.drop(reason);
    }
}

/// Writes the header of the frame's payload.
fn emit(outgoing: &Outgoing, port: u16, frame: &mut TxFrame, partial: bool) {
    let header = udp::Header { src_port: port, dst_port: outgoing.to.port() };
    header.emit(frame, outgoing.route.source, outgoing.to.ip(), partial);
}
