//! From one value that somebody set to one that cannot be wrong.

use core::str::FromStr;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use headframe_node::zmq::{ZmqAddress, ZmqAddressError};
use headframe_transport::{AddressSet, Endpoint, PoolUrlError, Protocols};
use headframe_work::{BasisPoints, Difficulty, Network, PoolTag, Rung, VersionBits};

use headframe_node::tdp::{ProviderAddress, ProviderAddressError};

use crate::error::ConfigError;
use crate::field::Field;
use crate::{
    KeysName, KeysNameError, LogLevel, NodeAddress, NodeSocket, PayAddress, Secret, listen_address,
};

type Read<T> = Result<T, ConfigError>;

pub(crate) fn optional_text(field: &Field) -> Read<Option<String>> {
    Ok(field.text()?.map(str::to_owned))
}

/// A path, with `~` for the home directory.
pub(crate) fn path(field: &Field, home: Option<&Path>) -> Read<Option<PathBuf>> {
    let Some(text) = field.text()? else {
        return Ok(None);
    };
    let below = match text {
        "~" => "",
        _ => match text.strip_prefix("~/") {
            Some(below) => below,
            None => return Ok(Some(text.into())),
        },
    };
    match home {
        Some(home) => Ok(Some(home.join(below))),
        None => Err(field.refuse("HOME is not set; write the whole path")),
    }
}

pub(crate) fn node_socket(field: &Field, home: Option<&Path>) -> Read<Option<NodeSocket>> {
    match field.text()? {
        Some("auto") => Ok(Some(NodeSocket::Find)),
        _ => Ok(path(field, home)?.map(NodeSocket::At)),
    }
}

pub(crate) fn socket_list(field: &Field) -> Read<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    for text in field.list()? {
        let address = socket(field, text)?;
        if address.port() != 0 && addresses.contains(&address) {
            return Err(field.refuse(format!("{address} is there twice")));
        }
        addresses.push(address);
    }
    Ok(addresses)
}

/// An address that has to be there.
pub(crate) fn socket_of(field: &Field) -> Read<SocketAddr> {
    socket(field, field.text()?.unwrap_or_default())
}

pub(crate) fn protocols(field: &Field) -> Read<Protocols> {
    Protocols::parse(field.list()?).map_err(|error| field.refuse(error.to_string()))
}

pub(crate) fn keys_name(field: &Field) -> Read<KeysName> {
    let Some(text) = field.text()? else {
        return Ok(KeysName::OWN);
    };
    text.parse()
        .map_err(|error: KeysNameError| field.refuse(error.to_string()))
}

pub(crate) fn optional_socket(field: &Field) -> Read<Option<SocketAddr>> {
    field.text()?.map(|text| socket(field, text)).transpose()
}

fn socket(field: &Field, text: &str) -> Read<SocketAddr> {
    listen_address(text).map_err(|error| field.refuse(error.to_string()))
}

pub(crate) fn host_list(field: &Field) -> Read<Vec<String>> {
    let hosts = field.list()?;
    match hosts.iter().find(|host| !is_host(host)) {
        None => Ok(hosts.to_vec()),
        Some(wrong) => Err(field.refuse(format!("{wrong:?} is no host; {RIGHT_HOST}"))),
    }
}

const RIGHT_HOST: &str = "write a name such as pool.example.org, without scheme and port";

pub(crate) fn host(field: &Field) -> Read<Option<String>> {
    match field.text()? {
        None => Ok(None),
        Some(text) if is_host(text) => Ok(Some(text.to_owned())),
        Some(_) => Err(field.refuse(RIGHT_HOST)),
    }
}

/// A host name (RFC 1123, underscores allowed as in local networks) or an IP address.
fn is_host(text: &str) -> bool {
    const LONGEST: usize = 253;
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    IpAddr::from_str(text).is_ok() || (text.len() <= LONGEST && text.split('.').all(label))
}

/// Another pool's place. Its key is that which miners know this one by.
pub(crate) fn endpoint(field: &Field) -> Read<Option<Endpoint>> {
    let endpoint = |text: &str| text.parse();
    let endpoint = field.text()?.map(endpoint).transpose();
    endpoint.map_err(|_: PoolUrlError| {
        field.refuse("write host:port, as in pool.example.org:3333, without scheme and key")
    })
}

pub(crate) fn connections(field: &Field) -> Read<usize> {
    let number = field.number()?.parse().ok();
    number
        .filter(|number| (1..=1_000_000).contains(number))
        .ok_or_else(|| field.refuse("write a whole number from 1 to 1000000"))
}

/// Seconds; 0 is no end. Less than ten would send miners away each time that a node is restarted.
pub(crate) fn hold(field: &Field) -> Read<Option<Duration>> {
    match field.number()?.parse() {
        Ok(0) => Ok(None),
        Ok(seconds @ 10..=86_400) => Ok(Some(Duration::from_secs(seconds))),
        _ => Err(field.refuse("write a whole number of seconds from 10 to 86400, or 0 for no end")),
    }
}

/// `+4` and `-4`: bit 4 of the version set, and cleared.
pub(crate) fn version_bits(field: &Field) -> Read<VersionBits> {
    let mut bits = VersionBits::default();
    for text in field.list()? {
        let Some((bit, is_set)) = version_bit(text) else {
            return Err(field.refuse(format!(
                "{text:?} is no bit; write \"+4\" for bit 4 set, and \"-4\" for it clear"
            )));
        };
        let with = bits.with(bit, is_set);
        bits = with.map_err(|error| field.refuse(error.to_string()))?;
    }
    Ok(bits)
}

fn version_bit(text: &str) -> Option<(u8, bool)> {
    let (sign, number) = text.split_at_checked(1)?;
    let is_set = match sign {
        "+" => true,
        "-" => false,
        _ => return None,
    };
    // A second sign would be read as part of the number.
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    let bit = number.parse().ok().filter(|_| is_number)?;
    Some((bit, is_set))
}

/// Seconds; 0 is never. More than ten minutes would be no bound: another block is there by then.
pub(crate) fn empty_blocks(field: &Field) -> Read<Duration> {
    match field.number()?.parse() {
        Ok(seconds @ 0..=600) => Ok(Duration::from_secs(seconds)),
        _ => Err(field.refuse("write a whole number of seconds from 0 to 600; 0 for never")),
    }
}

/// Where a node publishes. A node has a port for each topic if it wants to, and no more topics than these.
pub(crate) fn zmq_addresses(field: &Field) -> Read<Vec<ZmqAddress>> {
    const MOST: usize = 4;
    let addresses = field.list()?;
    if addresses.len() > MOST {
        return Err(field.refuse(format!("write {MOST} addresses at most")));
    }
    let address = |text: &String| {
        text.parse()
            .map_err(|error: ZmqAddressError| field.refuse(error.to_string()))
    };
    addresses.iter().map(address).collect()
}

pub(crate) fn secret(field: &Field) -> Read<Option<Secret>> {
    const LONGEST: usize = 64;
    let is_right =
        |text: &&str| text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_graphic());
    match field.text()? {
        None => Ok(None),
        Some(text) if is_right(&text) && !text.contains(',') => Ok(Some(Secret::new(text))),
        Some(_) => Err(field.refuse(
            "write 1 to 64 ASCII characters without spaces and commas, which every miner can send",
        )),
    }
}

pub(crate) fn address_set(field: &Field) -> Read<AddressSet> {
    AddressSet::parse(field.list()?).map_err(|error| field.refuse(error.to_string()))
}

pub(crate) fn pool_tag(field: &Field) -> Read<PoolTag> {
    PoolTag::new(field.text()?.unwrap_or_default()).map_err(|error| field.refuse(error.to_string()))
}

pub(crate) fn network(field: &Field) -> Read<Option<Network>> {
    let Some(text) = field.text()? else {
        return Ok(None);
    };
    let named = |network: &Network| network.to_string() == text || network.core_name() == text;
    match Network::ALL.into_iter().find(named) {
        Some(network) => Ok(Some(network)),
        None => Err(field.refuse("write mainnet, testnet4, signet or regtest")),
    }
}

/// Where a Template Provider is, and its key.
pub(crate) fn template_provider(field: &Field) -> Read<Option<ProviderAddress>> {
    let Some(text) = field.text()? else {
        return Ok(None);
    };
    let address = text.parse().map(Some);
    address.map_err(|error: ProviderAddressError| field.refuse(error.to_string()))
}

pub(crate) fn node_address(field: &Field) -> Read<Option<NodeAddress>> {
    const RIGHT: &str = "write host:port, such as 127.0.0.1:8332 or http://[::1]:8332";
    let Some(text) = field.text()? else {
        return Ok(None);
    };
    let rest = match text.split_once("://") {
        Some(("http", rest)) => rest,
        Some(_) => return Err(field.refuse(format!("a node is reached by plain http; {RIGHT}"))),
        None => text,
    };
    if rest.contains('@') {
        // The text holds a password, so it is not shown.
        return Err(ConfigError::BadValue {
            origin: field.origin.clone(),
            key: field.key.path(),
            value: "(hidden)".to_owned(),
            expected: "user and password do not belong here; set node.user and node.password"
                .into(),
        });
    }
    parse_node_address(rest.strip_suffix('/').unwrap_or(rest))
        .map(Some)
        .ok_or_else(|| field.refuse(RIGHT))
}

fn parse_node_address(text: &str) -> Option<NodeAddress> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            let port = if after.is_empty() {
                None
            } else {
                Some(after.strip_prefix(':')?)
            };
            (host, port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        Some(digits) => Some(digits.parse().ok().filter(|port| *port != 0)?),
        None => None,
    };
    let host = host.to_owned();
    is_host(&host).then_some(NodeAddress { host, port })
}

/// Percent with two decimals, read as it was written: no float comes between.
pub(crate) fn percent(field: &Field) -> Read<BasisPoints> {
    let hundredths = hundredths(field.number()?).and_then(BasisPoints::new);
    hundredths.ok_or_else(|| {
        field.refuse("write percent from 0 to 100 with at most two decimals, such as 1.5")
    })
}

fn hundredths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let decimals = decimals.trim_end_matches('0');
    if !digits(whole) || decimals.len() > 2 || !(decimals.is_empty() || digits(decimals)) {
        return None;
    }
    let whole: u16 = whole.parse().ok()?;
    let decimals: u16 = format!("{decimals:0<2}").parse().ok()?;
    whole.checked_mul(100)?.checked_add(decimals)
}

pub(crate) fn pay_address(field: &Field, network: Option<Network>) -> Read<Option<PayAddress>> {
    let Some(text) = field.text()? else {
        return Ok(None);
    };
    let address = PayAddress::parse(text).map_err(|expected| field.refuse(expected))?;
    match network.map(|network| address.on(network)) {
        Some(Err(wrong)) => Err(field.refuse(wrong.to_string())),
        Some(Ok(_)) | None => Ok(Some(address)),
    }
}

pub(crate) fn shares_per_minute(field: &Field) -> Read<f64> {
    let rate = field.number()?.parse().ok();
    rate.filter(|rate| (1.0..=120.0).contains(rate))
        .ok_or_else(|| field.refuse("write a number from 1 to 120"))
}

/// A limit of the ladder; 0 is none.
pub(crate) fn bound(field: &Field, none: Rung) -> Read<Rung> {
    match field.number()?.parse::<f64>() {
        Ok(0.0) => Ok(none),
        _ => rung(field),
    }
}

/// A difficulty that is a power of two exactly.
pub(crate) fn rung(field: &Field) -> Read<Rung> {
    let value = field.number()?.parse().ok();
    let Some(difficulty) = value.and_then(Difficulty::from_f64) else {
        return Err(field.refuse("write a power of two, such as 0.5, 1024 or 65536"));
    };
    let below = Rung::at_most(difficulty);
    if below.difficulty() == difficulty {
        return Ok(below);
    }
    let [below, above] = [below, below.harder(1)].map(|rung| rung.difficulty().as_f64());
    Err(field.refuse(format!(
        "write a power of two; the nearest are {below} and {above}"
    )))
}

pub(crate) fn log_level(field: &Field) -> Read<LogLevel> {
    let text = field.text()?.unwrap_or_default();
    let named = |level: &LogLevel| level.name() == text;
    LogLevel::ALL
        .into_iter()
        .find(named)
        .ok_or_else(|| field.refuse("write error, warn, info, debug or trace"))
}
