//! The table of open sockets: slots that are used again, told apart by generation.

use super::{Errno, SocketId};
use crate::{icmp, tcp, udp};

/// What a socket is about, kept by its protocol.
pub(crate) enum Kind {
    Tcp(Box<tcp::TcpSocket>),
    Udp(Box<udp::UdpSocket>),
    Echo(Box<icmp::EchoSocket>),
}

/// A slot of the table.
pub(crate) struct Entry {
    generation: u32,
    /// Whether an event for this socket is queued already.
    pub(crate) event_queued: bool,
    /// Empty when the slot is free.
    pub(crate) kind: Option<Kind>,
}

/// All open sockets of a stack.
pub(crate) struct Sockets {
    entries: Vec<Entry>,
    free: Vec<u32>,
    limit: usize,
}

impl Sockets {
    pub(crate) fn new(limit: usize) -> Sockets {
        Sockets { entries: Vec::new(), free: Vec::new(), limit }
    }

    /// Takes a free slot.
    pub(crate) fn insert(&mut self, kind: Kind) -> Result<SocketId, Errno> {
        if let Some(index) = self.free.pop() {
            let entry = &mut self.entries[index as usize];
            entry.kind = Some(kind);
            entry.event_queued = false;
            return Ok(SocketId { index, generation: entry.generation });
        }
        if self.entries.len() >= self.limit {
            return Err(Errno::ENFILE);
        }
        let index = self.entries.len() as u32;
        self.entries.push(Entry { generation: 0, event_queued: false, kind: Some(kind) });
        Ok(SocketId { index, generation: 0 })
    }

    /// Frees a slot; its generation moves on, so that old ids stop working.
    pub(crate) fn remove(&mut self, id: SocketId) -> Option<Kind> {
        let entry = self.entries.get_mut(id.index as usize).filter(|e| e.generation == id.generation)?;
        let kind = entry.kind.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(id.index);
        Some(kind)
    }

    pub(crate) fn entry(&mut self, id: SocketId) -> Option<&mut Entry> {
        self.entries.get_mut(id.index as usize).filter(|e| e.generation == id.generation && e.kind.is_some())
    }

    pub(crate) fn kind(&self, id: SocketId) -> Result<&Kind, Errno> {
        self.entries
            .get(id.index as usize)
            .filter(|e| e.generation == id.generation)
            .and_then(|e| e.kind.as_ref())
            .ok_or(Errno::EBADF)
    }

    pub(crate) fn kind_mut(&mut self, id: SocketId) -> Result<&mut Kind, Errno> {
        self.entry(id).and_then(|e| e.kind.as_mut()).ok_or(Errno::EBADF)
    }

    pub(crate) fn tcp_mut(&mut self, id: SocketId) -> Result<&mut tcp::TcpSocket, Errno> {
        match self.kind_mut(id)? {
            Kind::Tcp(socket) => Ok(socket),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    pub(crate) fn udp_mut(&mut self, id: SocketId) -> Result<&mut udp::UdpSocket, Errno> {
        match self.kind_mut(id)? {
            Kind::Udp(socket) => Ok(socket),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    pub(crate) fn echo_mut(&mut self, id: SocketId) -> Result<&mut icmp::EchoSocket, Errno> {
        match self.kind_mut(id)? {
            Kind::Echo(socket) => Ok(socket),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    /// All open sockets, in the order of their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SocketId, &Kind)> {
        self.entries.iter().enumerate().filter_map(|(index, e)| {
            Some((SocketId { index: index as u32, generation: e.generation }, e.kind.as_ref()?))
        })
    }
}
