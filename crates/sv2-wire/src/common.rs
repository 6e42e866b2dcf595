//! Messages of every subprotocol: set-up, changed endpoints, reconnects (spec §3.6).

use crate::bytes::Str255;
use crate::codes::Code;
use crate::incoming::Protocol;
use crate::message::messages;

messages! {
    /// A message that every subprotocol has.
    enum CommonMessage of CORE;

    /// A client's first message on a connection.
    0x00 connection "3.6.1" "SetupConnection" SetupConnection<'a> {
        /// The subprotocol that the connection is to speak.
        protocol: Protocol,
        /// The lowest protocol version that the client speaks; 2 today.
        min_version: u16,
        /// The highest protocol version that the client speaks; 2 today.
        max_version: u16,
        /// What the client requires, see [`flags`](crate::flags); the bits' meaning depends on `protocol`.
        flags: u32,
        /// The host name or address that the client dialled.
        endpoint_host: Str255<'a>,
        /// The port that the client dialled.
        endpoint_port: u16,
        /// The maker of the device or program.
        vendor: Str255<'a>,
        /// The device's hardware version.
        hardware_version: Str255<'a>,
        /// The device's firmware.
        firmware: Str255<'a>,
        /// The device's identity as its vendor defines it; empty unless telemetry was asked for.
        device_id: Str255<'a>,
    }

    /// The server accepts the connection.
    0x01 connection "3.6.2" "SetupConnection.Success" SetupConnectionSuccess {
        /// The version both sides speak from here on.
        used_version: u16,
        /// What the server requires, see [`flags`](crate::flags); not the request's bits.
        flags: u32,
    }

    /// The server refuses the connection and closes it.
    0x02 connection "3.6.3" "SetupConnection.Error" SetupConnectionError<'a> {
        /// The flags that the server does not support; 0 if the refusal is not about flags.
        flags: u32,
        /// The reason.
        error_code: Code<'a>,
    }

    /// A channel's other end moved: what extensions had agreed for it is void.
    0x03 channel "3.6.4" "ChannelEndpointChanged" ChannelEndpointChanged {
        /// The channel.
        channel_id: u32,
    }

    /// The client is to connect elsewhere.
    0x04 connection "3.6.5" "Reconnect" Reconnect<'a> {
        /// The new host; empty for the present one.
        new_host: Str255<'a>,
        /// The new port; 0 for the present one.
        new_port: u16,
    }
}
