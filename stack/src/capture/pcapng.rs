//! Writes pcapng blocks (draft-ietf-opsawg-pcapng), little-endian, with times in nanoseconds.
//!
//! ```text
//!  0            4            8                        n      n+4
//! | block type | total len  | body, options, padding | total len |      options: | code | len | value, padded |
//! ```

use crate::stack::{InterfaceConfig, Medium};
use std::fmt::Display;
use std::io::Write;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

const LINKTYPE_ETHERNET: u16 = 1;
const LINKTYPE_RAW: u16 = 101;

const OPT_END: u16 = 0;
const OPT_COMMENT: u16 = 1;
const SHB_HARDWARE: u16 = 2;
const SHB_OS: u16 = 3;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_DESCRIPTION: u16 = 3;
const IF_IPV4ADDR: u16 = 4;
const IF_MACADDR: u16 = 6;
const IF_TSRESOL: u16 = 9;
const EPB_FLAGS: u16 = 2;
const EPB_DROPCOUNT: u16 = 4;
const EPB_PACKETID: u16 = 5;
const EPB_VERDICT: u16 = 7;

/// A verdict in the words of Linux's traffic control, which Wireshark shows and filters by
/// (`frame.verdict.ebpf_tc == 2`): its type, and "dropped".
const VERDICT_EBPF_TC: u8 = 1;
const TC_ACT_SHOT: u64 = 2;

const NANOSECONDS: u8 = 9;

/// Which way a frame went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Into the machine.
    In,
    /// Out of the machine.
    Out,
}

/// Everything about a packet but its bytes.
#[derive(Clone, Copy, Debug)]
pub struct PacketMeta<'a, C: Display> {
    /// The interface's index: the how-manieth interface description of the section it is.
    pub interface: u32,
    /// Nanoseconds since 1970.
    pub unix_nanos: u64,
    /// Which way it went.
    pub direction: Direction,
    /// The same number on all of the packet's records; 0 for none.
    pub packet_id: u64,
    /// Whether the stack dropped it.
    pub dropped: bool,
    /// Packets of this interface that were not recorded since the one before.
    pub missed: u64,
    /// Shown beside the packet.
    pub comment: &'a C,
}

/// Appends the header that every section starts with.
pub fn section_header(out: &mut Vec<u8>, hardware: &str, os: &str, application: &str) {
    block(out, SECTION_HEADER, |out| {
        put(out, &BYTE_ORDER_MAGIC.to_le_bytes());
        // Version 1.0; the section's length is not known yet (-1).
        put(out, &[1, 0, 0, 0]);
        put(out, &u64::MAX.to_le_bytes());
        for (code, text) in [(SHB_HARDWARE, hardware), (SHB_OS, os), (SHB_USERAPPL, application)] {
            if !text.is_empty() {
                option(out, code, text.as_bytes());
            }
        }
        option(out, OPT_END, &[]);
    });
}

/// Appends an interface's description. `name` is what Wireshark shows; the description is the interface's own.
pub fn interface(out: &mut Vec<u8>, name: &str, description: &str, config: &InterfaceConfig, snaplen: u32) {
    let (linktype, ethernet) = match config.medium {
        Medium::Ethernet => (LINKTYPE_ETHERNET, true),
        Medium::Ip => (LINKTYPE_RAW, false),
    };
    block(out, INTERFACE_DESCRIPTION, |out| {
        put(out, &linktype.to_le_bytes());
        put(out, &[0, 0]);
        put(out, &snaplen.to_le_bytes());
        option(out, IF_NAME, name.as_bytes());
        if !description.is_empty() {
            option(out, IF_DESCRIPTION, description.as_bytes());
        }
        for cidr in &config.addresses {
            let mask = u32::MAX.checked_shl(32 - u32::from(cidr.prefix_len.min(32))).unwrap_or(0);
            let mut value = [0; 8];
            value[..4].copy_from_slice(&cidr.address.octets());
            value[4..].copy_from_slice(&mask.to_be_bytes());
            option(out, IF_IPV4ADDR, &value);
        }
        if ethernet {
            option(out, IF_MACADDR, &config.mac.0);
        }
        option(out, IF_TSRESOL, &[NANOSECONDS]);
        option(out, OPT_END, &[]);
    });
}

/// Appends a packet. `write` appends its bytes, all of them; what exceeds `snaplen` is cut off again.
pub fn packet<C: Display>(
    out: &mut Vec<u8>,
    meta: PacketMeta<'_, C>,
    snaplen: u32,
    write: impl FnOnce(&mut Vec<u8>),
) {
    block(out, ENHANCED_PACKET, |out| {
        put(out, &meta.interface.to_le_bytes());
        put(out, &((meta.unix_nanos >> 32) as u32).to_le_bytes());
        put(out, &(meta.unix_nanos as u32).to_le_bytes());
        let lengths_at = out.len();
        put(out, &[0; 8]);
        let start = out.len();
        write(out);
        let original = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
        let captured = original.min(snaplen);
        out.truncate(start + captured as usize);
        out[lengths_at..lengths_at + 4].copy_from_slice(&captured.to_le_bytes());
        out[lengths_at + 4..lengths_at + 8].copy_from_slice(&original.to_le_bytes());
        pad(out);

        let direction: u32 = match meta.direction {
            Direction::In => 1,
            Direction::Out => 2,
        };
        option(out, EPB_FLAGS, &direction.to_le_bytes());
        if meta.missed > 0 {
            option(out, EPB_DROPCOUNT, &meta.missed.to_le_bytes());
        }
        if meta.packet_id != 0 {
            option(out, EPB_PACKETID, &meta.packet_id.to_le_bytes());
        }
        if meta.dropped {
            let mut verdict = [VERDICT_EBPF_TC; 9];
            verdict[1..].copy_from_slice(&TC_ACT_SHOT.to_le_bytes());
            option(out, EPB_VERDICT, &verdict);
        }
        text_option(out, OPT_COMMENT, meta.comment);
        option(out, OPT_END, &[]);
    });
}

/// A block of this type around what `body` appends.
fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    put(out, &kind.to_le_bytes());
    put(out, &[0; 4]);
    body(out);
    let len = u32::try_from(out.len() + 4 - start).unwrap_or(u32::MAX).to_le_bytes();
    put(out, &len);
    out[start + 4..start + 8].copy_from_slice(&len);
}

/// An option; a value longer than the format allows is cut.
fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let len = value.len().min(usize::from(u16::MAX));
    put(out, &code.to_le_bytes());
    put(out, &(len as u16).to_le_bytes());
    put(out, &value[..len]);
    pad(out);
}

/// An option that is written in place, without a string in between; left out if it is empty.
fn text_option(out: &mut Vec<u8>, code: u16, text: &impl Display) {
    let start = out.len();
    option(out, code, &[]);
    // Writing to a vector can't fail; a `Display` that fails leaves the text that it wrote.
    let _ = write!(out, "{text}");
    let len = (out.len() - start - 4).min(usize::from(u16::MAX));
    if len == 0 {
        out.truncate(start);
        return;
    }
    out.truncate(start + 4 + len);
    out[start + 2..start + 4].copy_from_slice(&(len as u16).to_le_bytes());
    pad(out);
}

/// Every block's and option's length is a multiple of four, as blocks start at such a one and `out` at a block.
fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
}
