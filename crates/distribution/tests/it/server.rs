//! A provider's end against frames that are written out here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::Amount;
use bitcoin::hashes::Hash as _;
use headframe_distribution::server::{
    CHANGE_INTERVAL, CHANGES_AT_ONCE, CONSTRAINTS_WITHIN, ClientFault, FEE_INTERVAL, KEPT_FOR,
    KEPT_OF_TIP, MAX_REQUESTS, MESSAGES_AT_ONCE, MOST_OF_TIP, SETUP_WITHIN, ServerEvent,
    ServerSession,
};
use headframe_distribution::{CoinbaseConstraints, FittedTemplate};
use headframe_sv2_wire::common::{CommonMessage, SetupConnectionError};
use headframe_sv2_wire::template_distribution::{
    NewTemplate, RequestTransactionData, RequestTransactionDataError,
    RequestTransactionDataSuccess, SetNewPrevHash, TemplateDistributionMessage,
};
use headframe_sv2_wire::{Message as _, Protocol, codes};
use headframe_work::{COMMITMENT_PREFIX, Template, UnixTime};

use crate::support::{
    NOW, constraints, frame, read, said, setup, template, transaction, transactions, types,
};

const TDP: Protocol = Protocol::TEMPLATE_DISTRIBUTION;
const FIRST_ID: u64 = 1_000;

/// A session whose client has said what its coinbase needs, and what it offered.
struct Served {
    session: ServerSession,
    now: Instant,
}

impl Served {
    fn new() -> Self {
        let now = Instant::now();
        let mut session = ServerSession::new(now, FIRST_ID);
        take(&mut session, now, &setup(TDP, (2, 2), 0)).unwrap();
        take(&mut session, now, &constraints(153, 12)).unwrap();
        assert_eq!(types(&said(&mut session)), [0x01]);
        let mut served = Self { session, now };
        let asked = served.asked();
        assert_eq!(
            asked,
            [CoinbaseConstraints {
                size: 153,
                sigops: 12
            }]
        );
        served
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), ClientFault> {
        take(&mut self.session, self.now, bytes)
    }

    /// The constraints that wait for a template.
    fn asked(&mut self) -> Vec<CoinbaseConstraints> {
        let events = std::iter::from_fn(|| self.session.poll_event());
        let asked = events.filter_map(|event| match event {
            ServerEvent::Constraints(constraints) => Some(constraints),
            _ => None,
        });
        asked.collect()
    }

    /// Offers a template, and gives what the client is told.
    fn offer(&mut self, template: &Arc<Template>) -> Vec<Vec<u8>> {
        let constraints = self.session.constraints().unwrap();
        let fitted = Arc::new(FittedTemplate::new(template, constraints).unwrap());
        let frames = self.session.offer(self.now, &fitted, NOW);
        let said = said(&mut self.session);
        assert_eq!(frames, !said.is_empty());
        said
    }

    /// Whether the two templates that were given first are known.
    fn knows_oldest(&mut self) -> [bool; 2] {
        [FIRST_ID, FIRST_ID + 1].map(|id| types(&self.request(id)) == [0x74])
    }

    fn request(&mut self, template_id: u64) -> Vec<Vec<u8>> {
        self.take(&frame(&RequestTransactionData { template_id }))
            .unwrap();
        said(&mut self.session)
    }
}

fn take(session: &mut ServerSession, now: Instant, bytes: &[u8]) -> Result<(), ClientFault> {
    session.handle_frame(now, read(bytes))
}

fn new_template(bytes: &[u8]) -> NewTemplate<'_> {
    NewTemplate::decode(read(bytes).payload()).unwrap()
}

/// TD-1: protocol 2, version 2, no flags.
#[test]
fn whoever_asks_for_something_else_is_told_what_is_wrong() {
    for (request, flags, error_code) in [
        (
            setup(Protocol::MINING, (2, 2), 0),
            0,
            codes::UNSUPPORTED_PROTOCOL,
        ),
        (
            setup(Protocol::JOB_DECLARATION, (2, 2), 1),
            0,
            codes::UNSUPPORTED_PROTOCOL,
        ),
        (setup(TDP, (3, 9), 0), 0, codes::PROTOCOL_VERSION_MISMATCH),
        (setup(TDP, (2, 2), 5), 5, codes::UNSUPPORTED_FEATURE_FLAGS),
    ] {
        let now = Instant::now();
        let mut session = ServerSession::new(now, FIRST_ID);
        take(&mut session, now, &request).unwrap();
        let expected = SetupConnectionError { flags, error_code };
        assert_eq!(said(&mut session), [frame(&expected)]);
        let events: Vec<_> = std::iter::from_fn(|| session.poll_event()).collect();
        assert!(
            matches!(events[..], [ServerEvent::Finished { .. }]),
            "{events:?}"
        );
        assert_eq!(session.poll_timeout(), None);
    }
}

/// TD-2, TD-4, TD-28: a template for the future, and the tip that names it.
#[test]
fn constraints_are_answered_with_a_template_and_its_tip() {
    let mut served = Served::new();
    let whole = template(1, transactions(5));
    let frames = served.offer(&whole);
    assert_eq!(types(&frames), [0x71, 0x72]);
    assert!(frames.iter().all(|frame| frame.starts_with(&[0, 0])));
    let sent = new_template(&frames[0]);
    assert!(sent.future_template);
    assert_eq!(sent.template_id, FIRST_ID);
    assert_eq!(sent.version, whole.version);
    assert_eq!(sent.coinbase_prefix.as_bytes(), [0x02, 0xc9, 0x00]);
    assert_eq!(
        sent.coinbase_tx_value_remaining,
        whole.coinbase_value.to_sat()
    );
    assert_eq!(sent.coinbase_tx_input_sequence, 0xffff_fffe);
    assert_eq!(sent.coinbase_tx_locktime, whole.height - 1);
    // TD-23, TD-25: one output, and no count before it.
    assert_eq!(sent.coinbase_tx_outputs_count, 1);
    let outputs = sent.coinbase_tx_outputs.as_bytes();
    assert_eq!(outputs[..9], [0, 0, 0, 0, 0, 0, 0, 0, 38]);
    assert_eq!(outputs[9..15], COMMITMENT_PREFIX);
    assert_eq!(outputs.len(), 47);
    let tip = SetNewPrevHash::decode(read(&frames[1]).payload()).unwrap();
    assert_eq!(tip.template_id, FIRST_ID);
    assert_eq!(tip.prev_hash.to_le_bytes(), whole.prev_hash.to_byte_array());
    assert_eq!(tip.header_timestamp, NOW.as_secs());
    assert_eq!(tip.nbits, 0x207f_ffff);
    assert_eq!(tip.target.to_le_bytes()[31], 0x7f);
}

/// TD-3, TD-4: nothing is given to who has not said what he needs.
#[test]
fn what_comes_before_its_time_ends_the_connection() {
    let now = Instant::now();
    let request = frame(&RequestTransactionData { template_id: 1 });
    let mut session = ServerSession::new(now, FIRST_ID);
    for early in [&request, &constraints(0, 0)] {
        let fault = take(&mut session, now, early).unwrap_err();
        assert!(matches!(fault, ClientFault::OutOfOrder(_)), "{fault}");
    }
    take(&mut session, now, &setup(TDP, (2, 2), 0)).unwrap();
    assert!(matches!(
        take(&mut session, now, &request),
        Err(ClientFault::OutOfOrder(_))
    ));
    let again = take(&mut session, now, &setup(TDP, (2, 2), 0));
    assert!(matches!(again, Err(ClientFault::OutOfOrder(_))));
    let fitted = FittedTemplate::new(
        &template(1, transactions(1)),
        CoinbaseConstraints::default(),
    );
    assert!(!session.offer(now, &Arc::new(fitted.unwrap()), NOW));
}

#[test]
fn messages_that_are_none_of_a_client_s_end_the_connection() {
    let mut served = Served::new();
    let theirs = served.offer(&template(1, transactions(1)));
    for bytes in theirs {
        let fault = served.take(&bytes).unwrap_err();
        assert!(matches!(fault, ClientFault::Misplaced(_)), "{fault}");
    }
    // A mining message, and one that is cut short.
    let mining = [0, 0, 0x10, 0, 0, 0];
    assert!(matches!(
        served.take(&mining),
        Err(ClientFault::Misplaced(_))
    ));
    let short = [0, 0, 0x73, 4, 0, 0, 1, 2, 3, 4];
    assert!(matches!(
        served.take(&short),
        Err(ClientFault::Malformed(_))
    ));
    // What nobody knows is passed over.
    assert_eq!(served.take(&[0, 0, 0x7f, 0, 0, 0]), Ok(()));
    assert_eq!(served.take(&[9, 0, 0x01, 0, 0, 0]), Ok(()));
}

#[test]
fn who_says_nothing_is_not_waited_for() {
    let now = Instant::now();
    let mut session = ServerSession::new(now, FIRST_ID);
    assert_eq!(session.poll_timeout(), Some(now + SETUP_WITHIN));
    assert!(session.handle_timeout(now).is_ok());
    assert!(session.handle_timeout(now + SETUP_WITHIN).is_err());
    take(&mut session, now, &setup(TDP, (2, 2), 0)).unwrap();
    assert_eq!(session.poll_timeout(), Some(now + CONSTRAINTS_WITHIN));
    take(&mut session, now, &constraints(0, 0)).unwrap();
    assert_eq!(session.poll_timeout(), None);
}

/// TD-5, TD-18: more fees are a new template, a few more are not; numbers rise.
#[test]
fn a_template_that_pays_materially_more_is_sent_on_the_same_tip() {
    let mut served = Served::new();
    served.offer(&template(1, transactions(5)));
    served.now += FEE_INTERVAL;
    assert!(
        served.offer(&template(1, transactions(6))).is_empty(),
        "700 satoshis"
    );
    assert!(
        served.offer(&template(1, transactions(4))).is_empty(),
        "less"
    );
    let frames = served.offer(&template(1, transactions(7)));
    assert_eq!(types(&frames), [0x71]);
    let sent = new_template(&frames[0]);
    assert!(!sent.future_template);
    assert_eq!(sent.template_id, FIRST_ID + 1);
    let soon = served.offer(&template(1, transactions(20)));
    assert!(soon.is_empty(), "at most every five seconds");
    served.now += FEE_INTERVAL;
    assert_eq!(types(&served.offer(&template(1, transactions(20)))), [0x71]);
}

/// TD-6, TD-27: a new tip is told whatever it pays and however soon it comes.
#[test]
fn a_new_tip_is_told_at_once() {
    let mut served = Served::new();
    served.offer(&template(1, transactions(5)));
    for tip in 2..10 {
        let frames = served.offer(&template(tip, Vec::new()));
        assert_eq!(types(&frames), [0x71, 0x72]);
        let sent = new_template(&frames[0]);
        assert_eq!(sent.template_id, FIRST_ID + u64::from(tip) - 1);
        assert!(sent.merkle_path.is_empty());
    }
}

#[test]
fn other_bits_are_told_with_the_tip_and_another_version_with_a_template() {
    let mut served = Served::new();
    let mut changed = (*template(1, transactions(5))).clone();
    served.offer(&Arc::new(changed.clone()));
    changed.version ^= 1 << 28;
    assert_eq!(types(&served.offer(&Arc::new(changed.clone()))), [0x71]);
    changed.bits = bitcoin::CompactTarget::from_consensus(0x207f_fffe);
    assert_eq!(types(&served.offer(&Arc::new(changed))), [0x71, 0x72]);
}

/// Each change has a template cut for it: some are answered at once, and of the others the last, a second later.
#[test]
fn constraints_that_change_without_end_are_answered_once_a_second() {
    let mut served = Served::new();
    let size_of = |asked: Vec<CoinbaseConstraints>| asked.first().map(|it| it.size);
    let mut answered = 1;
    for size in 0..20 {
        assert_eq!(
            served.session.is_restless(served.now),
            answered == CHANGES_AT_ONCE
        );
        served.take(&constraints(size, 0)).unwrap();
        if let Some(asked) = size_of(served.asked()) {
            assert_eq!(asked, size);
            assert_eq!(served.offer(&template(1, Vec::new())).len(), 2);
            answered += 1;
        }
    }
    assert_eq!(answered, CHANGES_AT_ONCE);
    let due = served.now + CHANGE_INTERVAL;
    assert_eq!(served.session.poll_timeout(), Some(due));
    served
        .session
        .handle_timeout(due - Duration::from_millis(1))
        .unwrap();
    assert_eq!(size_of(served.asked()), None);
    served.now = due;
    served.session.handle_timeout(due).unwrap();
    assert_eq!(size_of(served.asked()), Some(19), "the latest");
    assert_eq!(served.session.poll_timeout(), None);
    // A new tip is an answer too.
    served.take(&constraints(20, 0)).unwrap();
    assert_eq!(served.session.poll_timeout(), Some(due + CHANGE_INTERVAL));
    assert_eq!(served.offer(&template(2, Vec::new())).len(), 2);
    assert_eq!(served.session.poll_timeout(), None);
    assert_eq!(size_of(served.asked()), None);
    served.now = due + 10 * CHANGE_INTERVAL;
    assert!(!served.session.is_restless(served.now));
    served.take(&constraints(21, 0)).unwrap();
    assert_eq!(size_of(served.asked()), Some(21), "it was quiet since");
}

/// TD-16: new constraints are a new pair, and a burst of them is one.
#[test]
fn new_constraints_are_answered_and_a_burst_is_one_question() {
    let mut served = Served::new();
    let whole = template(1, transactions(5));
    served.offer(&whole);
    for size in 0..50 {
        served.take(&constraints(size, 0)).unwrap();
    }
    assert_eq!(
        served.asked(),
        [CoinbaseConstraints {
            size: 49,
            sigops: 0
        }]
    );
    let frames = served.offer(&whole);
    assert_eq!(types(&frames), [0x71, 0x72]);
    assert!(served.offer(&whole).is_empty());
    // TD-8: what was given before is kept.
    assert_eq!(types(&served.request(FIRST_ID)), [0x74]);
}

#[test]
fn a_header_s_time_is_not_before_what_consensus_allows() {
    let mut served = Served::new();
    let whole = template(1, transactions(1));
    let constraints = served.session.constraints().unwrap();
    let fitted = Arc::new(FittedTemplate::new(&whole, constraints).unwrap());
    served
        .session
        .offer(served.now, &fitted, UnixTime::from_secs(5));
    let frames = said(&mut served.session);
    let tip = SetNewPrevHash::decode(read(&frames[1]).payload()).unwrap();
    assert_eq!(tip.header_timestamp, whole.min_time.as_secs());
}

/// TD-35, TD-37, TD-45: all but the coinbase, whole and in order.
#[test]
fn transactions_are_given_as_they_are_in_the_block() {
    let mut served = Served::new();
    let whole = template(1, transactions(5));
    served.offer(&whole);
    let frames = served.request(FIRST_ID);
    let message = RequestTransactionDataSuccess::decode(read(&frames[0]).payload()).unwrap();
    assert_eq!(message.template_id, FIRST_ID);
    assert_eq!(message.excess_data.as_bytes(), [0; 32]);
    let given = message
        .transaction_list
        .iter()
        .map(|tx| tx.as_bytes().to_vec());
    let expected = whole.transactions.iter().map(|tx| tx.data.clone());
    assert!(given.eq(expected));
}

#[test]
fn templates_that_are_gone_and_templates_that_never_were_have_their_codes() {
    let mut served = Served::new();
    served.offer(&template(1, transactions(5)));
    served.offer(&template(2, transactions(5)));
    for (template_id, error_code) in [
        (FIRST_ID, codes::STALE_TEMPLATE_ID),
        (FIRST_ID - 1, codes::TEMPLATE_ID_NOT_FOUND),
        (FIRST_ID + 2, codes::TEMPLATE_ID_NOT_FOUND),
        (u64::MAX, codes::TEMPLATE_ID_NOT_FOUND),
    ] {
        let expected = RequestTransactionDataError {
            template_id,
            error_code,
        };
        assert_eq!(served.request(template_id), [frame(&expected)]);
    }
}

/// A client that asks and does not read, and one that does nothing but send.
#[test]
fn floods_end_the_connection() {
    let mut served = Served::new();
    served.offer(&template(
        1,
        vec![transaction(crate::support::coin(0), 100_000, 0)],
    ));
    let request = frame(&RequestTransactionData {
        template_id: FIRST_ID,
    });
    for _ in 0..MAX_REQUESTS {
        served.take(&request).unwrap();
    }
    assert_eq!(served.take(&request), Err(ClientFault::TooManyRequests));

    let mut served = Served::new();
    let unknown = frame(&RequestTransactionData { template_id: 0 });
    let floods = (0..=MESSAGES_AT_ONCE).find_map(|_| served.take(&unknown).err());
    assert_eq!(floods, Some(ClientFault::Flood));
    served.now += Duration::from_secs(60);
    assert_eq!(served.take(&unknown), Ok(()));
}

/// TD-8: what was handed out is remembered for a while, and not for ever.
#[test]
fn templates_of_a_long_tip_are_kept_while_they_may_be_mined_and_no_longer() {
    /// Whether the two oldest are known when they were followed by so many, one after another.
    fn oldest(followed: usize, after: Duration) -> [bool; 2] {
        let mut served = Served::new();
        for more in 0..=followed as u32 {
            served.now += after;
            let frames = served.offer(&template(1, transactions(2 * more)));
            assert!(!frames.is_empty());
        }
        served.knows_oldest()
    }
    let five_minutes = (KEPT_FOR.as_secs() / FEE_INTERVAL.as_secs()) as usize;
    assert_eq!(oldest(KEPT_OF_TIP, FEE_INTERVAL), [true, true]);
    assert_eq!(oldest(five_minutes, FEE_INTERVAL), [true, true]);
    assert_eq!(oldest(five_minutes + 1, FEE_INTERVAL), [false, true]);
    // The newest few are kept however old they are.
    assert_eq!(oldest(KEPT_OF_TIP - 1, KEPT_FOR), [true, true]);
    assert_eq!(oldest(KEPT_OF_TIP, KEPT_FOR), [false, true]);
}

#[test]
fn a_client_that_changes_its_needs_without_end_has_so_many_templates() {
    let mut served = Served::new();
    let template = template(1, transactions(1));
    for size in 0..=MOST_OF_TIP as u32 {
        served.take(&constraints(size, 0)).unwrap();
        served.asked();
        assert!(!served.offer(&template).is_empty());
    }
    assert_eq!(served.knows_oldest(), [false, true]);
}

#[test]
fn a_client_is_introduced_without_what_could_deceive_a_reader() {
    let now = Instant::now();
    let mut session = ServerSession::new(now, FIRST_ID);
    let mut bytes = setup(TDP, (2, 2), 0);
    let place = bytes.windows(4).position(|four| four == b"test").unwrap();
    bytes[place] = b'\n';
    take(&mut session, now, &bytes).unwrap();
    let Some(ServerEvent::Introduced(words)) = session.poll_event() else {
        panic!("it is introduced");
    };
    assert_eq!(words, r"\u{a}est 1");
}

#[test]
fn fees_are_what_the_client_s_template_has() {
    let whole = template(1, transactions(3));
    let fitted = FittedTemplate::new(&whole, CoinbaseConstraints::default()).unwrap();
    assert_eq!(fitted.fees(), Amount::from_sat(2_100));
}

#[test]
fn every_message_of_the_protocol_has_a_sender() {
    // A row that is added needs a decision on both sides.
    assert_eq!(TemplateDistributionMessage::MESSAGES.len(), 7);
    assert_eq!(CommonMessage::MESSAGES.len(), 5);
}
