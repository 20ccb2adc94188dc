//! Makes the machine that a plan describes, over its TAPs.

use super::plan::Plan;
use super::record::Record;
use crate::control::add_route;
use tapstack::device::Device;
use tapstack::net::tap::{Machine, MachineConfig};
use tapstack::stack::{Config, InterfaceConfig, InterfaceId, MacAddr, Medium};

/// Makes the machine, with its routes, and shows its frames to `record`. Errors: what can't be, in words.
pub(super) fn make(plan: &Plan, devices: Vec<Device>, record: Option<&Record>) -> Result<Machine, String> {
    let mut interfaces = Vec::new();
    for (index, (tap, device)) in plan.taps.iter().zip(devices).enumerate() {
        let interface = InterfaceConfig {
            name: device.name.clone(),
            medium: Medium::Ethernet,
            mac: mac(&plan.name, index),
            mtu: device.mtu,
            addresses: tap.addresses.clone(),
            offloads: device.offloads,
        };
        if let Some(record) = record {
            let id = InterfaceId(u16::try_from(index + 1).unwrap_or(u16::MAX));
            record.add_interface(&plan.name, id, &interface);
        }
        interfaces.push((interface, device));
    }
    let stack = Config { forwarding: plan.forwarding, ..Config::default() };
    let config = MachineConfig { name: plan.name.clone(), seed: None, stack, interfaces };
    let machine = Machine::new(config).map_err(|error| format!("the machine can't be made: {error}"))?;
    let host = machine.host();
    host.with_stack(|_, stack| {
        plan.routes.iter().try_for_each(|route| {
            let done = add_route(stack, route).map(drop);
            done.map_err(|why| format!("the route to {}/{}: {why}", route.to, route.prefix_len))
        })
    })?;
    if let Some(record) = record {
        record.observe(&host);
    }
    Ok(machine)
}

/// A link address of our own making (the locally administered bit is set) that stays the same for a name, so that the
/// neighbours' caches stay right from one run to the next. It is a hash (FNV-1a), not a secret.
fn mac(name: &str, index: usize) -> MacAddr {
    let seed = 0xcbf2_9ce4_8422_2325u64;
    let hash = name.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let [a, b, c, d, ..] = hash.to_be_bytes();
    MacAddr([0x02, a, b, c, d, index as u8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_addresses_are_ours_and_differ() {
        let all = [mac("a", 0), mac("a", 1), mac("b", 0)];
        assert!(all.iter().all(|mac| mac.is_unicast() && mac.0[0] == 2));
        assert!(all[0] != all[1] && all[0] != all[2]);
        assert_eq!(mac("a", 0), mac("a", 0));
    }
}
