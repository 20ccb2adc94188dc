//! TCP options against bytes that Linux sent, against lies, and against themselves.

use super::*;
use proptest::prelude::*;

fn emit(options: &TcpOptions) -> Vec<u8> {
    let mut bytes = vec![0xee; options.emitted_len()];
    options.emit(&mut bytes);
    bytes
}

fn sack(blocks: &[(u32, u32)]) -> SackBlocks {
    let mut list = SackBlocks::default();
    for &block in blocks {
        assert!(list.push(block));
    }
    list
}

const TS: Option<Timestamps> = Some(Timestamps { value: 0x0102_0304, echo: 0x0506_0708 });

#[test]
fn syn_as_linux_sends_it() {
    let bytes = &super::super::captured::bytes(super::super::captured::TCP_SYN)[54..];
    let options = TcpOptions {
        mss: Some(1460),
        window_scale: Some(10),
        sack_permitted: true,
        timestamps: Some(Timestamps { value: 897_121_518, echo: 0 }),
        sack: SackBlocks::default(),
    };
    assert_eq!(TcpOptions::parse(bytes), options);
    assert_eq!(emit(&options), bytes);
}

#[test]
fn syn_without_timestamps() {
    let options =
        TcpOptions { mss: Some(1460), window_scale: Some(7), sack_permitted: true, ..TcpOptions::default() };
    assert_eq!(emit(&options), [2, 4, 5, 0xb4, 1, 1, 4, 2, 1, 3, 3, 7]);
}

#[test]
fn ack_with_timestamps_and_sack() {
    let options = TcpOptions { timestamps: TS, sack: sack(&[(1, 2)]), ..TcpOptions::default() };
    let expected = [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2];
    assert_eq!(emit(&options), expected);
}

#[test]
fn three_blocks_fit_beside_timestamps_and_four_without() {
    let four = sack(&[(1, 2), (3, 4), (5, 6), (7, 8)]);
    let with = TcpOptions { timestamps: TS, sack: four, ..TcpOptions::default() };
    assert_eq!(with.emitted_len(), 40);
    assert_eq!(TcpOptions::parse(&emit(&with)).sack, sack(&[(1, 2), (3, 4), (5, 6)]));
    let without = TcpOptions { sack: four, ..TcpOptions::default() };
    assert_eq!(without.emitted_len(), 36);
    assert_eq!(TcpOptions::parse(&emit(&without)).sack, four);
}

#[test]
fn unknown_options_are_skipped() {
    let options = TcpOptions::parse(&[254, 4, 9, 9, 2, 4, 5, 0xb4, 30, 2, 1, 3, 3, 2]);
    assert_eq!((options.mss, options.window_scale), (Some(1460), Some(2)));
}

#[test]
fn a_wrong_length_costs_one_option() {
    // An MSS of three bytes, a good window scale behind it.
    let options = TcpOptions::parse(&[2, 3, 5, 3, 3, 2]);
    assert_eq!((options.mss, options.window_scale), (None, Some(2)));
}

#[test]
fn a_length_that_leads_nowhere_ends_the_reading() {
    for bad in [&[8, 0][..], &[8, 1], &[8, 10, 1], &[8], &[0, 3, 3, 9]] {
        let bytes = [&[2, 4, 5, 0xb4][..], bad].concat();
        assert_eq!(TcpOptions::parse(&bytes), TcpOptions { mss: Some(1460), ..TcpOptions::default() });
    }
}

#[test]
fn window_scale_is_at_most_14() {
    assert_eq!(TcpOptions::parse(&[3, 3, 200]).window_scale, Some(14));
}

proptest! {
    #[test]
    fn round_trip(
        mss in any::<Option<u16>>(), shift in proptest::option::of(0u8..=14), sack_permitted in any::<bool>(),
        timestamps in any::<Option<(u32, u32)>>(),
        blocks in proptest::collection::vec(any::<(u32, u32)>(), 0..=4),
    ) {
        let mut options = TcpOptions {
            mss, window_scale: shift, sack_permitted,
            timestamps: timestamps.map(|(value, echo)| Timestamps { value, echo }),
            sack: sack(&blocks),
        };
        let bytes = emit(&options);
        prop_assert!(bytes.len() <= OPTIONS_BYTES_MAX && bytes.len().is_multiple_of(4));
        let parsed = TcpOptions::parse(&bytes);
        options.sack = sack(&blocks[..parsed.sack.len()]);
        prop_assert_eq!(parsed, options);
        prop_assert!(parsed.sack.len() == blocks.len() || bytes.len() > OPTIONS_BYTES_MAX - 8);
    }

    #[test]
    fn any_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let options = TcpOptions::parse(&bytes);
        let _ = emit(&options);
    }
}
