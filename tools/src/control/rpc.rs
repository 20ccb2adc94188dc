//! Calls other machines' programs from a machine that is up, for `tapstack rpc`.

use super::block_on::block_on;
use super::hex::{from_hex, to_hex};
use super::protocol::{Reply, RpcRow, RpcSpec};
use std::net::{IpAddr, SocketAddr};
use tapstack::net::Host;
use tapstack::time::Duration;
use tapstack_rpc::{Bytes, Client, ClientConfig, Semantics, Transport, bind};

/// Calls of one request at most.
const CALLS_MAX: u32 = 10_000;

/// All that an address has registered with its rpcbind. Errors: in words.
pub(super) fn list(host: &Host, to: IpAddr, wait: Duration) -> Result<Reply, String> {
    let asked = block_on(host.timeout(wait, bind::dump(host, to)));
    let entries = asked.map_err(|_| format!("{to}'s rpcbind does not answer"))?;
    let entries = entries.map_err(|error| format!("{to}'s rpcbind: {error}"))?;
    let row = |entry: bind::Entry| RpcRow {
        program: entry.program,
        version: entry.version,
        netid: entry.netid,
        address: entry.address,
        owner: entry.owner,
    };
    Ok(Reply::RpcPrograms { rows: entries.into_iter().map(row).collect() })
}

/// Calls a procedure as often as is asked, one call after the other. Errors: in words.
pub(super) fn call(host: &Host, spec: &RpcSpec, wait: Duration) -> Result<Reply, String> {
    let arguments = units(&spec.arguments)?;
    let done = block_on(host.timeout(wait, call_all(host, spec, arguments, wait)));
    done.map_err(|_| format!("not done in {wait:?}"))?
}

async fn call_all(host: &Host, spec: &RpcSpec, arguments: Bytes, wait: Duration) -> Result<Reply, String> {
    let &RpcSpec { to, port, tcp, program, version, procedure, count, .. } = spec;
    let transport = if tcp { Transport::Tcp } else { Transport::Udp };
    let peer = match port {
        Some(port) => SocketAddr::new(to, port),
        None => bind::find(host, to, transport, program, version)
            .await
            .map_err(|error| format!("{to}'s rpcbind: {error}"))?,
    };
    // What is called may not be idempotent, and nobody said so.
    let semantics = if procedure == 0 { Semantics::AtLeastOnce } else { Semantics::Maybe };
    let config = ClientConfig { semantics, deadline: wait, ..ClientConfig::default() };
    let client = Client::new(host, transport, peer, program, version, config);
    let client = client.map_err(|error| error.to_string())?;
    let (mut micros, mut results) = (Vec::new(), Bytes::new());
    for _ in 0..count.clamp(1, CALLS_MAX) {
        let begun = host.now();
        let called = client.call_raw(wait, procedure, arguments.clone()).await;
        results = called.map_err(|error| format!("{peer}: {error}"))?;
        micros.push(u64::try_from((host.now() - begun).as_micros()).unwrap_or(u64::MAX));
    }
    Ok(Reply::RpcCalled { micros, results: to_hex(&results) })
}

fn units(text: &str) -> Result<Bytes, String> {
    let bytes = from_hex(text).filter(|bytes| bytes.len().is_multiple_of(4));
    let wrong = || format!("{text:?} is not hexadecimal, or not whole units of four bytes");
    bytes.map(Bytes::from).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_whole_units_in_hexadecimal() {
        assert_eq!(units("").unwrap(), Bytes::new());
        assert_eq!(units("0000002aFFFFFFFF").unwrap(), [0, 0, 0, 42, 255, 255, 255, 255][..]);
        for bad in ["0", "000000", "0000000g", "0x000001", "é000000"] {
            assert!(units(bad).is_err(), "{bad}");
        }
    }
}
