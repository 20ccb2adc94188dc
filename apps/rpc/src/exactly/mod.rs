//! Exactly once across crashes: a procedure's effects and its reply are one record of a redo log on the machine's disk.
//!
//! - **In**: calls of clients that say which of their lives they call from ([`crate::Identity`]).
//! - **Out**: replies, each only when its record is on the disk; replies again, also those of the server's earlier lives.
//! - **Keeps**: the service's state; for each client the replies to its last [`WINDOW`] calls.
//! - **Timers**: none; a sync begins when the one before it is done, and takes all records that came meanwhile.
//! - **RFC**: none: the standard leaves semantics to the programs (RFC 5531 section 4).
//! - **Never**: executes a call twice, tells of an effect that a crash may still take, or forgets a reply that a client
//!   may still ask for: what is older than the window is refused.
//!
//! A service is a [`StateMachine`]: [`execute`](StateMachine::execute) decides what a call does, and says it as bytes;
//! [`apply`](StateMachine::apply) does it. Only what `apply` does changes the state, so applying the log's records once
//! more, after a crash, makes the same state again. When the log is long enough, a checkpoint takes its place.

mod log;
mod window;

use crate::auth::{AuthStatus, Credential};
use crate::client::WINDOW;
use crate::server::checksum;
use crate::service::{Answer, BoxFuture, CallContext, Procedure, Refusal, Service};
use bytes::Bytes;
use log::{Checkpoint, Log, Record};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tapstack::net::{Host, JoinHandle};
use tapstack_xdr::{Decode, Encode};
use tokio::sync::{Notify, watch};
use window::{Clients, Known};

/// Bytes of one call's effects at most, and of its results: they are kept for each call of a window.
pub const LOGGED_BYTES_MAX: usize = 16 << 10;

/// Bytes of all results that are kept for the clients' windows at most: then new calls get SYSTEM_ERR.
pub const RESULTS_BYTES_MAX: usize = 256 << 20;

/// A log longer than this gives way to a checkpoint.
pub const LOG_BYTES_MAX: u64 = 4 << 20;

/// What an exactly-once service is: a state that changes by effects which are bytes.
pub trait StateMachine: Send + 'static {
    /// The program's number.
    fn program(&self) -> u32;

    /// Its version.
    fn version(&self) -> u32;

    /// Its procedures. Idempotent ones that have no effects are executed without a record.
    fn procedures(&self) -> &[Procedure];

    /// Decides what a call does, without doing it.
    fn execute(&self, context: &CallContext, procedure: u32, arguments: &Bytes) -> Result<Executed, Refusal>;

    /// Does it. What an effect does depends on nothing but the state and the effect. Errors: it is none of this service,
    /// and nothing is changed.
    fn apply(&mut self, effects: &[u8]) -> Result<(), crate::xdr::Error>;

    /// The state as bytes, for a checkpoint.
    fn snapshot(&self) -> Bytes;

    /// Takes over the state that a checkpoint holds. Errors: it is none.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), crate::xdr::Error>;
}

/// What the execution of a call comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Executed {
    /// What changes, for [`StateMachine::apply`]; [`LOGGED_BYTES_MAX`] at most, and empty if nothing does.
    pub effects: Bytes,
    /// The results as coded; [`LOGGED_BYTES_MAX`] at most.
    pub results: Bytes,
}

impl Executed {
    /// Results with an effect that has an XDR coding, or with none. Errors: what to answer where they are too long.
    pub fn new<R, E>(context: &CallContext, results: &R, effect: Option<&E>) -> Result<Executed, Refusal>
    where
        R: Encode + ?Sized,
        E: Encode + ?Sized,
    {
        // As optional data, so that an effect without a byte isn't taken for none.
        let coded = effect.map(|effect| crate::xdr::to_bytes(&Some(effect), LOGGED_BYTES_MAX));
        let effects = coded.transpose().map_err(Refusal::results)?.unwrap_or_default();
        Ok(Executed { effects, results: context.encode(results)? })
    }

    /// The effect that [`Executed::new`] coded. Errors: it is none of this type.
    pub fn effect<E: Decode>(effects: &[u8]) -> Result<Option<E>, crate::xdr::Error> {
        if effects.is_empty() { Ok(None) } else { crate::xdr::from_slice(effects) }
    }
}

/// A state machine as a service whose calls are executed exactly once: see the module's documentation.
pub struct ExactlyOnce<M> {
    shared: Arc<Shared<M>>,
    program: u32,
    version: u32,
    procedures: Vec<Procedure>,
    /// Writes and syncs records, in their order.
    writer: JoinHandle<()>,
    committed: watch::Receiver<Committed>,
}

/// Up to which record all is on the disk; an error ends the service.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Committed {
    UpTo(u64),
    Failed,
}

struct Shared<M> {
    state: Mutex<State<M>>,
    /// Told when there is a record to be written.
    work: Notify,
    replayed: AtomicU64,
    checkpoints: AtomicU64,
}

struct State<M> {
    machine: M,
    clients: Clients,
    /// The number of the last record.
    last: u64,
    /// Records that are not in the log yet, as they will be.
    unwritten: Vec<u8>,
}

impl<M: StateMachine> ExactlyOnce<M> {
    /// Opens the service, with the state that its log on this machine's disk holds: `name`.log, made if it isn't there.
    /// Records at the log's end that a crash tore are cut off: nobody was told of them.
    ///
    /// # Errors
    /// The disk's; `InvalidData` for a log that no crash explains.
    pub async fn open(host: &Host, name: &str, machine: M) -> io::Result<ExactlyOnce<M>> {
        ExactlyOnce::open_with(host, name, machine, LOG_BYTES_MAX).await
    }

    /// As [`ExactlyOnce::open`], with another length of the log, in bytes, at which a checkpoint takes its place.
    pub async fn open_with(
        host: &Host,
        name: &str,
        mut machine: M,
        log_bytes_max: u64,
    ) -> io::Result<ExactlyOnce<M>> {
        let (log, recovered) = Log::open(host.disk()?, name, log_bytes_max).await?;
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let mut clients = Clients::default();
        let mut last = 0;
        if let Some(Checkpoint { number, snapshot, clients: kept }) = recovered.checkpoint {
            machine.restore(&snapshot).map_err(invalid)?;
            (clients, last) = (Clients::from_records(kept), number);
        }
        for Record { number, call, effects } in recovered.records {
            machine.apply(&effects).map_err(invalid)?;
            if let Some(call) = call {
                clients.note(call, 0);
            }
            last = number;
        }
        let (program, version) = (machine.program(), machine.version());
        let procedures = machine.procedures().to_vec();
        let state = State { machine, clients, last, unwritten: Vec::new() };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            work: Notify::new(),
            replayed: AtomicU64::new(0),
            checkpoints: AtomicU64::new(0),
        });
        let (committing, committed) = watch::channel(Committed::UpTo(last));
        let writer = host.spawn(write_all(Arc::clone(&shared), log, committing));
        Ok(ExactlyOnce { shared, program, version, procedures, writer, committed })
    }

    /// Calls of this life that were replied to again, those of earlier lives included.
    pub fn replayed(&self) -> u64 {
        self.shared.replayed.load(Ordering::Relaxed)
    }

    /// Checkpoints of this life.
    pub fn checkpoints(&self) -> u64 {
        self.shared.checkpoints.load(Ordering::Relaxed)
    }

    /// Looks at the state. It may be ahead of the disk by what is not replied to yet.
    pub fn with_state<R>(&self, look: impl FnOnce(&M) -> R) -> R {
        look(&self.shared.state().machine)
    }

    /// Executes a call, or finds it among those that were. Gives the results, and the record that has to be on the disk
    /// before anybody hears of them.
    fn execute(
        &self,
        context: &CallContext,
        procedure: &Procedure,
        arguments: &Bytes,
    ) -> Result<(Bytes, u64), Refusal> {
        if *self.committed.borrow() == Committed::Failed {
            // What was executed before it failed may be on the disk, or not: only a restart can tell.
            return Err(Refusal::Silence);
        }
        let mut state = self.shared.state();
        let state = &mut *state;
        let mut call = None;
        if !procedure.idempotent {
            // Only a client that says which of its lives it calls from can be known again.
            let Credential::Sys(sys) = &context.credential else {
                return Err(Refusal::Auth(AuthStatus::TooWeak));
            };
            let (name, incarnation) = sys.incarnation().ok_or(Refusal::Auth(AuthStatus::TooWeak))?;
            let new = window::Call {
                client: name.to_owned(),
                incarnation,
                xid: context.xid,
                procedure: procedure.number,
                checksum: checksum(arguments),
                results: Bytes::new(),
            };
            match state.clients.look_up(&new) {
                Known::New => call = Some(new),
                Known::Replied { results, record } if self.is_committed(record) => {
                    self.shared.replayed.fetch_add(1, Ordering::Relaxed);
                    return Ok((results, record));
                }
                Known::Replied { .. } => return Err(Refusal::InProgress),
                Known::TooOld => return Err(Refusal::Auth(AuthStatus::RejectedCredential)),
                Known::Another => return Err(Refusal::GarbageArguments),
                Known::Full => return Err(Refusal::SystemError),
            }
        }
        let Executed { effects, results } = state.machine.execute(context, procedure.number, arguments)?;
        if call.is_none() && effects.is_empty() {
            return Ok((results, state.last));
        }
        if effects.len() > LOGGED_BYTES_MAX || results.len() > LOGGED_BYTES_MAX {
            return Err(Refusal::SystemError);
        }
        let call = call.map(|call| window::Call { results: results.clone(), ..call });
        let number = state.last + 1;
        let record = Record { number, call, effects };
        let before = state.unwritten.len();
        record.append_to(&mut state.unwritten).map_err(Refusal::results)?;
        if let Err(error) = state.machine.apply(&record.effects) {
            ::log::error!("a service can't read its own effect: {error}");
            state.unwritten.truncate(before);
            return Err(Refusal::SystemError);
        }
        state.last = number;
        if let Some(call) = record.call {
            state.clients.note(call, number);
        }
        self.shared.work.notify_one();
        Ok((results, number))
    }

    fn is_committed(&self, record: u64) -> bool {
        matches!(*self.committed.borrow(), Committed::UpTo(number) if number >= record)
    }
}

impl<M: StateMachine> Service for ExactlyOnce<M> {
    fn program(&self) -> u32 {
        self.program
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn procedures(&self) -> &[Procedure] {
        &self.procedures
    }

    fn logs_effects(&self) -> bool {
        true
    }

    fn call<'a>(
        &'a self,
        context: &'a CallContext,
        procedure: u32,
        arguments: Bytes,
    ) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let declared = self.procedures.iter().find(|declared| declared.number == procedure);
            let procedure = declared.ok_or(Refusal::ProcedureUnavailable)?;
            let (results, record) = self.execute(context, procedure, &arguments)?;
            let mut committed = self.committed.clone();
            let reached = |at: &Committed| !matches!(at, Committed::UpTo(number) if *number < record);
            match committed.wait_for(reached).await.map(|at| *at) {
                Ok(Committed::UpTo(_)) => Ok(results),
                // Nobody knows whether the record is there: only a restart can tell.
                Ok(Committed::Failed) | Err(_) => Err(Refusal::Silence),
            }
        })
    }
}

impl<M> Drop for ExactlyOnce<M> {
    fn drop(&mut self) {
        self.writer.abort();
    }
}

impl<M> fmt::Debug for ExactlyOnce<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExactlyOnce(program {}, version {})", self.program, self.version)
    }
}

impl<M> Shared<M> {
    fn state(&self) -> MutexGuard<'_, State<M>> {
        // A service that panicked halfway can't be trusted any more, and nobody hears of what it did.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Brings records to the disk, as many at once as there are; makes checkpoints.
async fn write_all<M: StateMachine>(
    shared: Arc<Shared<M>>,
    mut log: Log,
    committed: watch::Sender<Committed>,
) {
    loop {
        shared.work.notified().await;
        let written = write_some(&shared, &mut log).await;
        match written {
            Ok(number) => {
                let _ = committed.send(Committed::UpTo(number));
            }
            Err(error) => {
                ::log::error!("an exactly-once service ends, since its log can't be written: {error}");
                let _ = committed.send(Committed::Failed);
                return;
            }
        }
    }
}

async fn write_some<M: StateMachine>(shared: &Shared<M>, log: &mut Log) -> io::Result<u64> {
    let (records, number, checkpoint) = {
        let mut state = shared.state();
        let records = std::mem::take(&mut state.unwritten);
        let number = state.last;
        // A checkpoint has the records in it that are to be written now.
        let checkpoint = log.is_long(records.len()).then(|| Checkpoint {
            number,
            snapshot: state.machine.snapshot(),
            clients: state.clients.to_records(),
        });
        (records, number, checkpoint)
    };
    match checkpoint {
        None => log.append(&records).await?,
        Some(checkpoint) => {
            log.begin_anew(&checkpoint).await?;
            shared.checkpoints.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(number)
}
