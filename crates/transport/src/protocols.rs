//! Which protocols a port serves.

use core::fmt;

/// The protocols that a port serves; first bytes tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocols {
    /// Stratum V1 in clear.
    pub sv1: bool,
    /// Stratum V1 in TLS.
    pub sv1_tls: bool,
    /// Stratum V2 in Noise.
    pub sv2: bool,
    /// Stratum V2 in clear, to loopback and private addresses alone (NX-2).
    pub plaintext_sv2: bool,
}

impl Protocols {
    /// Stratum V1 in clear and in TLS, and Stratum V2 in Noise.
    pub const USUAL: Self = Self {
        sv1: true,
        sv1_tls: true,
        sv2: true,
        plaintext_sv2: false,
    };

    /// What `names` say: `sv1`, `sv1_tls`, `sv2`, `sv2_plain`, at least one and each once at most.
    ///
    /// # Errors
    ///
    /// They do not; the error is the end of a sentence that says what would be right.
    pub fn parse(names: &[String]) -> Result<Self, ProtocolsError> {
        let mut protocols = Self {
            sv1: false,
            sv1_tls: false,
            sv2: false,
            plaintext_sv2: false,
        };
        for name in names {
            let protocol = match name.as_str() {
                "sv1" => &mut protocols.sv1,
                "sv1_tls" => &mut protocols.sv1_tls,
                "sv2" => &mut protocols.sv2,
                "sv2_plain" => &mut protocols.plaintext_sv2,
                _ => return Err(ProtocolsError),
            };
            if core::mem::replace(protocol, true) {
                return Err(ProtocolsError);
            }
        }
        match names.is_empty() {
            true => Err(ProtocolsError),
            false => Ok(protocols),
        }
    }
}

/// A list that is none of protocols. The operator's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write one or more of \"sv1\", \"sv1_tls\", \"sv2\" and \"sv2_plain\", each once")]
pub struct ProtocolsError;

impl fmt::Display for Protocols {
    /// As people list them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (self.sv1, "Stratum V1"),
            (self.sv1_tls, "Stratum V1 with TLS"),
            (self.sv2, "Stratum V2"),
            (self.plaintext_sv2, "Stratum V2 without encryption"),
        ];
        let served = names.iter().filter(|(is_served, _)| *is_served);
        let served: Vec<_> = served.map(|(_, name)| *name).collect();
        f.write_str(&served.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_anything_else_is_refused() {
        let parse = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            Protocols::parse(&names)
        };
        assert_eq!(parse(&["sv2", "sv1", "sv1_tls"]), Ok(Protocols::USUAL));
        let alone = parse(&["sv2"]).unwrap();
        assert_eq!(
            (alone.sv1, alone.sv2, alone.plaintext_sv2),
            (false, true, false)
        );
        assert_eq!(alone.to_string(), "Stratum V2");
        assert_eq!(
            Protocols::USUAL.to_string(),
            "Stratum V1 and Stratum V1 with TLS and Stratum V2"
        );
        for wrong in [&[][..], &["sv1", "sv1"], &["SV2"], &["sv2_tls"]] {
            assert_eq!(parse(wrong), Err(ProtocolsError), "{wrong:?}");
        }
    }
}
