//! What a TCP socket is: fresh, listening, or about a connection.

use super::demux::ConnectionId;
use super::listener::Listener;
use super::settings::Settings;
use crate::socket::Errno;
use core::net::IpAddr;
use std::sync::Arc;

/// A TCP socket.
pub(crate) struct TcpSocket {
    pub(crate) settings: Arc<Settings>,
    /// Where it was bound, by the application or by connecting.
    pub(crate) bound: Option<(IpAddr, u16)>,
    pub(crate) role: Role,
    /// An error of a connection that is gone.
    pub(crate) error: Option<Errno>,
}

/// What a socket is for.
pub(crate) enum Role {
    /// Nothing yet.
    Fresh,
    Listener(Box<Listener>),
    Connection(ConnectionId),
}

impl TcpSocket {
    /// The queues of a listening socket.
    pub(crate) fn listener(&mut self) -> Option<&mut Listener> {
        match &mut self.role {
            Role::Listener(listener) => Some(listener),
            _ => None,
        }
    }

    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        match self.role {
            Role::Connection(id) => Some(id),
            _ => None,
        }
    }
}
