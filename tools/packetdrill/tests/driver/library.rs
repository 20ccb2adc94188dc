//! The library under test, loaded with `dlopen`, its 33 words called as C calls them.
#![allow(unsafe_code)]

use libc::{c_char, c_int, c_longlong, c_void, sockaddr, socklen_t};
use std::ffi::CString;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The order of the words.
pub const WORDS: [&str; 33] = [
    "userdata",
    "free",
    "socket",
    "bind",
    "listen",
    "accept",
    "connect",
    "read",
    "readv",
    "recv",
    "recvfrom",
    "recvmsg",
    "write",
    "writev",
    "send",
    "sendto",
    "sendmsg",
    "fcntl",
    "ioctl",
    "close",
    "shutdown",
    "getsockopt",
    "setsockopt",
    "poll",
    "netdev_send",
    "netdev_receive",
    "usleep",
    "gettimeofday",
    "epoll_create",
    "epoll_ctl",
    "epoll_wait",
    "pipe",
    "splice",
];

/// One instance of the library.
pub struct Library {
    pub words: [usize; 33],
    handle: *mut c_void,
}

/// Preloaded calls know one instance at a time, so that tests which use one take turns: each holds this meanwhile.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

// SAFETY: the library's functions may be called from any thread, as packetdrill does; the handle is only looked up in.
unsafe impl Sync for Library {}
// SAFETY: as above.
unsafe impl Send for Library {}

/// A result as `errno` where it is -1.
pub type Answer = Result<i64, i32>;

impl Library {
    /// Loads the library, with `--so_flags`.
    pub fn load(flags: &str) -> Library {
        let path = CString::new(library_path().into_os_string().into_encoded_bytes()).unwrap();
        let flags = CString::new(flags).unwrap();
        let mut words = [0; 33];
        // SAFETY: C strings, and room for 33 words.
        let handle = unsafe {
            let handle = libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
            assert!(!handle.is_null(), "{path:?}: dlopen failed");
            let init = libc::dlsym(handle, c"packetdrill_interface_init".as_ptr());
            assert!(!init.is_null(), "no packetdrill_interface_init");
            let init: extern "C" fn(*const c_char, *mut c_void) = core::mem::transmute(init);
            init(flags.as_ptr(), words.as_mut_ptr().cast());
            handle
        };
        Library { words, handle }
    }

    /// The address of a word's function.
    fn word(&self, name: &str) -> usize {
        self.words[WORDS.iter().position(|word| *word == name).unwrap()]
    }

    /// Calls a function with up to six arguments behind the userdata: every type that it takes fits into a register.
    fn call(&self, name: &str, arguments: &[usize]) -> Answer {
        let mut a = [0; 6];
        a[..arguments.len()].copy_from_slice(arguments);
        type Function = extern "C" fn(usize, usize, usize, usize, usize, usize, usize) -> i64;
        // SAFETY: on the machines that packetdrill runs on, surplus register arguments are harmless, and `int` results
        // are widened below.
        let function: Function = unsafe { core::mem::transmute(self.word(name)) };
        let result = function(self.words[0], a[0], a[1], a[2], a[3], a[4], a[5]);
        let wide = matches!(
            name,
            "read"
                | "readv"
                | "recv"
                | "recvfrom"
                | "recvmsg"
                | "write"
                | "writev"
                | "send"
                | "sendto"
                | "sendmsg"
                | "splice"
        );
        let result = if wide { result } else { i64::from(result as i32) };
        if result == -1 {
            return Err(std::io::Error::last_os_error().raw_os_error().unwrap());
        }
        Ok(result)
    }

    pub fn socket(&self, kind: c_int) -> c_int {
        self.call("socket", &[libc::AF_INET as usize, kind as usize, 0]).unwrap() as c_int
    }

    pub fn bind(&self, fd: c_int, address: SocketAddrV4) -> Answer {
        let raw = raw_address(address);
        self.call("bind", &[fd as usize, &raw const raw as usize, size_of_val(&raw)])
    }

    pub fn listen(&self, fd: c_int, backlog: c_int) -> Answer {
        self.call("listen", &[fd as usize, backlog as usize])
    }

    /// The new descriptor and the peer.
    pub fn accept(&self, fd: c_int) -> Result<(c_int, SocketAddrV4), i32> {
        let mut raw = raw_address(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
        let mut len = size_of_val(&raw) as socklen_t;
        let fd = self.call("accept", &[fd as usize, &raw mut raw as usize, &raw mut len as usize])? as c_int;
        let ip = Ipv4Addr::from_bits(u32::from_be(raw.sin_addr.s_addr));
        Ok((fd, SocketAddrV4::new(ip, u16::from_be(raw.sin_port))))
    }

    pub fn connect(&self, fd: c_int, address: SocketAddrV4) -> Answer {
        let raw = raw_address(address);
        self.call("connect", &[fd as usize, &raw const raw as usize, size_of_val(&raw)])
    }

    pub fn read(&self, fd: c_int, buffer: &mut [u8]) -> Answer {
        self.call("read", &[fd as usize, buffer.as_mut_ptr() as usize, buffer.len()])
    }

    pub fn recv(&self, fd: c_int, buffer: &mut [u8], flags: c_int) -> Answer {
        self.call("recv", &[fd as usize, buffer.as_mut_ptr() as usize, buffer.len(), flags as usize])
    }

    pub fn readv(&self, fd: c_int, first: &mut [u8], second: &mut [u8]) -> Answer {
        let vectors = [vector(first), vector(second)];
        self.call("readv", &[fd as usize, vectors.as_ptr() as usize, 2])
    }

    /// `recvmsg` into one vector, with room for a control message: the count and the message's integer, where one came.
    pub fn recvmsg(&self, fd: c_int, buffer: &mut [u8]) -> Result<(i64, Option<i32>), i32> {
        let mut vector = vector(buffer);
        let mut control = [0u64; 8];
        // SAFETY: all zeros is a header without anything.
        let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        let count = self.call("recvmsg", &[fd as usize, &raw mut message as usize, 0])?;
        // SAFETY: the header is ours, its control room was filled by the call.
        let told = unsafe {
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (!header.is_null()).then(|| libc::CMSG_DATA(header).cast::<i32>().read_unaligned())
        };
        Ok((count, told))
    }

    pub fn write(&self, fd: c_int, data: &[u8]) -> Answer {
        self.call("write", &[fd as usize, data.as_ptr() as usize, data.len()])
    }

    /// Writes from an address that may be nonsense.
    pub fn write_from(&self, fd: c_int, address: usize, len: usize) -> Answer {
        self.call("write", &[fd as usize, address, len])
    }

    pub fn writev(&self, fd: c_int, first: &[u8], second: &[u8]) -> Answer {
        let vectors = [first, second]
            .map(|data| libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() });
        self.call("writev", &[fd as usize, vectors.as_ptr() as usize, 2])
    }

    pub fn send(&self, fd: c_int, data: &[u8], flags: c_int) -> Answer {
        self.call("send", &[fd as usize, data.as_ptr() as usize, data.len(), flags as usize])
    }

    pub fn sendmsg(&self, fd: c_int, data: &[u8]) -> Answer {
        let mut vector = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
        // SAFETY: all zeros is a header without anything.
        let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        self.call("sendmsg", &[fd as usize, &raw const message as usize, 0])
    }

    pub fn fcntl(&self, fd: c_int, command: c_int, argument: c_int) -> Answer {
        self.call("fcntl", &[fd as usize, command as usize, argument as usize])
    }

    /// An `ioctl` that tells an integer.
    pub fn ioctl(&self, fd: c_int, request: u64) -> Result<i32, i32> {
        let mut value = 0i32;
        self.call("ioctl", &[fd as usize, request as usize, &raw mut value as usize])?;
        Ok(value)
    }

    pub fn close(&self, fd: c_int) -> Answer {
        self.call("close", &[fd as usize])
    }

    pub fn shutdown(&self, fd: c_int, how: c_int) -> Answer {
        self.call("shutdown", &[fd as usize, how as usize])
    }

    pub fn setsockopt(&self, fd: c_int, level: c_int, name: c_int, value: &[u8]) -> Answer {
        let (at, len) = (value.as_ptr() as usize, value.len());
        self.call("setsockopt", &[fd as usize, level as usize, name as usize, at, len])
    }

    pub fn set_int(&self, fd: c_int, level: c_int, name: c_int, value: i32) -> Answer {
        self.setsockopt(fd, level, name, &value.to_ne_bytes())
    }

    /// The bytes of an option, at most `room`.
    pub fn getsockopt(&self, fd: c_int, level: c_int, name: c_int, room: usize) -> Result<Vec<u8>, i32> {
        let mut value = vec![0; room];
        let mut len = room as socklen_t;
        let (at, len_at) = (value.as_mut_ptr() as usize, &raw mut len as usize);
        self.call("getsockopt", &[fd as usize, level as usize, name as usize, at, len_at])?;
        value.truncate(len as usize);
        Ok(value)
    }

    pub fn get_int(&self, fd: c_int, level: c_int, name: c_int) -> Result<i32, i32> {
        Ok(i32::from_ne_bytes(self.getsockopt(fd, level, name, 4)?.try_into().unwrap()))
    }

    /// The `getsockopt` that the library exports for preloading.
    pub fn preloaded_getsockopt(
        &self,
        fd: c_int,
        level: c_int,
        name: c_int,
        room: usize,
    ) -> Result<Vec<u8>, i32> {
        type Function = unsafe extern "C" fn(c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int;
        let mut value = vec![0; room];
        let mut len = room as socklen_t;
        // SAFETY: the exported function has libc's type; the pointers are to a buffer and its length.
        let result = unsafe {
            let function = libc::dlsym(self.handle, c"getsockopt".as_ptr());
            let function: Function = core::mem::transmute(function);
            function(fd, level, name, value.as_mut_ptr().cast(), &raw mut len)
        };
        if result == -1 {
            return Err(std::io::Error::last_os_error().raw_os_error().unwrap());
        }
        value.truncate(len as usize);
        Ok(value)
    }

    /// The `sendfile` that the library exports for preloading, from the file's start.
    pub fn preloaded_sendfile(&self, to: c_int, from: c_int, count: usize) -> (isize, i64) {
        type Function = unsafe extern "C" fn(c_int, c_int, *mut libc::off_t, usize) -> libc::ssize_t;
        let mut offset = 0;
        // SAFETY: the exported function has libc's type.
        let sent = unsafe {
            let function = libc::dlsym(self.handle, c"sendfile".as_ptr());
            let function: Function = core::mem::transmute(function);
            function(to, from, &raw mut offset, count)
        };
        (sent, offset)
    }

    /// `revents` of one descriptor.
    pub fn poll(&self, fd: c_int, events: i16, timeout_ms: c_int) -> i16 {
        let mut entry = libc::pollfd { fd, events, revents: 0 };
        self.call("poll", &[&raw mut entry as usize, 1, timeout_ms as usize]).unwrap();
        entry.revents
    }

    pub fn epoll_create(&self) -> c_int {
        self.call("epoll_create", &[1]).unwrap() as c_int
    }

    pub fn epoll_ctl(&self, epoll: c_int, operation: c_int, fd: c_int, events: u32) -> Answer {
        let mut event = libc::epoll_event { events, u64: fd as u64 };
        let at = &raw mut event as usize;
        self.call("epoll_ctl", &[epoll as usize, operation as usize, fd as usize, at])
    }

    /// Events and data of what is ready.
    pub fn epoll_wait(&self, epoll: c_int, timeout_ms: c_int) -> Vec<(u32, u64)> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 8];
        let at = events.as_mut_ptr() as usize;
        let count = self.call("epoll_wait", &[epoll as usize, at, 8, timeout_ms as usize]).unwrap();
        events[..count as usize].iter().map(|event| (event.events, event.u64)).collect()
    }

    pub fn pipe(&self) -> [c_int; 2] {
        let mut ends = [0; 2];
        self.call("pipe", &[ends.as_mut_ptr() as usize]).unwrap();
        ends
    }

    pub fn splice(&self, from: c_int, to: c_int, len: usize) -> Answer {
        self.call("splice", &[from as usize, 0, to as usize, 0, len, 0])
    }

    pub fn netdev_send(&self, packet: &[u8]) {
        assert_eq!(self.call("netdev_send", &[packet.as_ptr() as usize, packet.len()]), Ok(0));
    }

    /// The next packet, and its time in microseconds; none where nothing will ever come.
    pub fn netdev_receive(&self) -> Option<(i64, Vec<u8>)> {
        let mut packet = vec![0; 65_536];
        let mut len = packet.len();
        let mut micros: c_longlong = 0;
        let arguments = [packet.as_mut_ptr() as usize, &raw mut len as usize, &raw mut micros as usize];
        assert_eq!(self.call("netdev_receive", &arguments), Ok(0));
        packet.truncate(len);
        (len > 0).then_some((micros, packet))
    }

    pub fn usleep(&self, micros: i64) {
        assert_eq!(self.call("usleep", &[micros as usize]), Ok(0));
    }

    /// The time in microseconds.
    pub fn gettimeofday(&self) -> i64 {
        let mut time = libc::timeval { tv_sec: 0, tv_usec: 0 };
        assert_eq!(self.call("gettimeofday", &[&raw mut time as usize, 0]), Ok(0));
        time.tv_sec * 1_000_000 + time.tv_usec
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: the instance is not used any more.
        let free: extern "C" fn(usize) = unsafe { core::mem::transmute(self.word("free")) };
        free(self.words[0]);
    }
}

fn raw_address(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: address.ip().to_bits().to_be() },
        sin_zero: [0; 8],
    }
}

fn vector(buffer: &mut [u8]) -> libc::iovec {
    libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() }
}

/// Where cargo has put the shared library: beside this test, or one folder up.
fn library_path() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let folders = here.ancestors().skip(1).take(2);
    let mut paths = folders.map(|folder| folder.join("libtapstack_packetdrill.so"));
    paths.find(|path| path.exists()).expect("cargo builds the library for its tests")
}

const _: () = assert!(size_of::<sockaddr>() == size_of::<libc::sockaddr_in>());
