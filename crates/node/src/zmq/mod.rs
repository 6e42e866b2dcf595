//! Word of new blocks from Bitcoin Core's ZeroMQ publisher, by a subscriber of our own (ADR 7, R-28).
//!
//! It connects to `zmqpubhashblock` and `zmqpubrawblock`, reconnects within a second, notices a publisher that
//! has gone without a word, and messages that were lost on the way. It is a signal and no more: templates come
//! by RPC, and a publisher that is away costs nothing but time. Not here: what is done about a block.

mod address;
mod message;
mod publisher;
mod subscriber;
mod told;
mod wire;

pub use address::{ZmqAddress, ZmqAddressError};
pub(crate) use message::{Announced, BlockHead};
pub use publisher::{Publisher, PublisherLink};
pub(crate) use subscriber::{Word, subscribe};

/// For the fuzz target: whatever a publisher sends, in one piece or in many, is read alike and panics nowhere.
#[doc(hidden)]
pub fn fuzz_zmq(data: &[u8]) {
    wire::fuzz(data);
    message::fuzz(data);
}
