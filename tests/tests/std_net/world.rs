//! The settings: two sides, each the kernel's sockets or ours, behind the same names.

use libtest_mimic::Failed;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tapstack::Errno;
use tapstack::device::{Device, TapOptions};
use tapstack::net::blocking;
use tapstack::net::tap::{Machine, MachineConfig, RunningMachine};
use tapstack::net::{Host, ListenOptions};
use tapstack::stack::{Cidr, Config, InterfaceConfig, MacAddr, Medium};
use tapstack_cli::testbed::{self, Bridge, NetNs, Netlink};

/// Who drives our machine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    CallersDrive,
    LoopDrives,
}

/// Two sides that can reach each other.
pub(crate) trait World: Sync {
    type Us: Net;
    type Them: Net;

    fn us(&self) -> &Self::Us;
    fn them(&self) -> &Self::Them;
}

impl<U: Net, T: Net> World for (U, T) {
    type Us = U;
    type Them = T;

    fn us(&self) -> &U {
        &self.0
    }

    fn them(&self) -> &T {
        &self.1
    }
}

/// One side: where sockets are made.
pub(crate) trait Net: Sync {
    type Listener: Listener<Stream = Self::Stream>;
    type Stream: Stream;
    type Udp: Udp;

    /// Its address.
    fn address(&self) -> Ipv4Addr;
    fn listen_with(&self, at: SocketAddr, options: ListenOptions) -> io::Result<Self::Listener>;
    fn connect(&self, to: SocketAddr) -> io::Result<Self::Stream>;
    fn connect_timeout(&self, to: SocketAddr, timeout: Duration) -> io::Result<Self::Stream>;
    fn connect_nonblocking(&self, to: SocketAddr) -> io::Result<Self::Stream>;
    fn udp(&self, at: SocketAddr) -> io::Result<Self::Udp>;
    /// Lets time pass, and what is on its way arrive.
    fn pause(&self, time: Duration);

    fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::from((self.address(), port))
    }

    fn listen(&self, at: SocketAddr) -> io::Result<Self::Listener> {
        self.listen_with(at, ListenOptions::default())
    }
}

pub(crate) trait Listener: Sync + Send + 'static {
    type Stream: Stream;
    fn accept(&self) -> io::Result<(Self::Stream, SocketAddr)>;
    fn local_addr(&self) -> io::Result<SocketAddr>;
    fn set_nonblocking(&self, on: bool) -> io::Result<()>;
    fn try_clone(&self) -> io::Result<Self>
    where
        Self: Sized;
    fn set_ttl(&self, ttl: u32) -> io::Result<()>;
    fn take_error(&self) -> io::Result<Option<io::Error>>;
}

pub(crate) trait Stream: Sync + Send + Sized + 'static {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize>;
    fn write(&self, data: &[u8]) -> io::Result<usize>;
    fn peek(&self, buffer: &mut [u8]) -> io::Result<usize>;
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;
    fn try_clone(&self) -> io::Result<Self>;
    fn local_addr(&self) -> io::Result<SocketAddr>;
    fn peer_addr(&self) -> io::Result<SocketAddr>;
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;
    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;
    fn read_timeout(&self) -> io::Result<Option<Duration>>;
    fn write_timeout(&self) -> io::Result<Option<Duration>>;
    fn set_nonblocking(&self, on: bool) -> io::Result<()>;
    fn set_nodelay(&self, on: bool) -> io::Result<()>;
    fn nodelay(&self) -> io::Result<bool>;
    fn set_ttl(&self, ttl: u32) -> io::Result<()>;
    fn ttl(&self) -> io::Result<u32>;
    fn take_error(&self) -> io::Result<Option<io::Error>>;
    /// Of `std` only since it is unstable there.
    fn linger_for(&self, time: Option<Duration>) -> io::Result<()>;

    fn write_all(&self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let len = self.write(data)?;
            data = &data[len..];
        }
        Ok(())
    }

    /// As much as comes before the end; the error that ended it, if one did.
    fn read_all(&self) -> (usize, io::Result<()>) {
        let (mut buffer, mut total) = (vec![0; 1 << 16], 0);
        loop {
            match self.read(&mut buffer) {
                Ok(0) => return (total, Ok(())),
                Ok(len) => total += len,
                Err(error) => return (total, Err(error)),
            }
        }
    }
}

pub(crate) trait Udp: Sync + Send + Sized + 'static {
    fn send_to(&self, data: &[u8], to: SocketAddr) -> io::Result<usize>;
    fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
    fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
    fn connect(&self, to: SocketAddr) -> io::Result<()>;
    fn send(&self, data: &[u8]) -> io::Result<usize>;
    fn recv(&self, buffer: &mut [u8]) -> io::Result<usize>;
    fn peek(&self, buffer: &mut [u8]) -> io::Result<usize>;
    fn local_addr(&self) -> io::Result<SocketAddr>;
    fn peer_addr(&self) -> io::Result<SocketAddr>;
    fn try_clone(&self) -> io::Result<Self>;
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;
    fn read_timeout(&self) -> io::Result<Option<Duration>>;
    fn set_nonblocking(&self, on: bool) -> io::Result<()>;
    fn set_broadcast(&self, on: bool) -> io::Result<()>;
    fn broadcast(&self) -> io::Result<bool>;
    fn set_ttl(&self, ttl: u32) -> io::Result<()>;
    fn ttl(&self) -> io::Result<u32>;
    fn take_error(&self) -> io::Result<Option<io::Error>>;
}

/// Implements the traits by methods of the same names: that this compiles for both is part of the test.
macro_rules! by_the_same_names {
    ($listener:ty, $stream:ty, $udp:ty, |$s:ident, $time:ident| $linger:expr) => {
        impl Listener for $listener {
            type Stream = $stream;
            forward! { $listener:
                accept() -> (Self::Stream, SocketAddr); local_addr() -> SocketAddr; set_nonblocking(on: bool) -> ();
                try_clone() -> Self; set_ttl(ttl: u32) -> (); take_error() -> Option<io::Error>;
            }
        }
        impl Stream for $stream {
            fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
                let mut stream = self;
                Read::read(&mut stream, buffer)
            }
            fn write(&self, data: &[u8]) -> io::Result<usize> {
                let mut stream = self;
                Write::write(&mut stream, data)
            }
            fn linger_for(&self, $time: Option<Duration>) -> io::Result<()> {
                let $s = self;
                Ok($linger?)
            }
            forward! { $stream:
                peek(buffer: &mut [u8]) -> usize; shutdown(how: Shutdown) -> (); try_clone() -> Self;
                local_addr() -> SocketAddr; peer_addr() -> SocketAddr;
                set_read_timeout(timeout: Option<Duration>) -> (); set_write_timeout(timeout: Option<Duration>) -> ();
                read_timeout() -> Option<Duration>; write_timeout() -> Option<Duration>;
                set_nonblocking(on: bool) -> (); set_nodelay(on: bool) -> (); nodelay() -> bool;
                set_ttl(ttl: u32) -> (); ttl() -> u32; take_error() -> Option<io::Error>;
            }
        }
        impl Udp for $udp {
            forward! { $udp:
                send_to(data: &[u8], to: SocketAddr) -> usize;
                recv_from(buffer: &mut [u8]) -> (usize, SocketAddr);
                peek_from(buffer: &mut [u8]) -> (usize, SocketAddr);
                connect(to: SocketAddr) -> (); send(data: &[u8]) -> usize; recv(buffer: &mut [u8]) -> usize;
                peek(buffer: &mut [u8]) -> usize; local_addr() -> SocketAddr; peer_addr() -> SocketAddr;
                try_clone() -> Self; set_read_timeout(timeout: Option<Duration>) -> ();
                read_timeout() -> Option<Duration>; set_nonblocking(on: bool) -> ();
                set_broadcast(on: bool) -> (); broadcast() -> bool; set_ttl(ttl: u32) -> (); ttl() -> u32;
                take_error() -> Option<io::Error>;
            }
        }
    };
}

macro_rules! forward {
    ($type:ty: $($name:ident($($arg:ident: $of:ty),*) -> $result:ty;)*) => {
        $(fn $name(&self, $($arg: $of),*) -> io::Result<$result> { <$type>::$name(self, $($arg),*) })*
    };
}

by_the_same_names!(std::net::TcpListener, std::net::TcpStream, std::net::UdpSocket, |stream, time| {
    sockopt::set_socket_linger(stream, time)
});
by_the_same_names!(blocking::TcpListener, blocking::TcpStream, blocking::UdpSocket, |stream, time| {
    stream.set_linger(time)
});

/// The kernel's sockets, in a namespace.
#[derive(Clone)]
pub(crate) struct Kernel {
    ns: Arc<NetNs>,
    address: Ipv4Addr,
}

impl Kernel {
    fn within<T: Send>(&self, body: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        self.ns.run(body).map_err(io::Error::other)?
    }
}

impl Net for Kernel {
    type Listener = std::net::TcpListener;
    type Stream = std::net::TcpStream;
    type Udp = std::net::UdpSocket;

    fn address(&self) -> Ipv4Addr {
        self.address
    }

    fn listen_with(&self, at: SocketAddr, options: ListenOptions) -> io::Result<std::net::TcpListener> {
        self.within(|| {
            let flags = SocketFlags::CLOEXEC;
            let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
            sockopt::set_socket_reuseaddr(&socket, options.reuse_address)?;
            sockopt::set_socket_reuseport(&socket, options.reuse_port)?;
            rustix::net::bind(&socket, &at)?;
            rustix::net::listen(&socket, options.backlog as i32)?;
            Ok(socket.into())
        })
    }

    fn connect(&self, to: SocketAddr) -> io::Result<std::net::TcpStream> {
        self.within(|| std::net::TcpStream::connect(to))
    }

    fn connect_timeout(&self, to: SocketAddr, timeout: Duration) -> io::Result<std::net::TcpStream> {
        self.within(|| std::net::TcpStream::connect_timeout(&to, timeout))
    }

    fn connect_nonblocking(&self, to: SocketAddr) -> io::Result<std::net::TcpStream> {
        self.within(|| {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
            match rustix::net::connect(&socket, &to) {
                Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(socket.into()),
                Err(errno) => Err(errno.into()),
            }
        })
    }

    fn udp(&self, at: SocketAddr) -> io::Result<std::net::UdpSocket> {
        self.within(|| std::net::UdpSocket::bind(at))
    }

    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// Our sockets, on a machine.
pub(crate) struct Ours {
    host: Host,
    /// Set where callers drive: then somebody has to while nobody calls.
    machine: Option<Arc<Machine>>,
    address: Ipv4Addr,
}

impl Net for Ours {
    type Listener = blocking::TcpListener;
    type Stream = blocking::TcpStream;
    type Udp = blocking::UdpSocket;

    fn address(&self) -> Ipv4Addr {
        self.address
    }

    fn listen_with(&self, at: SocketAddr, options: ListenOptions) -> io::Result<blocking::TcpListener> {
        blocking::TcpListener::bind_with(&self.host, at, options)
    }

    fn connect(&self, to: SocketAddr) -> io::Result<blocking::TcpStream> {
        blocking::TcpStream::connect(&self.host, to)
    }

    fn connect_timeout(&self, to: SocketAddr, timeout: Duration) -> io::Result<blocking::TcpStream> {
        blocking::TcpStream::connect_timeout(&self.host, &to, timeout)
    }

    fn connect_nonblocking(&self, to: SocketAddr) -> io::Result<blocking::TcpStream> {
        blocking::TcpStream::connect_nonblocking(&self.host, to)
    }

    fn udp(&self, at: SocketAddr) -> io::Result<blocking::UdpSocket> {
        blocking::UdpSocket::bind(&self.host, at)
    }

    fn pause(&self, time: Duration) {
        let Some(machine) = &self.machine else { return std::thread::sleep(time) };
        let until = Instant::now() + time;
        while Instant::now() < until {
            machine.turn(Some(until - Instant::now())).unwrap();
        }
    }
}

/// What happened, line by line.
#[derive(Default)]
pub(crate) struct Log {
    lines: Vec<String>,
}

impl Log {
    /// Notes a fact.
    pub(crate) fn note(&mut self, what: &str, value: impl Debug) {
        self.lines.push(format!("{what}: {value:?}"));
    }

    /// Notes a result: an error by its name and number, which have to be the kernel's.
    pub(crate) fn result<T: Debug>(&mut self, what: &str, result: io::Result<T>) {
        self.lines.push(format!("{what}: {}", show(&result)));
    }

    /// Notes a result, and how long it took, roughly.
    pub(crate) fn timed<T: Debug>(&mut self, what: &str, call: impl FnOnce() -> io::Result<T>) {
        let start = Instant::now();
        let result = call();
        let took = match start.elapsed() {
            took if took < TIMEOUT * 2 / 3 => "at once",
            took if took < Duration::from_secs(2) => "soon",
            _ => "after seconds",
        };
        self.lines.push(format!("{what}: {} {took}", show(&result)));
    }
}

/// A time-out that is told from none.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(300);

pub(crate) fn show<T: Debug>(result: &io::Result<T>) -> String {
    let error = match result {
        Ok(value) => return format!("{value:?}"),
        Err(error) => error,
    };
    let ours = error.get_ref().and_then(|inner| inner.downcast_ref::<Errno>()).map(|errno| errno.number());
    let Some(number) = error.raw_os_error().or(ours) else { return format!("{:?}", error.kind()) };
    let kind = io::Error::from_raw_os_error(number).kind();
    let (kind, own) = (format!("{kind:?}"), format!("{:?}", error.kind()));
    // `std` has no stable name for some.
    let same = own == kind || kind == "Uncategorized" || kind == "InProgress";
    let name = if same { kind } else { own };
    format!("{name} ({number})")
}

/// A pause that is long enough for whatever is on its way.
pub(crate) const PAUSE: Duration = Duration::from_millis(120);

const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const THEM: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const NOBODY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 99);

/// An address of the subnet that nobody has.
pub(crate) fn nobody(port: u16) -> SocketAddr {
    SocketAddr::from((NOBODY, port))
}

fn run<W: World>(world: &W, behaviour: fn(&W, &mut Log)) -> Vec<String> {
    let mut log = Log::default();
    behaviour(world, &mut log);
    log.lines
}

fn subnet(address: Ipv4Addr) -> Cidr {
    Cidr::new(address, 24)
}

/// Both sides are the kernel, in two namespaces joined by a virtual cable.
pub(crate) fn on_wire(behaviour: fn(&(Kernel, Kernel), &mut Log)) -> Result<Vec<String>, Failed> {
    let (us, them) = (Arc::new(NetNs::new()?), Arc::new(NetNs::new()?));
    us.run(|| {
        let mut netlink = Netlink::open()?;
        netlink.add_veth("eth0", "eth0", Some(&*them))?;
        netlink.add_address("eth0", subnet(US))?;
        netlink.set_up("eth0")
    })??;
    them.run(|| {
        let mut netlink = Netlink::open()?;
        netlink.add_address("eth0", subnet(THEM))?;
        netlink.set_up("eth0")
    })??;
    us.run(|| Netlink::open()?.wait_running("eth0"))??;
    let world = (Kernel { ns: us, address: US }, Kernel { ns: them, address: THEM });
    Ok(run(&world, behaviour))
}

/// Both sides are the kernel, on loopback. There is an interface too, so that there are routes.
pub(crate) fn on_loopback(behaviour: fn(&(Kernel, Kernel), &mut Log)) -> Result<Vec<String>, Failed> {
    let ns = Arc::new(NetNs::new()?);
    let _bridge = ns.run(|| {
        let mut bridge = Bridge::new("br0", &[subnet(US)])?;
        let tap = bridge.tap(TapOptions::default())?;
        Ok::<_, testbed::TestbedError>((bridge, tap))
    })??;
    let side = || Kernel { ns: Arc::clone(&ns), address: Ipv4Addr::LOCALHOST };
    Ok(run(&(side(), side()), behaviour))
}

/// Our side is a machine on a TAP; the other the kernel that it belongs to.
pub(crate) fn on_tap(
    setting: Setting,
    behaviour: fn(&(Ours, Kernel), &mut Log),
) -> Result<Vec<String>, Failed> {
    let ns = Arc::new(NetNs::new()?);
    let (_bridge, tap) = tap(&ns)?;
    let them = Kernel { ns, address: THEM };
    let (us, _running) = side(machine(tap)?, setting, US)?;
    Ok(run(&(us, them), behaviour))
}

/// Both sides are ours, on the loopback of one machine, which has a TAP too.
pub(crate) fn on_own_loopback(behaviour: fn(&(Ours, Ours), &mut Log)) -> Result<Vec<String>, Failed> {
    let ns = Arc::new(NetNs::new()?);
    let (_bridge, tap) = tap(&ns)?;
    let (us, _running) = side(machine(tap)?, Setting::LoopDrives, Ipv4Addr::LOCALHOST)?;
    let them = Ours { host: us.host.clone(), machine: None, address: Ipv4Addr::LOCALHOST };
    Ok(run(&(us, them), behaviour))
}

fn tap(ns: &NetNs) -> Result<(Bridge, Device), Failed> {
    Ok(ns.run(|| {
        let mut bridge = Bridge::new("br0", &[subnet(THEM)])?;
        let tap = bridge.tap(TapOptions::default())?;
        Ok::<_, testbed::TestbedError>((bridge, tap))
    })??)
}

fn side(machine: Machine, setting: Setting, address: Ipv4Addr) -> io::Result<(Ours, Option<RunningMachine>)> {
    let host = machine.host();
    Ok(match setting {
        Setting::CallersDrive => (Ours { host, machine: Some(Arc::new(machine)), address }, None),
        Setting::LoopDrives => (Ours { host, machine: None, address }, Some(machine.spawn()?)),
    })
}

fn machine(device: Device) -> io::Result<Machine> {
    let interface = InterfaceConfig {
        name: device.name.clone(),
        medium: Medium::Ethernet,
        mac: MacAddr([0x02, 0, 0, 0, 0, 2]),
        mtu: device.mtu,
        addresses: vec![subnet(US)],
        offloads: device.offloads,
    };
    Machine::new(MachineConfig {
        name: "ours".to_owned(),
        seed: None,
        stack: Config::default(),
        interfaces: vec![(interface, device)],
    })
}
