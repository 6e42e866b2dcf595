//! What one end writes the other reads as the same, for every message.

use headframe_sv1_wire::{
    Answer, Authorize, Configure, Configured, Difficulty, ErrorCode, Extranonce, Id, Method,
    Notification, Notify, Reconnect, Refusal, Reply, Request, ServerLine, Submit, Subscribe,
    Subscribed, VersionRolling, VersionRollingAnswer, fuzz_notification, fuzz_request,
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

proptest! {
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
