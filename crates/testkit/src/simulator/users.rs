//! The names that clients come with, and whom they pay.

use std::collections::HashMap;

use bitcoin::ScriptBuf;

use crate::{Chance, address};

/// Addresses that miners have.
const ADDRESSES: u64 = 40;
/// Machines of each.
const RIGS: u64 = 8;

/// The names, and whom they pay.
#[derive(Debug)]
pub(super) struct Users {
    names: Vec<String>,
    scripts: HashMap<String, ScriptBuf>,
    operator: ScriptBuf,
}

impl Users {
    pub(super) fn new() -> Self {
        let addresses = (1..=ADDRESSES).map(address);
        let (mut names, mut scripts) = (Vec::new(), HashMap::new());
        for address in addresses {
            let script = address.script_pubkey();
            names.push(address.to_string());
            scripts.insert(address.to_string(), script);
        }
        Self {
            names,
            scripts,
            operator: address(0).script_pubkey(),
        }
    }

    /// Somebody.
    pub(super) fn choose(&self, chance: &mut Chance) -> String {
        let name = &self.names[chance.below(ADDRESSES) as usize];
        match chance.below(8) {
            0 => name.clone(),
            1 => format!("farm.{}", chance.below(RIGS)),
            _ => format!("{name}.rig{}", chance.below(RIGS)),
        }
    }

    /// Another machine of the owner of `user`.
    pub(super) fn sibling(&self, user: &str, chance: &mut Chance) -> String {
        let owner = user.split('.').next().unwrap_or(user);
        format!("{owner}.rig{}", chance.below(RIGS))
    }

    /// Whom `user` pays: himself, or the operator.
    pub(super) fn script(&self, user: &[u8]) -> ScriptBuf {
        let user = String::from_utf8_lossy(user);
        let owner = user.split('.').next().unwrap_or_default();
        self.scripts.get(owner).unwrap_or(&self.operator).clone()
    }
}
