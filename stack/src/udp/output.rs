//! Datagrams out, when it is a socket's turn.

use super::Udp;
use super::datagrams::{Next, Outgoing};
use crate::frame::{CauseKind, TxFrame};
use crate::ip::{Ip, Sender};
use crate::socket::{SocketId, Sockets};
use crate::stack::{Context, InterfaceId};
use crate::tcp::Pulled;
use crate::wire::udp;

impl Udp {
    /// Makes a socket's next datagram; the frame is finished on return.
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
                let partial = ip.link_limits(interface).tx_checksum;
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

/// Hands a datagram to IP's own queues, to be fragmented or to wait.
pub(super) fn queue(cx: &mut Context, ip: &mut Ip, outgoing: &Outgoing, port: u16) {
    let mut frame = TxFrame::default();
    emit(outgoing, port, &mut frame, false);
    if let Err(reason) = ip.send(cx, &outgoing.route, &outgoing.packet(udp::PROTOCOL), frame) {
        cx.drop(reason);
    }
}

fn emit(outgoing: &Outgoing, port: u16, frame: &mut TxFrame, partial: bool) {
    frame.reset(CauseKind::Datagram.into());
    frame.payload.push(outgoing.data.clone());
    let header = udp::Header { src_port: port, dst_port: outgoing.to.port() };
    header.emit(frame, outgoing.route.source, outgoing.to.ip(), partial);
}
