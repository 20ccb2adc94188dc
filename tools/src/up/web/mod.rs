//! The web site of a machine that is up: `hyper` over the machine's own sockets, on its own thread.
//!
//! `/` is a page of live counters and connections, which asks `/status.json` every second; `/files/` is a folder.

mod body;
mod files;
mod io;
mod page;

pub(super) use files::Folder;

use crate::control::{Limits, gather};
use body::Content;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use io::{HostTimer, Stream};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tapstack::net::{Host, ListenOptions, TcpListener};
use tapstack::time::{Duration, Instant};

/// What the web site shows.
struct Site {
    host: Host,
    started: Instant,
    files: Option<Folder>,
    connections: AtomicUsize,
}

/// Starts the web site on port 80. Errors: why it can't be had.
pub(super) fn start(host: &Host, started: Instant, files: Option<Folder>) -> Result<(), String> {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
    let options = ListenOptions { backlog: BACKLOG, ..ListenOptions::default() };
    let listener = host
        .tcp_listen_with(address, options)
        .map_err(|error| format!("port {PORT} can't be served: {error}"))?;
    let site = Site { host: host.clone(), started, files, connections: AtomicUsize::new(0) };
    host.spawn(serve(Arc::new(site), listener));
    Ok(())
}

async fn serve(site: Arc<Site>, listener: TcpListener) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == std::io::ErrorKind::NetworkDown => return,
            Err(error) => {
                log::warn!("the web site: {error}");
                site.host.sleep(ACCEPT_AGAIN_AFTER).await;
                continue;
            }
        };
        if site.connections.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            site.connections.fetch_sub(1, Ordering::Relaxed);
            stream.abort();
            continue;
        }
        // hyper writes a head and a body one after the other: Nagle's rule would only hold the second back.
        let _ = stream.set_nodelay(true);
        let connected = Arc::clone(&site);
        site.host.spawn(async move {
            let answering = Arc::clone(&connected);
            let service = service_fn(move |request| {
                let site = Arc::clone(&answering);
                async move { Ok::<_, Infallible>(answer(&site, &request)) }
            });
            let mut server = http1::Builder::new();
            server.timer(HostTimer::new(connected.host.clone())).header_read_timeout(HEADER_TIMEOUT);
            server.max_headers(HEADERS_MAX).max_buf_size(BUFFER_BYTES);
            let stream = Stream::new(stream, IDLE_MAX);
            if let Err(error) = server.serve_connection(stream, service).await {
                log::debug!("a web client: {error}");
            }
            connected.connections.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

fn answer(site: &Site, request: &Request<Incoming>) -> Response<Content> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are served here\n");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let path = request.uri().path();
    let mut response = match path {
        "/" => typed("text/html; charset=utf-8", page::html(&status(site), site.files.is_some())),
        "/status.json" => match serde_json::to_vec(&status(site)) {
            Ok(json) => typed("application/json", json),
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        },
        "/style.css" => typed("text/css; charset=utf-8", page::STYLE),
        "/live.js" => typed("text/javascript; charset=utf-8", page::SCRIPT),
        "/favicon.ico" => plain(StatusCode::NOT_FOUND, ""),
        _ => match (path.strip_prefix("/files"), &site.files) {
            (Some(below), Some(files)) if below.is_empty() || below.starts_with('/') => {
                return files.answer(below, request.headers().get(header::RANGE));
            }
            _ => plain(StatusCode::NOT_FOUND, "there is no such page\n"),
        },
    };
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'self'; img-src 'self' data:"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn status(site: &Site) -> crate::control::Status {
    let limits = Limits { sockets_max: SOCKETS_SHOWN, neighbours_max: NEIGHBOURS_SHOWN };
    gather(&site.host, site.started, limits)
}

fn typed(kind: &'static str, bytes: impl Into<hyper::body::Bytes>) -> Response<Content> {
    let mut response = Response::new(Content::bytes(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn plain(status: StatusCode, text: &str) -> Response<Content> {
    let mut response = typed("text/plain; charset=utf-8", text.to_owned());
    *response.status_mut() = status;
    response
}

const PORT: u16 = 80;
const BACKLOG: usize = 1024;
/// Connections at a time.
const CONNECTIONS_MAX: usize = 1024;
/// How long a client may take for a request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a connection may stand still in both directions.
const IDLE_MAX: Duration = Duration::from_secs(60);
const HEADERS_MAX: usize = 64;
const BUFFER_BYTES: usize = 256 << 10;
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Rows of the page's tables at most.
const SOCKETS_SHOWN: usize = 200;
const NEIGHBOURS_SHOWN: usize = 100;
