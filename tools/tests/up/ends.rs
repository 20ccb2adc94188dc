//! How machines end, what they leave, and who may not begin.

use super::stage::{Outcome, Up, command, ensure, everything, refuses, run, says, tapstack};
use std::path::Path;
use std::process::Command;

fn interfaces() -> std::io::Result<String> {
    std::fs::read_to_string("/proc/thread-self/net/dev")
}

pub(crate) fn ctrl_c(folder: &Path) -> Outcome {
    let capture = folder.join("up.pcapng");
    for signal in ["-INT", "-TERM"] {
        let up = Up::start(folder, &["--capture", capture.to_str().ok_or("a path")?])?;
        ensure(interfaces()?.contains("tap0"), || "there is no tap0".to_owned())?;
        tapstack(folder, &["ping", "-c", "1", "10.0.0.1"])?;
        up.signal(signal)?;
        let (code, said) = up.wait()?;
        ensure(code == Some(0) && said.contains("tapstack is down"), || format!("{code:?}: {said}"))?;
        ensure(!interfaces()?.contains("tap0"), || "tap0 is still there".to_owned())?;
        ensure(std::fs::read_dir(folder.join("tapstack"))?.count() == 0, || "files are left".to_owned())?;
        let ladder = tapstack(folder, &["explain", capture.to_str().ok_or("a path")?])?;
        says(&ladder, &["10.0.0.2", "10.0.0.1"])?;
    }
    // In a namespace of its own, the line that it prints reaches it.
    let up = Up::start(folder, &["--private"])?;
    let line = up.said.lines().find(|line| line.trim_start().starts_with("nsenter")).unwrap_or_default();
    ensure(line.contains(&up.id().to_string()), || up.said.clone())?;
    ensure(!interfaces()?.contains("tap0"), || "it is in this namespace".to_owned())?;
    let line = line.replace("curl http", "curl -sS --max-time 20 http");
    let page = Command::new("sh").args(["-c", &line]).output()?;
    says(&everything(&page), &["<title>tapstack</title>"])?;
    says(&tapstack(folder, &["ping", "-c", "1", "10.0.0.1"])?, &["1 received"])
}

pub(crate) fn kill(folder: &Path) -> Outcome {
    let up = Up::start(folder, &[])?;
    up.signal("-KILL")?;
    up.wait()?;
    ensure(folder.join("tapstack/tapstack.sock").exists(), || "a kill cleans up nothing".to_owned())?;
    refuses(folder, &["ss"], 1, "no machine is up")?;
    let up = Up::start(folder, &[])?;
    tapstack(folder, &["ping", "-c", "1", "10.0.0.1"])?;
    up.signal("-INT")?;
    says(&up.wait()?.1, &["did not end cleanly"])?;
    // A persistent TAP outlives the machine, and with it what the machine did to it.
    run("ip", &["tuntap", "add", "keep0", "mode", "tap"])?;
    let addresses = || run("ip", &["-4", "-o", "address", "show", "dev", "keep0"]);
    let arguments = ["--tap", "name=keep0,address=10.0.0.2/24"];
    let up = Up::start(folder, &arguments)?;
    up.signal("-KILL")?;
    up.wait()?;
    says(&addresses()?, &["10.0.0.1/24"])?;
    let other = ["--tap", "name=keep0,address=10.5.0.2/24"];
    let up = Up::start(folder, &other)?;
    ensure(!addresses()?.contains("10.0.0.1"), || "the old address is still there".to_owned())?;
    up.signal("-INT")?;
    says(&up.wait()?.1, &["10.0.0.1/24 on keep0"])?;
    ensure(addresses()?.is_empty(), || "an address is left".to_owned())
}

pub(crate) fn refusals(folder: &Path) -> Outcome {
    let up = Up::start(folder, &[])?;
    let taken = format!("up already (process {})", up.id());
    refuses(folder, &["up"], 1, &taken)?;
    refuses(folder, &["up", "--name", "b"], 1, "10.0.0.2/24 overlaps 10.0.0.0/24")?;
    refuses(folder, &["up", "--name", "b", "--address", "10.0.0.130/25"], 1, "overlaps")?;
    refuses(folder, &["up", "--name", "b", "--address", "10.0.0.0/24"], 2, "can't be a host's address")?;
    refuses(folder, &["up", "--name", "b", "--www", "/nowhere"], 2, "no such file")?;
    let tap = "name=tap0,address=10.5.0.2/24";
    refuses(folder, &["up", "--name", "b", "--tap", tap], 1, "tap0 is in use by another program")?;
    let bridge = ["up", "--name", "b", "--address", "10.5.0.2/24", "--bridge", "nobr"];
    refuses(folder, &bridge, 1, "nobr")?;
    // None of these disturbed the one that is up.
    let said = command(folder, &["ping", "-c", "1", "10.0.0.1"]).output()?;
    says(&everything(&said), &["1 received"])
}
