//! Header prediction: the segment that nearly always comes next while a peer sends much, and what section 3.10.7.4 of
//! RFC 9293 leaves to do for it.

use super::{ack_field, otherwise};
use crate::frame::Outcome;
use crate::socket::TcpState;
use crate::tcp::config::TcpConfig;
use crate::tcp::connection::{Connection, sent_when};
use crate::tcp::pool::ChunkPool;
use crate::tcp::seq::SeqNum;
use crate::time::Instant;
use crate::wire::tcp_options::Timestamps;
use bytes::Bytes;

/// A segment with the ACK bit, perhaps PSH, and no other; with the timestamps option or none; with data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Predicted {
    /// SEG.SEQ.
    pub(crate) seq: SeqNum,
    /// SEG.ACK.
    pub(crate) ack: SeqNum,
    /// SEG.WND as it is in the header, unscaled.
    pub(crate) window: u16,
    pub(crate) timestamps: Option<Timestamps>,
    /// Bytes of its payload, at least one.
    pub(crate) len: u32,
    /// Segments that the wire carried, and payload of the largest of them: see [`crate::tcp`]'s `Segment`.
    pub(crate) wire_segments: u32,
    pub(crate) segment_bytes: u32,
}

impl Predicted {
    /// Whether every check of `otherwise.rs` would let the segment pass without effect, so that only its data is news: the
    /// next in order, which acknowledges all that is in flight or nothing, and leaves the window as it was. What is left
    /// to be settled is settled when the batch ends.
    pub(crate) fn is_next(&self, conn: &Connection) -> bool {
        let timestamps_pass = match self.timestamps {
            // PAWS (RFC 7323 section 5.3): not older than TS.Recent.
            Some(timestamps) => timestamps.value.wrapping_sub(conn.timestamps.recent) as i32 >= 0,
            None => !conn.timestamps.enabled,
        };
        conn.state == TcpState::Established
            && self.seq == conn.rcv.next
            && conn.sender.is_plain_ack(self.ack)
            && timestamps_pass
            && conn.snd.wnd > 0
            && u32::from(self.window) << conn.snd.scale == conn.snd.wnd
            && self.len <= conn.rcv.window()
            && self.segment_bytes <= conn.rcv.segment_max
            && conn.rcv.is_in_order()
            && !conn.has_urgent_mark()
    }

    /// Takes the payload of a segment that [`Predicted::is_next`].
    pub(crate) fn arrives(
        &self,
        now: Instant,
        conn: &mut Connection,
        payload: Bytes,
        config: &TcpConfig,
        pool: &mut ChunkPool,
    ) -> Outcome {
        conn.counts.segments_in += u64::from(self.wire_segments);
        conn.counts.data_segments_in += u64::from(self.wire_segments);
        conn.heard_of_peer(now);
        conn.set_window(self.seq, self.ack, conn.snd.wnd);
        if !conn.sender.is_idle() {
            self.acknowledges(now, conn, config, pool);
        }
        ack_field::any_ack(conn);
        ack_field::window_is_open(conn);
        otherwise::update_recent(now, conn, self.seq, self.timestamps);
        if !conn.flags.in_batch {
            // One sample a batch is enough.
            otherwise::sample_round_trip(now, conn, self.timestamps, self.segment_bytes);
        }
        conn.rcv.next_data(payload);
        conn.counts.bytes_received += u64::from(self.len);
        conn.ack.data_in(now, conn.sender.rto());
        if !conn.timestamps.enabled {
            conn.rcv.measure_window(now);
        }
        conn.flags.wake = true;
        conn.flags.stalled = false;
        otherwise::delivered(conn)
    }

    /// All that is in flight has arrived.
    fn acknowledges(&self, now: Instant, conn: &mut Connection, config: &TcpConfig, pool: &mut ChunkPool) {
        let (timestamp, echo) =
            (conn.timestamp(now), self.timestamps.map_or(0, |timestamps| timestamps.echo));
        let newly_acked = conn.sender.on_plain_ack(now, || sent_when(now, timestamp, echo));
        ack_field::acknowledged(conn, newly_acked, config, pool);
        conn.flags.confirmed = true;
    }
}
