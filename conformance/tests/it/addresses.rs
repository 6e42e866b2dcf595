//! User names that cannot be paid are refused with the reason, and nobody else notices.

use headframe_conformance::sv1::Client;
use headframe_conformance::wallet::Kind;
use headframe_conformance::{Bitcoind, Chain, Key, Miner, Pool, Protocol};

/// Addresses of other networks, damaged ones, and what the refusal has to say.
fn bad_names(node: &Bitcoind) -> [(String, &'static str); 5] {
    let key = Key::number(1);
    let here = key
        .address(Kind::P2wpkh, node.chain().network())
        .to_string();
    let mainnet = bitcoin::Network::Bitcoin;
    let truncated = here[..here.len() - 3].to_owned();
    let wrong_letter = format!(
        "{}{}",
        &here[..here.len() - 1],
        if here.ends_with('q') { 'p' } else { 'q' }
    );
    [
        (key.address(Kind::P2wpkh, mainnet).to_string(), "regtest"),
        (key.address(Kind::P2pkh, mainnet).to_string(), "regtest"),
        (truncated, "address"),
        (wrong_letter, "address"),
        ("satoshi".to_owned(), "address"),
    ]
}

#[test]
fn a_name_that_cannot_be_paid_is_refused_with_the_reason() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let pool = Pool::on(&node);
    let good = Key::number(2).address(Kind::P2tr, node.chain().network());
    let mut bystander = Client::mining(pool.listen(), &good.to_string());
    let job = bystander.job();

    for (name, reason) in bad_names(&node) {
        let mut client = Client::connect(pool.listen());
        client.subscribe();
        let answer = client.authorize(&format!("{name}.rig"));
        assert_ne!(answer["result"], true, "{name}: {answer}");
        let said = answer["error"].to_string();
        assert!(said.contains(reason), "{name}: {answer}");
        pool.log().line(&format!("is not served as \"{name}"));
    }

    // Nobody else notices.
    let solution = bystander.solve(&job);
    assert_eq!(bystander.submit(&solution)["result"], true);
}

#[test]
fn a_name_that_cannot_be_paid_is_refused_on_sv2() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let pool = Pool::on(&node);
    for protocol in [Protocol::Sv2Standard, Protocol::Sv2Extended] {
        for (name, _) in bad_names(&node) {
            // Asking again would not help, so the miner ends.
            let mut miner = Miner::start(&pool, protocol, &name, &["--throttle", "20"]);
            miner.log().line("refuses this user name");
            assert_eq!(miner.ended(), Some(1));
            pool.log().line(&format!("is not served as \"{name}"));
        }
    }
    assert_eq!(node.height(), 0);
}

#[test]
fn an_operator_may_serve_names_that_are_no_addresses() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let operator = Key::number(4).address(Kind::P2wpkh, node.chain().network());
    let settings = [("PAYOUT_PLAIN_NAME_ADDRESS", operator.to_string())];
    let settings = settings
        .each_ref()
        .map(|(key, value)| (*key, value.as_str()));
    let pool = Pool::configured(&node, &settings);
    let mut miner = Client::mining(pool.listen(), "satoshi");
    let job = miner.job();
    let solution = miner.solve(&job);
    assert_eq!(miner.submit(&solution)["result"], true);
    headframe_conformance::wait::until_true("the block", || node.height() == 1);
    let found = headframe_conformance::FoundBlock::at(&node, 1);
    assert_eq!(found.payouts(), [(operator.script_pubkey(), found.value())]);

    // A damaged address is no plain name.
    let (truncated, _) = bad_names(&node)[2].clone();
    let mut client = Client::connect(pool.listen());
    client.subscribe();
    let answer = client.authorize(&truncated);
    assert_ne!(answer["result"], true, "{answer}");
}
