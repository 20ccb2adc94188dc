//! `bench bulk`: one stream as fast as it goes, out of the server and into it.

use super::Settings;
use super::ceiling::CeilingServer;
use super::client;
use super::ours::{Drive, OurServer};
use super::rounds::Rounds;
use super::server::{KernelServer, Role, Served, Server, Shared, contender, measure, shared};
use super::smoltcp_server::SmoltcpServer;
use super::stage;
use super::table::{Better, Metric};
use crate::doctor::PageLists;
use std::io;
use tapstack::device::TapOptions;

/// What a stream is measured by.
pub(super) const METRICS: &[Metric] = &[
    Metric { name: "goodput", unit: "Gbit/s", better: Better::Higher },
    Metric { name: "cpu", unit: "s/GB", better: Better::Lower },
];

/// Which way the data goes, as the server sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Send,
    Receive,
}

/// Adds what is to be compared.
pub(super) fn add(rounds: &mut Rounds<'_>, settings: Settings) -> io::Result<()> {
    if PageLists::here().is_some_and(|lists| lists.fraction().is_some()) {
        crate::ui::note("this machine's page lists hold streams out up: see tapstack doctor");
    }
    if rounds.wants_some_of("bulk.offload") {
        add_offload(rounds, settings)?;
    }
    if rounds.wants_some_of("bulk.plain") || rounds.wants_some_of("bulk.napi") {
        add_plain(rounds, settings)?;
    }
    Ok(())
}

fn add_offload(rounds: &mut Rounds<'_>, settings: Settings) -> io::Result<()> {
    let tap = || stage::tap(TapOptions { offload: true, ..TapOptions::default() });
    let ours = shared(OurServer::new(tap()?, Drive::Loop)?);
    let threaded = shared(OurServer::new(tap()?, Drive::Threaded)?);
    let kernel = shared(KernelServer::new(stage::veth(true)?));
    let smoltcp = shared(SmoltcpServer::stock()?);
    let smoltcp_offload = shared(SmoltcpServer::offload()?);
    let ceiling = shared(CeilingServer::new(tap()?)?);
    for (way, key, key_threaded) in [
        (Way::Send, "bulk.offload.send", "bulk.offload.send.threaded"),
        (Way::Receive, "bulk.offload.receive", "bulk.offload.receive.threaded"),
    ] {
        let mut stream = |name: &str, server: &Shared| {
            let name = format!("{key} {name}");
            contender(rounds, name, METRICS, server, move |server| stream(server, way, settings))
        };
        let ours = stream("tapstack", &ours);
        let kernel = stream("kernel", &kernel);
        let threaded = stream("tapstack, threaded", &threaded);
        let smoltcp = stream("smoltcp", &smoltcp);
        let smoltcp_offload = stream("smoltcp-offload", &smoltcp_offload);
        let ceiling = stream("ceiling", &ceiling);
        rounds.compare(key, ("tapstack", ours), ("kernel", kernel));
        rounds.compare(key, ("tapstack", ours), ("smoltcp-offload", smoltcp_offload));
        rounds.compare(key, ("tapstack", ours), ("smoltcp", smoltcp));
        rounds.compare(key, ("tapstack", ours), ("ceiling", ceiling));
        rounds.compare(key_threaded, ("tapstack", threaded), ("kernel", kernel));
    }
    Ok(())
}

fn add_plain(rounds: &mut Rounds<'_>, settings: Settings) -> io::Result<()> {
    let tap = || stage::tap(TapOptions::default());
    let ours = shared(OurServer::new(tap()?, Drive::Loop)?);
    let threaded = shared(OurServer::new(tap()?, Drive::Threaded)?);
    let kernel = shared(KernelServer::new(stage::veth(false)?));
    let smoltcp = shared(SmoltcpServer::stock()?);
    let ceiling = shared(CeilingServer::new(tap()?)?);
    let with_napi = TapOptions { napi: true, ..TapOptions::default() };
    let napi = stage::tap(with_napi.clone()).and_then(|stage| {
        let ceiling = CeilingServer::new(stage::second_tap(with_napi)?)?;
        Ok((shared(OurServer::new(stage, Drive::Loop)?), shared(ceiling)))
    });
    let napi = match napi {
        Ok(servers) => Some(servers),
        Err(error) => {
            crate::ui::note(&format!("bulk.napi is left out: {error}"));
            None
        }
    };
    for (way, key, key_threaded, key_napi) in [
        (Way::Send, "bulk.plain.send", "bulk.plain.send.threaded", "bulk.napi.send"),
        (Way::Receive, "bulk.plain.receive", "bulk.plain.receive.threaded", "bulk.napi.receive"),
    ] {
        let mut stream = |name: &str, server: &Shared| {
            let name = format!("{key} {name}");
            contender(rounds, name, METRICS, server, move |server| stream(server, way, settings))
        };
        let ours = stream("tapstack", &ours);
        let kernel = stream("kernel", &kernel);
        let threaded = stream("tapstack, threaded", &threaded);
        let smoltcp = stream("smoltcp", &smoltcp);
        let ceiling = stream("ceiling", &ceiling);
        let napi = napi
            .as_ref()
            .map(|(napi, ceiling)| (stream("tapstack, NAPI", napi), stream("ceiling, NAPI", ceiling)));
        rounds.compare(key, ("tapstack", ours), ("kernel", kernel));
        rounds.compare(key, ("tapstack", ours), ("smoltcp", smoltcp));
        rounds.compare(key, ("tapstack", ours), ("ceiling", ceiling));
        rounds.compare(key_threaded, ("tapstack", threaded), ("kernel", kernel));
        if let Some((napi, ceiling)) = napi {
            rounds.compare(key_napi, ("tapstack", napi), ("kernel", kernel));
            rounds.compare(key_napi, ("tapstack", napi), ("ceiling", ceiling));
        }
    }
    Ok(())
}

/// One stream: its goodput in Gbit/s, and the CPU seconds that the server's side spent on a gigabyte.
pub(super) fn stream(server: &mut dyn Server, way: Way, settings: Settings) -> io::Result<Vec<f64>> {
    let duration = settings.duration;
    let Served { result, server_cpu } = match way {
        Way::Send => measure(server, Role::Source(duration), |address| {
            client::fetch(address).map(|transfer| (transfer, transfer.cpu))
        })?,
        Way::Receive => measure(server, Role::Sink, |address| {
            client::push(address, duration).map(|transfer| (transfer, transfer.cpu))
        })?,
    };
    Ok(vec![result.gbit_per_s(), server_cpu / (result.bytes as f64 / 1e9)])
}
