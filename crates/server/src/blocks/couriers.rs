//! The couriers: threads that bring blocks to nodes, each over a connection of its own, which it keeps open. A
//! courier writes no file and waits for nobody but his node.
//!
//! A road leads to each node. Where a node hangs it keeps its courier, and another is sent for.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use headframe_node::{BlockSink, SubmitAnswer};
use tracing::{error, warn};

use super::parcel::{Delivery, Parcel};
use super::road::{Next, Road};
use super::way;
use crate::vital::Vital;

/// How often the way to the node is kept open: Bitcoin Core closes an idle connection after 30 s.
pub(super) const STAND_BY: Duration = Duration::from_secs(10);

/// Who wants to know what nodes say of blocks.
pub(crate) trait Hears: Clone + Send + 'static {
    /// The node at the end of `road` has answered.
    fn hear(&self, road: &Road, delivery: &Delivery, answer: SubmitAnswer);
}

/// The couriers of all nodes.
pub(crate) struct Couriers<H> {
    stations: Vec<Station>,
    hears: H,
    vital: Vital,
    /// Of what they are, for the log.
    whose: &'static str,
    threads: Vec<JoinHandle<()>>,
}

/// Where a road begins.
struct Station {
    road: Arc<Road>,
    /// Makes ways for more couriers, where there can be any.
    more: Option<Box<dyn BlockSink>>,
}

impl<H: Hears> Couriers<H> {
    /// None yet.
    pub(crate) const fn new(hears: H, vital: Vital, whose: &'static str) -> Self {
        Self {
            stations: Vec::new(),
            hears,
            vital,
            whose,
            threads: Vec::new(),
        }
    }

    /// Opens a road to one more node, with a courier on it. Gives the road, and a way to ask the node for what became
    /// of blocks.
    pub(crate) fn open_road(
        &mut self,
        name: String,
        sink: Box<dyn BlockSink>,
    ) -> io::Result<(Arc<Road>, Box<dyn BlockSink>)> {
        let ways = way::several(sink);
        let road = Road::new(name, self.stations.len(), ways.more.is_some());
        let road = Arc::new(road);
        let courier = self.courier(&road, ways.first)?;
        self.threads.push(courier);
        self.stations.push(Station {
            road: Arc::clone(&road),
            more: ways.more,
        });
        Ok((road, ways.to_ask))
    }

    /// Sends a block to all nodes.
    pub(crate) fn send(&self, parcel: &Arc<Parcel>) {
        for station in &self.stations {
            station.road.send(Delivery::of(parcel));
        }
    }

    /// Sends for couriers where a block waits because a node hangs.
    pub(crate) fn reinforce(&mut self) {
        for Station { road, more } in &self.stations {
            while road.wants_courier() {
                let way = more.as_ref().and_then(|more| more.another_way());
                match way.map(|way| self.courier(road, way)) {
                    Some(Ok(courier)) => {
                        self.threads.push(courier);
                        continue;
                    }
                    Some(Err(error)) => error!("cannot start a thread: {error}"),
                    None => {}
                }
                road.lose_courier();
                break;
            }
        }
    }

    /// Waits until each block was tried once.
    pub(crate) fn close(self) {
        for station in &self.stations {
            station.road.close();
        }
        for courier in self.threads {
            if courier.join().is_err() {
                warn!("a thread of {} panicked", self.whose);
            }
        }
    }

    fn courier(&self, road: &Arc<Road>, sink: Box<dyn BlockSink>) -> io::Result<JoinHandle<()>> {
        let courier = Courier {
            sink,
            road: Arc::clone(road),
            hears: self.hears.clone(),
        };
        self.vital.spawn("submit", move || courier.run())
    }
}

struct Courier<H> {
    sink: Box<dyn BlockSink>,
    road: Arc<Road>,
    hears: H,
}

impl<H: Hears> Courier<H> {
    /// Works until no more blocks can come. One thing at a time, and a new block before all else.
    fn run(mut self) {
        let mut stand_by_at = Instant::now();
        loop {
            match self.road.next(stand_by_at) {
                Next::Deliver(delivery) => {
                    let unanswered = self.deliver(delivery);
                    self.road.done(unanswered);
                }
                Next::StandBy => {
                    // A node that does not answer shows elsewhere; there is nothing to deliver now.
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
        match &answer {
            SubmitAnswer::Accepted | SubmitAnswer::AlreadyKnown => delivery.parcel.make_safe(),
            SubmitAnswer::Refused(_) => delivery.parcel.give_back_place(),
            SubmitAnswer::Inconclusive | SubmitAnswer::Retry(_) => {}
        }
        let is_open = matches!(answer, SubmitAnswer::Retry(_));
        self.hears.hear(&self.road, &delivery, answer);
        is_open.then_some(delivery)
    }
}
