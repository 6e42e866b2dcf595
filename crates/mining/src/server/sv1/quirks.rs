//! What single devices need, by the name that they give at `mining.subscribe`.
//!
//! Here is only what makes the pool do something else, each with its source. What all clients get
//! alike needs no switch, and most quirks are of that kind: docs/stratum-v1.md lists them. A device
//! that calls itself something else is served as any other.

use headframe_work::Rung;

/// What is different with a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quirks {
    /// The easiest rung that it is given, unless operator or network have none as hard.
    least: Rung,
    /// The easiest rung that it is given if it asks for none that is easier. Not below `least`.
    least_unasked: Rung,
    /// The longest user name that it bears, in bytes.
    pub(super) name_len: Option<usize>,
    /// The longest coinbase that it hashes whole, in bytes, without witness.
    pub(super) coinbase_len: Option<usize>,
}

/// A device without quirks.
pub(super) const PLAIN: Quirks = Quirks {
    least: Rung::EASIEST,
    least_unasked: Rung::EASIEST,
    name_len: None,
    coinbase_len: None,
};

const READS_WHOLE_DIFFICULTIES: Quirks = Quirks {
    least: Rung::ONE,
    least_unasked: Rung::ONE,
    ..PLAIN
};

/// An ASIC is silent while it tunes itself, for ten minutes and more. Eased to dust meanwhile it floods the
/// pool when it begins: public-pool, issue 120. What is so slow that it needs a fraction has to say so.
const ASIC: Quirks = Quirks {
    least_unasked: Rung::ONE,
    ..PLAIN
};

/// How the names of devices begin, in small letters, and what is different with them. The first that
/// fits counts.
const DEVICES: &[(&str, Quirks)] = &[
    // Coinbases of more than 2,250 bytes are not tested; the S21 Pro is not, hence the slash:
    // datum_gateway, src/datum_stratum.c, datum_stratum_fingerprint_by_UA.
    ("antminer s21/", asic_bearing_coinbases_of(2_250)),
    // The firmware that Antminers come with bears 755 bytes: datum_gateway, src/datum_stratum.h, and
    // its default for all that it does not know.
    ("antminer", asic_bearing_coinbases_of(755)),
    ("bmminer/", asic_bearing_coinbases_of(755)),
    // A merged change after v2.15.0 cuts each part of the coinbase at 384 bytes: ESP-Miner, pull
    // request 1897.
    ("bitaxe", bears_coinbases_of(384)),
    // Braiins OS, `bosminer-plus-tuner`: datum_gateway, src/datum_stratum.c.
    ("bosminer", ASIC),
    // Avalons are forks of cgminer and say so. They cut a user name to 63 characters, in the midst
    // of an address if need be: datum_gateway, doc/usernames.md.
    (
        "cgminer/",
        Quirks {
            name_len: Some(63),
            ..ASIC
        },
    ),
    // The boards of one firmware. It reads a difficulty as a 32-bit whole number, so that a fraction is
    // zero to it: ESP-Miner-NerdQAxePlus, main/stratum/stratum_api.cpp.
    ("nerdaxe", READS_WHOLE_DIFFICULTIES),
    ("nerdeko", READS_WHOLE_DIFFICULTIES),
    ("nerdhaxe", READS_WHOLE_DIFFICULTIES),
    ("nerdoctaxe", READS_WHOLE_DIFFICULTIES),
    ("nerdqaxe", READS_WHOLE_DIFFICULTIES),
    ("nerdqx", READS_WHOLE_DIFFICULTIES),
    // A coinbase of more than 255 bytes is cut in a buffer of 512 digits, and every share of it is
    // wrong: NerdMiner_v2, issue 809, src/utils.cpp.
    ("nerdminer", bears_coinbases_of(255)),
    // Coinbases of at most 500 bytes: datum_gateway, src/datum_stratum.c.
    ("nicehash/", bears_coinbases_of(500)),
    // ePIC: datum_gateway, src/datum_stratum.c.
    ("powerplay-bm/", ASIC),
    // It is silent while it tunes itself, was eased to a thousandth, and flooded the pool: public-pool,
    // issue 120. Names of more than 127 characters overflow a buffer of its own: datum_gateway,
    // doc/usernames.md. Coinbases of 6,500 bytes: src/datum_stratum.c there.
    (
        "whatsminer/",
        Quirks {
            least: Rung::ONE,
            name_len: Some(127),
            coinbase_len: Some(6_500),
            ..ASIC
        },
    ),
    // vnish: datum_gateway, src/datum_stratum.c.
    ("xminer-1.", ASIC),
];

const fn bears_coinbases_of(len: usize) -> Quirks {
    Quirks {
        coinbase_len: Some(len),
        ..PLAIN
    }
}

const fn asic_bearing_coinbases_of(len: usize) -> Quirks {
    Quirks {
        coinbase_len: Some(len),
        ..ASIC
    }
}

impl Quirks {
    /// What is different with the device that calls itself `user_agent`.
    pub(super) fn of(user_agent: &str) -> &'static Self {
        let begins_with = |name: &str| {
            let beginning = user_agent.as_bytes().get(..name.len());
            beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(name.as_bytes()))
        };
        let mut devices = DEVICES.iter();
        let device = devices.find(|(name, _)| begins_with(name));
        device.map_or(&PLAIN, |(_, quirks)| quirks)
    }

    /// The easiest rung for a device that asks for `wish`, if for any.
    pub(super) fn least(&self, wish: Option<Rung>) -> Rung {
        let unasked = wish.map_or(self.least_unasked, |wish| wish.min(self.least_unasked));
        unasked.max(self.least)
    }

    /// What to tell the owner of a device whose user name was refused for `reason`: also that the
    /// device may have cut it.
    pub(super) fn explain(&self, name: &str, reason: String) -> String {
        match self.name_len {
            Some(len) if name.len() >= len => {
                format!("{reason}; this device bears user names of {len} characters at most")
            }
            _ => reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_known_by_how_its_name_begins() {
        let coinbase_len = |agent| Quirks::of(agent).coinbase_len;
        assert_eq!(coinbase_len("Antminer S21/Mon Apr 1 2024"), Some(2_250));
        assert_eq!(coinbase_len("Antminer S21 Pro/Mon Apr 1"), Some(755));
        assert_eq!(coinbase_len("bitaxe/BM1370/v2.15.0"), Some(384));
        assert_eq!(coinbase_len("NerdMinerV2/1.8.3"), Some(255));
        let quarter = Rung::from_exponent(-2);
        for (agent, least, least_asked) in [
            ("whatsminer/v1.0", Rung::ONE, Rung::ONE),
            ("NerdQAxe++/BM1370/v1.0.36", Rung::ONE, Rung::ONE),
            ("NerdOCTAXE-γ/BM1370", Rung::ONE, Rung::ONE),
            ("Antminer S21/Mon Apr 1 2024", Rung::ONE, quarter),
            ("Antminer S21 Pro/Mon Apr 1", Rung::ONE, quarter),
            ("bmminer/2.0.0/Antminer S9/13500", Rung::ONE, quarter),
            ("bosminer-plus-tuner", Rung::ONE, quarter),
            ("cgminer/4.11.1", Rung::ONE, quarter),
            ("PowerPlay-BM/1.0", Rung::ONE, quarter),
            ("xminer-1.2.6", Rung::ONE, quarter),
            ("bitaxe/BM1370/v2.15.0", Rung::EASIEST, Rung::EASIEST),
            ("NerdMinerV2/1.8.3", Rung::EASIEST, Rung::EASIEST),
            ("cpuminer/2.5.1", Rung::EASIEST, Rung::EASIEST),
        ] {
            let quirks = Quirks::of(agent);
            assert_eq!(quirks.least(None), least, "{agent}");
            assert_eq!(quirks.least(Some(quarter)), least_asked, "{agent}");
            assert_eq!(quirks.least(Some(Rung::from_exponent(9))), least, "{agent}");
        }
        for plain in ["", "n", "ни", "cpuminer/2.5.1", "my whatsminer/v1"] {
            assert_eq!(Quirks::of(plain), &PLAIN, "{plain}");
        }
    }

    /// The first row that fits counts: no row may hide behind one that fits whenever it does.
    #[test]
    fn every_row_is_reached() {
        for (name, quirks) in DEVICES {
            assert_eq!(Quirks::of(name), quirks, "{name}");
            assert_eq!(name.to_lowercase(), *name);
            assert_ne!(quirks, &PLAIN, "{name}: a switch that changes nothing");
        }
    }

    /// What the manual says of devices is what is done.
    #[test]
    fn the_manual_lists_every_device() {
        let manual = include_str!("../../../../../docs/stratum-v1.md");
        for (name, quirks) in DEVICES {
            let named = format!("`{name}`");
            let mut rows = manual.lines().filter(|line| line.starts_with("| `"));
            let row = rows.find(|row| row.to_lowercase().contains(&named));
            let row = row.unwrap_or_else(|| panic!("docs/stratum-v1.md has no row for {name}"));
            for (least, words) in [
                (quirks.least, "never below difficulty 1"),
                (quirks.least_unasked, "below difficulty 1"),
            ] {
                let is_said = row.contains(words);
                assert_eq!(
                    is_said,
                    least == Rung::ONE,
                    "{name}: its easiest difficulty in {row}"
                );
            }
            let lens = [quirks.name_len, quirks.coinbase_len];
            for len in lens.into_iter().flatten() {
                let row = row.replace(',', "");
                assert!(
                    row.contains(&len.to_string()),
                    "{name}: {len} is not in {row}"
                );
            }
        }
    }
}
