//! When output leaves: together when a task yields, at once in a full burst and on any other thread.

use super::tests::{A, B, any, machine_on};
use super::*;
use crate::device::{MemoryOptions, memory};
use crate::net::{TcpStream, UdpSocket, blocking, yield_now};
use crate::socket::SocketOption;
use crate::stack::{Medium, Offloads};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::thread;
use tokio::io::AsyncWrite;

/// The other end of a machine's link: what has left the machine.
#[derive(Clone)]
struct Wire(Arc<Mutex<Device>>);

impl Wire {
    /// The data of the datagrams that have left since the last look.
    fn take(&self) -> Vec<Vec<u8>> {
        let mut device = self.0.lock().unwrap();
        let frames = std::iter::from_fn(|| device.rx.receive(clock()).unwrap());
        frames.map(|frame| frame.bytes[28..].to_vec()).collect()
    }

    fn count(&self) -> usize {
        self.take().len()
    }
}

/// A machine on a link without ARP.
fn machine_and_wire(queue_frames_max: usize) -> (Machine, Wire) {
    let options = MemoryOptions { medium: Medium::Ip, queue_frames_max, ..MemoryOptions::segmenting() };
    let (ours, theirs) = memory::pair(["a", "b"], options);
    (machine_on("a", 1, ours), Wire(Arc::new(Mutex::new(theirs))))
}

fn peer() -> SocketAddr {
    SocketAddr::new(B, 7)
}

async fn send(socket: &UdpSocket, count: usize, len: usize) {
    for number in 0..count {
        assert_eq!(socket.send_to(&vec![number as u8; len], peer()).await.unwrap(), len);
    }
}

#[test]
fn datagrams_of_a_task_leave_when_it_yields() {
    let (machine, wire) = machine_and_wire(1000);
    let host = machine.host();
    let socket = host.udp_bind(any(9)).unwrap();
    let seen = wire.clone();
    machine
        .run(async {
            send(&socket, 5, 100).await;
            assert_eq!(seen.count(), 0, "they wait for more");
            yield_now().await;
            assert_eq!(seen.count(), 5, "an await has waited");
            send(&socket, 3, 100).await;
            socket.flush().unwrap();
            assert_eq!(seen.count(), 3, "the task wants them to leave");
            let (own, look) = (host.clone(), seen.clone());
            let task = host.spawn(async move {
                let socket = own.udp_bind(any(10)).unwrap();
                send(&socket, 4, 10).await;
                assert_eq!(look.count(), 0);
            });
            task.await.unwrap();
            assert_eq!(seen.count(), 4, "a task that ends yields as well");
            send(&socket, 2, 100).await;
        })
        .unwrap();
    assert_eq!(wire.count(), 2, "so does the future that was run");
}

#[test]
fn a_full_burst_leaves_at_once() {
    let (machine, wire) = machine_and_wire(1000);
    let host = machine.host();
    let socket = host.udp_bind(any(9)).unwrap();
    machine
        .run(async {
            for (len, burst) in [(1_400, 46), (10, 64)] {
                send(&socket, burst - 1, len).await;
                assert_eq!(wire.count(), 0);
                send(&socket, 1, len).await;
                assert_eq!(wire.count(), burst, "{burst} of {len} bytes");
                send(&socket, 1, len).await;
                assert_eq!(wire.count(), 0);
                yield_now().await;
                assert_eq!(wire.count(), 1);
            }
            socket.set_option(SocketOption::SendBuffer(2_304)).unwrap();
            send(&socket, 1, 1_000).await;
            assert_eq!(wire.count(), 0);
            send(&socket, 1, 1_000).await;
            assert_eq!(wire.count(), 2, "the send buffer takes no more");
        })
        .unwrap();
}

#[test]
fn on_other_threads_they_leave_within_the_call() {
    let (machine, wire) = machine_and_wire(1000);
    let host = machine.host();
    let socket = host.udp_bind(any(9)).unwrap();
    let mut sending = pin!(send(&socket, 3, 100));
    assert!(sending.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    assert_eq!(wire.count(), 3, "nobody drives");
    let running = machine.spawn().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut sending = pin!(send(&socket, 3, 100));
            assert!(sending.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
            assert_eq!(wire.count(), 3, "another thread drives");
            let blocking = blocking::UdpSocket::bind(&host, any(11)).unwrap();
            blocking.send_to(b"blocking", peer()).unwrap();
            assert_eq!(wire.take(), [b"blocking"]);
        });
    });
    running.shutdown().unwrap();
}

#[test]
fn a_task_of_one_machine_sends_by_another_one_at_once() {
    let ((one, _), (other, wire)) = (machine_and_wire(1000), machine_and_wire(1000));
    let socket = other.host().udp_bind(any(9)).unwrap();
    let inner = one.host().udp_bind(any(9)).unwrap();
    one.run(async {
        send(&inner, 1, 100).await;
        send(&socket, 2, 100).await;
        assert_eq!(wire.count(), 2, "its loop isn't the one that goes on when this task yields");
        // Now this thread drives both: each knows its own task.
        other.run(async { send(&socket, 3, 100).await }).unwrap();
        assert_eq!(wire.count(), 3);
    })
    .unwrap();
}

#[test]
fn a_task_that_panics_has_sent() {
    let (machine, wire) = machine_and_wire(1000);
    let (host, own) = (machine.host(), machine.host());
    let task = host.spawn(async move {
        let socket = own.udp_bind(any(9)).unwrap();
        send(&socket, 2, 100).await;
        panic!("on purpose");
    });
    assert!(machine.run(task).unwrap().unwrap_err().is_panic());
    assert_eq!(wire.count(), 2);
}

#[test]
fn a_full_device_and_a_full_buffer_let_the_writer_wait_and_go_on() {
    let (machine, wire) = machine_and_wire(4);
    let host = machine.host();
    let socket = host.udp_bind(any(9)).unwrap();
    socket.set_option(SocketOption::SendBuffer(2_304)).unwrap();
    let (reader, looks) = (host.clone(), wire.clone());
    let taken = host.spawn(async move {
        let mut taken = Vec::new();
        while taken.len() < 100 {
            let now = looks.take();
            assert!(now.len() <= 4);
            taken.extend(now);
            reader.sleep(Duration::from_micros(200)).await;
        }
        taken
    });
    let taken = machine
        .run(async {
            send(&socket, 100, 1_000).await;
            taken.await.unwrap()
        })
        .unwrap();
    let expected: Vec<Vec<u8>> = (0..100u8).map(|number| vec![number; 1_000]).collect();
    assert!(taken == expected, "all arrive, in order");
}

#[test]
fn what_a_machine_tells_itself_arrives_when_the_task_yields() {
    let (machine, _wire) = machine_and_wire(1000);
    let host = machine.host();
    let (from, to) = (host.udp_bind(any(9)).unwrap(), host.udp_bind(any(7)).unwrap());
    let mut buffer = [0; 100];
    let received = machine.run(async {
        from.send_to(b"own", SocketAddr::new(A, 7)).await.unwrap();
        to.recv_from(&mut buffer).await
    });
    assert_eq!(received.unwrap().unwrap(), (3, SocketAddr::new(A, 9)));
}

/// Runs a machine with a connection to a peer that takes all, over a link that carries super-frames or cuts them.
fn with_stream(software: bool, test: impl AsyncFnOnce(&Machine, TcpStream)) {
    let offloads = Offloads { tx_checksum: true, tso_max: 65_415, software, ..Offloads::default() };
    let options = MemoryOptions { offloads, segmentation: software, ..MemoryOptions::default() };
    let (ours, theirs) = memory::pair(["a", "b"], options);
    let (machine, peer) = (machine_on("a", 1, ours), machine_on("b", 2, theirs).spawn().unwrap());
    let listener = peer.host().tcp_listen(any(80)).unwrap();
    let sink = peer.host().spawn(async move {
        let stream = listener.accept().await.unwrap().0;
        stream.read_to_end(&mut Vec::new()).await.unwrap()
    });
    let host = machine.host();
    machine
        .run(async {
            test(&machine, host.tcp_connect(SocketAddr::new(B, 80)).await.unwrap()).await;
            assert!(sink.await.unwrap() > 0);
        })
        .unwrap();
    peer.shutdown().unwrap();
}

/// Bytes of segments that a machine has sent.
fn sent(machine: &Machine) -> u64 {
    machine.machine.lock().unwrap().stack.counters().bytes_out
}

#[test]
fn a_stream_in_flow_sends_when_the_task_yields() {
    with_stream(false, async |machine, mut stream| {
        let before = sent(machine);
        stream.write_all(&[1; 1_000]).await.unwrap();
        let first = sent(machine);
        assert!(first > before, "nothing was on its way");
        stream.set_nodelay(true).unwrap();
        for _ in 0..3 {
            stream.write_all(&[2; 1_000]).await.unwrap();
            assert_eq!(sent(machine), first, "an acknowledgement is on its way, which the loop is to read");
        }
        poll_fn(|cx| Pin::new(&mut stream).poll_flush(cx)).await.unwrap();
        let flushed = sent(machine);
        assert!(flushed >= first + 3_000, "the task wants them to leave");
        stream.write_all(&[3; 1_000]).await.unwrap();
        assert_eq!(sent(machine), flushed);
        yield_now().await;
        assert!(sent(machine) >= flushed + 1_000, "an await has waited");
    });
}

#[test]
fn a_stream_in_flow_takes_a_burst_at_most() {
    with_stream(false, async |machine, stream| {
        // The send buffer tunes itself.
        stream.write_all(&vec![0; 8 << 20]).await.unwrap();
        while stream.info().unwrap().unacked > 0 {
            stream.host().sleep(Duration::from_millis(1)).await;
        }
        stream.write_all(&[1; 1_000]).await.unwrap();
        let before = sent(machine);
        let mut taken = 0;
        let chunk = [2; 100_000];
        poll_fn(|cx| {
            loop {
                match pin!(stream.write(&chunk)).poll(cx) {
                    TaskPoll::Ready(len) => taken += len.unwrap(),
                    TaskPoll::Pending => return TaskPoll::Ready(()),
                }
                if taken < 190_000 {
                    assert_eq!(sent(machine), before, "{taken} bytes wait for more");
                }
            }
        })
        .await;
        let segment = stream.info().unwrap().snd_mss as usize;
        assert_eq!(taken, 65_403 / segment * segment * 3, "full super-frames");
        assert!(sent(machine) > before, "that was all that may wait");
    });
}

#[test]
fn where_the_link_cuts_super_frames_each_write_of_a_stream_leaves_at_once() {
    with_stream(true, async |machine, stream| {
        for _ in 0..3 {
            let before = sent(machine);
            stream.write_all(&[1; 1_448]).await.unwrap();
            assert!(sent(machine) > before);
        }
    });
}
