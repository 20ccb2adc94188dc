//! Reassembly: any order, duplicates, lies, limits and deadlines.

use super::*;
use crate::stack::InterfaceId;
use core::net::IpAddr;
use proptest::prelude::*;

const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

fn header(ident: u16, offset: usize, more: bool) -> ipv4::Header {
    ipv4::Header {
        header_len: 20,
        total_len: 0,
        tos: 0,
        ident,
        dont_fragment: false,
        more_fragments: more,
        fragment_offset: offset as u16,
        ttl: 64,
        protocol: 17,
        source: A,
        destination: B,
    }
}

fn packet(data: &[u8]) -> PacketIn {
    PacketIn {
        interface: InterfaceId(1),
        source: IpAddr::V4(A),
        destination: IpAddr::V4(B),
        protocol: 17,
        tos: 0,
        broadcast: false,
        payload: Bytes::copy_from_slice(data),
        checksum: RxChecksum::Verified,
        gso: None,
        header: b"the header"[..].into(),
    }
}

fn new() -> Reassembly {
    Reassembly::new(KeyedState::new((1, 2)))
}

fn add(reassembly: &mut Reassembly, ident: u16, offset: usize, data: &[u8], more: bool) -> Fragment {
    reassembly.add(Instant::ZERO, &header(ident, offset, more), packet(data)).0
}

fn is_empty(reassembly: &Reassembly) -> bool {
    reassembly.datagrams.is_empty() && reassembly.order.is_empty() && reassembly.charge == 0
}

#[track_caller]
fn assert_refused(fragment: Fragment, reason: DropReason) {
    assert!(matches!(fragment, Fragment::Refused(why) if why == reason), "{fragment:?}");
}

#[test]
fn two_datagrams_at_once() {
    let mut reassembly = new();
    assert!(matches!(add(&mut reassembly, 1, 8, b"end", false), Fragment::Waits));
    assert!(matches!(add(&mut reassembly, 2, 0, b"another.", true), Fragment::Waits));
    let Fragment::Whole(one) = add(&mut reassembly, 1, 0, b"an early", true) else { panic!() };
    assert_eq!(&one.payload[..], b"an earlyend");
    assert_eq!(one.checksum, RxChecksum::Unverified, "nobody vouched for the whole");
    let Fragment::Whole(two) = add(&mut reassembly, 2, 8, b"", false) else {
        assert_refused(add(&mut reassembly, 2, 8, b"", false), DropReason::FragmentMalformed);
        assert!(matches!(add(&mut reassembly, 2, 8, b"!", false), Fragment::Whole(_)));
        assert!(is_empty(&reassembly));
        return;
    };
    panic!("an empty fragment was taken: {two:?}");
}

#[test]
fn exact_duplicates_do_no_harm() {
    let mut reassembly = new();
    add(&mut reassembly, 1, 0, b"12345678", true);
    assert_refused(add(&mut reassembly, 1, 0, b"12345678", true), DropReason::FragmentDuplicate);
    assert!(matches!(add(&mut reassembly, 1, 8, b"9", false), Fragment::Whole(_)));
}

#[test]
fn overlaps_spoil_the_datagram_until_its_time_is_up() {
    let overlaps: [(usize, &[u8], bool); 5] = [
        (0, b"other...", true),         // Same place, other bytes.
        (0, b"12345678abcdefgh", true), // Longer.
        (8, b"abcdefgh12345678", true), // Into the piece behind.
        (16, b"1234567", false),        // The end where more is.
        (32, b"12345678", true),        // Behind the end.
    ];
    for (offset, data, more) in overlaps {
        let mut reassembly = new();
        add(&mut reassembly, 1, 0, b"12345678", true);
        add(&mut reassembly, 1, 16, b"12345678", true);
        if offset == 32 {
            add(&mut reassembly, 1, 24, b"end", false);
        }
        assert_refused(add(&mut reassembly, 1, offset, data, more), DropReason::FragmentOverlap);
        assert_eq!(reassembly.charge, 0);
        assert_refused(add(&mut reassembly, 1, 8, b"12345678", true), DropReason::FragmentOverlap);
        let late = Instant::ZERO + REASSEMBLY_TIME;
        assert!(matches!(reassembly.time_out(late), Some(None)), "no first fragment, so no ICMP");
        assert!(is_empty(&reassembly));
    }
}

#[test]
fn impossible_fragments_are_refused() {
    let mut reassembly = new();
    assert_refused(add(&mut reassembly, 1, 0, b"1234567", true), DropReason::FragmentMalformed);
    assert_refused(add(&mut reassembly, 1, 65_528, b"12345678", false), DropReason::FragmentMalformed);
    assert!(is_empty(&reassembly));
}

#[test]
fn time_runs_out_with_the_first_fragment() {
    let mut reassembly = new();
    add(&mut reassembly, 1, 0, b"12345678", true);
    assert_eq!(reassembly.next_timeout(), Some(Instant::ZERO + REASSEMBLY_TIME));
    assert!(reassembly.time_out(Instant::from_millis(29_999)).is_none());
    let first = reassembly.time_out(Instant::from_millis(30_000)).unwrap().unwrap();
    assert_eq!((&first.payload[..], &first.header[..]), (&b"12345678"[..], &b"the header"[..]));
    assert!(is_empty(&reassembly));
}

#[test]
fn congestion_met_by_one_is_told_for_all() {
    let mut reassembly = new();
    add(&mut reassembly, 1, 0, b"12345678", true);
    let marked = PacketIn { tos: 3, ..packet(b"x") };
    let (fragment, _) = reassembly.add(Instant::ZERO, &header(1, 8, false), marked);
    assert!(matches!(fragment, Fragment::Whole(packet) if packet.tos == 3));
}

#[test]
fn a_flood_evicts_the_oldest_and_stays_bounded() {
    let mut reassembly = new();
    let mut evicted = 0;
    for ident in 0..5_000 {
        let (fragment, gone) = reassembly.add(Instant::ZERO, &header(ident, 0, true), packet(&[7; 8_000]));
        assert!(matches!(fragment, Fragment::Waits));
        evicted += gone;
    }
    assert!(reassembly.charge <= REASSEMBLY_BYTES_MAX);
    assert_eq!(evicted + reassembly.datagrams.len(), 5_000);
    assert!(
        matches!(add(&mut reassembly, 4_999, 8_000, b"x", false), Fragment::Whole(_)),
        "the newest is whole"
    );

    let mut small = new();
    for ident in 0..5_000 {
        add(&mut small, ident, 0, b"12345678", true);
    }
    assert_eq!(small.datagrams.len(), DATAGRAMS_MAX);
}

#[test]
fn what_is_complete_leaves_no_trace_behind_what_waits() {
    let mut reassembly = new();
    add(&mut reassembly, 0, 0, b"12345678", true);
    for ident in 1..20_000 {
        add(&mut reassembly, ident, 0, b"12345678", true);
        assert!(matches!(add(&mut reassembly, ident, 8, b"9", false), Fragment::Whole(_)));
    }
    assert!(reassembly.order.len() <= 4 * DATAGRAMS_MAX + 1);
}

proptest! {
    #[test]
    fn any_order_gives_the_datagram_back(
        lens in proptest::collection::vec(1usize..20, 1..12), last in 1usize..30, seed in any::<u64>(),
    ) {
        let mut data = Vec::new();
        let mut fragments = Vec::new();
        for len in lens {
            let piece: Vec<u8> = (0..len * 8).map(|i| (data.len() + i) as u8 ^ seed as u8).collect();
            fragments.push((data.len(), piece.clone(), true));
            data.extend(piece);
        }
        fragments.push((data.len(), vec![9; last], false));
        data.extend(vec![9; last]);
        fastrand::Rng::with_seed(seed).shuffle(&mut fragments);
        let mut reassembly = new();
        let (final_one, others) = fragments.split_last().unwrap();
        for (offset, piece, more) in others {
            let waits = matches!(add(&mut reassembly, 1, *offset, piece, *more), Fragment::Waits);
            prop_assert!(waits);
            let again = add(&mut reassembly, 1, *offset, piece, *more);
            prop_assert!(matches!(again, Fragment::Refused(DropReason::FragmentDuplicate)));
        }
        let (offset, piece, more) = final_one;
        match add(&mut reassembly, 1, *offset, piece, *more) {
            Fragment::Whole(packet) => prop_assert_eq!(&packet.payload[..], &data[..]),
            other => prop_assert!(false, "{:?}", other),
        }
        prop_assert!(is_empty(&reassembly));
    }
}
