//! What is sent to the node: text in pieces, which nobody has to join.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use headframe_work::BlockHex;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use serde::Serialize;

/// The body of a request. A clone shares its bytes.
#[derive(Debug, Clone)]
pub(super) struct Pieces(VecDeque<Bytes>);

/// What ends a call whose last parameter is a text.
const END: &str = r#""]}"#;

/// The digits of a block after its head, which stay where they are.
struct Rest(BlockHex);

impl AsRef<[u8]> for Rest {
    fn as_ref(&self) -> &[u8] {
        let [_, rest] = self.0.pieces();
        rest.as_bytes()
    }
}

impl Pieces {
    pub(super) fn of(call: &impl Serialize) -> serde_json::Result<Self> {
        let whole = serde_json::to_vec(call)?;
        Ok(Self([whole.into()].into()))
    }

    /// `call` has the head of `block` as its only parameter, in its last field; it is made longer by the rest.
    pub(super) fn with_block(call: &impl Serialize, block: &BlockHex) -> serde_json::Result<Self> {
        let mut first = serde_json::to_vec(call)?;
        debug_assert!(first.ends_with(END.as_bytes()));
        first.truncate(first.len().saturating_sub(END.len()));
        let rest = Bytes::from_owner(Rest(block.clone()));
        Ok(Self([first.into(), rest, END.into()].into()))
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.0.pop_front();
        Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}
