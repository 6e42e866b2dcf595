//! Whatever happens to them, a ledger on disk and one in memory show the same, and so does the one
//! on disk after it is opened again.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use bitcoin::{Amount, CompactTarget};
use common::{at, hash, share, units, view, worker};
use headframe_ledger::{
    BlockFate, BlockUpdate, ClientKind, DataDir, FoundBlock, Ledger, MemoryLedger, Protocol,
    Rejection, Retention, ShareBatch, Sighting, SqliteLedger, Upkeep,
};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Event {
    Accept {
        worker: u8,
        time: u32,
        hash: u64,
        work: u128,
    },
    Reject {
        worker: u8,
        time: u32,
        reason: usize,
    },
    NotDurable {
        worker: u8,
        time: u32,
    },
    Sighting {
        worker: u8,
        time: u32,
        client: usize,
    },
}

#[derive(Debug, Clone)]
enum Step {
    Record(Vec<Event>),
    Block { number: u64, worker: u8 },
    News { number: u64, news: u8 },
    Upkeep { time: u32 },
    Reopen,
}

/// Up to a year, in seconds.
fn time() -> impl Strategy<Value = u32> {
    prop_oneof![0_u32..7_200, 0_u32..31_536_000]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (
            0_u8..6,
            time(),
            1_u64..10_000,
            prop_oneof![0_u128..1 << 40, any::<u128>()]
        )
            .prop_map(|(worker, time, hash, work)| Event::Accept {
                worker,
                time,
                hash,
                work
            }),
        (0_u8..6, time(), 0..Rejection::ALL.len()).prop_map(|(worker, time, reason)| {
            Event::Reject {
                worker,
                time,
                reason,
            }
        }),
        (0_u8..6, time()).prop_map(|(worker, time)| Event::NotDurable { worker, time }),
        (0_u8..6, time(), 0..ClientKind::ALL.len()).prop_map(|(worker, time, client)| {
            Event::Sighting {
                worker,
                time,
                client,
            }
        }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(event(), 0..20).prop_map(Step::Record),
        1 => (0_u64..4, 0_u8..6).prop_map(|(number, worker)| Step::Block { number, worker }),
        2 => (0_u64..4, 0_u8..7).prop_map(|(number, news)| Step::News { number, news }),
        1 => time().prop_map(|time| Step::Upkeep { time }),
        1 => Just(Step::Reopen),
    ]
}

fn name(number: u8) -> headframe_ledger::WorkerId {
    worker(&format!("w{number}"))
}

fn merge(events: &[Event]) -> ShareBatch {
    let mut batch = ShareBatch::default();
    for event in events {
        match *event {
            Event::Accept {
                worker,
                time,
                hash,
                work,
            } => {
                batch.accept(&name(worker), units(work), share(hash, time));
            }
            Event::Reject {
                worker,
                time,
                reason,
            } => {
                batch.reject(&name(worker), at(time), units(3), Rejection::ALL[reason]);
            }
            Event::NotDurable { worker, time } => batch.not_durable(&name(worker), at(time)),
            Event::Sighting {
                worker,
                time,
                client,
            } => {
                let client = ClientKind::ALL[client];
                let user_agent = client.code().into();
                batch.sighting(&name(worker), at(time), Sighting { client, user_agent });
            }
        }
    }
    batch
}

fn news(number: u8) -> BlockUpdate {
    let fate = match number {
        0 => BlockFate::Submitted,
        1 => BlockFate::Accepted,
        2 => BlockFate::Orphaned,
        3 => BlockFate::Confirmed { confirmations: 100 },
        4 => BlockFate::Refused {
            reason: "why".into(),
        },
        _ => {
            return BlockUpdate::Answer {
                node: "node".into(),
                answer: if number == 5 {
                    "inconclusive"
                } else {
                    "duplicate"
                }
                .into(),
                at: at(number.into()),
            };
        }
    };
    BlockUpdate::Fate(fate)
}

fn take(ledger: &mut dyn Ledger, step: &Step) {
    match step {
        Step::Record(events) => ledger.record(&merge(events)).unwrap(),
        Step::Block { number, worker } => {
            let block = FoundBlock {
                height: 1,
                hash: hash(*number),
                found_at: at(60),
                worker: name(*worker),
                paid: Amount::from_sat(50),
                fee: None,
                bits: Some(CompactTarget::from_consensus(0x207f_ffff)),
                protocol: Some(Protocol::Sv1),
                work_before: Some(units((*number).into())),
                job: "job".into(),
            };
            ledger.record_block(&block).unwrap();
        }
        Step::News { number, news: kind } => {
            // Refused where the block is unknown; by both, as the views show.
            drop(ledger.update_block(hash(*number), &news(*kind)));
        }
        Step::Upkeep { time } => while ledger.upkeep(at(*time)).unwrap() == Upkeep::More {},
        Step::Reopen => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn both_ledgers_show_the_same(steps in prop::collection::vec(step(), 1..15)) {
        let retention = Retention { workers: 4, ..Retention::default() };
        let place = tempfile::tempdir().unwrap();
        let dir = DataDir::open(place.path()).unwrap();
        let mut disk = SqliteLedger::open(&dir, retention).unwrap();
        let mut memory = MemoryLedger::new(retention);
        for step in &steps {
            take(&mut disk, step);
            take(&mut memory, step);
            if matches!(step, Step::Reopen) {
                drop(disk);
                disk = SqliteLedger::open(&dir, retention).unwrap();
            }
            prop_assert_eq!(view(&disk), view(&memory));
        }
    }
}
