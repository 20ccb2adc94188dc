//! The small services of old: echo (RFC 862), discard (863), chargen (864) and daytime (867), over TCP and UDP; and
//! rpcbind (1833), for `rpcinfo` to have something to ask.
//!
//! They are for trying a network out, and are made so that nobody can be harmed with them: see `udp` for datagrams
//! with forged senders, and the limits here for connections.

mod tcp;
mod udp;

use super::plan::Plan;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};
use tapstack::net::Host;
use tapstack_rpc::bind::{self, Registry};

/// One of the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Echo,
    Discard,
    Daytime,
    Chargen,
}

impl Service {
    const ALL: [Service; 4] = [Service::Echo, Service::Discard, Service::Daytime, Service::Chargen];

    /// The port that IANA has it on.
    fn port(self) -> u16 {
        match self {
            Service::Echo => 7,
            Service::Discard => 9,
            Service::Daytime => 13,
            Service::Chargen => 19,
        }
    }
}

/// Starts all services on a machine. Errors: which one can't be had, and why.
pub(super) fn start(host: &Host, plan: &Plan) -> Result<(), String> {
    for service in Service::ALL {
        let port = service.port();
        let failed = |error| format!("port {port} can't be served: {error}");
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let listener = host.tcp_listen(any).map_err(failed)?;
        host.spawn(tcp::serve(host.clone(), listener, service));
        // A socket with an address of its own gets no broadcasts.
        for cidr in plan.taps.iter().flat_map(|tap| &tap.addresses) {
            let own = SocketAddr::new(IpAddr::V4(cidr.address), port);
            let socket = host.udp_bind(own).map_err(failed)?;
            host.spawn(udp::serve(host.clone(), socket, service));
        }
    }
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let at_zero = since_1970.saturating_sub(host.now().as_millis() / 1000);
    let rpcbind = bind::serve(host, &Registry::default(), Some(at_zero));
    rpcbind.map_err(|error| format!("port {} can't be served: {error}", bind::PORT))?;
    Ok(())
}

/// The time in UTC, as RFC 867 suggests one of two ways: `Sunday, November 22, 2026 19:31:05-UTC`.
fn daytime() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    daytime_of(seconds)
}

fn daytime_of(unix_seconds: u64) -> String {
    const WEEKDAYS: [&str; 7] =
        ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let (days, second) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let (mut year, mut day) = (1970, days);
    while day >= year_len(year) {
        day -= year_len(year);
        year += 1;
    }
    let mut month = 0;
    while day >= month_len(year, month) {
        day -= month_len(year, month);
        month += 1;
    }
    let weekday = WEEKDAYS.get((days % 7) as usize).unwrap_or(&"");
    let month = MONTHS.get(month as usize).unwrap_or(&"");
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{weekday}, {month} {}, {year} {hour:02}:{minute:02}:{second:02}-UTC\r\n", day + 1)
}

fn year_len(year: u64) -> u64 {
    365 + u64::from(year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)))
}

fn month_len(year: u64, month: u64) -> u64 {
    match month {
        1 => year_len(year) - 337,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

/// RFC 864's pattern: lines of 72 of the 95 printable characters, each beginning one further on. Fills `buffer` from
/// `position` in the endless stream on.
fn chargen(position: u64, buffer: &mut [u8]) {
    for (offset, byte) in buffer.iter_mut().enumerate() {
        let at = position + offset as u64;
        let (line, column) = (at / CHARGEN_LINE, at % CHARGEN_LINE);
        *byte = match column {
            72 => b'\r',
            73 => b'\n',
            column => b' ' + ((line + column) % 95) as u8,
        };
    }
}

/// Bytes of a line with its end.
const CHARGEN_LINE: u64 = 74;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_is_right() {
        assert_eq!(daytime_of(0), "Thursday, January 1, 1970 00:00:00-UTC\r\n");
        assert_eq!(daytime_of(951_782_400), "Tuesday, February 29, 2000 00:00:00-UTC\r\n");
        assert_eq!(daytime_of(1_798_761_599), "Thursday, December 31, 2026 23:59:59-UTC\r\n");
        assert!(daytime().ends_with("-UTC\r\n"));
    }

    #[test]
    fn characters_go_round() {
        let mut bytes = [0; 74 * 96];
        chargen(0, &mut bytes);
        assert!(bytes.starts_with(b" !\"#$%&'()*+") && bytes[72..75] == *b"\r\n!");
        assert_eq!(bytes[74 * 95..74 * 96], bytes[..74]);
        let mut part = [0; 100];
        chargen(50, &mut part);
        assert_eq!(part[..], bytes[50..150]);
    }
}
