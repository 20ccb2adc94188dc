//! RPC messages: calls and replies, from bytes and to bytes.
//!
//! ```text
//!  call                                    reply, accepted              reply, denied
//! +----------------------+               +----------------------+     +----------------------+
//! | xid                  |               | xid                  |     | xid                  |
//! | 0 = CALL             |               | 1 = REPLY            |     | 1 = REPLY            |
//! | 2 = version of RPC   |               | 0 = MSG_ACCEPTED     |     | 1 = MSG_DENIED       |
//! | program              |               | verifier …           |     | 0 = RPC_MISMATCH     |
//! | version              |               | 0 = SUCCESS          |     |   low, high          |
//! | procedure            |               |   results …          |     | 1 = AUTH_ERROR       |
//! | credential …         |               | 1 = PROG_UNAVAIL     |     |   why                |
//! | verifier …           |               | 2 = PROG_MISMATCH    |     +----------------------+
//! | arguments …          |               |   low, high          |
//! +----------------------+               | 3 = PROC_UNAVAIL     |
//!                                        | 4 = GARBAGE_ARGS     |
//!                                        | 5 = SYSTEM_ERR       |
//!                                        +----------------------+
//! ```

use crate::auth::{AuthStatus, OpaqueAuth};
use crate::error::CallError;
use bytes::Bytes;
use tapstack_xdr::{Decoder, Encode, Encoder, Error};

/// The version of RPC that RFC 5531 describes.
pub const RPC_VERSION: u32 = 2;

/// Bytes that a call has besides its arguments, at most.
pub const CALL_HEADER_BYTES_MAX: usize = 24 + 2 * (8 + crate::auth::AUTH_BYTES_MAX);

/// Bytes that a successful reply has besides its results, at most.
pub const REPLY_HEADER_BYTES_MAX: usize = 16 + 8 + crate::auth::AUTH_BYTES_MAX;

/// A call without its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallHeader {
    /// Its number: the reply has the same.
    pub xid: u32,
    /// The program.
    pub program: u32,
    /// Its version.
    pub version: u32,
    /// The procedure.
    pub procedure: u32,
    /// Who calls.
    pub credential: OpaqueAuth,
    /// What proves it.
    pub verifier: OpaqueAuth,
}

/// What a message that came to a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A call, and its arguments as coded.
    Call(CallHeader, Bytes),
    /// A call of another version of RPC: to be answered by RPC_MISMATCH (RFC 5531 section 9).
    OtherRpc {
        /// Its number.
        xid: u32,
    },
    /// A call whose credential or verifier can't be: to be answered by an AUTH_ERROR.
    BadAuth {
        /// Its number.
        xid: u32,
        /// What is wrong.
        status: AuthStatus,
    },
    /// A reply, which no server wants.
    Reply,
    /// Too short, or of a type that there isn't: nobody can be answered.
    Nonsense,
}

impl Incoming {
    /// Reads a message that came to a server.
    pub fn parse(message: &Bytes) -> Incoming {
        let mut from = Decoder::shared(message);
        let (Ok(xid), Ok(kind)) = (from.take_u32(), from.take_u32()) else { return Incoming::Nonsense };
        match kind {
            CALL => parse_call(xid, message, from),
            REPLY => Incoming::Reply,
            _ => Incoming::Nonsense,
        }
    }
}

fn parse_call(xid: u32, message: &Bytes, mut from: Decoder<'_>) -> Incoming {
    let Ok(rpc) = from.take_u32() else { return Incoming::Nonsense };
    if rpc != RPC_VERSION {
        return Incoming::OtherRpc { xid };
    }
    let (Ok(program), Ok(version), Ok(procedure)) = (from.take_u32(), from.take_u32(), from.take_u32())
    else {
        return Incoming::Nonsense;
    };
    let Ok(credential) = from.take::<OpaqueAuth>() else {
        return Incoming::BadAuth { xid, status: AuthStatus::BadCredential };
    };
    let Ok(verifier) = from.take::<OpaqueAuth>() else {
        return Incoming::BadAuth { xid, status: AuthStatus::BadVerifier };
    };
    let arguments = message.slice(from.position()..);
    Incoming::Call(CallHeader { xid, program, version, procedure, credential, verifier }, arguments)
}

impl CallHeader {
    /// The call with these arguments. Errors: a credential that is too long, arguments beyond `bytes_max`.
    pub fn message<A: Encode + ?Sized>(&self, arguments: &A, bytes_max: usize) -> Result<Bytes, Error> {
        let mut to = Encoder::new(bytes_max.saturating_add(CALL_HEADER_BYTES_MAX));
        for word in [self.xid, CALL, RPC_VERSION, self.program, self.version, self.procedure] {
            to.put_u32(word)?;
        }
        to.put(&self.credential)?;
        to.put(&self.verifier)?;
        to.put(arguments)?;
        Ok(to.into_bytes())
    }
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// SUCCESS: the results as coded.
    Success(Bytes),
    /// PROG_UNAVAIL.
    ProgramUnavailable,
    /// PROG_MISMATCH, with the lowest and the highest version.
    ProgramMismatch(u32, u32),
    /// PROC_UNAVAIL.
    ProcedureUnavailable,
    /// GARBAGE_ARGS.
    GarbageArguments,
    /// SYSTEM_ERR.
    SystemError,
    /// RPC_MISMATCH, with the lowest and the highest version.
    RpcMismatch(u32, u32),
    /// AUTH_ERROR.
    Auth(AuthStatus),
    /// A status that RFC 5531 doesn't have: only ever read.
    Unknown,
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The number of the call that it answers.
    pub xid: u32,
    /// The server's verifier; none in a denied reply.
    pub verifier: OpaqueAuth,
    /// What it says.
    pub outcome: Outcome,
}

impl Reply {
    /// The reply as it is sent.
    pub fn message(&self) -> Result<Bytes, Error> {
        let results = if let Outcome::Success(results) = &self.outcome { results.as_ref() } else { &[] };
        let mut to = Encoder::new(results.len().saturating_add(REPLY_HEADER_BYTES_MAX));
        to.put_u32(self.xid)?;
        to.put_u32(REPLY)?;
        match &self.outcome {
            Outcome::RpcMismatch(low, high) => put_all(&mut to, &[MSG_DENIED, RPC_MISMATCH, *low, *high])?,
            Outcome::Auth(status) => put_all(&mut to, &[MSG_DENIED, AUTH_ERROR, status.number()])?,
            accepted => {
                to.put_u32(MSG_ACCEPTED)?;
                to.put(&self.verifier)?;
                match accepted {
                    Outcome::Success(results) => {
                        to.put_u32(SUCCESS)?;
                        // Results are whole units: that they fill up to none is their encoder's doing.
                        to.put_opaque_fixed(results)?;
                    }
                    Outcome::ProgramUnavailable => to.put_u32(PROG_UNAVAIL)?,
                    Outcome::ProgramMismatch(low, high) => put_all(&mut to, &[PROG_MISMATCH, *low, *high])?,
                    Outcome::ProcedureUnavailable => to.put_u32(PROC_UNAVAIL)?,
                    Outcome::GarbageArguments => to.put_u32(GARBAGE_ARGS)?,
                    _ => to.put_u32(SYSTEM_ERR)?,
                }
            }
        }
        Ok(to.into_bytes())
    }

    /// Reads a message that came to a client. None if it is no reply, or ends early.
    pub fn parse(message: &Bytes) -> Option<Reply> {
        let mut from = Decoder::shared(message);
        let xid = from.take_u32().ok()?;
        if from.take_u32().ok()? != REPLY {
            return None;
        }
        let (verifier, outcome) = match from.take_u32().ok()? {
            MSG_ACCEPTED => {
                let verifier: OpaqueAuth = from.take().ok()?;
                let outcome = match from.take_u32().ok()? {
                    SUCCESS => Outcome::Success(message.slice(from.position()..)),
                    PROG_UNAVAIL => Outcome::ProgramUnavailable,
                    PROG_MISMATCH => Outcome::ProgramMismatch(from.take_u32().ok()?, from.take_u32().ok()?),
                    PROC_UNAVAIL => Outcome::ProcedureUnavailable,
                    GARBAGE_ARGS => Outcome::GarbageArguments,
                    SYSTEM_ERR => Outcome::SystemError,
                    _ => Outcome::Unknown,
                };
                (verifier, outcome)
            }
            MSG_DENIED => {
                let outcome = match from.take_u32().ok()? {
                    RPC_MISMATCH => Outcome::RpcMismatch(from.take_u32().ok()?, from.take_u32().ok()?),
                    AUTH_ERROR => Outcome::Auth(AuthStatus::from_number(from.take_u32().ok()?)),
                    _ => Outcome::Unknown,
                };
                (OpaqueAuth::default(), outcome)
            }
            _ => return None,
        };
        Some(Reply { xid, verifier, outcome })
    }
}

impl Outcome {
    /// The results, or the error that a caller gets.
    pub fn into_result(self) -> Result<Bytes, CallError> {
        Err(match self {
            Outcome::Success(results) => return Ok(results),
            Outcome::ProgramUnavailable => CallError::ProgramUnavailable,
            Outcome::ProgramMismatch(low, high) => CallError::ProgramMismatch { low, high },
            Outcome::ProcedureUnavailable => CallError::ProcedureUnavailable,
            Outcome::GarbageArguments => CallError::GarbageArguments,
            Outcome::SystemError => CallError::SystemError,
            Outcome::RpcMismatch(low, high) => CallError::RpcMismatch { low, high },
            Outcome::Auth(status) => CallError::Auth(status),
            Outcome::Unknown => CallError::BadReply,
        })
    }
}

fn put_all(to: &mut Encoder, words: &[u32]) -> Result<(), Error> {
    words.iter().try_for_each(|word| to.put_u32(*word))
}

// RFC 5531 section 9: msg_type, reply_stat, accept_stat, reject_stat.
const CALL: u32 = 0;
const REPLY: u32 = 1;
const MSG_ACCEPTED: u32 = 0;
const MSG_DENIED: u32 = 1;
const SUCCESS: u32 = 0;
const PROG_UNAVAIL: u32 = 1;
const PROG_MISMATCH: u32 = 2;
const PROC_UNAVAIL: u32 = 3;
const GARBAGE_ARGS: u32 = 4;
const SYSTEM_ERR: u32 = 5;
const RPC_MISMATCH: u32 = 0;
const AUTH_ERROR: u32 = 1;
