//! Stratum V1 sessions that go on over another connection (R-7).

use std::time::Duration;

use headframe_testkit::{Chance, MinerJob, Nonce, Pool, PoolSettings, address, fixed_difficulty};

use crate::{MILLISECOND, pool};

/// As many sessions as a pool keeps, and for how long.
const MOST: usize = 1_024;
const KEPT_FOR: Duration = Duration::from_secs(120);

/// A client that subscribes with a session's id, is authorized, and has work.
fn come(pool: &mut Pool, session: &str, user: u64) -> usize {
    let link = pool.connect_sv1();
    let miner = &mut pool.sv1[link].miner;
    miner.send(&format!(
        r#"{{"id":"sub","method":"mining.subscribe","params":["x","{session}"]}}"#
    ));
    miner.authorize("auth", &address(user).to_string());
    pool.advance(50 * MILLISECOND);
    link
}

/// The first client of a pool, its session and its job.
fn first(pool: &mut Pool) -> (String, Vec<u8>, MinerJob) {
    let link = come(pool, "", 1);
    let miner = &pool.sv1[link].miner;
    let session = miner.session_id.clone();
    (session, miner.extranonce1.clone(), miner.job().clone())
}

fn share(job: &MinerJob, seed: u64) -> Nonce {
    let network = job.network_target();
    let is_share = |hash| job.target.is_met_by(hash) && !network.is_met_by(hash);
    job.mine_where(&mut Chance::new(seed), is_share)
}

/// Submits, and gives the code of the refusal.
fn submit(pool: &mut Pool, link: usize, user: u64, nonce: &Nonce) -> Option<i64> {
    let user = address(user).to_string();
    let id = pool.sv1[link].miner.submit(&user, nonce);
    pool.advance(200 * MILLISECOND);
    let miner = &pool.sv1[link].miner;
    assert!(miner.replies.contains_key(&id), "it is answered");
    miner.refusal(&id)
}

/// What was on its way when the connection was lost counts, and what was counted is not counted again,
/// on that job and on the one that comes.
#[test]
fn who_comes_back_has_its_jobs_and_its_shares() {
    let mut pool = pool();
    let (session, extranonce1, job) = first(&mut pool);
    assert_eq!(submit(&mut pool, 0, 1, &share(&job, 1)), None);
    pool.drop_sv1(0);
    let link = come(&mut pool, &session, 1);
    let miner = &pool.sv1[link].miner;
    assert_eq!(miner.extranonce1, extranonce1);
    assert_eq!(miner.session_id, session, "it is the same session");
    let newer = miner.job().clone();
    assert_ne!(newer.id, job.id, "R-10: never two valid jobs of one number");
    assert_eq!(submit(&mut pool, link, 1, &share(&job, 1)), Some(22));
    assert_eq!(submit(&mut pool, link, 1, &share(&job, 2)), None);
    assert_eq!(submit(&mut pool, link, 1, &share(&newer, 3)), None);
    assert_eq!(pool.hub.sessions_parked(), 0);
    assert_eq!(pool.hub.prefixes_in_use(), 1, "its own; the other rests");
}

/// A share may come in one piece with the handshake, ahead of any new job.
#[test]
fn what_comes_with_the_handshake_is_judged() {
    let mut pool = pool();
    let (session, _, job) = first(&mut pool);
    pool.drop_sv1(0);
    let link = pool.connect_sv1();
    let miner = &mut pool.sv1[link].miner;
    miner.send(&format!(
        r#"{{"id":"sub","method":"mining.subscribe","params":["x","{session}"]}}"#
    ));
    let user = address(1).to_string();
    miner.authorize("auth", &user);
    let id = miner.submit(&user, &share(&job, 1));
    pool.advance(200 * MILLISECOND);
    let miner = &pool.sv1[link].miner;
    assert!(miner.is_granted(&id));
    assert_eq!(miner.transcript[..2], ["reply sub", "reply auth"]);
}

/// While its connection lasts a session is its connection's.
#[test]
fn a_session_that_is_served_is_not_given_to_another() {
    let mut pool = pool();
    let (session, extranonce1, job) = first(&mut pool);
    let thief = come(&mut pool, &session, 1);
    assert_ne!(pool.sv1[thief].miner.extranonce1, extranonce1);
    // The same job, but not the same extranonce: another hash.
    assert_eq!(submit(&mut pool, thief, 1, &share(&job, 1)), Some(23));
    assert_eq!(submit(&mut pool, 0, 1, &share(&job, 1)), None);
}

/// The extranonce is told before the address is known; another one gets work of its own with it.
#[test]
fn another_address_gets_new_work() {
    let mut pool = pool();
    let (session, extranonce1, job) = first(&mut pool);
    pool.drop_sv1(0);
    let other = come(&mut pool, &session, 2);
    assert_eq!(pool.sv1[other].miner.extranonce1, extranonce1);
    let newer = pool.sv1[other].miner.job().clone();
    let script = address(2).script_pubkey();
    let coinbase = newer.coinbase(&[0; 8]).unwrap();
    assert!(
        coinbase
            .output
            .iter()
            .any(|output| output.script_pubkey == script)
    );
    assert_eq!(submit(&mut pool, other, 2, &share(&newer, 1)), None);
    // Of the old job there is nothing: what it has in common with the new one is its number.
    let mut old = share(&job, 2);
    old.job_id = job.id;
    let code = submit(&mut pool, other, 2, &old);
    assert!(code.is_some(), "{code:?}");
    // Nor has he who was here before.
    let late = come(&mut pool, &session, 1);
    assert_ne!(pool.sv1[late].miner.extranonce1, extranonce1);
}

/// Who lends his session to another address and takes it back has not what was his: it was forgotten what
/// he had found on it, and no header is hashed for two jobs (R-6).
#[test]
fn a_session_that_was_another_s_in_between_has_other_headers() {
    let mut pool = pool();
    let (session, extranonce1, job) = first(&mut pool);
    assert_eq!(submit(&mut pool, 0, 1, &share(&job, 1)), None);
    pool.drop_sv1(0);
    let other = come(&mut pool, &session, 2);
    pool.drop_sv1(other);
    let back = come(&mut pool, &session, 1);
    let miner = &pool.sv1[back].miner;
    assert_eq!(miner.extranonce1, extranonce1);
    assert_ne!(miner.job().coinbase(&[0; 8]), job.coinbase(&[0; 8]));
    assert_eq!(submit(&mut pool, back, 1, &share(&job, 1)), Some(21));
}

#[test]
fn what_is_no_session_gets_new_work() {
    let unknown = "0123456789abcdef0123456789abcdef";
    for session in [unknown, "1", "", "08000002", "\u{e9}", &unknown.repeat(9)] {
        let mut pool = pool();
        let (_, extranonce1, _) = first(&mut pool);
        pool.drop_sv1(0);
        let link = come(&mut pool, session, 1);
        assert_ne!(pool.sv1[link].miner.extranonce1, extranonce1, "{session}");
        assert!(pool.sv1[link].miner.is_granted("auth"));
    }
}

/// As often as it takes, but by one connection at a time.
#[test]
fn a_session_goes_on_again_and_again() {
    let mut pool = pool();
    let (session, extranonce1, job) = first(&mut pool);
    for seed in 0..3 {
        pool.drop_sv1(0);
        let link = come(&mut pool, &session, 1);
        assert_eq!(pool.sv1[link].miner.extranonce1, extranonce1);
        assert_eq!(submit(&mut pool, link, 1, &share(&job, seed)), None);
        let late = come(&mut pool, &session, 1);
        assert_ne!(pool.sv1[late].miner.extranonce1, extranonce1);
        pool.drop_sv1(late);
    }
}

/// A bad line loses several connections in a row, at any point of the handshake. Whatever of the pool's
/// words was lost with them, the client knows its session.
#[test]
fn a_session_outlives_connections_that_came_to_nothing() {
    let subscribe = |session: &str| {
        format!(r#"{{"id":"sub","method":"mining.subscribe","params":["x","{session}"]}}"#)
    };
    let user = address(1).to_string();
    let mut pool = pool();
    let (session, extranonce1, job) = first(&mut pool);
    assert_eq!(submit(&mut pool, 0, 1, &share(&job, 1)), None);
    pool.drop_sv1(0);
    for is_authorized in [false, true, false] {
        let link = pool.connect_sv1();
        pool.sv1[link].miner.send(&subscribe(&session));
        if is_authorized {
            pool.sv1[link].miner.authorize("auth", &user);
        }
        pool.pump();
        assert!(
            pool.sv1[link].miner.jobs.is_empty(),
            "its first work is held"
        );
        pool.drop_sv1(link);
        assert_eq!(pool.hub.sessions_parked(), 1);
    }
    let link = come(&mut pool, &session, 1);
    assert_eq!(pool.sv1[link].miner.extranonce1, extranonce1);
    assert_eq!(submit(&mut pool, link, 1, &share(&job, 1)), Some(22));
    assert_eq!(submit(&mut pool, link, 1, &share(&job, 2)), None);
    assert_eq!(
        pool.hub.prefixes_in_use(),
        1,
        "each new connection's came back"
    );
}

/// A session holds on to templates of up to 4 MB each. Whoever asks for it again and again, and leaves
/// before it has work, does not keep them for ever.
#[test]
fn a_session_that_is_only_asked_for_is_not_kept_for_ever() {
    let user = address(1).to_string();
    for is_authorized in [false, true] {
        let mut pool = pool();
        let (session, extranonce1, _) = first(&mut pool);
        pool.drop_sv1(0);
        for _ in 0..3 {
            pool.advance(KEPT_FOR - Duration::from_secs(20));
            let link = pool.connect_sv1();
            let miner = &mut pool.sv1[link].miner;
            miner.send(&format!(
                r#"{{"id":"sub","method":"mining.subscribe","params":["x","{session}"]}}"#
            ));
            if is_authorized {
                miner.authorize("auth", &user);
            }
            pool.pump();
            assert!(pool.sv1[link].miner.jobs.is_empty());
            pool.drop_sv1(link);
        }
        assert_eq!(pool.hub.sessions_parked(), 0);
        let late = come(&mut pool, &session, 1);
        assert_ne!(pool.sv1[late].miner.extranonce1, extranonce1);
    }
}

/// A tip that came meanwhile makes the old jobs stale, before any share of them is judged; a block on
/// them is a block.
#[test]
fn a_tip_in_between_makes_the_old_jobs_stale() {
    let mut pool = pool();
    let (session, _, job) = first(&mut pool);
    pool.drop_sv1(0);
    pool.new_tip();
    let link = pool.connect_sv1();
    let miner = &mut pool.sv1[link].miner;
    miner.send(&format!(
        r#"{{"id":"sub","method":"mining.subscribe","params":["x","{session}"]}}"#
    ));
    let user = address(1).to_string();
    miner.authorize("auth", &user);
    let late = miner.submit(&user, &share(&job, 1));
    let block = job.mine(&mut Chance::new(2), job.network_target());
    let late_block = miner.submit(&user, &block);
    pool.advance(200 * MILLISECOND);
    let miner = &pool.sv1[link].miner;
    let stale = miner.replies[&late].clone();
    assert_eq!(stale, Some((21, "Stale".to_owned())));
    assert_eq!(miner.refusal(&late_block), Some(21));
    assert_eq!(pool.sv1[link].blocks().len(), 1);
    assert_ne!(miner.job().prev_hash, job.prev_hash);
}

/// The same of a tip that comes while the first work is held.
#[test]
fn a_tip_after_the_handshake_makes_the_old_jobs_stale() {
    let mut pool = pool();
    let (session, _, job) = first(&mut pool);
    pool.drop_sv1(0);
    let link = pool.connect_sv1();
    let user = address(1).to_string();
    let miner = &mut pool.sv1[link].miner;
    miner.send(&format!(
        r#"{{"id":"sub","method":"mining.subscribe","params":["x","{session}"]}}"#
    ));
    miner.authorize("auth", &user);
    pool.pump();
    pool.new_tip();
    let late = pool.sv1[link].miner.submit(&user, &share(&job, 1));
    pool.pump();
    let miner = &pool.sv1[link].miner;
    assert!(miner.jobs.is_empty());
    let stale = miner.replies[&late].clone();
    assert_eq!(stale, Some((21, "Stale".to_owned())));
}

#[test]
fn sessions_are_kept_for_two_minutes() {
    let mut pool = pool();
    let (session, extranonce1, _) = first(&mut pool);
    pool.drop_sv1(0);
    pool.advance(KEPT_FOR);
    let late = come(&mut pool, &session, 1);
    assert_ne!(pool.sv1[late].miner.extranonce1, extranonce1);
    assert_eq!(pool.hub.sessions_parked(), 1, "nobody asked for it");
    pool.refresh();
    assert_eq!(pool.hub.sessions_parked(), 0);
    pool.new_tip();
    assert_eq!(pool.hub.prefixes_in_use(), 1, "the one that is served");
}

#[test]
fn as_many_sessions_are_kept_as_are_affordable() {
    let mut pool = pool();
    let (session, extranonce1, _) = first(&mut pool);
    pool.drop_sv1(0);
    let (second, other, _) = first(&mut pool);
    pool.drop_sv1(0);
    for user in 0..MOST as u64 - 1 {
        come(&mut pool, "", user);
        pool.drop_sv1(0);
        assert!(pool.hub.sessions_parked() <= MOST);
    }
    let late = come(&mut pool, &session, 1);
    assert_ne!(
        pool.sv1[late].miner.extranonce1, extranonce1,
        "the oldest went"
    );
    let kept = come(&mut pool, &second, 1);
    assert_eq!(pool.sv1[kept].miner.extranonce1, other);
}

/// A session with more shares than a device can find is not kept: what all that are kept remember is
/// bounded.
#[test]
fn a_session_of_a_flood_is_not_kept() {
    for (shares, parked) in [(4_096, 1), (4_097, 0)] {
        let mut pool = Pool::new(&PoolSettings {
            difficulty: fixed_difficulty(-32),
            transactions: 0,
            ..PoolSettings::default()
        });
        let (_, _, job) = first(&mut pool);
        let user = address(1).to_string();
        let mut nonce = share(&job, 1);
        let mut sent = 0;
        while sent < shares {
            nonce.header.nonce += 1;
            let hash = nonce.hash();
            if job.target.is_met_by(hash) && !job.network_target().is_met_by(hash) {
                pool.sv1[0].miner.submit(&user, &nonce);
                sent += 1;
            }
        }
        pool.advance(200 * MILLISECOND);
        pool.drop_sv1(0);
        assert_eq!(pool.hub.sessions_parked(), parked, "{shares} shares");
    }
}

/// Who never had work left nothing.
#[test]
fn a_session_without_work_is_not_kept() {
    let mut pool = pool();
    let link = pool.connect_sv1();
    let line = r#"{"id":"sub","method":"mining.subscribe","params":["x"]}"#;
    pool.sv1[link].miner.send(line);
    pool.pump();
    pool.drop_sv1(link);
    assert_eq!(pool.hub.sessions_parked(), 0);
}
