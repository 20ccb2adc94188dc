//! `tapstack nc`: standard input and output joined to a connection of the machine.

use super::super::args::{NcArgs, address as parse_address};
use super::super::client::Machine;
use super::super::protocol::{FRAME_BYTES_MAX, Frame, Reply, Request};
use super::unexpected;
use crate::Failure;
use crate::ui::{self, Ui};
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(super) fn run(ui: &Ui, args: &NcArgs) -> Result<(), Failure> {
    let timeout_ms = u32::try_from(args.timeout.as_millis()).unwrap_or(u32::MAX);
    let request = match (args.listen, args.target.as_slice()) {
        (true, [port]) => Request::Listen { port: parse_port(port)?, udp: args.udp },
        (true, _) => return Err(misused("with --listen, just PORT is wanted")),
        (false, [address, port]) => {
            let ip = parse_address(address).map_err(|why| misused(&format!("{address:?}: {why}")))?;
            let to = SocketAddr::new(ip, parse_port(port)?);
            Request::Connect { to, udp: args.udp, timeout_ms }
        }
        (false, _) => return Err(misused("ADDRESS and PORT are wanted")),
    };
    let machine = Machine::find(args.which.name.as_deref())?;
    let (stream, reply) = machine.open(&request, args.timeout)?;
    let Reply::Open { local, peer } = reply else { return unexpected() };
    if !ui.is_quiet() && io::stderr().is_terminal() {
        match peer {
            Some(peer) => ui::note(&format!("{local} is connected to {peer}")),
            None => ui::note(&format!("listening on {local}")),
        }
    }
    let stream = Arc::new(stream);
    let input_ended = Arc::new(AtomicBool::new(false));
    let input = {
        let (stream, ended, udp) = (Arc::clone(&stream), Arc::clone(&input_ended), args.udp);
        move || {
            // The other direction finds out as well when the machine is gone.
            let _ = send_input(&stream);
            ended.store(true, Ordering::SeqCst);
            if udp {
                // Wakes the reader, so that its time-out counts from here.
                let _ = Frame::End.write(&mut &*stream);
            }
        }
    };
    std::thread::Builder::new()
        .name("input".to_owned())
        .spawn(input)
        .map_err(|error| Failure::Failed(format!("can't start a thread: {error}")))?;
    receive(ui, &stream, args, &input_ended)
}

/// Sends standard input to its end.
fn send_input(stream: &UnixStream) -> io::Result<()> {
    let (mut input, mut chunk) = (io::stdin().lock(), vec![0; CHUNK_BYTES]);
    loop {
        match input.read(&mut chunk) {
            Ok(0) => return Frame::End.write(&mut &*stream),
            Ok(len) => Frame::Data(chunk.get(..len).unwrap_or_default().to_vec()).write(&mut &*stream)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Writes what comes to standard output, until the session is over.
fn receive(ui: &Ui, stream: &UnixStream, args: &NcArgs, input_ended: &AtomicBool) -> Result<(), Failure> {
    let broken = |error: &io::Error| Failure::Failed(format!("the session broke: {}", ui::reason(error)));
    let mut quiet_for = Duration::ZERO;
    loop {
        if args.udp {
            match wait_readable(stream, TICK) {
                true => quiet_for = Duration::ZERO,
                false if !input_ended.load(Ordering::SeqCst) || args.listen => continue,
                false => {
                    quiet_for += TICK;
                    if quiet_for < args.quiet_after {
                        continue;
                    }
                    let _ = stream.shutdown(Shutdown::Both);
                    return Ok(());
                }
            }
        }
        match Frame::read(&mut &*stream).map_err(|error| broken(&error))? {
            None => return Ok(()),
            Some(Frame::Data(data)) => {
                let mut output = io::stdout().lock();
                if output.write_all(&data).and_then(|()| output.flush()).is_err() {
                    // Nobody reads any more.
                    return Ok(());
                }
            }
            Some(Frame::End) if io::stdin().is_terminal() => return Ok(()),
            // The other direction may go on: the machine closes the socket when both have ended.
            Some(Frame::End) => {}
            Some(Frame::Broken(why)) => return Err(Failure::Failed(why)),
            Some(Frame::Note(note)) => {
                if !ui.is_quiet() && io::stderr().is_terminal() {
                    ui::note(&note);
                }
            }
        }
    }
}

fn wait_readable(stream: &UnixStream, timeout: Duration) -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    let wait = rustix::time::Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(timeout.subsec_nanos()),
    };
    poll(&mut [PollFd::new(stream, PollFlags::IN)], Some(&wait)).is_ok_and(|ready| ready > 0)
}

fn parse_port(text: &str) -> Result<u16, Failure> {
    let port = text.parse().ok().filter(|&port| port > 0);
    port.ok_or_else(|| misused(&format!("{text:?} is no port: it is a number from 1 to 65535")))
}

fn misused(what: &str) -> Failure {
    Failure::Misused(format!("{what} (see tapstack nc --help)"))
}

/// Bytes of a piece of input at most; with UDP, of a datagram.
const CHUNK_BYTES: usize = if FRAME_BYTES_MAX < 32_768 { FRAME_BYTES_MAX } else { 32_768 };
const TICK: Duration = Duration::from_millis(50);
