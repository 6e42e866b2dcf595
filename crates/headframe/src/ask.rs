//! A question to a running pool, over the control socket in its data directory.

use std::io::{self, ErrorKind};
use std::path::Path;

use anyhow::Context as _;
use headframe_api::{ControlRefusal, ControlRequest};
use headframe_server::CONTROL_SOCKET;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

/// What the pool answers.
pub(crate) struct Answer(BufReader<UnixStream>);

impl Answer {
    /// Asks, and gives the first line of the answer, which is no refusal.
    pub(crate) async fn ask(
        request: &ControlRequest,
        directory: &Path,
    ) -> anyhow::Result<(Vec<u8>, Self)> {
        let path = directory.join(CONTROL_SOCKET);
        let connected = UnixStream::connect(&path).await;
        let mut stream = connected.map_err(|error| not_there(&error, &path, directory))?;
        let question = serde_json::to_string(request)? + "\n";
        stream.write_all(question.as_bytes()).await?;
        let mut answer = Self(BufReader::new(stream));
        let first = answer.next().await?.context("the pool said nothing")?;
        match serde_json::from_slice(&first) {
            Ok(ControlRefusal { refused }) => anyhow::bail!(refused),
            Err(_) => Ok((first, answer)),
        }
    }

    /// The next line with its end; `None` when there is none.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let read = self.0.read_until(b'\n', &mut line).await;
        read.context("the pool is gone")?;
        Ok((line.last() == Some(&b'\n')).then_some(line))
    }
}

/// Runs a question to its end.
pub(crate) fn in_runtime<T>(asking: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(asking)
}

fn not_there(error: &io::Error, path: &Path, directory: &Path) -> anyhow::Error {
    let (path, directory) = (path.display(), directory.display());
    match error.kind() {
        ErrorKind::NotFound => anyhow::anyhow!(
            "no pool runs with the data directory {directory}; start it, or choose another with \
             --data-dir or -c"
        ),
        ErrorKind::ConnectionRefused => anyhow::anyhow!(
            "the pool with the data directory {directory} has ended; start it, or choose another \
             with --data-dir or -c"
        ),
        ErrorKind::PermissionDenied => anyhow::anyhow!(
            "{path} may only be used by the user that the pool runs as; ask as that user"
        ),
        _ => anyhow::anyhow!("the pool cannot be asked at {path}: {error}"),
    }
}
