//! The shortest way to a machine: one TAP, with the kernel at its other end.

use super::{Machine, MachineConfig};
use crate::device::{Tap, TapOptions};
use crate::stack::{Cidr, Config, InterfaceConfig, MacAddr, Medium};
use std::io;

impl Machine {
    /// A machine with the address `ours` on the TAP of this name, whose other end, the kernel's, has the address
    /// `kernels`. The TAP is made unless there is a persistent one, and taken up.
    ///
    /// Both addresses should be of one subnet. For anything else there is [`Machine::new`].
    ///
    /// # Errors
    /// Those of [`Tap::open`]: each says what is in the way. It takes root, or a network namespace of one's own
    /// (`unshare -Urn`).
    pub fn on_tap(name: &str, ours: Cidr, kernels: Cidr) -> io::Result<Machine> {
        let tap = Tap::open(TapOptions { name: Some(name.to_owned()), ..TapOptions::default() })?;
        tap.set_kernel_address(kernels)?;
        tap.up()?;
        let device = tap.into_device()?;
        let [a, b, c, d] = ours.address.octets();
        let interface = InterfaceConfig {
            name: device.name.clone(),
            medium: Medium::Ethernet,
            // Locally administered, and as unique as the address.
            mac: MacAddr([0x02, 0x74, a, b, c, d]),
            mtu: device.mtu,
            addresses: vec![ours],
            offloads: device.offloads,
        };
        Machine::new(MachineConfig {
            name: name.to_owned(),
            seed: None,
            stack: Config::default(),
            interfaces: vec![(interface, device)],
        })
    }
}
