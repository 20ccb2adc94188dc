//! Tests of rpcbind between two simulated machines.

use super::*;
use crate::Bytes;
use crate::auth::AuthStatus;
use crate::client::{Client, ClientConfig};
use crate::error::CallError;
use crate::server::Dropped;
use tapstack::sim::{Sim, Wire};

const B: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

fn world() -> (Sim, Host, Host) {
    let mut net = Sim::new(1);
    let (a, b) = (net.machine("a", "10.0.0.1/24"), net.machine("b", "10.0.0.2/24"));
    net.wire(&a, &b, Wire::default());
    (net, a, b)
}

fn client(host: &Host, machine: IpAddr, transport: Transport, version: u32) -> Client {
    let config = ClientConfig { deadline: std::time::Duration::from_secs(2), ..ClientConfig::default() };
    Client::new(host, transport, SocketAddr::new(machine, PORT), PROGRAM, version, config).unwrap()
}

#[test]
fn programs_are_found_by_version_and_transport() {
    let (mut net, a, b) = world();
    let registry = Registry::default();
    serve(&b, &registry, Some(1_000_000)).unwrap();
    let any = SocketAddr::from(([0, 0, 0, 0], 2049));
    assert!(registry.set(300, 2, Transport::Tcp, any, "me"));
    assert!(!registry.set(300, 2, Transport::Tcp, any, "me"), "it is somewhere already");
    net.run(async {
        for (transport, program, version, found) in [
            (Transport::Tcp, 300, 2, Some(2049)),
            (Transport::Tcp, 300, 1, Some(2049)),
            (Transport::Udp, 300, 2, None),
            (Transport::Udp, PROGRAM, 4, Some(111)),
            (Transport::Tcp, 301, 1, None),
        ] {
            let answer = find(&a, B, transport, program, version).await;
            match found {
                Some(port) => assert_eq!(answer.unwrap(), SocketAddr::new(B, port)),
                None => assert!(matches!(answer, Err(CallError::ProgramUnavailable)), "{answer:?}"),
            }
        }
        let all = dump(&a, B).await.unwrap();
        assert_eq!(all.len(), 7, "three versions on two transports, and one more");
        assert!(all.iter().any(|entry| entry.program == 300 && entry.address == "0.0.0.0.8.1"));
        let old = client(&a, B, Transport::Udp, 2);
        let asked = Mapping { program: 300, version: 2, protocol: 6, port: 0 };
        assert_eq!(old.call::<_, u32>(3, &asked).await.unwrap(), 2049);
        let exact = Entry { program: 300, version: 1, ..Entry::default() };
        let new = client(&a, B, Transport::Tcp, 4);
        assert_eq!(new.call::<_, String>(9, &exact).await.unwrap(), "", "GETVERSADDR wants the version");
        assert!(new.call::<_, u32>(6, &()).await.unwrap() >= 1_000_000);
        let told: Bytes = new.call_raw(std::time::Duration::from_secs(2), 12, Bytes::new()).await.unwrap();
        let words: Vec<u32> =
            told.chunks_exact(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect();
        // Of version 2 one GETPORT, which found something.
        assert_eq!(words[..20], [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 300, 2, 1, 0]);
        let taddr: (u32, Bytes) = new.call(7, "10.0.0.9.0.1").await.unwrap();
        assert_eq!(new.call::<_, String>(8, &taddr).await.unwrap(), "10.0.0.9.0.1");
        let missing = client(&a, B, Transport::Tcp, 3).call::<_, String>(9, &exact).await;
        assert!(matches!(missing, Err(CallError::ProcedureUnavailable)), "version 3 doesn't have it");
        let five = client(&a, B, Transport::Udp, 5).null().await;
        assert!(matches!(five, Err(CallError::ProgramMismatch { low: 2, high: 4 })), "{five:?}");
    });
}

#[test]
fn only_the_machine_itself_registers_and_nobody_calls_through_it() {
    let (mut net, a, b) = world();
    let registry = Registry::default();
    let server = serve(&b, &registry, None).unwrap();
    net.run(async {
        let mapping = Mapping { program: 9, version: 1, protocol: 17, port: 99 };
        let far = client(&a, B, Transport::Udp, 2).call::<_, bool>(1, &mapping).await;
        assert!(matches!(far, Err(CallError::Auth(AuthStatus::TooWeak))), "{far:?}");
        let own = client(&b, B, Transport::Udp, 2);
        assert!(own.call::<_, bool>(1, &mapping).await.unwrap());
        assert!(!own.call::<_, bool>(1, &mapping).await.unwrap(), "it is there already");
        assert_eq!(find(&a, B, Transport::Udp, 9, 1).await.unwrap().port(), 99);
        assert!(own.call::<_, bool>(2, &mapping).await.unwrap());
        assert!(find(&a, B, Transport::Udp, 9, 1).await.is_err());
        // CALLIT, of rpcbind's own DUMP: no reply, and it is counted.
        let through = (PROGRAM, 2u32, 4u32, Bytes::new());
        let error = client(&a, B, Transport::Udp, 2).call::<_, (u32, Bytes)>(5, &through).await.unwrap_err();
        assert!(matches!(error, CallError::TimedOut { .. }), "{error:?}");
        assert!(server.counts().dropped(Dropped::Policy) > 0);
    });
}
