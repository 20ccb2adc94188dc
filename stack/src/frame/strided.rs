//! Slices of one buffer at equal distances: frames that came in together, and the payloads in them.

use bytes::{Buf as _, Bytes};

/// Slices of one buffer that begin at equal distances. All have the same length, but for the last, which may be shorter.
///
/// They have one reference to the buffer between them, where slices of their own would have one each.
#[derive(Clone, Debug, Default)]
pub struct Strided {
    /// From the first slice's first byte to the last one's last.
    bytes: Bytes,
    count: usize,
    /// Bytes of each slice but the last.
    len: usize,
    /// Bytes from the beginning of one to that of the next.
    stride: usize,
}

impl From<Bytes> for Strided {
    /// One slice.
    fn from(bytes: Bytes) -> Strided {
        let len = bytes.len();
        Strided { bytes, count: 1, len, stride: len }
    }
}

impl Strided {
    /// The slices of `len` bytes that `bytes` begins with and that follow every `stride` bytes; the last one ends with
    /// `bytes`.
    ///
    /// Panics unless there is at least one, they don't overlap, and the last one has from 1 to `len` bytes.
    pub fn new(bytes: Bytes, len: usize, stride: usize) -> Strided {
        let count = bytes.len().div_ceil(stride);
        let last = bytes.len().checked_sub((count - 1) * stride);
        assert!(
            len <= stride && last.is_some_and(|last| (1..=len).contains(&last)),
            "{} bytes don't end with a slice of at most {len}, every {stride}",
            bytes.len()
        );
        Strided { bytes, count, len, stride }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes of the longest.
    pub fn slice_len_max(&self) -> usize {
        self.len
    }

    /// Bytes of all together.
    pub fn total_len(&self) -> usize {
        self.bytes.len() - self.count.saturating_sub(1) * (self.stride - self.len)
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.count).map(|at| {
            let rest = &self.bytes[at * self.stride..];
            &rest[..self.len.min(rest.len())]
        })
    }

    /// The first one; empty if there is none.
    pub fn first(&self) -> &[u8] {
        &self.bytes[..self.len.min(self.bytes.len())]
    }

    /// Takes the first one out.
    pub fn pop_front(&mut self) -> Option<Bytes> {
        (self.count > 0).then(|| self.split_to(1).bytes)
    }

    /// Takes the first `count` of them out, or all if there are fewer.
    pub fn split_to(&mut self, count: usize) -> Strided {
        if count >= self.count {
            return core::mem::take(self);
        }
        let len = count.saturating_sub(1) * self.stride + if count > 0 { self.len } else { 0 };
        let first = Strided { bytes: self.bytes.slice(..len), count, ..*self };
        self.advance(count);
        first
    }

    /// Leaves out the first `count` of them, or all if there are fewer.
    pub fn advance(&mut self, count: usize) {
        self.bytes.advance(self.bytes.len().min(count * self.stride));
        self.count = self.count.saturating_sub(count);
    }

    /// Takes `len` bytes off the beginning of each.
    ///
    /// Panics if the last one, and so any, has fewer.
    pub fn strip(&mut self, len: usize) {
        let last = self.bytes.len() - self.count.saturating_sub(1) * self.stride;
        assert!(len <= last, "a slice of {last} bytes can't lose {len}");
        self.bytes.advance(len);
        self.len -= len;
    }

    /// The bytes of the only slice there is.
    pub(crate) fn into_only(self) -> Bytes {
        debug_assert!(self.count <= 1);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slices_are_those_of_a_list(
            count in 1usize..9, len in 1usize..50, gap in 0usize..20, last in 1usize..50,
            first in 0usize..10, stripped in 0usize..50,
        ) {
            let (stride, last) = (len + gap, last.min(len));
            let bytes: Bytes = (0..(count - 1) * stride + last).map(|at| at as u8).collect();
            let mut model: Vec<Vec<u8>> =
                bytes.chunks(stride).map(|chunk| chunk[..chunk.len().min(len)].to_vec()).collect();
            let mut slices = Strided::new(bytes, len, stride);
            let same = |slices: &Strided, model: &[Vec<u8>]| {
                assert_eq!(slices.iter().map(<[u8]>::to_vec).collect::<Vec<_>>(), model);
                assert_eq!((slices.count(), slices.total_len()), (model.len(), model.concat().len()));
                assert_eq!(slices.first(), model.first().map(Vec::as_slice).unwrap_or_default());
            };
            same(&slices, &model);
            let rest = model.split_off(first.min(count));
            same(&slices.split_to(first), &model);
            same(&slices, &rest);
            let stripped = stripped.min(last);
            if !rest.is_empty() {
                slices.strip(stripped);
            }
            let mut model = rest.into_iter().map(|slice| slice[stripped..].to_vec());
            while let Some(slice) = slices.pop_front() {
                prop_assert_eq!(Some(slice.to_vec()), model.next());
            }
            prop_assert_eq!(model.next(), None);
        }
    }

    #[test]
    fn one_slice_may_be_empty() {
        let mut one = Strided::from(Bytes::new());
        assert_eq!((one.count(), one.total_len(), one.iter().count()), (1, 0, 1));
        assert_eq!(one.pop_front(), Some(Bytes::new()));
        assert_eq!(one.pop_front(), None);
    }
}
