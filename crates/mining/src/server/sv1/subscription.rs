//! `mining.subscribe`: who the device is, and the extranonce that it gets.
//!
//! Not here: a session that is gone on with, which is in `resume.rs`.

use std::borrow::Cow;
use std::time::Instant;

use bitcoin::hex::DisplayHex;
use headframe_channels::{Channel, ExtranoncePrefix};
use headframe_sv1_wire::{
    Answer, ErrorCode, Extranonce, Id, Refusal, Reply, Subscribe, Subscribed,
};

use super::quirks::Quirks;
use super::{POOL_IS_FULL, Sv1Session, answer};
use crate::server::Device;

impl Sv1Session {
    pub(super) fn handle_subscribe(&mut self, now: Instant, id: Id<'_>, subscribe: &Subscribe<'_>) {
        self.device = Device::new(&subscribe.user_agent);
        self.quirks = Quirks::of(&subscribe.user_agent);
        if !self.asks_to_resume(&id, subscribe) {
            self.answer_subscribe(now, id);
        }
    }

    pub(super) fn answer_subscribe(&mut self, now: Instant, id: Id<'_>) {
        let reply = self.subscribe(id);
        self.replies.push(&reply);
        self.keep_least(now);
        self.start_work(now);
    }

    /// A client that subscribes again is told the same as before.
    fn subscribe<'a>(&mut self, id: Id<'a>) -> Reply<'a> {
        let Some(prefix) = self.prefix() else {
            let full = Refusal::with_message(ErrorCode::OTHER, POOL_IS_FULL);
            return Reply::refused(id, full);
        };
        self.is_subscribed = true;
        let session_id = match self.id {
            Some(id) => id.to_string(),
            None => prefix.as_bytes().to_lower_hex_string(),
        };
        let extranonce1 = Extranonce::new(prefix.as_bytes());
        answer(
            id,
            Answer::Subscribed(Subscribed {
                session_id: Cow::Owned(session_id),
                extranonce1: extranonce1.expect("a prefix has 4 bytes"),
                extranonce2_size: Channel::ROLLED_LEN as u8,
            }),
        )
    }

    pub(super) fn prefix(&mut self) -> Option<ExtranoncePrefix> {
        if self.prefix.is_none() {
            self.prefix = self.desk.take_prefix();
        }
        self.prefix
    }
}
