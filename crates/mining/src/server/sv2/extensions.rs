//! Which extensions a connection uses (spec §3.4.2, extension 0x0001).
//!
//! The one that there is besides the negotiation itself is 0x0002, a worker's name in each share;
//! what becomes of the names is in [`workers`](super::workers).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use headframe_sv2_wire::extensions::{
    ExtensionsMessage, RequestExtensions, RequestExtensionsError, RequestExtensionsSuccess,
};
use headframe_sv2_wire::mining::{MiningMessage, OpenMiningChannelError};
use headframe_sv2_wire::{Extension, Seq64K, codes, write_frame};

use super::{Sv2Fault, Sv2Session};

/// What a client may ask for.
const SUPPORTED: [u16; 2] = [
    Extension::NEGOTIATION.number(),
    Extension::WORKER_HASHRATE_TRACKING.number(),
];
/// Requests of one connection. A client asks once, and once more for what it was told is required;
/// the answer to a request may be as long as the request.
pub(super) const MAX_REQUESTS: u32 = 16;
/// A client that was told what is required asks for it within this time (EX-27).
const RETRY_WITHIN: Duration = Duration::from_secs(10);

/// What was agreed on.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    requests: u32,
    worker_names: bool,
}

/// What a request asks for, without repetitions, in order of number.
struct Wanted {
    supported: Vec<u16>,
    unsupported: Vec<u16>,
}

impl Wanted {
    fn of(request: &RequestExtensions<'_>) -> Self {
        let wanted: BTreeSet<u16> = request.requested_extensions.iter().collect();
        let (supported, unsupported) = wanted
            .into_iter()
            .partition(|number| SUPPORTED.contains(number));
        Self {
            supported,
            unsupported,
        }
    }

    fn has_worker_names(&self) -> bool {
        self.supported
            .contains(&Extension::WORKER_HASHRATE_TRACKING.number())
    }

    /// Whether nothing of what is wanted can be had. Who wants nothing gets it (EX-33).
    fn is_hopeless(&self) -> bool {
        self.supported.is_empty() && !self.unsupported.is_empty()
    }
}

impl Extensions {
    /// Whether shares name their workers.
    pub(super) fn has_worker_names(&self) -> bool {
        self.worker_names
    }
}

impl Sv2Session {
    pub(super) fn handle_extensions(
        &mut self,
        now: Instant,
        message: &ExtensionsMessage<'_>,
    ) -> Result<(), Sv2Fault> {
        match message {
            ExtensionsMessage::RequestExtensions(request) => self.handle_request(now, request),
            server_message => Err(Sv2Fault::Misplaced(server_message.info().name)),
        }
    }

    /// Whether the pool requires an extension that was not agreed on.
    pub(super) fn lacks_extension(&self) -> bool {
        self.desk.rules.sv2.worker_names_required && !self.extensions.worker_names
    }

    /// Refuses a client that goes on without what is required (EX-27).
    pub(super) fn refuse_unextended(&mut self, message: &MiningMessage<'_>) -> Sv2Fault {
        let request_id = match message {
            MiningMessage::OpenStandardMiningChannel(open) => Some(open.request_id),
            MiningMessage::OpenExtendedMiningChannel(open) => Some(open.request_id),
            _ => None,
        };
        if let Some(request_id) = request_id {
            let error = OpenMiningChannelError {
                request_id,
                error_code: codes::REQUIRED_EXTENSION_MISSING,
            };
            write_frame(&error, &mut self.output);
        }
        self.is_finished = true;
        Sv2Fault::LacksExtension
    }

    /// What is granted takes the place of what was before (EX-34); what is refused changes nothing.
    /// Some clients open channels before they have the answer, so it may come at any time (EX-20).
    fn handle_request(
        &mut self,
        now: Instant,
        request: &RequestExtensions<'_>,
    ) -> Result<(), Sv2Fault> {
        self.extensions.requests += 1;
        if self.extensions.requests > MAX_REQUESTS {
            return Err(Sv2Fault::TooManyRequests);
        }
        let wanted = Wanted::of(request);
        let is_required = self.desk.rules.sv2.worker_names_required;
        let is_missing = is_required && !wanted.has_worker_names();
        if is_missing || wanted.is_hopeless() {
            self.refuse_extensions(request.request_id, &wanted, is_missing);
            if self.lacks_extension() {
                self.patience = Some(now + RETRY_WITHIN);
            }
            return Ok(());
        }
        self.extensions.worker_names = wanted.has_worker_names();
        let success = RequestExtensionsSuccess {
            request_id: request.request_id,
            supported_extensions: numbers(&wanted.supported),
        };
        write_frame(&success, &mut self.output);
        Ok(())
    }

    fn refuse_extensions(&mut self, request_id: u16, wanted: &Wanted, is_missing: bool) {
        let required = [Extension::WORKER_HASHRATE_TRACKING.number()];
        let error = RequestExtensionsError {
            request_id,
            unsupported_extensions: numbers(&wanted.unsupported),
            required_extensions: match is_missing {
                true => numbers(&required),
                false => Seq64K::EMPTY,
            },
        };
        write_frame(&error, &mut self.output);
    }
}

fn numbers(of: &[u16]) -> Seq64K<'_, u16> {
    Seq64K::new(of).expect("no more than were requested, which fitted")
}
