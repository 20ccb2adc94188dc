//! TCP's part of the list of sockets and connections.

use super::connection::{Connection, Owner};
use super::socket::Role;
use super::{Tcp, TcpSocket};
use crate::socket::{SocketId, SocketKind, SocketSummary, TcpState};
use core::net::{Ipv4Addr, SocketAddr};

impl Tcp {
    /// A socket in short.
    pub(crate) fn summary(&self, id: SocketId, socket: &TcpSocket) -> SocketSummary {
        let bound = socket.bound.map_or((Ipv4Addr::UNSPECIFIED, 0).into(), SocketAddr::from);
        let summary = SocketSummary {
            socket: Some(id),
            kind: SocketKind::Stream,
            local: bound,
            peer: None,
            state: Some(TcpState::Closed),
            receive_queue: 0,
            send_queue: 0,
        };
        match &socket.role {
            Role::Fresh => summary,
            Role::Listener(listener) => SocketSummary {
                state: Some(TcpState::Listen),
                receive_queue: listener.accepted.len(),
                send_queue: listener.backlog,
                ..summary
            },
            Role::Connection(conn) => match self.connections.get(*conn) {
                Some(conn) => SocketSummary { socket: Some(id), ..in_short(conn) },
                None => summary,
            },
        }
    }

    /// Connections that no socket owns (yet, or any more), and TIME-WAIT.
    pub(crate) fn ownerless(&self) -> impl Iterator<Item = SocketSummary> + '_ {
        let connections = self.connections.iter().filter(|conn| !matches!(conn.owner, Owner::Socket(_)));
        let time_waits = self.time_waits.iter().map(|entry| SocketSummary {
            socket: None,
            kind: SocketKind::Stream,
            local: entry.tuple.local(),
            peer: Some(entry.tuple.remote()),
            state: Some(TcpState::TimeWait),
            receive_queue: 0,
            send_queue: 0,
        });
        connections.map(in_short).chain(time_waits)
    }
}

fn in_short(conn: &Connection) -> SocketSummary {
    SocketSummary {
        socket: None,
        kind: SocketKind::Stream,
        local: conn.tuple.local(),
        peer: Some(conn.tuple.remote()),
        state: Some(conn.state),
        receive_queue: conn.rcv.queue.readable(),
        send_queue: conn.send_queue.len(),
    }
}
