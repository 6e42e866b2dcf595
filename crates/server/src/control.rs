//! The control socket: where the operator of a running pool asks for a trace (ADR 4), or that a worker is
//! closed (ADR 13).
//!
//! A Unix socket in the data directory, for whoever owns that. What is asked and answered is in
//! [`ControlRequest`]; Windows is not served.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use headframe_api::{
    CloseRequest, ControlDone, ControlRefusal, ControlRequest, Miner, MinerState, TraceRequest,
};
use headframe_work::{Network, split_user};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixListener;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::bell::Bells;
use crate::board::RollCall;
use crate::clock::wall_clock;
use crate::closing::{Closing, Outcome};
use crate::numbered::numbered;
use crate::trace::{MAX_TRACES, Tracer, Transcript};

/// The socket's name in the data directory.
pub const CONTROL_SOCKET: &str = "control.sock";

/// Askers at one time, twice as many as can be served, so that one too many is told so.
const MAX_ASKERS: usize = 2 * MAX_TRACES;
/// A question has at most so many bytes: a user name and little more.
const MAX_QUESTION: u64 = 4_096;
/// It is asked within this time after the connection.
const ASKED_WITHIN: Duration = Duration::from_secs(5);
/// A trace ends by itself after this time at the latest.
const MAX_SECONDS: u32 = 3_600;
/// An asker who does not read for so long is not served any more.
const READ_WITHIN: Duration = Duration::from_secs(10);
/// Workers that are named to somebody who asks for another one.
const NAMED: usize = 10;
/// Connections have this long to look whether a worker is theirs; who has not looked is not waited for.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);
/// What somebody is told besides who traces a worker that is not there.
const TRACE_WAITS: &str = ". With --wait a trace waits for a worker";
/// After an accept that failed the socket rests.
const REST: Duration = Duration::from_millis(100);

/// What the control socket shows of the pool.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    pub(crate) tracer: Arc<Tracer>,
    /// Where to ask who is connected.
    pub(crate) miners: mpsc::Sender<RollCall>,
    pub(crate) network: Network,
    /// The ways to all connections.
    pub(crate) bells: Arc<Bells>,
    pub(crate) shutdown: CancellationToken,
}

/// The socket's file, which goes with this value.
#[derive(Debug)]
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        // Whoever finds it later replaces it.
        let _ = fs::remove_file(&self.0);
    }
}

impl Control {
    /// Serves whoever asks, until the pool stops. The socket is there when this returns; without one the
    /// pool mines all the same.
    pub(crate) fn serve(self, data_directory: &Path) -> impl Future<Output = ()> + use<> {
        let place = Place(data_directory.join(CONTROL_SOCKET));
        let listener = bind(&place.0).inspect_err(|error| {
            let path = place.0.display();
            warn!("there is no control socket, and no trace: {path}: {error}");
        });
        async move {
            if let Ok(listener) = listener {
                self.answer_all(place, listener).await;
            }
        }
    }

    async fn answer_all(self, _place: Place, listener: UnixListener) {
        let askers = TaskTracker::new();
        let room = Arc::new(Semaphore::new(MAX_ASKERS));
        loop {
            let accepted = tokio::select! {
                () = self.shutdown.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let (Ok((socket, _)), Ok(permit)) = (accepted, Arc::clone(&room).try_acquire_owned())
            else {
                sleep(REST).await;
                continue;
            };
            // The mode of the file says the same; this holds also in the moment before it was set.
            let is_owner = socket.peer_cred().is_ok_and(|peer| is_owner(peer.uid()));
            if is_owner {
                let control = self.clone();
                askers.spawn(async move {
                    let _permit = permit;
                    let (reader, writer) = socket.into_split();
                    control.answer(reader, writer).await;
                });
            }
        }
        askers.close();
        askers.wait().await;
    }

    async fn answer(self, mut reader: OwnedReadHalf, mut writer: OwnedWriteHalf) {
        let Ok(Ok(question)) = timeout(ASKED_WITHIN, read_question(&mut reader)).await else {
            return debug!("nothing was asked on the control socket");
        };
        let answered = match serde_json::from_slice(&question) {
            Ok(ControlRequest::Trace(request)) => match self.begin(&request).await {
                Ok(transcript) => self.trace(transcript, &request, reader, &mut writer).await,
                Err(refused) => refuse(&mut writer, refused).await,
            },
            Ok(ControlRequest::Close(request)) => match self.close(&request).await {
                Ok(done) => tell(&mut writer, &ControlDone { done }).await,
                Err(refused) => refuse(&mut writer, refused).await,
            },
            Err(error) => {
                let refused = format!(
                    "the question is not understood ({error}); the program that asks and the pool \
                     may be of different versions"
                );
                refuse(&mut writer, refused).await
            }
        };
        if let Err(error) = answered {
            debug!("an answer on the control socket ended: {error}");
        }
    }

    async fn begin(&self, request: &TraceRequest) -> Result<Transcript, String> {
        if !(1..=MAX_SECONDS).contains(&request.seconds) {
            return Err(format!("a trace lasts from 1 to {MAX_SECONDS} seconds"));
        }
        let miners = self.miners().await.ok_or("the pool is stopping")?;
        let user = match request.wait {
            true => request.worker.clone(),
            false => find(&miners, &request.worker, TRACE_WAITS)?,
        };
        let trace = self.tracer.trace(&user);
        let full = || format!("{MAX_TRACES} traces run already; wait until one of them has ended");
        let trace = trace.ok_or_else(full)?;
        let began = (Instant::now(), wall_clock());
        Ok(Transcript::new(trace, self.network, began))
    }

    /// Closes a worker, and says what became of that.
    async fn close(&self, request: &CloseRequest) -> Result<String, String> {
        let miners = self.miners().await.ok_or("the pool is stopping")?;
        let user = find(&miners, &request.worker, "")?;
        let (closing, mut closed) = Closing::new(&user);
        self.bells.close(&closing);
        drop(closing);
        let _ = timeout(CLOSED_WITHIN, closed.looked()).await;
        let outcome = closed.outcome();
        let told = told(&user, outcome);
        info!(
            "asked to close {user}: {}",
            told.as_ref().unwrap_or_else(|told| told)
        );
        told
    }

    async fn miners(&self) -> Option<Arc<[Miner]>> {
        let (call, miners) = oneshot::channel();
        self.miners.send(call).await.ok()?;
        miners.await.ok()
    }

    /// Writes what is said until the time is over, the asker goes, or the pool stops.
    async fn trace(
        &self,
        mut transcript: Transcript,
        request: &TraceRequest,
        mut reader: OwnedReadHalf,
        writer: &mut OwnedWriteHalf,
    ) -> io::Result<()> {
        info!("{} is traced for {} s", request.worker, request.seconds);
        let over = sleep(Duration::from_secs(request.seconds.into()));
        tokio::pin!(over);
        write(writer, Transcript::FIRST_LINE).await?;
        let mut byte = [0];
        let why = loop {
            let lines = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => break "the pool has stopped",
                () = &mut over => break "the time is over",
                _ = reader.read(&mut byte) => return Ok(()),
                lines = transcript.next() => lines,
            };
            write(writer, &lines).await?;
        };
        write(writer, &transcript.end(why)).await?;
        writer.shutdown().await
    }
}

/// The file of a pool that was killed is replaced. No other pool's can be there: the data directory is
/// locked.
fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// The pool's own user, and the one who may do everything anyway.
fn is_owner(uid: u32) -> bool {
    uid == rustix::process::geteuid().as_raw() || uid == 0
}

async fn read_question(reader: &mut OwnedReadHalf) -> io::Result<Vec<u8>> {
    let mut question = Vec::new();
    let mut reader = BufReader::new(reader.take(MAX_QUESTION));
    reader.read_until(b'\n', &mut question).await?;
    Ok(question)
}

async fn refuse(writer: &mut OwnedWriteHalf, refused: String) -> io::Result<()> {
    tell(writer, &ControlRefusal { refused }).await
}

async fn tell(writer: &mut OwnedWriteHalf, answer: &impl Serialize) -> io::Result<()> {
    let answer = serde_json::to_string(answer)?;
    write(writer, &(answer + "\n")).await
}

async fn write(writer: &mut OwnedWriteHalf, text: &str) -> io::Result<()> {
    let written = timeout(READ_WITHIN, writer.write_all(text.as_bytes())).await;
    written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// What became of a worker that was to be closed; an error if he is where he was.
fn told(user: &str, outcome: Outcome) -> Result<String, String> {
    let Outcome {
        channels,
        connections,
        kept,
        others,
    } = outcome;
    let closed = match (channels, connections) {
        (0, 0) => None,
        (channels, 0) => Some(numbered(channels, "channel", "channels")),
        (0, connections) => Some(numbered(connections, "connection", "connections")),
        (channels, connections) => Some(format!(
            "{} and {}",
            numbered(channels, "channel", "channels"),
            numbered(connections, "connection", "connections")
        )),
    };
    let beside = || {
        format!(
            "shares {} with {}, and its client is not known to bear that one worker alone is closed",
            numbered(kept, "connection", "connections"),
            numbered(others, "other worker", "other workers")
        )
    };
    match (closed, kept) {
        (Some(closed), 0) => Ok(format!("{closed} of {user} closed")),
        (Some(closed), _) => Ok(format!("{closed} of {user} closed; it still {}", beside())),
        (None, 0) => Err(format!(
            "{user} was not found on any connection that answered; look whether it is still there"
        )),
        (None, _) => Err(format!("{user} {}; end it at the device", beside())),
    }
}

/// The user name that is meant: that of a worker who is connected, or the end of it if that is only one's. Who
/// is not there is told `hint` besides.
fn find(miners: &[Miner], wanted: &str, hint: &str) -> Result<String, String> {
    let here = miners
        .iter()
        .filter(|miner| miner.state != MinerState::Gone);
    let users: BTreeSet<&str> = here.map(|miner| miner.worker.as_str()).collect();
    if users.contains(wanted) {
        return Ok(wanted.to_owned());
    }
    let is_meant = |user: &&str| split_user(user).1 == Some(wanted);
    let meant: Vec<&str> = users.iter().copied().filter(is_meant).collect();
    match (&meant[..], users.is_empty()) {
        ([user], _) => Ok((*user).to_owned()),
        ([_, ..], _) => Err(format!(
            "{wanted} is the worker of several: {}; name one of them whole",
            names(meant)
        )),
        ([], true) => Err(format!("{wanted} is not connected, and nobody else is")),
        ([], false) => Err(format!(
            "{wanted} is not connected; these are: {}{hint}",
            names(users)
        )),
    }
}

/// Some of the names, and how many there are besides.
fn names<'a>(all: impl IntoIterator<Item = &'a str>) -> String {
    let all: Vec<&str> = all.into_iter().collect();
    let some = all
        .iter()
        .take(NAMED)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    match all.len().saturating_sub(NAMED) {
        0 => some,
        more => format!("{some} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
