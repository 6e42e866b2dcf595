//! Bodies of the fuzz targets, beside the code that they test.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::hashes::Hash;
use bitcoin::{Address, Amount, BlockHash, CompactTarget, ScriptBuf, WPubkeyHash};
use headframe_channels::DifficultySettings;
use headframe_sv2_wire::Frame;
use headframe_work::{
    BlockLimits, Imprint, Network, PayoutPolicy, PoolTag, Rung, Template, UnixTime,
};

use super::parking::KEPT_FOR;
use super::{
    Hub, JobIds, NewTemplate, PoolRules, PoolWork, SessionEvent, SessionId, Sv1Session, Sv2Rules,
    Sv2Session,
};

/// What a session may give for one thing that happens: each message has at most some replies, and
/// work one job for each channel, of which these sessions have few.
const MAX_OUTPUT: usize = 1 << 20;

/// Whatever a Stratum V2 client sends, and whatever happens meanwhile: no panic, no timer that
/// stands still, no output without bound.
///
/// The data is read as steps: a kind, a length, so many bytes. Time begins at `now`, whenever that is.
///
/// # Panics
///
/// If it does not hold.
pub fn fuzz_sv2_session(now: Instant, data: &[u8]) {
    let mut pool = SmallPool::new(now);
    let mut session = Sv2Session::new(Arc::clone(&pool.rules), pool.work(), pool.now);
    for step in steps(data) {
        let is_open = match step {
            Step::Input(bytes) => take_frames(&mut pool, &mut session, bytes),
            Step::Pass(time) => {
                pool.now += time;
                true
            }
            Step::Work { is_new_tip } => {
                session.handle_work(pool.now, &pool.next_work(is_new_tip));
                true
            }
            Step::Commit(sequence) => {
                session.handle_committed(sequence);
                true
            }
        };
        let is_open = is_open
            && keep_time(pool.now, session.poll_timeout(), |now| {
                session
                    .handle_timeout(now)
                    .is_ok()
                    .then(|| session.poll_timeout())
            });
        pool.take_events(core::iter::from_fn(|| session.poll_event()));
        let mut len = 0;
        session.drain_output(|frame| len += frame.len());
        assert!(len <= MAX_OUTPUT, "{len} bytes for one step");
        if !is_open || session.is_finished() {
            break;
        }
    }
    session.handle_closed(pool.now);
    pool.take_events(core::iter::from_fn(|| session.poll_event()));
    pool.assert_nothing_kept();
}

/// The same for Stratum V1.
///
/// # Panics
///
/// If it does not hold.
pub fn fuzz_sv1_session(now: Instant, data: &[u8]) {
    let mut pool = SmallPool::new(now);
    let session = Sv1Session::new(Arc::clone(&pool.rules), pool.work(), pool.now);
    let mut session = session.resumable(SessionId::new([1; 16]));
    for step in steps(data) {
        let is_open = match step {
            Step::Input(bytes) => take_lines(&mut pool, &mut session, bytes),
            Step::Pass(time) => {
                pool.now += time;
                true
            }
            Step::Work { is_new_tip } => {
                session.handle_work(pool.now, &pool.next_work(is_new_tip));
                true
            }
            Step::Commit(sequence) => {
                session.handle_committed(sequence);
                true
            }
        };
        let is_open = is_open
            && keep_time(pool.now, session.poll_timeout(), |now| {
                session
                    .handle_timeout(now)
                    .is_ok()
                    .then(|| session.poll_timeout())
            });
        pool.take_events(core::iter::from_fn(|| session.poll_event()));
        session.drain_output(|lines| {
            assert!(
                lines.len() <= MAX_OUTPUT,
                "{} bytes for one step",
                lines.len()
            );
            assert!(lines.ends_with(b"\n"), "half a line");
        });
        if !is_open {
            break;
        }
    }
    session.handle_closed(pool.now);
    pool.take_events(core::iter::from_fn(|| session.poll_event()));
    pool.assert_nothing_kept();
}

/// One thing that happens to a session.
enum Step<'a> {
    Input(&'a [u8]),
    Pass(Duration),
    Work { is_new_tip: bool },
    Commit(u64),
}

fn steps(mut data: &[u8]) -> impl Iterator<Item = Step<'_>> {
    core::iter::from_fn(move || {
        let (&[kind, low, high], rest) = data.split_first_chunk()?;
        let len = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
        let (bytes, rest) = rest.split_at(len);
        data = rest;
        let number = bytes
            .iter()
            .take(4)
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        Some(match kind % 8 {
            0..=3 => Step::Input(bytes),
            4 => Step::Pass(Duration::from_millis(number)),
            5 => Step::Work { is_new_tip: false },
            6 => Step::Work { is_new_tip: true },
            _ => Step::Commit(number),
        })
    })
}

fn take_frames(pool: &mut SmallPool, session: &mut Sv2Session, mut bytes: &[u8]) -> bool {
    while let Some((frame, rest)) = Frame::split(bytes) {
        if session.wants_prefix() {
            session.add_prefix(pool.hub.lease_prefix().expect("2^32 are enough"));
        }
        if session.handle_frame(pool.now, frame).is_err() {
            return false;
        }
        bytes = rest;
    }
    true
}

fn take_lines(pool: &mut SmallPool, session: &mut Sv1Session, bytes: &[u8]) -> bool {
    bytes.split_inclusive(|byte| *byte == b'\n').all(|line| {
        if session.wants_prefix() {
            session.add_prefix(pool.hub.lease_prefix().expect("2^32 are enough"));
        }
        let is_taken = session.handle_line(pool.now, line).is_ok();
        if let Some(id) = session.wants_session() {
            session.handle_session(pool.now, pool.hub.resume(pool.now, id));
        }
        is_taken
    })
}

/// Does what is due; false when the connection ends.
fn keep_time(
    now: Instant,
    due: Option<Instant>,
    handle_timeout: impl FnOnce(Instant) -> Option<Option<Instant>>,
) -> bool {
    if due.is_none_or(|at| at > now) {
        return true;
    }
    let Some(next) = handle_timeout(now) else {
        return false;
    };
    assert!(next.is_none_or(|at| at > now), "the timer stands still");
    true
}

/// A pool with one session.
struct SmallPool {
    rules: Arc<PoolRules>,
    hub: Hub,
    now: Instant,
    tip: u8,
}

impl SmallPool {
    fn new(now: Instant) -> Self {
        let script = ScriptBuf::new_p2wpkh(&WPubkeyHash::all_zeros());
        let operator = Address::from_script(&script, bitcoin::Network::Regtest);
        let rules = Arc::new(PoolRules {
            payouts: PayoutPolicy {
                network: Network::Regtest,
                fee: None,
                plain_names: operator.ok(),
            },
            imprint: Imprint {
                tag: PoolTag::new("fuzz").expect("printable and short"),
                process: [0; 4],
            },
            difficulty: DifficultySettings {
                start: Rung::EASIEST,
                ..DifficultySettings::default()
            },
            ignores_suggestions: false,
            job_ids: JobIds::new(1),
            sv2: Sv2Rules::default(),
            password: None,
        });
        let mut pool = Self {
            hub: Hub::new(rules.job_ids.clone(), 0),
            rules,
            now,
            tip: 0,
        };
        pool.next_work(true);
        pool
    }

    fn work(&self) -> Arc<PoolWork> {
        Arc::clone(self.hub.work().expect("it begins with a template"))
    }

    fn next_work(&mut self, is_new_tip: bool) -> Arc<PoolWork> {
        self.tip = self.tip.wrapping_add(u8::from(is_new_tip));
        let new = NewTemplate {
            template: Arc::new(template(self.tip)),
            received: self.now,
            earliest: UnixTime::from_secs(1_000_000),
            latest: None,
        };
        self.hub
            .handle_template(self.now, new)
            .expect("a good template")
    }

    fn take_events(&mut self, events: impl Iterator<Item = SessionEvent>) {
        for event in events {
            if let SessionEvent::PrefixReturned(prefix) = event {
                self.hub.give_back_prefix(prefix);
            } else if let SessionEvent::Parked(session) = event {
                self.hub.park(self.now, *session);
            }
        }
    }

    fn assert_nothing_kept(&mut self) {
        self.now += KEPT_FOR;
        self.next_work(true);
        assert_eq!(self.hub.prefixes_in_use(), 0, "a prefix did not come back");
    }
}

fn template(tip: u8) -> Template {
    Template {
        network: Network::Regtest,
        height: 100,
        version: 0x2000_0000,
        fixed_version_bits: 0,
        prev_hash: BlockHash::from_byte_array([tip; 32]),
        bits: CompactTarget::from_consensus(0x207f_ffff),
        min_time: UnixTime::from_secs(1_000_000),
        current_time: UnixTime::from_secs(1_001_000),
        coinbase_value: Amount::from_sat(5_000_000_000),
        coinbase_sequence: 0xffff_fffe,
        coinbase_lock_time: 99,
        transactions: Vec::new(),
        witness_commitment: None,
        limits: BlockLimits::default(),
    }
}
