//! A Bitaxe over a day at a pool, with all that its Wi-Fi, its clock and its firmware do to it.
//!
//! The device is modelled by what is known of ESP-Miner v2.15.0, its faults included; the pool is the
//! pool's sessions and hub. Time, chance and the network are simulated, hashes are real. Not here:
//! Noise, whose streams have tests of their own.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod client;
mod day;
mod firmware;
mod radio;
mod sv1;
mod sv2;

use std::sync::Arc;
use std::time::{Duration, Instant};

use headframe_mining::server::{Sv1Session, Sv2Session};
use headframe_testkit::{Pool, Server};
use headframe_work::Rung;

use crate::day::{Day, Weather};
use crate::firmware::Kind;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// After so much time a device has found its difficulty, whatever it declared.
const FOUND_WITHIN: Duration = Duration::from_secs(600);

/// A connection of this length is long enough to find a difficulty.
const LONG: Duration = Duration::from_secs(30 * 60);

/// A day as at home: the Wi-Fi has trouble twice an hour.
const HOME: Weather = Weather {
    calm: Some(Duration::from_secs(30 * 60)),
    blocks: Duration::from_secs(600),
    templates: Duration::from_secs(45),
};

fn sv2(pool: &Pool) -> Sv2Session {
    Sv2Session::new(Arc::clone(&pool.rules), pool.work(), pool.now)
}

fn sv1(pool: &Pool) -> Sv1Session {
    Sv1Session::new(Arc::clone(&pool.rules), pool.work(), pool.now)
}

/// No Wi-Fi trouble, hardly a block, and a node that has no news for hours.
const SILENT: Weather = Weather {
    calm: None,
    blocks: Duration::from_secs(4 * 3600),
    templates: Duration::from_secs(12 * 3600),
};

/// The Wi-Fi comes and goes.
const FLAPPING: Weather = Weather {
    calm: Some(Duration::from_secs(60)),
    blocks: Duration::from_secs(600),
    templates: Duration::from_secs(45),
};

/// What holds at each moment is in [`Day::pass`]: the pool never ends the connection and the device
/// never leaves it, its chip always has fresh work, no share is rejected for the target that it met,
/// and the counters on its screen are the ledger's.
fn a_day<S: Server>(kind: Kind, seed: u64, session: fn(&Pool) -> S) {
    let mut day = Day::new(kind, HOME, seed, session);
    day.pass(DAY);
    let minutes = DAY.as_secs_f64() / 60.0;
    let rate = day.ledger.accepted.len() as f64 / minutes;
    assert!((4.0..9.0).contains(&rate), "{rate} shares a minute");
    assert!(day.troubles >= 10 && day.ledger.blocks >= 1);
    comes_back_to_its_difficulty(&day);
}

/// Once it had the time to find its difficulty, it is not taken for the 1 TH/s that it declares each
/// time.
fn comes_back_to_its_difficulty<S: Server>(day: &Day<S>) {
    let starts = &day.firmware.starts;
    let is_long = |pair: &[(Instant, _)]| pair[1].0 - pair[0].0 > LONG;
    let settled = starts.windows(2).position(is_long);
    let settled = settled.expect("a connection that lasts");
    for (at, rung) in &starts[settled + 1..] {
        let after = *at - day.began();
        assert!(fits(*rung), "{rung:?} after {after:?}");
    }
}

/// Whether a rung is within a factor of eight of what fits the device: it declares one 64 times too hard.
fn fits(rung: Rung) -> bool {
    (-29..=-23).contains(&rung.exponent())
}

#[test]
fn a_standard_channel_over_a_day() {
    a_day(Kind::Standard, 1, sv2);
    a_day(Kind::Standard, 2, sv2);
}

#[test]
fn an_extended_channel_over_a_day() {
    a_day(Kind::Extended, 3, sv2);
    a_day(Kind::Extended, 4, sv2);
}

#[test]
fn stratum_v1_over_a_day() {
    a_day(Kind::Sv1, 5, sv1);
    a_day(Kind::Sv1, 6, sv1);
}

/// "Disconnect/reconnect churn is still observed", and a screen that shows 0 shares while the pool
/// counts them. A device whose Wi-Fi has no trouble connects once and stays, though nothing happens;
/// both count alike to the share, and an extended channel never hears of a standard job.
#[test]
fn a_device_stays_where_nothing_happens() {
    for (kind, seed) in [(Kind::Standard, 7), (Kind::Extended, 8)] {
        stays(Day::new(kind, SILENT, seed, sv2));
    }
    stays(Day::new(Kind::Sv1, SILENT, 9, sv1));
}

fn stays<S: Server>(mut day: Day<S>) {
    day.pass(DAY / 4);
    assert_eq!(day.firmware.connections, 1);
    assert_eq!(day.firmware.accepted, day.ledger.accepted.len() as u64);
    assert_eq!(day.firmware.unanswered, []);
}

/// No connection of a device whose Wi-Fi fails every minute lasts long enough to find its difficulty.
/// All of them together do: after some minutes of mining it begins each with the difficulty that fits
/// it, in its first job.
#[test]
fn a_device_whose_connections_are_short_finds_its_difficulty_over_all_of_them() {
    let mut starts = Vec::new();
    for seed in 20..24 {
        for kind in [Kind::Standard, Kind::Extended] {
            starts.extend(short_connections(Day::new(kind, FLAPPING, seed, sv2)));
        }
        starts.extend(short_connections(Day::new(Kind::Sv1, FLAPPING, seed, sv1)));
    }
    let fitting = starts.iter().filter(|rung| fits(**rung)).count();
    println!("{fitting} of {} began with what fits", starts.len());
    assert!(starts.len() > 1_000);
    assert!(fitting * 100 >= starts.len() * 99);
}

fn short_connections<S: Server>(mut day: Day<S>) -> Vec<Rung> {
    day.pass(DAY / 4);
    day.starts_after(FOUND_WITHIN)
}

/// The other half of the churn: a device that has to come back, again and again, is served at its
/// first attempt each time, and what it still sends of before never costs it the connection.
#[test]
fn a_device_that_comes_back_is_served_at_once() {
    for seed in 10..14 {
        let mut day = Day::new(Kind::Extended, FLAPPING, seed, sv2);
        day.pass(DAY / 4);
        assert!(day.troubles > 100);
        assert!(day.firmware.foreign > 0);
    }
}
