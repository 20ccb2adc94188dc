//! The machine's streams and timers as `hyper` wants them.

use hyper::rt::{ReadBufCursor, Sleep as HyperSleep, Timer};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tapstack::net::{Host, Sleep, TcpStream};
use tapstack::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection that breaks when it has stood still in both directions for too long.
pub(super) struct Stream {
    stream: TcpStream,
    host: Host,
    idle_max: Duration,
    /// When something moved last.
    moved: Instant,
    /// Wakes the task to look at that.
    alarm: Option<Sleep>,
}

impl Stream {
    pub(super) fn new(stream: TcpStream, idle_max: Duration) -> Stream {
        let host = stream.host();
        Stream { moved: host.now(), stream, host, idle_max, alarm: None }
    }

    /// Notes that something moved, or breaks where nothing has for too long.
    fn watch<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.moved = self.host.now();
            return polled;
        }
        loop {
            let until = self.moved + self.idle_max;
            let alarm = self.alarm.get_or_insert_with(|| self.host.sleeper(until));
            if Pin::new(alarm).poll(cx).is_pending() {
                return Poll::Pending;
            }
            // It was set before the last move, maybe: then it is set anew.
            self.alarm = None;
            if self.host.now() >= until {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
    }
}

impl hyper::rt::Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // Requests are small: a copy costs less than it would to hand uninitialised memory down.
        let mut chunk = [0; READ_BYTES];
        let room = buf.remaining().min(READ_BYTES);
        let mut read = ReadBuf::new(chunk.get_mut(..room).unwrap_or_default());
        let polled = Pin::new(&mut self.stream).poll_read(cx, &mut read);
        let polled = polled.map_ok(|()| buf.put_slice(read.filled()));
        self.watch(cx, polled)
    }
}

impl hyper::rt::Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, data);
        self.watch(cx, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The machine's clock as `hyper`'s timer.
pub(super) struct HostTimer(Host);

impl HostTimer {
    pub(super) fn new(host: Host) -> HostTimer {
        HostTimer(host)
    }
}

impl Timer for HostTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn HyperSleep>> {
        Box::pin(HostSleep(self.0.sleeper(self.0.now() + duration)))
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn HyperSleep>> {
        self.sleep(deadline.saturating_duration_since(std::time::Instant::now()))
    }
}

struct HostSleep(Sleep);

impl Future for HostSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl HyperSleep for HostSleep {}

/// Bytes that are read at once.
const READ_BYTES: usize = 8 << 10;
