//! What one end writes the other reads as the same, for every message.

use headframe_sv1_wire::{
    Answer, Authorize, Configure, Configured, Difficulty, ErrorCode, Extranonce, Id, Method,
    Notification, Notify, Reconnect, Refusal, Reply, Request, ServerLine, Submit, Subscribe,
    Subscribed, VersionRolling, VersionRollingAnswer, fuzz_against_serde_json, fuzz_notification,
    fuzz_request,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// Any text of up to `max` characters, at most four bytes each.
fn text(max: usize) -> impl Strategy<Value = String> {
    vec(any::<char>(), 1..=max).prop_map(String::from_iter)
}

fn id() -> impl Strategy<Value = Id<'static>> {
    prop_oneof![Just(Id::NULL), any::<u64>().prop_map(Id::number)]
}

fn difficulty() -> impl Strategy<Value = Difficulty> {
    prop_oneof![
        (1u64..1 << 53).prop_map(|whole| whole as f64),
        prop::num::f64::POSITIVE,
    ]
    .prop_filter_map("finite and above zero", Difficulty::new)
}

fn extranonce() -> impl Strategy<Value = Extranonce> {
    vec(any::<u8>(), 0..=32).prop_filter_map("at most 32 bytes", |bytes| Extranonce::new(&bytes))
}

/// A name that is neither a known extension nor a parameter of one.
fn extension() -> impl Strategy<Value = String> {
    "x-[a-z]{1,20}"
}

fn configure() -> impl Strategy<Value = Configure<'static>> {
    (
        prop::option::of((any::<u32>(), any::<u32>())),
        [
            prop::option::of(difficulty()),
            prop::option::of(difficulty()),
        ],
        any::<bool>(),
        vec(extension(), 0..5),
    )
        .prop_map(
            |(rolling, [minimum_difficulty, suggest_difficulty], extranonce, unknown)| Configure {
                version_rolling: rolling.map(|(mask, min_bit_count)| VersionRolling {
                    mask,
                    min_bit_count,
                }),
                minimum_difficulty,
                suggest_difficulty,
                subscribe_extranonce: extranonce,
                unknown: unknown.into_iter().map(Into::into).collect(),
            },
        )
}

fn submit() -> impl Strategy<Value = Submit<'static>> {
    (
        text(63),
        text(16),
        extranonce(),
        any::<u32>(),
        any::<u32>(),
        any::<Option<u32>>(),
    )
        .prop_map(
            |(worker, job_id, extranonce2, ntime, nonce, version_bits)| Submit {
                worker: worker.into(),
                job_id: job_id.into(),
                extranonce2,
                ntime,
                nonce,
                version_bits,
            },
        )
}

fn method() -> impl Strategy<Value = Method<'static>> {
    prop_oneof![
        (text(32), prop::option::of(text(32))).prop_map(|(user_agent, session_id)| {
            Method::Subscribe(Subscribe {
                user_agent: user_agent.into(),
                session_id: session_id.map(Into::into),
            })
        }),
        (text(63), text(63)).prop_map(|(worker, password)| {
            Method::Authorize(Authorize {
                worker: worker.into(),
                password: password.into(),
            })
        }),
        configure().prop_map(Method::Configure),
        submit().prop_map(Method::Submit),
        difficulty().prop_map(Method::SuggestDifficulty),
        any::<[u8; 32]>().prop_map(Method::SuggestTarget),
        Just(Method::ExtranonceSubscribe),
        Just(Method::Ping),
        Just(Method::GetVersion),
        prop::option::of(text(16)).prop_map(|job_id| Method::GetTransactions {
            job_id: job_id.map(Into::into)
        }),
        any::<Option<[u8; 32]>>()
            .prop_map(|suggested_target| Method::Capabilities { suggested_target }),
        Just(Method::Echo {
            name: "mining.set_difficulty".into()
        }),
        text(16).prop_map(|name| Method::Unknown { name: name.into() }),
    ]
}

fn configured() -> impl Strategy<Value = Configured<'static>> {
    let rolling = prop_oneof![
        Just(None),
        Just(Some(VersionRollingAnswer::Refused)),
        any::<u32>().prop_map(|mask| Some(VersionRollingAnswer::Granted { mask })),
    ];
    let others = vec((extension().prop_map(Into::into), any::<bool>()), 0..5);
    (rolling, others).prop_map(|(version_rolling, others)| Configured {
        version_rolling,
        others,
    })
}

fn answer() -> impl Strategy<Value = Answer<'static>> {
    let code = prop::sample::select(vec![
        ErrorCode::OTHER,
        ErrorCode::DUPLICATE,
        ErrorCode::METHOD_NOT_FOUND,
    ]);
    prop_oneof![
        any::<bool>().prop_map(Answer::Bool),
        (text(32), extranonce(), 0u8..=32).prop_map(|(session_id, extranonce1, size)| {
            Answer::Subscribed(Subscribed {
                session_id: session_id.into(),
                extranonce1,
                extranonce2_size: size,
            })
        }),
        configured().prop_map(Answer::Configured),
        text(63).prop_map(|text| Answer::Text(text.into())),
        any::<i64>().prop_map(Answer::Number),
        (code, text(63))
            .prop_map(|(code, text)| Answer::Refused(Refusal::with_message(code, text))),
        Just(Answer::Nothing),
    ]
}

fn notify() -> impl Strategy<Value = Notify<'static>> {
    (
        text(16),
        any::<[u8; 32]>(),
        vec(any::<u8>(), 0..200),
        vec(any::<u8>(), 0..200),
        vec(any::<[u8; 32]>(), 0..=32),
        any::<[u32; 3]>(),
        any::<bool>(),
    )
        .prop_map(
            |(
                job_id,
                prev_hash,
                coinbase1,
                coinbase2,
                branch,
                [version, bits, ntime],
                clean_jobs,
            )| {
                Notify {
                    job_id: job_id.into(),
                    prev_hash,
                    coinbase1: coinbase1.into(),
                    coinbase2: coinbase2.into(),
                    merkle_branch: branch.into(),
                    version,
                    bits,
                    ntime,
                    clean_jobs,
                }
            },
        )
}

fn notification() -> impl Strategy<Value = Notification<'static>> {
    let host =
        prop::option::of(text(63).prop_filter("an empty host is none", |host| !host.is_empty()));
    let port = prop::option::of(any::<u16>());
    prop_oneof![
        notify().prop_map(Notification::Notify),
        difficulty().prop_map(Notification::SetDifficulty),
        (extranonce(), 0u8..=32).prop_map(|(extranonce1, extranonce2_size)| {
            Notification::SetExtranonce {
                extranonce1,
                extranonce2_size,
            }
        }),
        any::<u32>().prop_map(Notification::SetVersionMask),
        text(256).prop_map(|text| Notification::ShowMessage(text.into())),
        (host, port, any::<u32>()).prop_map(|(host, port, wait)| {
            Notification::Reconnect(Reconnect {
                host: host.map(Into::into),
                port,
                wait,
            })
        }),
        Just(Notification::Ping),
        Just(Notification::GetVersion),
        text(16).prop_map(|name| Notification::Unknown { name: name.into() }),
    ]
}

/// Parameters in every form that firmware has for them, and in others.
fn odd_params() -> impl Strategy<Value = String> {
    let hex = "(0x|0X|)[0-9a-fA-F]{0,10}";
    let text = prop_oneof![hex, "[0-9.eE+-]{0,8}", "[ a-z.]{0,5}", "[0-9a-f]{60,70}"];
    let item = prop_oneof![
        6 => text.prop_map(|text| format!("{text:?}")),
        2 => any::<i64>().prop_map(|number| number.to_string()),
        1 => any::<u64>().prop_map(|number| number.to_string()),
        2 => difficulty().prop_map(|number| number.to_string()),
        2 => Just("null".to_owned()),
        1 => prop::sample::select(vec!["[]", "{}", "true", "\" 0x1 \"", "1e999", "-0", "\"\\u0031\""])
            .prop_map(str::to_owned),
    ];
    prop_oneof![
        8 => vec(item.clone(), 0..8).prop_map(|items| format!("[{}]", items.join(","))),
        1 => item,
    ]
}

/// The parameters of a share, in which perhaps one is odd.
fn share_params() -> impl Strategy<Value = String> {
    let number = || "\"(0x|)[0-9a-fA-F]{1,8}\"";
    let bits = prop_oneof![number(), Just("\"\"".to_owned()), Just("null".to_owned())];
    let share = (
        "\"[a-z.]{1,9}\"",
        number(),
        "\"([0-9a-f]{2}){0,9}\"",
        number(),
        number(),
        bits,
    );
    (share, 5usize..=6, 0usize..12, odd_params()).prop_map(|(share, len, odd_at, odd)| {
        let mut items = [share.0, share.1, share.2, share.3, share.4, share.5];
        if let Some(item) = items.get_mut(odd_at) {
            *item = odd;
        }
        format!("[{}]", items[..len].join(","))
    })
}

/// Lines as odd firmware writes them.
fn odd_line() -> impl Strategy<Value = String> {
    let before = prop::sample::select(vec!["", "\u{feff}", " ", "\u{feff}\t ", "\u{feff}\u{feff}"]);
    let id = prop::sample::select(vec!["1", "\"a\"", "null", "[]", "-1.5", "1e999", "true"]);
    let other = prop::sample::select(vec![
        "mining.submit",
        "mining.authorize",
        "mining.auth",
        "mining.subscribe",
        "mining.suggest_difficulty",
        "mining.suggest_target",
        "mining.configure",
        "mining.capabilities",
        "mining.get_transactions",
        "mining.set_difficulty",
        "mining.nobody_knows",
    ]);
    let after = prop::sample::select(vec!["", "\r", "}", "\0\0", " {\"id\":2}", "garbage"]);
    let more = prop::sample::select(vec![
        "",
        ",\"id\":2",
        ",\"jsonrpc\":\"2.0\"",
        ",\"x\":1e999",
    ]);
    let call = prop_oneof![
        (Just("mining.submit"), share_params()),
        (other, odd_params()),
    ];
    (before, id, call, more, after).prop_map(|(before, id, (method, params), more, after)| {
        format!("{before}{{\"id\":{id},\"method\":\"{method}\",\"params\":{params}{more}}}{after}")
    })
}

proptest! {
    /// The parser against another reading of the same line.
    #[test]
    fn both_readings_agree(line in odd_line(), cut in any::<prop::sample::Index>(), is_cut in 0..8) {
        fuzz_against_serde_json(line.as_bytes());
        fuzz_request(line.as_bytes());
        if is_cut == 0 {
            fuzz_against_serde_json(&line.as_bytes()[..cut.index(line.len() + 1)]);
        }
    }

    #[test]
    fn a_server_reads_what_a_client_writes(id in id(), method in method()) {
        let request = Request { id, method };
        let mut line = Vec::new();
        request.encode(&mut line);
        prop_assert_eq!(Request::parse(&line), Ok(request));
    }

    #[test]
    fn a_client_reads_what_a_server_answers(id in id(), answer in answer()) {
        let reply = Reply { id, answer };
        let mut line = Vec::new();
        reply.encode(&mut line);
        prop_assert_eq!(ServerLine::parse(&line), Ok(ServerLine::Reply(reply)));
    }

    #[test]
    fn a_client_reads_what_a_server_tells(id in id(), notification in notification()) {
        let told = ServerLine::Notification { id, notification };
        let mut line = Vec::new();
        told.encode(&mut line);
        prop_assert_eq!(ServerLine::parse(&line), Ok(told));
    }

    /// A line cut or altered anywhere is refused or means something else, and never a panic.
    #[test]
    fn damaged_lines_do_no_harm(
        method in method(),
        notification in notification(),
        cut in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let damage = |line: &mut Vec<u8>| {
            let at = at.index(line.len());
            line[at] = byte;
            line.truncate(cut.index(line.len() + 1));
        };
        let mut line = Vec::new();
        Request { id: Id::number(1), method }.encode(&mut line);
        damage(&mut line);
        fuzz_request(&line);
        line.clear();
        notification.encode(&mut line);
        damage(&mut line);
        fuzz_notification(&line);
    }
}
