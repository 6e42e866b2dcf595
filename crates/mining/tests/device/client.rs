//! What both of the firmware's clients have in common.

use headframe_testkit::{MinerJob, Nonce};

/// The firmware's client of one protocol, on one connection.
pub(crate) trait Client {
    /// What the device says first.
    fn greet(&mut self) -> Vec<Vec<u8>>;

    /// Takes what came, whole messages, and says what follows from it, in order.
    fn receive(&mut self, bytes: &[u8]) -> Vec<Heard>;

    /// The message for a share, and the number under which it is answered.
    fn submit(&mut self, user: &str, nonce: &Nonce) -> (u32, Vec<u8>);

    /// What is sent of old work before the pool knows the device, if the firmware does that.
    fn submit_too_early(&mut self, nonce: &Nonce) -> Option<(u32, Vec<u8>)>;

    /// The extranonce of the `count`th piece of work since a job came; empty where there is none.
    fn extranonce(&self, count: u64) -> Vec<u8>;
}

/// What follows from a message.
#[derive(Debug)]
pub(crate) enum Heard {
    /// This is to be sent.
    Say(Vec<u8>),
    /// Work is possible from here on.
    Open,
    /// This is to be worked on.
    Work(Box<MinerJob>),
    /// All shares up to a number, `count` of them, are accepted.
    AcceptedUpTo { number: u32, count: u32 },
    /// A share is accepted.
    Accepted(u32),
    /// A share is rejected.
    Rejected { number: u32, code: String },
    /// The firmware gives the connection up.
    Leave(String),
}
