//! TCP (stub).
#![allow(dead_code, unused_variables)]

use crate::frame::{Outcome, TxFrame};
use crate::ip::{Ip, PacketIn};
use crate::socket::*;
use crate::stack::{Config, Context};
use crate::time::Instant;
use core::net::SocketAddr;

/// Names a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ConnectionId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// TCP's settings.
#[derive(Clone, Debug, Default)]
pub struct TcpConfig {}

pub(crate) struct TcpSocket {}

/// What a pull brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pulled {
    /// The frame is complete; `more` asks for another turn.
    Frame { more: bool },
    /// Nothing to send now: the sender left the ready queue.
    Nothing,
}

pub(crate) use crate::icmp::{IcmpErrorKind, IcmpNotice};

pub(crate) struct Tcp {}

impl Tcp {
    pub(crate) fn new(config: &Config, cx: &mut Context) -> Tcp {
        Tcp {}
    }
    /// A segment came in.
    pub(crate) fn input(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        packet: PacketIn,
    ) -> Outcome {
        cx.drop(crate::frame::DropReason::TcpNoListener)
    }
    /// The end of a receive batch: ACKs are decided now.
    pub(crate) fn end_batch(&mut self, cx: &mut Context, ip: &mut Ip) {}
    /// Makes a connection's next segment; the frame is finished (IP and link headers) on return.
    pub(crate) fn transmit(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        id: ConnectionId,
        frame: &mut TxFrame,
    ) -> Pulled {
        Pulled::Nothing
    }
    pub(crate) fn handle_timeout(&mut self, cx: &mut Context, ip: &mut Ip, sockets: &mut Sockets) {}
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        None
    }
    /// An ICMP error came in about a segment of ours.
    pub(crate) fn icmp_error(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        notice: &IcmpNotice,
    ) -> Outcome {
        cx.drop(crate::frame::DropReason::IcmpUnmatched)
    }
    /// The next hop of a waiting connection did not answer.
    pub(crate) fn unreachable(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        id: ConnectionId,
    ) {
    }
    pub(crate) fn socket(&mut self) -> TcpSocket {
        todo!()
    }
}
impl Tcp {
    pub(crate) fn bind(
        &mut self,
        cx: &mut Context,
        ip: &Ip,
        sockets: &mut Sockets,
        id: SocketId,
        address: SocketAddr,
    ) -> Result<(), Errno> {
        todo!()
    }
    pub(crate) fn listen(
        &mut self,
        cx: &mut Context,
        ip: &Ip,
        sockets: &mut Sockets,
        id: SocketId,
        backlog: usize,
    ) -> Result<(), Errno> {
        todo!()
    }
    pub(crate) fn accept(
        &mut self,
        cx: &mut Context,
        sockets: &mut Sockets,
        id: SocketId,
    ) -> Result<(SocketId, SocketAddr), Errno> {
        todo!()
    }
    pub(crate) fn connect(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        id: SocketId,
        peer: SocketAddr,
    ) -> Result<(), Errno> {
        todo!()
    }
    pub(crate) fn send(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        id: SocketId,
        data: &[u8],
        flags: SendFlags,
    ) -> Result<usize, Errno> {
        todo!()
    }
    pub(crate) fn recv(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        id: SocketId,
        buffer: &mut [u8],
        flags: RecvFlags,
    ) -> Result<(usize, SocketAddr), Errno> {
        todo!()
    }
    pub(crate) fn shutdown(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        id: SocketId,
        how: Shutdown,
    ) -> Result<(), Errno> {
        todo!()
    }
    pub(crate) fn close(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        id: SocketId,
    ) -> Result<(), Errno> {
        todo!()
    }
    pub(crate) fn local_addr(&self, socket: &TcpSocket) -> Result<SocketAddr, Errno> {
        todo!()
    }
    pub(crate) fn peer_addr(&self, socket: &TcpSocket) -> Result<SocketAddr, Errno> {
        todo!()
    }
    pub(crate) fn set_option(
        &mut self,
        cx: &mut Context,
        ip: &mut Ip,
        sockets: &mut Sockets,
        id: SocketId,
        option: SocketOption,
    ) -> Result<(), Errno> {
        todo!()
    }
    pub(crate) fn option(
        &self,
        cx: &Context,
        socket: &TcpSocket,
        name: OptionName,
    ) -> Result<SocketOption, Errno> {
        todo!()
    }
    pub(crate) fn take_error(&self, socket: &mut TcpSocket) -> Option<Errno> {
        todo!()
    }
    pub(crate) fn readiness(&self, socket: &TcpSocket) -> Readiness {
        todo!()
    }
}
