//! The JSON of version 1 as a document. A change of this file that is more than an addition breaks
//! the scripts of the people who read the API.

use headframe_api::{History, Snapshot};
use serde_json::Value;

/// Reads the document into the types and writes it again: a field that was renamed, retyped or
/// removed is refused or missing; a field that was added is not in the document.
fn assert_stable<T: serde::Serialize + serde::de::DeserializeOwned>(golden: &str) {
    let document: Value = serde_json::from_str(golden).expect("the document fits the type");
    let value: T = serde_json::from_str(golden).expect("the document fits the type");
    assert_eq!(
        serde_json::to_value(&value).expect("plain structs serialise"),
        document
    );
}

#[test]
fn a_running_pool_keeps_its_json() {
    assert_stable::<Snapshot>(include_str!("golden/running.json"));
}

#[test]
fn every_other_variant_keeps_its_json() {
    let golden: Vec<Value> = serde_json::from_str(include_str!("golden/variants.json")).unwrap();
    for entry in golden {
        let json = entry["value"].to_string();
        match entry["type"].as_str().unwrap() {
            "PoolState" => assert_stable::<headframe_api::PoolState>(&json),
            "NodeState" => assert_stable::<headframe_api::NodeState>(&json),
            "NodeKind" => assert_stable::<headframe_api::NodeKind>(&json),
            "PublisherState" => assert_stable::<headframe_api::PublisherState>(&json),
            "BlockFate" => assert_stable::<headframe_api::BlockFate>(&json),
            "Network" => assert_stable::<headframe_api::Network>(&json),
            "RejectReason" => assert_stable::<headframe_api::RejectReason>(&json),
            "ListenerProtocol" => assert_stable::<headframe_api::ListenerProtocol>(&json),
            "MinerState" => assert_stable::<headframe_api::MinerState>(&json),
            "Encryption" => assert_stable::<headframe_api::Encryption>(&json),
            "Silence" => assert_stable::<headframe_api::Silence>(&json),
            "SilenceCode" => assert_stable::<headframe_api::SilenceCode>(&json),
            "ProofVerdict" => assert_stable::<headframe_api::ProofVerdict>(&json),
            "Severity" => assert_stable::<headframe_api::Severity>(&json),
            other => panic!("the document names an unknown type {other}"),
        }
    }
}

#[test]
fn the_history_keeps_its_json() {
    assert_stable::<History>(include_str!("golden/history.json"));
}
