//! Set-up, the opening of the channel, and the ways in which a session ends.

use super::*;

/// FR-20, FR-22, FR-24, FR-25, FR-26: SetupConnection is the first message; protocol 0, version 2 and
/// no other, vendor and hardware named, no device id. It is the golden frame, except that we require
/// no version rolling.
#[test]
fn set_up_is_the_first_message() {
    let mut bench = Bench::new(&settings(ChannelKind::Extended));
    let mut expected = golden("SetupConnection");
    expected[11..15].copy_from_slice(&[0; 4]);
    assert_eq!(bench.sent(), [expected]);
}

/// MP-22, MP-31, MP-33: a standard client sets REQUIRES_STANDARD_JOBS, and either asks for its channel
/// as soon as it is set up: the golden frames of the conformance vectors.
#[test]
fn the_channel_is_asked_for_at_once() {
    for (kind, flag, message) in [
        (ChannelKind::Standard, 1, "OpenStandardMiningChannel"),
        (ChannelKind::Extended, 0, "OpenExtendedMiningChannel"),
    ] {
        let mut bench = Bench::new(&settings(kind));
        assert_eq!(bench.sent()[0][11..15], [flag, 0, 0, 0]);
        bench.set_up(0);
        assert_eq!(bench.sent(), [golden(message)]);
        assert_eq!(bench.events(), []);
    }
}

/// FR-41, FR-42: refusals end the session whatever their code; MP-36: unless they answer another request.
#[test]
fn refusals_say_who_is_refused() {
    let code = || Code::new("no such code").unwrap();
    let reason = || "no such code".to_owned();
    let mut bench = Bench::new(&settings(ChannelKind::Standard));
    bench
        .receive(&SetupConnectionError {
            flags: 0,
            error_code: code(),
        })
        .unwrap();
    let closed = CloseReason::SetupRefused { reason: reason() };
    assert_eq!(bench.events(), [ClientEvent::Closed(closed)]);
    assert_eq!(bench.session.poll_timeout(), None);

    let mut bench = Bench::new(&settings(ChannelKind::Standard));
    bench.set_up(0);
    bench
        .receive(&OpenMiningChannelError {
            request_id: 7,
            error_code: code(),
        })
        .unwrap();
    assert_eq!(bench.events(), []);
    bench
        .receive(&OpenMiningChannelError {
            request_id: 1,
            error_code: code(),
        })
        .unwrap();
    let closed = CloseReason::UserRefused { reason: reason() };
    assert_eq!(bench.events(), [ClientEvent::Closed(closed)]);
}

/// MP-29, FR-28: a standard client does not ask where only extended channels are served.
#[test]
fn a_pool_of_extended_channels_is_left() {
    let mut bench = Bench::new(&settings(ChannelKind::Standard));
    bench.set_up(2);
    assert_eq!(
        bench.events(),
        [ClientEvent::Closed(CloseReason::ExtendedChannelsOnly)]
    );
    assert_eq!(bench.sent().len(), 1);
}

/// MP-50, MP-55: a channel is closed by us with a message, and by the pool alone or with its group.
#[test]
fn channels_are_closed_from_both_sides() {
    let mut bench = Bench::open(ChannelKind::Extended);
    bench.session.close();
    let sent = bench.sent();
    let MiningMessage::CloseChannel(close) = decode(&sent[0]) else {
        panic!()
    };
    assert_eq!(close.channel_id, CHANNEL);
    assert_eq!(bench.events(), [ClientEvent::Closed(CloseReason::Done)]);

    for (channel_id, closes) in [(CHANNEL, true), (GROUP, true), (CHANNEL + 1, false)] {
        let mut bench = Bench::open(ChannelKind::Extended);
        let reason_code = Code::new("bye").unwrap();
        bench
            .receive(&CloseChannel {
                channel_id,
                reason_code,
            })
            .unwrap();
        let reason = CloseReason::ChannelClosed {
            reason: "bye".to_owned(),
        };
        let expected = closes.then_some(ClientEvent::Closed(reason));
        assert_eq!(bench.events(), Vec::from_iter(expected));
    }
}

/// A pool that stays silent is left, at each stage and not before its time.
#[test]
fn silence_ends_the_session() {
    let setting_up = Bench::new(&settings(ChannelKind::Standard));
    let mut opening = Bench::new(&settings(ChannelKind::Standard));
    opening.set_up(0);
    let open = Bench::open(ChannelKind::Standard);
    for (mut bench, wait) in [(setting_up, 30), (opening, 30), (open, 180)] {
        bench.events();
        let deadline = bench.session.poll_timeout().unwrap();
        assert_eq!(deadline, bench.now + Duration::from_secs(wait));
        bench
            .session
            .handle_timeout(deadline - Duration::from_millis(1));
        assert_eq!(bench.events(), []);
        bench.session.handle_timeout(deadline);
        let events = bench.events();
        assert!(matches!(
            events[..],
            [ClientEvent::Closed(CloseReason::TimedOut { .. })]
        ));
        assert_eq!(bench.session.poll_timeout(), None);
        bench.session.handle_timeout(deadline);
        assert_eq!(bench.events(), []);
    }
}

/// A user name that does not fit is the operator's fault, said before anything is sent.
#[test]
fn settings_that_cannot_be_sent_are_named() {
    let user_identity = "x".repeat(256);
    let wrong = Sv2Settings {
        user_identity,
        ..settings(ChannelKind::Standard)
    };
    let error = Sv2Session::new(Instant::now(), &wrong).unwrap_err();
    assert_eq!(
        error.to_string(),
        "user name has 256 bytes; at most 255 can be sent"
    );
}
