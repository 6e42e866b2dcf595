//! What to type into a miner.

use serde::{Deserialize, Serialize};

/// What to type into a miner.
///
/// The page shows the first of these that there is: `public_host`; the host in the visitor's
/// address bar, unless that is a loopback name; the first of `lan_hosts`; the address bar's host
/// after all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connect {
    /// The host that the operator configured for miners: a name or an address without port.
    pub public_host: Option<String>,
    /// Addresses of this machine that others on its network can reach, the best first, IPv4
    /// before IPv6. Never a loopback, link-local or container address; empty when in doubt.
    pub lan_hosts: Vec<String>,
    /// The mining ports, the one to recommend first.
    pub listeners: Vec<Listener>,
    /// The authority public key of the first listener that has one; `None` when SV2 is off.
    pub authority_key: Option<String>,
    /// What the user name begins with, as an example: on the chain of a demonstration an address that
    /// can be used, else the beginning of one of this network, which cannot be paid ("bc1q…"). Empty
    /// where the network is not known.
    pub example_address: String,
}

/// A mining port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The IP address that it is bound to, `0.0.0.0` and `::` included.
    pub address: String,
    /// The TCP port.
    pub port: u16,
    /// What it speaks, by detection of the first bytes.
    pub protocols: Vec<ListenerProtocol>,
    /// The authority public key by which SV2 miners know the pool here, base58check as in
    /// `stratum2+tcp://host:port/KEY`; `None` where there is no SV2 in Noise.
    pub authority_key: Option<String>,
    /// The SHA-256 fingerprint of the certificate by which Stratum V1 in TLS is answered here, pairs of
    /// hexadecimal digits with colons between; `None` where TLS is not served.
    pub tls_fingerprint: Option<String>,
    /// Whether nobody vouches for that certificate but the pool, so that a miner has to be given its
    /// fingerprint or the certificate itself.
    pub tls_self_signed: bool,
    /// Whether Stratum V1 miners have to give a password, which is not shown.
    pub has_password: bool,
    /// Whether only programs on this machine can reach it.
    pub loopback_only: bool,
    /// Whether it is open. It is closed in set-up mode and while the pool is stopping.
    pub open: bool,
}

/// A protocol that a mining port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListenerProtocol {
    /// Stratum V1 in the clear: `stratum+tcp://`.
    Sv1,
    /// Stratum V1 in TLS: `stratum+ssl://`.
    Sv1Tls,
    /// Stratum V2 in Noise: `stratum2+tcp://`.
    Sv2,
    /// Stratum V2 in the clear, for tests on private addresses.
    Sv2Plain,
}
