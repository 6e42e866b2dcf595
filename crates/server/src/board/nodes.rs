//! Several nodes as people see them.

use std::time::Instant;

use headframe_api::{Alarm, NodeStanding, Severity};
use headframe_node::several::{NodeHealth, Standing};
use headframe_work::UnixTime;

use super::{convert, publishers};

/// How each of several nodes is; empty where there is one.
#[derive(Debug, Default)]
pub(super) struct NodesView(Vec<View>);

#[derive(Debug)]
struct View {
    health: NodeHealth,
    standing: NodeStanding,
    since: UnixTime,
}

impl NodesView {
    /// Takes in how all are; true when one stands elsewhere than before, or another is mined on.
    pub(super) fn handle_health(&mut self, all: Vec<NodeHealth>, wall: UnixTime) -> bool {
        let before = core::mem::take(&mut self.0);
        let mut is_change = before.len() != all.len();
        for (place, health) in all.into_iter().enumerate() {
            let standing = standing(health.standing);
            let same = before.get(place).filter(|it| it.standing == standing);
            is_change |= same.is_none_or(|it| it.health.is_mined_on != health.is_mined_on);
            self.0.push(View {
                since: same.map_or(wall, |it| it.since),
                standing,
                health,
            });
        }
        is_change
    }

    /// What there is to do about nodes, while another is mined on.
    pub(super) fn alarm(&self) -> Option<Alarm> {
        self.0.iter().find(|it| it.health.is_mined_on)?;
        let mut troubled = self.0.iter().filter(|it| it.is_troubled());
        let first = troubled.next()?;
        let more = troubled.count();
        let name = &first.health.name;
        let reason = first.health.reason().unwrap_or_default();
        let others = match more {
            0 => String::new(),
            1 => " Another node is not well either.".to_owned(),
            more => format!(" {more} other nodes are not well either."),
        };
        let advice = first
            .health
            .advice()
            .unwrap_or("see what is said of the node");
        Some(Alarm {
            code: "node_not_well".into(),
            severity: Severity::Warning,
            title: convert::sentence(&format!("{name} is not well"))
                .trim_end_matches('.')
                .to_owned(),
            detail: format!(
                "{} Another node is mined on, and blocks go to all.{others}",
                convert::sentence(&reason)
            ),
            next_step: convert::sentence(advice),
            since_at: convert::unix(first.since),
        })
    }

    pub(super) fn shown(&self, now: Instant, wall: UnixTime) -> Vec<headframe_api::NodeHealth> {
        self.0.iter().map(|it| it.shown(now, wall)).collect()
    }
}

impl View {
    const fn is_troubled(&self) -> bool {
        matches!(
            self.standing,
            NodeStanding::Doubtful | NodeStanding::Behind | NodeStanding::Failed
        )
    }

    fn shown(&self, now: Instant, wall: UnixTime) -> headframe_api::NodeHealth {
        let (health, status) = (&self.health, &self.health.status);
        let at =
            |at: Instant| convert::unix(wall.saturating_sub(now.saturating_duration_since(at)));
        headframe_api::NodeHealth {
            name: health.name.clone(),
            mined_on: health.is_mined_on,
            standing: self.standing,
            since_at: convert::unix(self.since),
            reason: health.reason().map(|reason| convert::sentence(&reason)),
            next_step: health.advice().map(convert::sentence),
            software: status.version.as_deref().map(convert::clipped),
            height: status.tip.map(|tip| tip.height.into()),
            tip_hash: status.tip.map(|tip| tip.hash.to_string()),
            tip_seen_at: health.tip_seen.map(at),
            peers: status.peers.map(u64::from),
            template_at: status.last_template.map(at),
            publishers: publishers::shown(&status.publishers, now, wall),
        }
    }
}

const fn standing(standing: Standing) -> NodeStanding {
    match standing {
        Standing::Starting => NodeStanding::Starting,
        Standing::Well => NodeStanding::Well,
        Standing::Recovering => NodeStanding::Recovering,
        Standing::Alone | Standing::Stuck => NodeStanding::Doubtful,
        Standing::Behind(_) => NodeStanding::Behind,
        Standing::Failed => NodeStanding::Failed,
    }
}
