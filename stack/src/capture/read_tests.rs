//! Tests of the reader: other writers' habits, both byte orders, and files that are cut or wrong.

use super::*;

/// A capture in this byte order with one interface (2^-20 s, 5 s offset) and one packet of five bytes, two comments.
fn file(big_endian: bool) -> Vec<u8> {
    let n16 = |n: u16| if big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
    let n32 = |n: u32| if big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
    let block = |kind: u32, body: &[u8]| {
        let len = n32(body.len() as u32 + 12);
        [&n32(kind)[..], &len, body, &len].concat()
    };
    let section = [&n32(0x1a2b_3c4d)[..], &n16(1), &n16(0), &[0xff; 8]].concat();
    let name = [&n16(2)[..], &n16(4), b"eth7"].concat();
    let resolution = [&n16(9)[..], &n16(1), &[0x94, 0, 0, 0]].concat();
    let interface = [&n16(1)[..], &n16(0), &n32(0), &name, &resolution, &n32(0)].concat();
    let flags = [&n16(2)[..], &n16(4), &n32(1)].concat();
    let comment = |text: &[u8; 3]| [&n16(1)[..], &n16(3), text, &[0]].concat();
    let packet = [
        &n32(0)[..],
        &n32(0),
        &n32(3 << 19),
        &n32(5),
        &n32(9),
        b"12345\0\0\0",
        &flags,
        &comment(b"one"),
        &comment(b"two"),
        &n32(0),
    ];
    [block(0x0a0d_0d0a, &section), block(1, &interface), block(6, &packet.concat())].concat()
}

/// Bytes of that file's packet block, its last.
const PACKET_LEN: usize = 12 + 20 + 8 + 8 + 2 * 8 + 4;

#[test]
fn both_byte_orders_and_odd_resolutions_are_read() {
    let expected = Record {
        interface: "eth7".into(),
        link: LinkType::Ethernet,
        unix_nanos: 1_500_000_000,
        direction: Some(Direction::In),
        packet_id: 0,
        dropped: false,
        comment: "one\ntwo".into(),
        original_len: 9,
        bytes: b"12345".to_vec(),
    };
    for big_endian in [false, true] {
        let records = read(&file(big_endian)).unwrap();
        assert_eq!(records, Records { records: vec![expected.clone()], truncated: false });
    }
    // Sections follow each other, each with interfaces and a byte order of its own.
    let both = read(&[file(true), file(false)].concat()).unwrap();
    assert_eq!(both.records, [expected.clone(), expected]);
}

#[test]
fn offsets_and_absurd_resolutions_do_not_overflow() {
    let interface = |units_per_s, offset_s| Interface {
        name: "x".into(),
        link: LinkType::Ip,
        units_per_s,
        offset_s,
        snaplen: 0,
    };
    assert_eq!(interface(1_000_000, 5).unix_nanos(1), 5_000_001_000);
    assert_eq!(interface(1_000_000, -5).unix_nanos(1), 0);
    assert_eq!(interface(1, i64::MAX).unix_nanos(u64::MAX), u64::MAX);
    assert_eq!(interface(units_per_s(20), 0).unix_nanos(u64::MAX), 0);
    assert_eq!((units_per_s(9), units_per_s(0x94)), (1_000_000_000, 1 << 20));
}

#[test]
fn cut_files_give_what_is_whole() {
    let whole = file(false);
    let packet_at = whole.len() - PACKET_LEN;
    for len in 4..whole.len() {
        let cut = read(&whole[..len]).unwrap();
        assert!(cut.records.is_empty(), "{len}");
        assert!(cut.truncated || [28, packet_at].contains(&len), "{len}");
    }
}

#[test]
fn wrong_files_are_refused_with_what_is_wrong() {
    assert_eq!(read(b""), Err(ReadError::NotPcapng));
    assert_eq!(read(&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0]), Err(ReadError::NotPcapng));
    let mut unknown = file(false);
    let packet_at = unknown.len() - PACKET_LEN;
    unknown[packet_at + 8] = 3;
    assert_eq!(read(&unknown), Err(ReadError::UnknownInterface { offset: packet_at, index: 3 }));
    let mut malformed = file(false);
    malformed[packet_at + 4] = 12;
    assert_eq!(read(&malformed), Err(ReadError::Malformed { offset: packet_at }));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(at in 0usize..200, bytes: Vec<u8>) {
        let mut file = file(false);
        let at = at.min(file.len());
        let end = (at + bytes.len()).min(file.len());
        file[at..end].copy_from_slice(&bytes[..end - at]);
        let _ = read(&file);
        let _ = read(&bytes);
    }
}
