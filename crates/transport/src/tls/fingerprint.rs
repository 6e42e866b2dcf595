//! What a certificate is known by.

use core::fmt;
use core::str::FromStr;

use ring::digest::{SHA256, digest};
use thiserror::Error;

/// The SHA-256 of a certificate in DER: what `openssl x509 -fingerprint -sha256` shows. Shown as pairs of
/// hexadecimal digits with colons between; read with colons or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

/// A text that is no fingerprint. The user's to put right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a certificate's SHA-256 fingerprint has 64 hexadecimal digits, with colons between the pairs or without"
)]
pub struct FingerprintError;

impl Fingerprint {
    /// That of a certificate in DER.
    pub fn of(certificate: &[u8]) -> Self {
        let hash = digest(&SHA256, certificate);
        Self(hash.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let digits: Vec<u8> = match text.contains(':') {
            true if text.split(':').all(|pair| pair.len() == 2) => text.replace(':', "").into(),
            true => return Err(FingerprintError),
            false => text.into(),
        };
        if digits.len() != 64 {
            return Err(FingerprintError);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
            let (Some(high), Some(low)) = (high, low) else {
                return Err(FingerprintError);
            };
            *byte = (high * 16 + low) as u8;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            let colon = if place == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_is_shown_and_as_others_write_it() {
        // SHA-256 of "abc" (FIPS 180-4).
        let shown = "BA:78:16:BF:8F:01:CF:EA:41:41:40:DE:5D:AE:22:23:B0:03:61:A3:96:17:7A:9C:B4:10:FF:61:F2:00:15:AD";
        let fingerprint = Fingerprint::of(b"abc");
        assert_eq!(fingerprint.to_string(), shown);
        let bare = shown.replace(':', "").to_lowercase();
        for text in [shown, &bare] {
            assert_eq!(text.parse(), Ok(fingerprint), "{text}");
        }
        for wrong in [
            "",
            &shown[3..],
            &bare[2..],
            &bare.replace('a', "g"),
            &format!("{}:", &bare[..63]),
            &shown.replacen("BA:78", "BA7:8", 1),
            &"é".repeat(32),
        ] {
            assert_eq!(
                wrong.parse::<Fingerprint>(),
                Err(FingerprintError),
                "{wrong}"
            );
        }
    }
}
