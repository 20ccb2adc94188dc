//! TCP options: read leniently, written in the order and with the padding that Linux uses.
//!
//! ```text
//!  kind 0  end of options                    kind 1  no operation (padding)
//!
//!  kind 2  +---------+---------+-------------------+
//!          |    2    |    4    |        MSS        |                          RFC 9293 section 3.7.1
//!          +---------+---------+-------------------+
//!  kind 3  +---------+---------+---------+
//!          |    3    |    3    | shift   |                                    RFC 7323 section 2.2
//!          +---------+---------+---------+
//!  kind 4  +---------+---------+
//!          |    4    |    2    |                                              RFC 2018 section 2
//!          +---------+---------+
//!  kind 5  +---------+---------+-----------------------------------------+
//!          |    5    | 2 + 8n  | n pairs of left edge and right edge ... |    RFC 2018 section 3
//!          +---------+---------+-----------------------------------------+
//!  kind 8  +---------+---------+-------------------+-------------------+
//!          |    8    |   10    |  TSval (4 bytes)  |  TSecr (4 bytes)  |      RFC 7323 section 3.2
//!          +---------+---------+-------------------+-------------------+
//! ```

use core::fmt;

/// The options of a segment that the stack understands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TcpOptions {
    /// The largest segment that the sender of this option receives, in bytes of payload.
    pub(crate) mss: Option<u16>,
    /// Shift of the windows that follow, at most [`WINDOW_SCALE_MAX`].
    pub(crate) window_scale: Option<u8>,
    pub(crate) sack_permitted: bool,
    pub(crate) timestamps: Option<Timestamps>,
    pub(crate) sack: SackBlocks,
}

/// The timestamps option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timestamps {
    /// TSval: the sender's clock.
    pub(crate) value: u32,
    /// TSecr: the last value that the sender saw from us.
    pub(crate) echo: u32,
}

/// Up to [`SackBlocks::MAX`] ranges of sequence numbers, left edge first; the right edge is not included.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SackBlocks {
    blocks: [(u32, u32); SackBlocks::MAX],
    len: u8,
}

impl SackBlocks {
    /// What the option space holds (RFC 2018 section 3).
    pub(crate) const MAX: usize = 4;

    /// Adds a block behind the others; false when the list is full.
    pub(crate) fn push(&mut self, block: (u32, u32)) -> bool {
        let Some(slot) = self.blocks.get_mut(usize::from(self.len)) else { return false };
        *slot = block;
        self.len += 1;
        true
    }

    pub(crate) fn as_slice(&self) -> &[(u32, u32)] {
        self.blocks.get(..usize::from(self.len)).unwrap_or_default()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.as_slice().iter().copied()
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.len)
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl fmt::Debug for SackBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

impl TcpOptions {
    /// Reads what can be understood. Unknown options and those with a wrong length are skipped; where a length
    /// leads nowhere, reading stops, and what came before it stands (RFC 9293 section 3.1, MUST-6 and MUST-7).
    pub(crate) fn parse(mut bytes: &[u8]) -> TcpOptions {
        let mut options = TcpOptions::default();
        // RFC 7323 appendix A: the layout that nearly every segment has.
        if let [kind::NOP, kind::NOP, kind::TIMESTAMPS, 10, value @ ..] = bytes
            && value.len() == 8
        {
            options.read(kind::TIMESTAMPS, value);
            return options;
        }
        loop {
            bytes = match *bytes {
                [kind::NOP, ref rest @ ..] => rest,
                [kind::END, ..] | [] | [_] => return options,
                [kind, len, ..] => {
                    let Some((option, rest)) = bytes.split_at_checked(usize::from(len)) else {
                        return options;
                    };
                    let Some(value) = option.get(2..) else { return options };
                    options.read(kind, value);
                    rest
                }
            };
        }
    }

    fn read(&mut self, kind: u8, value: &[u8]) {
        match (kind, value) {
            (kind::MSS, &[a, b]) => self.mss = Some(u16::from_be_bytes([a, b])),
            // RFC 7323 section 2.3: a larger shift "MUST use 14 instead".
            (kind::WINDOW_SCALE, &[shift]) => self.window_scale = Some(shift.min(WINDOW_SCALE_MAX)),
            (kind::SACK_PERMITTED, []) => self.sack_permitted = true,
            (kind::TIMESTAMPS, &[a, b, c, d, e, f, g, h]) => {
                let (value, echo) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
                self.timestamps = Some(Timestamps { value, echo });
            }
            (kind::SACK, value) if value.len() % 8 == 0 => {
                self.sack = SackBlocks::default();
                for block in value.as_chunks::<8>().0 {
                    let &[a, b, c, d, e, f, g, h] = block;
                    self.sack.push((u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])));
                }
            }
            _ => {}
        }
    }

    /// SACK blocks that fit behind the other options.
    fn sack_blocks_that_fit(&self) -> usize {
        let room = OPTIONS_BYTES_MAX - self.len_without_sack();
        self.sack.len().min(room.saturating_sub(4) / 8)
    }

    fn len_without_sack(&self) -> usize {
        let sack_permitted = if self.sack_permitted && self.timestamps.is_none() { 4 } else { 0 };
        4 * usize::from(self.mss.is_some())
            + 12 * usize::from(self.timestamps.is_some())
            + sack_permitted
            + 4 * usize::from(self.window_scale.is_some())
    }

    /// Bytes that [`TcpOptions::emit`] writes: a multiple of four, at most [`OPTIONS_BYTES_MAX`].
    pub(crate) fn emitted_len(&self) -> usize {
        match self.sack_blocks_that_fit() {
            0 => self.len_without_sack(),
            blocks => self.len_without_sack() + 4 + 8 * blocks,
        }
    }

    /// Writes the options into exactly [`TcpOptions::emitted_len`] bytes. SACK blocks that don't fit are left out,
    /// the last ones first.
    pub(crate) fn emit(&self, bytes: &mut [u8]) {
        let mut out = Cursor(bytes);
        if let Some(mss) = self.mss {
            let [a, b] = mss.to_be_bytes();
            out.put([kind::MSS, 4, a, b]);
        }
        // Linux lets sackOK take the place of the padding in front of the timestamps, where there are any.
        if self.sack_permitted {
            match self.timestamps {
                Some(_) => out.put([kind::SACK_PERMITTED, 2]),
                None => out.put([kind::NOP, kind::NOP, kind::SACK_PERMITTED, 2]),
            }
        } else if self.timestamps.is_some() {
            out.put([kind::NOP, kind::NOP]);
        }
        if let Some(Timestamps { value, echo }) = self.timestamps {
            out.put([kind::TIMESTAMPS, 10]);
            out.put(value.to_be_bytes());
            out.put(echo.to_be_bytes());
        }
        if let Some(shift) = self.window_scale {
            out.put([kind::NOP, kind::WINDOW_SCALE, 3, shift]);
        }
        let blocks = self.sack_blocks_that_fit();
        if blocks > 0 {
            out.put([kind::NOP, kind::NOP, kind::SACK, 2 + 8 * blocks as u8]);
            for (left, right) in self.sack.iter().take(blocks) {
                out.put(left.to_be_bytes());
                out.put(right.to_be_bytes());
            }
        }
    }
}

/// Writes from front to back.
struct Cursor<'a>(&'a mut [u8]);

impl Cursor<'_> {
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        let (head, tail) = core::mem::take(&mut self.0)
            .split_at_mut_checked(N)
            .expect("emitted_len counts what emit writes");
        head.copy_from_slice(&bytes);
        self.0 = tail;
    }
}

/// The largest shift of a window (RFC 7323 section 2.3).
pub(crate) const WINDOW_SCALE_MAX: u8 = 14;

/// The header's data offset counts to 60 bytes, of which 20 are fixed.
pub(crate) const OPTIONS_BYTES_MAX: usize = 40;

mod kind {
    pub(super) const END: u8 = 0;
    pub(super) const NOP: u8 = 1;
    pub(super) const MSS: u8 = 2;
    pub(super) const WINDOW_SCALE: u8 = 3;
    pub(super) const SACK_PERMITTED: u8 = 4;
    pub(super) const SACK: u8 = 5;
    pub(super) const TIMESTAMPS: u8 = 8;
}

#[cfg(test)]
mod tests;
