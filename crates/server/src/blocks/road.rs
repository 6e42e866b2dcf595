//! The road to one node: the blocks that wait to be brought there, and how many couriers bring them.
//!
//! A courier is a thread with a connection of its own, and brings one block at a time. A node that hangs
//! keeps the courier; the next block is brought by another one, so that it waits for nobody.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bitcoin::BlockHash;

use super::parcel::Delivery;

/// How long a block rests that the node did not answer for.
pub(crate) const RETRY: Duration = Duration::from_secs(1);
/// The same for a block that another node has, since this one hears of it from its peers too; and for one that the
/// node did not answer for so [often](OFTEN) that it has other things to do, such as to read its blocks anew.
const RETRY_LATER: Duration = Duration::from_secs(10);
/// Tries after which a block rests for longer: a node that was restarted has it within a second.
const OFTEN: u32 = 60;
/// Blocks that wait for a node though another node has them. Of more the oldest are given up: a node that
/// was away for so long has them from its peers when it is back.
const MAX_SAFE: usize = 16;
/// Couriers on one road, the last of them for new blocks alone. As many blocks can hang in a node before
/// another has to wait, and on a network with real difficulty there is never a second. Bitcoin Core works on
/// sixteen calls at a time, and keeps some of them busy with long polls.
const MAX_COURIERS: usize = 4;

/// The road to one node.
#[derive(Debug)]
pub(crate) struct Road {
    /// What the node is called in the log.
    pub(crate) name: String,
    /// Its place in the order of preference.
    pub(crate) node: usize,
    queue: Mutex<Queue>,
    changed: Condvar,
    max_couriers: usize,
}

#[derive(Debug, Default)]
struct Queue {
    /// Blocks that the node has not answered for, the oldest first.
    waiting: VecDeque<Delivery>,
    couriers: usize,
    /// Those that wait for something to do.
    idle: usize,
    /// Those that have a block.
    busy: usize,
    is_closed: bool,
}

/// What a courier does next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Bring this block, and say when it is [done](Road::done).
    Deliver(Delivery),
    /// Keep the connection open.
    StandBy,
    /// Nothing more will come.
    End,
}

impl Road {
    /// A road with one courier. `has_more_ways` says whether others can be had.
    pub(crate) fn new(name: String, node: usize, has_more_ways: bool) -> Self {
        Self {
            name,
            node,
            queue: Mutex::new(Queue {
                couriers: 1,
                ..Queue::default()
            }),
            changed: Condvar::new(),
            max_couriers: if has_more_ways { MAX_COURIERS } else { 1 },
        }
    }

    /// Sends a block on its way, unless it is.
    pub(crate) fn send(&self, delivery: Delivery) {
        let mut queue = self.queue();
        if !queue.has(delivery.parcel.hash) {
            queue.waiting.push_back(delivery);
        }
        drop(queue);
        self.changed.notify_one();
    }

    /// Whether a new block waits for which there is no courier, and another one is to be sent for. Who
    /// asks sends for him.
    pub(crate) fn wants_courier(&self) -> bool {
        let mut queue = self.queue();
        let new = queue.waiting.iter().filter(|it| it.is_new()).count();
        let wants = new > queue.idle && queue.couriers < self.max_couriers;
        queue.couriers += usize::from(wants);
        wants
    }

    /// A courier that was sent for does not come.
    pub(crate) fn lose_courier(&self) {
        self.queue().couriers -= 1;
    }

    /// Waits for something to do, until `stand_by_at` at most. New blocks come before all others.
    pub(crate) fn next(&self, stand_by_at: Instant) -> Next {
        let mut queue = self.queue();
        loop {
            let now = Instant::now();
            if let Some(delivery) = queue.take(now, self.max_couriers) {
                queue.busy += 1;
                return Next::Deliver(delivery);
            }
            if queue.is_closed {
                return Next::End;
            }
            if now >= stand_by_at {
                return Next::StandBy;
            }
            let rests = queue.waiting.iter().map(|delivery| delivery.due);
            let wake_at = rests.filter(|due| *due > now).fold(stand_by_at, Ord::min);
            queue.idle += 1;
            queue = self
                .changed
                .wait_timeout(queue, wake_at - now)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            queue.idle -= 1;
        }
    }

    /// A courier is back. What the node did not answer for rests, and is tried again.
    pub(crate) fn done(&self, unanswered: Option<Delivery>) {
        let mut queue = self.queue();
        queue.busy -= 1;
        if let Some(mut delivery) = unanswered {
            delivery.due = Instant::now() + rest_of(&delivery);
            queue.waiting.push_back(delivery);
            queue.forget_safe();
        }
        drop(queue);
        self.changed.notify_all();
    }

    /// No more blocks will come. Those that wait and were never tried are tried once.
    pub(crate) fn close(&self) {
        self.queue().is_closed = true;
        self.changed.notify_all();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn has(&self, hash: BlockHash) -> bool {
        self.waiting.iter().any(|it| it.parcel.hash == hash)
    }

    /// The block to be brought now. One that was tried before leaves a courier for new ones.
    fn take(&mut self, now: Instant, max_couriers: usize) -> Option<Delivery> {
        let new = self.waiting.iter().position(Delivery::is_new);
        let leaves_one = self.busy + 1 < max_couriers || max_couriers == 1;
        let may_retry = leaves_one && !self.is_closed;
        let again = || self.waiting.iter().position(|it| it.due <= now);
        let place = new.or_else(|| again().filter(|_| may_retry))?;
        self.waiting.remove(place)
    }

    fn forget_safe(&mut self) {
        let safe = |it: &Delivery| it.parcel.is_safe();
        if self.waiting.iter().filter(|it| safe(it)).count() > MAX_SAFE
            && let Some(oldest) = self.waiting.iter().position(safe)
        {
            self.waiting.remove(oldest);
        }
    }
}

/// How long a block rests before its node is given it again.
fn rest_of(delivery: &Delivery) -> Duration {
    if delivery.parcel.is_safe() || delivery.attempts >= OFTEN {
        RETRY_LATER
    } else {
        RETRY
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bitcoin::hashes::Hash as _;

    use super::super::parcel::{Origin, Parcel};
    use super::*;

    fn parcel(number: u8) -> Arc<Parcel> {
        let hash = BlockHash::from_byte_array([number; 32]);
        let height = number.into();
        Arc::new(Parcel::new(height, hash, "".into(), Origin::Journal))
    }

    fn send(road: &Road, number: u8) {
        road.send(Delivery::of(&parcel(number)));
    }

    /// What is to be brought now, if anything is.
    fn taken(road: &Road) -> Option<Delivery> {
        match road.next(Instant::now()) {
            Next::Deliver(delivery) => Some(delivery),
            Next::StandBy | Next::End => None,
        }
    }

    fn fails(road: &Road, mut delivery: Delivery) {
        delivery.attempts += 1;
        road.done(Some(delivery));
        // As if the time had passed.
        road.queue().waiting.back_mut().unwrap().due = Instant::now();
    }

    #[test]
    fn while_the_node_hangs_each_new_block_has_a_courier_of_its_own() {
        let road = Road::new(String::new(), 0, true);
        for number in 0..4 {
            send(&road, number);
            // The first courier is on this thread, and never idle.
            assert!(number == 3 || road.wants_courier(), "{number}");
            assert_eq!(taken(&road).unwrap().parcel.height, u32::from(number));
        }
        send(&road, 4);
        assert!(!road.wants_courier(), "there are enough");
    }

    #[test]
    fn blocks_that_are_tried_again_leave_a_courier_for_new_ones() {
        let road = Road::new(String::new(), 0, true);
        for number in 0..5 {
            send(&road, number);
            let delivery = taken(&road).unwrap();
            fails(&road, delivery);
        }
        let again = core::iter::from_fn(|| taken(&road)).count();
        assert_eq!(again, MAX_COURIERS - 1);
        send(&road, 9);
        assert_eq!(taken(&road).unwrap().parcel.height, 9);
    }

    #[test]
    fn where_there_is_one_way_it_serves_for_everything() {
        let road = Road::new(String::new(), 0, false);
        send(&road, 1);
        let delivery = taken(&road).unwrap();
        send(&road, 2);
        assert!(!road.wants_courier());
        fails(&road, delivery);
        let new = taken(&road).unwrap();
        assert_eq!(new.parcel.height, 2, "a new block comes first");
        road.done(None);
        assert_eq!(taken(&road).unwrap().parcel.height, 1);
    }

    #[test]
    fn a_block_that_is_on_its_way_is_not_sent_twice() {
        let road = Road::new(String::new(), 0, true);
        send(&road, 1);
        send(&road, 1);
        assert!(taken(&road).is_some());
        assert!(taken(&road).is_none());
    }

    #[test]
    fn a_node_that_is_away_for_ever_is_not_kept_every_block_for() {
        let road = Road::new(String::new(), 0, true);
        for number in 0..40 {
            let parcel = parcel(number);
            parcel.make_safe();
            road.send(Delivery::of(&parcel));
            let delivery = taken(&road).unwrap();
            fails(&road, delivery);
        }
        assert_eq!(road.queue().waiting.len(), MAX_SAFE);
        // One that no node has is never given up.
        send(&road, 50);
        assert_eq!(road.queue().waiting.len(), MAX_SAFE + 1);
    }

    #[test]
    fn a_node_that_fails_for_long_is_asked_less_often() {
        let mut delivery = Delivery::of(&parcel(1));
        delivery.attempts = OFTEN - 1;
        assert_eq!(rest_of(&delivery), RETRY);
        delivery.attempts = OFTEN;
        assert_eq!(rest_of(&delivery), RETRY_LATER);
        let safe = Delivery::of(&parcel(1));
        safe.parcel.make_safe();
        assert_eq!(rest_of(&safe), RETRY_LATER);
    }

    #[test]
    fn at_the_end_what_was_never_tried_is_tried_once() {
        let road = Road::new(String::new(), 0, true);
        send(&road, 1);
        let delivery = taken(&road).unwrap();
        fails(&road, delivery);
        send(&road, 2);
        road.close();
        assert_eq!(taken(&road).unwrap().parcel.height, 2);
        assert!(matches!(road.next(Instant::now()), Next::End));
    }
}
