//! Programs that everybody has, on the kernel's side: ping, curl, netcat.

use super::tcp::{collect, finish, send, wait};
use std::io::{Read as _, Write as _};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tapstack_tests::http;
use tapstack_tests::rig::{KERNEL, Rig, kernel, stack};
use tapstack_tests::skips::{Outcome, ensure};
use tapstack_tests::stream::Stream;

const PINGS: u32 = 20;
const NETCAT_BYTES: u64 = 1 << 20;

pub(crate) fn kernel_pings_stack(rig: &Rig) -> Outcome {
    let lossy = rig.is_lossy();
    let said = run("ping", &["-n", "-c", "20", "-i", "0.02", "-W", "1", "10.0.0.2"])?;
    let received = received(&said).ok_or_else(|| format!("ping says:\n{said}"))?;
    let enough = if lossy { PINGS / 2 + 1 } else { PINGS };
    ensure((enough..=PINGS).contains(&received) && !said.contains("DUP"), || format!("ping says:\n{said}"))
}

pub(crate) fn kernel_pings_in_fragments(_: &Rig) -> Outcome {
    let said = run("ping", &["-n", "-c", "5", "-i", "0.02", "-W", "1", "-s", "9000", "10.0.0.2"])?;
    ensure(received(&said) == Some(5), || format!("ping says:\n{said}"))
}

pub(crate) fn stack_pings_kernel(rig: &Rig) -> Outcome {
    let mut received = 0;
    for number in 0..PINGS as usize {
        let mut payload = vec![0; number * 200];
        Stream::new(number as u64).fill(&mut payload);
        // The host gives a pong only when the payload has come back as it was.
        let pong = wait(rig, rig.host().ping(KERNEL.into(), &payload, Duration::from_secs(1)))?;
        received += u32::from(pong.is_ok_and(|pong| pong.len == payload.len()));
    }
    let enough = if rig.is_lossy() { PINGS / 2 + 1 } else { PINGS };
    ensure(received >= enough, || format!("{received} of {PINGS} pings were answered"))
}

pub(crate) fn curl_fetches_a_page(rig: &Rig) -> Outcome {
    let page = curl(rig, "/")?;
    ensure(page == http::PAGE.as_bytes(), || String::from_utf8_lossy(&page).into_owned())?;
    ensure(curl(rig, "/nothing").is_err(), || "curl takes a 404 for a page".to_owned())
}

pub(crate) fn curl_fetches_a_file(rig: &Rig) -> Outcome {
    let file = curl(rig, "/file")?;
    let mut expected = Stream::new(http::FILE_STREAM);
    expected.check(&file);
    ensure(file.len() as u64 == http::FILE_BYTES, || format!("{} bytes", file.len()))
}

/// netcat as a client that sends a file and waits for the answer, then as a server.
pub(crate) fn netcat_sends_and_receives(rig: &Rig) -> Outcome {
    let listener = rig.host().tcp_listen(stack(7))?;
    let served = rig.host().spawn(async move {
        let (stream, _) = listener.accept().await?;
        collect(&stream, 1, NETCAT_BYTES).await?;
        send(&stream, 2, NETCAT_BYTES).await
    });
    netcat(&["-N", "-w", "20", "10.0.0.2", "7"])?;
    finish(rig, served)?;
    let host = rig.host().clone();
    let asked = rig.host().spawn(async move {
        let mut tries = 0;
        let stream = loop {
            match host.tcp_connect(kernel(8)).await {
                Ok(stream) => break stream,
                // netcat needs a moment until it listens.
                Err(_) if tries < 500 => host.sleep(Duration::from_millis(10)).await,
                Err(error) => return Err(error),
            }
            tries += 1;
        };
        // netcat ends as soon as its peer has closed, whatever it still has to send: so it is heard out first.
        collect(&stream, 1, NETCAT_BYTES).await?;
        send(&stream, 2, NETCAT_BYTES).await
    });
    netcat(&["-l", "-N", "-w", "20", "10.0.0.1", "8"])?;
    Ok(finish(rig, asked)?)
}

/// Runs netcat: it sends stream 1 and has to get stream 2.
fn netcat(arguments: &[&str]) -> Outcome {
    let mut child = Command::new("nc")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let (mut input, mut output) = (child.stdin.take(), child.stdout.take());
    let mut bytes = vec![0; NETCAT_BYTES as usize];
    Stream::new(1).fill(&mut bytes);
    let mut got = Vec::new();
    let moved = std::thread::scope(|scope| {
        let writing = scope.spawn(|| input.take().map_or(Ok(()), |mut input| input.write_all(&bytes)));
        let read = output.as_mut().map_or(Ok(0), |output| output.read_to_end(&mut got));
        read.and(writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let status = child.wait()?;
    moved?;
    ensure(status.success() && got.len() as u64 == NETCAT_BYTES, || {
        format!("netcat: {status}, {} bytes", got.len())
    })?;
    Stream::new(2).check(&got);
    Ok(())
}

fn curl(rig: &Rig, path: &str) -> Result<Vec<u8>, libtest_mimic::Failed> {
    let listener = rig.host().tcp_listen(stack(80))?;
    let server = rig.host().spawn(http::serve(rig.host().clone(), listener));
    let url = format!("http://10.0.0.2{path}");
    let got =
        output("curl", &["--silent", "--show-error", "--fail", "--noproxy", "*", "--max-time", "100", &url]);
    server.abort();
    // The port is free again when the task is gone.
    drop(wait(rig, server)?);
    Ok(got?.stdout)
}

/// What a program prints, if it says that all is well.
fn run(program: &str, arguments: &[&str]) -> Result<String, libtest_mimic::Failed> {
    output(program, arguments).map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn output(program: &str, arguments: &[&str]) -> Result<Output, libtest_mimic::Failed> {
    let output = Command::new(program).args(arguments).output()?;
    if output.status.success() {
        return Ok(output);
    }
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    Err(format!("{program}: {}\n{}", output.status, String::from_utf8_lossy(&said)).into())
}

/// From `20 packets transmitted, 19 received, …`.
fn received(said: &str) -> Option<u32> {
    let (before, _) = said.split_once(" received")?;
    before.rsplit([' ', ',']).next()?.parse().ok()
}
