//! The library keeps packetdrill's contract: its 33 words, blocking calls in a second thread, the virtual clock.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod driver;

use driver::library::{Library, WORDS, alone};
use driver::script::{self, Script};
use std::time::Duration;

const HANDSHAKE: &str = "
    +0 listen
    +0 < S 0:0 win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
    +0 > S. 0:0 ack 1 <mss 1460,nop,nop,sackOK,nop,wscale 8>
    +.1 < . 1:1 ack 1 win 257
    +0 accept
";

#[test]
fn all_33_words_are_there() {
    let _alone = alone();
    let library = Library::load("");
    assert_eq!(WORDS.len(), 33);
    for (name, word) in WORDS.iter().zip(library.words) {
        assert_ne!(word, 0, "{name}");
    }
    // In order: a word that was swapped with another would answer differently.
    let fd = library.socket(libc::SOCK_STREAM);
    assert!(fd >= 0);
    assert_eq!(library.read(fd, &mut [0; 1]), Err(libc::ENOTCONN));
    assert_eq!(library.write(fd, &[0]), Err(libc::EPIPE));
    assert_eq!(library.shutdown(fd, libc::SHUT_WR), Err(libc::ENOTCONN));
    assert_eq!(library.fcntl(fd, libc::F_GETFL, 0), Ok(i64::from(libc::O_RDWR)));
    assert_eq!(library.get_int(fd, libc::SOL_SOCKET, libc::SO_TYPE), Ok(libc::SOCK_STREAM));
    assert_eq!(library.poll(fd, libc::POLLIN | libc::POLLOUT, 0), libc::POLLOUT | libc::POLLHUP);
    assert_eq!(library.close(fd), Ok(0));
    assert_eq!(library.close(fd), Err(libc::EBADF));
}

#[test]
fn the_clock_is_virtual_and_ticks() {
    let _alone = alone();
    let library = Library::load("");
    let start = library.gettimeofday();
    assert!(library.gettimeofday() > start);
    let real = std::time::Instant::now();
    library.usleep(3_600_000_000);
    let passed = library.gettimeofday() - start;
    assert!((3_600_000_000..3_600_000_100).contains(&passed), "{passed}");
    assert!(real.elapsed() < Duration::from_secs(5));
    assert_eq!(library.netdev_receive(), None, "nothing will ever come: an empty packet");
}

/// Whether a thread of this process sleeps, as packetdrill looks at it.
fn sleeps(thread: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S'))
}

/// Runs `call` in a second thread, waits until it sleeps there, runs `wake`; tells what the call returned, and when it
/// was woken, in microseconds.
fn blocking<T: Send + 'static>(
    script: &mut Script,
    call: impl FnOnce(&Library) -> T + Send + 'static,
    wake: impl FnOnce(&mut Script),
) -> (T, i64) {
    let (sender, receiver) = std::sync::mpsc::channel();
    let library = script.library.clone();
    let caller = std::thread::spawn(move || {
        sender.send(thread_id()).unwrap();
        let result = call(&library);
        (result, library.gettimeofday())
    });
    let thread = receiver.recv().unwrap();
    // A lock or an allocation may make it sleep for a moment as well: look again.
    for _ in 0..20 {
        while !sleeps(thread) {
            assert!(!caller.is_finished(), "the call did not block");
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    wake(script);
    caller.join().unwrap()
}

fn thread_id() -> i32 {
    let link = std::fs::read_link("/proc/thread-self").unwrap();
    link.file_name().unwrap().to_str().unwrap().parse().unwrap()
}

#[test]
fn a_blocking_accept_sleeps_and_is_told_when_it_was_woken() {
    let mut script = script::run("+0 listen");
    let listener = script.listener;
    let mut expected = 0;
    let (accepted, woken) = blocking(
        &mut script,
        move |library| library.accept(listener),
        |script| {
            script.play(
                "
                +.25 < S 0:0 win 1000 <mss 1000>
                +0 > S. 0:0 ack 1 <mss 1460>
                +.25 < . 1:1 ack 1 win 1000
                ",
            );
            expected = script.library.gettimeofday();
            script.library.usleep(10_000_000);
        },
    );
    assert!(accepted.is_ok());
    assert!((woken - expected).abs() < 100, "woken at {woken}, not at {expected}");
}

#[test]
fn a_blocking_read_sleeps_until_data_comes() {
    let mut script = script::run(HANDSHAKE);
    let fd = script.fd;
    let mut expected = 0;
    let (read, woken) = blocking(
        &mut script,
        move |library| library.read(fd, &mut [0; 100]),
        |script| {
            script.play("+.5 < P. 1:11 ack 1 win 257");
            expected = script.library.gettimeofday();
            script.play("+0 > . 1:1 ack 11");
        },
    );
    assert_eq!(read, Ok(10));
    assert!((woken - expected).abs() < 100, "woken at {woken}, not at {expected}");
}

#[test]
fn a_blocking_connect_ends_with_its_timer() {
    let mut script = Script::new(&[("tcp_syn_retries", "1")]);
    let fd = script.library.socket(libc::SOCK_STREAM);
    script.fd = fd;
    let to = std::net::SocketAddrV4::new(driver::packet::REMOTE, script::REMOTE_PORT);
    let started = script.library.gettimeofday();
    let (connected, woken) = blocking(
        &mut script,
        move |library| library.connect(fd, to),
        |script| {
            script.play("+0 > S 0:0 <mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 8>\n+1 > S 0:0");
            script.library.usleep(60_000_000);
        },
    );
    assert_eq!(connected, Err(libc::ETIMEDOUT));
    assert!((2_990_000..3_010_000).contains(&(woken - started)), "{}", woken - started);
}

#[test]
fn a_blocking_write_goes_on_as_acks_make_room() {
    let mut script = script::run(HANDSHAKE);
    let fd = script.fd;
    script.library.set_int(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, 5_000).unwrap();
    let (written, _) = blocking(
        &mut script,
        move |library| library.write(fd, &[0; 15_000]),
        |script| {
            script.play("+0 > P. 1:10001 ack 1\n+0 < . 1:1 ack 10001 win 257\n+0 > P. 10001:15001 ack 1")
        },
    );
    assert_eq!(written, Ok(15_000));
}

#[test]
fn time_outs_of_calls_are_virtual() {
    let mut script = script::run(HANDSHAKE);
    let fd = script.fd;
    let timeout = [0i64.to_ne_bytes(), 250_000i64.to_ne_bytes()].concat();
    script.library.setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &timeout).unwrap();
    let started = script.library.gettimeofday();
    let ((read, polled), woken) = blocking(
        &mut script,
        move |library| (library.read(fd, &mut [0; 1]), library.poll(fd, libc::POLLIN, 500)),
        |script| script.library.usleep(60_000_000),
    );
    assert_eq!((read, polled), (Err(libc::EAGAIN), 0));
    assert!((749_900..751_000).contains(&(woken - started)), "{}", woken - started);
}

#[test]
fn a_call_that_blocks_the_script_itself_gives_up() {
    let script = script::run(HANDSHAKE);
    let started = script.library.gettimeofday();
    assert_eq!(script.library.read(script.fd, &mut [0; 1]), Err(libc::EAGAIN));
    assert!(script.library.gettimeofday() - started < 10_000_000);
}

#[test]
fn preloaded_calls_know_our_sockets_and_pass_others_on() {
    let mut script = script::run(HANDSHAKE);
    let library = script.library.clone();
    let get = |fd, level, name, room| library.preloaded_getsockopt(fd, level, name, room);
    assert_eq!(get(script.fd, libc::IPPROTO_TCP, libc::TCP_INFO, 280).unwrap().len(), 280);
    assert_eq!(get(script.fd, libc::IPPROTO_TCP, libc::TCP_INFO, 104).unwrap().len(), 104);
    assert_eq!(get(script.fd, libc::IPPROTO_TCP, 26, 64).unwrap().len(), 0, "TCP_CC_INFO");
    assert_eq!(get(script.fd, libc::SOL_SOCKET, libc::SO_MEMINFO, 36).unwrap().len(), 36);
    let real = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let kind = get(std::os::fd::AsRawFd::as_raw_fd(&real), libc::SOL_SOCKET, libc::SO_TYPE, 4).unwrap();
    assert_eq!(kind, libc::SOCK_DGRAM.to_ne_bytes());
    let file = tempfile();
    assert_eq!(
        library.preloaded_sendfile(script.fd, std::os::fd::AsRawFd::as_raw_fd(&file), 500),
        (500, 500)
    );
    script.play("+0 > P. 1:501 ack 1");
    assert_eq!(get(-1, libc::SOL_SOCKET, libc::SO_TYPE, 4), Err(libc::EBADF));
}

/// A file of 1,000 bytes that has no name any more.
fn tempfile() -> std::fs::File {
    let path = std::env::temp_dir().join(format!("tapstack-sendfile-{}", std::process::id()));
    std::fs::write(&path, [7; 1_000]).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file
}

#[test]
fn pipes_are_real_and_splice_joins_them_to_sockets() {
    let mut script = script::run(HANDSHAKE);
    let library = script.library.clone();
    let [read, write] = library.pipe();
    assert_eq!(library.write(write, &[1; 300]), Ok(300));
    assert_eq!(library.poll(read, libc::POLLIN, 0), libc::POLLIN);
    assert_eq!(library.splice(read, script.fd, 1_000), Ok(300));
    script.play("+0 > P. 1:301 ack 1\n+.01 < P. 1:201 ack 301 win 257\n+0 > . 301:301 ack 201");
    assert_eq!(library.splice(script.fd, write, 1_000), Ok(200));
    assert_eq!(library.read(read, &mut [0; 1_000]), Ok(200));
    assert_eq!((library.close(read), library.close(write)), (Ok(0), Ok(0)));
}

#[test]
fn epoll_tells_levels_edges_and_once() {
    let mut script = script::run(HANDSHAKE);
    let library = script.library.clone();
    let (epoll, fd) = (library.epoll_create(), script.fd);
    let (input, output) = (libc::EPOLLIN as u32, libc::EPOLLOUT as u32);
    library.epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, input | output).unwrap();
    assert_eq!(library.epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, input), Err(libc::EEXIST));
    assert_eq!(library.epoll_wait(epoll, 0), [(output, fd as u64)]);
    assert_eq!(library.epoll_wait(epoll, 0), [(output, fd as u64)], "level-triggered");
    library.epoll_ctl(epoll, libc::EPOLL_CTL_MOD, fd, input | libc::EPOLLET as u32).unwrap();
    assert_eq!(library.epoll_wait(epoll, 0), []);
    script.play("+.1 < P. 1:11 ack 1 win 257\n+0 > . 1:1 ack 11");
    assert_eq!(library.epoll_wait(epoll, 0), [(input, fd as u64)]);
    assert_eq!(library.epoll_wait(epoll, 0), [], "edge-triggered");
    script.play("+.1 < P. 11:21 ack 1 win 257\n+0 > . 1:1 ack 21");
    assert_eq!(library.epoll_wait(epoll, 0), [(input, fd as u64)]);
    library.epoll_ctl(epoll, libc::EPOLL_CTL_MOD, fd, input | libc::EPOLLONESHOT as u32).unwrap();
    assert_eq!(library.epoll_wait(epoll, 0), [(input, fd as u64)]);
    assert_eq!(library.epoll_wait(epoll, 0), [], "once");
    library.epoll_ctl(epoll, libc::EPOLL_CTL_DEL, fd, 0).unwrap();
    assert_eq!(library.close(epoll), Ok(0));
}

#[test]
fn gather_scatter_and_messages() {
    let mut script = script::run(HANDSHAKE);
    let (library, fd) = (script.library.clone(), script.fd);
    assert_eq!(library.writev(fd, &[1; 10], &[2; 20]), Ok(30));
    script.play("+0 > P. 1:31 ack 1\n+.01 < . 1:1 ack 31 win 257");
    assert_eq!(library.sendmsg(fd, &[3; 40]), Ok(40));
    script.play("+0 > P. 31:71 ack 1\n+.01 < P. 1:101 ack 71 win 257\n+0 > . 71:71 ack 101");
    let (mut first, mut second) = ([0; 20], [0; 30]);
    assert_eq!(library.readv(fd, &mut first, &mut second), Ok(50));
    assert_eq!((first, second), ([b'.'; 20], [b'.'; 30]));
    library.set_int(fd, libc::IPPROTO_TCP, libc::TCP_INQ, 1).unwrap();
    assert_eq!(library.recvmsg(fd, &mut [0; 20]), Ok((20, Some(30))));
    assert_eq!(library.recvmsg(fd, &mut [0; 100]), Ok((30, Some(0))));
}

#[test]
fn nonsense_for_memory_is_refused() {
    let script = script::run(HANDSHAKE);
    let library = script.library.clone();
    for address in [1, 4_096, usize::MAX - 8] {
        assert_eq!(library.write_from(script.fd, address, 100), Err(libc::EFAULT));
    }
    assert_eq!(library.write_from(script.fd, 1, 0), Ok(0));
}
