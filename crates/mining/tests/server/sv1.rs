//! Stratum V1 sessions with the devices that there are.

use std::sync::Arc;
use std::time::Duration;

use headframe_mining::server::Password;
use headframe_testkit::{Pool, address};

use crate::{MILLISECOND, pool};

fn connect(pool: &mut Pool, lines: &[&str]) -> usize {
    let link = pool.connect_sv1();
    for line in lines {
        let line = line.replace("USER", &address(1).to_string());
        pool.sv1[link].miner.send(&line);
    }
    pool.pump();
    link
}

const SUBSCRIBE: &str = r#"{"id":1,"method":"mining.subscribe","params":["x"]}"#;
const AUTHORIZE: &str = r#"{"id":2,"method":"mining.authorize","params":["USER","x"]}"#;

/// A Bitaxe: three requests at once, and a suggestion, without waiting for answers (esp-miner 5.13).
#[test]
fn a_bitaxe_pipelines_its_requests() {
    let mut pool = pool();
    let link = connect(
        &mut pool,
        &[
            r#"{"id": 1, "method": "mining.configure", "params": [["version-rolling"], {"version-rolling.mask": "ffffffff"}]}"#,
            r#"{"id": 2, "method": "mining.subscribe", "params": ["bitaxe/BM1370/v2.15.0"]}"#,
            r#"{"id": 3, "method": "mining.authorize", "params": ["USER.bitaxe", "x"]}"#,
            r#"{"id": 4, "method": "mining.suggest_difficulty", "params": [1000]}"#,
            r#"{"id": 5, "method": "mining.extranonce.subscribe", "params": []}"#,
        ],
    );
    let miner = &pool.sv1[link].miner;
    assert_eq!(
        miner.transcript,
        [
            "reply 1",
            "reply 2",
            "reply 3",
            "reply 4",
            "reply 5",
            "mining.set_difficulty",
            "mining.notify"
        ]
    );
    assert_eq!(miner.version_mask, Some(0x1fff_e000));
    assert_eq!((miner.extranonce1.len(), miner.extranonce2_size), (4, 8));
}

/// cgminer: no `mining.configure`, no suggestion; its first work is held for 50 ms (R-22).
#[test]
fn the_first_work_waits_for_a_suggestion() {
    let mut pool = pool();
    let link = connect(
        &mut pool,
        &[
            r#"{"id": 0, "method": "mining.subscribe", "params": ["cgminer/4.12.1"]}"#,
            r#"{"id": 1, "method": "mining.authorize", "params": ["USER.1", "123"]}"#,
        ],
    );
    pool.advance(49 * MILLISECOND);
    assert_eq!(pool.sv1[link].miner.transcript, ["reply 0", "reply 1"]);
    pool.advance(MILLISECOND);
    let work = ["mining.set_difficulty", "mining.notify"];
    assert_eq!(pool.sv1[link].miner.transcript[2..], work);
}

/// D3: a machine tunes its chips for the better part of an hour before its first share, and one whose pool
/// drops it meanwhile begins again. Who is authorized is kept, however quiet, and has work that was eased for it.
#[test]
fn an_asic_that_tunes_for_two_hours_is_kept_and_has_work() {
    let mut pool = pool();
    let link = connect(&mut pool, &[SUBSCRIBE, AUTHORIZE]);
    for _ in 0..120 {
        pool.advance(Duration::from_secs(60));
    }
    assert_eq!(pool.sv1[link].fault, None);
    let before = pool.sv1[link].miner.job().prev_hash;
    pool.new_tip();
    let connection = &pool.sv1[link];
    assert_eq!(connection.fault, None);
    assert_ne!(
        connection.miner.job().prev_hash,
        before,
        "it is served as ever"
    );
}

/// A message goes to who is known to bear one, and to nobody else.
#[test]
fn a_notice_goes_to_devices_that_can_show_it() {
    for (device, is_shown) in [("cgminer/4.12.1", true), ("NerdMinerV2", false)] {
        let mut pool = pool();
        let link = connect(
            &mut pool,
            &[&SUBSCRIBE.replace("\"x\"", &format!("{device:?}"))],
        );
        pool.sv1[link].session.handle_notice("the node is away");
        pool.pump();
        let shown = |line: &String| line == "client.show_message";
        let transcript = &pool.sv1[link].miner.transcript;
        assert_eq!(transcript.iter().any(shown), is_shown, "{device}");
    }
}

/// A listener's password is asked of Stratum V1 clients; options may stand beside it.
#[test]
fn a_listener_s_password_has_to_be_said() {
    let mut pool = pool();
    for (password, said, is_right) in [
        ("let-me-in", "let-me-in", true),
        ("let-me-in", "let-me-in,d=1024", true),
        ("let-me-in", "let-me-in;fd=1024", true),
        ("let-me-in", "let-me-in d=1024", true),
        ("let-me-in", "d=1024|let-me-in", true),
        ("let-me-in", "let-me-in%2Cd%3D1024", true),
        ("let;me+in", "let%3Bme%2Bin", true),
        ("let%2Bin", "let%2Bin,d=1024", true),
        ("let+in", "let%252Bin", false),
        ("let-me-in", "x", false),
        ("let-me-in", "", false),
        ("let-me-in", "let-me", false),
        ("let-me-in", "let-me-in!", false),
        ("let-me-in", "LET-ME-IN", false),
        ("let;me;in", "let;me;in,d=1024", true),
        ("let;me;in", "let", false),
    ] {
        Arc::make_mut(&mut pool.rules).password = Some(Password::new(password));
        let link = connect(
            &mut pool,
            &[SUBSCRIBE, &AUTHORIZE.replace("\"x\"", &format!("{said:?}"))],
        );
        pool.advance(50 * MILLISECOND);
        let miner = &pool.sv1[link].miner;
        let has_work = miner.transcript.iter().any(|line| line == "mining.notify");
        assert_eq!(has_work, is_right, "{said:?}");
        if !is_right {
            let told = miner.replies["2"].clone().expect("a refusal");
            let expected = (24, "this port needs another password".to_owned());
            assert_eq!(told, expected, "{said:?}");
        }
    }
}

/// R-22, R-21: a suggestion before or after the authorization ends the wait, and is the first
/// difficulty, within the bounds; the same again is a keep-alive.
#[test]
fn a_suggestion_is_the_first_difficulty() {
    let suggest = r#"{"id":3,"method":"mining.suggest_difficulty","params":[0.000001]}"#;
    for lines in [
        [suggest, SUBSCRIBE, AUTHORIZE],
        [SUBSCRIBE, suggest, AUTHORIZE],
        [SUBSCRIBE, AUTHORIZE, suggest],
    ] {
        let mut pool = pool();
        let link = connect(&mut pool, &lines);
        let miner = &mut pool.sv1[link].miner;
        assert_eq!(miner.jobs.len(), 1);
        assert_eq!(
            miner.difficulty,
            Some(2f64.powi(-20)),
            "the rung below a millionth"
        );
        miner.send(suggest);
        pool.advance(2_000 * MILLISECOND);
        assert_eq!(pool.sv1[link].miner.jobs.len(), 1);
    }
}

/// A suggestion in the midst of work comes into force with a job (MP-124).
#[test]
fn a_later_suggestion_comes_with_a_job() {
    let mut pool = pool();
    let link = connect(&mut pool, &[SUBSCRIBE, AUTHORIZE]);
    pool.advance(50 * MILLISECOND);
    pool.sv1[link]
        .miner
        .send(r#"{"id":9,"method":"mining.suggest_difficulty","params":[0.000001]}"#);
    pool.pump();
    let last = &pool.sv1[link].miner.transcript[5..];
    assert_eq!(last, ["mining.set_difficulty", "mining.notify"]);
}

/// bfgminer: ids are strings, and a request with a null id wants no answer to be waited for.
#[test]
fn bfgminer_s_string_ids_are_echoed() {
    let mut pool = pool();
    let link = connect(
        &mut pool,
        &[
            r#"{"id": "sub", "method": "mining.subscribe", "params": ["bfgminer/5.5.0"]}"#,
            r#"{"id": "xnsub", "method": "mining.extranonce.subscribe", "params": []}"#,
            r#"{"id": "auth", "method": "mining.authorize", "params": ["USER", "x"]}"#,
            r#"{"id": null, "method": "mining.suggest_target", "params": ["00000000ffff0000000000000000000000000000000000000000000000000000"]}"#,
            r#"{"id": null, "method": "mining.unheard_of", "params": []}"#,
        ],
    );
    let miner = &pool.sv1[link].miner;
    assert_eq!(
        miner.transcript[..3],
        ["reply sub", "reply xnsub", "reply auth"]
    );
    assert!(miner.is_granted("auth"));
    assert_eq!(miner.jobs.len(), 1);
}

/// goPool: authorize before subscribe is accepted; work is sent only when both are done. The
/// scripted miner panics at a job before the subscribe's result.
#[test]
fn authorize_may_come_first() {
    let mut pool = pool();
    let link = connect(&mut pool, &[AUTHORIZE]);
    pool.advance(Duration::from_secs(30));
    pool.new_tip();
    assert_eq!(pool.sv1[link].miner.transcript, ["reply 2"]);
    pool.sv1[link].miner.send(SUBSCRIBE);
    pool.advance(50 * MILLISECOND);
    let expected = [
        "reply 2",
        "reply 1",
        "mining.set_difficulty",
        "mining.notify",
    ];
    assert_eq!(pool.sv1[link].miner.transcript, expected);
}

/// A client that subscribes again is told the same; one that is authorized again, yes.
#[test]
fn subscribing_again_changes_nothing() {
    let mut pool = pool();
    let link = connect(&mut pool, &[SUBSCRIBE, AUTHORIZE]);
    pool.advance(50 * MILLISECOND);
    let prefix = pool.sv1[link].miner.extranonce1.clone();
    for line in [SUBSCRIBE, AUTHORIZE] {
        pool.sv1[link]
            .miner
            .send(&line.replace("USER", &address(1).to_string()));
    }
    pool.advance(100 * MILLISECOND);
    let miner = &pool.sv1[link].miner;
    assert_eq!(miner.extranonce1, prefix);
    assert_eq!(miner.transcript[4..], ["reply 1", "reply 2"]);
}

/// BIP310: `mining.configure` after the first work narrows what may roll from then on.
#[test]
fn configure_may_come_late() {
    let mut pool = pool();
    let link = connect(&mut pool, &[SUBSCRIBE, AUTHORIZE]);
    pool.advance(50 * MILLISECOND);
    pool.sv1[link].miner.send(
        r#"{"id":7,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"00c00000"}]}"#,
    );
    pool.pump();
    assert_eq!(pool.sv1[link].miner.version_mask, Some(0x00c0_0000));
}

/// R-2: a share under a name that was not authorized is refused, in whatever case it is written;
/// before anything else it is asked to subscribe.
#[test]
fn a_share_needs_a_name_that_was_authorized() {
    let submit = |user: &str, id: u32| {
        format!(
            r#"{{"id":{id},"method":"mining.submit","params":["{user}","1","0000000000000000","00000000","00000000"]}}"#
        )
    };
    let user = address(1).to_string();
    let mut pool = pool();
    let link = connect(
        &mut pool,
        &[
            &submit("USER", 10),
            SUBSCRIBE,
            &submit("USER", 11),
            AUTHORIZE,
        ],
    );
    let others = [
        format!("{user}.b"),
        user.to_uppercase(),
        address(2).to_string(),
        user,
    ];
    for (id, other) in (12..).zip(others) {
        pool.sv1[link].miner.send(&submit(&other, id));
    }
    pool.pump();
    let refusals: Vec<_> = (10..=15)
        .map(|id| pool.sv1[link].miner.refusal(&id.to_string()))
        .collect();
    assert_eq!(refusals, [25, 24, 24, 24, 24, 21].map(Some));
}

/// R-3: a mistyped address is refused with what is wrong with it, and told to the operator.
#[test]
fn a_mistyped_address_is_refused_with_the_reason() {
    let mut pool = pool();
    let link = pool.connect_sv1();
    let mistyped = address(1).to_string().replace('q', "p");
    pool.sv1[link].miner.log_in(&mistyped);
    pool.pump();
    let (code, text) = pool.sv1[link].miner.replies["auth"].clone().unwrap();
    assert_eq!(code, 24);
    assert!(text.contains(&mistyped), "{text}");
}

/// A client that says nothing of use is sent away: after a minute, or ten lines that are no
/// Stratum. Blank lines are nothing.
#[test]
fn a_client_that_is_no_miner_is_sent_away() {
    let mut pool = pool();
    let silent = pool.connect_sv1();
    let nameless = connect(&mut pool, &[SUBSCRIBE]);
    let noisy = connect(&mut pool, &["", "\r", "GET / HTTP/1.1"]);
    assert_eq!(pool.sv1[noisy].fault, None);
    for _ in 0..9 {
        pool.sv1[noisy].miner.send("Host: pool");
    }
    pool.pump();
    assert!(pool.sv1[noisy].fault.is_some());
    pool.advance(Duration::from_secs(61));
    assert!(pool.sv1[silent].fault.is_some() && pool.sv1[nameless].fault.is_some());
    for client in [silent, nameless] {
        let told = pool.sv1[client].miner.replies["null"].clone();
        let told = told.expect("a refusal");
        assert_eq!(told, (20, "subscribe and authorize within 60 s".to_owned()));
    }
}

/// A new tip voids what the miner has; a new template does not.
#[test]
fn only_a_new_tip_cleans_jobs() {
    let mut pool = pool();
    let link = connect(&mut pool, &[SUBSCRIBE, AUTHORIZE]);
    pool.advance(50 * MILLISECOND);
    pool.new_template();
    pool.refresh();
    assert_eq!(pool.sv1[link].miner.jobs.len(), 3);
    pool.new_tip();
    assert_eq!(pool.sv1[link].miner.jobs.len(), 1);
}
