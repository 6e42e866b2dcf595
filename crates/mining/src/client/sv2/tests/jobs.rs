//! Jobs, tips, targets and prefixes: what is mined when.

use super::*;

/// MP-90, MP-102, MP-103, MP-104: future jobs wait; a new tip begins the one it names and forgets the
/// others; one that was forgotten does not come back.
#[test]
fn a_new_tip_begins_the_job_it_names_and_no_other() {
    let mut bench = Bench::open(ChannelKind::Standard);
    bench.standard_job(5, None);
    bench.standard_job(6, None);
    assert_eq!(bench.events(), []);
    bench.new_prev_hash(6);
    let first = bench.work();
    assert!(first.clean);
    let solution = share(&first);
    bench.submit(&solution);
    let sent = bench.sent();
    let MiningMessage::SubmitSharesStandard(submitted) = decode(&sent[0]) else {
        panic!()
    };
    assert_eq!(submitted.job_id, 6);

    bench.new_prev_hash(5);
    assert_eq!(bench.events(), [ClientEvent::NoWork]);
    assert_eq!(bench.submit(&solution), Submission::Void);
    assert_eq!(bench.sent(), [[0; 0]; 0]);

    // Work goes on with the next job on the tip that is known by now.
    bench.standard_job(7, Some(MIN_NTIME + 9));
    let second = bench.work();
    assert!(second.job > first.job);
    assert_eq!(second.ntime.earliest(), UnixTime::from_secs(MIN_NTIME + 9));
}

/// MP-104: a tip that names a job in progress is no reason to go on with it.
#[test]
fn a_new_tip_does_not_resurrect_a_job_in_progress() {
    let mut bench = Bench::open(ChannelKind::Standard);
    bench.standard_job(5, None);
    bench.new_prev_hash(5);
    bench.work();
    bench.new_prev_hash(5);
    assert_eq!(bench.events(), [ClientEvent::NoWork]);
}

/// MP-89, MP-94: a job with a time is begun at once, on the last tip and with its own time, and
/// earlier work stays valid.
#[test]
fn a_job_with_a_time_begins_at_once() {
    let mut bench = Bench::open(ChannelKind::Extended);
    bench.extended_job(&ExtendedJob::FUTURE);
    bench.new_prev_hash(5);
    let first = bench.work();
    let min_ntime = Some(MIN_NTIME + 30);
    bench.extended_job(&ExtendedJob {
        id: 6,
        min_ntime,
        ..ExtendedJob::FUTURE
    });
    let second = bench.work();
    assert!(!second.clean);
    assert_eq!(second.prev_hash, first.prev_hash);
    assert_eq!(second.ntime.earliest(), UnixTime::from_secs(MIN_NTIME + 30));
    assert_eq!(
        bench.submit(&share(&first)),
        Submission::Sent { block: false }
    );
    assert_eq!(
        bench.submit(&share(&second)),
        Submission::Sent { block: false }
    );
}

/// MP-89: a job with a time before any tip cannot be mined. It is kept for the tip that names it.
#[test]
fn a_job_before_the_first_tip_waits() {
    let mut bench = Bench::open(ChannelKind::Standard);
    bench.standard_job(5, Some(MIN_NTIME + 3));
    assert_eq!(bench.events(), []);
    bench.new_prev_hash(5);
    assert_eq!(
        bench.work().ntime.earliest(),
        UnixTime::from_secs(MIN_NTIME + 3)
    );
}

/// MP-121, MP-122: a new target is for later jobs and for future jobs already held, not for the one in
/// progress; addressed to the group it means us too (MP-125).
#[test]
fn a_new_target_waits_for_the_next_work() {
    for channel_id in [CHANNEL, GROUP] {
        let mut bench = Bench::open(ChannelKind::Standard);
        bench.standard_job(5, None);
        bench.new_prev_hash(5);
        let active = bench.work();
        bench.standard_job(6, None);
        bench
            .receive(&SetTarget {
                channel_id,
                maximum_target: target(3),
            })
            .unwrap();
        assert_eq!(bench.events(), [ClientEvent::Target(rung(3).target())]);

        let between =
            |hash: &BlockHash| active.target.is_met_by(hash) && !rung(3).target().is_met_by(hash);
        assert_eq!(
            bench.submit(&solve(&active, between)),
            Submission::Sent { block: false }
        );

        bench.new_prev_hash(6);
        let held = bench.work();
        assert_eq!(held.target, rung(3).target());
        let verdict = bench.submit(&solve(&held, between));
        assert_eq!(verdict, Submission::Wrong(SolutionError::Target));
        assert_eq!(
            bench.submit(&share(&held)),
            Submission::Sent { block: false }
        );
    }
}

/// MP-58: a new prefix is for jobs that come after it.
#[test]
fn a_new_extranonce_prefix_is_for_later_jobs() {
    let mut bench = Bench::open(ChannelKind::Extended);
    bench.extended_job(&ExtendedJob::FUTURE);
    let extranonce_prefix = Bytes32::new(&[9, 9, 9, 9]).unwrap();
    bench
        .receive(&SetExtranoncePrefix {
            channel_id: CHANNEL,
            extranonce_prefix,
        })
        .unwrap();
    // Not for groups (MP-59).
    let foreign = Bytes32::new(&[8; 4]).unwrap();
    bench
        .receive(&SetExtranoncePrefix {
            channel_id: GROUP,
            extranonce_prefix: foreign,
        })
        .unwrap();
    bench.new_prev_hash(5);
    let before = bench.work();
    bench.extended_job(&ExtendedJob {
        id: 6,
        min_ntime: Some(MIN_NTIME),
        ..ExtendedJob::FUTURE
    });
    let after = bench.work();
    for (work, fixed) in [(before, [0xe1, 0xe2, 0xe3, 0xe4]), (after, [9, 9, 9, 9])] {
        bench.submit(&share(&work));
        let sent = bench.sent();
        let MiningMessage::SubmitSharesExtended(share) = decode(&sent[0]) else {
            panic!()
        };
        assert!(meets(&extended_header(&share, fixed), rung(0).target()));
    }
}

/// MP-4, MP-21: each kind of channel has its kind of job, under its own id.
#[test]
fn jobs_of_the_other_kind_are_passed_over() {
    let mut bench = Bench::open(ChannelKind::Extended);
    bench.standard_job(5, None);
    bench.new_prev_hash(5);
    assert_eq!(bench.events(), [ClientEvent::NoWork]);

    let mut bench = Bench::open(ChannelKind::Standard);
    bench.extended_job(&ExtendedJob {
        channel: GROUP,
        ..ExtendedJob::FUTURE
    });
    bench.receive(&standard_job(GROUP, 5, None)).unwrap();
    bench.receive(&standard_job(CHANNEL + 1, 5, None)).unwrap();
    bench.new_prev_hash(5);
    assert_eq!(bench.events(), [ClientEvent::NoWork]);
}

/// MP-128, MP-130: a channel moves into another group, whose id is not a channel's.
#[test]
fn a_channel_can_be_moved_to_another_group() {
    let mut bench = Bench::open(ChannelKind::Extended);
    let members = [CHANNEL + 1, CHANNEL];
    let channel_ids = Seq64K::new(&members).unwrap();
    bench
        .receive(&SetGroupChannel {
            group_channel_id: 8,
            channel_ids,
        })
        .unwrap();
    bench
        .receive(&SetTarget {
            channel_id: GROUP,
            maximum_target: target(1),
        })
        .unwrap();
    assert_eq!(bench.events(), []);
    bench
        .receive(&SetTarget {
            channel_id: 8,
            maximum_target: target(1),
        })
        .unwrap();
    assert_eq!(bench.events().len(), 1);
    let wrong = bench.receive(&SetGroupChannel {
        group_channel_id: CHANNEL,
        channel_ids,
    });
    assert_eq!(wrong, Err(SessionError::GroupIsChannel { id: CHANNEL }));
}

/// A pool that sends jobs without end fills no memory, and the newest of them can be begun.
#[test]
fn held_jobs_are_bounded() {
    let mut bench = Bench::open(ChannelKind::Extended);
    for id in 0..10_000 {
        bench.extended_job(&ExtendedJob {
            id,
            ..ExtendedJob::FUTURE
        });
    }
    bench.new_prev_hash(10_000 - MAX_JOBS as u32 - 1);
    assert_eq!(bench.events(), [ClientEvent::NoWork]);
    for id in 0..100 {
        bench.extended_job(&ExtendedJob {
            id,
            min_ntime: Some(MIN_NTIME),
            ..ExtendedJob::FUTURE
        });
    }
    let events = bench.events();
    let works: Vec<_> = events
        .iter()
        .map(|event| match event {
            ClientEvent::Work(work) => share(work),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(works.len(), 100);
    drop(events);
    for (i, solution) in works.iter().enumerate() {
        let expected = match i < 100 - MAX_JOBS {
            true => Submission::Void,
            false => Submission::Sent { block: false },
        };
        assert_eq!(bench.submit(solution), expected);
    }
}
