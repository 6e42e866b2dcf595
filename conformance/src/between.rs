//! Somebody between a pool and its node who changes what the node says: for nodes as Bitcoin Core is
//! not, while all that is not changed is its own.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use serde_json::Value;

use crate::bitcoind::Bitcoind;

/// What becomes of an answer: given the request, it changes the answer's `result`.
type Change = dyn Fn(&Value, &mut Value) + Send + Sync;

/// A place where the pool believes its node to be.
#[derive(Debug)]
pub struct Between {
    address: SocketAddr,
}

impl Between {
    /// Stands before `node` and has `change` see each answer. It goes with the test's process.
    ///
    /// # Panics
    ///
    /// When there is no port for it.
    pub fn before(
        node: &Bitcoind,
        change: impl Fn(&Value, &mut Value) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are free ports");
        let address = listener.local_addr().expect("it is bound");
        let node = node.address();
        let change: Arc<Change> = Arc::new(change);
        thread::spawn(move || {
            for pool in listener.incoming().flatten() {
                let change = Arc::clone(&change);
                // Whoever goes away in the middle ends only its own connection.
                thread::spawn(move || drop(serve(pool, node, &*change)));
            }
        });
        Self { address }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A message with its body; `None` at the end.
pub(crate) fn read(from: &mut BufReader<TcpStream>) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut head = String::new();
    loop {
        if from.read_line(&mut head)? == 0 {
            return Ok(None);
        }
        if head.ends_with("\r\n\r\n") {
            break;
        }
    }
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = lengths
        .next()
        .and_then(|(_, length)| length.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    from.read_exact(&mut body)?;
    Ok(Some((head, body)))
}

fn serve(pool: TcpStream, node: SocketAddr, change: &Change) -> io::Result<()> {
    let mut node = BufReader::new(TcpStream::connect(node)?);
    let mut pool = BufReader::new(pool);
    while let Some((head, body)) = read(&mut pool)? {
        node.get_mut().write_all(head.as_bytes())?;
        node.get_mut().write_all(&body)?;
        let Some((head, answer)) = read(&mut node)? else {
            return Ok(());
        };
        let answer = match (
            serde_json::from_slice(&body),
            serde_json::from_slice(&answer),
        ) {
            (Ok(request), Ok(parsed)) => changed(&request, parsed, change),
            _ => answer,
        };
        let head = with_length(&head, answer.len());
        pool.get_mut().write_all(head.as_bytes())?;
        pool.get_mut().write_all(&answer)?;
    }
    Ok(())
}

/// The head of a message whose body has another length.
pub(crate) fn with_length(head: &str, length: usize) -> String {
    let lines = head
        .lines()
        .filter(|line| !line.is_empty() && !is_length(line));
    let head: String = lines.map(|line| format!("{line}\r\n")).collect();
    format!("{head}Content-Length: {length}\r\n\r\n")
}

fn changed(request: &Value, mut answer: Value, change: &Change) -> Vec<u8> {
    if answer["error"].is_null() {
        change(request, &mut answer["result"]);
    }
    answer.to_string().into_bytes()
}

fn is_length(line: &str) -> bool {
    line.to_ascii_lowercase().starts_with("content-length:")
}
