//! Udp (stub).
#![allow(dead_code, unused_variables)]

use crate::ip::Ip;
use crate::socket::*;
use crate::stack::{Config, Context};
use core::net::SocketAddr;

pub(crate) struct Udp {}
pub(crate) struct UdpSocket {}

impl UdpSocket {
    pub(crate) fn new() -> UdpSocket {
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

impl Udp {
    pub(crate) fn new(config: &Config, cx: &mut Context) -> Udp {
        Udp {}
    }
    pub(crate) fn input(
        &mut self,
        cx: &mut Context,
        sockets: &mut Sockets,
        packet: &crate::ip::PacketIn,
    ) -> crate::frame::Outcome {
        cx.drop(crate::frame::DropReason::UdpNoPort)
    }
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
