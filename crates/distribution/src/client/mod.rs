//! A pool's or a declarator's end of a connection to a Template Provider (spec §7).
//!
//! ```text
//! frames ──> handle_frame ──> poll_event ──> Template: mine it; ask for its transactions
//!            submit, request_transactions, set_constraints
//!              └──────────────────────────── poll_transmit ──> frames
//! ```
//!
//! A session knows one connection: a provider's template ids begin anew with the next, so a session is
//! thrown away with its connection, and what it was given cannot be submitted through another (TD-46).

mod error;
mod event;
mod kept;
mod offered;
mod session;
mod settings;

pub use error::{ProviderFault, SettingsError, SubmitError};
pub use event::{ClientEvent, CloseReason};
pub use kept::{KEPT_OF_LAST_TIP, KEPT_OF_TIP, MAX_FUTURE};
pub use offered::{OfferedTemplate, ProviderTip};
pub use session::{ANSWER_WITHIN, ClientSession};
pub use settings::ClientSettings;
