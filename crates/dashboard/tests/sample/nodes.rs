//! A pool of several nodes, of which the preferred one is frozen.

use headframe_api::*;

use super::parts::{alarm, answer, block, publisher};

pub(super) fn fill(snapshot: &mut Snapshot, now: u64) {
    let mut newest = block(917_998, now - 900, 1);
    newest.answers = vec![
        answer(
            "127.0.0.1:8332",
            "no answer: the node gave no answer to submitblock within 30 s",
        ),
        answer("192.168.1.5:8332", "accepted"),
        answer("umbrel.local:8332", "known"),
    ];
    snapshot.blocks.insert(0, newest);
    let summary = &mut snapshot.summary;
    let healthy = NodeHealth {
        name: "the node at 192.168.1.5:8332".into(),
        mined_on: true,
        standing: NodeStanding::Well,
        since_at: now - 90_000,
        reason: None,
        next_step: None,
        software: summary.node.software.clone(),
        height: summary.node.height,
        tip_hash: summary.node.tip_hash.clone(),
        tip_seen_at: summary.node.tip_seen_at,
        peers: Some(11),
        template_at: Some(now - 12),
        publishers: vec![Publisher {
            address: "tcp://192.168.1.5:28332".into(),
            ..publisher(PublisherState::Connected, now)
        }],
    };
    let advice = "See whether the node is overloaded or frozen.";
    summary.nodes = vec![
        NodeHealth {
            name: "the node at 127.0.0.1:8332".into(),
            mined_on: false,
            standing: NodeStanding::Failed,
            since_at: now - 75,
            reason: Some("It does not answer.".into()),
            next_step: Some(advice.into()),
            height: summary.node.height.map(|height| height - 1),
            publishers: vec![publisher(PublisherState::Connecting, now)],
            ..healthy.clone()
        },
        healthy.clone(),
        NodeHealth {
            name: "the node at umbrel.local:8332".into(),
            mined_on: false,
            standing: NodeStanding::Recovering,
            since_at: now - 31,
            reason: Some("It was not well lately, and has to be for a while.".into()),
            peers: Some(1),
            publishers: vec![Publisher {
                address: "tcp://umbrel.local:28332".into(),
                ..publisher(PublisherState::Mute, now)
            }],
            ..healthy
        },
    ];
    summary.alarms.push(alarm(
        "node_not_well",
        Severity::Warning,
        "The node at 127.0.0.1:8332 is not well",
        "It does not answer. Another node is mined on, and blocks go to all.",
        advice,
        now - 75,
    ));
}
