//! Frames that nobody has sent: made from ones that somebody has, or from nothing.

use bytes::Bytes;

const ETHERNET_LEN: usize = 14;
const ARP: [u8; 2] = [8, 6];
const IPV4: [u8; 2] = [8, 0];

/// Values that sit at the edges of what a field can hold.
const EDGES: [u32; 10] = [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff];

/// A frame to throw at a machine, most often one of `seen` with something changed.
pub(crate) fn frame(rng: &mut fastrand::Rng, seen: &[Bytes]) -> Bytes {
    let Some(from) = rng.choice(seen).filter(|_| rng.u32(..12) > 0) else { return from_nothing(rng).into() };
    let mut bytes = from.to_vec();
    for _ in 0..rng.u32(..4) {
        change(rng, &mut bytes, seen);
    }
    // Most have checksums that fit: the others don't come far.
    if rng.u32(..5) > 0 {
        complete(&mut bytes);
    }
    bytes.into()
}

fn from_nothing(rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = vec![0; rng.usize(..200)];
    rng.fill(&mut bytes);
    let head = [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2][..], if rng.bool() { &IPV4 } else { &ARP }].concat();
    if rng.bool() {
        bytes.splice(..head.len().min(bytes.len()), head);
    }
    bytes
}

fn change(rng: &mut fastrand::Rng, bytes: &mut Vec<u8>, seen: &[Bytes]) {
    if bytes.is_empty() {
        return;
    }
    // Headers are where decisions are made.
    let most = if rng.u32(..4) > 0 { bytes.len().min(ETHERNET_LEN + 60) } else { bytes.len() };
    let at = rng.usize(..most);
    match rng.u32(..10) {
        0 => bytes[at] ^= 1 << rng.u32(..8),
        1 => bytes[at] = rng.u8(..),
        2 | 3 => put(bytes, at, *rng.choice(&EDGES).expect("there are some"), [1, 2, 4][rng.usize(..3)]),
        4 => bytes.truncate(at),
        5 => bytes.resize(bytes.len() + rng.usize(..100), rng.u8(..)),
        // The flags of TCP, and what it counts in sequence numbers, window and lengths.
        6 if bytes.len() > FLAGS => bytes[FLAGS] = rng.u8(..),
        7 | 8 if bytes.len() > FLAGS => {
            let field = [SEQUENCE, ACKNOWLEDGEMENT][rng.usize(..2)];
            let old = u32::from_be_bytes(bytes[field..field + 4].try_into().expect("four bytes"));
            let by = 1_u32 << rng.u32(..32);
            let new = if rng.bool() { old.wrapping_add(by) } else { old.wrapping_sub(by) };
            bytes[field..field + 4].copy_from_slice(&new.to_be_bytes());
        }
        // The head of one and the rest of another.
        _ => {
            if let Some(other) = rng.choice(seen) {
                let tail = other.get(at..).unwrap_or_default();
                bytes.truncate(at);
                bytes.extend_from_slice(tail);
            }
        }
    }
}

/// Where TCP's fields lie behind headers without options.
const SEQUENCE: usize = ETHERNET_LEN + 20 + 4;
const ACKNOWLEDGEMENT: usize = SEQUENCE + 4;
const FLAGS: usize = SEQUENCE + 9;

fn put(bytes: &mut [u8], at: usize, value: u32, len: usize) {
    let value = &value.to_be_bytes()[4 - len..];
    for (place, byte) in bytes[at..].iter_mut().zip(value) {
        *place = *byte;
    }
}

/// Makes the checksums fit, as far as the headers can be found.
fn complete(bytes: &mut [u8]) {
    let Some(packet) = bytes.get_mut(ETHERNET_LEN..) else { return };
    if packet.len() < 20 {
        return;
    }
    // As often as not the length was changed on purpose; where it exceeds the frame, there is nothing to sum up.
    let header_len = usize::from(packet[0] & 0x0f) * 4;
    let total_len = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    if header_len < 20 || total_len < header_len || total_len > packet.len() {
        return;
    }
    packet[10..12].fill(0);
    let header_sum = !sum(&packet[..header_len], 0);
    packet[10..12].copy_from_slice(&header_sum.to_be_bytes());
    let transport_len = total_len - header_len;
    let (protocol, addresses) = (packet[9], sum(&packet[12..20], 0));
    let transport = &mut packet[header_len..total_len];
    let (field, start) = match protocol {
        1 => (2, 0),
        6 => (16, u32::from(addresses) + 6 + transport_len as u32),
        17 => (6, u32::from(addresses) + 17 + transport_len as u32),
        _ => return,
    };
    if transport.len() >= field + 2 {
        transport[field..field + 2].fill(0);
        let transport_sum = !sum(transport, start);
        transport[field..field + 2].copy_from_slice(&transport_sum.to_be_bytes());
    }
}

/// The Internet checksum's sum (RFC 1071), not complemented.
fn sum(bytes: &[u8], start: u32) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u32::from(low));
    let mut sum = bytes.chunks(2).map(word).sum::<u32>() + start;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
