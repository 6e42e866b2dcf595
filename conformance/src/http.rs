//! The little of HTTP that a test needs: one request, one connection, one answer with a body.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::wait::LIMIT;

/// The status and the body of an answer.
#[derive(Debug)]
pub struct Answer {
    /// Such as 200.
    pub status: u16,
    /// What follows the head.
    pub body: String,
}

/// Fetches a page.
///
/// # Errors
///
/// When there is no whole answer in time.
pub fn fetch(address: SocketAddr, path: &str) -> io::Result<Answer> {
    exchange(address, &format!("GET {path} HTTP/1.0\r\n"), "")
}

/// Fetches a page of JSON.
///
/// # Errors
///
/// When there is no whole answer in time, or it is not JSON.
pub fn fetch_json(address: SocketAddr, path: &str) -> io::Result<Value> {
    let answer = fetch(address, path)?;
    Ok(serde_json::from_str(&answer.body)?)
}

/// Posts JSON, with user and password as `Authorization` wants them.
///
/// # Errors
///
/// When there is no whole answer in time.
pub fn post(address: SocketAddr, credentials: &str, body: &str) -> io::Result<Answer> {
    let head = format!(
        "POST / HTTP/1.0\r\nAuthorization: Basic {credentials}\r\nContent-Length: {}\r\n",
        body.len()
    );
    exchange(address, &head, body)
}

fn exchange(address: SocketAddr, head: &str, body: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let request = format!("{head}Host: {address}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    parse(&answer).ok_or_else(|| io::Error::other(format!("no HTTP answer: {answer:?}")))
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some(Answer {
        status,
        body: body.to_owned(),
    })
}
