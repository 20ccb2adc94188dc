//! UDP sockets between machines: who gets what, what errors say, and what is bounded.

use crate::frame::DropReason;
use crate::icmp::IcmpErrorKind;
use crate::socket::{Errno, RecvFlags, SocketId, SocketKind, SocketOption};
use crate::testing::Net;
use crate::time::Duration;

/// A pair whose announcements are over.
fn pair() -> Net {
    let mut net = Net::pair();
    net.advance(Duration::from_secs(3));
    net.take_causes();
    net
}

#[test]
fn a_datagram_and_its_answer() {
    let mut net = pair();
    let server = net.udp(1, "0.0.0.0:53");
    let client = net.socket(0, SocketKind::Datagram);
    assert_eq!(net.send_to(0, client, b"question", "10.0.0.2:53"), Ok(8));
    net.run();
    assert_eq!(net.events(1), [server]);
    let (data, from) = net.recv(1, server).unwrap();
    assert_eq!(data, b"question");
    assert!(from.starts_with("10.0.0.1:"));
    net.send_to(1, server, b"answer", &from).unwrap();
    net.run();
    assert_eq!(net.recv(0, client), Ok((b"answer".to_vec(), "10.0.0.2:53".into())));
    assert_eq!(net.recv(0, client), Err(Errno::EAGAIN));
    assert_eq!(
        net.take_causes(),
        [
            "0 asks who has next hop 10.0.0.2",
            "1 answers an ARP request",
            "0 a program's datagram",
            "1 a program's datagram",
        ]
    );
}

#[test]
fn the_loopback_and_the_own_address() {
    let mut net = pair();
    let server = net.udp(0, "0.0.0.0:53");
    let client = net.udp(0, "0.0.0.0:1000");
    for (to, from) in [("127.0.0.1:53", "127.0.0.1:1000"), ("10.0.0.1:53", "10.0.0.1:1000")] {
        net.send_to(0, client, b"x", to).unwrap();
        net.run();
        assert_eq!(net.recv(0, server), Ok((b"x".to_vec(), from.into())));
    }
    assert!(net.take_causes().is_empty());
    assert_eq!(net.machines[0].counters().drops(DropReason::UdpBadChecksum), 0);
}

#[test]
fn connected_sockets_hear_their_peer_only() {
    let mut net = pair();
    let a = net.udp(0, "10.0.0.1:1000");
    net.connect(0, a, "10.0.0.2:2000").unwrap();
    assert_eq!(net.machines[0].local_addr(a).unwrap().to_string(), "10.0.0.1:1000");
    let (peer, stranger) = (net.udp(1, "0.0.0.0:2000"), net.udp(1, "0.0.0.0:2001"));
    net.send_to(1, stranger, b"no", "10.0.0.1:1000").unwrap();
    net.send_to(1, peer, b"yes", "10.0.0.1:1000").unwrap();
    net.run();
    assert_eq!(net.recv(0, a).unwrap().0, b"yes");
    assert_eq!(net.recv(0, a), Err(Errno::EAGAIN));
    assert_eq!(net.drops(0, DropReason::UdpNoPort), 1);
    // Connected anew, it hears the other one.
    net.connect(0, a, "10.0.0.2:2001").unwrap();
    net.send_to(1, peer, b"no", "10.0.0.1:1000").unwrap();
    net.send_to(1, stranger, b"yes", "10.0.0.1:1000").unwrap();
    net.run();
    assert_eq!(net.recv(0, a).unwrap().0, b"yes");
    assert_eq!(net.recv(0, a), Err(Errno::EAGAIN));
}

#[test]
fn specific_beats_wildcard_and_connected_beats_both() {
    let mut net = pair();
    let shared = |net: &mut Net, address: &str| {
        let id = net.socket(1, SocketKind::Datagram);
        net.set(1, id, SocketOption::ReuseAddress(true));
        net.machines[1].bind(id, address.parse().unwrap()).unwrap();
        id
    };
    let any = shared(&mut net, "0.0.0.0:7");
    let client = net.udp(0, "0.0.0.0:1000");
    let hears = |net: &mut Net, id: SocketId| {
        net.send_to(0, client, b"x", "10.0.0.2:7").unwrap();
        net.run();
        assert_eq!(net.recv(1, id).unwrap().0, b"x");
    };
    hears(&mut net, any);
    let specific = shared(&mut net, "10.0.0.2:7");
    hears(&mut net, specific);
    let connected = shared(&mut net, "0.0.0.0:7");
    net.connect(1, connected, "10.0.0.1:1000").unwrap();
    hears(&mut net, connected);
    net.machines[1].close(net.now, connected).unwrap();
    hears(&mut net, specific);
    net.machines[1].close(net.now, specific).unwrap();
    hears(&mut net, any);
}

#[test]
fn ports_are_shared_by_agreement() {
    let mut net = pair();
    let bind = |net: &mut Net, address: &str, options: &[SocketOption]| {
        let id = net.socket(0, SocketKind::Datagram);
        for option in options {
            net.set(0, id, option.clone());
        }
        net.machines[0].bind(id, address.parse().unwrap())
    };
    let (address, port) = ([SocketOption::ReuseAddress(true)], [SocketOption::ReusePort(true)]);
    assert_eq!(bind(&mut net, "10.0.0.1:7", &[]), Ok(()));
    assert_eq!(bind(&mut net, "0.0.0.0:7", &address), Err(Errno::EADDRINUSE));
    assert_eq!(bind(&mut net, "127.0.0.1:7", &[]), Ok(()), "another address");
    assert_eq!(bind(&mut net, "0.0.0.0:8", &port), Ok(()));
    assert_eq!(bind(&mut net, "0.0.0.0:8", &port), Ok(()));
    assert_eq!(bind(&mut net, "0.0.0.0:8", &address), Err(Errno::EADDRINUSE));
    assert_eq!(bind(&mut net, "10.0.0.9:9", &[]), Err(Errno::EADDRNOTAVAIL));
    assert_eq!(bind(&mut net, "[::1]:9", &[]), Err(Errno::EAFNOSUPPORT));
}

#[test]
fn reuse_port_spreads_flows() {
    let mut net = pair();
    let servers: Vec<SocketId> = (0..4)
        .map(|_| {
            let id = net.socket(1, SocketKind::Datagram);
            net.set(1, id, SocketOption::ReusePort(true));
            net.machines[1].bind(id, "0.0.0.0:7".parse().unwrap()).unwrap();
            id
        })
        .collect();
    for port in 1000..1064 {
        let client = net.udp(0, &format!("0.0.0.0:{port}"));
        net.send_to(0, client, b"x", "10.0.0.2:7").unwrap();
    }
    net.run();
    for id in servers {
        assert!(net.recv(1, id).is_ok(), "each got some");
    }
}

#[test]
fn nobody_on_the_port_refuses() {
    let mut net = pair();
    let connected = net.socket(0, SocketKind::Datagram);
    net.connect(0, connected, "10.0.0.2:9").unwrap();
    net.send(0, connected, b"x").unwrap();
    net.run();
    assert_eq!(net.take_causes().last().unwrap(), "1 reports an error: port unreachable");
    assert!(net.machines[0].readiness(connected).unwrap().error);
    assert_eq!(net.recv(0, connected), Err(Errno::ECONNREFUSED));
    assert_eq!(net.recv(0, connected), Err(Errno::EAGAIN), "once");

    let open = net.udp(0, "0.0.0.0:1000");
    net.send_to(0, open, b"x", "10.0.0.2:9").unwrap();
    net.run();
    assert_eq!(net.recv(0, open), Err(Errno::EAGAIN), "unconnected sockets are not told");
    let entry = net.machines[0].recv_error(open).unwrap().unwrap();
    assert_eq!((entry.peer.to_string().as_str(), entry.kind), ("10.0.0.2:9", IcmpErrorKind::PortUnreachable));
    assert_eq!(entry.from.to_string(), "10.0.0.2");
    assert_eq!(net.machines[0].recv_error(open), Ok(None));
}

#[test]
fn a_dead_next_hop_is_reported_and_blocks_nobody_else() {
    let mut net = pair();
    let server = net.udp(1, "0.0.0.0:7");
    let open = net.udp(0, "0.0.0.0:1000");
    net.send_to(0, open, b"dead", "10.0.0.99:7").unwrap();
    net.send_to(0, open, b"alive", "10.0.0.2:7").unwrap();
    net.run();
    assert_eq!(net.recv(1, server).unwrap().0, b"alive");

    let connected = net.socket(0, SocketKind::Datagram);
    net.connect(0, connected, "10.0.0.99:7").unwrap();
    net.send(0, connected, b"dead").unwrap();
    net.take_causes();
    net.advance(Duration::from_millis(2_900));
    let asks = ["0 asks who has next hop 10.0.0.99, try 2", "0 asks who has next hop 10.0.0.99, try 3"];
    assert_eq!(net.take_causes(), asks);
    assert_eq!(net.recv(0, connected), Err(Errno::EAGAIN));
    net.advance(Duration::from_millis(200));
    assert_eq!(net.recv(0, connected), Err(Errno::EHOSTUNREACH));
    // For a second the failure stands; then it is asked again.
    net.send(0, connected, b"dead").unwrap();
    net.run();
    assert_eq!(net.recv(0, connected), Err(Errno::EHOSTUNREACH));
    assert!(net.take_causes().is_empty());
    net.advance(Duration::from_secs(1));
    net.send(0, connected, b"dead").unwrap();
    net.run();
    assert_eq!(net.take_causes(), ["0 asks who has next hop 10.0.0.99"]);
}

#[test]
fn a_burst_waits_for_arp_and_arrives_whole() {
    let mut net = pair();
    let server = net.udp(1, "0.0.0.0:7");
    let client = net.udp(0, "0.0.0.0:1000");
    for number in 0..200u16 {
        net.send_to(0, client, &number.to_be_bytes(), "10.0.0.2:7").unwrap();
    }
    net.run();
    for number in 0..200u16 {
        assert_eq!(net.recv(1, server).unwrap().0, number.to_be_bytes());
    }
}

#[test]
fn queues_are_bounded() {
    let mut net = pair();
    let server = net.udp(1, "0.0.0.0:7");
    let client = net.udp(0, "0.0.0.0:1000");
    net.set(0, client, SocketOption::SendBuffer(4_000));
    let sent = (0..100).take_while(|_| net.send_to(0, client, &[0; 1000], "10.0.0.2:7").is_ok()).count();
    assert_eq!(sent, 4);
    assert!(!net.machines[0].readiness(client).unwrap().writable);
    net.events(0);
    net.run();
    assert_eq!(net.events(0), [client], "room again");

    net.set(1, server, SocketOption::ReceiveBuffer(4_000));
    for _ in 0..100 {
        let _ = net.send_to(0, client, &[], "10.0.0.2:7");
        net.run();
    }
    assert!(net.drops(1, DropReason::UdpQueueFull) > 80);
    let mut received = 0;
    while net.recv(1, server).is_ok() {
        received += 1;
    }
    assert_eq!(received + net.drops(1, DropReason::UdpQueueFull), 104);
}

#[test]
fn broadcast_needs_leave_and_reaches_all() {
    let mut net = Net::new();
    let ends: Vec<_> = (0..3)
        .map(|number| {
            let machine = net.machine();
            net.interface(machine, &[&format!("10.0.0.{}/24", number + 1)])
        })
        .collect();
    net.link(&ends);
    net.run();
    let client = net.udp(0, "0.0.0.0:1000");
    assert_eq!(net.send_to(0, client, b"x", "10.0.0.255:7"), Err(Errno::EACCES));
    assert_eq!(net.send_to(0, client, b"x", "255.255.255.255:7"), Err(Errno::EACCES));
    net.set(0, client, SocketOption::Broadcast(true));
    let (b, c) = (net.udp(1, "0.0.0.0:7"), net.udp(2, "0.0.0.0:7"));
    for to in ["10.0.0.255:7", "255.255.255.255:7"] {
        net.send_to(0, client, b"all", to).unwrap();
        net.run();
        assert_eq!(net.recv(1, b), Ok((b"all".to_vec(), "10.0.0.1:1000".into())));
        assert_eq!(net.recv(2, c), Ok((b"all".to_vec(), "10.0.0.1:1000".into())));
    }
    net.take_causes();
    net.send_to(0, client, b"nobody", "10.0.0.255:9").unwrap();
    net.run();
    assert_eq!(net.take_causes(), ["0 a program's datagram"], "no port unreachable for a broadcast");
    net.set(0, client, SocketOption::Broadcast(false));
    assert_eq!(net.send_to(0, client, b"x", "10.0.0.255:9"), Err(Errno::EACCES), "leave can be withdrawn");
}

#[test]
fn peek_and_truncate() {
    let mut net = pair();
    let server = net.udp(0, "127.0.0.1:7");
    let client = net.udp(0, "127.0.0.1:8");
    net.send_to(0, client, b"datagram", "127.0.0.1:7").unwrap();
    net.run();
    let mut buffer = [0; 4];
    let machine = &mut net.machines[0];
    let peek = RecvFlags { peek: true, trunc: true, ..RecvFlags::default() };
    assert_eq!(machine.recv(net.now, server, &mut buffer, peek), Ok(8));
    assert_eq!(machine.recv(net.now, server, &mut buffer, RecvFlags::default()), Ok(4));
    assert_eq!(&buffer, b"data");
    assert_eq!(machine.recv(net.now, server, &mut buffer, RecvFlags::default()), Err(Errno::EAGAIN));
}

#[test]
fn closing_still_sends_what_was_queued() {
    let mut net = pair();
    let server = net.udp(1, "0.0.0.0:7");
    let client = net.udp(0, "0.0.0.0:1000");
    net.send_to(0, client, b"last words", "10.0.0.2:7").unwrap();
    net.machines[0].close(net.now, client).unwrap();
    net.run();
    assert_eq!(net.recv(1, server).unwrap().0, b"last words");
    assert_eq!(net.recv(0, client), Err(Errno::EBADF));
}

#[test]
fn misuse_is_named() {
    let mut net = pair();
    let id = net.socket(0, SocketKind::Datagram);
    assert_eq!(net.send(0, id, b"x"), Err(Errno::EDESTADDRREQ));
    assert_eq!(net.send_to(0, id, &[0; 65_508], "10.0.0.2:7"), Err(Errno::EMSGSIZE));
    assert_eq!(net.send_to(0, id, b"x", "8.8.8.8:53"), Err(Errno::ENETUNREACH));
    assert_eq!(net.connect(0, id, "240.0.0.1:7"), Err(Errno::ENETUNREACH));
    assert_eq!(net.machines[0].listen(net.now, id, 1), Err(Errno::EOPNOTSUPP));
    assert_eq!(net.machines[0].set_option(net.now, id, SocketOption::Ttl(0)), Err(Errno::EINVAL));
}

#[test]
fn echo_sockets_ping() {
    let mut net = pair();
    let ping = net.socket(0, SocketKind::Echo);
    net.send_to(0, ping, b"first", "10.0.0.2:0").unwrap();
    net.send_to(0, ping, b"second", "10.0.0.2:0").unwrap();
    net.run();
    assert_eq!(net.recv(0, ping), Ok((b"first".to_vec(), "10.0.0.2:0".into())));
    assert_eq!(net.recv(0, ping).unwrap().0, b"second");
    let requests: Vec<u16> = net
        .sent
        .iter()
        .filter(|sent| sent.cause == "a program pings")
        .map(|sent| u16::from_be_bytes([sent.bytes[40], sent.bytes[41]]))
        .collect();
    assert_eq!(requests, [1, 2]);

    net.send_to(0, ping, b"dead", "10.0.0.99:0").unwrap();
    net.advance(Duration::from_secs(4));
    let entry = net.machines[0].recv_error(ping).unwrap().unwrap();
    assert_eq!((entry.kind, entry.sequence), (IcmpErrorKind::HostUnreachable, 3));
}

#[test]
fn summaries_count_the_bytes_that_wait() {
    let mut net = Net::pair();
    let (a, b) = (net.udp(0, "0.0.0.0:1000"), net.udp(1, "0.0.0.0:7"));
    // The next hop isn't known yet: an unconnected socket hands its datagrams on, a connected one keeps them.
    net.connect(0, a, "10.0.0.2:7").unwrap();
    net.send(0, a, b"hello").unwrap();
    net.send(0, a, b"world!").unwrap();
    let queues = |net: &Net, machine: usize, id| {
        let summaries = net.machines[machine].socket_summaries();
        let summary = summaries.iter().find(|summary| summary.socket == Some(id)).unwrap();
        (summary.receive_queue, summary.send_queue)
    };
    assert_eq!(queues(&net, 0, a), (0, 11));
    net.run();
    assert_eq!((queues(&net, 0, a), queues(&net, 1, b)), ((0, 0), (11, 0)));
    net.recv(1, b).unwrap();
    assert_eq!(queues(&net, 1, b), (6, 0));
}
