//! `bench connections`: how many connections a second can be opened and closed, from one client and from many. There are no
//! timestamps; a single client and its server are on cores of their own.

use super::Settings;
use super::ceiling::CeilingServer;
use super::client;
use super::ours::{Drive, OurServer};
use super::rounds::Rounds;
use super::server::{KernelServer, Role, Server, Shared, contender, measure, measure_apart, shared};
use super::smoltcp_server::SmoltcpServer;
use super::stage;
use super::table::{Better, Metric};
use std::io;
use tapstack::device::TapOptions;

/// What opening connections is measured by.
pub(super) const METRICS: &[Metric] = &[
    Metric { name: "rate", unit: "1/s", better: Better::Higher },
    Metric { name: "refused", unit: "share", better: Better::Lower },
];

/// Adds what is to be compared.
pub(super) fn add(rounds: &mut Rounds<'_>, settings: Settings) -> io::Result<()> {
    let tap = || stage::tap(TapOptions { offload: true, ..TapOptions::default() });
    let ours = shared(OurServer::new(tap()?, Drive::Loop)?);
    let busy = shared(OurServer::new(tap()?, Drive::Busy)?);
    let kernel = shared(KernelServer::new(stage::veth(true)?));
    let smoltcp = shared(SmoltcpServer::offload()?);
    let ceiling = shared(CeilingServer::new(tap()?)?);
    // As for round trips: smoltcp has none by itself.
    for server in [&ours, &busy, &kernel, &smoltcp, &ceiling] {
        stage::drop_timestamps(&server.borrow().client_ns())?;
    }
    for (clients, block, spinning) in
        [(1, "connections.1", "connections.busy.1"), (32, "connections.32", "connections.busy.32")]
    {
        let mut rate = |name: &str, server: &Shared, spin| {
            let name = format!("connections {clients} {name}{}", if spin { ", busy" } else { "" });
            contender(rounds, name, METRICS, server, move |server| open(server, clients, spin, settings))
        };
        let (ours, busy) = (rate("tapstack", &ours, false), rate("tapstack", &busy, true));
        let (kernel, kernel_busy) = (rate("kernel", &kernel, false), rate("kernel", &kernel, true));
        let smoltcp = rate("smoltcp-offload", &smoltcp, false);
        let (ceiling, ceiling_busy) = (rate("ceiling", &ceiling, false), rate("ceiling", &ceiling, true));
        rounds.compare(block, ("tapstack", ours), ("kernel", kernel));
        rounds.compare(block, ("tapstack", ours), ("smoltcp-offload", smoltcp));
        rounds.compare(block, ("tapstack", ours), ("ceiling", ceiling));
        rounds.compare(spinning, ("tapstack", busy), ("kernel", kernel_busy));
        rounds.compare(spinning, ("tapstack", busy), ("ceiling", ceiling_busy));
    }
    Ok(())
}

/// Connections that were opened in a second, and the share of those that were refused.
pub(super) fn open(
    server: &mut dyn Server,
    clients: usize,
    spin: bool,
    settings: Settings,
) -> io::Result<Vec<f64>> {
    let role = Role::Close { spin };
    let client = |address| client::open_many(address, clients, settings.duration).map(|opened| (opened, 0.0));
    // Many clients keep all cores busy, and a kernel that serves them works on their cores as well.
    let opened =
        if clients == 1 { measure_apart(server, role, client) } else { measure(server, role, client) };
    let opened = opened?.result;
    let tried = opened.connections + opened.refused;
    Ok(vec![opened.connections as f64 / opened.seconds, opened.refused as f64 / tried.max(1) as f64])
}
