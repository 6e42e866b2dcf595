//! What the operator decides about the pool.

use std::net::SocketAddr;
use std::time::Duration;

use headframe_channels::DifficultySettings;
use headframe_mining::server::{Password, Sv2Rules};
use headframe_transport::{AddressSet, Endpoint, Protocols};
use headframe_work::{PayoutPolicy, PoolTag, VersionBits};

use crate::keys::KeysId;
use crate::tls::CertificateId;

/// The settings of a pool. Plain values: reading and checking them is the configuration's part.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where miners connect.
    pub listen: Vec<ListenSettings>,
    /// Connections at one time, all listeners together.
    pub max_connections: usize,
    /// Whom user names pay.
    pub payouts: PayoutPolicy,
    /// The pool's name in the coinbase.
    pub tag: PoolTag,
    /// What Stratum V2 clients have to put up with.
    pub sv2: Sv2Rules,
    /// How long miners are held while the node cannot be used, before they are released to whatever other
    /// pool they have; `None`: for ever.
    pub hold: Option<Duration>,
    /// How long miners work on a block without transactions, where the node has told of a new tip and has no
    /// template on it yet; zero: no tip is begun on one, and they wait for the template.
    pub empty_blocks: Duration,
    /// What blocks signal, whatever the node says.
    pub version_bits: VersionBits,
    /// Where miners that bear it are sent when the pool ends; `None`: where they are, to come back to the next run.
    pub move_to: Option<Endpoint>,
    /// Whose connections are limited, and whose address is believed.
    pub access: AccessSettings,
}

/// Which addresses are not like others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessSettings {
    /// From here as many connections and messages are taken as come, and nobody is banned.
    pub unlimited: AddressSet,
    /// Proxies that begin each connection with a PROXY header. The address in it is what counts then.
    pub proxies: AddressSet,
}

impl Default for AccessSettings {
    /// Loopback and private addresses are not limited, and nobody is a proxy.
    fn default() -> Self {
        Self {
            unlimited: AddressSet::PRIVATE,
            proxies: AddressSet::NONE,
        }
    }
}

/// One address that miners connect to, and how they are served there.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenSettings {
    /// The address.
    pub address: SocketAddr,
    /// What is served.
    pub protocols: Protocols,
    /// How hard shares are made.
    pub difficulty: DifficultySettings,
    /// Whether difficulties that Stratum V1 devices suggest are passed over.
    pub ignores_suggestions: bool,
    /// The keys that Noise handshakes are answered with, of the pool's sets of keys.
    pub keys: KeysId,
    /// What TLS handshakes are answered with, of the pool's certificates; `None`: TLS is not served.
    pub certificate: Option<CertificateId>,
    /// What Stratum V1 miners have to say; `None`: whatever they like.
    pub password: Option<Password>,
    /// The proxies of this listener; `None`: those of the pool.
    pub proxies: Option<AddressSet>,
}
