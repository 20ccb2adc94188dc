//! Requirements of RFC 9293 that no other script shows: opening, addresses, failures, keep-alive, IP and the user interface.

use super::script::{OUR_PORT, OURS, PEER, PEER_PORT, Script};
use crate::frame::{DropReason, Outcome};
use crate::socket::{Errno, Linger, SendFlags, SocketId, SocketKind, SocketOption, TcpState};
use crate::stack::Config;
use crate::tcp::{EcnMode, TcpConfig};
use crate::time::Duration;
use core::net::{Ipv4Addr, SocketAddr};

const SECOND: Duration = Duration::from_secs(1);

fn with_tcp(tcp: TcpConfig) -> Script {
    Script::with(Config { seed: 7, tcp, ..Config::default() })
}

#[track_caller]
fn set(t: &mut Script, socket: SocketId, option: SocketOption) {
    t.stack.set_option(t.now, socket, option).unwrap();
}

/// Waits until something comes out that is not an answer to anything, and counts how often before the stack gives up.
fn gives_up_after(t: &mut Script) -> (usize, Duration) {
    let start = t.now;
    let mut count = 0;
    while t.wait_for_segment(10_000 * SECOND).is_some() {
        count += 1;
        assert!(count < 1_000, "it never gives up");
    }
    (count, t.now - start)
}

#[test]
fn a_wrong_checksum_is_dropped() {
    let mut t = Script::new();
    let socket = t.accepted("");
    let mut packet = t.packet(PEER, OURS, PEER_PORT, "P. 1:11 ack 1");
    *packet.last_mut().unwrap() ^= 1;
    assert_eq!(t.inject_bytes(packet), Outcome::Dropped(DropReason::TcpBadChecksum));
    assert_eq!(t.recv(socket, 10), Err(Errno::EAGAIN));
}

#[test]
fn strangers_from_impossible_addresses_are_not_answered() {
    // MUST-57, MUST-63: to or from broadcast and multicast addresses.
    let mut t = Script::new();
    t.listener(8);
    let (broadcast, multicast) = (Ipv4Addr::new(192, 0, 2, 255), Ipv4Addr::new(224, 0, 0, 5));
    for (from, to) in [(PEER, broadcast), (PEER, Ipv4Addr::BROADCAST), (multicast, OURS), (broadcast, OURS)] {
        let packet = t.packet(from, to, PEER_PORT, "S 0 <mss 1460>");
        let outcome = t.inject_bytes(packet);
        assert!(matches!(outcome, Outcome::Dropped(_)), "{from} to {to}: {outcome}");
        t.quiet();
    }
}

#[test]
fn connecting_to_impossible_addresses_is_refused() {
    // MUST-46.
    let mut t = Script::new();
    for address in [[255, 255, 255, 255], [192, 0, 2, 255], [224, 0, 0, 5]] {
        let socket = t.stack.socket(SocketKind::Stream).unwrap();
        let refused = t.stack.connect(t.now, socket, SocketAddr::from((address, 80)));
        assert!(
            matches!(refused, Err(Errno::ENETUNREACH | Errno::EACCES | Errno::EINVAL)),
            "{address:?}: {refused:?}"
        );
        t.quiet();
    }
}

#[test]
fn the_source_is_asked_of_ip_or_bound() {
    // MUST-43, MUST-44, MUST-45.
    let mut t = Script::new();
    let socket = t.connecting();
    assert_eq!(t.stack.local_addr(socket).unwrap().ip(), OURS);
    let bound = t.stack.socket(SocketKind::Stream).unwrap();
    t.stack.bind(bound, SocketAddr::from((OURS, 5_555))).unwrap();
    let peer = SocketAddr::from((PEER, PEER_PORT));
    assert_eq!(t.stack.connect(t.now, bound, peer), Err(Errno::EINPROGRESS));
    assert_eq!(t.stack.local_addr(bound), Ok(SocketAddr::from((OURS, 5_555))));
}

#[test]
fn a_listener_serves_many_and_others_live_beside_it() {
    // MUST-41, MUST-42: connections with a listener's port, and other listeners, don't disturb it.
    let mut t = Script::new();
    let listener = t.listener(8);
    let other = t.stack.socket(SocketKind::Stream).unwrap();
    t.stack.bind(other, SocketAddr::from((OURS, OUR_PORT + 1))).unwrap();
    t.stack.listen(t.now, other, 8).unwrap();
    for port in [1_001, 1_002, 1_003] {
        t.inject_from(port, "S 0 <mss 1460>");
        assert!(t.pull().is_some_and(|segment| segment.starts_with("S. ")));
    }
    assert_eq!(t.state(listener), TcpState::Listen);
}

#[test]
fn a_peer_without_mss_gets_536_and_mss_is_said_in_syns_only() {
    // MUST-15, MUST-65.
    let mut t = Script::new();
    let listener = t.listener(8);
    t.inject("S 0");
    t.expect("S. 0 ack 1 <mss 1460>");
    t.inject(". 1 ack 1");
    let (socket, _) = t.stack.accept(t.now, listener).unwrap();
    t.send(socket, 1_000).unwrap();
    t.expect(". 1:537 ack 1 <>");
    t.expect("P. 537:1001 ack 1 <>");
}

#[test]
fn a_tiny_mss_is_not_believed() {
    let mut t = Script::new();
    let listener = t.listener(8);
    t.inject("S 0 <mss 1>");
    t.expect("S. 0 ack 1");
    t.inject(". 1 ack 1");
    let (socket, _) = t.stack.accept(t.now, listener).unwrap();
    assert_eq!(t.info(socket).snd_mss, 88);
}

#[test]
fn isn_follows_a_clock_and_a_secret() {
    // MUST-8, SHLD-1, MUST-9: the clock moves the number, the secret its start.
    let isn = |seed, later: Duration| {
        let mut t = Script::with(Config { seed, ..Config::default() });
        t.now += later;
        t.listener(8);
        t.inject("S 0 <mss 1460>");
        t.pull().unwrap();
        u32::from_be_bytes(t.last_packet[24..28].try_into().unwrap())
    };
    let first = isn(1, Duration::ZERO);
    assert_eq!(isn(1, Duration::from_micros(64)).wrapping_sub(first), 1_000, "one each 64 ns");
    assert_ne!(isn(2, Duration::ZERO), first);
}

#[test]
fn a_reset_may_carry_data() {
    // SHLD-2.
    let mut t = Script::new();
    let socket = t.accepted("");
    t.inject("R 1:11");
    assert_eq!(t.state(socket), TcpState::Closed);
}

#[test]
fn time_wait_makes_way_for_a_later_syn_and_numbers_go_on() {
    // MAY-2, SHLD-4: by a later sequence number, or a later timestamp.
    for (later, options) in [("S 100", ""), ("S -100 <mss 1460,TS 9000 0>", "TS 5000 0")] {
        let mut t = Script::new();
        let listener = t.listener(8);
        let comma = if options.is_empty() { "" } else { "," };
        t.inject(&format!("S 0 <mss 1460{comma}{options}>"));
        t.pull().unwrap();
        let (first, last) =
            if options.is_empty() { ("", "") } else { (" <TS 5001 last>", " <TS 5002 last>") };
        t.inject(&format!(". 1 ack 1{first}"));
        let (socket, _) = t.stack.accept(t.now, listener).unwrap();
        t.stack.close(t.now, socket).unwrap();
        t.expect("F. 1 ack 1");
        t.inject(&format!("F. 1 ack 2{last}"));
        t.expect(". 2 ack 2");
        let used = u32::from_be_bytes(t.last_packet[24..28].try_into().unwrap());
        assert_eq!(t.inject(later), Outcome::Handshake);
        let synack = t.pull().unwrap();
        assert!(synack.starts_with("S. "), "{synack}");
        let iss = u32::from_be_bytes(t.last_packet[24..28].try_into().unwrap());
        assert!((65_000..1 << 30).contains(&iss.wrapping_sub(used)), "{iss} after {used}");
    }
}

#[test]
fn an_old_duplicate_syn_does_not_end_time_wait() {
    let mut t = Script::new();
    let socket = t.accepted("");
    t.stack.close(t.now, socket).unwrap();
    t.expect("F. 1 ack 1");
    t.inject("F. 1 ack 2");
    t.expect(". 2 ack 2");
    t.inject("S -1000");
    t.expect(". 2 ack 2");
}

#[test]
fn r2_is_fifteen_timeouts_and_well_over_100_s() {
    // MUST-20, SHLD-11.
    let mut t = Script::new();
    let socket = t.accepted("");
    t.send(socket, 100).unwrap();
    t.expect("P. 1:101 ack 1");
    let (count, time) = gives_up_after(&mut t);
    assert_eq!(count, 15);
    assert!(time > 100 * SECOND, "{time:?}");
    assert_eq!(t.recv(socket, 1), Err(Errno::ETIMEDOUT));
    assert_eq!(t.stack.poll_timeout(), None);
}

#[test]
fn the_application_can_set_r2() {
    // MUST-21, by RFC 5482's option.
    let mut t = Script::new();
    let socket = t.accepted("");
    set(&mut t, socket, SocketOption::UserTimeout(Some(3 * SECOND)));
    t.send(socket, 100).unwrap();
    t.expect("P. 1:101 ack 1");
    let (_, time) = gives_up_after(&mut t);
    assert!((3 * SECOND..5 * SECOND).contains(&time), "{time:?}");
    assert_eq!(t.recv(socket, 1), Err(Errno::ETIMEDOUT));
}

#[test]
fn keep_alive_is_off_and_takes_two_hours() {
    // MUST-25, MUST-28.
    let mut t = Script::new();
    let socket = t.accepted("");
    t.wait_quietly(100_000 * SECOND);
    assert_eq!(t.stack.poll_timeout(), None);
    set(&mut t, socket, SocketOption::KeepAlive(true));
    t.inject("P. 1:2 ack 1");
    while t.pull().is_some() {}
    let (waited, probe) = t.wait_for_segment(100_000 * SECOND).unwrap();
    assert_eq!((waited, probe.starts_with(". 0 ack 2")), (7_200 * SECOND, true));
}

#[test]
fn ttl_and_diffserv_are_the_applications() {
    // MUST-48, MUST-49, SHLD-21, SHLD-22.
    let mut t = Script::new();
    let socket = t.accepted("");
    set(&mut t, socket, SocketOption::Ttl(9));
    for tos in [0x28, 0xb8] {
        set(&mut t, socket, SocketOption::Tos(tos));
        t.send(socket, 1).unwrap();
        assert!(t.pull().is_some());
        assert_eq!((t.last_packet[1], t.last_packet[8]), (tos, 9));
        t.inject(&format!(". 1 ack {}", 1 + t.info(socket).bytes_sent));
    }
}

#[test]
fn icmp_errors_are_soft_once_the_connection_is_open() {
    // SHLD-25, MUST-56: told to who asks, and aborting nothing; so also for hard ones (RFC 5927 section 5.2).
    for (kind, code, errno) in
        [(3, 0, Errno::ENETUNREACH), (3, 1, Errno::EHOSTUNREACH), (3, 3, Errno::ECONNREFUSED)]
    {
        let mut t = Script::new();
        let socket = t.accepted("");
        t.send(socket, 10).unwrap();
        t.expect("P. 1:11 ack 1");
        t.inject_icmp(kind, code, 0);
        assert_eq!(t.state(socket), TcpState::Established);
        assert_eq!(t.stack.take_error(socket), Ok(Some(errno)));
    }
    for (kind, code) in [(11, 0), (12, 0), (4, 0)] {
        // Time exceeded, parameter problem; source quench (MUST-55).
        let mut t = Script::new();
        let socket = t.accepted("");
        t.send(socket, 10).unwrap();
        t.expect("P. 1:11 ack 1");
        let window = t.info(socket).snd_cwnd;
        t.inject_icmp(kind, code, 0);
        assert_eq!(t.state(socket), TcpState::Established);
        assert_eq!(t.info(socket).snd_cwnd, window);
        t.quiet();
    }
}

#[test]
fn a_hard_icmp_error_ends_an_opening() {
    // SHLD-26.
    let mut t = Script::new();
    let socket = t.connecting();
    t.expect("S 0");
    t.inject_icmp(3, 3, 0);
    assert_eq!(t.state(socket), TcpState::Closed);
    assert_eq!(t.stack.take_error(socket), Ok(Some(Errno::ECONNREFUSED)));
}

#[test]
fn fragmentation_needed_shrinks_the_segments() {
    // RFC 1191; MUST-54.
    let mut t = Script::new();
    let socket = t.accepted("");
    t.send(socket, 1_460).unwrap();
    t.expect("P. 1:1461 ack 1");
    t.inject_icmp(3, 4, 1_000);
    t.expect(". 1:961 ack 1");
    t.expect("P. 961:1461 ack 1");
    assert_eq!(t.info(socket).pmtu, 1_000);
    // A smaller one than 552 is not believed, and one for data that was acknowledged changes nothing.
    t.inject_icmp(3, 4, 68);
    assert_eq!(t.info(socket).pmtu, 552);
    while t.pull().is_some() {}
    t.inject(". 1 ack 1461");
    assert_eq!(t.inject_icmp(3, 4, 600), Outcome::Dropped(DropReason::IcmpUnmatched));
}

#[test]
fn abort_sends_a_reset_and_drops_the_queue() {
    let mut t = Script::new();
    let socket = t.accepted("");
    t.send(socket, 10).unwrap();
    set(&mut t, socket, SocketOption::Linger(Linger::For(Duration::ZERO)));
    t.stack.close(t.now, socket).unwrap();
    let reset = t.pull().unwrap();
    assert!(reset.starts_with("R. 1 ack 1"), "{reset}");
    t.quiet();
}

#[test]
fn push_is_set_where_a_write_ends() {
    // MUST-61; MAY-15: MSG_MORE says that more follows.
    let mut t = Script::new();
    let socket = t.accepted("");
    let more = SendFlags { more: true, ..SendFlags::default() };
    let data: Vec<u8> = (1..1_461).map(super::script::pattern).collect();
    t.stack.send(t.now, socket, &data, more).unwrap();
    t.expect(". 1:1461 ack 1");
    t.send(socket, 10).unwrap();
    t.expect("P. 1461:1471 ack 1");
}

#[test]
fn ecn_is_accepted_when_asked_for_and_echoed_until_cwr() {
    // SHLD-8; RFC 3168 section 6.1.
    let mut t = Script::new();
    let listener = t.listener(8);
    t.inject("SEW 0 <mss 1460>");
    t.expect("SE. 0 ack 1");
    t.inject(". 1 ack 1");
    let (socket, _) = t.stack.accept(t.now, listener).unwrap();
    let mut marked = t.packet(PEER, OURS, PEER_PORT, "P. 1:11 ack 1");
    marked[1] = 3;
    marked[10..12].copy_from_slice(&[0, 0]);
    let sum = crate::wire::checksum::Sum::default().bytes(&marked[..20]).checksum();
    marked[10..12].copy_from_slice(&sum.to_be_bytes());
    t.inject_bytes(marked);
    t.expect("E. 1 ack 11");
    t.inject("PW. 11:21 ack 1");
    t.expect(". 1 ack 21");
    t.send(socket, 10).unwrap();
    t.expect("P. 1:11 ack 21");
    assert_eq!(t.last_packet[1] & 3, 2, "new data is ECN-capable");
    t.inject("E. 21 ack 11");
    t.send(socket, 10).unwrap();
    t.expect("PW. 11:21 ack 21");
}

#[test]
fn ecn_is_not_offered_by_default_but_can_be() {
    let mut t = Script::new();
    t.connecting();
    t.expect("S 0");
    let mut t = with_tcp(TcpConfig { ecn: EcnMode::Offer, ..TcpConfig::default() });
    let socket = t.connecting();
    t.expect("SEW 0");
    t.inject("SE. 0 ack 1 <mss 1460>");
    t.expect(". 1 ack 1");
    assert!(t.info(socket).ecn);
}

#[test]
fn a_soft_error_explains_a_timeout() {
    // MUST-47.
    let mut t = Script::new();
    let socket = t.accepted("");
    t.send(socket, 10).unwrap();
    t.expect("P. 1:11 ack 1");
    t.inject_icmp(3, 1, 0);
    gives_up_after(&mut t);
    assert_eq!(t.recv(socket, 1), Err(Errno::EHOSTUNREACH));
}

#[test]
fn corked_data_leaves_in_the_end() {
    // MUST-60.
    let mut t = Script::new();
    let socket = t.accepted("");
    set(&mut t, socket, SocketOption::Cork(true));
    t.send(socket, 10).unwrap();
    t.quiet();
    let (waited, segment) = t.wait_for_segment(SECOND).unwrap();
    assert_eq!(waited, Duration::from_millis(200));
    assert!(segment.starts_with("P. 1:11"), "{segment}");
}

#[test]
fn three_timeouts_suspect_a_black_hole() {
    // SHLD-10; RFC 4821: smaller segments from then on, and larger ones again when they get through.
    let mut t = Script::new();
    let socket = t.accepted("");
    t.send(socket, 1_460).unwrap();
    t.expect("P. 1:1461 ack 1");
    for _ in 0..2 {
        let (_, segment) = t.wait_for_segment(60 * SECOND).unwrap();
        assert!(segment.starts_with("P. 1:1461"), "{segment}");
    }
    let (_, segment) = t.wait_for_segment(60 * SECOND).unwrap();
    assert!(segment.starts_with(". 1:1025"), "{segment}");
    assert_eq!(t.info(socket).pmtu, 1_064);
    t.inject(". 1 ack 1025");
    t.expect("P. 1025:1461 ack 1");
    t.inject(". 1 ack 1461");
    t.wait_quietly(700 * SECOND);
    t.send(socket, 20_000).unwrap();
    let (mut probed, mut end) = (0, 0);
    for _ in 0..100 {
        while let Some(segment) = t.pull() {
            if let Some((from, to)) = segment.split(' ').nth(1).unwrap().split_once(':') {
                end = to.parse::<u32>().unwrap();
                probed = probed.max(end - from.parse::<u32>().unwrap());
            }
        }
        t.inject(&format!(". 1 ack {end}"));
        let _ = t.send(socket, 5_000);
    }
    assert!(probed > 1_400, "the largest probe was of {probed} bytes");
    assert!(t.info(socket).pmtu > 1_480, "{}", t.info(socket).pmtu);
}

#[test]
fn the_next_hop_may_be_gone_for_a_while() {
    // Without a route, data waits; with one again, it goes.
    let mut t = Script::new();
    let socket = t.accepted("");
    t.stack.remove_address(OURS).unwrap();
    t.send(socket, 10).unwrap();
    assert_eq!(t.pull(), None);
    let cidr = crate::stack::Cidr { address: OURS, prefix_len: 24 };
    t.stack.add_address(t.now, t.interface, cidr).unwrap();
    let (_, segment) = t.wait_for_segment(10 * SECOND).unwrap();
    assert!(segment.starts_with("P. 1:11 ack 1") || segment.starts_with(". 0 ack 1"), "{segment}");
    t.inject(". 1 ack 1");
    assert!(segment.starts_with('P') || t.pull().is_some_and(|segment| segment.starts_with("P. 1:11")));
}
