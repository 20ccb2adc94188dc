//! smoltcp over our own offload device: checksums left to the kernel, super-frames both ways.
//!
//! smoltcp knows no segmentation offload, but sends segments as large as device and peer allow. So the device says
//! that it carries 64 KiB, the MSS in the peer's SYN is raised to match, and what is larger than the real MTU goes
//! out with a header that has the kernel cut it.

use rustix::io::writev;
use smoltcp::phy::{self, Checksum, ChecksumCapabilities, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tapstack::device::{Device, Receive, vnet};
use tapstack::frame::{Cause, Gso, GsoKind, RxFrame, TxChecksum, TxFrame};

const ETHERNET_LEN: usize = 14;
const TRANSPORT_AT: usize = ETHERNET_LEN + 20;
/// Protocols, and how far into their headers the checksums are.
const TCP: (u8, u16) = (6, 16);
const UDP: (u8, u16) = (17, 6);
/// Without timestamps, which smoltcp doesn't offer by itself: 1500 - 20 - 20.
const MSS: u16 = 1460;
const FRAME_MAX: usize = 65_535 + ETHERNET_LEN;

/// A TAP in offload mode, as smoltcp sees it.
pub(super) struct OffloadPhy {
    rx: Box<dyn Receive>,
    fd: Arc<OwnedFd>,
    buffer: Vec<u8>,
    template: TxFrame,
}

impl OffloadPhy {
    /// None for a device without a descriptor.
    pub(super) fn new(device: Device) -> Option<OffloadPhy> {
        let buffer = vec![0; FRAME_MAX];
        let mut template = TxFrame::new(Cause::default());
        template.prepend(TRANSPORT_AT + 20);
        Some(OffloadPhy { rx: device.rx, fd: device.fd?, buffer, template })
    }

    pub(super) fn fd(&self) -> &Arc<OwnedFd> {
        &self.fd
    }
}

pub(super) struct RxToken(Vec<u8>, RxFrame);

impl phy::RxToken for RxToken {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        if self.0.is_empty() { f(&self.1.bytes) } else { f(&self.0) }
    }
}

pub(super) struct TxToken<'a> {
    fd: &'a OwnedFd,
    buffer: &'a mut Vec<u8>,
    template: &'a mut TxFrame,
}

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let frame = &mut self.buffer[..len];
        let result = f(frame);
        self.template.checksum = TxChecksum::Complete;
        self.template.gso = None;
        if let Some((protocol, offset)) = transport(frame) {
            put_pseudo_sum(frame, len - TRANSPORT_AT, protocol, offset);
            self.template.checksum = TxChecksum::Partial { start: TRANSPORT_AT as u16, offset };
            if protocol == TCP.0 && len > ETHERNET_LEN + 1500 {
                self.template.gso = Some(Gso { kind: GsoKind::Tcp4, size: MSS });
            }
        }
        let header = vnet::encode(self.template);
        // A full queue shows as loss, as in smoltcp's own device.
        let _ = writev(self.fd, &[IoSlice::new(&header), IoSlice::new(frame)]);
        result
    }
}

impl phy::Device for OffloadPhy {
    type RxToken<'a> = RxToken;
    type TxToken<'a> = TxToken<'a>;

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME_MAX;
        capabilities.checksum = ChecksumCapabilities::default();
        capabilities.checksum.tcp = Checksum::None;
        capabilities.checksum.udp = Checksum::None;
        capabilities
    }

    fn receive(&mut self, _: Instant) -> Option<(RxToken, TxToken<'_>)> {
        let frame = self.rx.receive(tapstack::time::Instant::ZERO).ok()??;
        let raised = raise_mss(&frame.bytes);
        let tx = TxToken { fd: &self.fd, buffer: &mut self.buffer, template: &mut self.template };
        Some((RxToken(raised, frame), tx))
    }

    fn transmit(&mut self, _: Instant) -> Option<TxToken<'_>> {
        Some(TxToken { fd: &self.fd, buffer: &mut self.buffer, template: &mut self.template })
    }
}

/// The transport of an IPv4 packet without options; none where the kernel can't complete a checksum.
fn transport(frame: &[u8]) -> Option<(u8, u16)> {
    let is_ipv4 = frame.get(12..15) == Some(&[0x08, 0x00, 0x45]);
    let is_whole = frame.get(20..22).is_some_and(|fragment| fragment[0] & 0x3f == 0 && fragment[1] == 0);
    let (protocol, header_len) = match frame.get(23) {
        Some(6) => (TCP, 20),
        Some(17) => (UDP, 8),
        _ => return None,
    };
    (is_ipv4 && is_whole && frame.len() >= TRANSPORT_AT + header_len).then_some(protocol)
}

/// Puts the pseudo-header's sum where the kernel, which sums the rest, expects it. The frame's headers are enough of it.
pub(super) fn put_pseudo_sum(frame: &mut [u8], transport_len: usize, protocol: u8, checksum_at: u16) {
    let words = frame[26..34].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let sum = words.sum::<u32>() + u32::from(protocol) + transport_len as u32;
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = ((sum & 0xffff) + (sum >> 16)) as u16;
    let field = TRANSPORT_AT + usize::from(checksum_at);
    frame[field..field + 2].copy_from_slice(&sum.to_be_bytes());
}

/// A copy of a SYN whose MSS says that all of a super-frame is welcome; empty for every other frame.
fn raise_mss(frame: &[u8]) -> Vec<u8> {
    const SYN: u8 = 2;
    let is_syn = transport(frame) == Some(TCP) && frame[TRANSPORT_AT + 13] & SYN != 0;
    if !is_syn || frame.get(TRANSPORT_AT + 20..TRANSPORT_AT + 22) != Some(&[2, 4]) {
        return Vec::new();
    }
    let mut copy = frame.to_vec();
    copy[TRANSPORT_AT + 22..TRANSPORT_AT + 24].copy_from_slice(&(65_535u16 - 40).to_be_bytes());
    copy
}
