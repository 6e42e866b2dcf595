//! Which table a frame belongs to, and what becomes of one that belongs to none.

use headframe_sv2_wire::Extension;
use headframe_sv2_wire::Frame;
use headframe_sv2_wire::Header;
use headframe_sv2_wire::Incoming;
use headframe_sv2_wire::common::CommonMessage;
use headframe_sv2_wire::common::SetupConnectionSuccess;
use headframe_sv2_wire::extensions::ExtensionsMessage;
use headframe_sv2_wire::job_declaration::JobDeclarationMessage;
use headframe_sv2_wire::mining::MiningMessage;
use headframe_sv2_wire::mining::SetTarget;
use headframe_sv2_wire::template_distribution::RequestTransactionData;
use headframe_sv2_wire::template_distribution::TemplateDistributionMessage;
use headframe_sv2_wire::write_frame;

type Mining<'a> = Incoming<'a, MiningMessage<'a>>;

/// A frame from `extension_type` as it stands on the wire, bit 15 included.
fn frame(extension_type: u16, message_type: u8, payload: &[u8]) -> Frame<'_> {
    let [low, high] = extension_type.to_le_bytes();
    let [len_0, len_1, len_2, _] = (payload.len() as u32).to_le_bytes();
    let header = Header::decode(&[low, high, message_type, len_0, len_1, len_2]);
    Frame::new(header, payload).expect("the length is the payload's")
}

/// `RequestExtensions` with id 0xbeef for extensions 2 and 3.
const REQUEST_EXTENSIONS: &[u8] = &[0xef, 0xbe, 2, 0, 2, 0, 3, 0];

/// EX-22, FR-13: message type 0 is `RequestExtensions` in extension 1 and `SetupConnection` in the core, never the
/// one for the other.
#[test]
fn extension_and_type_dispatch_together() {
    let incoming = Mining::decode(frame(0x0001, 0x00, REQUEST_EXTENSIONS)).unwrap();
    let Incoming::Extensions(ExtensionsMessage::RequestExtensions(request)) = incoming else {
        panic!("{incoming:?}");
    };
    assert_eq!(request.request_id, 0xbeef);
    assert!(request.requested_extensions.iter().eq([2, 3]));

    let error = Mining::decode(frame(0x0000, 0x00, REQUEST_EXTENSIONS)).unwrap_err();
    assert_eq!(error.message, "SetupConnection");
}

/// FR-16: 0x8001 is extension 1, not extension 32 769.
#[test]
fn channel_bit_does_not_change_the_extension() {
    assert_eq!(
        Mining::decode(frame(0x8001, 0x00, REQUEST_EXTENSIONS)),
        Mining::decode(frame(0x0001, 0x00, REQUEST_EXTENSIONS))
    );
}

/// FR-12: a core message under another extension's number is that extension's.
#[test]
fn core_types_under_an_extension_are_the_extensions() {
    let payload = [2, 0, 0, 0, 0, 0];
    assert!(matches!(
        Mining::decode(frame(0x0000, 0x01, &payload)),
        Ok(Incoming::Common(CommonMessage::SetupConnectionSuccess(
            SetupConnectionSuccess {
                used_version: 2,
                ..
            }
        )))
    ));
    let other = frame(0x0005, 0x01, &payload);
    assert_eq!(Mining::decode(other), Ok(Incoming::UnknownExtension(other)));
}

/// FR-14: a share in a frame of extension 2 is a message of extension 2, which has none.
#[test]
fn a_share_under_extension_2_is_no_share() {
    let share = frame(0x8002, 0x1b, &[0; 25]);
    assert_eq!(Mining::decode(share), Ok(Incoming::UnknownExtension(share)));
}

/// FR-15, FR-18: a wrong bit 15 is tolerated both ways.
#[test]
fn a_wrong_channel_bit_is_tolerated() {
    let target = [7; 36];
    for extension_type in [0x0000, 0x8000] {
        assert!(matches!(
            Mining::decode(frame(extension_type, 0x21, &target)),
            Ok(Incoming::Protocol(MiningMessage::SetTarget(SetTarget {
                channel_id: 0x0707_0707,
                ..
            })))
        ));
        assert_eq!(
            Incoming::decode(frame(extension_type, 0x73, &[1, 0, 0, 0, 0, 0, 0, 0])),
            Ok(Incoming::Protocol(
                TemplateDistributionMessage::RequestTransactionData(RequestTransactionData {
                    template_id: 1
                })
            ))
        );
    }
}

/// FR-57: a message of an unknown extension survives as the frame it was, empty or not, and is written as it came.
#[test]
fn unknown_extensions_survive() {
    for payload in [&[][..], &[0xab; 100]] {
        let unknown = frame(0x7abc, 0x00, payload);
        let incoming = Mining::decode(unknown).unwrap();
        assert_eq!(incoming, Incoming::UnknownExtension(unknown));

        let mut out = Vec::new();
        incoming.write_frame(&mut out).unwrap();
        assert_eq!(out[..3], [0xbc, 0x7a, 0x00]);
        assert_eq!(out[6..], *payload);
    }
}

/// FR-58: core message types that nobody has survive too, as do those of extension 1.
#[test]
fn unknown_messages_survive() {
    for (extension_type, message_type) in [
        (0, 0x05),
        (0, 0x1e),
        (0, 0x26),
        (0, 0x52),
        (0, 0x7f),
        (0, 0xff),
        (0x0001, 0x03),
        (0x8001, 0x1b),
    ] {
        let unknown = frame(extension_type, message_type, &[1, 2, 3, 4]);
        assert_eq!(
            Mining::decode(unknown),
            Ok(Incoming::UnknownMessage(unknown))
        );
    }
}

/// FR-17: an unknown message that claims a channel and is too short for its id is the peer's error.
#[test]
fn channel_messages_without_a_channel_are_errors() {
    for (extension_type, message_type) in [(0x8000, 0x1e), (0x8001, 0x07), (0xfabc, 0x00)] {
        let error = Mining::decode(frame(extension_type, message_type, &[1, 2, 3])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "channel message.channel_id: 4 bytes needed, 3 left"
        );
    }
}

/// FR-59: a message of another subprotocol is told from an unknown one, and its payload is not read.
#[test]
fn messages_of_other_subprotocols_are_misplaced() {
    let template = frame(0x0000, 0x71, &[]);
    let Ok(Incoming::Misplaced(_, info)) = Mining::decode(template) else {
        panic!("not misplaced")
    };
    assert_eq!(
        (info.name, info.extension),
        ("NewTemplate", Extension::CORE)
    );
    assert!(matches!(
        Incoming::<JobDeclarationMessage<'_>>::decode(template),
        Ok(Incoming::Misplaced(..))
    ));
    assert!(Incoming::<TemplateDistributionMessage<'_>>::decode(template).is_err());
}

/// An error names message, field and reason.
#[test]
fn errors_name_message_and_field() {
    let mut payload = [0; 60];
    payload[24] = 33;
    let error = Mining::decode(frame(0x8000, 0x1b, &payload)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "SubmitSharesExtended.extranonce: length 33 exceeds 32"
    );
}

/// Frames follow one another in a buffer.
#[test]
fn frames_are_appended() {
    let mut out = Vec::new();
    write_frame(
        &SetupConnectionSuccess {
            used_version: 2,
            flags: 0,
        },
        &mut out,
    );
    write_frame(&RequestTransactionData { template_id: 9 }, &mut out);
    let (first, rest) = Frame::split(&out).unwrap();
    let (second, rest) = Frame::split(rest).unwrap();
    assert!(rest.is_empty());
    assert_eq!((first.payload().len(), second.payload().len()), (6, 8));
}
