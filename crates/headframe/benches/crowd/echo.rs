//! A bare server of Stratum V1: it answers each line at once, and knows nothing. What it takes under a swarm
//! is what hashes and system calls allow any program, and how long its answers take is what the swarm
//! and the machine allow.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Ipv4Addr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use anyhow::{Context as _, ensure};
use headframe_work::Header;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::bare::merkle_root;
use crate::floor::header;

/// What each client is told at first: extranonce, difficulty 256, and a job.
const SUBSCRIBED: &str = r#"{"id":2,"result":[[],"c0ffee00",8],"error":null}
"#;
const WORK: &str = concat!(
    r#"{"id":null,"method":"mining.set_difficulty","params":[256]}"#,
    "\n",
    r#"{"id":null,"method":"mining.notify","params":["1","abababababababababababababababababababababababababababababababab","#,
    r#""01","02",[],"20000000","1b00ffff","65000000",true]}"#,
    "\n",
);
const REFUSAL: &str = r#","result":null,"error":[23,"Low difficulty share",null]}
"#;
/// More than a client sends at once.
const ROOM: usize = 16 * 1_024;
const NEWCOMERS: Token = Token(usize::MAX);

/// Refuses shares from as many threads as there are cores. `hashing` among the arguments: each is hashed
/// before, its coinbase and twelve branches with it.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let is_hashing = arguments.contains(&"hashing");
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{} none", listener.local_addr()?);
    let mut threads = Vec::new();
    for _ in 0..thread::available_parallelism()?.get() {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), NEWCOMERS)?;
        let (to, newcomers) = channel();
        thread::spawn(move || serve(poll, &newcomers, is_hashing).expect("a server that works"));
        threads.push((waker, to));
    }
    for (waker, to) in threads.iter().cycle() {
        hand_over(listener.accept()?.0, to)?;
        waker.wake()?;
    }
    Ok(())
}

fn hand_over(socket: std::net::TcpStream, to: &Sender<TcpStream>) -> anyhow::Result<()> {
    socket.set_nonblocking(true)?;
    socket.set_nodelay(true)?;
    to.send(TcpStream::from_std(socket))
        .context("a thread ended")
}

fn serve(mut poll: Poll, newcomers: &Receiver<TcpStream>, is_hashing: bool) -> anyhow::Result<()> {
    let mut events = Events::with_capacity(1_024);
    let mut sockets: Vec<Option<TcpStream>> = Vec::new();
    let (mut header, mut answer) = (header(), Vec::new());
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == NEWCOMERS {
                for mut socket in newcomers.try_iter() {
                    let token = Token(sockets.len());
                    let readable = Interest::READABLE;
                    poll.registry().register(&mut socket, token, readable)?;
                    sockets.push(Some(socket));
                }
                continue;
            }
            let mut room = [0; ROOM];
            let place = &mut sockets[event.token().0];
            let Some(socket) = place else { continue };
            let len = match socket.read(&mut room) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(_) | Ok(0) => {
                    *place = None;
                    continue;
                }
                Ok(len) => len,
            };
            ensure!(len < ROOM && room[len - 1] == b'\n', "a line in pieces");
            answer.clear();
            for line in room[..len - 1].split(|byte| *byte == b'\n') {
                let id = answer_line(line, &mut answer)?;
                if let (Some(id), true) = (id, is_hashing) {
                    hash(id, &mut header);
                }
            }
            socket.write_all(&answer)?;
        }
    }
}

/// Answers a line; the number of a share.
fn answer_line(line: &[u8], answer: &mut Vec<u8>) -> anyhow::Result<Option<usize>> {
    let line = std::str::from_utf8(line)?;
    let rest = line.strip_prefix(r#"{"id":"#).context("a number first")?;
    let (id, rest) = rest.split_once(',').context("a method")?;
    if rest.starts_with(r#""method":"mining.submit""#) {
        for part in [r#"{"id":"#, id, REFUSAL] {
            answer.extend_from_slice(part.as_bytes());
        }
        return Ok(Some(id.parse()?));
    }
    if rest.starts_with(r#""method":"mining.subscribe""#) {
        answer.extend_from_slice(SUBSCRIBED.as_bytes());
        return Ok(None);
    }
    for part in [r#"{"id":"#, id, ",\"result\":true,\"error\":null}\n"] {
        answer.extend_from_slice(part.as_bytes());
    }
    if rest.starts_with(r#""method":"mining.authorize""#) {
        answer.extend_from_slice(WORK.as_bytes());
    }
    Ok(None)
}

/// The hashes of a share with a coinbase.
fn hash(number: usize, header: &mut Header) {
    header.merkle_root = merkle_root(std::hint::black_box(number));
    std::hint::black_box(header.hash());
}
