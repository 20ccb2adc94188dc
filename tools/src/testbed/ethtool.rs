//! Switches an interface's offloads, as `ethtool -K` does.

use super::why::TestbedError;
use rustix::ioctl::{Opcode, Updater, ioctl};
use rustix::net::{AddressFamily, SocketType};

/// Switches everything that a virtual cable leaves undone: checksums, segmentation, receive coalescing. With all of
/// it off, what it carries is what a wire would carry.
pub fn set_veth_offloads(name: &str, on: bool) -> Result<(), TestbedError> {
    let doing = || format!("switch the offloads of {name}");
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)
        .map_err(|errno| TestbedError::system(doing(), errno))?;
    // Segmentation offload needs the checksums' and gathering: off in this order, on in the other.
    let mut commands = COMMANDS;
    if on {
        commands.reverse();
    }
    for command in commands {
        set(&socket, name, command, on).map_err(|errno| TestbedError::system(doing(), errno))?;
    }
    Ok(())
}

#[allow(unsafe_code)]
fn set(socket: &impl std::os::fd::AsFd, name: &str, command: u32, on: bool) -> Result<(), rustix::io::Errno> {
    let mut value = EthtoolValue { command, data: u32::from(on) };
    let mut request = Ifreq { name: [0; NAME_LEN], data: &raw mut value, rest: [0; 16] };
    let len = name.len().min(NAME_LEN - 1);
    request.name[..len].copy_from_slice(&name.as_bytes()[..len]);
    // SAFETY: SIOCETHTOOL takes a `struct ifreq` whose data points to a `struct ethtool_value`, which these commands
    // read; both live until the call returns, and the kernel keeps no pointer to them.
    unsafe { ioctl(socket, Updater::<SIOCETHTOOL, Ifreq>::new(&mut request)) }
}

/// `struct ethtool_value`.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// `struct ifreq`, as SIOCETHTOOL reads it.
#[repr(C)]
struct Ifreq {
    name: [u8; NAME_LEN],
    data: *mut EthtoolValue,
    rest: [u8; 16],
}

// From <linux/sockios.h> and <linux/ethtool.h>.
const NAME_LEN: usize = 16;
const SIOCETHTOOL: Opcode = 0x8946;
/// ETHTOOL_SGRO, STSO, SGSO, SSG, STXCSUM, SRXCSUM.
const COMMANDS: [u32; 6] = [0x2c, 0x1f, 0x24, 0x19, 0x17, 0x15];
