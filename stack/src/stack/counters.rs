//! Counters of a stack: what came, what went, and every drop by its name.

use crate::frame::DropReason;

/// What a stack has done so far. Plain numbers, to be read at any time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Frames handed to the stack.
    pub frames_in: u64,
    /// Bytes of those frames.
    pub bytes_in: u64,
    /// Frames that the stack handed out.
    pub frames_out: u64,
    /// Bytes of those frames.
    pub bytes_out: u64,
    /// Packets forwarded.
    pub forwarded: u64,
    /// Datagrams reassembled from fragments.
    pub reassembled: u64,
    /// Fragments sent.
    pub fragments_out: u64,
    /// ICMP errors sent.
    pub icmp_errors_out: u64,
    /// ARP packets in which somebody else used one of our addresses (RFC 5227).
    pub address_conflicts: u64,
    /// TCP connections opened by this side.
    pub tcp_active_opens: u64,
    /// TCP connections accepted.
    pub tcp_passive_opens: u64,
    /// TCP segments in.
    pub tcp_segments_in: u64,
    /// TCP segments out.
    pub tcp_segments_out: u64,
    /// TCP segments retransmitted.
    pub tcp_retransmits: u64,
    /// TCP retransmission time-outs.
    pub tcp_timeouts: u64,
    /// TCP resets sent.
    pub tcp_resets_out: u64,
    /// SYN cookies sent.
    pub tcp_cookies_out: u64,
    /// SYN cookies that came back valid.
    pub tcp_cookies_in: u64,
    /// Challenge ACKs sent (RFC 5961).
    pub tcp_challenge_acks: u64,
    /// Payload bytes copied by the stack, in and out.
    pub bytes_copied: u64,
    drops: Drops,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Drops([u64; DropReason::ALL.len()]);

impl Default for Drops {
    fn default() -> Drops {
        Drops([0; DropReason::ALL.len()])
    }
}

impl Counters {
    /// How often something was dropped for this reason.
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.drops.0[reason as usize]
    }

    /// The reasons that occurred, with their counts.
    pub fn all_drops(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.iter().map(|&r| (r, self.drops(r))).filter(|&(_, count)| count > 0)
    }

    pub(crate) fn count_drop(&mut self, reason: DropReason) {
        self.drops.0[reason as usize] += 1;
    }
}
