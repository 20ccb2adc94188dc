//! What a stack and its interfaces are told at their making.

use core::fmt;
use core::net::Ipv4Addr;
use core::str::FromStr;

/// Names an interface of a stack. Interface 0 is the loopback, which always exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceId(pub u16);

impl InterfaceId {
    /// The loopback interface.
    pub const LOOPBACK: InterfaceId = InterfaceId(0);
}

impl fmt::Display for InterfaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "if{}", self.0)
    }
}

/// What frames on an interface look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Medium {
    /// Ethernet II frames; next hops are resolved by ARP.
    #[default]
    Ethernet,
    /// Bare IP packets.
    Ip,
}

/// An Ethernet address.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// All stations.
    pub const BROADCAST: MacAddr = MacAddr([0xff; 6]);

    /// Whether this names one station.
    pub const fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An interface's own address and its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    /// The address.
    pub address: Ipv4Addr,
    /// Leading one bits of the mask, 0 to 32.
    pub prefix_len: u8,
}

impl Cidr {
    /// An address and the length of its prefix.
    pub const fn new(address: Ipv4Addr, prefix_len: u8) -> Cidr {
        Cidr { address, prefix_len }
    }

    /// The mask of the prefix.
    pub const fn mask(self) -> Ipv4Addr {
        match self.prefix_len {
            0 => Ipv4Addr::UNSPECIFIED,
            1..=31 => Ipv4Addr::from_bits(u32::MAX << (32 - self.prefix_len)),
            _ => Ipv4Addr::BROADCAST,
        }
    }

    /// The subnet's own address.
    pub const fn network(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits() & self.mask().to_bits())
    }

    /// Whether an address is in the subnet.
    pub const fn contains(self, other: Ipv4Addr) -> bool {
        (self.address.to_bits() ^ other.to_bits()) & self.mask().to_bits() == 0
    }

    /// The address of all hosts in the subnet; subnets of one or two addresses have none (RFC 3021).
    pub const fn broadcast(self) -> Option<Ipv4Addr> {
        if self.prefix_len >= 31 {
            return None;
        }
        Some(Ipv4Addr::from_bits(self.address.to_bits() | !self.mask().to_bits()))
    }
}

impl fmt::Display for Cidr {
    /// `10.0.0.1/24`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

/// A text is no address with a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CidrError;

impl fmt::Display for CidrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an address with a prefix such as 10.0.0.1/24")
    }
}

impl core::error::Error for CidrError {}

impl From<CidrError> for std::io::Error {
    fn from(error: CidrError) -> std::io::Error {
        std::io::Error::new(std::io::ErrorKind::InvalidInput, error)
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    /// Reads `10.0.0.1/24`.
    fn from_str(text: &str) -> Result<Cidr, CidrError> {
        let (address, len) = text.split_once('/').ok_or(CidrError)?;
        let prefix_len = len.parse().ok().filter(|len| *len <= 32).ok_or(CidrError)?;
        Ok(Cidr { address: address.parse().map_err(|_| CidrError)?, prefix_len })
    }
}

/// What a device can do for the stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// The device completes TCP and UDP checksums of transmitted frames.
    pub tx_checksum: bool,
    /// Largest TCP super-frame's payload that the device segments, in bytes; 0 for none.
    pub tso_max: u32,
    /// Largest UDP super-frame's payload that the device segments, in bytes; 0 for none.
    pub uso_max: u32,
    /// It is not the other side but the device's own code here that cuts super-frames, into what a wire carries, which
    /// costs less than making each segment by itself. While the stack has an observer it makes none for such a device,
    /// so that captures show what the wire carries.
    pub software: bool,
}

/// An interface at its making.
#[derive(Clone, Debug)]
pub struct InterfaceConfig {
    /// Its name, for captures and humans.
    pub name: String,
    /// What its frames look like.
    pub medium: Medium,
    /// Its link address; ignored on [`Medium::Ip`].
    pub mac: MacAddr,
    /// The largest IP packet that its link carries, in bytes (68 to 65,535).
    pub mtu: u16,
    /// Its addresses, used at once, announced and defended.
    pub addresses: Vec<Cidr>,
    /// What its device can do.
    pub offloads: Offloads,
}

/// A stack at its making. The limits bound what peers can make it hold.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where all randomness comes from: the same seed and the same calls give the same frames.
    pub seed: u64,
    /// A small number that names this machine in packet ids; 0 where there is one machine only.
    pub machine: u16,
    /// Whether packets for others are passed on.
    pub forwarding: bool,
    /// Open sockets at most.
    pub sockets_max: usize,
    /// Default time to live of packets.
    pub ttl: u8,
    /// TCP's settings.
    pub tcp: crate::tcp::TcpConfig,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            seed: 0,
            machine: 0,
            forwarding: false,
            sockets_max: 1 << 20,
            ttl: 64,
            tcp: crate::tcp::TcpConfig::default(),
        }
    }
}
