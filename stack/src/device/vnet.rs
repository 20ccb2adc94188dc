//! The header that Linux puts in front of a TAP's frames in offload mode, and what it means for a frame.
//!
//! ```text
//! struct virtio_net_hdr (virtio 1.2 section 5.1.6, legacy layout: no num_buffers), in the host's byte order
//!  0       1          2         4           6            8             10
//! | flags | gso_type | hdr_len | gso_size  | csum_start | csum_offset |
//! ```

use crate::frame::{Gso, GsoKind, RxChecksum, TxChecksum, TxFrame};

/// Bytes of the header.
pub const VNET_LEN: usize = 10;

const FLAG_NEEDS_CSUM: u8 = 1;
const FLAG_DATA_VALID: u8 = 2;

const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_UDP_L4: u8 = 5;
/// Rides along with TCP: the super-frame's first segment carries CWR.
const GSO_ECN: u8 = 0x80;

const ETHERTYPE_AT: usize = 12;
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
/// Where the flags' byte is in a TCP header, and CWR in it.
const TCP_FLAGS_AT: usize = 13;
const TCP_CWR: u8 = 0x80;

/// What the header in front of a received frame says. None if the bytes are too short to hold one.
pub fn decode(bytes: &[u8]) -> Option<(RxChecksum, Option<Gso>)> {
    let (header, frame) = bytes.split_first_chunk::<VNET_LEN>()?;
    let &[flags, gso_type, _, _, g0, g1, s0, s1, o0, o1] = header;
    let checksum = if flags & FLAG_NEEDS_CSUM != 0 {
        RxChecksum::Partial { start: u16::from_ne_bytes([s0, s1]), offset: u16::from_ne_bytes([o0, o1]) }
    } else if flags & FLAG_DATA_VALID != 0 {
        RxChecksum::Verified
    } else {
        RxChecksum::Unverified
    };
    let kind = match gso_type & !GSO_ECN {
        GSO_TCPV4 => Some(GsoKind::Tcp4),
        // UDP's segmentation has one number for both IP versions.
        GSO_UDP_L4 if frame.get(ETHERTYPE_AT..ETHERTYPE_AT + 2) == Some(&ETHERTYPE_IPV4) => {
            Some(GsoKind::Udp4)
        }
        _ => None,
    };
    let size = u16::from_ne_bytes([g0, g1]);
    Some((checksum, kind.filter(|_| size > 0).map(|kind| Gso { kind, size })))
}

/// The header for a frame that is sent.
pub fn encode(frame: &TxFrame) -> [u8; VNET_LEN] {
    let mut flags = 0;
    let (mut csum_start, mut csum_offset) = (0, 0);
    if let TxChecksum::Partial { start, offset } = frame.checksum {
        flags = FLAG_NEEDS_CSUM;
        (csum_start, csum_offset) = (start, offset);
    }
    let (mut gso_type, mut gso_size, mut hdr_len) = (GSO_NONE, 0, 0);
    if let Some(gso) = frame.gso {
        gso_size = gso.size;
        gso_type = match gso.kind {
            GsoKind::Tcp4 if has_cwr(frame, csum_start) => GSO_TCPV4 | GSO_ECN,
            GsoKind::Tcp4 => GSO_TCPV4,
            GsoKind::Udp4 => GSO_UDP_L4,
        };
        // Only a hint: how much the kernel keeps in one piece. Frames that are passed on have their transport
        // header in the payload, and it must reach over the checksum's field.
        let field_end = csum_start.saturating_add(csum_offset).saturating_add(2);
        hdr_len = u16::try_from(frame.headers().len()).unwrap_or(u16::MAX).max(field_end);
    }
    let mut header = [0; VNET_LEN];
    let ([h0, h1], [g0, g1]) = (u16::to_ne_bytes(hdr_len), u16::to_ne_bytes(gso_size));
    let ([s0, s1], [o0, o1]) = (u16::to_ne_bytes(csum_start), u16::to_ne_bytes(csum_offset));
    header.copy_from_slice(&[flags, gso_type, h0, h1, g0, g1, s0, s1, o0, o1]);
    header
}

/// Whether a TCP header that starts at `start` carries CWR, as far as it lies in the frame's headers.
fn has_cwr(frame: &TxFrame, start: u16) -> bool {
    frame.headers().get(usize::from(start) + TCP_FLAGS_AT).is_some_and(|flags| flags & TCP_CWR != 0)
}

#[cfg(test)]
#[path = "vnet_tests.rs"]
mod tests;
