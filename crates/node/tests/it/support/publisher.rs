//! A node's ZeroMQ publisher, as far as a subscriber can tell.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use bitcoin::Block;
use bitcoin::hashes::Hash;

use super::block::bytes;

pub(crate) struct Publisher {
    address: SocketAddr,
    subscribers: Receiver<TcpStream>,
    subscriber: Option<TcpStream>,
    sequence: AtomicU32,
}

impl Publisher {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, subscribers) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let ended = sender.send(greet(stream.unwrap())).is_err();
                if ended {
                    return;
                }
            }
        });
        Self {
            address,
            subscribers,
            subscriber: None,
            sequence: AtomicU32::new(0),
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("tcp://{}", self.address)
    }

    pub(crate) fn publish_hash(&mut self, block: &Block) {
        let mut hash = block.block_hash().to_byte_array();
        hash.reverse();
        self.publish(b"hashblock", &hash);
    }

    pub(crate) fn publish_block(&mut self, block: &Block) {
        self.publish(b"rawblock", &bytes(block));
    }

    /// Waits for a subscriber, and tells it.
    pub(crate) fn publish(&mut self, topic: &[u8], body: &[u8]) {
        let sequence = self.sequence.fetch_add(1, Ordering::SeqCst).to_le_bytes();
        let message = [part(1, topic), part(1, body), part(0, &sequence)].concat();
        let stream = self
            .subscriber
            .get_or_insert_with(|| self.subscribers.recv().unwrap());
        stream.write_all(&message).unwrap();
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = TcpStream::connect(self.address);
    }
}

fn part(more: u8, body: &[u8]) -> Vec<u8> {
    let len = (body.len() as u64).to_be_bytes();
    [&[more | 2], &len[..], body].concat()
}

/// The handshake, up to both subscriptions.
pub(crate) fn greet(mut stream: TcpStream) -> TcpStream {
    let mut greeting = [0; 64];
    (greeting[0], greeting[9], greeting[10], greeting[11]) = (0xff, 0x7f, 3, 1);
    greeting[12..16].copy_from_slice(b"NULL");
    let _ = stream.write_all(&greeting);
    let _ = stream.write_all(b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03PUB");
    let (mut read, mut byte) = (Vec::new(), [0]);
    while !read.ends_with(b"rawblock") && matches!(stream.read(&mut byte), Ok(1)) {
        read.push(byte[0]);
    }
    stream
}
