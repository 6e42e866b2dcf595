//! How a publisher of new blocks is, as a value for people: whether it is heard, since when, and what is the
//! matter. Not here: the connection, and what the log has of it.

use std::time::{Duration, Instant};

use super::ZmqAddress;
use crate::Tip;

/// That a block was announced is noted so often at most: whoever announces without a pause would have the node's
/// status told without one.
const NOTED_AGAIN: Duration = Duration::from_secs(1);

/// A place where a node publishes its new blocks, and how it is to listen there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publisher {
    address: ZmqAddress,
    link: PublisherLink,
    since: Instant,
    last_block: Option<Instant>,
    last_error: Option<(String, Instant)>,
    attention: Attention,
}

/// Whether a publisher is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublisherLink {
    /// It is not connected, and is tried again and again.
    Connecting,
    /// It is connected, and will tell of the next block as far as is known.
    Connected,
    /// It is connected, and has told of no block though there was one: it publishes something else.
    Mute,
}

/// What a connection was told of, held against what the node's templates say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Attention {
    /// Whether a block was announced.
    has_spoken: bool,
    /// The tip of the first template for which the node was asked: whatever comes after it, comes while it is
    /// listened to.
    first: Option<Tip>,
    /// A template on a higher tip has come. The next one that is asked for leaves the word of it time to come.
    is_higher: bool,
}

impl Publisher {
    /// The publisher at `address`, which is tried from `now` on.
    pub fn new(address: ZmqAddress, now: Instant) -> Self {
        Self {
            address,
            link: PublisherLink::Connecting,
            since: now,
            last_block: None,
            last_error: None,
            attention: Attention::default(),
        }
    }

    /// Where it publishes.
    pub fn address(&self) -> &ZmqAddress {
        &self.address
    }

    /// Whether it is heard.
    pub fn link(&self) -> PublisherLink {
        self.link
    }

    /// Since when that is so.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// When it last announced a block, to the second.
    pub fn last_block(&self) -> Option<Instant> {
        self.last_block
    }

    /// Why it was last not heard, and since when it was said: also of one that is heard now.
    pub fn last_error(&self) -> Option<(&str, Instant)> {
        let (error, at) = self.last_error.as_ref()?;
        Some((error, *at))
    }

    /// What is the matter, in plain words; `None`: nothing is, or it is not known yet.
    pub fn reason(&self) -> Option<&str> {
        match self.link {
            PublisherLink::Connecting => self.last_error().map(|(error, _)| error),
            PublisherLink::Connected => None,
            PublisherLink::Mute => Some("it says nothing of blocks, and there was a new one"),
        }
    }

    /// What to do about it, where something is the matter.
    pub fn advice(&self) -> Option<&'static str> {
        self.reason()?;
        match self.link {
            PublisherLink::Connecting => Some(
                "see whether the node runs and its bitcoin.conf has zmqpubrawblock or zmqpubhashblock with this \
                 address; long polls go on",
            ),
            PublisherLink::Connected => None,
            PublisherLink::Mute => Some(
                "check the node's -zmqpub options: this address wants zmqpubrawblock or zmqpubhashblock; long polls \
                 go on",
            ),
        }
    }

    /// It is connected, and knows what is wanted of it. True: that is news.
    pub fn handle_connected(&mut self, now: Instant) -> bool {
        self.attention = Attention::default();
        self.turn(PublisherLink::Connected, now);
        true
    }

    /// It is not heard, for this reason. True: that is news.
    pub fn handle_lost(&mut self, reason: &str, now: Instant) -> bool {
        let is_known = self.link == PublisherLink::Connecting
            && self.last_error().is_some_and(|(known, _)| known == reason);
        if !is_known {
            self.last_error = Some((reason.to_owned(), now));
            self.turn(PublisherLink::Connecting, now);
        }
        !is_known
    }

    /// It has announced a block. True: that is news.
    pub fn handle_block(&mut self, now: Instant) -> bool {
        let is_first = !core::mem::replace(&mut self.attention.has_spoken, true);
        let is_noted = self
            .last_block
            .is_some_and(|last| now.saturating_duration_since(last) < NOTED_AGAIN);
        if !is_noted {
            self.last_block = Some(now);
        }
        if self.link == PublisherLink::Mute {
            self.turn(PublisherLink::Connected, now);
        }
        is_first || !is_noted
    }

    /// The node has made a template on `tip`, for which it was `asked` then. True: that it is mute is news.
    ///
    /// The node changes its tip and publishes the block about when it answers, in either order. So a block counts
    /// as kept back where a template on the tip before it was asked for on this connection, and two on it or
    /// those after it. One that is not higher may be the old one again, of which nothing is published.
    pub fn handle_template(&mut self, tip: Tip, asked: Instant, now: Instant) -> bool {
        if self.link != PublisherLink::Connected || asked < self.since || self.attention.has_spoken
        {
            return false;
        }
        let first = *self.attention.first.get_or_insert(tip);
        if tip.height <= first.height {
            return false;
        }
        let is_mute = core::mem::replace(&mut self.attention.is_higher, true);
        if is_mute {
            self.turn(PublisherLink::Mute, now);
        }
        is_mute
    }

    fn turn(&mut self, link: PublisherLink, now: Instant) {
        if self.link != link {
            self.since = now;
        }
        self.link = link;
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::BlockHash;
    use bitcoin::hashes::Hash;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn publisher(now: Instant) -> Publisher {
        Publisher::new("tcp://127.0.0.1:28332".parse().unwrap(), now)
    }

    fn tip(height: u32) -> Tip {
        let hash = BlockHash::from_byte_array([height as u8; 32]);
        Tip { height, hash }
    }

    #[test]
    fn one_that_comes_and_goes_says_since_when_and_why_it_was_away() {
        let start = Instant::now();
        let at = |seconds| start + seconds * SECOND;
        let mut it = publisher(start);
        assert_eq!((it.link(), it.reason()), (PublisherLink::Connecting, None));
        assert!(it.handle_lost("nothing listens there", at(1)));
        assert_eq!(it.since(), start, "it was not there before");
        assert!(!it.handle_lost("nothing listens there", at(2)));
        assert_eq!(it.last_error(), Some(("nothing listens there", at(1))));
        assert!(it.handle_lost("it gives no answer", at(3)));
        assert_eq!(it.reason(), Some("it gives no answer"));
        assert!(it.advice().is_some());
        assert!(it.handle_connected(at(4)));
        assert_eq!((it.link(), it.since()), (PublisherLink::Connected, at(4)));
        assert_eq!((it.reason(), it.advice()), (None, None));
        assert_eq!(it.last_error(), Some(("it gives no answer", at(3))));
        // The same reason again is another loss.
        assert!(it.handle_lost("it gives no answer", at(9)));
        assert_eq!((it.link(), it.since()), (PublisherLink::Connecting, at(9)));
    }

    #[test]
    fn blocks_without_a_pause_are_news_once_a_second() {
        let start = Instant::now();
        let mut it = publisher(start);
        it.handle_connected(start);
        let news = (0..100).filter(|tenth| it.handle_block(start + *tenth * SECOND / 10));
        assert_eq!(news.count(), 10);
        assert_eq!(it.last_block(), Some(start + 9 * SECOND));
    }

    #[test]
    fn one_that_tells_of_no_new_block_is_mute_until_it_does() {
        let start = Instant::now();
        let at = |seconds| start + seconds * SECOND;
        let mut it = publisher(start);
        it.handle_connected(start);
        for (asked, height) in [(1, 100), (2, 100), (3, 101)] {
            assert!(!it.handle_template(tip(height), at(asked), at(asked)));
            assert_eq!(it.link(), PublisherLink::Connected);
        }
        assert!(it.handle_template(tip(101), at(33), at(34)));
        assert_eq!((it.link(), it.since()), (PublisherLink::Mute, at(34)));
        assert!(it.reason().is_some() && it.advice().is_some());
        assert!(!it.handle_template(tip(102), at(64), at(64)));
        assert!(it.handle_block(at(70)));
        assert_eq!((it.link(), it.since()), (PublisherLink::Connected, at(70)));
        assert!(!it.handle_template(tip(109), at(99), at(99)));
        assert_eq!(it.link(), PublisherLink::Connected);
    }

    /// Word of a block can be behind its template, have gone out before there was a connection, or be missing
    /// since an older block is the tip again.
    #[test]
    fn one_that_had_nothing_to_tell_is_not_mute() {
        let start = Instant::now();
        let at = |seconds| start + seconds * SECOND;
        let rows: [&[(u32, u32)]; 4] = [
            // Asked before it was connected.
            &[(0, 100), (0, 101), (0, 102)],
            // No template but on one tip.
            &[(2, 101), (3, 101), (4, 101)],
            // The higher one has just come.
            &[(2, 100), (3, 101)],
            // Its last blocks were taken back.
            &[(2, 100), (3, 98), (4, 98), (5, 100), (6, 100)],
        ];
        for templates in rows {
            let mut it = publisher(start);
            it.handle_connected(at(1));
            for &(asked, height) in templates {
                it.handle_template(tip(height), at(asked), at(asked));
            }
            assert_eq!(it.link(), PublisherLink::Connected, "{templates:?}");
        }
        // On another connection everything is open again.
        let mut it = publisher(start);
        it.handle_connected(at(1));
        it.handle_template(tip(100), at(2), at(2));
        it.handle_template(tip(101), at(3), at(3));
        it.handle_lost("it closed the connection", at(4));
        assert!(!it.handle_template(tip(101), at(5), at(5)));
        it.handle_connected(at(6));
        assert!(!it.handle_template(tip(101), at(7), at(7)));
        assert_eq!(it.link(), PublisherLink::Connected);
    }
}
