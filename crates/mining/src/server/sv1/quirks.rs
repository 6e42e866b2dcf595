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
    pub(super) least: Rung,
    /// The longest user name that it bears, in bytes.
    pub(super) name_len: Option<usize>,
    /// The longest coinbase that it hashes whole, in bytes, without witness.
    pub(super) coinbase_len: Option<usize>,
}

/// A device without quirks.
pub(super) const PLAIN: Quirks = Quirks {
    least: Rung::EASIEST,
    name_len: None,
    coinbase_len: None,
};

const READS_WHOLE_DIFFICULTIES: Quirks = Quirks {
    least: Rung::ONE,
    ..PLAIN
};

/// How the names of devices begin, in small letters, and what is different with them. The first that
/// fits counts.
const DEVICES: &[(&str, Quirks)] = &[
    // Coinbases of more than 2,250 bytes are not tested; the S21 Pro is not, hence the slash:
    // datum_gateway, src/datum_stratum.c, datum_stratum_fingerprint_by_UA.
    ("antminer s21/", bears_coinbases_of(2_250)),
    // The firmware that Antminers come with bears 755 bytes: datum_gateway, src/datum_stratum.h, and
    // its default for all that it does not know.
    ("antminer", bears_coinbases_of(755)),
    ("bmminer/", bears_coinbases_of(755)),
    // A merged change after v2.15.0 cuts each part of the coinbase at 384 bytes: ESP-Miner, pull
    // request 1897.
    ("bitaxe", bears_coinbases_of(384)),
    // Avalons are forks of cgminer and say so. They cut a user name to 63 characters, in the midst
    // of an address if need be: datum_gateway, doc/usernames.md.
    (
        "cgminer/",
        Quirks {
            name_len: Some(63),
            ..PLAIN
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
    // It is silent while it tunes itself, was eased to a thousandth, and flooded the pool: public-pool,
    // issue 120. Names of more than 127 characters overflow a buffer of its own: datum_gateway,
    // doc/usernames.md. Coinbases of 6,500 bytes: src/datum_stratum.c there.
    (
        "whatsminer/",
        Quirks {
            least: Rung::ONE,
            name_len: Some(127),
            coinbase_len: Some(6_500),
        },
    ),
];

const fn bears_coinbases_of(len: usize) -> Quirks {
    Quirks {
        coinbase_len: Some(len),
        ..PLAIN
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
        for at_least_one in [
            "whatsminer/v1.0",
            "NerdQAxe++/BM1370/v1.0.36",
            "NerdOCTAXE-γ/BM1370",
        ] {
            assert_eq!(Quirks::of(at_least_one).least, Rung::ONE, "{at_least_one}");
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
            let is_least =
                quirks.least == Rung::EASIEST || row.contains("never below difficulty 1");
            assert!(is_least, "{name}: its easiest difficulty is not in {row}");
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
