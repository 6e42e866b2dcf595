//! The ways in which a job can pay: what one block shows of another.

use bitcoin::Script;
use headframe_channels::ChannelKind;
use headframe_mining::server::Protocol;

/// A set of layouts, and whether any layout at all will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Layouts(u32);

impl Layouts {
    pub(crate) const NONE: Self = Self(0);
    /// Whichever comes first.
    pub(super) const ANY: Self = Self(1 << 31);

    /// How a channel's blocks are built: by its protocol, by what its miner rolls, and by the script
    /// that is paid. The operator's own outputs are the same in all of them.
    pub(super) fn of(protocol: Protocol, kind: ChannelKind, miner: &Script) -> Self {
        let way = match (protocol, kind) {
            (Protocol::Sv1, _) => 0,
            (Protocol::Sv2, ChannelKind::Standard) => 1,
            (Protocol::Sv2, ChannelKind::Extended) => 2,
        };
        Self(1 << (way * KINDS_OF_SCRIPT + kind_of_script(miner)))
    }

    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(super) const fn bits(self) -> u32 {
        self.0
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// With this one the wish for any is fulfilled too.
    pub(super) const fn or_any(self) -> Self {
        self.and(Self::ANY)
    }

    pub(super) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

const KINDS_OF_SCRIPT: u32 = 6;

fn kind_of_script(script: &Script) -> u32 {
    match () {
        () if script.is_p2pkh() => 0,
        () if script.is_p2sh() => 1,
        () if script.is_p2wpkh() => 2,
        () if script.is_p2wsh() => 3,
        () if script.is_p2tr() => 4,
        () => KINDS_OF_SCRIPT - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::hashes::Hash as _;
    use bitcoin::{PubkeyHash, ScriptBuf, ScriptHash, WPubkeyHash, WScriptHash};

    #[test]
    fn no_two_ways_to_pay_are_one() {
        let scripts = [
            ScriptBuf::new_p2pkh(&PubkeyHash::all_zeros()),
            ScriptBuf::new_p2sh(&ScriptHash::all_zeros()),
            ScriptBuf::new_p2wpkh(&WPubkeyHash::all_zeros()),
            ScriptBuf::new_p2wsh(&WScriptHash::all_zeros()),
            ScriptBuf::from_hex(&format!("5120{}", "00".repeat(32))).unwrap(),
            ScriptBuf::from_hex("51024e73").unwrap(),
        ];
        let mut all = Layouts::ANY;
        for (protocol, kind) in [
            (Protocol::Sv1, ChannelKind::Extended),
            (Protocol::Sv2, ChannelKind::Extended),
            (Protocol::Sv2, ChannelKind::Standard),
        ] {
            for script in &scripts {
                let layout = Layouts::of(protocol, kind, script);
                assert!(!all.meets(layout), "{protocol:?} {kind:?} {script}");
                all = all.and(layout);
            }
        }
        assert_eq!(all.bits().count_ones(), 3 * 6 + 1);
    }
}
