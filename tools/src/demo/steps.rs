//! The steps of the demo, in their order, written once for both worlds.

use super::bulk::{Load, TRANSFER_BYTES};
use super::peer::{PATIENCE, Peer};
use super::stage::{ANNA, BEN, Held, KERNEL, NOBODY, Stage, Step, StepFuture};
use super::{calls, mail};

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use tapstack::net::{Host, JoinHandle, UdpSocket};
use tapstack::time::Duration;
use tapstack_page as web;

const ECHO_PORT: u16 = 7;
const WEB_PORT: u16 = 80;
const BULK_PORT: u16 = 5001;
/// A port at which nobody listens.
const CLOSED_PORT: u16 = 81;

/// Echo requests of each ping step.
const PINGS: u32 = 3;

/// Sizes of the datagrams of the UDP step: tiny, the largest that fits a frame, and one that has to be fragmented.
const DATAGRAM_SIZES: [usize; 4] = [1, 100, 1472, 4000];

/// How long a step may take before the demo gives it up.
pub(super) const STEP_TIME_MAX: Duration = Duration::from_secs(120);

/// All steps.
pub(super) const STEPS: [Step; 13] = [
    Step { title: "ARP", run: |stage| Box::pin(arp(stage)) },
    Step { title: "kernel pings the stack", run: |stage| Box::pin(kernel_pings(stage)) },
    Step { title: "stack pings the kernel", run: |stage| Box::pin(stack_pings(stage)) },
    Step { title: "UDP echo", run: |stage| Box::pin(udp_echo(stage)) },
    Step { title: "web page for the kernel", run: |stage| Box::pin(web_page(stage)) },
    Step { title: "remote procedure calls", run: |stage| Box::pin(calls::calls(stage)) },
    Step { title: "letters for a box", run: |stage| Box::pin(mail::letters(stage)) },
    Step { title: "64 MiB kernel → anna", run: kernel_to_anna },
    Step { title: "64 MiB anna → kernel", run: anna_to_kernel },
    Step { title: "64 MiB anna → ben", run: anna_to_ben },
    Step { title: "64 MiB ben → anna", run: ben_to_anna },
    Step { title: "connection refused", run: |stage| Box::pin(refused(stage)) },
    Step { title: "host unreachable", run: |stage| Box::pin(unreachable(stage)) },
];

/// Anna wants to talk to the kernel, and has to find its link address first.
async fn arp(stage: &Stage) -> Result<Held, String> {
    let ping = stage.anna.ping(KERNEL, b"who are you?", PATIENCE).await;
    ping.map_err(|error| format!("no answer from {KERNEL}: {error}"))?;
    let seen = stage.watch.seen();
    if !seen.asked.contains(&KERNEL) {
        return Err(format!("anna never asked who has {KERNEL}"));
    }
    match seen.answers.iter().find(|(address, _)| *address == KERNEL) {
        Some((_, mac)) => Ok(Held::new(format!("anna asked who has {KERNEL}: {mac}"))),
        None => Err(format!("nobody answered who has {KERNEL}")),
    }
}

async fn kernel_pings(stage: &Stage) -> Result<Held, String> {
    let anna = ping(&stage.kernel, ANNA).await?;
    let ben = ping(&stage.kernel, BEN).await?;
    Ok(Held::new(format!("anna {}, ben {}, {PINGS} replies each", short(anna), short(ben))))
}

async fn stack_pings(stage: &Stage) -> Result<Held, String> {
    let kernel = ping(&stage.anna_as_peer(), KERNEL).await?;
    let ben = ping(&stage.anna_as_peer(), BEN).await?;
    Ok(Held::new(format!("kernel {}, ben {}, {PINGS} replies each", short(kernel), short(ben))))
}

/// Pings a few times, each with a payload of another size; the shortest round trip.
async fn ping(from: &Peer, to: IpAddr) -> Result<Duration, String> {
    let mut best = Duration::MAX;
    for number in 0..PINGS {
        let payload: Vec<u8> = (0..=255).cycle().take(56 + 400 * number as usize).collect();
        let rtt = from.ping(to, &payload).await;
        best = best.min(rtt.map_err(|error| format!("ping {number} of {to}: {error}"))?);
    }
    Ok(best)
}

/// Anna echoes datagrams; the largest comes and goes in fragments.
async fn udp_echo(stage: &Stage) -> Result<Held, String> {
    let socket =
        stage.anna.udp_bind(Stage::at(ANNA, ECHO_PORT)).map_err(|e| format!("anna can't bind: {e}"))?;
    let asking = async {
        for size in DATAGRAM_SIZES {
            let question: Vec<u8> = (1..=251).cycle().take(size).collect();
            let answer = stage.kernel.ask(Stage::at(ANNA, ECHO_PORT), &question).await;
            if answer.map_err(|error| format!("datagram of {size} bytes: {error}"))? != question {
                return Err(format!("datagram of {size} bytes came back changed"));
            }
        }
        Ok(())
    };
    beside(&stage.anna, echo(socket), asking).await??;
    let largest = DATAGRAM_SIZES.iter().max().unwrap_or(&0);
    let count = DATAGRAM_SIZES.len();
    Ok(Held::new(format!("{count} came back, that of {largest} bytes in fragments")))
}

async fn echo(socket: UdpSocket) -> io::Result<()> {
    let mut datagram = vec![0; 1 << 16];
    loop {
        let (len, from) = socket.recv_from(&mut datagram).await?;
        socket.send_to(datagram.get(..len).unwrap_or_default(), from).await?;
    }
}

async fn web_page(stage: &Stage) -> Result<Held, String> {
    let server = Stage::at(ANNA, WEB_PORT);
    let listener = stage.anna.tcp_listen(server).map_err(|e| format!("anna can't listen: {e}"))?;
    let fetching = async {
        let page = stage.kernel.fetch(server, "/").await.map_err(|e| format!("GET /: {e}"))?;
        if page.status != 200 || page.body != web::PAGE.as_bytes() {
            return Err(format!("GET / brought status {} and {} bytes", page.status, page.body.len()));
        }
        let other = stage.kernel.fetch(server, "/other").await.map_err(|e| format!("GET /other: {e}"))?;
        if other.status != 404 {
            return Err(format!("GET /other brought status {}, not 404", other.status));
        }
        Ok(page.body.len())
    };
    let len = beside(&stage.anna, web::serve(stage.anna.clone(), listener), fetching).await??;
    Ok(Held::new(format!("GET http://{ANNA}/ brought 200 and {len} bytes")))
}

fn kernel_to_anna(stage: &Stage) -> StepFuture<'_> {
    Box::pin(transfer(stage, stage.kernel.clone(), stage.anna_as_peer(), ANNA, "kernel → anna"))
}

fn anna_to_kernel(stage: &Stage) -> StepFuture<'_> {
    Box::pin(transfer(stage, stage.anna_as_peer(), stage.kernel.clone(), KERNEL, "anna → kernel"))
}

fn anna_to_ben(stage: &Stage) -> StepFuture<'_> {
    Box::pin(transfer(stage, stage.anna_as_peer(), stage.ben_as_peer(), BEN, "anna → ben"))
}

fn ben_to_anna(stage: &Stage) -> StepFuture<'_> {
    Box::pin(transfer(stage, stage.ben_as_peer(), stage.anna_as_peer(), ANNA, "ben → anna"))
}

/// One side sends, the other collects; both have to have seen the same bytes.
async fn transfer(
    stage: &Stage,
    from: Peer,
    to: Peer,
    address: IpAddr,
    what: &'static str,
) -> Result<Held, String> {
    let target = Stage::at(address, BULK_PORT);
    let listener = to.listen(target).map_err(|e| format!("can't listen at {target}: {e}"))?;
    let progress = stage.progress(what, TRANSFER_BYTES);
    let load = Load { seed: stage.seed, bytes: TRANSFER_BYTES };
    let began = stage.anna.now();
    // Each side is a task of its own machine, so that each works on its own machine's thread, where there are some.
    let collecting = to.home(&stage.anna).spawn(listener.collect(progress.clone()));
    let sending = from.home(&stage.anna).spawn(async move { from.send(target, load).await });
    let sent = stage.anna.timeout(STEP_TIME_MAX, finished(sending)).await;
    let took = stage.anna.now() - began;
    progress.clear();
    let sent = match sent {
        Ok(Ok(sent)) => sent,
        Ok(Err(error)) => return Err(format!("the sender failed: {error}")),
        Err(_) => return Err("the sender saw no end".to_owned()),
    };
    let received = match stage.anna.timeout(PATIENCE, finished(collecting)).await {
        Ok(Ok(received)) => received,
        Ok(Err(error)) => return Err(format!("the receiver failed: {error}")),
        Err(_) => return Err("the receiver saw no end".to_owned()),
    };
    if received != sent {
        return Err(format!(
            "sent {} bytes ({}), received {} ({})",
            sent.bytes,
            sent.short_hash(),
            received.bytes,
            received.short_hash()
        ));
    }
    Ok(Held {
        said: format!("same SHA-256 on both sides: {}…", sent.short_hash()),
        moved: Some((sent.bytes, took)),
    })
}

async fn refused(stage: &Stage) -> Result<Held, String> {
    must_fail(
        stage.kernel.connect(Stage::at(ANNA, CLOSED_PORT)).await,
        ErrorKind::ConnectionRefused,
        "the kernel",
    )?;
    must_fail(
        stage.anna_as_peer().connect(Stage::at(KERNEL, CLOSED_PORT)).await,
        ErrorKind::ConnectionRefused,
        "anna",
    )?;
    Ok(Held::new("by a RST to a closed port, both ways"))
}

async fn unreachable(stage: &Stage) -> Result<Held, String> {
    let connecting = stage.anna_as_peer().connect(Stage::at(NOBODY, WEB_PORT)).await;
    must_fail(connecting, ErrorKind::HostUnreachable, "anna")?;
    let asked = stage.watch.seen().asked.iter().filter(|address| **address == NOBODY).count();
    Ok(Held::new(format!("nobody answered {asked} requests for {NOBODY}")))
}

fn must_fail(result: io::Result<()>, with: ErrorKind, who: &str) -> Result<(), String> {
    match result {
        Err(error) if error.kind() == with => Ok(()),
        Err(error) => Err(format!("{who} was told: {error}")),
        Ok(()) => Err(format!("{who} got a connection")),
    }
}

/// Awaits a task; one that is given up is stopped.
async fn finished<T>(task: JoinHandle<io::Result<T>>) -> io::Result<T> {
    struct AbortOnDrop<T>(JoinHandle<T>);
    impl<T> Drop for AbortOnDrop<T> {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    let mut task = AbortOnDrop(task);
    (&mut task.0).await.map_err(io::Error::other)?
}

/// Runs `service` as a task of `host` until `work` is done. Errors: the work was not done in time.
async fn beside<T>(
    host: &Host,
    service: impl Future<Output = io::Result<()>> + Send + 'static,
    work: impl Future<Output = T>,
) -> Result<T, String> {
    let service = host.spawn(service);
    let result = host.timeout(STEP_TIME_MAX, work).await;
    service.abort();
    // Its sockets are closed when this says so, and their ports free again.
    let _ = service.await;
    result.map_err(|_| "took too long".to_owned())
}

/// A time in the unit that suits it.
pub(super) fn short(time: Duration) -> String {
    let micros = time.as_micros();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}
