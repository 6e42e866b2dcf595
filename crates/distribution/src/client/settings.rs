//! What a client says of itself.

use headframe_sv2_wire::common::SetupConnection;
use headframe_sv2_wire::{Protocol, Str255};

use super::SettingsError;
use crate::frames::framed;
use crate::{CoinbaseConstraints, VERSION};

/// What a client says of itself, and what its coinbase needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// The host that was dialled.
    pub endpoint_host: String,
    /// The port that was dialled.
    pub endpoint_port: u16,
    /// The program's maker.
    pub vendor: String,
    /// The program's version.
    pub firmware: String,
    /// What the coinbases that will be made need at the most.
    pub constraints: CoinbaseConstraints,
}

impl ClientSettings {
    pub(super) fn setup_frame(&self) -> Result<Vec<u8>, SettingsError> {
        Ok(framed(&SetupConnection {
            protocol: Protocol::TEMPLATE_DISTRIBUTION,
            min_version: VERSION,
            max_version: VERSION,
            flags: 0,
            endpoint_host: text("the host", &self.endpoint_host)?,
            endpoint_port: self.endpoint_port,
            vendor: text("the vendor", &self.vendor)?,
            hardware_version: Str255::default(),
            firmware: text("the version", &self.firmware)?,
            device_id: Str255::default(),
        }))
    }
}

fn text<'a>(setting: &'static str, text: &'a str) -> Result<Str255<'a>, SettingsError> {
    Str255::new(text).map_err(|error| SettingsError {
        setting,
        len: error.len,
    })
}
