//! A connection to a publisher that is always there, or soon is again.

use std::io;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use super::ZmqAddress;
use super::message::{Announced, Message, Sequences, TOPICS};
use super::told::Told;
use super::wire::{self, Command, Decoder, Input, WireError};
use crate::socket::keep_alive;

/// From the end of a connection to the next try (R-28: within a second).
const REST: Duration = Duration::from_millis(500);
/// What connecting, and then the handshake, may take.
const SETUP_LIMIT: Duration = Duration::from_secs(5);
/// A publisher that was silent for so long is asked whether it is there, and has as long to answer.
const SILENCE: Duration = Duration::from_secs(5);
/// Bytes that are read at once.
const READ: usize = 64 << 10;

/// Why a connection to a publisher ended. It is tried again whatever it is.
#[derive(Debug, Error)]
enum Lost {
    #[error("{}", in_words(.0))]
    Io(#[from] io::Error),
    #[error("it closed the connection")]
    Closed,
    #[error("it gives no answer")]
    Silent,
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// What there is to tell of a publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Word {
    /// It is connected, and asked for its blocks.
    Connected,
    /// It announces a block.
    Block(Announced),
    /// The connection has ended, or came to nothing, for this reason.
    Lost(String),
}

/// Tells each block that the publisher at `address` announces, and whether it is heard, for as long as the future
/// lives.
pub(crate) async fn subscribe(address: ZmqAddress, tell: impl Fn(Word)) {
    let mut told = Told::default();
    loop {
        let lost = Link::new(&address, &tell, &mut told).follow().await;
        match told.handle_lost(Instant::now()) {
            true => warn!(
                "no word of new blocks from the node's ZMQ at {address}: {lost}; see whether bitcoin.conf has \
                 zmqpubrawblock={address}; long polls go on"
            ),
            false => debug!(%address, %lost, "the node's ZMQ is still away"),
        }
        tell(Word::Lost(lost.to_string()));
        sleep(REST).await;
    }
}

fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nothing listens there".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "it closed the connection".to_owned()
        }
        _ => error.to_string(),
    }
}

/// One connection.
struct Link<'a, F> {
    address: &'a ZmqAddress,
    tell: &'a F,
    decoder: Decoder,
    /// Whether the publisher was asked if it is there, and has said nothing since.
    is_asked: bool,
    /// Whether it can be asked.
    answers: bool,
    is_subscribed: bool,
    /// Whether the block of the message that is coming was told.
    is_told: bool,
    sequences: Sequences,
    told: &'a mut Told,
    buffer: Vec<u8>,
}

impl<'a, F: Fn(Word)> Link<'a, F> {
    fn new(address: &'a ZmqAddress, tell: &'a F, told: &'a mut Told) -> Self {
        Self {
            address,
            tell,
            decoder: Decoder::new(),
            is_asked: false,
            answers: false,
            is_subscribed: false,
            is_told: false,
            sequences: Sequences::default(),
            told,
            buffer: vec![0; READ],
        }
    }

    /// Follows the publisher until something is wrong.
    async fn follow(&mut self) -> Lost {
        let Err(lost) = self.try_follow().await;
        lost
    }

    async fn try_follow(&mut self) -> Result<core::convert::Infallible, Lost> {
        let connect = TcpStream::connect((self.address.host(), self.address.port()));
        let mut stream = timeout(SETUP_LIMIT, connect)
            .await
            .map_err(|_| Lost::Silent)??;
        stream.set_nodelay(true)?;
        keep_alive(&stream)?;
        stream.write_all(&wire::greeting()).await?;
        timeout(SETUP_LIMIT, self.shake_hands(&mut stream))
            .await
            .map_err(|_| Lost::Silent)??;
        loop {
            self.read(&mut stream).await?;
        }
    }

    async fn shake_hands(&mut self, stream: &mut TcpStream) -> Result<(), Lost> {
        while !self.is_subscribed {
            self.read_once(stream).await?;
        }
        Ok(())
    }

    /// Reads once, or asks a publisher that is silent whether it is there.
    async fn read(&mut self, stream: &mut TcpStream) -> Result<(), Lost> {
        match timeout(SILENCE, self.read_once(stream)).await {
            Ok(read) => read,
            Err(_) if !self.answers => Ok(()),
            Err(_) if self.is_asked => Err(Lost::Silent),
            Err(_) => {
                self.is_asked = true;
                Ok(stream.write_all(&wire::ping()).await?)
            }
        }
    }

    async fn read_once(&mut self, stream: &mut TcpStream) -> Result<(), Lost> {
        let len = stream.read(&mut self.buffer).await?;
        if len == 0 {
            return Err(Lost::Closed);
        }
        self.is_asked = false;
        let buffer = core::mem::take(&mut self.buffer);
        let replies = self.handle_bytes(buffer.get(..len).unwrap_or_default());
        self.buffer = buffer;
        stream.write_all(&replies?).await?;
        if self.tell_ahead() {
            // Who begins on the block does so before the rest of it is read.
            yield_now().await;
        }
        Ok(())
    }

    /// Takes what was read, and gives what is to be written.
    fn handle_bytes(&mut self, mut bytes: &[u8]) -> Result<Vec<u8>, WireError> {
        let mut replies = Vec::new();
        while let Some(input) = self.decoder.next(&mut bytes)? {
            self.handle(input, &mut replies);
        }
        Ok(replies)
    }

    fn handle(&mut self, input: Input, replies: &mut Vec<u8>) {
        match input {
            Input::Greeting { minor } => {
                self.answers = minor > 0;
                replies.extend(wire::ready());
                let topics = TOPICS.iter();
                replies.extend(topics.flat_map(|topic| wire::subscribe(minor, topic)));
            }
            Input::Command(Command::Ready) => self.begin(),
            Input::Command(Command::Ping { context }) => replies.extend(wire::pong(&context)),
            Input::Command(Command::Pong | Command::Other) => {}
            Input::Message(parts) => {
                match Message::read(&parts) {
                    Some(message) => self.handle_message(message),
                    None => debug!(address = %self.address, "a message that is not of a block"),
                }
                self.is_told = false;
            }
        }
    }

    /// The handshake is over.
    fn begin(&mut self) {
        if core::mem::replace(&mut self.is_subscribed, true) {
            return;
        }
        (self.tell)(Word::Connected);
        if self.told.handle_heard() {
            let address = self.address;
            info!("new blocks are heard of from the node's ZMQ at {address}");
        }
    }

    /// Tells of a block of which no more has come than matters, and says whether it has.
    fn tell_ahead(&mut self) -> bool {
        let unfinished = self.decoder.unfinished().filter(|_| !self.is_told);
        let block = unfinished.and_then(|(before, coming)| Announced::read_ahead(before, coming));
        let Some(block) = block else {
            return false;
        };
        self.is_told = true;
        (self.tell)(Word::Block(block));
        true
    }

    fn handle_message(&mut self, message: Message) {
        let lost = self.sequences.lost_before(&message);
        if !self.is_told {
            (self.tell)(Word::Block(message.block));
        }
        if let Some(lost) = self.told.handle_gap(Instant::now(), lost) {
            let address = self.address;
            warn!(
                "{lost} messages of the node's ZMQ at {address} were lost; long polls go on, and no block is missed"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use bitcoin::Network;
    use bitcoin::blockdata::constants::genesis_block;
    use bitcoin::consensus::serialize;
    use bitcoin::hex::FromHex;
    use tokio::net::TcpListener;

    use super::*;

    /// What libzmq sends first, and what it has when it ends its handshake, of the version 3 and `minor`.
    fn hello(minor: u8) -> Vec<u8> {
        let mut hello = wire::greeting().to_vec();
        hello[11] = minor;
        hello.extend(b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03PUB");
        hello
    }

    /// `hashblock` of the genesis block, under a number.
    fn announcement(sequence: u8) -> Vec<u8> {
        let hash = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f";
        let hash = Vec::from_hex(hash).unwrap();
        let tail = [0, 4, sequence, 0, 0, 0];
        [b"\x01\x09hashblock\x01\x20", &hash[..], &tail].concat()
    }

    fn is_block(word: &Word) -> bool {
        matches!(word, Word::Block(_))
    }

    async fn listener() -> (TcpListener, ZmqAddress) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        (listener, address.parse().unwrap())
    }

    /// Reads until `wanted` has come.
    async fn expect(stream: &mut TcpStream, wanted: &[u8]) {
        let mut read = Vec::new();
        while !read.windows(wanted.len()).any(|window| window == wanted) {
            assert!(stream.read_buf(&mut read).await.unwrap() > 0, "{read:?}");
        }
    }

    #[test]
    fn what_the_system_says_is_told_in_plain_words() {
        let words = |kind: io::ErrorKind| Lost::from(io::Error::from(kind)).to_string();
        assert_eq!(
            words(io::ErrorKind::ConnectionRefused),
            "nothing listens there"
        );
        assert_eq!(
            words(io::ErrorKind::ConnectionReset),
            Lost::Closed.to_string()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_publisher_that_was_restarted_is_heard_within_a_second() {
        let (listener, address) = listener().await;
        let told = RefCell::new(0);
        let publisher = async {
            for times in 1..=3 {
                let began = Instant::now();
                let (mut stream, _) = listener.accept().await.unwrap();
                assert!(times == 1 || began.elapsed() < Duration::from_secs(1));
                stream.write_all(&hello(1)).await.unwrap();
                expect(&mut stream, b"SUBSCRIBErawblock").await;
                stream.write_all(&announcement(0)).await.unwrap();
                while *told.borrow() < times {
                    yield_now().await;
                }
            }
        };
        tokio::select! {
            () = subscribe(address, |word| *told.borrow_mut() += u32::from(is_block(&word))) => {}
            () = publisher => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_publisher_of_zmtp_3_0_is_asked_in_its_words() {
        let (listener, address) = listener().await;
        let publisher = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&hello(0)).await.unwrap();
            expect(&mut stream, b"\0\x0a\x01hashblock\0\x09\x01rawblock").await;
        };
        tokio::select! {
            () = subscribe(address, |_| {}) => {}
            () = publisher => {}
        }
    }

    /// The genesis block, as one with `missing` bytes more that do not come.
    fn beginning_of_a_block(missing: u8) -> Vec<u8> {
        let block = serialize(&genesis_block(Network::Bitcoin));
        let len = (block.len() as u64 + u64::from(missing)).to_be_bytes();
        [b"\x01\x08rawblock\x03", &len[..], &block].concat()
    }

    #[tokio::test(start_paused = true)]
    async fn a_block_is_told_of_once_and_before_its_last_byte_is_there() {
        let (listener, address) = listener().await;
        let told = RefCell::new(Vec::new());
        let publisher = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&hello(1)).await.unwrap();
            expect(&mut stream, b"SUBSCRIBErawblock").await;
            let begun = beginning_of_a_block(100);
            stream.write_all(&begun).await.unwrap();
            while told.borrow().is_empty() {
                yield_now().await;
            }
            stream.write_all(&[0; 100]).await.unwrap();
            stream.write_all(b"\0\x04\0\0\0\0").await.unwrap();
            // The next is of the other topic, and told too.
            stream.write_all(&announcement(0)).await.unwrap();
            while told.borrow().len() < 2 {
                yield_now().await;
            }
        };
        let tell = |word| {
            if let Word::Block(block) = word {
                told.borrow_mut().push(block);
            }
        };
        tokio::select! {
            () = subscribe(address, tell) => {}
            () = publisher => {}
        }
        let told = told.take();
        assert!(matches!(
            told[..],
            [Announced::Block(_), Announced::Hash(_)]
        ));
        assert_eq!(told[0].hash(), told[1].hash());
    }

    /// A peer that is gone without a word looks like one that has nothing to say, until it is asked.
    #[tokio::test(start_paused = true)]
    async fn a_publisher_that_does_not_answer_is_left_and_one_that_does_is_kept() {
        let (listener, address) = listener().await;
        let publisher = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&hello(1)).await.unwrap();
            for _ in 0..5 {
                expect(&mut stream, b"PING").await;
                stream.write_all(b"\x04\x05\x04PONG").await.unwrap();
            }
            let next = timeout(3 * SILENCE, listener.accept()).await;
            next.expect("it is left").unwrap();
            drop(stream);
        };
        tokio::select! {
            () = subscribe(address, |_| {}) => {}
            () = publisher => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_no_publisher_is_tried_again_for_ever() {
        let (listener, address) = listener().await;
        let publisher = async {
            let answers: [&[u8]; 4] = [b"HTTP/1.1 400 Bad Request\r\n", b"", b"\xff", &[0xff; 64]];
            for answer in answers.iter().cycle().take(12) {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(answer).await.unwrap();
                // One that says nothing keeps its place until it is left.
                while matches!(stream.read(&mut [0; 256]).await, Ok(1..)) {}
            }
        };
        tokio::select! {
            () = subscribe(address, |word| assert!(!is_block(&word))) => {}
            () = publisher => {}
        }
    }
}
