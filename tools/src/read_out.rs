//! `tapstack explain`: reads a capture and prints it as a ladder; the demo prints the beginning of its own.

use crate::Failure;
use crate::cli::ExplainArgs;
use crate::explain::{LadderLine, ladder};
use crate::ui::{self, Ui};
use owo_colors::OwoColorize as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::IpAddr;
use tapstack::capture;

/// Columns of a ladder where no terminal says how many it has.
const WIDTH_DEFAULT: usize = 80;
/// Columns of a ladder on a narrow terminal, and on a very wide one.
const WIDTH_RANGE: (usize, usize) = (60, 160);

/// Prints a capture. On a terminal each frame has its reason below it; elsewhere, one line for `grep` and the like.
pub(crate) fn run(ui: &Ui, args: &ExplainArgs) -> Result<(), Failure> {
    let name = args.file.display();
    let file = std::fs::read(&args.file)
        .map_err(|error| Failure::Misused(format!("can't read {name}: {}", ui::reason(&error))))?;
    let capture = capture::read(&file).map_err(|error| Failure::Misused(format!("{name}: {error}")))?;
    if capture.truncated {
        ui::note(&format!(
            "{name} ends in the middle of a record: its writer was cut short, or still writes"
        ));
    }
    let lines = ladder(&capture.records, &[]);
    let shown = args.limit.unwrap_or(usize::MAX).min(lines.len());
    let on_terminal = io::stdout().is_terminal();
    let mut out = io::BufWriter::new(anstream::stdout().lock());
    for line in lines.iter().take(shown) {
        let text = if on_terminal { in_two_parts(line, width()) } else { format!("{line}\n") };
        match out.write_all(text.as_bytes()) {
            // Whoever reads has enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(Failure::Failed(format!("can't print: {error}"))),
            Ok(()) => {}
        }
    }
    drop(out);
    if lines.is_empty() {
        ui.line("The capture has no frames.");
    } else if on_terminal && shown < lines.len() {
        ui.line(format!("{} more frames", lines.len() - shown));
    }
    Ok(())
}

/// The first lines of a capture's ladder, for a terminal or a log. What was only overheard is left out: a broadcast
/// that was meant for another.
pub(crate) fn beginning(file: &[u8], names: &[(IpAddr, &str)], limit: usize) -> Result<String, String> {
    let capture = capture::read(file).map_err(|error| error.to_string())?;
    let lines = ladder(&capture.records, names);
    let overheard =
        |line: &LadderLine| line.cause.is_empty() && !line.dropped && line.outcome.starts_with("dropped");
    let lines = lines.iter().filter(|line| !overheard(line));
    Ok(lines.take(limit).map(|line| in_two_parts(line, width())).collect())
}

/// A frame and, below it, its reason.
fn in_two_parts(line: &LadderLine, width: usize) -> String {
    let time = format!("{}.{:06}", line.time.as_secs(), line.time.subsec_micros());
    let ends = format!("{} → {}", line.from, line.to);
    let head = format!("  {time}  {ends:<ENDS_WIDTH$}  ");
    let indent = head.chars().count();
    let room = width.saturating_sub(indent).max(TEXT_WIDTH_MIN);
    let says = ui::wrap(&format!("{} {}", line.protocol, line.summary), room);
    let mut text = head;
    text.push_str(&says.join(&format!("\n{:indent$}", "")));
    text.push('\n');
    for why in ui::wrap(&line.why(), room.saturating_sub(2)) {
        let why = if line.dropped { why.red().to_string() } else { why.cyan().to_string() };
        text.push_str(&format!("{:indent$}  {why}\n", ""));
    }
    text
}

/// Columns for `kernel → anna` and the like; longer ends push what follows to the right.
const ENDS_WIDTH: usize = 13;
/// Columns for what a frame says, however narrow the terminal.
const TEXT_WIDTH_MIN: usize = 30;

fn width() -> usize {
    let (least, most) = WIDTH_RANGE;
    terminal_size::terminal_size().map_or(WIDTH_DEFAULT, |(width, _)| usize::from(width.0).clamp(least, most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_frame_and_its_reason_keep_to_the_width() {
        let line = LadderLine {
            time: Duration::from_micros(1_500),
            from: "anna".to_owned(),
            to: "kernel".to_owned(),
            protocol: "TCP",
            summary: "10.0.0.2:80 > 10.0.0.1:40000 [SYN, ACK] seq 0 ack 1 win 65535 len 0".to_owned(),
            cause: "the answer to a SYN, and some more words so that it has to be broken".to_owned(),
            outcome: String::new(),
            took: None,
            dropped: false,
            packet_id: 7,
        };
        let text = anstream::adapter::strip_str(&in_two_parts(&line, 80)).to_string();
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.starts_with("0.001500 anna → kernel TCP 10.0.0.2:80 >"), "{words}");
        assert!(words.ends_with("so that it has to be broken"), "{words}");
    }

    #[test]
    fn what_is_no_capture_is_an_error_and_not_a_panic() {
        assert!(beginning(b"nonsense", &[], 5).is_err());
        assert!(beginning(b"", &[], 5).is_err());
    }
}
