//! Texts that were meant as addresses, whether or not they are any.
//!
//! Not a judge of addresses: `bitcoin` decodes those. This says when a name that does not decode
//! must be refused rather than taken for a plain name, since a miner with a typing error in
//! his address would otherwise work for somebody else. It errs towards refusing: that costs a
//! person a minute, the other error costs a block.

/// The first part of `user` that was meant as an address of some network.
///
/// Every word counts, not only the first, so that an address behind a space, a scheme
/// (`bitcoin:…`) or a worker's name is found too. An address with a stray separator in it is found
/// only if one of its pieces is long enough to be known.
pub(crate) fn address_in(user: &str) -> Option<&str> {
    user.split(|c: char| c.is_ascii_punctuation() || c.is_whitespace())
        .find(|word| looks_like_address(word))
}

/// Whether `word`, without spaces and punctuation, was meant as an address of some network.
pub fn looks_like_address(word: &str) -> bool {
    looks_like_bech32(word) || looks_like_base58(word) || looks_random(word)
}

/// What is wrong with `word`, which was meant as an address and does not decode, in a few words.
///
/// `bitcoin`'s own errors speak of checksum residues, and of base58 where bech32 was meant.
pub fn address_flaw(word: &str) -> String {
    const BASE58: &str = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    /// With the digits of the prefixes, which are not data: the `b` and the `1`.
    const BECH32: &str = "qpzry9x8gf2tvdw0s3jn54khce6mua7lb1";
    let is_bech32 = looks_like_bech32(word);
    let foreign = match is_bech32 {
        true => word
            .chars()
            .find(|c| !BECH32.contains(c.to_ascii_lowercase())),
        false => word.chars().find(|c| !BASE58.contains(*c)),
    };
    match foreign {
        _ if is_bech32 && has_both_cases(word) => "it mixes upper and lower case".to_owned(),
        _ if !is_bech32 && !word.starts_with(['1', '3', 'm', 'n', '2']) => {
            "no network's addresses begin like this".to_owned()
        }
        Some(char) => format!("no address of this form has the character {char:?}"),
        None => "a character is wrong or missing".to_owned(),
    }
}

/// A prefix of some network and a witness version, cut off anywhere after that.
fn looks_like_bech32(word: &str) -> bool {
    const PREFIXES: [&str; 3] = ["bc1", "tb1", "bcrt1"];
    /// Witness versions 0 and 1 to 16, as bech32 digits, begin the data.
    const VERSIONS: &str = "qpzry9x8gf2tvdw0s";
    /// Shorter data is more likely a name such as `bc1rig`.
    const SHORTEST: usize = 6;
    let word = word.to_ascii_lowercase();
    let mut data = PREFIXES
        .iter()
        .filter_map(|prefix| word.strip_prefix(prefix));
    data.any(|data| {
        data.starts_with(|digit| VERSIONS.contains(digit)) && data.chars().count() >= SHORTEST
    })
}

/// The first character of mainnet's P2PKH and P2SH addresses, and letters of both cases, at a
/// length that no short name has, so that an address of 26 to 35 characters with its end cut off is
/// found too.
fn looks_like_base58(word: &str) -> bool {
    const SHORTEST: usize = 20;
    word.starts_with(['1', '3']) && word.chars().count() >= SHORTEST && has_both_cases(word)
}

/// As long as the shortest address, and mixed as people do not write: also what is left of an
/// address when its first characters are wrong or missing.
fn looks_random(word: &str) -> bool {
    const SHORTEST: usize = 26;
    let has_letters_and_digits = || {
        word.contains(|c: char| c.is_ascii_alphabetic())
            && word.contains(|c: char| c.is_ascii_digit())
    };
    word.chars().count() >= SHORTEST && (has_letters_and_digits() || has_both_cases(word))
}

fn has_both_cases(word: &str) -> bool {
    word.contains(|c: char| c.is_ascii_uppercase())
        && word.contains(|c: char| c.is_ascii_lowercase())
}
