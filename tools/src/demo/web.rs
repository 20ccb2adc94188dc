//! A web server of one page, written against `Host`, and the least of a client: HTTP/1.0, one request a connection.

use std::io;
use std::net::SocketAddr;
use tapstack::net::{Host, TcpListener, TcpStream};

/// The longest request that the server reads, in bytes.
const REQUEST_BYTES_MAX: usize = 8 << 10;

/// What the server serves at `/`.
pub(super) const PAGE: &str = "<!doctype html>\n<title>tapstack</title>\n\
    <p>This page came through a TCP/IP stack in user space.\n";

/// Serves the page to whoever asks, until its task is aborted.
pub(super) async fn serve(host: Host, listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        host.spawn(async move {
            if let Err(error) = answer(stream).await {
                log::info!("a web client went away: {error}");
            }
        });
    }
}

async fn answer(stream: TcpStream) -> io::Result<()> {
    let (mut request, mut chunk) = (Vec::new(), [0; 1024]);
    while !request.windows(4).any(|w| w == b"\r\n\r\n") {
        let len = stream.read(&mut chunk).await?;
        request.extend_from_slice(chunk.get(..len).unwrap_or_default());
        if len == 0 || request.len() > REQUEST_BYTES_MAX {
            return Ok(());
        }
    }
    let (status, body) =
        if request.starts_with(b"GET / ") { ("200 OK", PAGE) } else { ("404 Not Found", "no such page\n") };
    let head = format!(
        "HTTP/1.0 {status}\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await?;
    // The client closes when it has read all; to close before would cut off what it has not yet acknowledged.
    stream.read(&mut chunk).await.map(drop)
}

/// What a client sends to get `path`.
pub(super) fn request(server: SocketAddr, path: &str) -> String {
    format!("GET {path} HTTP/1.0\r\nHost: {server}\r\nUser-Agent: tapstack-demo\r\n\r\n")
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Response {
    /// Reads a whole answer. Errors: `InvalidData` with what is wrong with it.
    pub(super) fn parse(bytes: &[u8]) -> io::Result<Response> {
        let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let end =
            bytes.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(|| bad("no end of the header"))?;
        let (head, body) = bytes.split_at(end + 4);
        let head = String::from_utf8_lossy(head);
        let mut lines = head.lines();
        let status = lines
            .next()
            .filter(|line| line.starts_with("HTTP/1."))
            .and_then(|line| line.split(' ').nth(1)?.parse().ok())
            .ok_or_else(|| bad("no status line"))?;
        let length = lines
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.trim().parse::<usize>().ok());
        if length.is_some_and(|length| length != body.len()) {
            return Err(bad("the body is not as long as the header says"));
        }
        Ok(Response { status, body: body.to_vec() })
    }
}

/// A machine of the stack fetches a page.
pub(super) async fn fetch_from_machine(host: &Host, server: SocketAddr, path: &str) -> io::Result<Response> {
    let stream = host.tcp_connect(server).await?;
    stream.write_all(request(server, path).as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Response::parse(&answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_bad_ones_refused() {
        let good = Response::parse(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi").expect("a good answer");
        assert_eq!(good, Response { status: 200, body: b"hi".to_vec() });
        for bad in [
            &b""[..],
            b"HTTP/1.0 200 OK\r\n",
            b"nonsense\r\n\r\n",
            b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nhi",
        ] {
            assert!(Response::parse(bad).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
    }
}
