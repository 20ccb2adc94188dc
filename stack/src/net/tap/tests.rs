//! Tests of the run loop over devices made of socket pairs, which need no privileges: one datagram is one frame.

use super::*;
use crate::device::{Impairment, Transmit, impair};
use crate::frame::TxFrame;
use crate::net::{TcpStream, UdpSocket};
use crate::stack::{Cidr, MacAddr, Medium, Offloads};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socketpair};
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::task::Wake;

pub(super) const A: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
pub(super) const B: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

struct Half(Arc<OwnedFd>);

impl Receive for Half {
    fn receive(&mut self, _: Instant) -> io::Result<Option<RxFrame>> {
        let mut bytes = vec![0; 2048];
        match rustix::net::recv(&self.0, &mut bytes[..], RecvFlags::empty()) {
            Ok((0, _)) | Err(rustix::io::Errno::CONNRESET) => {
                Err(io::Error::new(io::ErrorKind::NotConnected, "the other end is gone"))
            }
            Ok((len, _)) => {
                bytes.truncate(len);
                Ok(Some(RxFrame::new(bytes)))
            }
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Transmit for Half {
    fn transmit(&mut self, _: Instant, frame: &TxFrame) -> io::Result<()> {
        rustix::net::send(&self.0, &frame.completed(), SendFlags::NOSIGNAL).map(drop).map_err(io::Error::from)
    }
}

fn device(name: &str, fd: OwnedFd) -> Device {
    let fd = Arc::new(fd);
    Device {
        name: name.to_owned(),
        medium: Medium::Ethernet,
        mtu: 1500,
        offloads: Offloads::default(),
        rx: Box::new(Half(Arc::clone(&fd))),
        tx: Box::new(Half(Arc::clone(&fd))),
        fd: Some(fd),
    }
}

pub(super) fn pair() -> (OwnedFd, OwnedFd) {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
}

pub(super) fn machine(name: &str, number: u8, fd: OwnedFd) -> Machine {
    machine_on(name, number, device(name, fd))
}

pub(super) fn machine_on(name: &str, number: u8, device: Device) -> Machine {
    let interface = InterfaceConfig {
        name: "eth0".to_owned(),
        medium: Medium::Ethernet,
        mac: MacAddr([2, 0, 0, 0, 0, number]),
        mtu: 1500,
        addresses: vec![Cidr { address: Ipv4Addr::new(10, 0, 0, number), prefix_len: 24 }],
        offloads: Offloads::default(),
    };
    Machine::new(MachineConfig {
        name: name.to_owned(),
        seed: Some(u64::from(number)),
        stack: Config::default(),
        interfaces: vec![(interface, device)],
    })
    .unwrap()
}

/// Machine a, to be run by the test, and b on a thread of its own.
pub(super) fn two() -> (Machine, RunningMachine) {
    let (one, other) = pair();
    (machine("a", 1, one), machine("b", 2, other).spawn().unwrap())
}

pub(super) fn any(port: u16) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], port))
}

async fn echo(socket: UdpSocket) {
    let mut buffer = [0; 2048];
    loop {
        let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
        socket.send_to(&buffer[..len], from).await.unwrap();
    }
}

/// Runs a future on the test's own thread, beside the machine's loop: a foreign executor.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Thread(std::thread::Thread);
    impl Wake for Thread {
        fn wake(self: Arc<Thread>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Thread(std::thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            TaskPoll::Ready(output) => return output,
            TaskPoll::Pending => std::thread::park_timeout(PATIENCE),
        }
    }
}

#[test]
fn machines_ping_each_other_over_devices() {
    let (a, b) = two();
    let host = a.host();
    let pong = a.run(async { host.ping(B, b"hello", PATIENCE).await }).unwrap().unwrap();
    assert_eq!((pong.len, pong.from), (5, B));
    let (sender, receiver) = mpsc::channel();
    let other = b.host();
    b.host().spawn(async move { sender.send(other.ping(A, b"and you", PATIENCE).await).unwrap() });
    a.run(async { host.sleep(Duration::from_millis(200)).await }).unwrap();
    assert!(receiver.recv_timeout(PATIENCE).unwrap().is_ok());
    b.shutdown().unwrap();
}

#[test]
fn a_sleep_lasts_and_the_loop_sleeps_with_it() {
    let (a, _b) = two();
    let host = a.host();
    let start = host.now();
    a.run(async { host.sleep(Duration::from_millis(30)).await }).unwrap();
    let slept = host.now() - start;
    assert!((Duration::from_millis(30)..PATIENCE).contains(&slept), "{slept:?}");
}

/// A device that brings frames again and again, which concern nobody.
struct Endless {
    left: Arc<AtomicU64>,
}

impl Receive for Endless {
    fn receive(&mut self, _: Instant) -> io::Result<Option<RxFrame>> {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
        Ok((left > 0).then(|| RxFrame::new(vec![0xff; 60])))
    }
}

#[test]
fn deadlines_come_though_frames_never_end() {
    let left = Arc::new(AtomicU64::new(20_000_000));
    let (ours, _theirs) = pair();
    let device = Device { rx: Box::new(Endless { left: Arc::clone(&left) }), ..device("a", ours) };
    let machine = machine_on("a", 1, device);
    let host = machine.host();
    machine.run(host.sleep(Duration::from_millis(1))).unwrap();
    assert!(left.load(Ordering::Relaxed) > 0, "the sleep ended only when the frames did");
}

#[test]
fn calls_of_other_threads_get_the_loop_up() {
    let (one, other) = pair();
    let (a, b) = (machine("a", 1, one).spawn().unwrap(), machine("b", 2, other).spawn().unwrap());
    b.host().spawn(echo(b.host().udp_bind(any(7)).unwrap()));
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let host = a.host();
            let work = move || {
                let socket = host.udp_bind(any(0)).unwrap();
                block_on(async {
                    socket.connect(SocketAddr::new(B, 7)).await.unwrap();
                    let mut buffer = [0; 64];
                    for number in 0..200u8 {
                        socket.send(&[thread, number]).await.unwrap();
                        let len = host.timeout(PATIENCE, socket.recv(&mut buffer)).await.unwrap().unwrap();
                        assert_eq!(buffer[..len], [thread, number]);
                    }
                });
            };
            std::thread::Builder::new().spawn_scoped(scope, work).unwrap();
        }
    });
    a.shutdown().unwrap();
}

#[test]
fn many_datagrams_at_once_wait_for_a_device_that_is_full() {
    let (one, other) = pair();
    let (a, raw) = (machine("a", 1, one), other);
    // Nobody reads at first: the socket pair fills up, and refuses.
    let host = a.host();
    let frames = a
        .run(async {
            let socket = host.udp_bind(any(5)).unwrap();
            socket.set_broadcast(true).unwrap();
            let sent = host.spawn(async move {
                for number in 0..2000u16 {
                    let everybody = SocketAddr::from(([10, 0, 0, 255], 9));
                    socket.send_to(&number.to_be_bytes(), everybody).await.unwrap();
                }
                socket
            });
            host.sleep(Duration::from_millis(50)).await;
            let mut frames = Vec::new();
            let mut half = Half(Arc::new(raw));
            while frames.len() < 2000 {
                while let Some(frame) = half.receive(Instant::ZERO).unwrap() {
                    if frame.bytes[12..14] == [8, 0] && frame.bytes[23] == 17 {
                        frames.push(u16::from_be_bytes([frame.bytes[42], frame.bytes[43]]));
                    }
                }
                host.timeout(PATIENCE, host.sleep(Duration::from_millis(1))).await.unwrap();
            }
            sent.await.unwrap();
            frames
        })
        .unwrap();
    assert!(frames.iter().copied().eq(0..2000), "in order, none lost");
}

/// Sends a stream of numbered words, then closes its side.
async fn send_words(stream: &TcpStream, words: u32) {
    for start in (0..words).step_by(500) {
        let end = words.min(start + 500);
        let bytes: Vec<u8> = (start..end).flat_map(u32::to_be_bytes).collect();
        stream.write_all(&bytes).await.unwrap();
    }
    stream.shutdown().await.unwrap();
}

async fn check_words(stream: &TcpStream, words: u32) {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes.chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).eq(0..words));
}

#[test]
fn streams_of_tasks_and_of_other_threads_cross_the_same_device() {
    const WORDS: u32 = 200_000;
    let (one, other) = pair();
    let (a, b) = (machine("a", 1, one).spawn().unwrap(), machine("b", 2, other).spawn().unwrap());
    let listener = b.host().tcp_listen(any(7)).unwrap();
    let (server, (checked, all_checked)) = (b.host(), mpsc::channel());
    b.host().spawn(async move {
        loop {
            let stream = Arc::new(listener.accept().await.unwrap().0);
            let (reader, checked) = (Arc::clone(&stream), checked.clone());
            server.spawn(async move {
                check_words(&reader, WORDS).await;
                checked.send(()).unwrap();
            });
            server.spawn(async move { send_words(&stream, WORDS).await });
        }
    });
    let exchange = |host: Host| async move {
        let stream = Arc::new(host.tcp_connect(SocketAddr::new(B, 7)).await.unwrap());
        let writer = Arc::clone(&stream);
        let sent = host.spawn(async move { send_words(&writer, WORDS).await });
        check_words(&stream, WORDS).await;
        sent.await.unwrap();
    };
    let tasks: Vec<_> = (0..2).map(|_| a.host().spawn(exchange(a.host()))).collect();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let host = a.host();
            std::thread::Builder::new().spawn_scoped(scope, || block_on(exchange(host))).unwrap();
        }
        for task in tasks {
            block_on(task).unwrap();
        }
    });
    for _ in 0..4 {
        all_checked.recv_timeout(PATIENCE).unwrap();
    }
    b.shutdown().unwrap();
}

#[test]
fn frames_that_a_device_holds_back_are_sent_though_another_thread_made_them() {
    let (one, other) = pair();
    let slow = Impairment { delay: Duration::from_millis(20), ..Impairment::default() };
    let (delayed, _) = impair(device("a", one), Impairment::default(), slow, 1);
    let (a, b) = (machine_on("a", 1, delayed), machine("b", 2, other).spawn().unwrap());
    b.host().spawn(echo(b.host().udp_bind(any(7)).unwrap()));
    let a = a.spawn().unwrap();
    let host = a.host();
    let socket = host.udp_bind(any(0)).unwrap();
    block_on(async {
        socket.connect(SocketAddr::new(B, 7)).await.unwrap();
        for number in 0..10u8 {
            let start = host.now();
            socket.send(&[number]).await.unwrap();
            // Nobody but this thread and the devices has anything to do, so no timer hides a loop that sleeps on.
            assert_eq!(socket.recv(&mut [0; 8]).await.unwrap(), 1);
            let took = host.now() - start;
            assert!((slow.delay..Duration::from_secs(2)).contains(&took), "{took:?}");
        }
    });
    b.shutdown().unwrap();
}

#[test]
fn a_program_can_own_the_loop() {
    let (a, b) = two();
    let host = a.host();
    let ping = host.spawn({
        let host = host.clone();
        async move { host.ping(B, b"", PATIENCE).await }
    });
    let start = host.now();
    while !ping.is_finished() {
        assert!(host.now() - start < PATIENCE);
        a.turn(Some(Duration::from_millis(10))).unwrap();
    }
    assert!(a.run(ping).unwrap().unwrap().is_ok());
    // With everything quiet, the descriptor is not readable until a call of another thread wants a turn.
    let readable = |wait: i64| {
        let wait = rustix::time::Timespec { tv_sec: 0, tv_nsec: wait };
        let mut fds = [rustix::event::PollFd::new(&a, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut fds, Some(&wait)).unwrap() == 1
    };
    while readable(0) {
        a.turn(Some(Duration::ZERO)).unwrap();
    }
    a.next_deadline();
    let other = a.host();
    let thread = std::thread::Builder::new().spawn(move || drop(other.spawn(async {}))).unwrap();
    assert!(readable(999_999_999));
    thread.join().unwrap();
    b.shutdown().unwrap();
}

#[test]
fn only_one_thread_drives() {
    let (a, b) = two();
    let error = a.run(async { a.turn(None).unwrap_err() }).unwrap();
    assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    drop(b);
}

#[test]
fn a_device_that_is_gone_ends_the_machine_with_its_words() {
    let (one, other) = pair();
    let a = machine("a", 1, one).spawn().unwrap();
    let socket = a.host().udp_bind(any(7)).unwrap();
    let (sender, receiver) = mpsc::channel();
    a.host().spawn(async move {
        sender.send(socket.recv(&mut [0; 8]).await.unwrap_err().kind()).unwrap();
    });
    drop(other);
    let start = a.host().now();
    while a.is_running() {
        assert!(a.host().now() - start < PATIENCE);
        std::thread::yield_now();
    }
    assert_eq!(a.host().udp_bind(any(8)).unwrap_err().kind(), io::ErrorKind::NetworkDown);
    assert_eq!(a.shutdown().unwrap_err().to_string(), "the other end is gone");
    assert_eq!(receiver.recv_timeout(PATIENCE).unwrap(), io::ErrorKind::NetworkDown);
}

#[test]
fn a_task_that_panics_leaves_the_others_alone() {
    let (a, _b) = two();
    let host = a.host();
    drop(host.spawn(async { panic!("one task's fault") }));
    let joined = host.spawn(async { panic!("seen") });
    let joined = a.run(async { joined.await.map(|()| 0) }).unwrap();
    assert!(joined.unwrap_err().is_panic());
    assert!(a.run(async { host.ping(B, b"", PATIENCE).await }).unwrap().is_ok());
}

#[test]
fn the_future_of_a_run_may_be_woken_by_itself() {
    let (a, _b) = two();
    let mut turns = 0;
    let yields = poll_fn(|cx| {
        turns += 1;
        cx.waker().wake_by_ref();
        if turns > 100 { TaskPoll::Ready(()) } else { TaskPoll::Pending }
    });
    a.run(yields).unwrap();
    assert_eq!(turns, 101);
}

/// As many super-frames as are asked for.
struct SuperFrames;

impl Receive for SuperFrames {
    fn receive(&mut self, _now: Instant) -> io::Result<Option<RxFrame>> {
        Ok(Some(RxFrame::new(vec![0; 60_000])))
    }
}

#[test]
fn batches_are_small_where_this_threads_tasks_read_them() {
    let mut receiver = Receiver::new(InterfaceId(1), Box::new(SuperFrames), None);
    // A first frame that comes alone is a batch.
    receiver.last_burst = 2;
    let mut filled = |feeds_tasks| {
        receiver.feeds_tasks = feeds_tasks;
        let mut batch = Vec::new();
        receiver.fill(&mut batch, Instant::ZERO).unwrap();
        batch.len()
    };
    assert_eq!(filled(true), BATCH_BYTES_MAX.div_ceil(60_000));
    assert_eq!(filled(false), RX_BATCH_MAX);
}
