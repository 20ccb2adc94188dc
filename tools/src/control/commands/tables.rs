//! `tapstack arp`, `route` and `ss`: tables that fit a terminal of 80 columns.

use super::super::args::{ArpArgs, RouteArgs, RouteChange, SsArgs};
use super::super::client::Machine;
use super::super::protocol::{Reply, Request, RouteSpec};
use super::super::status::{Count, Info, SocketRow, Status};
use super::ping::millis;
use super::unexpected;
use crate::Failure;
use crate::table::Table;
use crate::ui::{self, Ui};
use std::time::Duration;

pub(super) fn arp(ui: &Ui, machine: &Machine, args: &ArpArgs) -> Result<(), Failure> {
    if args.flush || args.delete.is_some() {
        let Reply::Done { count } = machine.ask(&Request::Forget { address: args.delete }, WAIT)? else {
            return unexpected();
        };
        ui.line(format!("{count} forgotten"));
        return Ok(());
    }
    let Reply::Neighbours { rows } = machine.ask(&Request::Neighbours, WAIT)? else { return unexpected() };
    let mut table = Table::new(&["Address", "Link address", "State", "Interface"]);
    for row in rows {
        table.row([row.address.to_string(), row.mac.unwrap_or_else(dash), row.state, row.dev]);
    }
    show(ui, &table)
}

pub(super) fn route(ui: &Ui, args: &RouteArgs) -> Result<(), Failure> {
    let read = |words: &[String]| {
        let words = words.iter().flat_map(|word| word.split_whitespace());
        RouteSpec::parse(words).map_err(|why| Failure::Misused(format!("{why} (see tapstack route --help)")))
    };
    // What is wrong with the words is said before anything is asked of a machine.
    let request = match &args.change {
        None | Some(RouteChange::List) => Request::Routes,
        Some(RouteChange::Add(route)) => Request::RouteAdd { route: read(&route.words)? },
        Some(RouteChange::Del(route)) => Request::RouteDelete { route: read(&route.words)? },
    };
    let rows = match Machine::find(args.which.name.as_deref())?.ask(&request, WAIT)? {
        Reply::Done { .. } => return Ok(()),
        Reply::Routes { rows, .. } => rows,
        _ => return unexpected(),
    };
    let mut table = Table::new(&["Destination", "Gateway", "Interface", ">Metric", "Origin"]);
    for row in rows {
        let via = row.via.map_or_else(dash, |via| via.to_string());
        table.row([row.to, via, row.dev, row.metric.to_string(), row.origin]);
    }
    show(ui, &table)
}

pub(super) fn ss(ui: &Ui, machine: &Machine, args: &SsArgs) -> Result<(), Failure> {
    if args.summary {
        let Reply::Status { status } = machine.ask(&Request::Status, WAIT)? else { return unexpected() };
        return summary(ui, &status);
    }
    let reply = machine.ask(&Request::Sockets { info: args.info }, WAIT)?;
    let Reply::Sockets { rows, left_out, infos } = reply else { return unexpected() };
    let wanted = |row: &SocketRow| {
        let kind = match (args.tcp, args.udp) {
            (false, false) => true,
            (tcp, udp) => (tcp && row.kind == "tcp") || (udp && row.kind == "udp"),
        };
        kind && (!args.listening || row.listens)
    };
    let shown: Vec<(usize, &SocketRow)> = rows.iter().enumerate().filter(|(_, row)| wanted(row)).collect();
    let mut table = Table::new(&["Kind", "State", ">Recv-Q", ">Send-Q", "Local", "Peer"]);
    for (_, row) in &shown {
        table.row([
            row.kind.clone(),
            row.state.clone(),
            row.receive_queue.to_string(),
            row.send_queue.to_string(),
            row.local.to_string(),
            row.peer.map_or_else(dash, |peer| peer.to_string()),
        ]);
    }
    let lines = table.lines();
    let (heading, lines) = lines.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    ui.last_line(heading);
    for (line, (number, _)) in lines.iter().zip(&shown) {
        ui.last_line(line);
        if let Some((_, info)) = infos.iter().find(|(row, _)| row == number) {
            for line in ui::wrap(&info_words(info), INFO_COLUMNS) {
                ui.last_line(format!("     {line}"));
            }
        }
    }
    if left_out > 0 {
        ui.last_line(format!("… and {left_out} more"));
    }
    Ok(())
}

/// What `ss -i` of Linux says, in its words.
fn info_words(info: &Info) -> String {
    let mut words = vec![info.congestion.clone(), info.congestion_state.clone()];
    let flags = [(info.timestamps, "ts"), (info.sack, "sack"), (info.ecn, "ecn")];
    words.extend(flags.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag.to_owned()));
    if let Some((ours, theirs)) = info.wscale {
        words.push(format!("wscale:{theirs},{ours}"));
    }
    words.push(format!("rto:{}", millis(info.rto_us)));
    if info.rtt_us > 0 {
        words.push(format!("rtt:{}/{}", millis(info.rtt_us), millis(info.rttvar_us)));
        words.push(format!("minrtt:{}", millis(info.min_rtt_us)));
    }
    words.push(format!("mss:{} pmtu:{} cwnd:{}", info.mss, info.pmtu, info.cwnd));
    if info.ssthresh < u32::from(u16::MAX) {
        words.push(format!("ssthresh:{}", info.ssthresh));
    }
    words.push(format!("bytes_acked:{} bytes_received:{}", info.bytes_acked, info.bytes_received));
    words.push(format!("segs_out:{} segs_in:{}", info.segs_out, info.segs_in));
    let now = [("unacked", info.unacked), ("lost", info.lost), ("retrans", info.total_retrans)];
    words.extend(now.into_iter().filter(|(_, n)| *n > 0).map(|(what, n)| format!("{what}:{n}")));
    words.push(format!("snd_wnd:{} rcv_wnd:{}", info.snd_wnd, info.rcv_wnd));
    words.join(" ")
}

fn summary(ui: &Ui, status: &Status) -> Result<(), Failure> {
    let up = Duration::from_secs(status.uptime_ms / 1000);
    ui.last_line(format!("{} (process {}), up for {up:?}", status.name, status.pid));
    ui.last_line("");
    let mut table =
        Table::new(&["Interface", "Address", ">Frames in", ">Bytes in", ">Frames out", ">Bytes out"]);
    for row in &status.interfaces {
        let mut addresses = row.addresses.iter();
        table.row([
            row.name.clone(),
            addresses.next().cloned().unwrap_or_else(dash),
            row.frames_in.to_string(),
            row.bytes_in.to_string(),
            row.frames_out.to_string(),
            row.bytes_out.to_string(),
        ]);
        for address in addresses {
            table.row([String::new(), address.clone()]);
        }
    }
    show(ui, &table)?;
    ui.last_line("");
    counts(ui, "Counted", status.counters.iter().filter(|counted| counted.count > 0))?;
    if !status.drops.is_empty() {
        ui.last_line("");
        counts(ui, "Dropped", status.drops.iter())?;
    }
    Ok(())
}

fn counts<'a>(ui: &Ui, what: &str, counts: impl Iterator<Item = &'a Count>) -> Result<(), Failure> {
    let mut table = Table::new(&[">Times", what]);
    counts.for_each(|counted| table.row([counted.count.to_string(), counted.what.clone()]));
    show(ui, &table)
}

fn show(ui: &Ui, table: &Table) -> Result<(), Failure> {
    table.lines().iter().for_each(|line| ui.last_line(line));
    Ok(())
}

fn dash() -> String {
    "-".to_owned()
}

/// How long a machine may take for an answer that it has at once.
const WAIT: Duration = Duration::ZERO;
/// Columns of a terminal that are left beside the indent.
const INFO_COLUMNS: usize = 74;
