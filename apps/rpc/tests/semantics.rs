//! The promises of each semantics, over thousands of calls (or a million) while messages are lost, duplicated and
//! reordered and the server crashes; a failing run says its seed.
//!
//! `TAPSTACK_RPC_CALLS=1000000 cargo test --release -p tapstack-rpc --test semantics` makes a million of each;
//! `TAPSTACK_SEED=N` runs the world of that seed, and `TAPSTACK_SEEDS=N` those of N seeds.

#![allow(clippy::unwrap_used)]

use std::env;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tapstack::net::Host;
use tapstack::sim::{Sim, Wire};
use tapstack::time::Duration;
use tapstack_rpc::xdr;
use tapstack_rpc::{
    Answer, BoxFuture, Bytes, CallContext, CallError, Client, ClientConfig, ExactlyOnce, Executed, Identity,
    Procedure, Refusal, Semantics, Server, ServerConfig, Service, StateMachine, Transport,
};

const PROGRAM: u32 = 0x2000_0001;
const VERSION: u32 = 1;
const MARK: u32 = 1;
const PROCEDURES: [Procedure; 1] = [Procedure { number: MARK, name: "MARK", idempotent: false }];

/// Calls that are under way at once.
const WORKERS: u64 = 128;

/// A call that is executed marks its own number: how often each was executed is all that matters.
#[derive(Clone)]
struct Marks(Arc<Mutex<Vec<u8>>>);

impl Marks {
    fn new(calls: u64) -> Marks {
        Marks(Arc::new(Mutex::new(vec![0; calls as usize])))
    }

    fn mark(&self, number: u64) {
        let mut marks = self.0.lock().unwrap();
        let mark = &mut marks[number as usize];
        *mark = mark.saturating_add(1);
    }

    fn counts(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

/// A service whose effects outlive its machine, as those of a printer or a bank's partner do.
struct Outside {
    marks: Marks,
    host: Host,
}

impl Service for Outside {
    fn program(&self) -> u32 {
        PROGRAM
    }
    fn version(&self) -> u32 {
        VERSION
    }
    fn procedures(&self) -> &[Procedure] {
        &PROCEDURES
    }
    fn call<'a>(&'a self, _: &'a CallContext, _: u32, arguments: Bytes) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let number: u64 = xdr::from_bytes(&arguments).map_err(Refusal::arguments)?;
            // A crash comes before, between or after.
            self.host.sleep(Duration::from_micros(self.host.random_u64() % 500)).await;
            self.marks.mark(number);
            self.host.sleep(Duration::from_micros(self.host.random_u64() % 500)).await;
            Ok(arguments)
        })
    }
}

/// The same as a state machine, whose marks are on the machine's own disk.
struct Logged {
    marks: Vec<u8>,
}

impl StateMachine for Logged {
    fn program(&self) -> u32 {
        PROGRAM
    }
    fn version(&self) -> u32 {
        VERSION
    }
    fn procedures(&self) -> &[Procedure] {
        &PROCEDURES
    }
    fn execute(&self, _: &CallContext, _: u32, arguments: &Bytes) -> Result<Executed, Refusal> {
        xdr::from_bytes::<u64>(arguments).map_err(Refusal::arguments)?;
        Ok(Executed { effects: arguments.clone(), results: arguments.clone() })
    }
    fn apply(&mut self, effects: &[u8]) -> Result<(), xdr::Error> {
        let number: u64 = xdr::from_slice(effects)?;
        self.marks[number as usize] = self.marks[number as usize].saturating_add(1);
        Ok(())
    }
    fn snapshot(&self) -> Bytes {
        Bytes::copy_from_slice(&self.marks)
    }
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), xdr::Error> {
        if !snapshot.is_empty() {
            self.marks = snapshot.to_vec();
        }
        Ok(())
    }
}

/// What came of a run.
struct Run {
    /// For each call, whether its caller was told that it was executed.
    told: Vec<Result<(), CallError>>,
    /// How often each was executed.
    executed: Vec<u8>,
    crashes: u64,
    retransmissions: u64,
    replayed: u64,
    checkpoints: u64,
    duplicated_frames: u64,
}

impl Run {
    fn of(&self, told: bool) -> impl Iterator<Item = u8> {
        self.told
            .iter()
            .zip(&self.executed)
            .filter(move |(t, _)| t.is_ok() == told)
            .map(|(_, executed)| *executed)
    }

    /// Prints what happened, and checks that it was worth while.
    fn show(&self, semantics: Semantics, transport: Transport, seed: u64) {
        let (calls, told) = (self.told.len(), self.of(true).count());
        let often = self.executed.iter().filter(|executed| **executed > 1).count();
        let never = self.executed.iter().filter(|executed| **executed == 0).count();
        println!(
            "{semantics} over {transport}, seed {seed}: {calls} calls, {told} told of success, {never} never \
             executed, {often} more than once; {} crashes, {} retransmissions, {} replies again",
            self.crashes, self.retransmissions, self.replayed
        );
        assert!(told * 4 > calls, "the promises are about something: a good part of the calls succeeds");
        assert!(self.crashes > 0, "the server crashes");
    }
}

fn calls() -> u64 {
    env::var("TAPSTACK_RPC_CALLS").map_or(4000, |calls| calls.parse().expect("a number of calls"))
}

fn seeds() -> Vec<u64> {
    if let Ok(seed) = env::var("TAPSTACK_SEED") {
        return vec![seed.parse().expect("a seed")];
    }
    let count = env::var("TAPSTACK_SEEDS").map_or(2, |count| count.parse().expect("how many seeds"));
    (1..=count).collect()
}

const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 2000);

fn run(semantics: Semantics, transport: Transport, seed: u64) -> Run {
    let calls = calls();
    let mut net = Sim::new(seed);
    let (a, b) = (net.machine("client", "10.0.0.1/24"), net.machine("server", "10.0.0.2/24"));
    let wire = Wire {
        delay: Duration::from_micros(300),
        jitter: Duration::from_millis(2),
        loss: 0.05,
        duplicate: 0.05,
        ..Wire::default()
    };
    let wire = net.wire(&a, &b, wire);
    let (marks, controls) = (Marks::new(calls), net.controls());
    let config = ClientConfig {
        semantics,
        deadline: match semantics {
            // It would wait for what never comes.
            Semantics::Maybe => Duration::from_millis(100),
            _ => Duration::from_secs(20),
        },
        retransmit_after: Duration::from_millis(20),
        retransmit_after_max: Duration::from_millis(400),
        calls_max: WORKERS as usize,
        identity: Some(Identity { name: "client".into(), incarnation: 1, uid: 0, gid: 0 }),
        ..ClientConfig::default()
    };
    let client = Client::new(&a, transport, SERVER.into(), PROGRAM, VERSION, config).unwrap();
    let result = net.run(async {
        let (mut server, mut exact) = serve(&b, semantics, &marks, calls).await;
        let next = Arc::new(AtomicU64::new(0));
        let told = Arc::new(Mutex::new(vec![Ok(()); calls as usize]));
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| a.spawn(work(calls, client.clone(), Arc::clone(&next), Arc::clone(&told))))
            .collect();
        let (mut crashes, mut replayed, mut checkpoints) = (0, 0, 0);
        let pause_ms = (calls / 50).clamp(60, 400);
        while next.load(Ordering::Relaxed) < calls {
            a.sleep(Duration::from_millis(pause_ms / 2 + a.random_u64() % pause_ms)).await;
            replayed += replays(&server, &exact);
            checkpoints += exact.as_ref().map_or(0, |exact| exact.checkpoints());
            controls.crash(&b);
            crashes += 1;
            a.sleep(Duration::from_millis(5 + a.random_u64() % 30)).await;
            controls.restart(&b);
            (server, exact) = serve(&b, semantics, &marks, calls).await;
        }
        for worker in workers {
            worker.await.unwrap();
        }
        // Late duplicates have their time, too.
        a.sleep(Duration::from_secs(1)).await;
        let last = replays(&server, &exact);
        let told = std::mem::take(&mut *told.lock().unwrap());
        let executed = match semantics {
            Semantics::ExactlyOnce => {
                // What the disk says after one more crash.
                drop((server, exact));
                controls.crash(&b);
                controls.restart(&b);
                let machine = Logged { marks: vec![0; calls as usize] };
                let service = ExactlyOnce::open(&b, "marks", machine).await.unwrap();
                service.with_state(|state| state.marks.clone())
            }
            _ => marks.counts(),
        };
        let retransmissions = client.counts().retransmissions;
        Run {
            told,
            executed,
            crashes,
            retransmissions,
            replayed: replayed + last,
            checkpoints,
            duplicated_frames: 0,
        }
    });
    let (there, back) = net.counts(wire);
    let duplicated_frames = there.impairments.duplicated + back.impairments.duplicated;
    let result = Run { duplicated_frames, ..result };
    result.show(semantics, transport, seed);
    result
}

/// Duplicates that were replied to again, be that by the cache or by the log.
fn replays(server: &Server, exact: &Exact) -> u64 {
    server.counts().replayed + exact.as_ref().map_or(0, |exact| exact.replayed())
}

/// Calls with one number after the other, until there are no more, and notes what it is told.
async fn work(
    count: u64,
    client: Client,
    next: Arc<AtomicU64>,
    told: Arc<Mutex<Vec<Result<(), CallError>>>>,
) {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= count {
            return;
        }
        let answer = client.call::<_, u64>(MARK, &number).await;
        let checked = answer.map(|answer| assert_eq!(answer, number));
        told.lock().unwrap()[number as usize] = checked;
    }
}

/// A short log, so that checkpoints and crashes meet.
const LOG_BYTES_MAX: u64 = 100_000;

type Exact = Option<Arc<ExactlyOnce<Logged>>>;

async fn serve(host: &Host, semantics: Semantics, marks: &Marks, calls: u64) -> (Server, Exact) {
    let service: Arc<dyn Service> = match semantics {
        Semantics::ExactlyOnce => {
            let machine = Logged { marks: vec![0; calls as usize] };
            let service =
                Arc::new(ExactlyOnce::open_with(host, "marks", machine, LOG_BYTES_MAX).await.unwrap());
            return (serve_as(host, Arc::clone(&service) as Arc<dyn Service>, semantics), Some(service));
        }
        _ => Arc::new(Outside { marks: marks.clone(), host: host.clone() }),
    };
    (serve_as(host, service, semantics), None)
}

fn serve_as(host: &Host, service: Arc<dyn Service>, semantics: Semantics) -> Server {
    let config = ServerConfig {
        // Longer than any client sends again.
        duplicates_kept: Duration::from_secs(25),
        duplicates_max: 1 << 20,
        ..ServerConfig::default()
    };
    let server = Server::new(host, config);
    server.add(service, semantics).unwrap();
    let any = SocketAddr::from(([0, 0, 0, 0], SERVER.1));
    server.listen_udp(any).unwrap();
    server.listen_tcp(any).unwrap();
    server
}

/// Maybe: a call is sent once. If the caller was told, it was executed. More executions than calls come from frames that
/// the network itself duplicated, and from nothing else.
#[test]
fn maybe_sends_once() {
    for seed in seeds() {
        let run = run(Semantics::Maybe, Transport::Udp, seed);
        assert_eq!(run.retransmissions, 0);
        assert!(run.of(true).all(|executed| executed >= 1));
        let surplus: u64 = run.executed.iter().map(|executed| u64::from(executed.saturating_sub(1))).sum();
        assert!(surplus <= run.duplicated_frames);
        assert!(run.of(false).any(|executed| executed == 0), "calls are lost");
        assert!(run.of(false).any(|executed| executed == 1), "and so are replies");
    }
}

/// At least once: if the caller was told, it was executed.
#[test]
fn at_least_once_executes_what_it_reports() {
    for seed in seeds() {
        let run = run(Semantics::AtLeastOnce, Transport::Udp, seed);
        assert!(run.of(true).all(|executed| executed >= 1));
        assert!(run.of(true).any(|executed| executed > 1), "the network and the crashes do their worst");
    }
}

/// At most once: no call is executed twice, whatever its caller was told; if it was told, it was executed.
#[test]
fn at_most_once_never_executes_twice() {
    for seed in seeds() {
        let run = run(Semantics::AtMostOnce, Transport::Udp, seed);
        assert!(run.executed.iter().all(|executed| *executed <= 1));
        assert!(run.of(true).all(|executed| executed == 1));
        assert!(run.replayed > 0, "the cache replies again");
        let mut failed = run.told.iter().filter_map(|told| told.as_ref().err());
        assert!(failed.any(|error| matches!(error, CallError::ServerRestarted)), "crashes are told of");
    }
}

/// Exactly once: if the caller was told, it was executed exactly once, over all crashes; if not, at most once.
#[test]
fn exactly_once_executes_once_across_crashes() {
    for seed in seeds() {
        let run = run(Semantics::ExactlyOnce, Transport::Udp, seed);
        assert!(run.of(true).all(|executed| executed == 1));
        assert!(run.executed.iter().all(|executed| *executed <= 1));
        assert_eq!(run.of(false).count(), 0, "no call needs twenty seconds");
        assert!(
            run.replayed > 0 && run.checkpoints > 3,
            "{} replays, {} checkpoints",
            run.replayed,
            run.checkpoints
        );
    }
}

/// The same over TCP, with connections that crashes break.
#[test]
fn promises_hold_over_tcp_too() {
    for seed in seeds() {
        let once = run(Semantics::AtMostOnce, Transport::Tcp, seed);
        assert!(once.executed.iter().all(|executed| *executed <= 1));
        assert!(once.of(true).all(|executed| executed == 1));
        let exactly = run(Semantics::ExactlyOnce, Transport::Tcp, seed);
        assert!(exactly.executed.iter().all(|executed| *executed <= 1));
        assert!(exactly.of(true).all(|executed| executed == 1));
        let least = run(Semantics::AtLeastOnce, Transport::Tcp, seed);
        assert!(least.of(true).all(|executed| executed >= 1));
    }
}
