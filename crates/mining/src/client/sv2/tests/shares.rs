//! Shares: what is sent, what is kept back, and what the pool answers.

use super::*;

/// The whole way on a standard channel; the share is judged by `bitcoin`. MP-61, MP-63, MP-71.
#[test]
fn a_standard_share_meets_its_target() {
    let mut bench = Bench::open(ChannelKind::Standard);
    bench.standard_job(5, None);
    bench.new_prev_hash(5);
    let work = bench.work();
    assert_eq!((work.clean, work.target), (true, rung(0).target()));
    for sequence in 0..3 {
        // A rolled bit of BIP 323, MP-69.
        let version = work.version ^ 1 << (5 + sequence);
        let suits = |hash: &BlockHash| work.target.is_met_by(hash);
        let solution = solve_at(&work, version, work.ntime.earliest(), suits);
        assert_eq!(bench.submit(&solution), Submission::Sent { block: false });
        let sent = bench.sent();
        let MiningMessage::SubmitSharesStandard(share) = decode(&sent[0]) else {
            panic!()
        };
        assert_eq!((share.channel_id, share.job_id), (CHANNEL, 5));
        assert_eq!(share.sequence_number, sequence);
        assert!(meets(&standard_header(&share), rung(0).target()));
    }
}

/// The whole way on an extended channel, the job addressed to the group. MP-61, MP-71, MP-72, MP-73,
/// MP-95, MP-100.
#[test]
fn an_extended_share_meets_its_target() {
    let mut bench = Bench::open(ChannelKind::Extended);
    bench.extended_job(&ExtendedJob {
        channel: GROUP,
        ..ExtendedJob::FUTURE
    });
    bench.receive(&new_prev_hash(GROUP, 5, NBITS)).unwrap();
    let work = bench.work();
    let solution = share(&work);
    assert_eq!(bench.submit(&solution), Submission::Sent { block: false });
    let sent = bench.sent();
    let MiningMessage::SubmitSharesExtended(share) = decode(&sent[0]) else {
        panic!()
    };
    assert_eq!(
        (share.channel_id, share.job_id, share.sequence_number),
        (CHANNEL, 5, 0)
    );
    assert_eq!(share.extranonce.as_bytes(), [0x99; 8]);
    let header = extended_header(&share, [0xe1, 0xe2, 0xe3, 0xe4]);
    assert!(meets(&header, rung(0).target()));
}

/// MP-64: the time of a share may run ahead by the seconds since the tip came, and no further.
#[test]
fn the_time_of_a_share_is_bounded_by_the_clock() {
    let mut bench = Bench::open(ChannelKind::Standard);
    bench.standard_job(5, None);
    bench.new_prev_hash(5);
    let work = bench.work();
    let at = |seconds| {
        let ntime = UnixTime::from_secs(MIN_NTIME + seconds);
        solve_at(&work, work.version, ntime, |hash| {
            work.target.is_met_by(hash)
        })
    };
    bench.now += Duration::from_secs(10);
    let wrong = Submission::Wrong(SolutionError::Ntime);
    assert_eq!(bench.submit(&at(11)), wrong);
    assert_eq!(bench.submit(&at(10)), Submission::Sent { block: false });
    let early = UnixTime::from_secs(MIN_NTIME - 1);
    assert_eq!(
        bench.submit(&Solution {
            ntime: early,
            ..share(&work)
        }),
        wrong
    );
}

/// MP-69, MP-92, MP-98, FR-28: which version bits may be changed. Those of the job have any value.
#[test]
fn version_bits_are_rolled_only_where_allowed() {
    let mask = |settings: &Sv2Settings, flags, rolling| {
        let mut bench = Bench::new(settings);
        bench.set_up(flags);
        bench.open_success(settings.channel, target(0));
        bench.events();
        match settings.channel {
            ChannelKind::Standard => {
                let version = 0x3fff_ffe0;
                bench
                    .receive(&NewMiningJob {
                        version,
                        ..standard_job(CHANNEL, 5, None)
                    })
                    .unwrap();
            }
            ChannelKind::Extended => {
                bench.extended_job(&ExtendedJob {
                    rolling,
                    ..ExtendedJob::FUTURE
                });
            }
        }
        bench.new_prev_hash(5);
        let work = bench.work();
        let changed = work.version ^ 1 << 13;
        let verdict = bench.submit(&Solution {
            version: changed,
            ..share(&work)
        });
        let refused = verdict == Submission::Wrong(SolutionError::Version);
        assert_eq!(refused, work.version_mask == 0);
        for outside in [1, 1 << 4, 1 << 29, 1 << 31] {
            let version = work.version ^ outside;
            let verdict = bench.submit(&Solution {
                version,
                ..share(&work)
            });
            assert_eq!(verdict, Submission::Wrong(SolutionError::Version));
        }
        work.version_mask
    };
    let (standard, extended) = (
        settings(ChannelKind::Standard),
        settings(ChannelKind::Extended),
    );
    let fixed = Sv2Settings {
        roll_version: false,
        ..extended.clone()
    };
    assert_eq!(mask(&standard, 0, true), 0x1fff_ffe0);
    assert_eq!(mask(&extended, 0, true), 0x1fff_ffe0);
    assert_eq!(mask(&extended, 0, false), 0);
    assert_eq!(mask(&fixed, 0, true), 0);
    assert_eq!(mask(&standard, 1, true), 0);
    assert_eq!(mask(&extended, 1, true), 0);
}

/// A block is sent whatever the share target says, and also when its work has become void; a share is
/// not. MP-75, MP-77.
#[test]
fn a_block_is_sent_in_any_case() {
    let mut bench = Bench::open(ChannelKind::Standard);
    bench
        .receive(&SetTarget {
            channel_id: CHANNEL,
            maximum_target: target(40),
        })
        .unwrap();
    bench.standard_job(5, None);
    bench
        .receive(&new_prev_hash(CHANNEL, 5, EASY_NBITS))
        .unwrap();
    bench.standard_job(6, None);
    let events = bench.events();
    let [ClientEvent::Target(_), ClientEvent::Work(work)] = &events[..] else {
        panic!()
    };
    let network = work.network_target();
    let block = solve(work, |hash| network.is_met_by(hash));
    let nothing = solve(work, |hash| !network.is_met_by(hash));
    assert_eq!(bench.submit(&block), Submission::Sent { block: true });
    assert_eq!(
        bench.submit(&nothing),
        Submission::Wrong(SolutionError::Target)
    );
    bench.new_prev_hash(6);
    assert_eq!(bench.submit(&block), Submission::Sent { block: true });
    assert_eq!(bench.submit(&nothing), Submission::Void);
    assert_eq!(bench.sent().len(), 2);
}

/// MP-85, FR-41: batches are counted by sequence, rejects by themselves, an unknown code is passed on.
#[test]
fn answers_are_counted_by_sequence() {
    let mut bench = Bench::open(ChannelKind::Standard);
    bench.standard_job(5, None);
    bench.new_prev_hash(5);
    let solution = share(&bench.work());
    for _ in 0..10 {
        assert_eq!(bench.submit(&solution), Submission::Sent { block: false });
    }
    let error = |sequence_number, error_code| SubmitSharesError {
        channel_id: CHANNEL,
        sequence_number,
        error_code,
    };
    let success = |last_sequence_number| SubmitSharesSuccess {
        channel_id: CHANNEL,
        last_sequence_number,
        new_submits_accepted_count: 9,
        new_shares_sum: 0,
    };
    bench.receive(&error(3, Code::new("xyz").unwrap())).unwrap();
    bench.receive(&error(3, codes::STALE_SHARE)).unwrap();
    bench.receive(&success(4)).unwrap();
    bench.receive(&success(2)).unwrap();
    bench.receive(&success(99)).unwrap();
    bench.receive(&success(9)).unwrap();
    let other = SubmitSharesSuccess {
        channel_id: CHANNEL + 1,
        ..success(9)
    };
    bench.receive(&other).unwrap();
    let sent = bench.now;
    assert_eq!(
        bench.events(),
        [
            ClientEvent::ShareRejected {
                code: "xyz".to_owned(),
                sent,
            },
            ClientEvent::ShareAccepted {
                sent: vec![sent; 4]
            },
            ClientEvent::ShareAccepted {
                sent: vec![sent; 5]
            },
        ]
    );
}
