//! Has tshark look for malformed packets and bad checksums in captures. It checks checksums only when it is told to.

use std::path::Path;
use std::process::Command;

/// What is wrong with a packet. Checksums are looked at in every protocol that has one.
const WRONG: &str = "_ws.malformed || ip.checksum.status == \"Bad\" || tcp.checksum.status == \"Bad\" || \
                     udp.checksum.status == \"Bad\" || icmp.checksum.status == \"Bad\"";

/// Frames that a machine of ours sent. What it received may have been spoiled on the way.
const SENT: &str = "frame.packet_flags_direction == 2";

/// Preferences under which tshark looks at checksums.
const PREFERENCES: [&str; 6] =
    ["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"];

/// ICMP errors quote the start of what they are about, as it came in. tshark takes a quote that ends early for a whole
/// segment, and in a capture of an offload device a quoted checksum may be a partial one; so of a quote's transport
/// nothing can be said. Everything around it has to be right.
const QUOTES: &str = "icmp.type in {3, 11, 12} && icmp.checksum.status == \"Good\" && !_ws.malformed && \
                      !(ip.checksum.status == \"Bad\")";

/// The lines that tshark prints about sent packets with something wrong. Errors: tshark could not be run, or could not
/// read the file.
pub fn wrong_packets(capture: &Path) -> Result<Vec<String>, String> {
    wrong_packets_as(capture, &[])
}

/// The same, where tshark is told what is spoken at some ports (`udp.port==7468,rpc`), so that it doesn't have to guess
/// by what the bytes look like.
pub fn wrong_packets_as(capture: &Path, decode_as: &[&str]) -> Result<Vec<String>, String> {
    list(capture, decode_as, &format!("({SENT}) && ({WRONG}) && !({QUOTES})"))
}

/// How many sent packets tshark finds whose checksum (IP and, by the wanted protocol, that as well) it has verified:
/// the evidence that it did look.
pub fn good_packets(capture: &Path, protocol: &str) -> Result<usize, String> {
    let filter =
        format!("({SENT}) && ip.checksum.status == \"Good\" && {protocol}.checksum.status == \"Good\"");
    list(capture, &[], &filter).map(|lines| lines.len())
}

fn list(capture: &Path, decode_as: &[&str], filter: &str) -> Result<Vec<String>, String> {
    let failed = |what: &dyn std::fmt::Display| format!("tshark on {}: {what}", capture.display());
    let output = Command::new("tshark")
        .args(["-n", "-r"])
        .arg(capture)
        .args(PREFERENCES)
        .args(decode_as.iter().flat_map(|rule| ["-d", *rule]))
        .args(["-Y", filter])
        .output()
        .map_err(|error| failed(&error))?;
    if !output.status.success() {
        return Err(failed(&String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}
