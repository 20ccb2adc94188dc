//! Options of datagram sockets.

use super::Datagrams;
use crate::socket::{Errno, OptionName, SocketOption};
use crate::stack::InterfaceId;
use crate::time::Duration;

/// What a program has set on a datagram socket.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) reuse_address: bool,
    pub(crate) reuse_port: bool,
    pub(crate) broadcast: bool,
    /// In bytes, with the overhead of each datagram.
    pub(crate) receive_buffer: usize,
    /// In bytes, with the overhead of each datagram.
    pub(crate) send_buffer: usize,
    pub(crate) receive_timeout: Option<Duration>,
    pub(crate) send_timeout: Option<Duration>,
    pub(crate) interface: Option<InterfaceId>,
    pub(crate) ttl: u8,
    pub(crate) tos: u8,
}

impl Settings {
    pub(super) fn new(ttl: u8) -> Settings {
        Settings {
            reuse_address: false,
            reuse_port: false,
            broadcast: false,
            receive_buffer: BUFFER_DEFAULT,
            send_buffer: BUFFER_DEFAULT,
            receive_timeout: None,
            send_timeout: None,
            interface: None,
            ttl,
            tos: 0,
        }
    }
}

impl Datagrams {
    /// Errors: `ENOPROTOOPT`, `EINVAL`.
    pub(crate) fn set_option(&mut self, option: SocketOption) -> Result<(), Errno> {
        let settings = &mut self.settings;
        match option {
            SocketOption::ReuseAddress(on) => settings.reuse_address = on,
            SocketOption::ReusePort(on) => settings.reuse_port = on,
            SocketOption::Broadcast(on) => {
                settings.broadcast = on;
                self.route = None;
            }
            SocketOption::ReceiveBuffer(bytes) => {
                settings.receive_buffer = bytes.clamp(BUFFER_MIN, BUFFER_MAX);
            }
            SocketOption::SendBuffer(bytes) => settings.send_buffer = bytes.clamp(BUFFER_MIN, BUFFER_MAX),
            SocketOption::ReceiveTimeout(timeout) => settings.receive_timeout = timeout,
            SocketOption::SendTimeout(timeout) => settings.send_timeout = timeout,
            SocketOption::BindToInterface(interface) => {
                settings.interface = interface;
                self.route = None;
            }
            SocketOption::Ttl(0) => return Err(Errno::EINVAL),
            SocketOption::Ttl(ttl) => settings.ttl = ttl,
            SocketOption::Tos(tos) => settings.tos = tos,
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    /// Errors: `ENOPROTOOPT`.
    pub(crate) fn option(&self, name: OptionName) -> Result<SocketOption, Errno> {
        let settings = &self.settings;
        Ok(match name {
            OptionName::ReuseAddress => SocketOption::ReuseAddress(settings.reuse_address),
            OptionName::ReusePort => SocketOption::ReusePort(settings.reuse_port),
            OptionName::Broadcast => SocketOption::Broadcast(settings.broadcast),
            OptionName::ReceiveBuffer => SocketOption::ReceiveBuffer(settings.receive_buffer),
            OptionName::SendBuffer => SocketOption::SendBuffer(settings.send_buffer),
            OptionName::ReceiveTimeout => SocketOption::ReceiveTimeout(settings.receive_timeout),
            OptionName::SendTimeout => SocketOption::SendTimeout(settings.send_timeout),
            OptionName::BindToInterface => SocketOption::BindToInterface(settings.interface),
            OptionName::Ttl => SocketOption::Ttl(settings.ttl),
            OptionName::Tos => SocketOption::Tos(settings.tos),
            OptionName::InQueue => SocketOption::InQueue(self.next_len()),
            OptionName::OutQueue | OptionName::OutQueueUnsent => SocketOption::OutQueue(self.queued_bytes()),
            _ => return Err(Errno::ENOPROTOOPT),
        })
    }
}

/// Linux's `rmem_default` and `wmem_default`.
const BUFFER_DEFAULT: usize = 212_992;
/// One full datagram of an Ethernet fits.
const BUFFER_MIN: usize = 2_304;
const BUFFER_MAX: usize = 16 << 20;
