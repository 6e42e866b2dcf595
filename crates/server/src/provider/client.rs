//! One client's task: its socket, its session, and the node's templates.

use std::future::{pending, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use headframe_distribution::FitError;
use headframe_distribution::server::{ClientFault, ServerEvent, ServerSession};
use headframe_sv2_wire::Frame;
use headframe_transport::{Filled, FrameStream, SHUTDOWN_DEADLINE, TransportError};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::blocks::{Found, FoundSender};
use super::fitter::{Counter, Fit};
use super::source::Word;
use crate::hush::Hush;
use crate::random::random_bytes;

/// How long a client may take to read an answer as large as a block.
pub const ANSWER_READ_WITHIN: Duration = Duration::from_secs(60);
/// How long clients are usually kept while the node gives no templates. Then they are let go, so that they look for
/// another provider, or hold their miners.
pub const NODE_GRACE: Duration = Duration::from_secs(30);
/// A frame that is longer is written before the next is made. The client is heard meanwhile: it may have found a
/// block.
const LONG_FRAME: usize = 64 * 1024;

/// What each client's task is joined to.
#[derive(Debug, Clone)]
pub(super) struct Links {
    pub(super) templates: watch::Receiver<Word>,
    pub(super) counter: Counter,
    pub(super) found: FoundSender,
    /// How long clients are kept while the node gives no templates.
    pub(super) grace: Duration,
    /// The log, as far as strangers can write it.
    pub(super) faults: Arc<Hush>,
    pub(super) shutdown: CancellationToken,
}

pub(super) struct Client {
    peer: SocketAddr,
    /// Its address and what it calls itself, for the log.
    name: Arc<str>,
    stream: FrameStream,
    session: ServerSession,
    links: Links,
    /// Until when a long frame has to be written, while one is.
    long_until: Option<Instant>,
    /// The template that it was promised. It is heard meanwhile: it may have found a block.
    fitting: Option<Fitting>,
    /// Whether there is one that it was not offered yet.
    is_owed: bool,
    is_finished: bool,
}

/// A template that is being fitted to what a client needs.
type Fitting = Pin<Box<dyn Future<Output = Option<Fit>> + Send>>;

/// Why a client is disconnected.
#[derive(Debug, Error)]
enum Parting {
    #[error("it left")]
    Left,
    #[error("{0}")]
    Finished(&'static str),
    #[error("the template provider stops")]
    Shutdown,
    #[error("the node gives no templates")]
    NoNode,
    #[error("{0}")]
    Fault(#[from] ClientFault),
    #[error("{0}")]
    Transport(#[from] TransportError),
    #[error("it does not read what it asked for")]
    Slow,
    #[error("its coinbase is too large: {0}")]
    Fit(FitError),
    #[error("no template can be fitted to what it needs")]
    Unfit,
}

impl Client {
    pub(super) fn new(peer: SocketAddr, stream: FrameStream, links: Links) -> Self {
        Self {
            peer,
            name: peer.to_string().into(),
            stream,
            session: ServerSession::new(Instant::now(), first_id()),
            links,
            long_until: None,
            fitting: None,
            is_owed: false,
            is_finished: false,
        }
    }

    pub(super) async fn run(mut self) {
        let parting = loop {
            if let Err(parting) = self.step().await {
                break parting;
            }
        };
        match &parting {
            Parting::Left | Parting::Shutdown => info!("{} is gone: {parting}", self.name),
            _ => {
                let faults = &self.links.faults;
                faults.tell(format_args!("{} is disconnected: {parting}", self.name));
            }
        }
        if matches!(
            parting,
            Parting::Finished(_) | Parting::Shutdown | Parting::NoNode
        ) {
            self.stream.shutdown(SHUTDOWN_DEADLINE).await;
        }
    }

    /// Says what there is to say, and waits for the next thing to happen.
    async fn step(&mut self) -> Result<(), Parting> {
        self.heed_events().await;
        self.ask();
        self.transmit()?;
        if self.is_finished {
            return Err(Parting::Finished("it was told so"));
        }
        let due = self.session.poll_timeout();
        let away = self.links.templates.borrow().away_since;
        let is_writing = self.long_until.is_some();
        tokio::select! {
            biased;
            () = self.links.shutdown.cancelled() => Err(Parting::Shutdown),
            changed = self.links.templates.changed() => match changed {
                Ok(()) => {
                    self.is_owed = true;
                    Ok(())
                }
                Err(_) => Err(Parting::Shutdown),
            },
            fit = fitted(&mut self.fitting) => self.offer(fit),
            () = until(self.long_until) => Err(Parting::Slow),
            stirred = stir(&mut self.stream, is_writing) => match stirred? {
                Some(Filled::Bytes) => self.take_frames().await,
                Some(Filled::Closed) => Err(Parting::Left),
                None => {
                    self.long_until = None;
                    Ok(())
                }
            },
            () = until(due) => Ok(self.session.handle_timeout(Instant::now())?),
            () = until(away.map(|since| since + self.links.grace)) => Err(Parting::NoNode),
        }
    }

    /// A block goes on before the next frame is looked at.
    async fn take_frames(&mut self) -> Result<(), Parting> {
        while let Some(bytes) = self.stream.next_frame()? {
            if let Some((frame, _)) = Frame::split(bytes) {
                self.session.handle_frame(Instant::now(), frame)?;
            }
            self.heed_events().await;
        }
        Ok(())
    }

    async fn heed_events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                ServerEvent::Introduced(words) => {
                    self.name = format!("{} ({words})", self.peer).into();
                    info!("{} takes templates", self.name);
                }
                ServerEvent::Constraints(_) => self.is_owed = true,
                ServerEvent::Solved(solved) => {
                    let client = Arc::clone(&self.name);
                    let found = Found {
                        solved: *solved,
                        client,
                    };
                    // Whoever takes blocks outlives all clients.
                    let _ = self.links.found.send(found).await;
                }
                ServerEvent::Unsolved { template_id, flaw } => warn!(
                    "{} sent a solution for template {template_id} that is no block: {flaw}",
                    self.name
                ),
                ServerEvent::Finished { .. } => self.is_finished = true,
            }
        }
    }

    /// Asks for the node's newest template, if there is one that the client was not offered, and it has said what it
    /// needs. One at a time, and none while a long frame is being written.
    fn ask(&mut self) {
        let Some(constraints) = self.session.constraints() else {
            return;
        };
        let is_busy = self.fitting.is_some() || self.long_until.is_some();
        if is_busy || !self.is_owed || self.links.templates.borrow().update.is_none() {
            return;
        }
        self.is_owed = false;
        let is_restless = self.session.is_restless(Instant::now());
        let counter = self.links.counter.clone();
        self.fitting = Some(Box::pin(counter.order(constraints, is_restless)));
    }

    /// Offers a template. What a client has no use for any more is left out: it has asked for another, or will as soon
    /// as it may.
    fn offer(&mut self, fit: Option<Fit>) -> Result<(), Parting> {
        self.fitting = None;
        let fit = fit.ok_or(Parting::Unfit)?;
        if self.session.constraints() != Some(fit.constraints) {
            return Ok(());
        }
        match fit.fitted {
            Ok(fitted) => {
                let now = Instant::now();
                let time = fit.update.consensus_time(now);
                self.session.offer(now, &fitted, time);
                Ok(())
            }
            Err(error @ FitError::NoRoom { .. }) => Err(Parting::Fit(error)),
            Err(error @ (FitError::Transaction { .. } | FitError::Template(_))) => {
                // The next template may be better.
                self.links.faults.tell(format_args!("{error}"));
                Ok(())
            }
        }
    }

    fn transmit(&mut self) -> Result<(), Parting> {
        while self.long_until.is_none()
            && let Some(frame) = self.session.poll_transmit()
        {
            self.stream.queue_frame(&frame)?;
            if frame.len() > LONG_FRAME {
                self.long_until = Some(Instant::now() + ANSWER_READ_WITHIN);
            }
        }
        Ok(())
    }
}

/// Reads once, and writes what is queued meanwhile. `None`: while `is_writing`, all of it is written.
async fn stir(
    stream: &mut FrameStream,
    is_writing: bool,
) -> Result<Option<Filled>, TransportError> {
    poll_fn(|context| match stream.poll_fill(context) {
        Poll::Ready(filled) => Poll::Ready(filled.map(Some)),
        Poll::Pending if is_writing && !stream.wants_flush() => Poll::Ready(Ok(None)),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// Where a connection's template ids begin: far from where another's do, so that what was given over an
/// earlier connection is not taken for something of this one.
fn first_id() -> u64 {
    u64::from(u32::from_le_bytes(random_bytes())) << 24 | 1
}

/// What was promised, when it is there.
async fn fitted(fitting: &mut Option<Fitting>) -> Option<Fit> {
    match fitting {
        Some(fitting) => fitting.await,
        None => pending().await,
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => pending().await,
    }
}
