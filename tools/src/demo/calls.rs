//! The demo's step with remote procedure calls: ben asks anna's rpcbind for a program, and calls it.

use super::peer::PATIENCE;
use super::stage::{ANNA, Held, Stage, words};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tapstack::net::Host;
use tapstack_rpc::{
    Answer, BoxFuture, Bytes, CallContext, ClientConfig, Procedure, Refusal, Semantics, Server, ServerConfig,
    Service, Transport, bind,
};

/// The program's number, of the range that is free for everybody's own use (RFC 5531 section 8.4).
const PROGRAM: u32 = 0x2000_7468;
const VERSION: u32 = 1;
/// Adds a number to a sum, and returns the sum.
const ADD: u32 = 1;
/// What is added, over each transport.
const NUMBERS: [u32; 3] = [1, 20, 300];

/// At most once, over UDP and TCP; each call has to have run exactly once, since nothing crashes here.
pub(super) async fn calls(stage: &Stage) -> Result<Held, String> {
    let server = Server::new(&stage.anna, ServerConfig::default());
    let sum = Arc::new(Sum::default());
    server.add(Arc::clone(&sum) as Arc<dyn Service>, Semantics::AtMostOnce).map_err(words)?;
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    let registry = bind::Registry::default();
    registry.set_all(&server, Transport::Udp, server.listen_udp(any).map_err(words)?);
    registry.set_all(&server, Transport::Tcp, server.listen_tcp(any).map_err(words)?);
    let rpcbind = bind::serve(&stage.anna, &registry, None).map_err(words)?;
    let called = stage.ben.timeout(PATIENCE, call(&stage.ben)).await;
    server.shutdown();
    rpcbind.shutdown();
    let calls = called.map_err(|_| "took too long".to_owned())??;
    let runs = sum.runs.load(Ordering::SeqCst);
    if runs != calls {
        return Err(format!("{calls} calls ran {runs} times"));
    }
    Ok(Held::new(format!("found by rpcbind; {calls} calls over UDP and TCP ran once each")))
}

/// Calls over both transports; returns how many calls that were.
async fn call(ben: &Host) -> Result<u32, String> {
    let (mut calls, mut sum) = (0, 0);
    for transport in [Transport::Udp, Transport::Tcp] {
        let config = ClientConfig::default();
        let client = bind::connect(ben, ANNA, transport, PROGRAM, VERSION, config).await.map_err(words)?;
        for number in NUMBERS {
            let answer: u32 = client.call(ADD, &number).await.map_err(words)?;
            (calls, sum) = (calls + 1, sum + number);
            if answer != sum {
                return Err(format!("over {transport}, the sum should be {sum} and is {answer}"));
            }
        }
    }
    Ok(calls)
}

/// A program that adds up, and counts how often it ran.
#[derive(Default)]
struct Sum {
    sum: AtomicU32,
    runs: AtomicU32,
}

impl Service for Sum {
    fn program(&self) -> u32 {
        PROGRAM
    }

    fn version(&self) -> u32 {
        VERSION
    }

    fn procedures(&self) -> &[Procedure] {
        const PROCEDURES: [Procedure; 1] = [Procedure { number: ADD, name: "ADD", idempotent: false }];
        &PROCEDURES
    }

    fn call<'a>(
        &'a self,
        context: &'a CallContext,
        procedure: u32,
        arguments: Bytes,
    ) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            if procedure != ADD {
                return Err(Refusal::ProcedureUnavailable);
            }
            let number: u32 = context.decode(&arguments)?;
            self.runs.fetch_add(1, Ordering::SeqCst);
            context.encode(&(self.sum.fetch_add(number, Ordering::SeqCst) + number))
        })
    }
}
