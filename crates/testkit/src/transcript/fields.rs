//! Messages of Stratum V2 as JSON objects and back, by the tables of `sv2-wire`.
//!
//! Integers are numbers. A U256 and all byte strings are lower-case hexadecimal in wire order, so
//! that a hash reads as in the header and not as block explorers show it. Strings are strings; one
//! that is no UTF-8 cannot be told here and is written with replacement characters. OPTION is the
//! value or `null`. A hashrate may be the string `NaN` or `inf`.

use headframe_sv2_wire::common::CommonMessage;
use headframe_sv2_wire::extensions::ExtensionsMessage;
use headframe_sv2_wire::mining::MiningMessage;
use headframe_sv2_wire::{FieldInfo, Frame, MessageInfo, WireType};
use serde_json::{Map, Value};

/// The fields of up to 255 bytes that are no text.
const NO_TEXT: [&str; 2] = ["mining_job_token", "coinbase_prefix"];

/// The row of the message that the specification calls `name`.
pub(super) fn row(name: &str) -> Option<&'static MessageInfo> {
    rows().find(|row| row.name == name)
}

/// A frame of the message `row`.
///
/// # Errors
///
/// What is wrong with which field.
pub(super) fn encode(row: &MessageInfo, fields: &Map<String, Value>) -> Result<Vec<u8>, String> {
    check_names(row, fields)?;
    let mut payload = Vec::new();
    for field in row.fields {
        let value = match (fields.get(field.name), field.wire_type) {
            (Some(value), _) => value,
            (None, WireType::Tail) => continue,
            (None, _) => return Err(format!("{} has no {}", row.name, field.name)),
        };
        put(field, &field.wire_type, value, &mut payload)
            .ok_or_else(|| format!("{}.{} cannot be {value}", row.name, field.name))?;
    }
    let header = row
        .header(payload.len())
        .map_err(|error| error.to_string())?;
    Ok([header.encode().as_slice(), &payload].concat())
}

/// That `fields` are fields of the message `row`.
///
/// # Errors
///
/// Names one that is none.
pub(super) fn check_names(row: &MessageInfo, fields: &Map<String, Value>) -> Result<(), String> {
    let is_known = |name: &&String| row.fields.iter().any(|field| field.name == **name);
    match fields.keys().find(|name| !is_known(name)) {
        None => Ok(()),
        Some(name) => Err(format!("{} has no field {name}", row.name)),
    }
}

/// The message's name and fields; `None` if it is unknown or broken.
pub(super) fn decode(frame: Frame<'_>) -> Option<(&'static str, Map<String, Value>)> {
    let header = frame.header();
    let row = rows().find(|row| {
        row.extension == header.extension() && row.message_type == header.message_type()
    })?;
    let mut rest = frame.payload();
    let mut fields = Map::new();
    for field in row.fields {
        let value = take(field, &field.wire_type, &mut rest)?;
        fields.insert(field.name.to_owned(), value);
    }
    Some((row.name, fields))
}

/// The bytes that `text` tells in hexadecimal.
pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| {
            let is_hex = pair.len() == 2 && pair.iter().all(u8::is_ascii_hexdigit);
            let pair = core::str::from_utf8(pair).ok().filter(|_| is_hex)?;
            u8::from_str_radix(pair, 16).ok()
        })
        .collect()
}

/// `bytes` in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn rows() -> impl Iterator<Item = &'static MessageInfo> {
    let common = CommonMessage::<'static>::MESSAGES.iter();
    let mining = MiningMessage::<'static>::MESSAGES.iter();
    let extensions = ExtensionsMessage::<'static>::MESSAGES.iter();
    common.chain(mining).chain(extensions)
}

fn is_text(field: &FieldInfo) -> bool {
    !NO_TEXT.contains(&field.name)
}

/// Appends `value`; `None` if it is no value of the type.
fn put(field: &FieldInfo, wire_type: &WireType, value: &Value, out: &mut Vec<u8>) -> Option<()> {
    match *wire_type {
        WireType::Bool => out.push(value.as_bool()?.into()),
        WireType::Uint(len @ 0..=8) => {
            let bytes = value.as_u64()?.to_le_bytes();
            let (number, beyond) = bytes.split_at(len);
            beyond.iter().all(|byte| *byte == 0).then_some(())?;
            out.extend_from_slice(number);
        }
        WireType::Uint(len) => {
            let bytes = bytes(value.as_str()?).filter(|bytes| bytes.len() == len)?;
            out.extend(bytes);
        }
        WireType::F32 => {
            // JSON has no words for NaN and infinity.
            let word = || value.as_str()?.parse().ok();
            let number = value.as_f64().map(|number| number as f32).or_else(word)?;
            out.extend(number.to_le_bytes());
        }
        WireType::Bytes(max) => {
            let text = value.as_str()?;
            let bytes = match max {
                255 if is_text(field) => text.as_bytes().to_vec(),
                _ => bytes(text)?,
            };
            put_count(bytes.len(), max, out)?;
            out.extend(bytes);
        }
        WireType::Seq(max, element) => {
            let values = value.as_array()?;
            put_count(values.len(), max, out)?;
            for value in values {
                put(field, element, value, out)?;
            }
        }
        WireType::Option(_) if value.is_null() => out.push(0),
        WireType::Option(inner) => {
            out.push(1);
            put(field, inner, value, out)?;
        }
        WireType::Tail => out.extend(bytes(value.as_str()?)?),
    }
    Some(())
}

fn take(field: &FieldInfo, wire_type: &WireType, rest: &mut &[u8]) -> Option<Value> {
    Some(match *wire_type {
        WireType::Bool => Value::Bool(take_number(1, rest)? & 1 == 1),
        WireType::Uint(len @ 0..=8) => take_number(len, rest)?.into(),
        WireType::Uint(len) => hex(take_bytes(len, rest)?).into(),
        WireType::F32 => {
            let bits = take_number(4, rest)? as u32;
            f64::from(f32::from_bits(bits)).into()
        }
        WireType::Bytes(max) => {
            let len = take_count(max, rest)?;
            let bytes = take_bytes(len, rest)?;
            match max {
                255 if is_text(field) => String::from_utf8_lossy(bytes).into(),
                _ => hex(bytes).into(),
            }
        }
        WireType::Seq(max, element) => {
            let count = take_count(max, rest)?;
            let values = (0..count).map(|_| take(field, element, rest));
            Value::Array(values.collect::<Option<_>>()?)
        }
        WireType::Option(inner) => match take_number(1, rest)? {
            0 => Value::Null,
            _ => take(field, inner, rest)?,
        },
        WireType::Tail => hex(core::mem::take(rest)).into(),
    })
}

fn put_count(count: usize, max: usize, out: &mut Vec<u8>) -> Option<()> {
    out.extend_from_slice(&count.to_le_bytes()[..count_len(max)]);
    (count <= max).then_some(())
}

fn take_count(max: usize, rest: &mut &[u8]) -> Option<usize> {
    usize::try_from(take_number(count_len(max), rest)?).ok()
}

fn take_number(len: usize, rest: &mut &[u8]) -> Option<u64> {
    let bytes = take_bytes(len, rest)?.iter().rev();
    Some(bytes.fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn take_bytes<'a>(len: usize, rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (bytes, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(bytes)
}

/// Width in bytes of the count of a type that holds up to `max`.
fn count_len(max: usize) -> usize {
    match max {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each golden frame of the mining protocol is the same after a turn through JSON.
    #[test]
    fn golden_frames_survive_json() {
        let golden: Value =
            serde_json::from_str(include_str!("../../vectors/message_kat.json")).unwrap();
        let mut seen = 0;
        for frame in golden_frames(&golden) {
            let (frame, rest) = Frame::split(&frame).unwrap();
            assert!(rest.is_empty());
            let Some((name, fields)) = decode(frame) else {
                continue;
            };
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            assert_eq!(
                encode(row(name).unwrap(), &fields).unwrap(),
                bytes,
                "{name}"
            );
            seen += 1;
        }
        assert!(seen >= 30, "{seen} frames");
    }

    fn golden_frames(value: &Value) -> Vec<Vec<u8>> {
        match value {
            Value::Object(object) => {
                let own = object.get("frame").and_then(Value::as_str).and_then(bytes);
                let inner = object.values().flat_map(golden_frames);
                own.into_iter().chain(inner).collect()
            }
            Value::Array(values) => values.iter().flat_map(golden_frames).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn each_fault_of_a_field_is_named() {
        let row = row("SubmitShares.Error").unwrap();
        let fault = |text: &str| {
            let fields: Value = serde_json::from_str(text).unwrap();
            encode(row, fields.as_object().unwrap()).unwrap_err()
        };
        assert_eq!(
            fault(r#"{"channel_id":1,"error_code":"x"}"#),
            "SubmitShares.Error has no sequence_number"
        );
        assert_eq!(
            fault(r#"{"channel_id":4294967296,"sequence_number":0,"error_code":"x"}"#),
            "SubmitShares.Error.channel_id cannot be 4294967296"
        );
        assert_eq!(
            fault(r#"{"channel":1,"sequence_number":0,"error_code":"x"}"#),
            "SubmitShares.Error has no field channel"
        );
    }
}
