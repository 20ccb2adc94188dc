//! What boxes are called: names, and `box@host` addresses.

use std::borrow::Borrow;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

/// Where mailboxes are served, over UDP and over TCP.
pub const PORT: u16 = 7810;

/// Bytes of a box's name at most.
pub const NAME_BYTES_MAX: usize = 64;

/// Bytes of an address as text at most: a name, `@`, an IPv6 address in brackets, a port.
pub const ADDRESS_BYTES_MAX: usize = NAME_BYTES_MAX + 56;

/// The name of a box: 1 to [`NAME_BYTES_MAX`] letters, digits, `.`, `_` and `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BoxName(Arc<str>);

/// A box on a machine: `jobs@10.0.0.2`, or `jobs@10.0.0.2:7811` where it isn't [`PORT`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The box.
    pub name: BoxName,
    /// Where its host serves.
    pub host: SocketAddr,
}

/// Why a text is no name or no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadAddress(String);

impl BoxName {
    /// A name from its text. Errors: what is wrong with it.
    pub fn new(text: &str) -> Result<BoxName, BadAddress> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.bytes().all(good) {
            return Err(BadAddress(format!(
                "{text:?} is no name of a box: it takes 1 to {NAME_BYTES_MAX} letters, digits, '.', '_' and '-'"
            )));
        }
        Ok(BoxName(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BoxName {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<BoxName, BadAddress> {
        BoxName::new(text)
    }
}

impl Borrow<str> for BoxName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BoxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for BoxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl Address {
    /// A box of a machine that serves at [`PORT`].
    pub fn new(name: BoxName, host: Ipv4Addr) -> Address {
        Address { name, host: SocketAddr::from((host, PORT)) }
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Address, BadAddress> {
        let (name, host) = text.split_once('@').ok_or_else(|| {
            BadAddress(format!("{text:?} is no address of a box: write box@host, such as jobs@10.0.0.2"))
        })?;
        let name = BoxName::new(name)?;
        let host = match (host.parse(), host.parse()) {
            (Ok(ip), _) => SocketAddr::new(ip, PORT),
            (_, Ok(host)) => host,
            _ => return Err(BadAddress(format!("{host:?} is no host: write its address, or address:port"))),
        };
        Ok(Address { name, host })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.port() {
            PORT => write!(f, "{}@{}", self.name, self.host.ip()),
            _ => write!(f, "{}@{}", self.name, self.host),
        }
    }
}

impl fmt::Display for BadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadAddress {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for text in ["jobs@10.0.0.2", "a.b-c_D9@10.0.0.2:7811", "x@[fe80::1]:99"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("x@10.0.0.2".parse::<Address>().unwrap().host.port(), PORT);
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for bad in [
            "",
            "x",
            "@10.0.0.2",
            "x@",
            "x@host",
            "x y@10.0.0.2",
            "x@10.0.0.2:99999",
            &format!("{long}@10.0.0.2"),
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_longest_address_fits() {
        let name = BoxName::new(&"x".repeat(NAME_BYTES_MAX)).unwrap();
        let host = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap();
        assert!(Address { name, host }.to_string().len() <= ADDRESS_BYTES_MAX);
    }
}
