//! Connections begin, or do not.

use std::time::Duration;

use bitcoin::block::Version;
use headframe_mining::server::Sv2Rules;
use headframe_sv2_wire::mining::CloseChannel;
use headframe_sv2_wire::{Extension, Frame, Header, Protocol, U256, codes};
use headframe_testkit::{Chance, Nonce, Pool, PoolSettings, Server, address};

use crate::{STANDARD_JOBS, open, pool, with_channel};

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

fn hex(text: &str) -> Vec<u8> {
    bitcoin::hex::FromHex::from_hex(text).expect("hexadecimal")
}

fn strict(fixed_version: bool, extended_channels_only: bool) -> Pool {
    Pool::new(&PoolSettings {
        sv2: Sv2Rules {
            fixed_version,
            extended_channels_only,
            ..Sv2Rules::default()
        },
        ..PoolSettings::default()
    })
}

/// FR-30, MP-26, MP-27, MP-30: the pool's own flags, never the client's; and nobody is taken whose
/// flags contradict them.
#[test]
fn a_pool_says_what_it_requires() {
    let refused = |flags| Err((flags, "unsupported-feature-flags".to_owned()));
    for (fixed, extended, asked, expected) in [
        (false, false, 0b101, Ok((2, 0))),
        (true, false, 0b000, Ok((2, 0b01))),
        (true, false, 0b001, Ok((2, 0b01))),
        (true, false, 0b101, refused(0b100)),
        (false, true, 0b000, Ok((2, 0b10))),
        (false, true, 0b100, Ok((2, 0b10))),
        (false, true, 0b101, refused(0b001)),
        (true, true, 0b000, Ok((2, 0b11))),
        (true, true, 0b111, refused(0b111)),
        (true, true, 0xffff_ffff, refused(0xffff_ffff)),
    ] {
        let mut pool = strict(fixed, extended);
        let link = pool.connect_sv2();
        pool.sv2[link].miner.set_up(asked);
        pool.pump();
        let answer = pool.sv2[link].miner.setup.clone();
        assert_eq!(answer, Some(expected), "{fixed} {extended} {asked:b}");
    }
}

/// MP-20, MP-29: a standard channel is refused by name, and an extended one is served.
#[test]
fn a_pool_of_extended_channels_opens_no_other() {
    let mut pool = strict(false, true);
    let link = pool.connect_sv2();
    let miner = &mut pool.sv2[link].miner;
    miner.set_up(0);
    let user = address(1).to_string();
    let request = miner.open_standard(&user, 0.0, U256::MAX);
    pool.pump();
    let code = "standard-channels-not-supported".to_owned();
    assert_eq!(pool.sv2[link].miner.refused, [(request, code)]);
    open(&mut pool, link, true, 1);
    assert_eq!(pool.sv2[link].fault, None);
}

/// MP-28, R-17: every job of such a pool forbids rolling, which the scripted miner checks. Who rolls
/// all the same is judged by whether a block would be valid.
#[test]
fn a_version_that_was_to_be_fixed_is_judged_as_a_block_s() {
    let mut pool = strict(true, false);
    let (link, id) = with_channel(&mut pool, true, 1);
    pool.new_template();
    pool.new_tip();
    let job = pool.sv2[link].miner.channels[&id].job().clone();
    let mut chance = Chance::new(5);
    let mut rolled = |bits: u32| {
        let mut nonce = job.mine_where(&mut chance, |_| true);
        nonce.header.version = Version::from_consensus((job.version ^ bits) as i32);
        loop {
            nonce.header.nonce = nonce.header.nonce.wrapping_add(1);
            let hash = nonce.header.block_hash();
            if job.target.is_met_by(hash) && !job.network_target().is_met_by(hash) {
                return nonce;
            }
        }
    };
    let nonces = [0, 0x2000, 0x1fff_ffe0, 0x01, 0x8000_0000].map(&mut rolled);
    let miner = &mut pool.sv2[link].miner;
    let sequences = nonces.map(|nonce| miner.submit(id, &nonce));
    pool.pump();
    let bad = Some("invalid-non-rollable-version-bit");
    let verdicts = sequences.map(|sequence| pool.sv2[link].miner.rejection(sequence));
    assert_eq!(verdicts, [None, None, None, bad, bad]);
}

fn nonce(pool: &Pool) -> Nonce {
    let template = pool.work();
    Nonce {
        job_id: template.job_id.get(),
        extranonce: vec![0; 8],
        header: bitcoin::block::Header {
            version: Version::TWO,
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
/// channel. It leaves if the answer to that comes before the channel is open.
#[test]
fn a_share_before_any_channel_is_not_answered() {
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
        assert_eq!(miner.rejection(sequence), None);
    }
    assert_eq!(miner.opened.len(), 1);
    let late = pool.sv2[link].miner.submit_as(0, true, &nonce);
    pool.pump();
    let miner = &pool.sv2[link].miner;
    assert_eq!(miner.rejection(late), Some("invalid-channel-id"));
}

/// FR-57, FR-58: what is not known is not answered, and harms nothing.
#[test]
fn unknown_extensions_and_messages_are_passed_over() {
    let mut pool = pool();
    let (link, _) = with_channel(&mut pool, false, 1);
    let before = pool.sv2[link].miner.transcript.len();
    for (extension, message_type) in [(0x7abc, 0), (2, 0), (1, 0x7f), (0, 0x7f), (0, 0x1e)] {
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

/// FR-59: every message of the shared vectors that only servers send, or that is of another
/// subprotocol, ends the connection; those of a miner do not.
#[test]
fn a_message_that_is_for_nobody_here_ends_the_connection() {
    const OURS: [&str; 7] = [
        "OpenStandardMiningChannel",
        "OpenExtendedMiningChannel",
        "UpdateChannel",
        "CloseChannel",
        "SetCustomMiningJob",
        "RequestExtensions",
        "SubmitShares",
    ];
    let vectors = include_str!("../../../testkit/vectors/message_kat.json");
    let vectors: Vec<serde_json::Value> = serde_json::from_str(vectors).expect("JSON");
    let mut served = 0;
    for vector in &vectors {
        let text = |key: &str| vector[key].as_str().expect("a text");
        let (name, bytes): (_, Vec<u8>) = (text("message"), hex(text("frame")));
        let is_answer = name.ends_with(".Success") || name.ends_with(".Error");
        let is_ours = !is_answer && OURS.iter().any(|ours| name.starts_with(ours));
        let mut pool = pool();
        let (link, _) = with_channel(&mut pool, true, 1);
        let now = pool.now;
        let taken = pool.sv2[link].session.handle_input(now, &bytes);
        assert_eq!(taken.is_ok(), is_ours, "{name}: {taken:?}");
        served += u32::from(is_ours);
    }
    assert_eq!((served, vectors.len()), (10, 47));
}

/// FR-19: what is sent without waiting is answered in its order.
#[test]
fn answers_keep_the_order_of_requests() {
    let mut pool = pool();
    let link = pool.connect_sv2();
    let user = address(1).to_string();
    let miner = &mut pool.sv2[link].miner;
    miner.set_up(0);
    miner.request_extensions(1, &[2]);
    miner.open_extended(&user, 0.0, U256::MAX, 2);
    miner.update(1, 1e3, U256::MAX);
    miner.update(99, 1e3, U256::MAX);
    miner.open_standard("nobody else's", f32::NAN, U256::MAX);
    pool.pump();
    let expected = [
        "SetupConnection.Success",
        "RequestExtensions.Success",
        "OpenExtendedMiningChannel.Success 1",
        "NewExtendedMiningJob(future) 1",
        "SetNewPrevHash 1",
        "SetTarget 1",
        "NewExtendedMiningJob 1",
        "OpenMiningChannel.Error 2",
    ];
    let miner = &pool.sv2[link].miner;
    assert_eq!(miner.transcript, expected);
    assert_eq!(miner.update_errors, [(99, "invalid-channel-id".to_owned())]);
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
