//! Random bytes of the operating system.

use std::io;

use headframe_sv2_noise::NoiseKey;
use ring::rand::{SecureRandom, SystemRandom};

/// A fresh ephemeral key. Errors only when the operating system gives no random bytes.
pub(crate) fn ephemeral_key() -> io::Result<NoiseKey> {
    loop {
        // Once in 2^127 draws the bytes are no key.
        if let Ok(key) = NoiseKey::new(bytes()?, bytes()?) {
            return Ok(key);
        }
    }
}

fn bytes() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| io::Error::other("the operating system gives no random bytes"))?;
    Ok(bytes)
}
