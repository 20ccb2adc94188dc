//! Network namespaces with bridges, virtual cables and the kernel's own stack in them: what a TAP can be tried on
//! without touching the machine's network.
//!
//! - **In**: a process that has just started ([`enter`]).
//! - **Out**: a namespace of its own, to be furnished with [`Netlink`]; further ones for more kernel hosts
//!   ([`NetNs`]); exact reasons why it can't be had ([`available`], [`Why`]).
//! - **Keeps**: nothing outside the process: the namespaces have no names, and are gone with their last user.
//! - **Never**: runs an external program, or changes anything in the namespace that the process came from.
//!
//! The usual set-up is one namespace with a bridge, which is the kernel's interface, and TAPs plugged into it:
//!
//! ```text
//!  kernel's sockets   machine "a"   machine "b"
//!    10.0.0.1          10.0.0.2      10.0.0.3
//!        |                |             |
//!       br0 ---------- tap-a -------- tap-b
//! ```

mod ethtool;
mod namespace;
mod netlink;
mod netns;
mod why;

pub use ethtool::set_veth_offloads;
pub use namespace::{Entered, enter, inside, move_in};
pub use netlink::{Netlink, Route};
pub use netns::NetNs;
pub use why::{TestbedError, Why, available};

use tapstack::device::{Device, Tap, TapOptions};
use tapstack::stack::{Cidr, MacAddr};

/// Takes the loopback up and silences IPv6 in the current network namespace: for one that was just [moved into](move_in)
/// and is to have no bridge.
pub fn furnish() -> Result<(), TestbedError> {
    netns::silence_ipv6();
    Netlink::open()?.set_up("lo")
}

/// A bridge in the current network namespace, which the kernel has an address on, and which TAPs are plugged into.
pub struct Bridge {
    netlink: Netlink,
    name: String,
}

impl Bridge {
    /// Makes a bridge, gives the kernel these addresses on it, and takes it up. IPv6 is silenced in the namespace.
    pub fn new(name: &str, addresses: &[Cidr]) -> Result<Bridge, TestbedError> {
        let mut netlink = Netlink::open()?;
        netns::silence_ipv6();
        netlink.set_up("lo")?;
        netlink.add_bridge(name, BRIDGE_MAC)?;
        for &address in addresses {
            netlink.add_address(name, address)?;
        }
        netlink.set_up(name)?;
        Ok(Bridge { netlink, name: name.to_owned() })
    }

    /// Opens a TAP and plugs it in.
    pub fn tap(&mut self, options: TapOptions) -> Result<Device, TestbedError> {
        let tap = Tap::open(options)?;
        self.netlink.set_master(tap.name(), &self.name)?;
        tap.up()?;
        self.netlink.wait_running(&self.name)?;
        Ok(tap.into_device()?)
    }

    /// The netlink socket of the namespace, for whatever else is to be set up.
    pub fn netlink(&mut self) -> &mut Netlink {
        &mut self.netlink
    }
}

/// The bridge's address. Without one of its own it would take its ports' lowest, and change it as they come and go.
const BRIDGE_MAC: MacAddr = MacAddr([0x02, 0, 0, 0, 0xff, 0x01]);
