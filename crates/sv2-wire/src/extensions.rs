//! Extensions negotiation, extension 0x0001: which extensions a connection uses.
//!
//! These messages have message types that the core protocol uses too; only the extension number in the header tells
//! them apart. Their request id has 16 bits where all others have 32.

use crate::message::messages;
use crate::seq::Seq64K;

messages! {
    /// A message of extension 0x0001.
    enum ExtensionsMessage of NEGOTIATION;

    /// The client asks for extensions, right after `SetupConnection.Success`.
    0x00 connection "0x0001 2" "RequestExtensions" RequestExtensions<'a> {
        /// Comes back in the answer.
        request_id: u16,
        /// Numbers of the extensions that the client wants.
        requested_extensions: Seq64K<'a, u16>,
    }

    /// The server grants extensions.
    0x01 connection "0x0001 2" "RequestExtensions.Success" RequestExtensionsSuccess<'a> {
        /// The request's.
        request_id: u16,
        /// Those of the requested extensions that the connection uses from here on.
        supported_extensions: Seq64K<'a, u16>,
    }

    /// The server grants nothing.
    0x02 connection "0x0001 2" "RequestExtensions.Error" RequestExtensionsError<'a> {
        /// The request's.
        request_id: u16,
        /// Those of the requested extensions that the server does not know.
        unsupported_extensions: Seq64K<'a, u16>,
        /// Those that the server insists on and that were not requested.
        required_extensions: Seq64K<'a, u16>,
    }
}
