//! SYN cookies (RFC 4987 section 3.6): a half-open connection's state in the sequence number and timestamp that the peer returns.
//!
//! ```text
//!  sequence number  | 5 bits: time in 64 s, mod 32 | 3 bits: MSS index | 24 bits: keyed hash |
//!  timestamp        | 26 bits: our clock, upper part                  | ECN | SACK | 4 bits: window scale |
//! ```
//! The hash covers both ends, the peer's initial sequence number, the time and the MSS. Window scale, SACK and ECN
//! survive where the peer uses timestamps, as every system of today does.

use super::demux::Tuple;
use super::isn;
use super::segment::Segment;
use super::seq::SeqNum;
use crate::stack::Context;
use crate::time::Duration;
use core::hash::BuildHasher;

/// The segment sizes that a cookie can tell apart, in bytes: the largest that isn't above the peer's is taken.
const MSS_TABLE: [u16; 8] = [88, 536, 1_200, 1_300, 1_360, 1_400, 1_440, 1_460];
/// A tick of a cookie's time.
const TICK: Duration = Duration::from_secs(64);
/// How many ticks a cookie is valid beyond the one that it was made in.
const TICKS_VALID: u64 = 1;
/// The scale that stands for "no window scaling".
const NO_SCALE: u32 = 0xf;
const OPTION_BITS: u32 = 6;

/// How long after the last cookie was sent ACKs are looked at for cookies at all.
pub(crate) const VALID: Duration = Duration::from_secs(128);

/// What a valid cookie tells of the SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) mss: u16,
    pub(crate) window_scale: Option<u8>,
    pub(crate) sack: bool,
    pub(crate) ecn: bool,
}

/// The sequence number to answer a SYN with.
pub(crate) fn sequence(cx: &Context, tuple: &Tuple, syn: &Segment) -> SeqNum {
    let index = MSS_TABLE.iter().rposition(|&mss| mss <= syn.options.mss.unwrap_or(536)).unwrap_or(0);
    SeqNum::new(make(cx, tuple, syn.seq, ticks(cx), index))
}

/// The timestamp to answer a SYN with: never ahead of the clock, so that PAWS is content with those that follow.
pub(crate) fn timestamp(cx: &Context, tuple: &Tuple, remembered: &Remembered) -> u32 {
    let now = isn::timestamp(cx.now, isn::timestamp_offset(cx, tuple));
    let mut options = remembered.window_scale.map_or(NO_SCALE, u32::from);
    options |= u32::from(remembered.sack) << 4 | u32::from(remembered.ecn) << 5;
    let stamped = now >> OPTION_BITS << OPTION_BITS | options;
    if stamped > now { stamped.wrapping_sub(1 << OPTION_BITS) } else { stamped }
}

/// What an ACK's cookie tells; none where it isn't one of ours, or too old.
pub(crate) fn check(cx: &Context, tuple: &Tuple, ack: &Segment) -> Option<Remembered> {
    let cookie = (ack.ack - 1).get();
    let now = ticks(cx);
    let age = (now as u32).wrapping_sub(cookie >> 27) & 31;
    let made = now.checked_sub(u64::from(age)).filter(|_| u64::from(age) <= TICKS_VALID)?;
    let index = (cookie >> 24 & 7) as usize;
    if make(cx, tuple, ack.seq - 1, made, index) != cookie {
        return None;
    }
    let options = ack.options.timestamps.map(|timestamps| timestamps.echo);
    let scale = options.map_or(NO_SCALE, |echo| echo & 0xf);
    Some(Remembered {
        mss: MSS_TABLE[index],
        window_scale: (scale != NO_SCALE).then_some(scale as u8),
        sack: options.is_some_and(|echo| echo >> 4 & 1 == 1),
        ecn: options.is_some_and(|echo| echo >> 5 & 1 == 1),
    })
}

fn make(cx: &Context, tuple: &Tuple, irs: SeqNum, ticks: u64, index: usize) -> u32 {
    let hash = cx.keys.cookies.hash_one((tuple, irs.get(), ticks, index)) as u32;
    (ticks as u32) << 27 | (index as u32) << 24 | (hash & 0x00ff_ffff)
}

fn ticks(cx: &Context) -> u64 {
    cx.now.as_millis() / TICK.as_millis() as u64
}
