//! What the chooser chooses, in single cases and in any.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn giving(now: Instant, height: u32) -> Known {
    Known {
        state: State::Giving,
        height: Some(height),
        template_at: Some(now),
        has_peers: true,
    }
}

fn failed(height: u32) -> Known {
    Known {
        state: State::Failed,
        height: Some(height),
        template_at: None,
        has_peers: true,
    }
}

/// A chooser among nodes that are all at this height.
fn all_at(now: Instant, nodes: usize, height: u32) -> Chooser {
    let mut chooser = Chooser::new(nodes);
    for node in 0..nodes {
        chooser.handle(now, node, giving(now, height));
    }
    chooser
}

#[test]
fn the_first_that_answers_is_mined_on_until_the_preferred_one_does() {
    let now = Instant::now();
    let mut chooser = Chooser::new(2);
    assert_eq!(chooser.advance(now), None);
    chooser.handle(now, 1, giving(now, 7));
    assert_eq!(chooser.chosen(), Some(1));
    // It was only slower, and has failed nobody.
    chooser.handle(now + SECOND, 0, giving(now, 7));
    assert_eq!(chooser.chosen(), Some(0));
}

#[test]
fn a_node_that_fails_is_left_at_once_and_taken_back_when_it_has_been_well_for_a_while() {
    let start = Instant::now();
    let mut chooser = all_at(start, 3, 7);
    assert_eq!(chooser.chosen(), Some(0));
    chooser.handle(start + SECOND, 0, failed(7));
    assert_eq!(chooser.chosen(), Some(1));
    let back = start + 10 * SECOND;
    chooser.handle(back, 0, giving(back, 7));
    assert_eq!(chooser.chosen(), Some(1));
    assert_eq!(chooser.standing(back, 0), Standing::Recovering);
    assert_eq!(chooser.poll_timeout(back), Some(back + WELL_AFTER));
    assert_eq!(chooser.advance(back + WELL_AFTER - SECOND), Some(1));
    assert_eq!(chooser.advance(back + WELL_AFTER), Some(0));
    assert_eq!(chooser.standing(back + WELL_AFTER, 0), Standing::Well);
}

#[test]
fn a_node_that_fails_again_and_again_is_waited_for_longer_each_time() {
    let mut now = Instant::now();
    let mut chooser = all_at(now, 2, 7);
    for patience in [60, 120, 240, 480, 960, 960] {
        chooser.handle(now, 0, failed(7));
        now += SECOND;
        chooser.handle(now, 0, giving(now, 7));
        chooser.handle(now, 1, giving(now, 7));
        let back = now + Duration::from_secs(patience);
        while now < back {
            assert_eq!(chooser.chosen(), Some(1), "{patience}");
            now += 10 * SECOND;
            chooser.handle(now, 1, giving(now, 7));
            chooser.handle(now, 0, giving(now, 7));
        }
        assert_eq!(chooser.chosen(), Some(0), "{patience}");
    }
}

#[test]
fn a_node_that_is_behind_for_longer_than_blocks_take_is_left() {
    let start = Instant::now();
    let mut chooser = all_at(start, 2, 7);
    chooser.handle(start, 1, giving(start, 8));
    assert_eq!(
        chooser.chosen(),
        Some(0),
        "it may hear of the block any moment"
    );
    assert_eq!(chooser.poll_timeout(start), Some(start + BEHIND_GRACE));
    assert_eq!(chooser.advance(start + BEHIND_GRACE), Some(1));
    let late = start + BEHIND_GRACE;
    assert_eq!(chooser.standing(late, 0), Standing::Behind(1));
    // Had it come in time, nothing would have changed.
    let mut chooser = all_at(start, 2, 7);
    chooser.handle(start, 1, giving(start, 8));
    chooser.handle(start + SECOND, 0, giving(start, 8));
    assert_eq!(chooser.advance(late), Some(0));
}

#[test]
fn two_blocks_of_one_height_do_not_switch_the_tip() {
    // The chooser is not even told of hashes: who is mined on is kept.
    let start = Instant::now();
    let mut chooser = all_at(start, 2, 7);
    chooser.handle(start, 0, failed(7));
    for second in 1..30 {
        let now = start + second * SECOND;
        chooser.handle(now, 0, giving(now, 7));
        assert_eq!(chooser.chosen(), Some(1));
    }
}

#[test]
fn work_on_a_block_that_only_the_lost_node_knew_is_kept_for_a_while() {
    let start = Instant::now();
    let mut chooser = all_at(start, 2, 7);
    chooser.handle(start, 0, giving(start, 8));
    chooser.handle(start + SECOND, 0, failed(8));
    assert_eq!(chooser.chosen(), None, "the other knows less");
    let mut heard = chooser.clone();
    heard.handle(start + 2 * SECOND, 1, giving(start, 8));
    assert_eq!(heard.chosen(), Some(1));
    let late = start + SECOND + CATCH_UP;
    assert_eq!(chooser.poll_timeout(start + 3 * SECOND), Some(late));
    assert_eq!(chooser.advance(late), Some(1));
}

#[test]
fn a_doubtful_node_is_mined_on_only_while_there_is_no_other() {
    let start = Instant::now();
    let alone = Known {
        has_peers: false,
        ..giving(start, 7)
    };
    let mut chooser = all_at(start, 2, 7);
    chooser.handle(start, 0, alone);
    assert_eq!(chooser.chosen(), Some(1));
    assert_eq!(chooser.standing(start, 0), Standing::Alone);
    chooser.handle(start, 1, failed(7));
    assert_eq!(chooser.chosen(), Some(0));
    // One that gives no new templates is doubtful too.
    let mut chooser = all_at(start, 2, 7);
    let late = start + TEMPLATE_TOO_OLD;
    chooser.handle(late, 1, giving(late, 7));
    assert_eq!(chooser.chosen(), Some(1));
    assert_eq!(chooser.standing(late, 0), Standing::Stuck);
}

/// Something that happens, to one of three nodes.
fn event() -> impl Strategy<Value = (u64, usize, u8, bool)> {
    (1..20_000_u64, 0..3_usize, 0..8_u8, any::<bool>())
}

proptest! {
    /// Whatever happens: who is mined on gives templates, is behind no longer than the grace, and no node that
    /// gives templates is left waiting longer than what is said.
    #[test]
    fn nobody_is_mined_on_that_should_not_be(
        events in proptest::collection::vec(event(), 1..200),
    ) {
        let mut now = Instant::now();
        let mut chooser = Chooser::new(3);
        let mut known = [None::<Known>; 3];
        let mut behind_since = None;
        let mut without_since = None;
        for (millis, node, what, has_peers) in events {
            let until = now + Duration::from_millis(millis);
            // The timer runs as it asks to.
            while let Some(due) = chooser.poll_timeout(now).filter(|due| *due <= until) {
                prop_assert!(due > now, "it asks for a time that has passed");
                now = due;
                let is_without = chooser.advance(now).is_none();
                without_since = without_since.filter(|_| is_without);
            }
            now = until;
            let height = known[node].and_then(|it| it.height).unwrap_or(100);
            let new = match what {
                0 => failed(height),
                1..=3 => Known { has_peers, ..giving(now, height + 1) },
                _ => Known { has_peers, ..giving(now, height) },
            };
            known[node] = Some(new);
            chooser.handle(now, node, new);

            let is_giving = |it: &Option<Known>| it.is_some_and(|it| it.state == State::Giving);
            let longest = known.iter().filter(|it| is_giving(it)).filter_map(|it| it.unwrap().height).max();
            let chosen = chooser.chosen();
            behind_since = chosen.and_then(|chosen| {
                let is_behind = known[chosen].unwrap().height < longest;
                let since = behind_since.filter(|(who, _)| *who == chosen);
                is_behind.then(|| since.unwrap_or((chosen, now)))
            });
            prop_assert!(chosen.is_none_or(|chosen| is_giving(&known[chosen])));
            if let Some((_, since)) = behind_since {
                prop_assert!(now < since + BEHIND_GRACE);
            }
            let is_without = chosen.is_none() && known.iter().any(is_giving);
            without_since = is_without.then(|| without_since.unwrap_or(now));
            if let Some(since) = without_since {
                prop_assert!(now < since + CATCH_UP + BEHIND_GRACE);
            }
        }
    }

    /// However a node flaps, the pool goes to it and away from it no more than so often.
    #[test]
    fn nodes_that_flap_are_not_followed(tens in proptest::collection::vec(1..12_u64, 100)) {
        let start = Instant::now();
        let mut now = start;
        let mut chooser = all_at(now, 2, 7);
        let (mut changes, mut last) = (0, chooser.chosen());
        for (turn, tens) in tens.into_iter().enumerate() {
            let first = if turn % 2 == 0 { failed(7) } else { giving(now, 7) };
            chooser.handle(now, 0, first);
            for _ in 0..tens {
                now += 10 * SECOND;
                chooser.handle(now, 1, giving(now, 7));
                if turn % 2 == 1 {
                    chooser.handle(now, 0, giving(now, 7));
                }
                changes += usize::from(chooser.chosen() != last);
                last = chooser.chosen();
            }
        }
        // No period is as long as the second wait: it is taken back after the first one at most.
        prop_assert!(changes <= 3, "{changes}");
    }
}
