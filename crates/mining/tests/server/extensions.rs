//! Extensions: what is agreed on (0x0001), and a worker's name in each share (0x0002).

use std::collections::BTreeMap;
use std::time::Duration;

use headframe_channels::{ChannelId, DifficultySettings};
use headframe_mining::server::{SessionEvent, Sv2Rules};
use headframe_sv2_wire::extensions::RequestExtensionsSuccess;
use headframe_sv2_wire::{Seq64K, U256};
use headframe_testkit::{ExtensionsAnswer, Pool, PoolSettings, Server, address};
use headframe_work::Rung;

use crate::{block, open, pool, share, with_channel};

/// From the shared vectors: `RequestExtensions` with id 0xbeef for 2 and 3, and the Success to it.
const REQUEST: &str = "010000080000efbe020002000300";
const SUCCESS: &str = "010001060000efbe01000200";
/// The fields of the vectors' shares, "Worker_001" in either byte order.
const LITTLE: &str = "0200010a00576f726b65725f303031";
const BIG: &str = "000201000a576f726b65725f303031";

fn hex(text: &str) -> Vec<u8> {
    bitcoin::hex::FromHex::from_hex(text).expect("hexadecimal")
}

fn named(name: &[u8]) -> Vec<u8> {
    let len = u8::try_from(name.len()).expect("short");
    [&[2, 0, 1, len, 0], name].concat()
}

fn demanding() -> Pool {
    Pool::new(&PoolSettings {
        sv2: Sv2Rules {
            worker_names_required: true,
            ..Sv2Rules::default()
        },
        ..PoolSettings::default()
    })
}

fn ask(pool: &mut Pool, link: usize, request_id: u16, numbers: &[u16]) -> ExtensionsAnswer {
    let miner = &mut pool.sv2[link].miner;
    miner.request_extensions(request_id, numbers);
    pool.pump();
    let answer = pool.sv2[link].miner.extensions.pop();
    let (id, answer) = answer.expect("a request is answered");
    assert_eq!(id, request_id, "EX-23");
    answer
}

/// A client with an extended channel that has agreed on worker names.
fn with_names(pool: &mut Pool) -> (usize, u32) {
    let (link, id) = with_channel(pool, true, 1);
    assert_eq!(ask(pool, link, 1, &[2]), Ok(vec![2]));
    (link, id)
}

/// Submits a share with `tail` behind it; its sequence number.
fn submit(pool: &mut Pool, (link, id): (usize, u32), seed: u64, tail: &[u8]) -> u32 {
    let nonce = share(pool, link, id, seed);
    let miner = &mut pool.sv2[link].miner;
    miner.tail = tail.to_vec();
    let sequence = miner.submit(id, &nonce);
    pool.pump();
    sequence
}

/// Accepted and rejected shares of each worker who was told of, by what is behind the address, and
/// who is here. Whoever comes must not be here, whoever leaves or submits must be.
fn booked(pool: &Pool, link: usize) -> (BTreeMap<String, (u32, u32)>, Vec<String>) {
    let mut here = BTreeMap::<ChannelId, String>::new();
    let mut shares = BTreeMap::<String, (u32, u32)>::new();
    for event in &pool.sv2[link].events {
        match event {
            SessionEvent::Joined(joined) => {
                let expected = address(1);
                assert_eq!(joined.miner.address, expected, "R-1");
                let paid = joined.miner.payout.miner();
                assert_eq!(*paid, expected.script_pubkey(), "R-1");
                let user = joined.miner.user.strip_prefix(&expected.to_string());
                let user = user.expect("the channel's user").to_owned();
                assert_eq!(here.insert(joined.seat, user), None, "came twice");
            }
            SessionEvent::Left { seat } | SessionEvent::Vacated { seat } => {
                here.remove(seat).expect("was here");
            }
            SessionEvent::Share(share) => {
                let count = shares.entry(here[&share.seat].clone()).or_default();
                match share.outcome {
                    Ok(_) => count.0 += 1,
                    Err(_) => count.1 += 1,
                }
            }
            SessionEvent::Block(block) => assert!(here.contains_key(&block.seat)),
            SessionEvent::Difficulty { seat, .. } | SessionEvent::NotDurable { seat, .. } => {
                assert!(here.contains_key(seat), "nobody is at {seat:?}");
            }
            _ => {}
        }
    }
    let mut here: Vec<String> = here.into_values().collect();
    here.sort();
    (shares, here)
}

fn counted(pool: &Pool, link: usize) -> Vec<(String, (u32, u32))> {
    booked(pool, link).0.into_iter().collect()
}

fn of(name: &str, accepted: u32, rejected: u32) -> (String, (u32, u32)) {
    (name.to_owned(), (accepted, rejected))
}

/// EX-3, EX-4, EX-22 to EX-24: a known request has its known answer, to the byte.
#[test]
fn a_request_is_answered_to_the_byte() {
    let mut pool = pool();
    let (link, _) = with_channel(&mut pool, true, 1);
    let (now, session) = (pool.now, &mut pool.sv2[link].session);
    session.handle_input(now, &hex(REQUEST)).expect("it is one");
    assert_eq!(session.output(), hex(SUCCESS));
}

/// EX-23 to EX-26, EX-33: Success has what of the request is served, each once; Error says what is
/// not known and what is missing.
#[test]
fn what_is_asked_for_is_granted_or_refused() {
    let two = || vec![2];
    let not =
        |unsupported: &[u16], required: &[u16]| Err((unsupported.to_vec(), required.to_vec()));
    for (numbers, plain, required) in [
        (&[][..], Ok(vec![]), not(&[], &[2])),
        (&[2], Ok(two()), Ok(two())),
        (&[2, 3], Ok(two()), Ok(two())),
        (&[3, 2, 2, 3], Ok(two()), Ok(two())),
        (&[2, 1], Ok(vec![1, 2]), Ok(vec![1, 2])),
        (&[1], Ok(vec![1]), not(&[], &[2])),
        (&[9], not(&[9], &[]), not(&[9], &[2])),
        (
            &[9, 0, 9, 0x8002],
            not(&[0, 9, 0x8002], &[]),
            not(&[0, 9, 0x8002], &[2]),
        ),
    ] {
        for (mut pool, expected) in [(pool(), plain), (demanding(), required)] {
            let link = pool.connect_sv2();
            pool.sv2[link].miner.set_up(0);
            for id in [0, 0xffff] {
                assert_eq!(ask(&mut pool, link, id, numbers), expected, "{numbers:?}");
            }
        }
    }
}

/// EX-27, EX-29: who has not agreed on what is required is told what it is when it asks, may ask
/// again, and has no channel before.
#[test]
fn what_is_required_has_to_be_agreed_on() {
    let mut pool = demanding();
    let links = [0; 5].map(|_| {
        let link = pool.connect_sv2();
        pool.sv2[link].miner.set_up(0);
        pool.pump();
        link
    });
    let [wise, stubborn, unaware, slow, idle] = links;
    for link in [wise, stubborn, slow] {
        assert_eq!(ask(&mut pool, link, 1, &[7]), Err((vec![7], vec![2])));
        assert_eq!(pool.sv2[link].fault, None);
    }
    pool.advance(Duration::from_secs(9));
    assert_eq!(ask(&mut pool, wise, 2, &[2]), Ok(vec![2]));
    open(&mut pool, wise, true, 1);

    let user = address(1).to_string();
    let request = pool.sv2[stubborn]
        .miner
        .open_extended(&user, 0.0, U256::MAX, 2);
    pool.sv2[unaware].miner.open_standard(&user, 0.0, U256::MAX);
    pool.pump();
    let code = "required-extension-missing".to_owned();
    assert_eq!(pool.sv2[stubborn].miner.refused, [(request, code.clone())]);
    assert_eq!(pool.sv2[unaware].miner.refused[0].1, code);
    let fault = |pool: &Pool, link: usize| pool.sv2[link].fault.clone().unwrap_or_default();
    let missing = "did not agree on extension 0x0002, which this pool requires";
    assert_eq!(fault(&pool, stubborn), missing);
    assert_eq!(fault(&pool, unaware), missing);

    assert_eq!(fault(&pool, slow), "");
    pool.advance(Duration::from_secs(2));
    assert_eq!(fault(&pool, slow), missing);
    pool.advance(Duration::from_secs(120));
    assert_eq!(fault(&pool, idle), missing);
    // A refusal takes nothing away from who has agreed.
    assert_eq!(ask(&mut pool, wise, 3, &[]), Err((vec![], vec![2])));
    pool.advance(Duration::from_secs(60));
    assert_eq!(fault(&pool, wise), "");
}

/// EX-15, EX-16, EX-35, R-1: names are read in either byte order; a share without one is the
/// channel's; all of them are acknowledged together, as the channel's.
#[test]
fn shares_are_booked_on_the_workers_that_they_name() {
    let mut pool = pool();
    let (link, id) = with_names(&mut pool);
    for (seed, tail) in (1..).zip([LITTLE, BIG, "", LITTLE, "0200010000"]) {
        submit(&mut pool, (link, id), seed, &hex(tail));
    }
    assert_eq!(
        counted(&pool, link),
        [of(".Worker_001", 3, 0), of(".rig", 2, 0)]
    );
    pool.advance(Duration::from_secs(1));
    let acknowledged = &pool.sv2[link].miner.acknowledged;
    assert_eq!(acknowledged.len(), 1);
    assert_eq!(acknowledged[0].2, 5, "one message for all of the channel");
}

/// A channel whose workers submit is no silent miner itself.
#[test]
fn the_channel_s_own_seat_is_left_to_its_workers_until_it_is_needed() {
    let mut pool = pool();
    let (link, id) = with_names(&mut pool);
    let here = |pool: &Pool| booked(pool, link).1;
    assert_eq!(here(&pool), [".rig"]);
    submit(&mut pool, (link, id), 1, &named(b"a"));
    submit(&mut pool, (link, id), 2, &named(b"b"));
    assert_eq!(here(&pool), [".a", ".b"]);
    submit(&mut pool, (link, id), 3, &[]);
    submit(&mut pool, (link, id), 4, &named(b"c"));
    assert_eq!(here(&pool), [".a", ".b", ".c", ".rig"]);
    let other = open(&mut pool, link, true, 1);
    submit(&mut pool, (link, other), 5, &[]);
    submit(&mut pool, (link, other), 6, &named(b"a"));
    assert_eq!(here(&pool), [".a", ".a", ".b", ".c", ".rig", ".rig"]);
    pool.sv2[link].miner.close(other);
    pool.pump();
    assert_eq!(here(&pool), [".a", ".b", ".c", ".rig"]);
    pool.close_sv2(link);
    assert_eq!(here(&pool), [""; 0]);
}

/// EX-42: the more workers are heard of behind a channel, the easier is its target, one rung for twice
/// as many; who is silent for ten minutes does not count. A job follows each change.
#[test]
fn a_channel_is_as_easy_as_its_workers_are_many() {
    let mut pool = Pool::new(&PoolSettings {
        bits: 0x1c07_ffff,
        difficulty: DifficultySettings {
            start: Rung::from_exponent(-22),
            min: Rung::EASIEST,
            ..DifficultySettings::default()
        },
        ..PoolSettings::default()
    });
    let (link, id) = with_names(&mut pool);
    let target = |pool: &Pool| {
        let channel = &pool.sv2[link].miner.channels[&id];
        let job = channel.job();
        assert_eq!(job.target, channel.target, "MP-124: a job follows");
        job.target.difficulty_float()
    };
    let alone = target(&pool);
    for (number, easier) in [
        (1, 1.0),
        (2, 2.0),
        (3, 2.0),
        (4, 4.0),
        (5, 4.0),
        (6, 4.0),
        (7, 8.0),
    ] {
        let name = format!("rig{number}");
        submit(&mut pool, (link, id), number, &named(name.as_bytes()));
        pool.advance(Duration::from_secs(2));
        assert_eq!(alone / target(&pool), easier, "{number} workers");
    }
    // One of them goes on as fast as all eight, until the others have been silent for long.
    let many = target(&pool);
    let began = pool.now;
    for seed in 100.. {
        submit(&mut pool, (link, id), seed, &named(b"rig1"));
        pool.advance(Duration::from_millis(625));
        if target(&pool) != many {
            break;
        }
    }
    assert_eq!(target(&pool), alone);
    let minutes = (pool.now - began).as_secs_f64() / 60.0;
    assert!((9.5..11.5).contains(&minutes), "{minutes}");
    assert_eq!(pool.sv2[link].miner.rejected, []);
}

/// EX-5, EX-34, EX-39, EX-40, EX-41: a name that was not agreed on says nothing and changes no
/// verdict. What is granted takes the place of what was before, what is refused does not.
#[test]
fn names_count_only_while_they_are_agreed_on() {
    let mut pool = pool();
    let (link, id) = with_channel(&mut pool, true, 1);
    let too_long = named(&[b'n'; 33]);
    let tails = [hex(LITTLE), too_long, vec![0xff; 300], named(b"w")];
    for (seed, tail) in (1..).zip(&tails) {
        submit(&mut pool, (link, id), seed, tail);
    }
    assert_eq!(counted(&pool, link), [of(".rig", 4, 0)]);
    assert_eq!(ask(&mut pool, link, 1, &[2]), Ok(vec![2]));
    submit(&mut pool, (link, id), 11, &named(b"w"));
    assert!(ask(&mut pool, link, 2, &[3]).is_err());
    submit(&mut pool, (link, id), 12, &named(b"w"));
    assert_eq!(counted(&pool, link), [of(".rig", 4, 0), of(".w", 2, 0)]);
    assert_eq!(ask(&mut pool, link, 3, &[]), Ok(vec![]));
    submit(&mut pool, (link, id), 13, &named(b"w"));
    assert_eq!(counted(&pool, link), [of(".rig", 5, 0), of(".w", 2, 0)]);
    assert_eq!(pool.sv2[link].miner.rejected, []);
}

/// EX-10, EX-14, EX-17: other fields are skipped; what cannot be read to its end says nothing.
#[test]
fn other_fields_are_skipped_and_broken_ones_ignored() {
    let mut pool = pool();
    let (link, id) = with_names(&mut pool);
    let other = hex("01400700036162"); // reaches past its end
    let skipped = [&hex("0140070300616263"), &named(b"w")[..]].concat();
    let behind = [&named(b"w")[..], &hex("0200020100ff")].concat();
    let left_over = [&named(b"w")[..], &[0]].concat();
    for (seed, tail) in (1..).zip([&skipped, &behind, &other, &left_over, &hex("020001")]) {
        submit(&mut pool, (link, id), seed, tail);
    }
    assert_eq!(counted(&pool, link), [of(".rig", 3, 0), of(".w", 2, 0)]);
    assert_eq!(pool.sv2[link].miner.rejected, []);
}

/// EX-12, EX-13, EX-36, EX-43: 32 bytes are a name, whatever they are; a longer one is refused with
/// its share, which is not counted.
#[test]
fn a_name_that_is_too_long_is_refused_with_its_share() {
    let mut pool = pool();
    let (link, id) = with_names(&mut pool);
    submit(&mut pool, (link, id), 1, &named(b"a\0\n\\\xff"));
    submit(&mut pool, (link, id), 2, &named(&[b'n'; 32]));
    let refused = submit(&mut pool, (link, id), 3, &named(&[b'n'; 33]));
    let miner = &pool.sv2[link].miner;
    assert_eq!(miner.rejection(refused), Some("invalid-user-identity"));
    assert_eq!(miner.rejected.len(), 1);
    // It was not judged, and is no duplicate when it comes under a name that fits.
    submit(&mut pool, (link, id), 3, &named(&[b'n'; 32]));
    assert_eq!(pool.sv2[link].miner.rejected.len(), 1);
    let long = format!(".{}", "n".repeat(32));
    assert_eq!(
        counted(&pool, link),
        [of(".a\\u{0}\\u{a}\\\\\\xff", 1, 0), of(&long, 2, 0)]
    );
}

/// a block is a block, pays the channel's user, and is found by the worker that it names. Not
/// even a name that has to be refused loses it.
#[test]
fn a_block_pays_the_channel_whatever_its_share_is_called() {
    let mut pool = pool();
    let (link, id) = with_names(&mut pool);
    let foreign = address(2).to_string();
    let part = &foreign.as_bytes()[..32];
    for (seed, tail) in (1..).zip([named(b"w"), named(part), named(foreign.as_bytes())]) {
        let nonce = block(&pool, link, id, seed);
        let miner = &mut pool.sv2[link].miner;
        miner.tail = tail;
        miner.submit(id, &nonce);
        pool.pump();
    }
    let blocks = pool.sv2[link].blocks();
    assert_eq!(blocks.len(), 3);
    for block in blocks {
        let paid = &block.txdata[0].output[0].script_pubkey;
        assert_eq!(*paid, address(1).script_pubkey());
    }
    let found = pool.sv2[link]
        .events
        .iter()
        .filter_map(|event| match event {
            SessionEvent::Block(block) => Some(block.seat),
            _ => None,
        });
    let found: Vec<ChannelId> = found.collect();
    assert_eq!(found[2], ChannelId::new(id), "the channel's own");
    assert!(found[0] != found[1] && !found[..2].contains(&found[2]));
    booked(&pool, link);
}

/// EX-43: a name has a seat once there is work behind it, and a channel has so many of them; what
/// comes under others is its own.
#[test]
fn names_are_earned_and_bounded() {
    const MAX: usize = 4_096;
    let mut pool = pool();
    let (link, id) = with_names(&mut pool);
    let nonce = share(&pool, link, id, 1);
    let miner = &mut pool.sv2[link].miner;
    for number in 0..50 {
        miner.tail = named(format!("idle{number}").as_bytes());
        miner.submit(id, &nonce);
    }
    pool.pump();
    assert_eq!(
        counted(&pool, link),
        [of(".idle0", 1, 0), of(".rig", 0, 49)],
        "duplicates earn no name"
    );
    for number in 0..MAX + 100 {
        let nonce = share(&pool, link, id, 1000 + number as u64);
        let miner = &mut pool.sv2[link].miner;
        miner.tail = named(number.to_string().as_bytes());
        miner.submit(id, &nonce);
        if number % 100 == 0 {
            pool.pump();
        }
    }
    pool.pump();
    let (shares, here) = booked(&pool, link);
    assert_eq!(here.len(), MAX + 1, "and the channel's own");
    assert_eq!(shares[".rig"], (101, 49));
    submit(&mut pool, (link, id), 2, &named(b"7"));
    assert_eq!(
        booked(&pool, link).0[".7"],
        (2, 0),
        "those who are here stay"
    );
    pool.sv2[link].miner.close(id);
    pool.pump();
    assert_eq!(booked(&pool, link).1, [""; 0]);
    let again = open(&mut pool, link, true, 1);
    submit(&mut pool, (link, again), 3, &named(b"new"));
    assert_eq!(booked(&pool, link).1, [".new"]);
}

/// What concerns a channel is told of all who are on it; late acknowledgements of whom they concern.
#[test]
fn workers_are_told_of_like_miners() {
    let mut pool = Pool::new(&PoolSettings {
        commit_after: None,
        ..PoolSettings::default()
    });
    let (link, id) = with_names(&mut pool);
    for (seed, name) in (1..).zip([b"a", b"b", b"a"]) {
        submit(&mut pool, (link, id), seed, &named(name));
    }
    pool.advance(Duration::from_secs(1));
    let mut late: Vec<u32> = Vec::new();
    let mut seats = Vec::new();
    for event in &pool.sv2[link].events {
        if let SessionEvent::NotDurable { seat, shares } = event {
            late.push(*shares);
            seats.push(*seat);
        }
    }
    late.sort_unstable();
    assert_eq!(late, [1, 2]);
    assert!(!seats.contains(&ChannelId::new(id)));
    // Far too many shares: it becomes harder for both.
    for seed in 100..500 {
        submit(&mut pool, (link, id), seed, &named(b"a"));
    }
    pool.advance(Duration::from_secs(1));
    let harder = pool.sv2[link]
        .events
        .iter()
        .filter_map(|event| match event {
            SessionEvent::Difficulty { seat, .. } => Some(*seat),
            _ => None,
        });
    let harder: Vec<ChannelId> = harder.collect();
    for seat in seats {
        assert!(harder.contains(&seat));
    }
    booked(&pool, link);
}

/// EX-8: standard shares have no fields; what is behind them says nothing.
#[test]
fn standard_channels_have_no_workers() {
    let mut pool = pool();
    let (link, id) = with_channel(&mut pool, false, 1);
    assert_eq!(ask(&mut pool, link, 1, &[2]), Ok(vec![2]));
    submit(&mut pool, (link, id), 1, &named(b"w"));
    assert_eq!(counted(&pool, link), [of(".rig", 1, 0)]);
}

/// EX-20, EX-38: a translator opens its channel before it has the answer.
#[test]
fn a_request_may_come_before_or_after_the_channel() {
    let mut pool = pool();
    let link = pool.connect_sv2();
    let user = format!("{}.translator-proxy", address(1));
    let miner = &mut pool.sv2[link].miner;
    miner.set_up(0b100);
    miner.request_extensions(1, &[2]);
    miner.open_extended(&user, 0.0, U256::MAX, 6);
    pool.pump();
    let miner = &pool.sv2[link].miner;
    assert_eq!(miner.extensions, [(1, Ok(vec![2]))]);
    let expected = ["SetupConnection.Success", "RequestExtensions.Success"];
    assert_eq!(miner.transcript[..2], expected);
    let id = miner.opened[0];
    submit(&mut pool, (link, id), 1, &named(b"rig1"));
    assert_eq!(counted(&pool, link), [of(".rig1", 1, 0)]);
}

/// A client that asks without end is sent away; a request as long as a frame allows is answered.
#[test]
fn requests_are_bounded() {
    let mut pool = pool();
    let (link, _) = with_channel(&mut pool, true, 1);
    let many: Vec<u16> = (3..30_000).collect();
    assert_eq!(ask(&mut pool, link, 1, &many), Err((many, vec![])));
    for _ in 0..15 {
        assert_eq!(ask(&mut pool, link, 2, &[2]), Ok(vec![2]));
    }
    pool.sv2[link].miner.request_extensions(3, &[2]);
    pool.pump();
    assert_eq!(
        pool.sv2[link].fault.as_deref(),
        Some("asked for extensions more than 16 times")
    );
}

/// FR-20, FR-59: a request before the set-up, and answers that only servers give, end the connection.
#[test]
fn extension_messages_out_of_place_end_the_connection() {
    let mut pool = pool();
    let early = pool.connect_sv2();
    pool.sv2[early].miner.request_extensions(1, &[2]);
    let (wrong, _) = with_channel(&mut pool, false, 1);
    pool.sv2[wrong].miner.send(&RequestExtensionsSuccess {
        request_id: 1,
        supported_extensions: Seq64K::EMPTY,
    });
    pool.pump();
    let fault = |link: usize| pool.sv2[link].fault.clone().unwrap_or_default();
    assert!(fault(early).ends_with("before SetupConnection"));
    assert_eq!(
        fault(wrong),
        "sent RequestExtensions.Success, which is not for a mining server"
    );
}
