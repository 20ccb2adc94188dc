//! `bench udp`: datagrams a second, out of the server and into it; those that arrive count.

use super::Settings;
use super::bulk::Way;
use super::client::{self, DATAGRAM_LEN};
use super::ours::{Drive, OurServer};
use super::rounds::Rounds;
use super::server::{KernelServer, Role, Served, Server, Shared, contender, measure, shared};
use super::smoltcp_server::SmoltcpServer;
use super::stage;
use super::table::{Better, Metric};
use std::io;
use tapstack::device::TapOptions;

/// What datagrams are measured by.
pub(super) const METRICS: &[Metric] = &[
    Metric { name: "rate", unit: "1/s", better: Better::Higher },
    Metric { name: "cpu", unit: "s/GB", better: Better::Lower },
];

/// Adds what is to be compared: with checksums left to the other side, and with complete ones.
pub(super) fn add(rounds: &mut Rounds<'_>, settings: Settings) -> io::Result<()> {
    for (offload, keys) in
        [(true, ["udp.send", "udp.receive"]), (false, ["udp.plain.send", "udp.plain.receive"])]
    {
        if !keys.iter().any(|key| rounds.wants(key)) {
            continue;
        }
        let tap = stage::tap(TapOptions { offload, ..TapOptions::default() })?;
        let ours = shared(OurServer::new(tap, Drive::Loop)?);
        let kernel = shared(KernelServer::new(stage::veth(offload)?));
        let (name, smoltcp) = if offload {
            ("smoltcp-offload", shared(SmoltcpServer::offload()?))
        } else {
            ("smoltcp", shared(SmoltcpServer::stock()?))
        };
        for (key, way) in keys.into_iter().zip([Way::Send, Way::Receive]) {
            let mut rate = |name: &str, server: &Shared| {
                let name = format!("{key} {name}");
                contender(rounds, name, METRICS, server, move |server| datagrams(server, way, settings))
            };
            let (ours, kernel, smoltcp) =
                (rate("tapstack", &ours), rate("kernel", &kernel), rate(name, &smoltcp));
            rounds.compare(key, ("tapstack", ours), ("kernel", kernel));
            rounds.compare(key, ("tapstack", ours), (name, smoltcp));
        }
    }
    Ok(())
}

/// Datagrams a second, and the CPU seconds that the server's side spent on a gigabyte of those that arrived.
pub(super) fn datagrams(server: &mut dyn Server, way: Way, settings: Settings) -> io::Result<Vec<f64>> {
    let duration = settings.duration;
    let Served { result, server_cpu } = match way {
        Way::Send => measure(server, Role::UdpSource(duration), |address| {
            client::count_datagrams(address).map(|arrived| (arrived, arrived.cpu))
        })?,
        Way::Receive => measure(server, Role::UdpSink, |address| {
            client::send_datagrams(address, duration).map(|arrived| (arrived, arrived.cpu))
        })?,
    };
    let gigabytes = (result.count * DATAGRAM_LEN as u64) as f64 / 1e9;
    Ok(vec![result.count as f64 / result.seconds, server_cpu / gigabytes])
}
