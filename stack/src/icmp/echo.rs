//! stub
#![allow(dead_code, unused_variables)]
use super::*;
use crate::ip::Ip;
pub(crate) struct EchoSocket {}
impl EchoSocket {
    pub(crate) fn new() -> EchoSocket {
        todo!()
    }
    pub(crate) fn local_addr(&self) -> Result<SocketAddr, Errno> {
        todo!()
    }
    pub(crate) fn peer_addr(&self) -> Result<SocketAddr, Errno> {
        todo!()
    }
    pub(crate) fn set_option(&mut self, option: SocketOption) -> Result<(), Errno> {
        todo!()
    }
    pub(crate) fn option(&self, name: OptionName) -> Result<SocketOption, Errno> {
        todo!()
    }
    pub(crate) fn take_error(&mut self) -> Option<Errno> {
        todo!()
    }
    pub(crate) fn readiness(&self) -> Readiness {
        todo!()
    }
}

impl Icmp {
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
    pub(crate) fn connect(
        &mut self,
        cx: &mut Context,
        ip: &Ip,
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
        peer: Option<SocketAddr>,
    ) -> Result<usize, Errno> {
        todo!()
    }
    pub(crate) fn recv(
        &mut self,
        cx: &mut Context,
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
        sockets: &mut Sockets,
        id: SocketId,
        how: Shutdown,
    ) -> Result<(), Errno> {
        todo!()
    }
    pub(crate) fn close(
        &mut self,
        cx: &mut Context,
        sockets: &mut Sockets,
        id: SocketId,
    ) -> Result<(), Errno> {
        todo!()
    }
}
