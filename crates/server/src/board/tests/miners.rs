//! Miners that come, fall silent, go, and come back.

use super::*;

#[test]
fn a_miner_is_quiet_after_ten_times_its_time_and_a_node_s_silence_is_not_its_own() {
    let mut stage = Stage::running();
    let state = |stage: &mut Stage, at| stage.look(at).miners[0].state;
    stage.tell(0, joined(0, 1, "slow", Protocol::Sv1));
    assert_eq!(state(&mut stage, 299), MinerState::Mining);
    assert_eq!(state(&mut stage, 300), MinerState::Quiet);
    // A share every twenty seconds.
    for second in (320..=520).step_by(20) {
        stage.tell(second, shares(second, 1, 1, 2_000.0));
    }
    let patience = 10 * 520 / 11;
    assert_eq!(state(&mut stage, 520 + patience), MinerState::Mining);
    assert_eq!(state(&mut stage, 521 + patience), MinerState::Quiet);
    let alarm = stage.alarm(521 + patience, "miner_quiet").unwrap();
    assert_eq!(alarm.title, "A miner is quiet");
    assert_eq!(alarm.since_at, u64::from(DAWN) + 520);
    stage.tell(1_000, status(syncing(), 100));
    assert_eq!(state(&mut stage, 1_100), MinerState::Mining);
    stage.tell(1_200, status(Condition::Ready, 100));
    assert_eq!(state(&mut stage, 1_200 + patience), MinerState::Mining);
    assert_eq!(state(&mut stage, 1_201 + patience), MinerState::Quiet);
    assert_eq!(stage.look(9_999).summary.miners.quiet, 1);
}

#[test]
fn of_several_quiet_miners_the_one_that_is_so_longest_is_named() {
    let mut stage = Stage::running();
    for (at, key, user) in [(10, 1, "late"), (0, 2, "early"), (20, 3, "last")] {
        stage.tell(at, joined(at, key, user, Protocol::Sv1));
    }
    stage.tell(30, joined(30, 4, "heard", Protocol::Sv1));
    stage.tell(315, shares(315, 4, 1, 2_000.0));
    assert_eq!(stage.look(320).summary.miners.quiet, 3);
    let alarm = stage.alarm(320, "miner_quiet").unwrap();
    assert_eq!(alarm.title, "3 miners are quiet");
    assert!(alarm.detail.starts_with("early "), "{}", alarm.detail);
    assert_eq!(alarm.since_at, u64::from(DAWN));
}

#[test]
fn a_fast_miner_has_a_minute() {
    let mut stage = Stage::running();
    stage.tell(0, joined(0, 1, "fast", Protocol::Sv1));
    for second in 1..=100 {
        stage.tell(second, shares(second, 1, 1, 2_000.0));
    }
    assert_eq!(stage.look(159).miners[0].state, MinerState::Mining);
    assert_eq!(stage.look(160).miners[0].state, MinerState::Quiet);
}

#[test]
fn a_miner_that_comes_back_goes_on_with_its_sums() {
    let mut stage = Stage::running();
    stage.tell(0, joined(0, 1, "a", Protocol::Sv1));
    stage.tell(1, shares(1, 1, 5, 3_000.0));
    let id = stage.look(1).miners[0].id;
    stage.tell(2, left(2, 1));
    let gone = stage.look(3);
    assert_eq!(gone.miners[0].state, MinerState::Gone);
    assert_eq!((gone.miners[0].id, gone.miners[0].shares.accepted), (id, 5));
    assert_eq!(gone.miners[0].hashes_per_second.one_day, 0.0);
    assert_eq!(
        (gone.summary.miners.connected, gone.summary.miners.gone),
        (0, 1)
    );
    // Another kind of connection is another miner.
    stage.tell(4, joined(4, 2, "a", Protocol::Sv2));
    assert_eq!(stage.look(4).miners.len(), 2);
    assert_eq!(stage.alarm(400, "miner_gone"), None, "the worker is here");
    stage.tell(401, left(401, 2));
    // It is not shown for ever, and is still known when it comes back.
    assert_eq!(stage.look(2 * DAY).miners, []);
    stage.tell(2 * DAY, joined(2 * DAY, 3, "a", Protocol::Sv1));
    let back = stage.look(2 * DAY).miners;
    assert_eq!(
        (back.len(), back[0].id, back[0].shares.accepted),
        (1, id, 5)
    );
    assert!((back[0].best_difficulty - 3_000.0).abs() < 1.0);
}

/// Whether somebody is missed who had so many shares at the start of each of these stays.
fn is_missed(shares_each: u64, stays: &[u64]) -> bool {
    let mut stage = Stage::running();
    let mut at = 0;
    for (number, stay) in (1..).zip(stays) {
        stage.tell(at, joined(at, number, "a", Protocol::Sv1));
        stage.tell(at, shares(at, number, shares_each, 2_000.0));
        at += stay;
        stage.tell(at, left(at, number));
        assert_eq!(stage.alarm(at + 119, "miner_gone"), None, "it may restart");
        at += 120;
    }
    let alarm = stage.alarm(at, "miner_gone");
    if let Some(alarm) = &alarm {
        let expected = (Severity::Notice, "A miner has gone");
        assert_eq!((alarm.severity, alarm.title.as_str()), expected);
    }
    alarm.is_some()
}

#[test]
fn a_miner_that_was_only_tried_out_is_not_missed() {
    assert!(is_missed(10, &[3_600]));
    assert!(!is_missed(10, &[3_599]), "it was not here for long");
    assert!(!is_missed(9, &[9_000]), "it hardly mined");
    assert!(!is_missed(10_000, &[300, 300]));
    // One that loses its connection every ten minutes.
    assert!(is_missed(2, &[600; 6]));
    assert!(!is_missed(10, &[DAY]), "no share of it came for a day");
}

/// A connection that is told of again before it was told to have gone.
#[test]
fn a_miner_whose_place_is_taken_is_missed_as_one_that_left() {
    let mut stage = Stage::running();
    stage.tell(0, joined(0, 1, "a", Protocol::Sv1));
    stage.tell(3_600, shares(3_600, 1, 10, 2_000.0));
    stage.tell(3_600, joined(3_600, 1, "b", Protocol::Sv1));
    assert!(stage.alarm(3_800, "miner_gone").is_some());
}

#[test]
fn two_connections_of_one_name_add_up_when_they_have_gone() {
    let mut stage = Stage::running();
    for number in [1, 2] {
        stage.tell(0, joined(0, number, "farm", Protocol::Sv1));
        stage.tell(1, shares(1, number, 10 * number, 2_000.0));
    }
    stage.tell(2, left(2, 1));
    stage.tell(3, left(3, 2));
    let miners = stage.look(4).miners;
    assert_eq!((miners.len(), miners[0].shares.accepted), (1, 30));
}

#[test]
fn miners_that_come_and_go_do_not_pile_up() {
    let mut stage = Stage::running();
    for number in 0..6_000 {
        stage.tell(
            number,
            joined(number, number, &format!("w{number}"), Protocol::Sv1),
        );
        stage.tell(number, left(number, number));
    }
    let miners = stage.look(6_000).miners;
    assert_eq!(miners.len(), 5_000);
    assert!(
        miners
            .iter()
            .all(|miner| miner.connected_at >= u64::from(DAWN) + 1_000)
    );
}

/// A channel whose shares all name the workers behind it was no miner: no row is left of its own name,
/// unless there was a share under it, and none after a restart.
#[test]
fn a_channel_s_own_name_leaves_no_row_to_its_workers() {
    let vacated = |at, number| News::Left {
        key: key(number),
        at: wall(at),
        vacated: true,
    };
    let mut stage = Stage::running();
    stage.tell(0, joined(0, 1, "proxy", Protocol::Sv2));
    stage.tell(1, joined(1, 2, "proxy.rig", Protocol::Sv2));
    stage.tell(1, vacated(1, 1));
    let names = |stage: &mut Stage| {
        let miners = stage.look(2).miners;
        let names: Vec<_> = miners.into_iter().map(|miner| miner.worker).collect();
        names
    };
    assert_eq!(names(&mut stage), ["proxy.rig"]);
    stage.tell(2, joined(2, 3, "other", Protocol::Sv2));
    stage.tell(2, shares(2, 3, 1, 2_000.0));
    stage.tell(2, vacated(2, 3));
    stage.tell(2, joined(2, 4, "tried", Protocol::Sv2));
    stage.tell(2, left(2, 4));
    let mut all = names(&mut stage);
    all.sort();
    assert_eq!(all, ["other", "proxy.rig", "tried"]);

    let mut ledger = MemoryLedger::new(Retention::default());
    let at = UnixTime::from_secs(DAWN - 60);
    let sighting = Sighting {
        client: ClientKind::Sv2Extended,
        user_agent: Text::clip("proxy"),
    };
    let mut batch = ShareBatch::default();
    let worker = WorkerId::new("proxy", ADDRESS).unwrap();
    batch.sighting(&worker, at, sighting);
    ledger.record(&batch).unwrap();
    let past = Past::read_at(&ledger, UnixTime::from_secs(DAWN)).unwrap();
    assert_eq!(names(&mut Stage::new(past)), [""; 0]);
}

/// A coinbase that its device cannot bear stands in a miner's row as long as it is here.
#[test]
fn a_coinbase_that_is_too_long_is_shown_in_the_miner_s_row() {
    let mut stage = Stage::running();
    stage.tell(0, joined(0, 1, "nerd", Protocol::Sv1));
    stage.tell(0, joined(0, 2, "other", Protocol::Sv1));
    let coinbase = LongCoinbase {
        len: 286,
        limit: 255,
    };
    let long = |number| News::LongCoinbase {
        key: key(number),
        coinbase,
    };
    stage.tell(1, long(1));
    stage.tell(1, long(77));
    let shown = |stage: &mut Stage, at| {
        let mut miners = stage.look(at).miners;
        miners.sort_by_key(|miner| miner.id);
        miners
            .into_iter()
            .map(|miner| miner.coinbase_too_long)
            .collect::<Vec<_>>()
    };
    let too_long = headframe_api::CoinbaseTooLong {
        bytes: 286,
        limit_bytes: 255,
    };
    assert_eq!(shown(&mut stage, 2), [Some(too_long), None]);
    stage.tell(3, shares(3, 1, 1, 2_000.0));
    stage.tell(4, left(4, 1));
    assert_eq!(shown(&mut stage, 5), [None, None]);
}
