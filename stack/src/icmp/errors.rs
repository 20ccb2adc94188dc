//! What ICMP errors mean to sockets and to people.

use super::IcmpErrorKind;
use crate::socket::Errno;
use core::fmt;

impl IcmpErrorKind {
    /// The error that a connected socket gets (RFC 1122 section 4.1.3.3, with Linux's choice of names).
    pub const fn errno(self) -> Errno {
        match self {
            IcmpErrorKind::NetUnreachable => Errno::ENETUNREACH,
            IcmpErrorKind::PortUnreachable => Errno::ECONNREFUSED,
            IcmpErrorKind::FragmentationNeeded { .. } => Errno::EMSGSIZE,
            IcmpErrorKind::ProtocolUnreachable => Errno::ENOPROTOOPT,
            IcmpErrorKind::ParameterProblem => Errno::EPROTO,
            IcmpErrorKind::HostUnreachable | IcmpErrorKind::Prohibited | IcmpErrorKind::TimeExceeded => {
                Errno::EHOSTUNREACH
            }
        }
    }
}

impl fmt::Display for IcmpErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IcmpErrorKind::NetUnreachable => "network unreachable",
            IcmpErrorKind::HostUnreachable => "host unreachable",
            IcmpErrorKind::ProtocolUnreachable => "protocol unreachable",
            IcmpErrorKind::PortUnreachable => "port unreachable",
            IcmpErrorKind::FragmentationNeeded { mtu } => {
                return write!(f, "fragmentation needed, the next link carries {mtu} bytes");
            }
            IcmpErrorKind::Prohibited => "prohibited",
            IcmpErrorKind::TimeExceeded => "time exceeded",
            IcmpErrorKind::ParameterProblem => "parameter problem",
        })
    }
}
