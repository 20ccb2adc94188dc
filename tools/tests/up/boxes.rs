//! `tapstack mailbox`: two machines on a bridge, one that serves boxes and is killed, one that acts as the client.

use super::stage::{Outcome, Up, command, ensure, refuses, run, says, tapstack};
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

/// Options for a machine on the bridge.
fn on_bridge<'a>(name: &'a str, address: &'a str) -> Vec<&'a str> {
    vec!["--name", name, "--address", address, "--bridge", "br0"]
}

pub(crate) fn survive_a_kill(folder: &Path) -> Outcome {
    refuses(folder, &["mailbox", "list", "10.0.0.2"], 1, "no machine is up")?;
    run("ip", &["link", "add", "br0", "type", "bridge"])?;
    run("ip", &["link", "set", "br0", "up"])?;
    let disk = folder.join("boxes");
    let disk = disk.to_str().ok_or("a path")?;
    let mut serve = vec!["jobs", "mails", "--disk", disk, "--dead-letters", "dead", "--messages", "3"];
    serve.extend(["--when-full", "reject"]);
    serve.extend(on_bridge("server", "10.0.0.2/24"));
    let server = Up::start_as(folder, &["mailbox", "serve"], &serve)?;
    says(&server.said, &["boxes", "jobs, mails, dead", "UDP and TCP 7810"])?;
    let _client = Up::start(folder, &on_bridge("client", "10.0.0.3/24"))?;
    let client = |words: &[&str]| {
        let mut all = vec!["mailbox"];
        all.extend(words);
        all.extend(["--name", "client"]);
        tapstack(folder, &all)
    };
    client(&["send", "jobs@10.0.0.2", "one"])?;
    client(&["send", "--tcp", "--priority", "5", "jobs@10.0.0.2", "urgent"])?;
    client(&["send", "--semantics", "at-least-once", "jobs@10.0.0.2", "two"])?;
    let full = ["mailbox", "send", "jobs@10.0.0.2", "three", "--name", "client"];
    refuses(folder, &full, 1, "the box is full")?;
    refuses(folder, &["mailbox", "send", "nobody@10.0.0.2", "x", "--name", "client"], 1, "no such box")?;
    refuses(folder, &["mailbox", "send", "jobs", "x", "--name", "client"], 2, "write box@host")?;
    says(&client(&["list", "10.0.0.2"])?, &["jobs", "mailbox", "on disk", "dead"])?;

    server.signal("-KILL")?;
    server.wait()?;
    let _server = Up::start_as(folder, &["mailbox", "serve"], &serve)?;
    // The most urgent first; through the server's own machine as well as from the other.
    says(&client(&["recv", "jobs@10.0.0.2"])?, &["urgent", "priority 5", "effectively once, number 0"])?;
    says(&client(&["recv", "--tcp", "jobs@10.0.0.2"])?, &["one"])?;
    let watched = tapstack(folder, &["mailbox", "watch", "-c", "1", "jobs@10.0.0.2", "--name", "server"])?;
    says(&watched, &["at least once", "two"])?;
    // As long as a message may be, and no text.
    let body: Vec<u8> = (0..32 << 10).map(|n| n as u8).collect();
    let mut sending = command(folder, &["mailbox", "send", "jobs@10.0.0.2", "--name", "client"]);
    let mut sending = sending.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    sending.stdin.take().ok_or("no pipe")?.write_all(&body)?;
    ensure(sending.wait()?.success(), || "a long message can't be sent".to_owned())?;
    let received =
        command(folder, &["-q", "mailbox", "recv", "jobs@10.0.0.2", "--name", "client"]).output()?;
    ensure(received.stdout == body, || format!("{} bytes came", received.stdout.len()))?;
    let empty = ["mailbox", "recv", "jobs@10.0.0.2", "-W", "0.2", "--name", "client"];
    refuses(folder, &empty, 1, "no letter came")?;
    let listed = client(&["list", "--tcp", "10.0.0.2"])?;
    let jobs = listed.lines().find(|line| line.starts_with("jobs")).unwrap_or_default().to_owned();
    let numbers: Vec<&str> = jobs.split_whitespace().rev().take(6).collect();
    // Dead, settled, accepted, readers, handed out, waiting: counted since the kill.
    ensure(numbers == ["0", "4", "1", "0", "0", "0"], || listed.clone())
}
