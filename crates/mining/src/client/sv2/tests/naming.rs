//! The worker's name in each share, from the request for it on.

use headframe_sv2_wire::extensions::{
    RequestExtensions, RequestExtensionsError, RequestExtensionsSuccess,
};

use super::*;
use crate::client::EXTENSIONS_DEADLINE;

/// The fields of the vectors' shares: "Worker_001", little endian.
const FIELD: &[u8] = b"\x02\x00\x01\x0a\x00Worker_001";

fn named(name: &str) -> Sv2Settings {
    Sv2Settings {
        worker_name: Some(name.to_owned()),
        ..settings(ChannelKind::Extended)
    }
}

/// A session that is set up and has asked for the extension.
fn asking() -> Bench {
    let mut bench = Bench::new(&named("Worker_001"));
    bench.set_up(0);
    let request = framed(&RequestExtensions {
        request_id: 1,
        requested_extensions: Seq64K::new(&[2]).unwrap(),
    });
    assert_eq!(bench.sent()[1..], [request]);
    bench
}

fn grant(bench: &mut Bench, request_id: u16, numbers: &[u16]) {
    bench
        .receive(&RequestExtensionsSuccess {
            request_id,
            supported_extensions: Seq64K::new(numbers).unwrap(),
        })
        .unwrap();
}

fn refuse(bench: &mut Bench, required: &[u16]) {
    bench
        .receive(&RequestExtensionsError {
            request_id: 1,
            unsupported_extensions: Seq64K::new(&[2]).unwrap(),
            required_extensions: Seq64K::new(required).unwrap(),
        })
        .unwrap();
}

fn open(bench: &mut Bench) {
    assert_eq!(bench.sent(), [golden("OpenExtendedMiningChannel")]);
    bench.open_success(ChannelKind::Extended, target(0));
    assert_eq!(bench.events(), [ClientEvent::Ready]);
}

/// What stands behind the next share.
fn tail_of_share(bench: &mut Bench, job_id: u32) -> Vec<u8> {
    bench.extended_job(&ExtendedJob {
        id: job_id,
        ..ExtendedJob::FUTURE
    });
    bench.new_prev_hash(job_id);
    let work = bench.work();
    let solution = share(&work);
    assert_eq!(bench.submit(&solution), Submission::Sent { block: false });
    let sent = bench.sent();
    let MiningMessage::SubmitSharesExtended(share) = decode(&sent[0]) else {
        panic!()
    };
    share.tlvs.as_bytes().to_vec()
}

/// EX-18, EX-20, EX-21, EX-35, EX-36, EX-38: the extension is asked for right after the set-up and
/// nothing else until that is answered; then every share has the name, and no padding.
#[test]
fn every_share_has_the_name_that_was_agreed_on() {
    let mut bench = asking();
    bench.now += EXTENSIONS_DEADLINE - Duration::from_millis(1);
    bench.session.handle_timeout(bench.now);
    assert_eq!(bench.sent(), [[0; 0]; 0], "EX-21");
    grant(&mut bench, 7, &[2]);
    assert_eq!(bench.sent(), [[0; 0]; 0], "EX-23: another's answer");
    grant(&mut bench, 1, &[2]);
    open(&mut bench);
    assert_eq!(tail_of_share(&mut bench, 5), FIELD);
    assert_eq!(tail_of_share(&mut bench, 6), FIELD);
}

/// EX-5, EX-19, EX-28, EX-30 to EX-32, EX-39: a pool that does not agree, whether it says so or
/// nothing at all, is mined on without names.
#[test]
fn without_agreement_there_are_no_names() {
    let declined: [fn(&mut Bench); 4] = [
        |bench| grant(bench, 1, &[]),
        |bench| grant(bench, 1, &[1, 0x0200]),
        |bench| refuse(bench, &[]),
        |bench| {
            bench.now += EXTENSIONS_DEADLINE;
            assert_eq!(bench.session.poll_timeout(), Some(bench.now));
            bench.session.handle_timeout(bench.now);
        },
    ];
    for decline in declined {
        let mut bench = asking();
        decline(&mut bench);
        open(&mut bench);
        assert_eq!(tail_of_share(&mut bench, 5), [0; 0]);
        // A late answer counts.
        grant(&mut bench, 1, &[2]);
        assert_eq!(tail_of_share(&mut bench, 6), FIELD);
        assert_eq!(bench.events(), []);
    }
}

/// EX-27, EX-29: what the pool requires and we have not is the end; there is nothing else to ask for.
#[test]
fn a_pool_that_requires_more_is_left() {
    let mut bench = asking();
    refuse(&mut bench, &[5]);
    let closed = ClientEvent::Closed(CloseReason::ExtensionsRequired);
    assert_eq!(bench.events(), [closed]);
    assert_eq!(bench.sent(), [[0; 0]; 0]);
}

/// FR-35: with its endpoint a channel loses what was agreed on, until that is agreed on again.
#[test]
fn another_endpoint_is_asked_again() {
    let mut bench = asking();
    grant(&mut bench, 1, &[2]);
    open(&mut bench);
    bench
        .receive(&ChannelEndpointChanged { channel_id: 9 })
        .unwrap();
    assert_eq!(tail_of_share(&mut bench, 5), FIELD, "not our channel");
    let changed = ChannelEndpointChanged {
        channel_id: CHANNEL,
    };
    bench.receive(&changed).unwrap();
    let request = framed(&RequestExtensions {
        request_id: 2,
        requested_extensions: Seq64K::new(&[2]).unwrap(),
    });
    assert_eq!(bench.sent(), [request]);
    assert_eq!(tail_of_share(&mut bench, 6), [0; 0]);
    grant(&mut bench, 1, &[2]);
    assert_eq!(tail_of_share(&mut bench, 7), [0; 0], "an old answer");
    grant(&mut bench, 2, &[2]);
    assert_eq!(tail_of_share(&mut bench, 8), FIELD);
}

/// EX-12, EX-37: a name of more than 32 bytes is refused here, not cut; bytes count, not characters.
#[test]
fn a_name_has_at_most_32_bytes() {
    let new = |name: &str| Sv2Session::new(Instant::now(), &named(name)).map(|_| ());
    assert_eq!(new(&"n".repeat(32)), Ok(()));
    assert_eq!(new(&"\u{df}".repeat(16)), Ok(()));
    let error = new(&"\u{df}".repeat(17)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "worker name has 34 bytes; at most 32 can be sent"
    );
}

/// EX-18: who wants no extension asks for none, and so does who could not use it.
#[test]
fn nothing_is_asked_for_that_is_not_used() {
    let standard = Sv2Settings {
        channel: ChannelKind::Standard,
        ..named("w")
    };
    for (settings, message) in [
        (settings(ChannelKind::Extended), "OpenExtendedMiningChannel"),
        (standard, "OpenStandardMiningChannel"),
    ] {
        let mut bench = Bench::new(&settings);
        bench.set_up(0);
        assert_eq!(bench.sent()[1..], [golden(message)]);
        // Answers to nothing are nothing.
        grant(&mut bench, 1, &[2]);
        refuse(&mut bench, &[5]);
        assert_eq!(bench.events(), []);
    }
}

/// FR-59: only clients ask. MP: nothing of a channel comes before it was asked for.
#[test]
fn a_pool_that_asks_or_hurries_breaks_the_protocol() {
    let mut bench = asking();
    let request = RequestExtensions {
        request_id: 1,
        requested_extensions: Seq64K::EMPTY,
    };
    let wrong = SessionError::WrongDirection {
        message: "RequestExtensions",
    };
    assert_eq!(bench.receive(&request), Err(wrong));
    let early = SessionError::OutOfOrder {
        message: "NewMiningJob",
    };
    let job = standard_job(CHANNEL, 1, None);
    assert_eq!(bench.receive(&job), Err(early));
}
