//! The TAP device and the testbed against the running kernel: raw frames by a bridge, offloads, errors.
//!
//! Everything happens in network namespaces of this process. Where they or /dev/net/tun can't be had, every test is
//! shown as ignored, with the reason.

use libtest_mimic::{Arguments, Failed};
use std::io::Write;
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::time::{Duration, Instant as Clock};
use tapstack::Instant;
use tapstack::device::{Device, Tap, TapError, TapOptions};
use tapstack::frame::{Cause, Gso, GsoKind, RxChecksum, RxFrame, TxChecksum, TxFrame};
use tapstack::stack::{Cidr, MacAddr};
use tapstack_cli::testbed::{self, Bridge, NetNs, Netlink, Route};
use tapstack_tests::skips;

/// A test's name and body.
type Test = (&'static str, fn() -> Result<(), Failed>);

const TESTS: [Test; 15] = [
    ("names_are_given_or_chosen", names_are_given_or_chosen),
    ("errors_tell_what_is_in_the_way", errors_tell_what_is_in_the_way),
    ("settings_are_set", settings_are_set),
    ("raw_frames_cross_a_bridge_unchanged", raw_frames_cross_a_bridge_unchanged),
    ("the_kernel_asks_for_our_address", the_kernel_asks_for_our_address),
    ("the_kernel_takes_partial_checksums", the_kernel_takes_partial_checksums),
    ("the_kernel_leaves_checksums_to_us", the_kernel_leaves_checksums_to_us),
    ("tcp_super_frames_stay_whole_or_are_cut", tcp_super_frames_stay_whole_or_are_cut),
    ("plain_mode_cuts_super_frames_by_itself", plain_mode_cuts_super_frames_by_itself),
    ("udp_super_frames_are_cut_into_datagrams", udp_super_frames_are_cut_into_datagrams),
    ("the_kernel_sends_super_frames", the_kernel_sends_super_frames),
    ("frames_of_many_pieces_are_written_whole", frames_of_many_pieces_are_written_whole),
    ("a_lost_tap_is_told", a_lost_tap_is_told),
    ("threaded_napi_is_on_or_refused", threaded_napi_is_on_or_refused),
    ("kernels_talk_by_virtual_cables", kernels_talk_by_virtual_cables),
];

fn main() {
    let tap = skips::enter_testbed();
    let trial = |&(name, body): &Test| skips::test(name, [tap.clone()], body);
    libtest_mimic::run(&Arguments::from_args(), TESTS.iter().map(trial).collect()).exit();
}

/// Runs a test's body in a network namespace of its own, so that tests can run side by side.
fn apart(body: impl FnOnce() -> Result<(), Failed> + Send) -> Result<(), Failed> {
    NetNs::new()?
        .run(|| body().map_err(|failed| failed.message().unwrap_or("failed").to_owned()))?
        .map_err(Failed::from)
}

fn options(name: &str, offload: bool) -> TapOptions {
    TapOptions { name: Some(name.into()), offload, ..TapOptions::default() }
}

const KERNEL: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const KERNEL_MAC: MacAddr = MacAddr([0x02, 0, 0, 0, 0xff, 0x01]);
const OUR_MAC: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 2]);
const OTHER_MAC: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 3]);
const TCP: u8 = 6;
const UDP: u8 = 17;

fn bridge() -> Result<Bridge, testbed::TestbedError> {
    Bridge::new("br0", &[Cidr { address: KERNEL, prefix_len: 24 }])
}

fn send(device: &mut Device, frame: &TxFrame) -> Result<(), Failed> {
    Ok(device.tx.transmit(Instant::ZERO, frame)?)
}

/// The next frame that is wanted, within two seconds.
fn receive(device: &mut Device, wanted: impl Fn(&RxFrame) -> bool) -> Result<RxFrame, Failed> {
    let until = Clock::now() + Duration::from_secs(2);
    while Clock::now() < until {
        match device.rx.receive(Instant::ZERO)? {
            Some(frame) if wanted(&frame) => return Ok(frame),
            Some(_) => {}
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    Err(format!("{}: the frame did not come", device.name).into())
}

fn from_us(frame: &RxFrame) -> bool {
    frame.bytes.get(6..12) == Some(&OUR_MAC.0)
}

fn sum(bytes: &[u8]) -> u32 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

/// An IPv4 frame from us, its transport header in front of the payload, with the checksum left to be completed.
fn ip_frame(to: (MacAddr, Ipv4Addr), protocol: u8, transport: &[u8], payload: Vec<u8>) -> TxFrame {
    let mut frame = TxFrame::new(Cause::default());
    let len = (transport.len() + payload.len()) as u16;
    let offset: u16 = if protocol == TCP { 16 } else { 6 };
    frame.payload.push(payload.into());
    let addresses = [OURS.octets(), to.1.octets()].concat();
    let header = frame.prepend(transport.len());
    header.copy_from_slice(transport);
    let pseudo = sum(&[&addresses[..], &[0, protocol], &len.to_be_bytes()].concat()) as u16;
    let field = usize::from(offset);
    header[field..field + 2].copy_from_slice(&pseudo.to_be_bytes());
    let ip = frame.prepend(20);
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&(len + 20).to_be_bytes());
    ip[6..10].copy_from_slice(&[0x40, 0, 64, protocol]);
    ip[12..20].copy_from_slice(&addresses);
    let header_sum = !(sum(ip) as u16);
    ip[10..12].copy_from_slice(&header_sum.to_be_bytes());
    let ethernet = frame.prepend(14);
    ethernet[..6].copy_from_slice(&to.0.0);
    ethernet[6..12].copy_from_slice(&OUR_MAC.0);
    ethernet[12..].copy_from_slice(&[8, 0]);
    frame.checksum = TxChecksum::Partial { start: 34, offset };
    frame
}

/// Whether the transport checksum of an IPv4 frame without options is right.
fn checksum_is_right(frame: &[u8]) -> bool {
    let len = (u16::from_be_bytes([frame[16], frame[17]]) - 20).to_be_bytes();
    let pseudo = [&frame[26..34], &[0, frame[23]], &len].concat();
    let transport = &frame[34..14 + usize::from(u16::from_be_bytes([frame[16], frame[17]]))];
    sum(&[(sum(&pseudo) as u16).to_be_bytes().to_vec(), transport.to_vec()].concat()) == 0xffff
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i / 256 + i) as u8).collect()
}

fn names_are_given_or_chosen() -> Result<(), Failed> {
    apart(|| {
        assert_eq!(Tap::open(options("mine", false))?.name(), "mine");
        let chosen = Tap::open(TapOptions::default())?;
        assert_eq!(chosen.name(), "tap0");
        let device = Tap::open(TapOptions::default())?.into_device()?;
        assert_eq!((&device.name[..], device.mtu, device.fd.is_some()), ("tap1", 1500, true));
        Ok(())
    })
}

fn errors_tell_what_is_in_the_way() -> Result<(), Failed> {
    apart(|| {
        let first = Tap::open(options("busy", false))?;
        assert_eq!(Tap::open(options("busy", false)).err(), Some(TapError::NameInUse("busy".into())));
        drop(first);
        Tap::open(options("busy", false))?;
        bridge()?;
        assert_eq!(Tap::open(options("br0", false)).err(), Some(TapError::NotATap("br0".into())));
        let missing = Netlink::open()?.set_up("nosuch").map_err(|error| error.to_string());
        assert_eq!(missing, Err("can't find the interface nosuch: No such device (os error 19)".into()));
        let twice = Bridge::new("br0", &[]).map(drop).map_err(|error| error.to_string());
        assert_eq!(twice, Err("can't make the bridge br0: File exists (os error 17)".into()));
        Ok(())
    })
}

fn settings_are_set() -> Result<(), Failed> {
    apart(|| {
        let tap = Tap::open(options("t", false))?;
        tap.set_mtu(9000)?;
        // The one setting that an ordinary user's namespace needs rtnetlink for.
        let set = tap.set_queue_len(5000);
        assert!(matches!(set, Ok(()) | Err(TapError::MayNotConfigure { .. })), "{set:?}");
        Netlink::open()?.set_queue_len("t", 5000)?;
        tap.set_kernel_address(Cidr { address: KERNEL, prefix_len: 30 })?;
        tap.up()?;
        tap.up()?;
        assert_eq!(tap.mtu()?, 9000);
        // Only where the kernel has the address can it be bound to.
        let socket = UdpSocket::bind((KERNEL, 7))?;
        let mut device = tap.into_device()?;
        assert_eq!(device.mtu, 9000);
        // 10.0.0.2 is on the link, 10.0.0.4 is not, by the prefix length of 30.
        assert!(socket.send_to(b"x", (Ipv4Addr::new(10, 0, 0, 4), 9)).is_err());
        socket.send_to(b"x", (OURS, 9))?;
        receive(&mut device, |frame| frame.bytes.get(12..14) == Some(&[8, 6]))?;
        Ok(())
    })
}

fn raw_frames_cross_a_bridge_unchanged() -> Result<(), Failed> {
    apart(|| {
        let mut bridge = bridge()?;
        let (mut a, mut b) = (bridge.tap(options("a", false))?, bridge.tap(options("b", false))?);
        assert!(
            b.rx.receive(Instant::ZERO)?.is_none_or(|frame| !from_us(&frame)),
            "nothing is read as nothing"
        );
        let payload = pattern(1400);
        let complete = ip_frame((OTHER_MAC, OURS), UDP, &[0, 7, 0, 9, 5, 128, 0, 0], payload);
        let bytes = complete.completed();
        send(&mut a, &TxFrame::from_completed(bytes.clone(), &complete))?;
        let got = receive(&mut b, from_us)?;
        assert_eq!((got.checksum, got.gso), (RxChecksum::Unverified, None));
        assert!(got.bytes == bytes);
        // What a wire would not carry is refused.
        assert!(a.tx.transmit(Instant::ZERO, &complete).is_err());
        Ok(())
    })
}

fn the_kernel_asks_for_our_address() -> Result<(), Failed> {
    apart(|| {
        let mut bridge = bridge()?;
        let mut ours = bridge.tap(options("a", false))?;
        UdpSocket::bind((KERNEL, 0))?.send_to(b"hello", (OURS, 9))?;
        // IPv6 is silenced, and the bridge says nothing by itself, so this is the very first frame.
        let got = receive(&mut ours, |_| true)?;
        let head =
            [&[0xff; 6][..], &KERNEL_MAC.0, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &KERNEL_MAC.0, &[10, 0, 0, 1]];
        assert_eq!(&got.bytes[..32], head.concat());
        assert_eq!(&got.bytes[38..42], OURS.octets());
        Ok(())
    })
}

fn the_kernel_takes_partial_checksums() -> Result<(), Failed> {
    apart(|| {
        let mut bridge = bridge()?;
        let mut ours = bridge.tap(options("a", true))?;
        let socket = UdpSocket::bind((KERNEL, 7))?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        let frame = ip_frame((KERNEL_MAC, KERNEL), UDP, &[0, 9, 0, 7, 0, 13, 0, 0], b"hello".to_vec());
        send(&mut ours, &frame)?;
        let mut buffer = [0; 100];
        let (len, from) = socket.recv_from(&mut buffer)?;
        assert_eq!((&buffer[..len], from), (&b"hello"[..], (OURS, 9).into()));
        Ok(())
    })
}

fn the_kernel_leaves_checksums_to_us() -> Result<(), Failed> {
    apart(|| {
        let mut bridge = bridge()?;
        let mut offload = bridge.tap(options("a", true))?;
        let mut plain = bridge.tap(options("b", false))?;
        let socket = UdpSocket::bind((KERNEL, 7))?;
        introduce_ourselves(&mut offload)?;
        let udp = |frame: &RxFrame| frame.bytes.get(23) == Some(&UDP);
        socket.send_to(b"hello", (OURS, 9))?;
        let got = receive(&mut offload, udp)?;
        assert_eq!(got.checksum, RxChecksum::Partial { start: 34, offset: 6 });
        assert!(!checksum_is_right(&got.bytes) && checksum_is_right(&got.completed()));
        // To a TAP in plain mode (by broadcast, so that it gets it) the kernel sends what a wire carries.
        socket.set_broadcast(true)?;
        socket.send_to(b"hello", (Ipv4Addr::new(10, 0, 0, 255), 9))?;
        let got = receive(&mut plain, udp)?;
        assert!(got.checksum == RxChecksum::Unverified && checksum_is_right(&got.bytes));
        Ok(())
    })
}

/// The kernel learns our link address from our asking for its own, as RFC 826 says.
fn introduce_ourselves(ours: &mut Device) -> Result<(), Failed> {
    let mut ask = TxFrame::new(Cause::default());
    let arp =
        [&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &OUR_MAC.0[..], &OURS.octets(), &[0; 6], &KERNEL.octets()].concat();
    ask.payload.push([&[0xff; 6], &OUR_MAC.0[..], &arp].concat().into());
    send(ours, &ask)?;
    receive(ours, |frame| frame.bytes.get(20..22) == Some(&[0, 2]))?;
    Ok(())
}

/// A TCP header from port 80 to 9999 with this sequence number, ACK and PSH.
fn tcp_header(sequence: u32) -> Vec<u8> {
    let [a, b, c, d] = sequence.to_be_bytes();
    vec![0, 80, 0x27, 0x0f, a, b, c, d, 0, 0, 0, 1, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]
}

fn tcp_super_frames_stay_whole_or_are_cut() -> Result<(), Failed> {
    apart(|| {
        let mut bridge = bridge()?;
        let mut ours = bridge.tap(options("a", true))?;
        let mut offload = bridge.tap(options("b", true))?;
        let mut plain = bridge.tap(options("c", false))?;
        assert!(ours.offloads.tx_checksum && ours.offloads.tso_max > 60_000);
        let payload = pattern(60_000);
        let mut frame =
            ip_frame((OTHER_MAC, Ipv4Addr::new(10, 0, 0, 3)), TCP, &tcp_header(1000), payload.clone());
        frame.gso = Some(Gso { kind: GsoKind::Tcp4, size: 1448 });
        // Nobody has this link address, so the bridge floods: both others get it.
        send(&mut ours, &frame)?;
        let whole = receive(&mut offload, from_us)?;
        assert_eq!((whole.gso, whole.checksum), (frame.gso, RxChecksum::Partial { start: 34, offset: 16 }));
        assert!(whole.bytes == frame.to_vec());
        assert_segments_are(&mut plain, &payload)
    })
}

fn plain_mode_cuts_super_frames_by_itself() -> Result<(), Failed> {
    apart(|| {
        let mut bridge = bridge()?;
        let mut ours = bridge.tap(options("a", false))?;
        let mut other = bridge.tap(options("b", false))?;
        assert!(ours.offloads.software && ours.offloads.tso_max > 60_000 && !ours.offloads.tx_checksum);
        let payload = pattern(60_000);
        let mut frame =
            ip_frame((OTHER_MAC, Ipv4Addr::new(10, 0, 0, 3)), TCP, &tcp_header(1000), payload.clone());
        frame.gso = Some(Gso { kind: GsoKind::Tcp4, size: 1448 });
        send(&mut ours, &frame)?;
        assert_segments_are(&mut other, &payload)?;
        assert!(ours.offloads.uso_max > 60_000);
        let mut frame = ip_frame((OTHER_MAC, Ipv4Addr::new(10, 0, 0, 3)), UDP, &UDP_HEADER, payload.clone());
        frame.gso = Some(Gso { kind: GsoKind::Udp4, size: 1400 });
        send(&mut ours, &frame)?;
        assert_datagrams_are(&mut other, &payload, 1400)
    })
}

const UDP_HEADER: [u8; 8] = [0, 9, 0, 7, 0x13, 0x90, 0, 0];

/// What comes in are the datagrams of a super-frame with this payload, complete.
fn assert_datagrams_are(device: &mut Device, payload: &[u8], size: usize) -> Result<(), Failed> {
    for (number, expected) in payload.chunks(size).enumerate() {
        let datagram = receive(device, from_us)?;
        assert!(checksum_is_right(&datagram.bytes), "whoever cut it made the checksums");
        assert_eq!(datagram.bytes[18..20], (number as u16).to_be_bytes(), "each has an identification");
        assert_eq!(datagram.bytes[38..40], (expected.len() as u16 + 8).to_be_bytes());
        assert!(datagram.bytes[42..] == *expected);
    }
    Ok(())
}

/// What comes in are the segments of [`tcp_header`]'s super-frame with this payload, complete.
fn assert_segments_are(device: &mut Device, payload: &[u8]) -> Result<(), Failed> {
    let mut received = Vec::new();
    while received.len() < payload.len() {
        let segment = receive(device, from_us)?;
        assert!(checksum_is_right(&segment.bytes), "whoever cut it made the checksums");
        assert_eq!(segment.bytes[38..42], (1000 + received.len() as u32).to_be_bytes());
        let data = &segment.bytes[54..];
        assert_eq!(data.len(), 1448.min(payload.len() - received.len()));
        received.extend_from_slice(data);
    }
    assert!(received == payload);
    Ok(())
}

fn udp_super_frames_are_cut_into_datagrams() -> Result<(), Failed> {
    apart(|| {
        let mut bridge = bridge()?;
        let mut ours = bridge.tap(options("a", true))?;
        if ours.offloads.uso_max == 0 {
            eprintln!("SKIPPED: this kernel has no UDP segmentation on TAPs (Linux 6.2 has)");
            return Ok(());
        }
        let mut offload = bridge.tap(options("b", true))?;
        let mut plain = bridge.tap(options("c", false))?;
        let socket = UdpSocket::bind((KERNEL, 7))?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        let payload = pattern(5000);
        let super_frame = |mac| {
            let mut frame = ip_frame((mac, KERNEL), UDP, &UDP_HEADER, payload.clone());
            frame.gso = Some(Gso { kind: GsoKind::Udp4, size: 1200 });
            frame
        };
        send(&mut ours, &super_frame(KERNEL_MAC))?;
        for expected in payload.chunks(1200) {
            let mut buffer = [0; 2000];
            let len = socket.recv(&mut buffer)?;
            assert!(buffer[..len] == *expected);
        }
        send(&mut ours, &super_frame(OTHER_MAC))?;
        let whole = receive(&mut offload, from_us)?;
        assert_eq!((whole.gso, whole.bytes.len()), (super_frame(OTHER_MAC).gso, 5042));
        // The kernel cuts it for those who don't.
        assert_datagrams_are(&mut plain, &payload, 1200)
    })
}

fn the_kernel_sends_super_frames() -> Result<(), Failed> {
    apart(|| {
        let mut bridge = bridge()?;
        let mut ours = bridge.tap(options("a", true))?;
        introduce_ourselves(&mut ours)?;
        let payload = pattern(14_000);
        let sending = payload.clone();
        let ns = NetNs::current()?;
        std::thread::scope(|scope| {
            let kernel = scope.spawn(move || {
                ns.run(|| {
                    let mut stream = TcpStream::connect_timeout(&(OURS, 80).into(), Duration::from_secs(2))?;
                    stream.write_all(&sending)
                })
            });
            let tcp = |frame: &RxFrame| frame.bytes.get(23) == Some(&TCP);
            let syn = receive(&mut ours, tcp)?;
            let partial = RxChecksum::Partial { start: 34, offset: 16 };
            assert_eq!((syn.checksum, syn.gso, syn.bytes[47]), (partial, None, 2));
            // A handshake by hand: SYN and ACK, an MSS of 1000 and nothing else, a window of 65,535.
            let mut header = tcp_header(1);
            header[2..4].copy_from_slice(&syn.bytes[34..36]);
            let sequence = u32::from_be_bytes([syn.bytes[38], syn.bytes[39], syn.bytes[40], syn.bytes[41]]);
            header[8..12].copy_from_slice(&(sequence + 1).to_be_bytes());
            header[12..14].copy_from_slice(&[0x60, 0x12]);
            header.extend_from_slice(&[2, 4, 3, 0xe8]);
            send(&mut ours, &ip_frame((KERNEL_MAC, KERNEL), TCP, &header, Vec::new()))?;
            // Of the initial window of ten segments, the first frame holds several.
            let data = receive(&mut ours, |frame| tcp(frame) && frame.bytes.len() > 54)?;
            assert_eq!((data.gso, data.checksum), (Some(Gso { kind: GsoKind::Tcp4, size: 1000 }), partial));
            let sent = &data.bytes[54..];
            assert!(sent.len() >= 2000 && *sent == payload[..sent.len()], "{} bytes", sent.len());
            assert!(checksum_is_right(&data.completed()));
            kernel.join().map_err(|_| "the kernel's side panicked")??.map_err(Failed::from)
        })
    })
}

fn frames_of_many_pieces_are_written_whole() -> Result<(), Failed> {
    apart(|| {
        let mut bridge = bridge()?;
        let (mut a, mut b) = (bridge.tap(options("a", false))?, bridge.tap(options("b", false))?);
        for pieces in [1, 10, 1023, 1024, 1400] {
            let bytes = ip_frame((OTHER_MAC, OURS), UDP, &[0; 8], pattern(pieces)).completed();
            let mut frame = TxFrame::new(Cause::default());
            frame.prepend(42).copy_from_slice(&bytes[..42]);
            frame.payload.extend(bytes[42..].iter().map(|&byte| vec![byte].into()));
            send(&mut a, &frame)?;
            assert!(receive(&mut b, from_us)?.bytes == frame.to_vec(), "{pieces} pieces");
        }
        Ok(())
    })
}

fn a_lost_tap_is_told() -> Result<(), Failed> {
    apart(|| {
        let mut bridge = bridge()?;
        let mut device = bridge.tap(options("lost", false))?;
        let frame = ip_frame((OTHER_MAC, OURS), UDP, &[0; 8], vec![0; 40]);
        let frame = TxFrame::from_completed(frame.completed(), &frame);
        bridge.netlink().set_down("lost")?;
        let down = device.tx.transmit(Instant::ZERO, &frame).map_err(|error| error.to_string());
        assert_eq!(down, Err("lost is down: take it up with `ip link set lost up`".into()));
        bridge.netlink().set_up("lost")?;
        send(&mut device, &frame)?;
        bridge.netlink().delete("lost")?;
        let deleted = "lost was deleted: open it again";
        let sent = device.tx.transmit(Instant::ZERO, &frame).map_err(|error| error.to_string());
        assert_eq!(sent, Err(deleted.into()));
        let received = device.rx.receive(Instant::ZERO).map(drop).map_err(|error| error.to_string());
        assert_eq!(received, Err(deleted.into()));
        Ok(())
    })
}

fn threaded_napi_is_on_or_refused() -> Result<(), Failed> {
    let with_napi = |name: &str| Tap::open(TapOptions { napi: true, ..options(name, false) });
    // This process's own namespace has its /sys; an ordinary user's may not be writable.
    match with_napi("napi0") {
        Ok(_tap) => {
            assert_eq!(std::fs::read_to_string("/sys/class/net/napi0/threaded")?.trim(), "1");
            // The thread is real root's, who alone may change it.
            let is_root =
                std::fs::read_to_string("/proc/self/uid_map")?.split_whitespace().nth(1) == Some("0");
            // (A run of this test beside this one has a thread of the same name.)
            let niceness = niceness_of("napi/napi0-")?;
            assert!(niceness.contains(if is_root { &7 } else { &0 }), "{niceness:?}");
        }
        Err(error) => assert_eq!(error, TapError::NoThreadedNapi("napi0".into())),
    }
    // A further one's interfaces don't show up there.
    apart(|| {
        assert_eq!(with_napi("napi1").err(), Some(TapError::NoThreadedNapi("napi1".into())));
        Ok(())
    })
}

/// How nice the threads are whose names begin so.
fn niceness_of(prefix: &str) -> Result<Vec<i32>, Failed> {
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc")? {
        let Ok(stat) = std::fs::read_to_string(process?.path().join("stat")) else { continue };
        // The second field is the name in brackets, the nineteenth the niceness (proc_pid_stat(5)).
        let Some((name, behind)) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(") ")) else {
            continue;
        };
        if name.starts_with(prefix) {
            found.push(behind.split(' ').nth(16).ok_or("a short stat")?.parse()?);
        }
    }
    Ok(found)
}

fn kernels_talk_by_virtual_cables() -> Result<(), Failed> {
    apart(|| {
        let other = NetNs::new()?;
        let mut here = Netlink::open()?;
        here.add_veth("v0", "v1", Some(&other))?;
        here.set_mtu("v0", 1400)?;
        here.add_address("v0", Cidr { address: KERNEL, prefix_len: 24 })?;
        here.set_up("v0")?;
        // A route by the other kernel to an address that only it has.
        let far = Ipv4Addr::new(192, 168, 7, 1);
        here.add_address("lo", Cidr { address: Ipv4Addr::new(192, 168, 8, 1), prefix_len: 32 })?;
        let there = other.run(|| -> Result<UdpSocket, Failed> {
            let mut there = Netlink::open()?;
            there.add_address("v1", Cidr { address: OURS, prefix_len: 24 })?;
            there.set_up("v1")?;
            there.add_address("lo", Cidr { address: far, prefix_len: 32 })?;
            there
                .add_route(Route { destination: Cidr { address: KERNEL, prefix_len: 0 }, gateway: KERNEL })?;
            Ok(UdpSocket::bind((far, 7))?)
        })??;
        here.add_route(Route { destination: Cidr { address: far, prefix_len: 32 }, gateway: OURS })?;
        there.set_read_timeout(Some(Duration::from_secs(2)))?;
        let socket = UdpSocket::bind((Ipv4Addr::new(192, 168, 8, 1), 0))?;
        socket.send_to(b"by a route", (far, 7))?;
        let mut buffer = [0; 100];
        let (len, from) = there.recv_from(&mut buffer)?;
        assert_eq!((&buffer[..len], from), (&b"by a route"[..], socket.local_addr()?));
        here.set_down("v0")?;
        assert!(socket.send_to(b"by a route", (far, 7)).is_err());
        // An end can be moved away, too.
        here.add_veth("w0", "w1", None::<&NetNs>)?;
        here.move_to("w1", &other)?;
        assert!(here.index("w1").is_err() && here.index("w0").is_ok());
        Ok(())
    })
}
