//! A flood of forged SYNs, in the simulated world and over a TAP: memory stays, and a real client gets in at once.
//!
//! Resident memory is the whole process's, so the trials run one after the other. Over a TAP, an optimised build shows what
//! a flood is like: `cargo test --release -p tapstack-tests --test flood -- --nocapture`.

use libtest_mimic::{Arguments, Failed};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant as Clock};
use tapstack::Instant;
use tapstack::device::{Device, TapOptions};
use tapstack::frame::{Cause, RxFrame, TxFrame};
use tapstack::ip::RouteEntry;
use tapstack::net::Host;
use tapstack::net::tap::{Machine, MachineConfig};
use tapstack::sim::{Sim, Wire};
use tapstack::socket::TcpInfo;
use tapstack::stack::{Cidr, Config, InterfaceConfig, InterfaceId, MacAddr, Medium, Offloads, Stack};
use tapstack_cli::testbed::{self, Bridge, Entered, NetNs};
use tapstack_tests::skips;

const PORT: u16 = 80;
const FLOOD: Duration = Duration::from_secs(5);
const SYNS_PER_S: u64 = 100_000;
/// What resident memory may grow by, in bytes.
const GROWTH_MAX: u64 = 1 << 20;

fn main() {
    let mut args = Arguments::from_args();
    args.test_threads = Some(1);
    let reason = match testbed::available() {
        Ok(()) => match testbed::enter() {
            Ok(Entered::Inside) => None,
            Ok(Entered::Done(status)) => std::process::exit(status.code().unwrap_or(1)),
            Err(error) => Some(error.to_string()),
        },
        Err(why) => Some(why.to_string()),
    };
    let trials = vec![
        skips::test("a_hundred_thousand_forged_syns_a_second_in_sim", [], in_sim),
        skips::test("forged_syns_as_fast_as_a_tap_takes_them", [reason.map_or(Ok(()), Err)], over_a_tap),
    ];
    libtest_mimic::run(&args, trials).exit();
}

/// 100,000 SYNs a second for five seconds; in the middle of it, a client connects and is echoed.
fn in_sim() -> Result<(), Failed> {
    let mut net = Sim::new(1);
    let (server, client) = (net.machine("server", "10.0.0.1/24"), net.machine("client", "10.0.0.2/24"));
    let attacker = net.machine("attacker", "10.1.0.2/24");
    net.wire(&server, &client, Wire { delay: Duration::from_millis(10), ..Wire::default() });
    let wire = Wire { medium: Medium::Ip, ..Wire::default() };
    net.connect(&server, "10.1.0.1/24", &attacker, "10.1.0.2/24", wire);
    server.with_stack(|_, stack| route_strangers(stack, InterfaceId(2), None));
    server.spawn(echo(server.clone()));
    net.run(connect(client.clone())).map_err(Failed::from)?;
    let before = resident()?;
    let real = client.spawn({
        let client = client.clone();
        async move {
            client.sleep(FLOOD / 2).await;
            connect(client).await
        }
    });
    let mut forger = Forger::new(Ipv4Addr::new(10, 1, 0, 1));
    for _ in 0..FLOOD.as_millis() {
        for _ in 0..SYNS_PER_S / 1_000 / 50 {
            server.with_stack(|now, stack| {
                for _ in 0..50 {
                    stack.handle_frame(now, InterfaceId(2), RxFrame::new(forger.packet()));
                }
                stack.end_batch(now);
            });
        }
        net.run_for(Duration::from_millis(1));
    }
    let grown = resident()?.saturating_sub(before);
    let (waited, info) = net.run(real).map_err(|_| "the client's task is gone")?.map_err(Failed::from)?;
    let cookies = server.with_stack(|_, stack| stack.counters().tcp_cookies_out);
    report("sim", forger.count, FLOOD, grown, waited, cookies);
    if forger.count != SYNS_PER_S * FLOOD.as_secs() || cookies < forger.count * 9 / 10 {
        return Err(format!("{} SYNs and {cookies} cookies are no flood", forger.count).into());
    }
    judge(grown, waited, &info)
}

/// As many SYNs as our TAP takes: the attacker's frames are counted against those that came in, so that the kernel's
/// queue in between never drops the client's. The client is the kernel.
fn over_a_tap() -> Result<(), Failed> {
    NetNs::new()?
        .run(|| flooded_tap().map_err(|failed| failed.message().unwrap_or("failed").to_owned()))?
        .map_err(Failed::from)
}

fn flooded_tap() -> Result<(), Failed> {
    let (kernel, ours) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    let mut bridge = Bridge::new("br0", &[Cidr { address: kernel, prefix_len: 24 }])?;
    let mut tap = |name: &str| bridge.tap(TapOptions { name: Some(name.into()), ..TapOptions::default() });
    let (device, attacker) = (tap("ours")?, tap("attacker")?);
    let mac = MacAddr([0x02, 0, 0, 0, 0, 2]);
    let interface = InterfaceConfig {
        name: "eth0".into(),
        medium: Medium::Ethernet,
        mac,
        mtu: 1_500,
        addresses: vec![Cidr { address: ours, prefix_len: 24 }],
        offloads: Offloads::default(),
    };
    let machine = Machine::new(MachineConfig {
        name: "server".into(),
        seed: Some(1),
        stack: Config::default(),
        interfaces: vec![(interface, device)],
    })?;
    let host = machine.host();
    host.with_stack(|_, stack| route_strangers(stack, InterfaceId(1), Some(kernel)));
    host.spawn(echo(host.clone()));
    let running = machine.spawn()?;
    let address = SocketAddr::from((ours, PORT));
    dial(address)?;
    let before = resident()?;
    let started = Clock::now();
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let flood = std::thread::spawn({
        let (stop, sent, host) = (Arc::clone(&stop), Arc::clone(&sent), host.clone());
        move || flood(attacker, mac, ours, &host, &stop, &sent)
    });
    std::thread::sleep(FLOOD / 2);
    let dialled = dial(address);
    std::thread::sleep(FLOOD.saturating_sub(started.elapsed()));
    let grown = resident()?.saturating_sub(before);
    stop.store(true, Ordering::SeqCst);
    flood.join().map_err(|_| "the attacker panicked")??;
    let (waited, info) = dialled?;
    let cookies = host.with_stack(|_, stack| stack.counters().tcp_cookies_out);
    running.shutdown()?;
    report("TAP", sent.load(Ordering::SeqCst), FLOOD, grown, waited, cookies);
    if cookies < 10_000 {
        return Err(format!("{cookies} cookies are no flood").into());
    }
    judge(grown, waited, &info)
}

/// Frames that may be on their way to our TAP: half of the kernel's queue for it.
const IN_QUEUE_MAX: u64 = 500;

fn flood(
    mut attacker: Device,
    mac: MacAddr,
    to: Ipv4Addr,
    host: &Host,
    stop: &AtomicBool,
    sent: &AtomicU64,
) -> std::io::Result<()> {
    let mut forger = Forger::new(to);
    let arrived = || host.with_stack(|_, stack| stack.counters().frames_in);
    let start = arrived();
    while !stop.load(Ordering::SeqCst) {
        while forger.count.saturating_sub(arrived() - start) > IN_QUEUE_MAX - 64
            && !stop.load(Ordering::SeqCst)
        {
            std::thread::yield_now();
        }
        for _ in 0..64 {
            let mut frame = TxFrame::new(Cause::default());
            frame.payload.push(forger.packet().into());
            let ethernet = frame.prepend(14);
            ethernet[..6].copy_from_slice(&mac.0);
            ethernet[6..12].copy_from_slice(&[0x02, 0, 0, 0, 0, 3]);
            ethernet[12..].copy_from_slice(&[8, 0]);
            attacker.tx.transmit(Instant::ZERO, &frame)?;
        }
        sent.store(forger.count, Ordering::SeqCst);
    }
    Ok(())
}

fn report(world: &str, syns: u64, time: Duration, grown: u64, waited: Duration, cookies: u64) {
    println!(
        "{world}: {syns} forged SYNs in {time:?} ({} a second), {cookies} cookies; resident memory grew by {} KiB; \
         the real client was served after {waited:?}",
        syns / time.as_secs(),
        grown / 1_024
    );
}

fn judge(grown: u64, waited: Duration, info: &TcpInfo) -> Result<(), Failed> {
    if grown >= GROWTH_MAX {
        return Err(format!("resident memory grew by {grown} bytes").into());
    }
    if waited >= Duration::from_secs(1) {
        return Err(format!("the real client waited for {waited:?}").into());
    }
    if info.window_scale.is_none() || !info.sack || !info.timestamps {
        return Err(format!("the cookie has lost options: {info:?}").into());
    }
    Ok(())
}

/// Forged sources are answered by this way.
fn route_strangers(stack: &mut Stack, interface: InterfaceId, gateway: Option<Ipv4Addr>) {
    let strangers = Cidr { address: Ipv4Addr::new(198, 18, 0, 0), prefix_len: 15 };
    let entry = match gateway {
        Some(gateway) => RouteEntry::via(strangers, gateway, interface),
        None => RouteEntry::on_link(strangers, interface),
    };
    stack.add_route(entry).expect("a route that can be");
}

/// Echoes what each connection sends first. Its answer begins with what the server's side knows of the connection.
async fn echo(host: Host) {
    let listener = host.tcp_listen(SocketAddr::from(([0, 0, 0, 0], PORT))).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        host.spawn(async move {
            let mut byte = [0];
            if stream.read_exact(&mut byte).await.is_ok() {
                let info = stream.info().unwrap();
                let flags = [info.window_scale.is_some(), info.sack, info.timestamps].map(u8::from);
                let _ = stream.write_all(&flags).await;
            }
        });
    }
}

/// Connects and hears back from the server: after how long, and what its side negotiated.
async fn connect(host: Host) -> std::io::Result<(Duration, TcpInfo)> {
    let start = host.now();
    let stream = host.tcp_connect(SocketAddr::from(([10, 0, 0, 1], PORT))).await?;
    stream.write_all(b"x").await?;
    let mut flags = [0; 3];
    stream.read_exact(&mut flags).await?;
    Ok((host.now() - start, both_sides(stream.info()?, flags)))
}

fn dial(address: SocketAddr) -> std::io::Result<(Duration, TcpInfo)> {
    let start = Clock::now();
    let mut stream = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.write_all(b"x")?;
    let mut flags = [0; 3];
    stream.read_exact(&mut flags)?;
    let ours = TcpInfo { window_scale: Some((0, 0)), sack: true, timestamps: true, ..TcpInfo::default() };
    Ok((start.elapsed(), both_sides(ours, flags)))
}

/// What both sides agree on.
fn both_sides(mut info: TcpInfo, [scale, sack, timestamps]: [u8; 3]) -> TcpInfo {
    info.window_scale = info.window_scale.filter(|_| scale == 1);
    info.sack &= sack == 1;
    info.timestamps &= timestamps == 1;
    info
}

/// Resident memory of this process, in bytes.
fn resident() -> Result<u64, Failed> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    Ok(pages.ok_or("/proc/self/statm has no second number")? * 4_096)
}

/// Makes SYNs from addresses and ports that nobody has.
struct Forger {
    rng: fastrand::Rng,
    to: Ipv4Addr,
    count: u64,
}

impl Forger {
    fn new(to: Ipv4Addr) -> Forger {
        Forger { rng: fastrand::Rng::with_seed(42), to, count: 0 }
    }

    /// An IPv4 packet with a SYN, as Linux sends it: MSS, SACK permitted, timestamps, window scale.
    fn packet(&mut self) -> Vec<u8> {
        self.count += 1;
        let mut packet = vec![0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, 6, 0, 0];
        packet.extend([198, 18 + self.rng.u8(..2), self.rng.u8(..), self.rng.u8(1..255)]);
        packet.extend(self.to.octets());
        let mut tcp = self.rng.u16(1_024..).to_be_bytes().to_vec();
        tcp.extend(PORT.to_be_bytes());
        tcp.extend(self.rng.u32(..).to_be_bytes());
        tcp.extend([0, 0, 0, 0, 0xa0, 2, 0xff, 0xff, 0, 0, 0, 0, 2, 4, 5, 0xb4, 4, 2, 8, 10]);
        tcp.extend(self.rng.u32(1..).to_be_bytes());
        tcp.extend([0, 0, 0, 0, 1, 3, 3, 7]);
        let pseudo = [&packet[12..20], &[0, 6, 0, 40]].concat();
        let sum = checksum(&[&pseudo[..], &tcp].concat());
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        let sum = checksum(&packet);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(tcp);
        packet
    }
}

fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
