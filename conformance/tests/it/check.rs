//! `headframe check` on real nodes: what is right, and each thing that is not.

use headframe_conformance::bitcoind::free_address;
use headframe_conformance::wallet::Kind;
use headframe_conformance::{Bitcoind, Chain, Key, Pool, Provider, Way};
use serde_json::Value;

/// What it finds, and whether its exit status says that nothing is wrong.
fn check(pool: &Pool, more: &[&str]) -> (Value, bool) {
    let arguments = [&["check", "--json"], more].concat();
    let output = pool.command(&arguments);
    let text = String::from_utf8(output.stdout).expect("text");
    let found: Value = serde_json::from_str(&text).expect("JSON");
    let is_well = output.status.success();
    assert_eq!(found["is_well"], is_well, "{text}");
    (found, is_well)
}

/// The findings of this code.
fn of<'a>(found: &'a Value, code: &str) -> Vec<&'a Value> {
    let findings = found["findings"].as_array().expect("a list");
    let same = findings.iter().filter(|finding| finding["code"] == code);
    same.collect()
}

fn levels(found: &Value, code: &str) -> Vec<String> {
    let level = |finding: &&Value| finding["level"].as_str().expect("a level").to_owned();
    of(found, code).iter().map(level).collect()
}

/// A node that has a block, and so is not syncing.
fn node() -> Option<Bitcoind> {
    let node = Bitcoind::start(Chain::Regtest)?;
    node.mine(
        1,
        &Key::number(9).address(Kind::P2wpkh, node.chain().network()),
    );
    Some(node)
}

#[test]
fn all_is_well_beside_a_pool_that_runs() {
    let Some(node) = node() else {
        return;
    };
    let pool = Pool::on(&node);
    // The pool's own ports, which are not those of the configuration here.
    let (listen, http) = (pool.listen().to_string(), pool.dashboard().to_string());
    let environment = [("POOL_LISTEN", listen.as_str()), ("HTTP_LISTEN", &http)];
    let output = pool.command_with(&environment, &["check"]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}");
    for line in [
        "ok     /Satoshi:",
        "ok     its best block is 1",
        "ok     it gives templates: block 2, 0 transactions",
        "ok     it reserves 8000 weight units; header and coinbase need",
        "ok     it takes blocks from this pool",
        "ok     its clock is this computer's to the second",
        "by its owner alone; a pool runs with it",
        "ok     the pool that runs has it",
        "ok     the pool renews its certificate for Stratum V2 by itself",
        "nothing is wrong",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    assert_eq!(node.height(), 1, "nothing was done to the node");
}

#[test]
fn what_is_wrong_with_a_node_is_told_with_its_reason() {
    let Some(mut node) = node() else {
        return;
    };
    let pool = Pool::on(&node);
    for (settings, reason) in [
        ([("NODE_NETWORK", "signet")], "is on chain regtest"),
        (
            [("NODE_URL", &*free_address().to_string())],
            "no connection to the node",
        ),
        (
            [("NODE_COOKIE_FILE", "/nowhere/.cookie")],
            "no cookie file found",
        ),
    ] {
        let output = pool.command_with(&settings, &["check", "--json"]);
        assert!(!output.status.success());
        let text = String::from_utf8(output.stdout).expect("text");
        let found: Value = serde_json::from_str(&text).expect("JSON");
        let wrong = of(&found, "node");
        assert_eq!(wrong[0]["level"], "wrong", "{text}");
        assert!(
            wrong[0]["text"].as_str().expect("a text").contains(reason),
            "{text}"
        );
        assert!(wrong[0]["next_step"].is_string(), "{text}");
    }
    node.stop();
    let (found, is_well) = check(&pool, &[]);
    assert!(!is_well);
    assert_eq!(levels(&found, "node"), ["wrong"]);
}

/// The provider that is configured sends templates, and one of another key is not believed. While a pool runs with the
/// data directory none is asked: some serve a second client worse.
#[test]
fn a_template_provider_is_asked_for_a_template() {
    let Some(node) = node() else {
        return;
    };
    let provider = Provider::on(&node);
    let mut pool = Pool::on(&node);
    let other = format!("{}/{}", provider.address(), pool.authority_key());
    let found = |pool: &Pool, place: &str| {
        let settings = [("NODE_TEMPLATE_PROVIDER", place)];
        let output = pool.command_with(&settings, &["check", "--json"]);
        let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        levels(&found, "pushed")
    };
    assert_eq!(found(&pool, &other), ["note"]);
    pool.stop();
    assert_eq!(found(&pool, provider.place()), ["ok"]);
    assert_eq!(found(&pool, &other), ["wrong"]);
}

/// A node's mining interface is asked for a template too, and told of what nobody listens to.
#[test]
fn a_node_by_ipc_is_asked_for_a_template() {
    let Some(node) = Bitcoind::start_for(Chain::Regtest, Way::Ipc) else {
        return;
    };
    node.mine(
        1,
        &Key::number(9).address(Kind::P2wpkh, node.chain().network()),
    );
    let pool = Pool::on(&node);
    let settings = [("NODE_ZMQ", "tcp://127.0.0.1:28332")];
    let output = pool.command_with(&settings, &["check", "--json"]);
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(levels(&found, "pushed"), ["ok"]);
    assert_eq!(levels(&found, "zmq"), ["note"]);
}

/// A port that somebody else has, an address of another network, a key that does not exist.
#[test]
fn what_is_wrong_with_the_configuration_is_told() {
    let Some(node) = node() else {
        return;
    };
    let pool = Pool::on(&node);
    let taken = node.address().to_string();
    let output = pool.command_with(&[("HTTP_LISTEN", &taken)], &["check", "--json"]);
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let is_taken = |finding: &&&Value| finding["about"] == format!("dashboard at {taken}");
    let port = of(&found, "port");
    // A pool runs, so that a port in use is believed to be its own.
    assert_eq!(
        port.iter().find(is_taken).expect("it is told")["level"],
        "ok"
    );

    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("pool.toml");
    std::fs::write(&file, "[pool]\nlisten = \"nowhere\"\n").expect("it can be written");
    let file = file.display().to_string();
    let (found, is_well) = check(&pool, &["-c", &file]);
    assert!(!is_well);
    assert_eq!(levels(&found, "config"), ["wrong"]);
    let text = of(&found, "config")[0]["text"].as_str().expect("a text");
    assert!(text.contains("pool.toml:2"), "{text}");
}

/// Nodes of a list, of which one is away and one is behind.
#[test]
fn each_node_of_a_list_is_looked_at() {
    let Some((node, behind)) = node().zip(Bitcoind::start(Chain::Regtest)) else {
        return;
    };
    node.mine(
        3,
        &Key::number(9).address(Kind::P2wpkh, node.chain().network()),
    );
    let pool = Pool::on(&node);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("pool.toml");
    let table = |address: String, cookie: String| {
        format!("[[backup_node]]\nurl = \"{address}\"\ncookie_file = \"{cookie}\"\n")
    };
    let cookie = |node: &Bitcoind| node.cookie_file().display().to_string();
    let text = table(behind.address().to_string(), cookie(&behind))
        + &table(free_address().to_string(), cookie(&node));
    std::fs::write(&file, text).expect("it can be written");
    let (found, is_well) = check(&pool, &["-c", &file.display().to_string()]);
    assert!(!is_well);
    assert_eq!(levels(&found, "version"), ["ok", "ok"]);
    assert_eq!(levels(&found, "tip"), ["ok", "wrong"]);
    assert_eq!(levels(&found, "node"), ["wrong"]);
}
