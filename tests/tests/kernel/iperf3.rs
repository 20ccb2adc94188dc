//! A server that speaks iperf3's protocol over our stack, so that the real iperf3 can be its client.
//!
//! On a control connection, states of one byte and JSON after its length in four bytes; the data goes over a second
//! connection. Each starts with the same cookie of 37 bytes.

use super::tcp::finish;
use std::io;
use std::process::Command;
use tapstack::net::{Host, TcpListener, TcpStream};
use tapstack_tests::rig::{Rig, stack};
use tapstack_tests::skips::{Outcome, ensure};

const PORT: u16 = 5201;
const COOKIE_LEN: usize = 37;
const JSON_BYTES_MAX: u32 = 1 << 20;
const CHUNK: usize = 128 << 10;

// The states of a test, by the numbers that iperf3 has for them.
const TEST_START: u8 = 1;
const TEST_RUNNING: u8 = 2;
const TEST_END: u8 = 4;
const PARAM_EXCHANGE: u8 = 9;
const CREATE_STREAMS: u8 = 10;
const EXCHANGE_RESULTS: u8 = 13;
const DISPLAY_RESULTS: u8 = 14;
const IPERF_DONE: u8 = 16;

pub(crate) fn measures_both_ways(rig: &Rig) -> Outcome {
    measure(rig, &[], false)?;
    measure(rig, &["--reverse"], true)
}

/// Has the real iperf3 move 16 MiB, to us or from us.
fn measure(rig: &Rig, more: &[&str], reverse: bool) -> Outcome {
    let listener = rig.host().tcp_listen(stack(PORT))?;
    let served = rig.host().spawn(serve(rig.host().clone(), listener, reverse));
    let output = Command::new("iperf3")
        .args(["--client", "10.0.0.2", "--bytes", "16M", "--json"])
        .args(more)
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure(output.status.success() && !said.contains("\"error\""), || {
        format!("iperf3 {more:?} says:\n{said}")
    })?;
    let moved = finish(rig, served)?;
    ensure(moved >= 16 << 20, || format!("{moved} bytes were moved"))
}

/// Serves one test; returns how many bytes the data connection has moved.
async fn serve(host: Host, listener: TcpListener, reverse: bool) -> io::Result<u64> {
    let (control, _) = listener.accept().await?;
    let mut cookie = [0; COOKIE_LEN];
    control.read_exact(&mut cookie).await?;
    control.set_nodelay(true)?;
    control.write_all(&[PARAM_EXCHANGE]).await?;
    read_json(&control).await?;
    control.write_all(&[CREATE_STREAMS]).await?;
    let (data, _) = listener.accept().await?;
    let mut same = [0; COOKIE_LEN];
    data.read_exact(&mut same).await?;
    if same != cookie {
        return Err(io::Error::other("the data connection has another cookie"));
    }
    control.write_all(&[TEST_START, TEST_RUNNING]).await?;
    let moving = host.spawn(async move { if reverse { pour(&data).await } else { drain(&data).await } });
    read_state(&control, TEST_END).await?;
    control.write_all(&[EXCHANGE_RESULTS]).await?;
    read_json(&control).await?;
    let results = concat!(
        r#"{"cpu_util_total":0,"cpu_util_user":0,"cpu_util_system":0,"sender_has_retransmits":0,"streams":"#,
        r#"[{"id":1,"bytes":16777216,"retransmits":0,"jitter":0,"errors":0,"packets":0,"start_time":0,"end_time":1}]}"#
    );
    control.write_all(&(results.len() as u32).to_be_bytes()).await?;
    control.write_all(results.as_bytes()).await?;
    control.write_all(&[DISPLAY_RESULTS]).await?;
    read_state(&control, IPERF_DONE).await?;
    moving.await.map_err(io::Error::other)
}

async fn read_state(control: &TcpStream, wanted: u8) -> io::Result<()> {
    let mut state = [0];
    control.read_exact(&mut state).await?;
    if state == [wanted] { Ok(()) } else { Err(io::Error::other(format!("state {state:?}, not {wanted}"))) }
}

async fn read_json(control: &TcpStream) -> io::Result<Vec<u8>> {
    let mut len = [0; 4];
    control.read_exact(&mut len).await?;
    let mut json = vec![0; u32::from_be_bytes(len).min(JSON_BYTES_MAX) as usize];
    control.read_exact(&mut json).await?;
    Ok(json)
}

/// Sends until the client has enough and goes away.
async fn pour(data: &TcpStream) -> u64 {
    let (chunk, mut moved) = (vec![0x5a; CHUNK], 0);
    while let Ok(len) = data.write(&chunk).await {
        moved += len as u64;
    }
    moved
}

/// Receives until the client goes away.
async fn drain(data: &TcpStream) -> u64 {
    let (mut chunk, mut moved) = (vec![0; CHUNK], 0);
    while let Ok(len @ 1..) = data.read(&mut chunk).await {
        moved += len as u64;
    }
    moved
}
