//! From single [values](crate::value) to the whole configuration, and what they must be to each
//! other.

use std::path::{Path, PathBuf};

use headframe_work::{BasisPoints, Network, Rung};

use crate::error::{ConfigError, ConfigErrors};
use crate::field::Field;
use crate::source::Fields;
use crate::value::{
    address_set, bound, connections, empty_blocks, endpoint, host, host_list, log_level,
    optional_socket, path, pay_address, percent, pool_tag, rung, shares_per_minute, version_bits,
};
use crate::{
    DifficultyConfig, FeeConfig, HttpConfig, ListenerConfig, PayAddress, PayoutConfig, PoolConfig,
    Sv2Config,
};

/// The configuration, or all that is wrong with it.
pub(crate) fn config(mut fields: Fields, home: Option<&Path>) -> Result<PoolConfig, ConfigErrors> {
    let errors = core::mem::take(&mut fields.errors);
    let mut reader = Reader {
        fields,
        home,
        errors,
    };
    let read = reader.config();
    match (read, reader.errors) {
        (Some(config), errors) if errors.is_empty() => Ok(config),
        (_, errors) => Err(ConfigErrors::in_order(errors)),
    }
}

/// Reads on after a mistake, to find them all. `None` stands for a value with a mistake in it.
pub(crate) struct Reader<'a> {
    pub(crate) fields: Fields,
    pub(crate) home: Option<&'a Path>,
    pub(crate) errors: Vec<ConfigError>,
}

impl Reader<'_> {
    fn config(&mut self) -> Option<PoolConfig> {
        let data_dir = self.data_dir();
        let public_host = self.read("pool", "public_host", host);
        let max_connections = self.read("pool", "max_connections", connections);
        let unlimited_from = self.read("pool", "unlimited_from", address_set);
        let tag = self.read("pool", "tag", pool_tag);
        let empty_blocks = self.read("pool", "empty_block_seconds", empty_blocks);
        let version_bits = self.read("pool", "version_bits", version_bits);
        let move_to = self.read("pool", "move_to", endpoint);
        let node = self.node();
        let payout = self.payout(node.as_ref().and_then(|node| node.network));
        let difficulty = self.difficulty();
        let listeners = self.listeners(difficulty);
        let sv2 = self.sv2();
        let http = self.http();
        let log_level = self.read("log", "level", log_level);
        self.check_ports(listeners.as_deref(), http.as_ref());
        Some(PoolConfig {
            data_dir: data_dir?,
            listeners: listeners?,
            public_host: public_host?,
            max_connections: max_connections?,
            unlimited_from: unlimited_from?,
            empty_blocks: empty_blocks?,
            version_bits: version_bits?,
            move_to: move_to?,
            tag: tag?,
            node: node?,
            payout: payout?,
            sv2: sv2?,
            http: http?,
            log_level: log_level?,
        })
    }

    fn data_dir(&mut self) -> Option<PathBuf> {
        let home = self.home;
        self.read("pool", "data_dir", |field| {
            let path = path(field, home)?;
            path.ok_or_else(|| field.refuse("write the path of a directory"))
        })
    }

    fn payout(&mut self, network: Option<Network>) -> Option<PayoutConfig> {
        let pay = |field: &Field| pay_address(field, network);
        let rate = self.read("payout", "fee_percent", percent);
        let address = self.read("payout", "fee_address", pay);
        let part = self.read("payout", "fee_split_percent", percent);
        let second = self.read("payout", "fee_split_address", pay);
        let plain_names = self.read("payout", "plain_name_address", pay);
        let split = self.split(part?, second?);
        let fee = self.fee(rate?, address?, split?);
        Some(PayoutConfig {
            fee: fee?,
            plain_names: plain_names?,
        })
    }

    fn split(
        &mut self,
        part: BasisPoints,
        address: Option<PayAddress>,
    ) -> Option<Option<(BasisPoints, PayAddress)>> {
        match address {
            _ if part == BasisPoints::ZERO => Some(None),
            Some(address) => Some(Some((part, address))),
            None => self.refuse(
                "payout",
                "fee_split_percent",
                "set payout.fee_split_address, or leave the fee undivided",
            ),
        }
    }

    fn fee(
        &mut self,
        rate: BasisPoints,
        address: Option<PayAddress>,
        split: Option<(BasisPoints, PayAddress)>,
    ) -> Option<Option<FeeConfig>> {
        match address {
            _ if rate == BasisPoints::ZERO && split.is_some() => self.refuse(
                "payout",
                "fee_split_percent",
                "there is no fee to divide; set payout.fee_percent",
            ),
            _ if rate == BasisPoints::ZERO => Some(None),
            Some(address) => Some(Some(FeeConfig {
                rate,
                address,
                split,
            })),
            None => self.refuse(
                "payout",
                "fee_percent",
                "set payout.fee_address, or a fee of 0",
            ),
        }
    }

    fn difficulty(&mut self) -> Option<DifficultyConfig> {
        let rate = self.read("difficulty", "shares_per_minute", shares_per_minute);
        let start = self.read("difficulty", "start", rung);
        let min = self.read("difficulty", "min", |field| bound(field, Rung::EASIEST));
        let max = self.read("difficulty", "max", |field| bound(field, Rung::HARDEST));
        let [start, min, max] = [start?, min?, max?];
        if min > max {
            return self.refuse("difficulty", "min", "it is above difficulty.max");
        }
        if start < min || start > max {
            let expected = "it is not between difficulty.min and difficulty.max";
            return self.refuse("difficulty", "start", expected);
        }
        Some(DifficultyConfig {
            shares_per_minute: rate?,
            start,
            min,
            max,
        })
    }

    fn sv2(&mut self) -> Option<Sv2Config> {
        let fixed_version = self.read("sv2", "fixed_version", Field::switch);
        let extended_channels_only = self.read("sv2", "extended_channels_only", Field::switch);
        let require_worker_names = self.read("sv2", "require_worker_names", Field::switch);
        Some(Sv2Config {
            fixed_version: fixed_version?,
            extended_channels_only: extended_channels_only?,
            require_worker_names: require_worker_names?,
        })
    }

    fn http(&mut self) -> Option<HttpConfig> {
        let listen = self.read("http", "listen", optional_socket);
        let allowed_hosts = self.read("http", "allowed_hosts", host_list);
        Some(HttpConfig {
            listen: listen?,
            allowed_hosts: allowed_hosts?,
        })
    }

    fn check_ports(&mut self, listeners: Option<&[ListenerConfig]>, http: Option<&HttpConfig>) {
        let (Some(listeners), Some(http)) = (listeners, http.and_then(|http| http.listen)) else {
            return;
        };
        if http.port() != 0 && listeners.iter().any(|it| it.address == http) {
            self.refuse::<()>(
                "http",
                "listen",
                "miners are served there; use another port",
            );
        }
    }

    pub(crate) fn read<T>(
        &mut self,
        section: &'static str,
        name: &'static str,
        read: impl FnOnce(&Field) -> Result<T, ConfigError>,
    ) -> Option<T> {
        match read(&self.fields.field(section, name)) {
            Ok(value) => Some(value),
            Err(error) => {
                self.errors.push(error);
                None
            }
        }
    }

    /// Refuses a value for what others are.
    pub(crate) fn refuse<T>(
        &mut self,
        section: &'static str,
        name: &'static str,
        expected: &str,
    ) -> Option<T> {
        let error = self.fields.field(section, name).refuse(expected);
        self.errors.push(error);
        None
    }
}
