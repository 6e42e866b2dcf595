//! A thread that brings blocks to one node, over a connection of its own, which it keeps open. It writes
//! no file and waits for nobody but the node.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use headframe_node::{BlockSink, SubmitAnswer};

use super::follower::Taken;
use super::herald::{HeraldHandle, Told};
use super::parcel::Delivery;
use super::road::{Next, Road};

/// How often the way to the node is kept open: Bitcoin Core closes an idle connection after 30 s.
pub(crate) const STAND_BY: Duration = Duration::from_secs(10);

pub(super) struct Courier {
    pub(super) sink: Box<dyn BlockSink>,
    pub(super) road: Arc<Road>,
    pub(super) herald: HeraldHandle,
    /// Where blocks go that the node has.
    pub(super) follower: Sender<Taken>,
}

impl Courier {
    /// Works until no more blocks can come. One thing at a time, and a new block before all else.
    pub(super) fn run(mut self) {
        let mut stand_by_at = Instant::now();
        loop {
            match self.road.next(stand_by_at) {
                Next::Deliver(delivery) => {
                    let unanswered = self.deliver(delivery);
                    self.road.done(unanswered);
                }
                Next::StandBy => {
                    // A node that does not answer shows in its status; there is nothing to deliver now.
                    let _ = self.sink.stand_by();
                    stand_by_at = Instant::now() + STAND_BY;
                }
                Next::End => return,
            }
        }
    }

    /// Gives the node a block; gives it back if there was no answer.
    fn deliver(&mut self, mut delivery: Delivery) -> Option<Delivery> {
        delivery.attempts = delivery.attempts.saturating_add(1);
        let answer = self.sink.submit(&delivery.parcel.hex);
        let was_accepted = match &answer {
            SubmitAnswer::Accepted | SubmitAnswer::AlreadyKnown => {
                delivery.parcel.make_safe();
                Some(true)
            }
            SubmitAnswer::Inconclusive => Some(false),
            SubmitAnswer::Refused(_) => {
                delivery.parcel.give_back_place();
                None
            }
            SubmitAnswer::Retry(_) => None,
        };
        let is_open = matches!(answer, SubmitAnswer::Retry(_));
        self.herald
            .tell(Told::answer(self.road.node, &delivery, answer));
        if let Some(was_accepted) = was_accepted {
            // The follower outlives all couriers.
            let _ = self.follower.send(Taken {
                height: delivery.parcel.height,
                hash: delivery.parcel.hash,
                node: self.road.node,
                was_accepted,
            });
        }
        is_open.then_some(delivery)
    }
}
