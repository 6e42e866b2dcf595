//! The control by itself; simulated miners are in `tests/difficulty.rs`.

use super::*;
use bitcoin::BlockHash;
use bitcoin::hashes::Hash;

const SETTINGS: DifficultySettings = DifficultySettings {
    shares_per_minute: 12.0,
    start: Rung::ONE,
    min: Rung::EASIEST,
    max: Rung::HARDEST,
};
const INTERVAL: Duration = Duration::from_secs(5);

fn rate(hashes_per_second: f64) -> Hashrate {
    Hashrate::from_hashes_per_second(hashes_per_second).unwrap()
}

fn rung(exponent: i32) -> Rung {
    Rung::from_exponent(exponent)
}

/// A control, and shares that come when a test says so.
struct Bench {
    control: DifficultyControl,
    now: Instant,
}

impl Bench {
    fn new(settings: DifficultySettings, declared: f64) -> Self {
        let now = Instant::now();
        let control = DifficultyControl::new(settings, rate(declared), Rung::EASIEST, now);
        Self { control, now }
    }

    fn exponent(&self) -> i32 {
        self.control.rung().exponent()
    }

    /// A share of the present rung, as good as its target asks.
    fn share(&mut self) {
        let rung = self.control.rung();
        self.share_of(rung, rung);
    }

    fn share_of(&mut self, rung: Rung, reached: Rung) {
        let hash = BlockHash::from_byte_array(reached.target().to_le_bytes());
        self.control.handle_share(self.now, &Credit { rung, hash });
    }

    fn shares(&mut self, count: u32, every: Duration) {
        for _ in 0..count {
            self.wait(every);
            self.share();
        }
    }

    /// Time passes, and every timer is served.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while self.control.poll_timeout() <= end {
            self.now = self.now.max(self.control.poll_timeout());
            self.control.handle_timeout(self.now);
            assert!(
                self.control.poll_timeout() > self.now,
                "the timer stands still"
            );
        }
        self.now = end;
    }
}

/// The first rung is the nearest to what is declared: of a factor of two, half on either side.
#[test]
fn the_first_rung_is_the_one_that_was_declared() {
    // 2^32 hashes in five seconds, nearly.
    for (declared, exponent) in [
        (0.62e9, 0),
        (0.86e9, 0),
        (1.2e9, 0),
        (1.23e9, 1),
        (1e12, 10),
    ] {
        assert_eq!(
            Bench::new(SETTINGS, declared).exponent(),
            exponent,
            "{declared}"
        );
    }
    assert_eq!(Bench::new(SETTINGS, 0.0).exponent(), 0, "nothing is known");
}

/// The operator's bounds and the client's `max_target` bound the first rung and all others.
#[test]
fn the_rung_stays_within_the_bounds() {
    let settings = DifficultySettings {
        min: rung(8),
        max: rung(20),
        ..SETTINGS
    };
    assert_eq!(Bench::new(settings, 0.0).exponent(), 8, "the start too");
    let mut bench = Bench::new(settings, 1e30);
    assert_eq!(bench.exponent(), 20);
    bench.shares(1000, Duration::from_millis(10));
    assert_eq!(bench.exponent(), 20);
    bench.wait(Duration::from_secs(24 * 3600));
    assert_eq!(bench.exponent(), 8);
    let now = bench.now;
    bench.control.handle_declared(now, Hashrate::ZERO, rung(12));
    assert_eq!(bench.exponent(), 12);
}

/// a device that never sent a share is eased by 16 per three intervals, at most 30 s; what is
/// silent for ever is not eased for ever.
#[test]
fn a_device_that_was_never_heard_is_eased_quickly_at_first() {
    let mut bench = Bench::new(SETTINGS, 1e12);
    for times in 1..=6 {
        bench.wait(INTERVAL * 3);
        assert_eq!(bench.exponent(), 10 - 4 * times);
    }
    bench.wait(INTERVAL * 3);
    assert_eq!(bench.exponent(), -14);
    bench.wait(INTERVAL * 3);
    assert_eq!(bench.exponent(), -18);

    let slow = DifficultySettings {
        shares_per_minute: 1.0,
        ..SETTINGS
    };
    let mut bench = Bench::new(slow, 1e12);
    let first = bench.exponent();
    bench.wait(Duration::from_secs(30));
    assert_eq!(bench.exponent(), first - 4);
}

/// A miner that was heard is eased after a hundred seconds without a share, and then after twice
/// as long each time.
#[test]
fn silence_is_answered_more_and_more_slowly() {
    let mut bench = Bench::new(SETTINGS, 1e12);
    bench.shares(100, INTERVAL);
    for (seconds, exponent) in [(98, 10), (2, 8), (196, 8), (4, 6), (392, 6), (4, 4)] {
        bench.wait(Duration::from_secs(seconds));
        assert_eq!(bench.exponent(), exponent);
    }
    // One share, and what was before tells nothing.
    bench.wait(Duration::from_secs(700));
    bench.share();
    bench.wait(Duration::from_secs(90));
    assert_eq!(bench.exponent(), 4);
}

/// Shares that the network held back come together. They look like a faster miner, but not like
/// one that is a thousand times as fast.
#[test]
fn a_burst_moves_the_rung_by_four_at_most() {
    let mut bench = Bench::new(SETTINGS, 1e12);
    bench.shares(100, INTERVAL);
    bench.wait(Duration::from_secs(90));
    bench.shares(18, Duration::ZERO);
    assert_eq!(bench.exponent(), 10, "a minute and a half");
    bench.shares(12, Duration::ZERO);
    assert_eq!(bench.exponent(), 14);
}

/// A share of a job that was sent before the rung changed counts what it was asked for.
#[test]
fn shares_of_earlier_jobs_count_as_what_they_are() {
    let mut bench = Bench::new(SETTINGS, 1e12);
    bench.shares(100, INTERVAL);
    for _ in 0..200 {
        bench.share_of(rung(2), rung(2));
    }
    assert_eq!(bench.exponent(), 10, "less than one share in all");
    for _ in 0..10 {
        bench.share_of(rung(30), rung(30));
    }
    assert_eq!(bench.exponent(), 10, "ten shares, however hard");
}

/// D12: what a miner says again, as a keep-alive, changes nothing.
#[test]
fn the_same_words_again_change_nothing() {
    let mut bench = Bench::new(SETTINGS, 0.0);
    bench.control.handle_suggestion(bench.now, rung(-13));
    assert_eq!(bench.exponent(), -13, "a fraction, for a device that asks");
    bench.shares(100, Duration::from_millis(100));
    let settled = bench.exponent();
    assert!(settled > -13);
    bench.control.handle_suggestion(bench.now, rung(-13));
    assert_eq!(bench.exponent(), settled);

    let mut bench = Bench::new(SETTINGS, 1e12);
    bench.wait(INTERVAL * 9);
    let eased = bench.exponent();
    bench
        .control
        .handle_declared(bench.now, rate(1e12), Rung::EASIEST);
    assert_eq!(bench.exponent(), eased);
}

/// UpdateChannel: a proxy whose miners come and go is believed, but not at every breath.
#[test]
fn a_declared_change_moves_the_rung_if_it_is_one() {
    let mut bench = Bench::new(SETTINGS, 1e12);
    let now = bench.now;
    for (declared, exponent) in [(1.4e12, 10), (0.9e12, 10), (8e12, 13), (1e9, 0)] {
        bench
            .control
            .handle_declared(now, rate(declared), Rung::EASIEST);
        assert_eq!(bench.exponent(), exponent, "{declared}");
    }
    bench.control.handle_declared(now, rate(1e9), rung(9));
    assert_eq!(bench.exponent(), 9, "the client's word");
    bench.control.handle_declared(now, rate(1e9), Rung::EASIEST);
    assert_eq!(bench.exponent(), 0, "its word is taken back");
}

/// What is known of a miner that said `word` and settled on rung `exponent`.
fn settled(exponent: i32, word: Option<Rung>) -> Box<Past> {
    let settings = DifficultySettings {
        start: rung(exponent),
        ..SETTINGS
    };
    let mut bench = Bench::new(settings, 0.0);
    bench.shares(24, INTERVAL);
    let mut past = bench.control.past(bench.now).unwrap();
    past.word = word;
    past
}

/// D13: what a worker had is used if the device says of itself what it said then, in whatever
/// order the pool and the device speak.
#[test]
fn the_past_is_taken_up_by_the_same_device() {
    let boast = Some(rung(10));
    let mut bench = Bench::new(SETTINGS, 1e12);
    bench.control.handle_past(bench.now, settled(-3, boast));
    assert_eq!(bench.exponent(), -3);
    // It is known, so that it is not eased like one that is a guess.
    bench.wait(INTERVAL * 4);
    assert_eq!(bench.exponent(), -3);

    let mut bench = Bench::new(SETTINGS, 1e13);
    bench.control.handle_past(bench.now, settled(-3, boast));
    assert_eq!(bench.exponent(), 14, "another device of this name");

    for suggests_first in [true, false] {
        let mut bench = Bench::new(SETTINGS, 0.0);
        let now = bench.now;
        if suggests_first {
            bench.control.handle_suggestion(now, rung(10));
        }
        bench.control.handle_past(now, settled(5, boast));
        if !suggests_first {
            assert_eq!(bench.exponent(), 0);
            bench.control.handle_suggestion(now, rung(10));
        }
        assert_eq!(bench.exponent(), 5);
    }

    let mut bench = Bench::new(SETTINGS, 1e12);
    bench.share();
    bench.control.handle_past(bench.now, settled(-3, boast));
    assert_eq!(bench.exponent(), 10, "it mines already");

    let floor = DifficultySettings {
        min: rung(4),
        ..SETTINGS
    };
    let mut bench = Bench::new(floor, 1e12);
    bench.control.handle_past(bench.now, settled(-3, boast));
    assert_eq!(
        bench.exponent(),
        4,
        "the operator's bounds are those of now"
    );
}

/// What is to be remembered is told at once where a connection's end may be noticed late: another
/// rung, and that the present one is right. Nothing else is.
#[test]
fn news_is_another_rung_or_a_settled_one() {
    let mut bench = Bench::new(SETTINGS, 1e12);
    for number in 1..=50 {
        bench.shares(1, INTERVAL);
        let news = bench.control.poll_past(bench.now);
        assert_eq!(news.is_some(), number == 24, "{number}");
        assert!(news.is_none_or(|past| past.rung() == rung(10)));
    }
    let mut bench = Bench::new(SETTINGS, 1e12);
    bench.wait(INTERVAL * 3);
    let news = bench.control.poll_past(bench.now).expect("it was eased");
    assert_eq!(news.rung(), rung(6));
    assert!(bench.control.poll_past(bench.now).is_none());
}

/// A miner that goes silent, or whose connection is dead before anybody notices, is remembered as it
/// was; and one that was never seen in all the time that it was eased is not remembered: it does not
/// mine yet.
#[test]
fn long_silence_teaches_nothing() {
    let mut bench = Bench::new(SETTINGS, 1e12);
    bench.shares(24, INTERVAL);
    bench.wait(Duration::from_secs(3600));
    assert!(bench.exponent() < 10);
    let past = bench.control.past(bench.now).unwrap();
    assert_eq!(past.rung(), rung(10));
    let mut later = Bench::new(SETTINGS, 1e12);
    later.control.handle_past(later.now, past);
    later.wait(Duration::from_secs(90));
    assert_eq!(later.exponent(), 10, "as if it began anew");

    // So it is once when it was silent from the beginning, but not again: it is another device.
    for (connection, is_believed) in [(1, false), (2, true)] {
        let mut silent = Bench::new(SETTINGS, 1e12);
        let past = later.control.past(later.now).unwrap();
        silent.control.handle_past(silent.now, past);
        silent.wait(Duration::from_secs(130));
        let eased = silent.exponent();
        assert!(eased < 6, "{connection}");
        let kept = silent.control.past(silent.now).unwrap().rung();
        assert_eq!(kept.exponent(), if is_believed { eased } else { 10 });
        later = silent;
    }

    let mut bench = Bench::new(SETTINGS, 1e12);
    bench.wait(INTERVAL * 3 * 6);
    assert!(bench.control.past(bench.now).is_some());
    bench.wait(Duration::from_secs(3600));
    assert!(bench.control.past(bench.now).is_none());
}

/// Connections of a second each teach as much as one that is as long as all of them, and the time
/// between them teaches nothing: what a device is given at each moment of its mining is the same.
#[test]
fn many_short_connections_are_one_long_one() {
    for every in [1u32, 3, 7, 40] {
        let mut long = Bench::new(SETTINGS, 1e12);
        let mut short = Bench::new(SETTINGS, 1e12);
        for second in 1..=600 {
            for bench in [&mut long, &mut short] {
                bench.wait(Duration::from_secs(1));
                if second > 70 && second % every == 0 {
                    bench.share();
                }
            }
            assert_eq!(short.exponent(), long.exponent(), "{every} {second}");
            let past = short.control.past(short.now).unwrap();
            short.now += Duration::from_secs(3600);
            short.control = DifficultyControl::new(SETTINGS, rate(1e12), Rung::EASIEST, short.now);
            short.control.handle_past(short.now, past);
            // The pool holds the first work until the device has spoken.
            short.now += Duration::from_millis(50);
            short.control.handle_first_job(short.now);
        }
        assert_ne!(long.exponent(), 10, "{every}");
    }
}

/// On a listener that wants another rate of shares the rung is taken up, and what was counted at the
/// old rate is not.
#[test]
fn evidence_is_of_one_rate() {
    let mut bench = Bench::new(SETTINGS, 1e12);
    bench.shares(24, INTERVAL);
    bench.wait(Duration::from_secs(95));
    let past = bench.control.past(bench.now).unwrap();
    let settings = DifficultySettings {
        shares_per_minute: 6.0,
        start: rung(10),
        ..SETTINGS
    };
    let mut other = Bench::new(settings, 0.0);
    other.control.word = past.word;
    other.control.handle_past(other.now, past);
    other.wait(Duration::from_secs(190));
    assert_eq!(other.exponent(), 10);
}

/// a device that was measured at 100 GH/s has nothing below 256, whatever it suggests; the
/// operator's hardest rung does, and the client's easiest one is above it if it is harder. A device
/// that slows down loses it.
#[test]
fn a_fast_device_has_a_floor_of_256() {
    // A share of difficulty 128 in this time: 130 GH/s.
    let every = Duration::from_secs_f64(128.0 * 4.295e9 / 1.3e11);
    let mut bench = Bench::new(SETTINGS, 0.9e11);
    assert_eq!(bench.exponent(), 7);
    for number in 0..400 {
        bench.wait(every);
        let own = bench.control.rung();
        bench.share_of(own, own.harder(number % 2));
        if bench.exponent() == 8 {
            break;
        }
    }
    assert_eq!(bench.exponent(), 8, "it was measured");
    bench.control.handle_suggestion(bench.now, Rung::ONE);
    assert_eq!(bench.exponent(), 8);
    bench
        .control
        .handle_declared(bench.now, rate(1e6), rung(12));
    assert_eq!(bench.exponent(), 12);
    bench
        .control
        .handle_declared(bench.now, rate(2e6), Rung::EASIEST);
    assert_eq!(bench.exponent(), 8);
    bench.shares(40, Duration::from_secs(60));
    assert!(bench.exponent() < 8, "18 GH/s");
}

/// A chip that leaves out easy shares is known by its luck, and a slow device never has it.
#[test]
fn a_chip_that_leaves_out_easy_shares_is_not_eased_for_ever() {
    let mut bench = Bench::new(SETTINGS, 1e9);
    assert_eq!(bench.exponent(), 0);
    for _ in 0..4 {
        bench.wait(INTERVAL);
        bench.share_of(Rung::ONE, rung(8));
    }
    assert_eq!(bench.exponent(), 0);
    bench.wait(INTERVAL);
    bench.share_of(Rung::ONE, rung(8));
    assert_eq!(bench.exponent(), 8, "forty bits of luck");
    bench.wait(Duration::from_secs(100));
    assert_eq!(bench.exponent(), 8, "chance");
    bench.wait(Duration::from_secs(200));
    assert_eq!(bench.exponent(), 6, "another device behind the same proxy");

    let mut bench = Bench::new(SETTINGS, 1e9);
    for number in 0..100 {
        bench.wait(INTERVAL);
        bench.share_of(Rung::ONE, rung(if number % 4 == 3 { 7 } else { 8 }));
    }
    assert_eq!(bench.exponent(), 0);
}

/// What a miner would have at least holds for all that eases it, and gives way to the operator and to
/// the network.
#[test]
fn what_a_miner_would_have_at_least() {
    let mut bench = Bench::new(SETTINGS, 0.0);
    bench.control.handle_least(bench.now, rung(3));
    assert_eq!(bench.exponent(), 3);
    bench.wait(Duration::from_secs(3600));
    assert_eq!(bench.exponent(), 3);
    bench.control.handle_suggestion(bench.now, rung(-5));
    assert_eq!(bench.exponent(), 3);
    let network = rung(1).target();
    assert_eq!(bench.control.rung_for(network), rung(1));
    bench.control.handle_least(bench.now, Rung::EASIEST);
    bench.control.handle_suggestion(bench.now, rung(-6));
    assert_eq!(bench.exponent(), -6);

    let settings = DifficultySettings {
        max: rung(2),
        ..SETTINGS
    };
    let mut bench = Bench::new(settings, 0.0);
    bench.control.handle_least(bench.now, rung(3));
    assert_eq!(bench.exponent(), 2);
}
