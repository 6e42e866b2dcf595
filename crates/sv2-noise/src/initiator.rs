//! The client's side of the handshake (sv2-spec 4.5.1 and 4.5.2).

use thiserror::Error;

use crate::authority::AuthorityPublicKey;
use crate::certificate::{CERTIFICATE_LEN, Certificate, CertificateError};
use crate::cipher::Forged;
use crate::noise_key::{NoiseKey, decode_x_only};
use crate::record::{RecordLayer, TAG_LEN};
use crate::symmetric::Unkeyed;
use crate::{ACT1_LEN, ACT2_LEN};

/// A client that has sent act 1 and waits for act 2.
#[derive(Debug)]
pub struct Initiator {
    ephemeral: NoiseKey,
    trust: Trust,
}

/// Whom a client believes to be its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The holder of a certificate by this authority, which was learned out of band.
    Authority(AuthorityPublicKey),
    /// Whoever answers. An eavesdropper learns nothing, an impostor everything: for tests, and for a
    /// user who said so.
    Anyone,
}

/// What a finished handshake leaves to a client.
#[derive(Debug)]
pub struct Established {
    /// Both directions of the connection.
    pub record: RecordLayer,
    /// The server's certificate; verified unless the client trusts anyone.
    pub certificate: Certificate,
    /// The server's static key: x coordinate, 32 bytes, big endian.
    pub server_key: [u8; 32],
}

/// Why a client refuses a server. Close the connection and send nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HandshakeError {
    /// The server's: its certificate does not hold.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The server's, or of somebody on the way: act 2 is not the answer to act 1.
    #[error(
        "the server's answer to the Noise handshake is not authentic: the port does not speak encrypted Stratum V2, or somebody changed its bytes"
    )]
    Forged,
}

impl Initiator {
    /// Begins a handshake. Send the 64 bytes as they are; then read exactly [`ACT2_LEN`] bytes.
    ///
    /// `ephemeral` is a fresh key of fresh random bytes.
    pub fn start(trust: Trust, ephemeral: NoiseKey) -> (Self, [u8; ACT1_LEN]) {
        let act1 = ephemeral.encoding();
        (Self { ephemeral, trust }, act1)
    }

    /// Checks the server's answer and its certificate at the unix time `now`.
    ///
    /// On success the first frame may be sent at once.
    pub fn finish(self, act2: &[u8; ACT2_LEN], now: u32) -> Result<Established, HandshakeError> {
        let (responder, mut static_box, mut certificate_box) = split_act2(act2);

        let mut unkeyed = Unkeyed::after_act1(&self.ephemeral.encoding());
        unkeyed.mix_responder_ephemeral(&responder);
        let mut keyed = unkeyed.mix_key(&self.ephemeral.agree_as_initiator(&responder));
        let server: [u8; 64] = open(keyed.open(&mut static_box)?);
        let mut keyed = keyed.mix_key(&self.ephemeral.agree_as_initiator(&server));
        let certificate = Certificate::from_bytes(&open(keyed.open(&mut certificate_box)?));

        let server_key = decode_x_only(&server);
        match self.trust {
            Trust::Authority(authority) => certificate.verify(&authority, &server_key, now)?,
            Trust::Anyone => {}
        }
        Ok(Established {
            record: RecordLayer::initiator(&keyed.split()),
            certificate,
            server_key,
        })
    }
}

impl From<Forged> for HandshakeError {
    fn from(_: Forged) -> Self {
        Self::Forged
    }
}

type StaticBox = [u8; 64 + TAG_LEN];
type CertificateBox = [u8; CERTIFICATE_LEN + TAG_LEN];

fn split_act2(act2: &[u8; ACT2_LEN]) -> ([u8; 64], StaticBox, CertificateBox) {
    let mut parts = ([0; 64], [0; 80], [0; 90]);
    let (responder, boxes) = act2.split_at(64);
    let (static_box, certificate_box) = boxes.split_at(80);
    parts.0.copy_from_slice(responder);
    parts.1.copy_from_slice(static_box);
    parts.2.copy_from_slice(certificate_box);
    parts
}

/// A plaintext whose length follows from the box's.
fn open<const N: usize>(plain: &mut [u8]) -> [u8; N] {
    core::array::from_fn(|i| plain[i])
}
