//! The tables of `docs/difficulty.md`: simulated miners under three difficulty controls.
//!
//! `cargo run --release -p headframe-channels --example difficulty`

mod gopool;
mod ours;
mod reference;
mod simulation;

use gopool::GoPool;
use headframe_channels::DifficultySettings;
use ours::Ours;
use reference::Reference;
use simulation::{Control, Miner, Outcome, Simulation, Story};

const DAY: f64 = 86_400.0;
const SEEDS: u64 = 9;

fn main() {
    steady("What it declares is right", |rate| rate);
    steady("It declares 1 TH/s, whatever it is", |_| 1e12);
    steady("It declares nothing", |_| 0.0);
    stories();
    flapping();
    masked();
}

/// A row for each decade from 50 kH/s to 1 EH/s.
fn rates() -> impl Iterator<Item = f64> {
    [5e4]
        .into_iter()
        .chain((5..=18).map(|exponent| 10f64.powi(exponent)))
}

fn heading(title: &str, first: &str) {
    println!("\n### {title}\n");
    println!("| {first} | headframe | channels_sv2 | goPool's constants |");
    println!("| --- | --- | --- | --- |");
}

fn steady(title: &str, declared: impl Fn(f64) -> f64) {
    heading(title, "hashrate");
    for rate in rates() {
        let miner = miner(rate, Story::Steady);
        row(&name(rate), miner, declared(rate));
    }
}

fn stories() {
    let at = DAY / 2.0;
    for rate in [1e6, 1e12, 1e15] {
        heading(
            &format!("{}, from the change on", name(rate)),
            "what happens",
        );
        for (title, story) in [
            ("it halves", Story::Halves(at)),
            ("it doubles", Story::Doubles(at)),
            ("it comes back after an hour of silence", Story::Stops(at)),
            ("Wi-Fi drops", Story::Drops),
        ] {
            row(title, miner(rate, story), 1e12);
        }
    }
}

/// A miner of 10 MH/s that declares 1 TH/s, each time.
fn flapping() {
    heading(
        "10 MH/s, declared as 1 TH/s, on short connections",
        "each lasts",
    );
    for stays in [10.0, 20.0, 60.0, 240.0] {
        row(&clock(stays), miner(1e7, Story::Flaps(stays)), 1e12);
    }
}

/// Chips that report nothing below difficulty 256.
fn masked() {
    heading("Chips that report nothing below difficulty 256", "hashrate");
    for rate in [6e10, 8e10, 1e11, 1.2e11, 1.5e11, 3e11] {
        let miner = Miner {
            mask: 256.0,
            ..miner(rate, Story::Steady)
        };
        row(&name(rate), miner, 1e12);
    }
}

fn miner(rate: f64, story: Story) -> Miner {
    Miner {
        rate,
        story,
        mask: 0.0,
        seconds: 2.0 * DAY,
    }
}

fn name(rate: f64) -> String {
    let rate = headframe_work::Hashrate::from_hashes_per_second(rate);
    rate.expect("a finite rate")
        .to_string()
        .replace(".00", "")
        .replace(".0 ", " ")
}

fn row(title: &str, miner: Miner, declared: f64) {
    let settings = DifficultySettings::default();
    let wanted = settings.shares_per_minute;
    let cells = [
        cell(miner, wanted, || Ours::new(settings, declared)),
        cell(miner, wanted, || Reference::new(wanted, declared)),
        cell(miner, gopool::PER_MINUTE, || GoPool::new(0.0)),
    ];
    println!("| {title} | {} |", cells.join(" | "));
}

/// Runs the miner once for each seed, and says in a cell what came of it.
fn cell<C: Control>(miner: Miner, wanted: f64, control: impl Fn() -> C) -> String {
    let outcomes: Vec<Outcome> = (1..=SEEDS)
        .map(|seed| Simulation::new(&mut control(), miner, wanted, seed).run())
        .collect();
    let total = |value: fn(&Outcome) -> u64| outcomes.iter().map(value).sum::<u64>();
    let mean = |value: fn(&Outcome) -> f64| {
        outcomes.iter().map(value).sum::<f64>() / outcomes.len() as f64
    };
    let mut text = time_to_converge(&outcomes);
    let per_minute = mean(|outcome| outcome.per_minute);
    if per_minute >= 0.5 {
        text += &format!(
            " · {:.1} · {per_minute:.1} ({:.1})",
            mean(|outcome| outcome.changes_per_day),
            mean(|outcome| outcome.dispersion),
        );
        if miner.mask > 0.0 {
            text += &format!(" · {:.0} %", 100.0 * mean(|outcome| outcome.credited));
        }
    }
    let (refused, hung_up) = (total(|o| o.refused), total(|o| o.hung_up));
    if refused > 0 {
        text += &format!(" · **{refused} refused** of {}", total(|o| o.shares));
    }
    if hung_up > 0 {
        text += &format!(" · sent away {hung_up} times");
    }
    text
}

/// The median and the longest time.
fn time_to_converge(outcomes: &[Outcome]) -> String {
    let times = outcomes.iter().map(|outcome| outcome.converged);
    let mut times: Vec<f64> = times.map(|time| time.unwrap_or(f64::INFINITY)).collect();
    times.sort_by(f64::total_cmp);
    match (clock(times[times.len() / 2]), clock(times[times.len() - 1])) {
        (median, longest) if median == longest => median,
        (median, longest) => format!("{median}, {longest}"),
    }
}

fn clock(seconds: f64) -> String {
    if seconds.is_infinite() {
        return "never".to_owned();
    }
    let seconds = seconds.round() as u64;
    match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}
