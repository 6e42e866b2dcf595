//! What needs the operator, each with the one thing to do about it.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use headframe_api::{Alarm, RejectReason, Severity, SilenceCode};
use headframe_ledger::Ban;
use headframe_node::SubmitAnswer;
use headframe_transport::Fingerprint;
use headframe_work::{Network, UnixTime};

use super::bans::Bans;
use super::blocks::{Blocks, Found};
use super::convert;
use super::disk::{Disk, Slow};
use super::miner::HighRejects;
use super::miners::{Census, Miners, Missing};
use super::nodes::NodesView;
use super::proof::Proofs;
use crate::clock::Utc;
use crate::news::{CertificateNews, ShareTally, TlsNews, WarningNews};
use crate::numbered::numbered;

/// What happened lately is shown for so long.
const LATELY: Duration = Duration::from_secs(600);
/// Refused names that are shown, the latest.
const MAX_NAMES: usize = 5;
/// A miner that restarts is not missed.
const RESTART: Duration = Duration::from_secs(120);
/// A template that cannot be used stays an alarm for so long after it was last told of, even if
/// there was other work in the meantime: each miner tells on its own.
const NO_JOB_RESTS: Duration = Duration::from_secs(30);
/// What `submitblock` says of a block when the node does not know the one before it (BIP22).
const NO_PARENT: &str = "prev-blk-not-found";
/// How long a refused block is an alarm. It stays in the list of blocks.
const REFUSED_SHOWN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What happened that stays to be told, besides what blocks and miners show themselves.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    names: VecDeque<RefusedName>,
    bans: Bans,
    no_job: Option<NoJob>,
    ledger: Option<(String, UnixTime)>,
    disk: Disk,
    /// One for each set of keys.
    certificates: Vec<CertificateNews>,
    /// One for each certificate of TLS.
    tls: Vec<TlsNews>,
}

#[derive(Debug)]
struct RefusedName {
    user: String,
    reason: String,
    host: IpAddr,
    at: UnixTime,
    heard: Instant,
}

#[derive(Debug)]
struct NoJob {
    reason: String,
    since: UnixTime,
    heard: Instant,
    has_other_work: bool,
}

/// What alarms are made of, at one moment.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) now: Instant,
    pub(super) wall: UnixTime,
    /// Since when there has been work; `None` while there is none.
    pub(super) running_since: Option<Instant>,
    /// `None` while there is no node.
    pub(super) network: Option<Network>,
    /// The nodes, where there are several.
    pub(super) nodes: &'a NodesView,
    /// What to do about the node, when it cannot be used.
    pub(super) node_advice: Option<&'a str>,
    pub(super) blocks: &'a Blocks,
    pub(super) miners: &'a Miners,
    pub(super) census: &'a Census<'a>,
    pub(super) proofs: &'a Proofs,
    pub(super) example_address: &'a str,
}

impl Troubles {
    pub(super) fn handle_name(
        &mut self,
        (user, reason): (&str, &str),
        peer: SocketAddr,
        at: UnixTime,
        heard: Instant,
    ) {
        let (user, host) = (convert::clipped(user), peer.ip().to_canonical());
        self.names
            .retain(|name| (&name.user, name.host) != (&user, host));
        self.names.push_back(RefusedName {
            user,
            reason: convert::clipped(reason),
            host,
            at,
            heard,
        });
        if self.names.len() > MAX_NAMES {
            self.names.pop_front();
        }
    }

    pub(super) fn handle_ban(&mut self, ban: Ban) {
        self.bans.handle_ban(ban);
    }

    pub(super) fn handle_warning(&mut self, news: WarningNews, heard: Instant) {
        self.bans.handle_warning(news, heard);
    }

    pub(super) fn handle_no_job(&mut self, reason: &str, at: UnixTime, heard: Instant) {
        let since = self.no_job.as_ref().map_or(at, |no_job| no_job.since);
        self.no_job = Some(NoJob {
            reason: convert::clipped(reason),
            since,
            heard,
            has_other_work: false,
        });
    }

    pub(super) fn handle_work(&mut self) {
        if let Some(no_job) = &mut self.no_job {
            no_job.has_other_work = true;
        }
    }

    /// Takes in why the ledger takes nothing, if so; true when that is new.
    pub(super) fn handle_ledger(&mut self, trouble: Option<&str>, at: UnixTime) -> bool {
        let trouble = trouble.map(convert::clipped);
        if self.ledger() == trouble.as_deref() {
            return false;
        }
        let since = self.ledger.take().map_or(at, |(_, since)| since);
        self.ledger = trouble.map(|trouble| (trouble, since));
        true
    }

    pub(super) fn handle_shares(&mut self, tally: &ShareTally, at: UnixTime, heard: Instant) {
        self.disk.add((tally.accepted, tally.not_durable), heard);
        self.disk.advance(heard, at);
    }

    pub(super) fn handle_certificate(&mut self, certificate: CertificateNews) {
        self.certificates
            .retain(|known| known.path != certificate.path);
        self.certificates.push(certificate);
    }

    /// Takes in a certificate of TLS; gives the fingerprint of the one that was in these files before.
    pub(super) fn handle_tls(&mut self, tls: TlsNews) -> Option<Fingerprint> {
        let place = self.tls.iter().position(|known| known.path == tls.path);
        let before = place.map(|place| self.tls.swap_remove(place).fingerprint);
        self.tls.push(tls);
        before
    }

    /// Why the ledger takes nothing.
    pub(super) fn ledger(&self) -> Option<&str> {
        self.ledger.as_ref().map(|(reason, _)| reason.as_str())
    }

    /// Forgets what is over.
    pub(super) fn advance(&mut self, now: Instant, wall: UnixTime) {
        let is_over = |heard: Instant, after| now.saturating_duration_since(heard) >= after;
        self.names.retain(|name| !is_over(name.heard, LATELY));
        self.bans.advance(now, wall);
        self.no_job = self
            .no_job
            .take()
            .filter(|no_job| !(no_job.has_other_work && is_over(no_job.heard, NO_JOB_RESTS)));
        self.disk.advance(now, wall);
    }

    /// All alarms, the most urgent first, one for each cause.
    pub(super) fn alarms(&self, scene: &Scene<'_>) -> Vec<Alarm> {
        let causes = [
            block_refused(scene),
            scene.proofs.alarm(),
            self.no_job(),
            block_pending(scene),
            scene.nodes.alarm(),
            self.ledger_trouble(),
            self.shares_not_durable(),
            self.certificate_ends(scene.wall),
            self.tls_certificate_ends(scene.wall),
            self.tls_certificate_refused(),
            miner_quiet(scene),
            high_reject_rate(scene.census),
            self.name_refused(scene.example_address),
            miner_gone(scene),
            self.bans.banned(scene.wall),
            self.bans.warned(),
        ];
        let mut alarms: Vec<_> = causes.into_iter().flatten().collect();
        alarms.sort_by_key(|alarm| Reverse(alarm.severity));
        alarms
    }

    fn no_job(&self) -> Option<Alarm> {
        let no_job = self.no_job.as_ref()?;
        Some(Alarm {
            code: "no_job".into(),
            severity: Severity::Critical,
            title: "No job can be made of the node's template".into(),
            detail: format!(
                "{} Miners go on with the work they have.",
                convert::sentence(&no_job.reason)
            ),
            next_step: "Shorten the pool's tag in the coinbase, or update the pool if that does \
                        not help."
                .into(),
            since_at: convert::unix(no_job.since),
        })
    }

    fn ledger_trouble(&self) -> Option<Alarm> {
        let (reason, since) = self.ledger.as_ref()?;
        Some(Alarm {
            code: "ledger_trouble".into(),
            severity: Severity::Warning,
            title: "Shares cannot be written down".into(),
            detail: format!(
                "{} Mining goes on; shares are kept in memory and written when the ledger is well.",
                convert::sentence(reason)
            ),
            next_step: "Make room on the disk of the data directory, and see that it can be \
                        written."
                .into(),
            since_at: convert::unix(*since),
        })
    }

    /// While the ledger is in trouble that alarm says it all.
    fn shares_not_durable(&self) -> Option<Alarm> {
        let Slow { early, of, since } = self.disk.slow()?;
        if self.ledger.is_some() {
            return None;
        }
        Some(Alarm {
            code: "shares_not_durable".into(),
            severity: Severity::Warning,
            title: "The disk is slow".into(),
            detail: format!(
                "{early} of the {of} shares of the last ten minutes were acknowledged before the \
                 disk had written them; a power cut then would have lost them."
            ),
            next_step: "Put the data directory on a faster disk, one that nothing else keeps busy."
                .into(),
            since_at: convert::unix(since),
        })
    }

    /// Of the one that ends first.
    fn certificate_ends(&self, wall: UnixTime) -> Option<Alarm> {
        let is_due = |it: &&CertificateNews| !it.is_renewed_here && wall > it.renew_from;
        let due = self.certificates.iter().filter(is_due);
        let first = due.min_by_key(|it| it.ends)?;
        let left = first.ends.as_secs().saturating_sub(wall.as_secs());
        let days = u64::from(left.div_ceil(24 * 60 * 60));
        let (severity, title) = match wall > first.ends {
            true => (Severity::Critical, "The certificate has ended".to_owned()),
            false => (
                Severity::Warning,
                format!("The certificate ends in {}", numbered(days, "day", "days")),
            ),
        };
        Some(Alarm {
            code: "certificate_ends".into(),
            severity,
            title,
            detail: format!(
                "The one in {} holds until {}. Stratum V2 miners turn away from a pool without a valid \
                 one, and the authority's secret, which signs another, is not here.",
                first.path.display(),
                Utc(first.ends)
            ),
            next_step:
                "Make a request with headframe keys request, sign it where the secret is, and \
                        install the certificate. No restart is needed."
                    .into(),
            since_at: convert::unix(first.renew_from),
        })
    }

    /// Of the one that ends first.
    fn tls_certificate_ends(&self, wall: UnixTime) -> Option<Alarm> {
        let due = self.tls.iter().filter(|it| wall > it.warn_from);
        let first = due.min_by_key(|it| it.ends)?;
        let left = first.ends.as_secs().saturating_sub(wall.as_secs());
        let days = u64::from(left.div_ceil(24 * 60 * 60));
        let (severity, title) = match wall > first.ends {
            true => (
                Severity::Critical,
                "The certificate for TLS has ended".to_owned(),
            ),
            false => (
                Severity::Warning,
                format!(
                    "The certificate for TLS ends in {}",
                    numbered(days, "day", "days")
                ),
            ),
        };
        Some(Alarm {
            code: "tls_certificate_ends".into(),
            severity,
            title,
            detail: format!(
                "The one in {} holds until {}. Miners that look at it turn away then.",
                first.path.display(),
                Utc(first.ends)
            ),
            next_step: match first.is_own {
                true => "Remove that file and the key beside it and restart headframe: it makes                          another, of which miners that know its fingerprint have to be told.",
                false => "Put another certificate and its key there. No restart is needed.",
            }
            .into(),
            since_at: convert::unix(first.warn_from),
        })
    }

    fn tls_certificate_refused(&self) -> Option<Alarm> {
        let mut certificates = self.tls.iter();
        let (bad, (trouble, since)) =
            certificates.find_map(|it| Some((it, it.trouble.as_ref()?)))?;
        Some(Alarm {
            code: "tls_certificate_refused".into(),
            severity: Severity::Warning,
            title: "A new certificate for TLS cannot be used".into(),
            detail: format!(
                "{} The pool goes on with the one that it has, which holds until {}; a restart would \
                 fail.",
                convert::sentence(trouble),
                Utc(bad.ends)
            ),
            next_step: "Put a certificate and its own key there. No restart is needed.".into(),
            since_at: convert::unix(*since),
        })
    }

    fn name_refused(&self, example_address: &str) -> Option<Alarm> {
        let (first, last) = (self.names.front()?, self.names.back()?);
        let names = self.names.len() as u64;
        let example = match example_address {
            "" => String::new(),
            address => format!(", such as {address}.worker1"),
        };
        Some(Alarm {
            code: "name_refused".into(),
            severity: Severity::Warning,
            title: format!(
                "{} refused",
                numbered(names, "user name was", "user names were")
            ),
            detail: format!(
                "{:?} from {}: {}",
                last.user,
                last.host,
                convert::sentence(&last.reason)
            ),
            next_step: format!(
                "Set that miner's user name to an address of this network{example}."
            ),
            since_at: convert::unix(first.at),
        })
    }
}

fn block_refused(scene: &Scene<'_>) -> Option<Alarm> {
    let alarm = |title, reason: &str, file: Option<&str>, since| Alarm {
        code: "block_refused".into(),
        severity: Severity::Critical,
        title,
        detail: format!(
            "The node said: {reason}. Files of blocks are in the pool's data directory."
        ),
        next_step: by_hand(file, scene.network),
        since_at: convert::unix(since),
    };
    if let Some((found, reason)) = scene.blocks.refused()
        && found.found_at > scene.wall.saturating_sub(REFUSED_SHOWN)
    {
        let title = format!("Block {} was refused", found.height);
        return Some(alarm(title, reason, found.file.as_deref(), found.found_at));
    }
    let (hash, reason, at) = scene.blocks.refused_stranger(scene.wall)?;
    let title = "A block of an earlier run was refused".to_owned();
    Some(alarm(
        title,
        reason,
        Some(&format!("blocks/*-{hash}.hex")),
        at,
    ))
}

fn block_pending(scene: &Scene<'_>) -> Option<Alarm> {
    let (count, found) = scene.blocks.undelivered()?;
    let Found {
        height,
        trouble,
        attempts,
        ..
    } = found;
    let trouble = trouble.as_deref().unwrap_or_default();
    Some(Alarm {
        code: "block_pending".into(),
        severity: Severity::Warning,
        title: match count {
            1 => format!("Block {height} is not delivered yet"),
            more => format!("{more} blocks are not delivered yet"),
        },
        detail: format!(
            "{} Tried {} so far; the pool goes on trying.",
            convert::sentence(trouble),
            numbered((*attempts).into(), "time", "times")
        ),
        next_step: remedy_of_delivery(trouble, scene.node_advice),
        since_at: convert::unix(found.found_at),
    })
}

/// What to do about a block that the node has not taken for this reason.
fn remedy_of_delivery(trouble: &str, node_advice: Option<&str>) -> String {
    let lacks_parent = SubmitAnswer::from_result(Some(NO_PARENT));
    if SubmitAnswer::Retry(trouble.to_owned()) == lacks_parent {
        return "See whether the node is on another chain, or still syncing. If the block before it \
                is one of this pool's, that one's file in blocks/ may have to be submitted first."
            .to_owned();
    }
    node_advice
        .unwrap_or("See that the node runs and answers.")
        .to_owned()
}

fn by_hand(file: Option<&str>, network: Option<Network>) -> String {
    match (file, network) {
        (Some(file), Some(network)) => format!(
            "Submit it to another node by hand: {}",
            crate::blocks::by_hand(file, network)
        ),
        (Some(file), None) => format!("Submit it to another node by hand: it is in {file}."),
        (None, _) => "Read in the pool's log why its file could not be written.".to_owned(),
    }
}

fn miner_quiet(scene: &Scene<'_>) -> Option<Alarm> {
    let (missing, cause) = scene.census.quiet()?;
    let Missing {
        count,
        first,
        since,
    } = missing;
    Some(Alarm {
        code: "miner_quiet".into(),
        severity: Severity::Warning,
        title: match count {
            1 => "A miner is quiet".to_owned(),
            more => format!("{more} miners are quiet"),
        },
        detail: format!(
            "{first} is connected, but no share of it has come {}. {}",
            lasting(scene.wall, since),
            cause.text
        ),
        next_step: match cause.code {
            SilenceCode::NothingArrives | SilenceCode::Stopped => {
                format!("Look at {first}: see whether it is hashing, and restart it if not.")
            }
            SilenceCode::TargetByteOrder
            | SilenceCode::DifficultyTooHigh
            | SilenceCode::Clock
            | SilenceCode::OldWork
            | SilenceCode::OnlyRejected => format!(
                "Restart {first}, and update its firmware if it goes on. What it says shows with \
                 headframe trace {first}"
            ),
        },
        since_at: convert::unix(since),
    })
}

fn miner_gone(scene: &Scene<'_>) -> Option<Alarm> {
    let running = scene.now.saturating_duration_since(scene.running_since?);
    let missing = scene.miners.gone(scene.wall, RESTART)?;
    if running < RESTART {
        return None;
    }
    let Missing {
        count,
        first,
        since,
    } = missing;
    Some(Alarm {
        code: "miner_gone".into(),
        severity: Severity::Notice,
        title: match count {
            1 => "A miner has gone".to_owned(),
            more => format!("{more} miners have gone"),
        },
        detail: format!(
            "{first} has not been connected {}.",
            lasting(scene.wall, since)
        ),
        next_step: format!("See that {first} has power and network, unless you took it away."),
        since_at: convert::unix(since),
    })
}

fn high_reject_rate(census: &Census<'_>) -> Option<Alarm> {
    let (count, user, high) = census.high_rejects()?;
    let HighRejects {
        percent,
        reason,
        since,
    } = high;
    let (main, cause, next_step) = remedy(reason);
    Some(Alarm {
        code: "high_reject_rate".into(),
        severity: Severity::Warning,
        title: match count {
            1 => "Many shares of a miner are rejected".to_owned(),
            more => format!("Many shares of {more} miners are rejected"),
        },
        detail: format!("{user}: {percent:.1} % of the last shares, mostly {main}. {cause}"),
        next_step: next_step.to_owned(),
        since_at: convert::unix(since),
    })
}

/// What a rejection is called, what it usually comes of, and what to do.
pub(super) fn remedy(reason: RejectReason) -> (&'static str, &'static str, &'static str) {
    match reason {
        RejectReason::Stale => (
            "stale",
            "They arrive after the next block: the way to the pool is slow.",
            "Check the miner's network, above all a wireless one.",
        ),
        RejectReason::Duplicate => (
            "sent twice",
            "The miner's firmware searches the same numbers again.",
            "Restart the miner, and update its firmware if it goes on.",
        ),
        RejectReason::LowDifficulty => (
            "below the difficulty asked for",
            "The miner is overclocked too far, or does not follow the pool's difficulty.",
            "Lower the miner's clock, and update its firmware if it goes on.",
        ),
        RejectReason::UnknownJob | RejectReason::UnknownChannel => (
            "for work that was never sent to it",
            "The miner, or a proxy before it, mixes up its connections.",
            "Restart the miner, or the proxy before it.",
        ),
        RejectReason::Time => (
            "with a wrong time",
            "The miner changes the time in the header too far.",
            "Update the miner's firmware.",
        ),
        RejectReason::Version => (
            "with version bits that may not change",
            "The miner rolls the version in ways that were not agreed on.",
            "Update the miner's firmware.",
        ),
        RejectReason::Extranonce => (
            "with an extranonce of a wrong length",
            "The miner, or a proxy before it, goes on with the numbers of an old connection.",
            "Restart the miner, or the proxy before it.",
        ),
        RejectReason::Unauthorized => (
            "under a name that it did not log in with",
            "The miner submits under another user name.",
            "Set one user name on the miner.",
        ),
        RejectReason::Malformed | RejectReason::Other => (
            "not understood",
            "The miner speaks the protocol in a way of its own.",
            "Update the miner's firmware.",
        ),
    }
}

fn lasting(wall: UnixTime, since: UnixTime) -> String {
    let seconds = u64::from(wall.as_secs().saturating_sub(since.as_secs()));
    format!("for {}", span(seconds))
}

/// A time as people say it.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..120 => numbered(seconds, "second", "seconds"),
        120..7_200 => numbered(seconds / 60, "minute", "minutes"),
        7_200..172_800 => numbered(seconds / 3_600, "hour", "hours"),
        _ => numbered(seconds / 86_400, "day", "days"),
    }
}
