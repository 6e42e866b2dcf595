//! Publishers of new blocks, of one node and of several.

use headframe_api::PublisherState;
use headframe_node::several::{NodeHealth, Standing};
use headframe_node::zmq::Publisher;

use super::*;

/// A publisher that was tried at the start.
fn publisher(stage: &Stage) -> Publisher {
    Publisher::new("tcp://127.0.0.1:28332".parse().unwrap(), stage.start)
}

fn with(publisher: &Publisher) -> NodeStatus {
    NodeStatus {
        condition: Condition::Ready,
        publishers: vec![publisher.clone()],
        ..NodeStatus::starting("the node".into(), Network::Mainnet)
    }
}

fn tip(height: u32) -> Tip {
    let hash = BlockHash::from_byte_array([height as u8; 32]);
    Tip { height, hash }
}

#[test]
fn a_publisher_is_shown_with_what_is_the_matter_and_since_when() {
    let mut stage = Stage::running();
    assert_eq!(stage.look(1).summary.node.publishers, []);
    let mut it = publisher(&stage);
    let start = stage.start;
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut shown = |it: &Publisher, now| {
        stage.tell(now, News::Node(with(it)));
        let [shown] = stage
            .look(now + 1)
            .summary
            .node
            .publishers
            .try_into()
            .unwrap();
        shown
    };
    let first = shown(&it, 1);
    assert_eq!(first.address, "tcp://127.0.0.1:28332");
    assert_eq!(
        (first.state, first.reason),
        (PublisherState::Connecting, None)
    );
    it.handle_lost("nothing listens there", at(2));
    let lost = shown(&it, 3);
    assert_eq!(lost.state, PublisherState::Connecting);
    assert_eq!(lost.reason.as_deref(), Some("Nothing listens there."));
    assert!(lost.next_step.unwrap().contains("zmqpubrawblock"));
    it.handle_connected(at(10));
    it.handle_block(at(15));
    let heard = shown(&it, 20);
    assert_eq!(
        (heard.state, heard.reason, heard.next_step),
        (PublisherState::Connected, None, None)
    );
    let dawn = u64::from(DAWN);
    assert_eq!(
        (heard.since_at, heard.last_block_at),
        (dawn + 10, Some(dawn + 15))
    );
    assert_eq!(heard.last_error.as_deref(), Some("Nothing listens there."));
    assert_eq!(heard.last_error_at, Some(dawn + 2));
    it.handle_lost("it closed the connection", at(30));
    it.handle_connected(at(31));
    for (asked, height) in [(40, 100), (50, 101), (60, 101)] {
        it.handle_template(tip(height), at(asked), at(asked));
    }
    let mute = shown(&it, 70);
    assert_eq!(
        (mute.state, mute.since_at),
        (PublisherState::Mute, dawn + 60)
    );
    assert!(mute.reason.is_some() && mute.next_step.is_some());
}

/// It may be published while the node hangs.
#[test]
fn word_of_a_publisher_is_no_answer_of_the_node() {
    let mut stage = Stage::running();
    let mut it = publisher(&stage);
    stage.tell(5, News::Node(with(&it)));
    let answered = |stage: &mut Stage| stage.look(90).summary.node.last_answer_at;
    assert_eq!(answered(&mut stage), Some(u64::from(DAWN) + 5));
    it.handle_connected(stage.start + Duration::from_secs(20));
    stage.tell(20, News::Node(with(&it)));
    assert_eq!(answered(&mut stage), Some(u64::from(DAWN) + 5));
    // The same again is told when the node has answered as before.
    stage.tell(30, News::Node(with(&it)));
    assert_eq!(answered(&mut stage), Some(u64::from(DAWN) + 30));
    it.handle_block(stage.start + Duration::from_secs(40));
    let status = NodeStatus {
        peers: Some(3),
        ..with(&it)
    };
    stage.tell(40, News::Node(status));
    assert_eq!(answered(&mut stage), Some(u64::from(DAWN) + 40));
}

#[test]
fn each_of_several_nodes_has_its_publishers() {
    let mut stage = Stage::running();
    let mut it = publisher(&stage);
    it.handle_connected(stage.start + Duration::from_secs(3));
    let health = |status: NodeStatus, is_mined_on| NodeHealth {
        name: status.name.clone(),
        status,
        is_mined_on,
        standing: Standing::Well,
        is_silent: false,
        tip_seen: None,
    };
    let other = NodeStatus::starting("the other".into(), Network::Mainnet);
    stage.tell(
        4,
        News::Nodes(vec![health(with(&it), false), health(other, true)]),
    );
    let shown = stage.look(9).summary.nodes;
    assert_eq!(shown[0].publishers[0].state, PublisherState::Connected);
    assert_eq!(shown[0].publishers[0].since_at, u64::from(DAWN) + 3);
    assert_eq!(shown[1].publishers, []);
}
