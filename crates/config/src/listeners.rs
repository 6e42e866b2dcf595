//! Where miners connect, from `pool.listen` and the `[[listener]]`s.

use std::net::SocketAddr;

use headframe_transport::{AddressSet, Protocols, is_local};
use headframe_work::Rung;

use crate::error::ConfigError;
use crate::field::Field;
use crate::read::Reader;
use crate::source::TableFields;
use crate::value::{
    address_set, bound, keys_name, path, protocols, rung, secret, shares_per_minute, socket_list,
    socket_of,
};
use crate::{CertificateConfig, DifficultyConfig, KeysName, ListenerConfig, Origin};

/// How many places a pool listens at, at most: each has a socket and a task, and nobody needs more.
const MAX_LISTENERS: usize = 64;

/// What all listeners have that do not say otherwise.
struct Usual {
    protocols: Protocols,
    proxies: AddressSet,
}

impl Reader<'_> {
    /// `None` for a mistake in one of them, or in the `difficulty` of the pool.
    pub(crate) fn listeners(
        &mut self,
        difficulty: Option<DifficultyConfig>,
    ) -> Option<Vec<ListenerConfig>> {
        let usual = Protocols {
            plaintext_sv2: self.read("pool", "plaintext_sv2", Field::switch)?,
            ..Protocols::USUAL
        };
        let proxies = self.read("pool", "proxy_protocol_from", address_set);
        let usual = Usual {
            protocols: usual,
            proxies: proxies?,
        };
        let plain = self.plain_listeners(&usual, difficulty);
        let mut is_whole = plain.is_some();
        let mut listeners = plain.unwrap_or_default();
        for table in core::mem::take(&mut self.fields.listeners) {
            let listener = self.listener(&table, &usual, difficulty);
            match listener.and_then(|it| self.unless_twice(it, &listeners, &table)) {
                Some(listener) => listeners.push(listener),
                None => is_whole = false,
            }
        }
        if listeners.is_empty() && is_whole {
            let expected = "a pool listens somewhere; write at least one address";
            return self.refuse("pool", "listen", expected);
        }
        if listeners.len() > MAX_LISTENERS {
            let expected = format!("a pool listens at {MAX_LISTENERS} places at most");
            return self.refuse("pool", "listen", &expected);
        }
        is_whole.then_some(listeners)
    }

    /// Those of `pool.listen`. Where there are others, nobody gets one by default.
    fn plain_listeners(
        &mut self,
        usual: &Usual,
        difficulty: Option<DifficultyConfig>,
    ) -> Option<Vec<ListenerConfig>> {
        let protocols = usual.protocols;
        let is_default = self.fields.field("pool", "listen").origin == Origin::Default;
        let addresses = match is_default && !self.fields.listeners.is_empty() {
            true => Vec::new(),
            false => self.read("pool", "listen", socket_list)?,
        };
        let open = addresses.iter().find(|address| !is_local(address.ip()));
        if let Some(open) = open.filter(|_| protocols.plaintext_sv2) {
            let expected = format!(
                "SV2 without Noise is for loopback and private addresses, and pool.listen has {open}; \
                 listen on one of those, such as 127.0.0.1:3333, or write false"
            );
            return self.refuse("pool", "plaintext_sv2", &expected);
        }
        let difficulty = difficulty?;
        let listener = |address| ListenerConfig {
            address,
            protocols,
            keys: KeysName::OWN,
            certificate: CertificateConfig::Own,
            password: None,
            proxy_protocol_from: usual.proxies.clone(),
            difficulty,
            ignore_suggestions: false,
        };
        Some(addresses.into_iter().map(listener).collect())
    }

    fn listener(
        &mut self,
        table: &TableFields,
        usual: &Usual,
        pool: Option<DifficultyConfig>,
    ) -> Option<ListenerConfig> {
        let address = match table.field("address") {
            Some(field) => self.note(socket_of(field)),
            None => self.note(Err(table.lacks(
                "address",
                "write where it listens, such as \"0.0.0.0:3334\"",
            ))),
        };
        let password = self.of(table, "password", None, secret);
        let served = self.served(table, usual, password.as_ref()?.is_some());
        let certificate = self.certificate_of(table, served);
        let proxies = usual.proxies.clone();
        let proxies = self.of(table, "proxy_protocol_from", proxies, address_set);
        let keys = self.of(table, "keys", KeysName::OWN, keys_name);
        let difficulty = pool.and_then(|pool| self.difficulty_of(table, pool));
        let ignore_suggestions = self.of(table, "ignore_suggestions", false, Field::switch);
        if let (Some(address), Some(served)) = (address, served) {
            self.check_plaintext(table, address, served)?;
        }
        Some(ListenerConfig {
            address: address?,
            protocols: served?,
            keys: keys?,
            certificate: certificate?,
            password: password?,
            proxy_protocol_from: proxies?,
            difficulty: difficulty?,
            ignore_suggestions: ignore_suggestions?,
        })
    }

    /// Stratum V2 has no passwords: where there is one, it is not served.
    fn served(
        &mut self,
        table: &TableFields,
        usual: &Usual,
        has_password: bool,
    ) -> Option<Protocols> {
        let pool = match has_password {
            true => Protocols {
                sv2: false,
                plaintext_sv2: false,
                ..usual.protocols
            },
            false => usual.protocols,
        };
        let served = self.of(table, "protocols", pool, protocols)?;
        match has_password && (served.sv2 || served.plaintext_sv2) {
            true => self.blame(
                table,
                ["protocols"],
                "Stratum V2 has no passwords, and listener.password is set; write \"sv1\", \"sv1_tls\" or both",
            ),
            false => Some(served),
        }
    }

    fn certificate_of(
        &mut self,
        table: &TableFields,
        served: Option<Protocols>,
    ) -> Option<CertificateConfig> {
        let home = self.home;
        let certificate = self.of(table, "tls_certificate", None, |field| path(field, home));
        let key = self.of(table, "tls_key", None, |field| path(field, home));
        match (certificate?, key?) {
            (None, None) => Some(CertificateConfig::Own),
            _ if served.is_some_and(|served| !served.sv1_tls) => self.blame(
                table,
                ["tls_certificate", "tls_key"],
                "this listener serves no TLS; add \"sv1_tls\" to listener.protocols",
            ),
            (Some(certificate), Some(key)) => Some(CertificateConfig::Files { certificate, key }),
            (Some(_), None) => self.blame(table, ["tls_certificate"], "set listener.tls_key too"),
            (None, Some(_)) => self.blame(table, ["tls_key"], "set listener.tls_certificate too"),
        }
    }

    fn difficulty_of(
        &mut self,
        table: &TableFields,
        pool: DifficultyConfig,
    ) -> Option<DifficultyConfig> {
        let rate = pool.shares_per_minute;
        let rate = self.of(table, "shares_per_minute", rate, shares_per_minute);
        let start = self.of(table, "difficulty_start", pool.start, rung);
        let min = self.of(table, "difficulty_min", pool.min, |field| {
            bound(field, Rung::EASIEST)
        });
        let max = self.of(table, "difficulty_max", pool.max, |field| {
            bound(field, Rung::HARDEST)
        });
        let difficulty = DifficultyConfig {
            shares_per_minute: rate?,
            start: start?,
            min: min?,
            max: max?,
        };
        let DifficultyConfig {
            start, min, max, ..
        } = difficulty;
        match (min <= start, start <= max) {
            (true, true) => Some(difficulty),
            (false, _) => self.blame(
                table,
                ["difficulty_start", "difficulty_min", "difficulty_max"],
                "the difficulty to start with is below the easiest; set listener.difficulty_start too",
            ),
            (true, false) => self.blame(
                table,
                ["difficulty_start", "difficulty_max", "difficulty_min"],
                "the difficulty to start with is above the hardest; set listener.difficulty_start too",
            ),
        }
    }

    fn check_plaintext(
        &mut self,
        table: &TableFields,
        address: SocketAddr,
        served: Protocols,
    ) -> Option<()> {
        if !served.plaintext_sv2 || is_local(address.ip()) {
            return Some(());
        }
        let expected = "SV2 without Noise is for loopback and private addresses, and this one is \
                        neither; listen elsewhere, or leave \"sv2_plain\" out of listener.protocols";
        self.blame(table, ["protocols", "address"], expected)
    }

    /// Refuses a listener where another one is.
    fn unless_twice(
        &mut self,
        listener: ListenerConfig,
        others: &[ListenerConfig],
        table: &TableFields,
    ) -> Option<ListenerConfig> {
        let address = listener.address;
        match address.port() != 0 && others.iter().any(|other| other.address == address) {
            true => self.blame(table, ["address"], &format!("{address} is there twice")),
            false => Some(listener),
        }
    }

    /// A key of the table, or the `pool`'s value where the table has none.
    fn of<T>(
        &mut self,
        table: &TableFields,
        name: &'static str,
        pool: T,
        read: impl FnOnce(&Field) -> Result<T, ConfigError>,
    ) -> Option<T> {
        match table.field(name) {
            Some(field) => self.note(read(field)),
            None => Some(pool),
        }
    }

    fn note<T>(&mut self, read: Result<T, ConfigError>) -> Option<T> {
        read.map_err(|error| self.errors.push(error)).ok()
    }

    /// Refuses the first of the `names` that is set.
    fn blame<T, const N: usize>(
        &mut self,
        table: &TableFields,
        names: [&'static str; N],
        expected: &str,
    ) -> Option<T> {
        let mut set = names.iter().filter_map(|name| table.field(name));
        let error = match set.next() {
            Some(field) => field.refuse(expected),
            None => table.lacks("address", expected),
        };
        self.errors.push(error);
        None
    }
}
