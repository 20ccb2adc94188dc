//! `bench mailbox`: messages of 64 bytes a second between two machines on two bridged TAPs, from one sender to a box on
//! the other machine, where one reader takes them out. Each is acknowledged to its sender, and each by its reader; many
//! messages share a record, and many acknowledgements. Beside it, the same bytes over a bare stream.

use super::Settings;
use super::ours::block_on;
use super::rounds::Rounds;
use super::stage::{CLIENT, PORT, PREFIX_LEN, SERVER};
use super::table::{Better, Metric};
use crate::testbed::{Bridge, NetNs};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tapstack::device::{Device, TapOptions};
use tapstack::net::Host;
use tapstack::net::tap::{Machine, MachineConfig, RunningMachine};
use tapstack::stack::{Cidr, Config, InterfaceConfig, MacAddr, Medium, Offloads};
use tapstack_mailbox::{
    BoxName, BoxOptions, Client, Message, Office, OfficeOptions, PORT as MAILBOX, PostError, ReaderOptions,
    Semantics, SenderOptions, Transport,
};

const METRICS: &[Metric] = &[Metric { name: "messages", unit: "1/s", better: Better::Higher }];

/// Bytes of a message's body.
const BODY: usize = 64;
/// Letters that the reader fetches ahead.
const PREFETCH: usize = 1_024;
/// How long the last message may take to arrive.
const PATIENCE: Duration = Duration::from_secs(20);

/// Adds what is to be compared.
pub(super) fn add(rounds: &mut Rounds<'_>, settings: Settings) -> io::Result<()> {
    let bare = rounds.contender("mailbox, a bare stream", METRICS, move || {
        on_a_bridge(|two| two.stream(settings.duration)).map(|rate| vec![rate])
    });
    for (key, transport, durable) in [
        ("mailbox.volatile.tcp", Transport::Tcp, false),
        ("mailbox.volatile.udp", Transport::Udp, false),
        ("mailbox.durable.tcp", Transport::Tcp, true),
    ] {
        let boxes = rounds.contender(key, METRICS, move || {
            on_a_bridge(|two| two.boxes(settings.duration, transport, durable)).map(|rate| vec![rate])
        });
        rounds.compare(key, ("tapstack", boxes), ("stream", bare));
    }
    Ok(())
}

/// Two machines, each with a thread of its own.
struct Two {
    sender: RunningMachine,
    server: RunningMachine,
    _disk: tempfile::TempDir,
}

/// Runs a measurement on two machines, which are gone afterwards.
fn on_a_bridge(measure: impl FnOnce(&Two) -> io::Result<f64> + Send) -> io::Result<f64> {
    let ns = NetNs::new().map_err(io::Error::other)?;
    let measured = ns.run(|| {
        let mut bridge = Bridge::new("br0", &[]).map_err(io::Error::other)?;
        let mut machine = |name: &str, address| {
            let tap = TapOptions { name: Some(name.to_owned()), ..TapOptions::default() };
            let device = bridge.tap(tap).map_err(io::Error::other)?;
            machine(name, address, device)
        };
        let (sender, server) = (machine("tap0", CLIENT)?, machine("tap1", SERVER)?);
        let disk = tempfile::tempdir()?;
        server.set_disk(&disk.path().join("disk"))?;
        let two = Two { sender: sender.spawn()?, server: server.spawn()?, _disk: disk };
        let measured = measure(&two);
        two.sender.shutdown()?;
        two.server.shutdown()?;
        measured
    });
    measured.map_err(io::Error::other)?
}

fn machine(name: &str, address: Ipv4Addr, device: Device) -> io::Result<Machine> {
    let [_, _, _, last] = address.octets();
    let interface = InterfaceConfig {
        name: device.name.clone(),
        medium: Medium::Ethernet,
        mac: MacAddr([0x02, 0x74, 0, 0, 0, last]),
        mtu: device.mtu,
        addresses: vec![Cidr::new(address, PREFIX_LEN)],
        offloads: Offloads::default(),
    };
    let interfaces = vec![(interface, device)];
    Machine::new(MachineConfig { name: name.to_owned(), seed: None, stack: Config::default(), interfaces })
}

/// Awaits a task of a machine on this thread.
fn awaited<T: Send + 'static>(
    host: &Host,
    task: impl Future<Output = io::Result<T>> + Send + 'static,
) -> io::Result<T> {
    block_on(host.spawn(task)).map_err(io::Error::other)?
}

impl Two {
    /// Messages a second that went through a box.
    fn boxes(&self, duration: Duration, transport: Transport, durable: bool) -> io::Result<f64> {
        let (here, there) = (self.sender.host(), self.server.host());
        let name = BoxName::new("bench").map_err(io::Error::other)?;
        let host = there.clone();
        let (the_box, options) = (name.clone(), BoxOptions { durable, ..BoxOptions::default() });
        let office = awaited(&there, async move {
            let office = Office::open(&host, &OfficeOptions { durable, ..OfficeOptions::default() }).await?;
            office.create(&the_box, &options).map_err(io::Error::other)?;
            Ok(office)
        })?;
        let the_box = name.clone();
        let reading = there.spawn(async move { read(&office.client(), &the_box).await });
        let host = here.clone();
        let (sent, took) = awaited(&here, async move {
            let client = Client::new(&host, transport, SocketAddr::from((SERVER, MAILBOX)))?;
            send(&host, &client, &name, duration).await
        })?;
        let read = block_on(reading).map_err(io::Error::other)??;
        if read != sent {
            return Err(io::Error::other(format!("{sent} messages were sent, and {read} were read")));
        }
        Ok(sent as f64 / took.as_secs_f64())
    }

    /// How often as many bytes went through a bare stream, in writes as large as a record may be.
    fn stream(&self, duration: Duration) -> io::Result<f64> {
        let (here, there) = (self.sender.host(), self.server.host());
        let listener = there.tcp_listen(SocketAddr::from((SERVER, PORT)))?;
        let reading = there.spawn(async move {
            let (stream, _) = listener.accept().await?;
            let (mut buffer, mut bytes) = (vec![0; 64 << 10], 0);
            loop {
                match stream.read(&mut buffer).await? {
                    0 => return io::Result::Ok(bytes),
                    len => bytes += len as u64,
                }
            }
        });
        let host = here.clone();
        let start = Instant::now();
        awaited(&here, async move {
            let stream = host.tcp_connect(SocketAddr::from((SERVER, PORT))).await?;
            let chunk = vec![0x5a; 32 << 10];
            while start.elapsed() < duration {
                stream.write_all(&chunk).await?;
            }
            stream.shutdown().await?;
            while stream.read(&mut [0; 64]).await? > 0 {}
            Ok(())
        })?;
        let bytes = block_on(reading).map_err(io::Error::other)??;
        Ok(bytes as f64 / BODY as f64 / start.elapsed().as_secs_f64())
    }
}

/// Sends until the time is over, and until all is acknowledged. Returns how many, and how long that took.
async fn send(
    host: &Host,
    client: &Client,
    name: &BoxName,
    duration: Duration,
) -> io::Result<(u64, Duration)> {
    let sender = client.sender(name, SenderOptions::new(Semantics::EffectivelyOnce));
    let body = bytes::Bytes::from(vec![0x5a; BODY]);
    // Opened before the clock starts.
    sender.send(Message::new(body.clone())).await.map_err(io::Error::other)?;
    let start = host.now();
    let mut sent = 1;
    while host.now() - start < duration {
        for _ in 0..64 {
            match sender.post(Message::new(body.clone())) {
                Ok(_) => sent += 1,
                Err(PostError::Full(_)) => sender.ready().await,
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
    let failed = sender.flush().await;
    let took = host.now() - start;
    // The last one has no body, which tells the reader that it is the last.
    sender.send(Message::default()).await.map_err(io::Error::other)?;
    if failed > 0 {
        return Err(io::Error::other(format!("{failed} messages failed")));
    }
    Ok((sent, took))
}

/// Reads and acknowledges until the last. Returns how many there were before it.
async fn read(client: &Client, name: &BoxName) -> io::Result<u64> {
    let reader = client.reader(name, ReaderOptions { prefetch: PREFETCH }).await.map_err(io::Error::other)?;
    let mut count = 0;
    loop {
        let letter = reader.recv_timeout(PATIENCE).await.map_err(io::Error::other)?;
        let letter = letter.ok_or_else(|| io::Error::other("nothing more arrives"))?;
        reader.ack(&letter);
        if letter.message.body.is_empty() {
            reader.flush().await;
            return Ok(count);
        }
        count += 1;
    }
}
