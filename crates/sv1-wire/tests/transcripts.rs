//! Lines in the forms that devices and pools use, read and written.
//!
//! They are written by hand, not recorded: the Bitaxe's after ESP-Miner's documented behaviour, the
//! others after BIP310 and the forms common in the field. None comes from this crate's own encoder.

use headframe_sv1_wire::{
    Answer, Authorize, Configure, Difficulty, ErrorCode, Extranonce, Fault, Id, LineError, Method,
    Notification, Notify, Reconnect, Refusal, Reply, Request, ServerLine, Submit, Subscribe,
    Subscribed, Terms, VersionRolling, VersionRollingAnswer,
};

const ALL_GRANTED: Terms = Terms {
    version_mask: 0x1fff_e000,
    keeps_minimum: true,
    follows_suggestion: true,
};

fn method(line: &str) -> Method<'_> {
    Request::parse(line.as_bytes()).expect(line).method
}

fn fault(line: &str) -> Fault {
    Request::parse(line.as_bytes()).expect_err(line).fault
}

fn notification(line: &str) -> Notification<'_> {
    match ServerLine::parse(line.as_bytes()) {
        Ok(ServerLine::Notification { notification, .. }) => notification,
        other => panic!("{other:?}"),
    }
}

fn answer(line: &str) -> Answer<'_> {
    match ServerLine::parse(line.as_bytes()) {
        Ok(ServerLine::Reply(reply)) => reply.answer,
        other => panic!("{other:?}"),
    }
}

fn encoded(notification: &Notification<'_>) -> String {
    let mut line = Vec::new();
    notification.encode(&mut line);
    String::from_utf8(line).expect("lines are UTF-8")
}

fn replied(id: Id<'_>, answer: Answer<'_>) -> String {
    let mut line = Vec::new();
    Reply { id, answer }.encode(&mut line);
    String::from_utf8(line).expect("lines are UTF-8")
}

#[test]
fn a_bitaxe_says_hello() {
    let configure = r#"{"id": 1, "method": "mining.configure", "params": [["version-rolling"], {"version-rolling.mask": "ffffffff"}]}"#;
    assert_eq!(
        method(configure),
        Method::Configure(Configure {
            version_rolling: Some(VersionRolling {
                mask: u32::MAX,
                min_bit_count: 0
            }),
            ..Configure::default()
        })
    );
    let subscribe =
        r#"{"id": 2, "method": "mining.subscribe", "params": ["bitaxe/BM1370/v2.15.0"]}"#;
    assert_eq!(
        method(subscribe),
        Method::Subscribe(Subscribe {
            user_agent: "bitaxe/BM1370/v2.15.0".into(),
            session_id: None
        })
    );
    let authorize =
        r#"{"id": 3, "method": "mining.authorize", "params": ["bcrt1qexample.bitaxe", "x"]}"#;
    assert_eq!(
        method(authorize),
        Method::Authorize(Authorize {
            worker: "bcrt1qexample.bitaxe".into(),
            password: "x".into()
        })
    );
    let suggest = r#"{"id": 4, "method": "mining.suggest_difficulty", "params": [1000]}"#;
    assert_eq!(
        method(suggest),
        Method::SuggestDifficulty(Difficulty::new(1000.0).unwrap())
    );
    let extranonce = r#"{"id": 5, "method": "mining.extranonce.subscribe", "params": []}"#;
    assert_eq!(method(extranonce), Method::ExtranonceSubscribe);
}

#[test]
fn a_bitaxe_submits_six_params() {
    let line = r#"{"id": 6, "method": "mining.submit", "params": ["bcrt1qexample.bitaxe", "1a2b", "0100000000000000", "66f0c1a2", "9d0f00c4", "00e6a000"]}"#;
    assert_eq!(
        method(line),
        Method::Submit(Submit {
            worker: "bcrt1qexample.bitaxe".into(),
            job_id: "1a2b".into(),
            extranonce2: Extranonce::new(&[1, 0, 0, 0, 0, 0, 0, 0]).unwrap(),
            ntime: 0x66f0_c1a2,
            nonce: 0x9d0f_00c4,
            version_bits: Some(0x00e6_a000),
        })
    );
}

#[test]
fn cgminer_submits_five_params_and_asks_for_its_session() {
    let subscribe = "{\"id\": 0, \"method\": \"mining.subscribe\", \"params\": [\"cgminer/4.11.1\", \"5f3a\"]}\r\n";
    assert_eq!(
        method(subscribe),
        Method::Subscribe(Subscribe {
            user_agent: "cgminer/4.11.1".into(),
            session_id: Some("5f3a".into())
        })
    );
    let submit = r#"{"params": ["addr.1", "7", "00000000", "504e86ed", "b2957c02"], "id": 4, "method": "mining.submit"}"#;
    let Method::Submit(submit) = method(submit) else {
        panic!("not a submit");
    };
    assert_eq!((submit.nonce, submit.version_bits), (0xb295_7c02, None));
}

#[test]
fn bfgminer_has_string_ids_and_gets_them_back() {
    let line = br#"{"id": "txlist\/7", "method": "mining.ping", "params": []}"#;
    let request = Request::parse(line).unwrap();
    assert_eq!(
        replied(request.id, Answer::Text("pong".into())),
        "{\"id\":\"txlist\\/7\",\"result\":\"pong\",\"error\":null}\n"
    );
}

#[test]
fn nicehash_names_hosts_and_asks_for_extranonce_changes() {
    let line = r#"{"id":1,"method":"mining.subscribe","params":["NiceHash/1.0.0",null,"pool.example",3333]}"#;
    assert_eq!(
        method(line),
        Method::Subscribe(Subscribe {
            user_agent: "NiceHash/1.0.0".into(),
            session_id: None
        })
    );
    let line = r#"{"id":2,"method":"mining.extranonce.subscribe","params":null}"#;
    assert_eq!(method(line), Method::ExtranonceSubscribe);
}

#[test]
fn an_antminer_configures_with_every_option() {
    let line = r#"{"method":"mining.configure","id":1,"params":[["minimum-difficulty","version-rolling","suggest-difficulty","subscribe-extranonce","info"],{"minimum-difficulty.value":2048,"suggest-difficulty.value":"4096.5","version-rolling.mask":"1fffe000","version-rolling.min-bit-count":2,"info.hw-version":"S19"}]}"#;
    let Method::Configure(configure) = method(line) else {
        panic!("not a configure");
    };
    assert_eq!(
        configure,
        Configure {
            version_rolling: Some(VersionRolling {
                mask: 0x1fff_e000,
                min_bit_count: 2
            }),
            minimum_difficulty: Difficulty::new(2048.0),
            suggest_difficulty: Difficulty::new(4096.5),
            subscribe_extranonce: true,
            unknown: vec!["info".into()],
        }
    );
    for (keeps_minimum, follows_suggestion) in [(false, true), (true, true), (true, false)] {
        let answer = configure.answer(Terms {
            version_mask: 0x3fff_e000,
            keeps_minimum,
            follows_suggestion,
        });
        let expected = format!(
            "{{\"id\":1,\"result\":{{\"version-rolling\":true,\"version-rolling.mask\":\"1fffe000\",\
             \"minimum-difficulty\":{keeps_minimum},\"suggest-difficulty\":{follows_suggestion},\
             \"subscribe-extranonce\":true,\"info\":false}},\"error\":null}}\n"
        );
        assert_eq!(replied(Id::number(1), Answer::Configured(answer)), expected);
    }
}

/// BIP310: each extension is answered by itself. One whose value cannot be read is not granted, and
/// the others are.
#[test]
fn an_extension_without_its_value_is_not_granted() {
    for options in [
        r#"{}"#,
        r#"{"minimum-difficulty.value":"much","suggest-difficulty.value":0}"#,
        r#"{"minimum-difficulty.value":null,"suggest-difficulty.value":-1}"#,
    ] {
        let line = format!(
            r#"{{"id":1,"method":"mining.configure","params":[["minimum-difficulty","suggest-difficulty","version-rolling"],{options}]}}"#
        );
        let Method::Configure(configure) = method(&line) else {
            panic!("not a configure");
        };
        let answer = configure.answer(ALL_GRANTED);
        let refused = |name: &'static str| (name.into(), false);
        let expected = ["minimum-difficulty", "suggest-difficulty"].map(refused);
        assert_eq!(answer.others, expected, "{options}");
        let mask = 0x1fff_e000;
        let granted = Some(VersionRollingAnswer::Granted { mask });
        assert_eq!(answer.version_rolling, granted);
    }
}

/// Every name under which a device says the same.
#[test]
fn methods_have_other_names() {
    for name in ["mining.authorize", "mining.auth"] {
        let line = format!(r#"{{"id":1,"method":"{name}","params":["w","x"]}}"#);
        assert!(matches!(method(&line), Method::Authorize(_)), "{name}");
    }
    for (name, expected) in [
        ("mining.ping", Method::Ping),
        ("client.ping", Method::Ping),
        ("mining.get_version", Method::GetVersion),
        ("client.get_version", Method::GetVersion),
    ] {
        let line = format!(r#"{{"id":1,"method":"{name}"}}"#);
        assert_eq!(method(&line), expected);
    }
    for name in [
        "mining.notify",
        "mining.set_difficulty",
        "mining.set_target",
        "mining.set_extranonce",
        "mining.set_version_mask",
        "mining.show_message",
        "client.show_message",
        "mining.reconnect",
        "client.reconnect",
    ] {
        let line = format!(r#"{{"id":1,"method":"{name}","params":[1]}}"#);
        assert_eq!(method(&line), Method::Echo { name: name.into() });
    }
}

#[test]
fn the_transactions_of_a_job_are_asked_for() {
    let asked = |params: &str| {
        let line = format!(r#"{{"id":1,"method":"mining.get_transactions","params":{params}}}"#);
        match Request::parse(line.as_bytes())
            .expect("it can be read")
            .method
        {
            Method::GetTransactions { job_id } => job_id.map(|id| id.into_owned()),
            other => panic!("{other:?}"),
        }
    };
    for params in ["[]", "null", "[\"\"]", "[null]", "{}"] {
        assert_eq!(asked(params), None, "{params}");
    }
    for params in ["[\"5f\"]", "\"5f\"", "[\"5f\",1]"] {
        assert_eq!(asked(params).as_deref(), Some("5f"), "{params}");
    }
}

/// BFGMiner's draft: a target among its capabilities is a wish. What cannot be read is none.
#[test]
fn capabilities_may_have_a_target() {
    let target = |params: &str| {
        let line = format!(r#"{{"id":null,"method":"mining.capabilities","params":{params}}}"#);
        match Request::parse(line.as_bytes())
            .expect("it can be read")
            .method
        {
            Method::Capabilities { suggested_target } => suggested_target,
            other => panic!("{other:?}"),
        }
    };
    let mut expected = [0; 32];
    expected[4..6].copy_from_slice(&[0xff, 0xff]);
    let digits = "00000000ffff0000000000000000000000000000000000000000000000000000";
    let with = format!(r#"[{{"notify":[],"set_difficulty":{{}},"suggested_target":"{digits}"}}]"#);
    assert_eq!(target(&with), Some(expected));
    for params in [
        "[]",
        "null",
        r#"[{"notify":[]}]"#,
        r#"[{"suggested_target":"x"}]"#,
        r#"[{"suggested_target":[]}]"#,
    ] {
        assert_eq!(target(params), None, "{params}");
    }
}

#[test]
fn a_mask_without_common_bits_is_refused() {
    let line = r#"{"id":1,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"00001fff"}]}"#;
    let Method::Configure(configure) = method(line) else {
        panic!("not a configure");
    };
    let configured = configure.answer(ALL_GRANTED);
    assert_eq!(
        configured.version_rolling,
        Some(VersionRollingAnswer::Refused)
    );
    assert_eq!(
        replied(Id::number(1), Answer::Configured(configured)),
        "{\"id\":1,\"result\":{\"version-rolling\":false},\"error\":null}\n"
    );
}

#[test]
fn small_miners_suggest_fractions_as_numbers_and_strings() {
    let expected = Method::SuggestDifficulty(Difficulty::new(0.00015).unwrap());
    for params in ["[0.00015]", "[\"0.00015\"]", "[1.5e-4]", "0.00015"] {
        let line = format!(r#"{{"id":7,"method":"mining.suggest_difficulty","params":{params}}}"#);
        assert_eq!(method(&line), expected, "{params}");
    }
    for params in [
        "[0]",
        "[-1]",
        "[\"NaN\"]",
        "[\"inf\"]",
        "[]",
        "[null]",
        "[{}]",
    ] {
        let line = format!(r#"{{"id":7,"method":"mining.suggest_difficulty","params":{params}}}"#);
        assert!(Request::parse(line.as_bytes()).is_err(), "{params}");
    }
}

#[test]
fn a_target_is_suggested_most_significant_byte_first() {
    let mut target = [0; 32];
    target[4..6].copy_from_slice(&[0xff, 0xff]);
    for text in [
        "00000000ffff0000000000000000000000000000000000000000000000000000",
        "0xFFFF0000000000000000000000000000000000000000000000000000",
    ] {
        let line = format!(r#"{{"id":7,"method":"mining.suggest_target","params":["{text}"]}}"#);
        assert_eq!(method(&line), Method::SuggestTarget(target));
    }
}

#[test]
fn what_surrounds_a_request_does_no_harm() {
    for line in [
        "\u{feff}{\"id\":1,\"method\":\"mining.ping\"}\n",
        " \t{\"id\":1,\"method\":\"mining.ping\",\"params\":[]}\r\n",
        "{\"id\":1,\"method\":\"mining.ping\",\"params\":{},\"jsonrpc\":\"2.0\"}\0\0",
        "{\"method\":\"mining.ping\",\"id\":1}}garbage",
    ] {
        let expected = Request {
            id: Id::number(1),
            method: Method::Ping,
        };
        assert_eq!(Request::parse(line.as_bytes()), Ok(expected), "{line:?}");
    }
}

#[test]
fn ids_are_text_and_anything_else_is_refused() {
    // As apoclypsebm has it: the longest user name that there is.
    let [name, long] = [255, 256].map(|len| format!("\"{}\"", "9".repeat(len)));
    for id in [
        &name,
        "0",
        "-1",
        "1.0",
        "1e3",
        "18446744073709551616",
        "\"\"",
        "\"a\\u0062\"",
        "null",
    ] {
        let line = format!(r#"{{"id":{id},"method":"mining.ping"}}"#);
        assert_eq!(Request::parse(line.as_bytes()).unwrap().id.as_json(), id);
    }
    for id in ["[1]", "{}", "true", &long] {
        let line = format!(r#"{{"id":{id},"method":"mining.ping"}}"#);
        assert_eq!(fault(&line), Fault::Id, "{id}");
    }
    let without = Request::parse(br#"{"method":"mining.ping"}"#).unwrap();
    assert!(without.id.is_null());
    assert_eq!(Id::number(7).as_number(), Some(7));
}

#[test]
fn an_unknown_method_survives_with_its_id() {
    let line = r#"{"id":9,"method":"mining.hashrate","params":[1]}"#;
    let request = Request::parse(line.as_bytes()).unwrap();
    let name = "mining.hashrate".into();
    assert_eq!(request.method, Method::Unknown { name });
    let mut reply = Vec::new();
    Reply::unknown_method(request.id).encode(&mut reply);
    assert_eq!(
        reply,
        b"{\"id\":9,\"result\":null,\"error\":[-32601,\"Method not found\",null]}\n"
    );
}

#[test]
fn a_wrong_submit_names_the_field() {
    let cases = [
        (r#"{}"#, "Params not array"),
        (r#"null"#, "Params not array"),
        (r#"[]"#, "Invalid array size"),
        (r#"["w","1","00","0"]"#, "Invalid array size"),
        (r#"[null,"1","00","0","0"]"#, "No username"),
        (r#"["w",null,"00","0","0"]"#, "No job_id"),
        (r#"["w","1",null,"0","0"]"#, "No nonce2"),
        (r#"["w","1","00",null,"0"]"#, "No ntime"),
        (r#"["w","1","00","0",null]"#, "No nonce"),
        (
            r#"["w","1","000","0","0"]"#,
            "nonce2 must be pairs of hexadecimal digits",
        ),
        (
            r#"["w","1","00","zz","0"]"#,
            "ntime must be up to 8 hexadecimal digits",
        ),
        (
            r#"["w","1","00","0","123456789"]"#,
            "nonce must be up to 8 hexadecimal digits",
        ),
        (r#"["w","1","00","0",[]]"#, "nonce must be a string"),
        (
            r#"["w","1","00","0","0","+1"]"#,
            "version bits must be up to 8 hexadecimal digits",
        ),
    ];
    for (params, message) in cases {
        let line = format!(r#"{{"id":5,"method":"mining.submit","params":{params}}}"#);
        let error = Request::parse(line.as_bytes()).unwrap_err();
        assert_eq!(
            error.reply(),
            Reply::refused(
                Id::number(5),
                Refusal::with_message(ErrorCode::OTHER, message)
            )
        );
        assert!(!error.fault.is_undecodable());
    }
}

#[test]
fn fields_are_bounded() {
    let submit = |worker: usize, job: usize, extranonce: usize| {
        let (worker, job) = ("w".repeat(worker), "j".repeat(job));
        let extranonce = "00".repeat(extranonce);
        let line = format!(
            r#"{{"id":5,"method":"mining.submit","params":["{worker}","{job}","{extranonce}","0","0"]}}"#
        );
        Request::parse(line.as_bytes())
            .map(|_| ())
            .map_err(|error| error.fault)
    };
    assert_eq!(submit(255, 64, 32), Ok(()));
    let too_long = |field, max| Err(Fault::TooLong { field, max });
    assert_eq!(submit(256, 64, 32), too_long("username", 255));
    assert_eq!(submit(255, 65, 32), too_long("job_id", 64));
    assert_eq!(submit(255, 64, 33), too_long("nonce2", 32));

    let agent = "é".repeat(100);
    let line = format!(r#"{{"id":1,"method":"mining.subscribe","params":["{agent}"]}}"#);
    let Method::Subscribe(subscribe) = method(&line) else {
        panic!("not a subscribe");
    };
    assert_eq!(subscribe.user_agent, "é".repeat(64));
}

#[test]
fn what_is_no_stratum_is_told_apart() {
    assert_eq!(fault("\r\n"), Fault::Blank);
    assert_eq!(fault("GET / HTTP/1.1"), Fault::NotAnObject);
    assert_eq!(fault("[1,\"mining.ping\",[]]"), Fault::NotAnObject);
    assert_eq!(
        fault(r#"{"id":1,"result":true,"error":null}"#),
        Fault::NoMethod
    );
    assert_eq!(fault(r#"{"id":1,"method":5}"#), Fault::NoMethod);
    assert!(matches!(
        fault(r#"{"id":1,"method":"mining.ping"#),
        Fault::Json { .. }
    ));
    assert!(matches!(
        fault(r#"{"id":1,"id":2,"method":"x"}"#),
        Fault::Json { .. }
    ));
    let not_utf8 = Request::parse(b"{\"id\":1,\"method\":\"\xff\"}").unwrap_err();
    assert!(not_utf8.fault.is_undecodable());
    let deep = format!(
        "{{\"id\":1,\"method\":\"x\",\"params\":{}",
        "[".repeat(10_000)
    );
    let error: LineError<'_> = Request::parse(deep.as_bytes()).unwrap_err();
    assert!(error.fault.is_undecodable());
    assert_eq!(error.reply().id, Id::NULL);
}

#[test]
fn the_subscribe_reply_has_what_esp_miner_looks_for() {
    let subscribed = Subscribed {
        session_id: "c0ffee".into(),
        extranonce1: Extranonce::new(&[0xde, 0xad, 0x00, 0x01]).unwrap(),
        extranonce2_size: 8,
    };
    assert_eq!(
        replied(Id::number(2), Answer::Subscribed(subscribed)),
        "{\"id\":2,\"result\":[[[\"mining.notify\",\"c0ffee\"]],\"dead0001\",8],\"error\":null}\n"
    );
}

#[test]
fn subscribe_replies_of_other_pools_are_read() {
    let expected = Answer::Subscribed(Subscribed {
        session_id: "b4b6".into(),
        extranonce1: Extranonce::new(&[8, 0, 0, 2]).unwrap(),
        extranonce2_size: 4,
    });
    for subscriptions in [
        r#"[["mining.set_difficulty","1"],["mining.notify","b4b6"]]"#,
        r#"[["mining.notify","b4b6"]]"#,
        r#"["mining.notify","b4b6"]"#,
    ] {
        let line = format!(r#"{{"id":1,"result":[{subscriptions},"08000002",4],"error":null}}"#);
        assert_eq!(answer(&line), expected);
    }
    let line = r#"{"id":1,"result":[[],"08000002",33],"error":null}"#;
    assert!(ServerLine::parse(line.as_bytes()).is_err());
}

#[test]
fn errors_come_in_four_shapes() {
    let refused = |code, text: &'static str| Answer::Refused(Refusal::with_message(code, text));
    assert_eq!(
        answer(r#"{"id":4,"result":null,"error":[21,"Job not found",null]}"#),
        refused(ErrorCode::JOB_NOT_FOUND, "Job not found")
    );
    assert_eq!(
        answer(r#"{"id":4,"result":null,"error":{"code":23,"message":"Low difficulty share"}}"#),
        refused(ErrorCode::LOW_DIFFICULTY, "Low difficulty share")
    );
    assert_eq!(
        answer(r#"{"id":4,"result":false,"error":null,"reject-reason":"Stale"}"#),
        refused(ErrorCode::OTHER, "Stale")
    );
    assert_eq!(
        answer(r#"{"id":4,"error":"unknown worker"}"#),
        refused(ErrorCode::OTHER, "unknown worker")
    );
    assert_eq!(
        answer(r#"{"id":4,"result":null,"error":null}"#),
        Answer::Nothing
    );
    assert_eq!(answer(r#"{"id":4,"result":true}"#), Answer::Bool(true));
}

/// The numbers are the field's; the texts are ckpool's (libckpool.h), which AxeOS explains to its
/// owners.
#[test]
fn refusals_are_in_ckpool_s_words() {
    let codes = [
        (ErrorCode::OTHER, 20, "Other"),
        (ErrorCode::JOB_NOT_FOUND, 21, "Invalid JobID"),
        (ErrorCode::DUPLICATE, 22, "Duplicate"),
        (ErrorCode::LOW_DIFFICULTY, 23, "Above target"),
        (ErrorCode::UNAUTHORIZED, 24, "Unauthorized worker"),
        (ErrorCode::NOT_SUBSCRIBED, 25, "Not subscribed"),
    ];
    for (code, number, text) in codes {
        let reply = replied(Id::number(1), Answer::Refused(Refusal::new(code)));
        let expected = format!("\"error\":[{number},\"{text}\",null]");
        assert!(reply.contains(&expected), "{reply}");
    }
}

/// Block 100,000 of the main chain builds on the block with this hash; the header holds it reversed,
/// and `mining.notify` reverses the bytes of each word of that.
#[test]
fn notify_swaps_the_words_of_the_previous_hash() {
    let mut prev_hash = [0; 32];
    let shown = "000000000002d01c1fccc21636b607dfd930d31d01c3a62104612a1719011250";
    for (byte, pair) in prev_hash.iter_mut().rev().zip(shown.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    }
    let notify = Notification::Notify(Notify {
        job_id: "5c04".into(),
        prev_hash,
        coinbase1: vec![0x01, 0x00, 0x00, 0x00].into(),
        coinbase2: vec![0xff].into(),
        merkle_branch: vec![[0x11; 32], [0xab; 32]].into(),
        version: 0x2000_0000,
        bits: 0x1b04_864c,
        ntime: 0x4d1b_2237,
        clean_jobs: true,
    });
    let line = format!(
        "{{\"id\":null,\"method\":\"mining.notify\",\"params\":[\"5c04\",\
         \"1901125004612a1701c3a621d930d31d36b607df1fccc2160002d01c00000000\",\
         \"01000000\",\"ff\",[\"{}\",\"{}\"],\"20000000\",\"1b04864c\",\"4d1b2237\",true]}}\n",
        "11".repeat(32),
        "ab".repeat(32)
    );
    assert_eq!(encoded(&notify), line);
    assert_eq!(notification(&line), notify);
}

#[test]
fn the_smaller_notifications() {
    let difficulty = |number| Notification::SetDifficulty(Difficulty::new(number).unwrap());
    let cases = [
        (
            difficulty(1024.0),
            "\"mining.set_difficulty\",\"params\":[1024]",
        ),
        (
            difficulty(0.0001),
            "\"mining.set_difficulty\",\"params\":[0.0001]",
        ),
        (
            Notification::SetVersionMask(0x1fff_e000),
            "\"mining.set_version_mask\",\"params\":[\"1fffe000\"]",
        ),
        (
            Notification::SetExtranonce {
                extranonce1: Extranonce::new(&[0, 1, 2, 3]).unwrap(),
                extranonce2_size: 8,
            },
            "\"mining.set_extranonce\",\"params\":[\"00010203\",8]",
        ),
        (
            Notification::ShowMessage("a \"b\"\n".into()),
            "\"client.show_message\",\"params\":[\"a \\\"b\\\"\\n\"]",
        ),
        (
            Notification::Reconnect(Reconnect::default()),
            "\"client.reconnect\",\"params\":[]",
        ),
        (
            Notification::Reconnect(Reconnect {
                host: Some("pool.example".into()),
                port: Some(3333),
                wait: 5,
            }),
            "\"client.reconnect\",\"params\":[\"pool.example\",3333,5]",
        ),
        (
            Notification::Reconnect(Reconnect {
                port: Some(3334),
                ..Reconnect::default()
            }),
            "\"client.reconnect\",\"params\":[null,3334,0]",
        ),
    ];
    for (notification, rest) in cases {
        let expected = format!("{{\"id\":null,\"method\":{rest}}}\n");
        assert_eq!(encoded(&notification), expected);
    }
}

#[test]
fn a_question_from_a_server_keeps_its_id() {
    let line = br#"{"id":77,"method":"client.get_version","params":[]}"#;
    assert_eq!(
        ServerLine::parse(line),
        Ok(ServerLine::Notification {
            id: Id::number(77),
            notification: Notification::GetVersion
        })
    );
    let line = r#"{"id":null,"method":"client.reconnect","params":["pool.example","3334",0]}"#;
    assert_eq!(
        notification(line),
        Notification::Reconnect(Reconnect {
            host: Some("pool.example".into()),
            port: Some(3334),
            wait: 0
        })
    );
}

/// What a pool leaves out stays as it was, and takes nothing else with it.
#[test]
fn a_reconnect_may_name_the_host_or_the_port_alone() {
    let host = || Some("pool.example".into());
    for (params, host, port, wait) in [
        ("[]", None, None, 0),
        (r#"["",3334]"#, None, Some(3334), 0),
        (r#"[null,"3334",5]"#, None, Some(3334), 5),
        (r#"["pool.example"]"#, host(), None, 0),
        (r#"["pool.example",null,5]"#, host(), None, 5),
    ] {
        let line = format!(r#"{{"id":null,"method":"client.reconnect","params":{params}}}"#);
        let demand = Reconnect { host, port, wait };
        assert_eq!(notification(&line), Notification::Reconnect(demand));
    }
}
