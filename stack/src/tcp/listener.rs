//! Listeners: who waits on which port, and the connections that wait to be accepted.

use super::demux::ConnectionId;
use crate::hash::WordsMap;
use crate::socket::SocketId;
use crate::stack::Context;
use core::hash::BuildHasher;
use core::net::{IpAddr, SocketAddr};
use smallvec::SmallVec;
use std::collections::VecDeque;

/// A listening socket's queues.
#[derive(Default)]
pub(crate) struct Listener {
    /// Bounds each of the two queues.
    pub(crate) backlog: usize,
    /// Finished connections, oldest first.
    pub(crate) accepted: VecDeque<ConnectionId>,
    /// Connections in SYN-RECEIVED.
    pub(crate) half_open: Vec<ConnectionId>,
}

impl Listener {
    /// Whether no more finished connections fit. As Linux has it, one more than the backlog does.
    pub(crate) fn is_full(&self) -> bool {
        self.accepted.len() > self.backlog
    }

    /// Whether no more half-open connections fit.
    pub(crate) fn half_open_full(&self) -> bool {
        self.half_open.len() >= self.backlog.clamp(HALF_OPEN_MIN, HALF_OPEN_MAX)
    }

    /// A half-open connection became a finished one, or ended.
    pub(crate) fn forget_half_open(&mut self, id: ConnectionId) {
        if let Some(at) = self.half_open.iter().position(|&half_open| half_open == id) {
            self.half_open.swap_remove(at);
        }
    }
}

/// Half-open connections that every listener may hold, and the most that any may: beyond, SYN cookies serve.
const HALF_OPEN_MIN: usize = 8;
const HALF_OPEN_MAX: usize = 512;

/// Which sockets listen on a port.
pub(crate) struct Listeners {
    ports: WordsMap<u16, SmallVec<[(IpAddr, SocketId); 1]>>,
}

impl Listeners {
    pub(crate) fn new(cx: &Context) -> Listeners {
        Listeners { ports: WordsMap::with_hasher(cx.keys.words) }
    }

    pub(crate) fn insert(&mut self, address: SocketAddr, socket: SocketId) {
        self.ports.entry(address.port()).or_default().push((address.ip(), socket));
    }

    pub(crate) fn remove(&mut self, address: SocketAddr, socket: SocketId) {
        if let Some(list) = self.ports.get_mut(&address.port()) {
            list.retain(|entry| entry.1 != socket);
            if list.is_empty() {
                self.ports.remove(&address.port());
            }
        }
    }

    /// The listener for a new connection: one bound to the address before one bound to all, and among several
    /// (`SO_REUSEPORT`) one chosen by the peer's address, so that a peer's SYN and ACK meet the same one.
    pub(crate) fn find(&self, cx: &Context, local: (IpAddr, u16), remote: (IpAddr, u16)) -> Option<SocketId> {
        let list = self.ports.get(&local.1)?;
        let pick = |matches: &dyn Fn(&IpAddr) -> bool| {
            let count = list.iter().filter(|(address, _)| matches(address)).count();
            let chosen = match count {
                0 => return None,
                1 => 0,
                _ => (cx.keys.ports.hash_one(remote) % count as u64) as usize,
            };
            list.iter().filter(|(address, _)| matches(address)).nth(chosen).map(|&(_, socket)| socket)
        };
        pick(&|address| *address == local.0).or_else(|| pick(&IpAddr::is_unspecified))
    }
}
