//! The page itself: complete as the server sends it, and kept up to date by a small script.

use crate::control::Status;

/// The page's style.
pub(super) const STYLE: &str = include_str!("style.css");
/// The page's script.
pub(super) const SCRIPT: &str = include_str!("live.js");

/// The page of a machine, with or without a link to its files.
pub(super) fn html(status: &Status, files: bool) -> String {
    let name = escape(&status.name);
    let (minutes, seconds) = (status.uptime_ms / 60_000, status.uptime_ms / 1000 % 60);
    let files = if files { " · <a href=/files/>files</a>" } else { "" };
    let sockets = status.sockets.iter().map(|row| {
        let peer = row.peer.map_or_else(|| "–".to_owned(), |peer| peer.to_string());
        let state = format!("<span class=\"state {}\">{}</span>", row.state.to_lowercase(), row.state);
        let queues = [row.receive_queue.to_string(), row.send_queue.to_string()];
        let [receive, send] = queues;
        cells(&[&row.kind, &state, &row.local.to_string(), &peer], &[&receive, &send])
    });
    let interfaces = status.interfaces.iter().map(|row| {
        let addresses = row.addresses.join(", ");
        let numbers = [row.frames_in, row.bytes_in, row.frames_out, row.bytes_out];
        let numbers = numbers.map(grouped);
        cells(
            &[&escape(&row.name), &addresses, &row.mac, &row.mtu.to_string()],
            &numbers.each_ref().map(String::as_str),
        )
    });
    let routes = status.routes.iter().map(|row| {
        let via = row.via.map_or_else(|| "on the link".to_owned(), |via| via.to_string());
        cells(&[&row.to, &via, &escape(&row.dev), &row.origin], &[&row.metric.to_string()])
    });
    let neighbours = status.neighbours.iter().map(|row| {
        let mac = row.mac.clone().unwrap_or_else(|| "–".to_owned());
        cells(&[&row.address.to_string(), &mac, &row.state, &escape(&row.dev)], &[])
    });
    let count = |row: &crate::control::Count| cells(&[&escape(&row.what)], &[&grouped(row.count)]);
    let values = [
        ("{name}", name),
        ("{version}", escape(&status.version)),
        ("{uptime}", format!("{minutes} min {seconds} s")),
        ("{files}", files.to_owned()),
        ("{sockets}", sockets.collect()),
        ("{interfaces}", interfaces.collect()),
        ("{routes}", routes.collect()),
        ("{neighbours}", or_none(neighbours.collect())),
        ("{counters}", status.counters.iter().map(count).collect()),
        ("{drops}", or_none(status.drops.iter().map(count).collect())),
    ];
    values.iter().fold(PAGE.to_owned(), |page, (place, value)| page.replacen(place, value, 1))
}

/// Rows, or one that says that there are none.
fn or_none(rows: String) -> String {
    if rows.is_empty() { cells(&["none"], &[]) } else { rows }
}

/// Text as HTML shows it.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn cells(texts: &[&str], numbers: &[&str]) -> String {
    let texts: String = texts.iter().map(|text| format!("<td>{text}")).collect();
    let numbers: String = numbers.iter().map(|number| format!("<td class=n>{number}")).collect();
    format!("<tr>{texts}{numbers}\n")
}

/// A number with narrow spaces between groups of three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

const PAGE: &str = include_str!("page.html");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_shown_as_they_are() {
        assert_eq!(grouped(1_234_567).replace('\u{202f}', " "), "1 234 567");
        assert_eq!((grouped(0), grouped(999)), ("0".to_owned(), "999".to_owned()));
        assert_eq!(escape("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
    }

    #[test]
    fn what_has_no_rows_says_so() {
        let row = |what: &str| crate::control::Count { what: what.to_owned(), count: 1 };
        let mut status = Status {
            name: "m".into(),
            version: "1".into(),
            pid: 1,
            uptime_ms: 0,
            interfaces: Vec::new(),
            counters: Vec::new(),
            drops: Vec::new(),
            sockets: Vec::new(),
            sockets_left_out: 0,
            routes: Vec::new(),
            neighbours: Vec::new(),
        };
        let page = html(&status, false);
        assert_eq!(page.matches("<tr><td>none\n").count(), 2, "neighbours and drops: {page}");
        status.drops.push(row("no route"));
        let page = html(&status, false);
        assert!(page.contains("<tbody id=drops><tr><td>no route<td class=n>1\n"), "{page}");
    }

    #[test]
    fn every_place_of_the_page_is_there_once() {
        for place in [
            "name",
            "version",
            "uptime",
            "files",
            "sockets",
            "interfaces",
            "routes",
            "neighbours",
            "counters",
            "drops",
        ] {
            assert_eq!(PAGE.matches(&format!("{{{place}}}")).count(), 1, "{place}");
        }
    }
}
