//! HTTP by `hyper` over a TAP: a server on port 80, or with an address such as `10.0.0.1:8000` a client of that one.

use hyper::body::{Body, Incoming};
use hyper::rt::ReadBufCursor;
use hyper::service::service_fn;
use hyper::{Request, Response};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tapstack::net::{Host, TcpStream, tap::Machine};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

fn main() -> io::Result<()> {
    let machine = Machine::on_tap("tap0", "10.0.0.2/24".parse()?, "10.0.0.1/24".parse()?)?;
    let host = machine.host();
    match std::env::args().nth(1).map(|server| server.parse()) {
        None => machine.run(serve(host))?,
        Some(Ok(server)) => machine.run(get(host, server))?,
        Some(Err(error)) => Err(io::Error::new(io::ErrorKind::InvalidInput, error)),
    }
}

async fn serve(host: Host) -> io::Result<()> {
    let listener = host.tcp_listen(([0, 0, 0, 0], 80).into())?;
    println!("http://10.0.0.2/");
    loop {
        let (stream, peer) = listener.accept().await?;
        let answer = service_fn(move |request: Request<Incoming>| async move {
            let text = format!("{} {} from {peer}\n", request.method(), request.uri());
            Ok::<_, Infallible>(Response::new(text))
        });
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(Io(stream), answer);
        host.spawn(async move {
            if let Err(error) = connection.await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

async fn get(host: Host, server: SocketAddr) -> io::Result<()> {
    let stream = host.tcp_connect(server).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(Io(stream)).await.map_err(io::Error::other)?;
    host.spawn(connection);
    let request = Request::get("/").header("host", server.to_string()).body(String::new());
    let answer = sender.send_request(request.map_err(io::Error::other)?).await.map_err(io::Error::other)?;
    println!("{}", answer.status());
    let mut body = answer.into_body();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
            io::stdout().write_all(&data)?;
        }
    }
    Ok(())
}

/// A stream with `tokio`'s traits behind `hyper`'s own, as `hyper_util::rt::TokioIo` is, too.
struct Io(TcpStream);

impl hyper::rt::Read for Io {
    fn poll_read(
        mut self: Pin<&mut Io>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut buffer = [0; 4096];
        let len = into.remaining().min(buffer.len());
        let mut read = ReadBuf::new(&mut buffer[..len]);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut read))?;
        into.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Io {
    fn poll_write(mut self: Pin<&mut Io>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Io>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Io>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
