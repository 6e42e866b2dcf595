//! TOML file, environment and command line → [`PoolConfig`]: the one place that validates.
//!
//! [`KEYS`] is the table of all there is to configure; the file's keys, the environment's variables,
//! the sample and the errors come from it. [`LISTENER_KEYS`] is the table for what each `[[listener]]` of
//! the file may have, [`BACKUP_NODE_KEYS`] that for each `[[backup_node]]`. The pool needs none of them. [`load`] reads the sources,
//! the later ones win (file, environment, flags), and gives either values that cannot be wrong or
//! all the mistakes at once, each with its place, the key, the value and what would be right.
//!
//! What is NOT here: constants (each is beside its code, with its reason), and anything that needs
//! a socket. Whether a port is free or a node answers is found out by those who use them. The
//! network may be known only from the node: what depends on it is checked by
//! [`PayoutConfig::policy`].

mod address;
mod error;
mod field;
mod keys;
mod keys_name;
mod listen;
mod listeners;
mod nodes;
mod pool_config;
mod read;
mod source;
mod suggest;
mod value;

pub use address::{PayAddress, WrongNetwork};
pub use error::{ConfigError, ConfigErrors, Origin};
pub use keys::{BACKUP_NODE_KEYS, KEYS, Key, Kind, LISTENER_KEYS, sample};
pub use keys_name::{KeysName, KeysNameError};
pub use listen::{ListenAddressError, listen_address};
pub use pool_config::{
    CertificateConfig, DifficultyConfig, FeeConfig, HttpConfig, ListenerConfig, LogLevel,
    NodeAccess, NodeAddress, NodeAuth, NodeConfig, NodeSocket, PayoutConfig, PoolConfig, Secret,
    Sv2Config,
};
pub use source::{Flag, Loaded, Notice, Sources, load};
