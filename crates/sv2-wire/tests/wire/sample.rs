//! Valid wire bytes for every message, made from the tables' own field types.

use headframe_sv2_wire::DecodeError;
use headframe_sv2_wire::Extension;
use headframe_sv2_wire::Frame;
use headframe_sv2_wire::MessageInfo;
use headframe_sv2_wire::WireType;
use headframe_sv2_wire::common::CommonMessage;
use headframe_sv2_wire::extensions::ExtensionsMessage;
use headframe_sv2_wire::job_declaration::JobDeclarationMessage;
use headframe_sv2_wire::mining::MiningMessage;
use headframe_sv2_wire::template_distribution::TemplateDistributionMessage;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// The rows of all tables.
pub(crate) fn rows() -> Vec<&'static MessageInfo> {
    [
        CommonMessage::MESSAGES,
        MiningMessage::MESSAGES,
        JobDeclarationMessage::MESSAGES,
        TemplateDistributionMessage::MESSAGES,
        ExtensionsMessage::MESSAGES,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A row, and a payload for it, field by field.
pub(crate) fn message() -> impl Strategy<Value = (&'static MessageInfo, Vec<Vec<u8>>)> {
    select(rows()).prop_flat_map(|info| {
        let fields: Vec<_> = info
            .fields
            .iter()
            .map(|field| value(&field.wire_type))
            .collect();
        (Just(info), fields)
    })
}

/// A frame with the row's header.
pub(crate) fn frame<'a>(info: &MessageInfo, payload: &'a [u8]) -> Frame<'a> {
    let header = info.header(payload.len()).expect("the sample is short");
    Frame::new(header, payload).expect("the length is the payload's")
}

/// Decodes a frame by whichever table has a row for it and encodes the message again.
pub(crate) fn reencode(frame: Frame<'_>) -> Result<Option<Vec<u8>>, DecodeError> {
    macro_rules! try_tables {
        ($($Enum:ident)*) => {$(
            if let Some(message) = $Enum::decode(frame)? {
                let mut out = Vec::new();
                message.write_frame(&mut out).expect("what came in a frame fits a frame");
                return Ok(Some(out));
            }
        )*};
    }
    try_tables!(CommonMessage MiningMessage JobDeclarationMessage TemplateDistributionMessage ExtensionsMessage);
    Ok(None)
}

fn value(wire_type: &'static WireType) -> BoxedStrategy<Vec<u8>> {
    match wire_type {
        WireType::Bool => select(vec![vec![0], vec![1]]).boxed(),
        WireType::Uint(len) => vec(any::<u8>(), *len).boxed(),
        WireType::F32 => vec(any::<u8>(), 4).boxed(),
        WireType::Bytes(max) => prop_oneof![
            8 => vec(any::<u8>(), 0..=(*max).min(80)),
            1 => vec(any::<u8>(), (*max).min(0xffff)),
        ]
        .prop_map(|bytes| prefixed(bytes.len(), *max, bytes))
        .boxed(),
        WireType::Seq(max, element) => prop_oneof![
            8 => vec(value(element), 0..8),
            1 => vec(value(element), (*max).min(255)),
        ]
        .prop_map(|elements| prefixed(elements.len(), *max, elements.concat()))
        .boxed(),
        WireType::Option(inner) => prop_oneof![
            Just(vec![0]),
            value(inner).prop_map(|value| prefixed(1, 1, value)),
        ]
        .boxed(),
        WireType::Tail => prop_oneof![Just(vec![]), vec(any::<u8>(), 1..40), tlv()].boxed(),
    }
}

fn tlv() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..=32).prop_map(|name| {
        let mut tlv = vec![2, 0, 1, name.len() as u8, 0];
        tlv.extend(name);
        tlv
    })
}

fn prefixed(len: usize, max: usize, content: Vec<u8>) -> Vec<u8> {
    let width = match max {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        _ => 3,
    };
    let mut out = len.to_le_bytes()[..width].to_vec();
    out.extend(content);
    out
}

/// Whether this row's payload may end in extension fields.
pub(crate) fn has_tail(info: &MessageInfo) -> bool {
    info.extension == Extension::CORE && info.name == "SubmitSharesExtended"
}
