//! What a channel remembers, and for how long.

mod support;

use std::time::{Duration, Instant};

use headframe_channels::{Channel, ChannelKind, JobId, RejectReason, Share, ShareVerdict};
use headframe_work::{Rung, UnixTime};
use support::TIME;

const EASY: Rung = Rung::EASIEST;
const REGTEST: u32 = 0x207f_ffff;
const HARD: u32 = 0x1703_4219;

fn send(channel: &mut Channel, tip: u8, bits: u32, id: u32, now: Instant) {
    let job = support::job(&support::template(tip, bits, 0), id, 12);
    channel.send_job(support::terms(id, EASY, now), &job);
}

fn judge(channel: &mut Channel, id: u32, nonce: u32, now: Instant) -> ShareVerdict {
    let share = Share {
        job_id: JobId::new(id).expect("not 0"),
        version: 0x2000_0000,
        time: UnixTime::from_secs(TIME),
        nonce,
        extranonce: &[],
    };
    channel.judge(now, &share)
}

fn reason(channel: &mut Channel, id: u32, nonce: u32, now: Instant) -> Option<RejectReason> {
    judge(channel, id, nonce, now).credit().err()
}

/// at its cap a job is retired, and says so; what it had accepted is not accepted again.
#[test]
fn a_full_job_is_retired() {
    let now = Instant::now();
    let mut channel = support::ours(ChannelKind::Standard);
    send(&mut channel, 1, HARD, 1, now);
    let accepted: Vec<u32> = (0..70_000)
        .filter(|nonce| reason(&mut channel, 1, *nonce, now).is_none())
        .collect();
    assert_eq!(accepted.len(), 1 << 16);
    assert!(channel.needs_job());
    let again = reason(&mut channel, 1, accepted[0], now);
    assert_eq!(again, Some(RejectReason::Stale));
    send(&mut channel, 1, HARD, 2, now);
    assert!(!channel.needs_job());
}

/// R-18, MP-65: a job that a newer one on its tip has replaced takes shares still, and none of them twice.
#[test]
fn a_share_that_comes_again_for_a_replaced_job_is_a_duplicate() {
    let now = Instant::now();
    let mut channel = support::ours(ChannelKind::Standard);
    send(&mut channel, 1, HARD, 1, now);
    let mut nonces = 0..1_000;
    let mut accepted = |channel: &mut Channel| {
        let found = nonces.find(|nonce| reason(channel, 1, *nonce, now).is_none());
        found.expect("most hashes meet the easiest rung")
    };
    let mut before = vec![accepted(&mut channel)];
    for newer in 2..6 {
        send(&mut channel, 1, HARD, newer, now);
        for nonce in &before {
            let again = reason(&mut channel, 1, *nonce, now);
            assert_eq!(again, Some(RejectReason::Duplicate), "after job {newer}");
        }
        before.push(accepted(&mut channel));
    }
}

/// Whoever asks before a share is judged asks of whatever a peer sent.
#[test]
fn an_extranonce_of_another_length_makes_no_block() {
    let now = Instant::now();
    let mut channel = support::ours(ChannelKind::Extended);
    send(&mut channel, 1, REGTEST, 1, now);
    for extranonce in [&[0; 7][..], &[0; 9], &[]] {
        let makes_block = |nonce| {
            channel.makes_block(&Share {
                job_id: JobId::new(1).expect("not 0"),
                version: 0x2000_0000,
                time: UnixTime::from_secs(TIME),
                nonce,
                extranonce,
            })
        };
        assert!(!(0..50).any(makes_block), "{} bytes", extranonce.len());
    }
}

/// A job of the present tip is remembered for two minutes after it was replaced, however many came
/// after it, and the last sixteen are remembered however old they are.
#[test]
fn jobs_are_remembered_long_enough_and_not_for_ever() {
    let start = Instant::now();
    let mut channel = support::ours(ChannelKind::Standard);
    for id in 1..=119 {
        let now = start + Duration::from_secs(id.into());
        send(&mut channel, 1, HARD, id, now);
    }
    let is_known = |channel: &Channel, id| channel.job(JobId::new(id).expect("not 0")).is_some();
    assert!((1..=119).all(|id| is_known(&channel, id)));
    let late = start + Duration::from_secs(3600);
    send(&mut channel, 1, HARD, 120, late);
    let known: Vec<u32> = (1..=120).filter(|id| is_known(&channel, *id)).collect();
    assert_eq!(known, (105..=120).collect::<Vec<_>>());
    // Own jobs without a pause: there is a cap.
    for id in 1_000..2_000 {
        send(&mut channel, 1, HARD, id, late);
    }
    assert!(is_known(&channel, 1_999) && !is_known(&channel, 1_500));
}

/// MP-75, MP-77: after a tip change the last tip's jobs earn nothing but may still be a block, once;
/// one tip later they are forgotten.
#[test]
fn the_last_tip_s_jobs_may_still_be_blocks() {
    let now = Instant::now();
    let mut channel = support::ours(ChannelKind::Standard);
    send(&mut channel, 1, REGTEST, 1, now);
    send(&mut channel, 2, REGTEST, 2, now);
    let late = judge(&mut channel, 1, 0, now);
    let nonce = (0..100).find(|nonce| {
        matches!(
            judge(&mut channel, 1, *nonce, now),
            ShareVerdict::Block(_, Err(RejectReason::Stale))
        )
    });
    let nonce = nonce.expect("every second hash is a block");
    assert!(late.credit().is_err());
    assert_eq!(
        reason(&mut channel, 1, nonce, now),
        Some(RejectReason::Duplicate)
    );
    send(&mut channel, 3, REGTEST, 3, now);
    assert_eq!(
        reason(&mut channel, 1, nonce, now),
        Some(RejectReason::UnknownJob)
    );
    assert_eq!(
        reason(&mut channel, 2, nonce, now),
        Some(RejectReason::Stale)
    );
}

/// the latest header time follows the network's clock, and the job's own bound where it has
/// one (testnet4).
#[test]
fn header_times_follow_the_network_s_clock() {
    let start = Instant::now();
    let mut channel = support::ours(ChannelKind::Standard);
    let template = support::template(1, HARD, 0);
    let bounded = headframe_channels::JobTerms {
        max_time: Some(UnixTime::from_secs(TIME + 1_200)),
        ..support::terms(2, EASY, start)
    };
    let usual = support::terms(1, EASY, start);
    channel.send_job(usual, &support::job(&template, 1, 12));
    channel.send_job(bounded, &support::job(&template, 2, 12));
    let mut judge = |id, seconds: i64, elapsed| {
        let share = Share {
            job_id: JobId::new(id).expect("not 0"),
            version: 0x2000_0000,
            time: UnixTime::from_secs((i64::from(TIME) + seconds) as u32),
            nonce: 1,
            extranonce: &[],
        };
        let verdict = channel.judge(start + Duration::from_secs(elapsed), &share);
        verdict.credit().err()
    };
    assert_eq!(judge(1, -1, 0), Some(RejectReason::TimeTooOld));
    assert_eq!(judge(1, 0, 0), None);
    assert_eq!(judge(1, 7_140, 0), None);
    assert_eq!(judge(1, 7_141, 0), Some(RejectReason::TimeTooNew));
    assert_eq!(judge(1, 7_141, 1), None);
    assert_eq!(judge(2, 1_200, 900), None);
    assert_eq!(judge(2, 1_201, 900), Some(RejectReason::TimeTooNew));
}

/// What a node is asked about before there is a block is what it is given when there is one.
#[test]
fn an_unproven_block_is_the_found_one_but_for_its_nonce() {
    for kind in [ChannelKind::Standard, ChannelKind::Extended] {
        let now = Instant::now();
        let mut channel = support::ours(kind);
        assert!(channel.unproven_block().is_none());
        send(&mut channel, 1, REGTEST, 1, now);
        send(&mut channel, 1, REGTEST, 2, now);
        let unproven = channel.unproven_block().expect("there is a job");
        let extranonce = vec![0; channel.submitted_len()];
        let found = (0..100).find_map(|nonce| {
            let share = Share {
                job_id: JobId::new(2).expect("not 0"),
                version: 0x2000_0000,
                time: UnixTime::from_secs(TIME),
                nonce,
                extranonce: &extranonce,
            };
            match channel.judge(now, &share) {
                ShareVerdict::Block(block, _) => Some(block),
                ShareVerdict::Accepted(_) | ShareVerdict::Rejected(_) => None,
            }
        });
        let found = found.expect("every second hash is a block");
        assert_eq!(unproven.header.nonce, 0);
        let header = headframe_work::Header {
            nonce: found.header.nonce,
            ..unproven.header
        };
        assert_eq!(header.to_bytes(), found.header.to_bytes(), "{kind:?}");
        assert_eq!(unproven.coinbase, found.coinbase, "{kind:?}");
    }
}
