//! Tests of the wrappers: every frame's fate is the link's, none is invented and none is drawn twice.

use super::*;
use crate::device::memory::{MemoryOptions, pair};
use crate::frame::{Cause, PacketId, TxChecksum};
use bytes::Bytes;

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn frame(id: u64) -> TxFrame {
    let mut frame = TxFrame::new(Cause::default());
    frame.payload.push(Bytes::from(vec![0x55; 46]));
    frame.prepend(14);
    frame.id = PacketId(id);
    frame
}

fn received(device: &mut Device, now: Instant) -> Vec<(u64, Bytes)> {
    core::iter::from_fn(|| device.rx.receive(now).unwrap()).map(|f| (f.id.0, f.bytes)).collect()
}

fn ids(device: &mut Device, now: Instant) -> Vec<u64> {
    received(device, now).into_iter().map(|(id, _)| id).collect()
}

fn rough() -> Impairment {
    Impairment {
        loss: 0.1,
        duplicate: 0.1,
        reorder: 0.1,
        reorder_delay: Duration::from_millis(3),
        delay: Duration::from_millis(5),
        ..Impairment::default()
    }
}

/// Both wrappers deliver exactly what the bare link says, at the times that it says.
#[test]
fn wrappers_do_what_the_link_says() {
    for (rx, tx, seed) in [(rough(), Impairment::default(), 9), (Impairment::default(), rough(), !9)] {
        let (a, mut b) = pair(["a", "b"], MemoryOptions::default());
        let (mut a, _) = impair(a, rx, tx, 9);
        let receiving = rx == rough();
        let mut link = Link::new(rough(), seed);
        let (mut expected, mut got) = (Vec::new(), Vec::new());
        for millis in 0..500 {
            let now = at(millis);
            if millis < 400 {
                let sender = if receiving { &mut b } else { &mut a };
                sender.tx.transmit(now, &frame(millis)).unwrap();
                expected.extend(link.send(now, 60).deliveries().iter().map(|d| (d.at, millis)));
            }
            a.tx.handle_deadline(now).unwrap();
            let receiver = if receiving { &mut a } else { &mut b };
            got.extend(ids(receiver, now).into_iter().map(|id| (now, id)));
        }
        expected.sort_by_key(|&(at, _)| at);
        assert_eq!(got, expected);
        assert_eq!((a.rx.next_deadline(), a.tx.next_deadline()), (None, None));
    }
}

#[test]
fn deadlines_tell_when_held_back_frames_are_due() {
    let slow = Impairment { delay: Duration::from_millis(5), ..Impairment::default() };
    let (a, mut b) = pair(["a", "b"], MemoryOptions::default());
    let (mut a, _) = impair(a, slow, slow, 1);
    a.tx.transmit(at(1), &frame(1)).unwrap();
    b.tx.transmit(at(2), &frame(2)).unwrap();
    assert_eq!(ids(&mut a, at(2)), []);
    assert_eq!((a.rx.next_deadline(), a.tx.next_deadline()), (Some(at(7)), Some(at(6))));
    a.tx.handle_deadline(at(6)).unwrap();
    assert_eq!(ids(&mut b, at(6)), [1]);
    assert_eq!(ids(&mut a, at(7)), [2]);
}

#[test]
fn corruption_spares_shared_bytes_and_the_link_header_and_completes_checksums_first() {
    let bad = Impairment { corrupt: 1.0, ..Impairment::default() };
    let offloads = Offloads { tx_checksum: true, ..Offloads::default() };
    let (a, mut b) = pair(["a", "b"], MemoryOptions { offloads, ..MemoryOptions::default() });
    let (mut a, [rx, tx]) = impair(a, bad, bad, 1);
    let mut sent = frame(1);
    sent.checksum = TxChecksum::Partial { start: 20, offset: 6 };
    for _ in 0..100 {
        a.tx.transmit(at(1), &sent).unwrap();
        b.tx.transmit(at(1), &sent).unwrap();
        for device in [&mut a, &mut b] {
            let got = device.rx.receive(at(1)).unwrap().unwrap();
            assert_eq!((got.checksum, got.id), (RxChecksum::Unverified, PacketId(1)));
            let whole = sent.completed();
            let flipped: u32 = got.bytes.iter().zip(&whole).map(|(a, b)| (a ^ b).count_ones()).sum();
            assert_eq!((flipped, &got.bytes[..14]), (1, &whole[..14]));
        }
    }
    assert_eq!((rx.counts().corrupted, tx.counts().corrupted), (100, 100));
    assert!(sent.payload[0].iter().all(|&b| b == 0x55));
}

#[test]
fn frames_that_the_device_refuses_wait_and_keep_their_order() {
    let (a, mut b) = pair(["a", "b"], MemoryOptions { queue_frames_max: 2, ..MemoryOptions::default() });
    let (mut a, [_, tx]) = impair(a, Impairment::default(), Impairment::default(), 1);
    for id in 1..=5 {
        a.tx.transmit(at(1), &frame(id)).unwrap();
    }
    assert_eq!(tx.counts().frames, 5);
    assert_eq!(ids(&mut b, at(1)), [1, 2]);
    assert_eq!(a.tx.next_deadline(), Some(at(2)));
    a.tx.handle_deadline(at(2)).unwrap();
    assert_eq!(ids(&mut b, at(2)), [3, 4]);
    a.tx.transmit(at(3), &frame(6)).unwrap();
    assert_eq!(ids(&mut b, at(3)), [5, 6]);
    assert_eq!(a.tx.next_deadline(), None);
}

#[test]
fn a_flood_that_is_lost_gives_the_caller_a_turn() {
    let (a, mut b) = pair(["a", "b"], MemoryOptions::default());
    let (mut a, [rx, _]) =
        impair(a, Impairment { loss: 1.0, ..Impairment::default() }, Impairment::default(), 1);
    for id in 0..300 {
        b.tx.transmit(at(1), &frame(id)).unwrap();
    }
    assert!(a.rx.receive(at(1)).unwrap().is_none());
    assert_eq!((rx.counts().lost, a.rx.next_deadline()), (256, Some(at(1))));
    assert!(a.rx.receive(at(1)).unwrap().is_none());
    assert_eq!((rx.counts().lost, a.rx.next_deadline()), (300, None));
}

#[test]
fn impairments_can_be_changed_and_super_frames_are_not_asked_for() {
    let offloads = Offloads { tx_checksum: true, tso_max: 60_000, uso_max: 60_000, software: false };
    let (a, mut b) = pair(["a", "b"], MemoryOptions { offloads, ..MemoryOptions::default() });
    let (mut a, [_, tx]) = impair(a, Impairment::default(), Impairment::default(), 1);
    assert_eq!(a.offloads, Offloads { tx_checksum: true, ..Offloads::default() });
    a.tx.transmit(at(1), &frame(1)).unwrap();
    tx.set(Impairment { loss: 1.0, ..tx.impairment() });
    a.tx.transmit(at(1), &frame(2)).unwrap();
    tx.set(Impairment::default());
    a.tx.transmit(at(1), &frame(3)).unwrap();
    assert_eq!(ids(&mut b, at(1)), [1, 3]);
}
