//! The demo in both worlds, as a newcomer runs it: what it says, what it leaves, and what Ctrl-C does to it.

use libtest_mimic::{Arguments, Failed};
use std::io::Read as _;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tapstack_tests::skips::{Need, ensure, program, test};

fn main() {
    let tap = tap_world();
    let tests = vec![
        test("sim_holds_and_says_so", [], sim_holds_and_says_so),
        test("sim_is_quiet_and_the_same_to_the_byte_for_the_same_seed", [], sim_is_the_same_to_the_byte),
        test("tap_holds_and_leaves_nothing_behind", [tap.clone()], tap_holds_and_leaves_nothing_behind),
        test("tap_is_left_at_once_and_clean_on_ctrl_c", [tap.clone()], ctrl_c_is_clean),
        test("tap_is_there_for_an_ordinary_user", ordinary_user(&tap), ordinary_user_holds),
        test("tap_is_never_replaced_when_asked_for_by_name", [program("unshare")], tap_is_never_replaced),
        test(
            "tshark_shows_interfaces_directions_and_comments",
            [tap.clone(), program("tshark")],
            tshark_shows_the_reasons,
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}

/// Whether the doctor finds that the tap world can be had.
fn tap_world() -> Need {
    let doctor = tapstack(&["doctor"]);
    if doctor.status.success() {
        return Ok(());
    }
    let said = text(&doctor.stdout);
    Err(said.lines().find(|line| line.contains("can't run here")).unwrap_or("the doctor failed").to_owned())
}

/// Root can become an ordinary user, in a mount namespace where /dev/net/tun is open to all.
fn ordinary_user(tap: &Need) -> [Need; 4] {
    let root = if is_root() { Ok(()) } else { Err("only root can become somebody else".to_owned()) };
    [tap.clone(), program("setpriv"), program("unshare"), root]
}

#[cfg(unix)]
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

fn tapstack(arguments: &[&str]) -> Output {
    Command::new(TAPSTACK).args(arguments).output().expect("the command starts")
}

const TAPSTACK: &str = env!("CARGO_BIN_EXE_tapstack");

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn everything(output: &Output) -> String {
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// Asserts that a demo held in this world, and said all that it has to say.
fn ensure_held(output: &Output, world: &str) -> Result<(), Failed> {
    let said = text(&output.stdout);
    ensure(output.status.code() == Some(0), || everything(output))?;
    let last = said.lines().last().unwrap_or_default();
    ensure(last.contains("steps held") && last.contains(&format!("{world} world")), || everything(output))?;
    for word in [
        "ARP",
        "UDP echo",
        "web page",
        "letters",
        "64 MiB",
        "same SHA-256",
        "refused",
        "unreachable",
        "wireshark",
    ] {
        ensure(said.contains(word), || format!("doesn't say {word:?}: {said}"))?;
    }
    ensure(!said.contains("FAIL"), || said.clone())
}

struct Capture {
    folder: tempfile::TempDir,
}

impl Capture {
    fn new() -> Capture {
        Capture { folder: tempfile::tempdir().expect("a folder") }
    }

    fn name(&self) -> String {
        self.folder.path().join("demo.pcapng").to_string_lossy().into_owned()
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.name()).expect("the capture")
    }
}

fn sim_holds_and_says_so() -> Result<(), Failed> {
    let capture = Capture::new();
    let output = tapstack(&["demo", "--world", "sim", "--seed", "0x2a", "--capture", &capture.name()]);
    ensure_held(&output, "sim")?;
    let len = capture.bytes().len();
    ensure((10_000..20_000_000).contains(&len), || format!("the capture has {len} bytes"))
}

fn sim_is_the_same_to_the_byte() -> Result<(), Failed> {
    let run = |seed: &str| {
        let capture = Capture::new();
        let output =
            tapstack(&["demo", "--quiet", "--world", "sim", "--seed", seed, "--capture", &capture.name()]);
        let quiet = output.stderr.is_empty() && text(&output.stdout).lines().count() == 1;
        ensure(output.status.success() && quiet, || everything(&output))?;
        Ok::<_, Failed>(capture.bytes())
    };
    let (first, second, other) = (run("7")?, run("7")?, run("8")?);
    ensure(first == second, || "two captures of seed 7 differ".to_owned())?;
    ensure(first != other, || "seeds 7 and 8 give the same capture".to_owned())
}

/// Every interface that this machine's own network has, and every named namespace.
fn network() -> Vec<String> {
    let names = |folder: &str| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let mut all = [names("/sys/class/net"), names("/run/netns"), names("/var/run/netns")].concat();
    all.sort();
    all
}

fn tap_holds_and_leaves_nothing_behind() -> Result<(), Failed> {
    let (before, capture) = (network(), Capture::new());
    let output = tapstack(&["demo", "--world", "tap", "--capture", &capture.name()]);
    ensure_held(&output, "tap")?;
    ensure(network() == before, || format!("{before:?} became {:?}", network()))?;
    let len = capture.bytes().len();
    ensure((10_000..20_000_000).contains(&len), || format!("the capture has {len} bytes"))
}

/// Ctrl-C in the middle of a run: as soon as the first step is said to hold.
fn ctrl_c_is_clean() -> Result<(), Failed> {
    let (before, capture) = (network(), Capture::new());
    let mut child = Command::new(TAPSTACK)
        .args(["demo", "--world", "tap", "--capture", &capture.name()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdout = child.stdout.take().ok_or("no standard output")?;
    let mut said = String::new();
    let mut chunk = [0; 256];
    while !said.contains("ok    UDP echo") {
        let len = stdout.read(&mut chunk)?;
        ensure(len > 0, || format!("ended too early: {said}"))?;
        said.push_str(&text(&chunk[..len]));
    }
    let asked = Instant::now();
    let id = child.id().to_string();
    ensure(Command::new("kill").args(["-INT", &id]).status()?.success(), || "kill failed".to_owned())?;
    let output = child.wait_with_output()?;
    let took = asked.elapsed();
    ensure(output.status.code() == Some(130), || everything(&output))?;
    ensure(text(&output.stderr).contains("interrupted"), || everything(&output))?;
    ensure(took < Duration::from_secs(2), || format!("took {took:?} to end"))?;
    ensure(network() == before, || format!("{before:?} became {:?}", network()))?;
    ensure(!capture.bytes().is_empty(), || "the capture is empty".to_owned())
}

/// The demo as user 65534, in a mount namespace of its own whose /dev/net/tun has mode 0666.
fn ordinary_user_holds() -> Result<(), Failed> {
    const SETUP: &str = "mount -t tmpfs tmpfs /mnt && mknod -m 666 /mnt/tun c 10 200 && \
        mount --bind /mnt/tun /dev/net/tun && cp \"$0\" /mnt/tapstack && chmod 755 /mnt /mnt/tapstack && \
        mkdir -m 777 /mnt/tmp && cd / && exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all \
        env TMPDIR=/mnt/tmp /mnt/tapstack \"$@\"";
    let before = network();
    let run = |arguments: &[&str]| {
        Command::new("unshare").args(["--mount", "sh", "-c", SETUP, TAPSTACK]).args(arguments).output()
    };
    let doctor = run(&["doctor"])?;
    ensure(text(&doctor.stdout).contains("rootless"), || everything(&doctor))?;
    ensure(doctor.status.success(), || everything(&doctor))?;
    let output = run(&["demo", "--world", "tap"])?;
    ensure_held(&output, "tap")?;
    ensure(network() == before, || format!("{before:?} became {:?}", network()))
}

/// Where /dev/net/tun isn't there, `--world tap` says so and ends; `auto` says so and simulates.
fn tap_is_never_replaced() -> Result<(), Failed> {
    let user: &[&str] = if is_root() { &[] } else { &["--user", "--map-root-user"] };
    let run = |arguments: &[&str]| {
        Command::new("unshare")
            .args(user)
            .args(["--mount", "sh", "-c", "mount -t tmpfs tmpfs /dev/net && exec \"$0\" \"$@\"", TAPSTACK])
            .args(arguments)
            .output()
    };
    let capture = Capture::new();
    let tap = run(&["demo", "--world", "tap", "--capture", &capture.name()])?;
    ensure(tap.status.code() == Some(1), || everything(&tap))?;
    ensure(text(&tap.stderr).contains("/dev/net/tun"), || everything(&tap))?;
    ensure(!text(&tap.stdout).contains("sim"), || everything(&tap))?;
    ensure(!std::path::Path::new(&capture.name()).exists(), || "an empty capture is left".to_owned())?;
    let auto = run(&["demo", "--capture", &capture.name()])?;
    ensure_held(&auto, "sim")?;
    ensure(text(&auto.stderr).contains("/dev/net/tun"), || everything(&auto))
}

fn tshark_shows_the_reasons() -> Result<(), Failed> {
    let capture = Capture::new();
    let output = tapstack(&["demo", "--world", "tap", "--capture", &capture.name()]);
    ensure_held(&output, "tap")?;
    let shown = Command::new("tshark")
        .args(["-r", &capture.name(), "-T", "fields", "-e", "frame.interface_name"])
        .args(["-e", "frame.packet_flags_direction", "-e", "frame.comment"])
        .output()?;
    ensure(shown.status.success(), || everything(&shown))?;
    let (mut frames, mut directions) = (0, std::collections::BTreeSet::new());
    for line in text(&shown.stdout).lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let [interface, direction, comment] = columns[..] else { return Err(format!("{line:?}").into()) };
        ensure(interface.starts_with("anna:") || interface.starts_with("ben:"), || line.to_owned())?;
        ensure(!comment.is_empty(), || format!("frame {} has no comment: {line}", frames + 1))?;
        directions.insert(direction.to_owned());
        frames += 1;
    }
    ensure(frames > 100, || format!("only {frames} frames"))?;
    ensure(directions.len() == 2, || format!("directions: {directions:?}"))
}
