//! What a session tells its driver.

use std::fmt;
use std::sync::Arc;

use super::{OfferedTemplate, ProviderTip};

/// Something that happened on the connection.
#[derive(Debug, Clone)]
pub enum ClientEvent {
    /// The provider takes this client, and knows what its coinbase needs.
    Ready,
    /// A template to be mined from now on.
    Template {
        /// The template.
        template: Arc<OfferedTemplate>,
        /// What it builds on.
        tip: Arc<ProviderTip>,
        /// Whether the tip is another than before (also the first). A provider may name the same tip again;
        /// work on it stays good (TD-34).
        is_new_tip: bool,
    },
    /// A template that a coming tip may name.
    Future(Arc<OfferedTemplate>),
    /// The transactions of a template, each with its witness, in block order, without the coinbase.
    Transactions {
        /// The template.
        template_id: u64,
        /// As the provider sent them.
        transactions: Vec<Vec<u8>>,
    },
    /// The transactions of a template are not to be had.
    NoTransactions {
        /// The template.
        template_id: u64,
        /// The provider's reason, escaped. Only for people.
        code: String,
        /// Whether the provider says that the template is of an earlier tip: another is on its way.
        is_stale: bool,
    },
    /// The session is over. Nothing else follows.
    Closed(CloseReason),
}

/// Why a session ended without anybody breaking the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseReason {
    /// The provider does not take this client.
    SetupRefused {
        /// The provider's reason, escaped.
        reason: String,
    },
    /// The provider wants the client to connect again.
    Reconnect,
    /// The provider did not say what it owes.
    TimedOut {
        /// What was waited for.
        waiting_for: &'static str,
    },
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetupRefused { reason } => write!(f, "it refuses this client: {reason}"),
            Self::Reconnect => f.write_str("it wants its clients to connect again"),
            Self::TimedOut { waiting_for } => write!(f, "it did not send {waiting_for}"),
        }
    }
}
