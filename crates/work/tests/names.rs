//! an address that was mistyped, cut off or misplaced is never taken for a plain name.

use std::str::FromStr;

use bitcoin::hashes::Hash;
use bitcoin::key::{Secp256k1, TapTweak, UntweakedPublicKey};
use bitcoin::secp256k1::SecretKey;
use bitcoin::{Address, PubkeyHash, ScriptHash, WPubkeyHash, WScriptHash};
use bitcoin::{WitnessProgram, WitnessVersion};
use headframe_work::{NameError, Network, PayoutPolicy};
use proptest::prelude::*;

const OPERATOR: &str = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa";

/// A pool that serves plain names: there a miner with a mistyped address would be paid nothing.
fn policy(network: Network) -> PayoutPolicy {
    let operator = Address::from_str(OPERATOR).expect("the genesis block pays it");
    PayoutPolicy {
        network,
        fee: None,
        plain_names: Some(operator.assume_checked()),
    }
}

/// P2PKH, P2SH, P2WPKH, P2WSH and P2TR addresses of all networks.
fn address() -> impl Strategy<Value = (Network, Address)> {
    let network = prop::sample::select(Network::ALL.to_vec());
    (network, 0..5, any::<[u8; 32]>()).prop_map(|(network, kind, hash)| {
        let net: bitcoin::Network = network.into();
        let twenty: [u8; 20] = core::array::from_fn(|i| hash[i]);
        let segwit = |version, program: &[u8]| {
            let program = WitnessProgram::new(version, program).expect("20 or 32 bytes");
            Address::from_witness_program(program, net)
        };
        let address = match kind {
            0 => Address::p2pkh(PubkeyHash::from_byte_array(twenty), net),
            1 => Address::p2sh_from_hash(ScriptHash::from_byte_array(twenty), net),
            2 => {
                let hash = WPubkeyHash::from_byte_array(twenty);
                segwit(WitnessVersion::V0, hash.as_byte_array())
            }
            3 => {
                let hash = WScriptHash::from_byte_array(hash);
                segwit(WitnessVersion::V0, hash.as_byte_array())
            }
            _ => {
                let secret = SecretKey::from_slice(&[&[1], &hash[1..]].concat())
                    .expect("not zero, and below the order");
                let key = UntweakedPublicKey::from(secret.public_key(&Secp256k1::new()));
                Address::p2tr_tweaked(key.dangerous_assume_tweaked(), net)
            }
        };
        (network, address)
    })
}

#[derive(Debug, Clone)]
enum Mistake {
    Delete(usize),
    Insert(usize, char),
    Replace(usize, char),
    Duplicate(usize),
    Transpose(usize),
    OtherCase(usize),
    CutEnd(usize),
    CutStart(usize),
    Twice,
}

impl Mistake {
    fn make(&self, address: &str) -> String {
        let mut chars: Vec<char> = address.chars().collect();
        let len = chars.len();
        match *self {
            Self::Delete(at) => drop(chars.remove(at % len)),
            Self::Insert(at, char) => chars.insert(at % (len + 1), char),
            Self::Replace(at, char) => chars[at % len] = char,
            Self::Duplicate(at) => chars.insert(at % len, chars[at % len]),
            Self::Transpose(at) => chars.swap(at % (len - 1), at % (len - 1) + 1),
            Self::OtherCase(at) => {
                let char = &mut chars[at % len];
                *char = match char.is_ascii_lowercase() {
                    true => char.to_ascii_uppercase(),
                    false => char.to_ascii_lowercase(),
                };
            }
            Self::CutEnd(keep) => chars.truncate(keep % len),
            Self::CutStart(skip) => drop(chars.drain(..skip % len)),
            Self::Twice => chars.extend_from_within(..),
        }
        chars.into_iter().collect()
    }
}

fn mistake() -> impl Strategy<Value = Mistake> {
    let at = || any::<usize>();
    // All that a base58 or bech32 reader could meet, look-alikes of other alphabets among them.
    let char = || {
        prop_oneof![
            20 => prop::char::ranges(vec!['0'..='9', 'a'..='z', 'A'..='Z'].into()),
            1 => prop::sample::select(vec!['А', 'о', 'ı', '１', 'ß', '\u{200b}', '\u{2060}']),
        ]
    };
    prop_oneof![
        at().prop_map(Mistake::Delete),
        (at(), char()).prop_map(|(at, char)| Mistake::Insert(at, char)),
        (at(), char()).prop_map(|(at, char)| Mistake::Replace(at, char)),
        at().prop_map(Mistake::Duplicate),
        at().prop_map(Mistake::Transpose),
        at().prop_map(Mistake::OtherCase),
        at().prop_map(Mistake::CutEnd),
        at().prop_map(Mistake::CutStart),
        Just(Mistake::Twice),
    ]
}

/// How many characters of an address must be left for it to be known as one: from the start, where
/// its prefix is, or from elsewhere.
fn least_recognised(address: &str, mistake: &Mistake) -> usize {
    let bech32 = ["bcrt1", "bc1", "tb1"]
        .into_iter()
        .find(|prefix| address.starts_with(prefix));
    match (mistake, bech32) {
        (Mistake::CutEnd(_), Some(prefix)) => prefix.len() + 6,
        (Mistake::CutEnd(_), None) if address.starts_with(['1', '3']) => 20,
        _ => 26,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_mistyped_address_is_nobody((_, address) in address(), mistake in mistake(), worker in "[._]?[a-z]{0,8}") {
        let address = address.to_string();
        let mistyped = mistake.make(&address);
        prop_assume!(mistyped != address);
        prop_assume!(mistyped.chars().count() >= least_recognised(&address, &mistake));
        for network in Network::ALL {
            // A worker's name without a separator is one more mistake.
            let user = format!("{mistyped}{worker}");
            prop_assume!(user != address);
            let result = policy(network).miner(&user);
            prop_assert!(matches!(result, Err(NameError::BadAddress { .. })), "{}: {:?}", user, result);
        }
    }

    #[test]
    fn an_address_in_the_wrong_place_is_nobody(
        (_, address) in address(),
        before in "(|bitcoin:|rig[.]|rig_|\"| |<|@)",
        after in "(|-rig|/rig|:x|\"| |[+]1000|,)",
    ) {
        prop_assume!(!(before.is_empty() && after.is_empty()));
        for network in Network::ALL {
            let user = format!("{before}{address}{after}");
            let result = policy(network).miner(&user);
            prop_assert!(matches!(result, Err(NameError::BadAddress { .. })), "{}: {:?}", user, result);
        }
    }

    #[test]
    fn an_address_is_paid_on_its_networks_and_refused_on_others((network, address) in address()) {
        for pool in Network::ALL {
            let result = policy(pool).miner(&format!("{address}.rig"));
            if address.as_unchecked().is_valid_for_network(pool.into()) {
                let miner = result.unwrap();
                prop_assert_eq!(miner.payout.miner(), &address.script_pubkey());
                prop_assert_eq!(&*miner.worker, "rig");
            } else {
                prop_assert_ne!(pool, network);
                let refused = matches!(result, Err(NameError::OtherNetwork { .. }));
                prop_assert!(refused, "{:?}", result);
            }
        }
    }

    #[test]
    fn no_name_panics(user in "\\PC{0,80}") {
        for network in Network::ALL {
            if let Ok(miner) = policy(network).miner(&user) {
                prop_assert_eq!(&*miner.user, &*user);
            }
        }
    }
}

#[test]
fn addresses_that_their_owner_cannot_spend_from_are_refused() {
    for address in [
        // BIP350: witness versions 1 (of 40 bytes), 16 and 2; pay-to-anchor.
        "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y",
        "BC1SW50QGDZ25J",
        "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs",
        "bc1pfeessrawgf",
    ] {
        let error = policy(Network::Mainnet).miner(address).unwrap_err();
        assert!(
            matches!(error, NameError::Unspendable { .. }),
            "{address}: {error}"
        );
    }
    let no_point = WitnessProgram::new(WitnessVersion::V1, &[0xff; 32]).unwrap();
    let no_point = Address::from_witness_program(no_point, bitcoin::Network::Bitcoin);
    let error = policy(Network::Mainnet)
        .miner(&no_point.to_string())
        .unwrap_err();
    assert!(matches!(error, NameError::Unspendable { .. }), "{error}");
}

/// Names that miners and rental services really use.
#[test]
fn ordinary_names_are_not_taken_for_addresses() {
    for name in [
        "",
        "1",
        "x",
        "worker1",
        "rig.1",
        "rig_02",
        "garage",
        "bitaxe",
        "bitaxe-ultra-204",
        "BitaxeGamma601",
        "nerdqaxe++",
        "NerdMinerLivingRoom",
        "NerdMinerV2",
        "nerdminer_lilygo",
        "antminer.s19",
        "S19jPro-104T",
        "s21.rack3.slot12",
        "AvalonNano3S",
        "avalon_q_kitchen",
        "whatsminer-m50s-114",
        "3dprinter",
        "3rdFloorRack",
        "1stMiner",
        "21e8",
        "2miners",
        "bc1",
        "bc1rig",
        "tb1",
        "btc",
        "bcrt1",
        "mining-farm-north-container-12-row-4",
        "john.doe1984@example.com",
        "dGVzdA==",
        "550e8400-e29b-41d4-a716-446655440000",
        "braiins.rented.20261122.1830",
        "mrr.123456",
        "NHbTest",
        "minersworkinginthebasement",
        "THE BIG ONE",
        "шахта-7",
        "鉱山01",
        "satoshi",
        "m5stack_atom_lite",
        "nano-3.winter-heater.bedroom",
    ] {
        let miner = policy(Network::Mainnet).miner(name);
        let miner = miner.unwrap_or_else(|error| panic!("{name} was refused: {error}"));
        assert_eq!(miner.address.to_string(), OPERATOR);
        assert_eq!(&*miner.worker, name);
    }
}

/// What a person reads who made a mistake.
#[test]
fn refusals_say_what_is_wrong() {
    let told = |user: &str| {
        policy(Network::Mainnet)
            .miner(user)
            .unwrap_err()
            .to_string()
    };
    for (user, reason) in [
        (
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5.rig",
            "a character is wrong or missing",
        ),
        ("bc1qw508d6qejx", "a character is wrong or missing"),
        (
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3to",
            "no address of this form has the character 'o'",
        ),
        (
            "bc1qw508d6qejx\u{200b}tdg4y5r3zarvary0c5xw7kv8f3t4",
            "no address of this form has the character '\\u{200b}'",
        ),
        (
            "bc1Qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            "it mixes upper and lower case",
        ),
        (
            "c1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            "no network's addresses begin like this",
        ),
        (
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
            "a character is wrong or missing",
        ),
        (
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfN0",
            "no address of this form has the character '0'",
        ),
    ] {
        let address = user.split('.').next().unwrap();
        let expected = format!("{address} looks like an address but cannot be paid: {reason}");
        assert_eq!(told(user), expected);
    }
    assert_eq!(
        told("rig_1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa looks like an address but cannot be paid: an address \
         stands first in a user name, and only a dot or an underscore may follow it"
    );
    assert_eq!(
        told("bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs"),
        "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs is not of a kind that only its owner can spend from; \
         use a P2PKH, P2SH, P2WPKH, P2WSH or P2TR address of your wallet"
    );
}
