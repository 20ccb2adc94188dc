//! `bench loss`: streams over a wire that loses, delays and limits; the same wire for this stack and for the kernel.

use super::Settings;
use super::bulk::{Way, stream};
use super::ours::{Drive, OurServer};
use super::relay::{self, Conditions, Lossy};
use super::rounds::{ContenderId, Rounds};
use super::server::{KernelServer, Role, Server};
use super::stage::{CLIENT, KernelPair, SERVER, TapStage, kernel_host, open_tap};
use super::table::{Better, Metric};
use crate::testbed::{Bridge, NetNs};
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tapstack::device::{Device, TapOptions};

const METRICS: &[Metric] = &[Metric { name: "goodput", unit: "Gbit/s", better: Better::Higher }];

/// The wires with a delay carry so much.
const RATE_BIT_PER_S: u64 = 500_000_000;
const DELAY: Duration = Duration::from_millis(5);

/// What is lost, without and with delay: the keys of sending and receiving.
const WIRES: [(f64, Duration, [&str; 2]); 8] = [
    (0.0, Duration::ZERO, ["loss.0.send", "loss.0.receive"]),
    (0.001, Duration::ZERO, ["loss.0p1.send", "loss.0p1.receive"]),
    (0.01, Duration::ZERO, ["loss.1.send", "loss.1.receive"]),
    (0.03, Duration::ZERO, ["loss.3.send", "loss.3.receive"]),
    (0.0, DELAY, ["loss.0.5ms.send", "loss.0.5ms.receive"]),
    (0.001, DELAY, ["loss.0p1.5ms.send", "loss.0p1.5ms.receive"]),
    (0.01, DELAY, ["loss.1.5ms.send", "loss.1.5ms.receive"]),
    (0.03, DELAY, ["loss.3.5ms.send", "loss.3.5ms.receive"]),
];

/// Adds what is to be compared.
pub(super) fn add(rounds: &mut Rounds<'_>, settings: Settings) -> io::Result<()> {
    let ours = Rc::new(RefCell::new(ours()?));
    let kernel = Rc::new(RefCell::new(kernels()?));
    for (loss, delay, keys) in WIRES {
        for (key, way) in keys.into_iter().zip([Way::Send, Way::Receive]) {
            let conditions = Conditions {
                loss,
                delay,
                rate_bit_per_s: (!delay.is_zero()).then_some(RATE_BIT_PER_S),
                lossy: if way == Way::Send { Lossy::ToFirst } else { Lossy::ToSecond },
                seed: settings.seed,
            };
            let subject = contender(rounds, settings, format!("{key} tapstack"), &ours, way, conditions);
            let reference = contender(rounds, settings, format!("{key} kernel"), &kernel, way, conditions);
            rounds.compare(key, ("tapstack", subject), ("kernel", reference));
        }
    }
    Ok(())
}

fn contender<S: Server + 'static>(
    rounds: &mut Rounds<'_>,
    settings: Settings,
    name: String,
    server: &Rc<RefCell<Relayed<S>>>,
    way: Way,
    conditions: Conditions,
) -> ContenderId {
    let (server, mut round) = (Rc::clone(server), 0);
    rounds.contender(name, METRICS, move || {
        let mut server = server.borrow_mut();
        // Another fate for each round, the same one for both contenders.
        server.conditions = Conditions { seed: conditions.seed.wrapping_add(round), ..conditions };
        round += 1;
        stream(&mut *server, way, settings).map(|figures| figures.into_iter().take(1).collect())
    })
}

/// A server that is reached through the relay.
struct Relayed<S> {
    server: S,
    /// The relay's TAPs: the client's and the server's.
    taps: (Device, Device),
    conditions: Conditions,
}

impl<S: Server> Server for Relayed<S> {
    fn client_ns(&self) -> Arc<NetNs> {
        self.server.client_ns()
    }

    fn serve(&mut self, role: Role, client: &mut (dyn FnMut(SocketAddr) + Send)) -> io::Result<()> {
        let stop = AtomicBool::new(false);
        let Relayed { server, taps: (first, second), conditions } = self;
        std::thread::scope(|scope| {
            let relay = scope.spawn(|| relay::run(first, second, *conditions, &stop));
            let served = server.serve(role, client);
            stop.store(true, Ordering::Relaxed);
            relay.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).and(served)
        })
    }
}

/// kernel — TAP — relay — TAP — kernel
fn kernels() -> io::Result<Relayed<KernelServer>> {
    let (client_ns, client_tap) = kernel_with_tap(CLIENT)?;
    let (server_ns, server_tap) = kernel_with_tap(SERVER)?;
    let pair = KernelPair { client_ns: Arc::new(client_ns), server_ns, server_address: SERVER };
    let taps = (client_tap, server_tap);
    Ok(Relayed { server: KernelServer::new(pair), taps, conditions: Conditions::default() })
}

/// kernel — TAP — relay — TAP — bridge — TAP — this stack
fn ours() -> io::Result<Relayed<OurServer>> {
    let (client_ns, client_tap) = kernel_with_tap(CLIENT)?;
    let (relays, device) = kernel_host()?
        .run(|| {
            let mut bridge = Bridge::new("br0", &[])?;
            let relays = bridge.tap(TapOptions::default())?;
            Ok((relays, bridge.tap(TapOptions::default())?))
        })
        .and_then(|taps| taps)
        .map_err(io::Error::other)?;
    let stage = TapStage { client_ns: Arc::new(client_ns), device, server_address: SERVER };
    let server = OurServer::new(stage, Drive::Loop)?;
    Ok(Relayed { server, taps: (client_tap, relays), conditions: Conditions::default() })
}

fn kernel_with_tap(address: std::net::Ipv4Addr) -> io::Result<(NetNs, Device)> {
    let ns = kernel_host()?;
    let device = ns.run(|| open_tap(TapOptions::default(), Some(address))).map_err(io::Error::other)??;
    Ok((ns, device))
}
