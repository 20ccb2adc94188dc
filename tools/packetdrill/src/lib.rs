//! A shared library through which packetdrill drives the tapstack TCP/IP stack instead of the kernel's.
//!
//! packetdrill runs scripts of socket calls, packets and times, and compares every packet that comes out. Started with
//! `--so_filename=libtapstack_packetdrill.so` it loads this library, calls [`packetdrill_interface_init`], and finds
//! there what it would otherwise ask the kernel for: the socket calls, a network device, and a clock. The clock is
//! virtual, so a script of minutes takes milliseconds and its times are exact to the microsecond.
//!
//! ```text
//! LD_PRELOAD=$so packetdrill --so_filename=$so --so_flags=capture=/tmp/out.pcapng script.pkt
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `ffi/` | everything that touches C: the table of functions, raw memory, real descriptors, what is preloaded |
//! | `machine.rs` | the lock and the virtual clock: who sleeps, who is woken, who has to be waited for |
//! | `world.rs` | the stack behind the lock, its packets and timers |
//! | `calls.rs` | socket calls with the kernel's meaning of blocking |
//! | `options.rs`, `tcp_info.rs` | socket options as bytes, in the kernel's layouts |
//! | `polling.rs`, `files.rs` | `poll`, `epoll`, and what is behind each descriptor |
//! | `sysctl.rs`, `flags.rs` | the script's settings: from `/proc/sys/net`, and from `--so_flags` |
//!
//! Preloading the library as well is for what packetdrill asks the kernel directly: `TCP_INFO` in code blocks, and
//! `sendfile`. Only IPv4 is served.

mod calls;
mod ffi;
mod files;
mod flags;
mod machine;
mod options;
mod polling;
mod sysctl;
mod tcp_info;
mod world;

pub use ffi::packetdrill_interface_init;
