//! The server's side of the handshake (sv2-spec 4.5.2).

use crate::certificate::CERTIFICATE_LEN;
use crate::identity::StaticIdentity;
use crate::noise_key::NoiseKey;
use crate::record::{RecordLayer, TAG_LEN};
use crate::symmetric::{Keyed, Unkeyed};
use crate::{ACT1_LEN, ACT2_LEN};

/// Answers act 1 with act 2, after which the connection is established.
///
/// Every 64 bytes are a valid act 1 (NX-35), so this cannot fail; a client that sent noise will not
/// be able to read the answer, nor to send a header that opens. `ephemeral` is a fresh key of fresh
/// random bytes. Costs three operations on the curve: call it on a thread that judges no shares.
pub fn respond(
    identity: &StaticIdentity,
    act1: &[u8; ACT1_LEN],
    ephemeral: NoiseKey,
) -> ([u8; ACT2_LEN], RecordLayer) {
    let mut act2 = [0; ACT2_LEN];
    let (responder, boxes) = act2.split_at_mut(64);
    let (static_box, certificate_box) = boxes.split_at_mut(64 + TAG_LEN);
    debug_assert_eq!(certificate_box.len(), CERTIFICATE_LEN + TAG_LEN);

    let encoding = ephemeral.encoding();
    responder.copy_from_slice(&encoding);
    let mut unkeyed = Unkeyed::after_act1(act1);
    unkeyed.mix_responder_ephemeral(&encoding);
    let mut keyed = unkeyed.mix_key(&ephemeral.agree_as_responder(act1));
    seal_into(&mut keyed, &identity.encoding(), static_box);
    let mut keyed = keyed.mix_key(&identity.agree(act1));
    seal_into(&mut keyed, identity.certificate_bytes(), certificate_box);
    (act2, RecordLayer::responder(&keyed.split()))
}

fn seal_into(keyed: &mut Keyed, plain: &[u8], sealed: &mut [u8]) {
    let (body, tag) = sealed.split_at_mut(plain.len());
    body.copy_from_slice(plain);
    tag.copy_from_slice(&keyed.seal(body));
}
