//! Which messages a client is known to bear that a pool may send and deployed clients break at.
//!
//! A client is known by what it says of itself. One that lies is told what it asked for.

/// What a client does as the specification means it. What it is not known to bear is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bearing {
    /// `Reconnect`: it connects where it is sent to (spec §3.6.5).
    pub(super) reconnect: bool,
    /// `CloseChannel`: it ends that channel and nothing else, and sends no more shares on it (spec §5.3.9).
    pub(super) close_channel: bool,
}

/// A client by the first word of its `vendor`, and its `hardware_version`.
struct Known {
    vendor: &'static str,
    hardware: &'static str,
    bearing: Bearing,
}

/// Not on it, with what they do:
///
/// * ESP-Miner ("bitaxe") passes over both, and goes on with shares on a channel that is closed
///   (`main/tasks/stratum_v2_task.c`, "Unknown SV2 message type").
/// * The reference's translator ("SRI", "Translator Proxy") panics at `Reconnect` (translator_sv2 0.6.0,
///   `sv2/upstream/common_message_handler.rs`), and gives up its pool for good when the channel is closed that all
///   its miners share, which cannot be told from one of a miner's own.
/// * The reference's mining device panics at both (integration_tests_sv2 0.6.0, `mining_device/mod.rs`); its job
///   declarator client leaves for mining alone (jd_client_sv2 0.6.0, `channel_manager/upstream_message_handler.rs`).
/// * Of NerdQAxe and Braiins OS nothing is known.
/// * Our load generator ("headframe", "swarm") bears both and counts them as errors.
const LIST: &[Known] = &[
    // `headframe miner`: `crates/miner/src/shift.rs` follows the one and connects anew after the other.
    Known {
        vendor: "headframe",
        hardware: "cpu",
        bearing: Bearing {
            reconnect: true,
            close_channel: true,
        },
    },
];

impl Bearing {
    /// That of a client of which nothing is known.
    const NONE: Self = Self {
        reconnect: false,
        close_channel: false,
    };

    /// That of a client by two fields of its `SetupConnection`.
    pub(super) fn of(vendor: &[u8], hardware: &[u8]) -> Self {
        let name = vendor
            .split(|byte| *byte == b' ')
            .next()
            .unwrap_or_default();
        let mut known = LIST.iter();
        let known =
            known.find(|it| it.vendor.as_bytes() == name && it.hardware.as_bytes() == hardware);
        known.map_or(Self::NONE, |it| it.bearing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_on_the_list_is_known_in_every_version_and_nobody_else_is() {
        for vendor in ["headframe", "headframe 0.1.0", "headframe 12.3.4-rc1"] {
            let known = Bearing::of(vendor.as_bytes(), b"cpu");
            assert!(known.reconnect && known.close_channel, "{vendor}");
        }
        for (vendor, hardware) in [
            ("bitaxe", "BM1370"),
            ("SRI", "Translator Proxy"),
            ("headframe", "swarm"),
            ("headframes", "cpu"),
            ("Headframe", "cpu"),
            ("", ""),
            ("", "cpu"),
            (" headframe", "cpu"),
        ] {
            let known = Bearing::of(vendor.as_bytes(), hardware.as_bytes());
            assert_eq!(known, Bearing::NONE, "{vendor:?}, {hardware:?}");
        }
    }
}
