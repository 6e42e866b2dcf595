//! Blocks of Stratum V1 miners that roll their version within every width of mask (BIP310, BIP320).

use headframe_conformance::sv1::{Client, Solution};
use headframe_conformance::wait::until_true;
use headframe_conformance::wallet::Kind;
use headframe_conformance::{Bitcoind, Chain, FoundBlock, Key, Pool};

/// The bits that Stratum V1 rolls.
const ALL: u32 = 0x1fff_e000;

/// The `width` highest bits of all, and the `width` lowest.
fn masks() -> Vec<u32> {
    let lowest = ALL.trailing_zeros();
    let widths = 1..=ALL.count_ones();
    let low = widths.clone().map(|width| ((1 << width) - 1) << lowest);
    let high = widths.map(|width| ALL & !(ALL >> width));
    let mut masks: Vec<u32> = low.chain(high).collect();
    masks.sort_unstable();
    masks.dedup();
    masks
}

fn until_tip(node: &Bitcoind, solution: &Solution) {
    let hash = solution.hash.to_string();
    until_true(&format!("block {hash}"), || node.tip() == hash);
}

/// Each miner is granted the mask that it asks for, and mines a block with all its bits set and one with
/// none: the node has the version that the miner hashed, and nothing else is in it.
#[test]
fn a_block_has_the_version_that_was_rolled_within_any_mask() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let pool = Pool::on(&node);
    let address = Key::number(1).address(Kind::P2wpkh, node.chain().network());
    let masks = masks();
    assert_eq!(masks.len(), 31, "sixteen of each, of which one is both");
    for mask in masks {
        let mut miner = Client::connect(pool.listen());
        assert_eq!(miner.configure(mask | !ALL), mask);
        miner.subscribe();
        assert_eq!(miner.authorize(&address.to_string())["result"], true);
        for bits in [mask, 0] {
            let job = miner.job_on(&node.tip());
            let solution = miner.solve_rolled(&job, mask, bits);
            assert_eq!(miner.submit(&solution)["result"], true, "{mask:08x}");
            until_tip(&node, &solution);
            let found = FoundBlock::at(&node, node.height());
            let expected = job.version & !mask | bits;
            assert_eq!(found.version_bits(), expected, "{mask:08x}");
        }
    }
}

/// A miner that negotiated nothing rolls all the same, as a rented Antminer does, and is judged within
/// the usual mask. One that rolls more than it was granted is refused the share, but not the block.
#[test]
fn a_block_counts_whatever_was_granted() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let pool = Pool::on(&node);
    let address = Key::number(1).address(Kind::P2wpkh, node.chain().network());
    let mut miner = Client::mining(pool.listen(), &address.to_string());
    let job = miner.job_on(&node.tip());
    let solution = miner.solve_rolled(&job, ALL, ALL);
    assert_eq!(miner.submit(&solution)["result"], true);
    until_tip(&node, &solution);

    let mut miner = Client::connect(pool.listen());
    assert_eq!(miner.configure(1 << 13), 1 << 13);
    miner.subscribe();
    assert_eq!(miner.authorize(&address.to_string())["result"], true);
    let job = miner.job_on(&node.tip());
    let solution = miner.solve_rolled(&job, ALL, 1 << 20);
    let answer = miner.submit(&solution);
    assert_eq!(answer["error"][0], 20, "{answer}");
    until_tip(&node, &solution);
}
