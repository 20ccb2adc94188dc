//! Reads a pcapng back into records. The parser is behind this one door: it leaves padding in data and options.

use super::pcapng::Direction;
use pcap_parser::pcapng::{Block, parse_block_be, parse_block_le};
use pcap_parser::{Linktype, OptionCode, PcapNGOption};
use std::fmt;
use std::sync::Arc;

/// A captured packet, and what was written beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The interface's name; `ifN` for one without.
    pub interface: Arc<str>,
    /// What its bytes start with.
    pub link: LinkType,
    /// Nanoseconds since 1970.
    pub unix_nanos: u64,
    /// Which way it went, if that was recorded.
    pub direction: Option<Direction>,
    /// The same number on all of the packet's records; 0 for none.
    pub packet_id: u64,
    /// Whether a verdict says that it was dropped.
    pub dropped: bool,
    /// Comments, each on a line of its own: our captures' first is the cause or the outcome.
    pub comment: String,
    /// Bytes on the wire; more than were recorded if the record was cut.
    pub original_len: usize,
    /// The recorded bytes.
    pub bytes: Vec<u8>,
}

/// What recorded bytes start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkType {
    /// An Ethernet header.
    Ethernet,
    /// An IP header.
    Ip,
    /// Something else: its number in the pcapng registry.
    Other(u16),
}

/// Why a file can't be read as a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadError {
    /// It doesn't start with a pcapng section.
    NotPcapng,
    /// A block is malformed.
    Malformed {
        /// Where it starts, in bytes.
        offset: usize,
    },
    /// A packet names an interface that was not described.
    UnknownInterface {
        /// Where the block starts, in bytes.
        offset: usize,
        /// The interface's index.
        index: u32,
    },
}

impl std::error::Error for ReadError {}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::NotPcapng => {
                write!(f, "this is not a pcapng file; `editcap -F pcapng OLD NEW` converts other captures")
            }
            ReadError::Malformed { offset } => write!(f, "the block at byte {offset} is malformed"),
            ReadError::UnknownInterface { offset, index } => {
                write!(f, "the packet at byte {offset} is of interface {index}, which was not described")
            }
        }
    }
}

/// What a capture holds: its records, and whether it ends in the middle of a block (it is still being written, or
/// its writer died).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// The packets, in the file's order.
    pub records: Vec<Record>,
    /// Whether the last block is cut off.
    pub truncated: bool,
}

/// Reads a whole capture.
pub fn read(file: &[u8]) -> Result<Records, ReadError> {
    let mut records = Records::default();
    let mut section = Section { big_endian: false, interfaces: Vec::new() };
    if file.get(..4) != Some(&SECTION_MAGIC) {
        return Err(ReadError::NotPcapng);
    }
    let mut rest = file;
    while !rest.is_empty() {
        let offset = file.len() - rest.len();
        if rest.get(..4) == Some(&SECTION_MAGIC) {
            section.big_endian = rest.get(8) == Some(&BIG_ENDIAN_FIRST_BYTE);
        }
        let parsed = if section.big_endian { parse_block_be(rest) } else { parse_block_le(rest) };
        match parsed {
            Ok((after, block)) => {
                records.records.extend(section.block(offset, block)?);
                rest = after;
            }
            Err(_) if is_cut_off(rest, section.big_endian) => {
                records.truncated = true;
                return Ok(records);
            }
            Err(_) => return Err(ReadError::Malformed { offset }),
        }
    }
    Ok(records)
}

/// A section header's type reads the same in both byte orders.
const SECTION_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// The first byte of the byte-order magic 0x1a2b3c4d, where numbers are big-endian.
const BIG_ENDIAN_FIRST_BYTE: u8 = 0x1a;

/// Whether a block is longer than what is left of the file.
fn is_cut_off(rest: &[u8], big_endian: bool) -> bool {
    let Some(&[a, b, c, d]) = rest.get(4..8).and_then(|len| len.first_chunk()) else { return true };
    let len = if big_endian { u32::from_be_bytes([a, b, c, d]) } else { u32::from_le_bytes([a, b, c, d]) };
    len as usize > rest.len()
}

/// What is known of the section that is being read.
struct Section {
    big_endian: bool,
    interfaces: Vec<Interface>,
}

struct Interface {
    name: Arc<str>,
    link: LinkType,
    /// Units of time in a second; 0 where the file's are absurd.
    units_per_s: u64,
    offset_s: i64,
    snaplen: u32,
}

impl Section {
    fn block(&mut self, at: usize, block: Block<'_>) -> Result<Option<Record>, ReadError> {
        match block {
            Block::SectionHeader(_) => self.interfaces.clear(),
            Block::InterfaceDescription(idb) => {
                let name = text(&idb.options, OptionCode::IfName)
                    .unwrap_or_else(|| format!("if{}", self.interfaces.len()));
                let link = match idb.linktype {
                    Linktype::ETHERNET => LinkType::Ethernet,
                    Linktype::RAW | Linktype::IPV4 => LinkType::Ip,
                    Linktype(other) => LinkType::Other(u16::try_from(other).unwrap_or(u16::MAX)),
                };
                self.interfaces.push(Interface {
                    name: name.into(),
                    link,
                    units_per_s: units_per_s(idb.if_tsresol),
                    offset_s: idb.if_tsoffset,
                    snaplen: idb.snaplen,
                });
            }
            Block::EnhancedPacket(epb) => {
                let interface = self
                    .interfaces
                    .get(epb.if_id as usize)
                    .ok_or(ReadError::UnknownInterface { offset: at, index: epb.if_id })?;
                let units = u64::from(epb.ts_high) << 32 | u64::from(epb.ts_low);
                let flags = number(&epb.options, EPB_FLAGS, self.big_endian).unwrap_or(0);
                return Ok(Some(Record {
                    interface: interface.name.clone(),
                    link: interface.link,
                    unix_nanos: interface.unix_nanos(units),
                    direction: match flags & 3 {
                        1 => Some(Direction::In),
                        2 => Some(Direction::Out),
                        _ => None,
                    },
                    packet_id: number(&epb.options, EPB_PACKETID, self.big_endian).unwrap_or(0),
                    dropped: value(&epb.options, EPB_VERDICT)
                        .is_some_and(|v| is_drop_verdict(v, self.big_endian)),
                    comment: comments(&epb.options),
                    original_len: epb.origlen as usize,
                    bytes: cut(epb.data, epb.caplen).to_vec(),
                }));
            }
            Block::SimplePacket(spb) => {
                let interface =
                    self.interfaces.first().ok_or(ReadError::UnknownInterface { offset: at, index: 0 })?;
                let snaplen = if interface.snaplen == 0 { u32::MAX } else { interface.snaplen };
                return Ok(Some(Record {
                    interface: interface.name.clone(),
                    link: interface.link,
                    unix_nanos: 0,
                    direction: None,
                    packet_id: 0,
                    dropped: false,
                    comment: String::new(),
                    original_len: spb.origlen as usize,
                    bytes: cut(spb.data, spb.origlen.min(snaplen)).to_vec(),
                }));
            }
            _ => {}
        }
        Ok(None)
    }
}

impl Interface {
    fn unix_nanos(&self, units: u64) -> u64 {
        if self.units_per_s == 0 {
            return 0;
        }
        let nanos = i128::from(units) * NANOS_PER_S / i128::from(self.units_per_s);
        let nanos = nanos + i128::from(self.offset_s) * NANOS_PER_S;
        u64::try_from(nanos.max(0)).unwrap_or(u64::MAX)
    }
}

const NANOS_PER_S: i128 = 1_000_000_000;

/// The resolution's byte is a negative power of ten, or with its top bit set, of two.
fn units_per_s(resolution: u8) -> u64 {
    let power = u32::from(resolution & 0x7f);
    let base: u64 = if resolution & 0x80 == 0 { 10 } else { 2 };
    base.checked_pow(power).unwrap_or(0)
}

const EPB_FLAGS: OptionCode = OptionCode(2);
const EPB_PACKETID: OptionCode = OptionCode(5);
const EPB_VERDICT: OptionCode = OptionCode(7);

/// Verdicts by eBPF at traffic control (1): 2 is "shot"; at XDP (2): 1 is "drop".
fn is_drop_verdict(value: &[u8], big_endian: bool) -> bool {
    match value.split_first() {
        Some((1, verdict)) => integer(verdict, big_endian) == Some(2),
        Some((2, verdict)) => integer(verdict, big_endian) == Some(1),
        _ => false,
    }
}

fn cut(data: &[u8], len: u32) -> &[u8] {
    &data[..data.len().min(len as usize)]
}

fn value<'a>(options: &'a [PcapNGOption<'_>], code: OptionCode) -> Option<&'a [u8]> {
    options.iter().find(|option| option.code == code).and_then(|option| option.as_bytes().ok())
}

fn text(options: &[PcapNGOption<'_>], code: OptionCode) -> Option<String> {
    value(options, code).map(|text| String::from_utf8_lossy(text).into_owned())
}

fn comments(options: &[PcapNGOption<'_>]) -> String {
    let of_comment = options.iter().filter(|option| option.code == OptionCode::Comment);
    let texts: Vec<_> =
        of_comment.filter_map(|option| option.as_bytes().ok()).map(String::from_utf8_lossy).collect();
    texts.join("\n")
}

fn number(options: &[PcapNGOption<'_>], code: OptionCode, big_endian: bool) -> Option<u64> {
    integer(value(options, code)?, big_endian)
}

/// A number of up to eight bytes.
fn integer(bytes: &[u8], big_endian: bool) -> Option<u64> {
    let shift_in = |sum: u64, &byte: &u8| sum << 8 | u64::from(byte);
    match bytes.len() {
        1..=8 if big_endian => Some(bytes.iter().fold(0, shift_in)),
        1..=8 => Some(bytes.iter().rev().fold(0, shift_in)),
        _ => None,
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
