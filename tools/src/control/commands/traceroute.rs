//! `tapstack traceroute`: datagrams that live for one hop, two hops, … and who ends them.

use super::super::args::TracerouteArgs;
use super::super::client::Machine;
use super::super::protocol::{ProbeAnswer, Reply, Request};
use super::ping::millis;
use super::unexpected;
use crate::Failure;
use crate::ui::Ui;
use std::net::IpAddr;

pub(super) fn run(ui: &Ui, machine: &Machine, args: &TracerouteArgs) -> Result<(), Failure> {
    let to = args.to;
    ui.line(format!(
        "traceroute to {to} from the machine {}, {} hops at most",
        machine.name(),
        args.max_hops
    ));
    let timeout_ms = u32::try_from(args.wait.as_millis()).unwrap_or(u32::MAX);
    let mut port = args.port;
    for ttl in 1..=args.max_hops {
        let mut line = format!("{ttl:>2} ");
        let (mut last, mut ended): (Option<IpAddr>, _) = (None, false);
        for _ in 0..args.queries {
            let reply = machine.ask(&Request::Probe { to, port, ttl, timeout_ms }, args.wait)?;
            let Reply::Probed { from, micros, answer } = reply else { return unexpected() };
            port = port.saturating_add(1);
            if let Some(from) = from.filter(|from| last != Some(*from)) {
                line.push_str(&format!(" {from}"));
                last = Some(from);
            }
            match &answer {
                ProbeAnswer::Silence => line.push_str("  *"),
                ProbeAnswer::Unreachable { mark } => {
                    line.push_str(&format!("  {} ms {mark}", millis(micros)))
                }
                ProbeAnswer::Hop | ProbeAnswer::Destination => {
                    line.push_str(&format!("  {} ms", millis(micros)));
                }
            }
            ended |= matches!(answer, ProbeAnswer::Destination | ProbeAnswer::Unreachable { .. });
        }
        ui.last_line(&line);
        if ended {
            return Ok(());
        }
    }
    Err(Failure::Failed(format!("{to} was not reached in {} hops", args.max_hops)))
}
