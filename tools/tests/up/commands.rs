//! The commands that act on a machine that is up, and clients of its control socket that mean no good.

use super::stage::{Outcome, PATIENCE, Up, command, ensure, refuses, run, says, tapstack, wait_until};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

pub(crate) fn tables(folder: &Path) -> Outcome {
    for subcommand in [&["ss"][..], &["arp"], &["route"], &["ping", "10.0.0.1"]] {
        refuses(folder, subcommand, 1, "no machine is up")?;
    }
    let _up = Up::start(folder, &["--gateway", "10.0.0.9"])?;
    tapstack(folder, &["ping", "-c", "1", "10.0.0.1"])?;
    let held = TcpStream::connect("10.0.0.2:7")?;
    let shown = tapstack(folder, &["ss", "-i"])?;
    says(&shown, &["LISTEN", "10.0.0.2:7", "ESTABLISHED", "cubic", "cwnd:", "bytes_received:"])?;
    ensure(!tapstack(folder, &["ss", "-u"])?.contains("tcp"), || "-u shows TCP".to_owned())?;
    says(&tapstack(folder, &["ss", "-s"])?, &["tap0", "Frames in", "TCP segments in"])?;
    says(&tapstack(folder, &["arp"])?, &["10.0.0.1", "REACHABLE", "tap0"])?;
    says(&tapstack(folder, &["arp", "-d", "10.0.0.1"])?, &["1 forgotten"])?;
    refuses(folder, &["arp", "-d", "10.0.0.77"], 1, "not in the neighbour cache")?;
    tapstack(folder, &["arp", "--flush"])?;
    says(&tapstack(folder, &["route"])?, &["default", "10.0.0.9", "10.0.0.0/24", "connected"])?;
    tapstack(folder, &["route", "add", "10.7.0.0/16", "via", "10.0.0.1", "metric", "3"])?;
    says(&tapstack(folder, &["route", "list"])?, &["10.7.0.0/16", "static"])?;
    refuses(folder, &["route", "add", "10.7.0.0/16", "via", "10.0.0.1", "metric", "3"], 1, "there already")?;
    refuses(folder, &["route", "add", "10.8.0.0/16", "via", "172.16.0.1"], 1, "on no interface's link")?;
    refuses(folder, &["route", "add", "10.8.0.1/16"], 2, "did you mean 10.8.0.0/16")?;
    tapstack(folder, &["route", "del", "10.7.0.0/16"])?;
    refuses(folder, &["route", "del", "10.7.0.0/16"], 1, "no such route")?;
    for table in [&["ss"][..], &["ss", "-i"], &["ss", "-s"], &["arp"], &["route"]] {
        let shown = tapstack(folder, table)?;
        let wide = shown.lines().find(|line| line.chars().count() > 80);
        ensure(wide.is_none(), || format!("{table:?} is wider than 80 columns: {wide:?}"))?;
    }
    drop(held);
    let _other = Up::start(folder, &["--name", "other", "--address", "10.9.0.2/24"])?;
    refuses(folder, &["ss"], 1, "pick one of other, tapstack with --name")?;
    says(&tapstack(folder, &["route", "--name", "other"])?, &["10.9.0.0/24"])?;
    refuses(folder, &["ss", "--name", "third"], 1, "no machine named third")
}

pub(crate) fn reach(folder: &Path) -> Outcome {
    let _up = Up::start(folder, &[])?;
    let said = tapstack(folder, &["ping", "-c", "3", "-i", "0.1", "10.0.0.1"])?;
    says(&said, &["seq=3", "3 sent, 3 received, 0 % lost", "mean"])?;
    let nobody = command(folder, &["ping", "-c", "1", "-W", "0.3", "10.0.0.99"]).output()?;
    ensure(nobody.status.code() == Some(1), || format!("{nobody:?}"))?;
    let mut waiting = command(folder, &["ping", "-W", "100", "10.0.0.98"]).stdout(Stdio::piped()).spawn()?;
    let mut said = BufReader::new(waiting.stdout.take().ok_or("no output")?);
    said.read_line(&mut String::new())?;
    run("kill", &["-INT", &waiting.id().to_string()])?;
    let rest = io::read_to_string(said)?;
    ensure(waiting.wait()?.code() == Some(1), || rest.clone())?;
    ensure(rest.contains("1 sent, 0 received") && !rest.contains("seq="), || rest.clone())?;
    refuses(folder, &["ping", "-c", "1", "192.0.2.1"], 1, "no route to the destination")?;
    for lost in [&["ping", "192.0.2.1"][..], &["traceroute", "192.0.2.1"], &["nc", "192.0.2.1", "7"]] {
        refuses(folder, lost, 1, "`tapstack route` shows and adds routes")?;
    }
    let said = tapstack(folder, &["traceroute", "--queries", "2", "10.0.0.1"])?;
    let hop = said.lines().find(|line| line.trim_start().starts_with("1 ")).unwrap_or_default();
    ensure(hop.contains("10.0.0.1") && hop.matches(" ms").count() == 2, || said.clone())
}

pub(crate) fn rpc(folder: &Path) -> Outcome {
    refuses(folder, &["rpc", "info", "10.0.0.1"], 1, "no machine is up")?;
    let _up = Up::start(folder, &[])?;
    let listed = tapstack(folder, &["rpc", "info", "10.0.0.2"])?;
    says(&listed, &["program version netid", "100000       4 tcp   0.0.0.0.0.111", "superuser"])?;
    for transport in [&[][..], &["--tcp"]] {
        let ping = [&["rpc", "ping", "10.0.0.2", "100000", "4", "-c", "20"], transport].concat();
        says(&tapstack(folder, &ping)?, &["20 null calls of 100000", "min ", "p50 ", "p99 ", "max "])?;
        // GETPORT of the portmapper itself by TCP: 111.
        let asked = "000186a0000000020000000600000000";
        let call = [&["rpc", "call", "10.0.0.2", "100000", "2", "3", asked, "-p", "111"], transport].concat();
        says(&tapstack(folder, &call)?, &["0000006f\n"])?;
    }
    refuses(folder, &["rpc", "call", "10.0.0.2", "100000", "9", "0"], 1, "versions 2 to 4")?;
    refuses(folder, &["rpc", "call", "10.0.0.2", "7", "1", "0"], 1, "doesn't have the program")?;
    refuses(folder, &["rpc", "call", "10.0.0.2", "100000", "2", "3", "abc"], 1, "not hexadecimal")
}

pub(crate) fn netcat(folder: &Path) -> Outcome {
    const BYTES: usize = 3_000_000;
    let _up = Up::start(folder, &[])?;
    let data: Vec<u8> = (0..BYTES).map(|at| (at % 251) as u8).collect();
    let talk = |arguments: &[&str]| {
        command(folder, arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    };
    // Out: the kernel listens, and sends everything back when it has it.
    let listener = TcpListener::bind("10.0.0.1:9001")?;
    let mut netcat = talk(&["nc", "10.0.0.1", "9001"])?;
    let mut input = netcat.stdin.take().ok_or("no input")?;
    let output = std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = input.write_all(&data);
            drop(input);
        });
        scope.spawn(|| {
            let (mut stream, mut got) = (listener.accept()?.0, Vec::new());
            stream.read_to_end(&mut got)?;
            stream.write_all(&got)
        });
        netcat.wait_with_output()
    })?;
    ensure(output.status.success() && output.stdout == data, || {
        format!(
            "{}, {} bytes: {}",
            output.status,
            output.stdout.len(),
            String::from_utf8_lossy(&output.stderr)
        )
    })?;
    // In: the machine listens.
    let netcat = talk(&["nc", "-l", "9002"])?;
    wait_until("it listens", || tapstack(folder, &["ss", "-l"]).is_ok_and(|shown| shown.contains(":9002")))?;
    let mut stream = TcpStream::connect("10.0.0.2:9002")?;
    stream.write_all(b"to the machine\n")?;
    drop(stream);
    let output = netcat.wait_with_output()?;
    ensure(output.stdout == b"to the machine\n", || format!("{output:?}"))?;
    // UDP, where each piece is a datagram.
    let socket = UdpSocket::bind("10.0.0.1:9003")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut netcat = talk(&["nc", "-u", "10.0.0.1", "9003"])?;
    netcat.stdin.take().ok_or("no input")?.write_all(b"ask")?;
    let mut buffer = [0; 64];
    let (len, from) = socket.recv_from(&mut buffer)?;
    socket.send_to(b"answer", from)?;
    let output = netcat.wait_with_output()?;
    ensure(&buffer[..len] == b"ask" && output.stdout == b"answer", || format!("{output:?}"))?;
    refuses(folder, &["nc", "10.0.0.1", "9"], 1, "refused")?;
    refuses(folder, &["nc", "somewhere", "9"], 2, "names are not looked up")?;
    refuses(folder, &["nc", "-l", "80"], 1, "in use")
}

pub(crate) fn bad_clients(folder: &Path) -> Outcome {
    let _up = Up::start(folder, &[])?;
    let socket = folder.join("tapstack/tapstack.sock");
    let ask = |bytes: &[u8]| -> std::io::Result<String> {
        let mut stream = UnixStream::connect(&socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // The answer may come, and the socket be closed, before all is written.
        let _ = stream.write_all(bytes);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        Ok(answer)
    };
    for bad in [&b"\n"[..], b"{}\n", b"\xff\xfe\n", b"{\"do\":\"reboot\"}\n", &[b'['; 60_000]] {
        let answer = ask(bad)?;
        ensure(answer.is_empty() || answer.contains("bad request"), || answer.clone())?;
    }
    // More silent ones than it has threads for: others are told so, and it lives on.
    let silent: Vec<UnixStream> = (0..100).filter_map(|_| UnixStream::connect(&socket).ok()).collect();
    ensure(silent.len() == 100, || format!("only {} connected", silent.len()))?;
    let mut page = TcpStream::connect("10.0.0.2:80")?;
    page.set_read_timeout(Some(PATIENCE))?;
    page.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    page.read_to_string(&mut answer)?;
    says(&answer, &["200 OK"])?;
    // The silent ones have had their time after two seconds.
    let begun = Instant::now();
    wait_until("it is free again", || tapstack(folder, &["route"]).is_ok())?;
    ensure(begun.elapsed() < Duration::from_secs(20), || "it took too long".to_owned())?;
    drop(silent);
    // A client that goes away in the middle of a session leaves nothing open.
    let mut gone = UnixStream::connect(&socket)?;
    gone.write_all(b"{\"do\":\"listen\",\"port\":9009,\"udp\":false}\n")?;
    gone.read_exact(&mut [0; 10])?;
    drop(gone);
    wait_until("its port is free", || {
        tapstack(folder, &["ss", "-l"]).is_ok_and(|shown| !shown.contains(":9009"))
    })
}
