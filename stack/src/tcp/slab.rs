//! The connections, in slots that are used again. A connection is taken out while it is worked on, and put back.

use super::connection::Connection;
use super::demux::ConnectionId;

#[derive(Default)]
struct Slot {
    generation: u32,
    connection: Option<Box<Connection>>,
}

/// All connections. Taking one out moves a pointer: the tables around it stay free to be used meanwhile.
#[derive(Default)]
pub(crate) struct Connections {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Connections {
    /// Finds a slot, and tells the connection its name.
    pub(crate) fn insert(&mut self, mut connection: Box<Connection>) -> ConnectionId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let slot = &mut self.slots[index as usize];
        let id = ConnectionId { index, generation: slot.generation };
        connection.id = id;
        slot.connection = Some(connection);
        id
    }

    pub(crate) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        let slot = self.slots.get(id.index as usize)?;
        slot.connection.as_deref().filter(|_| slot.generation == id.generation)
    }

    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(id.index as usize)?;
        slot.connection.as_deref_mut().filter(|_| slot.generation == id.generation)
    }

    /// Takes a connection out of its slot, which stays reserved until [`Connections::put`] or [`Connections::free`].
    pub(crate) fn take(&mut self, id: ConnectionId) -> Option<Box<Connection>> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation != id.generation {
            return None;
        }
        slot.connection.take()
    }

    /// Puts a connection back into its slot.
    pub(crate) fn put(&mut self, connection: Box<Connection>) {
        let index = connection.id.index as usize;
        let before = self.slots[index].connection.replace(connection);
        debug_assert!(before.is_none(), "it was taken out");
        // What isn't there needs no drop.
        core::mem::forget(before);
    }

    /// Gives up the slot of a connection that was taken out.
    pub(crate) fn free(&mut self, id: ConnectionId) {
        let slot = &mut self.slots[id.index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        slot.connection = None;
        self.free.push(id.index);
    }

    /// The name of the connection in a slot.
    pub(crate) fn id_at(&self, index: u32) -> Option<ConnectionId> {
        let slot = self.slots.get(index as usize)?;
        slot.connection.as_ref().map(|_| ConnectionId { index, generation: slot.generation })
    }

    /// All connections, in the order of their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.slots.iter().filter_map(|slot| slot.connection.as_deref())
    }
}
