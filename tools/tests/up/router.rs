//! A machine with two TAPs between two kernels, each in a namespace of its own.
//!
//! ```text
//!  kernel a            the test's namespace             kernel b
//!  10.1.0.9  --veth--  br1 -- ta -- up -- tb -- br2  --veth--  10.2.0.9
//!                         10.1.0.1   10.2.0.1
//! ```

use super::stage::{Outcome, PATIENCE, Up, ensure, run, says, tapstack};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use tapstack::stack::Cidr;
use tapstack_cli::testbed::{Bridge, NetNs, Netlink, Route, TestbedError};

const BYTES: usize = 20_000_000;

pub(crate) fn between_kernels(folder: &Path) -> Outcome {
    let (a, b) = (kernel(1)?, kernel(2)?);
    let _up = Up::start(
        folder,
        &[
            "--tap",
            "name=ta,address=10.1.0.1/24,bridge=br1",
            "--tap",
            "name=tb,address=10.2.0.1/24,bridge=br2,mtu=1400",
        ],
    )?;
    let text = |failed: libtest_mimic::Failed| failed.message().unwrap_or("failed").to_owned();
    b.run(|| -> Outcome {
        let (listener, datagrams) = (TcpListener::bind("10.2.0.9:5000")?, UdpSocket::bind("10.2.0.9:5001")?);
        datagrams.set_read_timeout(Some(PATIENCE))?;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut stream = listener.accept()?.0;
                std::io::copy(&mut stream.try_clone()?, &mut stream).map(drop)
            });
            scope.spawn(|| {
                let mut buffer = [0; 2048];
                let (len, from) = datagrams.recv_from(&mut buffer)?;
                datagrams.send_to(&buffer[..len], from)
            });
            let asked = a.run(|| from_a().map_err(text));
            if !matches!(asked, Ok(Ok(()))) {
                // Nobody may come any more, and the other two would wait for that.
                let _ = TcpStream::connect("10.2.0.9:5000");
            }
            asked.map_err(|error| error.to_string())?.map_err(Into::into)
        })
    })??;
    let shown = tapstack(folder, &["ss", "-s"])?;
    says(&shown, &["ta", "tb", "packets forwarded", "ICMP errors out"])?;
    says(&tapstack(folder, &["route"])?, &["10.1.0.0/24", "10.2.0.0/24", "ta", "tb"])?;
    // Its routes are the ones that it forwards by.
    tapstack(folder, &["route", "add", "10.3.0.0/24", "via", "10.2.0.9"])?;
    tapstack(folder, &["route", "del", "10.3.0.0/24"])?;
    says(&tapstack(folder, &["traceroute", "--queries", "1", "10.2.0.9"])?, &["10.2.0.9"])
}

/// What the first kernel does to the second.
fn from_a() -> Outcome {
    let stream = TcpStream::connect("10.2.0.9:5000")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let data: Vec<u8> = (0..BYTES).map(|at| (at % 251) as u8).collect();
    let mut got = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = stream.try_clone()?;
            writer.write_all(&data)?;
            writer.shutdown(std::net::Shutdown::Write)
        });
        (&stream).read_to_end(&mut got)
    })?;
    ensure(got == data, || format!("{} bytes of {BYTES} came back, or others", got.len()))?;
    let socket = UdpSocket::bind("10.1.0.9:0")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send_to(b"over there", "10.2.0.9:5001")?;
    let mut buffer = [0; 64];
    let (len, from) = socket.recv_from(&mut buffer)?;
    ensure(&buffer[..len] == b"over there" && from.to_string() == "10.2.0.9:5001", || from.to_string())?;
    let way = run("traceroute", &["-n", "-q", "1", "-w", "5", "10.2.0.9"])?;
    let hops: Vec<&str> = way.lines().skip(1).collect();
    let shows_both =
        matches!(hops[..], [first, second] if first.contains("10.1.0.1") && second.contains("10.2.0.9"));
    ensure(shows_both, || way.clone())?;
    // Nobody is there: the router says so, and a network that nobody knows as well (RFC 1812 sections 4.3.3.1, 5.2.7.1).
    for (to, kind) in [("10.2.0.77:9", "the host"), ("203.0.113.1:9", "the network")] {
        let error = TcpStream::connect(to).err().map(|error| error.kind());
        let unreachable = [std::io::ErrorKind::HostUnreachable, std::io::ErrorKind::NetworkUnreachable];
        ensure(error.is_some_and(|error| unreachable.contains(&error)), || format!("{kind}: {error:?}"))?;
    }
    Ok(())
}

/// A kernel in a namespace of its own, on a bridge of this one, with the machine for its router.
fn kernel(network: u8) -> Result<NetNs, TestbedError> {
    let ns = NetNs::new()?;
    let bridge = format!("br{network}");
    let mut here = Bridge::new(&bridge, &[])?;
    let (near, far) = (format!("near{network}"), "eth0");
    here.netlink().add_veth(&near, far, Some(&ns))?;
    here.netlink().set_master(&near, &bridge)?;
    here.netlink().set_up(&near)?;
    // All on a link agree on its MTU: the second one's is smaller than the first's.
    let mtu = if network == 2 { 1400 } else { 1500 };
    here.netlink().set_mtu(&near, mtu)?;
    ns.run(|| {
        let mut there = Netlink::open()?;
        there.set_mtu(far, mtu)?;
        there.add_address(far, Cidr::new(Ipv4Addr::new(10, network, 0, 9), 24))?;
        there.set_up(far)?;
        let destination = Cidr::new(Ipv4Addr::UNSPECIFIED, 0);
        there.add_route(Route { destination, gateway: Ipv4Addr::new(10, network, 0, 1) })
    })??;
    here.netlink().wait_running(&near)?;
    Ok(ns)
}
