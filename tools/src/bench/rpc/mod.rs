//! `bench rpc`: null calls of libtirpc's client, answered by this stack's server and by libtirpc's own.

use super::Settings;
use super::ours::{Drive, OurServer};
use super::rounds::Rounds;
use super::server::{KernelServer, Role, Server, Shared, at, contender, measure, shared};
use super::stage::{self, PORT, SERVER};
use super::table::{Better, Metric};
use crate::ui;
use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tapstack::device::TapOptions;
use tapstack::net::Host;
use tapstack_rpc::{
    Answer, BoxFuture, Bytes, CallContext, Procedure, Refusal, Semantics, ServerConfig, Service, Transport,
};
use tempfile::TempDir;

const METRICS: &[Metric] = &[
    Metric { name: "p50", unit: "us", better: Better::Lower },
    Metric { name: "p99", unit: "us", better: Better::Lower },
];

/// Adds what is to be compared; nothing, and a note, where the programs in C can't be made.
pub(super) fn add(rounds: &mut Rounds<'_>, settings: Settings) -> io::Result<()> {
    if let Err(error) = programs() {
        ui::note(&format!("rpc is left out: gcc and libtirpc-dev are needed ({error})"));
        return Ok(());
    }
    let tap = stage::tap(TapOptions { offload: true, ..TapOptions::default() })?;
    let ours = shared(OurServer::new(tap, Drive::Loop)?);
    let kernel = shared(KernelServer::new(stage::veth(true)?));
    for (key, transport) in [("rpc.null.udp", Transport::Udp), ("rpc.null.tcp", Transport::Tcp)] {
        let mut add = |name: &str, server: &Shared| {
            let name = format!("rpc null {transport} {name}");
            contender(rounds, name, METRICS, server, move |server| calls(server, transport, settings))
        };
        let (ours, kernel) = (add("tapstack", &ours), add("libtirpc", &kernel));
        rounds.compare(key, ("tapstack", ours), ("libtirpc", kernel));
    }
    Ok(())
}

/// Calls for a while: the median and the 99th percentile, in microseconds.
fn calls(server: &mut dyn Server, transport: Transport, settings: Settings) -> io::Result<Vec<f64>> {
    let called = measure(server, Role::Rpc, |address| {
        null_calls(address, transport, settings.duration).map(|figures| (figures, 0.0))
    });
    called.map(|served| served.result)
}

/// Runs the client in C, in the calling thread's namespace.
fn null_calls(server: SocketAddr, transport: Transport, duration: Duration) -> io::Result<Vec<f64>> {
    let (address, port) = (server.ip().to_string(), server.port().to_string());
    let seconds = duration.as_secs_f64().to_string();
    let output = Command::new(programs()?.join("client"))
        .args([&address, &port, &transport.to_string(), &seconds])
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let figures: Vec<f64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match figures.as_slice() {
        [p50, p99, _calls] if output.status.success() => Ok(vec![*p50, *p99]),
        _ => Err(io::Error::other(format!("the client: {said}{}", String::from_utf8_lossy(&output.stderr)))),
    }
}

/// Serves null calls on a machine of this stack, until it is dropped.
pub(super) async fn serve(host: &Host) -> io::Result<()> {
    let server = tapstack_rpc::Server::new(host, ServerConfig::default());
    server.add(Arc::new(Null), Semantics::AtMostOnce)?;
    let _stop = Stop(server.clone());
    // The listeners of the round before go when their tasks have their turn.
    for (number, listen) in
        [tapstack_rpc::Server::listen_udp, tapstack_rpc::Server::listen_tcp].iter().enumerate()
    {
        let mut tries = 0;
        while let Err(error) = listen(&server, at(SERVER)) {
            tries += 1;
            if tries > LISTEN_TRIES_MAX {
                return Err(io::Error::new(error.kind(), format!("listener {number}: {error}")));
            }
            host.sleep(Duration::from_millis(1)).await;
        }
    }
    std::future::pending().await
}

const LISTEN_TRIES_MAX: u32 = 100;

struct Stop(tapstack_rpc::Server);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.shutdown();
    }
}

/// A program of which only procedure 0 is called.
struct Null;

impl Service for Null {
    fn program(&self) -> u32 {
        0x2074_6701
    }

    fn version(&self) -> u32 {
        1
    }

    fn procedures(&self) -> &[Procedure] {
        &[]
    }

    fn call<'a>(&'a self, _: &'a CallContext, _: u32, _: Bytes) -> BoxFuture<'a, Answer> {
        Box::pin(std::future::ready(Err(Refusal::ProcedureUnavailable)))
    }
}

/// libtirpc's server, in the calling thread's namespace, as long as this is held.
pub(super) struct KernelsServer(Child);

impl KernelsServer {
    pub(super) fn start() -> io::Result<KernelsServer> {
        let mut child =
            Command::new(programs()?.join("server")).arg(PORT.to_string()).stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take();
        let server = KernelsServer(child);
        let mut line = String::new();
        if let Some(out) = out {
            BufReader::new(out).read_line(&mut line)?;
        }
        if line == "serving\n" {
            Ok(server)
        } else {
            Err(io::Error::other("libtirpc's server did not start"))
        }
    }
}

impl Drop for KernelsServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where the programs in C are, which are made once.
fn programs() -> io::Result<&'static Path> {
    static BUILT: OnceLock<Result<TempDir, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|error| error.to_string()));
    built.as_ref().map(TempDir::path).map_err(|error| io::Error::other(error.clone()))
}

fn build() -> io::Result<TempDir> {
    let folder = tempfile::tempdir()?;
    for (name, source) in [("client", include_str!("client.c")), ("server", include_str!("server.c"))] {
        let file: PathBuf = folder.path().join(format!("{name}.c"));
        fs::write(&file, source)?;
        let output = Command::new("gcc")
            .args(["-O2", "-I/usr/include/tirpc", "-o"])
            .arg(folder.path().join(name))
            .arg(&file)
            .arg("-ltirpc")
            .output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let why = said.lines().find(|line| line.contains("error")).unwrap_or("gcc failed");
            return Err(io::Error::other(why.to_owned()));
        }
    }
    Ok(folder)
}
