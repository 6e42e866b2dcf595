//! Everything of a header that is rolled but the nonce: version, extranonce, time, in this order.

use std::time::Instant;

use headframe_mining::client::{Extranonce, MiningWork};
use headframe_work::{Header, UnixTime};

/// The headers that can be made of one piece of work, by number. Each gives 2^32 nonces.
#[derive(Debug)]
pub(crate) struct Variants<'w> {
    work: &'w MiningWork,
    next: u128,
}

/// One header, its nonce still 0, and the extranonce that it was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Variant {
    pub(crate) header: Header,
    pub(crate) extranonce: Extranonce,
}

impl<'w> Variants<'w> {
    pub(crate) const fn new(work: &'w MiningWork) -> Self {
        Self { work, next: 0 }
    }

    /// The next header, or `None` while all that the time allows has been given out.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Variant> {
        let work = self.work;
        let versions = 1 << work.version_mask.count_ones();
        // Seven bytes are more than any processor can roll.
        let rolled_len = work.root.rolled_len();
        let extranonces = 1 << (8 * rolled_len.min(7));

        let (rest, version) = (self.next / versions, self.next % versions);
        let (seconds, extranonce) = (rest / extranonces, rest % extranonces);
        let time = self.time(now, u32::try_from(seconds).ok()?)?;
        self.next += 1;

        // The first version is one that was rolled, so that this is seen to work.
        let version = (version + 1) % versions;
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&extranonce.to_le_bytes());
        let extranonce = Extranonce::new(&bytes[..rolled_len])?;
        Some(Variant {
            header: Header {
                version: work.version ^ deposit(version as u32, work.version_mask),
                prev_hash: work.prev_hash,
                merkle_root: work.root.merkle_root(extranonce.as_bytes()),
                time,
                bits: work.bits,
                nonce: 0,
            },
            extranonce,
        })
    }

    /// `seconds` after the work's first time, if that is no further ahead than the clock (MP-64).
    fn time(&self, now: Instant, seconds: u32) -> Option<UnixTime> {
        let earliest = self.work.ntime.earliest().as_secs();
        let time = UnixTime::from_secs(earliest.checked_add(seconds)?);
        (time <= self.work.ntime.latest(now)).then_some(time)
    }
}

/// Puts the low bits of `bits` where `mask` has ones, lowest first.
const fn deposit(mut bits: u32, mut mask: u32) -> u32 {
    let mut out = 0;
    while mask != 0 {
        let lowest = mask & mask.wrapping_neg();
        if bits & 1 != 0 {
            out |= lowest;
        }
        bits >>= 1;
        mask ^= lowest;
    }
    out
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::collections::HashSet;
    use std::sync::Arc;

    use headframe_mining::client::{ClientEvent, Sv1Session, Sv1Settings};

    use super::*;

    /// Work with `rolled_len` bytes of extranonce and the version bits of `mask`, from the mouth of a pool.
    fn work(now: Instant, rolled_len: usize, mask: &str) -> Arc<MiningWork> {
        let settings = Sv1Settings {
            user_agent: String::new(),
            user: String::new(),
            password: String::new(),
            roll_version: true,
            suggest_difficulty: None,
        };
        let mut session = Sv1Session::new(now, &settings).unwrap();
        let hash = "ab".repeat(32);
        for line in [
            format!(
                r#"{{"id":1,"result":{{"version-rolling":true,"version-rolling.mask":"{mask}"}}}}"#
            ),
            format!(r#"{{"id":2,"result":[[],"c0ffee",{rolled_len}]}}"#),
            r#"{"id":3,"result":true}"#.to_owned(),
            format!(
                r#"{{"method":"mining.notify","params":["1","{hash}","01","02",[],"20006000","207fffff","00000064",true]}}"#
            ),
        ] {
            session.handle_line(now, line.as_bytes()).unwrap();
        }
        let events = core::iter::from_fn(|| session.poll_event());
        let mut works = events.filter_map(|event| match event {
            ClientEvent::Work(work) => Some(work),
            _ => None,
        });
        works.next().unwrap()
    }

    /// No header comes twice, none leaves the bounds of its work, and when all are used up more come as
    /// time passes: one second's worth a second (MP-64, MP-68).
    #[test]
    fn every_header_is_new_until_time_has_to_pass() {
        let now = Instant::now();
        let work = work(now, 1, "0000e000");
        let mut variants = Variants::new(&work);
        let mut seen = HashSet::new();
        for second in 0..3 {
            let now = now + Duration::from_secs(second);
            let mut count = 0;
            while let Some(Variant { header, extranonce }) = variants.next(now) {
                assert_eq!((header.version ^ work.version) & !0xe000, 0);
                assert_eq!(extranonce.as_bytes().len(), 1);
                assert_eq!(
                    header.merkle_root,
                    work.root.merkle_root(extranonce.as_bytes())
                );
                assert_eq!(u64::from(header.time.as_secs()), 100 + second);
                assert!(seen.insert(header.to_bytes()));
                count += 1;
            }
            assert_eq!(count, 8 * 256);
        }
    }

    /// The first header has a rolled version where versions may be rolled, and the job's own where not.
    #[test]
    fn versions_are_rolled_from_the_first_header_on() {
        let now = Instant::now();
        let first = |mask| {
            Variants::new(&work(now, 8, mask))
                .next(now)
                .unwrap()
                .header
                .version
        };
        assert_eq!(first("00000000"), 0x2000_6000);
        assert_eq!(first("0000e000"), 0x2000_4000);
        assert_eq!(first("1fffe000"), 0x2000_4000);
    }

    #[test]
    fn bits_are_put_where_the_mask_has_ones() {
        assert_eq!(deposit(0b101, 0x1fff_e000), 0b101 << 13);
        assert_eq!(deposit(u32::MAX, 0x1fff_ffe0), 0x1fff_ffe0);
        assert_eq!(deposit(0b110, 0b1001_0001), 0b1001_0000);
        assert_eq!(deposit(7, 0), 0);
    }
}
