//! The machines of the demo as its steps see them: the kernel, or a machine of the stack, in either's place.

use super::bulk::{self, Load, Tally};
#[cfg(target_os = "linux")]
use super::kernel::{Kernel, KernelListener};
use super::progress::Progress;
use std::io;
use std::net::{IpAddr, SocketAddr};
use tapstack::net::{Host, TcpListener};
use tapstack::time::Duration;
use tapstack_page::{self as web, Response};

/// How long one side waits for the other's answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Somebody to talk to, and to be asked to talk.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    /// The Linux kernel, by system calls of threads in its namespace.
    #[cfg(target_os = "linux")]
    Kernel(Kernel),
    /// A machine of the stack.
    Machine(Host),
}

/// A peer that waits for one connection.
pub(super) enum PeerListener {
    #[cfg(target_os = "linux")]
    Kernel(KernelListener),
    Machine(TcpListener),
}

impl Peer {
    /// The machine whose tasks this peer's work runs as; the kernel has none, and borrows one.
    #[cfg_attr(not(target_os = "linux"), allow(unused_variables))]
    pub(super) fn home(&self, otherwise: &Host) -> Host {
        match self {
            #[cfg(target_os = "linux")]
            Peer::Kernel(_) => otherwise.clone(),
            Peer::Machine(host) => host.clone(),
        }
    }

    /// Sends an ICMP echo request; how long its reply took.
    pub(super) async fn ping(&self, to: IpAddr, payload: &[u8]) -> io::Result<Duration> {
        match self {
            #[cfg(target_os = "linux")]
            Peer::Kernel(kernel) => kernel.ping(to, payload.to_vec()).await,
            Peer::Machine(host) => host.ping(to, payload, PATIENCE).await.map(|pong| pong.rtt),
        }
    }

    /// Sends a datagram from a socket of its own; the answer.
    pub(super) async fn ask(&self, to: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            #[cfg(target_os = "linux")]
            Peer::Kernel(kernel) => kernel.ask(to, question.to_vec()).await,
            Peer::Machine(host) => ask_from_machine(host, to, question).await,
        }
    }

    /// Fetches a web page.
    pub(super) async fn fetch(&self, server: SocketAddr, path: &'static str) -> io::Result<Response> {
        match self {
            #[cfg(target_os = "linux")]
            Peer::Kernel(kernel) => kernel.fetch(server, path).await,
            Peer::Machine(host) => web::fetch_from_machine(host, server, path).await,
        }
    }

    /// Connects, and closes at once.
    pub(super) async fn connect(&self, to: SocketAddr) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Peer::Kernel(kernel) => kernel.connect(to).await,
            Peer::Machine(host) => host.tcp_connect(to).await.map(drop),
        }
    }

    /// Connects, sends all of the load, and closes.
    pub(super) async fn send(&self, to: SocketAddr, load: Load) -> io::Result<Tally> {
        match self {
            #[cfg(target_os = "linux")]
            Peer::Kernel(kernel) => kernel.send(to, load).await,
            Peer::Machine(host) => bulk::send_from_machine(host, to, load).await,
        }
    }

    /// Starts to listen at one of its addresses.
    pub(super) fn listen(&self, at: SocketAddr) -> io::Result<PeerListener> {
        match self {
            #[cfg(target_os = "linux")]
            Peer::Kernel(kernel) => kernel.listen(at).map(PeerListener::Kernel),
            Peer::Machine(host) => host.tcp_listen(at).map(PeerListener::Machine),
        }
    }
}

impl PeerListener {
    /// Takes one connection and all that comes over it.
    pub(super) async fn collect(self, progress: Progress) -> io::Result<Tally> {
        match self {
            #[cfg(target_os = "linux")]
            PeerListener::Kernel(listener) => listener.collect(progress).await,
            PeerListener::Machine(listener) => bulk::collect_on_machine(listener, progress).await,
        }
    }
}

async fn ask_from_machine(host: &Host, to: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let socket = host.udp_bind("0.0.0.0:0".parse().map_err(io::Error::other)?)?;
    socket.connect(to).await?;
    socket.send(question).await?;
    let mut answer = vec![0; question.len() + 1];
    let len = host.timeout(PATIENCE, socket.recv(&mut answer)).await??;
    answer.truncate(len);
    Ok(answer)
}
