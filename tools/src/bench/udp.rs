//! `bench udp`: datagrams a second, out of the server and into it; those that arrive count.

use super::Settings;
use super::bulk::{Shared, shared};
use super::client;
use super::ours::{Drive, OurServer};
use super::rounds::{ContenderId, Rounds};
use super::server::{KernelServer, Role, Server, measure};
use super::stage;
use super::table::{Better, Metric};
use std::io;
use std::rc::Rc;
use tapstack::device::TapOptions;

const METRICS: &[Metric] = &[Metric { name: "rate", unit: "1/s", better: Better::Higher }];

/// Adds what is to be compared.
pub(super) fn add(rounds: &mut Rounds<'_>, settings: Settings) -> io::Result<()> {
    let tap = stage::tap(TapOptions { offload: true, ..TapOptions::default() })?;
    let ours = shared(OurServer::new(tap, Drive::Loop)?);
    let kernel = shared(KernelServer::new(stage::veth(true)?));
    for (key, role) in [("udp.send", Role::UdpSource(settings.duration)), ("udp.receive", Role::UdpSink)] {
        let subject = contender(rounds, settings, format!("{key} tapstack"), &ours, role);
        let reference = contender(rounds, settings, format!("{key} kernel"), &kernel, role);
        rounds.compare(key, ("tapstack", subject), ("kernel", reference));
    }
    Ok(())
}

fn contender(
    rounds: &mut Rounds<'_>,
    settings: Settings,
    name: String,
    server: &Shared,
    role: Role,
) -> ContenderId {
    let server = Rc::clone(server);
    rounds.contender(name, METRICS, move || datagrams(&mut *server.borrow_mut(), role, settings))
}

fn datagrams(server: &mut dyn Server, role: Role, settings: Settings) -> io::Result<Vec<f64>> {
    let served = measure(server, role, |address| {
        let rate = match role {
            Role::UdpSource(_) => client::count_datagrams(address),
            _ => client::send_datagrams(address, settings.duration),
        };
        rate.map(|rate| (rate, 0.0))
    })?;
    Ok(vec![served.result])
}
