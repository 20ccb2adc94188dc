//! What rpcbind's procedures take and return: the portmapper's mappings, and rpcbind's entries with universal addresses.

use super::TEXT_BYTES_MAX;
use crate::service::Transport;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tapstack_xdr::{Decode, Decoder, Encode, Encoder, Error};

/// The portmapper's `mapping` (RFC 1833 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The program.
    pub program: u32,
    /// Its version.
    pub version: u32,
    /// The IP protocol's number: 6 or 17.
    pub protocol: u32,
    /// The port.
    pub port: u32,
}

/// rpcbind's `rpcb` (RFC 1833 section 2.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The program.
    pub program: u32,
    /// Its version.
    pub version: u32,
    /// The transport: `udp`, `tcp`, …
    pub netid: String,
    /// The universal address.
    pub address: String,
    /// Who registered it.
    pub owner: String,
}

/// An address with its port, as RFC 5665 section 5.2.3.3 writes it: `10.0.0.2.0.111`. IPv6 keeps its own notation before
/// the port.
pub fn universal(address: SocketAddr) -> String {
    let [high, low] = address.port().to_be_bytes();
    format!("{}.{high}.{low}", address.ip())
}

/// Reads a universal address.
pub fn from_universal(text: &str) -> Option<SocketAddr> {
    let (rest, low) = text.rsplit_once('.')?;
    let (address, high) = rest.rsplit_once('.')?;
    let port = u16::from_be_bytes([high.parse().ok()?, low.parse().ok()?]);
    Some(SocketAddr::new(address.parse().ok()?, port))
}

/// An IP protocol's number as the portmapper has it.
pub(super) fn protocol(transport: Transport) -> u32 {
    match transport {
        Transport::Tcp => 6,
        Transport::Udp => 17,
    }
}

/// The transport of a protocol's number.
pub(super) fn transport_of(protocol: u32) -> Option<Transport> {
    match protocol {
        6 => Some(Transport::Tcp),
        17 => Some(Transport::Udp),
        _ => None,
    }
}

/// The transport of a network's identifier (RFC 5665 section 5.1).
pub(super) fn transport_named(netid: &str) -> Option<Transport> {
    match netid {
        "tcp" => Some(Transport::Tcp),
        "udp" => Some(Transport::Udp),
        _ => None,
    }
}

/// A socket address as programs in C on Linux have it in memory, which is what `netbuf` holds: `sockaddr_in`.
pub(super) fn to_sockaddr(address: SocketAddr) -> Option<[u8; SOCKADDR_BYTES]> {
    let IpAddr::V4(ip) = address.ip() else { return None };
    let mut bytes = [0; SOCKADDR_BYTES];
    let (family, rest) = bytes.split_first_chunk_mut::<2>()?;
    *family = AF_INET.to_ne_bytes();
    let (port, rest) = rest.split_first_chunk_mut::<2>()?;
    *port = address.port().to_be_bytes();
    *rest.first_chunk_mut::<4>()? = ip.octets();
    Some(bytes)
}

/// Reads a `sockaddr_in`.
pub(super) fn from_sockaddr(bytes: &[u8]) -> Option<SocketAddr> {
    let (family, rest) = bytes.split_first_chunk::<2>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let ip = Ipv4Addr::from(*rest.first_chunk::<4>()?);
    let known = u16::from_ne_bytes(*family) == AF_INET && bytes.len() == SOCKADDR_BYTES;
    known.then(|| SocketAddr::new(IpAddr::V4(ip), u16::from_be_bytes(*port)))
}

pub(super) const SOCKADDR_BYTES: usize = 16;
const AF_INET: u16 = 2;

impl Encode for Mapping {
    fn encode(&self, to: &mut Encoder) -> Result<(), Error> {
        [self.program, self.version, self.protocol, self.port].iter().try_for_each(|word| to.put_u32(*word))
    }
}

impl Decode for Mapping {
    fn decode(from: &mut Decoder<'_>) -> Result<Mapping, Error> {
        Ok(Mapping {
            program: from.take_u32()?,
            version: from.take_u32()?,
            protocol: from.take_u32()?,
            port: from.take_u32()?,
        })
    }
}

impl Encode for Entry {
    fn encode(&self, to: &mut Encoder) -> Result<(), Error> {
        to.put_u32(self.program)?;
        to.put_u32(self.version)?;
        to.put_string(&self.netid, TEXT_BYTES_MAX)?;
        to.put_string(&self.address, TEXT_BYTES_MAX)?;
        to.put_string(&self.owner, TEXT_BYTES_MAX)
    }
}

impl Decode for Entry {
    fn decode(from: &mut Decoder<'_>) -> Result<Entry, Error> {
        Ok(Entry {
            program: from.take_u32()?,
            version: from.take_u32()?,
            netid: from.take_string(TEXT_BYTES_MAX)?.to_owned(),
            address: from.take_string(TEXT_BYTES_MAX)?.to_owned(),
            owner: from.take_string(TEXT_BYTES_MAX)?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn universal_addresses_are_read_as_they_are_written() {
        for (text, address) in [
            ("10.0.0.2.0.111", "10.0.0.2:111"),
            ("0.0.0.0.8.1", "0.0.0.0:2049"),
            ("::1.255.255", "[::1]:65535"),
        ] {
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(from_universal(text), Some(address));
            assert_eq!(universal(address), text);
        }
        for bad in
            ["", "1.2", "10.0.0.2", "10.0.0.2.0.256", "10.0.0.2.-1.1", "10.0.0.2.0.111.", "a.b.c.d.0.1"]
        {
            assert_eq!(from_universal(bad), None, "{bad}");
        }
        let address = SocketAddr::from(([10, 0, 0, 2], 111));
        assert_eq!(from_sockaddr(&to_sockaddr(address).unwrap()), Some(address));
        assert_eq!(from_sockaddr(&[0; 16]), None);
    }
}
