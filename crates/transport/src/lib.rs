//! Bytes over TCP: accept, dial, first-byte detection, TLS, Noise, deadlines, one write per event.
//!
//! Knows frames and lines, not messages. A connection is owned by one task, which holds a
//! [`LineStream`] or a [`FrameStream`] and does all of this with it:
//!
//! ```text
//! loop {
//!     select! {
//!         filled = stream.fill() => while let Some(frame) = stream.next_frame()? { … },
//!         update = updates.recv() => { stream.queue_frame(…)?; … }
//!         …
//!     }
//! }
//! ```
//!
//! Taking messages out and queueing messages is synchronous and allocates nothing per message.
//! Only `fill`, `flush` and `shutdown` wait, and the first two may be cancelled at any time: `fill`
//! also writes what is queued, so a loop like the one above needs no arm for writing.
//!
//! A peer that does not read is never waited for: when its outbox is full, queueing fails with
//! [`TransportError::SlowReader`] and the connection is to be closed.

mod accept;
mod address_set;
mod curve_pool;
mod detect;
mod dial;
mod error;
mod frame_stream;
mod inbox;
mod line_stream;
mod link;
mod local;
mod outbox;
mod pool_url;
mod protocols;
mod proxy_header;
mod random;
mod tls;
mod vanished;

pub use accept::{
    AcceptError, AcceptSettings, Accepted, Acceptor, Forwarded, HANDSHAKE_DEADLINE,
    MINING_FRAME_LIMIT,
};
pub use address_set::{AddressSet, AddressSetError, Prefix};
pub use curve_pool::CurvePool;
pub use dial::{CONNECT_DEADLINE, DialError, DialSettings, Dialer};
pub use error::TransportError;
pub use frame_stream::FrameStream;
pub use line_stream::{LINE_LIMIT, LineStream};
pub use link::{Filled, SHUTDOWN_DEADLINE};
pub use local::is_local;
pub use outbox::OUTBOX_LIMIT;
pub use pool_url::{Endpoint, PoolUrl, PoolUrlError};
pub use protocols::{Protocols, ProtocolsError};
pub use proxy_header::{PROXY_HEADER_LIMIT, ProxyHeaderError, fuzz_proxy_header};
pub use tls::{
    Fingerprint, FingerprintError, LineSocket, SelfSigned, SelfSignedError, TlsIdentity,
    TlsIdentityError, TlsTrust, self_signed,
};
