//! What is measured on: kernels in namespaces, joined by a virtual cable, or with a TAP towards us.

use crate::testbed::{NetNs, Netlink, TestbedError, set_veth_offloads};
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use tapstack::device::{Device, Tap, TapOptions};
use tapstack::stack::Cidr;

/// Where servers listen.
pub(super) const PORT: u16 = 5001;

/// The client's kernel.
pub(super) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
/// The server.
pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
/// Both of a second link into the same kernel.
const SECOND_CLIENT: Ipv4Addr = Ipv4Addr::new(10, 9, 1, 1);
const SECOND_SERVER: Ipv4Addr = Ipv4Addr::new(10, 9, 1, 2);
/// The length of their network's prefix.
pub(super) const PREFIX_LEN: u8 = 24;

/// Two kernels joined by a link.
pub(super) struct KernelPair {
    pub(super) client_ns: Arc<NetNs>,
    pub(super) server_ns: NetNs,
    pub(super) server_address: Ipv4Addr,
}

/// Two kernels joined by a virtual cable, as it comes or without any offload.
pub(super) fn veth(offloads: bool) -> io::Result<KernelPair> {
    let (client_ns, server_ns) = (kernel_host()?, kernel_host()?);
    client_ns
        .run(|| {
            let mut netlink = Netlink::open()?;
            netlink.add_veth("veth0", "veth1", Some(&server_ns))?;
            address(&mut netlink, "veth0", CLIENT)
        })
        .and_then(|set| set)
        .map_err(io::Error::other)?;
    server_ns
        .run(|| address(&mut Netlink::open()?, "veth1", SERVER))
        .and_then(|set| set)
        .map_err(io::Error::other)?;
    for (ns, name) in [(&client_ns, "veth0"), (&server_ns, "veth1")] {
        ns.run(|| {
            Netlink::open()?.wait_running(name)?;
            if offloads { Ok(()) } else { set_veth_offloads(name, false) }
        })
        .and_then(|set| set)
        .map_err(io::Error::other)?;
    }
    Ok(KernelPair { client_ns: Arc::new(client_ns), server_ns, server_address: SERVER })
}

/// A kernel with a TAP, whose other side is for the server.
pub(super) struct TapStage {
    pub(super) client_ns: Arc<NetNs>,
    pub(super) device: Device,
    pub(super) server_address: Ipv4Addr,
}

/// A TAP into a kernel that has the client's address on it. Threaded NAPI is switched on through `/sys`, which shows
/// the namespace of this process only: such a TAP is made there.
pub(super) fn tap(options: TapOptions) -> io::Result<TapStage> {
    tap_between(options, CLIENT, SERVER)
}

/// As [`tap`], on a network of its own: where both are in the namespace of this process, they don't get in each other's
/// way.
pub(super) fn second_tap(options: TapOptions) -> io::Result<TapStage> {
    tap_between(options, SECOND_CLIENT, SECOND_SERVER)
}

fn tap_between(options: TapOptions, client: Ipv4Addr, server_address: Ipv4Addr) -> io::Result<TapStage> {
    let ns = if options.napi { NetNs::current().map_err(io::Error::other)? } else { kernel_host()? };
    ns.run(forget_paths).map_err(io::Error::other)??;
    let device = ns.run(|| open_tap(options, Some(client))).map_err(io::Error::other)??;
    Ok(TapStage { client_ns: Arc::new(ns), device, server_address })
}

/// Opens a TAP in the calling thread's namespace, up, and with an address for the kernel there.
pub(super) fn open_tap(options: TapOptions, kernel: Option<Ipv4Addr>) -> io::Result<Device> {
    let tap = Tap::open(options)?;
    if let Some(address) = kernel {
        tap.set_kernel_address(Cidr::new(address, PREFIX_LEN))?;
    }
    tap.up()?;
    Ok(tap.into_device()?)
}

/// A kernel without memory of earlier connections' paths: it would start the next ones by them.
pub(super) fn kernel_host() -> io::Result<NetNs> {
    let ns = NetNs::new().map_err(io::Error::other)?;
    ns.run(forget_paths).map_err(io::Error::other)??;
    Ok(ns)
}

fn forget_paths() -> io::Result<()> {
    std::fs::write("/proc/sys/net/ipv4/tcp_no_metrics_save", "1")
}

/// Has the kernel of a namespace open its connections without timestamps (RFC 7323).
pub(super) fn drop_timestamps(ns: &NetNs) -> io::Result<()> {
    ns.run(|| std::fs::write("/proc/sys/net/ipv4/tcp_timestamps", "0")).map_err(io::Error::other)?
}

fn address(netlink: &mut Netlink, name: &str, address: Ipv4Addr) -> Result<(), TestbedError> {
    netlink.add_address(name, Cidr::new(address, PREFIX_LEN))?;
    netlink.set_up(name)
}
