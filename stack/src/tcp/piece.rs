//! A piece of the stream that waits to be read: the payloads of segments that lie in one buffer.

use crate::frame::Strided;
use bytes::Bytes;

/// Bytes that follow each other in the stream, and lie in one buffer at equal distances: headers were between them.
#[derive(Debug)]
pub(super) struct Piece {
    payloads: Strided,
    /// Bytes of the first payload that were read.
    read: usize,
}

impl From<Strided> for Piece {
    fn from(payloads: Strided) -> Piece {
        Piece { payloads, read: 0 }
    }
}

impl From<Bytes> for Piece {
    fn from(bytes: Bytes) -> Piece {
        Strided::from(bytes).into()
    }
}

impl Piece {
    pub(super) fn is_empty(&self) -> bool {
        self.payloads.total_len() == self.read
    }

    /// What is left of it.
    pub(super) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let mut read = self.read;
        self.payloads.iter().map(move |payload| &payload[core::mem::take(&mut read)..])
    }

    /// Copies its next bytes to `buffer`; returns how many.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> usize {
        let (mut count, mut whole, mut read) = (0, 0, self.read);
        for slice in self.slices() {
            let take = slice.len().min(buffer.len() - count);
            buffer[count..count + take].copy_from_slice(&slice[..take]);
            count += take;
            if take < slice.len() {
                read += take;
                break;
            }
            (whole, read) = (whole + 1, 0);
        }
        self.payloads.advance(whole);
        self.read = read;
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reads_as_bytes_in_one_piece(
            len in 1usize..300, gap in 0usize..70, payloads in 1usize..10, last in 1usize..300,
            reads in prop::collection::vec(1usize..700, 1..40),
        ) {
            let (stride, last) = (len + gap, last.min(len));
            let bytes: Bytes = (0..(payloads - 1) * stride + last).map(|at| (at * 7) as u8).collect();
            let run = Strided::new(bytes, len, stride);
            let stream: Vec<u8> = run.iter().flatten().copied().collect();
            let (mut piece, mut at) = (Piece::from(run), 0);
            for read in reads {
                let left: Vec<u8> = piece.slices().flatten().copied().collect();
                prop_assert_eq!(&left[..], &stream[at..]);
                let mut buffer = vec![0; read];
                let count = piece.read(&mut buffer);
                prop_assert_eq!(count, read.min(stream.len() - at));
                prop_assert_eq!(&buffer[..count], &stream[at..at + count]);
                at += count;
                prop_assert_eq!(piece.is_empty(), at == stream.len());
            }
        }
    }
}
