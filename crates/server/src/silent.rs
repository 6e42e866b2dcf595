//! For tests: a node that gives one template and then nothing new for ever, and the rules of a pool on it.

use std::future::pending;
use std::time::Instant;

use headframe_channels::DifficultySettings;
use headframe_mining::server::{JobIds, PoolRules, Sv2Rules};
use headframe_node::{BoxFuture, Cause, HeaderWindow, NodeError, TemplateSource, TemplateUpdate};
use headframe_testkit::{Chain, EASY_BITS};
use headframe_work::{Imprint, Network, PayoutPolicy, PoolTag};

pub(crate) struct Silent(Option<TemplateUpdate>);

impl Silent {
    pub(crate) fn boxed() -> Box<dyn TemplateSource> {
        let template = Chain::new(1, EASY_BITS, 1).shared_template();
        Box::new(Self(Some(TemplateUpdate {
            cause: Cause::NewTip,
            received: Instant::now(),
            window: HeaderWindow::unbounded(&template),
            template,
        })))
    }
}

impl TemplateSource for Silent {
    fn next(&mut self) -> BoxFuture<'_, Result<TemplateUpdate, NodeError>> {
        let only = self.0.take();
        Box::pin(async {
            match only {
                Some(update) => Ok(update),
                None => pending().await,
            }
        })
    }
}

pub(crate) fn rules(difficulty: DifficultySettings) -> PoolRules {
    PoolRules {
        payouts: PayoutPolicy {
            network: Network::Regtest,
            fee: None,
            plain_names: None,
        },
        imprint: Imprint {
            tag: PoolTag::new("test").unwrap(),
            process: [1; 4],
        },
        difficulty,
        ignores_suggestions: false,
        job_ids: JobIds::new(1),
        sv2: Sv2Rules::default(),
        password: None,
    }
}
