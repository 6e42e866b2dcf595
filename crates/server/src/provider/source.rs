//! Follows the node: its newest template, or since when it gives none.

use std::sync::Arc;
use std::time::Instant;

use headframe_node::{TemplateSource, TemplateUpdate};
use tokio::sync::watch;
use tracing::{info, warn};

/// What the node said last.
#[derive(Debug, Clone, Default)]
pub(super) struct Word {
    /// The newest template.
    pub(super) update: Option<Arc<TemplateUpdate>>,
    /// Since when there is none, if the node gives none now.
    pub(super) away_since: Option<Instant>,
}

/// Hands on what the node says, for ever.
pub(super) async fn follow(
    mut templates: Box<dyn TemplateSource>,
    words: watch::Sender<Word>,
    node_name: String,
) {
    loop {
        match templates.next().await {
            Ok(update) => {
                let word = Word {
                    update: Some(Arc::new(update)),
                    away_since: None,
                };
                let before = words.send_replace(word);
                if before.update.is_none() || before.away_since.is_some() {
                    info!("templates come from {node_name}");
                }
            }
            Err(error) => {
                warn!(
                    "{node_name} gives no templates: {error}; {}",
                    error.advice()
                );
                words.send_modify(|word| {
                    word.away_since.get_or_insert_with(Instant::now);
                });
            }
        }
    }
}
