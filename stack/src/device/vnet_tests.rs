//! Tests of the vnet header's mapping, from bytes that a kernel wrote (x86-64, Linux 6.18, TAP in offload mode).

use super::*;
use crate::frame::Cause;
use bytes::Bytes;

/// In front of a SYN from the kernel: its checksum is left to us, behind Ethernet and IPv4 (34), 16 bytes in.
#[cfg(target_endian = "little")]
const KERNEL_SYN: [u8; 10] = [1, 0, 0, 0, 0, 0, 34, 0, 16, 0];
/// In front of a super-frame of five segments of 1000 bytes; its headers are 54.
#[cfg(target_endian = "little")]
const KERNEL_TSO: [u8; 10] = [1, 1, 54, 0, 0xe8, 3, 34, 0, 16, 0];
/// In front of a super-frame of UDP datagrams of 1200 bytes.
#[cfg(target_endian = "little")]
const KERNEL_USO: [u8; 10] = [1, 5, 42, 0, 0xb0, 4, 34, 0, 6, 0];

fn with_frame(header: [u8; 10], ethertype: [u8; 2]) -> Vec<u8> {
    let mut bytes = header.to_vec();
    bytes.extend_from_slice(&[2; 12]);
    bytes.extend_from_slice(&ethertype);
    bytes
}

const IPV4: [u8; 2] = [8, 0];
const PARTIAL_TCP: RxChecksum = RxChecksum::Partial { start: 34, offset: 16 };

#[test]
#[cfg(target_endian = "little")]
fn kernel_headers_are_understood() {
    assert_eq!(decode(&with_frame(KERNEL_SYN, IPV4)), Some((PARTIAL_TCP, None)));
    let gso = Gso { kind: GsoKind::Tcp4, size: 1000 };
    assert_eq!(decode(&with_frame(KERNEL_TSO, IPV4)), Some((PARTIAL_TCP, Some(gso))));
    let with_ecn = [1, 0x81, 54, 0, 0xe8, 3, 34, 0, 16, 0];
    assert_eq!(decode(&with_frame(with_ecn, IPV4)), Some((PARTIAL_TCP, Some(gso))));
    let expected =
        (RxChecksum::Partial { start: 34, offset: 6 }, Some(Gso { kind: GsoKind::Udp4, size: 1200 }));
    assert_eq!(decode(&with_frame(KERNEL_USO, IPV4)), Some(expected));
    // The same over IPv6 is nothing that this stack can use.
    assert_eq!(decode(&with_frame(KERNEL_USO, [0x86, 0xdd])), Some((expected.0, None)));
}

#[test]
fn other_headers_are_understood() {
    assert_eq!(decode(&with_frame([0; 10], IPV4)), Some((RxChecksum::Unverified, None)));
    assert_eq!(decode(&with_frame([2, 0, 0, 0, 0, 0, 0, 0, 0, 0], IPV4)), Some((RxChecksum::Verified, None)));
    // Super-frames of segments without a size, and kinds that nobody asked for.
    assert_eq!(
        decode(&with_frame([0, 1, 0, 0, 0, 0, 0, 0, 0, 0], IPV4)),
        Some((RxChecksum::Unverified, None))
    );
    assert_eq!(
        decode(&with_frame([0, 4, 0, 0, 9, 9, 0, 0, 0, 0], IPV4)),
        Some((RxChecksum::Unverified, None))
    );
    assert_eq!(decode(&[0; 9]), None);
    assert_eq!(decode(&[0, 5, 0, 0, 1, 1, 0, 0, 0, 0]), Some((RxChecksum::Unverified, None)));
}

#[test]
#[cfg(target_endian = "little")]
fn frames_get_the_headers_that_a_kernel_expects() {
    let mut frame = TxFrame::new(Cause::default());
    frame.payload.push(Bytes::from_static(&[0; 3000]));
    frame.prepend(54);
    assert_eq!(encode(&frame), [0; 10]);
    frame.checksum = TxChecksum::Partial { start: 34, offset: 16 };
    assert_eq!(encode(&frame), KERNEL_SYN);
    frame.gso = Some(Gso { kind: GsoKind::Tcp4, size: 1000 });
    assert_eq!(encode(&frame), KERNEL_TSO);
    frame.headers_mut()[34 + 13] = 0x80 | 0x10;
    assert_eq!(encode(&frame)[1], 0x81, "CWR is told");
    let mut frame = TxFrame::new(Cause::default());
    frame.prepend(42);
    frame.checksum = TxChecksum::Partial { start: 34, offset: 6 };
    frame.gso = Some(Gso { kind: GsoKind::Udp4, size: 1200 });
    assert_eq!(encode(&frame), KERNEL_USO);
}

#[test]
fn frames_that_are_passed_on_have_a_header_length_that_reaches_the_checksum() {
    let mut frame = TxFrame::new(Cause::default());
    frame.payload.push(Bytes::from_static(&[0; 3000]));
    frame.prepend(14);
    frame.checksum = TxChecksum::Partial { start: 34, offset: 16 };
    frame.gso = Some(Gso { kind: GsoKind::Tcp4, size: 1448 });
    let header = encode(&frame);
    assert_eq!(u16::from_ne_bytes([header[2], header[3]]), 52);
}

#[test]
fn what_is_encoded_is_decoded() {
    for kind in [GsoKind::Tcp4, GsoKind::Udp4] {
        let mut frame = TxFrame::new(Cause::default());
        frame.prepend(54)[12..14].copy_from_slice(&IPV4);
        frame.checksum = TxChecksum::Partial { start: 34, offset: 16 };
        frame.gso = Some(Gso { kind, size: 1000 });
        let mut bytes = encode(&frame).to_vec();
        bytes.extend_from_slice(frame.headers());
        assert_eq!(decode(&bytes), Some((PARTIAL_TCP, frame.gso)));
    }
}
