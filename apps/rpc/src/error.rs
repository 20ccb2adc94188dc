//! Why a call gave no result.

use crate::auth::AuthStatus;
use std::fmt;
use std::io;
use std::sync::Arc;

/// Why a call gave no result: the caller's own fault, what the server answered, or what became of the way there.
///
/// Whether the procedure may have been executed nevertheless: [`CallError::may_have_executed`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CallError {
    /// The arguments have no coding within the interface's bounds and the client's limit: nothing was sent.
    Arguments(tapstack_xdr::Error),
    /// The client can't send: nothing was sent.
    Io(Arc<io::Error>),
    /// No reply came before the deadline.
    TimedOut {
        /// How often the call was sent.
        sent: u32,
    },
    /// The connection broke after the call was sent, and the semantics don't allow to send it again.
    ConnectionLost(Arc<io::Error>),
    /// The server has crashed and is back since the call was first sent: its new life doesn't know whether its old
    /// one executed it, and did not.
    ServerRestarted,
    /// The reply is no coding of the procedure's results.
    Results(tapstack_xdr::Error),
    /// PROG_UNAVAIL: the server doesn't have the program.
    ProgramUnavailable,
    /// PROG_MISMATCH: it has other versions of it.
    ProgramMismatch {
        /// The lowest version that it has.
        low: u32,
        /// The highest.
        high: u32,
    },
    /// PROC_UNAVAIL: the program's version has no such procedure.
    ProcedureUnavailable,
    /// GARBAGE_ARGS: the server could not read the arguments.
    GarbageArguments,
    /// SYSTEM_ERR: the server could not do it, for lack of memory or the like.
    SystemError,
    /// RPC_MISMATCH: the server speaks other versions of RPC.
    RpcMismatch {
        /// The lowest version that it speaks.
        low: u32,
        /// The highest.
        high: u32,
    },
    /// AUTH_ERROR: the server doesn't accept the caller.
    Auth(AuthStatus),
    /// The server's reply has a status that RFC 5531 doesn't know.
    BadReply,
}

impl CallError {
    /// Whether the procedure may have been executed although the call failed.
    pub fn may_have_executed(&self) -> bool {
        matches!(
            self,
            CallError::TimedOut { .. }
                | CallError::ConnectionLost(_)
                | CallError::ServerRestarted
                | CallError::Results(_)
                | CallError::SystemError
                | CallError::BadReply
        )
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Arguments(error) => write!(f, "the arguments can't be sent: {error}"),
            CallError::Io(error) => write!(f, "the call can't be sent: {error}"),
            CallError::TimedOut { sent: 0 } => f.write_str("the call could not be sent before the deadline"),
            CallError::TimedOut { sent: 1 } => f.write_str("no reply before the deadline (sent once)"),
            CallError::TimedOut { sent } => write!(f, "no reply before the deadline (sent {sent} times)"),
            CallError::ConnectionLost(error) => write!(f, "the connection broke during the call: {error}"),
            CallError::ServerRestarted => {
                f.write_str("the server restarted: whether it executed the call is unknown")
            }
            CallError::Results(error) => write!(f, "the results can't be read: {error}"),
            CallError::ProgramUnavailable => f.write_str("the server doesn't have the program"),
            CallError::ProgramMismatch { low, high } => {
                write!(f, "the server has versions {low} to {high} of the program")
            }
            CallError::ProcedureUnavailable => f.write_str("the program has no such procedure"),
            CallError::GarbageArguments => f.write_str("the server can't read the arguments"),
            CallError::SystemError => f.write_str("the server failed"),
            CallError::RpcMismatch { low, high } => {
                write!(f, "the server speaks versions {low} to {high} of RPC")
            }
            CallError::Auth(status) => write!(f, "the server doesn't accept the caller: {status}"),
            CallError::BadReply => f.write_str("the reply is none that RFC 5531 knows"),
        }
    }
}

impl std::error::Error for CallError {}

impl From<io::Error> for CallError {
    fn from(error: io::Error) -> CallError {
        CallError::Io(Arc::new(error))
    }
}
