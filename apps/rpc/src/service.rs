//! What a server runs: one version of a program, as a trait that generated code (or a hand) implements.

use crate::auth::{AuthStatus, Credential};
use bytes::Bytes;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use tapstack::net::Host;
use tapstack_xdr::{Decode, Encode, Error};

/// A procedure that a service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Procedure {
    /// Its number.
    pub number: u32,
    /// Its name in the interface.
    pub name: &'static str,
    /// Whether executing it twice does what executing it once does: such a one needs no duplicate-request cache.
    pub idempotent: bool,
}

/// What a procedure's execution comes to: its results as coded, or why there are none.
pub type Answer = Result<Bytes, Refusal>;

/// A future in a box, as traits hand it out.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One version of a program. Register it with [`crate::Server::add`].
///
/// Procedure 0, which takes and returns nothing (RFC 5531 section 12.1), is answered by the server unless
/// [`Service::procedures`] names it.
pub trait Service: Send + Sync + 'static {
    /// The program's number.
    fn program(&self) -> u32;

    /// Its version. A program of several versions is as many services.
    fn version(&self) -> u32;

    /// The procedures that it has.
    fn procedures(&self) -> &[Procedure];

    /// Whether effects and replies are logged together, so that the server's cache is not needed, and exactly once can be
    /// promised: [`crate::ExactlyOnce`] does that.
    fn logs_effects(&self) -> bool {
        false
    }

    /// Executes one of them. The future is dropped when the caller's machine turns out to have restarted (an orphan),
    /// and when the server is shut down.
    fn call<'a>(
        &'a self,
        context: &'a CallContext,
        procedure: u32,
        arguments: Bytes,
    ) -> BoxFuture<'a, Answer>;
}

/// What a procedure may know of the call that it executes.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// The machine that it runs on.
    pub host: Host,
    /// Where the call came from.
    pub peer: SocketAddr,
    /// What it came by.
    pub transport: Transport,
    /// Who the caller says it is.
    pub credential: Credential,
    /// The call's number, chosen by the client.
    pub xid: u32,
    /// Bytes of results at most: what the transport, or the server's limit, can carry.
    pub result_bytes_max: usize,
}

impl CallContext {
    /// Reads a procedure's arguments. An error is what to answer.
    pub fn decode<T: Decode>(&self, arguments: &Bytes) -> Result<T, Refusal> {
        tapstack_xdr::from_bytes(arguments).map_err(Refusal::arguments)
    }

    /// Makes the answer of a procedure's results, or of their being too long.
    pub fn encode<T: Encode + ?Sized>(&self, results: &T) -> Answer {
        tapstack_xdr::to_bytes(results, self.result_bytes_max).map_err(Refusal::results)
    }
}

/// What messages travel by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// One message a datagram.
    Udp,
    /// Records on a stream (RFC 5531 section 11).
    Tcp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        })
    }
}

/// Why a procedure gives no results, as the client gets to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// PROC_UNAVAIL.
    ProcedureUnavailable,
    /// GARBAGE_ARGS: the arguments are no coding of what the interface says.
    GarbageArguments,
    /// SYSTEM_ERR: it can't be done here and now.
    SystemError,
    /// AUTH_ERROR: the caller may not.
    Auth(AuthStatus),
    /// No reply now: the call is a duplicate of one that is being executed, whose reply is to come.
    InProgress,
    /// No reply at all. The server counts it.
    Silence,
}

impl Refusal {
    /// What to answer when arguments could not be decoded.
    pub fn arguments(error: Error) -> Refusal {
        log::debug!("arguments: {error}");
        if error.is_peer_fault() { Refusal::GarbageArguments } else { Refusal::SystemError }
    }

    /// What to answer when results could not be encoded within [`CallContext::result_bytes_max`].
    pub fn results(error: Error) -> Refusal {
        log::warn!("results: {error}");
        Refusal::SystemError
    }
}
