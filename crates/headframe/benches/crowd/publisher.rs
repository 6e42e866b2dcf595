//! A publisher of new blocks by ZeroMQ's protocol, which tells the pool and a bare subscriber at the same instant.
//! The bare one is sent the same message over a socket of its own, and reads it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

/// A subscriber that is not there by then does not come.
const LONGEST: Duration = Duration::from_secs(20);

pub(crate) struct Publisher {
    listener: TcpListener,
    /// The pool's end, once it has subscribed.
    pool: Option<TcpStream>,
    /// Both ends of the bare subscriber's socket.
    bare: (TcpStream, TcpStream),
    sequence: u32,
}

impl Publisher {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let reader = TcpStream::connect(listener.local_addr()?)?;
        let (writer, _) = listener.accept()?;
        reader.set_read_timeout(Some(LONGEST))?;
        for stream in [&writer, &reader] {
            stream.set_nodelay(true)?;
        }
        Ok(Self {
            listener,
            pool: None,
            bare: (writer, reader),
            sequence: 0,
        })
    }

    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Waits until the pool has subscribed.
    pub(crate) fn greet(&mut self) -> anyhow::Result<()> {
        let (mut stream, _) = self.listener.accept()?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LONGEST))?;
        // Of version 3.0, in which nobody asks whether a silent publisher is there.
        let mut greeting = [0; 64];
        (greeting[0], greeting[9], greeting[10]) = (0xff, 0x7f, 3);
        greeting[12..16].copy_from_slice(b"NULL");
        stream.write_all(&greeting)?;
        stream.write_all(b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03PUB")?;
        let (mut read, mut byte) = (Vec::new(), [0]);
        while !read.ends_with(b"rawblock") {
            ensure!(stream.read(&mut byte)? == 1, "the pool closed it");
            read.push(byte[0]);
        }
        self.pool = Some(stream);
        Ok(())
    }

    /// Publishes, and says when the bare subscriber had the whole message.
    pub(crate) fn publish(&mut self, topic: &str, body: &[u8]) -> anyhow::Result<Instant> {
        let sequence = self.sequence.to_le_bytes();
        self.sequence += 1;
        let parts = [(1, topic.as_bytes()), (1, body), (0, &sequence)];
        let message = parts.map(|(more, body)| part(more, body)).concat();
        let (writer, reader) = &self.bare;
        let writers = [self.pool.as_ref().context("the pool is there")?, writer];
        let start = Barrier::new(writers.len());
        let (start, message) = (&start, &message);
        thread::scope(|scope| {
            let heard = scope.spawn(move || read(reader, message.len()));
            let written = writers.map(|mut writer| {
                scope.spawn(move || {
                    start.wait();
                    writer.write_all(message)
                })
            });
            for written in written {
                written.join().ok().context("a writer panicked")??;
            }
            heard.join().ok().context("the subscriber panicked")?
        })
    }
}

fn read(mut reader: &TcpStream, mut left: usize) -> anyhow::Result<Instant> {
    let mut buffer = vec![0; 64 << 10];
    while left > 0 {
        let len = reader.read(&mut buffer)?;
        ensure!(len > 0, "the end of the message is missing");
        left -= len;
    }
    Ok(Instant::now())
}

fn part(more: u8, body: &[u8]) -> Vec<u8> {
    let len = (body.len() as u64).to_be_bytes();
    [&[more | 2], &len[..], body].concat()
}
