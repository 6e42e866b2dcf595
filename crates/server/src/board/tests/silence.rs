//! Miners that are connected and give no share, and what the board makes of it.

use headframe_api::{MinerCounts, Silence, SilenceCode};

use super::*;

/// The arrival of an SV2 miner that declares `rate` hashes per second and takes no rung easier than
/// `easiest`; it is given rung 10.
fn declares(number: u64, rate: f64, easiest: Rung) -> News {
    let mut news = joined(0, number, "a", Protocol::Sv2);
    if let News::Joined { joined, .. } = &mut news {
        joined.declared = Hashrate::from_hashes_per_second(rate).unwrap();
        joined.easiest = easiest;
    }
    news
}

/// What the row says of the only miner.
fn silence(stage: &mut Stage, at: u64) -> Option<Silence> {
    let row = stage.look(at).miners.remove(0);
    assert_eq!(row.silence.is_some(), row.state == MinerState::Quiet);
    row.silence
}

fn codes(silence: Option<Silence>) -> Vec<SilenceCode> {
    let causes = silence.map(|silence| silence.causes).unwrap_or_default();
    causes.iter().map(|cause| cause.code).collect()
}

/// Seconds until a miner that never gives a share is silent.
fn patience(rate: f64, easiest: Rung) -> u64 {
    let mut stage = Stage::running();
    stage.tell(0, declares(1, rate, easiest));
    let is_silent = |at: &u64| silence(&mut stage, *at).is_some();
    (0..10_000).find(is_silent).unwrap()
}

#[test]
fn a_miner_has_ten_times_the_time_that_it_declared_but_minutes_at_least_and_an_hour_at_most() {
    // A share of rung 10 is 2^42 hashes.
    let one_a_second = 2f64.powi(42) * 65536.0 / 65535.0;
    assert_eq!(patience(one_a_second, Rung::EASIEST), 300);
    assert_eq!(patience(one_a_second / 30.0, Rung::EASIEST), 300);
    assert_eq!(patience(one_a_second / 100.0, Rung::EASIEST), 1_000);
    assert_eq!(patience(one_a_second / 1e6, Rung::EASIEST), 3_600);
    assert_eq!(patience(0.0, Rung::EASIEST), 300, "it said nothing");
}

#[test]
fn a_miner_of_which_nothing_arrives_may_read_the_target_wrongly() {
    let mut stage = Stage::running();
    stage.tell(0, declares(1, 1e12, Rung::EASIEST));
    let said = silence(&mut stage, 300).unwrap();
    assert_eq!(said.since_at, u64::from(DAWN));
    assert!((said.expected_share_seconds.unwrap() - 4.398).abs() < 1e-3);
    let expected = [SilenceCode::TargetByteOrder, SilenceCode::NothingArrives];
    assert_eq!(codes(Some(said)), expected);
    // SV1 has a difficulty in digits where SV2 has a target in bytes.
    let mut stage = Stage::running();
    stage.tell(0, joined(0, 1, "a", Protocol::Sv1));
    let said = silence(&mut stage, 300).unwrap();
    assert_eq!(said.expected_share_seconds, None);
    assert_eq!(codes(Some(said)), [SilenceCode::NothingArrives]);
}

#[test]
fn a_miner_that_had_shares_before_is_not_suspected_of_the_byte_order() {
    let mut stage = Stage::running();
    stage.tell(0, declares(1, 1e12, Rung::EASIEST));
    stage.tell(1, shares(1, 1, 1, 2_000.0));
    stage.tell(2, left(2, 1));
    stage.tell(3, declares(2, 1e12, Rung::EASIEST));
    assert_eq!(
        codes(silence(&mut stage, 303)),
        [SilenceCode::NothingArrives]
    );
    stage.tell(400, shares(400, 2, 1, 2_000.0));
    assert_eq!(silence(&mut stage, 400), None);
    let said = silence(&mut stage, 9_000).unwrap();
    assert_eq!(said.since_at, u64::from(DAWN) + 400);
    assert_eq!(codes(Some(said)), [SilenceCode::Stopped]);
}

#[test]
fn a_difficulty_that_is_too_high_is_said_with_the_figures() {
    let mut stage = Stage::running();
    stage.tell(0, declares(1, 1e6, Rung::EASIEST));
    let said = silence(&mut stage, 3_600).unwrap();
    assert_eq!(
        said.causes[0].text,
        "The difficulty is too high for what it said of itself: at 1.00 MH/s a share of difficulty \
         1024 takes about 50 days."
    );
    assert_eq!(said.causes[0].code, SilenceCode::DifficultyTooHigh);
    // Its own limit holds it there.
    let mut stage = Stage::running();
    stage.tell(0, declares(1, 1e6, Rung::from_exponent(10)));
    let said = silence(&mut stage, 3_600).unwrap();
    assert!(said.causes[0].text.contains("max_target"), "{said:?}");
    // A limit that fits what it declares is none that explains anything.
    let mut stage = Stage::running();
    stage.tell(0, declares(1, 1e12, Rung::from_exponent(10)));
    let said = silence(&mut stage, 300);
    assert!(!codes(said).contains(&SilenceCode::DifficultyTooHigh));
}

#[test]
fn rejected_shares_tell_why() {
    for (rejection, before, code) in [
        (Rejection::LowDifficulty, 0, SilenceCode::TargetByteOrder),
        (Rejection::LowDifficulty, 1, SilenceCode::OnlyRejected),
        (Rejection::TimeTooNew, 1, SilenceCode::Clock),
        (Rejection::TimeTooOld, 0, SilenceCode::Clock),
        (Rejection::Stale, 1, SilenceCode::OldWork),
        (Rejection::UnknownJob, 0, SilenceCode::OldWork),
        (Rejection::BadVersionBits, 0, SilenceCode::OnlyRejected),
    ] {
        let mut stage = Stage::running();
        stage.tell(0, declares(1, 1e12, Rung::EASIEST));
        // What was rejected before the last good share tells nothing.
        stage.tell(1, rejects(1, 0, &[(Rejection::Duplicate, 99)]));
        stage.tell(2, rejects(1, before, &[]));
        let kept = if before == 0 { 99 } else { 0 };
        stage.tell(
            3,
            rejects(1, 0, &[(rejection, kept + 3), (Rejection::Other, 1)]),
        );
        let said = silence(&mut stage, 900).unwrap();
        let text = said.causes[0].text.clone();
        assert_eq!(codes(Some(said)), [code], "{rejection:?}");
        let count = if before == 0 {
            "All 202 shares"
        } else {
            "All 4 shares"
        };
        assert!(text.starts_with(count), "{text}");
    }
}

#[test]
fn the_alarm_says_the_most_probable_cause() {
    let mut stage = Stage::running();
    stage.tell(0, declares(1, 1e12, Rung::EASIEST));
    stage.tell(9, rejects(1, 0, &[(Rejection::LowDifficulty, 7)]));
    let alarm = stage.alarm(300, "miner_quiet").unwrap();
    assert_eq!(
        alarm.detail,
        "a is connected, but no share of it has come for 5 minutes. All 7 shares of this \
         connection were rejected, mostly below the difficulty asked for. It probably reads the \
         target, or hashes the header, in the wrong byte order."
    );
    assert!(alarm.next_step.contains("headframe trace a"));
    let counts = MinerCounts {
        connected: 1,
        sv2_extended: 1,
        quiet: 1,
        ..MinerCounts::default()
    };
    assert_eq!(stage.look(301).summary.miners, counts);
}

#[test]
fn nobody_is_silent_while_there_is_no_work() {
    let mut stage = Stage::running();
    stage.tell(0, declares(1, 1e12, Rung::EASIEST));
    stage.tell(100, status(syncing(), 100));
    assert_eq!(silence(&mut stage, 5_000), None);
    stage.tell(5_000, status(Condition::Ready, 100));
    assert_eq!(silence(&mut stage, 5_299), None);
    assert!(silence(&mut stage, 5_300).is_some());
}
