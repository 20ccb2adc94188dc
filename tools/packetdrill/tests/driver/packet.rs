//! TCP/IPv4 packets between bytes and a notation close to packetdrill's own.
//!
//! `FLAGS START:END [ack N] [win N] [urg N] [<options>]`, with flags of `S F R P . E W U`; sequence numbers count from each
//! side's initial one.

use std::net::Ipv4Addr;

pub const LOCAL: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 1);
pub const REMOTE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// What a packet says; sequence numbers as they are on the wire.
#[derive(Clone, Debug, Default)]
pub struct Packet {
    pub ports: (u16, u16),
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub window: u16,
    pub urgent: u16,
    pub options: Vec<TcpOption>,
    pub payload: Vec<u8>,
    /// The two ECN bits of the IP header.
    pub ecn: u8,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TcpOption {
    Nop,
    Mss(u16),
    Scale(u8),
    SackOk,
    Sack(Vec<(u32, u32)>),
    Timestamps(u32, u32),
}

/// Letters of the flags, from bit 0 on; ECE is E, CWR is W.
const LETTERS: [char; 8] = ['F', 'S', 'R', 'P', '.', 'U', 'E', 'W'];

pub fn parse_flags(text: &str) -> u8 {
    text.chars().map(|c| 1 << LETTERS.iter().position(|letter| *letter == c).expect("a flag")).sum()
}

pub fn show_flags(flags: u8) -> String {
    [1, 0, 2, 3, 7, 6, 5, 4].iter().filter(|bit| flags >> **bit & 1 == 1).map(|bit| LETTERS[*bit]).collect()
}

impl Packet {
    /// From the wire; the checksums have to be right.
    pub fn read(bytes: &[u8]) -> Packet {
        let word = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let long = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!((bytes[0], bytes[9]), (0x45, 6), "TCP over IPv4 without options");
        assert_eq!(usize::from(word(2)), bytes.len(), "total length");
        assert_eq!(sum(0, &bytes[..20]), 0xffff, "IP checksum");
        assert_eq!(sum(pseudo(bytes), &bytes[20..]), 0xffff, "TCP checksum");
        let data = 20 + usize::from(bytes[32] >> 4) * 4;
        Packet {
            ports: (word(20), word(22)),
            seq: long(24),
            ack: long(28),
            flags: bytes[33],
            window: word(34),
            urgent: word(38),
            options: read_options(&bytes[40..data]),
            payload: bytes[data..].to_vec(),
            ecn: bytes[1] & 3,
        }
    }

    /// For the wire, from `REMOTE` to `LOCAL`.
    pub fn write(&self) -> Vec<u8> {
        let mut options = Vec::new();
        for option in &self.options {
            match option {
                TcpOption::Nop => options.push(1),
                TcpOption::Mss(mss) => options.extend([&[2, 4][..], &mss.to_be_bytes()].concat()),
                TcpOption::Scale(scale) => options.extend([3, 3, *scale]),
                TcpOption::SackOk => options.extend([4, 2]),
                TcpOption::Sack(blocks) => {
                    options.extend([5, 2 + 8 * blocks.len() as u8]);
                    for (left, right) in blocks {
                        options.extend([left.to_be_bytes(), right.to_be_bytes()].concat());
                    }
                }
                TcpOption::Timestamps(value, echo) => {
                    options.extend([8, 10]);
                    options.extend([value.to_be_bytes(), echo.to_be_bytes()].concat());
                }
            }
        }
        options.resize(options.len().next_multiple_of(4), 0);
        let header = 20 + options.len();
        let total = (20 + header + self.payload.len()) as u16;
        let mut bytes = vec![0x45, self.ecn, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0];
        bytes[2..4].copy_from_slice(&total.to_be_bytes());
        bytes.extend(REMOTE.octets());
        bytes.extend(LOCAL.octets());
        let check = !sum(0, &bytes);
        bytes[10..12].copy_from_slice(&check.to_be_bytes());
        bytes.extend(self.ports.0.to_be_bytes());
        bytes.extend(self.ports.1.to_be_bytes());
        bytes.extend(self.seq.to_be_bytes());
        bytes.extend(self.ack.to_be_bytes());
        bytes.extend([(header as u8 / 4) << 4, self.flags]);
        bytes.extend(self.window.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(self.urgent.to_be_bytes());
        bytes.extend(options);
        bytes.extend(&self.payload);
        let check = !sum(pseudo(&bytes), &bytes[20..]);
        bytes[36..38].copy_from_slice(&check.to_be_bytes());
        bytes
    }
}

fn read_options(mut bytes: &[u8]) -> Vec<TcpOption> {
    let mut options = Vec::new();
    while let [kind, rest @ ..] = bytes {
        if *kind == 1 {
            options.push(TcpOption::Nop);
            bytes = rest;
            continue;
        }
        let (option, rest) = bytes.split_at(usize::from(bytes[1]));
        let long = |at: usize| u32::from_be_bytes(option[at..at + 4].try_into().unwrap());
        options.push(match *kind {
            2 => TcpOption::Mss(u16::from_be_bytes([option[2], option[3]])),
            3 => TcpOption::Scale(option[2]),
            4 => TcpOption::SackOk,
            5 => TcpOption::Sack((2..option.len()).step_by(8).map(|at| (long(at), long(at + 4))).collect()),
            8 => TcpOption::Timestamps(long(2), long(6)),
            kind => panic!("option {kind}"),
        });
        bytes = rest;
    }
    options
}

/// The sum of the pseudo-header.
fn pseudo(packet: &[u8]) -> u32 {
    let addresses = packet[12..20].chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    addresses.sum::<u32>() + 6 + (packet.len() - 20) as u32
}

fn sum(start: u32, bytes: &[u8]) -> u16 {
    let pairs = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum = start + pairs.sum::<u32>();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
