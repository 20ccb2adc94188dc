//! Frames in one piece, with their checksums completed: as a wire without offloads would carry them.

use super::{RxChecksum, RxFrame, TxChecksum, TxFrame};
use bytes::{Bytes, BytesMut};
use smoltcp::wire::checksum;

impl TxFrame {
    /// All bytes in one piece, a partial checksum completed.
    ///
    /// A super-frame stays one: its checksum is right for its whole length.
    pub fn completed(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.len());
        self.write_completed(&mut bytes);
        bytes.freeze()
    }

    /// As [`TxFrame::completed`], into an empty buffer.
    pub(crate) fn write_completed(&self, bytes: &mut BytesMut) {
        debug_assert!(bytes.is_empty());
        bytes.extend_from_slice(self.headers());
        for slice in &self.payload {
            bytes.extend_from_slice(slice);
        }
        if let TxChecksum::Partial { start, offset } = self.checksum {
            complete_checksum(bytes, start, offset);
        }
    }

    /// The frame as the other end of an in-memory link receives it, with what is left to do left as it is: its id,
    /// a partial checksum, and segmentation.
    pub fn to_received(&self) -> RxFrame {
        let checksum = match self.checksum {
            TxChecksum::Complete => RxChecksum::Unverified,
            TxChecksum::Partial { start, offset } => RxChecksum::Partial { start, offset },
        };
        RxFrame { bytes: self.to_vec().into(), id: self.id, checksum, gso: self.gso }
    }

    /// A frame that holds `bytes` as they are: nothing is left to be done for it.
    ///
    /// The id and the cause are `like`'s.
    pub fn from_completed(bytes: Bytes, like: &TxFrame) -> TxFrame {
        let mut frame = TxFrame::new(like.cause);
        frame.id = like.id;
        frame.payload.push(bytes);
        frame
    }
}

impl RxFrame {
    /// All bytes, a partial checksum completed. It copies only if there is something to complete.
    pub fn completed(&self) -> Bytes {
        let RxChecksum::Partial { start, offset } = self.checksum else { return self.bytes.clone() };
        let mut bytes = BytesMut::from(&self.bytes[..]);
        complete_checksum(&mut bytes, start, offset);
        bytes.freeze()
    }
}

/// Completes a transport checksum: sums everything from `start` on, where the field at `start + offset` holds the
/// pseudo-header's sum, and puts the complement there.
///
/// Offsets that lie outside of the frame change nothing: they may come from a device's other side.
pub fn complete_checksum(frame: &mut [u8], start: u16, offset: u16) {
    let Some(sum) = frame.get(usize::from(start)..).map(checksum::data) else { return };
    let at = usize::from(start) + usize::from(offset);
    let Some(field) = frame.get_mut(at..at + 2) else { return };
    // RFC 768: what would be zero is sent as all ones. For TCP, zero is a checksum like any other.
    let checksum = if offset == UDP_CHECKSUM_AT && sum == 0xffff { 0xffff } else { !sum };
    field.copy_from_slice(&checksum.to_be_bytes());
}

/// Where UDP's checksum is, in bytes from its header's start; no other protocol's is there.
const UDP_CHECKSUM_AT: u16 = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Cause;

    /// A UDP datagram of four bytes from 10.0.0.1:1 to 10.0.0.2:2, its checksum field holding the pseudo-header's
    /// sum: 0x0a00 + 0x0001 + 0x0a00 + 0x0002 + 17 + 12 = 0x1420.
    const UDP: [u8; 12] = [0, 1, 0, 2, 0, 12, 0x14, 0x20, b'a', b'b', b'c', b'd'];

    #[test]
    fn partial_checksum_is_completed_over_headers_and_slices() {
        let mut frame = TxFrame::new(Cause::default());
        frame.prepend(8).copy_from_slice(&UDP[..8]);
        frame.prepend(34);
        frame.payload.push(Bytes::from_static(&UDP[8..10]));
        frame.payload.push(Bytes::from_static(&UDP[10..]));
        frame.checksum = TxChecksum::Partial { start: 34, offset: 6 };
        let bytes = frame.completed();
        // 1 + 2 + 12 + 0x1420 + 0x6162 + 0x6364 = 0xd8f5, by hand.
        assert_eq!(bytes[40..42], (!0xd8f5u16).to_be_bytes());
        assert_eq!(bytes.len(), 46);
        // A receiver's sum over the pseudo-header and all of it is all ones.
        assert_eq!(checksum::combine(&[0x1420, checksum::data(&bytes[34..])]), 0xffff);
    }

    #[test]
    fn complete_frames_and_absurd_offsets_stay_as_they_are() {
        let mut frame = RxFrame::new(UDP.to_vec());
        assert_eq!(frame.completed(), &UDP[..]);
        for (start, offset) in [(0, 11), (0, u16::MAX), (13, 0), (u16::MAX, u16::MAX)] {
            frame.checksum = RxChecksum::Partial { start, offset };
            assert_eq!(frame.completed(), &UDP[..], "{start} {offset}");
        }
    }

    #[test]
    fn a_checksum_of_zero_is_sent_as_ones_by_udp_alone() {
        let mut udp = [0xff, 0xff, 0, 0, 0, 0, 0, 0];
        complete_checksum(&mut udp, 0, UDP_CHECKSUM_AT);
        assert_eq!(udp[6..], [0xff, 0xff]);
        let mut tcp = [0; 20];
        tcp[..2].fill(0xff);
        complete_checksum(&mut tcp, 0, 16);
        assert_eq!(tcp[16..18], [0, 0]);
    }
}
