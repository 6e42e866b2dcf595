//! What is copied, what is left out, and what it costs while nobody listens.

use std::time::Duration;

use headframe_sv2_wire::mining::{OpenStandardMiningChannel, SetTarget};
use headframe_sv2_wire::{Str255, U256, write_frame};
use headframe_work::{Network, UnixTime};
use serde_json::Value;

use super::tap::MAX_SETUP;
use super::*;

const USER: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080.rig";

fn tap(tracer: &Arc<Tracer>, connection: u64) -> Tap {
    Tap::new(Arc::clone(tracer), connection, Protocol::Sv1)
}

fn transcript(tracer: &Arc<Tracer>, user: &str) -> Transcript {
    let trace = tracer.trace(user).unwrap();
    let began = (Instant::now(), UnixTime::from_secs(1_735_689_599));
    Transcript::new(trace, Network::Regtest, began)
}

/// The lines that are there, without those that are no messages or events.
async fn lines(transcript: &mut Transcript) -> Vec<Value> {
    let mut text = String::new();
    while let Ok(more) = tokio::time::timeout(Duration::ZERO, transcript.next()).await {
        text += &more;
    }
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What was said, as text.
fn said(lines: &[Value]) -> Vec<&str> {
    let text = |line: &'_ Value| line["line"].is_string();
    let lines = lines.iter().filter(|line| text(line));
    lines.map(|line| line["line"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_worker_that_is_there_is_heard_from_the_next_message_on() {
    let tracer = Arc::default();
    let (mut ours, mut other) = (tap(&tracer, 1), tap(&tracer, 2));
    ours.note(Speaker::Client, b"[0]");
    assert!(!ours.is_outdated());
    let mut transcript = transcript(&tracer, USER);
    for (tap, user) in [(&mut ours, USER), (&mut other, "bob")] {
        assert!(tap.is_outdated());
        tap.look(|| vec!["alice", user]);
        assert!(!tap.is_outdated());
        tap.note(Speaker::Client, b"[1]");
        tap.note(Speaker::Pool, b"[2]\n[3]\n");
    }
    let heard = lines(&mut transcript).await;
    assert_eq!(said(&heard), ["[1]", "[2]", "[3]"]);
    assert_eq!(heard[0]["protocol"], "sv1");
    assert_eq!(heard[0]["began"], "2024-12-31T23:59:59Z");
    let worker = heard[0]["worker"].as_str().unwrap();
    assert!(worker.ends_with(".rig") && worker != USER);
    assert_eq!(
        (&heard[1]["from"], &heard[2]["from"]),
        (&"client".into(), &"pool".into())
    );
    // When it is over nothing is copied any more.
    drop(transcript);
    assert!(ours.is_outdated());
    ours.look(|| vec![USER]);
    ours.note(Speaker::Client, b"[4]");
    assert_eq!(tracer.running().1.len(), 0);
}

#[tokio::test]
async fn a_worker_that_comes_is_heard_from_its_first_word() {
    let tracer = Arc::default();
    let mut transcript = transcript(&tracer, USER);
    let mut tap = tap(&tracer, 1);
    tap.note(Speaker::Client, b"[1]");
    tap.note(Speaker::Pool, b"[2]\n");
    assert_eq!(lines(&mut transcript).await, Vec::<Value>::new());
    tap.handle_user("bob");
    tap.note(Speaker::Client, b"[3]");
    tap.handle_user(USER);
    // A second worker of the same name changes nothing.
    tap.handle_user(USER);
    tap.note(Speaker::Client, b"[4]");
    let heard = lines(&mut transcript).await;
    assert_eq!(said(&heard), ["[1]", "[2]", "[3]", "[4]"]);
}

#[tokio::test]
async fn connections_are_told_apart_and_one_that_comes_back_goes_on() {
    let tracer = Arc::default();
    let mut transcript = transcript(&tracer, USER);
    let (mut first, mut second) = (tap(&tracer, 7), tap(&tracer, 8));
    for tap in [&mut first, &mut second] {
        tap.handle_user(USER);
        tap.note(Speaker::Client, b"[1]");
    }
    first.end(Speaker::Client);
    second.end(Speaker::Pool);
    let mut third = tap(&tracer, 9);
    third.note(Speaker::Client, b"[2]");
    third.handle_user(USER);
    let heard = lines(&mut transcript).await;
    let shown: Vec<_> = heard[1..]
        .iter()
        .map(|line| (line["connection"].as_u64(), line["event"].as_str()))
        .collect();
    let expected = [
        (None, None),
        (Some(2), None),
        (None, Some("disconnect")),
        (Some(2), Some("closed")),
        (None, Some("reconnect")),
        (None, None),
    ];
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn what_does_not_fit_is_left_out_and_counted() {
    let tracer = Arc::default();
    let mut transcript = transcript(&tracer, USER);
    let mut tap = tap(&tracer, 1);
    tap.look(|| vec![USER]);
    let big = vec![b' '; QUEUE_BYTES / 4];
    for _ in 0..6 {
        tap.note(Speaker::Client, &big);
    }
    let first = transcript.next().await;
    assert!(first.contains("# 2 messages were left out"), "{first}");
    for _ in 0..2 * QUEUE {
        tap.note(Speaker::Client, b"[]");
    }
    let text = transcript.next().await;
    assert!(text.contains("messages were left out"), "{text}");
    let heard = lines(&mut transcript).await;
    assert!((QUEUE - 8..QUEUE).contains(&heard.len()), "{}", heard.len());
    assert_eq!(
        transcript.end("over"),
        format!("# over: {} messages\n", heard.len() + 2)
    );
}

#[tokio::test]
async fn a_long_beginning_is_not_kept() {
    let tracer = Arc::default();
    let mut transcript = transcript(&tracer, USER);
    let mut tap = tap(&tracer, 1);
    for _ in 0..MAX_SETUP + 5 {
        tap.note(Speaker::Client, b"[]");
    }
    tap.handle_user(USER);
    let first = transcript.next().await;
    assert!(first.contains("# 5 messages were left out"), "{first}");
    assert_eq!(lines(&mut transcript).await.len(), MAX_SETUP - 1);
}

#[tokio::test]
async fn messages_of_stratum_v2_are_told_by_their_names_and_fields() {
    let tracer = Arc::default();
    let mut transcript = transcript(&tracer, USER);
    let mut tap = Tap::new(Arc::clone(&tracer), 1, Protocol::Sv2);
    tap.look(|| vec![USER]);
    let mut open = Vec::new();
    let message = OpenStandardMiningChannel {
        request_id: 9,
        user_identity: Str255::new(USER).unwrap(),
        nominal_hash_rate: 1e12,
        max_target: U256::MAX,
    };
    write_frame(&message, &mut open);
    let mut target = Vec::new();
    let message = SetTarget {
        channel_id: 3,
        maximum_target: U256::MAX,
    };
    write_frame(&message, &mut target);
    tap.note(Speaker::Client, &open);
    tap.note(Speaker::Pool, &target);
    tap.note(Speaker::Client, &[7, 0, 0x7f, 0, 0, 0]);
    let heard = lines(&mut transcript).await;
    assert_eq!(heard[0]["protocol"], "sv2");
    assert_eq!(heard[1]["message"], "OpenStandardMiningChannel");
    assert_eq!(heard[1]["fields"]["user_identity"], heard[0]["worker"]);
    assert_eq!(heard[1]["fields"]["nominal_hash_rate"], 1e12);
    assert!(!heard[1].to_string().contains("w508d6qejxtdg"));
    assert_eq!(heard[2]["fields"]["channel_id"], 3);
    assert_eq!(heard[2]["fields"]["maximum_target"], "ff".repeat(32));
    let mut hex = String::new();
    target.iter().for_each(|byte| hex += &format!("{byte:02x}"));
    assert_eq!(heard[2]["frame"], hex);
    assert_eq!(heard[3]["message"], "unknown");
    assert_eq!(heard[3]["frame"], "07007f000000");
    assert_eq!(heard[3].get("fields"), None);
}

#[test]
fn few_traces_run_at_a_time() {
    let tracer: Arc<Tracer> = Arc::default();
    let mut traces: Vec<_> = (0..MAX_TRACES)
        .map(|_| tracer.trace("a").unwrap())
        .collect();
    assert!(tracer.trace("b").is_none());
    traces.pop();
    assert!(tracer.trace("b").is_some());
}

#[tokio::test]
async fn a_trace_wants_nothing_of_what_was_before_it() {
    let tracer = Arc::default();
    let first = tracer_of(&tracer, "bob");
    let mut tap = tap(&tracer, 1);
    tap.note(Speaker::Client, b"[1]");
    tap.handle_user(USER);
    let mut transcript = transcript(&tracer, USER);
    tap.look(|| vec![USER]);
    tap.note(Speaker::Client, b"[2]");
    assert_eq!(said(&lines(&mut transcript).await), ["[2]"]);
    drop(first);
}

#[test]
fn what_has_ended_is_let_go_of() {
    let tracer = Arc::default();
    let (ours, _other) = (tracer_of(&tracer, USER), tracer_of(&tracer, "bob"));
    let mut tap = tap(&tracer, 1);
    tap.handle_user(USER);
    let probe = Arc::downgrade(&ours.probe);
    drop(ours);
    assert!(probe.upgrade().is_some());
    tap.look(|| vec![USER]);
    assert!(probe.upgrade().is_none());
}

fn tracer_of(tracer: &Arc<Tracer>, user: &str) -> Trace {
    tracer.trace(user).unwrap()
}
