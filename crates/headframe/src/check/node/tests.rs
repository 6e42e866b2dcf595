//! Each finding of a node, right and wrong.

use std::collections::BTreeMap;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use headframe_node::embedded::{ChainSettings, EmbeddedChain};
use headframe_work::{BasisPoints, Fee, UnixTime, VersionBits};

use super::super::finding::{Findings, Level};
use super::*;

fn tag() -> PoolTag {
    PoolTag::new("headframe").unwrap()
}

fn payouts(fee: Option<Fee>) -> PayoutPolicy {
    PayoutPolicy {
        network: Network::Regtest,
        fee,
        plain_names: None,
    }
}

/// A node that is as it should be.
fn well() -> Examination {
    let chain = EmbeddedChain::open(None, ChainSettings::default()).unwrap();
    Examination {
        software: Some("/Satoshi:31.0.0/".to_owned()),
        peers: Some(8),
        height: 110,
        headers: 110,
        clock: Some(ClockOffset {
            ahead_ms: 12,
            within_ms: 20,
        }),
        template: Ok(TemplateFacts {
            template: chain.template_at(UnixTime::from_secs(1_800_000_000)),
            took: Duration::from_millis(20),
            reserved_weight: Some(8_000),
            deployments: BTreeMap::new(),
        }),
        takes_blocks: Ok(()),
        published: Ok(Vec::new()),
    }
}

/// What is found of it, with a fee that takes some room.
fn found(facts: &Examination, needs: &Needs<'_>) -> Findings {
    let mut findings = Findings::default();
    examined(&mut findings.about("node"), facts, needs);
    findings
}

fn level(facts: &Examination, code: &str) -> (Level, String) {
    let (tag, payouts) = (tag(), payouts(None));
    let needs = Needs {
        payouts: Some(&payouts),
        ..needs(&tag)
    };
    let findings = found(facts, &needs);
    let finding = findings.only(code);
    let step = finding.next_step.clone().unwrap_or_default();
    (finding.level, format!("{}; {step}", finding.text))
}

fn needs(tag: &PoolTag) -> Needs<'_> {
    Needs {
        network: Some(Network::Regtest),
        payouts: None,
        tag,
        published: &[],
        others: None,
        version_bits: VersionBits::default(),
    }
}

#[test]
fn a_node_that_is_well_is_well_in_everything() {
    let (tag, payouts) = (tag(), payouts(None));
    let findings = found(
        &well(),
        &Needs {
            payouts: Some(&payouts),
            ..needs(&tag)
        },
    );
    let codes = [
        "version",
        "tip",
        "template",
        "reserved_weight",
        "submit",
        "clock",
    ];
    assert_eq!(findings.codes(), codes.map(|code| (code, Level::Ok)));
    let text = findings.told();
    assert!(
        text.contains("/Satoshi:31.0.0/ on regtest, 8 peers"),
        "{text}"
    );
}

/// Bitcoin Core withholds templates for that on the main network alone.
#[test]
fn a_node_that_knows_nobody_is_spoken_of() {
    let (alone, young) = (
        Examination {
            peers: Some(0),
            ..well()
        },
        Examination {
            height: 0,
            headers: 0,
            ..well()
        },
    );
    let tag = tag();
    let rows = [
        (&alone, "version", Network::Signet, Level::Note),
        (&alone, "version", Network::Testnet4, Level::Note),
        (&alone, "version", Network::Mainnet, Level::Note),
        (&alone, "version", Network::Regtest, Level::Ok),
        (&young, "tip", Network::Signet, Level::Note),
        (&young, "tip", Network::Regtest, Level::Ok),
        (&well(), "version", Network::Signet, Level::Ok),
        (&well(), "tip", Network::Signet, Level::Ok),
    ];
    for (facts, code, network, level) in rows {
        let needs = Needs {
            network: Some(network),
            ..needs(&tag)
        };
        assert_eq!(found(facts, &needs).only(code).level, level, "{network}");
    }
}

#[test]
fn a_node_that_cannot_be_asked_has_its_reason_and_advice() {
    let mut findings = Findings::default();
    away(&mut findings.about("node"), &NodeError::Busy);
    let finding = findings.only("node");
    assert_eq!(finding.level, Level::Wrong);
    assert_eq!(finding.next_step.as_deref(), Some(NodeError::Busy.advice()));
}

#[test]
fn a_node_without_templates_or_that_takes_no_blocks_is_wrong() {
    let syncing = NodeError::Syncing("block 1 of 9".to_owned());
    let facts = Examination {
        template: Err(syncing),
        takes_blocks: Err(NodeError::Forbidden {
            address: "127.0.0.1:8332".to_owned(),
            method: "submitblock",
        }),
        headers: 200,
        ..well()
    };
    assert_eq!(level(&facts, "template").0, Level::Wrong);
    let (submit, text) = level(&facts, "submit");
    assert_eq!(submit, Level::Wrong);
    assert!(text.contains("rpcwhitelist"), "{text}");
    let (tip, text) = level(&facts, "tip");
    assert_eq!(tip, Level::Note);
    assert!(text.contains("110 of 200"), "{text}");
}

#[test]
fn a_slow_template_is_noted() {
    let mut facts = well();
    facts.template.as_mut().unwrap().took = Duration::from_secs(15);
    assert_eq!(level(&facts, "template").0, Level::Note);
}

#[test]
fn a_node_behind_another_is_wrong_and_a_block_late_is_not() {
    let tag = tag();
    let of = |others| {
        let needs = Needs {
            others: Some(others),
            ..needs(&tag)
        };
        found(&well(), &needs).only("tip").level
    };
    assert_eq!(of(111), Level::Ok);
    assert_eq!(of(112), Level::Wrong);
    assert_eq!(of(90), Level::Ok);
}

/// By the template's own room, and by the reserve that the node tells.
#[test]
fn a_reserve_is_held_against_what_the_payouts_need() {
    let reserved = |reserved_weight| {
        let mut facts = well();
        facts.template.as_mut().unwrap().reserved_weight = reserved_weight;
        level(&facts, "reserved_weight")
    };
    assert_eq!(reserved(Some(8_000)).0, Level::Ok);
    assert_eq!(reserved(None).0, Level::Ok);
    let (small, text) = reserved(Some(1_000));
    assert_eq!(small, Level::Wrong);
    let (_, needed) = text.rsplit_once("blockreservedweight=").unwrap();
    let needed: u64 = needed.split(' ').next().unwrap().parse().unwrap();
    assert_eq!(reserved(Some(needed)).0, Level::Ok);
    assert_eq!(reserved(Some(needed - 1)).0, Level::Wrong);

    let mut full = well();
    full.template.as_mut().unwrap().template.limits.weight = 1_000;
    assert_eq!(level(&full, "reserved_weight").0, Level::Wrong);
}

#[test]
fn a_split_fee_needs_more_room_than_none() {
    let part = |value| BasisPoints::new(value).unwrap();
    let script = ScriptBuf::new_p2wsh(&WScriptHash::all_zeros());
    let fee = Fee {
        rate: part(100),
        script: script.clone(),
        split: Some((part(5_000), script)),
    };
    let template = well().template.unwrap().template;
    let needed = |fee| needed_weight(&template, &payouts(fee), &tag()).unwrap();
    // Two outputs of 8 + 1 + 34 bytes.
    assert_eq!(needed(Some(fee)), needed(None) + 4 * 2 * 43);
}

#[test]
fn a_clock_is_judged_beyond_what_the_way_may_hide() {
    let clock = |ahead_ms, within_ms| {
        let facts = Examination {
            clock: Some(ClockOffset {
                ahead_ms,
                within_ms,
            }),
            ..well()
        };
        level(&facts, "clock")
    };
    for (ahead_ms, within_ms, expected) in [
        (0, 0, Level::Ok),
        (-4_999, 0, Level::Ok),
        (5_000, 0, Level::Note),
        (-5_000, 0, Level::Note),
        (5_000, 10_000, Level::Ok),
        (600_000, 0, Level::Wrong),
        (i64::MIN, 0, Level::Wrong),
        (i64::MAX, 0, Level::Wrong),
    ] {
        assert_eq!(
            clock(ahead_ms, within_ms).0,
            expected,
            "{ahead_ms} {within_ms}"
        );
    }
    assert!(clock(-7_300, 0).1.contains("7 s behind"));
    let silent = Examination {
        clock: None,
        ..well()
    };
    assert_eq!(level(&silent, "clock").0, Level::Note);
}

#[test]
fn what_is_configured_has_to_be_published_with_blocks() {
    let publication = |topic: &str, address: &str| Publication {
        topic: topic.to_owned(),
        address: address.to_owned(),
    };
    let there = "tcp://127.0.0.1:28332";
    let of = |published: Result<Vec<Publication>, NodeError>| {
        let (tag, configured) = (tag(), [there.to_owned()]);
        let facts = Examination {
            published,
            ..well()
        };
        let needs = Needs {
            published: &configured,
            ..needs(&tag)
        };
        found(&facts, &needs).only("zmq").level
    };
    assert_eq!(of(Ok(vec![publication("pubhashblock", there)])), Level::Ok);
    let everywhere = publication("pubrawblock", "tcp://0.0.0.0:28332");
    assert_eq!(of(Ok(vec![everywhere])), Level::Ok);
    assert_eq!(of(Ok(vec![publication("pubhashtx", there)])), Level::Wrong);
    let other = publication("pubhashblock", "tcp://127.0.0.1:28333");
    assert_eq!(of(Ok(vec![other])), Level::Wrong);
    assert_eq!(of(Err(NodeError::Busy)), Level::Wrong);
    let forbidden = NodeError::Forbidden {
        address: "a".to_owned(),
        method: "getzmqnotifications",
    };
    assert_eq!(of(Err(forbidden)), Level::Note, "it may well publish");
}

#[test]
fn what_a_node_publishes_on_its_own_computer_alone_is_not_heard_elsewhere() {
    for (published, configured, is_heard) in [
        ("tcp://127.0.0.1:28332", "tcp://192.168.1.5:28332", false),
        ("tcp://[::1]:28332", "tcp://[fd00::5]:28332", false),
        ("tcp://127.0.0.1:28332", "tcp://localhost:28332", true),
        ("tcp://0.0.0.0:28332", "tcp://192.168.1.5:28332", true),
        ("tcp://*:28332", "tcp://192.168.1.5:28332", true),
        ("tcp://*:28332", "tcp://192.168.1.5:28333", false),
    ] {
        let found = is_same_place(published, configured);
        assert_eq!(found, is_heard, "{published} {configured}");
    }
}

#[test]
fn a_node_that_sends_templates_by_itself_is_not_listened_to() {
    let mut findings = Findings::default();
    let first = Pushed {
        height: 111,
        transactions: 3,
        took: Duration::from_millis(20),
    };
    let configured = ["tcp://127.0.0.1:28332".to_owned()];
    pushed(&mut findings.about("node"), &Ok(first), &configured);
    assert_eq!(findings.only("pushed").level, Level::Ok);
    assert_eq!(findings.only("zmq").level, Level::Note);
}

#[test]
fn a_socket_is_there_is_one_and_answers() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("node.sock");
    let of = |path: &Path| {
        let mut findings = Findings::default();
        socket(&mut findings.about("node"), path);
        findings.only("ipc").clone()
    };
    assert_eq!(of(&path).level, Level::Wrong);
    let listener = UnixListener::bind(&path).unwrap();
    assert_eq!(of(&path).level, Level::Ok);
    // A node that was killed leaves its socket.
    drop(listener);
    let left = of(&path);
    assert_eq!(left.level, Level::Wrong);
    assert!(left.text.contains("does not answer"), "{}", left.text);
    let file = place.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(of(&file).text.contains("is no socket"));
}
