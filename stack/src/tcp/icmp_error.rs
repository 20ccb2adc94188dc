//! ICMP errors about our segments (RFC 9293 section 3.9.2.2, RFC 5927): believed only where the quoted sequence number is in
//! flight, and never enough to abort an open connection.

use super::Tcp;
use super::demux::{ConnectionId, Slot, Tuple};
use super::seq::SeqNum;
use crate::frame::{DropReason, Outcome};
use crate::icmp::{IcmpErrorKind, IcmpNotice};
use crate::ip::Ip;
use crate::socket::{Sockets, TcpState};
use crate::stack::Context;

impl Tcp {
    /// An ICMP error came in about a segment of ours.
    pub(crate) fn icmp_error(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        notice: &IcmpNotice,
    ) -> Outcome {
        let tuple = Tuple {
            local: (notice.local.ip(), notice.local.port()),
            remote: (notice.remote.ip(), notice.remote.port()),
        };
        let Some(Slot::Connection(id)) = self.demux.get(&tuple) else {
            return cx.drop(DropReason::IcmpUnmatched);
        };
        let Some(mut conn) = self.connections.take(id) else {
            return cx.drop(DropReason::IcmpUnmatched);
        };
        // RFC 5927 section 4.1: SND.UNA =< SEG.SEQ < SND.NXT.
        let una = if conn.is_synchronized() { conn.sender.una() } else { conn.snd.iss };
        let sequence = SeqNum::new(notice.sequence);
        if !sequence.within(una, conn.snd_nxt()) {
            self.connections.put(conn);
            return cx.drop(DropReason::IcmpUnmatched);
        }
        match notice.kind {
            IcmpErrorKind::FragmentationNeeded { mtu } => {
                if self.config.path_mtu_discovery && conn.path_mtu_shrinks(cx.now, mtu) {
                    self.path_mtus.learn(cx.now, tuple.remote.0, conn.path_mtu);
                }
            }
            kind => {
                let opening = matches!(conn.state, TcpState::SynSent | TcpState::SynReceived);
                let error = Some(kind.errno());
                // RFC 1122 section 4.2.3.9: hard errors abort; RFC 5927 section 5.2 and Linux: only while opening.
                if opening && kind != IcmpErrorKind::TimeExceeded {
                    conn.close_with(error);
                } else {
                    conn.soft_error = error;
                }
            }
        }
        self.settle(cx, ip, sockets, conn);
        Outcome::Learned { what: "an ICMP error about TCP" }
    }

    /// The next hop of a waiting connection did not answer ARP.
    pub(crate) fn unreachable(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        id: ConnectionId,
    ) {
        if let Some(mut conn) = self.connections.take(id) {
            conn.flags.ready = false;
            conn.next_hop_fails(cx.now);
            self.settle(cx, ip, sockets, conn);
        }
    }
}
