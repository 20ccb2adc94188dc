//! Asking a machine's rpcbind: where a program is, and what there is.

use super::wire::{Entry, Mapping, from_universal, protocol, transport_of, universal};
use super::{ENTRIES_MAX, PORT, PROGRAM, TEXT_BYTES_MAX};
use crate::client::{Client, ClientConfig};
use crate::error::CallError;
use crate::semantics::Semantics;
use crate::service::Transport;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tapstack::net::Host;
use tapstack_xdr::{Decode, Decoder, Error};

/// Where a program's version is on a machine, by a transport: asks rpcbind's version 4 and, where there is none, the
/// portmapper. Errors: `ProgramUnavailable` if it isn't registered; the call's own.
pub async fn find(
    host: &Host,
    machine: IpAddr,
    transport: Transport,
    program: u32,
    version: u32,
) -> Result<SocketAddr, CallError> {
    let netid = transport.to_string();
    let asked = Entry { program, version, netid, ..Entry::default() };
    let client = client(host, machine, transport, 4)?;
    let found = match client.call::<_, String>(GETADDR, &asked).await {
        Err(error) if is_too_old(&error) => {
            let asked = Mapping { program, version, protocol: protocol(transport), port: 0 };
            let port: u32 = self::client(host, machine, transport, 2)?.call(GETPORT, &asked).await?;
            u16::try_from(port).ok().filter(|port| *port > 0).map(|port| SocketAddr::new(machine, port))
        }
        answer => from_universal(&answer?),
    };
    let mut address = found.ok_or(CallError::ProgramUnavailable)?;
    if address.ip().is_unspecified() {
        address.set_ip(machine);
    }
    Ok(address)
}

/// A client of a program on a machine, wherever rpcbind says that it is. Errors: as for [`find`].
pub async fn connect(
    host: &Host,
    machine: IpAddr,
    transport: Transport,
    program: u32,
    version: u32,
    config: ClientConfig,
) -> Result<Client, CallError> {
    let address = find(host, machine, transport, program, version).await?;
    Ok(Client::new(host, transport, address, program, version, config)?)
}

/// All that a machine's rpcbind has registered, as its version 4 says it, or the portmapper. Errors: the call's.
pub async fn dump(host: &Host, machine: IpAddr) -> Result<Vec<Entry>, CallError> {
    // Over TCP, since a list may be longer than a datagram.
    match client(host, machine, Transport::Tcp, 4)?.call::<(), List<Entry>>(DUMP, &()).await {
        Err(error) if is_too_old(&error) => {
            let old = client(host, machine, Transport::Tcp, 2)?;
            let mappings: List<Mapping> = old.call(DUMP, &()).await?;
            Ok(mappings.0.into_iter().map(entry).collect())
        }
        answer => answer.map(|list| list.0),
    }
}

const GETADDR: u32 = 3;
const GETPORT: u32 = 3;
const DUMP: u32 = 4;

/// A linked list.
struct List<T>(Vec<T>);

impl<T: Decode> Decode for List<T> {
    fn decode(from: &mut Decoder<'_>) -> Result<List<T>, Error> {
        from.take_list(T::decode).map(List)
    }
}

fn client(host: &Host, machine: IpAddr, transport: Transport, version: u32) -> io::Result<Client> {
    let config = ClientConfig {
        semantics: Semantics::AtLeastOnce,
        deadline: PATIENCE,
        reply_bytes_max: ENTRIES_MAX * 4 * TEXT_BYTES_MAX,
        ..ClientConfig::default()
    };
    Client::new(host, transport, SocketAddr::new(machine, PORT), PROGRAM, version, config)
}

/// Whether a machine says that it has only the portmapper.
fn is_too_old(error: &CallError) -> bool {
    matches!(error, CallError::ProgramMismatch { .. } | CallError::ProcedureUnavailable)
}

fn entry(mapping: Mapping) -> Entry {
    let Mapping { program, version, protocol, port } = mapping;
    let netid =
        transport_of(protocol).map_or_else(|| protocol.to_string(), |transport| transport.to_string());
    let port = u16::try_from(port).unwrap_or_default();
    let address = universal(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port));
    Entry { program, version, netid, address, owner: String::new() }
}

/// How long rpcbind may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
