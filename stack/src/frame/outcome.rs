//! What became of a received frame: one named outcome each, and a name for every drop.

use crate::socket::SocketId;
use core::fmt;
use core::net::IpAddr;

/// What became of a frame that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Its data, or its news, went to a socket.
    Delivered {
        /// The socket.
        socket: SocketId,
    },
    /// It completed or advanced a TCP handshake.
    Handshake,
    /// It was a segment for a connection that no socket owns any more (closing, TIME-WAIT).
    Orphan,
    /// The stack itself learned from it (ARP replies, announcements, ICMP errors).
    Learned {
        /// From what.
        what: &'static str,
    },
    /// The stack itself answers it; the text says how ("echo reply", "RST", …).
    Answered {
        /// With what.
        with: &'static str,
    },
    /// It is passed on towards another machine.
    Forwarded {
        /// The next hop.
        next_hop: IpAddr,
    },
    /// It waits until the next hop's link address is known.
    Parked {
        /// The next hop.
        next_hop: IpAddr,
    },
    /// It is a fragment that waits for the others.
    Reassembling,
    /// It was dropped.
    Dropped(DropReason),
}

/// Declares [`DropReason`] with its texts, so that a name, its counter and its text can't drift apart.
macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// Why a frame, a packet or a segment was dropped. Each has a counter: see [`crate::stack::Counters`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum DropReason { $($(#[$doc])* $name,)* }

        impl DropReason {
            /// All reasons, in order.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$name,)*];

            /// The reason in words.
            pub const fn text(self) -> &'static str {
                match self { $(DropReason::$name => $text,)* }
            }
        }
    };
}

drop_reasons! {
    /// The frame is shorter than its medium's header.
    FrameTooShort => "frame too short",
    /// The frame's destination is another station's.
    NotForThisStation => "not for this station's link address",
    /// The EtherType is none that the stack speaks.
    UnknownEtherType => "unknown EtherType",
    /// The interface is down or unknown.
    InterfaceDown => "interface is down",
    /// ARP: malformed, or not Ethernet and IPv4.
    ArpMalformed => "malformed ARP packet",
    /// ARP: about an address that isn't ours, from one that we don't know.
    ArpNotForUs => "ARP about somebody else",
    /// ARP: a sender address that can't be (multicast, broadcast, zero).
    ArpBadSender => "ARP with an impossible sender",
    /// IPv4: shorter than it says, or header length below 20.
    IpMalformed => "malformed IPv4 header",
    /// IPv4: version isn't 4.
    IpBadVersion => "IP version is not 4",
    /// IPv4: header checksum is wrong.
    IpBadChecksum => "bad IPv4 header checksum",
    /// IPv4: a source address that can't be a source here (RFC 1122 section 3.2.1.3, RFC 6890).
    IpMartianSource => "martian source address",
    /// IPv4: a destination address that can't be one (RFC 6890).
    IpMartianDestination => "martian destination address",
    /// IPv4: for another machine, and forwarding is off.
    IpNotForUs => "not for this machine, and forwarding is off",
    /// IPv4: malformed or source-routed options.
    IpBadOptions => "bad or refused IPv4 options",
    /// IPv4: time to live is used up.
    TtlExpired => "time to live expired",
    /// IPv4: no route to the destination.
    NoRoute => "no route to the destination",
    /// IPv4: larger than the next link's MTU, and may not be fragmented.
    FragmentationNeeded => "larger than the link's MTU, and don't-fragment is set",
    /// IPv4: fragments that overlap (RFC 5722's lesson).
    FragmentOverlap => "fragments overlap",
    /// IPv4: a fragment that the reassembly has already.
    FragmentDuplicate => "duplicate fragment",
    /// IPv4: a fragment that no datagram can hold.
    FragmentMalformed => "malformed fragment",
    /// IPv4: too many datagrams or bytes wait for fragments.
    ReassemblyFull => "reassembly memory is full",
    /// IPv4: the other fragments didn't come in time.
    ReassemblyTimeout => "reassembly timed out",
    /// IPv4: no protocol of that number.
    UnknownProtocol => "unknown IP protocol",
    /// Neighbour: did not answer.
    NeighbourUnreachable => "next hop did not answer ARP",
    /// Neighbour: too many packets wait for one next hop.
    NeighbourQueueFull => "too many packets wait for the next hop",
    /// Neighbour: cache is full of entries that can't be evicted.
    NeighbourTableFull => "neighbour table is full",
    /// The interface's egress queue is full.
    EgressFull => "egress queue is full",
    /// The loopback's queue is full.
    LoopbackFull => "loopback queue is full",
    /// ICMP: malformed.
    IcmpMalformed => "malformed ICMP message",
    /// ICMP: checksum is wrong.
    IcmpBadChecksum => "bad ICMP checksum",
    /// ICMP: a type that the stack doesn't handle.
    IcmpUnknownType => "ICMP type is not handled",
    /// ICMP: an error that quotes nothing that we sent.
    IcmpUnmatched => "ICMP error that matches nothing of ours",
    /// ICMP: an echo reply that nobody waits for.
    IcmpUnasked => "echo reply that nobody waits for",
    /// ICMP: an echo request to a broadcast or multicast address (RFC 1122 section 3.2.2.6).
    IcmpBroadcastEcho => "echo request to a broadcast address",
    /// ICMP: an error may not be sent for this packet, or the rate limit is reached.
    IcmpSuppressed => "ICMP error suppressed",
    /// UDP: malformed.
    UdpMalformed => "malformed UDP datagram",
    /// UDP: checksum is wrong.
    UdpBadChecksum => "bad UDP checksum",
    /// UDP: no socket on that port.
    UdpNoPort => "no UDP socket on that port",
    /// UDP: the socket's receive buffer is full.
    UdpQueueFull => "UDP receive buffer is full",
    /// TCP: malformed.
    TcpMalformed => "malformed TCP segment",
    /// TCP: checksum is wrong.
    TcpBadChecksum => "bad TCP checksum",
    /// TCP: not unicast (RFC 9293 section 3.9.2.3).
    TcpNotUnicast => "TCP to or from a non-unicast address",
    /// TCP: no connection and no listener (a RST answers, unless it was one).
    TcpNoListener => "no TCP listener on that port",
    /// TCP: a RST for nothing.
    TcpStrayRst => "RST for no connection",
    /// TCP: sequence number outside the window.
    TcpOutOfWindow => "outside the receive window",
    /// TCP: an old timestamp (PAWS, RFC 7323).
    TcpPaws => "old timestamp (PAWS)",
    /// TCP: acknowledges what was never sent, or long ago.
    TcpBadAck => "acknowledges what was never sent",
    /// TCP: no ACK bit where one is needed.
    TcpNoAck => "no ACK bit",
    /// TCP: the listener's queues are full.
    TcpBacklogFull => "listen backlog is full",
    /// TCP: an invalid SYN cookie.
    TcpBadCookie => "invalid SYN cookie",
    /// TCP: a forbidden set of flags.
    TcpBadFlags => "impossible flags",
    /// TCP: data after the receiver closed.
    TcpAfterClose => "data after close",
    /// TCP: a SYN inside an open connection (RFC 5961 section 4).
    TcpSynInWindow => "SYN in an open connection",
    /// TCP: a RST that isn't exact (RFC 5961 section 3).
    TcpRstNotExact => "RST is not at the left window edge",
    /// TCP: out-of-order memory is full.
    TcpReassemblyFull => "out-of-order queue is full",
    /// TCP: the receive buffer is full.
    TcpReceiveFull => "receive buffer is full",
    /// TCP: all of its data was here already.
    TcpDuplicate => "all data was received before",
    /// TCP: the stack's memory limit is reached.
    TcpMemoryFull => "memory limit is reached",
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Delivered { socket } => write!(f, "delivered to socket {socket}"),
            Outcome::Handshake => write!(f, "part of a handshake"),
            Outcome::Orphan => write!(f, "for a connection that is being closed"),
            Outcome::Learned { what } => write!(f, "learned from {what}"),
            Outcome::Answered { with } => write!(f, "answered with {with}"),
            Outcome::Forwarded { next_hop } => write!(f, "forwarded to {next_hop}"),
            Outcome::Parked { next_hop } => write!(f, "parked until {next_hop} is resolved"),
            Outcome::Reassembling => write!(f, "waits for the other fragments"),
            Outcome::Dropped(reason) => write!(f, "dropped: {reason}"),
        }
    }
}
