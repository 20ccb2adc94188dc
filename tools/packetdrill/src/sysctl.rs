//! The script's settings: what it wrote under `/proc/sys/net/ipv4` of its own network namespace, as a stack's configuration.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use tapstack::Config;
use tapstack::tcp::{BufferSizes, EcnMode, SynCookies, TcpConfig};
use tapstack::time::Duration;

/// Where a network namespace shows its settings.
pub(crate) const PROC_SYS_NET: &str = "/proc/sys/net";

/// The configuration that the settings under `root` describe. What is missing there keeps Linux's default.
pub(crate) fn read(root: &Path, seed: u64) -> Config {
    let net = Net(root.to_owned());
    let mut config = Config { seed, ..Config::default() };
    if let Some(ttl) = net.number("ipv4/ip_default_ttl") {
        config.ttl = ttl;
    }
    let tcp = &mut config.tcp;
    // What Linux calls its defaults, where ours differ because they serve faster links.
    tcp.receive_buffer = BufferSizes { min: 4_096, initial: 131_072, max: 6 << 20 };
    tcp.send_buffer = BufferSizes { min: 4_096, initial: 16_384, max: 4 << 20 };
    tcp.mtu_probing = false;
    options(&net, tcp);
    recovery(&net, tcp);
    retries(&net, tcp);
    limits(&net, tcp);
    config
}

/// What is offered in SYNs, and buffer sizes.
fn options(net: &Net, tcp: &mut TcpConfig) {
    net.sizes("ipv4/tcp_rmem", &mut tcp.receive_buffer);
    net.sizes("ipv4/tcp_wmem", &mut tcp.send_buffer);
    net.switch("ipv4/tcp_timestamps", &mut tcp.timestamps);
    net.switch("ipv4/tcp_sack", &mut tcp.sack);
    net.switch("ipv4/tcp_dsack", &mut tcp.dsack);
    net.switch("ipv4/tcp_window_scaling", &mut tcp.window_scaling);
    match net.number::<u8>("ipv4/tcp_ecn") {
        Some(0) => tcp.ecn = EcnMode::Off,
        Some(1) => tcp.ecn = EcnMode::Offer,
        Some(_) => tcp.ecn = EcnMode::Accept,
        None => {}
    }
    match net.number::<u8>("ipv4/tcp_syncookies") {
        Some(0) => tcp.syncookies = SynCookies::Never,
        Some(1) => tcp.syncookies = SynCookies::WhenFull,
        Some(_) => tcp.syncookies = SynCookies::Always,
        None => {}
    }
}

/// Loss recovery, congestion control, path MTU.
fn recovery(net: &Net, tcp: &mut TcpConfig) {
    match net.text("ipv4/tcp_congestion_control").as_deref() {
        Some("reno") => tcp.congestion = "reno",
        Some(_) => tcp.congestion = "cubic",
        None => {}
    }
    net.switch("ipv4/tcp_frto", &mut tcp.frto);
    net.set("ipv4/tcp_reordering", &mut tcp.reordering);
    net.switch("ipv4/tcp_slow_start_after_idle", &mut tcp.slow_start_after_idle);
    if let Some(early) = net.number::<u8>("ipv4/tcp_early_retrans") {
        // 3 and 4 turn tail loss probes on; early retransmit itself gave way to RACK.
        tcp.tail_loss_probe = early >= 3;
    }
    if let Some(bits) = net.number::<u8>("ipv4/tcp_recovery") {
        tcp.rack = bits & 1 == 1;
    }
    net.millis("ipv4/tcp_rto_min_us", 1_000, &mut tcp.rto_min);
    net.switch("ipv4/tcp_mtu_probing", &mut tcp.mtu_probing);
    net.set("ipv4/tcp_base_mss", &mut tcp.mtu_probe_base);
    if let Some(mode) = net.number::<u8>("ipv4/ip_no_pmtu_disc") {
        tcp.path_mtu_discovery = mode == 0;
    }
}

/// How long things are tried.
fn retries(net: &Net, tcp: &mut TcpConfig) {
    net.set("ipv4/tcp_syn_retries", &mut tcp.syn_retries);
    net.set("ipv4/tcp_synack_retries", &mut tcp.synack_retries);
    net.set("ipv4/tcp_retries2", &mut tcp.retries);
    if let Some(retries) = net.number("ipv4/tcp_orphan_retries").filter(|retries| *retries > 0) {
        tcp.orphan_retries = retries;
    }
    net.seconds("ipv4/tcp_fin_timeout", &mut tcp.fin_timeout);
    net.seconds("ipv4/tcp_keepalive_time", &mut tcp.keepalive_idle);
    net.seconds("ipv4/tcp_keepalive_intvl", &mut tcp.keepalive_interval);
    net.set("ipv4/tcp_keepalive_probes", &mut tcp.keepalive_count);
}

/// How much is held.
fn limits(net: &Net, tcp: &mut TcpConfig) {
    net.set("core/somaxconn", &mut tcp.backlog_max);
    net.set("ipv4/tcp_max_orphans", &mut tcp.orphans_max);
    net.set("ipv4/tcp_max_tw_buckets", &mut tcp.time_wait_max);
    net.switch("ipv4/tcp_abort_on_overflow", &mut tcp.abort_on_overflow);
    if let Some([first, last]) = net.numbers("ipv4/ip_local_port_range") {
        tcp.ephemeral_ports = (first, last);
    }
}

/// A namespace's settings, as files.
struct Net(PathBuf);

impl Net {
    fn text(&self, name: &str) -> Option<String> {
        Some(std::fs::read_to_string(self.0.join(name)).ok()?.trim().to_owned())
    }

    fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }

    fn numbers<T: FromStr, const N: usize>(&self, name: &str) -> Option<[T; N]> {
        let parsed: Option<Vec<T>> =
            self.text(name)?.split_whitespace().map(|word| word.parse().ok()).collect();
        parsed?.try_into().ok()
    }

    fn set<T: FromStr>(&self, name: &str, value: &mut T) {
        if let Some(number) = self.number(name) {
            *value = number;
        }
    }

    fn switch(&self, name: &str, value: &mut bool) {
        if let Some(number) = self.number::<u32>(name) {
            *value = number != 0;
        }
    }

    fn seconds(&self, name: &str, value: &mut Duration) {
        self.millis(name, 0, value);
    }

    /// A time in units of which `per_milli` make a millisecond; 0 stands for seconds.
    fn millis(&self, name: &str, per_milli: u64, value: &mut Duration) {
        if let Some(number) = self.number::<u64>(name) {
            *value = match per_milli {
                0 => Duration::from_secs(number),
                _ => Duration::from_micros(number * 1_000 / per_milli),
            };
        }
    }

    fn sizes(&self, name: &str, value: &mut BufferSizes) {
        if let Some([min, initial, max]) = self.numbers(name) {
            *value = BufferSizes { min, initial, max };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_counts_and_what_is_missing_stays() {
        let root = std::env::temp_dir().join(format!("tapstack-sysctl-{}", std::process::id()));
        std::fs::create_dir_all(root.join("ipv4")).unwrap();
        for (name, value) in [
            ("tcp_rmem", "4096\t540000\t15728640\n"),
            ("tcp_congestion_control", "reno\n"),
            ("tcp_ecn", "0\n"),
            ("tcp_early_retrans", "0\n"),
            ("tcp_recovery", "1\n"),
            ("tcp_orphan_retries", "0\n"),
            ("tcp_fin_timeout", "5\n"),
            ("tcp_rto_min_us", "50000\n"),
            ("ip_local_port_range", "2000\t2100\n"),
        ] {
            std::fs::write(root.join("ipv4").join(name), value).unwrap();
        }
        let tcp = read(&root, 1).tcp;
        assert_eq!(tcp.receive_buffer, BufferSizes { min: 4_096, initial: 540_000, max: 15_728_640 });
        assert_eq!(tcp.send_buffer.initial, 16_384, "Linux's default");
        assert_eq!((tcp.congestion, tcp.ecn), ("reno", EcnMode::Off));
        assert_eq!((tcp.tail_loss_probe, tcp.rack, tcp.orphan_retries), (false, true, 8));
        assert_eq!((tcp.fin_timeout, tcp.rto_min), (Duration::from_secs(5), Duration::from_millis(50)));
        assert_eq!(tcp.ephemeral_ports, (2000, 2100));
        std::fs::remove_dir_all(&root).unwrap();
    }
}
