//! Which life of each client is the present one; what is executed for earlier ones is stopped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

/// Clients that are remembered at most.
pub(super) const CLIENTS_MAX: usize = 4096;

/// The clients that say which of their lives they call from.
#[derive(Default)]
pub(super) struct Incarnations {
    clients: Mutex<BTreeMap<String, Client>>,
}

#[derive(Default)]
struct Client {
    incarnation: u32,
    /// What is executed for it: dropping a sender stops one.
    running: BTreeMap<u64, oneshot::Sender<()>>,
    begun: u64,
}

/// A call that is executed for a client's present life.
pub(super) struct Running {
    incarnations: Arc<Incarnations>,
    name: String,
    incarnation: u32,
    number: u64,
    /// Ends when a later life of the client has called.
    pub(super) orphaned: oneshot::Receiver<()>,
}

impl Incarnations {
    /// A call of a client's life begins; those of earlier lives are stopped. None if a later life has called before.
    pub(super) fn enter(self: &Arc<Incarnations>, name: &str, incarnation: u32) -> Option<Running> {
        let mut clients = super::lock(&self.clients);
        if !clients.contains_key(name) && clients.len() >= CLIENTS_MAX {
            // One for which nothing is executed is forgotten: a late call of its earlier life would be executed.
            let idle = clients.iter().find(|(_, client)| client.running.is_empty());
            let idle = idle.map(|(name, _)| name.clone())?;
            clients.remove(&idle);
        }
        let client = clients.entry(name.to_owned()).or_default();
        if incarnation < client.incarnation {
            return None;
        }
        if incarnation > client.incarnation {
            client.incarnation = incarnation;
            client.running.clear();
        }
        let (sender, orphaned) = oneshot::channel();
        client.begun += 1;
        let number = client.begun;
        client.running.insert(number, sender);
        Some(Running { incarnations: Arc::clone(self), name: name.to_owned(), incarnation, number, orphaned })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(client) = super::lock(&self.incarnations.clients).get_mut(&self.name)
            && client.incarnation == self.incarnation
        {
            client.running.remove(&self.number);
        }
    }
}
