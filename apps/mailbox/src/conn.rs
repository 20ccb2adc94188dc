//! Connections over mailboxes: messages of any length, whole and in order, over sends of at-most-once semantics, which
//! lose and overtake. It is an exercise in what TCP does; who wants the thing itself has it a layer below.
//!
//! - **In**: messages of a program, up to [`MESSAGE_BYTES_MAX`]; segments, as letters in a box of one's own.
//! - **Out**: the same messages at the other end; segments for the peer's box.
//! - **Keeps**: [`WINDOW_SEGMENTS`] segments that aren't acknowledged; as many beyond a gap; one message being joined.
//! - **Timers**: the retransmission of the oldest segment, with a backoff; [`PATIENCE`] for a peer that is silent.
//! - **RFC**: 9293 for the manner: sections 3.5 (three-way handshake, here two boxes that learn of each other), 3.4
//!   (sequence numbers), 3.8.1 (retransmission), 3.6 (closing).
//! - **Never**: hands out a message that isn't whole, or one before another that was sent first.
//!
//! | TCP | here |
//! |---|---|
//! | a port that listens | a mailbox whose letters are requests |
//! | SYN, SYN-ACK | a request with `reply_to`; the answer names the acceptor's own box |
//! | four-tuple | two boxes of processes, made for the connection |
//! | bytes in a stream, numbered | segments, numbered; a message is cut into several, the last of which says so |
//! | cumulative ACK, window | the same, in segments |
//! | FIN | a segment that says that none follows |

use crate::bell::either;
use crate::client::{Client, Reader, ReaderOptions, SendError, Sender, SenderOptions};
use crate::message::{BoxOptions, Kind, Letter, Message, Refusal, ReplyTo, Semantics, WhenFull};
use crate::{Address, BoxName};
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use tapstack::net::Host;
use tapstack::time::{Duration, Instant};
use tapstack_xdr::{Decoder, Encoder, Error};

/// Bytes of a message at most.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Bytes of a segment at most: with all headers it fits an Ethernet frame.
pub const SEGMENT_BYTES: usize = 1_200;
/// Segments that are under way at most.
pub const WINDOW_SEGMENTS: usize = 64;
/// How long the peer may be silent.
pub const PATIENCE: Duration = Duration::from_secs(30);

const RTO_FIRST: Duration = Duration::from_millis(100);
const RTO_MAX: Duration = Duration::from_secs(2);
const HEAD_BYTES: usize = 64;

/// Accepts connections at a mailbox.
#[derive(Debug)]
pub struct Listener {
    host: Host,
    client: Client,
    address: SocketAddr,
    requests: Reader,
}

/// One end of a connection.
#[derive(Debug)]
pub struct Connection {
    host: Host,
    _client: Client,
    sender: Sender,
    reader: Reader,
    own: BoxName,
    state: State,
}

/// What a segment says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment {
    /// Its number; that of the next one where it carries nothing.
    seq: u64,
    /// All segments of the other end before this number have come.
    ack: u64,
    what: What,
    data: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// Only the acknowledgement.
    Ack,
    /// A piece, and others of the message follow.
    Piece,
    /// The last piece of a message.
    Last,
    /// No message follows.
    End,
}

/// Both directions of a connection, without boxes and clock: segments in, segments out.
#[derive(Debug)]
struct State {
    unacked: VecDeque<(u64, What, Bytes)>,
    next_out: u64,
    sent_at: Option<Instant>,
    rto: Duration,
    next_in: u64,
    early: BTreeMap<u64, (What, Bytes)>,
    joined: BytesMut,
    whole: VecDeque<Bytes>,
    is_ended: bool,
    owes_ack: bool,
    heard_at: Instant,
}

impl Listener {
    /// Listens at a box of the client's host, which is made if it isn't there. Errors: the host says no.
    pub async fn bind(
        host: &Host,
        client: &Client,
        address: SocketAddr,
        name: &BoxName,
    ) -> io::Result<Listener> {
        client
            .create(name, &BoxOptions { when_full: WhenFull::Reject, ..BoxOptions::default() })
            .await
            .map_err(other)?;
        let requests = client.reader(name, ReaderOptions::default()).await.map_err(other)?;
        Ok(Listener { host: host.clone(), client: client.clone(), address, requests })
    }

    /// Awaits a connection. `toward` makes a client of a peer's host. Errors: the box has ended.
    pub async fn accept(&self, toward: impl Fn(SocketAddr) -> io::Result<Client>) -> io::Result<Connection> {
        loop {
            let request = self.requests.recv().await.map_err(other)?;
            self.requests.ack(&request);
            // A request without a way back is nobody's.
            let Some(ReplyTo { address: Some(peer), correlation }) = request.message.reply_to else {
                continue;
            };
            let (own, reader) = own_box(&self.host, &self.client).await?;
            let answers = toward(peer.host)?;
            let sender = answers.sender(&peer.name, SenderOptions::new(Semantics::AtMostOnce));
            let reply =
                ReplyTo { address: Some(Address { name: own.clone(), host: self.address }), correlation };
            let hello = answers.sender(&peer.name, SenderOptions::default());
            hello.send(Message { reply_to: Some(reply), ..Message::default() }).await.map_err(other)?;
            let state = State::new(self.host.now());
            return Ok(Connection { host: self.host.clone(), _client: answers, sender, reader, own, state });
        }
    }
}

/// A box for one end of a connection, with a name that nobody had before.
async fn own_box(host: &Host, client: &Client) -> io::Result<(BoxName, Reader)> {
    let name = BoxName::new(&format!("conn-{:016x}", host.random_u64())).map_err(other)?;
    let options = BoxOptions {
        kind: Kind::Process,
        when_full: WhenFull::DropOldest,
        messages_max: 1_024,
        ..BoxOptions::default()
    };
    client.create(&name, &options).await.map_err(other)?;
    let reader = client.reader(&name, ReaderOptions { prefetch: WINDOW_SEGMENTS }).await.map_err(other)?;
    Ok((name, reader))
}

impl Connection {
    /// Connects to a listener. `own` is a client of this side's own boxes, which others reach at `own_address`; `peer`
    /// a client of the listener's host. Errors: nobody answers.
    pub async fn connect(
        host: &Host,
        own: &Client,
        own_address: SocketAddr,
        peer: Client,
        name: &BoxName,
    ) -> io::Result<Connection> {
        let (own_name, reader) = own_box(host, own).await?;
        let correlation = host.random_u64();
        let address = Some(Address { name: own_name.clone(), host: own_address });
        let request = Message { reply_to: Some(ReplyTo { address, correlation }), ..Message::default() };
        peer.sender(name, SenderOptions::default()).send(request).await.map_err(other)?;
        let until = host.now() + PATIENCE;
        loop {
            let wait = until.since(host.now());
            let answer = reader.recv_timeout(wait).await.map_err(other)?.ok_or(io::ErrorKind::TimedOut)?;
            reader.ack(&answer);
            if let Some(ReplyTo { address: Some(theirs), correlation: same }) = answer.message.reply_to
                && same == correlation
            {
                let sender = peer.sender(&theirs.name, SenderOptions::new(Semantics::AtMostOnce));
                let state = State::new(host.now());
                return Ok(Connection {
                    host: host.clone(),
                    _client: peer,
                    sender,
                    reader,
                    own: own_name,
                    state,
                });
            }
        }
    }

    /// The box of this end.
    pub fn own_box(&self) -> &BoxName {
        &self.own
    }

    /// Sends a message of any length up to [`MESSAGE_BYTES_MAX`]; returns when the other end has all of it. Errors:
    /// `InvalidInput` for a longer one, `TimedOut` when the peer is silent.
    pub async fn send(&mut self, message: Bytes) -> io::Result<()> {
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut rest = message;
        loop {
            let piece = rest.split_to(rest.len().min(SEGMENT_BYTES));
            let is_last = rest.is_empty();
            self.push(if is_last { What::Last } else { What::Piece }, piece).await?;
            if is_last {
                return self.drain().await;
            }
        }
    }

    /// Awaits the next whole message; none when the other end has closed. Errors: `TimedOut` when the peer is silent for
    /// `patience`.
    pub async fn recv(&mut self, patience: Duration) -> io::Result<Option<Bytes>> {
        let until = self.host.now() + patience;
        loop {
            if let Some(whole) = self.state.whole.pop_front() {
                return Ok(Some(whole));
            }
            if self.state.is_ended {
                return Ok(None);
            }
            if self.host.now() >= until {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.turn(until).await?;
        }
    }

    /// Says that nothing follows, and awaits that the other end knows. Errors: `TimedOut`; `ConnectionReset` when the
    /// other end is gone before that.
    pub async fn close(mut self) -> io::Result<()> {
        let finished = self.finish().await;
        // Who has ended goes when it has heard that we have: only its last acknowledgement was lost.
        let is_done = self.state.is_ended && self.state.unacked.iter().all(|(_, what, _)| *what == What::End);
        match finished {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset && is_done => Ok(()),
            finished => finished,
        }
    }

    async fn finish(&mut self) -> io::Result<()> {
        self.push(What::End, Bytes::new()).await?;
        self.drain().await?;
        // As TCP's TIME-WAIT: the other end's last segment may want its acknowledgement once more.
        let until = self.host.now() + RTO_MAX * 2;
        while self.host.now() < until && !self.state.is_ended {
            self.turn(until).await?;
        }
        Ok(())
    }

    async fn push(&mut self, what: What, data: Bytes) -> io::Result<()> {
        while self.state.unacked.len() >= WINDOW_SEGMENTS {
            self.turn_or_give_up().await?;
        }
        let segment = self.state.push(self.host.now(), what, data);
        self.post(segment).await
    }

    async fn drain(&mut self) -> io::Result<()> {
        while !self.state.unacked.is_empty() {
            self.turn_or_give_up().await?;
        }
        Ok(())
    }

    async fn turn_or_give_up(&mut self) -> io::Result<()> {
        if self.host.now().since(self.state.heard_at) > PATIENCE {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.turn(self.host.now() + PATIENCE).await
    }

    /// Takes in what comes, until something has, a segment is late, or it is `until`.
    async fn turn(&mut self, until: Instant) -> io::Result<()> {
        let deadline = self.state.deadline().map_or(until, |at| at.min(until));
        let letter = either(async { Some(self.reader.recv().await) }, async {
            self.host.sleep_until(deadline).await;
            None
        });
        match letter.await {
            Some(letter) => {
                self.take_in(&letter.map_err(|_| io::ErrorKind::ConnectionAborted)?);
                while let Ok(Some(letter)) = self.reader.recv_timeout(Duration::ZERO).await {
                    self.take_in(&letter);
                }
            }
            None => {
                if let Some(segment) = self.state.late(self.host.now()) {
                    self.post(segment).await?;
                }
            }
        }
        if std::mem::take(&mut self.state.owes_ack) {
            let segment = self.state.acknowledgement();
            self.post(segment).await?;
        }
        Ok(())
    }

    fn take_in(&mut self, letter: &Letter) {
        // What is no segment, and the answer to the request, say nothing here.
        if letter.semantics == Semantics::AtMostOnce
            && let Ok(segment) = Segment::decode(&letter.message.body)
        {
            self.state.handle(self.host.now(), segment);
        }
        self.reader.ack(letter);
    }

    async fn post(&mut self, segment: Segment) -> io::Result<()> {
        let body = segment.encode().map_err(io::Error::other)?;
        match self.sender.send(Message::new(body)).await {
            // A process's box ends with it.
            Err(SendError::Refused(Refusal::NoSuchBox)) => Err(io::ErrorKind::ConnectionReset.into()),
            sent => sent.map_err(other),
        }
    }
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::other(error)
}

impl State {
    fn new(now: Instant) -> State {
        State {
            unacked: VecDeque::new(),
            next_out: 0,
            sent_at: None,
            rto: RTO_FIRST,
            next_in: 0,
            early: BTreeMap::new(),
            joined: BytesMut::new(),
            whole: VecDeque::new(),
            is_ended: false,
            owes_ack: false,
            heard_at: now,
        }
    }

    /// A new segment.
    fn push(&mut self, now: Instant, what: What, data: Bytes) -> Segment {
        let seq = self.next_out;
        self.next_out += 1;
        if self.unacked.is_empty() {
            // Until now nothing was expected of the peer.
            self.heard_at = now;
        }
        self.unacked.push_back((seq, what, data.clone()));
        self.sent_at.get_or_insert(now);
        Segment { seq, ack: self.next_in, what, data }
    }

    fn acknowledgement(&self) -> Segment {
        Segment { seq: self.next_out, ack: self.next_in, what: What::Ack, data: Bytes::new() }
    }

    fn deadline(&self) -> Option<Instant> {
        self.sent_at.map(|at| at + self.rto)
    }

    /// The oldest segment, if it is late (RFC 9293 section 3.8.1: only the first is sent again, and the timer backs off).
    fn late(&mut self, now: Instant) -> Option<Segment> {
        self.deadline().filter(|at| *at <= now)?;
        let (seq, what, data) = self.unacked.front().cloned()?;
        self.sent_at = Some(now);
        self.rto = (self.rto * 2).min(RTO_MAX);
        Some(Segment { seq, ack: self.next_in, what, data })
    }

    fn handle(&mut self, now: Instant, segment: Segment) {
        let before = self.unacked.len();
        while self.unacked.front().is_some_and(|(seq, ..)| *seq < segment.ack) {
            self.unacked.pop_front();
        }
        if self.unacked.len() < before {
            (self.rto, self.heard_at) = (RTO_FIRST, now);
            self.sent_at = (!self.unacked.is_empty()).then_some(now);
        }
        if segment.what == What::Ack {
            return;
        }
        // Also for one that has come before: its acknowledgement was lost.
        self.owes_ack = true;
        let window = self.next_in..self.next_in + WINDOW_SEGMENTS as u64;
        if window.contains(&segment.seq) {
            self.early.insert(segment.seq, (segment.what, segment.data));
        }
        while let Some((what, data)) = self.early.remove(&self.next_in) {
            self.next_in += 1;
            self.join(what, &data);
        }
    }

    fn join(&mut self, what: What, data: &[u8]) {
        if self.joined.len() + data.len() > MESSAGE_BYTES_MAX || what == What::End {
            // A message that is longer than any may be ends the connection as well.
            self.is_ended = true;
        } else {
            self.joined.extend_from_slice(data);
            if what == What::Last {
                self.whole.push_back(self.joined.split().freeze());
            }
        }
    }
}

impl Segment {
    fn encode(&self) -> Result<Bytes, Error> {
        let mut to = Encoder::new(SEGMENT_BYTES + HEAD_BYTES);
        to.put_u64(self.seq)?;
        to.put_u64(self.ack)?;
        to.put_u32(match self.what {
            What::Ack => 0,
            What::Piece => 1,
            What::Last => 2,
            What::End => 3,
        })?;
        to.put_opaque(&self.data, SEGMENT_BYTES)?;
        Ok(to.into_bytes())
    }

    fn decode(bytes: &Bytes) -> Result<Segment, Error> {
        let mut from = Decoder::shared(bytes);
        let (seq, ack) = (from.take_u64()?, from.take_u64()?);
        let what = match from.take_u32()? {
            0 => What::Ack,
            1 => What::Piece,
            2 => What::Last,
            3 => What::End,
            other => return Err(Error::BadEnum { name: "segment", value: other.cast_signed() }),
        };
        let data = from.take_bytes(SEGMENT_BYTES)?;
        from.finish()?;
        if seq > u64::MAX / 2 || ack > u64::MAX / 2 {
            return Err(Error::BadEnum { name: "sequence number", value: 0 });
        }
        Ok(Segment { seq, ack, what, data })
    }
}
