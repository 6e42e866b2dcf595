//! One encrypted connection: `noise_sv2`, `codec_sv2` and `parsers_sv2` on a socket.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bitcoin::base58;
use codec_sv2::{
    Decrypted, Handshake, MessageFrame, NoiseDecoder, NoiseEncoder, TransportDecryptState,
    TransportEncryptState,
};
use common_messages_sv2::{Protocol, SetupConnectionOwned, SetupConnectionSuccessOwned};
use noise_sv2::{INITIATOR_EXPECTED_HANDSHAKE_MESSAGE_SIZE, Initiator};
use parsers_sv2::{AnyMessage, AnyMessageOwned, CommonMessagesOwned};

use crate::wait::LIMIT;

/// What stands before the key in an authority key's text (spec §4.7).
const KEY_VERSION: [u8; 2] = [1, 0];

/// A connection whose handshake is done.
pub struct Link {
    stream: TcpStream,
    encoder: NoiseEncoder,
    decoder: NoiseDecoder,
    seal: TransportEncryptState,
    /// Taken while a frame is read.
    open: Option<TransportDecryptState>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

impl Link {
    /// Connects to whoever proves to have the authority key, which is the base58 text that the pool
    /// shows.
    ///
    /// # Panics
    ///
    /// When there is no such server.
    pub fn connect(address: SocketAddr, authority: &str) -> Self {
        let mut stream = TcpStream::connect(address).expect("the pool listens");
        stream.set_read_timeout(Some(LIMIT)).expect("it is not 0");
        let initiator = Initiator::from_raw_k(key(authority)).expect("a key on the curve");
        let (first, handshake) = Handshake::initiator(initiator)
            .step_0()
            .expect("a handshake can be begun");
        stream
            .write_all(first.payload())
            .expect("the connection is open");
        let mut second = [0; INITIATOR_EXPECTED_HANDSHAKE_MESSAGE_SIZE];
        stream
            .read_exact(&mut second)
            .expect("the pool answers the handshake");
        let transport = handshake.step_2(second).expect("the pool has the key");
        let (seal, open) = transport.split();
        Self {
            stream,
            encoder: NoiseEncoder::new(),
            decoder: NoiseDecoder::new(),
            seal,
            open: Some(open),
        }
    }

    /// Says what is to be spoken over the connection to `address`, and gives the answer. `hardware` is the client's.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    pub fn set_up(
        &mut self,
        protocol: Protocol,
        flags: u32,
        address: SocketAddr,
        hardware: &str,
    ) -> SetupConnectionSuccessOwned {
        let word = |word: &str| word.try_into().expect("short");
        let setup = SetupConnectionOwned {
            protocol,
            min_version: 2,
            max_version: 2,
            flags,
            endpoint_host: word("127.0.0.1"),
            endpoint_port: address.port(),
            vendor: word("conformance"),
            hardware_version: word(hardware),
            firmware: word(""),
            device_id: word(""),
        };
        self.send(AnyMessageOwned::Common(
            CommonMessagesOwned::SetupConnection(setup),
        ));
        match self.receive() {
            AnyMessageOwned::Common(CommonMessagesOwned::SetupConnectionSuccess(success)) => {
                assert_eq!(success.used_version, 2);
                success
            }
            other => panic!("SetupConnection is answered with {other}"),
        }
    }

    /// Sends a message.
    ///
    /// # Panics
    ///
    /// When the connection is closed.
    pub fn send(&mut self, message: AnyMessageOwned) {
        let frame = MessageFrame::try_from(message).expect("the message fits a frame");
        let sealed = self.encoder.encode_transport(frame, &mut self.seal);
        let sealed = sealed.expect("a frame can be sealed");
        self.stream
            .write_all(sealed.as_ref())
            .expect("the connection is open");
    }

    /// The next message.
    ///
    /// # Panics
    ///
    /// When none comes, or something that the reference implementation cannot read.
    pub fn receive(&mut self) -> AnyMessageOwned {
        loop {
            let buffer = self.decoder.writable();
            self.stream
                .read_exact(buffer)
                .expect("the pool sends a message");
            let open = self.open.take().expect("it is put back");
            match self.decoder.next_transport_frame(open) {
                Ok(Decrypted::Incomplete(_, open)) => self.open = Some(open),
                Ok(Decrypted::Frame(mut frame, open)) => {
                    self.open = Some(open);
                    let header = frame.header();
                    let message = AnyMessage::try_from((header, frame.payload()));
                    return message.expect("a message of the protocol").into_owned();
                }
                Err(error) => panic!("the pool sent what cannot be opened: {error:?}"),
            }
        }
    }

    /// The next message, if one comes within a moment.
    ///
    /// # Panics
    ///
    /// When the connection is closed, or half a message comes.
    pub fn receive_within(&mut self, moment: Duration) -> Option<AnyMessageOwned> {
        let wait = |stream: &TcpStream, time| {
            stream.set_read_timeout(Some(time)).expect("it is not 0");
        };
        wait(&self.stream, moment);
        let seen = self.stream.peek(&mut [0]);
        wait(&self.stream, LIMIT);
        match seen {
            Ok(0) => panic!("the pool closed the connection"),
            Ok(_) => Some(self.receive()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                None
            }
            Err(error) => panic!("the connection broke: {error}"),
        }
    }
}

fn key(text: &str) -> [u8; 32] {
    let bytes = base58::decode_check(text).expect("an authority key is base58 with a checksum");
    let key = bytes.strip_prefix(&KEY_VERSION).expect("a key's version");
    key.try_into().expect("a key has 32 bytes")
}
