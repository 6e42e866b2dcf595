//! The adapter against providers that say strange things, and things in strange order.

use std::time::Duration;

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, BlockHash};
use headframe_node::tdp::Patience;
use headframe_node::{BlockFate, Cause, Condition, NodeError, SubmitAnswer, Tip};
use headframe_sv2_wire::template_distribution::{
    NewTemplate, RequestTransactionData, RequestTransactionDataError,
    RequestTransactionDataSuccess, SubmitSolution,
};
use headframe_sv2_wire::{Bytes16M, Bytes64K, Bytes255, Message as _, Seq64K, Seq255, U256, codes};

use crate::harness::{Pool, mine};
use crate::script::{FakeProvider, Wire, frame, template, tip, tip_at};

/// The transactions that the client asks for, given.
async fn answer(wire: &mut Wire, transactions: &[&[u8]]) -> u64 {
    let asked = wire.hear_type(0x73).await.unwrap();
    let id = RequestTransactionData::decode(&asked[6..])
        .unwrap()
        .template_id;
    let list: Vec<_> = transactions
        .iter()
        .map(|tx| Bytes16M::new(tx).unwrap())
        .collect();
    wire.say(&frame(&RequestTransactionDataSuccess {
        template_id: id,
        excess_data: Bytes64K::new(b"whatever").unwrap(),
        transaction_list: Seq64K::new(&list).unwrap(),
    }))
    .await;
    id
}

fn hash(byte: u8) -> BlockHash {
    BlockHash::from_byte_array([byte; 32])
}

/// TD-19, TD-29, TD-34: a template that was sent ahead needs nothing more when its tip comes, and a tip that
/// is named again is a refresh.
#[tokio::test(flavor = "multi_thread")]
async fn tips_and_templates_in_every_order() {
    let provider = FakeProvider::new().await;
    let mut pool = Pool::at(provider.address(), &provider.authority.to_string());
    let mut wire = provider.client().await;
    wire.say(&frame(&template(1, true))).await;
    assert_eq!(answer(&mut wire, &[]).await, 1);
    wire.say(&tip(1, 7)).await;
    let first = pool.next().await.unwrap();
    assert_eq!(
        (first.cause, first.template.prev_hash),
        (Cause::NewTip, hash(7))
    );
    assert_eq!(first.template.height, 200);
    assert_eq!(
        first.template.coinbase_value,
        Amount::from_sat(2_500_000_000)
    );
    assert_eq!(first.template.min_time.as_secs(), 1_700_000_000);
    // The tip first, its transactions later.
    wire.say(&frame(&template(2, true))).await;
    wire.say(&tip(2, 7)).await;
    assert_eq!(answer(&mut wire, &[]).await, 2);
    let again = pool.next().await.unwrap();
    assert_eq!(
        (again.cause, again.template.prev_hash),
        (Cause::Refresh, hash(7))
    );
    // At once.
    wire.say(&frame(&template(3, false))).await;
    assert_eq!(answer(&mut wire, &[]).await, 3);
    let refresh = pool.next().await.unwrap();
    assert_eq!(refresh.cause, Cause::Refresh);
    assert!(refresh.template.current_time >= first.template.current_time);
    // Two tips at once: the older of them is never told.
    let next = NewTemplate {
        coinbase_prefix: Bytes255::new(&[0x02, 0xc9, 0x00]).unwrap(),
        ..template(4, true)
    };
    let last = NewTemplate {
        coinbase_prefix: Bytes255::new(&[0x02, 0xca, 0x00]).unwrap(),
        ..template(5, true)
    };
    for bytes in [frame(&next), tip(4, 8), frame(&last), tip(5, 9)] {
        wire.queue(&bytes);
    }
    wire.flush().await;
    answer(&mut wire, &[]).await;
    assert_eq!(answer(&mut wire, &[]).await, 5);
    let newest = pool.on(hash(9)).await;
    assert_eq!((newest.cause, newest.template.height), (Cause::NewTip, 202));
}

/// a new tip is told while its transactions are awaited, if the block after it is known.
#[tokio::test(flavor = "multi_thread")]
async fn a_tip_is_told_a_round_before_its_template() {
    let (_provider, mut pool, mut wire) = serving(Patience::default()).await;
    let next = |id, height| NewTemplate {
        coinbase_prefix: Bytes255::new(height).unwrap(),
        coinbase_tx_locktime: 200,
        ..template(id, true)
    };
    wire.say(&frame(&next(2, &[0x02, 0xc9, 0x00]))).await;
    wire.say(&tip_at(2, [8; 32], 1_700_000_600)).await;
    let told = pool.tip().await;
    let expected = Tip {
        height: 200,
        hash: hash(8),
    };
    assert_eq!((told.tip, told.parent), (expected, hash(7)));
    assert_eq!(told.earliest.as_secs(), 1_700_000_600);
    assert_eq!(asked(&mut wire).await, 2);
    // Whoever has gone back from it in the meantime is not to begin on it again.
    let refresh = NewTemplate {
        future_template: false,
        ..next(3, &[0x02, 0xc9, 0x00])
    };
    wire.say(&frame(&refresh)).await;
    assert_eq!(asked(&mut wire).await, 3);
    assert!(!pool.tips.has_changed().unwrap());
    wire.say(&empty(3)).await;
    pool.on(hash(8)).await;
    // The same tip again, and one that is two blocks on.
    wire.say(&frame(&next(4, &[0x02, 0xc9, 0x00]))).await;
    wire.say(&tip(4, 8)).await;
    answer(&mut wire, &[]).await;
    pool.on(hash(8)).await;
    wire.say(&frame(&next(5, &[0x02, 0xcb, 0x00]))).await;
    wire.say(&tip(5, 9)).await;
    answer(&mut wire, &[]).await;
    pool.on(hash(9)).await;
    assert!(!pool.tips.has_changed().unwrap());
}

/// What no block can be made of is not mined: the reason is told, and another connection tried.
#[tokio::test(flavor = "multi_thread")]
async fn templates_of_which_no_block_can_be_made_are_refused_by_reason() {
    let path = [U256::from_le_bytes([5; 32])];
    let output = [&[0; 8][..], &[1, 0x51]].concat();
    let commitment = [
        &[0; 8][..],
        &[38, 0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed],
        &[3; 32],
    ]
    .concat();
    let cases: [(NewTemplate<'_>, &[&[u8]], &str); 8] = [
        (
            NewTemplate {
                coinbase_tx_version: 1,
                ..template(1, true)
            },
            &[],
            "version 1",
        ),
        (
            NewTemplate {
                coinbase_prefix: Bytes255::new(&[0x02, 0xc8, 0x00, 0x01, 0x07]).unwrap(),
                ..template(1, true)
            },
            &[],
            "more than the height",
        ),
        (
            NewTemplate {
                coinbase_tx_outputs_count: 1,
                coinbase_tx_outputs: Bytes64K::new(&output).unwrap(),
                ..template(1, true)
            },
            &[],
            "no witness commitment",
        ),
        (
            NewTemplate {
                coinbase_tx_outputs_count: 1,
                coinbase_tx_outputs: Bytes64K::new(&commitment).unwrap(),
                ..template(1, true)
            },
            &[],
            "commitment of its template is not that",
        ),
        (
            NewTemplate {
                merkle_path: Seq255::new(&path).unwrap(),
                ..template(1, true)
            },
            &[],
            "merkle path",
        ),
        (template(1, true), &[b"no transaction"], "transaction 0"),
        (
            NewTemplate {
                coinbase_tx_value_remaining: 2_500_000_001,
                ..template(1, true)
            },
            &[],
            "coinbase value",
        ),
        (
            NewTemplate {
                coinbase_tx_value_remaining: u64::MAX,
                ..template(1, true)
            },
            &[],
            "coinbase value",
        ),
    ];
    for (wrong, transactions, reason) in cases {
        let provider = FakeProvider::new().await;
        let mut pool = Pool::at(provider.address(), &provider.authority.to_string());
        let mut wire = provider.client().await;
        wire.say(&frame(&wrong)).await;
        wire.say(&tip(1, 7)).await;
        answer(&mut wire, transactions).await;
        let error = pool.next().await.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        // One that is well is mined.
        let mut wire = provider.client().await;
        wire.say(&frame(&template(1, true))).await;
        wire.say(&tip(1, 7)).await;
        answer(&mut wire, &[]).await;
        pool.on(hash(7)).await;
    }
}

/// TD-30, TD-48 and frames that are nonsense: the connection is given up, the reason told, another made.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_breaks_the_protocol_is_left_and_tried_again() {
    let provider = FakeProvider::new().await;
    let mut pool = Pool::at(provider.address(), &provider.authority.to_string());
    let elsewhere = NewTemplate {
        coinbase_prefix: Bytes255::new(&[0x02, 0xc9, 0x00]).unwrap(),
        ..template(2, false)
    };
    for (wrong, reason) in [
        (tip(9, 8), "has not sent"),
        (frame(&elsewhere), "height 201"),
        (frame(&template(1, false)), "numbers have to rise"),
        (vec![0, 0, 0x71, 1, 0, 0, 0], "malformed"),
        (vec![0, 0, 0x1f, 0, 0, 0], "NewExtendedMiningJob"),
    ] {
        let mut wire = provider.client().await;
        wire.say(&frame(&template(1, true))).await;
        wire.say(&tip(1, 7)).await;
        answer(&mut wire, &[]).await;
        pool.on(hash(7)).await;
        wire.say(&wrong).await;
        let error = pool.next().await.unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        assert!(matches!(error, NodeError::Provider { .. }));
        assert!(
            wire.hear_type(0xff).await.is_none(),
            "the connection is closed"
        );
    }
}

/// The template whose transactions are asked for.
async fn asked(wire: &mut Wire) -> u64 {
    let frame = wire.hear_type(0x73).await.unwrap();
    let request = RequestTransactionData::decode(&frame[6..]).unwrap();
    request.template_id
}

/// That there are no transactions.
fn empty(template_id: u64) -> Vec<u8> {
    frame(&RequestTransactionDataSuccess {
        template_id,
        excess_data: Bytes64K::new(&[]).unwrap(),
        transaction_list: Seq64K::new(&[]).unwrap(),
    })
}

fn refusal(template_id: u64) -> Vec<u8> {
    frame(&RequestTransactionDataError {
        template_id,
        error_code: codes::TEMPLATE_ID_NOT_FOUND,
    })
}

/// Of nothing is said so soon, and so much time there is for an answer.
fn patience(quiet: u64, answer: u64) -> Patience {
    let [quiet, answer] = [quiet, answer].map(Duration::from_millis);
    Patience {
        quiet,
        answer,
        ..Patience::default()
    }
}

/// A provider with a template on tip 7, and the pool that mines it.
async fn serving(patience: Patience) -> (FakeProvider, Pool, Wire) {
    let provider = FakeProvider::new().await;
    let key = provider.authority.to_string();
    let mut pool = Pool::patient(provider.address(), &key, patience);
    let wire = serve(&provider, &mut pool).await;
    (provider, pool, wire)
}

async fn serve(provider: &FakeProvider, pool: &mut Pool) -> Wire {
    let mut wire = provider.client().await;
    wire.say(&frame(&template(1, true))).await;
    wire.say(&tip(1, 7)).await;
    answer(&mut wire, &[]).await;
    pool.on(hash(7)).await;
    wire
}

/// TD-49: a provider that freezes once it serves is asked twice, then left, told of and tried again.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_freezes_is_noticed_where_it_is_the_only_one() {
    let (provider, mut pool, mut wire) = serving(patience(10, 1_000)).await;
    assert_eq!(asked(&mut wire).await, 0, "one that nobody gave");
    assert_eq!(asked(&mut wire).await, 1, "one that it has to know");
    let error = pool.next().await.unwrap_err();
    assert!(matches!(error, NodeError::Frozen { .. }), "{error}");
    assert!(error.advice().contains("frozen"), "{}", error.advice());
    assert!(matches!(
        pool.status.borrow().condition,
        Condition::Unusable(NodeError::Frozen { .. })
    ));
    assert!(
        wire.hear_type(0xff).await.is_none(),
        "the connection is closed"
    );
    serve(&provider, &mut pool).await;
}

/// TD-35: new templates are no answer to who asks for the transactions of one.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_gives_templates_and_no_transactions_is_left() {
    let patience = Patience {
        transactions: Duration::from_secs(3),
        ..Patience::default()
    };
    let (_provider, mut pool, mut wire) = serving(patience).await;
    for id in 2.. {
        wire.queue(&frame(&template(id, false)));
        if !wire.flush().await || wire.hear_type(0x73).await.is_none() {
            break;
        }
    }
    let error = pool.next().await.unwrap_err().to_string();
    assert!(error.contains("did not send the transactions"), "{error}");
}

/// TD-49: to refuse is to be there. It vouches for the template that came last, and ends nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_refuses_what_it_is_asked_for_is_there() {
    let (_provider, mut pool, mut wire) = serving(patience(10, 60_000)).await;
    let mut last = None;
    for _ in 0..5 {
        assert_eq!(asked(&mut wire).await, 0);
        wire.say(&refusal(0)).await;
        let sign = pool.status.wait_for(|status| status.last_sign > last).await;
        last = sign.unwrap().last_sign;
    }
    wire.say(&frame(&template(2, false))).await;
    while asked(&mut wire).await != 2 {
        wire.say(&refusal(0)).await;
    }
    wire.say(&empty(2)).await;
    assert_eq!(pool.next().await.unwrap().cause, Cause::Refresh);
}

/// One that hangs up on who asks for what it did not give is asked for what it gave from then on.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_does_not_bear_an_unknown_number_is_asked_for_a_known_one() {
    let (provider, mut pool, mut wire) = serving(patience(10, 60_000)).await;
    assert_eq!(asked(&mut wire).await, 0);
    drop(wire);
    assert!(pool.next().await.is_err());
    let mut wire = serve(&provider, &mut pool).await;
    for _ in 0..3 {
        assert_eq!(answer(&mut wire, &[]).await, 1);
    }
}

/// TD-34: the template that is mined may be named again, with another time. Its transactions are asked for as those of
/// any; so are those that were refused while the template was for the future.
#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_is_named_is_asked_for_unless_its_answer_is_awaited() {
    let (_provider, mut pool, mut wire) = serving(Patience::default()).await;
    wire.say(&tip_at(1, [7; 32], 1_700_000_060)).await;
    assert_eq!(answer(&mut wire, &[]).await, 1);
    let again = pool.next().await.unwrap();
    assert_eq!(again.cause, Cause::Refresh);
    assert_eq!(again.template.min_time.as_secs(), 1_700_000_060);
    wire.say(&frame(&template(2, true))).await;
    assert_eq!(asked(&mut wire).await, 2);
    wire.say(&refusal(2)).await;
    wire.say(&tip(2, 8)).await;
    assert_eq!(answer(&mut wire, &[]).await, 2);
    pool.on(hash(8)).await;
}

/// The types of the frames up to this one.
async fn types_until(wire: &mut Wire, last: u8) -> Vec<u8> {
    let mut types = Vec::new();
    while types.last() != Some(&last) {
        types.push(wire.hear().await.unwrap()[2]);
    }
    types
}

/// A solution that the provider has not read when the connection breaks is handed in again, before all else, to
/// the next one that gives its template; and no more when its block is named.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_a_connection_lost_is_handed_in_again_until_it_is_named() {
    let provider = FakeProvider::new().await;
    let mut pool = Pool::at(provider.address(), &provider.authority.to_string());
    let mut wire = provider.client().await;
    wire.say(&frame(&template(1, true))).await;
    wire.say(&tip(1, 7)).await;
    answer(&mut wire, &[]).await;
    let block = mine(&pool.on(hash(7)).await.template, 1);
    assert_eq!(pool.submit(&block).await, SubmitAnswer::Inconclusive);
    drop(wire);
    for _ in 0..2 {
        // Of another template nothing is sent.
        let mut wire = provider.client().await;
        let other = NewTemplate {
            coinbase_tx_value_remaining: 2_400_000_000,
            ..template(1, true)
        };
        wire.say(&frame(&other)).await;
        wire.say(&tip(1, 6)).await;
        let types = types_until(&mut wire, 0x73).await;
        assert_eq!(types, [0x73]);
        drop(wire);
        let mut wire = provider.client().await;
        wire.say(&frame(&template(1, true))).await;
        assert_eq!(types_until(&mut wire, 0x73).await, [0x73]);
        // It is an hour later; the block is none the worse.
        wire.say(&tip_at(1, [7; 32], 1_700_003_600)).await;
        let solution = wire.hear().await.unwrap();
        let solution = SubmitSolution::decode(&solution[6..]).unwrap();
        assert_eq!(solution.header_nonce, block.header.nonce);
        assert_eq!(solution.coinbase_tx.as_bytes(), block.coinbase);
        wire.say(&empty(1)).await;
        pool.on(hash(7)).await;
    }
    let mut wire = provider.client().await;
    let next = NewTemplate {
        coinbase_prefix: Bytes255::new(&[0x02, 0xc9, 0x00]).unwrap(),
        ..template(1, true)
    };
    wire.say(&frame(&next)).await;
    wire.say(&tip_at(1, block.hash().to_byte_array(), 1_700_003_600))
        .await;
    answer(&mut wire, &[]).await;
    pool.on(block.hash()).await;
    let fate = pool.sink().fate(block.hash()).unwrap();
    assert_eq!(fate, BlockFate::InChain { confirmations: 1 });
    drop(wire);
    let mut wire = provider.client().await;
    wire.say(&frame(&template(1, true))).await;
    wire.say(&tip(1, 7)).await;
    wire.say(&frame(&template(2, false))).await;
    assert_eq!(types_until(&mut wire, 0x73).await, [0x73]);
    assert_eq!(types_until(&mut wire, 0x73).await, [0x73]);
}

/// TD-35: a template that is stale is followed by another; one that is not known to its own provider is the
/// end of the connection.
#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_are_refused() {
    let provider = FakeProvider::new().await;
    let mut pool = Pool::at(provider.address(), &provider.authority.to_string());
    let mut wire = provider.client().await;
    let refuse = |template_id, error_code| {
        frame(&RequestTransactionDataError {
            template_id,
            error_code,
        })
    };
    wire.say(&frame(&template(1, true))).await;
    wire.say(&tip(1, 7)).await;
    wire.say(&refuse(1, codes::STALE_TEMPLATE_ID)).await;
    wire.say(&frame(&template(2, true))).await;
    wire.say(&tip(2, 8)).await;
    assert_eq!(answer(&mut wire, &[]).await, 1, "it was asked for before");
    assert_eq!(answer(&mut wire, &[]).await, 2);
    let update = pool.next().await.unwrap();
    assert_eq!(update.template.prev_hash, hash(8));
    wire.say(&frame(&template(3, false))).await;
    wire.hear_type(0x73).await.unwrap();
    wire.say(&refuse(3, codes::TEMPLATE_ID_NOT_FOUND)).await;
    let error = pool.next().await.unwrap_err();
    assert!(
        error.to_string().contains("template-id-not-found"),
        "{error}"
    );
}
