//! An experiment in a simulated world: messages are lost, copied and overtaken, the boxes' host crashes and comes back;
//! what becomes of the promises?
//!
//! A sender posts numbered messages to a box on another machine, which readers on a third one empty. All that happens
//! follows from the seed.

use crate::{
    BoxName, BoxOptions, Client, Letter, Message, Office, OfficeOptions, PORT, PostError, Reader,
    ReaderOptions, Semantics, SendError, Sender, SenderOptions, Ticket, Transport,
};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tapstack::capture::Capture;
use tapstack::net::Host;
use tapstack::sim::{Controls, Sim, Wire};
use tapstack::time::Duration;

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// Where all chance comes from.
    pub seed: u64,
    /// What the sender promises.
    pub semantics: Semantics,
    /// Whether the box is on disk.
    pub durable: bool,
    /// How sender and readers talk with the host.
    pub transport: Transport,
    /// How many messages are sent.
    pub messages: u32,
    /// They are posted in bursts of up to so many,
    pub burst: u32,
    /// with up to so long in between.
    pub pause: Duration,
    /// How many readers compete.
    pub readers: usize,
    /// What the wires do.
    pub wire: Wire,
    /// How long the host is up between two crashes, about; none doesn't crash it.
    pub up: Option<Duration>,
    /// How long it is down.
    pub down: Duration,
}

impl Trial {
    /// A thousand messages over perfect wires to a host that doesn't crash, for one reader, by datagrams.
    pub fn new(seed: u64, semantics: Semantics, durable: bool) -> Trial {
        Trial {
            seed,
            semantics,
            durable,
            transport: Transport::Udp,
            messages: 1_000,
            burst: 32,
            pause: Duration::from_millis(2),
            readers: 1,
            wire: Wire { delay: Duration::from_micros(200), ..Wire::default() },
            up: None,
            down: Duration::from_millis(100),
        }
    }
}

/// What came of it. Numbers of messages, if nothing else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Sent.
    pub sent: u64,
    /// That were said to be in the box (at most once: on their way).
    pub acknowledged: u64,
    /// About which the sender was told that nobody knows.
    pub in_doubt: u64,
    /// That were refused, or could never be sent.
    pub failed: u64,
    /// That readers got, once or more often.
    pub delivered: u64,
    /// Deliveries beyond the first of a message.
    pub copies: u64,
    /// That were acknowledged, and never delivered.
    pub lost: u64,
    /// That came for the first time after a later one (counted for a single reader only).
    pub overtaken: u64,
    /// Crashes of the host.
    pub crashes: u64,
    /// How long it all took, in virtual milliseconds.
    pub took_ms: u64,
}

/// Tries it. What goes over the wires is shown to `capture`, if there is one.
pub fn run(trial: &Trial, capture: Option<&Capture>) -> Outcome {
    let mut net = Sim::new(trial.seed);
    if let Some(capture) = capture {
        net.capture(capture);
    }
    let switch = net.switch("switch");
    let [host, sender, reader] = [("host", 1), ("sender", 2), ("reader", 3)].map(|(name, number)| {
        let machine = net.machine(name, &format!("10.0.0.{number}/24"));
        net.plug(&switch, &machine, trial.wire);
        machine
    });
    let controls = net.controls();
    let trial = *trial;
    let world = World { trial, host, sender, reader, tally: Arc::default(), is_over: Arc::default() };
    net.run(async { world.run(controls).await })
}

struct World {
    trial: Trial,
    host: Host,
    sender: Host,
    reader: Host,
    tally: Arc<Mutex<Tally>>,
    /// All is sent: the host need not crash any more.
    is_over: Arc<AtomicBool>,
}

/// What was seen so far.
#[derive(Default)]
struct Tally {
    /// How often each message was delivered.
    delivered: Vec<u8>,
    last: Option<u32>,
    overtaken: u64,
    /// When a letter came last.
    at: tapstack::Instant,
}

/// The box that everything goes through.
fn the_box() -> BoxName {
    BoxName::new("box").expect("a good name")
}

const SERVER: [u8; 4] = [10, 0, 0, 1];

impl World {
    async fn run(self, controls: Controls) -> Outcome {
        self.tally().delivered = vec![0; self.trial.messages as usize];
        serve(&self.host, self.trial.durable);
        let mut readers = Vec::new();
        for _ in 0..self.trial.readers {
            let (trial, machine, tally) = (self.trial, self.reader.clone(), Arc::clone(&self.tally));
            readers.push(self.reader.spawn(async move { read(trial, &machine, &tally).await }));
        }
        let (trial, machine, is_over) = (self.trial, self.sender.clone(), Arc::clone(&self.is_over));
        let sending = self.sender.spawn(async move {
            let outcomes = send(trial, &machine).await;
            is_over.store(true, Ordering::SeqCst);
            outcomes
        });
        let crashes = self.crash(controls).await;
        let outcomes = sending.await.expect("the sender's task ends by itself");
        // Readers that hear nothing for so long have heard all.
        while self.reader.now().since(self.tally().at.max(tapstack::sim::EPOCH)) < QUIET {
            self.reader.sleep(QUIET / 4).await;
        }
        readers.iter().for_each(|reader| reader.abort());
        self.outcome(&outcomes, crashes)
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Crashes the host and starts it again, until all is sent. Returns how often.
    async fn crash(&self, controls: Controls) -> u64 {
        let mut crashes = 0;
        let Some(up) = self.trial.up else { return crashes };
        loop {
            let micros = u64::try_from(up.as_micros()).unwrap_or(u64::MAX).max(1);
            let about = micros / 2 + self.sender.random_u64() % micros;
            self.sender.sleep(Duration::from_micros(about)).await;
            if self.is_over.load(Ordering::SeqCst) {
                return crashes;
            }
            crashes += 1;
            controls.crash(&self.host);
            self.sender.sleep(self.trial.down).await;
            controls.restart(&self.host);
            serve(&self.host, self.trial.durable);
        }
    }

    fn outcome(&self, outcomes: &[Option<Result<(), SendError>>], crashes: u64) -> Outcome {
        let tally = self.tally();
        let mut outcome = Outcome {
            sent: outcomes.len() as u64,
            overtaken: if self.trial.readers == 1 { tally.overtaken } else { 0 },
            crashes,
            took_ms: self.sender.now().as_millis(),
            ..Outcome::default()
        };
        for (result, &times) in outcomes.iter().zip(&tally.delivered) {
            outcome.delivered += u64::from(times > 0);
            outcome.copies += u64::from(times.saturating_sub(1));
            match result {
                Some(Ok(())) => {
                    outcome.acknowledged += 1;
                    outcome.lost += u64::from(times == 0);
                }
                Some(Err(SendError::InDoubt)) => outcome.in_doubt += 1,
                _ => outcome.failed += 1,
            }
        }
        outcome
    }
}

/// Opens the host's post office, as a program does that is started with its machine.
fn serve(host: &Host, durable: bool) {
    let machine = host.clone();
    drop(host.spawn(async move {
        let options = OfficeOptions { durable, ..OfficeOptions::default() };
        let office = Office::open(&machine, &options).await.expect("the ports and the disk are there");
        let options = BoxOptions { durable, deliveries_max: u32::MAX, ..BoxOptions::default() };
        office.create(&the_box(), &options).expect("the box is as it was");
    }));
}

fn client(trial: Trial, machine: &Host) -> Client {
    Client::new(machine, trial.transport, SocketAddr::from((SERVER, PORT))).expect("a port is free")
}

/// Sends all messages; what became of each.
async fn send(trial: Trial, machine: &Host) -> Vec<Option<Result<(), SendError>>> {
    let client = client(trial, machine);
    let options = SenderOptions { queue_messages_max: QUEUE, ..SenderOptions::new(trial.semantics) };
    let mut sender = client.sender(&the_box(), options);
    let mut outcomes = vec![None; trial.messages as usize];
    let mut waiting: VecDeque<(u32, Ticket)> = VecDeque::new();
    let (mut number, mut burst) = (0, 0);
    while number < trial.messages {
        if burst == 0 {
            burst = 1 + machine.random_u64() % u64::from(trial.burst.max(1));
            let nanos = u64::try_from(trial.pause.as_nanos()).unwrap_or(u64::MAX).max(1);
            machine.sleep(Duration::from_nanos(machine.random_u64() % nanos)).await;
        }
        burst -= 1;
        match sender.post(Message::new(number.to_be_bytes().to_vec())) {
            Ok(ticket) => {
                waiting.push_back((number, ticket));
                number += 1;
            }
            Err(PostError::Full(_)) => settle(&sender, &mut waiting, &mut outcomes, QUEUE / 2).await,
            // A box of a host that has just come up may not be made yet.
            Err(_) => {
                settle(&sender, &mut waiting, &mut outcomes, 0).await;
                machine.sleep(AGAIN).await;
                sender = client.sender(&the_box(), options);
            }
        }
    }
    settle(&sender, &mut waiting, &mut outcomes, 0).await;
    outcomes
}

/// Awaits outcomes, in order, until only so many wait.
async fn settle(
    sender: &Sender,
    waiting: &mut VecDeque<(u32, Ticket)>,
    outcomes: &mut [Option<Result<(), SendError>>],
    left: usize,
) {
    while waiting.len() > left {
        let Some((number, ticket)) = waiting.pop_front() else { return };
        if let Some(place) = outcomes.get_mut(number as usize) {
            *place = Some(sender.outcome(ticket).await);
        }
    }
}

/// Reads and acknowledges, for ever.
async fn read(trial: Trial, machine: &Host, tally: &Mutex<Tally>) {
    let client = client(trial, machine);
    loop {
        if let Ok(reader) = client.reader(&the_box(), ReaderOptions { prefetch: 100 }).await {
            read_with(&reader, machine, tally).await;
        }
        machine.sleep(AGAIN).await;
    }
}

/// The same, until the box refuses the reader.
async fn read_with(reader: &Reader, machine: &Host, tally: &Mutex<Tally>) {
    while let Ok(letter) = reader.recv().await {
        note(&letter, machine, &mut tally.lock().unwrap_or_else(PoisonError::into_inner));
        reader.ack(&letter);
    }
}

fn note(letter: &Letter, machine: &Host, tally: &mut Tally) {
    let Some(number) = letter.message.body.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)) else {
        return;
    };
    let Some(times) = tally.delivered.get_mut(number as usize) else { return };
    *times = times.saturating_add(1);
    if *times == 1 {
        tally.overtaken += u64::from(tally.last > Some(number));
        tally.last = tally.last.max(Some(number));
    }
    tally.at = machine.now();
}

/// Messages that the sender has under way.
const QUEUE: usize = 1_024;
/// How long nothing has come when all has come: longer than a host takes to give up a silent reader.
const QUIET: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(20);
