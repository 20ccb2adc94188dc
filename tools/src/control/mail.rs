//! What a machine that is up does as a client of mailboxes, for one request at a time.

use super::block_on::block_on;
use super::hex::{from_hex, to_hex};
use super::perform::wait;
use super::protocol::{BoxRow, LetterRow, Reply};
use std::io;
use std::net::SocketAddr;
use tapstack::net::Host;
use tapstack::time::Duration;
use tapstack_mailbox::{
    Address, AskError, Client, Kind, Letter, Message, ReaderOptions, Semantics, SenderOptions, Transport,
};

/// A message as it was asked for.
pub(super) struct Mail {
    pub(super) to: String,
    /// In hexadecimal.
    pub(super) body: String,
    pub(super) priority: u8,
    pub(super) ttl_ms: Option<u32>,
    pub(super) semantics: u8,
    pub(super) tcp: bool,
    pub(super) timeout_ms: u32,
}

pub(super) fn send(host: &Host, mail: Mail) -> Result<Reply, String> {
    let to: Address = mail.to.parse().map_err(words)?;
    let semantics = Semantics::ALL.get(usize::from(mail.semantics)).ok_or("there are three semantics")?;
    let client = client(host, mail.tcp, to.host)?;
    let message = Message {
        priority: mail.priority,
        time_to_live: mail.ttl_ms.map(|ms| Duration::from_millis(ms.into())),
        ..Message::new(from_hex(&mail.body).ok_or("the message is not in hexadecimal")?)
    };
    block_on(async {
        // A little earlier, so that it is said when nobody is there.
        let give_up_after = wait(mail.timeout_ms) * 4 / 5;
        let options = SenderOptions { give_up_after, ..SenderOptions::new(*semantics) };
        let sender = client.sender(&to.name, options);
        // Beyond that, the box is full and its host answers.
        let sent = host.timeout(wait(mail.timeout_ms), sender.send(message)).await;
        match sent {
            Ok(result) => result.map_err(words),
            Err(_) => Err(format!("{to} took nothing in time: is there room? (it may still do so)")),
        }
    })?;
    Ok(Reply::Done { count: 1 })
}

pub(super) fn recv(host: &Host, from: &str, tcp: bool, timeout_ms: u32) -> Result<Reply, String> {
    let from: Address = from.parse().map_err(words)?;
    let client = client(host, tcp, from.host)?;
    let letter = block_on(host.timeout(wait(timeout_ms) + FLUSH_PATIENCE, async {
        let reader =
            client.reader(&from.name, ReaderOptions::default()).await.map_err(|error| why(&from, error))?;
        let letter = reader.recv_timeout(wait(timeout_ms)).await.map_err(words)?;
        if let Some(letter) = &letter {
            reader.ack(letter);
            reader.flush().await;
        }
        Ok(letter)
    }));
    let letter = letter.map_err(|_| format!("{} does not answer", from.host))?;
    letter.map(|letter| Reply::Letter { letter: letter.map(row) })
}

pub(super) fn list(host: &Host, at: SocketAddr, tcp: bool, timeout_ms: u32) -> Result<Reply, String> {
    let client = client(host, tcp, at)?;
    let listed = block_on(host.timeout(wait(timeout_ms), client.list()));
    let boxes = listed.map_err(|_| format!("{at} does not answer"))?.map_err(words)?;
    let rows = boxes.into_iter().map(|found| {
        let counts = found.counts;
        BoxRow {
            name: found.name.to_string(),
            kind: match found.options.kind {
                Kind::Process => "process",
                Kind::Mailbox => "mailbox",
                Kind::Port => "port",
            }
            .to_owned(),
            durable: found.options.durable,
            waiting: found.waiting.into(),
            handed_out: found.handed_out.into(),
            readers: found.readers.into(),
            accepted: counts.accepted,
            settled: counts.settled,
            dead: counts.expired + counts.displaced + counts.undeliverable + counts.refused,
        }
    });
    Ok(Reply::Boxes { rows: rows.collect() })
}

fn client(host: &Host, tcp: bool, server: SocketAddr) -> Result<Client, String> {
    let transport = if tcp { Transport::Tcp } else { Transport::Udp };
    Client::new(host, transport, server).map_err(|error: io::Error| error.to_string())
}

fn why(from: &Address, error: AskError) -> String {
    format!("{from}: {error}")
}

fn words(error: impl ToString) -> String {
    error.to_string()
}

fn row(letter: Letter) -> LetterRow {
    let reply_to = letter.message.reply_to.and_then(|reply| reply.address);
    LetterRow {
        body: to_hex(&letter.message.body),
        stream: letter.from.stream,
        seq: letter.from.seq,
        semantics: letter.semantics.to_string(),
        deliveries: letter.deliveries,
        priority: letter.message.priority,
        reply_to: reply_to.map(|address| address.to_string()),
        death: letter
            .death
            .map(|death| format!("died in {}: {:?}", death.in_box, death.reason).to_lowercase()),
    }
}

/// How long the host may take to confirm what the reader said.
const FLUSH_PATIENCE: Duration = Duration::from_secs(5);
