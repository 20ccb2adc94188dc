//! What a machine serves: to programs of the kernel, to many at once, to forgers, to a browser.

use super::stage::{Outcome, PATIENCE, Up, ensure, run, says, tapstack};
use sha2::{Digest as _, Sha256};
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

pub(crate) fn answers_programs(folder: &Path) -> Outcome {
    let www = folder.join("www");
    std::fs::create_dir(&www)?;
    std::fs::write(www.join("a.txt"), "hello from a file\n")?;
    let _up = Up::start(folder, &["--www", www.to_str().ok_or("a path")?])?;
    says(&run("ping", &["-c", "3", "-i", "0.2", "10.0.0.2"])?, &["3 received"])?;
    let curl = |path: &str| run("curl", &["-sS", "--max-time", "30", &format!("http://10.0.0.2{path}")]);
    says(&curl("/")?, &["<!doctype html>", "tapstack", "LISTEN", "10.0.0.2/24"])?;
    says(&curl("/status.json")?, &["\"name\":\"tapstack\"", "\"frames_in\""])?;
    says(&curl("/files/")?, &["a.txt"])?;
    says(&curl("/files/a.txt")?, &["hello from a file"])?;
    let code = |path: &str| {
        run(
            "curl",
            &[
                "-sS",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                "--path-as-is",
                &format!("http://10.0.0.2{path}"),
            ],
        )
    };
    for (path, expected) in [("/nothing", "404"), ("/files/../../../etc/passwd", "403"), ("/files/x", "404")]
    {
        ensure(code(path)? == expected, || format!("{path} should be {expected}"))?;
    }
    let mut netcat = Command::new("nc")
        .args(["-N", "10.0.0.2", "7"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    netcat.stdin.take().ok_or("no input")?.write_all(b"echo this\n")?;
    let output = netcat.wait_with_output()?;
    ensure(output.stdout == b"echo this\n", || format!("{output:?}"))?;
    says(&run("nc", &["-d", "10.0.0.2", "13"])?, &["-UTC"])
}

pub(crate) fn streams_a_large_file(folder: &Path) -> Outcome {
    let www = folder.join("www");
    std::fs::create_dir(&www)?;
    let mut bytes = vec![0; 100_000_000];
    let mut rng = 1u64;
    for chunk in bytes.chunks_mut(8) {
        rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        chunk.copy_from_slice(&rng.to_le_bytes()[..chunk.len()]);
    }
    std::fs::write(www.join("big.bin"), &bytes)?;
    let expected = Sha256::digest(&bytes);
    let (www, got) = (www.to_str().ok_or("a path")?, folder.join("got.bin"));
    for offload in [false, true] {
        let arguments = ["--www", www, "--offload"];
        let _up = Up::start(folder, if offload { &arguments } else { &arguments[..2] })?;
        let url = "http://10.0.0.2/files/big.bin";
        run("curl", &["-sS", "--fail", "--max-time", "120", "-o", got.to_str().ok_or("a path")?, url])?;
        let same = Sha256::digest(std::fs::read(&got)?) == expected;
        ensure(same, || format!("another hash (offload: {offload})"))?;
        let part = run(
            "curl",
            &["-sS", "-r", "99999990-", "-w", "%{http_code} %{size_download}", "-o", "/dev/null", url],
        )?;
        ensure(part == "206 10", || part)?;
    }
    Ok(())
}

pub(crate) fn many_connections(folder: &Path) -> Outcome {
    const CONNECTIONS: usize = 500;
    let _up = Up::start(folder, &[])?;
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect("10.0.0.2:80")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        streams.push(stream);
    }
    let shown = tapstack(folder, &["ss", "-t"])?;
    let established = shown.lines().filter(|line| line.contains("ESTABLISHED")).count();
    ensure(established >= CONNECTIONS, || format!("ss shows {established} connections"))?;
    for stream in &mut streams {
        stream.write_all(b"GET /status.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    }
    for stream in &mut streams {
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure(answer.starts_with("HTTP/1.1 200") && answer.ends_with('}'), || answer.clone())?;
    }
    drop(streams);
    // And all at once from one program, which tells how each went.
    let urls = format!("http://10.0.0.2/style.css?[1-{CONNECTIONS}]");
    let codes = run(
        "curl",
        &[
            "-sS",
            "--parallel",
            "--parallel-immediate",
            "--parallel-max",
            "300",
            "--max-time",
            "60",
            "-w",
            "%{http_code}\n",
            "-o",
            "/dev/null",
            &urls,
        ],
    )?;
    let good = codes.lines().filter(|line| *line == "200").count();
    ensure(good == CONNECTIONS, || format!("{good} of {CONNECTIONS} were answered"))
}

pub(crate) fn no_amplification(folder: &Path) -> Outcome {
    let _up = Up::start(folder, &[])?;
    let socket = UdpSocket::bind("10.0.0.1:0")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 2048];
    for port in [7u16, 13, 19] {
        for len in [0, 1, 60, 700] {
            socket.send_to(&vec![b'x'; len], ("10.0.0.2", port))?;
            let (got, _) = socket.recv_from(&mut buffer)?;
            ensure(got <= len, || format!("port {port}: {len} bytes were answered with {got}"))?;
        }
    }
    // Whoever claims to be a service gets nothing, nor does a broadcast; an ordinary question after them does.
    socket.set_read_timeout(Some(Duration::from_millis(400)))?;
    for from in [7u16, 19, 53] {
        let service = UdpSocket::bind(("10.0.0.1", from))?;
        service.set_read_timeout(Some(Duration::from_millis(200)))?;
        service.send_to(b"hello", "10.0.0.2:7")?;
        ensure(service.recv_from(&mut buffer).is_err(), || format!("port {from} was answered"))?;
    }
    socket.set_broadcast(true)?;
    socket.send_to(b"hello", "10.0.0.255:7")?;
    ensure(socket.recv_from(&mut buffer).is_err(), || "a broadcast was answered".to_owned())?;
    socket.send_to(b"hello", "10.0.0.2:7")?;
    ensure(socket.recv_from(&mut buffer)?.0 == 5, || "no echo".to_owned())?;
    // A flood is answered at a rate: far from all of these come back.
    socket.set_nonblocking(true)?;
    let mut answers = 0;
    for _ in 0..20_000 {
        let _ = socket.send_to(&[b'x'; 1000], "10.0.0.2:7");
        while socket.recv_from(&mut buffer).is_ok() {
            answers += 1;
        }
    }
    ensure(answers < 15_000, || format!("{answers} of 20000 were answered"))
}

pub(crate) fn browser(folder: &Path) -> Outcome {
    let up = Up::start(folder, &["--name", "browsed"])?;
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (shot, profile) = (target.join("up-page.png"), folder.join("profile"));
    let _ = std::fs::remove_file(&shot);
    let flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--virtual-time-budget=4000",
        "--window-size=1200,1500",
    ];
    let profile = format!("--user-data-dir={}", profile.display());
    let browse = |action: &str| {
        let mut browser = Command::new("timeout");
        browser.args(["60", "chromium"]).args(flags).args([&profile, action, "http://10.0.0.2/"]);
        browser.env("HOME", folder).stdin(Stdio::null()).output()
    };
    let page = browse("--dump-dom")?;
    let dom = String::from_utf8_lossy(&page.stdout).into_owned();
    // "live" is what the script writes when it has asked for the counters.
    says(&dom, &["browsed", "<span id=\"live\">live</span>", "ESTABLISHED", "10.0.0.2/24"])?;
    browse(&format!("--screenshot={}", shot.display()))?;
    let bytes = std::fs::metadata(&shot)?.len();
    ensure(bytes > 20_000, || format!("the screenshot has {bytes} bytes"))?;
    drop(up);
    Ok(())
}
