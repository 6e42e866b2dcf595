//! What is printed while the program runs: one calm line per event.
//!
//! Lines are written by a thread of their own: a terminal that is held (Ctrl-S) or a pipe that
//! nobody reads must not hold up a miner, let alone a block. Lines that do not fit its queue are
//! counted, not waited for.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use headframe_server::Utc;
use headframe_work::UnixTime;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

/// Lines that wait to be printed.
const QUEUE: usize = 4_096;
/// Where lines come from. Other people's crates have nothing to say to the operator below a warning.
const CRATES: [&str; 7] = [
    "server",
    "mining",
    "node",
    "ledger",
    "transport",
    "dashboard",
    "miner",
];
/// The demonstration finds a block every few seconds; that it found it and that the chain took it
/// and that it mines on it is one event.
const QUIET_IN_DEMO: &str = ",headframe_server::found=warn,headframe_server::hub=warn";

/// The log. What was told is printed when it is dropped.
pub(crate) struct Log {
    printer: Option<JoinHandle<()>>,
    lines: Lines,
}

/// Prints events of `level` and above to standard output.
pub(crate) fn start(level: &str) -> Log {
    let time = match is_journal() {
        true => Time::None,
        false => Time::Whole,
    };
    start_with(&filter(level), time)
}

/// Prints what a visitor of the demonstration wants to know.
pub(crate) fn start_demo() -> Log {
    start_with(&(filter("info") + QUIET_IN_DEMO), Time::OfDay)
}

fn filter(level: &str) -> String {
    let crates = CRATES.map(|name| format!(",headframe_{name}={level}"));
    format!("warn,headframe={level}") + &crates.concat()
}

/// Whether standard output is systemd's journal, which has the time of each line: `JOURNAL_STREAM` has its device and
/// inode then, and is passed on to programs whose output goes elsewhere.
fn is_journal() -> bool {
    let Ok(journal) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    let out = rustix::fs::fstat(io::stdout());
    out.is_ok_and(|out| journal == format!("{}:{}", out.st_dev, out.st_ino))
}

fn start_with(filter: &str, time: Time) -> Log {
    let (sender, receiver) = sync_channel(QUEUE);
    let lines = Lines(sender);
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .event_format(Calm { time })
        .with_writer(lines.clone());
    // A second start, in a test, keeps the first.
    let _ = subscriber.try_init();
    let printer = thread::Builder::new().name("log".to_owned());
    Log {
        printer: printer.spawn(move || print(&receiver)).ok(),
        lines,
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // An empty line is the end: the subscriber keeps its sender for ever.
        let _ = self.lines.0.send(Vec::new());
        if let Some(printer) = self.printer.take() {
            let _ = printer.join();
        }
    }
}

fn print(lines: &Receiver<Vec<u8>>) {
    let mut stdout = io::stdout();
    while let Ok(line) = lines.recv() {
        let left_out = LEFT_OUT.swap(0, Ordering::Relaxed);
        if left_out > 0 {
            let _ = writeln!(stdout, "({left_out} lines could not be printed in time)");
        }
        if line.is_empty() {
            break;
        }
        // Nobody is there to be told that nobody reads.
        let _ = stdout.write_all(&line);
    }
    let _ = stdout.flush();
}

static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// Where the subscriber writes: each event is one write of one line.
#[derive(Debug, Clone)]
struct Lines(SyncSender<Vec<u8>>);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !line.is_empty() && self.0.try_send(line.to_vec()).is_err() {
            LEFT_OUT.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self::Writer {
        self.clone()
    }
}

/// What stands before a line, in UTC.
#[derive(Debug, Clone, Copy)]
enum Time {
    /// Nothing: whoever keeps the lines has their times.
    None,
    /// `12:34:56`, for who looks on.
    OfDay,
    /// `2026-11-22T12:34:56.789Z` (RFC 3339), for who reads it days later.
    Whole,
}

impl Time {
    fn write(self, writer: &mut Writer<'_>, since: Duration) -> fmt::Result {
        let seconds = u32::try_from(since.as_secs()).unwrap_or(u32::MAX);
        let whole = Utc(UnixTime::from_secs(seconds)).rfc_3339();
        let whole = whole.trim_end_matches('Z');
        match (self, whole.split_once('T')) {
            (Self::OfDay, Some((_, time))) => write!(writer, "{time} "),
            (Self::OfDay | Self::Whole, _) => {
                write!(writer, "{whole}.{:03}Z ", since.subsec_millis())
            }
            (Self::None, _) => Ok(()),
        }
    }
}

/// The time and the message; with its level when it is more than news.
struct Calm {
    time: Time,
}

impl<S, N> FormatEvent<S, N> for Calm
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        self.time.write(&mut writer, since.unwrap_or_default())?;
        match *event.metadata().level() {
            Level::ERROR => writer.write_str("ERROR: ")?,
            Level::WARN => writer.write_str("warning: ")?,
            _ => {}
        }
        context
            .field_format()
            .format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_time_that_its_reader_wants() {
        let since = Duration::from_millis(1_763_854_496_007);
        for (time, expected) in [
            (Time::Whole, "2025-11-22T23:34:56.007Z "),
            (Time::OfDay, "23:34:56 "),
            (Time::None, ""),
        ] {
            let mut text = String::new();
            time.write(&mut Writer::new(&mut text), since).unwrap();
            assert_eq!(text, expected);
        }
    }
}
