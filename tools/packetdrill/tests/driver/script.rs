//! Scripts in the manner of packetdrill's: each line is a time after the last one, and a call or a packet.
//!
//! ```text
//! sysctl tcp_ecn 1                   before the first timed line: a setting
//! +0    listen                       calls: socket, bind and listen; accept; connect; write, send, read, recv, ...
//! +0    < S 0:0 win 1000 <mss 1000>  a packet from the peer (its options are padded by themselves)
//! +0    > S. 0:0 ack 1 <mss 1460>    the packet that has to come out, now: within 3 ms
//! +.1   write 2000 = 2000            calls may say what they return, errors by name
//! +0    info cwnd 10 ca Open         fields of TCP_INFO
//! +1    quiet                        nothing has come out until now
//! ```
//!
//! Expected packets are compared as packetdrill compares them: flags, sequence numbers and ACK exactly; the window and
//! options where they are written, options with their order and padding. A long segment may come in several pieces,
//! of which the last carries PSH. Timestamps of ours are written relative to our first, which is 1.

use super::library::{Answer, Library, alone};
use super::packet::{LOCAL, Packet, REMOTE, TcpOption, parse_flags, show_flags};
use std::collections::VecDeque;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::sync::{Arc, MutexGuard};

pub const PORT: u16 = 8080;
pub const REMOTE_PORT: u16 = 40_000;
const PEER_ISN: u32 = 3_000_000_000;
/// How far a packet's time may be off, in microseconds: timers tick in milliseconds.
const TOLERANCE: i64 = 3_000;

/// A script that runs.
pub struct Script {
    pub library: Arc<Library>,
    sysctl: PathBuf,
    start: i64,
    /// The last line's time.
    at: i64,
    /// Descriptors: the first socket, and the connection.
    pub listener: i32,
    pub fd: i32,
    local_port: u16,
    isn: Option<u32>,
    first_timestamp: Option<u32>,
    last_timestamp: u32,
    received: VecDeque<(i64, Packet)>,
    _alone: MutexGuard<'static, ()>,
}

/// The settings that the usual scripts choose.
const SETTINGS: [(&str, &str); 17] = [
    ("tcp_rmem", "4096 540000 15728640"),
    ("tcp_wmem", "4096 262144 4194304"),
    ("tcp_timestamps", "1"),
    ("tcp_sack", "1"),
    ("tcp_dsack", "1"),
    ("tcp_window_scaling", "1"),
    ("tcp_ecn", "0"),
    ("tcp_syncookies", "1"),
    ("tcp_congestion_control", "cubic"),
    ("tcp_frto", "2"),
    ("tcp_reordering", "3"),
    ("tcp_slow_start_after_idle", "0"),
    ("tcp_early_retrans", "3"),
    ("tcp_recovery", "1"),
    ("tcp_mtu_probing", "0"),
    ("tcp_syn_retries", "5"),
    ("tcp_synack_retries", "5"),
];

/// Runs a whole script.
#[track_caller]
pub fn run(text: &str) -> Script {
    let (head, body) = split_head(text);
    let mut script = Script::new(&head);
    script.play(body);
    script
}

/// The settings at a script's head, and the rest.
fn split_head(text: &str) -> (Vec<(&str, &str)>, &str) {
    let mut head = Vec::new();
    let mut rest = text.trim_start();
    while let Some(line) = rest.strip_prefix("sysctl ") {
        let (line, behind) = line.split_once('\n').unwrap();
        head.push(line.split_once(' ').unwrap());
        rest = behind.trim_start();
    }
    (head, rest)
}

impl Script {
    pub fn new(settings: &[(&str, &str)]) -> Script {
        use std::sync::atomic::{AtomicU32, Ordering};
        let alone = alone();
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = format!("tapstack-packetdrill-{}-{number}", std::process::id());
        let sysctl = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(sysctl.join("ipv4")).unwrap();
        let mut flags = format!("sysctl={}", sysctl.display());
        if let Ok(folder) = std::env::var("TAPSTACK_TEST_CAPTURES") {
            let test = std::thread::current().name().unwrap_or("main").replace(':', "_");
            flags += &format!(",capture={folder}/{test}.pcapng");
        }
        let library = Arc::new(Library::load(&flags));
        // As a script's first lines do: after the library was loaded.
        for (name, value) in SETTINGS.iter().chain(settings) {
            std::fs::write(sysctl.join("ipv4").join(name), value).unwrap();
        }
        let start = library.gettimeofday();
        Script {
            library,
            sysctl,
            start,
            at: start,
            listener: -1,
            fd: -1,
            local_port: PORT,
            isn: None,
            first_timestamp: None,
            last_timestamp: 0,
            received: VecDeque::new(),
            _alone: alone,
        }
    }

    #[track_caller]
    pub fn play(&mut self, body: &str) {
        for line in body.lines() {
            let line = line.split("//").next().unwrap().trim();
            if !line.is_empty() {
                self.line(line);
            }
        }
    }

    /// Seconds since the start.
    pub fn now(&self) -> f64 {
        (self.at - self.start) as f64 / 1e6
    }

    #[track_caller]
    fn line(&mut self, line: &str) {
        let (time, what) = line.split_once(char::is_whitespace).expect("a time and an event");
        let seconds: f64 = time.strip_prefix('+').expect("+SECONDS").parse().expect("seconds");
        self.at += (seconds * 1e6).round() as i64;
        let what = what.trim();
        if let Some(segment) = what.strip_prefix("> ") {
            return self.expect(segment, line);
        }
        loop {
            let wait = self.at - self.library.gettimeofday();
            if wait <= 0 {
                break;
            }
            self.library.usleep(wait);
        }
        match what.strip_prefix("< ") {
            Some(segment) => {
                let packet = self.parse(segment).write();
                self.library.netdev_send(&packet);
            }
            None => self.call(what, line),
        }
    }

    #[track_caller]
    fn call(&mut self, what: &str, line: &str) {
        let (call, result) =
            what.split_once('=').map_or((what, None), |(call, r)| (call.trim(), Some(r.trim())));
        let words: Vec<&str> = call.split_whitespace().collect();
        let number = |at: usize| words[at].parse::<usize>().unwrap_or_else(|_| panic!("a number: {line}"));
        let answer = match words[0] {
            "listen" => self.listen(words.get(1).map_or(1, |backlog| backlog.parse().unwrap())),
            "accept" => self.library.accept(self.listener).map(|(fd, peer)| {
                assert_eq!(*peer.ip(), REMOTE, "{line}");
                self.fd = fd;
                0
            }),
            "socket" => {
                self.fd = self.library.socket(libc::SOCK_STREAM | libc::SOCK_NONBLOCK);
                Ok(0)
            }
            "connect" => self.connect(),
            "block" => self.library.fcntl(self.fd, libc::F_SETFL, 0),
            "unblock" => self.library.fcntl(self.fd, libc::F_SETFL, libc::O_NONBLOCK),
            "write" => self.library.write(self.fd, &vec![b'.'; number(1)]),
            "send" => self.library.send(self.fd, &vec![b'.'; number(1)], message_flags(words[2])),
            "read" => self.library.read(self.fd, &mut vec![0; number(1)]),
            "recv" => self.library.recv(self.fd, &mut vec![0; number(1)], message_flags(words[2])),
            "close" => self.library.close(self.fd),
            "close-listener" => self.library.close(self.listener),
            "shutdown" => self.library.shutdown(
                self.fd,
                ["rd", "wr", "rdwr"].iter().position(|how| *how == words[1]).expect("rd, wr or rdwr") as i32,
            ),
            "set" => {
                let (level, name) = option(words[1]);
                self.library.set_int(self.on(), level, name, words[2].parse().unwrap())
            }
            "get" => {
                let (level, name) = option(words[1]);
                self.library.get_int(self.on(), level, name).map(i64::from)
            }
            "linger" => {
                let value = [1i32.to_ne_bytes(), words[1].parse::<i32>().unwrap().to_ne_bytes()].concat();
                self.library.setsockopt(self.fd, libc::SOL_SOCKET, libc::SO_LINGER, &value)
            }
            "inq" => self.library.ioctl(self.fd, libc::FIONREAD).map(i64::from),
            "outq" => self.library.ioctl(self.fd, libc::TIOCOUTQ).map(i64::from),
            "poll" => return assert_eq!(self.polled(), result.expect("= FLAGS"), "{line}"),
            "info" => return self.info(&words[1..], line),
            "quiet" => return self.quiet(line),
            name => panic!("no such call: {name}"),
        };
        check(answer, result, line);
    }

    /// The descriptor that options are about: the connection, or the listener before there is one.
    fn on(&self) -> i32 {
        if self.fd >= 0 { self.fd } else { self.listener }
    }

    fn listen(&mut self, backlog: i32) -> Answer {
        self.listener = self.library.socket(libc::SOCK_STREAM);
        self.library.set_int(self.listener, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
        self.library.bind(self.listener, SocketAddrV4::new(LOCAL, PORT))?;
        self.library.listen(self.listener, backlog)
    }

    pub fn connect(&mut self) -> Answer {
        if self.fd < 0 {
            self.fd = self.library.socket(libc::SOCK_STREAM | libc::SOCK_NONBLOCK);
        }
        self.library.connect(self.fd, SocketAddrV4::new(REMOTE, REMOTE_PORT))
    }

    fn polled(&self) -> String {
        let asked = libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP | libc::POLLPRI;
        let revents = self.library.poll(self.fd, asked, 0);
        let names = [
            (libc::POLLIN, "IN"),
            (libc::POLLOUT, "OUT"),
            (libc::POLLPRI, "PRI"),
            (libc::POLLRDHUP, "RDHUP"),
            (libc::POLLHUP, "HUP"),
            (libc::POLLERR, "ERR"),
        ];
        let set: Vec<_> = names.iter().filter(|(bit, _)| revents & bit != 0).map(|(_, name)| *name).collect();
        if set.is_empty() { "0".into() } else { set.join("|") }
    }

    #[track_caller]
    fn info(&self, words: &[&str], line: &str) {
        let info =
            self.library.preloaded_getsockopt(self.fd, libc::IPPROTO_TCP, libc::TCP_INFO, 280).unwrap();
        assert_eq!(info.len(), 280);
        let word = |at: usize| u32::from_ne_bytes(info[at..at + 4].try_into().unwrap());
        for pair in words.chunks(2) {
            let states = ["Open", "Disorder", "CWR", "Recovery", "Loss"];
            let is = match pair[0] {
                "state" => info[0].to_string(),
                "ca" => states[usize::from(info[1])].into(),
                "retransmits" => info[2].to_string(),
                "backoff" => info[4].to_string(),
                "options" => info[5].to_string(),
                "rto" => near(word(8), pair[1]),
                "mss" => word(16).to_string(),
                "unacked" => word(24).to_string(),
                "sacked" => word(28).to_string(),
                "lost" => word(32).to_string(),
                "retrans" => word(36).to_string(),
                "rtt" => near(word(68), pair[1]),
                "ssthresh" if word(76) == 0x7fff_ffff => "infinite".into(),
                "ssthresh" => word(76).to_string(),
                "cwnd" => word(80).to_string(),
                "advmss" => word(84).to_string(),
                "reordering" => word(88).to_string(),
                "total_retrans" => word(100).to_string(),
                name => panic!("no such field: {name}"),
            };
            assert_eq!(is, pair[1], "{}: {line} (at {:.3} s)", pair[0], self.now());
        }
    }

    /// Nothing came out between the last line and this one.
    #[track_caller]
    fn quiet(&mut self, line: &str) {
        if self.received.is_empty() {
            let next = self.library.netdev_receive();
            self.received.extend(next.map(|(at, bytes)| (at, Packet::read(&bytes))));
        }
        if let Some((at, packet)) = self.received.front()
            && *at < self.at
        {
            panic!("not quiet: {} at {:.6}: {line}", self.show(packet), (at - self.start) as f64 / 1e6);
        }
    }

    /// The next packet, and its time.
    pub fn receive(&mut self, why: &str) -> (i64, Packet) {
        let (at, packet) = self.received.pop_front().unwrap_or_else(|| {
            let (at, bytes) =
                self.library.netdev_receive().unwrap_or_else(|| panic!("nothing came out: {why}"));
            (at, Packet::read(&bytes))
        });
        if packet.flags & 2 != 0 {
            self.isn.get_or_insert(packet.seq);
            self.local_port = packet.ports.0;
        }
        if let Some(TcpOption::Timestamps(value, _)) =
            packet.options.iter().find(|option| matches!(option, TcpOption::Timestamps(..)))
        {
            self.first_timestamp.get_or_insert(*value);
            self.last_timestamp = *value;
        }
        (at, packet)
    }

    #[track_caller]
    fn expect(&mut self, segment: &str, line: &str) {
        let expected = Expected::parse(segment);
        let mut seq = expected.start;
        loop {
            let (at, packet) = self.receive(line);
            let shown = self.show(&packet);
            let context = || format!("\n     got: {shown}\nexpected: {line}\n");
            let late = at - self.at;
            assert!(late.abs() <= TOLERANCE, "{} us late:{}", late, context());
            assert_eq!(
                i64::from(packet.seq.wrapping_sub(self.isn.unwrap_or(0)) as i32),
                seq,
                "seq{}",
                context()
            );
            let end = seq + packet.payload.len() as i64;
            assert!(end <= expected.end, "too long{}", context());
            let last = end == expected.end;
            let flags = if last { expected.flags } else { expected.flags & !parse_flags("PF") };
            assert_eq!(show_flags(packet.flags), show_flags(flags), "flags{}", context());
            if let Some(ack) = expected.ack {
                let is = i64::from(packet.ack.wrapping_sub(PEER_ISN) as i32);
                assert_eq!(if packet.flags & 0x10 == 0 { 0 } else { is }, ack, "ack{}", context());
            }
            if let Some(window) = expected.window {
                assert_eq!(packet.window, window, "win{}", context());
            }
            if let Some(ecn) = expected.ecn {
                assert_eq!(packet.ecn, ecn, "ECN bits{}", context());
            }
            if let Some(options) = &expected.options {
                let is: Vec<String> = packet.options.iter().map(|option| self.show_option(option)).collect();
                let same =
                    is.len() == options.len() && is.iter().zip(options).all(|(is, want)| matches(is, want));
                assert!(same, "options{}", context());
            }
            if last {
                break;
            }
            seq = end;
        }
    }

    pub fn show(&self, packet: &Packet) -> String {
        let seq = packet.seq.wrapping_sub(self.isn.unwrap_or(0)) as i32;
        let options: Vec<_> = packet.options.iter().map(|option| self.show_option(option)).collect();
        format!(
            "{} {}:{} ack {} win {} <{}>",
            show_flags(packet.flags),
            seq,
            seq + packet.payload.len() as i32,
            packet.ack.wrapping_sub(PEER_ISN) as i32,
            packet.window,
            options.join(",")
        )
    }

    fn show_option(&self, option: &TcpOption) -> String {
        match option {
            TcpOption::Nop => "nop".into(),
            TcpOption::Mss(mss) => format!("mss {mss}"),
            TcpOption::Scale(scale) => format!("wscale {scale}"),
            TcpOption::SackOk => "sackOK".into(),
            TcpOption::Sack(blocks) => {
                let blocks = blocks.iter().map(|(left, right)| {
                    format!("{}:{}", left.wrapping_sub(PEER_ISN), right.wrapping_sub(PEER_ISN))
                });
                format!("sack {}", blocks.collect::<Vec<_>>().join(" "))
            }
            TcpOption::Timestamps(value, echo) => {
                format!("TS val {} ecr {echo}", value.wrapping_sub(self.first_timestamp.unwrap_or(0)) + 1)
            }
        }
    }

    /// A packet of the peer's.
    fn parse(&self, segment: &str) -> Packet {
        let expected = Expected::parse(segment);
        let mut packet = Packet {
            ports: (REMOTE_PORT, self.local_port),
            seq: PEER_ISN.wrapping_add(expected.start as u32),
            flags: expected.flags,
            window: expected.window.unwrap_or(65_535),
            urgent: expected.urgent,
            payload: vec![b'.'; (expected.end - expected.start) as usize],
            ecn: expected.ecn.unwrap_or(0),
            ..Packet::default()
        };
        let isn = self.isn.unwrap_or(0);
        packet.ack = expected.ack.map_or(0, |ack| isn.wrapping_add(ack as u32));
        packet.options = expected
            .options
            .unwrap_or_default()
            .iter()
            .map(|option| self.parse_option(option, isn))
            .collect();
        packet
    }

    fn parse_option(&self, text: &str, isn: u32) -> TcpOption {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[..] {
            ["nop"] => TcpOption::Nop,
            ["mss", mss] => TcpOption::Mss(mss.parse().unwrap()),
            ["wscale", scale] => TcpOption::Scale(scale.parse().unwrap()),
            ["sackOK"] => TcpOption::SackOk,
            ["sack", ref blocks @ ..] => TcpOption::Sack(
                blocks
                    .iter()
                    .map(|block| {
                        let (left, right) = block.split_once(':').unwrap();
                        let edge = |text: &str| isn.wrapping_add(text.parse::<u32>().unwrap());
                        (edge(left), edge(right))
                    })
                    .collect(),
            ),
            ["TS", "val", value, "ecr", echo] => {
                let echo = match echo {
                    "last" => self.last_timestamp,
                    "0" => 0,
                    echo => self.first_timestamp.unwrap_or(0) + echo.parse::<u32>().unwrap() - 1,
                };
                TcpOption::Timestamps(value.parse().unwrap(), echo)
            }
            _ => panic!("option {text}"),
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.sysctl);
    }
}

/// A segment as it is written.
struct Expected {
    flags: u8,
    start: i64,
    end: i64,
    ack: Option<i64>,
    window: Option<u16>,
    urgent: u16,
    ecn: Option<u8>,
    options: Option<Vec<String>>,
}

impl Expected {
    fn parse(text: &str) -> Expected {
        let (text, options) = match text.split_once('<') {
            Some((text, options)) => (text, Some(options.trim_end().trim_end_matches('>'))),
            None => (text, None),
        };
        let mut words = text.split_whitespace().peekable();
        let ecn = words.next_if(|word| word.starts_with('[')).map(|word| match word {
            "[noecn]" => 0,
            "[ect1]" => 1,
            "[ect0]" => 2,
            "[ce]" => 3,
            word => panic!("{word}"),
        });
        let flags = parse_flags(words.next().expect("flags"));
        let (start, end) = words.next().and_then(|range| range.split_once(':')).expect("START:END");
        let mut expected = Expected {
            flags,
            start: start.parse().unwrap(),
            end: end.parse().unwrap(),
            ack: None,
            window: None,
            urgent: 0,
            ecn,
            options: options.filter(|options| *options != "...").map(|options| {
                options.split(',').map(|o| o.trim().to_string()).filter(|o| !o.is_empty()).collect()
            }),
        };
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            match name {
                "ack" => expected.ack = Some(value.parse().unwrap()),
                "win" => expected.window = Some(value.parse().unwrap()),
                "urg" => expected.urgent = value.parse().unwrap(),
                name => panic!("{name}"),
            }
        }
        expected
    }
}

/// A time in microseconds as it was expected, if it is about right: looking at the clock takes time.
fn near(is: u32, expected: &str) -> String {
    let close = expected.parse().is_ok_and(|expected: u32| is.abs_diff(expected) < 1_000);
    if close { expected.into() } else { is.to_string() }
}

/// Compares word by word; a word of `*` fits everything.
fn matches(is: &str, want: &str) -> bool {
    let (is, want): (Vec<_>, Vec<_>) = (is.split(' ').collect(), want.split_whitespace().collect());
    is.len() == want.len() && is.iter().zip(want).all(|(is, want)| want == "*" || *is == want)
}

#[track_caller]
fn check(answer: Answer, expected: Option<&str>, line: &str) {
    let shown = match answer {
        Ok(value) => value.to_string(),
        Err(errno) => {
            ERRORS.iter().find(|(number, _)| *number == errno).map_or(errno.to_string(), |e| e.1.into())
        }
    };
    match expected {
        Some(expected) => assert_eq!(shown, expected, "{line}"),
        None => assert!(answer.is_ok(), "{shown}: {line}"),
    }
}

const ERRORS: [(i32, &str); 14] = [
    (libc::EAGAIN, "EAGAIN"),
    (libc::EPIPE, "EPIPE"),
    (libc::EINVAL, "EINVAL"),
    (libc::ENOTCONN, "ENOTCONN"),
    (libc::EISCONN, "EISCONN"),
    (libc::EALREADY, "EALREADY"),
    (libc::EINPROGRESS, "EINPROGRESS"),
    (libc::ECONNREFUSED, "ECONNREFUSED"),
    (libc::ECONNRESET, "ECONNRESET"),
    (libc::ECONNABORTED, "ECONNABORTED"),
    (libc::ETIMEDOUT, "ETIMEDOUT"),
    (libc::EHOSTUNREACH, "EHOSTUNREACH"),
    (libc::EBADF, "EBADF"),
    (libc::EADDRINUSE, "EADDRINUSE"),
];

fn option(name: &str) -> (i32, i32) {
    match name {
        "nodelay" => (libc::IPPROTO_TCP, libc::TCP_NODELAY),
        "cork" => (libc::IPPROTO_TCP, libc::TCP_CORK),
        "maxseg" => (libc::IPPROTO_TCP, libc::TCP_MAXSEG),
        "user-timeout" => (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
        "keepidle" => (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
        "keepintvl" => (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
        "keepcnt" => (libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
        "quickack" => (libc::IPPROTO_TCP, libc::TCP_QUICKACK),
        "notsent-lowat" => (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT),
        "defer-accept" => (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT),
        "syncnt" => (libc::IPPROTO_TCP, libc::TCP_SYNCNT),
        "keepalive" => (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
        "rcvbuf" => (libc::SOL_SOCKET, libc::SO_RCVBUF),
        "sndbuf" => (libc::SOL_SOCKET, libc::SO_SNDBUF),
        "error" => (libc::SOL_SOCKET, libc::SO_ERROR),
        "rcvlowat" => (libc::SOL_SOCKET, libc::SO_RCVLOWAT),
        name => panic!("no such option: {name}"),
    }
}

fn message_flags(text: &str) -> i32 {
    let flags = text.split('|').map(|flag| match flag {
        "MORE" => libc::MSG_MORE,
        "EOR" => libc::MSG_EOR,
        "OOB" => libc::MSG_OOB,
        "PEEK" => libc::MSG_PEEK,
        "DONTWAIT" => libc::MSG_DONTWAIT,
        "TRUNC" => libc::MSG_TRUNC,
        flag => panic!("no such flag: {flag}"),
    });
    flags.fold(0, |all, flag| all | flag)
}
