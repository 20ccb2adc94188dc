//! A super-frame's segments one after the other in the same few bytes: for a device that writes each and forgets it.

use super::cut::{LINE_BYTES, Payload, payload_at};
use crate::frame::TxFrame;
use crate::ip::SegmentHeaders;

/// What of a super-frame is still to be cut.
pub(super) struct SegmentWriter<'a> {
    headers: SegmentHeaders,
    payload: Payload<'a>,
    number: u16,
}

impl<'a> SegmentWriter<'a> {
    /// The segments from the `number`th on, counted from 0. None if the headers aren't those of a super-frame;
    /// `network_at` bytes of the link's come first.
    pub(super) fn of(frame: &'a TxFrame, network_at: usize, number: u16) -> Option<SegmentWriter<'a>> {
        let headers = SegmentHeaders::of(frame, network_at)?;
        let mut payload = Payload::of(frame);
        payload.skip(usize::from(number) * headers.size());
        Some(SegmentWriter { headers, payload, number })
    }

    /// The number of the segment that comes next.
    pub(super) fn number(&self) -> u16 {
        self.number
    }

    /// Writes the next segment to `room`, which grows as needed: its payload is copied and summed in one pass.
    pub(super) fn next<'b>(&mut self, room: &'b mut Vec<u8>) -> Option<&'b [u8]> {
        let len = self.headers.size().min(self.payload.left());
        if len == 0 {
            return None;
        }
        let headers_len = self.headers.len();
        // The payload begins a line of the cache, which makes it faster to copy and to sum.
        let needed = LINE_BYTES + headers_len.next_multiple_of(LINE_BYTES) + self.headers.size();
        if room.len() < needed {
            room.resize(needed, 0);
        }
        let at = payload_at(room, headers_len) - headers_len;
        let segment = room.get_mut(at..at + headers_len + len)?;
        let (header, payload) = segment.split_at_mut(headers_len);
        let sum = self.payload.copy(payload);
        self.headers.write(self.number, len, self.payload.left() == 0, sum, header);
        self.number += 1;
        Some(segment)
    }
}

#[cfg(test)]
mod tests {
    use super::super::cut::tests::{kinds, super_frame};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_are_those_that_references_would_make_from_any_one_on(
            kind in kinds(),
            // No more payload than an IP packet holds.
            slices in proptest::collection::vec(1usize..20_000, 1..4), size in 100u16..9_000, start in 0u16..9,
        ) {
            let frame = super_frame(kind, &slices, size);
            let expected: Vec<Vec<u8>> = crate::ip::segments(&frame, 0).unwrap().map(|piece| piece.to_vec()).collect();
            let mut segments = SegmentWriter::of(&frame, 0, start).unwrap();
            let mut room = Vec::new();
            for (number, expected) in expected.iter().enumerate().skip(start.into()) {
                prop_assert_eq!(usize::from(segments.number()), number);
                prop_assert_eq!(segments.next(&mut room), Some(&expected[..]));
            }
            prop_assert_eq!(segments.next(&mut room), None);
        }
    }
}
