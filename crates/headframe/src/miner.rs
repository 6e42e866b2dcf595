//! `headframe miner`: mine at any pool.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use headframe_miner::{Miner, MinerEvent, MinerReport, MinerSettings, Observer};
use headframe_transport::PoolUrl;
use tracing::{info, warn};

use crate::cli;
use crate::{interrupt, log};

/// How often the hashrate is printed.
const TOLD_EVERY: Duration = Duration::from_secs(60);

pub(crate) fn run(command: cli::Miner) -> anyhow::Result<()> {
    // Before the log, so that a second Ctrl-C is heard for as long as lines wait to be printed.
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let log = log::start("info");
    let is_json = command.json;
    let settings = settings(command)?;
    let report = runtime.block_on(mine(settings))?;
    // The result is the last that is printed.
    drop(log);
    match is_json {
        true => crate::say(&report.to_json()),
        false => print_report(&report),
    }
    Ok(())
}

fn settings(command: cli::Miner) -> anyhow::Result<MinerSettings> {
    let url = PoolUrl::parse(&command.url, command.insecure)?;
    if command.channel.is_some() && url.is_sv1() {
        warn!("--channel has no effect: {url} is Stratum V1, which has no kinds of channels");
    }
    let is_standard = matches!(command.channel, Some(cli::Channel::Standard));
    if command.worker.is_some() && (is_standard || url.is_sv1()) {
        warn!("--worker has no effect: only shares of SV2's extended channels carry a name");
    }
    Ok(MinerSettings {
        worker: command.worker,
        password: command.password,
        threads: command.threads,
        channel: command.channel.map(Into::into),
        throttle: command.throttle,
        roll_version: !command.fixed_version,
        ..MinerSettings::new(url, command.user)
    })
}

async fn mine(settings: MinerSettings) -> anyhow::Result<MinerReport> {
    let shutdown = interrupt::token();
    let (miner, observer) = Miner::new(settings);
    let watching = tokio::spawn(watch(observer));
    let report = miner.run(shutdown.cancelled_owned()).await?;
    watching.await?;
    Ok(report)
}

async fn watch(mut observer: Observer) {
    let mut told = Instant::now();
    while let Some(event) = observer.events.recv().await {
        match event {
            MinerEvent::Target(_) | MinerEvent::NewTip => tracing::debug!("{event}"),
            event => info!("{event}"),
        }
        if told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            info!("{}", observer.progress.borrow().hashrate);
        }
    }
}

fn print_report(report: &MinerReport) {
    let (accepted, rejected) = (report.shares_accepted, report.rejected());
    let hashrate = report.hashrate;
    crate::say(&format!(
        "{accepted} shares accepted, {rejected} rejected, {hashrate}"
    ));
}
