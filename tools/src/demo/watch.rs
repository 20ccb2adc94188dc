//! Watches the frames of a machine for the steps that ask about them, on their way into the capture.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tapstack::capture::{CaptureObserver, Observer};
use tapstack::frame::{Outcome, RxFrame, TxFrame};
use tapstack::stack::{InterfaceId, MacAddr};
use tapstack::{Instant, frame};

/// Requests and answers that are remembered at most: those of a short demo.
const REMEMBERED_MAX: usize = 1024;

/// What was seen of ARP.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Whom this machine asked for, once for each request.
    pub(super) asked: Vec<IpAddr>,
    /// Who answered, with which link address.
    pub(super) answers: Vec<(IpAddr, MacAddr)>,
}

/// What went by at a machine. Clones see the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    seen: Arc<Mutex<Seen>>,
}

impl Watch {
    /// What was seen until now.
    pub(super) fn seen(&self) -> Seen {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The observer of a machine of the demo.
pub(super) struct Watcher {
    pub(super) watch: Watch,
    /// The capture.
    pub(super) inner: CaptureObserver,
}

impl Observer for Watcher {
    fn received(&mut self, now: Instant, interface: InterfaceId, frame: &RxFrame, outcome: &Outcome) {
        if let Some(answer) = arp_answer(&frame.bytes) {
            let mut seen = self.watch.lock();
            if seen.answers.len() < REMEMBERED_MAX {
                seen.answers.push(answer);
            }
        }
        self.inner.received(now, interface, frame, outcome);
    }

    fn sent(&mut self, now: Instant, interface: InterfaceId, frame: &TxFrame) {
        if let frame::CauseKind::Arp(frame::ArpWhy::Request { next_hop, .. }) = frame.cause.kind {
            let mut seen = self.watch.lock();
            if seen.asked.len() < REMEMBERED_MAX {
                seen.asked.push(next_hop);
            }
        }
        self.inner.sent(now, interface, frame);
    }
}

/// Who says in an ARP reply that he is where (RFC 826).
fn arp_answer(frame: &[u8]) -> Option<(IpAddr, MacAddr)> {
    const ARP: [u8; 2] = [0x08, 0x06];
    const REPLY: [u8; 2] = [0, 2];
    if frame.get(12..14)? != ARP || frame.get(20..22)? != REPLY {
        return None;
    }
    let mac: [u8; 6] = frame.get(22..28)?.try_into().ok()?;
    let address: [u8; 4] = frame.get(28..32)?.try_into().ok()?;
    Some((IpAddr::V4(Ipv4Addr::from(address)), MacAddr(mac)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arp_replies_are_read_and_nothing_else() {
        let mut frame = vec![0xff; 12];
        frame.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 2]);
        frame.extend([2, 0, 0, 0, 0, 1, 10, 0, 0, 1]);
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        assert_eq!(arp_answer(&frame), Some(("10.0.0.1".parse().expect("an address"), mac)));
        frame[21] = 1;
        assert_eq!(arp_answer(&frame), None, "a request");
        assert_eq!(arp_answer(&frame[..30]), None, "too short");
    }
}
