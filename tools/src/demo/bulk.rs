//! Bulk transfers: bytes that follow from a seed, hashed where they leave and where they arrive.

use super::progress::Progress;
use sha2::{Digest as _, Sha256};
use std::io;
#[cfg(target_os = "linux")]
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use tapstack::net::{Host, TcpListener};

/// Bytes that one transfer moves.
pub(super) const TRANSFER_BYTES: u64 = 64 << 20;

/// Bytes that are handed over at a time.
const CHUNK: usize = 64 << 10;

/// What one side of a transfer saw: how much, and the hash of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) bytes: u64,
    pub(super) sha256: [u8; 32],
}

impl Tally {
    /// The first digits of the hash, enough to be compared by eye.
    pub(super) fn short_hash(&self) -> String {
        self.sha256.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Counts and hashes what goes by.
#[derive(Default)]
struct Meter {
    bytes: u64,
    hash: Sha256,
}

impl Meter {
    fn see(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
    }

    fn tally(self) -> Tally {
        Tally { bytes: self.bytes, sha256: self.hash.finalize().into() }
    }
}

/// The bytes to be sent, made as they are needed.
struct Source {
    rng: fastrand::Rng,
    left: u64,
    chunk: Vec<u8>,
}

impl Source {
    fn new(seed: u64, bytes: u64) -> Source {
        Source { rng: fastrand::Rng::with_seed(seed), left: bytes, chunk: vec![0; CHUNK] }
    }

    /// The next bytes; none at the end.
    fn next(&mut self) -> Option<&[u8]> {
        let len = usize::try_from(self.left).unwrap_or(CHUNK).min(CHUNK);
        self.left -= len as u64;
        let chunk = self.chunk.get_mut(..len).filter(|chunk| !chunk.is_empty())?;
        self.rng.fill(chunk);
        Some(chunk)
    }
}

/// What is to be transferred: the seed of the bytes, and how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) seed: u64,
    pub(super) bytes: u64,
}

/// A machine of the stack connects, sends everything, closes its side and waits for the other's end.
pub(super) async fn send_from_machine(host: &Host, to: SocketAddr, load: Load) -> io::Result<Tally> {
    let stream = host.tcp_connect(to).await?;
    let (mut source, mut meter) = (Source::new(load.seed, load.bytes), Meter::default());
    while let Some(chunk) = source.next() {
        meter.see(chunk);
        stream.write_all(chunk).await?;
    }
    stream.shutdown().await?;
    stream.read_to_end(&mut Vec::new()).await?;
    Ok(meter.tally())
}

/// A machine of the stack takes one connection and all that comes over it.
pub(super) async fn collect_on_machine(listener: TcpListener, progress: Progress) -> io::Result<Tally> {
    let (stream, _) = listener.accept().await?;
    let (mut chunk, mut meter) = (vec![0; CHUNK], Meter::default());
    loop {
        let len = stream.read(&mut chunk).await?;
        let Some(bytes) = chunk.get(..len).filter(|bytes| !bytes.is_empty()) else { break };
        meter.see(bytes);
        progress.advance(len as u64);
    }
    stream.shutdown().await?;
    Ok(meter.tally())
}

/// As [`send_from_machine`], on a kernel's connection.
#[cfg(target_os = "linux")]
pub(super) fn send_from_kernel(mut stream: std::net::TcpStream, load: Load) -> io::Result<Tally> {
    let (mut source, mut meter) = (Source::new(load.seed, load.bytes), Meter::default());
    while let Some(chunk) = source.next() {
        meter.see(chunk);
        stream.write_all(chunk)?;
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(meter.tally())
}

/// As [`collect_on_machine`], on a kernel's connection.
#[cfg(target_os = "linux")]
pub(super) fn collect_on_kernel(mut stream: std::net::TcpStream, progress: &Progress) -> io::Result<Tally> {
    let (mut chunk, mut meter) = (vec![0; CHUNK], Meter::default());
    loop {
        let len = stream.read(&mut chunk)?;
        let Some(bytes) = chunk.get(..len).filter(|bytes| !bytes.is_empty()) else { break };
        meter.see(bytes);
        progress.advance(len as u64);
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    Ok(meter.tally())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_gives_exactly_its_bytes_and_the_same_for_the_same_seed() {
        let tally = |seed, bytes| {
            let (mut source, mut meter) = (Source::new(seed, bytes), Meter::default());
            while let Some(chunk) = source.next() {
                meter.see(chunk);
            }
            meter.tally()
        };
        assert_eq!(tally(1, 200_001).bytes, 200_001);
        assert_eq!(tally(1, 200_001), tally(1, 200_001));
        assert_ne!(tally(1, 200_001).sha256, tally(2, 200_001).sha256);
        assert_eq!(tally(1, 0).bytes, 0);
    }
}
