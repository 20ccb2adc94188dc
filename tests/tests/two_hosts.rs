//! Two hosts in a simulated world: whatever the wire does, bytes arrive once, in order and whole, and nothing is left.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tapstack::Config;
use tapstack::capture::{Capture, CaptureOptions};
use tapstack::net::{Host, TcpStream};
use tapstack::sim::{MachineConfig, Sim, Wire, WireCounts};
use tapstack::stack::Cidr;
use tapstack::tcp::TcpConfig;
use tapstack_tests::seeds::over_seeds;
use tapstack_tests::stream::Stream;

/// Seeds where nobody asks for another number; `TAPSTACK_SEEDS=1000` is the long run.
const SEEDS_DEFAULT: u64 = 20;

const SERVER: &str = "10.0.0.2:7";

/// How long a world may take in its own time: more than the worst of these wires needs.
const WORLD_TIME_MAX: Duration = Duration::from_secs(24 * 3600);

/// What a seed makes of the world.
#[derive(Clone, Debug)]
struct Plan {
    wire: Wire,
    /// For each connection, bytes from the client and from the server.
    lengths: Vec<(u64, u64)>,
}

impl Plan {
    fn of(seed: u64) -> Plan {
        let mut rng = fastrand::Rng::with_seed(seed);
        // A third of the seeds has each impairment off, so that each also meets the others alone.
        let mut chance = |most: f64| if rng.u8(..3) == 0 { 0.0 } else { rng.f64() * most };
        let (loss, duplicate, corrupt, reorder) = (chance(0.2), chance(0.1), chance(0.05), chance(0.2));
        let rates = [0, 0, 10_000_000, 100_000_000, 1_000_000_000];
        let wire = Wire {
            delay: Duration::from_micros(rng.u64(1..20_000)),
            jitter: Duration::from_micros(rng.u64(0..3_000)),
            rate_bits_per_s: rates[rng.usize(..rates.len())],
            queue_bytes_max: rng.usize(20_000..300_000),
            loss,
            duplicate,
            corrupt,
            reorder,
            reorder_delay: Duration::from_micros(rng.u64(10..10_000)),
            ..Wire::default()
        };
        let connections = rng.usize(4..8);
        let lengths = (0..connections).map(|_| (length(&mut rng), length(&mut rng))).collect();
        Plan { wire, lengths }
    }
}

/// Four of the shortest are 1 MiB.
fn length(rng: &mut fastrand::Rng) -> u64 {
    rng.u64(1 << 18..1 << 19)
}

#[test]
fn bytes_arrive_once_in_order_and_whole() {
    let counts = over_seeds(
        SEEDS_DEFAULT,
        |seed| transfer(seed, None),
        |seed| {
            let capture =
                Capture::new(CaptureOptions { buffer_bytes_max: 1 << 28, ..CaptureOptions::default() });
            let outcome = std::panic::catch_unwind(|| transfer(seed, Some(&capture)));
            let path = format!("{}/two_hosts-{seed}.pcapng", env!("CARGO_TARGET_TMPDIR"));
            if outcome.is_err() && std::fs::write(&path, capture.take()).is_ok() {
                eprintln!("its frames are in {path}");
            }
        },
    );
    // A thousandfold replay of the same world would be no evidence: seeds must differ.
    let distinct: std::collections::BTreeSet<_> = counts.iter().map(|c| c.impairments.frames).collect();
    assert!(counts.len() < 2 || distinct.len() > 1, "all worlds are the same");
}

#[test]
fn the_same_seed_gives_the_same_frames() {
    let run = || {
        let capture = Capture::new(CaptureOptions::default());
        transfer(3, Some(&capture));
        capture.take()
    };
    let (first, second) = (run(), run());
    assert!(first.len() > 1 << 20, "the capture holds what was sent");
    assert!(first == second, "two runs of one seed differ");
}

/// Runs the world of a seed, and returns what happened on the wire from the client to the server.
fn transfer(seed: u64, capture: Option<&Capture>) -> WireCounts {
    let plan = Plan::of(seed);
    let mut net = Sim::new(seed);
    if let Some(capture) = capture {
        net.capture(capture);
    }
    let (client, server) = (patient(&mut net, "client", 1), patient(&mut net, "server", 2));
    let wire = net.wire(&client, &server, plan.wire);
    let plan = Arc::new(plan);
    let listening = server.spawn(serve(server.clone(), Arc::clone(&plan)));
    let exchanged = client.timeout(WORLD_TIME_MAX, async {
        let dialled: Vec<_> = (0..plan.lengths.len())
            .map(|number| client.spawn(dial(client.clone(), number, Arc::clone(&plan))))
            .collect();
        for connection in dialled {
            connection.await.expect("the client's side goes through");
        }
        listening.await.expect("the server's side goes through");
    });
    net.run(exchanged).expect("everything is exchanged in time");
    net.run_until_idle();
    for host in [&client, &server] {
        host.with_stack(|_, stack| {
            assert_eq!(stack.poll_timeout(), None, "{} still has a timer", host.name());
            assert_eq!(stack.sockets_open(), 0, "{} still has sockets", host.name());
        });
    }
    let (there, back) = net.counts(wire);
    for counts in [&there, &back] {
        assert_occurred(&plan.wire, counts);
    }
    there
}

/// A machine that never gives a connection up: where one packet in five is lost on each way, the fifteen time-outs that
/// RFC 9293 section 3.8.3 asks for, and the eight that an orphan is allowed, do happen in some world of a thousand.
fn patient(net: &mut Sim, name: &str, number: u8) -> Host {
    let tcp = TcpConfig { retries: 250, orphan_retries: 250, ..TcpConfig::default() };
    net.machine_with(MachineConfig {
        name: name.into(),
        stack: Config { tcp, ..Config::default() },
        addresses: vec![Cidr { address: [10, 0, 0, number].into(), prefix_len: 24 }],
        ..MachineConfig::default()
    })
}

/// Opens a connection, says which it is, and exchanges its streams.
async fn dial(host: Host, number: usize, plan: Arc<Plan>) {
    // Connecting may fail where every SYN is lost; then a program tries again.
    let mut tries = 0;
    let stream = loop {
        match host.tcp_connect(SERVER.parse().unwrap()).await {
            Ok(stream) => break stream,
            Err(error) if tries < 3 => eprintln!("{}: connection {number}: {error}", host.name()),
            Err(error) => panic!("connection {number}: {error}"),
        }
        tries += 1;
    };
    stream.write_all(&[number as u8]).await.unwrap();
    let (to_server, to_client) = plan.lengths[number];
    exchange(stream, (name(number, true), to_server), (name(number, false), to_client)).await;
}

async fn serve(host: Host, plan: Arc<Plan>) {
    let listener = host.tcp_listen(SocketAddr::from(([0, 0, 0, 0], 7))).unwrap();
    let mut served = Vec::new();
    while served.len() < plan.lengths.len() {
        let (stream, peer) = listener.accept().await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), peer);
        let plan = Arc::clone(&plan);
        served.push(host.spawn(async move {
            let mut number = [0];
            stream.read_exact(&mut number).await.unwrap();
            let number = usize::from(number[0]);
            let (to_server, to_client) = plan.lengths[number];
            exchange(stream, (name(number, false), to_client), (name(number, true), to_server)).await;
        }));
    }
    for connection in served {
        connection.await.unwrap();
    }
}

fn name(connection: usize, to_server: bool) -> u64 {
    connection as u64 * 2 + u64::from(to_server)
}

/// Sends one stream and receives another at the same time, in pieces of many sizes, until both ends are closed.
async fn exchange(stream: TcpStream, send: (u64, u64), receive: (u64, u64)) {
    let host = stream.host();
    let stream = Arc::new(stream);
    let (writer, own) = (Arc::clone(&stream), host.clone());
    let sent = host.spawn(async move {
        let mut rng = fastrand::Rng::with_seed(own.random_u64());
        let (name, len) = send;
        let (mut bytes, mut buffer) = (Stream::new(name), Vec::new());
        while bytes.position() < len {
            let most = [100, 1_460, 5_000, 60_000][rng.usize(..4)];
            buffer.resize(rng.u64(1..=most).min(len - bytes.position()) as usize, 0);
            bytes.fill(&mut buffer);
            writer.write_all(&buffer).await.unwrap();
            if rng.u8(..32) == 0 {
                own.sleep(Duration::from_micros(rng.u64(..50_000))).await;
            }
        }
        writer.shutdown().await.unwrap();
    });
    let mut rng = fastrand::Rng::with_seed(host.random_u64());
    let (name, len) = receive;
    let mut bytes = Stream::new(name);
    let mut buffer = vec![0; 40_000];
    loop {
        let room = rng.usize(1..=buffer.len());
        match stream.read(&mut buffer[..room]).await.unwrap() {
            0 => break,
            received => bytes.check(&buffer[..received]),
        }
        if rng.u8(..32) == 0 {
            host.sleep(Duration::from_micros(rng.u64(..20_000))).await;
        }
    }
    assert_eq!(bytes.position(), len, "stream {name:#x} ends where it should");
    sent.await.unwrap();
}

/// An impairment that was asked for, but never happened, would make the test prove less than it says.
fn assert_occurred(wire: &Wire, counts: &WireCounts) {
    let happened = &counts.impairments;
    let frames = happened.frames as f64;
    for (what, chance, times) in [
        ("loss", wire.loss, happened.lost),
        ("duplication", wire.duplicate, happened.duplicated),
        ("corruption", wire.corrupt, happened.corrupted),
        ("holding back", wire.reorder, happened.held_back),
    ] {
        // Where twenty are expected, none has a chance of one in 500 million.
        assert!(times > 0 || chance * frames < 20.0, "no {what} in {frames} frames at {chance}");
        assert!(times == 0 || chance > 0.0, "{what} that nobody asked for");
    }
    assert!(happened.delayed > 0, "frames take time");
}
