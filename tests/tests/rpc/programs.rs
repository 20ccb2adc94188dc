//! What the tests do with the programs.

use super::calc::{ADD, Calc, ECHO, List, PROGRAM, REVERSE, VERSION};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tapstack_rpc::bind::{self, Registry};
use tapstack_rpc::server::Dropped;
use tapstack_rpc::{Client, ClientConfig, Semantics, Server, ServerConfig, Transport};
use tapstack_tests::block_on::block_on;
use tapstack_tests::rig::{KERNEL, Rig, STACK, kernel, stack};
use tapstack_tests::skips::{Need, Outcome, ensure, find};
use tapstack_tests::tshark;

const PORT: u16 = 7468;

/// Serves CALC and rpcbind on the stack's machine.
fn serve(rig: &Rig) -> std::io::Result<(Server, Server)> {
    let host = rig.host();
    let server = Server::new(host, ServerConfig::default());
    server.add(Arc::new(Calc), Semantics::AtMostOnce)?;
    let any = SocketAddr::from(([0, 0, 0, 0], PORT));
    let registry = Registry::default();
    let rpcbind = bind::serve(host, &registry, Some(0))?;
    registry.set_all(&server, Transport::Udp, server.listen_udp(any)?);
    registry.set_all(&server, Transport::Tcp, server.listen_tcp(any)?);
    Ok((server, rpcbind))
}

/// `rpcinfo`, by universal address and through rpcbind, over both transports.
pub(crate) fn rpcinfo(rig: &Rig) -> Outcome {
    let (_server, _rpcbind) = serve(rig)?;
    let stack = STACK.to_string();
    let calc = format!("{PROGRAM}");
    let universal = bind::universal(SocketAddr::new(IpAddr::V4(STACK), PORT));
    let bound = format!("{stack}.0.111");
    let cases: [(&[&str], &[&str]); 13] = [
        (&["-p", &stack], &["100000    4   tcp    111", "100000    2   udp    111", &calc]),
        (&[&stack], &["0.0.0.0.0.111", "superuser", &calc]),
        (&["-s", &stack], &["4,3,2     tcp,udp"]),
        (&["-l", &stack, &calc, "1"], &[&universal, "tcp", "udp"]),
        (&["-T", "udp", &stack, &calc], &["version 1 ready and waiting"]),
        (&["-T", "tcp", &stack, &calc, "1"], &["version 1 ready and waiting"]),
        (&["-T", "udp", &stack, "100000"], &["version 2 ready", "version 3 ready", "version 4 ready"]),
        (&["-T", "tcp", &stack, "100000"], &["version 2 ready", "version 3 ready", "version 4 ready"]),
        (&["-a", &universal, "-T", "udp", &calc, "1"], &["version 1 ready and waiting"]),
        (&["-a", &universal, "-T", "tcp", &calc, "1"], &["version 1 ready and waiting"]),
        (&["-a", &bound, "-T", "tcp", "100000", "4"], &["version 4 ready and waiting"]),
        (&["-u", &stack, &calc, "1"], &["version 1 ready and waiting"]),
        (&["-m", &stack], &["PORTMAP (version 2) statistics", "RPCBIND (version 4) statistics", "DUMP"]),
    ];
    for (arguments, wanted) in cases {
        let output = run(Command::new(program("rpcinfo")?).args(arguments))?;
        for text in wanted {
            ensure(output.contains(text), || {
                format!("rpcinfo {arguments:?} doesn't say {text:?}:\n{output}")
            })?;
        }
    }
    // What isn't there isn't said to be.
    let missing = Command::new(program("rpcinfo")?).args(["-T", "udp", &stack, "536870999"]).output()?;
    ensure(!missing.status.success(), || format!("a program that isn't there: {missing:?}"))?;
    let wrong = Command::new(program("rpcinfo")?).args(["-T", "tcp", &stack, &calc, "9"]).output()?;
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    ensure(!wrong.status.success() && said.contains("low version = 1, high version = 1"), || said)
}

/// A C client, which finds our server by our rpcbind.
pub(crate) fn c_client(rig: &Rig) -> Outcome {
    let (server, _rpcbind) = serve(rig)?;
    let programs = built()?;
    for transport in ["udp", "tcp"] {
        // libtirpc waits five seconds for each reply that is lost.
        for _ in 0..if rig.is_lossy() { 2 } else { 5 } {
            let output = run(Command::new(programs.join("client")).args([&STACK.to_string(), transport]))?;
            ensure(output == "sum 42 text as it was list 3 2 1\n", || format!("over {transport}: {output}"))?;
        }
    }
    let counts = server.counts();
    ensure(counts.executed >= 12 && counts.errors == 0, || format!("{counts:?}"))
}

/// A C server on the kernel's side, called by our client.
pub(crate) fn c_server(rig: &Rig) -> Outcome {
    let _server = Served::start(&built()?.join("server"))?;
    for transport in [Transport::Udp, Transport::Tcp] {
        for semantics in [Semantics::Maybe, Semantics::AtLeastOnce, Semantics::AtMostOnce] {
            if rig.is_lossy() && semantics == Semantics::Maybe {
                continue;
            }
            let config = ClientConfig { semantics, ..ClientConfig::default() };
            let client = Client::new(rig.host(), transport, kernel(PORT), PROGRAM, VERSION, config)?;
            let asked = rig.host().spawn(async move {
                let started: Vec<_> = (0..20).map(|n| client.start::<_, i32>(ADD, &(n, 1000))).collect();
                let text: String = client.call(ECHO, "from a machine of ours").await?;
                let list: List = client.call(REVERSE, &List((0..200).collect())).await?;
                let mut sums = Vec::new();
                for call in started {
                    sums.push(call.await.expect("nobody aborts it")?);
                }
                let missing = client.call::<_, ()>(9, &()).await;
                Ok::<_, tapstack_rpc::CallError>((text, list, sums, missing))
            });
            let (text, list, sums, missing) = block_on(asked)??;
            ensure(text == "from a machine of ours", || text)?;
            ensure(list == List((0..200).rev().collect()), || format!("{list:?}"))?;
            ensure(sums == (1000..1020).collect::<Vec<i32>>(), || format!("{sums:?}"))?;
            let unavailable = matches!(missing, Err(tapstack_rpc::CallError::ProcedureUnavailable));
            ensure(unavailable, || format!("{missing:?}"))?;
        }
    }
    Ok(())
}

/// Bytes of all kinds to both ports: an error of the protocol or a counted drop, and the server goes on.
pub(crate) fn any_bytes(rig: &Rig) -> Outcome {
    let (server, rpcbind) = serve(rig)?;
    let mut rng = fastrand::Rng::with_seed(7);
    let socket = UdpSocket::bind(kernel(0))?;
    for port in [PORT, bind::PORT] {
        for _ in 0..500 {
            socket.send_to(&some_bytes(&mut rng), stack(port))?;
        }
        for _ in 0..30 {
            let mut stream = TcpStream::connect(stack(port))?;
            stream.set_read_timeout(Some(Duration::from_millis(20)))?;
            let bytes = some_bytes(&mut rng);
            // Half of them as a record, half as whatever mark they begin with.
            if rng.bool() {
                stream.write_all(&(1 << 31 | bytes.len() as u32).to_be_bytes())?;
            }
            let _ = stream.write_all(&bytes);
            let _ = stream.read(&mut [0; 512]);
        }
    }
    for transport in [Transport::Udp, Transport::Tcp] {
        let client =
            Client::new(rig.host(), transport, stack(PORT), PROGRAM, VERSION, ClientConfig::default())?;
        let sum = rig.host().spawn(async move { client.call::<_, i32>(ADD, &(20, 22)).await });
        let sum = block_on(sum)??;
        ensure(sum == 42, || format!("{sum}"))?;
    }
    for counts in [server.counts(), rpcbind.counts()] {
        let nonsense = counts.dropped(Dropped::Nonsense);
        ensure(nonsense > 50 && counts.errors > 50, || format!("{nonsense} drops, {counts:?}"))?;
    }
    Ok(())
}

/// Noise, or a call with some of it changed.
fn some_bytes(rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = vec![0; rng.usize(..200)];
    rng.fill(&mut bytes);
    if rng.u8(..4) > 0 {
        let words =
            [rng.u32(..), 0, 2, [PROGRAM, 100_000][rng.usize(..2)], rng.u32(1..5), rng.u32(..8), 0, 0, 0, 0];
        let mut call: Vec<u8> = words.iter().flat_map(|word: &u32| word.to_be_bytes()).collect();
        call.extend_from_slice(&bytes);
        for _ in 0..rng.usize(..4) {
            let at = rng.usize(..call.len());
            call[at] = rng.u8(..);
        }
        call.truncate(rng.usize(..=call.len()));
        bytes = call;
    }
    bytes
}

/// tshark on all captures: nothing malformed that we sent, calls and replies known for what they are, and duplicates
/// (`rpc.dup`) seen where messages were lost and nowhere else.
pub(crate) fn dissect(folder: &Path) -> Outcome {
    let (mut replies, mut duplicates) = (0, 0);
    for entry in std::fs::read_dir(folder)? {
        let file = entry?.path();
        if file.extension().is_none_or(|extension| extension != "pcapng") {
            continue;
        }
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("any_bytes") {
            // tshark takes some noise for other protocols', and then our answers as well.
            let wrong = list(&file, &format!("{SENT} && rpc && _ws.malformed"))?;
            ensure(wrong.is_empty(), || format!("{name}:\n{}", wrong.join("\n")))?;
            continue;
        }
        let wrong = tshark::wrong_packets(&file)?;
        ensure(wrong.is_empty(), || format!("{name}:\n{}", wrong.join("\n")))?;
        let wrong =
            list(&file, &format!("{SENT} && rpc && (_ws.malformed || _ws.expert.severity == error)"))?;
        ensure(wrong.is_empty(), || format!("{name}:\n{}", wrong.join("\n")))?;
        // Each UDP datagram of ours is a message. (Of TCP's segments, ACKs are none.)
        let unknown = list(&file, &format!("{SENT} && udp && !rpc"))?;
        ensure(unknown.is_empty(), || format!("{name}: not known as RPC:\n{}", unknown.join("\n")))?;
        replies += list(&file, &format!("{SENT} && rpc.msgtyp == 1"))?.len();
        let twice = list(&file, "udp && rpc.dup")?.len();
        ensure(twice == 0 || name.contains("lossy"), || format!("{name} has {twice} duplicates"))?;
        duplicates += twice;
    }
    ensure(replies > 50, || format!("tshark knew only {replies} of our replies"))?;
    ensure(duplicates > 0, || "of the messages that were sent again tshark knew none".to_owned())
}

const SENT: &str = "frame.packet_flags_direction == 2";

/// The lines that tshark prints about packets, with programs that it has no dissector for taken for RPC as well.
fn list(capture: &Path, filter: &str) -> Result<Vec<String>, libtest_mimic::Failed> {
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-o", "rpc.dissect_unknown_programs:TRUE", "-r"]).arg(capture).args(["-Y", filter]);
    Ok(run(&mut tshark)?.lines().map(str::to_owned).collect())
}

/// Whether programs in C can be made with libtirpc.
pub(crate) fn headers() -> Need {
    let there = Path::new("/usr/include/tirpc/rpc/rpc.h").exists();
    if there { Ok(()) } else { Err("libtirpc-dev is not installed".to_owned()) }
}

/// The C programs, made once.
fn built() -> Result<PathBuf, libtest_mimic::Failed> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    Ok(BUILT
        .get_or_init(|| build().map_err(|error| error.message().unwrap_or("failed").to_owned()))
        .clone()?)
}

fn build() -> Result<PathBuf, libtest_mimic::Failed> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rpc");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rpc-programs");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    for file in ["calc.x", "client.c", "server.c"] {
        std::fs::copy(sources.join(file), folder.join(file))?;
    }
    for (what, output) in
        [("-h", "calc.h"), ("-l", "calc_clnt.c"), ("-c", "calc_xdr.c"), ("-m", "calc_svc.c")]
    {
        run(Command::new("rpcgen").current_dir(&folder).args(["-N", what, "-o", output, "calc.x"]))?;
    }
    for (name, stubs) in [("client", "calc_clnt.c"), ("server", "calc_svc.c")] {
        let main = format!("{name}.c");
        let mut gcc = Command::new("gcc");
        gcc.current_dir(&folder).args(["-w", "-I/usr/include/tirpc", "-o", name, &main, stubs, "calc_xdr.c"]);
        run(gcc.arg("-ltirpc"))?;
    }
    Ok(folder)
}

/// A C server that runs as long as this.
struct Served(Child);

impl Served {
    fn start(program: &Path) -> Result<Served, libtest_mimic::Failed> {
        let mut child = Command::new(program).arg(PORT.to_string()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let out = child.stdout.take();
        let served = Served(child);
        if let Some(out) = out {
            BufReader::new(out).read_line(&mut line)?;
        }
        ensure(line == "serving\n", || format!("the C server at {KERNEL} says {line:?}"))?;
        Ok(served)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program(name: &str) -> Result<PathBuf, String> {
    find(name).ok_or_else(|| format!("{name} is not installed"))
}

/// Runs a program to its end; gives what it printed. Errors: it failed.
fn run(command: &mut Command) -> Result<String, libtest_mimic::Failed> {
    let output = command.output()?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure(output.status.success(), || {
        format!("{command:?}: {}\n{printed}{}", output.status, String::from_utf8_lossy(&output.stderr))
    })?;
    Ok(printed)
}
