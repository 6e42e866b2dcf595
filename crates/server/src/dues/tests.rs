//! What the ledger is given, and when.

use std::sync::mpsc::Receiver;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use headframe_channels::{ChannelKind, Credit, RejectReason};
use headframe_ledger::{ClientKind, Text};
use headframe_mining::server::{Device, Hub, JobIds};
use headframe_node::NodeStatus;
use headframe_testkit::address;
use headframe_work::{Hashrate, Miner, Network, Payout};
use tokio::sync::watch;

use super::*;
use crate::hub::HubTask;
use crate::silent::Silent;

const SEAT: ChannelId = ChannelId::new(1);

/// What a connection with one miner owes, and what the ledger hears of it.
fn dues() -> (Dues, Receiver<Entry>) {
    let (ledger, heard) = LedgerHandle::heard();
    let (_, status) = watch::channel(NodeStatus::starting("silent".to_owned(), Network::Regtest));
    let hub = Hub::new(JobIds::new(1), 0);
    let (_, hub) = HubTask::new(hub, Silent::boxed(), status, mpsc::channel(16).0);
    let news = mpsc::channel(16).0;
    let creditors = Arc::new(Creditors { ledger, hub, news });
    let mut dues = Dues::new(1, creditors, Arc::default());
    let address = address(1);
    let name = address.to_string();
    let joined = Joined {
        seat: SEAT,
        miner: Miner {
            user: name.as_str().into(),
            worker: "".into(),
            payout: Payout::new(address.script_pubkey(), None),
            address,
        },
        protocol: Protocol::Sv1,
        kind: ChannelKind::Extended,
        device: Device::default(),
        rung: Rung::ONE,
        declared: Hashrate::ZERO,
        easiest: Rung::EASIEST,
    };
    let sighting = Sighting {
        client: ClientKind::Sv1,
        user_agent: Text::clip("device"),
    };
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    let worker = WorkerId::new(&name, &name).unwrap();
    dues.join(worker, sighting, Box::new(joined), (peer, Encryption::None));
    (dues, heard)
}

fn share(outcome: Result<Credit, RejectReason>, sequence: u64) -> ShareEvent {
    ShareEvent {
        seat: SEAT,
        rung: Rung::ONE,
        outcome,
        sequence,
    }
}

fn accepted(sequence: u64) -> ShareEvent {
    let hash = BlockHash::all_zeros();
    let rung = Rung::ONE;
    share(Ok(Credit { rung, hash }), sequence)
}

/// Shares, accepted ones among them, and the number that the connection is called with when they are
/// committed, if it is.
fn next(heard: &Receiver<Entry>) -> Option<(u64, u64, Option<u64>)> {
    match heard.try_recv().ok()? {
        Entry::Shares { batch, commit } => {
            let sequence = commit.map(|commit| commit.sequence);
            Some((batch.shares(), batch.accepted().count, sequence))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn refused_shares_wait_for_the_board_or_for_an_accepted_one() {
    let (mut dues, heard) = dues();
    let now = Instant::now();
    dues.tell(now);
    assert_eq!(next(&heard), Some((0, 0, None)), "who is here");
    let refused = share(Err(RejectReason::LowDifficulty), 1);
    dues.note_share(&refused, wall_clock());
    dues.offer(now);
    assert_eq!(next(&heard), None);
    assert_eq!(dues.tell_at(), Some(now + TOLD_EVERY), "with the board");
    dues.tell(now);
    assert_eq!(next(&heard), Some((1, 0, None)), "nobody waits for them");

    dues.note_share(&refused, wall_clock());
    dues.note_share(&accepted(1), wall_clock());
    dues.offer(now);
    assert_eq!(next(&heard), Some((2, 1, Some(1))));
    dues.offer(now);
    assert_eq!(next(&heard), None);
}

/// A connection with a share now and then is not woken a second time for each.
#[test]
fn what_comes_after_a_pause_is_told_at_once() {
    let (mut dues, heard) = dues();
    let now = Instant::now();
    dues.tell(now);
    assert_eq!(next(&heard), Some((0, 0, None)));
    let refused = share(Err(RejectReason::LowDifficulty), 1);
    for after in [TOLD_EVERY, TOLD_EVERY * 7] {
        dues.note_share(&refused, wall_clock());
        dues.offer(now + after);
        assert_eq!(next(&heard), Some((1, 0, None)));
    }
    dues.note_share(&refused, wall_clock());
    dues.offer(now + TOLD_EVERY * 8 - Duration::from_nanos(1));
    assert_eq!(next(&heard), None);
    assert_eq!(dues.tell_at(), Some(now + TOLD_EVERY * 8));
}

#[test]
fn what_the_ledger_has_no_room_for_is_offered_again() {
    let (mut dues, heard) = dues();
    let now = Instant::now();
    dues.note_share(&accepted(1), wall_clock());
    dues.offer(now);
    dues.note_share(&accepted(2), wall_clock());
    dues.offer(now);
    assert_eq!(next(&heard), Some((1, 1, Some(1))));
    dues.offer(now);
    assert_eq!(next(&heard), Some((1, 1, Some(2))));

    dues.note_share(&accepted(3), wall_clock());
    dues.offer(now);
    dues.note_share(&share(Err(RejectReason::Stale), 4), wall_clock());
    dues.tell(now);
    assert_eq!(next(&heard), Some((1, 1, Some(3))));
    assert!(dues.tell_at().is_some(), "and without an accepted one");
    dues.tell(now);
    assert_eq!(next(&heard), Some((1, 0, None)));
}
