//! `tapstack ping`: one echo request at a time, and the sum at the end, be that by count or by Ctrl-C.

use super::super::args::PingArgs;
use super::super::client::Machine;
use super::super::protocol::{Reply, Request};
use super::unexpected;
use crate::Failure;
use crate::ui::Ui;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

#[derive(Default)]
struct Tally {
    sent: u64,
    /// In microseconds.
    times: Vec<u64>,
}

/// What the command waits for.
enum Event {
    Answer(Result<Reply, Failure>),
    Interrupt,
}

pub(super) fn run(ui: &Ui, machine: &Machine, args: &PingArgs) -> Result<(), Failure> {
    let (tell, told) = mpsc::channel();
    let interrupt = tell.clone();
    let handler = move || {
        let _ = interrupt.send(Event::Interrupt);
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        log::warn!("Ctrl-C will not show the sum: {error}");
    }
    let (to, bytes) = (args.to, args.size);
    ui.line(format!("ping {to} from the machine {}: {bytes} bytes of payload", machine.name()));
    let timeout_ms = u32::try_from(args.timeout.as_millis()).unwrap_or(u32::MAX);
    let mut tally = Tally::default();
    while args.count.is_none_or(|count| tally.sent < count) {
        let begun = Instant::now();
        tally.sent += 1;
        let number = tally.sent;
        let (asked, answer, timeout) = (machine.clone(), tell.clone(), args.timeout);
        // Ctrl-C doesn't wait for an answer; the thread ends with the process then.
        thread::spawn(move || {
            let _ = answer.send(Event::Answer(asked.ask(&Request::Ping { to, bytes, timeout_ms }, timeout)));
        });
        let Ok(Event::Answer(reply)) = told.recv() else { break };
        match reply? {
            Reply::Pong { micros: Some(micros), .. } => {
                tally.times.push(micros);
                ui.line(format!("{bytes} bytes from {to}: seq={number} time={} ms", millis(micros)));
            }
            Reply::Pong { error: Some(error), .. } => ui.line(format!("seq={number}: {error}")),
            Reply::Pong { .. } => ui.line(format!("seq={number}: no answer in {:?}", args.timeout)),
            _ => return unexpected(),
        }
        if args.count == Some(tally.sent) {
            break;
        }
        let pause = args.interval.saturating_sub(begun.elapsed());
        if told.recv_timeout(pause.max(Duration::from_millis(1))).is_ok() {
            break;
        }
    }
    sum_up(ui, args, &tally)
}

fn sum_up(ui: &Ui, args: &PingArgs, tally: &Tally) -> Result<(), Failure> {
    let received = tally.times.len() as u64;
    let lost = 100 * (tally.sent - received) / tally.sent.max(1);
    ui.last_line(format!("{}: {} sent, {received} received, {lost} % lost", args.to, tally.sent));
    let (Some(min), Some(max)) = (tally.times.iter().min(), tally.times.iter().max()) else {
        return Err(Failure::Failed(String::new()));
    };
    let mean = tally.times.iter().sum::<u64>() / received.max(1);
    ui.last_line(format!("min {} ms, mean {} ms, max {} ms", millis(*min), millis(mean), millis(*max)));
    Ok(())
}

/// Milliseconds with three decimals.
pub(super) fn millis(micros: u64) -> String {
    format!("{}.{:03}", micros / 1000, micros % 1000)
}
