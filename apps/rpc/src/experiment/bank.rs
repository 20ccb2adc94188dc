//! A bank account as a service, once over a plain file and once as a state machine, and what can be made to happen around
//! its execution.

use crate::exactly::{Executed, StateMachine};
use crate::service::{Answer, BoxFuture, CallContext, Procedure, Refusal, Service};
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use tapstack::net::{File, Host};

/// The program's number, of the range that is free for everybody's own use (RFC 5531 section 8.4).
pub const PROGRAM: u32 = 0x2000_7467;
/// Its version.
pub const VERSION: u32 = 1;
/// Adds an amount; returns the new balance.
pub const DEPOSIT: u32 = 1;
/// Returns the balance.
pub const BALANCE: u32 = 2;

/// The account's interface.
const PROCEDURES: [Procedure; 2] = [
    Procedure { number: DEPOSIT, name: "DEPOSIT", idempotent: false },
    Procedure { number: BALANCE, name: "BALANCE", idempotent: true },
];

/// An account in a file of amounts, each of which is synced before it is told of.
#[derive(Debug)]
pub struct FileAccount {
    file: File,
}

/// Bytes of an amount in the file.
const AMOUNT_BYTES: u64 = 8;
const FILE_BYTES_MAX: usize = 1 << 20;

impl FileAccount {
    /// Opens the account in the file of this name, made if it isn't there. An amount that a crash tore is cut off.
    pub fn open(host: &Host, name: &str) -> io::Result<FileAccount> {
        let file = host.disk()?.create(name)?;
        let len = file.len()?;
        file.truncate(len - len % AMOUNT_BYTES)?;
        Ok(FileAccount { file })
    }

    /// The sum of all amounts.
    pub fn balance(&self) -> io::Result<i64> {
        let bytes = self.file.read_all(FILE_BYTES_MAX)?;
        let amounts = bytes.chunks_exact(AMOUNT_BYTES as usize);
        Ok(amounts.filter_map(|amount| amount.try_into().ok()).map(i64::from_be_bytes).sum())
    }

    async fn deposit(&self, amount: i64) -> io::Result<i64> {
        self.file.append(&amount.to_be_bytes())?;
        self.file.sync().await?;
        self.balance()
    }
}

impl Service for FileAccount {
    fn program(&self) -> u32 {
        PROGRAM
    }

    fn version(&self) -> u32 {
        VERSION
    }

    fn procedures(&self) -> &[Procedure] {
        &PROCEDURES
    }

    fn call<'a>(&'a self, _: &'a CallContext, procedure: u32, arguments: Bytes) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let balance = match procedure {
                DEPOSIT => self.deposit(amount(&arguments)?).await,
                BALANCE => self.balance(),
                _ => return Err(Refusal::ProcedureUnavailable),
            };
            Ok(results(balance.map_err(|_| Refusal::SystemError)?))
        })
    }
}

/// The account as a state machine, for [`crate::ExactlyOnce`].
#[derive(Debug, Default)]
pub struct Account {
    balance: i64,
}

impl Account {
    /// What is in it.
    pub fn balance(&self) -> i64 {
        self.balance
    }
}

impl StateMachine for Account {
    fn program(&self) -> u32 {
        PROGRAM
    }

    fn version(&self) -> u32 {
        VERSION
    }

    fn procedures(&self) -> &[Procedure] {
        &PROCEDURES
    }

    fn execute(&self, _: &CallContext, procedure: u32, arguments: &Bytes) -> Result<Executed, Refusal> {
        match procedure {
            DEPOSIT => {
                let balance = self.balance.saturating_add(amount(arguments)?);
                let effects = Bytes::copy_from_slice(&balance.to_be_bytes());
                Ok(Executed { effects, results: results(balance) })
            }
            BALANCE => Ok(Executed { effects: Bytes::new(), results: results(self.balance) }),
            _ => Err(Refusal::ProcedureUnavailable),
        }
    }

    fn apply(&mut self, effects: &[u8]) -> Result<(), crate::xdr::Error> {
        if !effects.is_empty() {
            self.balance = crate::xdr::from_slice(effects)?;
        }
        Ok(())
    }

    fn snapshot(&self) -> Bytes {
        Bytes::copy_from_slice(&self.balance.to_be_bytes())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), crate::xdr::Error> {
        // The checkpoint of an empty log has no bytes.
        self.balance = if snapshot.is_empty() { 0 } else { crate::xdr::from_slice(snapshot)? };
        Ok(())
    }
}

/// A moment of a call's execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The call has come, and nothing is done yet.
    Before,
    /// Its effects are on the disk, and nobody is told yet.
    After,
}

/// What happens at the moments of each execution of a non-idempotent procedure.
pub type Hook = Arc<dyn Fn(Moment) -> BoxFuture<'static, ()> + Send + Sync>;

/// A service around whose executions something happens.
pub struct Hooked {
    /// The service.
    pub service: Arc<dyn Service>,
    /// What happens.
    pub hook: Hook,
}

impl Service for Hooked {
    fn program(&self) -> u32 {
        self.service.program()
    }

    fn version(&self) -> u32 {
        self.service.version()
    }

    fn procedures(&self) -> &[Procedure] {
        self.service.procedures()
    }

    fn logs_effects(&self) -> bool {
        self.service.logs_effects()
    }

    fn call<'a>(
        &'a self,
        context: &'a CallContext,
        procedure: u32,
        arguments: Bytes,
    ) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            if procedure == BALANCE {
                return self.service.call(context, procedure, arguments).await;
            }
            (self.hook)(Moment::Before).await;
            let answer = self.service.call(context, procedure, arguments).await;
            (self.hook)(Moment::After).await;
            answer
        })
    }
}

fn amount(arguments: &Bytes) -> Result<i64, Refusal> {
    crate::xdr::from_bytes(arguments).map_err(Refusal::arguments)
}

fn results(balance: i64) -> Bytes {
    Bytes::copy_from_slice(&balance.to_be_bytes())
}
