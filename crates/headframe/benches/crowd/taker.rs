//! A node as far as a found block can tell, in a process of its own: it notes when a block begins to come and when
//! it is there. And who brings blocks to it without a pool.

use std::io::{Read as _, Write as _, stdin};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use bitcoin::hex::FromHex as _;

/// Digits of a header.
const HEADER: usize = 2 * 80;
/// Bytes of the first read of a request.
const FIRST_READ: usize = 4_096;
/// What the digits of a block follow in the call.
const BEFORE_BLOCK: &[u8] = b"\"params\":[\"";

/// Nanoseconds by the clock that all processes share. Nobody sets it in the milliseconds that are measured.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| now.as_nanos() as u64)
}

/// Takes blocks; a line `wait` is answered with the hash of the next one, and when its first and its last byte
/// came, or with `none`.
pub(crate) fn run() -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{} none", listener.local_addr()?);
    let (taken, blocks) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let taken = taken.clone();
            // It ends when the other side hangs up.
            thread::spawn(move || serve(stream, &taken));
        }
    });
    for line in stdin().lines() {
        line?;
        match blocks.recv_timeout(Duration::from_secs(10)) {
            Ok(block) => println!("{block}"),
            Err(_) => println!("none"),
        }
    }
    Ok(())
}

fn serve(mut stream: TcpStream, taken: &Sender<String>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 16 << 20];
    loop {
        let (mut len, mut first, mut whole) = (0, 0, None);
        while whole.is_none_or(|whole| len < whole) {
            // What is copied before its time is noted would count.
            let end = if len == 0 { FIRST_READ } else { buffer.len() };
            let read = stream.read(&mut buffer[len..end])?;
            ensure!(read > 0, "it hung up");
            first = if len == 0 { now() } else { first };
            len += read;
            whole = whole.or_else(|| length_of(&buffer[..len]));
        }
        let last = now();
        let request = &buffer[..len];
        if let Some(at) = find(request, BEFORE_BLOCK) {
            let header = request.get(at + BEFORE_BLOCK.len()..).context("a block")?;
            let header = std::str::from_utf8(header.get(..HEADER).context("a header")?)?;
            let hash = bitcoin::hashes::sha256d::Hash::hash(&Vec::from_hex(header)?);
            taken.send(format!("{} {first} {last}", BlockHash::from_raw_hash(hash)))?;
        }
        let answer = match find(request, b"getblockheader") {
            Some(_) => r#"{"result":{"confirmations":1},"error":null,"id":0}"#,
            None if find(request, b"uptime").is_some() => r#"{"result":7,"error":null,"id":0}"#,
            None => r#"{"result":null,"error":null,"id":0}"#,
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        stream.write_all(&[head.as_bytes(), answer.as_bytes()].concat())?;
    }
}

/// The length of a request, once its head is there.
fn length_of(request: &[u8]) -> Option<usize> {
    let head = find(request, b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(request.get(..head)?).ok()?;
    let lengths = text.lines().filter_map(|line| line.split_once(": "));
    let mut lengths = lengths.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    Some(head + lengths.next()?.1.parse::<usize>().ok()?)
}

/// Where `part` begins, within the first kilobyte.
fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    let mut places = bytes.windows(part.len()).take(1_024);
    places.position(|window| window == part)
}

/// Brings a block of `len` digits to the taker at `address` whenever it reads a byte: what the pool does when a
/// share comes that is a block, and nothing else. It is told the digits once.
pub(crate) fn relay(address: &str, len: &str) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut taker = TcpStream::connect(address)?;
    taker.set_nodelay(true)?;
    println!("{} none", listener.local_addr()?);
    let digits = "0".repeat(len.parse()?);
    let body = format!(r#"{{"method":"submitblock","params":["{digits}"]}}"#);
    let head = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
    let request = [head.as_bytes(), body.as_bytes()].concat();
    let (mut finder, _) = listener.accept()?;
    let (mut share, mut answer) = ([0; 256], [0; 256]);
    while finder.read(&mut share)? > 0 {
        taker.write_all(&request)?;
        ensure!(taker.read(&mut answer)? > 0, "the taker hung up");
    }
    Ok(())
}
