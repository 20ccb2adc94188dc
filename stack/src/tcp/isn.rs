//! Initial sequence numbers (RFC 6528) and timestamp offsets (RFC 7323 section 5.4), from the seed.

use super::demux::Tuple;
use super::seq::SeqNum;
use crate::stack::Context;
use crate::time::Instant;
use core::hash::BuildHasher;

/// `ISN = M + F(localip, localport, remoteip, remoteport, secretkey)` (RFC 6528 section 3), with a clock `M` that
/// ticks every 64 ns as Linux's does: it wraps in under five minutes, well above a segment's lifetime.
pub(crate) fn initial_sequence(cx: &Context, tuple: &Tuple) -> SeqNum {
    let clock = (cx.now.as_nanos() >> 6) as u32;
    SeqNum::new((cx.keys.isn.hash_one(tuple) as u32).wrapping_add(clock))
}

/// The offset of a pair of hosts' timestamp clock: the same for all their connections, so that a new connection's
/// timestamps follow on the last one's (RFC 7323 section 5.5, RFC 6191).
pub(crate) fn timestamp_offset(cx: &Context, tuple: &Tuple) -> u32 {
    let hosts = Tuple { local: (tuple.local.0, 0), remote: (tuple.remote.0, 0) };
    cx.keys.timestamps.hash_one(hosts) as u32
}

/// The timestamp clock: one tick a millisecond (RFC 7323 section 5.4 asks for 1 ms to 1 s).
pub(crate) fn timestamp(now: Instant, offset: u32) -> u32 {
    (now.as_millis() as u32).wrapping_add(offset)
}
