//! The 47 golden frames: made from the specification by other means, and seen to pass through the reference
//! implementation.

use std::collections::BTreeSet;

use headframe_sv2_wire::Bytes32;
use headframe_sv2_wire::Bytes64K;
use headframe_sv2_wire::Extension;
use headframe_sv2_wire::FieldError;
use headframe_sv2_wire::Frame;
use headframe_sv2_wire::Incoming;
use headframe_sv2_wire::Message;
use headframe_sv2_wire::Protocol;
use headframe_sv2_wire::Seq64K;
use headframe_sv2_wire::Seq255;
use headframe_sv2_wire::Str255;
use headframe_sv2_wire::U256;
use headframe_sv2_wire::codes;
use headframe_sv2_wire::common::CommonMessage;
use headframe_sv2_wire::common::SetupConnection;
use headframe_sv2_wire::extensions::RequestExtensionsError;
use headframe_sv2_wire::flags::MiningRequestFlags;
use headframe_sv2_wire::mining::MiningMessage;
use headframe_sv2_wire::mining::NewExtendedMiningJob;
use headframe_sv2_wire::mining::NewMiningJob;
use headframe_sv2_wire::mining::OpenStandardMiningChannel;
use headframe_sv2_wire::mining::SetGroupChannel;
use headframe_sv2_wire::mining::SubmitSharesError;
use headframe_sv2_wire::mining::SubmitSharesExtended;
use headframe_sv2_wire::tlv::TlvTail;
use headframe_sv2_wire::tlv::UserIdentity;
use headframe_sv2_wire::write_frame;

/// Name and bytes of each golden frame.
pub(crate) fn golden() -> Vec<(String, Vec<u8>)> {
    let json = include_str!("../../../testkit/vectors/message_kat.json");
    let frames: serde_json::Value = serde_json::from_str(json).expect("the vectors are JSON");
    let text =
        |frame: &serde_json::Value, key: &str| frame[key].as_str().expect("a string").to_owned();
    frames
        .as_array()
        .expect("a list of frames")
        .iter()
        .map(|frame| (text(frame, "message"), unhex(&text(frame, "frame"))))
        .collect()
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2)
        .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex digits"))
        .collect()
}

fn named(name: &str) -> Vec<u8> {
    golden()
        .into_iter()
        .find(|(message, _)| message == name)
        .expect("a golden frame of this name")
        .1
}

/// What `message` is as a frame.
fn written<'a>(message: &impl Message<'a>) -> Vec<u8> {
    let mut out = Vec::new();
    write_frame(message, &mut out);
    out
}

/// FR-11, FR-12, FR-13, FR-14, FR-15, FR-18, EX-22: every golden frame decodes by the row of its name and comes back
/// byte for byte, header bits included.
#[test]
fn golden_frames_round_trip() {
    assert_eq!(golden().len(), 47);
    for (name, bytes) in golden() {
        let (frame, rest) = Frame::split(&bytes).expect("a whole frame");
        assert!(rest.is_empty(), "{name}");
        assert_eq!(
            crate::sample::reencode(frame),
            Ok(Some(bytes.clone())),
            "{name}"
        );
        let info = crate::sample::rows()
            .into_iter()
            .find(|info| {
                (info.extension, info.message_type)
                    == (frame.header().extension(), frame.header().message_type())
            })
            .expect("a row");
        assert_eq!(name.split(['(', '+']).next(), Some(info.name));
    }
}

/// FR-18: job declaration and template distribution never set bit 15.
#[test]
fn every_message_has_a_golden_frame_with_its_channel_bit() {
    let seen: BTreeSet<_> = golden()
        .iter()
        .map(|(_, bytes)| (bytes[0], bytes[1], bytes[2]))
        .collect();
    let rows: BTreeSet<_> = crate::sample::rows()
        .iter()
        .map(|info| {
            let [low, high, message_type, ..] = info.header(0).unwrap().encode();
            (low, high, message_type)
        })
        .collect();
    assert_eq!(seen, rows);
    assert!(
        rows.iter()
            .all(|(_, high, message_type)| *message_type < 0x50 || *high == 0)
    );
}

#[test]
fn setup_connection_is_made_from_values() {
    let text = |text| Str255::new(text).unwrap();
    let message = SetupConnection {
        protocol: Protocol::MINING,
        min_version: 2,
        max_version: 2,
        flags: MiningRequestFlags::REQUIRES_VERSION_ROLLING.bits(),
        endpoint_host: text("pool.example"),
        endpoint_port: 34_254,
        vendor: text("Acme"),
        hardware_version: text("HW1"),
        firmware: text("fw-1.0"),
        device_id: text(""),
    };
    let bytes = named("SetupConnection");
    assert_eq!(written(&message), bytes);
    let incoming = Incoming::<MiningMessage<'_>>::decode(Frame::split(&bytes).unwrap().0);
    assert_eq!(
        incoming,
        Ok(Incoming::Common(CommonMessage::SetupConnection(message)))
    );
}

/// FR-9: a hashrate of 1e12 is `a5d46853`.
#[test]
fn open_standard_mining_channel_is_made_from_values() {
    let message = OpenStandardMiningChannel {
        request_id: 1,
        user_identity: Str255::new("user.worker").unwrap(),
        nominal_hash_rate: 1e12,
        max_target: U256::MAX,
    };
    let bytes = named("OpenStandardMiningChannel");
    assert_eq!(written(&message), bytes);
    assert!(
        bytes
            .windows(4)
            .any(|window| window == [0xa5, 0xd4, 0x68, 0x53])
    );
}

/// FR-9: every hashrate decodes, sensible or not, and keeps its bits.
#[test]
fn senseless_hashrates_decode() {
    for hash_rate in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0, 0.0] {
        let message = OpenStandardMiningChannel {
            request_id: 1,
            user_identity: Str255::default(),
            nominal_hash_rate: hash_rate,
            max_target: U256::MAX,
        };
        let bytes = written(&message);
        let read =
            OpenStandardMiningChannel::decode(Frame::split(&bytes).unwrap().0.payload()).unwrap();
        assert_eq!(read.nominal_hash_rate.to_bits(), hash_rate.to_bits());
    }
}

/// FR-5: a future job has the option byte 0, an active one 1 and the time.
#[test]
fn new_mining_job_is_made_from_values() {
    let future = NewMiningJob {
        channel_id: 2,
        job_id: 1,
        min_ntime: None,
        version: 0x2000_0000,
        merkle_root: U256::from_le_bytes(core::array::from_fn(|i| 0x40 + i as u8)),
    };
    assert_eq!(written(&future), named("NewMiningJob(future)"));
    let active = NewMiningJob {
        job_id: 2,
        min_ntime: Some(0x6553_f100),
        ..future
    };
    assert_eq!(written(&active), named("NewMiningJob(active)"));

    let mut payload = named("NewMiningJob(active)")[6..].to_vec();
    payload[8] = 2;
    assert_eq!(
        NewMiningJob::decode(&payload).unwrap_err().to_string(),
        "NewMiningJob.min_ntime: option count 2 is neither 0 nor 1"
    );
}

/// FR-2: of a BOOL only bit 0 counts.
#[test]
fn only_bit_0_of_a_bool_counts() {
    let mut payload = named("NewExtendedMiningJob(future)")[6..].to_vec();
    for (byte, expected) in [
        (0x00, false),
        (0x01, true),
        (0xff, true),
        (0x02, false),
        (0xfe, false),
    ] {
        payload[13] = byte;
        assert_eq!(
            NewExtendedMiningJob::decode(&payload)
                .unwrap()
                .version_rolling_allowed,
            expected
        );
    }
}

#[test]
fn new_extended_mining_job_is_made_from_values() {
    let count_up = |from: u8, len: u8| (from..from + len).collect::<Vec<_>>();
    let path = [
        core::array::from_fn(|i| i as u8),
        core::array::from_fn(|i| 0x20 + i as u8),
    ];
    let bytes = named("NewExtendedMiningJob(future)");
    let prefix = count_up(0, 0x3c);
    let suffix = count_up(0x64, 0x32);
    let message = NewExtendedMiningJob {
        channel_id: 1,
        job_id: 5,
        min_ntime: None,
        version: 0x2000_0000,
        version_rolling_allowed: true,
        merkle_path: Seq255::from_hashes(&path).unwrap(),
        coinbase_tx_prefix: Bytes64K::new(&prefix).unwrap(),
        coinbase_tx_suffix: Bytes64K::new(&suffix).unwrap(),
    };
    assert_eq!(written(&message), bytes);
    assert_eq!(NewExtendedMiningJob::decode(&bytes[6..]), Ok(message));
}

#[test]
fn sequences_of_integers_are_made_from_slices() {
    let message = SetGroupChannel {
        group_channel_id: 1,
        channel_ids: Seq64K::new(&[2, 3]).unwrap(),
    };
    assert_eq!(written(&message), named("SetGroupChannel"));

    let message = RequestExtensionsError {
        request_id: 0xbeef,
        unsupported_extensions: Seq64K::new(&[3]).unwrap(),
        required_extensions: Seq64K::new(&[5]).unwrap(),
    };
    assert_eq!(written(&message), named("RequestExtensions.Error"));
}

#[test]
fn error_codes_are_constants() {
    let message = SubmitSharesError {
        channel_id: 3,
        sequence_number: 11,
        error_code: codes::STALE_SHARE,
    };
    assert_eq!(written(&message), named("SubmitShares.Error"));
}

/// FR-14, EX-6, EX-16: extension fields leave the header as it is, and either byte order names the worker.
#[test]
fn worker_names_are_read_in_either_byte_order() {
    let extranonce: [u8; 16] = core::array::from_fn(|i| 1 + i as u8);
    let plain = SubmitSharesExtended {
        channel_id: 3,
        sequence_number: 1,
        job_id: 1,
        nonce: 0xdead_beef,
        ntime: 0x6553_f101,
        version: 0x2000_0020,
        extranonce: Bytes32::new(&extranonce).unwrap(),
        tlvs: TlvTail::EMPTY,
    };
    assert_eq!(written(&plain), named("SubmitSharesExtended"));

    let expected = UserIdentity::new(b"Worker_001").unwrap();
    for name in [
        "SubmitSharesExtended+TLV(LE)",
        "SubmitSharesExtended+TLV(BE, spec example)",
    ] {
        let bytes = named(name);
        assert_eq!(bytes[..3], [0x00, 0x80, 0x1b], "{name}");
        let share = SubmitSharesExtended::decode(&bytes[6..]).unwrap();
        assert_eq!(
            SubmitSharesExtended {
                tlvs: TlvTail::EMPTY,
                ..share
            },
            plain,
            "{name}"
        );
        let fields = share
            .tlvs
            .read(&[Extension::WORKER_HASHRATE_TRACKING])
            .expect("a readable tail");
        assert_eq!(fields.user_identity(), Ok(Some(expected)), "{name}");
        assert_eq!(
            share.tlvs.read(&[]).map(|fields| fields.count()),
            None,
            "{name}"
        );
    }
}

/// FR-5: an OPTION is a count of 0 or 1; any other count is an error.
#[test]
fn an_option_with_another_count_is_refused() {
    let job = |min_ntime| NewMiningJob {
        channel_id: 1,
        job_id: 2,
        min_ntime,
        version: 0x2000_0000,
        merkle_root: U256::from_le_bytes([3; 32]),
    };
    let (none, some) = (written(&job(None)), written(&job(Some(4))));
    // The count stands behind the frame's header and two ids.
    let place = 6 + 8;
    assert_eq!((none[place], some[place]), (0, 1));
    for count in 2..=u8::MAX {
        for good in [&none, &some] {
            let mut bytes = good.clone();
            bytes[place] = count;
            let (frame, _) = Frame::split(&bytes).expect("a whole frame");
            let error = Incoming::<MiningMessage<'_>>::decode(frame).unwrap_err();
            assert_eq!((error.message, error.field), ("NewMiningJob", "min_ntime"));
            assert_eq!(error.error, FieldError::OptionCount { count });
        }
    }
}
