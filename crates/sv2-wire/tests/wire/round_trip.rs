//! Properties that hold for every message of every table.

use crate::sample::frame;
use crate::sample::has_tail;
use crate::sample::message;
use crate::sample::reencode;
use crate::sample::rows;
use headframe_sv2_wire::Message;
use headframe_sv2_wire::MessageInfo;
use headframe_sv2_wire::mining::SubmitSharesStandard;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// FR-1, FR-3, FR-7: what was decoded encodes to the same bytes, and the header is the row's.
    #[test]
    fn every_message_round_trips((info, fields) in message()) {
        let payload = fields.concat();
        let mut wire = info.header(payload.len()).unwrap().encode().to_vec();
        wire.extend(&payload);
        prop_assert_eq!(reencode(frame(info, &payload)), Ok(Some(wire)));
    }

    /// FR-60, FR-10: a message that lacks its last byte, or any more of its end, is an error that names the message.
    #[test]
    fn a_truncated_message_is_an_error((info, fields) in message(), cut: prop::sample::Index) {
        let mut fields = fields;
        if has_tail(info) {
            fields.pop();
        }
        let payload = fields.concat();
        let short = &payload[..cut.index(payload.len())];
        let error = reencode(frame(info, short)).unwrap_err();
        prop_assert_eq!(error.message, info.name);
        prop_assert!(info.fields.iter().any(|field| field.name == error.field));
    }

    /// A message splits into the fields that it was made of, and one that cannot be decoded does not split.
    #[test]
    fn a_message_splits_into_its_fields((info, fields) in message(), cut: prop::sample::Index) {
        let payload = fields.concat();
        let split: Result<Vec<_>, _> = info.split(&payload).collect();
        let split: Vec<_> = split.unwrap().into_iter().map(|(field, bytes)| (field, bytes.to_vec())).collect();
        let expected: Vec<_> = info.fields.iter().copied().zip(fields).collect();
        prop_assert_eq!(split, expected);
        let short = &payload[..cut.index(payload.len())];
        let split: Result<Vec<_>, _> = info.split(short).collect();
        prop_assert_eq!(split.err(), reencode(frame(info, short)).err());
    }

    /// FR-60: bytes after the last field are ignored.
    #[test]
    fn trailing_bytes_are_ignored((info, fields) in message(), junk in prop::collection::vec(any::<u8>(), 1..20)) {
        prop_assume!(!has_tail(info));
        let payload = fields.concat();
        let longer = [&payload[..], &junk].concat();
        prop_assert_eq!(reencode(frame(info, &longer)), reencode(frame(info, &payload)));
    }

    /// FR-10: no payload, whatever its bytes, is more than an error.
    #[test]
    fn arbitrary_payloads_are_decoded_or_refused(
        info in prop::sample::select(rows()),
        payload in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        if let Ok(Some(once)) = reencode(frame(info, &payload)) {
            let (again, _) = headframe_sv2_wire::Frame::split(&once).unwrap();
            prop_assert_eq!(reencode(again), Ok(Some(once.clone())));
        }
    }
}

/// FR-60: a standard share with three bytes of junk is the share.
#[test]
fn a_share_with_junk_is_the_share() {
    let share = SubmitSharesStandard {
        channel_id: 1,
        sequence_number: 2,
        job_id: 3,
        nonce: 4,
        ntime: 5,
        version: 6,
    };
    let mut payload = Vec::new();
    share.encode(&mut payload);
    assert_eq!(payload.len(), 24);
    payload.extend(b"abc");
    assert_eq!(SubmitSharesStandard::decode(&payload), Ok(share));
    assert_eq!(
        SubmitSharesStandard::decode(&payload[..23])
            .unwrap_err()
            .to_string(),
        "SubmitSharesStandard.version: 4 bytes needed, 3 left"
    );
}

/// Sizes that the specification fixes.
#[test]
fn fixed_sizes_are_the_specifications() {
    let max_len = |name| {
        rows()
            .into_iter()
            .find(|info| info.name == name)
            .map(MessageInfo::max_len)
    };
    assert_eq!(max_len("SubmitSharesStandard"), Some(24));
    assert_eq!(max_len("SubmitShares.Success"), Some(20));
    assert_eq!(max_len("SetTarget"), Some(36));
    assert_eq!(max_len("CoinbaseOutputConstraints"), Some(6));
}

/// FR-15, FR-17: a message with bit 15 begins with a channel id; no other has one, but for the answers that
/// announce it.
#[test]
fn channel_messages_begin_with_their_channel() {
    for info in rows() {
        assert_eq!(
            info.channel_message,
            info.fields[0].name == "channel_id",
            "{}",
            info.name
        );
    }
}

/// The tables are sorted and have no message type twice.
#[test]
fn message_types_ascend() {
    for pair in rows().windows(2) {
        let [left, right] = pair else {
            unreachable!("windows of two")
        };
        assert!(
            left.extension < right.extension || left.message_type < right.message_type,
            "{} before {}",
            left.name,
            right.name
        );
    }
}
