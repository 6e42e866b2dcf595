//! What a Stratum V2 session is to ask for, and the two frames that ask for it.

use headframe_sv2_wire::common::SetupConnection;
use headframe_sv2_wire::flags::MiningRequestFlags;
use headframe_sv2_wire::mining::{OpenExtendedMiningChannel, OpenStandardMiningChannel};
use headframe_sv2_wire::{Protocol, Str255, U256, write_frame};
use headframe_work::{Hashrate, Target};

use crate::client::SettingsError;

/// The version of the protocol, lowest and highest (FR-22).
pub(super) const VERSION: u16 = 2;

/// The id of the only request of a connection.
pub(super) const REQUEST_ID: u32 = 1;

/// The kind of channel, which is to say who makes the merkle root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChannelKind {
    /// The pool makes it; the miner rolls only the header.
    Standard,
    /// The miner makes it with an extranonce of its own.
    Extended,
}

/// What a session asks for. Texts may have at most 255 bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Sv2Settings {
    /// The kind of channel to open.
    pub channel: ChannelKind,
    /// Who is to be paid, in the pool's own form: mostly `address.worker`.
    pub user_identity: String,
    /// The hashrate to expect, measured or known.
    pub nominal_hashrate: Hashrate,
    /// The easiest target that the pool may assign.
    pub max_target: Target,
    /// Bytes of extranonce to roll at least, on an extended channel; at least 1.
    pub min_extranonce_size: u16,
    /// Whether version bits may be rolled where the pool allows it.
    pub roll_version: bool,
    /// A name to put into each share of an extended channel where the pool agrees to it (extension
    /// 0x0002), at most 32 bytes. For who has several machines behind one channel.
    pub worker_name: Option<String>,
    /// The host that was dialled.
    pub endpoint_host: String,
    /// The port that was dialled.
    pub endpoint_port: u16,
    /// Who made this client, and its version (FR-25); not empty.
    pub vendor: String,
    /// What the client runs on (FR-26); not empty.
    pub hardware_version: String,
    /// The client's firmware or program.
    pub firmware: String,
}

impl Sv2Settings {
    /// The frame that sets the connection up. No device id: that would be telemetry (FR-24).
    pub(super) fn setup_frame(&self) -> Result<Vec<u8>, SettingsError> {
        let flags = match self.channel {
            ChannelKind::Standard => MiningRequestFlags::REQUIRES_STANDARD_JOBS,
            ChannelKind::Extended => MiningRequestFlags::NONE,
        };
        Ok(framed(&SetupConnection {
            protocol: Protocol::MINING,
            min_version: VERSION,
            max_version: VERSION,
            flags: flags.bits(),
            endpoint_host: text("host", &self.endpoint_host)?,
            endpoint_port: self.endpoint_port,
            vendor: text("vendor", &self.vendor)?,
            hardware_version: text("hardware version", &self.hardware_version)?,
            firmware: text("firmware", &self.firmware)?,
            device_id: Str255::default(),
        }))
    }

    /// The frame that opens the channel.
    pub(super) fn open_frame(&self) -> Result<Vec<u8>, SettingsError> {
        self.open_frame_for(&self.user_identity, REQUEST_ID)
    }

    /// The frame that opens a channel for `user`, as the request `request_id`.
    pub(super) fn open_frame_for(
        &self,
        user: &str,
        request_id: u32,
    ) -> Result<Vec<u8>, SettingsError> {
        let user_identity = text("user name", user)?;
        // A rate beyond what a float can hold must not become infinite (MP-34).
        let nominal_hash_rate = (self.nominal_hashrate.as_f64() as f32).min(f32::MAX);
        let max_target = U256::from_le_bytes(self.max_target.to_le_bytes());
        Ok(match self.channel {
            ChannelKind::Standard => framed(&OpenStandardMiningChannel {
                request_id,
                user_identity,
                nominal_hash_rate,
                max_target,
            }),
            ChannelKind::Extended => framed(&OpenExtendedMiningChannel {
                request_id,
                user_identity,
                nominal_hash_rate,
                max_target,
                min_extranonce_size: self.min_extranonce_size.max(1),
            }),
        })
    }
}

fn text<'a>(setting: &'static str, text: &'a str) -> Result<Str255<'a>, SettingsError> {
    Str255::new(text).map_err(|error| SettingsError {
        setting,
        len: error.len,
        max: error.max,
    })
}

pub(super) fn framed<'a>(message: &impl headframe_sv2_wire::Message<'a>) -> Vec<u8> {
    let mut frame = Vec::new();
    write_frame(message, &mut frame);
    frame
}
