//! The configuration as an operator meets it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use headframe_config::{
    BACKUP_NODE_KEYS, CertificateConfig, ConfigError, Flag, KEYS, Key, KeysName, LISTENER_KEYS,
    ListenerConfig, Loaded, LogLevel, NodeAccess, NodeAddress, NodeAuth, NodeSocket, Notice,
    Origin, PoolConfig, Sources, Sv2Config, load, sample,
};
use headframe_transport::{AddressSet, Protocols};
use headframe_work::{Network, Rung};
use proptest::prelude::*;

const MAINNET: &str = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
const MAINNET_OTHER: &str = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa";
const TESTNET: &str = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";

fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    [("HOME", "/home/op"), ("PATH", "/bin")]
        .iter()
        .chain(pairs)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Loads a file of that text with that environment; the errors as lines, the file as `pool.toml`.
fn try_load(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pool.toml");
    fs::write(&file, text).unwrap();
    let sources = Sources {
        file: Some(&file),
        environment: environment(variables),
        flags: Vec::new(),
    };
    let place = format!("{}/", dir.path().display());
    load(&sources).map_err(|errors| errors.to_string().replace(&place, ""))
}

fn config(text: &str) -> PoolConfig {
    try_load(text, &[]).unwrap().config
}

fn all_keys() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().chain(BACKUP_NODE_KEYS).chain(LISTENER_KEYS)
}

fn errors(text: &str) -> String {
    try_load(text, &[]).unwrap_err()
}

fn defaults() -> PoolConfig {
    let sources = Sources {
        environment: environment(&[]),
        ..Sources::default()
    };
    load(&sources).unwrap().config
}

#[test]
fn nothing_needs_to_be_configured() {
    let config = defaults();
    assert_eq!(config.data_dir, PathBuf::from("/home/op/.headframe"));
    assert_eq!(config.listeners.len(), 1);
    let listener = &config.listeners[0];
    assert_eq!(listener.address, "0.0.0.0:3333".parse().unwrap());
    assert_eq!(listener.protocols, Protocols::USUAL);
    assert_eq!(listener.keys, KeysName::OWN);
    assert_eq!(config.http.listen, Some("127.0.0.1:8080".parse().unwrap()));
    assert_eq!(
        (config.node.network, config.node.preferred.address),
        (None, None)
    );
    assert_eq!(config.node.preferred.auth, NodeAuth::FindCookie);
    assert_eq!(config.node.backups, []);
    assert_eq!((config.payout.fee, config.payout.plain_names), (None, None));
    assert_eq!(listener.difficulty.start, Rung::from_exponent(10));
    assert_eq!(listener.difficulty.min, Rung::EASIEST);
    assert_eq!(listener.difficulty.max, Rung::HARDEST);
    assert_eq!(config.tag.as_str(), "headframe");
    assert_eq!(config.unlimited_from, AddressSet::PRIVATE);
    assert_eq!(config.listeners[0].proxy_protocol_from, AddressSet::NONE);
    assert_eq!(config.log_level, LogLevel::Info);
}

#[test]
fn the_sample_changes_nothing_with_its_comments_or_without() {
    assert_eq!(config(&sample()), defaults());
    let uncommented: Vec<String> = sample()
        .lines()
        .skip(1)
        .map(|line| line.strip_prefix('#').unwrap_or(line).to_owned())
        .collect();
    let loaded = try_load(&uncommented.join("\n"), &[]).unwrap();
    assert_eq!(loaded.config, defaults());
    assert_eq!(loaded.set.len(), KEYS.len());
}

#[test]
fn the_sample_fits_on_a_screen() {
    assert!(sample().lines().count() <= 48);
    for line in sample().lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
    assert!(all_keys().count() <= 60);
}

#[test]
fn the_guide_names_every_key_with_its_default_and_no_other() {
    let guide = include_str!("../../../docs/config.md");
    let rows: Vec<&str> = guide
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    assert_eq!(rows.len(), all_keys().count());
    for (key, row) in all_keys().zip(rows) {
        let start = format!("| `{}` | `{}` | ", key.path(), key.default);
        assert!(row.starts_with(&start), "{row}\n{start}");
    }
}

#[test]
fn every_key_can_be_set_in_each_place() {
    let text = format!(
        r#"
        [pool]
        data_dir = "/srv/pool"
        listen = ["127.0.0.1:1111", "[::1]:2222"]
        plaintext_sv2 = true
        public_host = "pool.example.org"
        max_connections = 5
        unlimited_from = ["private", "203.0.113.0/24"]
        proxy_protocol_from = ["127.0.0.1", "2001:db8::/32"]
        move_to = "[2001:db8::7]:3333"
        tag = "/mine/"
        [node]
        network = "mainnet"
        url = "http://node.lan:9999/"
        user = "me"
        password = "hunter2"
        [payout]
        fee_percent = 1.25
        fee_address = "{MAINNET}"
        fee_split_percent = 20
        fee_split_address = "{MAINNET_OTHER}"
        plain_name_address = "{MAINNET}"
        [difficulty]
        shares_per_minute = 6.5
        start = 512
        min = 0.5
        max = 65536
        [sv2]
        fixed_version = true
        extended_channels_only = true
        require_worker_names = true
        [http]
        listen = ""
        allowed_hosts = ["stats.example.org"]
        [log]
        level = "debug"
        "#
    );
    let from_file = config(&text);
    assert_eq!(from_file.data_dir, Path::new("/srv/pool"));
    assert_eq!(from_file.listeners.len(), 2);
    let listener = &from_file.listeners[1];
    assert!(listener.protocols.plaintext_sv2);
    assert_eq!(listener.difficulty.min, Rung::from_exponent(-1));
    assert_eq!(listener.difficulty.max, Rung::from_exponent(16));
    assert_eq!(from_file.public_host.as_deref(), Some("pool.example.org"));
    assert_eq!(from_file.max_connections, 5);
    let move_to = from_file.move_to.as_ref().unwrap();
    assert_eq!((move_to.host(), move_to.port()), ("2001:db8::7", 3333));
    let has = |set: &AddressSet, address: &str| set.contains(address.parse().unwrap());
    assert!(has(&from_file.unlimited_from, "10.0.0.1"));
    assert!(has(&from_file.unlimited_from, "203.0.113.7"));
    assert!(!has(&from_file.unlimited_from, "198.51.100.9"));
    assert!(has(
        &from_file.listeners[0].proxy_protocol_from,
        "2001:db8::7"
    ));
    assert!(!has(
        &from_file.listeners[0].proxy_protocol_from,
        "10.0.0.1"
    ));
    assert_eq!(from_file.tag.as_str(), "/mine/");
    assert_eq!(from_file.node.network, Some(Network::Mainnet));
    let node = NodeAddress {
        host: "node.lan".into(),
        port: Some(9999),
    };
    assert_eq!(from_file.node.preferred.address, Some(node));
    let fee = from_file.payout.fee.clone().unwrap();
    assert_eq!(
        (fee.rate.get(), fee.address.to_string()),
        (125, MAINNET.to_owned())
    );
    let (part, second) = fee.split.unwrap();
    assert_eq!(
        (part.get(), second.to_string()),
        (2000, MAINNET_OTHER.to_owned())
    );
    let strict = Sv2Config {
        fixed_version: true,
        extended_channels_only: true,
        require_worker_names: true,
    };
    assert_eq!(from_file.sv2, strict);
    assert_eq!(
        (from_file.http.listen, from_file.log_level),
        (None, LogLevel::Debug)
    );

    let variables = [
        ("HEADFRAME_POOL_DATA_DIR", "/srv/pool"),
        ("HEADFRAME_POOL_LISTEN", "127.0.0.1:1111, [::1]:2222"),
        ("HEADFRAME_POOL_PLAINTEXT_SV2", "true"),
        ("HEADFRAME_POOL_PUBLIC_HOST", "pool.example.org"),
        ("HEADFRAME_POOL_MAX_CONNECTIONS", "5"),
        ("HEADFRAME_POOL_UNLIMITED_FROM", "private, 203.0.113.0/24"),
        (
            "HEADFRAME_POOL_PROXY_PROTOCOL_FROM",
            "127.0.0.1,2001:db8::/32",
        ),
        ("HEADFRAME_POOL_MOVE_TO", "[2001:db8::7]:3333"),
        ("HEADFRAME_POOL_TAG", "/mine/"),
        ("HEADFRAME_NODE_NETWORK", "main"),
        ("HEADFRAME_NODE_URL", "node.lan:9999"),
        ("HEADFRAME_NODE_USER", "me"),
        ("HEADFRAME_NODE_PASSWORD", "hunter2"),
        ("HEADFRAME_PAYOUT_FEE_PERCENT", "1.250"),
        ("HEADFRAME_PAYOUT_FEE_ADDRESS", MAINNET),
        ("HEADFRAME_PAYOUT_FEE_SPLIT_PERCENT", "20.0"),
        ("HEADFRAME_PAYOUT_FEE_SPLIT_ADDRESS", MAINNET_OTHER),
        ("HEADFRAME_PAYOUT_PLAIN_NAME_ADDRESS", MAINNET),
        ("HEADFRAME_DIFFICULTY_SHARES_PER_MINUTE", "6.5"),
        ("HEADFRAME_DIFFICULTY_START", "512"),
        ("HEADFRAME_DIFFICULTY_MIN", "0.5"),
        ("HEADFRAME_DIFFICULTY_MAX", "65536"),
        ("HEADFRAME_SV2_FIXED_VERSION", "true"),
        ("HEADFRAME_SV2_EXTENDED_CHANNELS_ONLY", "true"),
        ("HEADFRAME_SV2_REQUIRE_WORKER_NAMES", "true"),
        ("HEADFRAME_HTTP_LISTEN", ""),
        ("HEADFRAME_HTTP_ALLOWED_HOSTS", "stats.example.org"),
        ("HEADFRAME_LOG_LEVEL", "debug"),
    ];
    let from_environment = try_load("", &variables).unwrap();
    assert_eq!(from_environment.config, from_file);
    let flags = KEYS
        .iter()
        .filter_map(|key| {
            let (_, value) = variables.iter().find(|(name, _)| *name == key.variable())?;
            let value = (*value).to_owned();
            Some(Flag {
                flag: "--x",
                key: (key.section, key.name),
                value,
            })
        })
        .collect();
    let from_flags = load(&Sources {
        flags,
        ..Sources::default()
    })
    .unwrap();
    assert_eq!(from_flags.config, from_file);
}

#[test]
fn the_later_source_wins_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pool.toml");
    fs::write(&file, "[pool]\ntag = \"file\"\n\n[log]\nlevel = \"warn\"\n").unwrap();
    let flag = Flag {
        flag: "--tag",
        key: ("pool", "tag"),
        value: "flag".into(),
    };
    let mut sources = Sources {
        file: Some(&file),
        environment: environment(&[("HEADFRAME_POOL_TAG", "variable")]),
        flags: vec![flag],
    };
    let loaded = load(&sources).unwrap();
    assert_eq!(loaded.config.tag.as_str(), "flag");
    let line = Origin::Line {
        file: file.clone(),
        line: 5,
    };
    let expected = [
        ("pool.tag".to_owned(), Origin::Flag("--tag".into())),
        ("log.level".to_owned(), line),
    ];
    assert_eq!(loaded.set, expected);
    sources.flags.clear();
    assert_eq!(load(&sources).unwrap().config.tag.as_str(), "variable");
}

#[test]
fn a_wrong_key_is_named_with_its_line_and_the_one_meant() {
    for (text, expected) in [
        (
            "[pool]\nlisten = [\"0.0.0.0:3333\"]\nmax_conections = 7\n",
            "pool.toml:3: there is no key `pool.max_conections`; did you mean `max_connections` in [pool]?",
        ),
        (
            "[pool]\nfee_percent = 1\n",
            "pool.toml:2: there is no key `pool.fee_percent`; did you mean `fee_percent` in [payout]?",
        ),
        (
            "[pools]\ntag = \"x\"\n",
            "pool.toml:1: there is no key `pools`; did you mean [pool]?",
        ),
        (
            "\n\nfee_percent = 1\n",
            "pool.toml:3: there is no key `fee_percent`; `fee_percent` belongs into the table [payout]",
        ),
        (
            "[stratum]\n",
            "pool.toml:1: there is no key `stratum`; the tables are [pool], [node], [payout], [difficulty], [sv2], [http], [log], [[backup_node]] and [[listener]]",
        ),
        (
            "[node]\nwibble = 1\n",
            "pool.toml:2: there is no key `node.wibble`",
        ),
    ] {
        assert_eq!(errors(text), expected);
    }
}

#[test]
fn a_wrong_value_is_named_with_what_would_be_right() {
    let fee = format!("fee_address = \"{MAINNET}\"\n");
    let table: &[(&str, &str)] = &[
        (
            "[pool]\nlisten = [\"3333\"]",
            "pool.toml:2: `pool.listen = [\"3333\"]` is not right: \"3333\" is no address to listen on; write 127.0.0.1:3333 for this computer alone, 0.0.0.0:3333 for all that can reach it",
        ),
        (
            "[pool]\nlisten = \"0.0.0.0:3333\"",
            "pool.toml:2: `pool.listen = \"0.0.0.0:3333\"` is not right: write a list of texts, such as [\"one\", \"two\"]",
        ),
        ("[pool]\nlisten = []", "at least one address"),
        (
            "[pool]\nlisten = [\"1.2.3.4:5\", \"1.2.3.4:5\"]",
            "1.2.3.4:5 is there twice",
        ),
        ("[pool]\nlisten = [1]", "a list of other than texts"),
        (
            "[pool]\nplaintext_sv2 = true",
            "pool.listen has 0.0.0.0:3333",
        ),
        (
            "[pool]\nplaintext_sv2 = \"yes\"",
            "write true or false, without quotes",
        ),
        ("[pool]\nmax_connections = 0", "from 1 to 1000000"),
        (
            "[pool]\nproxy_protocol_from = [\"proxy.lan\"]",
            "an IP address, one with the length of its prefix such as 203.0.113.0/24",
        ),
        (
            "[pool]\nmax_connections = 0x10",
            "a number that is not decimal",
        ),
        (
            "[pool]\nmax_connections = \"many\"",
            "write a number, without quotes",
        ),
        (
            "[pool]\npublic_host = \"http://me\"",
            "without scheme and port",
        ),
        (
            "[pool]\ntag = \"é\"",
            "at most 32 printable ASCII characters",
        ),
        ("[pool]\ndata_dir = \"\"", "write the path of a directory"),
        (
            "[pool]\ndata_dir = 1979-05-27",
            "a date` is not right: write a text, in quotes",
        ),
        (
            "[node]\nnetwork = \"testnet3\"",
            "write mainnet, testnet4, signet or regtest",
        ),
        (
            "[node]\nurl = \"https://node\"",
            "a node is reached by plain http",
        ),
        ("[node]\nurl = \"node:port\"", "write host:port"),
        ("[node]\nurl = \"node:0\"", "write host:port"),
        ("[node]\nurl = \"[::1\"", "write host:port"),
        ("[node]\nuser = \"me\"", "set node.password too"),
        ("[node]\npassword = \"x\"", "set node.user too"),
        (
            "[node]\nuser = \"a\"\npassword = \"b\"\ncookie_file = \"/c\"",
            "either a cookie or user and password",
        ),
        (
            "[payout]\nfee_percent = 2",
            "pool.toml:2: `payout.fee_percent = 2` is not right: set payout.fee_address, or a fee of 0",
        ),
        ("[payout]\nfee_percent = 100.01", "percent from 0 to 100"),
        ("[payout]\nfee_percent = 0.001", "at most two decimals"),
        ("[payout]\nfee_percent = -1", "percent from 0 to 100"),
        ("[payout]\nfee_percent = nan", "percent from 0 to 100"),
        ("[payout]\nfee_percent = 1e1", "percent from 0 to 100"),
        (
            "[payout]\nfee_split_percent = 1",
            "set payout.fee_split_address",
        ),
        (
            "[payout]\nfee_address = \"bc1qqqq\"",
            "it is no Bitcoin address",
        ),
        (
            "[difficulty]\nstart = 1000",
            "write a power of two; the nearest are 512 and 1024",
        ),
        ("[difficulty]\nstart = 0", "write a power of two"),
        (
            "[difficulty]\nmin = 2048",
            "`difficulty.start = 1024` is not right: it is not between",
        ),
        (
            "[difficulty]\nmin = 64\nmax = 32",
            "`difficulty.min = 64` is not right: it is above difficulty.max",
        ),
        ("[difficulty]\nshares_per_minute = 0.5", "from 1 to 120"),
        ("[difficulty]\nshares_per_minute = inf", "from 1 to 120"),
        ("[http]\nlisten = \"web:8080\"", "write 127.0.0.1:8080"),
        (
            "[http]\nlisten = \"0.0.0.0:3333\"",
            "miners are served there",
        ),
        ("[http]\nallowed_hosts = [\"a b\"]", "\"a b\" is no host"),
        (
            "[log]\nlevel = \"loud\"",
            "write error, warn, info, debug or trace",
        ),
    ];
    for (text, expected) in table {
        let error = errors(text);
        assert!(error.contains(expected), "{text}\n{error}");
        assert!(
            error.starts_with("pool.toml:") || error.starts_with("default:"),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let split = format!("[payout]\n{fee}fee_split_percent = 1\nfee_split_address = \"{MAINNET}\"");
    assert!(errors(&split).contains("set payout.fee_percent"));
}

#[test]
fn an_address_of_another_network_is_told_where_it_belongs() {
    let text =
        format!("[node]\nnetwork = \"mainnet\"\n[payout]\nplain_name_address = \"{TESTNET}\"");
    let expected = format!(
        "pool.toml:4: `payout.plain_name_address = \"{TESTNET}\"` is not right: {TESTNET} is an address of testnet4 or signet, and the pool is on mainnet; set one of mainnet"
    );
    assert_eq!(errors(&text), expected);

    // Where only the node knows the network, the same is found when it answers.
    let text = format!(
        "[payout]\nfee_percent = 1\nfee_address = \"{MAINNET}\"\nplain_name_address = \"{MAINNET}\""
    );
    let payout = config(&text).payout;
    let policy = payout.policy(Network::Mainnet).unwrap();
    assert_eq!(policy.plain_names.unwrap().to_string(), MAINNET);
    assert_eq!(policy.fee.unwrap().rate.get(), 100);
    let wrong = payout.policy(Network::Signet).unwrap_err();
    assert_eq!(
        (wrong.belongs_to.as_str(), wrong.network),
        ("mainnet", Network::Signet)
    );
}

#[test]
fn listeners_have_settings_of_their_own_and_the_pool_s_where_they_lack_them() {
    let text = r#"
        [pool]
        listen = ["127.0.0.1:3333"]
        [difficulty]
        shares_per_minute = 20
        start = 512
        [[listener]]
        address = "0.0.0.0:3334"
        protocols = ["sv2"]
        keys = "second"
        [[listener]]
        address = "0.0.0.0:3335"
        shares_per_minute = 4
        difficulty_start = 65536
        difficulty_min = 1024
        difficulty_max = 1048576
        ignore_suggestions = true
        "#;
    let listeners = config(text).listeners;
    let [plain, second, farm] = listeners.as_slice() else {
        panic!("{listeners:?}");
    };
    assert_eq!(plain.keys.file_name(), "keys");
    assert_eq!(second.keys.file_name(), "keys-second");
    assert_eq!((second.protocols.sv1, second.protocols.sv2), (false, true));
    assert_eq!(second.difficulty, plain.difficulty);
    assert_eq!(second.difficulty.start, Rung::from_exponent(9));
    assert_eq!(farm.protocols, Protocols::USUAL);
    let difficulty = farm.difficulty;
    assert_eq!(
        (difficulty.shares_per_minute, difficulty.start),
        (4.0, Rung::from_exponent(16))
    );
    assert_eq!(
        (difficulty.min, difficulty.max),
        (Rung::from_exponent(10), Rung::from_exponent(20))
    );

    let ignoring = [plain, second, farm].map(|listener| listener.ignore_suggestions);
    assert_eq!(ignoring, [false, false, true]);

    // Who says where to listen gets nothing besides.
    let alone = config("[[listener]]\naddress = \"0.0.0.0:3334\"").listeners;
    assert_eq!(alone.len(), 1);
    assert_eq!(alone[0].address.port(), 3334);
}

#[test]
fn what_comes_later_than_the_file_says_where_to_listen_in_place_of_all_of_it() {
    let text = "[pool]\nlisten = [\"127.0.0.1:1\"]\n[[listener]]\naddress = \"127.0.0.1:2\"";
    let loaded = try_load(
        text,
        &[("HEADFRAME_POOL_LISTEN", "127.0.0.1:3,127.0.0.1:4")],
    )
    .unwrap();
    let ports = loaded.config.listeners.iter().map(|it| it.address.port());
    assert_eq!(ports.collect::<Vec<_>>(), [3, 4]);
    assert_eq!(
        loaded.notices[0].to_string(),
        "HEADFRAME_POOL_LISTEN says where to listen, in place of all of the file"
    );
}

#[test]
fn a_wrong_listener_is_named_with_its_line_and_what_would_be_right() {
    for (text, expected) in [
        (
            "[[listener]]\nprotocols = [\"sv2\"]",
            "pool.toml:1: `listener.address = \"\"` is not right: write where it listens",
        ),
        (
            "[[listener]]\naddress = \"3334\"",
            "write 127.0.0.1:3334 for this computer",
        ),
        (
            "[[listener]]\naddress = \"0.0.0.0:1\"\nprotocols = [\"sv3\"]",
            "pool.toml:3: `listener.protocols = [\"sv3\"]` is not right: write one or more of \"sv1\"",
        ),
        (
            "[[listener]]\naddress = \"0.0.0.0:1\"\nprotocols = [\"sv2_plain\"]",
            "SV2 without Noise is for loopback and private addresses",
        ),
        (
            "[[listener]]\naddress = \"0.0.0.0:1\"\nkeys = \"../keys\"",
            "write a name of 1 to 32 small letters, digits and hyphens",
        ),
        (
            "[[listener]]\naddress = \"0.0.0.0:1\"\nshares_per_minute = 0",
            "write a number from 1 to 120",
        ),
        (
            "[[listener]]\naddress = \"0.0.0.0:1\"\ndifficulty_min = 4096",
            "pool.toml:3: `listener.difficulty_min = 4096` is not right: the difficulty to start with is below the easiest; set listener.difficulty_start too",
        ),
        (
            "[[listener]]\naddress = \"0.0.0.0:1\"\ndifficulty_max = 512",
            "above the hardest",
        ),
        (
            "[[listener]]\naddress = \"0.0.0.0:1\"\n[[listener]]\naddress = \"0.0.0.0:1\"",
            "pool.toml:4: `listener.address = \"0.0.0.0:1\"` is not right: 0.0.0.0:1 is there twice",
        ),
        (
            "[pool]\nlisten = [\"0.0.0.0:1\"]\n[[listener]]\naddress = \"0.0.0.0:1\"",
            "is there twice",
        ),
        (
            "[[listener]]\naddress = \"127.0.0.1:8080\"",
            "miners are served there",
        ),
        (
            "[listener]\naddress = \"0.0.0.0:1\"",
            "there is no key `listener`; write [[listener]], with two brackets",
        ),
        ("listener = [1]", "write [[listener]], with two brackets"),
        (
            "[[listener]]\naddress = \"0.0.0.0:1\"\nprotocol = [\"sv2\"]",
            "there is no key `listener.protocol`; did you mean `protocols` in [[listener]]?",
        ),
    ] {
        let error = errors(text);
        assert!(error.contains(expected), "{text}\n{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let many: String = (1..=65)
        .map(|port| format!("[[listener]]\naddress = \"127.0.0.1:{port}\"\n"))
        .collect();
    assert!(errors(&many).contains("64 places at most"));
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_lines() {
    let text = "[pool]\ntag = 1\nlisen = 2\n[log]\nlevel = \"loud\"\n[node]\nurl = \"://\"";
    let error = try_load(text, &[("HEADFRAME_HTTP_LISTEN", "x")]).unwrap_err();
    let places: Vec<_> = error
        .lines()
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        places,
        [
            "pool.toml:2",
            "pool.toml:3",
            "pool.toml:5",
            "pool.toml:7",
            "HEADFRAME_HTTP_LISTEN"
        ]
    );
}

#[test]
fn what_is_not_toml_is_named_with_its_line() {
    for (text, line) in [
        ("[pool]\ntag = \n", 2),
        ("[pool\n", 1),
        ("[log]\n\nlevel = \"info\"\nlevel = \"warn\"\n", 4),
    ] {
        let error = errors(text);
        assert!(
            error.starts_with(&format!("pool.toml:{line}: not TOML: ")),
            "{error}"
        );
    }
}

#[test]
fn a_password_is_never_shown() {
    let secret = "hunter2";
    let good = config(&format!("[node]\nuser = \"me\"\npassword = \"{secret}\""));
    assert!(!format!("{good:?}").contains(secret));
    assert!(
        matches!(good.node.preferred.auth, NodeAuth::UserPassword { password, .. } if password.reveal() == secret)
    );
    for text in [
        format!("[node]\npassword = \"{secret}\""),
        format!("[node]\npassword = [\"{secret}\"]"),
        format!("[node]\npassword = \"{secret}\n"),
        format!("[node]\nuser = \"me\"\npassword = {secret}\n"),
        format!("[node]\nurl = \"http://me:{secret}@node:8332\""),
        format!("[node]\nuser = \"me\"\npassword = \"{secret}\"\ncookie_file = \"x\""),
    ] {
        let error = errors(&text);
        assert!(!error.contains(secret), "{error}");
    }
}

#[test]
fn a_variable_that_is_nearly_ours_is_noticed_and_a_platforms_is_not() {
    let variables = [
        ("HEADFRAME_POOL_LISTENS", "0.0.0.0:1"),
        ("HEADFRAME_SERVICE_HOST", "10.0.0.1"),
        ("HEADFRAME_PORT_3333_TCP_ADDR", "10.0.0.1"),
    ];
    let loaded = try_load("", &variables).unwrap();
    let notice = Notice::UnknownVariable {
        name: "HEADFRAME_POOL_LISTENS".into(),
        meant: "HEADFRAME_POOL_LISTEN".into(),
    };
    assert_eq!(loaded.notices, [notice]);
    assert_eq!(
        loaded.notices[0].to_string(),
        "HEADFRAME_POOL_LISTENS sets nothing; did you mean HEADFRAME_POOL_LISTEN?"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let sources = Sources {
        file: Some(Path::new("/nowhere/pool.toml")),
        ..Sources::default()
    };
    let errors = load(&sources).unwrap_err();
    assert!(
        matches!(&errors.0[0], ConfigError::Unreadable { path, .. } if path == Path::new("/nowhere/pool.toml"))
    );
    let dir = tempfile::tempdir().unwrap();
    let large = dir.path().join("large");
    fs::write(&large, " ".repeat(64 * 1024 + 1)).unwrap();
    assert!(
        load(&Sources {
            file: Some(&large),
            ..Sources::default()
        })
        .unwrap_err()
        .to_string()
        .contains("larger than")
    );
    fs::write(&large, [0xff, 0xfe]).unwrap();
    assert!(
        load(&Sources {
            file: Some(&large),
            ..Sources::default()
        })
        .is_err()
    );
}

#[test]
fn without_a_home_the_whole_path_is_asked_for() {
    let error = load(&Sources::default()).unwrap_err().to_string();
    assert_eq!(
        error,
        "default: `pool.data_dir = \"~/.headframe\"` is not right: HOME is not set; write the whole path"
    );
}

#[test]
fn node_addresses_in_all_their_forms() {
    for (text, host, port) in [
        ("127.0.0.1:8332", "127.0.0.1", Some(8332)),
        ("http://node/", "node", None),
        ("[::1]:18443", "::1", Some(18443)),
        ("http://[fe80::1]", "fe80::1", None),
    ] {
        let node = config(&format!("[node]\nurl = \"{text}\""))
            .node
            .preferred
            .address
            .unwrap();
        assert_eq!((node.host.as_str(), node.port), (host, port));
    }
}

proptest! {
    #[test]
    fn no_file_and_no_variable_makes_it_panic(
        text in ".{0,200}",
        key in 0..KEYS.len(),
        value in prop_oneof![".{0,40}", "[-+0-9.e_x:\\[\\]/@]{0,40}"],
    ) {
        let key = &KEYS[key];
        let quoted = format!("[{}]\n{} = {value}", key.section, key.name);
        for text in [&text, &quoted] {
            drop(try_load(text, &[(&key.variable(), &value)]));
        }
    }

    #[test]
    fn percent_is_exact_to_the_hundredth(hundredths in 0_u16..=10_000) {
        let text = format!("[payout]\nfee_percent = {}.{:02}\nfee_address = \"{MAINNET}\"", hundredths / 100, hundredths % 100);
        let fee = config(&text).payout.fee.map_or(0, |fee| fee.rate.get());
        prop_assert_eq!(fee, hundredths);
    }
}

#[test]
fn listeners_have_certificates_passwords_and_proxies_of_their_own() {
    let text = r#"
        [pool]
        listen = ["127.0.0.1:3333"]
        proxy_protocol_from = ["192.0.2.1"]
        [[listener]]
        address = "0.0.0.0:3334"
        protocols = ["sv1_tls"]
        tls_certificate = "/etc/pool/chain.pem"
        tls_key = "~/key.pem"
        proxy_protocol_from = ["192.0.2.2"]
        [[listener]]
        address = "[::]:3335"
        password = "sesame"
        proxy_protocol_from = []
        "#;
    let listeners = try_load(text, &[]).unwrap();
    let listeners = listeners.config.listeners;
    let [plain, tls, secret] = listeners.as_slice() else {
        panic!("{listeners:?}");
    };
    let files = CertificateConfig::Files {
        certificate: "/etc/pool/chain.pem".into(),
        key: "/home/op/key.pem".into(),
    };
    assert_eq!(tls.certificate, files);
    let own = CertificateConfig::Own;
    assert_eq!((&plain.certificate, &secret.certificate), (&own, &own));
    let served = tls.protocols;
    assert_eq!(
        (served.sv1, served.sv1_tls, served.sv2),
        (false, true, false)
    );
    let proxies = |listener: &ListenerConfig| {
        ["192.0.2.1", "192.0.2.2"]
            .map(|it| listener.proxy_protocol_from.contains(it.parse().unwrap()))
    };
    assert_eq!(proxies(plain), [true, false]);
    assert_eq!(proxies(tls), [false, true]);
    assert_eq!(proxies(secret), [false, false]);

    // Stratum V2 has no passwords.
    let served = secret.protocols;
    assert_eq!(
        (served.sv1, served.sv1_tls, served.sv2),
        (true, true, false)
    );
    assert_eq!(secret.password.as_ref().unwrap().reveal(), "sesame");
    assert!(!format!("{secret:?}").contains("sesame"));
    assert_eq!(plain.password, None);
}

#[test]
fn what_listeners_cannot_have_is_refused() {
    let listener = |rest: &str| format!("[[listener]]\naddress = \"127.0.0.1:1\"\n{rest}");
    for (text, expected) in [
        (
            listener("password = \"sesame\"\nprotocols = [\"sv1\", \"sv2\"]"),
            "Stratum V2 has no passwords",
        ),
        (
            listener("password = \"open sesame\""),
            "`listener.password = (hidden)` is not right: write 1 to 64 ASCII characters",
        ),
        (listener("password = \"a,b\""), "without spaces and commas"),
        (
            listener("tls_certificate = \"/a\""),
            "set listener.tls_key too",
        ),
        (
            listener("tls_key = \"/a\""),
            "set listener.tls_certificate too",
        ),
        (
            listener("protocols = [\"sv2\"]\ntls_certificate = \"/a\"\ntls_key = \"/b\""),
            "this listener serves no TLS",
        ),
        (
            listener("proxy_protocol_from = [\"proxy\"]"),
            "listener.proxy_protocol_from",
        ),
    ] {
        let error = errors(&text);
        assert!(error.contains(expected), "{text}\n{error}");
        assert!(error.starts_with("pool.toml:"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn miners_are_held_for_a_time_or_for_ever() {
    let hold = |text: &str| config(&format!("[node]\nhold_seconds = {text}")).node.hold;
    assert_eq!(config("").node.hold, Some(Duration::from_secs(300)));
    assert_eq!(hold("10"), Some(Duration::from_secs(10)));
    assert_eq!(hold("0"), None);
    for wrong in ["9", "-1", "1.5", "86401", "\"300\""] {
        let error = errors(&format!("[node]\nhold_seconds = {wrong}"));
        assert!(error.contains("`node.hold_seconds"), "{error}");
    }
}

#[test]
fn a_socket_is_found_or_named_for_each_node() {
    let text = r#"
        [node]
        ipc = "auto"
        [[backup_node]]
        ipc = "~/second/node.sock"
        [[backup_node]]
        ipc = "/third/node.sock"
        url = "third.lan"
    "#;
    let node = config(text).node;
    let sockets: Vec<_> = node
        .all()
        .map(|node| node.socket.clone().unwrap())
        .collect();
    let at = |path: &str| NodeSocket::At(path.into());
    let expected = [
        NodeSocket::Find,
        at("/home/op/second/node.sock"),
        at("/third/node.sock"),
    ];
    assert_eq!(sockets, expected);
    let has_rpc: Vec<_> = node.all().map(NodeAccess::has_rpc).collect();
    assert_eq!(has_rpc, [false, false, true]);
    assert_eq!(defaults().node.preferred.socket, None);
}

#[test]
fn backup_nodes_come_after_the_preferred_one_in_their_order() {
    let text = r#"
        [node]
        network = "signet"
        [[backup_node]]
        url = "192.168.1.5"
        cookie_file = "~/second/.cookie"
        [[backup_node]]
        url = "third.lan:9999"
        user = "me"
        password = "secret"
    "#;
    let node = config(text).node;
    let access = |host: &str, port, auth| NodeAccess {
        address: Some(NodeAddress {
            host: host.into(),
            port,
        }),
        auth,
        zmq: Vec::new(),
        socket: None,
        template_provider: None,
    };
    let [second, third] = node.backups.as_slice() else {
        panic!("{node:?}");
    };
    let cookie = NodeAuth::Cookie("/home/op/second/.cookie".into());
    assert_eq!(*second, access("192.168.1.5", None, cookie));
    assert_eq!(
        third.address,
        access("third.lan", Some(9999), NodeAuth::FindCookie).address
    );
    assert!(
        matches!(&third.auth, NodeAuth::UserPassword { password, .. } if password.reveal() == "secret")
    );
    assert_eq!(node.preferred.address, None);
    assert_eq!(node.all().count(), 3);
}

const AUTHORITY: &str = "9bXiEd8boQVhq7WddEcERUL5tyyJVFYdU8th3HfbNXK3Yw6GRXh";

#[test]
fn a_template_provider_is_named_by_place_and_key() {
    let text = format!(
        "[node]\ntemplate_provider = \"node.lan:8442/{AUTHORITY}\"\n\
         [[backup_node]]\ntemplate_provider = \"[::1]:8442/insecure\""
    );
    let node = config(&text).node;
    let shown = |access: &NodeAccess| access.template_provider.as_ref().map(ToString::to_string);
    assert_eq!(shown(&node.preferred).unwrap(), "node.lan:8442");
    assert!(!node.preferred.has_rpc());
    assert_eq!(shown(&node.backups[0]).unwrap(), "[::1]:8442");
    for (value, expected) in [
        ("node.lan:8442", "no authority key behind the port"),
        ("node.lan/x", "write host:port/KEY"),
        ("node.lan:8442/abc", "write host:port/KEY"),
    ] {
        let errors = errors(&format!("[node]\ntemplate_provider = \"{value}\""));
        assert!(errors.contains(expected), "{errors}");
        assert!(
            errors.starts_with("pool.toml:2: `node.template_provider"),
            "{errors}"
        );
    }
}

#[test]
fn a_wrong_backup_node_is_named_with_its_line_and_what_would_be_right() {
    for (text, expected) in [
        (
            "[[backup_node]]\n",
            "pool.toml:1: `backup_node.url = \"\"` is not right: write where this node is",
        ),
        (
            "[[backup_node]]\nurl = \"https://node\"",
            "pool.toml:2: `backup_node.url = \"https://node\"` is not right: a node is reached by plain http",
        ),
        (
            "[[backup_node]]\nurl = \"node\"\nuser = \"me\"",
            "pool.toml:3: `backup_node.user = \"me\"` is not right: set backup_node.password too",
        ),
        (
            "[[backup_node]]\nurl = \"node\"\nnetwork = \"signet\"",
            "pool.toml:3: there is no key `backup_node.network`; did you mean `network` in [node]?",
        ),
        (
            "[backup_node]\nurl = \"node\"",
            "there is no key `backup_node`; write [[backup_node]], with two brackets",
        ),
        (
            "[node]\nuser = \"me\"\n[[backup_node]]\npassword = \"x\"",
            "pool.toml:2: `node.user = \"me\"` is not right: set node.password too\n\
             pool.toml:4: `backup_node.password = (hidden)` is not right: set backup_node.user too",
        ),
    ] {
        assert!(errors(text).contains(expected), "{text}\n{}", errors(text));
    }
    let eight = "[[backup_node]]\nurl = \"node\"\n".repeat(8);
    assert!(errors(&eight).contains("a pool has 8 nodes at most"));
}

#[test]
fn a_node_s_publishers_are_listened_to_where_they_are_named() {
    let zmq = |text: &str| {
        let node = config(&format!("[node]\nzmq = {text}")).node;
        node.preferred
            .zmq
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(zmq("[]"), [""; 0]);
    let both = ["tcp://127.0.0.1:28332", "tcp://[::1]:28333"];
    assert_eq!(zmq(&format!("{both:?}")), both);
    for wrong in [
        r#"["127.0.0.1:28332"]"#,
        r#"["tcp://*:28332"]"#,
        r#""tcp://a:1""#,
        "[1]",
    ] {
        let error = errors(&format!("[node]\nzmq = {wrong}"));
        assert!(error.contains("`node.zmq"), "{error}");
    }
    let many = vec!["tcp://a:1"; 5];
    assert!(errors(&format!("[node]\nzmq = {many:?}")).contains("4 addresses at most"));
}

#[test]
fn empty_blocks_are_mined_for_a_time_or_never() {
    let empty = |text: &str| config(&format!("[pool]\nempty_block_seconds = {text}")).empty_blocks;
    assert_eq!(empty("0"), Duration::ZERO);
    assert_eq!(empty("600"), Duration::from_secs(600));
    for wrong in ["601", "-1", "1.5", "\"never\""] {
        let error = errors(&format!("[pool]\nempty_block_seconds = {wrong}"));
        assert!(error.contains("`pool.empty_block_seconds"), "{error}");
    }
}

/// What is set in a table of its own is set, too.
#[test]
fn keys_of_backup_nodes_and_listeners_are_among_those_that_are_set() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pool.toml");
    let text = "[pool]\ntag = \"a\"\n[[listener]]\naddress = \"127.0.0.1:1\"\n[[backup_node]]\nuser = \"u\"\n\
                password = \"p\"\n[[backup_node]]\nurl = \"second\"\n";
    fs::write(&file, text).unwrap();
    let loaded = load(&Sources {
        file: Some(&file),
        environment: environment(&[]),
        flags: Vec::new(),
    });
    let set = loaded.unwrap().set;
    let names: Vec<_> = set.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "pool.tag",
        "backup_node.user",
        "backup_node.password",
        "backup_node.url",
        "listener.address",
    ];
    assert_eq!(names, expected);
}

#[test]
fn version_bits_are_chosen_where_nobody_rolls_them() {
    let bits = |text: &str| config(&format!("[pool]\nversion_bits = {text}")).version_bits;
    assert!(bits("[]").is_empty());
    assert_eq!(
        bits(r#"["+4", "-2"]"#).to_string(),
        "bit 2 clear, bit 4 set"
    );
    for (wrong, reason) in [
        (r#"["4"]"#, "write \"+4\""),
        (r#"["+"]"#, "write \"+4\""),
        (r#"["+-4"]"#, "write \"+4\""),
        (r#"["++4"]"#, "write \"+4\""),
        (r#"["+256"]"#, "write \"+4\""),
        (r#"["é"]"#, "write \"+4\""),
        (r#"["+5"]"#, "bit 5 is the miners' to roll"),
        (r#"["-28"]"#, "bit 28 is the miners' to roll"),
        (r#"["-29"]"#, "bits 29 to 31 are 001"),
        (r#"["+32"]"#, "no bit 32"),
        (r#"["+4", "-4"]"#, "bit 4 is there twice"),
        ("4", "write a list"),
    ] {
        let error = errors(&format!("[pool]\nversion_bits = {wrong}"));
        assert!(error.contains("`pool.version_bits"), "{error}");
        assert!(error.contains(reason), "{wrong}: {error}");
    }
}

#[test]
fn another_pool_is_a_host_and_a_port() {
    let move_to = |text: &str| config(&format!("[pool]\nmove_to = {text:?}")).move_to;
    assert_eq!(move_to(""), None);
    let moved = move_to("pool-2.example.org:3334").unwrap();
    assert_eq!((moved.host(), moved.port()), ("pool-2.example.org", 3334));
    for wrong in [
        "pool.example.org",
        ":3333",
        "pool.example.org:0",
        "pool.example.org:65536",
        "::1:3333",
        "stratum2+tcp://pool.example.org:3333",
        "a b:1",
    ] {
        let error = errors(&format!("[pool]\nmove_to = {wrong:?}"));
        assert!(
            error.contains("`pool.move_to") && error.contains("write host:port"),
            "{error}"
        );
    }
}
