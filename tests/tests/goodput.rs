//! Goodput between two simulated hosts, beside what theory allows: a table that is kept, and what CUBIC has to reach.
//!
//! The table is deterministic, so a change that costs goodput shows as a difference. Write it anew with
//! `TAPSTACK_UPDATE=1 cargo test --release -p tapstack-tests --test goodput`. An unoptimised build measures a part of it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tapstack::net::Host;
use tapstack::sim::{Sim, Wire};
use tapstack_tests::seeds::over_seeds;

/// Payload of a full segment with timestamps, and its frame, in bytes.
const MSS: f64 = 1_448.0;
const FRAME: f64 = 1_514.0;

/// A path between two hosts, the same both ways.
#[derive(Clone, Copy, Debug)]
struct Path {
    rtt: Duration,
    rate_bits_per_s: u64,
    loss: f64,
    loss_period: u64,
    reorder: f64,
}

impl Path {
    /// One bandwidth-delay product, but no less than a short burst, in bytes.
    fn queue_bytes(&self) -> usize {
        let product = self.rtt.as_secs_f64() * self.rate_bits_per_s as f64 / 8.0;
        (product as usize).max(QUEUE_BYTES_MIN)
    }

    /// The payload that the link carries, in bits a second.
    fn payload_rate(&self) -> f64 {
        self.rate_bits_per_s as f64 * MSS / FRAME
    }

    /// What the response functions allow at this loss, in bits a second: the larger of Reno's (Mathis and others,
    /// 1997: `sqrt(3/2) / sqrt(p)`) and CUBIC's (RFC 9438 section 5.2: `1.054 (RTT/p)^0.75`), but no more than the link.
    fn allowed(&self) -> f64 {
        let p = if self.loss_period > 0 { 1.0 / self.loss_period as f64 } else { self.loss };
        if p == 0.0 {
            return self.payload_rate();
        }
        let rtt = self.rtt.as_secs_f64();
        let window = (1.5f64.sqrt() / p.sqrt()).max(1.054 * (rtt / p).powf(0.75));
        (window * MSS * 8.0 / rtt).min(self.payload_rate())
    }

    /// Reno with its time-outs (Padhye and others, 1998), in bits a second: what losses cost where windows are small, so
    /// that the least time-out of 200 ms counts for more than the round trip. SACK, RACK and tail loss probes do better.
    fn with_timeouts(&self) -> f64 {
        let (p, rtt) = (self.loss, self.rtt.as_secs_f64());
        let rto = 0.2 + rtt;
        let timeouts = (3.0 * (3.0 * p / 8.0).sqrt()).min(1.0) * p * (1.0 + 32.0 * p * p);
        let seconds = rtt * (2.0 * p / 3.0).sqrt() + rto * timeouts;
        (MSS * 8.0 / seconds).min(self.payload_rate())
    }

    fn wire(&self) -> Wire {
        Wire {
            delay: self.rtt / 2,
            rate_bits_per_s: self.rate_bits_per_s,
            queue_bytes_max: self.queue_bytes(),
            loss: self.loss,
            loss_period: self.loss_period,
            reorder: self.reorder,
            reorder_delay: (self.rtt / 8).max(Duration::from_micros(200)),
            ..Wire::default()
        }
    }
}

/// The smallest queue in front of a link, in bytes: forty full frames.
const QUEUE_BYTES_MIN: usize = 60_000;

/// Payload bits a second that arrive between `from` and `to` after the start.
fn goodput(seed: u64, path: &Path, from: Duration, to: Duration) -> f64 {
    let mut net = Sim::new(seed);
    let (client, server) = (net.machine("client", "10.0.0.1/24"), net.machine("server", "10.0.0.2/24"));
    net.wire(&client, &server, path.wire());
    let received = Arc::new(AtomicU64::new(0));
    server.spawn(sink(server.clone(), Arc::clone(&received)));
    client.spawn(source(client.clone()));
    net.run_for(from);
    let before = received.load(Ordering::Relaxed);
    net.run_for(to - from);
    let arrived = received.load(Ordering::Relaxed) - before;
    arrived as f64 * 8.0 / (to - from).as_secs_f64()
}

async fn sink(host: Host, received: Arc<AtomicU64>) {
    let listener = host.tcp_listen(SocketAddr::from(([0, 0, 0, 0], 9))).unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let mut buffer = vec![0; 1 << 20];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        received.fetch_add(count as u64, Ordering::Relaxed);
    }
}

async fn source(host: Host) {
    let stream = host.tcp_connect("10.0.0.2:9".parse().unwrap()).await.unwrap();
    let data = vec![0x5a; 64 << 10];
    while stream.write_all(&data).await.is_ok() {}
}

const LOSSES: [f64; 5] = [0.0, 0.001, 0.01, 0.03, 0.1];
const RTTS: [Duration; 3] =
    [Duration::from_micros(100), Duration::from_millis(10), Duration::from_millis(100)];
const REORDERS: [f64; 2] = [0.0, 0.02];

/// Seeds that a cell of the table is the median of.
const TABLE_SEEDS: u64 = 3;
const TABLE_TIME: Duration = Duration::from_secs(10);

#[test]
fn the_table_is_as_it_was() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goodput.txt");
    let update = std::env::var_os("TAPSTACK_UPDATE").is_some();
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let mut table = format!("{HEADING}\n");
    for reorder in REORDERS {
        for rtt in RTTS {
            for loss in LOSSES {
                // Unoptimised, the fast cells would take minutes.
                let skipped = cfg!(debug_assertions) && (loss < 0.03 || rtt < RTTS[1]) && !update;
                let name = format!(
                    "{:>5} ms {:>5} % {:>5} %",
                    rtt.as_secs_f64() * 1e3,
                    loss * 100.0,
                    reorder * 100.0
                );
                let row = if skipped {
                    kept.lines().find(|line| line.starts_with(&name)).unwrap_or_default().to_owned()
                } else {
                    row(&name, rtt, loss, reorder)
                };
                writeln!(table, "{row}").unwrap();
            }
        }
    }
    if update {
        std::fs::write(path, &table).unwrap();
    }
    assert!(table == kept || update, "goodput has changed; it is now\n{table}\nand was\n{kept}");
}

const HEADING: &str = "\
100 Mbit/s, a tail-drop queue of one bandwidth-delay product (60,000 bytes at least), CUBIC, 10 s, median of 3 seeds.
Loss and reordering hit both directions. The bound is the larger of the response functions of Reno and CUBIC, or the
link's payload rate; being about averages and long runs, it may be passed in a short one. The last column is what Reno
would have with its time-outs of at least 200 ms, which rule where the window is a few segments.

     RTT    loss reordered    goodput      bound   ratio  with time-outs";

fn row(name: &str, rtt: Duration, loss: f64, reorder: f64) -> String {
    let path = Path { rtt, rate_bits_per_s: 100_000_000, loss, loss_period: 0, reorder };
    // Always these seeds, whatever the environment asks of other tests.
    let rate =
        median((0..TABLE_SEEDS).map(|seed| goodput(seed, &path, Duration::ZERO, TABLE_TIME)).collect());
    let bound = path.allowed();
    let timeouts = path.with_timeouts() / 1e6;
    format!("{name} {:>8.2} M {:>8.2} M {:>7.2} {timeouts:>13.2} M", rate / 1e6, bound / 1e6, rate / bound)
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// Seeds and time of the full measurement; an unoptimised build does with less.
const SEEDS: u64 = if cfg!(debug_assertions) { 2 } else { 20 };
const TIME: Duration = Duration::from_secs(60);

fn long_fat(loss_period: u64) -> Path {
    Path {
        rtt: Duration::from_millis(100),
        rate_bits_per_s: 1_000_000_000,
        loss: 0.0,
        loss_period,
        reorder: 0.0,
    }
}

/// At one loss in `period` frames, the median goodput is at least nine tenths of what the response function allows.
#[track_caller]
fn reaches_the_response_function(period: u64, seeds: u64) {
    let path = long_fat(period);
    let rates = over_seeds(seeds, |seed| goodput(seed, &path, Duration::ZERO, TIME), |_| ());
    let (rate, allowed) = (median(rates), path.allowed());
    let segments = allowed * path.rtt.as_secs_f64() / 8.0 / MSS;
    println!(
        "1 in {period}: {:.2} Mbit/s, {:.2} of the {segments:.0} segments that CUBIC's response function allows",
        rate / 1e6,
        rate / allowed
    );
    assert!(rate >= 0.9 * allowed, "1 in {period}: {rate} of {allowed}");
}

#[test]
fn periodic_loss_of_1_in_10_000_leaves_cubics_window() {
    reaches_the_response_function(10_000, SEEDS);
}

#[test]
fn periodic_loss_of_1_in_100_000_leaves_cubics_window() {
    reaches_the_response_function(100_000, if cfg!(debug_assertions) { 1 } else { SEEDS });
}

#[test]
fn a_long_fat_path_is_filled_with_tuned_buffers() {
    let path = long_fat(0);
    let (seeds, to) = if cfg!(debug_assertions) { (1, Duration::from_secs(12)) } else { (SEEDS, TIME) };
    let rates = over_seeds(seeds, |seed| goodput(seed, &path, Duration::from_secs(10), to), |_| ());
    let share = median(rates) / path.payload_rate();
    println!("no loss: {share:.4} of the payload rate of 1 Gbit/s at 100 ms, after 10 s");
    assert!(share >= 0.95, "{share}");
}
