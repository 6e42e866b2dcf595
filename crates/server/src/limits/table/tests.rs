//! Addresses that come, mine, offend and go, on a clock of the test's.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use headframe_ledger::MAX_BANS;
use headframe_mining::server::Password;
use proptest::prelude::*;

use super::*;

const WALL: UnixTime = UnixTime::from_secs(1_704_067_200);
const FARM: u32 = 0xcb00_7107;
const FLOOD: u32 = 0xc633_6409;

fn source(number: u32) -> Source {
    Source::of(Ipv4Addr::from(number).into())
}

fn limits(max_connections: usize) -> (Limits, Instant) {
    let now = Instant::now();
    (Limits::new(max_connections, &[], (now, WALL)), now)
}

fn offend(limits: &mut Limits, now: Instant, source: Source) -> Option<Ban> {
    match limits.offend((now, WALL), source, Offence::Undecodable) {
        Consequence::Ban(ban) => Some(ban),
        Consequence::Nothing | Consequence::Warning(_) => None,
    }
}

/// What happens to whom, in the order of its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive(usize),
    Greeted(usize),
    Share(usize),
    FloodArrives,
    FloodLeaves,
}

/// A thousand miners behind one address lose the pool and come back at once; each that is sent away
/// comes back after five seconds. Handshake and first share take what they take over a poor line. Another
/// address connects two thousand times a second, says nothing, and is dropped when its time is up.
#[test]
fn a_thousand_miners_return_at_once_while_a_flood_is_held_off() {
    const MINERS: usize = 1_000;
    let (mut limits, start) = limits(10_000);
    let (farm, flood) = (source(FARM), source(FLOOD));
    let at = |millis: u64| start + Duration::from_millis(millis);
    let mut events = BinaryHeap::new();
    for miner in 0..MINERS {
        events.push(Reverse((at(0), Event::Arrive(miner))));
    }
    events.push(Reverse((at(0), Event::FloodArrives)));
    let (mut mining, mut floods_let_in, mut most_of_flood, mut flood_here) = (0, 0, 0, 0);
    while let Some(Reverse((now, event))) = events.pop() {
        if now >= at(60_000) {
            break;
        }
        let later = |millis| now + Duration::from_millis(millis);
        match event {
            Event::Arrive(miner) => match limits.arrive(now, farm) {
                Ok(turn) => {
                    let greeted = turn + Duration::from_millis(800);
                    events.push(Reverse((greeted, Event::Greeted(miner))));
                }
                Err(_) => events.push(Reverse((later(5_000), Event::Arrive(miner)))),
            },
            Event::Greeted(miner) => {
                limits.greeted(farm);
                events.push(Reverse((later(8_000), Event::Share(miner))));
            }
            Event::Share(_) => {
                limits.prove(now, farm);
                mining += 1;
            }
            Event::FloodArrives => {
                for _ in 0..20 {
                    if let Ok(turn) = limits.arrive(now, flood) {
                        let dropped = turn + Duration::from_secs(10);
                        events.push(Reverse((dropped, Event::FloodLeaves)));
                        floods_let_in += 1;
                        flood_here += 1;
                    }
                }
                most_of_flood = most_of_flood.max(flood_here);
                events.push(Reverse((later(10), Event::FloodArrives)));
            }
            Event::FloodLeaves => {
                limits.leave(now, flood, Stage::Greeting);
                flood_here -= 1;
            }
        }
    }
    assert_eq!(mining, MINERS, "all mine within a minute");
    assert_eq!(limits.bans.until(start, farm), None);
    assert!(most_of_flood <= 1_024, "{most_of_flood}");
    assert!(
        floods_let_in <= 512 + 60 * 100 + 500,
        "{floods_let_in} of 120,000"
    );
}

#[test]
fn ten_offences_are_excused_and_the_next_bans_for_ten_minutes() {
    let (mut limits, now) = limits(100);
    let (guilty, innocent) = (source(1), source(2));
    for number in 0..=10 {
        limits.arrive(now, guilty).unwrap();
        limits.leave(now, guilty, Stage::Greeting);
        let ban = offend(&mut limits, now, guilty);
        assert_eq!(ban.is_some(), number == 10, "offence {number}");
    }
    let left = Duration::from_secs(600);
    assert_eq!(limits.arrive(now, guilty), Err(Refusal::Banned { left }));
    assert!(limits.arrive(now, innocent).is_ok());
    assert_eq!(offend(&mut limits, now, guilty), None, "one ban for it");
    assert!(
        limits.arrive(now + left, guilty).is_ok(),
        "it ends by itself"
    );
}

/// Who is banned for the eleventh is warned from the fifth on; a guesser, for the 65th, from the 32nd.
#[test]
fn half_of_what_bans_is_a_warning() {
    let (mut limits, now) = limits(100);
    let (guilty, guesser) = (source(1), source(2));
    limits.arrive(now, guilty).unwrap();
    let offences = (1..=11).map(|_| limits.offend((now, WALL), guilty, Offence::Undecodable));
    let followed: Vec<_> = offences.collect();
    assert!(followed[..4].iter().all(|it| *it == Consequence::Nothing));
    let warning = Consequence::Warning(Warning {
        source: guilty,
        offence: Offence::Undecodable,
        lasts: Duration::from_secs(600),
    });
    assert!(followed[4..10].iter().all(|it| *it == warning));
    assert!(matches!(followed[10], Consequence::Ban(_)));

    limits.arrive(now, guesser).unwrap();
    let password = Password::new("open-sesame");
    let mut guess = |number: u32| {
        let guess = password.guess(&number.to_string());
        limits.guess((now, WALL), guesser, guess)
    };
    let first = (1..=64).find(|number| guess(*number).unwrap().is_some());
    assert_eq!(first, Some(32));
}

/// What does not lead to a ban is not said to: who sends something odd every minute, or mines.
#[test]
fn who_will_not_be_banned_is_not_warned() {
    let (mut limits, mut now) = limits(100);
    let (odd, farm) = (source(1), source(FARM));
    for whom in [odd, farm] {
        limits.arrive(now, whom).unwrap();
        limits.greeted(whom);
    }
    limits.prove(now, farm);
    for _ in 0..100 {
        let excused = limits.offend((now, WALL), farm, Offence::Undecodable);
        assert_eq!(excused, Consequence::Nothing);
    }
    for _ in 0..1_000 {
        let excused = limits.offend((now, WALL), odd, Offence::Undecodable);
        assert_eq!(excused, Consequence::Nothing);
        now += Duration::from_secs(60);
    }
}

#[test]
fn an_offence_a_minute_is_forgiven_for_ever() {
    let (mut limits, mut now) = limits(100);
    for _ in 0..10_000 {
        limits.arrive(now, source(1)).unwrap();
        assert_eq!(offend(&mut limits, now, source(1)), None);
        limits.leave(now, source(1), Stage::Greeting);
        now += Duration::from_secs(60);
    }
}

/// One broken device behind the address of a farm does not keep the farm out.
#[test]
fn an_address_that_mines_or_did_lately_is_not_banned() {
    let (mut limits, mut now) = limits(100);
    let farm = source(FARM);
    limits.arrive(now, farm).unwrap();
    limits.greeted(farm);
    limits.prove(now, farm);
    for round in 0..2 {
        for _ in 0..100 {
            limits.arrive(now, farm).unwrap();
            assert_eq!(offend(&mut limits, now, farm), None, "round {round}");
            limits.leave(now, farm, Stage::Greeting);
        }
        if round == 0 {
            limits.leave(now, farm, Stage::Proven);
            now += Duration::from_secs(3_599);
        }
    }
    limits.arrive(now + Duration::from_secs(1), farm).unwrap();
    let banned =
        (0..100).any(|_| offend(&mut limits, now + Duration::from_secs(1), farm).is_some());
    assert!(banned);
}

#[test]
fn reconnects_are_paced_and_never_ban() {
    let (mut limits, start) = limits(100);
    let (mut let_in, mut now) = (0, start);
    for _ in 0..100_000 {
        now += Duration::from_millis(1);
        match limits.arrive(now, source(1)) {
            Ok(_) => {
                limits.leave(now, source(1), Stage::Greeting);
                let_in += 1;
            }
            Err(refusal) => assert_eq!(refusal, Refusal::Pace),
        }
    }
    assert!(
        (10_000..=10_000 + 1_100).contains(&let_in),
        "{let_in} in 100 s"
    );
    assert_eq!(limits.bans.until(now, source(1)), None);
}

#[test]
fn connections_without_a_share_take_half_of_the_room_and_miners_all_they_want() {
    let (mut limits, now) = limits(100);
    let (farm, stranger) = (source(FARM), source(2));
    for _ in 0..50 {
        limits.arrive(now, stranger).unwrap();
        limits.greeted(stranger);
    }
    assert_eq!(limits.arrive(now, stranger), Err(Refusal::Unproven(50)));
    for _ in 0..90 {
        limits.arrive(now, farm).unwrap();
        limits.greeted(farm);
        limits.prove(now, farm);
    }
    limits.leave(now, stranger, Stage::Unproven);
    assert!(limits.arrive(now, stranger).is_ok());
}

#[test]
fn strangers_leave_handshakes_to_those_who_mine() {
    let (mut limits, now) = limits(100_000);
    let farm = source(FARM);
    limits.arrive(now, farm).unwrap();
    limits.greeted(farm);
    limits.prove(now, farm);
    limits.leave(now, farm, Stage::Proven);
    let strangers = (0..100_000).filter(|number| {
        let stranger = source(number % 100);
        limits.arrive(now, stranger).is_ok()
    });
    assert_eq!(strangers.count(), 3_072);
    assert_eq!(limits.arrive(now, source(7_000)), Err(Refusal::Busy));
    let farm_let_in = (0..10_000).filter(|_| limits.arrive(now, farm).is_ok());
    assert_eq!(farm_let_in.count(), 1_011, "as many as wait their turn");
}

#[test]
fn a_household_of_ipv6_is_one_address() {
    let (mut limits, now) = limits(8);
    let host = |low: u64| {
        let bits = (0x2001_0db8_u128 << 96) | u128::from(low);
        Source::of(IpAddr::V6(Ipv6Addr::from_bits(bits)))
    };
    let let_in = (0..1_000).filter(|low| limits.arrive(now, host(*low)).is_ok());
    assert_eq!(let_in.count(), 4);
    assert_eq!(limits.records.len(), 1);
}

#[test]
fn the_oldest_addresses_are_forgotten() {
    let (mut limits, now) = limits(100);
    limits.arrive(now, source(0)).unwrap();
    let many = u32::try_from(MAX_IDLE).unwrap() + 1_000;
    for number in 1..=many {
        limits.arrive(now, source(number)).unwrap();
        limits.leave(now, source(number), Stage::Greeting);
    }
    assert_eq!(
        (limits.records.len(), limits.idle.len()),
        (MAX_IDLE + 1, MAX_IDLE)
    );
    assert!(limits.records.contains_key(&source(0)), "it is connected");
    assert!(!limits.records.contains_key(&source(1_000)));
    assert!(limits.records.contains_key(&source(1_001)));
}

#[test]
fn a_ban_outlives_a_restart() {
    let (mut limits, now) = limits(100);
    limits.arrive(now, source(1)).unwrap();
    let bans: Vec<_> = (0..20)
        .filter_map(|_| offend(&mut limits, now, source(1)))
        .collect();
    let wall = WALL.saturating_add(Duration::from_secs(60));
    let mut restarted = Limits::new(100, &bans, (now, wall));
    let left = Duration::from_secs(540);
    assert_eq!(
        restarted.arrive(now, source(1)),
        Err(Refusal::Banned { left })
    );
}

proptest! {
    /// Whatever comes and goes in whatever order, the counts are those of who is here, and
    /// nothing is kept of more addresses than may be.
    #[test]
    fn counts_are_those_of_who_is_here(
        steps in prop::collection::vec((0..5_u8, 0..6_u32, any::<prop::sample::Index>(), 0..90_u64), 1..400)
    ) {
        let (mut limits, mut now) = limits(16);
        let mut here: Vec<(Source, Stage)> = Vec::new();
        for (what, from, whom, seconds) in steps {
            now += Duration::from_secs(seconds / 10);
            match what {
                0 | 1 => {
                    let from = source(from);
                    if limits.arrive(now, from).is_ok() {
                        here.push((from, Stage::Greeting));
                    }
                }
                _ if here.is_empty() => {}
                2 => {
                    let (from, stage) = here.swap_remove(whom.index(here.len()));
                    limits.leave(now, from, stage);
                }
                3 => {
                    let len = here.len();
                    let (from, stage) = &mut here[whom.index(len)];
                    match *stage {
                        Stage::Greeting => {
                            limits.greeted(*from);
                            *stage = Stage::Unproven;
                        }
                        Stage::Unproven => {
                            limits.prove(now, *from);
                            *stage = Stage::Proven;
                        }
                        Stage::Proven => {}
                    }
                }
                _ => {
                    let (from, stage) = here[whom.index(here.len())];
                    let ban = offend(&mut limits, now, from);
                    let mines = here.contains(&(from, Stage::Proven));
                    prop_assert!(stage != Stage::Proven || ban.is_none());
                    prop_assert!(!mines || ban.is_none());
                }
            }
            let count = |from: Option<Source>, stages: &[Stage]| {
                let counts = |it: &&(Source, Stage)| from.is_none_or(|from| it.0 == from) && stages.contains(&it.1);
                u32::try_from(here.iter().filter(counts).count()).unwrap()
            };
            prop_assert_eq!(limits.greeting, count(None, &[Stage::Greeting]));
            for (from, record) in &limits.records {
                let from = Some(*from);
                prop_assert_eq!(record.greeting, count(from, &[Stage::Greeting]));
                prop_assert_eq!(record.unproven, count(from, &[Stage::Greeting, Stage::Unproven]));
                prop_assert_eq!(record.proven, count(from, &[Stage::Proven]));
                prop_assert!(record.unproven <= 8);
                prop_assert_eq!(record.idle.is_some(), !record.is_here());
            }
            let idle = limits.records.values().filter(|record| record.idle.is_some());
            prop_assert_eq!(idle.count(), limits.idle.len());
        }
    }
}

#[test]
fn bans_are_as_many_as_the_ledger_keeps() {
    let (mut limits, now) = limits(100);
    for number in 0..u32::try_from(MAX_BANS).unwrap() + 100 {
        limits.arrive(now, source(number)).unwrap();
        let banned = (0..11).any(|_| offend(&mut limits, now, source(number)).is_some());
        assert!(banned);
        limits.leave(now, source(number), Stage::Greeting);
    }
    let refused = (0..u32::try_from(MAX_BANS).unwrap() + 100)
        .filter(|number| limits.bans.until(now, source(*number)).is_some());
    assert_eq!(refused.count(), MAX_BANS);
}
