//! Messages as frames.

use headframe_sv2_wire::{Message, try_write_frame, write_frame};

/// A message that always fits a frame.
pub(crate) fn framed<'a>(message: &impl Message<'a>) -> Vec<u8> {
    let mut frame = Vec::new();
    write_frame(message, &mut frame);
    frame
}

/// A message that may be longer than a frame; `None` if it is.
pub(crate) fn try_framed<'a>(message: &impl Message<'a>) -> Option<Vec<u8>> {
    let mut frame = Vec::new();
    try_write_frame(message, &mut frame).ok()?;
    Some(frame)
}
