//! The smallest app: one web page over HTTP/1.0 (RFC 1945), and the least of a client. Like every app it is written once,
//! against [`Host`], and so runs in the simulated world and on a TAP.
//!
//! - **In**: a listener; requests, one a connection.
//! - **Out**: [`PAGE`] for `/`, a 404 for anything else.
//! - **Keeps**: nothing between connections.
//! - **Timers**: a client has [`CLIENT_PATIENCE`] for its request and for taking the answer.
//! - **RFC**: 1945.
//! - **Never**: reads more than [`REQUEST_BYTES_MAX`] of a request.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::io;
use std::net::SocketAddr;
use tapstack::net::{Host, TcpListener, TcpStream};
use tapstack::time::Duration;

/// The longest request that the server reads, in bytes.
pub const REQUEST_BYTES_MAX: usize = 8 << 10;

/// How long a client may take for one exchange.
pub const CLIENT_PATIENCE: Duration = Duration::from_secs(30);

/// What the server serves at `/`.
pub const PAGE: &str = "<!doctype html>\n<title>tapstack</title>\n\
    <p>This page came through a TCP/IP stack in user space.\n";

/// Serves the page to whoever asks, until its task is aborted. Errors: the listener's.
pub async fn serve(host: Host, listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let clock = host.clone();
        host.spawn(async move {
            if let Err(error) = clock.timeout(CLIENT_PATIENCE, answer(stream)).await.and_then(|done| done) {
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
pub fn request(server: SocketAddr, path: &str) -> String {
    format!("GET {path} HTTP/1.0\r\nHost: {server}\r\nUser-Agent: tapstack-demo\r\n\r\n")
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code, such as 200.
    pub status: u16,
    /// What follows the header.
    pub body: Vec<u8>,
}

impl Response {
    /// Reads a whole answer. Errors: `InvalidData` with what is wrong with it.
    pub fn parse(bytes: &[u8]) -> io::Result<Response> {
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

/// A machine of the stack fetches a page. Errors: the connection's, and `InvalidData` for what is no HTTP answer.
pub async fn fetch_from_machine(host: &Host, server: SocketAddr, path: &str) -> io::Result<Response> {
    let stream = host.tcp_connect(server).await?;
    stream.write_all(request(server, path).as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Response::parse(&answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tapstack::sim::{Sim, Wire};

    #[test]
    fn the_page_is_served_in_a_simulated_world_and_the_silent_are_sent_away() {
        let mut net = Sim::new(1);
        let (a, b) = (net.machine("a", "10.0.0.1/24"), net.machine("b", "10.0.0.2/24"));
        net.wire(&a, &b, Wire { loss: 0.05, ..Wire::default() });
        let server = SocketAddr::from(([10, 0, 0, 1], 80));
        let listener = a.tcp_listen(server).unwrap();
        let serving = a.spawn(serve(a.clone(), listener));
        net.run(async {
            let page = fetch_from_machine(&b, server, "/").await.unwrap();
            assert_eq!(page, Response { status: 200, body: PAGE.as_bytes().to_vec() });
            assert_eq!(fetch_from_machine(&b, server, "/other").await.unwrap().status, 404);
            let silent = b.tcp_connect(server).await.unwrap();
            let before = b.now();
            assert_eq!(silent.read(&mut [0; 8]).await.unwrap(), 0, "the server closes");
            assert!(b.now().since(before) >= CLIENT_PATIENCE - Duration::from_secs(1));
        });
        serving.abort();
    }

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
