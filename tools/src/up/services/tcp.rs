//! The services as connections: a bounded number of each, and none that is idle for ever.

use super::{Service, chargen, daytime};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tapstack::net::{Host, TcpListener, TcpStream};
use tapstack::time::Duration;

/// Accepts connections for as long as the machine is up.
pub(super) async fn serve(host: Host, listener: TcpListener, service: Service) {
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::NetworkDown => return,
            Err(error) => {
                log::warn!("{service:?}: {error}");
                host.sleep(ACCEPT_AGAIN_AFTER).await;
                continue;
            }
        };
        if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            open.fetch_sub(1, Ordering::Relaxed);
            stream.abort();
            continue;
        }
        let (task_host, task_open) = (host.clone(), Arc::clone(&open));
        host.spawn(async move {
            if let Err(error) = talk(&task_host, &stream, service).await {
                log::debug!("{service:?}: {error}");
            }
            task_open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

async fn talk(host: &Host, stream: &TcpStream, service: Service) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    match service {
        Service::Echo => loop {
            let len = host.timeout(IDLE_MAX, stream.read(&mut buffer)).await??;
            if len == 0 {
                return stream.shutdown().await;
            }
            host.timeout(IDLE_MAX, stream.write_all(buffer.get(..len).unwrap_or_default())).await??;
        },
        Service::Discard => while host.timeout(IDLE_MAX, stream.read(&mut buffer)).await?? > 0 {},
        Service::Daytime => stream.write_all(daytime().as_bytes()).await?,
        Service::Chargen => {
            let mut position = 0;
            // Until the peer closes: what it says "is thrown away", so a reset is how the end shows.
            loop {
                chargen(position, &mut buffer);
                let written = host.timeout(IDLE_MAX, stream.write(&buffer)).await?;
                match written {
                    Ok(len) => position += len as u64,
                    Err(_) => return Ok(()),
                }
            }
        }
    }
    Ok(())
}

/// Connections of one service at a time.
const CONNECTIONS_MAX: usize = 1024;
/// How long a connection may stand still.
const IDLE_MAX: Duration = Duration::from_secs(300);
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);
const CHUNK_BYTES: usize = 16 << 10;
