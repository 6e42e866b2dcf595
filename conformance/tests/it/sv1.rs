//! Stratum V1 by hand: what a miner of ours would not ask for, on a signet that anybody may mine, so
//! that there are shares that are no blocks.

use bitcoin::Target;
use headframe_conformance::sv1::Client;
use headframe_conformance::wait::until_true;
use headframe_conformance::wallet::Kind;
use headframe_conformance::{Bitcoind, Chain, Key, Pool};

/// A difficulty of sixteen hashes, and its target.
const EASY: &str = "0.0000000037252902984619140625";
fn easy() -> Target {
    let mut bytes = [0; 32];
    bytes[..3].copy_from_slice(&[0x0f, 0xff, 0xf0]);
    Target::from_be_bytes(bytes)
}

/// Whoever asks for a difficulty is given it with the first work, finds shares of it, and is shown
/// without it.
#[test]
fn a_difficulty_is_asked_for_in_password_or_name() {
    let Some(node) = Bitcoind::start(Chain::OpenSignet) else {
        return;
    };
    let pool = Pool::on(&node);
    let address = Key::number(1).address(Kind::P2wpkh, node.chain().network());
    let asking = [
        ("a", String::new(), format!("x,d={EASY}")),
        ("b", format!("+{EASY}"), "x".to_owned()),
    ];
    for (worker, end, password) in asking {
        let worker = format!("{address}.{worker}");
        let mut miner = Client::connect(pool.listen());
        miner.subscribe();
        let answer = miner.authorize_with(&format!("{worker}{end}"), &password);
        assert_eq!(answer["result"], true, "{answer}");
        assert_eq!(Ok(miner.difficulty()), EASY.parse());
        let job = miner.job();
        let share = miner.solve_share(&job, easy(), 0);
        assert_eq!(miner.submit(&share)["result"], true);
        until_true(&format!("a share of {worker}"), || {
            let answer = pool.api("miners");
            let miners = answer["miners"].as_array().expect("a list");
            let mut of_worker = miners.iter().filter(|miner| miner["worker"] == *worker);
            of_worker.any(|miner| miner["shares"]["accepted"] == 1)
        });
    }
}

/// what was on its way when the connection was lost counts after it, and nothing counts twice.
#[test]
fn a_session_goes_on_over_another_connection() {
    let Some(node) = Bitcoind::start(Chain::OpenSignet) else {
        return;
    };
    let pool = Pool::configured(&node, &[("DIFFICULTY_START", EASY)]);
    let address = Key::number(1).address(Kind::P2wpkh, node.chain().network());
    let address = address.to_string();
    let mut first = Client::mining(pool.listen(), &address);
    let job = first.job();
    let [counted, on_its_way] = [0, 1].map(|others| first.solve_share(&job, easy(), others));
    assert_eq!(first.submit(&counted)["result"], true);
    let (session_id, extranonce1) = (first.session_id.clone(), first.extranonce1.clone());
    first.leave();

    let mut second = Client::connect(pool.listen());
    second.resume(&session_id);
    assert_eq!(second.extranonce1, extranonce1);
    assert_eq!(second.session_id, session_id);
    assert_eq!(second.authorize(&address)["result"], true);
    assert_eq!(second.submit(&counted)["error"][0], 22);
    assert_eq!(second.submit(&on_its_way)["result"], true);
}
