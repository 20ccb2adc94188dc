//! The calling side: a [`Client`] for one program at one server, over UDP or TCP.
//!
//! - **In**: a procedure's number and its arguments; replies, matched by xid and peer.
//! - **Out**: calls, sent again with backoff as the semantics allow; results, or a [`CallError`].
//! - **Keeps**: the calls that wait for a reply, [`ClientConfig::calls_max`] at most; a connection; a session.
//! - **Timers**: each call's deadline and its next retransmission, which waits twice as long as the one before.
//! - **RFC**: 5531 sections 4, 8, 9, 11, appendix A.
//! - **Never**: sends a call again in a way that its semantics forbid. Dropping a call's future cancels it: it isn't
//!   sent again, and its reply is dropped as a stray.
//!
//! # Sessions
//!
//! A server that has crashed doesn't know which calls its former life executed, so a call that is sent again over the
//! crash could be executed twice. A client with [`Semantics::AtMostOnce`] therefore begins with a session: it calls
//! procedure 0, and the server's reply carries an AUTH_SHORT credential (RFC 5531 appendix A) that names the server's
//! present life. Calls carry it. A later life does not execute them: it answers AUTH_ERROR with AUTH_REJECTEDCRED, as
//! for a short hand that it has forgotten. The call fails with [`CallError::ServerRestarted`], and the next one begins
//! a new session. With servers that give no short hand, duplicates are the server's cache's concern alone.

mod link;
mod numbers;
mod session;

pub use numbers::WINDOW;

use crate::auth::{AuthStatus, OpaqueAuth, SysCredential};
use crate::error::CallError;
use crate::message::{CallHeader, Outcome, Reply};
use crate::semantics::Semantics;
use crate::service::Transport;
use bytes::Bytes;
use link::{Lines, Link};
use numbers::Numbers;
use session::Session;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tapstack::net::{Host, JoinHandle};
use tapstack::time::{Duration, Instant};
use tapstack_xdr::{Decode, Encode};

/// How a client calls.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// What its calls promise.
    pub semantics: Semantics,
    /// How long a call may take altogether.
    pub deadline: Duration,
    /// How long a datagram's reply is waited for before the first retransmission; then twice as long, and so on.
    pub retransmit_after: Duration,
    /// The longest wait between two retransmissions. On TCP, which does its own, this is also the first: a server that
    /// has crashed says nothing until it is asked again.
    pub retransmit_after_max: Duration,
    /// Calls that wait for a reply at most; further ones wait for their turn. 1 to [`CALLS_MAX`].
    pub calls_max: usize,
    /// Bytes of arguments at most.
    pub argument_bytes_max: usize,
    /// Bytes of a reply at most.
    pub reply_bytes_max: usize,
    /// Who calls: what goes into AUTH_SYS. [`Semantics::ExactlyOnce`] wants it.
    pub identity: Option<Identity>,
}

/// Calls of one client that wait for a reply at most: see [`ClientConfig::calls_max`].
pub const CALLS_MAX: usize = 256;

/// Who calls: a name that no other client of the server has, and which of its lives this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The client's name, unique among the server's clients.
    pub name: String,
    /// Greater after each restart: keep it on disk, see [`Identity::next_on_disk`]. When a server hears a greater
    /// number, it stops what it still does for smaller ones (orphans), and refuses their late calls.
    pub incarnation: u32,
    /// The Unix user.
    pub uid: u32,
    /// The Unix group.
    pub gid: u32,
}

impl Default for ClientConfig {
    /// At most once, 30 s, 0.5 s and 10 s between retransmissions, 64 calls, 64 KiB of arguments, 1 MiB of results.
    fn default() -> ClientConfig {
        ClientConfig {
            semantics: Semantics::default(),
            deadline: Duration::from_secs(30),
            retransmit_after: Duration::from_millis(500),
            retransmit_after_max: Duration::from_secs(10),
            calls_max: 64,
            argument_bytes_max: 64 << 10,
            reply_bytes_max: 1 << 20,
            identity: None,
        }
    }
}

impl Identity {
    /// An identity whose incarnation number is one greater than the last on this machine's disk, where it is kept in
    /// a file of the client's name. Errors: the disk's.
    pub async fn next_on_disk(host: &Host, name: &str) -> io::Result<Identity> {
        let disk = host.disk()?;
        let (file, fresh) = (format!("{name}.incarnation"), format!("{name}.incarnation.new"));
        let last = match disk.open(&file) {
            Ok(file) => file.read_all(4)?.try_into().map(u32::from_be_bytes).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        let incarnation =
            last.checked_add(1).ok_or_else(|| io::Error::other("no incarnation numbers left"))?;
        let new = disk.create(&fresh)?;
        new.truncate(0)?;
        new.append(&incarnation.to_be_bytes())?;
        new.sync().await?;
        disk.rename(&fresh, &file)?;
        disk.sync().await?;
        Ok(Identity { name: name.to_owned(), incarnation, uid: 0, gid: 0 })
    }
}

/// What a client has sent and received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientCounts {
    /// Calls that were begun.
    pub calls: u64,
    /// Messages that were sent again.
    pub retransmissions: u64,
    /// Replies that nobody waited for: late, duplicate or forged.
    pub strays: u64,
    /// Messages that are no replies.
    pub nonsense: u64,
    /// Connections that were opened after the first.
    pub reconnections: u64,
}

/// Calls one version of a program at one server. Clones share the connection and the limits.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    host: Host,
    program: u32,
    version: u32,
    config: ClientConfig,
    credential: OpaqueAuth,
    lines: Lines,
    numbers: Arc<Numbers>,
    session: Session,
    calls: AtomicU64,
    retransmissions: AtomicU64,
}

impl Client {
    /// A client of `program`, `version` at `peer`. Nothing is sent before the first call.
    ///
    /// # Errors
    /// `InvalidInput` for a configuration that can't be: exactly once without an identity, a name that is too long,
    /// a limit of no calls.
    pub fn new(
        host: &Host,
        transport: Transport,
        peer: SocketAddr,
        program: u32,
        version: u32,
        config: ClientConfig,
    ) -> io::Result<Client> {
        let misuse = |text: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, text.to_owned()));
        if config.semantics == Semantics::ExactlyOnce && config.identity.is_none() {
            return misuse("exactly-once calls want an identity: ClientConfig::identity");
        }
        if !(1..=CALLS_MAX).contains(&config.calls_max) {
            return misuse("a client has 1 to 256 calls at once: ClientConfig::calls_max");
        }
        let credential = match &config.identity {
            Some(Identity { name, incarnation, uid, gid }) => {
                Some(SysCredential::of_incarnation(name, *incarnation, *uid, *gid))
            }
            // Sessions are for those who say who they are (RFC 5531 appendix A).
            None if config.semantics == Semantics::AtMostOnce => Some(SysCredential {
                machine: host.name().chars().take(MACHINE_NAME_CHARS_MAX).collect(),
                uid: NOBODY,
                gid: NOBODY,
                ..SysCredential::default()
            }),
            None => None,
        };
        let credential = credential.map_or_else(|| Ok(OpaqueAuth::default()), |sys| sys.to_auth());
        let credential = credential.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        // Exactly-once calls are numbered from 1: the server keeps a window of the last ones. Others begin anywhere,
        // so that a restarted client's calls aren't taken for duplicates.
        let exact = config.semantics == Semantics::ExactlyOnce;
        let first = if exact { 1 } else { host.random_u64() as u32 };
        Ok(Client {
            inner: Arc::new(Inner {
                host: host.clone(),
                program,
                version,
                credential,
                lines: Lines::new(host, transport, peer, config.calls_max, config.reply_bytes_max),
                numbers: Arc::new(Numbers::new(first, config.calls_max, exact)),
                session: Session::default(),
                calls: AtomicU64::new(0),
                retransmissions: AtomicU64::new(0),
                config,
            }),
        })
    }

    /// Calls a procedure, and waits for its results.
    ///
    /// Dropping the future cancels the call: whether it is executed is unknown then.
    pub async fn call<A, R>(&self, procedure: u32, arguments: &A) -> Result<R, CallError>
    where
        A: Encode + ?Sized,
        R: Decode,
    {
        self.call_within(self.inner.config.deadline, procedure, arguments).await
    }

    /// As [`Client::call`], with a deadline of its own.
    pub async fn call_within<A, R>(
        &self,
        deadline: Duration,
        procedure: u32,
        arguments: &A,
    ) -> Result<R, CallError>
    where
        A: Encode + ?Sized,
        R: Decode,
    {
        let coded = tapstack_xdr::to_bytes(arguments, self.inner.config.argument_bytes_max);
        let coded = coded.map_err(CallError::Arguments)?;
        let results = self.call_raw(deadline, procedure, coded).await?;
        tapstack_xdr::from_bytes(&results).map_err(CallError::Results)
    }

    /// Begins a call without waiting: it goes on in a task of its own, whose handle gives the results, cancels the call
    /// by `abort`, and lets it go on when it is dropped.
    pub fn start<A, R>(&self, procedure: u32, arguments: &A) -> JoinHandle<Result<R, CallError>>
    where
        A: Encode + ?Sized,
        R: Decode + Send + 'static,
    {
        let (client, deadline) = (self.clone(), self.inner.config.deadline);
        let coded = tapstack_xdr::to_bytes(arguments, self.inner.config.argument_bytes_max);
        self.inner.host.spawn(async move {
            let coded = coded.map_err(CallError::Arguments)?;
            let results = client.call_raw(deadline, procedure, coded).await?;
            tapstack_xdr::from_bytes(&results).map_err(CallError::Results)
        })
    }

    /// Calls procedure 0, which does nothing: whether the server is there, and how long the way is.
    pub async fn null(&self) -> Result<(), CallError> {
        self.call(0, &()).await
    }

    /// Calls a procedure whose arguments are coded already; returns the results as coded.
    pub async fn call_raw(
        &self,
        deadline: Duration,
        procedure: u32,
        arguments: Bytes,
    ) -> Result<Bytes, CallError> {
        self.inner.call(self.inner.host.now() + deadline, procedure, arguments).await
    }

    /// The server.
    pub fn peer(&self) -> SocketAddr {
        self.inner.lines.peer
    }

    /// What was sent and received so far.
    pub fn counts(&self) -> ClientCounts {
        let lines = self.inner.lines.counts();
        ClientCounts {
            calls: self.inner.calls.load(Ordering::Relaxed),
            retransmissions: self.inner.retransmissions.load(Ordering::Relaxed),
            ..lines
        }
    }
}

impl Inner {
    async fn call(&self, until: Instant, procedure: u32, arguments: Bytes) -> Result<Bytes, CallError> {
        let left = until - self.host.now();
        let turn = self.host.timeout(left, self.numbers.take()).await;
        let number = turn.map_err(|_| CallError::TimedOut { sent: 0 })??;
        self.calls.fetch_add(1, Ordering::Relaxed);
        let credential = self.credential_for(until, procedure).await?;
        let header = CallHeader {
            xid: number.xid,
            program: self.program,
            version: self.version,
            procedure,
            credential: credential.clone(),
            verifier: OpaqueAuth::default(),
        };
        let message = header.message(&Raw(&arguments), self.config.argument_bytes_max);
        let message = message.map_err(CallError::Arguments)?;
        let reply = self.exchange(until, number.xid, message).await?;
        if reply.outcome == Outcome::Auth(AuthStatus::RejectedCredential)
            && self.session.end(&credential)
            && self.config.semantics == Semantics::AtMostOnce
        {
            return Err(CallError::ServerRestarted);
        }
        reply.outcome.into_result()
    }

    /// What a call says of its caller: the session's short hand where there is one.
    async fn credential_for(&self, until: Instant, procedure: u32) -> Result<OpaqueAuth, CallError> {
        // Procedure 0 may be executed any number of times.
        if self.config.semantics != Semantics::AtMostOnce || procedure == 0 {
            return Ok(self.credential.clone());
        }
        let begun = self.session.current(|| async {
            let number = self.numbers.extra();
            let header = CallHeader {
                xid: number.xid,
                program: self.program,
                version: self.version,
                procedure: 0,
                credential: self.credential.clone(),
                verifier: OpaqueAuth::default(),
            };
            let message = header.message(&(), 0).map_err(CallError::Arguments)?;
            let reply = self.exchange(until, number.xid, message).await?;
            let verifier = reply.verifier.clone();
            reply.outcome.into_result().map(|_| verifier)
        });
        let short = begun.await?;
        Ok(short.unwrap_or_else(|| self.credential.clone()))
    }

    /// Sends a message until it is answered, as often as the semantics allow.
    async fn exchange(&self, until: Instant, xid: u32, message: Bytes) -> Result<Reply, CallError> {
        let mut sent = 0;
        let mut pause = match self.lines.transport {
            Transport::Udp => self.config.retransmit_after,
            Transport::Tcp => self.config.retransmit_after_max,
        };
        let mut before: Option<Arc<Link>> = None;
        loop {
            let timed_out = CallError::TimedOut { sent };
            let left = until - self.host.now();
            let link = match self.host.timeout(left, self.lines.link()).await {
                Err(_) => return Err(timed_out),
                Ok(Ok(link)) => link,
                // What was sent may still be executed, and a server may come back.
                Ok(Err(error)) if sent == 0 && !self.config.semantics.retransmits() => {
                    return Err(error.into());
                }
                Ok(Err(error)) => {
                    self.rest(until, error, sent).await?;
                    continue;
                }
            };
            if before.as_ref().is_some_and(|before| !Arc::ptr_eq(before, &link)) && !self.may_reconnect() {
                return Err(CallError::ConnectionLost(Arc::new(io::ErrorKind::ConnectionReset.into())));
            }
            let mut expected = link.expect(xid);
            let left = until - self.host.now();
            match self.host.timeout(left, link.send(message.clone())).await {
                Err(_) => return Err(timed_out),
                Ok(Ok(())) => sent += 1,
                Ok(Err(error)) if !self.config.semantics.retransmits() => return Err(error.into()),
                Ok(Err(_)) => {}
            }
            if sent > 1 {
                self.retransmissions.fetch_add(1, Ordering::Relaxed);
            }
            let left = until - self.host.now();
            let wait = if self.config.semantics.retransmits() { left.min(pause) } else { left };
            match self.host.timeout(wait, expected.reply()).await {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) if !self.may_reconnect() => {
                    return Err(CallError::ConnectionLost(link.error()));
                }
                Ok(None) => {}
                Err(_) if wait == left => return Err(CallError::TimedOut { sent }),
                Err(_) => {}
            }
            before = Some(link);
            pause = (pause * 2).min(self.config.retransmit_after_max);
        }
    }

    /// Whether a call that was sent may be sent again on a new connection: only where the server knows it again there.
    fn may_reconnect(&self) -> bool {
        match self.config.semantics {
            Semantics::Maybe => false,
            Semantics::AtLeastOnce | Semantics::ExactlyOnce => true,
            Semantics::AtMostOnce => self.session.is_begun() || self.lines.transport == Transport::Udp,
        }
    }

    /// Waits before the next try to connect.
    async fn rest(&self, until: Instant, error: io::Error, sent: u32) -> Result<(), CallError> {
        let now = self.host.now();
        if error.kind() == io::ErrorKind::NetworkDown || error.kind() == io::ErrorKind::InvalidInput {
            return Err(error.into());
        }
        if now + self.config.retransmit_after >= until {
            self.host.sleep_until(until).await;
            return Err(if sent == 0 { error.into() } else { CallError::TimedOut { sent } });
        }
        self.host.sleep(self.config.retransmit_after).await;
        Ok(())
    }
}

/// The user and group of a client that has no identity, by Unix custom.
const NOBODY: u32 = 65_534;

/// So long, a name is within AUTH_SYS's limit whatever its characters are.
const MACHINE_NAME_CHARS_MAX: usize = 60;

/// Bytes that are coded already.
struct Raw<'a>(&'a [u8]);

impl Encode for Raw<'_> {
    fn encode(&self, to: &mut tapstack_xdr::Encoder) -> Result<(), tapstack_xdr::Error> {
        to.put_opaque_fixed(self.0)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { program, version, lines, .. } = &*self.inner;
        write!(f, "Client(program {program}, version {version} at {} by {})", lines.peer, lines.transport)
    }
}
