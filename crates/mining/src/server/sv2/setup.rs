//! The client introduces itself (spec §3.6, §5.3.1).

use std::time::Instant;

use headframe_sv2_wire::common::{
    CommonMessage, SetupConnection, SetupConnectionError, SetupConnectionSuccess,
};
use headframe_sv2_wire::flags::{MiningRequestFlags, MiningSuccessFlags};
use headframe_sv2_wire::{Protocol, codes, write_frame};

use super::bearing::Bearing;
use super::{CHANNEL_WITHIN, Sv2Fault, Sv2Session};
use crate::server::{Device, Sv2Rules};

/// The one version of the protocol there is.
const VERSION: u16 = 2;

/// What a client said of itself.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) device: Device,
    pub(super) flags: MiningRequestFlags,
    /// What it is known to bear.
    pub(super) bearing: Bearing,
}

impl Setup {
    pub(super) fn requires_standard_jobs(&self) -> bool {
        self.flags
            .contains(MiningRequestFlags::REQUIRES_STANDARD_JOBS)
    }
}

impl Sv2Rules {
    /// What a client may require.
    fn supported(self) -> MiningRequestFlags {
        let standard_jobs =
            (!self.extended_channels_only).then_some(MiningRequestFlags::REQUIRES_STANDARD_JOBS);
        let rolling = (!self.fixed_version).then_some(MiningRequestFlags::REQUIRES_VERSION_ROLLING);
        standard_jobs.unwrap_or_default() | rolling.unwrap_or_default()
    }

    /// What the pool requires, never an echo of the client's flags (MP-30).
    fn required(self) -> MiningSuccessFlags {
        let fixed_version = self
            .fixed_version
            .then_some(MiningSuccessFlags::REQUIRES_FIXED_VERSION);
        let extended_channels = self
            .extended_channels_only
            .then_some(MiningSuccessFlags::REQUIRES_EXTENDED_CHANNELS);
        fixed_version.unwrap_or_default() | extended_channels.unwrap_or_default()
    }
}

impl Sv2Session {
    pub(super) fn handle_common(
        &mut self,
        now: Instant,
        message: &CommonMessage<'_>,
    ) -> Result<(), Sv2Fault> {
        match message {
            CommonMessage::SetupConnection(_) if self.setup.is_some() => Err(Sv2Fault::SetUpTwice),
            CommonMessage::SetupConnection(setup) => {
                self.handle_setup(now, setup);
                Ok(())
            }
            server_message => Err(Sv2Fault::Misplaced(server_message.info().name)),
        }
    }

    fn handle_setup(&mut self, now: Instant, setup: &SetupConnection<'_>) {
        let flags = MiningRequestFlags::from_bits(setup.flags);
        let unsupported = flags.without(self.desk.rules.sv2.supported());
        match () {
            () if setup.protocol != Protocol::MINING => {
                self.refuse_setup(0, codes::UNSUPPORTED_PROTOCOL);
            }
            () if !(setup.min_version..=setup.max_version).contains(&VERSION) => {
                self.refuse_setup(0, codes::PROTOCOL_VERSION_MISMATCH);
            }
            () if unsupported != MiningRequestFlags::NONE => {
                self.refuse_setup(unsupported.bits(), codes::UNSUPPORTED_FEATURE_FLAGS);
            }
            () => self.accept_setup(now, setup, flags),
        }
    }

    fn accept_setup(
        &mut self,
        now: Instant,
        setup: &SetupConnection<'_>,
        flags: MiningRequestFlags,
    ) {
        let words = [setup.vendor, setup.hardware_version, setup.firmware];
        let words = words.map(|word| String::from_utf8_lossy(word.as_bytes()).into_owned());
        self.setup = Some(Setup {
            device: Device::new(words.join(" ").trim()),
            flags,
            bearing: Bearing::of(setup.vendor.as_bytes(), setup.hardware_version.as_bytes()),
        });
        self.patience = Some(now + CHANNEL_WITHIN);
        let success = SetupConnectionSuccess {
            used_version: VERSION,
            flags: self.desk.rules.sv2.required().bits(),
        };
        write_frame(&success, &mut self.output);
    }

    fn refuse_setup(&mut self, flags: u32, error_code: codes::Code<'static>) {
        write_frame(
            &SetupConnectionError { flags, error_code },
            &mut self.output,
        );
        self.is_finished = true;
    }
}
