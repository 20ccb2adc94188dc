//! The experiment: what each semantics does to a bank account when messages are lost and the server crashes.
//!
//! - **In**: a seed.
//! - **Out**: for each [`Semantics`] and each [`Fault`] what the caller was told, and what was in the account after it.
//! - **Keeps**: nothing.
//! - **Timers**: the world's, which is a simulated one.
//! - **RFC**: 5531 section 4 names the question; the answers are Birrell's and Nelson's (1984), and Spector's (1982).
//! - **Never**: decides by chance what is lost: each fault strikes the first deposit, at its moment.

pub mod bank;

use crate::client::{Client, ClientConfig, Identity};
use crate::error::CallError;
use crate::exactly::ExactlyOnce;
use crate::semantics::Semantics;
use crate::server::{Server, ServerConfig};
use crate::service::{Service, Transport};
use bank::account::{AccountV1Client, AccountV1Machine, AccountV1Server, account_v1};
use bank::{Account, FileAccount, Hook, Hooked, Moment};
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tapstack::capture::Capture;
use tapstack::net::Host;
use tapstack::sim::{Controls, Sim, Wire, WireId};
use tapstack::time::Duration;

/// What goes wrong with the deposit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Nothing.
    None,
    /// The call's first datagram is lost.
    RequestLost,
    /// The first reply is lost.
    ReplyLost,
    /// The server crashes when the call has come, before it is executed, and is back soon.
    CrashBefore,
    /// The server crashes when the call's effects are on its disk, before it replies, and is back soon.
    CrashAfter,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 5] =
        [Fault::None, Fault::RequestLost, Fault::ReplyLost, Fault::CrashBefore, Fault::CrashAfter];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Fault::None => "nothing",
            Fault::RequestLost => "request lost",
            Fault::ReplyLost => "reply lost",
            Fault::CrashBefore => "crash before",
            Fault::CrashAfter => "crash after",
        }
    }
}

/// What came of one deposit of [`AMOUNT`] into an empty account.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What the call promised.
    pub semantics: Semantics,
    /// What went wrong.
    pub fault: Fault,
    /// What the caller was told: the new balance, or why there is none.
    pub told: Result<i64, CallError>,
    /// What was in the account when all was over.
    pub balance: i64,
    /// How long the call took.
    pub took: Duration,
}

impl Trial {
    /// How often the deposit was executed.
    pub fn executions(&self) -> i64 {
        self.balance / AMOUNT
    }
}

/// What is deposited.
pub const AMOUNT: i64 = 100;

/// Runs every semantics through every fault, in one simulated world of two machines.
pub fn run(seed: u64, capture: Option<&Capture>) -> io::Result<Vec<Trial>> {
    let mut net = Sim::new(seed);
    let wire = Wire { delay: Duration::from_millis(2), ..Wire::default() };
    let (client, server) = (net.machine("client", "10.0.0.1/24"), net.machine("server", "10.0.0.2/24"));
    let wire = Line { id: net.wire(&client, &server, wire), wire, controls: net.controls() };
    if let Some(capture) = capture {
        net.capture(capture);
    }
    net.run(async {
        let mut trials = Vec::new();
        for semantics in Semantics::ALL {
            for fault in Fault::ALL {
                let stage = Stage { client: client.clone(), server: server.clone(), wire: wire.clone() };
                trials.push(stage.play(semantics, fault).await?);
            }
        }
        Ok(trials)
    })
}

/// The trials as a table: a row for each semantics, a column for each fault.
pub fn table(trials: &[Trial]) -> String {
    let mut text = format!("{:<14}", "");
    for fault in Fault::ALL {
        let _ = write!(text, " {:<18}", fault.name());
    }
    for row in trials.chunk_by(|a, b| a.semantics == b.semantics) {
        let semantics = row.first().map_or(String::new(), |trial| trial.semantics.to_string());
        let _ = write!(text, "\n{semantics:<14}");
        for trial in row {
            let told = if trial.told.is_ok() { "ok" } else { "error" };
            let cell = format!("{:>3} {told}, ran {}x", trial.balance, trial.executions());
            let _ = write!(text, " {cell:<18}");
        }
    }
    // Columns are filled up for the next one, and the last has none.
    text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// The wire, to be cut.
#[derive(Clone)]
struct Line {
    id: WireId,
    wire: Wire,
    controls: Controls,
}

impl Line {
    fn cut(&self) {
        self.controls.set_wire(self.id, Wire { loss: 1.0, ..self.wire });
    }

    fn mend(&self) {
        self.controls.set_wire(self.id, self.wire);
    }
}

/// Where a trial is played.
struct Stage {
    client: Host,
    server: Host,
    wire: Line,
}

/// What the hook does and sees.
#[derive(Default)]
struct Seen {
    crashed: AtomicBool,
    struck: AtomicBool,
}

impl Stage {
    async fn play(&self, semantics: Semantics, fault: Fault) -> io::Result<Trial> {
        let seen = Arc::new(Seen::default());
        let account = format!("{semantics}-{}", fault.name()).replace(' ', "-");
        self.serve(semantics, &account, self.hook(fault, &seen)).await?;
        let identity = Identity { name: account.clone(), incarnation: 1, uid: 0, gid: 0 };
        let config = ClientConfig {
            semantics,
            deadline: Duration::from_secs(4),
            identity: Some(identity),
            ..ClientConfig::default()
        };
        let (program, version) = (account_v1::PROGRAM, account_v1::VERSION);
        let client = Client::new(&self.client, Transport::Udp, address(), program, version, config)?;
        let client = AccountV1Client::new(client);
        // What binds client and server (addresses, a session) is in place before anything goes wrong.
        let bound = client.balance().await;
        bound.map_err(io::Error::other)?;
        if fault == Fault::RequestLost {
            self.wire.cut();
        }
        let begun = self.client.now();
        let own = client.clone();
        let call = self.client.spawn(async move { own.deposit(AMOUNT).await });
        let mut restarted = false;
        while !call.is_finished() {
            self.client.sleep(WATCH_EVERY).await;
            let elapsed = self.client.now() - begun;
            if elapsed > WIRE_CUT_FOR && matches!(fault, Fault::RequestLost | Fault::ReplyLost) {
                self.wire.mend();
            }
            if seen.crashed.load(Ordering::SeqCst) && !restarted && elapsed > DOWN_FOR {
                restarted = true;
                self.wire.controls.restart(&self.server);
                self.serve(semantics, &account, self.hook(Fault::None, &seen)).await?;
            }
        }
        let took = self.client.now() - begun;
        let told = call.await.map_err(io::Error::other)?;
        // Whoever was told of no success may still ask.
        let balance = client.balance().await.map_err(io::Error::other)?;
        // The next trial finds a machine that knows nothing of this one.
        self.wire.controls.crash(&self.server);
        self.wire.controls.restart(&self.server);
        Ok(Trial { semantics, fault, told, balance, took })
    }

    /// Opens the account and serves it.
    async fn serve(&self, semantics: Semantics, account: &str, hook: Hook) -> io::Result<()> {
        let service: Arc<dyn Service> = match semantics {
            Semantics::ExactlyOnce => {
                let machine = AccountV1Machine(Account::default());
                Arc::new(ExactlyOnce::open(&self.server, account, machine).await?)
            }
            _ => Arc::new(AccountV1Server(FileAccount::open(&self.server, account)?)),
        };
        let server = Server::new(&self.server, ServerConfig::default());
        server.add(Arc::new(Hooked { service, hook }), semantics)?;
        server.listen_udp(address()).map(drop)
    }

    /// Lets the fault strike the first execution.
    fn hook(&self, fault: Fault, seen: &Arc<Seen>) -> Hook {
        let (seen, server, wire) = (Arc::clone(seen), self.server.clone(), self.wire.clone());
        Arc::new(move |moment| {
            let crash = match (fault, moment) {
                (Fault::CrashBefore, Moment::Before) | (Fault::CrashAfter, Moment::After) => {
                    !seen.struck.swap(true, Ordering::SeqCst)
                }
                _ => false,
            };
            if fault == Fault::ReplyLost
                && moment == Moment::After
                && !seen.struck.swap(true, Ordering::SeqCst)
            {
                wire.cut();
            }
            let (seen, server, controls) = (Arc::clone(&seen), server.clone(), wire.controls.clone());
            Box::pin(async move {
                if crash {
                    seen.crashed.store(true, Ordering::SeqCst);
                    controls.crash(&server);
                    // The machine is gone, and with it this task, once it has returned from here.
                    std::future::pending::<()>().await;
                }
            })
        })
    }
}

fn address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 2], 7467))
}

const WATCH_EVERY: Duration = Duration::from_millis(5);
/// Shorter than the wait before the first retransmission.
const WIRE_CUT_FOR: Duration = Duration::from_millis(100);
const DOWN_FOR: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_semantics_does_to_the_account_what_it_says() {
        let trials = run(1, None).unwrap();
        let text = table(&trials);
        let found: Vec<(bool, i64)> = trials.iter().map(|t| (t.told.is_ok(), t.balance)).collect();
        let expected = [
            // Nothing, request lost, reply lost, crash before, crash after.
            [(true, 100), (false, 0), (false, 100), (false, 0), (false, 100)],
            [(true, 100), (true, 100), (true, 200), (true, 100), (true, 200)],
            [(true, 100), (true, 100), (true, 100), (false, 0), (false, 100)],
            [(true, 100), (true, 100), (true, 100), (true, 100), (true, 100)],
        ];
        assert_eq!(found, expected.concat(), "\n{text}");
        for trial in trials.iter().filter(|trial| trial.semantics >= Semantics::AtMostOnce) {
            assert!(trial.told.is_ok() || trial.told.as_ref().is_err_and(CallError::may_have_executed));
        }
        assert_eq!(text, table(&run(1, None).unwrap()), "a seed gives its world");
    }
}
