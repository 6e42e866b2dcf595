//! What holds whatever happens.

use headframe_api::{History, Snapshot};
use headframe_ledger::{Slot, Sums, Tally};
use proptest::prelude::*;

use super::*;
use crate::board::counts::Counts;
use crate::board::history::Chart;
use crate::board::window::Windows;

fn any_news(at: u64) -> impl Strategy<Value = News> {
    let number = 0u64..6;
    let difficulty = (1u32..9).prop_map(|n| f64::from(n) * 3_000.0);
    let fates = prop_oneof![
        Just(BlockFate::Found),
        Just(BlockFate::Submitted),
        Just(BlockFate::Accepted),
        any::<u32>().prop_map(|confirmations| BlockFate::Confirmed { confirmations }),
        Just(BlockFate::Orphaned),
        Just(refused()),
    ];
    let rejection = prop::sample::select(&Rejection::ALL[..]);
    let tally = (
        any::<u64>(),
        any::<u128>(),
        rejection,
        any::<u64>(),
        any::<[u8; 32]>(),
    );
    prop_oneof![
        (number.clone(), "[a-c]", any::<bool>()).prop_map(move |(number, user, is_sv1)| {
            let protocol = if is_sv1 { Protocol::Sv1 } else { Protocol::Sv2 };
            joined(at, number, &user, protocol)
        }),
        (number.clone(), tally).prop_map(move |(number, tally)| {
            let (accepted, units, rejection, rejected, hash) = tally;
            News::Shares {
                key: key(number),
                tally: Box::new(ShareTally {
                    accepted,
                    work: Work::from_units(units),
                    rejected: [(rejection, rejected)].into(),
                    best: Some(BestShare {
                        hash: BlockHash::from_byte_array(hash),
                        at: wall(at),
                    }),
                    last_accepted: None,
                    not_durable: rejected,
                }),
            }
        }),
        (number.clone(), any::<i32>()).prop_map(|(number, exponent)| News::Difficulty {
            key: key(number),
            rung: Rung::from_exponent(exponent),
        }),
        (number.clone(), any::<(usize, usize)>()).prop_map(|(number, (len, limit))| {
            News::LongCoinbase {
                key: key(number),
                coinbase: LongCoinbase { len, limit },
            }
        }),
        number.prop_map(move |number| left(at, number)),
        any::<f64>().prop_map(move |difficulty| work(at, difficulty)),
        (any::<u32>(), difficulty.clone()).prop_map(move |(height, d)| found(at, height, d)),
        (difficulty, fates, any::<u32>(), any::<bool>()).prop_map(|(d, news, attempts, is_bad)| {
            fate(d, news, attempts, is_bad.then_some("trouble"))
        }),
        any::<u32>().prop_map(|height| status(Condition::Ready, height)),
        (".*", any::<u32>(), any::<u32>(), any::<bool>()).prop_map(|(path, ends, renew, here)| {
            News::Certificate(CertificateNews {
                path: path.into(),
                ends: UnixTime::from_secs(ends),
                renew_from: UnixTime::from_secs(renew),
                is_renewed_here: here,
            })
        }),
        Just(()).prop_map(|()| status(syncing(), 5)),
        (any::<u64>(), ".*").prop_map(|(committed, reason)| ledger(committed, Some(&reason))),
        ".*".prop_map(move |user| News::NameRefused {
            reason: user.clone(),
            user,
            peer: SocketAddr::from(([10, 0, 0, 7], 4_000)),
            at: wall(at),
        }),
        ".*".prop_map(move |reason| News::NoJob {
            reason,
            at: wall(at),
        }),
    ]
}

proptest! {
    /// JSON has no other numbers than finite ones: what is not would come back as another value,
    /// or not at all.
    #[test]
    fn whatever_is_told_the_snapshot_is_bounded_and_survives_json(
        told in prop::collection::vec((0u64..100_000).prop_flat_map(|at| (Just(at), any_news(at))), 0..60),
    ) {
        let mut stage = Stage::new(Past::default());
        for (index, (at, news)) in told.into_iter().enumerate() {
            stage.tell(at, news);
            let snapshot = stage.look(at);
            prop_assert_eq!(snapshot.summary.sequence, index as u64 + 1);
            prop_assert!(snapshot.miners.len() <= 6 + 3 * 3);
            prop_assert!(snapshot.summary.alarms.len() <= 9);
            let json = serde_json::to_string(&snapshot).unwrap();
            let again: Snapshot = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(again, snapshot);
            let (now, wall) = (stage.start + Duration::from_secs(at), wall(at));
            if let Some(history) = stage.model.poll_history(now, wall) {
                let json = serde_json::to_string(&history).unwrap();
                prop_assert_eq!(serde_json::from_str::<History>(&json).unwrap(), history);
            }
        }
    }
}

proptest! {
    /// Against all shares kept: the work of the buckets that a window covers, over their time.
    #[test]
    fn hashrates_agree_with_a_list_of_all_shares(
        steps in prop::collection::vec((0u64..9_000, 0u128..1 << 60), 0..200),
        wait in 0u64..100_000,
    ) {
        let start = Instant::now();
        let mut windows = Windows::new(start);
        let mut shares = Vec::new();
        let mut at = 0;
        for (step, units) in steps {
            // Mostly seconds apart, at times hours.
            at += if step % 7 == 0 { step } else { step % 10 };
            shares.push((at, units));
            windows.add(start + Duration::from_secs(at), Work::from_units(units));
        }
        let now = at + wait;
        let rates = windows.rates(start + Duration::from_secs(now));
        let rates = [rates.one_minute, rates.five_minutes, rates.one_hour, rates.one_day];
        for (rate, window) in rates.into_iter().zip([60, 300, 3_600, 86_400]) {
            let bucket = window / 12;
            let from = (now / bucket).saturating_sub(12) * bucket;
            let covered = shares.iter().filter(|(at, _)| *at >= from);
            let work = Work::from_units(covered.map(|(_, units)| units).sum());
            let seconds = ((now - from) as f64).max(10.0);
            prop_assert_eq!(rate, work.expected_hashes() / seconds);
        }
    }

    #[test]
    fn the_chart_is_bounded_and_finite_whatever_the_clock_does(
        times in prop::collection::vec((any::<u32>(), any::<bool>()), 1..40),
        past in prop::collection::vec((any::<u32>(), 1u32..100_000), 0..20),
    ) {
        let slot = |(start, seconds)| Slot {
            start: UnixTime::from_secs(start),
            seconds,
            sums: Sums {
                accepted: Tally::one(Work::from_units(1 << 70)),
                ..Sums::default()
            },
        };
        let slots: Vec<_> = past.into_iter().map(slot).collect();
        let mut now = times[0].0;
        let mut chart = Chart::new(UnixTime::from_secs(now), &slots, &slots);
        let shares = Counts {
            accepted: u64::MAX,
            work: Work::from_units(u128::MAX),
            ..Counts::default()
        };
        for (time, is_jump) in times {
            now = if is_jump { time } else { now.saturating_add(time % 700) };
            chart.add(&shares);
            chart.advance(UnixTime::from_secs(now), 1.0);
            for (series, kept) in chart.shown().series.into_iter().zip([720, 1_440, 1_008]) {
                prop_assert!(series.hashes_per_second.len() <= kept);
                prop_assert_eq!(series.hashes_per_second.len(), series.accepted.len());
                prop_assert_eq!(series.hashes_per_second.len(), series.rejected.len());
                prop_assert!(series.hashes_per_second.iter().flatten().all(|rate| rate.is_finite()));
            }
        }
    }
}
