//! `bench latency`: round trips of small messages, with both sides asleep in between, or polling. Client and server are
//! on cores of their own, and there are no timestamps.

use super::Settings;
use super::ceiling::CeilingServer;
use super::client;
use super::cpu::Sides;
use super::ours::{Drive, OurServer};
use super::rounds::Rounds;
use super::server::{KernelServer, Role, Server, Shared, contender, measure_apart, shared};
use super::smoltcp_server::SmoltcpServer;
use super::stage;
use super::table::{Better, Metric};
use std::io;
use tapstack::device::TapOptions;

/// What round trips are measured by.
pub(super) const METRICS: &[Metric] = &[
    Metric { name: "p50", unit: "us", better: Better::Lower },
    Metric { name: "p99", unit: "us", better: Better::Lower },
];

/// Adds what is to be compared.
pub(super) fn add(rounds: &mut Rounds<'_>, settings: Settings) -> io::Result<()> {
    let tap = || stage::tap(TapOptions { offload: true, ..TapOptions::default() });
    let ours = shared(OurServer::new(tap()?, Drive::Loop)?);
    // Its thread is on the server's side from the beginning.
    let threaded = shared(Sides::divide()?.server(|| OurServer::new(tap()?, Drive::Threaded))??);
    let busy = shared(OurServer::new(tap()?, Drive::Busy)?);
    let kernel = shared(KernelServer::new(stage::veth(true)?));
    let smoltcp = shared(SmoltcpServer::offload()?);
    let ceiling = shared(CeilingServer::new(tap()?)?);
    // smoltcp has none by itself, and they cost each side 2 % of a round trip that polls.
    for server in [&ours, &threaded, &busy, &kernel, &smoltcp, &ceiling] {
        stage::drop_timestamps(&server.borrow().client_ns())?;
    }
    for (len, block, own_thread, spinning) in [
        (1, "latency.block.1", "latency.threaded.1", "latency.busy.1"),
        (1024, "latency.block.1024", "latency.threaded.1024", "latency.busy.1024"),
    ] {
        let mut trips = |name: &str, server: &Shared, spin| {
            let name = format!("latency {len} {name}{}", if spin { ", busy" } else { "" });
            contender(rounds, name, METRICS, server, move |server| round_trips(server, len, spin, settings))
        };
        let (ours, threaded, busy) = (
            trips("tapstack", &ours, false),
            trips("tapstack, threaded", &threaded, false),
            trips("tapstack", &busy, true),
        );
        let (kernel, kernel_busy) = (trips("kernel", &kernel, false), trips("kernel", &kernel, true));
        let (smoltcp, smoltcp_busy) =
            (trips("smoltcp-offload", &smoltcp, false), trips("smoltcp-offload", &smoltcp, true));
        let (ceiling, ceiling_busy) = (trips("ceiling", &ceiling, false), trips("ceiling", &ceiling, true));
        rounds.compare(block, ("tapstack", ours), ("kernel", kernel));
        rounds.compare(block, ("tapstack", ours), ("smoltcp-offload", smoltcp));
        rounds.compare(block, ("tapstack", ours), ("ceiling", ceiling));
        rounds.compare(own_thread, ("tapstack", threaded), ("kernel", kernel));
        rounds.compare(spinning, ("tapstack", busy), ("kernel", kernel_busy));
        rounds.compare(spinning, ("tapstack", busy), ("smoltcp-offload", smoltcp_busy));
        rounds.compare(spinning, ("tapstack", busy), ("ceiling", ceiling_busy));
    }
    Ok(())
}

/// Round trips: the median and the 99th percentile, in microseconds.
pub(super) fn round_trips(
    server: &mut dyn Server,
    len: usize,
    spin: bool,
    settings: Settings,
) -> io::Result<Vec<f64>> {
    let times = measure_apart(server, Role::Echo { len, spin }, |address| {
        client::round_trips(address, len, settings.duration, spin).map(|times| (times, 0.0))
    })?
    .result;
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
    Ok(vec![at(0.5), at(0.99)])
}
