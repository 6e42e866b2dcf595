//! The configuration's listeners, as the pool, the dashboard and the log have them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use headframe_api::{Connect, Listener, ListenerProtocol};
use headframe_config::{CertificateConfig, KeysName, ListenerConfig, PoolConfig};
use headframe_ledger::DataDir;
use headframe_server::{
    CertificateId, CertificatePlace, Certificates, DifficultySettings, KeyPlace, KeySets, Keys,
    KeysId, ListenSettings, Password, Protocols,
};
use tracing::info;

use crate::demo::reachable;
use crate::lan;

/// What listeners answer handshakes with.
pub(crate) struct Credentials {
    pub(crate) keys: KeySets,
    pub(crate) certificates: Certificates,
}

/// Opens the keys and certificates of all listeners, each once, and joins them.
pub(crate) fn open(
    data: &DataDir,
    config: &PoolConfig,
) -> anyhow::Result<(Credentials, Vec<ListenSettings>)> {
    let open = |name: &KeysName| Keys::open_at(KeyPlace::new(data.path(), &name.file_name()));
    let first = config.listeners.first().map(|listener| &listener.keys);
    let first = first.unwrap_or(&KeysName::OWN);
    let mut keys = KeySets::new(open(first)?);
    let mut known = vec![(first, KeysId::FIRST)];
    let mut certificates = Certificates::default();
    let mut listen = Vec::new();
    for listener in &config.listeners {
        let name = &listener.keys;
        let id = match known.iter().find(|(known, _)| *known == name) {
            Some((_, id)) => *id,
            None => keys.add(open(name)?),
        };
        known.push((name, id));
        let certificate = match &listener.certificate {
            _ if !listener.protocols.sv1_tls => None,
            CertificateConfig::Own => {
                Some(certificates.open(own_certificate(data, config.public_host.as_ref()))?)
            }
            CertificateConfig::Files { certificate, key } => {
                let files = CertificatePlace::files(certificate.clone(), key.clone());
                Some(certificates.open(files)?)
            }
        };
        listen.push(settings(listener, id, certificate));
    }
    Ok((Credentials { keys, certificates }, listen))
}

/// The certificate that the pool makes, for the names by which miners may dial it.
pub(crate) fn own_certificate(data: &DataDir, public_host: Option<&String>) -> CertificatePlace {
    let here = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let names = public_host.cloned().into_iter().chain(lan::hosts());
    CertificatePlace::own(data.path(), names.chain(here).collect())
}

fn settings(
    listener: &ListenerConfig,
    keys: KeysId,
    certificate: Option<CertificateId>,
) -> ListenSettings {
    let difficulty = listener.difficulty;
    ListenSettings {
        address: listener.address,
        protocols: listener.protocols,
        difficulty: DifficultySettings {
            shares_per_minute: difficulty.shares_per_minute,
            start: difficulty.start,
            min: difficulty.min,
            max: difficulty.max,
        },
        ignores_suggestions: listener.ignore_suggestions,
        keys,
        certificate,
        password: (listener.password.as_ref()).map(|secret| Password::new(secret.reveal())),
        proxies: Some(listener.proxy_protocol_from.clone()),
    }
}

/// What miners need to know to connect.
pub(crate) fn connect(
    listen: &[ListenSettings],
    Credentials { keys, certificates }: &Credentials,
    public_host: Option<String>,
    example_address: &str,
) -> Connect {
    let certificate = |listener: &ListenSettings| certificates.of(listener.certificate?);
    let listener = |listener: &ListenSettings| Listener {
        tls_fingerprint: certificate(listener).map(|it| it.fingerprint().to_string()),
        tls_self_signed: certificate(listener).is_some_and(|it| it.place().is_own()),
        has_password: listener.password.is_some(),
        address: listener.address.ip().to_string(),
        port: listener.address.port(),
        protocols: shown(listener.protocols),
        authority_key: listener
            .protocols
            .sv2
            .then(|| keys.authority(listener.keys).to_string()),
        loopback_only: listener.address.ip().is_loopback(),
        open: false,
    };
    let listeners: Vec<_> = listen.iter().map(listener).collect();
    Connect {
        public_host,
        lan_hosts: lan::hosts(),
        authority_key: listeners.iter().find_map(|it| it.authority_key.clone()),
        listeners,
        example_address: example_address.to_owned(),
    }
}

fn shown(protocols: Protocols) -> Vec<ListenerProtocol> {
    let Protocols {
        sv1,
        sv1_tls,
        sv2,
        plaintext_sv2,
    } = protocols;
    let served = [
        (sv1, ListenerProtocol::Sv1),
        (sv1_tls, ListenerProtocol::Sv1Tls),
        (sv2, ListenerProtocol::Sv2),
        (plaintext_sv2, ListenerProtocol::Sv2Plain),
    ];
    let served = served.into_iter().filter(|(is_served, _)| *is_served);
    served.map(|(_, protocol)| protocol).collect()
}

/// Tells where miners connect, in the forms that they are configured with. The `listeners` are open at
/// these addresses.
pub(crate) fn tell(config: &PoolConfig, listeners: &[Listener], addresses: &[SocketAddr]) {
    let speaks_sv1 = |listener: &Listener| listener.protocols.contains(&ListenerProtocol::Sv1);
    let open = || listeners.iter().zip(addresses);
    for (_, address) in open().filter(|(listener, _)| speaks_sv1(listener)) {
        let place = place(config, *address);
        info!("miners connect to {place}, with their address as user name");
    }
    for (listener, address) in open() {
        let Some(fingerprint) = &listener.tls_fingerprint else {
            continue;
        };
        let place = place(config, *address);
        info!("and with TLS to stratum+ssl://{place}, certificate SHA-256 {fingerprint}");
    }
    for (listener, address) in open() {
        let Some(authority) = &listener.authority_key else {
            continue;
        };
        let url = url(config, *address, authority);
        match speaks_sv1(listener) {
            true => info!("and with Stratum V2 to {url}"),
            false => info!("miners connect with Stratum V2 alone to {url}"),
        }
    }
}

/// The address with which a Stratum V2 miner is configured.
pub(crate) fn url(config: &PoolConfig, address: SocketAddr, authority: &str) -> String {
    format!("stratum2+tcp://{}/{authority}", place(config, address))
}

/// Host and port as other computers have them.
fn place(config: &PoolConfig, address: SocketAddr) -> String {
    match &config.public_host {
        Some(host) => format!("{}:{}", bracketed(host), address.port()),
        None => dialled(address, &lan::hosts()).to_string(),
    }
}

/// An IPv6 address as it stands before a port.
pub(crate) fn bracketed(host: &str) -> String {
    match host.parse::<Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => host.to_owned(),
    }
}

/// An address that others on the network can dial, or at least programs on this computer. `hosts` are
/// this computer's.
fn dialled(address: SocketAddr, hosts: &[String]) -> SocketAddr {
    let host = hosts.iter().filter_map(|host| host.parse::<IpAddr>().ok());
    let mut same_family = host.filter(|host| host.is_ipv4() == address.is_ipv4());
    match same_family.next() {
        Some(host) if address.ip().is_unspecified() => SocketAddr::new(host, address.port()),
        _ => reachable(address),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use headframe_config::{Sources, load};
    use headframe_transport::Fingerprint;

    use super::*;

    /// The fingerprint that miners pin is that of the file from which they are answered.
    #[test]
    fn a_listener_shows_the_fingerprint_of_its_certificate() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("pool.toml");
        let text = r#"
            [[listener]]
            address = "127.0.0.1:3333"
            [[listener]]
            address = "127.0.0.1:3334"
            protocols = ["sv1"]
            "#;
        fs::write(&file, text).unwrap();
        let sources = Sources {
            file: Some(&file),
            environment: vec![("HOME".to_owned(), place.path().display().to_string())],
            flags: Vec::new(),
        };
        let config = load(&sources).unwrap().config;
        let data = DataDir::open(&place.path().join("data")).unwrap();
        let (credentials, listen) = open(&data, &config).unwrap();
        let shown = connect(&listen, &credentials, None, "");

        let pem = fs::read_to_string(data.path().join("tls-certificate.pem")).unwrap();
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let fingerprint = Fingerprint::of(&BASE64_STANDARD.decode(body).unwrap());
        let listeners = shown.listeners.iter();
        let shown: Vec<_> = listeners
            .map(|it| (it.tls_fingerprint.clone(), it.tls_self_signed))
            .collect();
        let expected = [(Some(fingerprint.to_string()), true), (None, false)];
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_address_that_is_told_can_be_dialled() {
        let hosts = ["192.168.1.20".to_owned(), "fd00::20".to_owned()];
        for (bound, with_hosts, alone) in [
            ("0.0.0.0:3333", "192.168.1.20:3333", "127.0.0.1:3333"),
            ("[::]:3333", "[fd00::20]:3333", "[::1]:3333"),
            ("127.0.0.1:1", "127.0.0.1:1", "127.0.0.1:1"),
            ("10.0.0.7:1", "10.0.0.7:1", "10.0.0.7:1"),
        ] {
            let bound = bound.parse().unwrap();
            assert_eq!(dialled(bound, &hosts).to_string(), with_hosts);
            assert_eq!(dialled(bound, &[]).to_string(), alone);
        }
        assert_eq!(bracketed("fd00::20"), "[fd00::20]");
        assert_eq!(bracketed("pool.example.org"), "pool.example.org");
    }
}
