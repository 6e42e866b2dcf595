//! A client's end against frames that are written out here.

use std::time::{Duration, Instant};

use bitcoin::hashes::Hash as _;
use bitcoin::hex::FromHex as _;
use headframe_distribution::CoinbaseConstraints;
use headframe_distribution::client::{
    ANSWER_WITHIN, ClientEvent, ClientSession, CloseReason, MAX_FUTURE, ProviderFault,
};
use headframe_sv2_wire::common::{Reconnect, SetupConnectionError, SetupConnectionSuccess};
use headframe_sv2_wire::template_distribution::{
    NewTemplate, RequestTransactionDataError, RequestTransactionDataSuccess, SetNewPrevHash,
};
use headframe_sv2_wire::{
    Bytes16M, Bytes64K, Bytes255, Protocol, Seq64K, Seq255, Str255, U256, codes,
};
use headframe_work::Target;

use crate::support::{NOW, client, constraints, frame, read, setup, types};

const BITS: u32 = 0x207f_ffff;

fn target() -> U256 {
    let bits = bitcoin::CompactTarget::from_consensus(BITS);
    U256::from_le_bytes(Target::from_compact(bits).to_le_bytes())
}

fn take(session: &mut ClientSession, bytes: &[u8]) -> Result<(), ProviderFault> {
    session.handle_frame(Instant::now(), read(bytes))
}

fn said(session: &mut ClientSession) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| session.poll_transmit()).collect()
}

fn events(session: &mut ClientSession) -> Vec<ClientEvent> {
    std::iter::from_fn(|| session.poll_event()).collect()
}

/// A session that is set up.
fn set_up() -> ClientSession {
    let mut session = client(Instant::now());
    said(&mut session);
    let success = SetupConnectionSuccess {
        used_version: 2,
        flags: 0,
    };
    take(&mut session, &frame(&success)).unwrap();
    assert!(matches!(events(&mut session)[..], [ClientEvent::Ready]));
    said(&mut session);
    session
}

/// A template without transactions; `push` is the height's.
fn template(id: u64, future_template: bool, push: &[u8]) -> Vec<u8> {
    frame(&NewTemplate {
        template_id: id,
        future_template,
        version: 0x3fff_e000,
        coinbase_tx_version: 2,
        coinbase_prefix: Bytes255::new(push).unwrap(),
        coinbase_tx_input_sequence: 0xffff_fffe,
        coinbase_tx_value_remaining: 5_000_000_000,
        coinbase_tx_outputs_count: 0,
        coinbase_tx_outputs: Bytes64K::new(&[]).unwrap(),
        coinbase_tx_locktime: 0,
        merkle_path: Seq255::EMPTY,
    })
}

const HEIGHT_200: &[u8] = &[0x02, 0xc8, 0x00];
const HEIGHT_201: &[u8] = &[0x02, 0xc9, 0x00];
const HEIGHT_202: &[u8] = &[0x02, 0xca, 0x00];

fn tip(id: u64, hash: u8) -> Vec<u8> {
    frame(&SetNewPrevHash {
        template_id: id,
        prev_hash: U256::from_le_bytes([hash; 32]),
        header_timestamp: NOW.as_secs(),
        nbits: BITS,
        target: target(),
    })
}

/// The template that is mined now, and whether its tip is new.
fn mined(session: &mut ClientSession) -> Vec<(u64, bool)> {
    let events = events(session).into_iter();
    let mined = events.filter_map(|event| match event {
        ClientEvent::Template {
            template,
            is_new_tip,
            ..
        } => Some((template.id, is_new_tip)),
        _ => None,
    });
    mined.collect()
}

/// TD-1, TD-3, TD-15: set-up for protocol 2, then what the coinbase needs, and nothing between.
#[test]
fn what_the_coinbase_needs_is_said_right_after_set_up() {
    let mut session = client(Instant::now());
    let first = said(&mut session);
    let mut expected = setup(Protocol::TEMPLATE_DISTRIBUTION, (2, 2), 0);
    assert_eq!(types(&first), [0x00]);
    assert_eq!(
        first[0][6..15],
        expected.split_off(6)[..9],
        "protocol, versions, flags"
    );
    let success = SetupConnectionSuccess {
        used_version: 2,
        flags: 0,
    };
    take(&mut session, &frame(&success)).unwrap();
    session.request_transactions(1);
    let next = said(&mut session);
    assert_eq!(next[0], constraints(153, 12));
}

/// TD-16: needs that change are told, in order, and before set-up the last of them alone.
#[test]
fn other_needs_are_told_when_they_change() {
    let needs = |size| CoinbaseConstraints { size, sigops: 4 };
    let mut session = client(Instant::now());
    session.set_constraints(needs(1));
    session.set_constraints(needs(2));
    assert_eq!(types(&said(&mut session)), [0x00]);
    let success = SetupConnectionSuccess {
        used_version: 2,
        flags: 0,
    };
    take(&mut session, &frame(&success)).unwrap();
    assert_eq!(said(&mut session), [constraints(2, 4)]);
    session.set_constraints(needs(2));
    assert!(said(&mut session).is_empty(), "the same");
    session.set_constraints(needs(3));
    assert_eq!(said(&mut session), [constraints(3, 4)]);
}

#[test]
fn a_refusal_is_the_end_and_is_shown_escaped() {
    let mut session = client(Instant::now());
    let mut refused = frame(&SetupConnectionError {
        flags: 0,
        error_code: codes::UNSUPPORTED_PROTOCOL,
    });
    let last = refused.len() - 1;
    refused[last] = 0x1b;
    take(&mut session, &refused).unwrap();
    let events = events(&mut session);
    let [ClientEvent::Closed(CloseReason::SetupRefused { reason })] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(reason, r"unsupported-protoco\u{1b}");
    assert_eq!(
        take(&mut session, &tip(1, 1)),
        Ok(()),
        "nothing is heard any more"
    );
}

#[test]
fn another_version_and_messages_that_are_not_a_provider_s_are_faults() {
    let mut session = client(Instant::now());
    let success = SetupConnectionSuccess {
        used_version: 3,
        flags: 0,
    };
    assert_eq!(
        take(&mut session, &frame(&success)),
        Err(ProviderFault::Version(3))
    );
    let early = take(&mut session, &template(1, true, HEIGHT_200));
    assert!(matches!(early, Err(ProviderFault::OutOfOrder(_))));
    let mut session = set_up();
    for theirs in [
        constraints(1, 1),
        setup(Protocol::MINING, (2, 2), 0),
        vec![0, 0, 0x1f, 0, 0, 0],
    ] {
        let fault = take(&mut session, &theirs).unwrap_err();
        assert!(matches!(fault, ProviderFault::Misplaced(_)), "{fault}");
    }
    assert_eq!(take(&mut session, &[0, 0, 0x7f, 0, 0, 0]), Ok(()));
}

/// TD-19: the future waits for its tip, the present begins at once, and there is no present without a tip.
#[test]
fn a_template_waits_for_its_tip_or_begins_at_once() {
    let mut session = set_up();
    let early = take(&mut session, &template(1, false, HEIGHT_200));
    assert!(matches!(early, Err(ProviderFault::OutOfOrder(_))));
    let mut session = set_up();
    take(&mut session, &template(1, true, HEIGHT_200)).unwrap();
    assert!(mined(&mut session).is_empty());
    take(&mut session, &tip(1, 7)).unwrap();
    assert_eq!(mined(&mut session), [(1, true)]);
    take(&mut session, &template(2, false, HEIGHT_200)).unwrap();
    assert_eq!(mined(&mut session), [(2, false)]);
}

/// TD-29 to TD-31: all of the future are kept, the tip picks one, the others go.
#[test]
fn a_tip_picks_one_of_the_future() {
    let mut session = set_up();
    for id in 1..=3 {
        take(&mut session, &template(id, true, HEIGHT_200)).unwrap();
    }
    take(&mut session, &tip(2, 7)).unwrap();
    assert_eq!(mined(&mut session), [(2, true)]);
    let late = take(&mut session, &tip(3, 8));
    assert_eq!(late, Err(ProviderFault::UnknownTemplate(3)));
    assert_eq!(
        take(&mut session, &tip(9, 8)),
        Err(ProviderFault::UnknownTemplate(9))
    );
}

#[test]
fn the_future_is_bounded_and_its_newest_stay() {
    let mut session = set_up();
    for id in 1..=100 {
        take(&mut session, &template(id, true, HEIGHT_200)).unwrap();
    }
    let oldest = 100 - MAX_FUTURE as u64;
    assert_eq!(
        take(&mut session, &tip(oldest, 7)),
        Err(ProviderFault::UnknownTemplate(oldest))
    );
    take(&mut session, &tip(oldest + 1, 7)).unwrap();
    assert_eq!(mined(&mut session), [(oldest + 1, true)]);
}

/// TD-34: the same tip once more, with another template for the future, leaves work as it is.
#[test]
fn a_tip_that_is_named_again_is_no_new_one() {
    let mut session = set_up();
    take(&mut session, &template(1, true, HEIGHT_200)).unwrap();
    take(&mut session, &tip(1, 7)).unwrap();
    take(&mut session, &template(2, true, HEIGHT_200)).unwrap();
    take(&mut session, &tip(2, 7)).unwrap();
    assert_eq!(mined(&mut session), [(1, true), (2, false)]);
    take(&mut session, &tip(1, 7)).unwrap();
    assert_eq!(
        mined(&mut session),
        [(1, false)],
        "it names one that is mined"
    );
    take(&mut session, &template(3, true, HEIGHT_201)).unwrap();
    take(&mut session, &tip(3, 8)).unwrap();
    assert_eq!(mined(&mut session), [(3, true)]);
}

/// TD-18: numbers rise.
#[test]
fn numbers_that_do_not_rise_are_a_fault() {
    let mut session = set_up();
    take(&mut session, &template(5, true, HEIGHT_200)).unwrap();
    for id in [5, 4, 0] {
        let fault = take(&mut session, &template(id, true, HEIGHT_200));
        assert_eq!(fault, Err(ProviderFault::Id { id, last: 5 }));
    }
}

/// TD-48: a template for another tip, which was not told.
#[test]
fn a_present_template_of_another_height_is_a_fault() {
    let mut session = set_up();
    take(&mut session, &template(1, true, HEIGHT_201)).unwrap();
    take(&mut session, &tip(1, 7)).unwrap();
    events(&mut session);
    for push in [HEIGHT_200, HEIGHT_202] {
        let fault = take(&mut session, &template(2, false, push)).unwrap_err();
        assert!(matches!(fault, ProviderFault::OtherTip { .. }), "{fault}");
        // A connection that has a fault is over; here the next template is only to be looked at too.
        session = set_up();
        take(&mut session, &template(1, true, HEIGHT_201)).unwrap();
        take(&mut session, &tip(1, 7)).unwrap();
    }
}

/// TD-21, TD-24: a template that does not say its height, or miscounts its outputs.
#[test]
fn a_template_that_contradicts_itself_is_a_fault() {
    let mut session = set_up();
    for push in [&[][..], &[0x02, 0xc8], &[0x01, 0x81]] {
        let fault = take(&mut session, &template(1, true, push));
        assert_eq!(fault, Err(ProviderFault::Height { id: 1 }));
    }
    // sv2-tp's one output, with a count before it as some senders had it.
    let output = Vec::from_hex(
        "0000000000000000266a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9",
    )
    .unwrap();
    let counted = [&[1][..], &output].concat();
    for (outputs, count, is_good) in [
        (&output, 1, true),
        (&output, 0, false),
        (&output, 2, false),
        (&counted, 1, false),
    ] {
        let mut session = set_up();
        let result = take(
            &mut session,
            &frame(&NewTemplate {
                template_id: 1,
                future_template: true,
                version: 0x2000_0000,
                coinbase_tx_version: 2,
                coinbase_prefix: Bytes255::new(HEIGHT_200).unwrap(),
                coinbase_tx_input_sequence: 0,
                coinbase_tx_value_remaining: 1,
                coinbase_tx_outputs_count: count,
                coinbase_tx_outputs: Bytes64K::new(outputs).unwrap(),
                coinbase_tx_locktime: 0,
                merkle_path: Seq255::EMPTY,
            }),
        );
        assert_eq!(result.is_ok(), is_good, "{result:?}");
    }
}

/// TD-33: a target below the network's is the provider's right, one above it nonsense.
#[test]
fn a_target_easier_than_the_bits_is_a_fault() {
    for (nbits, target, is_good) in [
        (BITS, target(), true),
        (BITS, U256::from_le_bytes([0; 32]), true),
        (BITS, U256::MAX, false),
        (0, U256::from_le_bytes([0; 32]), false),
    ] {
        let mut session = set_up();
        take(&mut session, &template(1, true, HEIGHT_200)).unwrap();
        let tip = SetNewPrevHash {
            template_id: 1,
            prev_hash: U256::from_le_bytes([7; 32]),
            header_timestamp: 0,
            nbits,
            target,
        };
        let result = take(&mut session, &frame(&tip));
        assert_eq!(result.is_ok(), is_good, "{nbits:x} {result:?}");
    }
}

/// TD-36: what is beside the transactions is not looked at.
#[test]
fn transactions_are_handed_on_as_they_are() {
    let mut session = set_up();
    let list = [b"one".as_slice(), b"", &[0xff; 300]];
    let list = list.map(|bytes| Bytes16M::new(bytes).unwrap());
    let noise: Vec<u8> = (0..=255).cycle().take(5_000).collect();
    let message = RequestTransactionDataSuccess {
        template_id: 7,
        excess_data: Bytes64K::new(&noise).unwrap(),
        transaction_list: Seq64K::new(&list).unwrap(),
    };
    take(&mut session, &frame(&message)).unwrap();
    let events = events(&mut session);
    let [
        ClientEvent::Transactions {
            template_id: 7,
            transactions,
        },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(
        *transactions,
        [b"one".to_vec(), Vec::new(), vec![0xff; 300]]
    );
}

/// TD-35: a template of an earlier tip is no reason to worry, one that never was is.
#[test]
fn refused_transactions_say_whether_another_template_comes() {
    for (error_code, stale) in [
        (codes::STALE_TEMPLATE_ID, true),
        (codes::TEMPLATE_ID_NOT_FOUND, false),
    ] {
        let mut session = set_up();
        let message = RequestTransactionDataError {
            template_id: 7,
            error_code,
        };
        take(&mut session, &frame(&message)).unwrap();
        let events = events(&mut session);
        let [
            ClientEvent::NoTransactions {
                template_id: 7,
                is_stale,
                ..
            },
        ] = &events[..]
        else {
            panic!("{events:?}");
        };
        assert_eq!(*is_stale, stale);
    }
}

/// TD-49: a provider that owes nothing may be silent; one that owes something may not.
#[test]
fn only_who_owes_something_is_waited_for_in_vain() {
    let now = Instant::now();
    let mut session = client(now);
    assert_eq!(session.poll_timeout(), Some(now + ANSWER_WITHIN));
    session.handle_timeout(now + ANSWER_WITHIN - Duration::from_millis(1));
    assert!(events(&mut session).is_empty());
    session.handle_timeout(now + ANSWER_WITHIN);
    let told = events(&mut session);
    assert!(
        matches!(&told[..], [ClientEvent::Closed(reason)] if reason.to_string().contains("SetupConnection.Success"))
    );

    let mut session = set_up();
    let due = session.poll_timeout().unwrap();
    take(&mut session, &template(1, true, HEIGHT_200)).unwrap();
    take(&mut session, &tip(1, 7)).unwrap();
    events(&mut session);
    assert_eq!(session.poll_timeout(), None);
    session.handle_timeout(due + Duration::from_secs(86_400));
    assert!(events(&mut session).is_empty());
}

#[test]
fn a_provider_may_send_its_clients_away() {
    let mut session = set_up();
    let away = Reconnect {
        new_host: Str255::new("elsewhere.example").unwrap(),
        new_port: 1,
    };
    take(&mut session, &frame(&away)).unwrap();
    let told = events(&mut session);
    assert!(matches!(
        told[..],
        [ClientEvent::Closed(CloseReason::Reconnect)]
    ));
}

/// The block that is mined on is the one that was told, in raw order (TD-26, FR-4).
#[test]
fn hashes_keep_their_order() {
    let mut session = set_up();
    take(&mut session, &template(1, true, HEIGHT_200)).unwrap();
    let mut hash = [0; 32];
    hash[0] = 0xab;
    let message = SetNewPrevHash {
        template_id: 1,
        prev_hash: U256::from_le_bytes(hash),
        header_timestamp: NOW.as_secs(),
        nbits: BITS,
        target: target(),
    };
    take(&mut session, &frame(&message)).unwrap();
    let told = events(&mut session);
    let Some(ClientEvent::Template { tip, .. }) = told.last() else {
        panic!("{told:?}");
    };
    assert_eq!(tip.prev_hash.to_byte_array(), hash);
    assert_eq!(tip.height, 200);
}
