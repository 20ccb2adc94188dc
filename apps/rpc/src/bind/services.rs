//! rpcbind as services: the portmapper's version 2, and versions 3 and 4.

use super::statistics::Forward;
use super::wire::{
    Entry, Mapping, SOCKADDR_BYTES, from_sockaddr, from_universal, protocol, to_sockaddr, transport_named,
    transport_of, universal,
};
use super::{PROGRAM, Registry, TEXT_BYTES_MAX};
use crate::auth::{AuthStatus, Credential};
use crate::service::{Answer, BoxFuture, CallContext, Procedure, Refusal, Service, Transport};
use bytes::Bytes;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tapstack_xdr::{Decode, Decoder, Encoder, Error};

/// The portmapper: version 2 (RFC 1833 section 3).
pub(super) struct PortMapper {
    pub(super) registry: Registry,
}

const fn procedure(number: u32, name: &'static str, idempotent: bool) -> Procedure {
    Procedure { number, name, idempotent }
}

const PORT_MAPPER: [Procedure; 5] = [
    procedure(1, "SET", false),
    procedure(2, "UNSET", false),
    procedure(3, "GETPORT", true),
    procedure(4, "DUMP", true),
    procedure(5, "CALLIT", true),
];

impl Service for PortMapper {
    fn program(&self) -> u32 {
        PROGRAM
    }

    fn version(&self) -> u32 {
        2
    }

    fn procedures(&self) -> &[Procedure] {
        &PORT_MAPPER
    }

    fn call<'a>(&'a self, context: &'a CallContext, number: u32, arguments: Bytes) -> BoxFuture<'a, Answer> {
        Box::pin(async move { self.answer(context, number, &arguments) })
    }
}

impl PortMapper {
    fn answer(&self, context: &CallContext, number: u32, arguments: &Bytes) -> Answer {
        let registry = &self.registry;
        registry.statistics().called(2, number);
        match number {
            1 => {
                let Mapping { program, version, protocol, port } = own(context, arguments)?;
                let place = (transport_of(protocol), u16::try_from(port));
                let set = |transport, port| {
                    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
                    registry.set(program, version, transport, address, &owner(context))
                };
                let is_set = matches!(place, (Some(t), Ok(p)) if p > 0 && set(t, p));
                self::set(context, registry, 2, is_set)
            }
            2 => {
                // "prot" and "port" are ignored (RFC 1833 section 3.2).
                let Mapping { program, version, .. } = own(context, arguments)?;
                unset(context, registry, 2, registry.unset(program, version, None))
            }
            3 => {
                let Mapping { program, version, protocol, .. } = read(arguments)?;
                let transport = transport_of(protocol);
                let place = transport.and_then(|t| registry.find(program, version, t, true));
                if let Some(transport) = transport {
                    let what = (program, version, transport);
                    registry.statistics().looked_up(2, what, place.is_some());
                }
                // "A port value of zeros means the program has not been registered."
                reply(context, |to| to.put_u32(place.map_or(0, |place| place.port().into())))
            }
            4 => {
                read::<()>(arguments)?;
                let entries = registry.entries_in_order();
                reply(context, |to| to.put_list(&entries, |entry, to| to.put(&mapping(entry))))
            }
            // CALLIT: "If the procedure is not executed successfully, no response": it never is.
            5 => {
                refuse(context, registry, 2, false, arguments);
                Err(Refusal::Silence)
            }
            _ => Err(Refusal::ProcedureUnavailable),
        }
    }
}

/// rpcbind: version 3 or 4 (RFC 1833 section 2).
pub(super) struct RpcBind {
    registry: Registry,
    version: u32,
    procedures: Vec<Procedure>,
    unix_seconds_at_zero: Option<u64>,
}

const RPC_BIND: [Procedure; 11] = [
    procedure(1, "SET", false),
    procedure(2, "UNSET", false),
    procedure(3, "GETADDR", true),
    procedure(4, "DUMP", true),
    procedure(5, "CALLIT", true),
    procedure(7, "UADDR2TADDR", true),
    procedure(8, "TADDR2UADDR", true),
    procedure(9, "GETVERSADDR", true),
    procedure(10, "INDIRECT", true),
    procedure(11, "GETADDRLIST", true),
    procedure(12, "GETSTAT", true),
];
const GETTIME: Procedure = procedure(6, "GETTIME", true);

/// The last procedure that version 3 has.
const VERSION_3_LAST: u32 = 8;

impl RpcBind {
    pub(super) fn new(registry: &Registry, version: u32, unix_seconds_at_zero: Option<u64>) -> RpcBind {
        let gettime = unix_seconds_at_zero.map(|_| GETTIME);
        let last = if version == 3 { VERSION_3_LAST } else { u32::MAX };
        let procedures = RPC_BIND.into_iter().chain(gettime).filter(|p| p.number <= last).collect();
        RpcBind { registry: registry.clone(), version, procedures, unix_seconds_at_zero }
    }

    async fn answer(&self, context: &CallContext, number: u32, arguments: &Bytes) -> Answer {
        let (registry, own_version) = (&self.registry, self.version);
        registry.statistics().called(own_version, number);
        match number {
            1 => {
                let entry: Entry = own(context, arguments)?;
                let place = transport_named(&entry.netid).zip(from_universal(&entry.address));
                let set = |(transport, address)| {
                    registry.set(entry.program, entry.version, transport, address, &owner(context))
                };
                let is_set = place.is_some_and(set);
                self::set(context, registry, own_version, is_set)
            }
            2 => {
                let Entry { program, version, netid, .. } = own(context, arguments)?;
                // "If r_netid is NULL", all of them.
                let transport = transport_named(&netid);
                let known = netid.is_empty() || transport.is_some();
                let is_unset = known && registry.unset(program, version, transport);
                unset(context, registry, own_version, is_unset)
            }
            // GETADDR's version 4 is GETVERSADDR but that another version will do. The netid is the transport's by
            // which the question came (RFC 1833 section 2.2.1).
            3 | 9 => {
                let Entry { program, version, .. } = read(arguments)?;
                let found = registry.find(program, version, context.transport, number == 3);
                let what = (program, version, context.transport);
                registry.statistics().looked_up(own_version, what, found.is_some());
                let address = match found {
                    Some(address) => universal(reachable(context, address).await),
                    None => String::new(),
                };
                reply(context, |to| to.put_string(&address, TEXT_BYTES_MAX))
            }
            4 => {
                read::<()>(arguments)?;
                let entries = registry.entries_in_order();
                reply(context, |to| to.put_list(&entries, |entry, to| to.put(entry)))
            }
            6 => {
                read::<()>(arguments)?;
                let at_zero = self.unix_seconds_at_zero.ok_or(Refusal::ProcedureUnavailable)?;
                let now = at_zero + context.host.now().as_millis() / 1000;
                reply(context, |to| to.put_u32(now as u32))
            }
            7 => {
                let text: String = read(arguments)?;
                let bytes = from_universal(&text).and_then(to_sockaddr).ok_or(Refusal::GarbageArguments)?;
                reply(context, |to| {
                    to.put_u32(SOCKADDR_BYTES as u32)?;
                    to.put_opaque(&bytes, SOCKADDR_BYTES)
                })
            }
            8 => {
                let (_, bytes): (u32, Bytes) = read(arguments)?;
                let address = from_sockaddr(&bytes).ok_or(Refusal::GarbageArguments)?;
                reply(context, |to| to.put_string(&universal(address), TEXT_BYTES_MAX))
            }
            11 => self.address_list(context, arguments).await,
            // CALLIT and BCAST: "no response" unless executed, which by our policy it never is.
            5 => {
                refuse(context, registry, own_version, false, arguments);
                Err(Refusal::Silence)
            }
            // INDIRECT answers errors.
            10 => {
                refuse(context, registry, own_version, true, arguments);
                Err(Refusal::Auth(AuthStatus::TooWeak))
            }
            12 => {
                read::<()>(arguments)?;
                reply(context, |to| to.put(&*registry.statistics()))
            }
            _ => Err(Refusal::ProcedureUnavailable),
        }
    }

    /// GETADDRLIST: where a version is by all transports of the asker's family.
    async fn address_list(&self, context: &CallContext, arguments: &Bytes) -> Answer {
        let Entry { program, version, .. } = read(arguments)?;
        let mut found = Vec::new();
        for (transport, semantics) in [(Transport::Udp, CONNECTIONLESS), (Transport::Tcp, CONNECTIONS)] {
            if let Some(address) = self.registry.find(program, version, transport, false) {
                found.push((universal(reachable(context, address).await), transport.to_string(), semantics));
            }
        }
        reply(context, |to| {
            to.put_list(&found, |(address, netid, semantics), to| {
                to.put_string(address, TEXT_BYTES_MAX)?;
                to.put_string(netid, TEXT_BYTES_MAX)?;
                to.put_u32(*semantics)?;
                to.put_string("inet", TEXT_BYTES_MAX)?;
                to.put_string(netid, TEXT_BYTES_MAX)
            })
        })
    }
}

impl Service for RpcBind {
    fn program(&self) -> u32 {
        PROGRAM
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn procedures(&self) -> &[Procedure] {
        &self.procedures
    }

    fn call<'a>(&'a self, context: &'a CallContext, number: u32, arguments: Bytes) -> BoxFuture<'a, Answer> {
        Box::pin(async move { self.answer(context, number, &arguments).await })
    }
}

/// What netconfig calls `tpi_clts` and `tpi_cots_ord`.
const CONNECTIONLESS: u32 = 1;
const CONNECTIONS: u32 = 3;

fn read<T: Decode>(arguments: &Bytes) -> Result<T, Refusal> {
    tapstack_xdr::from_bytes(arguments).map_err(Refusal::arguments)
}

/// Reads the arguments of SET and UNSET, which only this machine's own programs may call (RFC 1833 section 2.2.1
/// leaves it to the implementation).
fn own<T: Decode>(context: &CallContext, arguments: &Bytes) -> Result<T, Refusal> {
    let asker = context.peer.ip();
    let is_own = asker.is_loopback()
        || context.host.with_stack(|_, stack| {
            let mut addresses = stack.interfaces().into_iter().flat_map(|interface| interface.addresses);
            addresses.any(|own| IpAddr::V4(own.address) == asker)
        });
    if is_own { read(arguments) } else { Err(Refusal::Auth(AuthStatus::TooWeak)) }
}

/// The answer to SET.
fn set(context: &CallContext, registry: &Registry, own_version: u32, is_set: bool) -> Answer {
    if is_set {
        registry.statistics().set(own_version);
    }
    reply(context, |to| to.put_bool(is_set))
}

/// The answer to UNSET.
fn unset(context: &CallContext, registry: &Registry, own_version: u32, is_unset: bool) -> Answer {
    if is_unset {
        registry.statistics().unset(own_version);
    }
    reply(context, |to| to.put_bool(is_unset))
}

/// Counts a call that was to be passed on, if it says to where.
fn refuse(context: &CallContext, registry: &Registry, own_version: u32, indirect: bool, arguments: &Bytes) {
    let mut from = Decoder::shared(arguments);
    if let (Ok(program), Ok(version), Ok(procedure)) = (from.take_u32(), from.take_u32(), from.take_u32()) {
        let transport = context.transport;
        let what = Forward { program, version, procedure, indirect, transport };
        registry.statistics().refused(own_version, what);
    }
}

fn owner(context: &CallContext) -> String {
    match &context.credential {
        Credential::Sys(sys) => sys.uid.to_string(),
        Credential::None => "unknown".to_owned(),
    }
}

fn reply(context: &CallContext, put: impl FnOnce(&mut Encoder) -> Result<(), Error>) -> Answer {
    let mut to = Encoder::new(context.result_bytes_max);
    put(&mut to).map_err(Refusal::results)?;
    Ok(to.into_bytes())
}

fn mapping(entry: &Entry) -> Mapping {
    Mapping {
        program: entry.program,
        version: entry.version,
        protocol: transport_named(&entry.netid).map_or(0, protocol),
        port: from_universal(&entry.address).map_or(0, |address| address.port().into()),
    }
}

/// The address as the asker can use it: 0.0.0.0 becomes the address that this machine has towards it.
async fn reachable(context: &CallContext, address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    let towards = async {
        let probe = context.host.udp_bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0))?;
        probe.connect(context.peer).await?;
        probe.local_addr()
    };
    let own = towards.await.map_or(address.ip(), |own: SocketAddr| own.ip());
    SocketAddr::new(own, address.port())
}
