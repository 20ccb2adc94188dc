//! rpcbind: which program is where. The portmapper's version 2 and rpcbind's 3 and 4, as a server and as a client.
//!
//! - **In**: registrations of this machine's own programs; questions of anybody.
//! - **Out**: ports and universal addresses; lists of all there is.
//! - **Keeps**: the [`Registry`], of [`ENTRIES_MAX`] entries, and counters of what was asked.
//! - **Timers**: none besides the server's.
//! - **RFC**: 1833 (sections 2 for versions 3 and 4, 3 for the portmapper), 5665 for universal addresses.
//! - **Never**: lets another machine register or unregister; forwards a call (CALLIT, BCAST, INDIRECT): to do so would
//!   be to lend this machine's address, and to make replies longer than their calls, for whoever forges a sender.

mod client;
mod services;
mod statistics;
mod wire;

pub use client::{connect, dump, find};
pub use wire::{Entry, Mapping, from_universal, universal};

use crate::semantics::Semantics;
use crate::server::{Server, ServerConfig};
use crate::service::Transport;
use services::{PortMapper, RpcBind};
use statistics::Statistics;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tapstack::net::Host;

/// The program's number, in all its versions.
pub const PROGRAM: u32 = 100_000;
/// Its port.
pub const PORT: u16 = 111;
/// Entries of a registry at most.
pub const ENTRIES_MAX: usize = 256;
/// Bytes of a network's identifier, an address or an owner at most.
pub const TEXT_BYTES_MAX: usize = 128;

/// Which program is where on a machine. Clones are the same registry.
#[derive(Clone, Default)]
pub struct Registry {
    entries: Arc<Mutex<Entries>>,
    statistics: Arc<Mutex<Statistics>>,
}

/// By program, version and transport.
type Entries = BTreeMap<(u32, u32, Transport), Place>;

#[derive(Clone)]
struct Place {
    address: SocketAddr,
    owner: String,
}

impl Registry {
    /// Adds a program's version at an address, where 0.0.0.0 is whatever address the asker reaches. False if that version
    /// is somewhere already, or there is no room.
    pub fn set(
        &self,
        program: u32,
        version: u32,
        transport: Transport,
        address: SocketAddr,
        owner: &str,
    ) -> bool {
        let mut entries = self.entries();
        if entries.len() >= ENTRIES_MAX || entries.contains_key(&(program, version, transport)) {
            return false;
        }
        entries.insert((program, version, transport), Place { address, owner: owner.to_owned() });
        true
    }

    /// Takes a program's version away, on one transport or all. False if it wasn't there.
    pub fn unset(&self, program: u32, version: u32, transport: Option<Transport>) -> bool {
        let mut entries = self.entries();
        let before = entries.len();
        entries.retain(|(p, v, t), _| {
            (*p, *v) != (program, version) || transport.is_some_and(|only| only != *t)
        });
        entries.len() < before
    }

    /// Adds all programs of a server, at one of the addresses where it listens.
    pub fn set_all(&self, server: &Server, transport: Transport, address: SocketAddr) {
        for (program, version) in server.programs() {
            self.set(program, version, transport, address, OWNER);
        }
    }

    /// Where a program's version is; or, if it isn't and `any_version` will do, another version's place.
    pub fn find(
        &self,
        program: u32,
        version: u32,
        transport: Transport,
        any_version: bool,
    ) -> Option<SocketAddr> {
        let entries = self.entries();
        let exact = entries.get(&(program, version, transport));
        let other = || {
            let mut of_program =
                entries.range((program, 0, Transport::Udp)..=(program, u32::MAX, Transport::Tcp));
            of_program.find(|((_, _, t), _)| *t == transport).map(|(_, place)| place)
        };
        exact.or_else(|| if any_version { other() } else { None }).map(|place| place.address)
    }

    /// All entries, by program, version and transport.
    pub fn entries_in_order(&self) -> Vec<Entry> {
        let entry = |(&(program, version, transport), place): (&(u32, u32, Transport), &Place)| Entry {
            program,
            version,
            netid: transport.to_string(),
            address: universal(place.address),
            owner: place.owner.clone(),
        };
        self.entries().iter().map(entry).collect()
    }

    /// What was asked so far.
    fn statistics(&self) -> MutexGuard<'_, Statistics> {
        self.statistics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves a machine's registry on port 111, UDP and TCP, to whoever asks. `unix_seconds_at_zero` is the time of day
/// when the machine's clock shows 0, for GETTIME; without it that procedure isn't there.
///
/// Errors: `AddrInUse`.
pub fn serve(host: &Host, registry: &Registry, unix_seconds_at_zero: Option<u64>) -> io::Result<Server> {
    // A list of all entries is all that a datagram's reply has to carry.
    let server = Server::new(host, ServerConfig { calls_max: 256, ..ServerConfig::default() });
    server.add(Arc::new(PortMapper { registry: registry.clone() }), Semantics::AtMostOnce)?;
    for version in [3, 4] {
        let service = RpcBind::new(registry, version, unix_seconds_at_zero);
        server.add(Arc::new(service), Semantics::AtMostOnce)?;
    }
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT);
    let udp = server.listen_udp(any)?;
    let tcp = server.listen_tcp(any)?;
    registry.set_all(&server, Transport::Udp, udp);
    registry.set_all(&server, Transport::Tcp, tcp);
    Ok(server)
}

/// Who registers this process's own programs.
const OWNER: &str = "superuser";

#[cfg(test)]
mod tests;
