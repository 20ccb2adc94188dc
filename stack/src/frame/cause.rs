//! Why a frame was sent: fixed when the frame is decided, carried beside it, printed into captures.

use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

/// Why a frame exists: one primary reason, and what rides along with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// The primary reason.
    pub kind: CauseKind,
    /// What rides along.
    pub riders: Riders,
}

impl From<CauseKind> for Cause {
    fn from(kind: CauseKind) -> Cause {
        Cause { kind, riders: Riders::default() }
    }
}

/// What rides along with a frame's primary reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Riders {
    /// A FIN: the application has closed its side.
    pub fin: bool,
    /// An acknowledgement that was due anyway.
    pub ack: bool,
    /// PSH: the last bytes of a write burst.
    pub push: bool,
    /// ECE: congestion was signalled to us.
    pub ece: bool,
    /// CWR: we reduced our window.
    pub cwr: bool,
    /// SACK blocks: data is waiting out of order.
    pub sack: bool,
}

/// The primary reason of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CauseKind {
    /// No reason was given: a frame that is still being made.
    #[default]
    Unset,
    /// An ARP packet.
    Arp(ArpWhy),
    /// A reply to an ICMP echo request.
    EchoReply,
    /// An ICMP echo request that a program asked for.
    EchoRequest,
    /// An ICMP error about a packet that came in; the text names it ("port unreachable", …).
    IcmpError {
        /// What the error says.
        what: &'static str,
    },
    /// A datagram that a program sent.
    Datagram,
    /// A fragment of a datagram that exceeds the link's MTU.
    Fragment {
        /// Where the fragment's data lies in the datagram, in bytes.
        offset: u16,
        /// Whether more fragments follow.
        more: bool,
    },
    /// A packet of somebody else's that this machine passes on.
    Forwarded,
    /// TCP: the first segment of an active open.
    Syn {
        /// How often it was sent before.
        retries: u8,
    },
    /// TCP: the answer to a SYN.
    SynAck {
        /// How often it was sent before.
        retries: u8,
        /// Whether the state is in the sequence number (a SYN cookie, RFC 4987).
        cookie: bool,
    },
    /// TCP: new data.
    Data,
    /// TCP: a FIN without data.
    Fin,
    /// TCP: data or a FIN that was sent before.
    Retransmit(RetransmitWhy),
    /// TCP: a segment without data that acknowledges.
    Ack(AckWhy),
    /// TCP: a probe into a zero window.
    WindowProbe {
        /// How often it was sent before.
        retries: u8,
    },
    /// TCP: an idle connection is asked whether the peer is still there.
    KeepAlive {
        /// How often it was sent before.
        retries: u8,
    },
    /// TCP: a packet that is larger than the known path MTU (RFC 4821).
    MtuProbe {
        /// The payload that is tried, in bytes.
        size: u16,
    },
    /// TCP: a reset; the text says what for.
    Reset {
        /// What was wrong.
        why: &'static str,
    },
}

/// Why an ARP packet was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArpWhy {
    /// Asking for the link address of a next hop.
    Request {
        /// The next hop.
        next_hop: IpAddr,
        /// How often it was asked before.
        retries: u8,
    },
    /// Asking a known neighbour whether it is still there.
    Probe {
        /// The neighbour.
        next_hop: IpAddr,
        /// How often it was asked before.
        retries: u8,
    },
    /// Answering somebody's request.
    Reply,
    /// Telling the link which address is ours (gratuitous ARP, RFC 5227 section 2.3).
    Announce,
    /// Somebody else used our address (RFC 5227 section 2.4).
    Defend,
}

/// Why TCP sent something again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetransmitWhy {
    /// Three duplicate ACKs, or their worth of SACKed data (RFC 5681, RFC 6675).
    Fast,
    /// A partial ACK in NewReno recovery (RFC 6582).
    PartialAck,
    /// A segment sent later was delivered, and the reordering window has passed (RFC 8985).
    Rack,
    /// A tail loss probe (RFC 8985 section 7).
    TailLossProbe,
    /// The retransmission timer ran out (RFC 6298).
    Timeout {
        /// The time-out that ran out.
        rto: Duration,
        /// How often it ran out in a row, this one included.
        backoff: u8,
    },
    /// More of what the last time-out declared lost.
    AfterTimeout,
    /// The path's MTU shrank (RFC 1191).
    PathMtu,
}

/// Why TCP sent an ACK now, by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AckWhy {
    /// It completes the handshake.
    Handshake,
    /// Two full segments, or a whole batch, are in.
    EverySecond,
    /// The connection is young: acknowledge at once.
    Quick,
    /// The delayed-ACK timer ran out.
    Delayed,
    /// Data arrived out of order: a duplicate ACK.
    OutOfOrder,
    /// Data arrived that was here already.
    Duplicate,
    /// A hole was filled.
    FilledHole,
    /// The receive window opened.
    WindowUpdate,
    /// A FIN came.
    Fin,
    /// An answer to a window probe or keep-alive.
    ProbeAnswer,
    /// A challenge ACK (RFC 5961).
    Challenge,
    /// An unacceptable segment (RFC 9293 section 3.10.7.4).
    Unacceptable,
    /// TIME-WAIT answers a retransmitted FIN.
    TimeWait,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        let riders = &self.riders;
        for (set, name) in [
            (riders.fin, "FIN"),
            (riders.push, "PSH"),
            (riders.ece, "ECE"),
            (riders.cwr, "CWR"),
            (riders.sack, "SACK"),
        ] {
            if set {
                write!(f, " +{name}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for CauseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CauseKind::Unset => write!(f, "no cause given"),
            CauseKind::Arp(why) => why.fmt(f),
            CauseKind::EchoReply => write!(f, "answers an echo request"),
            CauseKind::EchoRequest => write!(f, "a program pings"),
            CauseKind::IcmpError { what } => write!(f, "reports an error: {what}"),
            CauseKind::Datagram => write!(f, "a program's datagram"),
            CauseKind::Fragment { offset, more } => {
                write!(f, "fragment at byte {offset}{}", if *more { ", more follow" } else { ", the last" })
            }
            CauseKind::Forwarded => write!(f, "forwarded for somebody else"),
            CauseKind::Syn { retries: 0 } => write!(f, "opens a connection"),
            CauseKind::Syn { retries } => write!(f, "opens a connection, try {}", retries + 1),
            CauseKind::SynAck { cookie: true, .. } => write!(f, "accepts a connection with a SYN cookie"),
            CauseKind::SynAck { retries: 0, .. } => write!(f, "accepts a connection"),
            CauseKind::SynAck { retries, .. } => write!(f, "accepts a connection, try {}", retries + 1),
            CauseKind::Data => write!(f, "new data"),
            CauseKind::Fin => write!(f, "the application closed its side"),
            CauseKind::Retransmit(why) => write!(f, "retransmission: {why}"),
            CauseKind::Ack(why) => write!(f, "ACK: {why}"),
            CauseKind::WindowProbe { retries } => write!(f, "zero-window probe {}", retries + 1),
            CauseKind::KeepAlive { retries } => write!(f, "keep-alive probe {}", retries + 1),
            CauseKind::MtuProbe { size } => write!(f, "path MTU probe of {size} bytes"),
            CauseKind::Reset { why } => write!(f, "reset: {why}"),
        }
    }
}

impl fmt::Display for ArpWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArpWhy::Request { next_hop, retries: 0 } => write!(f, "asks who has next hop {next_hop}"),
            ArpWhy::Request { next_hop, retries } => {
                write!(f, "asks who has next hop {next_hop}, try {}", retries + 1)
            }
            ArpWhy::Probe { next_hop, .. } => write!(f, "checks that neighbour {next_hop} is still there"),
            ArpWhy::Reply => write!(f, "answers an ARP request"),
            ArpWhy::Announce => write!(f, "announces its own address"),
            ArpWhy::Defend => write!(f, "defends its address against another user of it"),
        }
    }
}

impl fmt::Display for RetransmitWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RetransmitWhy::Fast => write!(f, "fast, after duplicate ACKs"),
            RetransmitWhy::PartialAck => write!(f, "a partial ACK shows the next hole"),
            RetransmitWhy::Rack => write!(f, "RACK, a later segment was delivered"),
            RetransmitWhy::TailLossProbe => write!(f, "tail loss probe"),
            RetransmitWhy::Timeout { rto, backoff } => {
                write!(f, "time-out {backoff} after {} ms", rto.as_millis())
            }
            RetransmitWhy::AfterTimeout => write!(f, "lost before the time-out"),
            RetransmitWhy::PathMtu => write!(f, "the path's MTU shrank"),
        }
    }
}

impl fmt::Display for AckWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AckWhy::Handshake => "completes the handshake",
            AckWhy::EverySecond => "two segments or a batch came in",
            AckWhy::Quick => "at once, the connection is young",
            AckWhy::Delayed => "the delayed-ACK timer ran out",
            AckWhy::OutOfOrder => "duplicate, data came out of order",
            AckWhy::Duplicate => "data came again",
            AckWhy::FilledHole => "a hole was filled",
            AckWhy::WindowUpdate => "window update",
            AckWhy::Fin => "a FIN came",
            AckWhy::ProbeAnswer => "answers a probe",
            AckWhy::Challenge => "challenge",
            AckWhy::Unacceptable => "answers an unacceptable segment",
            AckWhy::TimeWait => "TIME-WAIT answers a repeated FIN",
        })
    }
}
