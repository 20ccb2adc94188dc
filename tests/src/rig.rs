//! One machine of ours on a TAP, bridged to the kernel of a network namespace that lives as long as the test.
//!
//! ```text
//!  the test's thread, curl, ping …      the machine "stack"
//!         10.0.0.1                          10.0.0.2
//!            |                                  |
//!           br0 ------------- tap0 -- impairment, if any
//! ```

use crate::skips::{Outcome, ensure};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tapstack::capture::{Capture, CaptureOptions};
use tapstack::device::{ImpairedLink, Impairment, TapOptions, impair};
use tapstack::frame::DropReason;
use tapstack::net::Host;
use tapstack::net::tap::{Machine, MachineConfig, RunningMachine};
use tapstack::stack::{Cidr, Config, InterfaceConfig, InterfaceId, MacAddr, Medium, Offloads};
use tapstack_cli::testbed::{Bridge, NetNs};

/// The kernel's address.
pub const KERNEL: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// The machine's address.
pub const STACK: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// How long a call of the kernel's side may take: a few time-outs in a row are nothing unusual where packets are lost.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Frames that a capture holds of each flow, so that it stays small.
const FLOW_PACKETS_MAX: u32 = 100;
const CAPTURE_BYTES_MAX: usize = 24 << 20;

/// How the machine is joined to the kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct RigOptions {
    /// Super-frames and partial checksums on the TAP, instead of what a wire carries.
    pub offload: bool,
    /// Probability that a frame is lost, each way.
    pub loss: f64,
    /// Settings of the kernel's side that are not its default ones: names below `net.ipv4`, and values.
    pub kernel: &'static [(&'static str, &'static str)],
}

/// A machine and the kernel, joined.
pub struct Rig {
    host: Host,
    machine: Option<RunningMachine>,
    links: Option<[ImpairedLink; 2]>,
    loss: f64,
    is_offload: bool,
    capture: Capture,
    file: PathBuf,
    _bridge: Bridge,
}

impl Rig {
    /// Runs a test's body in a namespace of its own. The frames are in `name.pcapng` in `folder` afterwards.
    ///
    /// Fails when the body does, when no frame was lost where some were to be, when frames were received with a bad
    /// checksum, and when the TAP is still there afterwards.
    pub fn run(
        name: &str,
        folder: &Path,
        options: RigOptions,
        body: impl FnOnce(&Rig) -> Outcome + Send,
    ) -> Outcome {
        let file = folder.join(format!("{name}.pcapng"));
        let text = |failed: libtest_mimic::Failed| failed.message().unwrap_or("failed").to_owned();
        let ran = NetNs::new()?.run(|| -> Result<(), String> {
            let rig = Rig::set_up(options, file.clone()).map_err(|error| error.to_string())?;
            let outcome = body(&rig).and_then(|()| rig.check());
            drop(rig);
            outcome.and_then(|()| only_the_bridge_is_left()).map_err(text)
        })?;
        ran.map_err(|why| format!("{why}\n(frames: {})", file.display()).into())
    }

    /// The machine of ours.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Whether frames are lost on the way.
    pub fn is_lossy(&self) -> bool {
        self.loss > 0.0
    }

    /// Whether super-frames cross the TAP.
    pub fn is_offload(&self) -> bool {
        self.is_offload
    }

    fn set_up(options: RigOptions, file: PathBuf) -> Result<Rig, Box<dyn std::error::Error>> {
        for (name, value) in options.kernel {
            std::fs::write(format!("/proc/sys/net/ipv4/{name}"), value)
                .map_err(|error| format!("{name}: {error}"))?;
        }
        let mut bridge = Bridge::new("br0", &[cidr(KERNEL)])?;
        let tap = TapOptions { name: Some("tap0".into()), offload: options.offload, ..TapOptions::default() };
        let mut device = bridge.tap(tap)?;
        let mut links = None;
        if options.loss > 0.0 {
            let impairment = Impairment { loss: options.loss, ..Impairment::default() };
            let impaired = impair(device, impairment, impairment, 1);
            device = impaired.0;
            links = Some(impaired.1);
        }
        let interface = InterfaceConfig {
            name: device.name.clone(),
            medium: Medium::Ethernet,
            mac: MacAddr([0x02, 0x74, 0, 0, 0, 2]),
            mtu: device.mtu,
            addresses: vec![cidr(STACK)],
            offloads: Offloads::default(),
        };
        let described = InterfaceConfig { offloads: device.offloads, ..interface.clone() };
        let machine = Machine::new(MachineConfig {
            name: "stack".into(),
            seed: None,
            stack: Config::default(),
            interfaces: vec![(interface, device)],
        })?;
        let host = machine.host();
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
        let capture = Capture::new(CaptureOptions {
            epoch_unix_nanos: since_1970 - host.now().as_nanos(),
            flow_packets_max: Some(FLOW_PACKETS_MAX),
            buffer_bytes_max: CAPTURE_BYTES_MAX,
            ..CaptureOptions::default()
        });
        capture.add_interface("stack", InterfaceId(1), &described);
        host.set_observer(Some(Box::new(capture.observer("stack"))));
        let machine = Some(machine.spawn()?);
        Ok(Rig {
            host,
            machine,
            links,
            loss: options.loss,
            is_offload: options.offload,
            capture,
            file,
            _bridge: bridge,
        })
    }

    /// What has to hold after any test.
    fn check(&self) -> Outcome {
        for counts in self.links.iter().flatten().map(ImpairedLink::counts) {
            // Where twenty losses are expected, none has a chance of one in 500 million.
            let expected = counts.frames as f64 * self.loss;
            ensure(counts.lost > 0 || expected < 20.0, || {
                format!("nothing was lost of {} frames", counts.frames)
            })?;
        }
        let drops: Vec<(DropReason, u64)> =
            self.host.with_stack(|_, stack| stack.counters().all_drops().collect());
        let spoiled = drops.iter().any(|(reason, _)| format!("{reason:?}").contains("Checksum"));
        ensure(!spoiled, || format!("the machine found bad checksums: {drops:?}"))
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let ended = self.machine.take().map_or(Ok(()), RunningMachine::shutdown);
        let written = std::fs::write(&self.file, self.capture.take());
        for error in [ended, written].into_iter().filter_map(io::Result::err) {
            eprintln!("{}: {error}", self.file.display());
        }
    }
}

/// A socket address of the kernel's.
pub fn kernel(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(KERNEL), port)
}

/// A socket address of the machine's.
pub fn stack(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(STACK), port)
}

fn cidr(address: Ipv4Addr) -> Cidr {
    Cidr { address, prefix_len: 24 }
}

/// The machine's TAP goes with the machine; or a moment later, where another test's thread was just starting a program:
/// its child has all descriptors until it executes that.
fn only_the_bridge_is_left() -> Outcome {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let devices = std::fs::read_to_string("/proc/thread-self/net/dev")?;
        if !devices.lines().any(|line| line.trim_start().starts_with("tap")) {
            return Ok(());
        }
        ensure(Instant::now() < until, || format!("the TAP is still there:\n{devices}"))?;
        std::thread::sleep(Duration::from_millis(5));
    }
}
