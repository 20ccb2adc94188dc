//! The TAP device: all of its system calls, and the two halves that read and write frames.
#![allow(unsafe_code)]

use super::cut_in_place::SegmentWriter;
use super::tap_pool::Pool;
use super::vnet::{self, VNET_LEN};
use super::{Device, Receive, Transmit, napi};
use crate::frame::{HEADROOM, PacketId, RxChecksum, RxFrame, SLICES_INLINE, TxChecksum, TxFrame};
use crate::stack::{Cidr, Medium, Offloads};
use crate::time::Instant;
use crate::wire::ethernet;
use bytes::Buf;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::ioctl::{IntegerSetter, Opcode, Setter, Updater, ioctl, opcode};
use smallvec::SmallVec;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// The name under which the kernel offers TAP devices.
pub const TUN_PATH: &str = "/dev/net/tun";

/// Bytes of an Ethernet header with one VLAN tag: what a frame has beside the MTU at most.
const LINK_HEADER_MAX: usize = 18;
/// The largest super-frame, with its headers and the vnet header.
const SUPER_FRAME_MAX: usize = 65_535 + LINK_HEADER_MAX + VNET_LEN;
/// Payload of TCP and UDP super-frames at most: an IPv4 packet is 65,535 bytes with its headers.
const TSO_MAX: u32 = 65_535 - 60 - 60;
const USO_MAX: u32 = 65_535 - 60 - 8;
/// Pieces that one `writev` takes (UIO_MAXIOV).
const IO_SLICES_MAX: usize = 1024;

/// How a TAP is opened.
#[derive(Clone, Debug, Default)]
pub struct TapOptions {
    /// Its name, 1 to 15 bytes; without one the kernel takes the next free `tapN`.
    ///
    /// A persistent TAP of that name is attached to; any other is made, and is gone when the [`Tap`] and its device
    /// are dropped.
    pub name: Option<String>,
    /// Offload mode: checksums are left to the other side, and super-frames of 64 KiB go in and out. Without it
    /// every frame is what a wire would carry.
    pub offload: bool,
    /// Has the kernel handle what it receives from us in a thread of its own (NAPI): plain sending is faster by half
    /// where a second core is free. Needs a writable `/sys` of the device's network namespace.
    pub napi: bool,
}

/// Why a TAP can't be had, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TapError {
    /// `/dev/net/tun` isn't there (ENOENT, ENODEV, ENXIO).
    NoTunDevice,
    /// This user may not open `/dev/net/tun` (EACCES, or EPERM from a container's device rules).
    MayNotOpen,
    /// The kernel wants CAP_NET_ADMIN in the network namespace for this (EPERM).
    MayNotConfigure {
        /// What was tried.
        doing: &'static str,
        /// The TAP's name, empty where the kernel was to choose it.
        name: String,
    },
    /// Another program holds the TAP of that name (EBUSY).
    NameInUse(String),
    /// No interface can have that name.
    BadName(String),
    /// An interface of that name exists, but is no TAP, or one made with other flags (EINVAL).
    NotATap(String),
    /// Threaded NAPI can't be switched on; without it NAPI does harm.
    NoThreadedNapi(String),
    /// Anything else that a system call said.
    System {
        /// What was tried.
        doing: &'static str,
        /// The error's number.
        errno: i32,
    },
}

impl std::error::Error for TapError {}

impl std::fmt::Display for TapError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TapError::NoTunDevice => write!(
                f,
                "{TUN_PATH} is missing: load the module with `modprobe tun`; in a container, start it with \
                 `--device {TUN_PATH}`"
            ),
            TapError::MayNotOpen => {
                write!(
                    f,
                    "this user may not open {TUN_PATH}: run as root, or once as root `chmod 666 {TUN_PATH}`"
                )
            }
            TapError::MayNotConfigure { doing, name } => {
                let name = if name.is_empty() { "tap0" } else { name };
                write!(
                    f,
                    "no permission to {doing}: it needs CAP_NET_ADMIN. Run as root, or inside `unshare -Urn`, or once \
                     as root `ip tuntap add {name} mode tap user YOU && ip link set {name} up`"
                )
            }
            TapError::NameInUse(name) => write!(
                f,
                "{name} is in use by another program: choose another name, or end that program \
                 (`grep -s {name} /proc/[0-9]*/fdinfo/*` finds it)"
            ),
            TapError::BadName(name) => {
                write!(
                    f,
                    "{name:?} can't name an interface: it takes 1 to 15 bytes without `/`, `:` or spaces"
                )
            }
            TapError::NotATap(name) => write!(
                f,
                "{name} exists and is not a TAP that can be attached to: choose another name, or remove it with \
                 `ip link delete {name}`"
            ),
            TapError::NoThreadedNapi(name) => write!(
                f,
                "/sys/class/net/{name}/threaded can't be written: run as root with the /sys of this network namespace \
                 mounted, or open the TAP without NAPI"
            ),
            TapError::System { doing, errno } => {
                write!(f, "can't {doing}: {}", io::Error::from_raw_os_error(*errno))
            }
        }
    }
}

impl From<TapError> for io::Error {
    fn from(error: TapError) -> io::Error {
        let kind = match &error {
            TapError::NoTunDevice => io::ErrorKind::NotFound,
            TapError::MayNotOpen | TapError::MayNotConfigure { .. } => io::ErrorKind::PermissionDenied,
            TapError::NameInUse(_) => io::ErrorKind::ResourceBusy,
            TapError::BadName(_) | TapError::NotATap(_) => io::ErrorKind::InvalidInput,
            TapError::NoThreadedNapi(_) => io::ErrorKind::Unsupported,
            TapError::System { errno, .. } => io::Error::from_raw_os_error(*errno).kind(),
        };
        io::Error::new(kind, error)
    }
}

/// An open TAP.
#[derive(Debug)]
pub struct Tap {
    fd: Arc<OwnedFd>,
    /// Where an interface is asked about and set up: any socket will do.
    control: OwnedFd,
    name: String,
    offloads: Offloads,
    vnet: bool,
}

impl Tap {
    /// Opens a TAP, non-blocking. It is still down, unless it is a persistent one.
    pub fn open(options: TapOptions) -> Result<Tap, TapError> {
        let wanted = options.name.as_deref().unwrap_or("");
        let mut request = Ifreq::new(wanted).ok_or_else(|| TapError::BadName(wanted.to_owned()))?;
        let fd = rustix::fs::open(TUN_PATH, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| match errno {
                Errno::NOENT | Errno::NODEV | Errno::NXIO => TapError::NoTunDevice,
                Errno::ACCESS | Errno::PERM => TapError::MayNotOpen,
                errno => system("open /dev/net/tun", errno),
            })?;
        let mut flags = IFF_TAP | IFF_NO_PI;
        flags |= if options.offload { IFF_VNET_HDR } else { 0 };
        flags |= if options.napi { IFF_NAPI } else { 0 };
        request.set_short(flags);
        ifreq_ioctl::<TUNSETIFF>(&fd, &mut request).map_err(|errno| match errno {
            Errno::PERM => TapError::MayNotConfigure { doing: "make a TAP", name: wanted.to_owned() },
            Errno::BUSY => TapError::NameInUse(wanted.to_owned()),
            Errno::INVAL if !wanted.is_empty() => TapError::NotATap(wanted.to_owned()),
            errno => system("make a TAP", errno),
        })?;
        let name = request.name();
        let offloads = set_offloads(&fd, options.offload)?;
        set_send_buffer(&fd, &options)?;
        let control = rustix::net::socket_with(
            rustix::net::AddressFamily::INET,
            rustix::net::SocketType::DGRAM,
            rustix::net::SocketFlags::CLOEXEC,
            None,
        )
        .map_err(|errno| system("make a socket", errno))?;
        if options.napi && napi::thread(&name).is_err() {
            return Err(TapError::NoThreadedNapi(name));
        }
        Ok(Tap { fd: Arc::new(fd), control, name, offloads, vnet: options.offload })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it does for the stack.
    pub fn offloads(&self) -> Offloads {
        self.offloads
    }

    /// The largest IP packet that it carries, in bytes.
    pub fn mtu(&self) -> Result<u16, TapError> {
        let mtu = self.configure::<SIOCGIFMTU>("ask for the MTU", |_| ())?.int();
        Ok(u16::try_from(mtu).unwrap_or(u16::MAX))
    }

    /// Sets the largest IP packet that it carries, in bytes.
    pub fn set_mtu(&self, mtu: u16) -> Result<(), TapError> {
        self.configure::<SIOCSIFMTU>("set the MTU", |request| request.set_int(i32::from(mtu))).map(drop)
    }

    /// Sets how many frames wait for us in the kernel before it drops them (1000 by default). The kernel allows that
    /// to real root only, not to an ordinary user's namespace (where rtnetlink can do it).
    pub fn set_queue_len(&self, frames: u16) -> Result<(), TapError> {
        let set = |request: &mut Ifreq| request.set_int(i32::from(frames));
        self.configure::<SIOCSIFTXQLEN>("set the queue's length", set).map(drop)
    }

    /// Gives the *kernel's* side of the TAP an address: the kernel is then the other host on this link.
    pub fn set_kernel_address(&self, cidr: Cidr) -> Result<(), TapError> {
        let set = |request: &mut Ifreq| request.set_address(cidr.address);
        self.configure::<SIOCSIFADDR>("set an address", set)?;
        let mask = u32::MAX.checked_shl(32 - u32::from(cidr.prefix_len.min(32))).unwrap_or(0);
        let set = |request: &mut Ifreq| request.set_address(mask.into());
        self.configure::<SIOCSIFNETMASK>("set a netmask", set).map(drop)
    }

    /// Takes it up; one that is up already (a persistent TAP) needs no privilege for this.
    pub fn up(&self) -> Result<(), TapError> {
        let flags = self.configure::<SIOCGIFFLAGS>("ask for the flags", |_| ())?.short();
        if flags & IFF_UP != 0 {
            return Ok(());
        }
        let set = |request: &mut Ifreq| request.set_short(flags | IFF_UP);
        self.configure::<SIOCSIFFLAGS>("take the TAP up", set).map(drop)
    }

    /// Both halves, ready for a machine.
    pub fn into_device(self) -> Result<Device, TapError> {
        let mtu = self.mtu()?;
        let read_max = if self.vnet { SUPER_FRAME_MAX } else { usize::from(mtu) + LINK_HEADER_MAX };
        let chunk_len = if self.vnet { CHUNK_LEN_OFFLOAD } else { CHUNK_LEN_PLAIN };
        let name: Arc<str> = Arc::from(self.name.as_str());
        let pool = Pool::new(chunk_len.max(read_max));
        let rx = TapReceive { fd: self.fd.clone(), name: name.clone(), vnet: self.vnet, read_max, pool };
        let tx =
            TapTransmit { fd: self.fd.clone(), name, vnet: self.vnet, segment: Vec::new(), refused: None };
        Ok(Device {
            name: self.name,
            medium: Medium::Ethernet,
            mtu,
            offloads: self.offloads,
            rx: Box::new(rx),
            tx: Box::new(tx),
            fd: Some(self.fd),
        })
    }

    fn configure<const OP: Opcode>(
        &self,
        doing: &'static str,
        fill: impl FnOnce(&mut Ifreq),
    ) -> Result<Ifreq, TapError> {
        let mut request = Ifreq::new(&self.name).ok_or_else(|| TapError::BadName(self.name.clone()))?;
        fill(&mut request);
        ifreq_ioctl::<OP>(&self.control, &mut request).map_err(|errno| match errno {
            Errno::PERM => TapError::MayNotConfigure { doing, name: self.name.clone() },
            errno => system(doing, errno),
        })?;
        Ok(request)
    }
}

fn system(doing: &'static str, errno: Errno) -> TapError {
    TapError::System { doing, errno: errno.raw_os_error() }
}

/// Bytes that are read into one chunk before the next is taken: room for many small frames, or a few large ones.
const CHUNK_LEN_PLAIN: usize = 64 * 1024;
const CHUNK_LEN_OFFLOAD: usize = 256 * 1024;

struct TapReceive {
    fd: Arc<OwnedFd>,
    name: Arc<str>,
    vnet: bool,
    read_max: usize,
    pool: Pool,
}

impl Receive for TapReceive {
    fn receive(&mut self, _now: Instant) -> io::Result<Option<RxFrame>> {
        let fd = &*self.fd;
        let mut bytes = loop {
            match self.pool.fill(self.read_max, |spare| rustix::io::read(fd, spare).map(|(filled, _)| filled))
            {
                Ok(bytes) => break bytes,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(errno) => return Err(gone(&self.name, errno)),
            }
        };
        if !self.vnet {
            return Ok(Some(RxFrame::new(bytes)));
        }
        let (checksum, gso) = vnet::decode(&bytes).unwrap_or((RxChecksum::Unverified, None));
        let header_len = VNET_LEN.min(bytes.len());
        bytes.advance(header_len);
        Ok(Some(RxFrame { bytes, checksum, gso, ..RxFrame::default() }))
    }
}

/// Frames up to this length are copied together before they are written, in bytes.
const SMALL_FRAME_MAX: usize = 256;

struct TapTransmit {
    fd: Arc<OwnedFd>,
    name: Arc<str>,
    vnet: bool,
    /// Plain mode: where each segment of a super-frame lies while it is written.
    segment: Vec<u8>,
    /// The super-frame that the kernel took a part of, and the number of the segment that it refused.
    refused: Option<(PacketId, u16)>,
}

impl Transmit for TapTransmit {
    fn transmit(&mut self, _now: Instant, frame: &TxFrame) -> io::Result<()> {
        if !self.vnet && frame.gso.is_some() {
            return self.transmit_cut(frame);
        }
        if !self.vnet && frame.checksum != TxChecksum::Complete {
            let text = "a TAP in plain mode takes complete checksums only";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let header = if self.vnet { &vnet::encode(frame)[..] } else { &[] };
        if frame.len() <= SMALL_FRAME_MAX {
            // Copying these few bytes costs less than having the kernel gather them.
            let mut bytes = [0; VNET_LEN + SMALL_FRAME_MAX];
            let mut len = 0;
            let mut put = |piece: &[u8]| {
                bytes[len..len + piece.len()].copy_from_slice(piece);
                len += piece.len();
            };
            put(header);
            put(frame.headers());
            frame.payload.iter().for_each(|slice| put(slice));
            return self.write(|fd| rustix::io::write(fd, &bytes[..len]));
        }
        let flat;
        let mut pieces = SmallVec::<[IoSlice<'_>; SLICES_INLINE + 2]>::new();
        if self.vnet {
            pieces.push(IoSlice::new(header));
        }
        if frame.payload.len() + pieces.len() < IO_SLICES_MAX {
            pieces.push(IoSlice::new(frame.headers()));
            pieces.extend(frame.payload.iter().map(|slice| IoSlice::new(slice)));
        } else {
            flat = frame.to_vec();
            pieces.push(IoSlice::new(&flat));
        }
        self.write(|fd| rustix::io::writev(fd, &pieces))
    }
}

impl TapTransmit {
    /// Plain mode: writes what the wire carries for a super-frame. One that was refused half-way goes on there.
    fn transmit_cut(&mut self, frame: &TxFrame) -> io::Result<()> {
        let start = self.refused.take().filter(|(id, _)| *id == frame.id).map_or(0, |(_, number)| number);
        let Some(mut segments) = SegmentWriter::of(frame, ethernet::HEADER_BYTES, start) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a super-frame that can't be cut"));
        };
        let mut room = core::mem::take(&mut self.segment);
        let written = loop {
            let number = segments.number();
            let Some(segment) = segments.next(&mut room) else { break Ok(()) };
            if let Err(error) = self.write(|fd| rustix::io::write(fd, segment)) {
                // A frame without an id can't be known again: it is written anew.
                self.refused = (frame.id != PacketId::default()).then_some((frame.id, number));
                break Err(error);
            }
        };
        self.segment = room;
        written
    }

    /// Writes one frame. Errors: `WouldBlock` when it can be tried again.
    fn write(&self, write: impl Fn(&OwnedFd) -> Result<usize, Errno>) -> io::Result<()> {
        loop {
            match write(&self.fd) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                // The kernel is short of memory: the frame can be tried again, like one that found no room.
                Err(Errno::AGAIN | Errno::NOMEM | Errno::NOBUFS) => {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Err(errno) => return Err(gone(&self.name, errno)),
            }
        }
    }
}

/// What an error of a read or write says about the TAP.
fn gone(name: &str, errno: Errno) -> io::Error {
    match errno {
        Errno::IO => {
            let text = format!("{name} is down: take it up with `ip link set {name} up`");
            io::Error::new(io::ErrorKind::NetworkDown, text)
        }
        Errno::BADFD => {
            io::Error::new(io::ErrorKind::NotConnected, format!("{name} was deleted: open it again"))
        }
        errno => io::Error::from(errno),
    }
}

// From here on: the kernel's interface, as in <linux/if.h>, <linux/if_tun.h> and netdevice(7).

const IFF_UP: u16 = 0x1;
const IFF_TAP: u16 = 0x0002;
const IFF_NAPI: u16 = 0x0010;
const IFF_NO_PI: u16 = 0x1000;
const IFF_VNET_HDR: u16 = 0x4000;

const TUN_F_CSUM: usize = 0x01;
const TUN_F_TSO4: usize = 0x02;
const TUN_F_TSO_ECN: usize = 0x08;
/// The kernel takes UDP's segmentation for both IP versions or not at all (Linux 6.2 and later).
const TUN_F_USO: usize = 0x20 | 0x40;

const TUNSETIFF: Opcode = opcode::write::<core::ffi::c_int>(b'T', 202);
const TUNSETOFFLOAD: Opcode = opcode::write::<core::ffi::c_uint>(b'T', 208);
const TUNSETSNDBUF: Opcode = opcode::write::<core::ffi::c_int>(b'T', 212);
const SIOCGIFFLAGS: Opcode = 0x8913;
const SIOCSIFFLAGS: Opcode = 0x8914;
const SIOCSIFADDR: Opcode = 0x8916;
const SIOCSIFNETMASK: Opcode = 0x891c;
const SIOCGIFMTU: Opcode = 0x8921;
const SIOCSIFMTU: Opcode = 0x8922;
const SIOCSIFTXQLEN: Opcode = 0x8943;

const AF_INET: u16 = 2;
const NAME_LEN: usize = 16;

/// `struct ifreq`: a name, and a union that takes 24 bytes where pointers have 64 bits, fewer elsewhere.
#[repr(C, align(8))]
struct Ifreq {
    name: [u8; NAME_LEN],
    value: [u8; 24],
}

impl Ifreq {
    /// None if no interface can have that name; an empty one asks the kernel to choose.
    fn new(name: &str) -> Option<Ifreq> {
        let bad = |b: u8| b == b'/' || b == b':' || b == b'%' || b.is_ascii_whitespace() || b == 0;
        if name.len() >= NAME_LEN || name.bytes().any(bad) || name == "." || name == ".." {
            return None;
        }
        let mut request = Ifreq { name: [0; NAME_LEN], value: [0; 24] };
        request.name[..name.len()].copy_from_slice(name.as_bytes());
        Some(request)
    }

    fn name(&self) -> String {
        String::from_utf8_lossy(self.name.split(|&b| b == 0).next().unwrap_or(&[])).into_owned()
    }

    fn short(&self) -> u16 {
        u16::from_ne_bytes([self.value[0], self.value[1]])
    }

    fn set_short(&mut self, value: u16) {
        self.value[..2].copy_from_slice(&value.to_ne_bytes());
    }

    fn int(&self) -> i32 {
        i32::from_ne_bytes([self.value[0], self.value[1], self.value[2], self.value[3]])
    }

    fn set_int(&mut self, value: i32) {
        self.value[..4].copy_from_slice(&value.to_ne_bytes());
    }

    /// `struct sockaddr_in`: family, port, address.
    fn set_address(&mut self, address: core::net::Ipv4Addr) {
        self.set_short(AF_INET);
        self.value[4..8].copy_from_slice(&address.octets());
    }
}

fn ifreq_ioctl<const OP: Opcode>(fd: impl AsFd, request: &mut Ifreq) -> Result<(), Errno> {
    // SAFETY: every opcode that this file names takes a pointer to a `struct ifreq`, reads and writes no more than
    // that, and keeps no pointer to it. `Ifreq` is at least as large and as aligned.
    unsafe { ioctl(fd, Updater::<OP, Ifreq>::new(request)) }
}

/// Sets what may be left to the other side. Plain mode sets nothing: a persistent TAP keeps what its last user set.
fn set_offloads(fd: &OwnedFd, offload: bool) -> Result<Offloads, TapError> {
    let set = |flags: usize| {
        // SAFETY: TUNSETOFFLOAD takes its flags as the argument itself and touches none of our memory.
        unsafe { ioctl(fd, IntegerSetter::<TUNSETOFFLOAD>::new_usize(flags)) }
    };
    let failed = |errno| system("set the TAP's offloads", errno);
    if !offload {
        set(0).map_err(failed)?;
        return Ok(Offloads { tso_max: TSO_MAX, uso_max: USO_MAX, software: true, ..Offloads::default() });
    }
    let tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO_ECN;
    let uso_max = match set(tcp | TUN_F_USO) {
        Ok(()) => USO_MAX,
        Err(Errno::INVAL) => set(tcp).map(|()| 0).map_err(failed)?,
        Err(errno) => return Err(failed(errno)),
    };
    Ok(Offloads { tx_checksum: true, tso_max: TSO_MAX, uso_max, software: false })
}

/// Chooses how the kernel's side makes a packet of a frame that we write; a persistent TAP keeps its last user's choice.
///
/// Without a limit to the frames that it has taken and not handled yet, it puts them into pages that many of them share,
/// as is best for small ones, and for NAPI, which joins them there. With any limit it gives each one memory of its own:
/// a stream in plain mode is then faster by a tenth to a sixth, and a round trip of 1 KiB that polls takes 0.3 us more.
/// This limit is never met.
fn set_send_buffer(fd: &OwnedFd, options: &TapOptions) -> Result<(), TapError> {
    let has_own_memory = !options.offload && !options.napi;
    let bytes = if has_own_memory { core::ffi::c_int::MAX - 1 } else { core::ffi::c_int::MAX };
    // SAFETY: TUNSETSNDBUF takes a pointer to an `int`, reads no more than that, and keeps no pointer to it.
    unsafe { ioctl(fd, Setter::<TUNSETSNDBUF, core::ffi::c_int>::new(bytes)) }
        .map_err(|errno| system("set the TAP's send buffer", errno))
}

const _: () = assert!(HEADROOM >= LINK_HEADER_MAX && core::mem::size_of::<Ifreq>() == 40);

#[cfg(test)]
#[path = "tap_tests.rs"]
mod tests;
