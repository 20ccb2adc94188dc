//! Bytes on one side, meaning on the other: every header that the stack reads or writes.
//!
//! - **In**: slices of received frames; typed headers to be written.
//! - **Out**: typed headers with the offset of what follows; bytes in a [`TxFrame`](crate::frame::TxFrame)'s headroom.
//! - **Keeps**: nothing.
//! - **Timers**: none.
//! - **RFC**: 826, 791, 792, 768, 9293 section 3.1, 7323 section 2, 2018 section 3, 1071, 1624.
//! - **Never**: panics on a peer's bytes, copies payload, or decides what a packet is good for.
//!
//! Fixed fields are read and written through the views of `smoltcp::wire`. TCP options and ICMP errors are our own:
//! a bad option must not cost the whole segment, and routers quote as little as eight bytes of a packet.

pub(crate) mod arp;
#[cfg(test)]
pub(crate) mod captured;
pub(crate) mod checksum;
pub(crate) mod ethernet;
pub(crate) mod icmp;
pub(crate) mod ipv4;
pub(crate) mod segment;
pub(crate) mod tcp;
pub(crate) mod tcp_options;
pub(crate) mod udp;
