//! Frames of Stratum V2: masked, and their fields by name.

use headframe_sv2_wire::common::CommonMessage;
use headframe_sv2_wire::extensions::ExtensionsMessage;
use headframe_sv2_wire::mining::MiningMessage;
use headframe_sv2_wire::{FieldInfo, Frame, HEADER_LEN, MessageInfo, Reader, WireType};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::Mask;

/// A frame without what a trace must not tell.
#[derive(Debug)]
pub(in crate::trace) struct MaskedFrame {
    /// Header and payload, as long as they were.
    pub(in crate::trace) bytes: Vec<u8>,
    /// The message's row; `None` if there is none, or its payload is not that message.
    row: Option<&'static MessageInfo>,
}

/// The fields of a message by their names in the specification, as JSON.
///
/// Integers and hashrates are numbers, a U256 and all byte strings are hexadecimal in wire order,
/// strings are strings, OPTION is its value or `null`.
#[derive(Debug)]
pub(in crate::trace) struct Fields<'a>(Vec<(FieldInfo, &'a [u8])>);

#[derive(Debug)]
struct Shown<'a> {
    wire_type: WireType,
    is_text: bool,
    bytes: &'a [u8],
}

impl Mask {
    /// A whole frame, masked.
    pub(in crate::trace) fn frame(&mut self, bytes: &[u8]) -> MaskedFrame {
        let mut bytes = bytes.to_vec();
        let row = row_of(&bytes);
        let mut masked = HEADER_LEN.min(bytes.len());
        for (field, len) in row.iter().flat_map(|(_, lens)| lens) {
            let end = masked + len;
            let content = (masked + field.wire_type.prefix_len()).min(end);
            self.field(field, &mut bytes[content..end]);
            masked = end;
        }
        // What has no row, or follows the last field, may hold anything.
        self.anything(&mut bytes[masked..]);
        let row = row.map(|(row, _)| row);
        MaskedFrame { bytes, row }
    }

    fn field(&mut self, field: &FieldInfo, content: &mut [u8]) {
        match field.wire_type {
            WireType::Bytes(_) if field.is_text => self.words(content),
            WireType::Bytes(_) | WireType::Tail => self.anything(content),
            WireType::Bool
            | WireType::Uint(_)
            | WireType::F32
            | WireType::Seq(..)
            | WireType::Option(_) => {}
        }
    }
}

impl MaskedFrame {
    /// The message's name in the specification, `unknown` if it is none.
    pub(in crate::trace) fn name(&self) -> &'static str {
        self.row.map_or("unknown", |row| row.name)
    }

    /// The message's fields; `None` if it is none.
    pub(in crate::trace) fn fields(&self) -> Option<Fields<'_>> {
        let payload = self.bytes.get(HEADER_LEN..)?;
        let fields: Result<_, _> = self.row?.split(payload).collect();
        fields.ok().map(Fields)
    }
}

/// The row of a frame that is what its header says, and the lengths of its fields.
#[allow(clippy::type_complexity)]
fn row_of(bytes: &[u8]) -> Option<(&'static MessageInfo, Vec<(FieldInfo, usize)>)> {
    let (frame, _) = Frame::split(bytes)?;
    let header = frame.header();
    let rows = [
        CommonMessage::MESSAGES,
        MiningMessage::MESSAGES,
        ExtensionsMessage::MESSAGES,
    ];
    let row = rows.into_iter().flatten().find(|row| {
        row.extension == header.extension() && row.message_type == header.message_type()
    })?;
    let lens = row
        .split(frame.payload())
        .map(|field| field.map(|(field, bytes)| (field, bytes.len())));
    Some((row, lens.collect::<Result<_, _>>().ok()?))
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (field, bytes) in &self.0 {
            let shown = Shown {
                wire_type: field.wire_type,
                is_text: field.is_text,
                bytes,
            };
            map.serialize_entry(field.name, &shown)?;
        }
        map.end()
    }
}

impl Shown<'_> {
    fn content(&self) -> &[u8] {
        self.bytes.get(self.wire_type.prefix_len()..).unwrap_or(&[])
    }

    fn number(&self) -> u64 {
        let bytes = self.bytes.iter().rev();
        bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn serialize_f32<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = f32::from_bits(self.number() as u32);
        match number.is_finite() {
            true => serializer.serialize_f32(number),
            // JSON has no such numbers.
            false => serializer.collect_str(&number),
        }
    }

    fn serialize_elements<S: Serializer>(
        &self,
        element: &WireType,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut reader = Reader::new(self.content());
        let mut elements = serializer.serialize_seq(None)?;
        while let Ok(bytes) = element.take(&mut reader)
            && !bytes.is_empty()
        {
            let (wire_type, is_text) = (*element, self.is_text);
            elements.serialize_element(&Shown {
                wire_type,
                is_text,
                bytes,
            })?;
        }
        elements.end()
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.wire_type {
            WireType::Bool => serializer.serialize_bool(self.number() & 1 == 1),
            WireType::Uint(0..=8) => serializer.serialize_u64(self.number()),
            WireType::Uint(_) | WireType::Tail => serializer.serialize_str(&hex(self.bytes)),
            WireType::F32 => self.serialize_f32(serializer),
            WireType::Bytes(_) => match self.is_text {
                true => serializer.serialize_str(&String::from_utf8_lossy(self.content())),
                false => serializer.serialize_str(&hex(self.content())),
            },
            WireType::Seq(_, element) => self.serialize_elements(element, serializer),
            WireType::Option(_) if self.content().is_empty() => serializer.serialize_none(),
            WireType::Option(inner) => {
                let (wire_type, is_text) = (**inner, self.is_text);
                let bytes = self.content();
                Shown {
                    wire_type,
                    is_text,
                    bytes,
                }
                .serialize(serializer)
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use bitcoin::hex::DisplayHex as _;
    bytes.to_lower_hex_string()
}
