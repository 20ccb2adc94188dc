//! The dissector for Wireshark takes every record of a capture apart, and finds nothing wrong with any.

use std::path::{Path, PathBuf};
use std::process::Command;
use tapstack::capture::{Capture, CaptureOptions};
use tapstack::sim::Wire;
use tapstack::time::Duration;
use tapstack_mailbox::experiment::{Trial, run};
use tapstack_mailbox::{Semantics, Transport};

fn main() {
    // As other tests that want a program: where it isn't there, they say so, and fail only where they must not be
    // skipped.
    if Command::new("tshark").arg("--version").output().is_err() {
        let required = std::env::var_os("TAPSTACK_REQUIRE_TAP").is_some_and(|value| value == "1");
        assert!(!required, "TAPSTACK_REQUIRE_TAP is set, but tshark is not installed");
        println!("skipped: tshark is not installed");
        return;
    }
    for transport in [Transport::Udp, Transport::Tcp] {
        let file = capture(transport);
        every_kind_of_record_is_known(&file, transport);
        nothing_is_malformed(&file);
    }
    a_spoiled_record_is_found(&capture(Transport::Udp));
    println!("the dissector knows all records");
}

fn capture(transport: Transport) -> PathBuf {
    let capture = Capture::new(CaptureOptions { buffer_bytes_max: 64 << 20, ..CaptureOptions::default() });
    let trial = Trial { transport, ..Trial::new(1, Semantics::EffectivelyOnce, true) };
    // tshark joins segments less well than we do where some are lost and each is captured twice, on both its ends.
    let trial = match transport {
        Transport::Tcp => trial,
        Transport::Udp => Trial {
            wire: Wire { loss: 0.05, duplicate: 0.05, ..trial.wire },
            up: Some(Duration::from_millis(100)),
            pause: Duration::from_millis(20),
            ..trial
        },
    };
    let outcome = run(&trial, Some(&capture));
    assert_eq!((outcome.delivered, capture.stats().missed), (outcome.sent, 0));
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("mailbox-{transport:?}.pcapng"));
    std::fs::write(&file, capture.take()).expect("the file can be written");
    file
}

/// The lines that tshark prints.
fn tshark(file: &Path, arguments: &[&str]) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("mailbox.lua");
    let output = Command::new("tshark")
        .arg(format!("-Xlua_script:{}", script.display()))
        .args(["-n", "-r"])
        .arg(file)
        .args(arguments)
        .output()
        .expect("tshark runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("Lua"), "{said}");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

fn every_kind_of_record_is_known(file: &Path, transport: Transport) {
    let kinds = tshark(file, &["-Y", "tapmail", "-T", "fields", "-e", "tapmail.kind"]);
    assert!(kinds.len() > 100, "{} packets with records", kinds.len());
    let stale = if transport == Transport::Udp { &[3][..] } else { &[] };
    for kind in [1, 2, 4, 5, 6, 7, 8, 9, 10].iter().chain(stale) {
        let found = kinds.iter().any(|line| line.split(',').any(|one| one == kind.to_string()));
        assert!(found, "{transport:?}: no record of kind {kind}");
    }
    // Over a UDP or TCP port of the protocol there is nothing that it doesn't know.
    let other = tshark(file, &["-Y", "udp.port == 7810 && !tapmail && !icmp"]);
    assert!(other.is_empty(), "{other:?}");
}

fn nothing_is_malformed(file: &Path) {
    // Each segment is in the capture twice, from both its ends, and tshark's TCP stumbles over the second now and then.
    let wrong = tshark(file, &["-Y", "(tapmail && _ws.malformed) || tapmail.bad || _ws.lua.error"]);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn a_spoiled_record_is_found(file: &Path) {
    let mut bytes = std::fs::read(file).expect("the capture is there");
    let at = bytes.windows(8).position(|window| window == b"TMB1\0\0\0\x06").expect("a send");
    // The number of its messages.
    bytes[at + 24 + 24 + 3] ^= 0x40;
    let spoiled = file.with_extension("spoiled.pcapng");
    std::fs::write(&spoiled, bytes).expect("the file can be written");
    assert!(!tshark(&spoiled, &["-Y", "tapmail.bad"]).is_empty());
}
