//! What is asked and answered on a control socket, and the frames of a netcat session.

use super::status::{Info, InterfaceRow, NeighbourRow, RouteRow, SocketRow, Status};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What a command asks a machine for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    /// How the machine is.
    Status,
    /// Its sockets and connections, with `TCP_INFO` where `info` is set.
    Sockets { info: bool },
    /// Its neighbour cache.
    Neighbours,
    /// To forget a neighbour, or all of them.
    Forget { address: Option<IpAddr> },
    /// Its routes.
    Routes,
    /// To add a route.
    RouteAdd { route: RouteSpec },
    /// To remove a route.
    RouteDelete { route: RouteSpec },
    /// One echo request with so many bytes.
    Ping { to: IpAddr, bytes: u16, timeout_ms: u32 },
    /// One datagram that may live for so many hops.
    Probe { to: IpAddr, port: u16, ttl: u8, timeout_ms: u32 },
    /// A connection, or datagrams to a peer.
    Connect { to: SocketAddr, udp: bool, timeout_ms: u32 },
    /// The programs that an address has registered with its rpcbind.
    RpcList { to: IpAddr, timeout_ms: u32 },
    /// A call of a program's procedure, as often as it says.
    RpcCall { call: RpcSpec, timeout_ms: u32 },
    /// The first connection to a port, or datagrams of the first sender.
    Listen { port: u16, udp: bool },
    /// To send a message to a box.
    MailSend {
        to: String,
        /// In hexadecimal.
        body: String,
        priority: u8,
        ttl_ms: Option<u32>,
        semantics: u8,
        tcp: bool,
        timeout_ms: u32,
    },
    /// To take a letter out of a box.
    MailRecv { from: String, tcp: bool, timeout_ms: u32 },
    /// A host's boxes.
    MailList { host: SocketAddr, tcp: bool, timeout_ms: u32 },
}

/// What a machine answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub(crate) enum Reply {
    /// It could not be done, and why.
    Failed {
        why: String,
    },
    /// It is done; so many things were concerned.
    Done {
        count: usize,
    },
    Status {
        status: Box<Status>,
    },
    Sockets {
        rows: Vec<SocketRow>,
        left_out: usize,
        infos: Vec<(usize, Info)>,
    },
    Neighbours {
        rows: Vec<NeighbourRow>,
    },
    Routes {
        rows: Vec<RouteRow>,
        interfaces: Vec<InterfaceRow>,
    },
    /// The answer to a ping; none came in time where there is no time.
    Pong {
        micros: Option<u64>,
        error: Option<String>,
    },
    /// What became of a probe: who answered, what, after how long.
    Probed {
        from: Option<IpAddr>,
        micros: u64,
        answer: ProbeAnswer,
    },
    RpcPrograms {
        rows: Vec<RpcRow>,
    },
    /// Calls were answered: how long each took, and the last one's results in hexadecimal.
    RpcCalled {
        micros: Vec<u64>,
        results: String,
    },
    /// A netcat session is open: frames follow, in both directions.
    Open {
        local: SocketAddr,
        peer: Option<SocketAddr>,
    },
    /// A letter, if one came in time.
    Letter {
        letter: Option<LetterRow>,
    },
    /// A host's boxes.
    Boxes {
        rows: Vec<BoxRow>,
    },
}

/// A letter that was taken out of a box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LetterRow {
    /// In hexadecimal.
    pub(crate) body: String,
    pub(crate) stream: u64,
    pub(crate) seq: u64,
    pub(crate) semantics: String,
    pub(crate) deliveries: u32,
    pub(crate) priority: u8,
    pub(crate) reply_to: Option<String>,
    pub(crate) death: Option<String>,
}

/// A box of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BoxRow {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) durable: bool,
    pub(crate) waiting: u64,
    pub(crate) handed_out: u64,
    pub(crate) readers: u64,
    pub(crate) accepted: u64,
    pub(crate) settled: u64,
    pub(crate) dead: u64,
}

/// A procedure to be called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RpcSpec {
    pub(crate) to: IpAddr,
    /// None asks rpcbind.
    pub(crate) port: Option<u16>,
    pub(crate) tcp: bool,
    pub(crate) program: u32,
    pub(crate) version: u32,
    pub(crate) procedure: u32,
    /// As XDR codes them, in hexadecimal.
    pub(crate) arguments: String,
    pub(crate) count: u32,
}

/// A program that an address has registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RpcRow {
    pub(crate) program: u32,
    pub(crate) version: u32,
    pub(crate) netid: String,
    pub(crate) address: String,
    pub(crate) owner: String,
}

/// What a traceroute's probe met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ProbeAnswer {
    /// Nothing, in time.
    Silence,
    /// A router on the way, where its hops ran out.
    Hop,
    /// The destination itself.
    Destination,
    /// Somebody who can't pass it on: `!N`, `!H`, `!X`, `!F` as traceroute marks them.
    Unreachable { mark: String },
}

/// A route as a user writes it: `10.1.0.0/16 via 10.0.0.9 dev tap0 metric 5`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteSpec {
    pub(crate) to: Ipv4Addr,
    pub(crate) prefix_len: u8,
    pub(crate) via: Option<Ipv4Addr>,
    pub(crate) dev: Option<String>,
    pub(crate) metric: Option<u32>,
}

impl RouteSpec {
    /// Reads the words of a route. Errors: which word is wrong, and what is expected.
    pub(crate) fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<RouteSpec, String> {
        let mut words = words.into_iter();
        let to = words.next().ok_or("a route begins with its destination: default, or 10.1.0.0/16")?;
        let (to, prefix_len) = parse_prefix(to)?;
        let mut route = RouteSpec { to, prefix_len, via: None, dev: None, metric: None };
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("nothing follows {word:?}"))?;
            match word {
                "via" => {
                    let via = value.parse().map_err(|_| format!("{value:?} is no IPv4 address"))?;
                    route.via = Some(via);
                }
                "dev" => route.dev = Some(value.to_owned()),
                "metric" => {
                    let metric = value.parse().map_err(|_| format!("{value:?} is no metric"))?;
                    route.metric = Some(metric);
                }
                _ => return Err(format!("{word:?} is not known in a route: it takes via, dev and metric")),
            }
        }
        Ok(route)
    }
}

/// `default`, `10.1.0.0/16` or a single address. Errors: what is wrong with it.
fn parse_prefix(text: &str) -> Result<(Ipv4Addr, u8), String> {
    if text == "default" {
        return Ok((Ipv4Addr::UNSPECIFIED, 0));
    }
    let wrong = || format!("{text:?} is no destination: write default, 10.1.0.0/16 or 10.1.2.3");
    let (address, len) = text.split_once('/').unwrap_or((text, "32"));
    let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
    let len: u8 = len.parse().ok().filter(|len| *len <= 32).ok_or_else(wrong)?;
    let network = tapstack::stack::Cidr::new(address, len).network();
    if network != address {
        return Err(format!("{text} has bits behind its prefix: did you mean {network}/{len}?"));
    }
    Ok((address, len))
}

/// A frame of a netcat session: a kind, a length of four bytes in network order, and so many bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A piece of the stream, or one datagram.
    Data(Vec<u8>),
    /// This direction has ended.
    End,
    /// It broke, and why. The last frame.
    Broken(String),
    /// Something to know: who connected.
    Note(String),
}

/// Bytes of a frame at most: a datagram fits.
pub(crate) const FRAME_BYTES_MAX: usize = 65_536;

impl Frame {
    /// Writes the frame.
    pub(crate) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let (kind, bytes) = match self {
            Frame::Data(bytes) => (DATA, bytes.as_slice()),
            Frame::End => (END, &[][..]),
            Frame::Broken(why) => (BROKEN, why.as_bytes()),
            Frame::Note(note) => (NOTE, note.as_bytes()),
        };
        let mut frame = Vec::with_capacity(5 + bytes.len());
        frame.push(kind);
        frame.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        frame.extend_from_slice(bytes);
        to.write_all(&frame)
    }

    /// Reads a frame; none at the end. Errors: those of the reader, `InvalidData` for what is no frame.
    pub(crate) fn read(from: &mut impl Read) -> io::Result<Option<Frame>> {
        let mut head = [0; 5];
        match from.read(&mut head[..1]) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Frame::read(from),
            Err(error) => return Err(error),
        }
        from.read_exact(&mut head[1..])?;
        let [kind, length @ ..] = head;
        let length = u32::from_be_bytes(length) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame that is too long"));
        }
        let mut bytes = vec![0; length];
        from.read_exact(&mut bytes)?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Some(match kind {
            DATA => Frame::Data(bytes),
            END => Frame::End,
            BROKEN => Frame::Broken(text(bytes)),
            NOTE => Frame::Note(text(bytes)),
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame of an unknown kind")),
        }))
    }
}

const DATA: u8 = 0;
const END: u8 = 1;
const BROKEN: u8 = 2;
const NOTE: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read_as_ip_route_has_them() {
        let words = |text: &str| RouteSpec::parse(text.split_whitespace());
        let route = words("10.1.0.0/16 via 10.0.0.9 dev tap0 metric 5").unwrap();
        assert_eq!((route.to, route.prefix_len), (Ipv4Addr::new(10, 1, 0, 0), 16));
        assert_eq!(route.via, Some(Ipv4Addr::new(10, 0, 0, 9)));
        assert_eq!((route.dev.as_deref(), route.metric), (Some("tap0"), Some(5)));
        assert_eq!(words("default via 10.0.0.1").unwrap().prefix_len, 0);
        assert_eq!(words("10.1.2.3 dev tap1").unwrap().prefix_len, 32);
        for (wrong, says) in [
            ("", "destination"),
            ("10.1.0.1/16 via 10.0.0.9", "did you mean 10.1.0.0/16"),
            ("10.1.0.0/33", "no destination"),
            ("default via", "nothing follows"),
            ("default via x", "no IPv4 address"),
            ("default over 10.0.0.1", "not known"),
        ] {
            let error = words(wrong).unwrap_err();
            assert!(error.contains(says), "{wrong}: {error}");
        }
    }

    #[test]
    fn frames_come_back_as_they_were_and_bad_ones_are_refused() {
        let frames =
            [Frame::Data(vec![1, 2, 3]), Frame::End, Frame::Broken("reset".into()), Frame::Note("hi".into())];
        let mut bytes = Vec::new();
        for frame in &frames {
            frame.write(&mut bytes).unwrap();
        }
        let mut reader = bytes.as_slice();
        for frame in &frames {
            assert_eq!(Frame::read(&mut reader).unwrap().as_ref(), Some(frame));
        }
        assert_eq!(Frame::read(&mut reader).unwrap(), None);
        for bad in [&[9, 0, 0, 0, 0][..], &[0, 0xff, 0, 0, 0], &[0, 0, 0, 0, 2, 1]] {
            assert!(Frame::read(&mut &bad[..]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn requests_are_one_line_of_json_and_nothing_unknown_is_taken() {
        let asked = Request::Ping { to: "10.0.0.1".parse().unwrap(), bytes: 56, timeout_ms: 1000 };
        let line = serde_json::to_string(&asked).unwrap();
        assert_eq!(line, r#"{"do":"ping","to":"10.0.0.1","bytes":56,"timeout_ms":1000}"#);
        assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), asked);
        for bad in ["", "{}", "[]", r#"{"do":"reboot"}"#, r#"{"do":"ping"}"#, r#"{"do":"forget","x":1}"#] {
            assert!(serde_json::from_str::<Request>(bad).is_err(), "{bad}");
        }
    }
}
