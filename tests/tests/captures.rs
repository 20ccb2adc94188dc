//! Every frame that a simulated machine sends is taken apart by two independent dissectors: etherparse and tshark.

use libtest_mimic::Arguments;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tapstack::capture::{Capture, CaptureOptions, Direction, Record, read};
use tapstack::ip::RouteEntry;
use tapstack::net::{Host, TcpStream};
use tapstack::sim::{MachineConfig, Sim, Wire};
use tapstack::stack::{Cidr, Config, InterfaceId};
use tapstack_tests::dissect;
use tapstack_tests::skips::{Outcome, ensure, program, test};
use tapstack_tests::stream::Stream;
use tapstack_tests::tshark;

const SEEDS: std::ops::Range<u64> = 0..6;
const STREAM_BYTES: u64 = 100_000;
const CAPTURE_BYTES_MAX: usize = 64 << 20;

fn main() {
    let tests = vec![
        test("etherparse_finds_nothing_wrong", [], etherparse_finds_nothing_wrong),
        test("etherparse_finds_what_is_spoiled", [], etherparse_finds_what_is_spoiled),
        test("tshark_finds_nothing_wrong", [program("tshark")], tshark_finds_nothing_wrong),
        test("tshark_finds_what_is_spoiled", [program("tshark")], tshark_finds_what_is_spoiled),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}

fn etherparse_finds_nothing_wrong() -> Outcome {
    for (name, capture) in captures() {
        let sent = sent(&capture)?;
        ensure(sent.len() > 300, || format!("{name}: only {} frames were sent", sent.len()))?;
        for record in sent {
            let wrong = dissect::wrong_with(&record.bytes);
            ensure(wrong.is_none(), || {
                format!("{name}: {wrong:?} in {}: {:02x?}", record.comment, record.bytes)
            })?;
        }
    }
    Ok(())
}

fn etherparse_finds_what_is_spoiled() -> Outcome {
    let capture = rough(1);
    for spoil in SPOILS {
        let mut frame = victim(&capture, spoil)?.bytes;
        frame[spoil.at] ^= spoil.bits;
        // It doesn't take ARP apart.
        let found = dissect::wrong_with(&frame).is_some() || spoil.what == "ARP";
        ensure(found, || format!("{} was spoiled, and that is not found: {frame:02x?}", spoil.what))?;
    }
    Ok(())
}

fn tshark_finds_nothing_wrong() -> Outcome {
    for (name, capture) in captures() {
        let file = write(&name, &capture)?;
        let wrong = tshark::wrong_packets(&file)?;
        ensure(wrong.is_empty(), || format!("{}:\n{}", file.display(), wrong.join("\n")))?;
        // It has looked at all of them, and not only at none that is wrong.
        let sent = sent(&capture)?.iter().filter(|record| is_whole(&record.bytes, TCP)).count();
        let good = tshark::good_packets(&file, "tcp")?;
        ensure(sent == good && sent > 100, || {
            format!("{name}: {sent} TCP segments were sent, {good} are good")
        })?;
    }
    Ok(())
}

fn tshark_finds_what_is_spoiled() -> Outcome {
    let capture = rough(1);
    for spoil in SPOILS {
        let frame = victim(&capture, spoil)?.bytes;
        let mut spoiled = capture.clone();
        let at = spoiled
            .windows(frame.len())
            .position(|window| window == frame)
            .ok_or("the frame is not there")?;
        spoiled[at + spoil.at] ^= spoil.bits;
        let wrong = tshark::wrong_packets(&write(&format!("spoiled-{}", spoil.what), &spoiled)?)?;
        ensure(wrong.len() == 1, || format!("{} was spoiled, tshark finds {wrong:?}", spoil.what))?;
    }
    Ok(())
}

/// A way to spoil one frame of a capture.
#[derive(Clone, Copy)]
struct Spoil {
    what: &'static str,
    /// Which frame.
    is: fn(&[u8]) -> bool,
    /// Which byte of it, and which bits of that.
    at: usize,
    bits: u8,
}

const SPOILS: [Spoil; 5] = [
    Spoil { what: "IP", is: |frame| is_whole(frame, TCP), at: 22, bits: 1 },
    Spoil { what: "TCP", is: |frame| is_whole(frame, TCP) && frame.len() > 1_000, at: 500, bits: 0x80 },
    Spoil { what: "UDP", is: |frame| is_whole(frame, UDP) && frame.len() > 1_000, at: 500, bits: 0x80 },
    Spoil {
        what: "ICMP",
        is: |frame| is_whole(frame, ICMP) && frame[34] == ECHO_REQUEST && frame.len() > 100,
        at: 44,
        bits: 2,
    },
    // The length of a link address: there isn't that much left of the frame.
    Spoil { what: "ARP", is: |frame| frame[12..14] == [8, 6], at: 18, bits: 0xf0 },
];

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ECHO_REQUEST: u8 = 8;

/// Whether this is an IPv4 packet of a protocol, and not a fragment.
fn is_whole(frame: &[u8], protocol: u8) -> bool {
    frame[12..14] == [8, 0] && frame[23] == protocol && frame[20] & 0x3f == 0 && frame[21] == 0
}

/// The first frame that fits and that there is only once.
fn victim(capture: &[u8], spoil: Spoil) -> Result<Record, libtest_mimic::Failed> {
    let found = sent(capture)?.into_iter().find(|record| (spoil.is)(&record.bytes));
    found.ok_or_else(|| format!("no frame to spoil {}", spoil.what).into())
}

/// The frames that a machine sent. What one received may have been spoiled on the way.
fn sent(capture: &[u8]) -> Result<Vec<Record>, libtest_mimic::Failed> {
    let records = read(capture)?;
    ensure(!records.truncated, || "the capture is cut off".to_owned())?;
    Ok(records.records.into_iter().filter(|record| record.direction == Some(Direction::Out)).collect())
}

fn write(name: &str, capture: &[u8]) -> io::Result<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("captures");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{name}.pcapng"));
    std::fs::write(&file, capture)?;
    Ok(file)
}

fn captures() -> Vec<(String, Vec<u8>)> {
    let rough = SEEDS.map(|seed| (format!("rough-{seed}"), rough(seed)));
    rough.chain([("narrow".to_owned(), narrow())]).collect()
}

/// Two machines on a wire that does everything to frames, by the seed.
fn rough(seed: u64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let wire = Wire {
        delay: Duration::from_micros(rng.u64(10..5_000)),
        jitter: Duration::from_micros(rng.u64(0..2_000)),
        loss: rng.f64() * 0.1,
        duplicate: rng.f64() * 0.05,
        corrupt: rng.f64() * 0.05,
        reorder: rng.f64() * 0.1,
        ..Wire::default()
    };
    let mut net = Sim::new(seed);
    let capture = start(&mut net);
    let (a, b) = (net.machine("a", "10.0.0.1/24"), net.machine("b", "10.0.0.2/24"));
    net.wire(&a, &b, wire);
    converse(&mut net, &a, &b, "10.0.0.2");
    finish(&capture)
}

/// Two machines with two routers in between, joined by a narrow wire: fragments, and ICMP about what may not be cut.
fn narrow() -> Vec<u8> {
    let mut net = Sim::new(1);
    let capture = start(&mut net);
    let (a, b) = (net.machine("a", "10.0.1.1/24"), net.machine("b", "10.0.2.2/24"));
    let (near, far) = (router(&mut net, "near", [10, 0, 1, 254]), router(&mut net, "far", [10, 0, 2, 254]));
    net.wire(&a, &near, Wire::default());
    net.wire(&b, &far, Wire::default());
    net.connect(&near, "10.0.3.1/24", &far, "10.0.3.2/24", Wire { mtu: 576, ..Wire::default() });
    for (host, gateway, interface) in [
        (&a, [10, 0, 1, 254], InterfaceId(1)),
        (&b, [10, 0, 2, 254], InterfaceId(1)),
        (&near, [10, 0, 3, 2], InterfaceId(2)),
        (&far, [10, 0, 3, 1], InterfaceId(2)),
    ] {
        let route = RouteEntry::default_via(gateway.into(), interface);
        host.with_stack(|_, stack| stack.add_route(route)).expect("the route is possible");
    }
    converse(&mut net, &a, &b, "10.0.2.2");
    let cut = near.with_stack(|_, stack| (stack.counters().fragments_out, stack.counters().icmp_errors_out));
    assert!(cut.0 > 0 && cut.1 > 0, "the narrow wire is felt");
    finish(&capture)
}

fn router(net: &mut Sim, name: &str, address: [u8; 4]) -> Host {
    let stack = Config { forwarding: true, ..Config::default() };
    let addresses = vec![Cidr::new(address.into(), 24)];
    net.machine_with(MachineConfig { name: name.into(), stack, addresses, ..MachineConfig::default() })
}

fn start(net: &mut Sim) -> Capture {
    let options = CaptureOptions { buffer_bytes_max: CAPTURE_BYTES_MAX, ..CaptureOptions::default() };
    let capture = Capture::new(options);
    net.capture(&capture);
    capture
}

fn finish(capture: &Capture) -> Vec<u8> {
    assert_eq!(capture.stats().missed, 0, "the capture is complete");
    capture.take()
}

/// Two machines say to each other whatever there is to say: pings, datagrams, refused ones, streams.
fn converse(net: &mut Sim, a: &Host, b: &Host, address: &str) {
    let address: IpAddr = address.parse().expect("an address");
    let (port, closed) = (SocketAddr::new(address, 7), SocketAddr::new(address, 9));
    let listener = b.tcp_listen(port).expect("the port is free");
    drop(b.spawn({
        let b = b.clone();
        async move {
            while let Ok((stream, _)) = listener.accept().await {
                drop(b.spawn(answer(stream)));
            }
        }
    }));
    let socket = b.udp_bind(port).expect("the port is free");
    drop(b.spawn(async move {
        let mut buffer = vec![0; 1 << 16];
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer[..len], from).await;
        }
    }));
    let a = a.clone();
    net.run(async move {
        for size in [0, 1, 100, 1_400, 3_000, 20_000] {
            // Where frames are lost, an answer more or less makes no difference here.
            let _ = a.ping(address, &vec![0x5a; size], Duration::from_millis(100)).await;
            let socket = a.udp_bind("0.0.0.0:0".parse().expect("an address")).expect("a port is free");
            let _ = socket.send_to(&vec![0xa5; size], port).await;
            let _ = socket.send_to(&vec![0xa5; size], closed).await;
            let _ = a.timeout(Duration::from_millis(100), socket.recv_from(&mut [0; 10])).await;
        }
        let _ = a.tcp_connect(closed).await;
        for _ in 0..3 {
            let stream = loop {
                if let Ok(stream) = a.tcp_connect(port).await {
                    break stream;
                }
            };
            let mut bytes = vec![0; STREAM_BYTES as usize];
            Stream::new(1).fill(&mut bytes);
            stream.write_all(&bytes).await.expect("it is sent");
            stream.shutdown().await.expect("it is closed");
            let mut echoed = Vec::new();
            stream.read_to_end(&mut echoed).await.expect("it comes back");
            assert!(echoed == bytes, "what comes back is what was sent");
        }
    });
    net.run_for(Duration::from_secs(200));
}

async fn answer(stream: TcpStream) -> io::Result<()> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    stream.write_all(&bytes).await?;
    stream.shutdown().await
}
