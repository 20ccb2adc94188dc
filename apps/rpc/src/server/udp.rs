//! Calls in datagrams.

use super::Shared;
use super::call::Begun;
use super::counts::Dropped;
use crate::service::Transport;
use bytes::Bytes;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tapstack::net::UdpSocket;

/// What IPv4 carries at most.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// Takes calls from a socket, for ever.
pub(super) async fn serve(shared: Arc<Shared>, socket: Arc<UdpSocket>) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        // No call is read before there is room to execute it: what waits does so in the socket's bounded queue.
        let Ok(turn) = Arc::clone(&shared.calls).acquire_owned().await else { return };
        let (len, peer) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::NetworkDown => return,
            // What ICMP says about replies that were sent.
            Err(error) => {
                log::debug!("{error}");
                continue;
            }
        };
        let message = Bytes::copy_from_slice(buffer.get(..len).unwrap_or_default());
        match shared.begin(&message, peer, Transport::Udp) {
            Begun::Dropped => {}
            Begun::Reply(reply) => send(&shared, &socket, reply, peer).await,
            Begun::Call(call) => {
                let (shared, socket) = (Arc::clone(&shared), Arc::clone(&socket));
                shared.host.clone().spawn(async move {
                    if let Some(reply) = call.execute().await {
                        send(&shared, &socket, reply, peer).await;
                    }
                    drop(turn);
                });
            }
        }
    }
}

async fn send(shared: &Shared, socket: &UdpSocket, reply: Bytes, peer: SocketAddr) {
    if let Err(error) = socket.send_to(&reply, peer).await {
        log::debug!("to {peer}: {error}");
        shared.counters.drop(Dropped::Unsendable);
    }
}
