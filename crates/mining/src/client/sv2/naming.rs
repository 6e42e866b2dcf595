//! The worker's name in each share: what a client asks for with extension 0x0001, and says with
//! 0x0002.

use headframe_sv2_wire::extensions::{ExtensionsMessage, RequestExtensions};
use headframe_sv2_wire::tlv::{self, ByteOrder, UserIdentity};
use headframe_sv2_wire::{Extension, Seq64K};

use super::settings::framed;
use crate::client::{SessionError, SettingsError};

const WANTED: [u16; 1] = [Extension::WORKER_HASHRATE_TRACKING.number()];

/// What the pool answered to the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Shares carry the name.
    Granted,
    /// They do not, and the pool serves us all the same (EX-28).
    Declined,
    /// The pool insists on extensions that we did not ask for, since we have no others.
    Impossible,
}

/// A name that shares are to carry.
#[derive(Debug)]
pub(super) struct Naming {
    /// The extension's field, as it stands behind a share: little endian, as the only pools that are
    /// known to read it do (EX-16).
    tail: Vec<u8>,
    request_id: u16,
    is_granted: bool,
}

/// The longest name that a share can carry, in bytes (EX-36).
pub const MAX_WORKER_NAME_LEN: usize = UserIdentity::MAX_LEN;

impl Naming {
    /// # Errors
    /// A name of more than 32 bytes: it is not cut, since two machines could become one (EX-37).
    pub(super) fn new(name: &str) -> Result<Self, SettingsError> {
        let identity = UserIdentity::new(name.as_bytes()).map_err(|error| SettingsError {
            setting: "worker name",
            len: error.len,
            max: UserIdentity::MAX_LEN,
        })?;
        let mut tail = Vec::new();
        tlv::write(&mut [identity.to_tlv()], ByteOrder::Little, &mut tail);
        Ok(Self {
            tail,
            request_id: 0,
            is_granted: false,
        })
    }

    /// The frame that asks for the extension. From here on it is not granted, whatever was before
    /// (EX-31, FR-35).
    pub(super) fn request(&mut self) -> Vec<u8> {
        self.is_granted = false;
        self.request_id = self.request_id.wrapping_add(1);
        framed(&RequestExtensions {
            request_id: self.request_id,
            requested_extensions: Seq64K::new(&WANTED).expect("one number"),
        })
    }

    /// Takes a message of extension 0x0001. `None`: an answer to nothing that was asked (EX-23).
    pub(super) fn handle(
        &mut self,
        message: &ExtensionsMessage<'_>,
    ) -> Result<Option<Answer>, SessionError> {
        let (request_id, answer) = match message {
            ExtensionsMessage::RequestExtensionsSuccess(success) => {
                let is_granted = success.supported_extensions.iter().any(is_wanted);
                let answer = match is_granted {
                    true => Answer::Granted,
                    false => Answer::Declined,
                };
                (success.request_id, answer)
            }
            ExtensionsMessage::RequestExtensionsError(error) => {
                let answer = match error.required_extensions.is_empty() {
                    true => Answer::Declined,
                    false => Answer::Impossible,
                };
                (error.request_id, answer)
            }
            ExtensionsMessage::RequestExtensions(_) => {
                let message = message.info().name;
                return Err(SessionError::WrongDirection { message });
            }
        };
        if request_id != self.request_id {
            return Ok(None);
        }
        self.is_granted = answer == Answer::Granted;
        Ok(Some(answer))
    }

    /// What stands behind a share; nothing until the pool has agreed (EX-19).
    pub(super) fn tail(&self) -> &[u8] {
        match self.is_granted {
            true => &self.tail,
            false => &[],
        }
    }
}

fn is_wanted(number: u16) -> bool {
    WANTED.contains(&number)
}
