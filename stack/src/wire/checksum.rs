//! The Internet checksum: sums over scattered bytes, pseudo-headers, and updates of single words.
//!
//! RFC 1071 sums 16-bit words in one's complement; RFC 1624 (equation 3) replaces a word of a finished sum.

use crate::frame::{TxChecksum, TxFrame};
use core::net::IpAddr;
use multiversion::multiversion;

/// A one's complement sum in the making, not inverted yet. Pieces may end at odd bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    folded: u16,
    /// Whether an odd number of bytes was added: the next piece's bytes stand in the other half of their words.
    odd: bool,
}

impl Sum {
    /// Adds bytes behind those that were added before.
    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Sum {
        if bytes.len() <= PIECE_BYTES_MAX {
            return self.join(data(bytes), bytes.len());
        }
        for piece in bytes.chunks(PIECE_BYTES_MAX) {
            self = self.join(data(piece), piece.len());
        }
        self
    }

    /// Adds a header's bytes, a multiple of four that the compiler knows.
    pub(crate) fn header<const N: usize>(self, bytes: &[u8; N]) -> Sum {
        const { assert!(N.is_multiple_of(4) && N <= 64) };
        let words = bytes.as_chunks::<4>().0.iter().map(|word| u64::from(u32::from_ne_bytes(*word)));
        self.join(fold(words.sum()).to_be(), N)
    }

    /// Adds the sum of `len` bytes that follow.
    fn join(self, sum: u16, len: usize) -> Sum {
        // RFC 1071 section 2(B): a sum of swapped bytes is the swapped sum.
        let sum = if self.odd { sum.swap_bytes() } else { sum };
        Sum { folded: add(self.folded, sum), odd: self.odd ^ (len % 2 == 1) }
    }

    /// Copies `from` to `to`, which are equally long, and adds it: one pass over memory instead of two.
    pub(crate) fn copied(mut self, to: &mut [u8], from: &[u8]) -> Sum {
        debug_assert_eq!(to.len(), from.len());
        if from.len() <= PIECE_BYTES_MAX {
            return self.join(copy_data(to, from), from.len());
        }
        for (to, from) in to.chunks_mut(PIECE_BYTES_MAX).zip(from.chunks(PIECE_BYTES_MAX)) {
            self = self.join(copy_data(to, from), from.len());
        }
        self
    }

    /// Adds one 16-bit word at an even place.
    pub(crate) fn word(self, word: u16) -> Sum {
        Sum { folded: add(self.folded, word), ..self }
    }

    /// The sum, not inverted: what a partial checksum's field holds.
    pub(crate) fn partial(self) -> u16 {
        self.folded
    }

    /// The checksum as headers carry it.
    pub(crate) fn checksum(self) -> u16 {
        !self.folded
    }

    /// Whether bytes that included their own checksum are whole.
    pub(crate) fn is_valid(self) -> bool {
        self.folded == 0xffff
    }
}

/// The pseudo-header's sum: addresses, protocol and length (RFC 9293 section 3.1, RFC 768).
pub(crate) fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, len: usize) -> Sum {
    let sum = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let (source, destination) = (source.to_bits(), destination.to_bits());
            let halves = |address: u32| u64::from(address >> 16) + u64::from(address & 0xffff);
            let words = u64::from(protocol) + (len >> 16) as u64 + (len & 0xffff) as u64;
            return Sum { folded: fold(halves(source) + halves(destination) + words), odd: false };
        }
        (source, destination) => [source, destination].iter().fold(Sum::default(), |sum, address| {
            sum.bytes(&match address {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                IpAddr::V6(v6) => v6.octets(),
            })
        }),
    };
    sum.word(u16::from(protocol)).word((len >> 16) as u16).word(len as u16)
}

/// Whether a transport's packet, header and data, carries the right checksum.
pub(crate) fn verify(source: IpAddr, destination: IpAddr, protocol: u8, packet: &[u8]) -> bool {
    pseudo_header(source, destination, protocol, packet.len()).bytes(packet).is_valid()
}

/// Continues `sum` over a frame from byte `start` to its end, headers and payload slices.
pub(crate) fn frame_sum(mut sum: Sum, frame: &TxFrame, start: usize) -> Sum {
    let headers = frame.headers();
    sum = sum.bytes(headers.get(start..).unwrap_or_default());
    let mut skip = start.saturating_sub(headers.len());
    for slice in &frame.payload {
        sum = sum.bytes(slice.get(skip..).unwrap_or_default());
        skip = skip.saturating_sub(slice.len());
    }
    sum
}

/// Completes a frame's partial checksum in place. The field must be in the headers, where the stack's own frames
/// have it; elsewhere the frame stays as it is.
pub(crate) fn complete(frame: &mut TxFrame) {
    let TxChecksum::Partial { start, offset } = frame.checksum else { return };
    let checksum = frame_sum(Sum::default(), frame, usize::from(start)).checksum();
    let field = usize::from(start) + usize::from(offset);
    if let Some(bytes) = frame.headers_mut().get_mut(field..field + 2) {
        let checksum = if offset == UDP_CHECKSUM_AT { never_zero(checksum) } else { checksum };
        bytes.copy_from_slice(&checksum.to_be_bytes());
        frame.checksum = TxChecksum::Complete;
    }
}

/// A checksum of zero means "none" to UDP (RFC 768); its other form sums to the same for everyone.
pub(crate) fn never_zero(checksum: u16) -> u16 {
    if checksum == 0 { 0xffff } else { checksum }
}

/// The checksum after one word that it covers changed (RFC 1624 equation 3).
pub(crate) fn update(checksum: u16, old: u16, new: u16) -> u16 {
    !add(add(!checksum, !old), new)
}

/// The sum of bytes that begin at an even place; at most [`PIECE_BYTES_MAX`] of them.
///
/// Compiled twice: for the registers that every x86-64 processor has, and for those twice as wide that nearly all have
/// by now, which halves the time.
#[multiversion(targets("x86_64+avx2"))]
fn data(bytes: &[u8]) -> u16 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut halves = Halves::default();
    for word in words {
        halves.add(*word);
    }
    halves.finish(rest)
}

/// As [`data`], of bytes that are copied on the way.
#[multiversion(targets("x86_64+avx2"))]
fn copy_data(to: &mut [u8], from: &[u8]) -> u16 {
    let (words, rest) = from.as_chunks::<4>();
    let (places, rest_place) = to.as_chunks_mut::<4>();
    let mut halves = Halves::default();
    for (place, word) in places.iter_mut().zip(words) {
        *place = *word;
        halves.add(*word);
    }
    rest_place.copy_from_slice(rest);
    halves.finish(rest)
}

/// Sums of 32-bit words and of their upper halves, in the machine's byte order (RFC 1071 section 2(B)). The lower
/// halves' sum is what is left of the first without the second, so that a word costs one shift and two additions,
/// which the compiler does for several words at once.
#[derive(Clone, Copy, Default)]
struct Halves {
    /// Modulo 2^32.
    whole: u32,
    upper: u32,
}

impl Halves {
    #[inline(always)]
    fn add(&mut self, word: [u8; 4]) {
        let word = u32::from_ne_bytes(word);
        self.whole = self.whole.wrapping_add(word);
        self.upper = self.upper.wrapping_add(word >> 16);
    }

    /// With up to three bytes that are left; in network byte order.
    #[inline(always)]
    fn finish(self, rest: &[u8]) -> u16 {
        let lower = self.whole.wrapping_sub(self.upper << 16);
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        let [a, b, c, d] = last;
        let last = u32::from(u16::from_ne_bytes([a, b])) + u32::from(u16::from_ne_bytes([c, d]));
        fold(u64::from(lower) + u64::from(self.upper) + u64::from(last)).to_be()
    }
}

/// A sum of many words in 16 bits, end-around carries added.
pub(crate) fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}

/// One's complement addition.
fn add(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    sum + u16::from(carry)
}

/// Where UDP's checksum is, in bytes from its header's start; no other protocol's is there.
pub(crate) const UDP_CHECKSUM_AT: u16 = 6;

/// The bulk sum counts halves of words in 32 bits: pieces of this size can't overflow it, and are even.
const PIECE_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::CauseKind;
    use bytes::Bytes;
    use proptest::prelude::*;

    #[test]
    fn rfc_1071_example() {
        let sum = Sum::default().bytes(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.partial(), 0xddf2);
    }

    #[test]
    fn rfc_1624_example() {
        // Section 4: the case that equation 2 gets wrong.
        assert_eq!(update(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn long_slices_do_not_overflow() {
        let ones = vec![0xff; 300_001];
        assert_eq!(Sum::default().bytes(&ones).partial(), 0xff00);
    }

    #[test]
    fn completes_what_was_left_partial() {
        let mut frame = TxFrame::new(CauseKind::Data.into());
        frame.payload.push(Bytes::from_static(b"abc"));
        frame.payload.push(Bytes::from_static(b"de"));
        frame.prepend(8)[6..].copy_from_slice(&0x1234u16.to_be_bytes());
        frame.checksum = TxChecksum::Partial { start: 0, offset: 6 };
        frame.prepend(20);
        assert_eq!(frame.checksum, TxChecksum::Partial { start: 20, offset: 6 });
        let before = Sum::default().bytes(&frame.to_vec()[20..]);
        complete(&mut frame);
        assert_eq!(frame.checksum, TxChecksum::Complete);
        assert_eq!(u16::from_be_bytes([frame.headers()[26], frame.headers()[27]]), before.checksum());
    }

    proptest! {
        #[test]
        fn pieces_sum_as_the_whole(bytes in proptest::collection::vec(any::<u8>(), 0..200), cuts in any::<[u8; 3]>()) {
            let mut frame = TxFrame::default();
            let mut rest = bytes.as_slice();
            for cut in cuts {
                let (piece, tail) = rest.split_at(usize::from(cut).min(rest.len()));
                frame.payload.push(Bytes::copy_from_slice(piece));
                rest = tail;
            }
            frame.payload.push(Bytes::copy_from_slice(rest));
            let whole = Sum::default().bytes(&bytes).partial();
            prop_assert_eq!(frame_sum(Sum::default(), &frame, 0).partial(), whole);
        }

        #[test]
        fn copies_and_sums_as_an_independent_stack_does(
            bytes in proptest::collection::vec(any::<u8>(), 0..3_000), start in 0usize..4,
        ) {
            let bytes = &bytes[start.min(bytes.len())..];
            let oracle = smoltcp::wire::checksum::data(bytes);
            prop_assert_eq!(Sum::default().bytes(bytes).partial(), oracle);
            let mut copy = vec![0; bytes.len()];
            prop_assert_eq!(Sum::default().copied(&mut copy, bytes).partial(), oracle);
            prop_assert_eq!(&copy[..], bytes);
        }

        #[test]
        fn update_is_a_new_sum(mut words in proptest::collection::vec(1u16.., 2..20), at in any::<usize>(), new in 1u16..) {
            let sum = |words: &[u16]| words.iter().fold(Sum::default(), |sum, &w| sum.word(w)).checksum();
            let (before, at) = (sum(&words), at % words.len());
            let old = core::mem::replace(&mut words[at], new);
            prop_assert_eq!(update(before, old, new), sum(&words));
        }
    }
}
