//! Why a miner stops, or has to connect again.

use headframe_mining::client::{CloseReason, SessionError, SettingsError};
use headframe_transport::{DialError, TransportError};
use thiserror::Error;

/// What ended a connection, or the miner. Each text says by itself what happened.
#[derive(Debug, Error)]
pub enum MinerError {
    /// There is no connection, or the pool could not prove who it is.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The connection failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The pool closed the connection.
    #[error("the pool closed the connection")]
    Closed,
    /// The pool broke the protocol.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The pool ended the session, or refused to begin one.
    #[error("{0}{advice}", advice = advice(.0))]
    Ended(CloseReason),
    /// A setting cannot be sent.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The operating system gives no threads.
    #[error("cannot start a thread: {0}")]
    Threads(std::io::Error),
    /// As many attempts as were allowed have failed.
    #[error("gave up after {failures} attempts: {last}")]
    GaveUp {
        /// Failures in a row.
        failures: u32,
        /// The last of them.
        last: Box<Self>,
    },
}

impl MinerError {
    /// Whether a pool that never served us is not worth another attempt: a key or certificate that is
    /// not its own, a name or client that it refuses, a setting that cannot be sent. It depends on the protocol's
    /// state and never on a code's text (FR-42).
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Dial(DialError::Handshake { .. } | DialError::Certificate { .. }) => true,
            Self::Ended(reason) => match reason {
                CloseReason::SetupRefused { .. }
                | CloseReason::UserRefused { .. }
                | CloseReason::ExtendedChannelsOnly
                | CloseReason::ExtensionsRequired => true,
                CloseReason::ChannelClosed { .. }
                | CloseReason::TimedOut { .. }
                | CloseReason::Done => false,
            },
            Self::Settings(_) | Self::Threads(_) | Self::GaveUp { .. } => true,
            Self::Dial(_) | Self::Transport(_) | Self::Closed | Self::Session(_) => false,
        }
    }
}

/// SV2's reason for a name that is not served (`OpenMiningChannel.Error`). It is all that there is to
/// read: the message has no room for the pool's own words.
const NAME_REFUSED: &str = "invalid-user-identity";

/// What the user can do, as the end of the sentence; may be empty.
fn advice(reason: &CloseReason) -> &'static str {
    match reason {
        CloseReason::UserRefused { reason } if reason == NAME_REFUSED => {
            "; use a Bitcoin address of the pool's network as user name (address or \
             address.worker); the pool's log has the reason"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use headframe_transport::Endpoint;

    use super::*;

    #[test]
    fn a_pool_that_is_another_one_is_not_tried_again_and_one_that_fails_is() {
        let endpoint = || Endpoint::new("127.0.0.1", 1).unwrap();
        let another = DialError::Certificate {
            endpoint: endpoint(),
        };
        assert!(MinerError::Dial(another).is_final());
        let failed = DialError::Tls {
            endpoint: endpoint(),
            error: std::io::ErrorKind::TimedOut.into(),
        };
        assert!(!MinerError::Dial(failed).is_final());
    }

    #[test]
    fn a_code_for_a_name_comes_with_what_to_do_and_words_stand_alone() {
        let told = |reason: &str| {
            let reason = reason.to_owned();
            MinerError::Ended(CloseReason::UserRefused { reason }).to_string()
        };
        let code = told("invalid-user-identity");
        assert!(
            code.contains(": invalid-user-identity; use a Bitcoin address"),
            "{code}"
        );
        assert!(told("this name is not paid").ends_with(": this name is not paid"));
    }
}
