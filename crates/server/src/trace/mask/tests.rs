//! Nothing that pays anybody gets through, and what gets through still works.

use bitcoin::hex::{DisplayHex as _, FromHex as _};
use headframe_sv2_wire::mining::{
    NewExtendedMiningJob, OpenExtendedMiningChannel, SubmitSharesExtended,
};
use headframe_sv2_wire::tlv::{self, ByteOrder, TlvTail, UserIdentity};
use headframe_sv2_wire::{
    Bytes32, Bytes64K, Extension, Frame, Message, Seq255, Str255, U256, write_frame,
};
use headframe_work::{PayoutPolicy, looks_like_address};
use serde_json::{Value, json};

use super::*;

/// BIP173, BIP350, and the first block's.
const MAINNET: [&str; 5] = [
    "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
    "bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
    "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
    "3P14159f73E4gFr7JterCCQh9QjiTjiZrG",
];

fn mask() -> Mask {
    Mask::new(Network::Mainnet)
}

fn script_of(address: &str) -> Vec<u8> {
    let address = Address::from_str(address).unwrap().assume_checked();
    address.script_pubkey().to_bytes()
}

fn policy(network: Network) -> PayoutPolicy {
    PayoutPolicy {
        network,
        fee: None,
        plain_names: None,
    }
}

/// What is hashed in a script, and tells the address.
fn hash_of(script: &[u8]) -> &[u8] {
    let len = if script.len() >= 34 { 32 } else { 20 };
    let start = script.windows(1).position(|it| it[0] == len as u8).unwrap() + 1;
    &script[start..start + len]
}

#[test]
fn an_address_becomes_another_one_that_the_pool_would_serve_alike() {
    let mut mask = mask();
    let mut seen = Vec::new();
    for address in MAINNET {
        let masked = mask.text(&format!("{address}.rig_1"));
        let served = policy(Network::Mainnet).miner(&masked).unwrap();
        assert_eq!(&*served.worker, "rig_1");
        assert_eq!(masked.len(), address.len() + 6);
        let (new, old) = (served.address.script_pubkey(), script_of(address));
        let kind = |address: &str| {
            Address::from_str(address)
                .unwrap()
                .assume_checked()
                .address_type()
        };
        assert_eq!(served.address.address_type(), kind(address));
        assert_ne!(hash_of(new.as_bytes()), hash_of(&old));
        assert_eq!(
            mask.text(address),
            served.address.to_string(),
            "the same again"
        );
        seen.push(new);
    }
    seen.dedup();
    assert_eq!(seen.len(), MAINNET.len());
    // As QR codes have it.
    let upper = MAINNET[0].to_uppercase();
    assert_eq!(mask.text(&upper), mask.text(MAINNET[0]).to_uppercase());
}

#[test]
fn addresses_of_the_pool_s_own_network_stay_there() {
    for (network, address) in [
        (
            Network::Regtest,
            "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
        ),
        (
            Network::Testnet4,
            "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
        ),
        (
            Network::Signet,
            "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
        ),
        (Network::Regtest, "mrCDrCybB6J1vRfbwM5hemdJz73FwDBC8r"),
    ] {
        let masked = Mask::new(network).text(address);
        assert_ne!(masked, address);
        policy(network).miner(&masked).unwrap();
    }
    // One of another network is refused, and so is what stands for it.
    let masked = Mask::new(Network::Regtest).text(MAINNET[0]);
    assert!(masked.starts_with("bc1q") && masked != MAINNET[0]);
}

#[test]
fn what_was_meant_as_an_address_says_nothing_and_is_refused_alike() {
    let mistyped = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5";
    let masked = mask().text(&format!("{mistyped}.rig"));
    assert_eq!(masked, "bc1qx000x0xxxxxxx0x0x0xxxxxxx0x0xx0xx0x0x0.rig");
    assert!(policy(Network::Mainnet).miner(&masked).is_err());
    assert!(looks_like_address(&without_content(mistyped)));
    // A name that a proxy has cut goes on as the beginning of its whole.
    let mut mask = mask();
    let whole = mask.text(MAINNET[0]);
    assert_eq!(mask.text(&MAINNET[0][..32]), whole[..32]);
    for plain in [
        "garage.rig-1",
        "",
        "cgminer/4.11.1",
        "矿机",
        "0123456789abcdef0123456789abcdef01234567",
    ] {
        assert_eq!(mask.text(plain), plain);
    }
}

/// A coinbase's end as extended jobs have it: the rest of the scriptSig, outputs, lock time.
fn coinbase_end(addresses: &[&str]) -> Vec<u8> {
    let mut bytes = vec![0x2f, 0x68, 0x66, 0x2f, 0xff, 0xff, 0xff, 0xff];
    bytes.push(addresses.len() as u8 + 1);
    for address in addresses {
        let script = script_of(address);
        bytes.extend(5_000_000_000u64.to_le_bytes());
        bytes.push(script.len() as u8);
        bytes.extend(script);
    }
    // The witness commitment of a block without transactions.
    let commitment = "6a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9";
    let commitment = Vec::from_hex(commitment).unwrap();
    bytes.extend([0; 8]);
    bytes.push(commitment.len() as u8);
    bytes.extend(commitment);
    bytes.extend([0; 4]);
    bytes
}

fn says(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|part| part == needle)
}

#[test]
fn a_job_pays_whoever_stands_for_the_miner_and_keeps_the_commitment() {
    let suffix = coinbase_end(&MAINNET);
    let job = NewExtendedMiningJob {
        channel_id: 1,
        job_id: 2,
        min_ntime: None,
        version: 0x2000_0000,
        version_rolling_allowed: true,
        merkle_path: Seq255::new(&[]).unwrap(),
        coinbase_tx_prefix: Bytes64K::new(&[7; 40]).unwrap(),
        coinbase_tx_suffix: Bytes64K::new(&suffix).unwrap(),
    };
    let mut frame = Vec::new();
    write_frame(&job, &mut frame);
    let mut mask = mask();
    let name = mask.text(MAINNET[3]);
    let masked = mask.frame(&frame);
    assert_eq!(
        (masked.name(), masked.bytes.len()),
        ("NewExtendedMiningJob", frame.len())
    );
    let (read, _) = Frame::split(&masked.bytes).unwrap();
    let read = NewExtendedMiningJob::decode(read.payload()).unwrap();
    let bytes = read.coinbase_tx_suffix.as_bytes();
    for address in MAINNET {
        let script = script_of(address);
        assert!(says(&suffix, hash_of(&script)) && !says(bytes, hash_of(&script)));
    }
    assert!(says(bytes, &script_of(&name)), "name and job agree");
    let commitment = suffix.len() - 4 - 38;
    assert_eq!(bytes[commitment..], suffix[commitment..]);
    let fields = serde_json::to_value(masked.fields().unwrap()).unwrap();
    let expected = json!({
        "channel_id": 1,
        "job_id": 2,
        "min_ntime": null,
        "version": 0x2000_0000,
        "version_rolling_allowed": true,
        "merkle_path": [],
        "coinbase_tx_prefix": "07".repeat(40),
        "coinbase_tx_suffix": bytes.to_lower_hex_string(),
    });
    assert_eq!(fields, expected);
}

#[test]
fn names_are_masked_where_channels_are_opened_and_in_shares() {
    let user = format!("{}.rig", MAINNET[0]);
    let open = OpenExtendedMiningChannel {
        request_id: 1,
        user_identity: Str255::new(&user).unwrap(),
        nominal_hash_rate: f32::INFINITY,
        max_target: U256::MAX,
        min_extranonce_size: 4,
    };
    let mut frame = Vec::new();
    write_frame(&open, &mut frame);
    let mut mask = mask();
    let masked = mask.frame(&frame);
    let fields = serde_json::to_value(masked.fields().unwrap()).unwrap();
    assert_eq!(fields["user_identity"], mask.text(&user));
    assert_eq!(fields["nominal_hash_rate"], "inf");
    assert_eq!(fields["max_target"], "ff".repeat(32));
    assert!(!says(&masked.bytes, MAINNET[0].as_bytes()));
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let cut = &MAINNET[0].as_bytes()[..32];
        let mut tail = Vec::new();
        tlv::write(
            &mut [UserIdentity::new(cut).unwrap().to_tlv()],
            order,
            &mut tail,
        );
        let share = SubmitSharesExtended {
            channel_id: 1,
            sequence_number: 2,
            job_id: 3,
            nonce: 4,
            ntime: 5,
            version: 6,
            extranonce: Bytes32::new(&[9; 8]).unwrap(),
            tlvs: TlvTail::new(&tail).unwrap(),
        };
        let mut frame = Vec::new();
        write_frame(&share, &mut frame);
        let masked = mask.frame(&frame);
        let (read, _) = Frame::split(&masked.bytes).unwrap();
        let read = SubmitSharesExtended::decode(read.payload()).unwrap();
        let tlvs = read
            .tlvs
            .read(&[Extension::WORKER_HASHRATE_TRACKING])
            .unwrap();
        let name = tlvs.value(Extension::WORKER_HASHRATE_TRACKING, 1).unwrap();
        assert_eq!(name, &mask.text(&user).as_bytes()[..32]);
        assert_eq!(read.extranonce.as_bytes(), [9; 8]);
    }
}

#[test]
fn what_is_no_message_is_masked_as_a_whole() {
    let mut payload = vec![0x42];
    payload.extend(MAINNET[0].as_bytes());
    payload.extend(coinbase_end(&MAINNET[1..2]));
    for (kind, message_type) in [(0x0007u16, 0x7f), (0, 0x00), (0, 0x13)] {
        let [low, high] = kind.to_le_bytes();
        let mut frame = vec![low, high, message_type, payload.len() as u8, 0, 0];
        frame.extend(&payload);
        let masked = mask().frame(&frame);
        assert_eq!(
            (masked.name(), masked.bytes.len()),
            ("unknown", frame.len())
        );
        assert!(masked.fields().is_none());
        assert!(!says(&masked.bytes, &MAINNET[0].as_bytes()[6..]));
        assert!(!says(&masked.bytes, hash_of(&script_of(MAINNET[1]))));
    }
}

fn line(line: &str) -> String {
    mask().line(line.as_bytes())
}

#[test]
fn a_login_keeps_everything_but_who_and_the_password() {
    let user = MAINNET[0];
    let masked_user = mask().text(user);
    for (written, masked) in [
        (
            r#"{"id": 2,"method":"mining.authorize", "params": [ "ADDRESS.rig","hunter2"]}"#,
            r#"{"id": 2,"method":"mining.authorize", "params": [ "ADDRESS.rig","x"]}"#,
        ),
        (
            r#"{"params":["ADDRESS","d=1024",["hunter2",{"a":1}],1234],"method":"mining.authorize","id":null}"#,
            r#"{"params":["ADDRESS","x","x","x"],"method":"mining.authorize","id":null}"#,
        ),
        (
            r#"{"id":1,"method":"mining.\u0061uthorize","params":["a\u002eb","hunter2"]}"#,
            r#"{"id":1,"method":"mining.\u0061uthorize","params":["a\u002eb","x"]}"#,
        ),
        (
            r#"{"id":1,"method":"login","params":{"user":"ADDRESS","Password":"hunter2"}}"#,
            r#"{"id":1,"method":"login","params":{"user":"ADDRESS","Password":"x"}}"#,
        ),
    ] {
        let line = line(&written.replace("ADDRESS", user));
        assert_eq!(line, masked.replace("ADDRESS", &masked_user));
        assert!(!line.contains("hunter2"));
    }
}

#[test]
fn other_lines_stay_byte_for_byte() {
    for text in [
        r#"{"id":1, "method" : "mining.subscribe","params":["bitaxe/BM1370","0011aabb"]} "#,
        r#"{"id":4,"method":"mining.submit","params":["garage.rig","6a","0000000000000001","6560a3b1","9f00b5c2","00002000"]}"#,
        r#"{"id":null,"method":"mining.set_difficulty","params":[0.5e-3]}"#,
        r#"{"result":[[["mining.notify","0a0b0c0d"]],"0a0b0c0d",8],"error":null,"id":1}"#,
        "[]",
    ] {
        assert_eq!(line(text), text);
    }
}

#[test]
fn jobs_and_refusals_are_masked_in_lines_too() {
    let end = coinbase_end(&MAINNET).to_lower_hex_string();
    let notify = json!({"id": null, "method": "mining.notify",
        "params": ["1f", "00".repeat(32), "01".repeat(60), end, ["ab".repeat(32)], "20000000", "1703255b", "6560a3b1", true]});
    let masked = line(&notify.to_string());
    let read: Value = serde_json::from_str(&masked).unwrap();
    for address in MAINNET {
        let hash = hash_of(&script_of(address)).to_lower_hex_string();
        assert!(end.contains(&hash) && !masked.contains(&hash));
    }
    for kept in [0, 1, 2, 4, 5, 6, 7, 8] {
        assert_eq!(read["params"][kept], notify["params"][kept]);
    }
    let text = format!("this connection mines for {}; use another", MAINNET[4]);
    let refused = json!({"id": 3, "result": null, "error": [24, text, null]}).to_string();
    assert!(!line(&refused).contains(MAINNET[4]));
}

#[test]
fn of_a_line_that_is_no_json_only_the_form_is_left() {
    assert_eq!(
        line(r#"{"id":2,"method":"mining.authorize","params":["bob","hunter2"]"#),
        r#"{"id":0,"xxxxxx":"xxxxxx.xxxxxxxxx","xxxxxx":["xxx","xxxxxx0"]"#
    );
    assert_eq!(line("POST / HTTP/1.1"), "POST / XXXX/0.0");
}

mod any {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever a peer sends, a mask neither panics nor changes a length.
        #[test]
        fn bytes_can_be_masked(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut mask = mask();
            prop_assert_eq!(mask.frame(&bytes).bytes.len(), bytes.len());
            let mut changed = bytes.clone();
            mask.anything(&mut changed);
            mask.line(&bytes);
        }

        /// JSON stays JSON.
        #[test]
        fn json_can_be_masked(text in "[\\[\\]{}\":,\\\\a-z0-9 ]{0,40}", word in "\\PC{0,40}") {
            let line = json!({"method": "mining.authorize", "params": [word, text], "pass": text}).to_string();
            let masked = mask().line(line.as_bytes());
            let read: Value = serde_json::from_str(&masked).unwrap();
            prop_assert_eq!(&read["params"][1], "x");
            prop_assert_eq!(&read["pass"], "x");
            mask().line(text.as_bytes());
        }
    }
}
