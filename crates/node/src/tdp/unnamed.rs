//! Solutions that were sent and that the provider has not named as its tip. To send is not to be read: a connection can
//! break before the provider has looked at what came, and the protocol has no answer by which that would show.
//!
//! Each is handed in again, once over each later connection that gives its template, until the provider names its
//! block, names another block at its height or above, or it has been sent [`MOST_TIMES`] times: a provider whose
//! node refuses a block says nothing either. Not here: how a template is known again, which the session does.

use std::collections::VecDeque;

use bitcoin::BlockHash;
use headframe_work::Header;

use crate::Tip;

/// Solutions that are kept; of more, the oldest go. On a network with real difficulty there is never a second.
const MOST: usize = 16;
/// Over so many connections one is sent.
const MOST_TIMES: u32 = 8;

/// A block as a solution has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Solution {
    pub(super) header: Header,
    pub(super) coinbase: Vec<u8>,
    pub(super) height: u32,
}

#[derive(Debug)]
struct Sent {
    solution: Solution,
    hash: BlockHash,
    times: u32,
    /// Whether it was sent over the present connection.
    is_sent: bool,
}

/// All of them, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Unnamed(VecDeque<Sent>);

impl Unnamed {
    /// A solution was sent.
    pub(super) fn keep(&mut self, solution: Solution) {
        let hash = solution.header.hash();
        if let Some(sent) = self.0.iter_mut().find(|sent| sent.hash == hash) {
            sent.is_sent = true;
            return;
        }
        self.0.push_back(Sent {
            solution,
            hash,
            times: 1,
            is_sent: true,
        });
        if self.0.len() > MOST {
            self.0.pop_front();
        }
    }

    /// The provider names a tip.
    pub(super) fn handle_tip(&mut self, tip: Tip) {
        self.0
            .retain(|sent| sent.hash != tip.hash && sent.solution.height > tip.height);
    }

    /// The connection is over. The blocks that it may have lost.
    pub(super) fn handle_end(&mut self) -> Vec<BlockHash> {
        self.0.retain(|sent| sent.times < MOST_TIMES);
        let lost = self.0.iter_mut().filter(|sent| sent.is_sent);
        let lost = lost.map(|sent| {
            sent.is_sent = false;
            sent.hash
        });
        lost.collect()
    }

    /// Hands in what was not sent over this connection. `submit` says whether it was.
    pub(super) fn send(&mut self, mut submit: impl FnMut(&Solution) -> bool) {
        for sent in self.0.iter_mut().filter(|sent| !sent.is_sent) {
            if submit(&sent.solution) {
                sent.is_sent = true;
                sent.times += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::CompactTarget;
    use bitcoin::hashes::Hash as _;
    use headframe_work::UnixTime;

    fn solution(height: u32, nonce: u32) -> Solution {
        let header = Header {
            version: 1,
            prev_hash: BlockHash::all_zeros(),
            merkle_root: [0; 32],
            time: UnixTime::from_secs(0),
            bits: CompactTarget::from_consensus(0),
            nonce,
        };
        Solution {
            header,
            coinbase: Vec::new(),
            height,
        }
    }

    fn tip(height: u32, hash: BlockHash) -> Tip {
        Tip { height, hash }
    }

    /// How many are handed in.
    fn sent(unnamed: &mut Unnamed) -> usize {
        let mut count = 0;
        unnamed.send(|_| {
            count += 1;
            true
        });
        count
    }

    #[test]
    fn what_was_sent_is_sent_again_over_another_connection_until_it_is_named() {
        let mut unnamed = Unnamed::default();
        let block = solution(10, 1);
        unnamed.keep(block.clone());
        assert_eq!(sent(&mut unnamed), 0, "it was, over this one");
        assert_eq!(unnamed.handle_end(), [block.header.hash()]);
        unnamed.send(|_| false);
        assert_eq!(unnamed.handle_end(), [], "it was told");
        unnamed.handle_tip(tip(9, BlockHash::all_zeros()));
        assert_eq!(sent(&mut unnamed), 1);
        assert_eq!(sent(&mut unnamed), 0, "once");
        unnamed.handle_end();
        unnamed.handle_tip(tip(10, block.header.hash()));
        assert_eq!(sent(&mut unnamed), 0);
    }

    #[test]
    fn another_block_at_its_height_ends_it_and_so_do_too_many_tries() {
        let mut unnamed = Unnamed::default();
        unnamed.keep(solution(10, 1));
        unnamed.keep(solution(11, 2));
        unnamed.handle_end();
        unnamed.handle_tip(tip(10, BlockHash::from_byte_array([7; 32])));
        assert_eq!(sent(&mut unnamed), 1, "the later one is not out of date");
        let again = (0..100).map(|_| {
            unnamed.handle_end();
            sent(&mut unnamed)
        });
        assert_eq!(again.sum::<usize>() as u32, MOST_TIMES - 2);
    }

    #[test]
    fn there_are_never_many() {
        let mut unnamed = Unnamed::default();
        for nonce in 0..100 {
            unnamed.keep(solution(10, nonce));
            unnamed.keep(solution(10, nonce));
        }
        assert_eq!(unnamed.handle_end().len(), MOST);
    }
}
