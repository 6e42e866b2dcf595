//! Stratum V1's methods: what each is answered, and what comes of it.

use std::sync::Arc;
use std::time::Duration;

use bitcoin::ScriptBuf;
use headframe_channels::DifficultySettings;
use headframe_mining::server::SessionEvent;
use headframe_testkit::{Pool, PoolSettings, address};
use headframe_work::{BasisPoints, Fee, PoolTag, Rung};
use serde_json::{Value, json};

use crate::{MILLISECOND, pool};

const SECOND: Duration = Duration::from_secs(1);

/// A client that keeps what it hears, and has work.
fn client(pool: &mut Pool, user_agent: &str) -> usize {
    let link = silent(pool);
    let subscribe = json!({"id": "sub", "method": "mining.subscribe", "params": [user_agent]});
    send(pool, link, &subscribe.to_string());
    let user = address(1).to_string();
    pool.sv1[link].miner.authorize("auth", &user);
    pool.advance(50 * MILLISECOND);
    link
}

/// A client that keeps what it hears, and has said nothing.
fn silent(pool: &mut Pool) -> usize {
    let link = pool.connect_sv1();
    pool.sv1[link].miner.heard = Some(Vec::new());
    link
}

fn send(pool: &mut Pool, link: usize, line: &str) {
    pool.sv1[link].miner.send(line);
    pool.pump();
}

/// What the client is told by and by of `line`.
fn told(pool: &mut Pool, link: usize, line: &str) -> Vec<Value> {
    pool.sv1[link].miner.heard = Some(Vec::new());
    send(pool, link, line);
    let heard = pool.sv1[link].miner.heard.take().unwrap_or_default();
    heard
        .iter()
        .map(|line| serde_json::from_slice(line).expect("JSON"))
        .collect()
}

/// Every method that a miner sends has an answer, with all three members, under the id that it came
/// with. None ends the connection.
#[test]
fn every_method_is_answered() {
    let mut pool = pool();
    let link = client(&mut pool, "x");
    let version = concat!("headframe/", env!("CARGO_PKG_VERSION"));
    let unknown = json!([-32601, "Method not found", null]);
    let (yes, null) = (json!(true), Value::Null);
    let manual = include_str!("../../../../docs/stratum-v1.md");
    let user = address(1).to_string();
    let cases = [
        ("mining.auth", json!([user]), &yes, &null),
        ("mining.ping", json!([]), &json!("pong"), &null),
        ("client.ping", json!([]), &json!("pong"), &null),
        ("mining.multi_version", json!([1]), &json!(true), &null),
        ("mining.get_version", json!([]), &json!(version), &null),
        ("client.get_version", json!([]), &json!(version), &null),
        ("mining.extranonce.subscribe", json!([]), &yes, &null),
        ("mining.capabilities", json!([{"notify": []}]), &yes, &null),
        ("mining.get_transactions", json!([]), &json!(3), &null),
        ("mining.set_difficulty", json!([1]), &yes, &null),
        ("mining.set_target", json!(["00"]), &yes, &null),
        ("client.show_message", json!(["hello"]), &yes, &null),
        ("mining.show_message", json!(["hello"]), &yes, &null),
        ("client.reconnect", json!(["a.example", 1, 2]), &yes, &null),
        ("mining.reconnect", json!([]), &yes, &null),
        ("mining.hashrate", json!([1]), &null, &unknown),
    ];
    for (method, params, result, error) in cases {
        let line = json!({"id": "7 a", "method": method, "params": params});
        let told = told(&mut pool, link, &line.to_string());
        let expected = json!({"id": "7 a", "result": result, "error": error});
        assert_eq!(told, [expected], "{method}");
        let is_told = manual.contains(&format!("`{method}`")) || !error.is_null();
        assert!(is_told, "docs/stratum-v1.md does not tell of {method}");
    }
    assert_eq!(pool.sv1[link].fault, None);
}

/// JSON-RPC: what has no id is no question. What nobody knows, and what a confused proxy hands back,
/// is passed over then; BFGMiner's suggestions are answered all the same.
#[test]
fn without_an_id_the_unknown_is_passed_over() {
    let mut pool = pool();
    let link = client(&mut pool, "x");
    for method in [
        "mining.unheard_of",
        "mining.set_difficulty",
        "mining.set_target",
        "client.reconnect",
        "client.show_message",
    ] {
        for id in [r#""id":null,"#, ""] {
            let line = format!(r#"{{{id}"method":"{method}","params":[1]}}"#);
            assert!(told(&mut pool, link, &line).is_empty(), "{line}");
        }
    }
    let line = r#"{"method":"mining.suggest_difficulty","params":[1024]}"#;
    let expected = json!({"id": null, "result": true, "error": null});
    assert_eq!(told(&mut pool, link, line)[0], expected);
}

/// An echo of a difficulty that is over does not bring it back.
#[test]
fn an_echo_is_no_wish() {
    let mut pool = pool();
    let link = client(&mut pool, "x");
    let before = pool.sv1[link].miner.difficulty;
    send(
        &mut pool,
        link,
        r#"{"id":5,"method":"mining.set_difficulty","params":[0.000001]}"#,
    );
    pool.advance(2 * SECOND);
    assert_eq!(pool.sv1[link].miner.difficulty, before);
    assert_eq!(pool.sv1[link].miner.jobs.len(), 1);
}

/// As ckpool answers: a number, for the job that is named or the newest.
#[test]
fn transactions_are_counted() {
    let mut pool = pool();
    let early = silent(&mut pool);
    let ask = |id: Option<&str>| {
        json!({"id": 1, "method": "mining.get_transactions", "params": id.as_slice()}).to_string()
    };
    let unknown = json!([21, "Invalid JobID", null]);
    let before = told(&mut pool, early, &ask(None));
    assert_eq!(before[0]["error"], unknown, "there is no job yet");
    let link = client(&mut pool, "x");
    let job = format!("{:x}", pool.sv1[link].miner.job().id);
    for id in [None, Some(&*job)] {
        let count = told(&mut pool, link, &ask(id))[0]["result"].clone();
        assert_eq!(count, json!(3), "{id:?}");
    }
    for id in ["fffffff0", "x", ""] {
        let asked = told(&mut pool, link, &ask(Some(id)));
        let expected = if id.is_empty() {
            &Value::Null
        } else {
            &unknown
        };
        assert_eq!(&asked[0]["error"], expected, "{id:?}");
    }
}

fn rung(exponent: i32) -> Rung {
    Rung::from_exponent(exponent)
}

/// A pool whose network is harder than any difficulty here.
fn hard_pool(start: i32, max: i32) -> Pool {
    Pool::new(&PoolSettings {
        bits: 0x1700_ffff,
        difficulty: DifficultySettings {
            shares_per_minute: 12.0,
            start: rung(start),
            min: Rung::EASIEST,
            max: rung(max),
        },
        ..PoolSettings::default()
    })
}

fn configure(extension: &str, value: Value) -> String {
    let options = json!({ format!("{extension}.value"): value });
    let params = json!([[extension], options]);
    json!({"id": "cfg", "method": "mining.configure", "params": params}).to_string()
}

/// BIP310: a minimum difficulty that is granted is kept, from the first job on, whatever else is
/// suggested and however long the miner is silent. It is rounded up: it is a minimum.
#[test]
fn a_minimum_difficulty_is_kept() {
    for is_early in [true, false] {
        let mut pool = hard_pool(2, 40);
        let link = if is_early {
            silent(&mut pool)
        } else {
            client(&mut pool, "x")
        };
        let reply = told(
            &mut pool,
            link,
            &configure("minimum-difficulty", json!(500)),
        );
        assert_eq!(reply[0]["result"], json!({"minimum-difficulty": true}));
        if is_early {
            pool.sv1[link].miner.log_in(&address(1).to_string());
        }
        send(
            &mut pool,
            link,
            r#"{"id":5,"method":"mining.suggest_difficulty","params":[1]}"#,
        );
        for _ in 0..60 {
            pool.advance(60 * SECOND);
            assert_eq!(pool.sv1[link].miner.difficulty, Some(512.0), "{is_early}");
        }
    }
}

/// A minimum that the pool could not keep is not granted: above the operator's hardest difficulty, or
/// above the network's, where it would keep a block back.
#[test]
fn a_minimum_difficulty_has_limits() {
    let mut pool = hard_pool(2, 9);
    let link = client(&mut pool, "x");
    for (wanted, is_granted) in [
        (json!(512), true),
        (json!("511.5"), true),
        (json!(513), false),
        (json!(1e300), false),
        (json!(0), false),
        (json!(-1), false),
        (json!("much"), false),
        (Value::Null, false),
    ] {
        let line = configure("minimum-difficulty", wanted.clone());
        let result = told(&mut pool, link, &line)[0]["result"].clone();
        assert_eq!(
            result,
            json!({"minimum-difficulty": is_granted}),
            "{wanted}"
        );
    }
    let mut easy = crate::pool();
    let link = client(&mut easy, "x");
    let result = told(
        &mut easy,
        link,
        &configure("minimum-difficulty", json!(512)),
    )[0]
    .clone();
    assert_eq!(result["result"], json!({"minimum-difficulty": false}));
}

/// All four ways to ask for a difficulty are one: the reply comes first, and the first work has it.
#[test]
fn a_difficulty_may_be_suggested_in_four_ways() {
    let target = format!(
        "{:0>64}",
        "ffff000000000000000000000000000000000000000000000000"
    );
    for line in [
        json!({"id": 5, "method": "mining.suggest_difficulty", "params": [16]}).to_string(),
        json!({"id": 5, "method": "mining.suggest_target", "params": [target]}).to_string(),
        json!({"id": 5, "method": "mining.capabilities", "params": [{"suggested_target": target}]})
            .to_string(),
        configure("suggest-difficulty", json!(16)),
    ] {
        let mut pool = hard_pool(2, 40);
        let link = silent(&mut pool);
        pool.sv1[link].miner.log_in(&address(1).to_string());
        send(&mut pool, link, &line);
        let miner = &pool.sv1[link].miner;
        let expected = if line.contains("target") {
            65536.0
        } else {
            16.0
        };
        assert_eq!(miner.difficulty, Some(expected), "{line}");
        assert!(miner.transcript[2].starts_with("reply"), "{line}");
        assert_eq!(miner.jobs.len(), 1);
    }
}

/// Down to a hundred-thousandth, as a number or a string, and never another one before it.
#[test]
fn a_fraction_may_be_suggested() {
    for (suggested, exponent) in [
        (json!(0.00001), -17),
        (json!("0.00001"), -17),
        (json!(" 1e-5 "), -17),
        (json!(0.00015), -13),
        (json!("0.5"), -1),
    ] {
        let mut pool = hard_pool(10, 40);
        let link = silent(&mut pool);
        pool.sv1[link].miner.log_in(&address(1).to_string());
        let line = json!({"id": 5, "method": "mining.suggest_difficulty", "params": [suggested]});
        send(&mut pool, link, &line.to_string());
        let heard = pool.sv1[link].miner.heard.take().unwrap_or_default();
        let told: Vec<Value> = heard
            .iter()
            .map(|line| serde_json::from_slice(line).expect("JSON"))
            .filter(|line: &Value| line["method"] == "mining.set_difficulty")
            .collect();
        let expected = json!([2f64.powi(exponent)]);
        assert_eq!(told.len(), 1, "{suggested}");
        assert_eq!(told[0]["params"], expected, "{suggested}");
    }
}

/// A suggestion is honoured within the operator's limits, and what cannot be one harms nothing.
#[test]
fn a_suggestion_has_limits() {
    for (suggested, exponent) in [(json!(1), 2), (json!(1e9), 12), (json!(100), 6)] {
        let mut pool = Pool::new(&PoolSettings {
            bits: 0x1700_ffff,
            difficulty: DifficultySettings {
                shares_per_minute: 12.0,
                start: rung(4),
                min: rung(2),
                max: rung(12),
            },
            ..PoolSettings::default()
        });
        let link = silent(&mut pool);
        pool.sv1[link].miner.log_in(&address(1).to_string());
        let line = json!({"id": 5, "method": "mining.suggest_difficulty", "params": [suggested]});
        send(&mut pool, link, &line.to_string());
        assert_eq!(
            pool.sv1[link].miner.difficulty,
            Some(2f64.powi(exponent)),
            "{suggested}"
        );
        for wrong in [json!(0), json!(-1), json!("nan"), json!([]), Value::Null] {
            let line = json!({"id": 6, "method": "mining.suggest_difficulty", "params": [wrong]});
            let told = told(&mut pool, link, &line.to_string());
            assert_eq!(told[0]["error"][0], json!(20), "{wrong}");
        }
        assert_eq!(pool.sv1[link].fault, None);
    }
}

/// NerdMiner says every 30 s what it would like (issue 805): that is a keep-alive. What has been found
/// out since stays, to the share.
#[test]
fn a_repeated_suggestion_changes_nothing() {
    let run = |repeats: bool| {
        let mut pool = hard_pool(10, 40);
        let link = silent(&mut pool);
        pool.sv1[link].miner.log_in(&address(1).to_string());
        for second in 0..7200u32 {
            if second % 30 == 0 && (repeats || second == 0) {
                let forms = [json!(0.00015), json!("0.00015"), json!("1.5e-4")];
                let form = &forms[second as usize / 30 % 3];
                let line =
                    json!({"id": 5, "method": "mining.suggest_difficulty", "params": [form]});
                pool.sv1[link].miner.send(&line.to_string());
            }
            pool.advance(SECOND);
        }
        let events = &pool.sv1[link].events;
        let rungs = events.iter().filter_map(|event| match event {
            SessionEvent::Difficulty { rung, .. } => Some(rung.exponent()),
            _ => None,
        });
        (
            rungs.collect::<Vec<_>>(),
            pool.sv1[link].miner.job_times.len(),
        )
    };
    let once = run(false);
    assert!(once.0.len() > 3, "a silent miner is eased: {once:?}");
    assert_eq!(run(true), once);
}

/// public-pool issue 120: a Whatsminer that tunes itself for hours is never given less than
/// difficulty 1. Others are eased on.
#[test]
fn an_asic_that_is_silent_is_eased_down_to_one() {
    for (agent, is_easier) in [
        ("Antminer S21/Mon Apr 1 2024", false),
        ("Antminer S19j Pro/Mon Apr 1 2024", false),
        ("bmminer/2.0.0/Antminer S9/13500", false),
        ("bosminer-plus-tuner", false),
        ("cgminer/4.11.1", false),
        ("PowerPlay-BM/1.0", false),
        ("whatsminer/v1.0", false),
        ("xminer-1.2.6", false),
        ("bitaxe/BM1370/v2.15.0", true),
        ("NerdMinerV2/1.8.3", true),
        ("x/1.0", true),
    ] {
        let mut pool = hard_pool(4, 40);
        let link = client(&mut pool, agent);
        pool.advance(3600 * SECOND);
        let difficulty = pool.sv1[link].miner.difficulty.expect("it has work");
        assert_eq!(difficulty < 1.0, is_easier, "{agent}: {difficulty}");
        assert!(is_easier || difficulty == 1.0, "{agent}: {difficulty}");
    }
    // A name that is told only after authorization counts as well.
    let mut pool = hard_pool(4, 40);
    let link = silent(&mut pool);
    let user = address(1).to_string();
    pool.sv1[link].miner.authorize("auth", &user);
    send(
        &mut pool,
        link,
        r#"{"id":1,"method":"mining.subscribe","params":["whatsminer/v1.0"]}"#,
    );
    pool.advance(3600 * SECOND);
    assert_eq!(pool.sv1[link].miner.difficulty, Some(1.0));
}

/// A small device that calls itself as an ASIC does has what it asks for, and is not eased beyond
/// that: a fraction does no harm to who asks for one. A Whatsminer and a NerdQAxe have none whatever is asked.
#[test]
fn an_asic_is_below_difficulty_one_only_if_it_asks_for_that() {
    for (agent, easiest) in [
        ("cgminer/4.11.1", 0.25),
        ("bosminer-plus-tuner", 0.25),
        ("whatsminer/v1.0", 1.0),
        ("NerdQAxe++/BM1370/v1.0.36", 1.0),
    ] {
        let suggest = r#"{"id":2,"method":"mining.suggest_difficulty","params":[0.25]}"#;
        let mut suggested = hard_pool(4, 40);
        let link = client(&mut suggested, agent);
        send(&mut suggested, link, suggest);

        let mut asked = hard_pool(4, 40);
        assert_eq!(silent(&mut asked), link);
        let subscribe = json!({"id": 1, "method": "mining.subscribe", "params": [agent]});
        send(&mut asked, link, &subscribe.to_string());
        let authorize = json!({"id": 2, "method": "mining.authorize", "params": [address(1).to_string(), "d=0.25"]});
        send(&mut asked, link, &authorize.to_string());

        for pool in [&mut suggested, &mut asked] {
            for wait in [SECOND, 3600 * SECOND] {
                pool.advance(wait);
                let difficulty = pool.sv1[link].miner.difficulty;
                assert_eq!(difficulty, Some(easiest), "{agent}");
            }
        }
        send(&mut suggested, link, &suggest.replace("0.25", "1"));
        suggested.advance(3600 * SECOND);
        let difficulty = suggested.sv1[link].miner.difficulty;
        assert_eq!(
            difficulty,
            Some(1.0),
            "{agent} takes back what it asked for"
        );
    }
}

/// An Avalon cuts a long name in the midst of the address. It is refused, and its owner is told why.
#[test]
fn an_avalon_that_cut_its_name_is_told_so() {
    let cut = "bcrt1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary";
    assert_eq!(cut.len(), 63);
    for (agent, name, is_explained) in [
        ("cgminer/4.11.1", cut, true),
        ("cgminer/4.11.1", &cut[..62], false),
        ("bitaxe/BM1370/v2.15.0", cut, false),
    ] {
        let mut pool = pool();
        let link = silent(&mut pool);
        let subscribe = json!({"id": 1, "method": "mining.subscribe", "params": [agent]});
        send(&mut pool, link, &subscribe.to_string());
        pool.sv1[link].miner.authorize("auth", name);
        pool.pump();
        let (code, text) = pool.sv1[link].miner.replies["auth"]
            .clone()
            .expect("a refusal");
        assert_eq!(code, 24);
        let hint = "this device bears user names of 63 characters at most";
        assert_eq!(text.contains(hint), is_explained, "{text}");
        let told = pool.sv1[link].events.iter().any(
            |event| matches!(event, SessionEvent::NameRefused { reason, .. } if reason == &text),
        );
        assert!(told, "the operator is told the same");
    }
}

/// A NerdMiner cuts a coinbase of more than 255 bytes, and all its shares are wrong (NerdMiner_v2 issue
/// 809). Its owner is told once for each worker, and nobody else's.
#[test]
fn a_coinbase_that_is_too_long_for_a_device_is_told() {
    let script = |byte: u8| ScriptBuf::from_bytes([&[0x51, 32][..], &[byte; 32]].concat());
    let part = |points| BasisPoints::new(points).expect("a part");
    let split = Fee {
        rate: part(100),
        script: script(1),
        split: Some((part(5_000), script(2))),
    };
    for (agent, tag_len, fee, expected) in [
        ("NerdMinerV2/1.8.3", 32, Some(split.clone()), 2),
        ("NerdMinerV2/1.8.3", 32, None, 0),
        ("bitaxe/BM1370/v2.15.0", 32, Some(split), 0),
    ] {
        let mut pool = pool();
        let rules = Arc::make_mut(&mut pool.rules);
        rules.imprint.tag = PoolTag::new(&"x".repeat(tag_len)).expect("printable and short");
        rules.payouts.fee = fee;
        let link = client(&mut pool, agent);
        let second = format!("{}.b", address(1));
        pool.sv1[link].miner.authorize("second", &second);
        pool.new_template();
        pool.new_tip();
        pool.new_tip();
        let told = pool.sv1[link]
            .events
            .iter()
            .filter_map(|event| match event {
                SessionEvent::LongCoinbase { seat, coinbase } => Some((seat.get(), *coinbase)),
                _ => None,
            });
        let told: Vec<_> = told.collect();
        assert_eq!(told.len(), expected, "{agent}: {told:?}");
        for (index, (seat, coinbase)) in told.iter().enumerate() {
            assert_eq!(*seat as usize, index + 1);
            let job = pool.sv1[link].miner.job();
            let stripped = job.coinbase(&[0; 8]).expect("a coinbase").base_size();
            assert_eq!((coinbase.len, coinbase.limit), (stripped, 255));
        }
    }
}

/// ckpool's words for every reason that a miner is refused for, which its owner finds explained.
#[test]
fn refusals_are_in_ckpool_s_words() {
    let mut pool = hard_pool(10, 40);
    let link = client(&mut pool, "x");
    let user = address(1).to_string();
    let job = format!("{:x}", pool.sv1[link].miner.job().id);
    let time = pool.sv1[link].miner.job().time;
    let (now, late, early) = (
        format!("{time:08x}"),
        format!("{:08x}", time + 10_000),
        format!("{:08x}", 1),
    );
    let good = "0000000000000000";
    let manual = include_str!("../../../../docs/stratum-v1.md");
    let cases = [
        (
            json!([user, "fffffff0", good, now, "0"]),
            21,
            "Invalid JobID",
        ),
        (
            json!([user, job, "00", now, "0"]),
            20,
            "Invalid nonce2 length",
        ),
        (
            json!([user, job, good, late, "0"]),
            20,
            "Ntime out of range",
        ),
        (
            json!([user, job, good, early, "0"]),
            20,
            "Ntime out of range",
        ),
        (
            json!([user, job, good, now, "0", "80000000"]),
            20,
            "Invalid version mask",
        ),
        (json!([user, job, good, now, "0"]), 23, "Above target"),
        (json!(["x", job, good, now, "0"]), 24, "Worker mismatch"),
        (json!([user, job, good, now]), 20, "Invalid array size"),
        (json!({}), 20, "Params not array"),
    ];
    for (params, code, text) in cases {
        let line = json!({"id": 5, "method": "mining.submit", "params": params}).to_string();
        let told = told(&mut pool, link, &line);
        assert_eq!(told[0]["error"], json!([code, text, null]), "{line}");
        assert_eq!(told[0]["result"], Value::Null);
        let row = format!("| {code} | ");
        let mut rows = manual.lines().filter(|line| line.starts_with(&row));
        let is_told = rows.any(|row| row.contains(&format!("`{text}`")));
        assert!(is_told, "docs/stratum-v1.md does not tell of {code} {text}");
    }
    let nobody = silent(&mut pool);
    let line = json!({"id": 5, "method": "mining.submit", "params": [user, job, good, now, "0"]});
    let first = told(&mut pool, nobody, &line.to_string());
    assert_eq!(first[0]["error"], json!([25, "Not subscribed", null]));
    let subscribe = r#"{"id":1,"method":"mining.subscribe","params":["x"]}"#;
    send(&mut pool, nobody, subscribe);
    let second = told(&mut pool, nobody, &line.to_string());
    assert_eq!(second[0]["error"], json!([24, "Unauthorized worker", null]));

    pool.new_tip();
    let params = json!([user, job, good, now, "0"]);
    let line = json!({"id": 5, "method": "mining.submit", "params": params}).to_string();
    let told_late = told(&mut pool, link, &line);
    assert_eq!(told_late[0]["error"], json!([21, "Stale", null]));

    let mut pool = hard_pool(Rung::EASIEST.exponent(), 40);
    let link = client(&mut pool, "x");
    let job = pool.sv1[link].miner.job();
    let (id, time) = (format!("{:x}", job.id), format!("{:08x}", job.time));
    let params = json!([user, id, good, time, "0"]);
    let line = json!({"id": 5, "method": "mining.submit", "params": params}).to_string();
    send(&mut pool, link, &line);
    pool.advance(SECOND);
    let again = told(&mut pool, link, &line);
    assert_eq!(again[0]["error"], json!([22, "Duplicate", null]));
}

/// Names of one address are bounded, and shares of those that were authorized count.
#[test]
fn a_connection_has_so_many_workers_and_no_more() {
    const MOST: usize = 256;
    let mut pool = pool();
    let link = client(&mut pool, "x");
    let name = |number: usize| format!("{}.{number}", address(1));
    for number in 1..=MOST {
        pool.sv1[link].miner.authorize("worker", &name(number));
        pool.pump();
        let is_granted = pool.sv1[link].miner.is_granted("worker");
        assert_eq!(is_granted, number < MOST, "{number} besides the first");
    }
    pool.sv1[link].miner.authorize("again", &name(1));
    pool.pump();
    assert!(pool.sv1[link].miner.is_granted("again"));
}
