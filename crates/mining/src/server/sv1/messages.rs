//! Who is known to bear `client.show_message`. To others nothing is sent that they did not ask for.

/// How the user agents begin, and how it is known:
///
/// * ESP-Miner (Bitaxe and its sisters) reads it and says it to its log (esp-miner.md section 2);
/// * cgminer and what was made of it (bmminer of Antminer, bfgminer) have it in the table of methods
///   that a pool may call, and log the text;
/// * ours.
const BEARERS: [&str; 5] = ["bitaxe", "cgminer", "bmminer", "bfgminer", "headframe"];

/// Whether the device that calls itself so bears messages.
pub(super) fn bears(user_agent: &str) -> bool {
    let begins = |name: &&str| {
        let start = user_agent.get(..name.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(name))
    };
    BEARERS.iter().any(begins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_known_to_bear_messages_gets_them() {
        for device in [
            "bitaxe/BM1370/v2.15.0",
            "cgminer/4.12.1",
            "bmminer/2.0.0",
            "Headframe/0.1",
        ] {
            assert!(bears(device), "{device}");
        }
        for device in ["", "bit", "NerdMinerV2", "whatsminer/v1", "my cgminer", "é"] {
            assert!(!bears(device), "{device}");
        }
    }
}
