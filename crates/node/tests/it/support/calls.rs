//! Questions to a node, as a test asks them.

use headframe_node::{BlockSink, Node, TemplateUpdate};

/// Waits through the errors of a node that is starting.
pub(crate) async fn template(node: &mut Node) -> TemplateUpdate {
    loop {
        match node.templates.next().await {
            Ok(update) => return update,
            Err(error) => eprintln!("not yet: {error}"),
        }
    }
}

/// Calls the sink on a thread of its own, where it belongs.
pub(crate) async fn on_sink<T: Send + 'static>(
    node: &mut Node,
    call: impl FnOnce(&mut dyn BlockSink) -> T + Send + 'static,
) -> T {
    let mut sink = std::mem::replace(&mut node.sink, Box::new(NoSink));
    let called = tokio::task::spawn_blocking(move || {
        let answer = call(&mut *sink);
        (sink, answer)
    });
    let (sink, answer) = called.await.unwrap();
    node.sink = sink;
    answer
}

/// Stands where the sink is away.
struct NoSink;

impl BlockSink for NoSink {
    fn submit(&mut self, _: &headframe_work::BlockHex) -> headframe_node::SubmitAnswer {
        unreachable!("the sink is away")
    }

    fn fate(
        &mut self,
        _: bitcoin::BlockHash,
    ) -> Result<headframe_node::BlockFate, headframe_node::NodeError> {
        unreachable!("the sink is away")
    }

    fn stand_by(&mut self) -> Result<(), headframe_node::NodeError> {
        unreachable!("the sink is away")
    }
}
