//! `headframe trace`: what a worker and the running pool say to each other, in a file for a bug report.
//!
//! The pool masks and tells; this command writes, where the operator is and as the operator. What the
//! lines mean is not known here.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use headframe_api::{ControlRequest, TraceRequest};
use headframe_work::{looks_like_address, split_user};
use tokio_util::sync::CancellationToken;

use crate::ask::{Answer, in_runtime};
use crate::{cli, data, interrupt, say};

/// What is not a message begins with this.
const COMMENT: u8 = b'#';
/// Characters of a worker's name that are kept in the name of a file.
const NAME_CHARS: usize = 40;

pub(crate) fn run(command: cli::Trace) -> anyhow::Result<()> {
    let loaded = data::configuration(
        command.config.as_deref(),
        data::data_dir_flag(command.data_dir.as_ref()),
    )?;
    in_runtime(trace(&command, &loaded.config.data_dir))
}

async fn trace(command: &cli::Trace, directory: &Path) -> anyhow::Result<()> {
    let stop = interrupt::token();
    let request = ControlRequest::Trace(TraceRequest {
        worker: command.worker.clone(),
        seconds: command.seconds,
        wait: command.wait,
    });
    let (first, mut pool) = Answer::ask(&request, directory).await?;
    let output = command.output.clone();
    let mut file = Output::create(output.unwrap_or_else(|| file_name(&command.worker)))?;
    say(&format!(
        "writing what {} and the pool say to each other into {} for {} s; Ctrl-C ends it sooner",
        command.worker,
        file.path.display(),
        command.seconds
    ));
    file.write(&first)?;
    let is_whole = file.write_all(&mut pool, &stop).await?;
    let messages = file.messages;
    say(&format!("{messages} messages in {}", file.path.display()));
    if !is_whole {
        anyhow::bail!("the pool ended before the trace did");
    }
    Ok(())
}

/// The file.
struct Output {
    path: PathBuf,
    file: std::fs::File,
    messages: u64,
}

impl Output {
    /// Nothing that is there is written over.
    fn create(path: PathBuf) -> anyhow::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.with_context(|| {
            let path = path.display();
            format!("cannot write the trace into {path}; choose another place with --output")
        })?;
        let messages = 0;
        Ok(Self {
            path,
            file,
            messages,
        })
    }

    /// Writes what the pool says until it ends or is to end. False if it did not say why it ended.
    async fn write_all(
        &mut self,
        pool: &mut Answer,
        stop: &CancellationToken,
    ) -> anyhow::Result<bool> {
        let mut is_whole = false;
        loop {
            let line = tokio::select! {
                () = stop.cancelled() => return Ok(true),
                line = pool.next() => line?,
            };
            let Some(line) = line else {
                return Ok(is_whole);
            };
            is_whole = line.first() == Some(&COMMENT);
            self.messages += u64::from(!is_whole);
            self.write(&line)?;
        }
    }

    /// Line by line, so that the file is whole whenever it ends.
    fn write(&mut self, line: &[u8]) -> anyhow::Result<()> {
        let path = self.path.display();
        self.file
            .write_all(line)
            .with_context(|| format!("cannot write into {path}"))
    }
}

/// A name for the file, without the address: files are shown to others.
fn file_name(worker: &str) -> PathBuf {
    let (user, name) = split_user(worker);
    let name = match looks_like_address(user) {
        true => name.unwrap_or_default(),
        false => worker,
    };
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = name.chars().map(plain).take(NAME_CHARS).collect();
    match name.is_empty() {
        true => PathBuf::from("headframe-trace.jsonl"),
        false => PathBuf::from(format!("headframe-trace-{name}.jsonl")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_s_name_has_no_address_and_no_path() {
        for (worker, name) in [
            (
                "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4.rig_1",
                "headframe-trace-rig-1.jsonl",
            ),
            (
                "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
                "headframe-trace.jsonl",
            ),
            ("garage.rig", "headframe-trace-garage-rig.jsonl"),
            ("../etc", "headframe-trace----etc.jsonl"),
        ] {
            assert_eq!(file_name(worker), PathBuf::from(name));
        }
    }
}
