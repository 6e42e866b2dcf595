//! Connections begin, or do not.

use std::time::Duration;

use headframe_sv2_wire::mining::CloseChannel;
use headframe_sv2_wire::{Extension, Frame, Header, Protocol, U256, codes};
use headframe_testkit::{Nonce, Pool, address};

use crate::{STANDARD_JOBS, pool, with_channel};

fn refusal(protocol: Protocol, versions: (u16, u16), flags: u32) -> Option<(u32, String)> {
    let mut pool = pool();
    let link = pool.connect_sv2();
    let miner = &mut pool.sv2[link].miner;
    miner.set_up_as(protocol, versions.0, versions.1, flags);
    // What comes after a refusal is not answered (FR-29).
    miner.open_standard("x", 0.0, U256::MAX);
    pool.pump();
    let answer = pool.sv2[link].miner.setup.clone().expect("an answer");
    let is_refused = answer.is_err();
    assert_eq!(pool.sv2[link].session.is_finished(), is_refused);
    assert_eq!(pool.sv2[link].miner.transcript.len() > 1, !is_refused);
    answer.err()
}

/// FR-22, FR-23, FR-27, FR-30, FR-32, MP-25.
#[test]
fn setup_is_refused_for_the_reason_that_there_is() {
    let version = "protocol-version-mismatch";
    let protocol = "unsupported-protocol";
    let flags = "unsupported-feature-flags";
    for (protocol, versions, flags, refused) in [
        (0, (2, 2), 0, None),
        (0, (1, 5), 0, None),
        (0, (2, 2), 0b101, None),
        (0, (1, 1), 0, Some((0, version))),
        (0, (3, 3), 0, Some((0, version))),
        (0, (5, 1), 0, Some((0, version))),
        (0, (0, 1), 0xffff_ffff, Some((0, version))),
        (1, (2, 2), 0, Some((0, protocol))),
        (2, (2, 2), 0, Some((0, protocol))),
        (3, (2, 2), 0, Some((0, protocol))),
        (255, (2, 2), 1, Some((0, protocol))),
        (0, (2, 2), 0b10, Some((0b10, flags))),
        (0, (2, 2), 0xffff_ffff, Some((0xffff_fffa, flags))),
    ] {
        let expected = refused.map(|(flags, code)| (flags, code.to_owned()));
        assert_eq!(refusal(Protocol(protocol), versions, flags), expected);
    }
}

fn nonce(pool: &Pool) -> Nonce {
    let template = pool.work();
    Nonce {
        job_id: template.job_id.get(),
        extranonce: vec![0; 8],
        header: bitcoin::block::Header {
            version: bitcoin::block::Version::TWO,
            prev_blockhash: template.tip(),
            merkle_root: bitcoin::hashes::Hash::all_zeros(),
            time: 1,
            bits: bitcoin::CompactTarget::from_consensus(1),
            nonce: 0,
        },
    }
}

/// FR-20.
#[test]
fn whatever_comes_before_setup_ends_the_connection() {
    let mut pool = pool();
    let nonce = nonce(&pool);
    let links: Vec<usize> = (0..5).map(|_| pool.connect_sv2()).collect();
    pool.sv2[links[0]].miner.open_standard("x", 0.0, U256::MAX);
    pool.sv2[links[1]]
        .miner
        .open_extended("x", 0.0, U256::MAX, 2);
    pool.sv2[links[2]].miner.update(1, 0.0, U256::MAX);
    pool.sv2[links[3]].miner.submit_as(1, true, &nonce);
    pool.sv2[links[4]].miner.submit_as(1, false, &nonce);
    pool.pump();
    for link in links {
        let fault = pool.sv2[link]
            .fault
            .as_deref()
            .expect("the connection ends");
        assert!(fault.ends_with("before SetupConnection"), "{fault}");
        assert!(pool.sv2[link].miner.transcript.is_empty());
    }
}

/// FR-21.
#[test]
fn a_second_setup_ends_the_connection() {
    let mut pool = pool();
    let (link, _) = with_channel(&mut pool, false, 1);
    pool.sv2[link].miner.set_up(STANDARD_JOBS);
    pool.pump();
    assert_eq!(
        pool.sv2[link].fault.as_deref(),
        Some("sent SetupConnection twice")
    );
}

/// ESP-Miner's Bug B: it submits what it has left from the last connection before it opens a
/// channel. Errors are harmless to it, disconnects are not (esp-miner 5.9).
#[test]
fn a_share_before_any_channel_is_an_error_and_no_more() {
    let mut pool = pool();
    let nonce = nonce(&pool);
    let link = pool.connect_sv2();
    let miner = &mut pool.sv2[link].miner;
    miner.set_up(0);
    let sequences = [(0, true), (0, false), (7, true)]
        .map(|(channel, is_extended)| miner.submit_as(channel, is_extended, &nonce));
    miner.open_extended(&address(1).to_string(), 1e12, U256::MAX, 2);
    pool.pump();
    let miner = &pool.sv2[link].miner;
    for sequence in sequences {
        assert_eq!(miner.rejection(sequence), Some("invalid-channel-id"));
    }
    assert_eq!(miner.opened.len(), 1);
}

/// FR-57, FR-58, EX-30: what is not known is not answered, and harms nothing.
#[test]
fn unknown_extensions_and_messages_are_passed_over() {
    let mut pool = pool();
    let (link, _) = with_channel(&mut pool, false, 1);
    let before = pool.sv2[link].miner.transcript.len();
    for (extension, message_type) in [(0x7abc, 0), (1, 0), (0, 0x7f), (0, 0x1e)] {
        let extension = Extension::new(extension).unwrap();
        let header = Header::new(extension, false, message_type, 5).unwrap();
        let mut bytes = Vec::new();
        Frame::new(header, &[1, 0, 0, 0, 0])
            .unwrap()
            .encode(&mut bytes);
        let (frame, _) = Frame::split(&bytes).unwrap();
        let now = pool.now;
        pool.sv2[link].session.handle_frame(now, frame).unwrap();
    }
    pool.pump();
    assert_eq!(pool.sv2[link].miner.transcript.len(), before);
}

/// FR-59: a message that only pools send.
#[test]
fn a_server_s_message_ends_the_connection() {
    let mut pool = pool();
    let (link, id) = with_channel(&mut pool, false, 1);
    pool.sv2[link]
        .miner
        .send(&headframe_sv2_wire::mining::SetTarget {
            channel_id: id,
            maximum_target: U256::MAX,
        });
    pool.pump();
    assert!(pool.sv2[link].fault.is_some());
}

/// MP-32, MP-57: a client without a channel is sent away in the end, one with a channel never.
#[test]
fn a_client_without_a_channel_is_sent_away() {
    let mut pool = pool();
    let silent = pool.connect_sv2();
    let idle = pool.connect_sv2();
    pool.sv2[idle].miner.set_up(0);
    let (busy, id) = with_channel(&mut pool, true, 1);
    pool.advance(Duration::from_secs(10));
    assert!(pool.sv2[silent].fault.is_some());
    pool.advance(Duration::from_secs(60));
    assert_eq!(pool.sv2[idle].fault, None);
    pool.advance(Duration::from_secs(60));
    assert!(pool.sv2[idle].fault.is_some());
    pool.advance(Duration::from_secs(24 * 3600));
    assert_eq!(pool.sv2[busy].fault, None);
    pool.sv2[busy].miner.close(id);
    pool.advance(Duration::from_secs(119));
    assert_eq!(pool.sv2[busy].fault, None);
    pool.sv2[busy].miner.send(&CloseChannel {
        channel_id: 99,
        reason_code: codes::Code::new("unknown").unwrap(),
    });
    pool.advance(Duration::from_secs(2));
    assert!(pool.sv2[busy].fault.is_some());
}
