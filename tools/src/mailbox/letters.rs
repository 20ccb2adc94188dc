//! `tapstack mailbox send`, `recv`, `watch` and `list`: a machine that is up acts as the client.

use super::args::{ListArgs, RecvArgs, SendArgs, WatchArgs};
use crate::Failure;
use crate::control::{LetterRow, Machine, Reply, Request, unexpected};
use crate::table::Table;
use crate::ui::Ui;
use std::io::Read as _;
use std::time::Duration;
use tapstack_mailbox::Transport;

pub(super) fn send(ui: &Ui, args: &SendArgs) -> Result<(), Failure> {
    let text = match &args.text {
        Some(text) => text.clone(),
        None => read_input()?,
    };
    if text.len() > TEXT_BYTES_MAX {
        let len = text.len();
        return Err(Failure::Misused(format!("the message has {len} bytes, {TEXT_BYTES_MAX} are the most")));
    }
    let machine = Machine::find(args.which.name.as_deref())?;
    let request = Request::MailSend {
        to: args.to.to_string(),
        text,
        priority: args.priority,
        ttl_ms: args.time_to_live.map(millis),
        semantics: tapstack_mailbox::Semantics::from(args.semantics) as u8,
        tcp: Transport::from(args.way) == Transport::Tcp,
        timeout_ms: millis(SEND_PATIENCE),
    };
    match machine.ask(&request, SEND_PATIENCE)? {
        Reply::Done { .. } => {
            ui.last_line(format!("{} has it", args.to));
            Ok(())
        }
        _ => unexpected(),
    }
}

fn read_input() -> Result<String, Failure> {
    let mut text = String::new();
    let mut input = std::io::stdin().lock().take(TEXT_BYTES_MAX as u64 + 1);
    match input.read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::Failed(format!("standard input: {}", crate::ui::reason(&error)))),
    }
}

pub(super) fn recv(ui: &Ui, args: &RecvArgs) -> Result<(), Failure> {
    let machine = Machine::find(args.which.name.as_deref())?;
    let tcp = Transport::from(args.way) == Transport::Tcp;
    match take(&machine, args.from.to_string(), tcp, args.timeout)? {
        Some(letter) => {
            show(ui, &letter);
            Ok(())
        }
        None => Err(Failure::Failed(format!("no letter came to {} in {:?}", args.from, args.timeout))),
    }
}

pub(super) fn watch(ui: &Ui, args: &WatchArgs) -> Result<(), Failure> {
    let machine = Machine::find(args.which.name.as_deref())?;
    let tcp = Transport::from(args.way) == Transport::Tcp;
    let mut count = 0;
    while args.count.is_none_or(|max| count < max) {
        if let Some(letter) = take(&machine, args.from.to_string(), tcp, WATCH_STEP)? {
            show(ui, &letter);
            count += 1;
        }
    }
    Ok(())
}

fn take(machine: &Machine, from: String, tcp: bool, timeout: Duration) -> Result<Option<LetterRow>, Failure> {
    match machine.ask(&Request::MailRecv { from, tcp, timeout_ms: millis(timeout) }, timeout)? {
        Reply::Letter { letter } => Ok(letter),
        _ => unexpected(),
    }
}

/// The body, and above it what there is to know besides.
fn show(ui: &Ui, letter: &LetterRow) {
    let mut head = format!("{}, number {} of {:016x}", letter.semantics, letter.seq, letter.stream);
    if letter.priority > 0 {
        head.push_str(&format!(", priority {}", letter.priority));
    }
    if letter.deliveries > 1 {
        head.push_str(&format!(", delivery {}", letter.deliveries));
    }
    if let Some(death) = &letter.death {
        head.push_str(&format!(", {death}"));
    }
    if let Some(reply_to) = &letter.reply_to {
        head.push_str(&format!(", reply to {reply_to}"));
    }
    ui.line(head);
    ui.last_line(&letter.text);
}

pub(super) fn list(ui: &Ui, args: &ListArgs) -> Result<(), Failure> {
    let machine = Machine::find(args.which.name.as_deref())?;
    let tcp = Transport::from(args.way) == Transport::Tcp;
    let request = Request::MailList { host: args.host, tcp, timeout_ms: millis(LIST_PATIENCE) };
    let rows = match machine.ask(&request, LIST_PATIENCE)? {
        Reply::Boxes { rows } => rows,
        _ => return unexpected(),
    };
    let mut table = Table::new(&[
        "box",
        "kind",
        "kept",
        ">waiting",
        ">handed out",
        ">readers",
        ">accepted",
        ">settled",
        ">dead",
    ]);
    for row in rows {
        let kept = if row.durable { "on disk" } else { "in memory" };
        let numbers = [row.waiting, row.handed_out, row.readers, row.accepted, row.settled, row.dead];
        let words = [row.name, row.kind, kept.to_owned()];
        table.row(words.into_iter().chain(numbers.map(|number| number.to_string())));
    }
    table.lines().into_iter().for_each(|line| ui.last_line(line));
    Ok(())
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// Bytes of a message that is sent from the command line: it has to fit a line to the control socket, escaped.
const TEXT_BYTES_MAX: usize = 2 << 10;
const SEND_PATIENCE: Duration = Duration::from_secs(15);
const LIST_PATIENCE: Duration = Duration::from_secs(10);
/// How long each question of `watch` waits.
const WATCH_STEP: Duration = Duration::from_secs(5);
