//! What a trace must not tell: where coins are paid, and passwords.
//!
//! An address is replaced by another one of the same network, kind and length that belongs to nobody, a
//! script by the script of that address; the same one always by the same one, so that a replay does
//! what the original did. What was meant as an address and is none loses its letters and digits and
//! keeps its form. Nothing of a replacement is made from what it replaces.
//!
//! Nothing is known here of who mines: scripts are found by their form, so that nothing depends on
//! when a trace began.

mod frame;
mod line;

use std::collections::HashMap;
use std::str::FromStr;

use bitcoin::address::NetworkUnchecked;
use bitcoin::hashes::{Hash as _, HashEngine as _, sha256};
use bitcoin::key::XOnlyPublicKey;
use bitcoin::{Address, Script, ScriptBuf};
use headframe_work::{Network, looks_like_address};

pub(super) use frame::Fields;

/// Addresses that are replaced one by one; any more lose their letters and digits. A farm has one.
const MAX_ADDRESSES: usize = 4_096;
/// Tries to find a replacement of the same length. Most fit at once, of the rarest lengths one in thousands.
const MAX_TRIES: u32 = 20_000;
/// Shorter words are no address, and no part of one that would tell it.
const SHORTEST_WORD: usize = 14;
/// What stands before the replacements' numbers when they are hashed.
const SEED: &[u8] = b"headframe trace";

/// The forms of output scripts that addresses have: what stands before the hash, with the script's length,
/// how long that is, and what stands behind it.
const SCRIPTS: [(&[u8], usize, &[u8]); 5] = [
    (&[0x19, 0x76, 0xa9, 0x14], 20, &[0x88, 0xac]),
    (&[0x17, 0xa9, 0x14], 20, &[0x87]),
    (&[0x16, 0x00, 0x14], 20, &[]),
    (&[0x22, 0x00, 0x20], 32, &[]),
    (&[0x22, 0x51, 0x20], 32, &[]),
];

/// What stands for what, in one trace.
#[derive(Debug)]
pub(super) struct Mask {
    network: bitcoin::Network,
    scripts: HashMap<ScriptBuf, ScriptBuf>,
    /// Addresses as they were written, and what stands for them.
    addresses: HashMap<String, String>,
    numbers: u64,
}

impl Mask {
    /// Nothing is replaced yet.
    pub(super) fn new(network: Network) -> Self {
        Self {
            network: network.into(),
            scripts: HashMap::new(),
            addresses: HashMap::new(),
            numbers: 0,
        }
    }

    /// `text` with its addresses masked; as long as it was.
    pub(super) fn text(&mut self, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        self.words(&mut bytes);
        String::from_utf8(bytes).expect("letters and digits are replaced by letters and digits")
    }

    /// Masks what may be names, or outputs, or both.
    fn anything(&mut self, bytes: &mut [u8]) {
        self.words(bytes);
        self.outputs(bytes);
    }

    /// Masks addresses that stand somewhere in `bytes`.
    fn words(&mut self, bytes: &mut [u8]) {
        for word in bytes.split_mut(|byte| !byte.is_ascii_alphanumeric()) {
            let text = core::str::from_utf8(word).expect("letters and digits are text");
            if let Some(masked) = self.word(text) {
                word.copy_from_slice(masked.as_bytes());
            }
        }
    }

    /// What stands for `word`, as long as that; `None` if it is no address and was not meant as one.
    fn word(&mut self, word: &str) -> Option<String> {
        if word.len() < SHORTEST_WORD {
            return None;
        }
        if let Some(masked) = self.addresses.get(word) {
            return Some(masked.clone());
        }
        if let Ok(address) = Address::from_str(word) {
            let masked = self.address(word, &address);
            return Some(masked.unwrap_or_else(|| without_content(word)));
        }
        // A proxy cuts names to 32 bytes.
        let mut known = self.addresses.iter();
        if let Some((_, masked)) = known.find(|(known, _)| known.starts_with(word)) {
            return masked.get(..word.len()).map(str::to_owned);
        }
        let is_hexadecimal = word.bytes().all(|byte| byte.is_ascii_hexdigit());
        (!is_hexadecimal && looks_like_address(word)).then(|| without_content(word))
    }

    fn address(&mut self, word: &str, address: &Address<NetworkUnchecked>) -> Option<String> {
        use bitcoin::Network::{Bitcoin, Regtest, Testnet4};
        let networks = [self.network, Bitcoin, Testnet4, Regtest];
        let mut networks = networks.into_iter();
        let network = networks.find(|network| address.is_valid_for_network(*network))?;
        let script = address.assume_checked_ref().script_pubkey();
        let masked = Address::from_script(&self.script(&script)?, network).ok()?;
        let is_upper = !word.bytes().any(|byte| byte.is_ascii_lowercase());
        let masked = match is_upper {
            true => masked.to_string().to_uppercase(),
            false => masked.to_string(),
        };
        let masked = Some(masked).filter(|masked| masked.len() == word.len())?;
        self.addresses.insert(word.to_owned(), masked.clone());
        Some(masked)
    }

    /// The script that stands for `script`; `None` if there are too many already, or none fits.
    fn script(&mut self, script: &Script) -> Option<ScriptBuf> {
        if let Some(masked) = self.scripts.get(script) {
            return Some(masked.clone());
        }
        if self.scripts.len() >= MAX_ADDRESSES {
            return None;
        }
        let length = |script: &Script| {
            let address = Address::from_script(script, self.network);
            address.map_or(0, |address| address.to_string().len())
        };
        let wanted = length(script);
        self.numbers += 1;
        let mut tries = (0..MAX_TRIES).filter_map(|attempt| nobody(script, self.numbers, attempt));
        let masked = tries.find(|masked| length(masked) == wanted)?;
        self.scripts.insert(script.to_owned(), masked.clone());
        Some(masked)
    }

    /// Masks the output scripts that stand somewhere in `bytes`.
    fn outputs(&mut self, bytes: &mut [u8]) {
        let mut start = 0;
        while let Some(rest) = bytes.get_mut(start..).filter(|rest| !rest.is_empty()) {
            start += 1;
            let Some(len) = script_len(rest) else {
                continue;
            };
            let script = &mut rest[1..=len];
            match self.script(Script::from_bytes(script)) {
                Some(masked) => script.copy_from_slice(masked.as_bytes()),
                None => script.fill(0),
            }
            start += len;
        }
    }
}

/// The length of the output script that `bytes` begin with, behind its length.
fn script_len(bytes: &[u8]) -> Option<usize> {
    let is_form = |(before, hash, behind): &(&[u8], usize, &[u8])| {
        let rest = bytes.strip_prefix(*before)?;
        rest.get(*hash..)?.strip_prefix(*behind)
    };
    let form = SCRIPTS.iter().find(|form| is_form(form).is_some())?;
    let (before, hash, behind) = form;
    Some(before.len() - 1 + hash + behind.len())
}

/// A script of the form of `script` that nobody can spend; `None` if this attempt gives none.
fn nobody(script: &Script, number: u64, attempt: u32) -> Option<ScriptBuf> {
    let mut engine = sha256::Hash::engine();
    engine.input(SEED);
    engine.input(&number.to_le_bytes());
    engine.input(&attempt.to_le_bytes());
    let hash = sha256::Hash::from_engine(engine).to_byte_array();
    // A name that pays to what is no key is refused, and the replay with it.
    if script.is_p2tr() && XOnlyPublicKey::from_slice(&hash).is_err() {
        return None;
    }
    let mut masked = script.to_bytes();
    let behind = if script.is_p2pkh() {
        2
    } else {
        usize::from(script.is_p2sh())
    };
    let before = match script.is_p2pkh() {
        true => 3,
        false => 2,
    };
    let end = masked.len().checked_sub(behind)?;
    let program = masked.get_mut(before..end)?;
    for (byte, other) in program.iter_mut().zip(hash.iter().cycle()) {
        *byte = *other;
    }
    Some(ScriptBuf::from_bytes(masked))
}

/// `text` with other letters and digits: what kind each was is left, and the first four, which say what was
/// meant.
pub(super) fn without_content(text: &str) -> String {
    let hidden = |c: char| match c {
        c if c.is_ascii_digit() => '0',
        c if c.is_lowercase() => 'x',
        c if c.is_uppercase() => 'X',
        c if c.is_alphanumeric() => 'x',
        c => c,
    };
    let mut chars = text.chars();
    let begin = text.chars().take(4);
    chars.by_ref().take(4).for_each(drop);
    begin.chain(chars.map(hidden)).collect()
}

#[cfg(test)]
mod tests;
