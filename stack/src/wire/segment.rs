//! All headers of an ordinary TCP segment over IPv4, written at once: what [`super::tcp`], [`super::ipv4`] and
//! [`super::ethernet`] would write one after the other.
//!
//! A short segment is nothing but headers, and to write those field by field takes longer than all that is decided about
//! it. Ordinary is a segment without IP options that may not be fragmented, with timestamps as its only TCP option or with
//! none.

use super::checksum::{self, Sum, fold};
use super::tcp::{self, Flags};
use super::tcp_options::Timestamps;
use super::{ethernet, ipv4};
use crate::frame::{TxChecksum, TxFrame};
use crate::stack::MacAddr;
use core::net::Ipv4Addr;

/// What differs between ordinary segments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Headers {
    /// Destination and source; none on a medium without link addresses.
    pub(crate) link: Option<(MacAddr, MacAddr)>,
    pub(crate) source: (Ipv4Addr, u16),
    pub(crate) destination: (Ipv4Addr, u16),
    pub(crate) tos: u8,
    pub(crate) ttl: u8,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: Flags,
    /// As it is in the header, unscaled.
    pub(crate) window: u16,
    pub(crate) timestamps: Option<Timestamps>,
}

impl Headers {
    /// Writes the headers in front of what the frame holds, which is the payload. `partial` leaves TCP's checksum to the
    /// device.
    pub(crate) fn emit(&self, frame: &mut TxFrame, partial: bool) {
        let options_len = if self.timestamps.is_some() { TIMESTAMPS_BYTES } else { 0 };
        let segment_len = tcp::HEADER_BYTES + options_len + frame.len();
        if let Some(timestamps) = self.timestamps {
            frame.prepend_bytes(&timestamps_option(timestamps));
        }
        frame.prepend_bytes(&self.tcp(options_len, segment_len));
        frame.checksum = TxChecksum::Partial { start: 0, offset: tcp::CHECKSUM_AT };
        if !partial {
            checksum::complete(frame);
        }
        frame.prepend_bytes(&self.ip(ipv4::HEADER_BYTES + segment_len));
        if let Some((destination, source)) = self.link {
            let mut header = [0; ethernet::HEADER_BYTES];
            header[..6].copy_from_slice(&destination.0);
            header[6..12].copy_from_slice(&source.0);
            header[12..].copy_from_slice(&ethernet::ETHERTYPE_IPV4.to_be_bytes());
            frame.prepend_bytes(&header);
        }
    }

    /// The TCP header, the pseudo-header's sum in its checksum field (RFC 9293 section 3.1).
    fn tcp(&self, options_len: usize, segment_len: usize) -> [u8; tcp::HEADER_BYTES] {
        let [s0, s1] = self.source.1.to_be_bytes();
        let [d0, d1] = self.destination.1.to_be_bytes();
        let [q0, q1, q2, q3] = self.seq.to_be_bytes();
        let [a0, a1, a2, a3] = self.ack.to_be_bytes();
        let [w0, w1] = self.window.to_be_bytes();
        let offset = (((tcp::HEADER_BYTES + options_len) / 4) << 4) as u8;
        let sum = self.addresses() + u64::from(tcp::PROTOCOL) + segment_len as u64;
        let [c0, c1] = fold(sum).to_be_bytes();
        let flags = self.flags.0;
        [s0, s1, d0, d1, q0, q1, q2, q3, a0, a1, a2, a3, offset, flags, w0, w1, c0, c1, 0, 0]
    }

    /// The IPv4 header (RFC 791 section 3.1). Its identification has no meaning, as it can't be fragmented (RFC 6864 section
    /// 4.1).
    fn ip(&self, total_len: usize) -> [u8; ipv4::HEADER_BYTES] {
        debug_assert!(total_len <= usize::from(u16::MAX), "transports bound their packets");
        let [l0, l1] = (total_len as u16).to_be_bytes();
        let [s0, s1, s2, s3] = self.source.0.octets();
        let [d0, d1, d2, d3] = self.destination.0.octets();
        let (tos, ttl) = (self.tos, self.ttl);
        let mut header = [
            0x45,
            tos,
            l0,
            l1,
            0,
            0,
            DONT_FRAGMENT,
            0,
            ttl,
            tcp::PROTOCOL,
            0,
            0,
            s0,
            s1,
            s2,
            s3,
            d0,
            d1,
            d2,
            d3,
        ];
        let checksum = Sum::default().header(&header).checksum();
        header[ipv4::CHECKSUM_AT..ipv4::CHECKSUM_AT + 2].copy_from_slice(&checksum.to_be_bytes());
        header
    }

    /// The sum of both addresses' words.
    fn addresses(&self) -> u64 {
        let halves = |address: u32| u64::from(address >> 16) + u64::from(address & 0xffff);
        halves(self.source.0.to_bits()) + halves(self.destination.0.to_bits())
    }
}

/// The option with the padding that Linux gives it (RFC 7323 appendix A).
fn timestamps_option(timestamps: Timestamps) -> [u8; TIMESTAMPS_BYTES] {
    let [v0, v1, v2, v3] = timestamps.value.to_be_bytes();
    let [e0, e1, e2, e3] = timestamps.echo.to_be_bytes();
    [1, 1, 8, 10, v0, v1, v2, v3, e0, e1, e2, e3]
}

/// Bytes of the timestamps option with its padding.
const TIMESTAMPS_BYTES: usize = 12;
/// The flag in the IPv4 header's seventh byte.
const DONT_FRAGMENT: u8 = 0x40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tcp_options::TcpOptions;
    use bytes::Bytes;
    use proptest::prelude::*;

    /// As the layers write it.
    fn by_layers(headers: &Headers, frame: &mut TxFrame, partial: bool) {
        let tcp = tcp::Header {
            src_port: headers.source.1,
            dst_port: headers.destination.1,
            seq: headers.seq,
            ack: headers.ack,
            flags: headers.flags,
            window: headers.window,
            urgent: 0,
            options: TcpOptions { timestamps: headers.timestamps, ..TcpOptions::default() },
        };
        tcp.emit(frame, headers.source.0.into(), headers.destination.0.into(), partial);
        let ip = ipv4::Header {
            header_len: 20,
            total_len: 0,
            tos: headers.tos,
            ident: 0,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
            ttl: headers.ttl,
            protocol: tcp::PROTOCOL,
            source: headers.source.0,
            destination: headers.destination.0,
        };
        ip.emit(frame);
        if let Some((destination, source)) = headers.link {
            ethernet::Header { destination, source, ethertype: ethernet::ETHERTYPE_IPV4 }.emit(frame);
        }
    }

    proptest! {
        #[test]
        fn the_same_as_layer_by_layer(
            link in any::<Option<([u8; 6], [u8; 6])>>(), ends in any::<((u32, u16), (u32, u16))>(),
            bytes in any::<(u8, u8)>(), numbers in any::<(u32, u32, u16)>(), flags in any::<u8>(),
            timestamps in any::<Option<(u32, u32)>>(), partial in any::<bool>(),
            inside in proptest::collection::vec(any::<u8>(), 0..60),
            slices in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..4),
        ) {
            let headers = Headers {
                link: link.map(|(to, from)| (MacAddr(to), MacAddr(from))),
                source: (Ipv4Addr::from_bits(ends.0.0), ends.0.1),
                destination: (Ipv4Addr::from_bits(ends.1.0), ends.1.1),
                tos: bytes.0,
                ttl: bytes.1,
                seq: numbers.0,
                ack: numbers.1,
                flags: Flags(flags),
                window: numbers.2,
                timestamps: timestamps.map(|(value, echo)| Timestamps { value, echo }),
            };
            let mut frame = TxFrame::default();
            frame.prepend(inside.len()).copy_from_slice(&inside);
            frame.payload.extend(slices.into_iter().map(Bytes::from));
            let mut layered = frame.clone();
            headers.emit(&mut frame, partial);
            by_layers(&headers, &mut layered, partial);
            prop_assert_eq!(frame.to_vec(), layered.to_vec());
            prop_assert_eq!(frame.checksum, layered.checksum);
        }
    }
}
