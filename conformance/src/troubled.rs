//! Somebody between a pool and its node who spoils the node's answers while he is told to. Questions and blocks
//! always come through to the node: what it does is true, and what the pool hears of it is not.

use std::io::{self, BufReader, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::between::{read, with_length};
use crate::bitcoind::Bitcoind;
use crate::wait::until_true;

/// What becomes of answers.
#[derive(Debug, Clone, Copy)]
pub enum Trouble {
    /// The connection ends in the middle of it.
    Cut,
    /// Its second half is missing, and its head says that nothing is.
    Truncated,
    /// It comes so much later.
    Late(Duration),
    /// Given the method and how many answers to it were spoiled before, something is put in place of its
    /// `result`.
    Changed(fn(&str, usize, &mut Value)),
}

/// A place where the pool believes its node to be.
#[derive(Debug)]
pub struct Troubled {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    trouble: Option<Trouble>,
    /// The methods whose answers were spoiled.
    spoiled: Vec<String>,
    connections: Vec<TcpStream>,
}

impl Troubled {
    /// Stands before `node`, and does nothing yet. It goes with the test's process.
    ///
    /// # Panics
    ///
    /// When there is no port for it.
    pub fn before(node: &Bitcoind) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are free ports");
        let address = listener.local_addr().expect("it is bound");
        let (node, state) = (node.address(), Arc::new(Mutex::new(State::default())));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for pool in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // Whoever goes away in the middle ends only its own connection.
                thread::spawn(move || drop(serve(pool, node, &state)));
            }
        });
        Self { address, state }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Spoils all answers from now on.
    pub fn begin(&self, trouble: Trouble) {
        let mut state = lock(&self.state);
        state.trouble = Some(trouble);
        state.spoiled.clear();
    }

    /// Ends all connections of now, so that the pool asks the node anew who it is.
    pub fn cut(&self) {
        for connection in lock(&self.state).connections.drain(..) {
            // One that has ended is what is wanted.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Waits until so many answers to a method were spoiled.
    ///
    /// # Panics
    ///
    /// When they are not.
    pub fn wait_until_met(&self, method: &str, times: usize) {
        until_true(&format!("{times} spoiled answers to {method}"), || {
            times_spoiled(&lock(&self.state), method) >= times
        });
    }

    /// Spoils nothing any more.
    pub fn end(&self) {
        lock(&self.state).trouble = None;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn times_spoiled(state: &State, method: &str) -> usize {
    let same = state.spoiled.iter().filter(|it| *it == method);
    same.count()
}

fn serve(pool: TcpStream, node: SocketAddr, state: &Mutex<State>) -> io::Result<()> {
    lock(state).connections.push(pool.try_clone()?);
    let mut node = BufReader::new(TcpStream::connect(node)?);
    let mut pool = BufReader::new(pool);
    while let Some((head, question)) = read(&mut pool)? {
        node.get_mut().write_all(head.as_bytes())?;
        node.get_mut().write_all(&question)?;
        let Some((head, answer)) = read(&mut node)? else {
            return Ok(());
        };
        let question: Value = serde_json::from_slice(&question)?;
        let method = question["method"].as_str().unwrap_or_default();
        if !give(pool.get_mut(), state, method, (&head, answer))? {
            return pool.get_ref().shutdown(Shutdown::Both);
        }
    }
    Ok(())
}

/// Gives an answer as the trouble of the moment has it; whether the connection goes on.
fn give(
    pool: &mut TcpStream,
    state: &Mutex<State>,
    method: &str,
    (head, mut answer): (&str, Vec<u8>),
) -> io::Result<bool> {
    let (trouble, before) = {
        let mut state = lock(state);
        let before = times_spoiled(&state, method);
        if state.trouble.is_some() {
            state.spoiled.push(method.to_owned());
        }
        (state.trouble, before)
    };
    let mut goes_on = true;
    let mut told = answer.len();
    match trouble {
        None => {}
        Some(Trouble::Cut) => {
            answer.truncate(answer.len() / 2);
            goes_on = false;
        }
        Some(Trouble::Truncated) => {
            answer.truncate(answer.len() / 2);
            told = answer.len();
        }
        Some(Trouble::Late(moment)) => thread::sleep(moment),
        Some(Trouble::Changed(change)) => {
            let mut whole: Value = serde_json::from_slice(&answer)?;
            change(method, before, &mut whole["result"]);
            answer = whole.to_string().into_bytes();
            told = answer.len();
        }
    }
    pool.write_all(with_length(head, told).as_bytes())?;
    pool.write_all(&answer)?;
    Ok(goes_on)
}
