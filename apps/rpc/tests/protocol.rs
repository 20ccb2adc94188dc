//! What a server answers to whom: the standard's errors, counted drops, duplicates, orphans, limits and patience.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tapstack::net::{Host, UdpSocket};
use tapstack::sim::{Sim, Wire};
use tapstack::time::Duration;
use tapstack_rpc::auth::{AuthStatus, OpaqueAuth, SysCredential, flavour};
use tapstack_rpc::bind::{self, Registry};
use tapstack_rpc::message::{CallHeader, Outcome, Reply};
use tapstack_rpc::record::to_record;
use tapstack_rpc::server::Dropped;
use tapstack_rpc::{
    Answer, BoxFuture, Bytes, CallContext, CallError, Client, ClientConfig, Identity, Procedure, Refusal,
    Semantics, Server, ServerConfig, Service, Transport, xdr,
};

const PROGRAM: u32 = 0x2000_0002;
const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)), 2000);

/// Returns a number after so many milliseconds.
const WAIT: u32 = 1;
/// Returns so many bytes.
const FILL: u32 = 2;

/// What the service saw.
#[derive(Default)]
struct Seen {
    begun: AtomicU32,
    finished: AtomicU32,
    at_once_max: AtomicU32,
}

struct Waits {
    version: u32,
    host: Host,
    seen: Arc<Seen>,
}

impl Service for Waits {
    fn program(&self) -> u32 {
        PROGRAM
    }
    fn version(&self) -> u32 {
        self.version
    }
    fn procedures(&self) -> &[Procedure] {
        &[
            Procedure { number: WAIT, name: "WAIT", idempotent: false },
            Procedure { number: FILL, name: "FILL", idempotent: true },
        ]
    }
    fn call<'a>(
        &'a self,
        context: &'a CallContext,
        procedure: u32,
        arguments: Bytes,
    ) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let number: u32 = xdr::from_bytes(&arguments).map_err(Refusal::arguments)?;
            if procedure == FILL {
                let filled = Bytes::from(vec![7; number as usize]);
                return xdr::to_bytes(&filled, context.result_bytes_max).map_err(Refusal::results);
            }
            let begun = self.seen.begun.fetch_add(1, Ordering::SeqCst) + 1;
            let at_once = begun - self.seen.finished.load(Ordering::SeqCst);
            self.seen.at_once_max.fetch_max(at_once, Ordering::SeqCst);
            self.host.sleep(Duration::from_millis(number.into())).await;
            self.seen.finished.fetch_add(1, Ordering::SeqCst);
            Ok(arguments)
        })
    }
}

struct World {
    net: Sim,
    client: Host,
    server: Server,
    /// The server's.
    machine: Host,
    seen: Arc<Seen>,
}

fn world(config: ServerConfig) -> World {
    let mut net = Sim::new(1);
    let (a, b) = (net.machine("client", "10.0.0.1/24"), net.machine("server", "10.0.0.2/24"));
    net.wire(&a, &b, Wire { delay: Duration::from_micros(100), ..Wire::default() });
    let (server, seen) = (Server::new(&b, config), Arc::new(Seen::default()));
    for version in [2, 4] {
        let service = Waits { version, host: b.clone(), seen: Arc::clone(&seen) };
        server.add(Arc::new(service), Semantics::AtMostOnce).unwrap();
    }
    server.listen_udp(SERVER).unwrap();
    server.listen_tcp(SERVER).unwrap();
    World { net, client: a, server, machine: b, seen }
}

fn header(xid: u32, procedure: u32) -> CallHeader {
    let none = OpaqueAuth::default();
    CallHeader { xid, program: PROGRAM, version: 2, procedure, credential: none.clone(), verifier: none }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// Sends a datagram, and reads the reply if there is one.
async fn ask(host: &Host, socket: &UdpSocket, message: &[u8]) -> Option<Bytes> {
    socket.send(message).await.unwrap();
    let mut buffer = vec![0; 65_535];
    let received = host.timeout(Duration::from_millis(100), socket.recv(&mut buffer)).await.ok()?.unwrap();
    Some(Bytes::copy_from_slice(&buffer[..received]))
}

async fn socket(host: &Host) -> UdpSocket {
    let socket = host.udp_bind(SocketAddr::from(([0, 0, 0, 0], 0))).unwrap();
    socket.connect(SERVER).await.unwrap();
    socket
}

fn client(host: &Host, transport: Transport, config: ClientConfig) -> Client {
    Client::new(host, transport, SERVER, PROGRAM, 2, config).unwrap()
}

#[test]
fn each_error_of_the_standard_is_answered() {
    let World { mut net, client, server, .. } = world(ServerConfig::default());
    let call = |header: CallHeader| header.message(&1u32, 100).unwrap();
    let sys = |sys: &[u8]| OpaqueAuth { flavour: flavour::SYS, body: Bytes::copy_from_slice(sys) };
    let with = |credential| call(CallHeader { credential, ..header(1, WAIT) });
    let many_gids = words(&[0; 4].iter().copied().chain([17]).chain([5; 17]).collect::<Vec<_>>());
    let long_name: Vec<u8> = words(&[0, 256]).into_iter().chain([b'a'; 256]).chain([0; 12]).collect();
    let mut long_credential = words(&[1, 0, 2, PROGRAM, 2, WAIT, 1, 404]);
    long_credential.extend([0; 404]);
    let bad = Outcome::Auth(AuthStatus::BadCredential);
    let cases = [
        (Bytes::from(words(&[1, 0, 3, PROGRAM, 2, WAIT, 0, 0, 0, 0])), Outcome::RpcMismatch(2, 2)),
        (call(CallHeader { program: 77, ..header(1, WAIT) }), Outcome::ProgramUnavailable),
        (call(CallHeader { version: 3, ..header(1, WAIT) }), Outcome::ProgramMismatch(2, 4)),
        (call(header(1, 9)), Outcome::ProcedureUnavailable),
        (header(1, WAIT).message(&(), 100).unwrap(), Outcome::GarbageArguments),
        (header(1, WAIT).message(&(1u32, 2u32), 100).unwrap(), Outcome::GarbageArguments),
        (header(1, FILL).message(&1_000_000u32, 100).unwrap(), Outcome::SystemError),
        (with(OpaqueAuth { flavour: 999, body: Bytes::new() }), bad.clone()),
        (with(sys(&many_gids)), bad.clone()),
        (with(sys(&long_name)), bad.clone()),
        (with(sys(&[1, 2, 3])), bad.clone()),
        (Bytes::from(long_credential), bad.clone()),
        (
            with(OpaqueAuth { flavour: flavour::SHORT, body: Bytes::from_static(&[9; 60]) }),
            Outcome::Auth(AuthStatus::RejectedCredential),
        ),
        (header(1, 0).message(&(), 0).unwrap(), Outcome::Success(Bytes::new())),
    ];
    net.run(async {
        let socket = socket(&client).await;
        for (message, expected) in cases {
            let reply = ask(&client, &socket, &message).await.expect("a reply");
            assert_eq!(Reply::parse(&reply).unwrap().outcome, expected);
        }
        for (message, why) in [
            (words(&[1]), Dropped::Nonsense),
            (words(&[1, 0, 2, PROGRAM]), Dropped::Nonsense),
            (words(&[1, 2]), Dropped::Nonsense),
            (words(&[1, 1, 0, 0, 0, 0]), Dropped::Reply),
        ] {
            let before = server.counts().dropped(why);
            assert_eq!(ask(&client, &socket, &message).await, None);
            assert_eq!(server.counts().dropped(why), before + 1);
        }
    });
}

#[test]
fn a_duplicate_is_replied_to_again_and_one_in_progress_is_dropped() {
    let World { mut net, client, server, seen, .. } = world(ServerConfig::default());
    net.run(async {
        let (one, other) = (socket(&client).await, socket(&client).await);
        let message = header(5, WAIT).message(&20u32, 100).unwrap();
        one.send(&message).await.unwrap();
        let first = ask(&client, &one, &message).await.unwrap();
        assert_eq!(server.counts().dropped(Dropped::DuplicateInProgress), 1);
        assert_eq!(ask(&client, &one, &message).await, Some(first.clone()), "the same reply");
        assert_eq!((seen.begun.load(Ordering::SeqCst), server.counts().replayed), (1, 1));
        // Another peer, and another call under the same number, are no duplicates.
        assert!(ask(&client, &other, &message).await.is_some());
        assert!(ask(&client, &one, &header(5, WAIT).message(&21u32, 100).unwrap()).await.is_some());
        assert_eq!((seen.begun.load(Ordering::SeqCst), server.counts().replayed), (3, 1));
    });
}

#[test]
fn orphans_of_a_restarted_client_are_stopped_and_their_late_calls_refused() {
    let World { mut net, client: host, server, seen, .. } = world(ServerConfig::default());
    let of_life = |incarnation| ClientConfig {
        semantics: Semantics::AtLeastOnce,
        identity: Some(Identity { name: "c".into(), incarnation, uid: 0, gid: 0 }),
        ..ClientConfig::default()
    };
    net.run(async {
        let first = client(&host, Transport::Udp, of_life(1));
        let slow = first.start::<_, u32>(WAIT, &10_000u32);
        host.sleep(Duration::from_millis(100)).await;
        // A program of somebody else on the same machine, and another client, stop nothing.
        let sys = SysCredential { stamp: 9, machine: "c".into(), ..SysCredential::default() };
        let stranger = CallHeader { credential: sys.to_auth().unwrap(), ..header(3, WAIT) };
        assert!(ask(&host, &socket(&host).await, &stranger.message(&1u32, 100).unwrap()).await.is_some());
        assert_eq!(server.counts().dropped(Dropped::Orphan), 0);
        let second = client(&host, Transport::Tcp, of_life(2));
        assert_eq!(second.call::<_, u32>(WAIT, &1u32).await.unwrap(), 1);
        assert_eq!(server.counts().dropped(Dropped::Orphan), 1);
        let late = first.call::<_, u32>(WAIT, &1u32).await;
        assert!(matches!(late, Err(CallError::Auth(AuthStatus::RejectedCredential))), "{late:?}");
        host.sleep(Duration::from_secs(15)).await;
        assert_eq!(seen.begun.load(Ordering::SeqCst) - seen.finished.load(Ordering::SeqCst), 1);
        slow.abort();
    });
}

#[test]
fn a_client_that_crashes_calls_from_its_next_life_and_its_orphan_is_stopped() {
    let World { mut net, client: host, server, seen, .. } = world(ServerConfig::default());
    let controls = net.controls();
    net.run(async {
        for incarnation in 1..=3 {
            let identity = Identity::next_on_disk(&host, "c").await.unwrap();
            assert_eq!(identity.incarnation, incarnation);
            let client = client(
                &host,
                Transport::Tcp,
                ClientConfig { identity: Some(identity), ..Default::default() },
            );
            assert_eq!(client.call::<_, u32>(WAIT, &1u32).await.unwrap(), 1);
            assert_eq!(server.counts().dropped(Dropped::Orphan), u64::from(incarnation) - 1);
            let _orphan = client.start::<_, u32>(WAIT, &60_000u32);
            host.sleep(Duration::from_millis(100)).await;
            controls.crash(&host);
            controls.restart(&host);
        }
        assert_eq!(seen.begun.load(Ordering::SeqCst), 6);
        assert_eq!(seen.finished.load(Ordering::SeqCst), 3);
    });
}

#[test]
fn what_is_beyond_the_limits_waits_at_the_client() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let config = ServerConfig { calls_max: 4, connection_calls_max: 3, ..ServerConfig::default() };
        let World { mut net, client: host, seen, .. } = world(config);
        net.run(async {
            let client = client(&host, transport, ClientConfig { calls_max: 50, ..ClientConfig::default() });
            let calls: Vec<_> = (0..200).map(|_| client.start::<_, u32>(WAIT, &5u32)).collect();
            for call in calls {
                assert_eq!(call.await.unwrap().unwrap(), 5);
            }
        });
        let most = if transport == Transport::Tcp { 3 } else { 4 };
        assert_eq!(seen.at_once_max.load(Ordering::SeqCst), most);
        assert_eq!(seen.begun.load(Ordering::SeqCst), 200);
    }
}

#[test]
fn silent_slow_and_too_many_peers_are_sent_away() {
    let config = ServerConfig {
        connections_max: 2,
        idle_max: Duration::from_secs(20),
        patience: Duration::from_secs(5),
        ..ServerConfig::default()
    };
    let World { mut net, client, server, .. } = world(config);
    net.run(async {
        let connect = || async { client.tcp_connect(SERVER).await.unwrap() };
        let (silent, slow) = (connect().await, connect().await);
        client.sleep(Duration::from_millis(10)).await;
        let surplus = connect().await;
        assert!(!matches!(surplus.read(&mut [0; 4]).await, Ok(1..)));
        assert_eq!(server.counts().dropped(Dropped::ConnectionLimit), 1);
        // A byte a second is no record.
        let begun = client.now();
        let record = to_record(&header(1, 0).message(&(), 0).unwrap());
        for byte in record.iter().take(7) {
            let _ = slow.write(&[*byte]).await;
            client.sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(server.counts().dropped(Dropped::SlowPeer), 1);
        assert_eq!(silent.read(&mut [0; 4]).await.unwrap(), 0);
        assert!(client.now() - begun >= Duration::from_secs(19));
        assert_eq!(server.counts().dropped(Dropped::SilentPeer), 1);
        // A record longer than the limit ends the connection before it is taken in.
        let long = connect().await;
        long.write_all(&[0xff; 4]).await.unwrap();
        assert!(!matches!(long.read(&mut [0; 4]).await, Ok(1..)));
        assert_eq!(server.counts().dropped(Dropped::BadRecord), 1);
        // One in pieces is fine, and so is whoever waits for a slow reply in silence.
        let patient = connect().await;
        let call = header(1, WAIT).message(&60_000u32, 100).unwrap();
        let (head, tail) = call.split_at(11);
        patient.write_all(&(head.len() as u32).to_be_bytes()).await.unwrap();
        patient.write_all(head).await.unwrap();
        patient.write_all(&to_record(tail)).await.unwrap();
        let mut reply = [0; 32];
        patient.read_exact(&mut reply).await.unwrap();
        assert_eq!(reply[..8], [0x80, 0, 0, 28, 0, 0, 0, 1]);
    });
}

#[test]
fn calls_end_at_their_deadline_and_can_be_cancelled() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let World { mut net, client: host, .. } = world(ServerConfig::default());
        net.run(async {
            let config = ClientConfig { semantics: Semantics::AtLeastOnce, ..ClientConfig::default() };
            let client = client(&host, transport, config);
            client.null().await.unwrap();
            let begun = host.now();
            let second = Duration::from_secs(1);
            let late = client.call_within::<_, u32>(second, WAIT, &3000u32).await;
            assert!(matches!(late, Err(CallError::TimedOut { .. })), "{late:?}");
            assert_eq!(host.now() - begun, second);
            let cancelled = client.start::<_, u32>(WAIT, &1000u32);
            host.sleep(Duration::from_millis(10)).await;
            cancelled.abort();
            assert!(cancelled.await.unwrap_err().is_aborted());
            let sent = client.counts().retransmissions;
            host.sleep(Duration::from_secs(5)).await;
            assert_eq!(client.counts().retransmissions, sent, "a cancelled call is not sent again");
            assert!(client.counts().strays >= 2, "and its reply finds nobody");
            assert_eq!(client.call::<_, u32>(WAIT, &1u32).await.unwrap(), 1, "the connection still works");
        });
    }
}

#[test]
fn a_restarted_server_rejects_the_sessions_of_its_former_life_and_begins_new_ones() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let World { mut net, client: host, server, machine, seen } = world(ServerConfig::default());
        net.run(async {
            let client = client(&host, transport, ClientConfig::default());
            assert_eq!(client.call::<_, u32>(WAIT, &1u32).await.unwrap(), 1);
            // A server of another life in the same place: its duplicate-request cache is empty.
            server.shutdown();
            host.sleep(Duration::from_millis(10)).await;
            let next = Server::new(&machine, ServerConfig::default());
            let service = Waits { version: 2, host: machine.clone(), seen: Arc::clone(&seen) };
            next.add(Arc::new(service), Semantics::AtMostOnce).unwrap();
            next.listen_udp(SERVER).unwrap();
            next.listen_tcp(SERVER).unwrap();
            if transport == Transport::Udp {
                let error = client.call::<_, u32>(WAIT, &2u32).await.unwrap_err();
                assert!(matches!(error, CallError::ServerRestarted), "{error}");
                assert_eq!(seen.begun.load(Ordering::SeqCst), 1, "it was not executed");
            }
            assert_eq!(client.call::<_, u32>(WAIT, &3u32).await.unwrap(), 3);
        });
    }
}

/// Any bytes, by seed: nothing panics (a panic would end the world), and the server goes on.
#[test]
fn any_bytes_are_survived() {
    for seed in 0..20 {
        let World { mut net, client: host, server, .. } = world(ServerConfig::default());
        let registry = Registry::default();
        let mut rng = fastrand::Rng::with_seed(seed);
        let bytes = |rng: &mut fastrand::Rng| {
            let program = [PROGRAM, bind::PROGRAM][rng.usize(..2)];
            let flavours = [0, 1, 2, 6, rng.u32(..)];
            let mut call =
                words(&[rng.u32(..), 0, 2, program, rng.u32(..5), rng.u32(..13), flavours[rng.usize(..5)]]);
            call.extend((0..rng.usize(..120)).map(|_| [0, 0, 0, 1, 4, 255, 97][rng.usize(..7)]));
            for _ in 0..rng.usize(..3) {
                let at = rng.usize(..call.len());
                call[at] = rng.u8(..);
            }
            call.truncate(rng.usize(..=call.len()));
            call
        };
        net.run(async {
            bind::serve(&host, &registry, Some(1)).unwrap();
            let own = SocketAddr::from(([127, 0, 0, 1], bind::PORT));
            for to in [SERVER, own] {
                let socket = host.udp_bind(SocketAddr::from(([0, 0, 0, 0], 0))).unwrap();
                for _ in 0..400 {
                    socket.send_to(&bytes(&mut rng), to).await.unwrap();
                    host.sleep(Duration::from_micros(300)).await;
                }
                for _ in 0..40 {
                    let stream = host.tcp_connect(to).await.unwrap();
                    for _ in 0..rng.usize(1..4) {
                        let message = bytes(&mut rng);
                        let record = if rng.bool() { to_record(&message).to_vec() } else { message };
                        let _ = stream.write_all(&record).await;
                    }
                    host.sleep(Duration::from_millis(1)).await;
                }
            }
            let client = client(&host, Transport::Udp, ClientConfig::default());
            assert_eq!(client.call::<_, u32>(WAIT, &1u32).await.unwrap(), 1);
        });
        let counts = server.counts();
        assert!(counts.errors > 50 && counts.dropped(Dropped::Nonsense) > 10, "{counts:?}");
    }
}
