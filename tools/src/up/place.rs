//! Where a machine is: its namespace, the kernel's side of its TAPs, and what is undone when it is gone.

use super::plan::{HostSide, Plan, TapPlan, overlap};
use crate::control::{Change, State};
use crate::testbed::{self, Netlink};
use std::net::Ipv4Addr;
use tapstack::device::{Device, Tap, TapOptions};
use tapstack::stack::Cidr;

/// Moves this process into a namespace of its own. Errors: why that can't be, and what would allow it.
pub(super) fn move_in() -> Result<(), String> {
    testbed::available().map_err(|why| why.to_string())?;
    testbed::move_in().and_then(|()| testbed::furnish()).map_err(|error| error.to_string())
}

/// The network namespace that this process is in, as `/proc` names it.
pub(super) fn namespace() -> String {
    let link = std::fs::read_link("/proc/self/ns/net");
    link.map_or_else(|_| String::new(), |link| link.to_string_lossy().into_owned())
}

/// Refuses networks that the kernel has other routes to: it would send their packets elsewhere, or others' to us.
pub(super) fn check_routes(plan: &Plan) -> Result<(), String> {
    let routes = std::fs::read_to_string("/proc/thread-self/net/route")
        .map_err(|error| format!("can't read the kernel's routes: {}", crate::ui::reason(&error)))?;
    for tap in &plan.taps {
        for (interface, network) in kernel_routes(&routes) {
            // On a bridge that it is plugged into, and on a persistent TAP, the network is to be there.
            let its_own = match &tap.host {
                HostSide::Bridge(bridge) => *bridge == interface,
                _ => tap.name.as_deref() == Some(interface),
            };
            if its_own || network.prefix_len == 0 {
                continue;
            }
            if let Some(address) = tap.addresses.iter().find(|address| overlap(**address, network)) {
                return Err(format!(
                    "{address} overlaps {}/{}, which the kernel reaches by {interface}: choose another --address, or \
                     use --private",
                    network.address, network.prefix_len
                ));
            }
        }
    }
    Ok(())
}

/// Reads `/proc/net/route`: each route's interface and network. What can't be read is none.
fn kernel_routes(text: &str) -> impl Iterator<Item = (&str, Cidr)> {
    text.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let word = |at: usize| u32::from_str_radix(fields.get(at)?, 16).ok().map(u32::to_ne_bytes);
        let (destination, mask) = (Ipv4Addr::from(word(1)?), Ipv4Addr::from(word(7)?));
        let prefix_len = mask.to_bits().leading_ones() as u8;
        Some((*fields.first()?, Cidr::new(destination, prefix_len)))
    })
}

/// Opens the TAPs and sets the kernel's side up. Every change that might outlive the machine is shown to `note` before
/// it is made. Errors: what could not be done; what was done before is undone by [`undo`].
pub(super) fn furnish(
    plan: &Plan,
    mut note: impl FnMut(Change) -> Result<(), String>,
) -> Result<Vec<Device>, String> {
    let mut netlink = Netlink::open().map_err(|error| error.to_string())?;
    let mut devices = Vec::new();
    for tap in &plan.taps {
        devices.push(open(tap, &mut netlink, &mut note)?);
    }
    Ok(devices)
}

fn open(
    plan: &TapPlan,
    netlink: &mut Netlink,
    note: &mut impl FnMut(Change) -> Result<(), String>,
) -> Result<Device, String> {
    let options = TapOptions { name: plan.name.clone(), offload: plan.offload, ..TapOptions::default() };
    let tap = Tap::open(options).map_err(|error| error.to_string())?;
    let interface = tap.name().to_owned();
    let text = |error: testbed::TestbedError| error.to_string();
    tap.set_mtu(plan.mtu).map_err(|error| error.to_string())?;
    match &plan.host {
        HostSide::Address(cidr) => {
            let (address, prefix_len) = (cidr.address, cidr.prefix_len);
            if !has_address(&interface, *cidr) {
                note(Change::Address { interface: interface.clone(), address, prefix_len })?;
                netlink.add_address(&interface, *cidr).map_err(text)?;
            }
        }
        HostSide::Bridge(bridge) => {
            note(Change::Bridge { interface: interface.clone() })?;
            netlink.set_master(&interface, bridge).map_err(text)?;
        }
        HostSide::Nothing => {}
    }
    tap.up().map_err(|error| error.to_string())?;
    netlink.wait_running(&interface).map_err(text)?;
    tap.into_device().map_err(|error| error.to_string())
}

/// Whether a persistent TAP has its address already, which is then not ours to take away.
fn has_address(interface: &str, cidr: Cidr) -> bool {
    let routes = std::fs::read_to_string("/proc/thread-self/net/route").unwrap_or_default();
    kernel_routes(&routes).any(|(name, network)| {
        name == interface && (network.address, network.prefix_len) == (cidr.network(), cidr.prefix_len)
    })
}

/// Undoes what a machine of this namespace changed on interfaces that are still there; says what that was.
pub(super) fn undo(state: &State) -> Vec<String> {
    if state.namespace != namespace() {
        // A namespace that nobody is in is gone, with all its interfaces.
        return Vec::new();
    }
    let Ok(mut netlink) = Netlink::open() else { return Vec::new() };
    let mut undone = Vec::new();
    for change in state.changes.iter().rev() {
        let (what, done) = match change {
            Change::Address { interface, address, prefix_len } => {
                let cidr = Cidr::new(*address, *prefix_len);
                (format!("{cidr} on {interface}"), netlink.delete_address(interface, cidr))
            }
            Change::Bridge { interface } => {
                (format!("{interface} in a bridge"), netlink.clear_master(interface))
            }
        };
        // A TAP that is not persistent went with its machine, and this with it.
        if done.is_ok() {
            undone.push(what);
        }
    }
    undone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn the_kernels_routes_are_read() {
        let text = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            eth0\t0000A8C0\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\nnonsense\n";
        let routes: Vec<_> = kernel_routes(text).collect();
        let network = |a: [u8; 4], len| Cidr::new(Ipv4Addr::from(a), len);
        assert_eq!(routes, [("eth0", network([0; 4], 0)), ("eth0", network([192, 168, 0, 0], 16))]);
    }
}
