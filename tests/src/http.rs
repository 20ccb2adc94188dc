//! A web server written against `Host`: a page, and a large file whose every byte can be checked.

use crate::stream::Stream;
use std::io;
use tapstack::net::{Host, TcpListener, TcpStream};

/// What is served at `/`.
pub const PAGE: &str = "<!doctype html>\n<title>tapstack</title>\n<p>Served by a stack in user space.\n";

/// Bytes served at `/file`.
pub const FILE_BYTES: u64 = 20 << 20;

/// The name of the [`Stream`] that is served at `/file`.
pub const FILE_STREAM: u64 = 0xf11e;

const REQUEST_BYTES_MAX: usize = 16 << 10;
const CHUNK: usize = 64 << 10;

/// Serves until its task is dropped.
pub async fn serve(host: Host, listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        // A client that goes away has its own reasons, and sees the end by itself.
        drop(host.spawn(async move { answer(stream).await }));
    }
}

async fn answer(stream: TcpStream) -> io::Result<()> {
    let (mut request, mut chunk) = (Vec::new(), vec![0; CHUNK]);
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        let len = stream.read(&mut chunk).await?;
        request.extend_from_slice(&chunk[..len]);
        if len == 0 || request.len() > REQUEST_BYTES_MAX {
            return Ok(());
        }
    }
    let path = String::from_utf8_lossy(&request).split(' ').nth(1).unwrap_or_default().to_owned();
    let (status, len) = match path.as_str() {
        "/" => ("200 OK", PAGE.len() as u64),
        "/file" => ("200 OK", FILE_BYTES),
        _ => ("404 Not Found", 0),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    match path.as_str() {
        "/" => stream.write_all(PAGE.as_bytes()).await?,
        "/file" => {
            let mut file = Stream::new(FILE_STREAM);
            while file.position() < FILE_BYTES {
                let len = (FILE_BYTES - file.position()).min(CHUNK as u64) as usize;
                file.fill(&mut chunk[..len]);
                stream.write_all(&chunk[..len]).await?;
            }
        }
        _ => {}
    }
    stream.shutdown().await?;
    // The client closes when it has read all; to close before would cut off what it has not acknowledged yet.
    stream.read(&mut chunk).await.map(drop)
}
