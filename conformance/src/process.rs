//! A program that runs, with all that it prints. It is killed when the value is dropped.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::{LIMIT, until};

/// Lines of a log that are shown when a test fails.
const SHOWN: usize = 40;

/// A program that runs.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: Arc<Log>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Out,
    Error,
}

/// What a program has printed, in the order in which it was read.
#[derive(Debug, Default)]
struct Log {
    state: Mutex<LogState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct LogState {
    lines: Vec<(Stream, String)>,
    open_streams: usize,
}

impl Process {
    /// Starts a program with nothing to read on its standard input.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start(name: &str, command: &mut Command) -> Self {
        let command = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let out = child.stdout.take().expect("it is piped");
        let errors = child.stderr.take().expect("it is piped");
        let log = Arc::new(Log::default());
        log.lock().open_streams = 2;
        let readers = vec![
            read(Arc::clone(&log), Stream::Out, out),
            read(Arc::clone(&log), Stream::Error, errors),
        ];
        Self {
            name: name.to_owned(),
            child,
            log,
            readers,
        }
    }

    /// The number of lines so far: what [`line_after`](Self::line_after) counts from.
    pub fn printed(&self) -> usize {
        self.log.lock().lines.len()
    }

    /// Everything printed so far.
    pub fn lines(&self) -> Vec<String> {
        let state = self.log.lock();
        state.lines.iter().map(|(_, line)| line.clone()).collect()
    }

    /// Everything printed so far on standard output.
    pub fn standard_output(&self) -> Vec<String> {
        let state = self.log.lock();
        let lines = state.lines.iter();
        lines
            .filter(|(stream, _)| *stream == Stream::Out)
            .map(|(_, line)| line.clone())
            .collect()
    }

    /// Waits for the first line that contains `text`.
    ///
    /// # Panics
    ///
    /// When it does not come in time, or the program ends without it.
    pub fn line(&self, text: &str) -> String {
        self.line_after(0, text)
    }

    /// Waits for a line that contains `text` and comes after the first `printed`.
    ///
    /// # Panics
    ///
    /// As [`line`](Self::line).
    pub fn line_after(&self, printed: usize, text: &str) -> String {
        self.line_within(LIMIT, printed, text)
    }

    /// As [`line_after`](Self::line_after), for what takes longer by intention.
    ///
    /// # Panics
    ///
    /// As [`line`](Self::line).
    pub fn line_within(&self, limit: Duration, printed: usize, text: &str) -> String {
        let deadline = Instant::now() + limit;
        let mut state = self.log.lock();
        loop {
            let mut lines = state.lines.iter().skip(printed);
            if let Some((_, line)) = lines.find(|(_, line)| line.contains(text)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let ended = state.open_streams == 0;
            assert!(
                !ended && !left.is_zero(),
                "{} did not print {text:?}{}",
                self.name,
                if ended {
                    " before it ended"
                } else {
                    " in time"
                }
            );
            let waited = self.log.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end, as Ctrl-C does, and waits until it has.
    ///
    /// # Panics
    ///
    /// When it goes on.
    pub fn interrupt(&mut self) -> ExitStatus {
        // One that has ended already is what was wanted.
        let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
        self.ended()
    }

    /// Stops it in the middle of whatever it does. It keeps its connections.
    ///
    /// # Panics
    ///
    /// When it has ended.
    pub fn freeze(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).expect("it runs");
    }

    /// Lets it go on.
    ///
    /// # Panics
    ///
    /// When it has ended.
    pub fn thaw(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).expect("it is there");
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    ///
    /// When it goes on.
    pub fn ended(&mut self) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        let child = &mut self.child;
        let status = until(&what, || child.try_wait().ok().flatten());
        self.join_readers();
        status
    }

    /// Ends it without a word of warning, as `kill -9` or a power cut does.
    pub fn kill(&mut self) {
        // An error says that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.join_readers();
    }

    /// What was printed last is read before it is looked at.
    fn join_readers(&mut self) {
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let lines = self.lines();
            let shown = &lines[lines.len().saturating_sub(SHOWN)..];
            eprintln!("--- {}, its last lines\n{}", self.name, shown.join("\n"));
        }
    }
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(log: Arc<Log>, stream: Stream, source: impl Read + Send + 'static) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(source).split(b'\n') {
            let Ok(line) = line else { break };
            let line = String::from_utf8_lossy(&line).into_owned();
            log.lock().lines.push((stream, line));
            log.changed.notify_all();
        }
        log.lock().open_streams -= 1;
        log.changed.notify_all();
    })
}
