//! Publishers of new blocks as people see them.

use std::time::Instant;

use headframe_api::PublisherState;
use headframe_node::zmq::{Publisher, PublisherLink};
use headframe_work::UnixTime;

use super::convert;

/// What is shown of each.
pub(super) fn shown(
    publishers: &[Publisher],
    now: Instant,
    wall: UnixTime,
) -> Vec<headframe_api::Publisher> {
    let at = |at: Instant| convert::unix(wall.saturating_sub(now.saturating_duration_since(at)));
    let sentence = |text: &str| convert::clipped(&convert::sentence(text));
    let shown = |it: &Publisher| headframe_api::Publisher {
        address: it.address().to_string(),
        state: state(it.link()),
        since_at: at(it.since()),
        last_block_at: it.last_block().map(at),
        reason: it.reason().map(sentence),
        next_step: it.advice().map(sentence),
        last_error: it.last_error().map(|(error, _)| sentence(error)),
        last_error_at: it.last_error().map(|(_, since)| at(since)),
    };
    publishers.iter().map(shown).collect()
}

const fn state(link: PublisherLink) -> PublisherState {
    match link {
        PublisherLink::Connecting => PublisherState::Connecting,
        PublisherLink::Connected => PublisherState::Connected,
        PublisherLink::Mute => PublisherState::Mute,
    }
}
