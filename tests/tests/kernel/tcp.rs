//! TCP between the kernel's sockets and ours.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{Builder, ScopedJoinHandle, scope};
use std::time::{Duration, Instant};
use tapstack::net::{self, Host, JoinHandle};
use tapstack_tests::block_on::block_on;
use tapstack_tests::rig::{PATIENCE, Rig, kernel, stack};
use tapstack_tests::skips::{Outcome, ensure};
use tapstack_tests::stream::Stream;

const BULK_BYTES: u64 = 64 << 20;
const BOTH_WAYS_BYTES: u64 = 16 << 20;
const CHUNK: usize = 64 << 10;

/// Far more than windows and buffers hold, so that the sender has to wait.
const SLOW_BYTES: u64 = 8 << 20;
const SLOW_CHUNK: usize = 10_000;
const PAUSES: u64 = 5;
const PAUSE: Duration = Duration::from_millis(300);

const CONNECTIONS: usize = 200;
const GREETING: &[u8] = b"hello";
const PIECES: usize = 8;
const PIECE: usize = 4 << 10;

/// Names of streams by direction.
const TO_STACK: u64 = 1;
const TO_KERNEL: u64 = 2;

pub(crate) fn bulk_from_kernel(rig: &Rig) -> Outcome {
    let listener = rig.host().tcp_listen(stack(7))?;
    let collected = rig.host().spawn(async move {
        let (stream, _) = listener.accept().await?;
        collect(&stream, TO_STACK, BULK_BYTES).await?;
        stream.shutdown().await
    });
    let mut stream = connect(stack(7))?;
    send_from_kernel(&stream, TO_STACK, BULK_BYTES)?;
    expect_end(&mut stream)?;
    Ok(finish(rig, collected)?)
}

pub(crate) fn bulk_from_stack(rig: &Rig) -> Outcome {
    let listener = TcpListener::bind(kernel(7))?;
    let host = rig.host().clone();
    let sent = rig.host().spawn(async move {
        let stream = host.tcp_connect(kernel(7)).await?;
        send(&stream, TO_KERNEL, BULK_BYTES).await?;
        collect(&stream, TO_STACK, 0).await
    });
    collect_on_kernel(&accept(&listener)?, TO_KERNEL, BULK_BYTES)?;
    Ok(finish(rig, sent)?)
}

pub(crate) fn bulk_both_ways_at_once(rig: &Rig) -> Outcome {
    let listener = TcpListener::bind(kernel(7))?;
    let host = rig.host().clone();
    let exchanged = rig.host().spawn(async move {
        let stream = Arc::new(host.tcp_connect(kernel(7)).await?);
        let writer = Arc::clone(&stream);
        let sent = host.spawn(async move { send(&writer, TO_KERNEL, BOTH_WAYS_BYTES).await });
        collect(&stream, TO_STACK, BOTH_WAYS_BYTES).await?;
        sent.await.map_err(io::Error::other)?
    });
    let stream = accept(&listener)?;
    scope(|scope| -> io::Result<()> {
        let sent = scope.spawn(|| send_from_kernel(&stream, TO_STACK, BOTH_WAYS_BYTES));
        collect_on_kernel(&stream, TO_KERNEL, BOTH_WAYS_BYTES)?;
        joined(sent)
    })?;
    Ok(finish(rig, exchanged)?)
}

pub(crate) fn many_connections_from_kernel(rig: &Rig) -> Outcome {
    let listener = rig.host().tcp_listen(stack(7))?;
    let server = rig.host().spawn(echo(rig.host().clone(), listener));
    let connected = at_once((0..CONNECTIONS).map(|_| || greet_from_kernel(connect(stack(7))?)))?;
    // All of them are open before the first one says anything.
    at_once(
        connected.into_iter().enumerate().map(|(number, stream)| move || exchange_on_kernel(stream, number)),
    )?;
    server.abort();
    Ok(())
}

pub(crate) fn many_connections_from_stack(rig: &Rig) -> Outcome {
    let listener = TcpListener::bind(kernel(7))?;
    let host = rig.host();
    let connecting: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            host.spawn({
                let host = host.clone();
                async move { greet(host.tcp_connect(kernel(7)).await?).await }
            })
        })
        .collect();
    let accepted = (0..CONNECTIONS).map(|_| accept(&listener)).collect::<io::Result<Vec<_>>>()?;
    let mut exchanging = Vec::new();
    let mut connected = Vec::new();
    for connection in connecting {
        connected.push(finish(rig, connection)?);
    }
    for (number, stream) in connected.into_iter().enumerate() {
        exchanging.push(host.spawn(exchange(stream, number)));
    }
    at_once(accepted.into_iter().map(|stream| move || echo_on_kernel(stream)))?;
    for connection in exchanging {
        finish(rig, connection)?;
    }
    Ok(())
}

/// A program that lets its window fill up, several times: its sender waits for each window to open again, also where the
/// ACK that says so is lost.
pub(crate) fn a_slow_reader_on_the_stack(rig: &Rig) -> Outcome {
    let listener = rig.host().tcp_listen(stack(7))?;
    let host = rig.host().clone();
    let collected = rig.host().spawn(async move {
        let (stream, _) = listener.accept().await?;
        let (mut bytes, mut chunk) = (Stream::new(TO_STACK), vec![0; SLOW_CHUNK]);
        while bytes.position() < SLOW_BYTES {
            if bytes.position() % (SLOW_BYTES / PAUSES) < SLOW_CHUNK as u64 {
                host.sleep(PAUSE).await;
            }
            match stream.read(&mut chunk).await? {
                0 => break,
                received => bytes.check(&chunk[..received]),
            }
        }
        assert_eq!(bytes.position(), SLOW_BYTES, "the stream ends where it should");
        stream.shutdown().await
    });
    let mut stream = connect(stack(7))?;
    send_from_kernel(&stream, TO_STACK, SLOW_BYTES)?;
    expect_end(&mut stream)?;
    Ok(finish(rig, collected)?)
}

pub(crate) fn a_slow_reader_on_the_kernel(rig: &Rig) -> Outcome {
    let listener = TcpListener::bind(kernel(7))?;
    let host = rig.host().clone();
    let sent = rig.host().spawn(async move {
        let stream = host.tcp_connect(kernel(7)).await?;
        send(&stream, TO_KERNEL, SLOW_BYTES).await?;
        collect(&stream, TO_STACK, 0).await
    });
    let mut stream = accept(&listener)?;
    let (mut bytes, mut chunk) = (Stream::new(TO_KERNEL), vec![0; SLOW_CHUNK]);
    while bytes.position() < SLOW_BYTES {
        if bytes.position() % (SLOW_BYTES / PAUSES) < SLOW_CHUNK as u64 {
            std::thread::sleep(PAUSE);
        }
        let received = stream.read(&mut chunk)?;
        ensure(received > 0, || format!("the stream ends at {}", bytes.position()))?;
        bytes.check(&chunk[..received]);
    }
    drop(stream);
    Ok(finish(rig, sent)?)
}

/// Ports and whatever else a connection takes are there again for later ones.
pub(crate) fn one_connection_after_another(rig: &Rig) -> Outcome {
    let listener = rig.host().tcp_listen(stack(7))?;
    let server = rig.host().spawn(echo(rig.host().clone(), listener));
    for number in 0..CONNECTIONS {
        exchange_on_kernel(greet_from_kernel(connect(stack(7))?)?, number)?;
    }
    server.abort();
    let listener = TcpListener::bind(kernel(7))?;
    let host = rig.host().clone();
    let exchanged = rig.host().spawn(async move {
        for number in 0..CONNECTIONS {
            exchange(greet(host.tcp_connect(kernel(7)).await?).await?, number).await?;
        }
        Ok::<_, io::Error>(())
    });
    for _ in 0..CONNECTIONS {
        echo_on_kernel(accept(&listener)?)?;
    }
    Ok(finish(rig, exchanged)?)
}

pub(crate) fn refused_both_ways(rig: &Rig) -> Outcome {
    let started = Instant::now();
    let from_kernel = connect(stack(9)).map(drop).map_err(|error| error.kind());
    ensure(from_kernel == Err(ErrorKind::ConnectionRefused), || format!("the kernel got {from_kernel:?}"))?;
    let from_stack = wait(rig, rig.host().tcp_connect(kernel(9)))?.map(drop).map_err(|error| error.kind());
    ensure(from_stack == Err(ErrorKind::ConnectionRefused), || format!("the stack got {from_stack:?}"))?;
    // Far from any time-out: even where a SYN or its RST is lost, the next one is a second later.
    ensure(started.elapsed() < Duration::from_secs(10), || format!("it took {:?}", started.elapsed()))
}

/// The kernel says all that it has to say, and then gets its answer.
pub(crate) fn half_closed_by_kernel(rig: &Rig) -> Outcome {
    let listener = rig.host().tcp_listen(stack(7))?;
    let answered = rig.host().spawn(async move {
        let (stream, _) = listener.accept().await?;
        collect(&stream, TO_STACK, 10_000).await?;
        send(&stream, TO_KERNEL, 1 << 20).await
    });
    let stream = connect(stack(7))?;
    send_from_kernel(&stream, TO_STACK, 10_000)?;
    collect_on_kernel(&stream, TO_KERNEL, 1 << 20)?;
    Ok(finish(rig, answered)?)
}

pub(crate) fn half_closed_by_stack(rig: &Rig) -> Outcome {
    let listener = TcpListener::bind(kernel(7))?;
    let host = rig.host().clone();
    let answered = rig.host().spawn(async move {
        let stream = host.tcp_connect(kernel(7)).await?;
        send(&stream, TO_KERNEL, 10_000).await?;
        collect(&stream, TO_STACK, 1 << 20).await
    });
    let stream = accept(&listener)?;
    collect_on_kernel(&stream, TO_KERNEL, 10_000)?;
    send_from_kernel(&stream, TO_STACK, 1 << 20)?;
    Ok(finish(rig, answered)?)
}

/// Linux resets a connection that is closed before all that came in was read.
pub(crate) fn reset_by_kernel(rig: &Rig) -> Outcome {
    let listener = TcpListener::bind(kernel(7))?;
    let host = rig.host().clone();
    let reset = rig.host().spawn(async move {
        let stream = host.tcp_connect(kernel(7)).await?;
        stream.write_all(b"nobody reads this").await?;
        Ok::<_, io::Error>(stream.read(&mut [0; 100]).await.map_err(|error| error.kind()))
    });
    let stream = accept(&listener)?;
    stream.peek(&mut [0])?;
    drop(stream);
    let got = finish(rig, reset)?;
    ensure(got == Err(ErrorKind::ConnectionReset), || format!("the stack's read said {got:?}"))
}

pub(crate) fn reset_by_stack(rig: &Rig) -> Outcome {
    let listener = rig.host().tcp_listen(stack(7))?;
    let mut stream = connect(stack(7))?;
    let (accepted, _) = wait(rig, listener.accept())??;
    accepted.abort();
    let got = stream.read(&mut [0; 100]).map_err(|error| error.kind());
    ensure(got == Err(ErrorKind::ConnectionReset), || format!("the kernel's read said {got:?}"))
}

/// RFC 2525 section 2.17: data that will never be read must not be acknowledged as if it had been; the peer gets a RST.
pub(crate) fn closed_with_unread_data(rig: &Rig) -> Outcome {
    let listener = rig.host().tcp_listen(stack(7))?;
    let mut stream = connect(stack(7))?;
    stream.write_all(b"nobody reads this")?;
    let (accepted, _) = wait(rig, listener.accept())??;
    wait(rig, accepted.peek(&mut [0]))??;
    drop(accepted);
    let got = stream.read(&mut [0; 100]).map_err(|error| error.kind());
    ensure(got == Err(ErrorKind::ConnectionReset), || format!("the kernel's read said {got:?}"))
}

pub(crate) fn a_host_that_is_not_there(rig: &Rig) -> Outcome {
    let nobody = "10.0.0.99:80".parse()?;
    let got = wait(rig, rig.host().tcp_connect(nobody))?.map(drop).map_err(|error| error.kind());
    ensure(got == Err(ErrorKind::HostUnreachable), || format!("the stack got {got:?}"))
}

/// A connection of the kernel's whose calls end some time.
pub(crate) fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    with_patience(TcpStream::connect_timeout(&to, PATIENCE)?)
}

/// Accepts on the kernel's side, and gives up when nobody comes.
pub(crate) fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let until = Instant::now() + PATIENCE;
    listener.set_nonblocking(true)?;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return with_patience(stream);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error),
        }
    }
}

/// Waits for something of the machine's. Errors: it took too long.
pub(crate) fn wait<F: Future>(rig: &Rig, future: F) -> io::Result<F::Output> {
    block_on(rig.host().timeout(PATIENCE * 2, future))
}

/// Waits for a task on the machine. Errors: its own; it took too long; it panicked.
pub(crate) fn finish<T>(rig: &Rig, task: JoinHandle<io::Result<T>>) -> io::Result<T> {
    wait(rig, task)?.map_err(io::Error::other)?
}

fn with_patience(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sends a stream and closes this side.
pub(crate) async fn send(stream: &net::TcpStream, name: u64, len: u64) -> io::Result<()> {
    let (mut bytes, mut chunk) = (Stream::new(name), vec![0; CHUNK]);
    while bytes.position() < len {
        let piece = (len - bytes.position()).min(CHUNK as u64) as usize;
        bytes.fill(&mut chunk[..piece]);
        stream.write_all(&chunk[..piece]).await?;
    }
    stream.shutdown().await
}

/// Receives a stream and its end.
pub(crate) async fn collect(stream: &net::TcpStream, name: u64, len: u64) -> io::Result<()> {
    let (mut bytes, mut chunk) = (Stream::new(name), vec![0; CHUNK]);
    loop {
        match stream.read(&mut chunk).await? {
            0 => break,
            received => bytes.check(&chunk[..received]),
        }
    }
    assert_eq!(bytes.position(), len, "the stream ends where it should");
    Ok(())
}

fn send_from_kernel(mut stream: &TcpStream, name: u64, len: u64) -> io::Result<()> {
    let (mut bytes, mut chunk) = (Stream::new(name), vec![0; CHUNK]);
    while bytes.position() < len {
        let piece = (len - bytes.position()).min(CHUNK as u64) as usize;
        bytes.fill(&mut chunk[..piece]);
        stream.write_all(&chunk[..piece])?;
    }
    stream.shutdown(Shutdown::Write)
}

fn collect_on_kernel(mut stream: &TcpStream, name: u64, len: u64) -> io::Result<()> {
    let (mut bytes, mut chunk) = (Stream::new(name), vec![0; CHUNK]);
    loop {
        match stream.read(&mut chunk)? {
            0 => break,
            received => bytes.check(&chunk[..received]),
        }
    }
    assert_eq!(bytes.position(), len, "the stream ends where it should");
    Ok(())
}

fn expect_end(stream: &mut TcpStream) -> io::Result<()> {
    let received = stream.read(&mut [0])?;
    assert_eq!(received, 0, "the peer closes when it has everything");
    Ok(())
}

/// Runs every piece of work on a thread of its own, all at once. Errors: the first one's.
fn at_once<T: Send, W: FnOnce() -> io::Result<T> + Send>(
    work: impl Iterator<Item = W>,
) -> io::Result<Vec<T>> {
    scope(|scope| {
        let threads: io::Result<Vec<_>> =
            work.map(|work| Builder::new().stack_size(256 << 10).spawn_scoped(scope, work)).collect();
        threads?.into_iter().map(joined).collect()
    })
}

fn joined<T>(thread: ScopedJoinHandle<'_, io::Result<T>>) -> io::Result<T> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Says something at once. A server that sends SYN cookies forgets whom it sent one to: where the ACK that brings it back
/// is lost, only the client's data does so again (RFC 4987 section 3.6).
fn greet_from_kernel(mut stream: TcpStream) -> io::Result<TcpStream> {
    stream.write_all(GREETING).map(|()| stream)
}

async fn greet(stream: net::TcpStream) -> io::Result<net::TcpStream> {
    stream.write_all(GREETING).await.map(|()| stream)
}

/// Sends this connection's own bytes to somebody who echoes them, piece by piece, and checks what comes back.
fn exchange_on_kernel(mut stream: TcpStream, number: usize) -> io::Result<()> {
    let (mut sent, mut received) = (Stream::new(number as u64), Stream::new(number as u64));
    let mut piece = vec![0; PIECE];
    stream.read_exact(&mut piece[..GREETING.len()])?;
    assert_eq!(&piece[..GREETING.len()], GREETING);
    for _ in 0..PIECES {
        sent.fill(&mut piece);
        stream.write_all(&piece)?;
        stream.read_exact(&mut piece)?;
        received.check(&piece);
    }
    stream.shutdown(Shutdown::Write)?;
    expect_end(&mut stream)
}

async fn exchange(stream: net::TcpStream, number: usize) -> io::Result<()> {
    let (mut sent, mut received) = (Stream::new(number as u64), Stream::new(number as u64));
    let mut piece = vec![0; PIECE];
    stream.read_exact(&mut piece[..GREETING.len()]).await?;
    assert_eq!(&piece[..GREETING.len()], GREETING);
    for _ in 0..PIECES {
        sent.fill(&mut piece);
        stream.write_all(&piece).await?;
        stream.read_exact(&mut piece).await?;
        received.check(&piece);
    }
    stream.shutdown().await?;
    assert_eq!(stream.read(&mut piece).await?, 0, "the peer closes when it has everything");
    Ok(())
}

async fn echo(host: Host, listener: net::TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        drop(host.spawn(async move {
            let mut chunk = vec![0; CHUNK];
            loop {
                match stream.read(&mut chunk).await? {
                    0 => return stream.shutdown().await,
                    received => stream.write_all(&chunk[..received]).await?,
                }
            }
        }));
    }
}

fn echo_on_kernel(mut stream: TcpStream) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match stream.read(&mut chunk)? {
            0 => return stream.shutdown(Shutdown::Write),
            received => stream.write_all(&chunk[..received])?,
        }
    }
}
