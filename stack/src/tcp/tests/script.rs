//! A small language for TCP tests: segments in, calls, times, and the segments that have to come out.
//!
//! A segment is written `FLAGS SEQ[:END] [ack N] [win N] [urg N] [<options>]`, with sequence numbers relative to each side's
//! initial one: `S 0 <mss 1460,sackOK>`, `S. 0 ack 1`, `P. 1:11 ack 1 win 100`, `. 1 ack 11 <sack 21:31>`. What an expected
//! segment doesn't mention is not compared, except that options are compared when any are written (`<>` for none).

use crate::frame::{Outcome, RxFrame, TxFrame};
use crate::socket::{Errno, RecvFlags, SendFlags, SocketId, SocketKind, TcpInfo, TcpState};
use crate::socket::{OptionName, SocketOption};
use crate::stack::{Cidr, Config, InterfaceConfig, InterfaceId, MacAddr, Medium, Offloads, Stack};
use crate::time::{Duration, Instant};
use crate::wire::checksum::Sum;
use crate::wire::tcp::{Flags, Header};
use crate::wire::tcp_options::{TcpOptions, Timestamps};
use bytes::Bytes;
use core::net::{Ipv4Addr, SocketAddr};
use std::fmt::Write as _;

pub(super) const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(super) const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
pub(super) const OUR_PORT: u16 = 8080;
pub(super) const PEER_PORT: u16 = 40_000;

/// A stack on a bare IP link, and a peer that the test plays.
pub(super) struct Script {
    pub(super) stack: Stack,
    pub(super) now: Instant,
    pub(super) interface: InterfaceId,
    /// Our initial sequence number, seen in the first SYN that came out; the peer's, chosen.
    iss: Option<u32>,
    pub(super) irs: u32,
    our_port: u16,
    /// The last timestamp that came out; the peer's clock.
    pub(super) last_value: u32,
    /// What the peer's window field holds unless a segment says otherwise.
    pub(super) window: u16,
    /// The peer puts timestamps on what it sends, with this offset to the clock in milliseconds.
    pub(super) timestamps: Option<u32>,
    /// What acknowledgements of the peer's are relative to, where it isn't our first initial sequence number.
    pub(super) ack_base: Option<u32>,
    /// The packet that came out last.
    pub(super) last_packet: Vec<u8>,
}

/// An IPv4 packet with a sound header.
fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let total = (20 + payload.len()) as u16;
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0];
    packet[2..4].copy_from_slice(&total.to_be_bytes());
    packet.extend(from.octets());
    packet.extend(to.octets());
    let sum = Sum::default().bytes(&packet).checksum();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(payload);
    packet
}

impl Script {
    pub(super) fn new() -> Script {
        Script::with(Config { seed: 7, ..Config::default() })
    }

    pub(super) fn with(config: Config) -> Script {
        Script::over(config, Offloads::default())
    }

    /// A stack on a link that does so much for it.
    pub(super) fn over(config: Config, offloads: Offloads) -> Script {
        let now = Instant::from_millis(1_000_000);
        let mut stack = Stack::new(now, config);
        let interface = stack
            .add_interface(
                now,
                InterfaceConfig {
                    name: "ip0".into(),
                    medium: Medium::Ip,
                    mac: MacAddr::default(),
                    mtu: 1_500,
                    addresses: vec![Cidr { address: OURS, prefix_len: 24 }],
                    offloads,
                },
            )
            .unwrap();
        Script {
            stack,
            now,
            interface,
            iss: None,
            irs: 5_000_000,
            our_port: OUR_PORT,
            last_value: 0,
            window: 65_535,
            timestamps: None,
            ack_base: None,
            last_packet: Vec::new(),
        }
    }

    /// A socket that listens on [`OUR_PORT`].
    pub(super) fn listener(&mut self, backlog: usize) -> SocketId {
        let socket = self.stack.socket(SocketKind::Stream).unwrap();
        self.stack.bind(socket, SocketAddr::from((OURS, OUR_PORT))).unwrap();
        self.stack.listen(self.now, socket, backlog).unwrap();
        socket
    }

    /// A socket that was accepted: the handshake is done without options but an MSS of 1,460 and those given.
    pub(super) fn accepted(&mut self, options: &str) -> SocketId {
        let listener = self.listener(8);
        let separator = if options.is_empty() { "" } else { "," };
        self.inject(&format!("S 0 <mss 1460{separator}{options}>"));
        let synack = self.pull().expect("a SYN-ACK");
        assert!(synack.starts_with("S. 0 ack 1"), "{synack}");
        self.inject(". 1 ack 1");
        self.quiet();
        self.stack.accept(self.now, listener).unwrap().0
    }

    /// A socket that connects to the peer; the SYN has not been pulled yet.
    pub(super) fn connecting(&mut self) -> SocketId {
        let socket = self.stack.socket(SocketKind::Stream).unwrap();
        assert_eq!(
            self.stack.connect(self.now, socket, SocketAddr::from((PEER, PEER_PORT))),
            Err(Errno::EINPROGRESS)
        );
        self.our_port = self.stack.local_addr(socket).unwrap().port();
        socket
    }

    pub(super) fn inject(&mut self, segment: &str) -> Outcome {
        self.inject_from(PEER_PORT, segment)
    }

    /// A segment of the peer's, from one of its ports; each is a batch of its own.
    pub(super) fn inject_from(&mut self, port: u16, segment: &str) -> Outcome {
        let outcome = self.inject_without_end(port, segment);
        self.stack.end_batch(self.now);
        outcome
    }

    pub(super) fn inject_without_end(&mut self, port: u16, segment: &str) -> Outcome {
        let packet = self.packet(PEER, OURS, port, segment);
        self.stack.handle_frame(self.now, self.interface, RxFrame::new(packet))
    }

    /// Any packet, as a batch of its own.
    pub(super) fn inject_bytes(&mut self, packet: Vec<u8>) -> Outcome {
        let outcome = self.stack.handle_frame(self.now, self.interface, RxFrame::new(packet));
        self.stack.end_batch(self.now);
        outcome
    }

    /// The packet that carries a segment between two addresses.
    pub(super) fn packet(&self, from: Ipv4Addr, to: Ipv4Addr, port: u16, segment: &str) -> Vec<u8> {
        let (header, len) = self.parse(port, segment);
        let mut frame = TxFrame::default();
        if len > 0 {
            let from = header.seq.wrapping_sub(self.irs);
            frame.payload.push((0..len as u32).map(|i| pattern(from.wrapping_add(i))).collect::<Bytes>());
        }
        header.emit(&mut frame, from.into(), to.into(), false);
        ipv4(from, to, 6, &frame.to_vec())
    }

    /// An ICMP error of a router's about the packet that was pulled last.
    pub(super) fn inject_icmp(&mut self, kind: u8, code: u8, mtu: u16) -> Outcome {
        let quote = &self.last_packet[..self.last_packet.len().min(60)];
        let mut message = vec![kind, code, 0, 0, 0, 0];
        message.extend(mtu.to_be_bytes());
        message.extend(quote);
        let sum = Sum::default().bytes(&message).checksum();
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let packet = ipv4(Ipv4Addr::new(192, 0, 2, 254), OURS, 1, &message);
        self.inject_bytes(packet)
    }

    /// The next segment that comes out, in words; none if the stack is silent.
    pub(super) fn pull(&mut self) -> Option<String> {
        let mut frame = TxFrame::default();
        if !self.stack.poll_transmit(self.now, self.interface, &mut frame) {
            return None;
        }
        let bytes = frame.to_vec();
        self.last_packet = bytes.clone();
        let (header, payload_at) = Header::parse(&bytes[20..]).expect("we send sound segments");
        assert_eq!(bytes[9], 6, "TCP");
        if header.flags.syn() {
            self.iss.get_or_insert(header.seq);
        }
        let payload = &bytes[20 + payload_at..];
        let from = header.seq.wrapping_sub(self.iss.unwrap_or(0));
        for (i, byte) in payload.iter().enumerate() {
            assert_eq!(*byte, pattern(from.wrapping_add(i as u32)), "payload byte {i}");
        }
        if let Some(timestamps) = header.options.timestamps {
            self.last_value = timestamps.value;
        }
        Some(self.describe(&header, payload.len()))
    }

    /// The next segment has to be this one.
    #[track_caller]
    pub(super) fn expect(&mut self, segment: &str) {
        let got = self.pull().unwrap_or_else(|| panic!("expected {segment}, but nothing came out"));
        let want = normalise(segment);
        let comparable = project(&got, &want);
        assert_eq!(comparable, want, "all of it: {got}");
    }

    /// Nothing comes out.
    #[track_caller]
    pub(super) fn quiet(&mut self) {
        if let Some(segment) = self.pull() {
            panic!("unexpected {segment}");
        }
    }

    /// Time passes; deadlines are served on their way, and nothing may come out before the end.
    #[track_caller]
    pub(super) fn wait_quietly(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.stack.poll_timeout().filter(|at| *at < end) {
            self.now = self.now.max(at);
            self.stack.handle_timeout(self.now);
            self.quiet();
        }
        self.now = end;
        self.stack.handle_timeout(self.now);
    }

    /// Waits until something comes out, at most `limit`; returns when and what.
    pub(super) fn wait_for_segment(&mut self, limit: Duration) -> Option<(Duration, String)> {
        let start = self.now;
        loop {
            if let Some(segment) = self.pull() {
                return Some((self.now - start, segment));
            }
            let at = self.stack.poll_timeout().filter(|at| *at <= start + limit)?;
            self.now = self.now.max(at);
            self.stack.handle_timeout(self.now);
        }
    }

    pub(super) fn send(&mut self, socket: SocketId, len: usize) -> Result<usize, Errno> {
        let queued = match self.stack.option(socket, OptionName::OutQueue) {
            Ok(SocketOption::OutQueue(queued)) => queued as u64,
            other => panic!("{other:?}"),
        };
        let from = 1 + self.info(socket).bytes_acked + queued;
        let data: Vec<u8> = (0..len as u64).map(|i| pattern((from + i) as u32)).collect();
        self.stack.send(self.now, socket, &data, SendFlags::default())
    }

    /// Reads up to `len` bytes and checks that they are the stream's, from `from` on.
    #[track_caller]
    pub(super) fn recv(&mut self, socket: SocketId, len: usize) -> Result<usize, Errno> {
        let mut buffer = vec![0; len];
        self.stack.recv(self.now, socket, &mut buffer, RecvFlags::default())
    }

    pub(super) fn info(&self, socket: SocketId) -> TcpInfo {
        match self.stack.option(socket, OptionName::Info) {
            Ok(SocketOption::Info(info)) => *info,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn state(&self, socket: SocketId) -> TcpState {
        self.info(socket).state
    }

    fn parse(&self, port: u16, segment: &str) -> (Header, usize) {
        let mut words = segment.split_whitespace();
        let mut header = Header {
            src_port: port,
            dst_port: self.our_port,
            flags: parse_flags(words.next().unwrap()),
            window: self.window,
            ..Header::default()
        };
        let range = words.next().unwrap();
        let (start, end) = range.split_once(':').unwrap_or((range, range));
        let (start, end): (i64, i64) = (start.parse().unwrap(), end.parse().unwrap());
        header.seq = self.irs.wrapping_add(start as u32);
        let (mut options, mut next) = (String::new(), words.next());
        while let Some(word) = next {
            match word {
                "ack" => {
                    let ack: i64 = words.next().unwrap().parse().unwrap();
                    let base = self.ack_base.or(self.iss).unwrap_or(0);
                    header.ack = base.wrapping_add(ack as u32);
                }
                "win" => header.window = words.next().unwrap().parse().unwrap(),
                "urg" => header.urgent = words.next().unwrap().parse().unwrap(),
                word => write!(options, " {word}").unwrap(),
            }
            next = words.next();
        }
        header.options = self.parse_options(options.trim());
        if let Some(offset) = self.timestamps
            && header.options.timestamps.is_none()
        {
            let value = (self.now.as_millis() as u32).wrapping_add(offset);
            header.options.timestamps = Some(Timestamps { value, echo: self.last_value });
        }
        (header, (end - start) as usize)
    }

    fn parse_options(&self, text: &str) -> TcpOptions {
        let mut options = TcpOptions::default();
        let inner = text.trim_start_matches('<').trim_end_matches('>');
        for option in inner.split(',').map(str::trim).filter(|option| !option.is_empty()) {
            let words: Vec<&str> = option.split_whitespace().collect();
            match words[..] {
                ["mss", mss] => options.mss = Some(mss.parse().unwrap()),
                ["wscale", scale] => options.window_scale = Some(scale.parse().unwrap()),
                ["sackOK"] => options.sack_permitted = true,
                ["TS", value, echo] => {
                    let echo = if echo == "last" { self.last_value } else { echo.parse().unwrap() };
                    options.timestamps = Some(Timestamps { value: value.parse().unwrap(), echo });
                }
                ["sack", ref blocks @ ..] => {
                    for block in blocks {
                        let (left, right) = block.split_once(':').unwrap();
                        let iss = self.iss.unwrap_or(0);
                        let at = |text: &str| iss.wrapping_add(text.parse::<u32>().unwrap());
                        options.sack.push((at(left), at(right)));
                    }
                }
                _ => panic!("option {option}"),
            }
        }
        options
    }

    fn describe(&self, header: &Header, len: usize) -> String {
        let seq = header.seq.wrapping_sub(self.iss.unwrap_or(0)) as i32;
        let mut text = describe_flags(header.flags);
        let range = if len > 0 { format!(" {seq}:{}", seq + len as i32) } else { format!(" {seq}") };
        text += &range;
        if header.flags.ack() {
            write!(text, " ack {}", header.ack.wrapping_sub(self.irs) as i32).unwrap();
        }
        write!(text, " win {}", header.window).unwrap();
        if header.flags.urg() {
            write!(text, " urg {}", header.urgent).unwrap();
        }
        let options = &header.options;
        let mut list = Vec::new();
        list.extend(options.mss.map(|mss| format!("mss {mss}")));
        list.extend(options.sack_permitted.then(|| "sackOK".to_string()));
        list.extend(options.timestamps.map(|ts| format!("TS {} {}", ts.value, ts.echo)));
        list.extend(options.window_scale.map(|scale| format!("wscale {scale}")));
        if !options.sack.is_empty() {
            let blocks: Vec<String> = options
                .sack
                .iter()
                .map(|(l, r)| format!("{}:{}", l.wrapping_sub(self.irs), r.wrapping_sub(self.irs)))
                .collect();
            list.push(format!("sack {}", blocks.join(" ")));
        }
        write!(text, " <{}>", list.join(",")).unwrap();
        text
    }
}

/// The stream's byte at a relative sequence number: both sides send this.
pub(super) fn pattern(at: u32) -> u8 {
    (at.wrapping_mul(31) % 251) as u8
}

const FLAG_LETTERS: [(Flags, char); 8] = [
    (Flags::SYN, 'S'),
    (Flags::FIN, 'F'),
    (Flags::RST, 'R'),
    (Flags::PSH, 'P'),
    (Flags::URG, 'U'),
    (Flags::ECE, 'E'),
    (Flags::CWR, 'W'),
    (Flags::ACK, '.'),
];

fn parse_flags(text: &str) -> Flags {
    let mut flags = Flags::default();
    for letter in text.chars().filter(|letter| *letter != '-') {
        let (flag, _) = FLAG_LETTERS.iter().find(|(_, l)| *l == letter).expect("a flag's letter");
        flags |= *flag;
    }
    flags
}

fn describe_flags(flags: Flags) -> String {
    FLAG_LETTERS.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, letter)| *letter).collect()
}

fn normalise(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Leaves out of `got` what `want` doesn't mention.
fn project(got: &str, want: &str) -> String {
    let mut text = got.to_string();
    for field in [" win ", " urg "] {
        if !want.contains(field)
            && let Some(at) = text.find(field)
        {
            let end = text[at + 5..].find(' ').map_or(text.len(), |len| at + 5 + len);
            text.replace_range(at..end, "");
        }
    }
    if !want.contains('<')
        && let Some(at) = text.find(" <")
    {
        text.truncate(at);
    }
    text
}
