//! What sockets and connections there are, for those who look from outside (`ss`).

use super::{Kind, SocketId, SocketKind, TcpState};
use crate::stack::Stack;
use crate::udp::Datagrams;
use core::net::SocketAddr;

/// A socket, or a connection that no socket owns any more.
#[derive(Clone, Debug, PartialEq)]
pub struct SocketSummary {
    /// The socket; none for connections that finish by themselves.
    pub socket: Option<SocketId>,
    /// What kind of socket it is.
    pub kind: SocketKind,
    /// Its own address.
    pub local: SocketAddr,
    /// The peer's address, where there is one.
    pub peer: Option<SocketAddr>,
    /// The state; only TCP has one.
    pub state: Option<TcpState>,
    /// Bytes that can be read; on a listener, connections that can be accepted.
    pub receive_queue: usize,
    /// Bytes that wait to be sent, and a stream's that are not acknowledged yet; on a listener, its backlog.
    pub send_queue: usize,
}

impl Stack {
    /// All sockets and connections: sockets in the order of their ids, then what no socket owns.
    pub fn socket_summaries(&self) -> Vec<SocketSummary> {
        let mut list: Vec<SocketSummary> = self
            .sockets
            .iter()
            .map(|(id, kind)| match kind {
                Kind::Tcp(socket) => self.tcp.summary(id, socket),
                Kind::Udp(socket) => datagram_summary(id, SocketKind::Datagram, &socket.datagrams),
                Kind::Echo(socket) => datagram_summary(id, SocketKind::Echo, &socket.datagrams),
            })
            .collect();
        list.extend(self.tcp.ownerless());
        list
    }
}

fn datagram_summary(id: SocketId, kind: SocketKind, datagrams: &Datagrams) -> SocketSummary {
    let (receive_queue, send_queue) = datagrams.queued();
    SocketSummary {
        socket: Some(id),
        kind,
        local: datagrams.local_addr(),
        peer: datagrams.peer,
        state: None,
        receive_queue,
        send_queue,
    }
}
