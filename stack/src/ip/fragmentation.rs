//! Cutting a packet into fragments that fit a link (RFC 791 section 3.2).

use crate::frame::{CauseKind, TxFrame};
use crate::wire::ipv4;
use bytes::Bytes;
use std::collections::VecDeque;

/// The fragments of a packet, in order, from their IP headers on.
pub(super) struct Fragments {
    /// The header of the next fragment, with its options.
    header: Vec<u8>,
    /// That of all after the first.
    later: Vec<u8>,
    /// What is left of the packet's payload.
    data: VecDeque<Bytes>,
    left: usize,
    /// Where it lies in the datagram, in bytes.
    offset: usize,
    /// Whether the packet itself is a fragment that others follow.
    more: bool,
    mtu: usize,
}

impl Fragments {
    /// `header` and `data` are those of a whole packet, which may be a fragment itself.
    pub(super) fn new(header: &[u8], data: impl IntoIterator<Item = Bytes>, mtu: u16) -> Fragments {
        let parsed = ipv4::Header::parse_quoted(header);
        let data: VecDeque<Bytes> = data.into_iter().collect();
        Fragments {
            header: header.to_vec(),
            later: ipv4::header_of_later_fragment(header),
            left: data.iter().map(Bytes::len).sum(),
            data,
            offset: parsed.map_or(0, |header| usize::from(header.fragment_offset)),
            more: parsed.is_ok_and(|header| header.more_fragments),
            mtu: usize::from(mtu),
        }
    }

    /// How many there are still.
    pub(super) fn count_left(&self) -> usize {
        if self.left == 0 || self.left + self.header.len() <= self.mtu {
            return usize::from(self.left > 0);
        }
        // The first, the last, which fills the link to the byte, and those between.
        let last = self.mtu.saturating_sub(self.later.len());
        let rest = self.left.saturating_sub(room(self.mtu, &self.header) + last);
        2 + rest.div_ceil(room(self.mtu, &self.later))
    }
}

impl Iterator for Fragments {
    type Item = TxFrame;

    fn next(&mut self) -> Option<TxFrame> {
        if self.left == 0 {
            return None;
        }
        let len = if self.left + self.header.len() <= self.mtu {
            self.left
        } else {
            room(self.mtu, &self.header).min(self.left)
        };
        self.left -= len;
        let more = self.left > 0 || self.more;
        let offset = self.offset as u16;
        let mut frame = TxFrame::new(CauseKind::Fragment { offset, more }.into());
        take(&mut self.data, len, &mut frame);
        frame.prepend(self.header.len()).copy_from_slice(&self.header);
        let mut rewrite = ipv4::Rewrite::new(frame.headers_mut());
        rewrite.total_len((self.header.len() + len) as u16);
        rewrite.fragment(offset, more);
        self.offset += len;
        self.header.clone_from(&self.later);
        Some(frame)
    }
}

/// Moves the next `len` bytes of `data` into the frame's payload, by reference.
pub(super) fn take(data: &mut VecDeque<Bytes>, mut len: usize, frame: &mut TxFrame) {
    while len > 0
        && let Some(slice) = data.front_mut()
    {
        let piece = slice.split_to(len.min(slice.len()));
        len -= piece.len();
        if slice.is_empty() {
            data.pop_front();
        }
        frame.payload.push(piece);
    }
}

/// Bytes of payload in a fragment that others follow: a multiple of eight.
fn room(mtu: usize, header: &[u8]) -> usize {
    (mtu.saturating_sub(header.len()) & !7).max(8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::captured;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fragments_cover_the_packet_once(
            lens in proptest::collection::vec(1usize..3000, 1..5), mtu in 68u16..2000, start in 0u16..100, more in any::<bool>(),
        ) {
            let mut header = captured::bytes(captured::ECHO_REQUEST)[14..34].to_vec();
            ipv4::Rewrite::new(&mut header).fragment(start * 8, more);
            let mut value = 0u8;
            let mut slice = |len: usize| {
                (0..len).map(|_| { value = value.wrapping_mul(5).wrapping_add(3); value }).collect::<Vec<u8>>()
            };
            let mut data: Vec<Bytes> = lens.iter().map(|&len| slice(len).into()).collect();
            if more {
                // A fragment that others follow is a multiple of eight long.
                let odd = data.iter().map(Bytes::len).sum::<usize>() % 8;
                data.push(vec![9; (8 - odd) % 8].into());
            }
            let fragments = Fragments::new(&header, data.clone(), mtu);
            let (count, mut whole, mut last_more) = (fragments.count_left(), Vec::new(), true);
            let frames: Vec<TxFrame> = fragments.collect();
            prop_assert_eq!(frames.len(), count);
            for frame in frames {
                prop_assert!(frame.len() <= usize::from(mtu));
                let bytes = frame.to_vec();
                let header = ipv4::Header::parse(&bytes).unwrap();
                prop_assert_eq!(usize::from(header.fragment_offset), usize::from(start) * 8 + whole.len());
                prop_assert!(last_more);
                last_more = header.more_fragments;
                prop_assert!(!last_more || frame.payload_len() % 8 == 0);
                whole.extend_from_slice(&bytes[20..]);
            }
            prop_assert_eq!(last_more, more);
            prop_assert_eq!(whole, data.concat());
        }
    }
}
