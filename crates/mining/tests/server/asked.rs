//! Difficulties that people ask for in passwords and user names, on Stratum V1.

use std::time::Duration;

use headframe_channels::DifficultySettings;
use headframe_mining::server::SessionEvent;
use headframe_testkit::{Chance, Pool, PoolSettings, address};
use headframe_work::Rung;
use serde_json::{Value, json};

use crate::{MILLISECOND, pool};

const START: f64 = 5.960_464_477_539_063e-8;

/// A client that is authorized under the name that USER stands in.
fn come(pool: &mut Pool, name: &str, password: &str) -> usize {
    let name = name.replace("USER", &address(1).to_string());
    let link = pool.connect_sv1();
    let miner = &mut pool.sv1[link].miner;
    miner.send(r#"{"id":"sub","method":"mining.subscribe","params":["x"]}"#);
    miner.send(&format!(
        r#"{{"id":"auth","method":"mining.authorize","params":["{name}","{password}"]}}"#
    ));
    pool.pump();
    link
}

fn suggest(pool: &mut Pool, link: usize, difficulty: f64) {
    pool.sv1[link].miner.send(&format!(
        r#"{{"id":"s","method":"mining.suggest_difficulty","params":[{difficulty}]}}"#
    ));
    pool.pump();
}

/// Whoever asks for a difficulty begins with it, and at once: there is nothing to wait for.
#[test]
fn a_difficulty_that_is_asked_for_is_the_first() {
    for (name, password) in [
        ("USER", "d=0.000001"),
        ("USER.rig", "x,diff=0.000001"),
        ("USER+0.000001", "x"),
        ("USER.rig#d=0.000001", ""),
        ("USER+0.5", "d=0.000001"),
        ("USER.rig%2B0.000001", "x"),
        ("USER%2erig%23d%3D0.000001", "x"),
        ("USER", "x%2Cd%3d0.000001"),
    ] {
        let mut pool = pool();
        let link = come(&mut pool, name, password);
        let miner = &pool.sv1[link].miner;
        assert_eq!(miner.jobs.len(), 1, "{name} {password}");
        assert_eq!(miner.difficulty, Some(2f64.powi(-20)), "{name} {password}");
    }
}

/// What the listener has as easiest and hardest holds for what is asked for.
#[test]
fn what_is_asked_for_is_kept_within_the_listener_s_bounds() {
    let [min, start, max] = [-26, -24, -22].map(Rung::from_exponent);
    for (password, expected) in [
        ("d=0.000000001", min),
        ("d=99999999999", max),
        ("d=0", start),
    ] {
        let mut pool = Pool::new(&PoolSettings {
            difficulty: DifficultySettings {
                start,
                min,
                max,
                ..DifficultySettings::default()
            },
            ..PoolSettings::default()
        });
        let link = come(&mut pool, "USER", password);
        pool.advance(50 * MILLISECOND);
        let given = pool.sv1[link].miner.difficulty;
        assert_eq!(given, Some(expected.difficulty().as_f64()), "{password}");
    }
}

/// The person's word is before the device's, which suggests what its firmware has, and again and again.
#[test]
fn what_a_person_asks_for_is_before_what_a_device_suggests() {
    let mut pool = pool();
    let link = come(&mut pool, "USER", "d=0.000001");
    suggest(&mut pool, link, START);
    suggest(&mut pool, link, 1.0);
    pool.advance(Duration::from_secs(2));
    let miner = &pool.sv1[link].miner;
    assert_eq!(miner.difficulty, Some(2f64.powi(-20)));
    assert_eq!(miner.jobs.len(), 1);
    assert!(miner.is_granted("s"));
}

/// It is a start: the shares that come make it another one, and being authorized again does not reset
/// that, nor does another worker's wish.
#[test]
fn it_is_a_start_that_is_not_reset() {
    let mut pool = pool();
    let link = come(&mut pool, "USER.a", "d=0.00000006");
    let user = format!("{}.a", address(1));
    for seed in 0..40 {
        let job = pool.sv1[link].miner.job().clone();
        let nonce = job.mine(&mut Chance::new(seed), job.target);
        pool.sv1[link].miner.submit(&user, &nonce);
        pool.advance(100 * MILLISECOND);
    }
    pool.advance(Duration::from_secs(2));
    let found = pool.sv1[link].miner.difficulty;
    assert!(found > Some(START), "{found:?}");
    for (name, password) in [
        (&user, "d=0.00000006"),
        (&format!("{}.b", address(1)), "d=0.0000002"),
    ] {
        pool.sv1[link].miner.send(&format!(
            r#"{{"id":"again","method":"mining.authorize","params":["{name}","{password}"]}}"#
        ));
        pool.advance(Duration::from_secs(2));
        assert!(pool.sv1[link].miner.is_granted("again"));
        assert_eq!(pool.sv1[link].miner.difficulty, found, "{name}");
    }
}

/// What is known of a worker is for the connection that has its name: the first that was authorized.
#[test]
fn a_further_worker_s_past_is_not_the_connection_s() {
    let [min, start] = [-26, -20].map(Rung::from_exponent);
    let mut pool = Pool::new(&PoolSettings {
        difficulty: DifficultySettings {
            start,
            min,
            ..DifficultySettings::default()
        },
        ..PoolSettings::default()
    });
    let start = start.difficulty().as_f64();
    let link = come(&mut pool, "USER.slow", "x");
    pool.advance(Duration::from_secs(60));
    let eased = pool.sv1[link].miner.difficulty.unwrap();
    assert!(eased < start, "{eased}");
    pool.drop_sv1(link);
    let begins_with = |pool: &mut Pool, first: &str, second: &str| {
        let link = come(pool, first, "x");
        let user = format!("{}.{second}", address(1));
        pool.sv1[link].miner.authorize("second", &user);
        pool.advance(50 * MILLISECOND);
        pool.sv1[link].miner.difficulty
    };
    assert_eq!(begins_with(&mut pool, "USER.slow", "other"), Some(eased));
    assert_eq!(begins_with(&mut pool, "USER.other", "slow"), Some(start));
}

/// The first wish counts also if a worker before had none.
#[test]
fn the_first_worker_that_asks_is_heard() {
    let mut pool = pool();
    let link = come(&mut pool, "USER.a", "x");
    pool.advance(50 * MILLISECOND);
    assert_eq!(pool.sv1[link].miner.difficulty, Some(START));
    let name = format!("{}.b", address(1));
    pool.sv1[link]
        .miner
        .authorize("b", &format!("{name}+0.000001"));
    pool.advance(Duration::from_secs(2));
    assert_eq!(pool.sv1[link].miner.difficulty, Some(2f64.powi(-20)));
}

/// The difficulty is no part of who is shown and paid, with it in the name of each share and without.
#[test]
fn a_name_is_shown_and_paid_without_the_difficulty_in_it() {
    let mut pool = pool();
    let link = come(&mut pool, "USER.rig%2B0.000001", "x");
    let user = format!("{}.rig", address(1));
    for (seed, name) in [
        (1, format!("{user}+0.000001")),
        (2, format!("{user}%2B0.000001")),
        (3, user.clone()),
    ] {
        let job = pool.sv1[link].miner.job().clone();
        let nonce = job.mine(&mut Chance::new(seed), job.target);
        let id = pool.sv1[link].miner.submit(&name, &nonce);
        pool.advance(100 * MILLISECOND);
        assert!(pool.sv1[link].miner.is_granted(&id), "{name}");
    }
    // The same worker again, by his other name.
    pool.sv1[link].miner.authorize("again", &user);
    pool.pump();
    let joined: Vec<_> = pool.sv1[link]
        .events
        .iter()
        .filter_map(|event| match event {
            SessionEvent::Joined(joined) => Some(&joined.miner),
            _ => None,
        })
        .collect();
    let [miner] = joined.as_slice() else {
        panic!("{joined:?}");
    };
    assert_eq!((&*miner.user, &*miner.worker), (&*user, "rig"));
    assert_eq!(miner.address, address(1));
}

/// Another worker of the connection needs a name of its own all the same (R-2).
#[test]
fn a_difficulty_in_the_name_authorizes_nobody_else() {
    let mut pool = pool();
    let link = come(&mut pool, "USER.rig+0.00000006", "x");
    let job = pool.sv1[link].miner.job().clone();
    let nonce = job.mine(&mut Chance::new(1), job.target);
    let other = format!("{}.rag+0.00000006", address(1));
    let id = pool.sv1[link].miner.submit(&other, &nonce);
    pool.advance(200 * MILLISECOND);
    assert_eq!(pool.sv1[link].miner.refusal(&id), Some(24));
}

/// A listener for rentals ignores what machines suggest; they get what the operator begins with. What
/// the person who rents them asks for is heard.
#[test]
fn a_listener_may_ignore_suggestions() {
    let settings = PoolSettings {
        ignores_suggestions: true,
        ..PoolSettings::default()
    };
    let target = r#"{"id":"s","method":"mining.suggest_target","params":["000fffff"]}"#;
    let mut pool = Pool::new(&settings);
    let link = come(&mut pool, "USER", "x");
    suggest(&mut pool, link, 0.000001);
    pool.sv1[link].miner.send(target);
    pool.advance(Duration::from_secs(2));
    let miner = &pool.sv1[link].miner;
    assert_eq!((miner.difficulty, miner.jobs.len()), (Some(START), 1));
    assert!(miner.is_granted("s"));

    let mut pool = Pool::new(&settings);
    let link = pool.connect_sv1();
    suggest(&mut pool, link, 0.000001);
    pool.sv1[link].miner.log_in(&address(1).to_string());
    pool.advance(50 * MILLISECOND);
    assert_eq!(pool.sv1[link].miner.difficulty, Some(START));

    // BIP310: the answer says whether it is done.
    let configured = configured(&mut pool, link);
    assert_eq!(configured["result"], json!({"suggest-difficulty": false}));
    pool.advance(Duration::from_secs(2));
    assert_eq!(pool.sv1[link].miner.difficulty, Some(START));

    let mut pool = Pool::new(&settings);
    let link = come(&mut pool, "USER", "d=0.000001");
    assert_eq!(pool.sv1[link].miner.difficulty, Some(2f64.powi(-20)));
}

/// Also `mining.configure` says that what a person asked for is before what the device suggests.
#[test]
fn a_suggestion_that_comes_too_late_is_answered_so() {
    for (password, is_followed) in [("x", true), ("d=0.000001", false)] {
        let mut pool = Pool::new(&PoolSettings::default());
        let link = come(&mut pool, "USER", password);
        let result = configured(&mut pool, link)["result"].clone();
        assert_eq!(result, json!({"suggest-difficulty": is_followed}));
    }
}

/// The reply to a suggestion by `mining.configure`.
fn configured(pool: &mut Pool, link: usize) -> Value {
    let configure = json!({
        "id": "c",
        "method": "mining.configure",
        "params": [["suggest-difficulty"], {"suggest-difficulty.value": 0.00001}],
    });
    pool.sv1[link].miner.heard = Some(Vec::new());
    pool.sv1[link].miner.send(&configure.to_string());
    pool.pump();
    let heard = pool.sv1[link].miner.heard.take().unwrap_or_default();
    serde_json::from_slice(heard.first().expect("a reply")).expect("JSON")
}
