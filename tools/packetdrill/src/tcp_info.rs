//! `struct tcp_info` as the kernel lays it out, 280 bytes.

use tapstack::socket::{CongestionState, TcpInfo, TcpState};
use tapstack::time::Duration;

/// Bytes of `struct tcp_info` in the newest kernels; older programs ask for fewer.
pub(crate) const TCP_INFO_BYTES: usize = 280;
/// Bytes of `struct sk_meminfo`'s nine words.
pub(crate) const MEMINFO_BYTES: usize = 36;

/// The structure's bytes.
pub(crate) fn encode(info: &TcpInfo) -> [u8; TCP_INFO_BYTES] {
    let mut bytes = Bytes([0; TCP_INFO_BYTES]);
    bytes.heads(info);
    let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    let words = [
        (8, micros(info.rto)),
        (12, micros(info.ato)),
        (16, info.snd_mss),
        (20, info.rcv_mss),
        (24, info.unacked),
        (28, info.sacked),
        (32, info.lost),
        (36, info.retrans),
        (60, info.pmtu),
        (64, info.rcv_ssthresh),
        (68, micros(info.rtt)),
        (72, micros(info.rttvar)),
        (76, info.snd_ssthresh),
        (80, info.snd_cwnd),
        (84, info.advmss),
        (88, info.reordering),
        (92, micros(info.rcv_rtt)),
        (96, info.rcv_space),
        (100, info.total_retrans),
        (136, info.segs_out as u32),
        (140, info.segs_in as u32),
        (144, info.notsent_bytes),
        (148, micros(info.min_rtt)),
        (152, info.data_segs_in as u32),
        (156, info.data_segs_out as u32),
        (192, info.delivered),
        (216, info.dsack_dups),
        (224, info.rcv_ooopack),
        (228, info.snd_wnd),
        (232, info.rcv_wnd),
    ];
    for (at, word) in words {
        bytes.put(at, &word.to_ne_bytes());
    }
    let pacing_rate = if info.pacing_rate == 0 { u64::MAX } else { info.pacing_rate };
    let doubles = [
        (104, pacing_rate),
        (112, u64::MAX),
        (120, info.bytes_acked),
        (128, info.bytes_received),
        (200, info.bytes_sent),
        (208, info.bytes_retrans),
    ];
    for (at, double) in doubles {
        bytes.put(at, &double.to_ne_bytes());
    }
    bytes.0
}

/// `SO_MEMINFO`: what the buffers may hold and what they do. What the stack doesn't count is 0.
pub(crate) fn meminfo(receive: [usize; 2], send: [usize; 2]) -> [u8; MEMINFO_BYTES] {
    let [queued_in, receive_buffer] = receive;
    let [queued_out, send_buffer] = send;
    let words = [queued_in, receive_buffer, queued_out, send_buffer, 0, queued_out, 0, 0, 0];
    let mut bytes = [0; MEMINFO_BYTES];
    for (slot, word) in bytes.chunks_exact_mut(4).zip(words) {
        slot.copy_from_slice(&u32::try_from(word).unwrap_or(u32::MAX).to_ne_bytes());
    }
    bytes
}

struct Bytes([u8; TCP_INFO_BYTES]);

impl Bytes {
    fn put(&mut self, at: usize, value: &[u8]) {
        self.0[at..at + value.len()].copy_from_slice(value);
    }

    /// The fields of single bytes and bits.
    fn heads(&mut self, info: &TcpInfo) {
        let options = [(info.timestamps, 1), (info.sack, 2), (info.window_scale.is_some(), 4), (info.ecn, 8)];
        let options = options.into_iter().filter(|(on, _)| *on).fold(0, |bits, (_, bit)| bits | bit);
        let (receive_scale, send_scale) = info.window_scale.unwrap_or_default();
        let heads = [
            state(info.state),
            congestion_state(info.congestion_state),
            info.retransmits,
            info.probes,
            info.backoff,
            options,
            send_scale & 15 | receive_scale << 4,
        ];
        self.put(0, &heads);
    }
}

/// The kernel's numbers of the states.
fn state(state: TcpState) -> u8 {
    match state {
        TcpState::Established => 1,
        TcpState::SynSent => 2,
        TcpState::SynReceived => 3,
        TcpState::FinWait1 => 4,
        TcpState::FinWait2 => 5,
        TcpState::TimeWait => 6,
        TcpState::Closed => 7,
        TcpState::CloseWait => 8,
        TcpState::LastAck => 9,
        TcpState::Listen => 10,
        TcpState::Closing => 11,
    }
}

fn congestion_state(state: CongestionState) -> u8 {
    match state {
        CongestionState::Open => 0,
        CongestionState::Disorder => 1,
        CongestionState::Cwr => 2,
        CongestionState::Recovery => 3,
        CongestionState::Loss => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_where_the_kernel_has_them() {
        let info = TcpInfo {
            state: TcpState::Established,
            congestion_state: CongestionState::Recovery,
            timestamps: true,
            sack: true,
            window_scale: Some((8, 7)),
            snd_cwnd: 10,
            snd_ssthresh: 7,
            advmss: 1_448,
            snd_mss: 1_000,
            rto: Duration::from_millis(204),
            bytes_acked: 5,
            ..TcpInfo::default()
        };
        let bytes = encode(&info);
        let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!(bytes[..7], [1, 3, 0, 0, 0, 7, 0x87]);
        assert_eq!((word(8), word(16), word(76), word(80), word(84)), (204_000, 1_000, 7, 10, 1_448));
        assert_eq!(u64::from_ne_bytes(bytes[120..128].try_into().unwrap()), 5);
    }
}
