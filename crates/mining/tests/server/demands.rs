//! What the pool asks of clients that bear it, and of no others. The scripted miner panics at these
//! messages unless it introduced itself as our own, and at whatever comes after `Reconnect`.

use headframe_channels::ChannelId;
use headframe_mining::server::{NotClosed, SessionEvent};
use headframe_sv2_wire::{Str255, codes};
use headframe_testkit::{Pool, address};

use crate::{STANDARD_JOBS, open, pool, share, with_channel};

const WHY: codes::Code<'static> = codes::CLOSED_BY_OPERATOR;

/// As our own miner introduces itself.
fn ours(pool: &mut Pool, flags: u32) -> usize {
    let link = pool.connect_sv2();
    pool.sv2[link].miner.set_up_as_ours(flags);
    link
}

fn close(pool: &mut Pool, link: usize, id: u32) -> Result<(), NotClosed> {
    let now = pool.now;
    let session = &mut pool.sv2[link].session;
    let closed = session.close_channel(now, ChannelId::new(id), WHY);
    pool.pump();
    closed
}

fn host(text: &str) -> Str255<'_> {
    Str255::new(text).expect("short")
}

/// FR-36: the client is told where to go, and nothing after it; MP-42: answers that wait come before.
#[test]
fn who_bears_it_is_asked_to_connect_again_and_hears_nothing_after_that() {
    for (to, port) in [("", 0), ("b.example", 0), ("", 3334), ("b.example", 3334)] {
        let mut pool = pool();
        let link = ours(&mut pool, 0);
        let id = open(&mut pool, link, true, 1);
        let nonce = share(&pool, link, id, 1);
        pool.sv2[link].miner.submit(id, &nonce);
        pool.pump();
        assert!(pool.sv2[link].session.reconnect(host(to), port));
        pool.new_tip();
        let connection = &pool.sv2[link];
        assert_eq!(connection.miner.sent_to, Some((to.to_owned(), port)));
        assert!(connection.session.is_finished());
        assert!(!pool.sv2[link].session.reconnect(host(to), port), "once");
        pool.close_sv2(link);
        pool.new_tip();
        assert_eq!(pool.hub.prefixes_in_use(), 0);
    }
}

/// Whoever has a channel that he was not told of yet is told of it first.
#[test]
fn an_opening_is_answered_before_the_demand() {
    let mut pool = pool();
    let link = ours(&mut pool, 0);
    open(&mut pool, link, false, 1);
    let user = address(2).to_string();
    pool.sv2[link]
        .miner
        .open_standard(&user, 0.0, headframe_sv2_wire::U256::MAX);
    pool.pump();
    pool.sv2[link].session.reconnect(host(""), 0);
    pool.pump();
    let miner = &pool.sv2[link].miner;
    assert_eq!(miner.channels.len(), 2);
    assert_eq!(miner.transcript.last().unwrap(), "Reconnect");
}

#[test]
fn who_is_not_known_to_bear_it_is_asked_for_nothing() {
    let mut pool = pool();
    let silent = pool.connect_sv2();
    assert!(!pool.sv2[silent].session.reconnect(host(""), 0));
    let (link, id) = with_channel(&mut pool, true, 1);
    let sent = pool.sv2[link].sent_bytes;
    assert!(!pool.sv2[link].session.reconnect(host("b.example"), 1));
    assert_eq!(close(&mut pool, link, id), Err(NotClosed::NotBorne));
    assert_eq!(pool.sv2[link].sent_bytes, sent);
    assert!(!pool.sv2[link].session.is_finished());
    // It mines on.
    let nonce = share(&pool, link, id, 1);
    let sequence = pool.sv2[link].miner.submit(id, &nonce);
    pool.pump();
    assert_eq!(pool.sv2[link].miner.rejection(sequence), None);
}

/// MP-51, MP-55: the channel alone ends; what it held comes back, and its shares are refused.
#[test]
fn a_channel_is_closed_and_what_it_held_comes_back() {
    let mut pool = pool();
    let link = ours(&mut pool, 0);
    let first = open(&mut pool, link, true, 1);
    let second = open(&mut pool, link, true, 1);
    let nonce = share(&pool, link, first, 1);
    assert_eq!(close(&mut pool, link, first), Ok(()));
    let miner = &mut pool.sv2[link].miner;
    assert_eq!(miner.closed, [(first, "closed-by-operator".to_owned())]);
    let sequence = miner.submit_as(first, true, &nonce);
    pool.new_tip();
    let connection = &pool.sv2[link];
    assert_eq!(
        connection.miner.rejection(sequence),
        Some("invalid-channel-id")
    );
    let left =
        |event: &SessionEvent| matches!(event, SessionEvent::Left { seat } if seat.get() == first);
    assert!(connection.events.iter().any(left));
    let returned = |event: &SessionEvent| matches!(event, SessionEvent::PrefixReturned(_));
    assert!(connection.events.iter().any(returned));
    // The other goes on, and is addressed by its own id.
    assert_eq!(connection.miner.channels[&second].jobs.len(), 2);
    assert_eq!(close(&mut pool, link, first), Err(NotClosed::Unknown));
    assert_eq!(close(&mut pool, link, 999), Err(NotClosed::Unknown));
}

/// MP-55: a group's id closes its members by one message, and nobody else.
#[test]
fn a_group_is_closed_with_all_its_channels() {
    let mut pool = pool();
    let link = ours(&mut pool, 0);
    let first = open(&mut pool, link, true, 1);
    open(&mut pool, link, true, 1);
    let other = open(&mut pool, link, true, 2);
    let group = pool.sv2[link].miner.channels[&first].group;
    assert_eq!(close(&mut pool, link, group), Ok(()));
    pool.new_tip();
    let miner = &pool.sv2[link].miner;
    assert_eq!(miner.closed.len(), 1);
    assert_eq!(miner.channels.keys().copied().collect::<Vec<_>>(), [other]);
    // That group has one channel, which is addressed by its own id.
    let group = miner.channels[&other].group;
    assert_eq!(close(&mut pool, link, group), Ok(()));
    assert_eq!(pool.sv2[link].miner.closed[1].0, other);
    pool.new_tip();
    assert_eq!(pool.hub.prefixes_in_use(), 0);
}

/// MP-129: a client that takes standard jobs only is addressed by no group.
#[test]
fn a_group_of_standard_jobs_is_closed_channel_by_channel() {
    let mut pool = pool();
    let link = ours(&mut pool, STANDARD_JOBS);
    let first = open(&mut pool, link, false, 1);
    let second = open(&mut pool, link, false, 1);
    let group = pool.sv2[link].miner.channels[&first].group;
    assert_eq!(close(&mut pool, link, group), Ok(()));
    let closed: Vec<u32> = pool.sv2[link].miner.closed.iter().map(|it| it.0).collect();
    assert_eq!(closed, [first, second]);
}

/// A client whose last channel was closed has the time of one that has none yet (MP-57).
#[test]
fn who_opens_none_again_is_sent_away() {
    let mut pool = pool();
    let link = ours(&mut pool, 0);
    let id = open(&mut pool, link, true, 1);
    assert_eq!(close(&mut pool, link, id), Ok(()));
    pool.advance(std::time::Duration::from_secs(119));
    assert_eq!(pool.sv2[link].fault, None);
    pool.advance(std::time::Duration::from_secs(2));
    assert!(pool.sv2[link].fault.is_some());
}

/// Workers who are named in shares end with the channel, and it can be asked whether there are any.
#[test]
fn workers_of_a_channel_end_with_it() {
    let mut pool = pool();
    let link = ours(&mut pool, 0);
    pool.sv2[link].miner.request_extensions(1, &[2]);
    let id = open(&mut pool, link, true, 1);
    let channel = ChannelId::new(id);
    assert!(!pool.sv2[link].session.names_workers(channel));
    let nonce = share(&pool, link, id, 1);
    // Extension 0x0002, field 0x01, four bytes.
    pool.sv2[link].miner.tail = b"\x02\x00\x01\x04\x00rig7".to_vec();
    pool.sv2[link].miner.submit(id, &nonce);
    pool.pump();
    assert!(pool.sv2[link].session.names_workers(channel));
    assert_eq!(close(&mut pool, link, id), Ok(()));
    assert!(!pool.sv2[link].session.names_workers(channel));
    let events = &pool.sv2[link].events;
    let left = events
        .iter()
        .filter(|it| matches!(it, SessionEvent::Left { .. }));
    assert_eq!(left.count(), 1, "the channel's own seat was vacated before");
}
