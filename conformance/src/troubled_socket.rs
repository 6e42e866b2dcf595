//! Somebody between a pool and the socket of its node's mining interface, who spoils what the node says while he is
//! told to. What the pool says always comes through to the node.
//!
//! Nothing is lost or changed on the way through a socket of one computer. What can be is tried here: that it ends in
//! the middle of an answer, and that answers come late.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::bitcoind::Bitcoind;
use crate::wait::until_true;

/// What becomes of answers.
#[derive(Debug, Clone, Copy)]
pub enum SocketTrouble {
    /// The connection ends in the middle of it.
    Cut,
    /// It comes so much later.
    Late(Duration),
}

/// A socket at which the pool believes its node to be.
#[derive(Debug)]
pub struct TroubledSocket {
    directory: TempDir,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    trouble: Option<SocketTrouble>,
    /// Answers that were spoiled, since the trouble began.
    spoiled: usize,
}

impl TroubledSocket {
    /// Stands before the socket of `node`, and does nothing yet. It goes with the test's process.
    ///
    /// # Panics
    ///
    /// When the node has no socket, or there can be no other.
    pub fn before(node: &Bitcoind) -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let listener = UnixListener::bind(place_in(&directory)).expect("there is none yet");
        let node = node.socket().expect("it serves the interface");
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for pool in listener.incoming().flatten() {
                // Whoever goes away in the middle ends only its own connection.
                let _ = join(&pool, &node, &shared);
            }
        });
        Self { directory, state }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        place_in(&self.directory)
    }

    /// Spoils all answers from now on.
    pub fn begin(&self, trouble: SocketTrouble) {
        *lock(&self.state) = State {
            trouble: Some(trouble),
            spoiled: 0,
        };
    }

    /// Waits until so many answers were spoiled.
    ///
    /// # Panics
    ///
    /// When they are not.
    pub fn wait_until_met(&self, times: usize) {
        until_true(&format!("{times} spoiled answers"), || {
            lock(&self.state).spoiled >= times
        });
    }

    /// Spoils nothing any more.
    pub fn end(&self) {
        lock(&self.state).trouble = None;
    }
}

fn place_in(directory: &TempDir) -> PathBuf {
    directory.path().join("node.sock")
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn join(pool: &UnixStream, node: &Path, state: &Arc<Mutex<State>>) -> io::Result<()> {
    let node = UnixStream::connect(node)?;
    let (from, to) = (pool.try_clone()?, node.try_clone()?);
    thread::spawn(move || hand_on(from, to, |_, _| true));
    let (to, state) = (pool.try_clone()?, Arc::clone(state));
    thread::spawn(move || hand_on(node, to, |to, bytes| spoil(to, bytes, &state)));
    Ok(())
}

/// Hands on until either end goes, or `may` says that the connection ends.
fn hand_on(
    mut from: UnixStream,
    mut to: UnixStream,
    mut may: impl FnMut(&mut UnixStream, &[u8]) -> bool,
) {
    let mut buffer = [0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let bytes = &buffer[..count];
        if !may(&mut to, bytes) || to.write_all(bytes).is_err() {
            break;
        }
    }
    for stream in [from, to] {
        // One that has ended is what is wanted.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

/// Does to an answer what the moment's trouble has it; whether the whole of it may follow.
fn spoil(to: &mut UnixStream, answer: &[u8], state: &Mutex<State>) -> bool {
    let trouble = {
        let mut state = lock(state);
        state.spoiled += usize::from(state.trouble.is_some());
        state.trouble
    };
    match trouble {
        None => true,
        Some(SocketTrouble::Cut) => {
            let _ = to.write_all(&answer[..answer.len() / 2]);
            false
        }
        Some(SocketTrouble::Late(moment)) => {
            thread::sleep(moment);
            true
        }
    }
}
