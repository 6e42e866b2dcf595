//! Shares: headers that meet the target of their work, or miss it, as is wanted.

use std::sync::Arc;

use headframe_mining::client::{Extranonce, JobHandle, MiningWork, Solution};
use headframe_work::{Header, HeaderSearch};

use super::Quality;

/// Hashes that a share may take on average where it is found while its connection waits.
const AT_ONCE: f64 = 64.0;

/// Hashes that a share may take on average at all: a second or so of one core.
const TOO_MANY: f64 = 16_777_216.0;

/// Nonces of a header.
const NONCES: u64 = 1 << 32;

/// Finds shares on one piece of work, no header twice.
#[derive(Debug)]
pub(super) struct ShareMaker {
    work: Arc<MiningWork>,
    quality: Quality,
    /// The highest 32 bits of the target.
    top: u32,
    search: HeaderSearch,
    extranonce: Extranonce,
    /// Extranonces used up.
    rolls: u64,
    /// The nonce to try next; [`NONCES`] when there is none.
    next: u64,
}

/// How much work a share takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// So little that it is found when it is wanted.
    Slight,
    /// It is to be found beforehand, elsewhere.
    Considerable,
    /// More than a load generator should do.
    TooMuch,
}

impl Effort {
    /// The effort of a share of `quality` on `work`.
    pub(super) fn of(quality: Quality, work: &MiningWork) -> Self {
        let chance = f64::from(top_of(work)) / NONCES as f64;
        let hashes = match quality {
            Quality::Valid => 1.0 / chance,
            Quality::AboveTarget => 1.0 / (1.0 - chance),
        };
        match hashes {
            _ if hashes <= AT_ONCE => Self::Slight,
            _ if hashes <= TOO_MANY => Self::Considerable,
            _ => Self::TooMuch,
        }
    }
}

impl ShareMaker {
    /// Begins with `work`. It is put together here, once for all shares.
    pub(super) fn new(work: Arc<MiningWork>, quality: Quality) -> Self {
        let top = top_of(&work);
        let extranonce = extranonce(&work, 0);
        Self {
            search: HeaderSearch::from_bytes(&header(&work, extranonce)),
            work,
            quality,
            top,
            extranonce,
            rolls: 0,
            next: 0,
        }
    }

    pub(super) fn job(&self) -> JobHandle {
        self.work.job
    }

    /// Hashes that were tried.
    pub(super) fn tried(&self) -> u64 {
        self.rolls * NONCES + self.next
    }

    /// The next share, if there is one within `hashes`.
    pub(super) fn find(&mut self, hashes: u32) -> Option<Solution> {
        if self.next == NONCES && !self.roll() {
            return None;
        }
        let left = u32::try_from(NONCES - self.next).unwrap_or(u32::MAX);
        let (first, count) = (self.next as u32, hashes.min(left));
        let nonce = match self.quality {
            // A hash whose top equals the target's may miss it, so only those below are taken.
            Quality::Valid => {
                let below = self.top.checked_sub(1)?;
                self.search.find(first, count, below)
            }
            Quality::AboveTarget => (0..count)
                .map(|offset| first.wrapping_add(offset))
                .find(|nonce| self.search.find(*nonce, 1, self.top).is_none()),
        };
        self.next = match nonce {
            Some(nonce) => u64::from(nonce) + 1,
            None => self.next + u64::from(count),
        };
        nonce.map(|nonce| self.solution(nonce))
    }

    fn solution(&self, nonce: u32) -> Solution {
        Solution {
            job: self.work.job,
            version: self.work.version,
            ntime: self.work.ntime.earliest(),
            nonce,
            extranonce: self.extranonce,
        }
    }

    /// Takes the next extranonce; false where there is none.
    fn roll(&mut self) -> bool {
        let rolled_bits = self.work.root.rolled_len().min(7) * 8;
        if self.rolls + 1 >= 1 << rolled_bits {
            return false;
        }
        self.rolls += 1;
        self.extranonce = extranonce(&self.work, self.rolls);
        self.search = HeaderSearch::from_bytes(&header(&self.work, self.extranonce));
        self.next = 0;
        true
    }
}

/// The highest 32 bits of the target.
fn top_of(work: &MiningWork) -> u32 {
    let [.., a, b, c, d] = work.target.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// As many bytes as the work has room for, with a number in them.
fn extranonce(work: &MiningWork, number: u64) -> Extranonce {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    let len = work.root.rolled_len().min(bytes.len());
    Extranonce::new(&bytes[..len]).expect("32 bytes are not too many")
}

fn header(work: &MiningWork, extranonce: Extranonce) -> [u8; Header::LEN] {
    let first = Solution {
        job: work.job,
        version: work.version,
        ntime: work.ntime.earliest(),
        nonce: 0,
        extranonce,
    };
    work.header(&first).to_bytes()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    use std::collections::HashSet;
    use std::time::Instant;

    use headframe_mining::client::{ClientEvent, Sv1Session, Sv1Settings};
    use headframe_work::Rung;

    /// Work of difficulty 2^`exponent` with `rolled_len` bytes of extranonce, from the mouth of a pool.
    pub(in crate::swarm) fn work(exponent: i32, rolled_len: usize) -> Arc<MiningWork> {
        let settings = Sv1Settings {
            user_agent: String::new(),
            user: String::new(),
            password: String::new(),
            roll_version: false,
            suggest_difficulty: None,
        };
        let now = Instant::now();
        let mut session = Sv1Session::new(now, &settings).unwrap();
        let (hash, difficulty) = ("ab".repeat(32), Rung::from_exponent(exponent).difficulty());
        for line in [
            format!(r#"{{"id":2,"result":[[],"c0ffee",{rolled_len}]}}"#),
            r#"{"id":3,"result":true}"#.to_owned(),
            format!(
                r#"{{"method":"mining.set_difficulty","params":[{:e}]}}"#,
                difficulty.as_f64()
            ),
            format!(
                r#"{{"method":"mining.notify","params":["1","{hash}","01","02",[],"20000000","1d00ffff","00000064",true]}}"#
            ),
        ] {
            session.handle_line(now, line.as_bytes()).unwrap();
        }
        let events = core::iter::from_fn(|| session.poll_event());
        let mut works = events.filter_map(|event| match event {
            ClientEvent::Work(work) => Some(work),
            _ => None,
        });
        let work = works.next().unwrap();
        assert_eq!(work.target, Rung::from_exponent(exponent).target());
        work
    }

    fn find_one(maker: &mut ShareMaker) -> Solution {
        core::iter::repeat_with(|| maker.find(1_000))
            .flatten()
            .next()
            .unwrap()
    }

    #[test]
    fn valid_shares_meet_the_target_and_wrong_ones_miss_it_and_none_comes_twice() {
        for (quality, exponent, is_valid) in [
            (Quality::Valid, -24, true),
            (Quality::Valid, -32, true),
            (Quality::AboveTarget, -24, false),
            (Quality::AboveTarget, 40, false),
        ] {
            let work = work(exponent, 8);
            let mut maker = ShareMaker::new(Arc::clone(&work), quality);
            let mut seen = HashSet::new();
            for _ in 0..100 {
                let share = find_one(&mut maker);
                let hash = work.header(&share).hash();
                assert_eq!(work.target.is_met_by(&hash), is_valid);
                assert!(seen.insert(hash));
            }
        }
    }

    #[test]
    fn the_search_goes_on_where_it_stopped() {
        let work = work(-20, 8);
        let mut at_once = ShareMaker::new(Arc::clone(&work), Quality::Valid);
        let mut in_steps = ShareMaker::new(work, Quality::Valid);
        let share = find_one(&mut at_once);
        let found = core::iter::repeat_with(|| in_steps.find(7))
            .flatten()
            .next();
        assert_eq!(found, Some(share));
        assert_eq!(in_steps.tried(), u64::from(share.nonce) + 1);
    }

    #[test]
    fn used_up_nonces_make_for_another_extranonce_where_there_is_one() {
        let mut maker = ShareMaker::new(work(-32, 1), Quality::Valid);
        for roll in 0..=255 {
            assert_eq!(find_one(&mut maker).extranonce.as_bytes(), [roll]);
            maker.next = NONCES;
        }
        assert_eq!(maker.find(1_000), None);
        assert_eq!(maker.find(1_000), None);
    }

    #[test]
    fn the_last_nonce_is_tried() {
        let mut maker = ShareMaker::new(work(-32, 1), Quality::Valid);
        maker.next = NONCES - 1;
        assert_eq!(maker.find(1_000).unwrap().nonce, u32::MAX);
        assert_eq!(maker.find(1_000).unwrap().nonce, 0);
    }

    #[test]
    fn the_effort_is_that_of_the_target() {
        use Quality::{AboveTarget, Valid};
        for (quality, exponent, effort) in [
            (Valid, -32, Effort::Slight),
            (Valid, -27, Effort::Slight),
            (Valid, -24, Effort::Considerable),
            (Valid, -9, Effort::Considerable),
            (Valid, -7, Effort::TooMuch),
            (Valid, 0, Effort::TooMuch),
            (Valid, 40, Effort::TooMuch),
            (AboveTarget, 40, Effort::Slight),
            (AboveTarget, -31, Effort::Slight),
            (AboveTarget, -32, Effort::Considerable),
        ] {
            let found = Effort::of(quality, &work(exponent, 8));
            assert_eq!(found, effort, "{quality:?} {exponent}");
        }
    }
}
