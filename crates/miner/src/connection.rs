//! One connection: a stream, the session that speaks on it, and the loop that joins them.

use std::future::pending;
use std::time::Instant;

use headframe_mining::client::{
    ClientEvent, Frame, SessionError, Solution, Submission, Sv1Session, Sv2Session,
};
use headframe_transport::{
    Filled, FrameStream, LineSocket, LineStream, SHUTDOWN_DEADLINE, TransportError,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::sleep_until;

use crate::MinerError;

/// A connection in either protocol.
#[derive(Debug)]
pub(crate) enum Connection<L = LineSocket, F = TcpStream> {
    Sv1(LineStream<L>, Box<Sv1Session>),
    Sv2(FrameStream<F>, Box<Sv2Session>),
}

/// What a wait on the connection brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Woke {
    /// Bytes of the pool, or a deadline: there may be messages and events.
    Input,
    /// The pool will say no more.
    Closed,
}

/// What bytes come and go over.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket for S {}

impl<L: Socket, F: Socket> Connection<L, F> {
    /// Sends what the session has to say as far as it goes, and waits for the pool or a deadline of the
    /// session. May be cancelled at any time.
    pub(crate) async fn wait(&mut self) -> Result<Woke, TransportError> {
        let deadline = self.poll_timeout();
        let deadline_passed = async {
            match deadline {
                Some(deadline) => sleep_until(deadline.into()).await,
                None => pending().await,
            }
        };
        tokio::select! {
            filled = self.fill() => Ok(match filled? {
                Filled::Bytes => Woke::Input,
                Filled::Closed => Woke::Closed,
            }),
            () = deadline_passed => {
                self.handle_timeout(Instant::now());
                Ok(Woke::Input)
            }
        }
    }

    /// Takes one message out of what has arrived and gives it to the session; false when there is none.
    pub(crate) fn handle_message(&mut self) -> Result<bool, MinerError> {
        let now = Instant::now();
        match self {
            Self::Sv1(stream, session) => match stream.next_line()? {
                Some(line) => session.handle_line(now, line)?,
                None => return Ok(false),
            },
            Self::Sv2(stream, session) => match stream.next_frame()? {
                Some(bytes) => handle_frame(session, now, bytes)?,
                None => return Ok(false),
            },
        }
        Ok(true)
    }

    /// Queues what the session has to say.
    pub(crate) fn queue_output(&mut self) -> Result<(), TransportError> {
        match self {
            Self::Sv1(stream, session) => {
                while let Some(line) = session.poll_transmit() {
                    stream.queue_lines(&line)?;
                }
            }
            Self::Sv2(stream, session) => {
                while let Some(frame) = session.poll_transmit() {
                    stream.queue_frame(&frame)?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn poll_event(&mut self) -> Option<ClientEvent> {
        match self {
            Self::Sv1(_, session) => session.poll_event(),
            Self::Sv2(_, session) => session.poll_event(),
        }
    }

    pub(crate) fn submit(&mut self, solution: &Solution) -> Submission {
        let now = Instant::now();
        match self {
            Self::Sv1(_, session) => session.submit(now, solution),
            Self::Sv2(_, session) => session.submit(now, solution),
        }
    }

    /// Takes leave of the pool and closes the socket once everything is said.
    pub(crate) async fn close(mut self) {
        match &mut self {
            Self::Sv1(_, session) => session.close(),
            Self::Sv2(_, session) => session.close(),
        }
        // A pool that lets so much pile up does not hear the farewell.
        let _ = self.queue_output();
        match self {
            Self::Sv1(stream, _) => stream.shutdown(SHUTDOWN_DEADLINE).await,
            Self::Sv2(stream, _) => stream.shutdown(SHUTDOWN_DEADLINE).await,
        }
    }

    async fn fill(&mut self) -> Result<Filled, TransportError> {
        match self {
            Self::Sv1(stream, _) => stream.fill().await,
            Self::Sv2(stream, _) => stream.fill().await,
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Sv1(_, session) => session.poll_timeout(),
            Self::Sv2(_, session) => session.poll_timeout(),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Sv1(_, session) => session.handle_timeout(now),
            Self::Sv2(_, session) => session.handle_timeout(now),
        }
    }
}

fn handle_frame(session: &mut Sv2Session, now: Instant, bytes: &[u8]) -> Result<(), SessionError> {
    match Frame::split(bytes) {
        Some((frame, _)) => session.handle_frame(now, frame),
        // A stream gives whole frames only.
        None => Ok(()),
    }
}
