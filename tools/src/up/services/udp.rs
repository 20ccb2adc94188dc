//! The services as datagrams, which can be forged: no answer is larger than its question, none goes to a port where
//! another service might answer back, and there are only so many.

use super::{Service, chargen, daytime};
use std::io;
use std::net::SocketAddr;
use tapstack::net::{Host, UdpSocket};
use tapstack::time::Instant;

/// Answers datagrams for as long as the machine is up.
pub(super) async fn serve(host: Host, socket: UdpSocket, service: Service) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let mut allowance = Allowance::new(host.now());
    loop {
        let (len, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::NetworkDown => return,
            // An error about an earlier answer is the asker's own business.
            Err(_) => continue,
        };
        let question = buffer.get_mut(..len).unwrap_or_default();
        if !may_be_answered(from) || !allowance.take(host.now(), len) {
            continue;
        }
        if let Some(len) = answer(service, question)
            && let Some(answer) = question.get(..len)
            && let Err(error) = socket.send_to(answer, from).await
        {
            log::debug!("{service:?}: {error}");
        }
    }
}

/// Turns a question into its answer, in its place; returns the answer's length, none for none.
fn answer(service: Service, question: &mut [u8]) -> Option<usize> {
    match service {
        Service::Echo => Some(question.len()),
        Service::Discard => None,
        // RFC 867 has any datagram answered; to an empty one that would be seven times as long on the wire.
        Service::Daytime => {
            let text = daytime();
            let len = text.len().min(question.len());
            question.get_mut(..len)?.copy_from_slice(text.as_bytes().get(..len)?);
            Some(len)
        }
        // RFC 864: "a random number (between 0 and 512) of characters", of which the question's length is as good
        // as any.
        Service::Chargen => {
            let len = question.len().min(CHARGEN_BYTES_MAX);
            chargen(0, question.get_mut(..len)?);
            Some(len)
        }
    }
}

/// Whether a sender may get an answer: ports below 1024 belong to services, and two of those might talk for ever.
fn may_be_answered(from: SocketAddr) -> bool {
    from.port() >= PORT_MIN
}

/// Two token buckets for the answers of one socket, in datagrams and in bytes.
struct Allowance {
    datagrams: u64,
    bytes: u64,
    filled: Instant,
}

impl Allowance {
    fn new(now: Instant) -> Allowance {
        Allowance { datagrams: DATAGRAMS_A_SECOND, bytes: BYTES_A_SECOND, filled: now }
    }

    fn take(&mut self, now: Instant, bytes: usize) -> bool {
        let millis = u64::try_from((now - self.filled).as_millis()).unwrap_or(u64::MAX).min(1000);
        if millis > 0 {
            self.datagrams = (self.datagrams + millis * DATAGRAMS_A_SECOND / 1000).min(DATAGRAMS_A_SECOND);
            self.bytes = (self.bytes + millis * BYTES_A_SECOND / 1000).min(BYTES_A_SECOND);
            self.filled = now;
        }
        let bytes = bytes as u64;
        let allowed = self.datagrams > 0 && self.bytes >= bytes;
        if allowed {
            self.datagrams -= 1;
            self.bytes -= bytes;
        }
        allowed
    }
}

/// The first port that isn't a well-known service's.
const PORT_MIN: u16 = 1024;
const CHARGEN_BYTES_MAX: usize = 512;
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// Answers of a socket in a second, and their bytes; as many may come at once.
const DATAGRAMS_A_SECOND: u64 = 2000;
const BYTES_A_SECOND: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_is_larger_than_its_question() {
        for service in Service::ALL {
            for len in [0, 1, 25, 26, 100, 512, 513, 1472] {
                let mut question = vec![b'?'; len];
                let answered = answer(service, &mut question);
                assert!(answered.is_none_or(|answered| answered <= len), "{service:?} {len}");
                assert_eq!(answered.is_none(), service == Service::Discard);
            }
        }
        let mut question = *b"hello";
        assert_eq!(answer(Service::Echo, &mut question), Some(5));
        assert_eq!(question, *b"hello");
    }

    #[test]
    fn services_are_not_answered() {
        let from = |port| SocketAddr::from(([10, 0, 0, 9], port));
        assert!([7, 9, 13, 17, 19, 53, 123, 1023].iter().all(|&port| !may_be_answered(from(port))));
        assert!(may_be_answered(from(1024)) && may_be_answered(from(50_000)));
    }

    #[test]
    fn answers_are_so_many_a_second() {
        let mut allowance = Allowance::new(Instant::ZERO);
        let taken = |allowance: &mut Allowance, at: u64, bytes: usize| {
            (0..10_000).filter(|_| allowance.take(Instant::from_micros(at), bytes)).count()
        };
        assert_eq!(taken(&mut allowance, 0, 10), 2000);
        assert_eq!(taken(&mut allowance, 100_000, 10), 200);
        assert_eq!(taken(&mut allowance, 60_000_000, 65_535), 64, "bytes count as well");
    }
}
