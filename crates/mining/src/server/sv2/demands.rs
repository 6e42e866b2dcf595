//! What the pool asks of a client by itself: to connect again (spec §3.6.5), and that a channel ends (§5.3.9).
//!
//! Only of clients that are known to bear it; the others are told nothing, and whoever calls closes the
//! connection instead. Not here: `SetExtranoncePrefix`, `SetGroupChannel` and `ChannelEndpointChanged`, for which
//! a pool has no occasion (ADR 12).

use std::time::Instant;

use headframe_channels::ChannelId;
use headframe_sv2_wire::codes::Code;
use headframe_sv2_wire::common::Reconnect;
use headframe_sv2_wire::mining::CloseChannel;
use headframe_sv2_wire::{Str255, write_frame};

use super::Sv2Session;
use super::bearing::Bearing;
use super::round::Round;

/// Why a channel was not closed. Nothing was sent, and nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotClosed {
    /// The connection has no such channel or group.
    #[error("there is no such channel")]
    Unknown,
    /// What its client does when a channel is closed is not known, or not what it should.
    #[error("its client is not known to bear that a channel is closed")]
    NotBorne,
}

impl Sv2Session {
    /// Asks the client to connect again, and ends the session: the connection is to be closed once the output
    /// is written. An empty `host` and port 0 stand for those that it has dialled. False, and nothing is sent, if
    /// the client is not known to bear it.
    pub fn reconnect(&mut self, host: Str255<'_>, port: u16) -> bool {
        self.answer_opening();
        let is_borne = self.bearing().is_some_and(|it| it.reconnect) && !self.is_finished;
        if is_borne {
            let demand = Reconnect {
                new_host: host,
                new_port: port,
            };
            write_frame(&demand, &mut self.output);
            self.is_finished = true;
            (self.jobs, self.staging) = (Round::NONE, Round::NONE);
        }
        is_borne
    }

    /// Closes the channel `id`, or all channels of the group `id`, and tells the client `reason`. What they held
    /// comes back as when the client closes them. Answers that wait for the ledger are not given any more: let it
    /// commit what it has first.
    ///
    /// # Errors
    ///
    /// [`NotClosed`] if there is no such channel, or its client is not known to bear it.
    pub fn close_channel(
        &mut self,
        now: Instant,
        id: ChannelId,
        reason: Code<'static>,
    ) -> Result<(), NotClosed> {
        self.answer_opening();
        let members = self.addressed(id).ok_or(NotClosed::Unknown)?;
        if !self.bearing().is_some_and(|it| it.close_channel) {
            return Err(NotClosed::NotBorne);
        }
        // A group of one, and those of a client that knows no groups, are addressed by their own ids.
        let told = match members.len() > 1 && !self.is_single() {
            true => core::slice::from_ref(&id),
            false => &members,
        };
        for id in told {
            let close = CloseChannel {
                channel_id: id.get(),
                reason_code: reason,
            };
            write_frame(&close, &mut self.output);
        }
        self.leave_all(now, &members);
        Ok(())
    }

    /// Whether shares on the channel name workers who have seats of their own: all of them end with it.
    pub fn names_workers(&self, channel: ChannelId) -> bool {
        self.workers.are_named_on(channel)
    }

    fn addressed(&self, id: ChannelId) -> Option<Vec<ChannelId>> {
        let alone = || self.seats.get(id).map(|_| vec![id]);
        self.groups.members(id).or_else(alone)
    }

    fn bearing(&self) -> Option<Bearing> {
        Some(self.setup.as_ref()?.bearing)
    }
}
