//! `tapstack mailbox send`, `recv`, `watch` and `list`: a machine that is up acts as the client.

use super::args::{ListArgs, RecvArgs, SendArgs, WatchArgs};
use crate::Failure;
use crate::control::{LetterRow, Machine, Reply, Request, from_hex, to_hex, unexpected};
use crate::table::Table;
use crate::ui::Ui;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::time::Duration;
use tapstack_mailbox::{BODY_BYTES_MAX, Transport};

pub(super) fn send(ui: &Ui, args: &SendArgs) -> Result<(), Failure> {
    let body = match &args.text {
        Some(text) => text.clone().into_bytes(),
        None => read_input()?,
    };
    if body.len() > BODY_BYTES_MAX {
        return Err(Failure::Misused(format!("a message has {BODY_BYTES_MAX} bytes at most")));
    }
    let machine = Machine::find(args.which.name.as_deref())?;
    let request = Request::MailSend {
        to: args.to.to_string(),
        body: to_hex(&body),
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

/// Reads a little more than may be sent, if there is so much.
fn read_input() -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    match std::io::stdin().lock().take(BODY_BYTES_MAX as u64 + 1).read_to_end(&mut body) {
        Ok(_) => Ok(body),
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
    let body = from_hex(&letter.body).unwrap_or_default();
    if std::io::stdout().is_terminal() {
        return ui.last_line(harmless(&String::from_utf8_lossy(&body)));
    }
    // A program gets what was sent, with the end of a line behind a text that has none.
    let end = if std::str::from_utf8(&body).is_ok_and(|text| !text.ends_with('\n')) { "\n" } else { "" };
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(&body).and_then(|()| out.write_all(end.as_bytes())).and_then(|()| out.flush());
}

/// A text of somebody else's, which is not to steer the terminal.
fn harmless(text: &str) -> String {
    let shown = |c: char| if c.is_control() && !"\n\t".contains(c) { '\u{fffd}' } else { c };
    text.trim_end_matches('\n').chars().map(shown).collect()
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

const SEND_PATIENCE: Duration = Duration::from_secs(15);
const LIST_PATIENCE: Duration = Duration::from_secs(10);
/// How long each question of `watch` waits.
const WATCH_STEP: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_do_not_steer_the_terminal() {
        assert_eq!(harmless("one\ttwo\nthree\n"), "one\ttwo\nthree");
        assert_eq!(harmless("\u{1b}[2Jgone\r\u{7}"), "\u{fffd}[2Jgone\u{fffd}\u{fffd}");
    }
}
