//! A bank account as a service, once over a plain file and once as a state machine, and what can be made to happen around
//! its execution.

use crate::service::{Answer, BoxFuture, CallContext, Procedure, Refusal, Service};
use account::{AccountV1, AccountV1State, account_v1};
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use tapstack::net::{File, Host};

/// What the generator makes of `account.x`.
pub mod account {
    include!(concat!(env!("OUT_DIR"), "/account.rs"));
}

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
    pub fn sum(&self) -> io::Result<i64> {
        let bytes = self.file.read_all(FILE_BYTES_MAX)?;
        let amounts = bytes.chunks_exact(AMOUNT_BYTES as usize);
        Ok(amounts.filter_map(|amount| amount.try_into().ok()).map(i64::from_be_bytes).sum())
    }
}

impl AccountV1 for FileAccount {
    async fn deposit(&self, context: &CallContext, amount: i64) -> Result<i64, Refusal> {
        let failed = |_| Refusal::SystemError;
        self.file.append(&amount.to_be_bytes()).map_err(failed)?;
        self.file.sync().await.map_err(failed)?;
        self.balance(context).await
    }

    async fn balance(&self, _: &CallContext) -> Result<i64, Refusal> {
        self.sum().map_err(|_| Refusal::SystemError)
    }
}

/// The account as a state, for [`crate::ExactlyOnce`].
#[derive(Debug, Default)]
pub struct Account {
    balance: i64,
}

impl AccountV1State for Account {
    /// The new balance.
    type Effect = i64;

    fn deposit(&self, _: &CallContext, amount: i64) -> Result<(i64, Option<i64>), Refusal> {
        let balance = self.balance.saturating_add(amount);
        Ok((balance, Some(balance)))
    }

    fn balance(&self, _: &CallContext) -> Result<(i64, Option<i64>), Refusal> {
        Ok((self.balance, None))
    }

    fn apply(&mut self, balance: i64) {
        self.balance = balance;
    }

    fn snapshot(&self) -> Bytes {
        Bytes::copy_from_slice(&self.balance.to_be_bytes())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), crate::xdr::Error> {
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
            if procedure == account_v1::BALANCE {
                return self.service.call(context, procedure, arguments).await;
            }
            (self.hook)(Moment::Before).await;
            let answer = self.service.call(context, procedure, arguments).await;
            (self.hook)(Moment::After).await;
            answer
        })
    }
}
