//! Pools that break the protocol, and what is not for us.

use super::*;

/// FR-35, FR-36, FR-57, FR-58: what is passed on, and what is passed over.
#[test]
fn what_is_no_message_of_ours_is_passed_over() {
    let mut bench = Bench::open(ChannelKind::Extended);
    bench
        .receive(&ChannelEndpointChanged { channel_id: 9 })
        .unwrap();
    for unknown in [
        "00007f020000aabb",
        "00801e04000003000000",
        "bc7a00020000ffff",
        "bcfa00040000ffffffff",
    ] {
        bench.receive_bytes(&hex(unknown)).unwrap();
    }
    bench
        .receive_bytes(&golden("SetCustomMiningJob.Success"))
        .unwrap();
    bench.receive_bytes(&golden("SetTarget")).unwrap();
    assert_eq!(bench.events().len(), 1);
    let new_host = Str255::new("b.example").unwrap();
    bench
        .receive(&ReconnectMessage {
            new_host,
            new_port: 0,
        })
        .unwrap();
    let demand = Reconnect {
        host: Some("b.example".to_owned()),
        ..Reconnect::default()
    };
    assert_eq!(bench.events(), [ClientEvent::Reconnect(demand)]);
}

/// MP-36, MP-40, MP-41: answers with sizes that nobody can mine with, or to another request.
#[test]
fn impossible_extranonces_are_refused() {
    let open = |request_id, extranonce_size, prefix_len: usize| {
        let mut bench = Bench::new(&settings(ChannelKind::Extended));
        bench.set_up(0);
        let prefix = [1; 32];
        let result = bench.receive(&OpenExtendedMiningChannelSuccess {
            request_id,
            channel_id: 2,
            target: target(0),
            extranonce_size,
            extranonce_prefix: Bytes32::new(&prefix[..prefix_len]).unwrap(),
            group_channel_id: 1,
        });
        result.map(|()| bench.events().len())
    };
    assert_eq!(open(1, 8, 24), Ok(1));
    assert_eq!(open(2, 8, 24), Ok(0));
    for (rolled, fixed) in [(0, 4), (7, 4), (8, 25), (33, 0), (65_535, 0)] {
        let wrong = SessionError::Extranonce {
            fixed,
            rolled: usize::from(rolled),
        };
        assert_eq!(open(1, rolled, fixed), Err(wrong));
    }
    // A prefix of 33 bytes does not decode at all.
    let mut bytes = golden("OpenExtendedMiningChannel.Success");
    // Behind it four bytes of prefix and the group.
    let at = bytes.len() - 9;
    assert_eq!(bytes[at], 4);
    bytes[at] = 33;
    let mut bench = Bench::new(&settings(ChannelKind::Extended));
    bench.set_up(0);
    assert!(matches!(
        bench.receive_bytes(&bytes),
        Err(SessionError::Malformed(_))
    ));

    let mut bench = Bench::open(ChannelKind::Extended);
    let extranonce_prefix = Bytes32::new(&[0; 25]).unwrap();
    let result = bench.receive(&SetExtranoncePrefix {
        channel_id: CHANNEL,
        extranonce_prefix,
    });
    assert_eq!(
        result,
        Err(SessionError::Extranonce {
            fixed: 25,
            rolled: 8
        })
    );
}

/// What breaks the protocol is named: wrong order, wrong direction, wrong protocol, wrong version, wrong
/// kind of channel.
#[test]
fn a_pool_that_breaks_the_protocol_is_told_from_one_that_refuses() {
    let success = SetupConnectionSuccess {
        used_version: 2,
        flags: 0,
    };
    let mut bench = Bench::new(&settings(ChannelKind::Standard));
    let message = "SetNewPrevHash";
    let early = bench.receive(&new_prev_hash(CHANNEL, 5, NBITS));
    assert_eq!(early, Err(SessionError::OutOfOrder { message }));
    let wrong = bench.receive(&SetupConnectionSuccess {
        used_version: 3,
        flags: 0,
    });
    assert_eq!(wrong, Err(SessionError::Version { version: 3 }));
    bench.receive(&success).unwrap();
    let message = "SetupConnection.Success";
    assert_eq!(
        bench.receive(&success),
        Err(SessionError::OutOfOrder { message })
    );
    let wrong = bench.receive_bytes(&golden("OpenExtendedMiningChannel.Success"));
    assert_eq!(wrong, Err(SessionError::ChannelKind));
    let message = "SubmitSharesStandard";
    let wrong = bench.receive_bytes(&golden(message));
    assert_eq!(wrong, Err(SessionError::WrongDirection { message }));
    let message = "AllocateMiningJobToken";
    let wrong = bench.receive_bytes(&golden(message));
    assert_eq!(wrong, Err(SessionError::Misplaced { message }));
}

proptest! {
    /// Whatever a pool sends, at whatever stage, is an error or an event, never a panic; and what is
    /// held stays bounded.
    #[test]
    fn garbage_is_survived(
        extended: bool,
        stage in 0..3,
        messages in proptest::collection::vec((0u8..0x30, any::<bool>(), proptest::collection::vec(any::<u8>(), 0..80)), 0..20),
    ) {
        let kind = if extended { ChannelKind::Extended } else { ChannelKind::Standard };
        let mut bench = Bench::new(&settings(kind));
        if stage > 0 {
            bench.set_up(0);
        }
        if stage > 1 {
            bench.open_success(kind, target(0));
        }
        for (message_type, on_channel, mut payload) in messages {
            if on_channel && payload.len() >= 4 {
                payload[..4].copy_from_slice(&CHANNEL.to_le_bytes());
            }
            let len = payload.len() as u8;
            let bytes = [&[0, 0, message_type, len, 0, 0], &payload[..]].concat();
            if bench.receive_bytes(&bytes).is_err() {
                break;
            }
            for event in bench.events() {
                if let ClientEvent::Work(work) = event {
                    let solution = Solution {
                        job: work.job,
                        version: work.version,
                        ntime: work.ntime.earliest(),
                        nonce: 0,
                        extranonce: Extranonce::new(&vec![0; work.root.rolled_len()]).unwrap(),
                    };
                    bench.submit(&solution);
                }
            }
            prop_assert!(bench.sent().len() <= 2);
        }
    }
}
