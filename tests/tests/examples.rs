//! The examples, run as they are: each over a TAP in a namespace of its own, with the kernel at the other end.

use libtest_mimic::{Arguments, Failed, Trial};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;
use tapstack_cli::testbed::{self, Entered, NetNs};

/// A test's name and body, which runs in a namespace of its own.
type Test = (&'static str, fn() -> Result<(), Failed>);

const TESTS: [Test; 5] = [
    ("echo_serves_the_kernels_clients", echo_serves_the_kernels_clients),
    ("client_is_served_by_the_kernel", client_is_served_by_the_kernel),
    ("web_serves_the_kernels_clients", web_serves_the_kernels_clients),
    ("web_gets_from_the_kernels_server", web_gets_from_the_kernels_server),
    ("own_loop_echoes_and_ends", own_loop_echoes_and_ends),
];

fn main() {
    let args = Arguments::from_args();
    let reason = match testbed::available() {
        Ok(()) => match testbed::enter() {
            Ok(Entered::Inside) => None,
            Ok(Entered::Done(status)) => std::process::exit(status.code().unwrap_or(1)),
            Err(error) => Some(error.to_string()),
        },
        Err(why) => Some(why.to_string()),
    };
    if let Some(reason) = &reason {
        eprintln!("SKIPPED: {reason}");
    }
    let trial = |&(name, test): &Test| {
        let body = move || {
            NetNs::new()?
                .run(|| test().map_err(|failed| failed.message().unwrap_or("failed").to_owned()))?
                .map_err(Failed::from)
        };
        Trial::test(name, body).with_ignored_flag(reason.is_some())
    };
    libtest_mimic::run(&args, TESTS.iter().map(trial).collect()).exit();
}

/// An example that runs, and ends with this value.
struct Example {
    child: Child,
}

impl Example {
    fn start(name: &str, args: &[&str]) -> Result<Example, Failed> {
        let child = Command::new(examples()?.join(name))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{name}: {error}"))?;
        Ok(Example { child })
    }

    /// The first line that it prints, which says that it is ready.
    fn first_line(&mut self) -> Result<String, Failed> {
        let mut line = String::new();
        BufReader::new(self.child.stdout.as_mut().ok_or("no output")?).read_line(&mut line)?;
        Ok(line)
    }

    /// Ends its input, and returns all that it prints until it ends by itself.
    fn finish(mut self, input: &[u8]) -> Result<String, Failed> {
        self.child.stdin.take().ok_or("no input")?.write_all(input)?;
        let mut output = String::new();
        self.child.stdout.take().ok_or("no output")?.read_to_string(&mut output)?;
        let status = self.child.wait()?;
        if status.success() { Ok(output) } else { Err(format!("it ended with {status}: {output}").into()) }
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the examples lie, freshly built: `cargo test` of one package alone doesn't build those of others.
fn examples() -> Result<PathBuf, Failed> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT.get_or_init(|| build().map_err(|error| error.to_string())).clone().map_err(Failed::from)
}

fn build() -> std::io::Result<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", "tapstack", "--examples"]);
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    if !cargo.status()?.success() {
        return Err(std::io::Error::other("the examples can't be built"));
    }
    let test = std::env::current_exe()?;
    let profile = test.ancestors().nth(2).ok_or(std::io::ErrorKind::NotFound)?;
    Ok(profile.join("examples"))
}

fn example(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 2], port))
}

fn connect(port: u16) -> Result<TcpStream, Failed> {
    let stream = TcpStream::connect_timeout(&example(port), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn echo_serves_the_kernels_clients() -> Result<(), Failed> {
    let mut echo = Example::start("echo", &[])?;
    assert_eq!(echo.first_line()?, "echo on 0.0.0.0:7\n");
    let data: Vec<u8> = (0..200_000u32).flat_map(u32::to_be_bytes).collect();
    // Both at once: threads of the example take turns at driving it.
    let (mut one, mut two) = (connect(7)?, connect(7)?);
    for stream in [&mut one, &mut two] {
        stream.write_all(b"hello")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        assert_eq!(&answer, b"hello");
    }
    drop(two);
    let mut writer = one.try_clone()?;
    let sent = data.clone();
    let writing = std::thread::spawn(move || {
        writer.write_all(&sent)?;
        writer.shutdown(Shutdown::Write)
    });
    let mut answer = Vec::new();
    one.read_to_end(&mut answer)?;
    writing.join().map_err(|_| "the writer panicked")??;
    assert!(answer == data, "{} bytes of {}", answer.len(), data.len());
    Ok(())
}

fn client_is_served_by_the_kernel() -> Result<(), Failed> {
    // The address is the TAP's, which the example makes.
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 7))?;
    let server = std::thread::spawn(move || -> std::io::Result<u64> {
        let (stream, _) = listener.accept()?;
        let len = std::io::copy(&mut &stream, &mut &stream)?;
        stream.shutdown(Shutdown::Write)?;
        Ok(len)
    });
    let text = "a line to be sent and to come back\n".repeat(3_000);
    let output = Example::start("client", &[])?.finish(text.as_bytes())?;
    assert!(output == text, "{} bytes came back", output.len());
    assert_eq!(server.join().map_err(|_| "the server panicked")??, text.len() as u64);
    Ok(())
}

fn web_serves_the_kernels_clients() -> Result<(), Failed> {
    let mut web = Example::start("web", &[])?;
    assert_eq!(web.first_line()?, "http://10.0.0.2/\n");
    let mut stream = connect(80)?;
    // Two requests over one connection.
    for path in ["/one", "/two"] {
        let close = if path == "/two" { "Connection: close\r\n" } else { "" };
        write!(stream, "GET {path} HTTP/1.1\r\nHost: 10.0.0.2\r\n{close}\r\n")?;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let body = |path: &str| format!("\r\n\r\nGET {path} from 10.0.0.1:");
    assert!(answer.contains(&body("/one")) && answer.contains(&body("/two")), "{answer}");
    Ok(())
}

fn web_gets_from_the_kernels_server() -> Result<(), Failed> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 8000))?;
    let server = std::thread::spawn(move || -> std::io::Result<String> {
        let (mut stream, _) = listener.accept()?;
        let mut request = String::new();
        for line in BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty())
        {
            request += &line;
            request.push('\n');
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbonny\n")?;
        Ok(request)
    });
    let output = Example::start("web", &["10.0.0.1:8000"])?.finish(b"")?;
    assert_eq!(output, "200 OK\nbonny\n");
    let request = server.join().map_err(|_| "the server panicked")??;
    assert!(request.starts_with("GET / HTTP/1.1\n"), "{request}");
    Ok(())
}

fn own_loop_echoes_and_ends() -> Result<(), Failed> {
    let mut own_loop = Example::start("own_loop", &[])?;
    assert!(own_loop.first_line()?.starts_with("echo of datagrams"));
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(example(7))?;
    for number in 0..20u8 {
        socket.send(&[number; 100])?;
        let mut answer = [0; 200];
        assert_eq!(socket.recv(&mut answer)?, 100);
        assert_eq!(answer[..100], [number; 100]);
    }
    assert_eq!(own_loop.finish(b"enough\n")?, "enough\n");
    Ok(())
}

/// Longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(10);
