//! Several nodes, of which one is mined on.

use headframe_api::NodeStanding;
use headframe_node::several::{NodeHealth, Standing};

use super::*;

fn health(stage: &Stage, name: &str, is_mined_on: bool, standing: Standing) -> NodeHealth {
    NodeHealth {
        name: name.to_owned(),
        status: NodeStatus::starting(name.to_owned(), Network::Mainnet),
        is_mined_on,
        standing,
        is_silent: standing == Standing::Failed,
        tip_seen: Some(stage.start + Duration::from_secs(5)),
    }
}

#[test]
fn each_node_is_shown_with_what_is_the_matter_and_since_when() {
    let mut stage = Stage::running();
    assert_eq!(stage.look(1).summary.nodes, []);
    let well = |stage: &Stage| {
        vec![
            health(stage, "the node at a", true, Standing::Well),
            health(stage, "the node at b", false, Standing::Well),
        ]
    };
    let all = well(&stage);
    assert_eq!(stage.tell(10, News::Nodes(all)), Urgency::Urgent);
    assert_eq!(stage.alarm(11, "node_not_well"), None);
    let failed = |stage: &Stage| {
        vec![
            health(stage, "the node at a", false, Standing::Failed),
            health(stage, "the node at b", true, Standing::Well),
        ]
    };
    let all = failed(&stage);
    assert_eq!(stage.tell(20, News::Nodes(all)), Urgency::Urgent);
    // What is no change is told when there is time.
    let all = failed(&stage);
    assert_eq!(stage.tell(30, News::Nodes(all)), Urgency::Routine);
    let node = stage.look(40).summary.node;
    assert_eq!(node.kind, Some(NodeKind::Ipc));
    assert_eq!(node.endpoint, "/node.sock", "the one that is mined on");
    let shown = stage.look(40).summary.nodes;
    assert_eq!(shown[0].standing, NodeStanding::Failed);
    assert_eq!(shown[0].reason.as_deref(), Some("It does not answer."));
    assert_eq!(shown[0].since_at, u64::from(DAWN) + 20);
    assert_eq!(shown[0].tip_seen_at, Some(u64::from(DAWN) + 5));
    assert_eq!((shown[1].mined_on, &shown[1].reason), (true, &None));
    let alarm = stage.alarm(40, "node_not_well").unwrap();
    assert_eq!(alarm.title, "The node at a is not well");
    assert!(
        alarm.detail.starts_with("It does not answer. "),
        "{alarm:?}"
    );
    assert_eq!(alarm.since_at, u64::from(DAWN) + 20);
    let all = well(&stage);
    stage.tell(50, News::Nodes(all));
    assert_eq!(stage.alarm(50, "node_not_well"), None);
    let node = stage.look(50).summary.node;
    assert_eq!(node.kind, Some(NodeKind::Rpc));
}

/// Then the pool's state says it all.
#[test]
fn there_is_no_alarm_of_one_node_while_none_can_be_mined_on() {
    let mut stage = Stage::running();
    let all = vec![
        health(&stage, "the node at a", false, Standing::Failed),
        health(&stage, "the node at b", false, Standing::Behind(2)),
    ];
    stage.tell(20, News::Nodes(all));
    assert_eq!(stage.alarm(20, "node_not_well"), None);
    let reasons = stage.look(20).summary.nodes;
    let reasons: Vec<_> = reasons.into_iter().flat_map(|it| it.reason).collect();
    assert_eq!(reasons[1], "It is 2 blocks behind another node.");
}
