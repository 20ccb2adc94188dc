//! Two devices joined in memory: for tests without a kernel, and for independent peers.

use super::cut::Cutter;
use super::{Device, Receive, Transmit};
use crate::frame::{RxFrame, TxFrame};
use crate::stack::{Medium, Offloads};
use crate::time::Instant;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a pair of joined devices is like.
#[derive(Clone, Copy, Debug)]
pub struct MemoryOptions {
    /// What frames look like.
    pub medium: Medium,
    /// The largest IP packet that it carries, in bytes.
    pub mtu: u16,
    /// What may be left undone: without offloads partial checksums are completed, and super-frames refused.
    pub offloads: Offloads,
    /// Does what [`MemoryOptions::offloads`] leaves undone on the way: super-frames are cut into frames of the MTU, and
    /// their checksums made. So machines can send much at once over a link that carries what a cable would.
    pub segmentation: bool,
    /// Frames that wait for each end at most, beside those that its receiver has taken out together already. A full
    /// queue refuses frames, it doesn't drop them.
    pub queue_frames_max: usize,
}

impl MemoryOptions {
    /// A link that carries single frames with their checksums, and cuts super-frames by itself.
    pub fn segmenting() -> MemoryOptions {
        let offloads = Offloads {
            tx_checksum: true,
            tso_max: SUPER_FRAME_MAX,
            uso_max: SUPER_FRAME_MAX,
            software: true,
        };
        MemoryOptions { offloads, segmentation: true, ..MemoryOptions::default() }
    }
}

impl Default for MemoryOptions {
    fn default() -> MemoryOptions {
        MemoryOptions {
            medium: Medium::Ethernet,
            mtu: 1500,
            offloads: Offloads::default(),
            segmentation: false,
            queue_frames_max: QUEUE_FRAMES_DEFAULT,
        }
    }
}

/// The largest payload of a super-frame that is cut, in bytes: what one IP packet can say.
const SUPER_FRAME_MAX: u32 = u16::MAX as u32;

/// Frames that wait for each end where nobody asked for another number: as many as a TAP's queue holds.
pub const QUEUE_FRAMES_DEFAULT: usize = 1000;

/// Two devices: what one transmits, the other receives, in order. An end that is dropped makes the other's
/// `transmit` fail with `NotConnected`; what it sent before can still be received.
pub fn pair(names: [&str; 2], options: MemoryOptions) -> (Device, Device) {
    let there = Wire::default();
    let back = Wire::default();
    let device = |name: &str, rx: &Wire, tx: &Wire| Device {
        name: name.to_owned(),
        medium: options.medium,
        mtu: options.mtu,
        offloads: options.offloads,
        rx: Box::new(MemoryReceive { wire: rx.clone(), batch: VecDeque::new() }),
        tx: Box::new(MemoryTransmit { wire: tx.clone(), options, cutter: Cutter::default() }),
        #[cfg(target_os = "linux")]
        fd: None,
    };
    (device(names[0], &back, &there), device(names[1], &there, &back))
}

/// One direction.
#[derive(Clone, Default)]
struct Wire(Arc<Mutex<Queue>>);

#[derive(Default)]
struct Queue {
    frames: VecDeque<RxFrame>,
    receiver_gone: bool,
}

impl Wire {
    /// A panic elsewhere leaves the queue whole: each operation on it is one step.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct MemoryReceive {
    wire: Wire,
    /// Taken from the wire all at once: a lock for each frame would cost more than the frame.
    batch: VecDeque<RxFrame>,
}

impl Receive for MemoryReceive {
    fn receive(&mut self, _now: Instant) -> io::Result<Option<RxFrame>> {
        if self.batch.is_empty() {
            core::mem::swap(&mut self.batch, &mut self.wire.lock().frames);
        }
        Ok(self.batch.pop_front())
    }
}

impl Drop for MemoryReceive {
    fn drop(&mut self) {
        let mut queue = self.wire.lock();
        queue.receiver_gone = true;
        queue.frames.clear();
    }
}

struct MemoryTransmit {
    wire: Wire,
    options: MemoryOptions,
    cutter: Cutter,
}

impl Transmit for MemoryTransmit {
    fn transmit(&mut self, _now: Instant, frame: &TxFrame) -> io::Result<()> {
        let MemoryOptions { offloads, segmentation, .. } = self.options;
        if frame.gso.is_some() && offloads.tso_max == 0 && offloads.uso_max == 0 {
            let text = "this link takes no super-frames: its offloads say so";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let mut queue = self.wire.lock();
        if queue.receiver_gone {
            return Err(io::Error::new(
                io::ErrorKind::NotConnected,
                "the other end of this link was dropped",
            ));
        }
        let count = if segmentation { frame.segments() } else { 1 };
        let room = self.options.queue_frames_max.saturating_sub(queue.frames.len());
        // More than the queue ever holds goes into an empty one.
        if count > room && !queue.frames.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if segmentation {
            return match self.cutter.cut(frame, self.options.medium, &mut queue.frames) {
                true => Ok(()),
                false => Err(io::Error::new(io::ErrorKind::InvalidData, "a super-frame that can't be cut")),
            };
        }
        queue.frames.push_back(match offloads.tx_checksum {
            true => frame.to_received(),
            false => RxFrame { id: frame.id, gso: frame.gso, ..RxFrame::new(frame.completed()) },
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Cause, Gso, GsoKind, PacketId, RxChecksum, TxChecksum};
    use bytes::Bytes;

    fn frame(id: u64) -> TxFrame {
        let mut frame = TxFrame::new(Cause::default());
        frame.payload.push(Bytes::from(vec![id as u8; 20]));
        frame.prepend(14);
        frame.id = PacketId(id);
        frame
    }

    #[test]
    fn frames_cross_in_order_and_both_ways() {
        let (mut a, mut b) = pair(["a", "b"], MemoryOptions::default());
        let now = Instant::ZERO;
        for id in 1..=3 {
            a.tx.transmit(now, &frame(id)).unwrap();
        }
        b.tx.transmit(now, &frame(9)).unwrap();
        for id in 1..=3 {
            let got = b.rx.receive(now).unwrap().unwrap();
            assert_eq!((got.id, &got.bytes[..]), (PacketId(id), &frame(id).to_vec()[..]));
        }
        assert!(b.rx.receive(now).unwrap().is_none());
        assert_eq!(a.rx.receive(now).unwrap().unwrap().id, PacketId(9));
    }

    #[test]
    fn a_full_queue_refuses_and_loses_nothing() {
        let (mut a, mut b) =
            pair(["a", "b"], MemoryOptions { queue_frames_max: 2, ..MemoryOptions::default() });
        let now = Instant::ZERO;
        let mut send = |id| a.tx.transmit(now, &frame(id)).map_err(|e| e.kind());
        assert_eq!((send(1), send(2), send(3)), (Ok(()), Ok(()), Err(io::ErrorKind::WouldBlock)));
        assert_eq!(b.rx.receive(now).unwrap().unwrap().id, PacketId(1));
        assert_eq!(send(3), Ok(()));
        drop(b);
        assert_eq!(send(4), Err(io::ErrorKind::NotConnected));
    }

    #[test]
    fn offloads_decide_what_is_left_undone() {
        let now = Instant::ZERO;
        let mut partial = frame(1);
        partial.checksum = TxChecksum::Partial { start: 14, offset: 6 };
        let mut gso = partial.clone();
        gso.gso = Some(Gso { kind: GsoKind::Udp4, size: 10 });

        let (mut a, mut b) = pair(["a", "b"], MemoryOptions::default());
        a.tx.transmit(now, &partial).unwrap();
        let got = b.rx.receive(now).unwrap().unwrap();
        assert_eq!((got.checksum, &got.bytes), (RxChecksum::Unverified, &partial.completed()));
        assert_ne!(got.bytes, partial.to_vec());
        assert_eq!(a.tx.transmit(now, &gso).map_err(|e| e.kind()), Err(io::ErrorKind::InvalidInput));

        let offloads = Offloads { tx_checksum: true, tso_max: 60_000, uso_max: 60_000, software: false };
        let (mut a, mut b) = pair(["a", "b"], MemoryOptions { offloads, ..MemoryOptions::default() });
        a.tx.transmit(now, &gso).unwrap();
        let got = b.rx.receive(now).unwrap().unwrap();
        assert_eq!((got.checksum, got.gso), (RxChecksum::Partial { start: 14, offset: 6 }, gso.gso));
        assert_eq!(got.bytes, gso.to_vec());
    }
}
