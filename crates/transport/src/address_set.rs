//! Sets of IP addresses, as an operator lists them.

use core::fmt;
use core::str::FromStr;
use std::net::IpAddr;

use thiserror::Error;

use crate::local::is_local;

/// The word for loopback, link-local and private addresses.
const PRIVATE: &str = "private";

/// Addresses that share their first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    address: IpAddr,
    bits: u8,
}

/// Which addresses the operator means. IPv4 addresses that are written as IPv6 count as IPv4.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AddressSet {
    private: bool,
    prefixes: Vec<Prefix>,
}

/// A text that names no addresses. The operator's fault.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} names no addresses; write an IP address, one with the length of its prefix such as 203.0.113.0/24, or {PRIVATE:?}"
)]
pub struct AddressSetError(String);

impl Prefix {
    /// The addresses whose first `bits` bits are those of `address`; `None` when it has not so many,
    /// or others are set, which is most often a slip.
    pub fn new(address: IpAddr, bits: u8) -> Option<Self> {
        let mask = mask(address, bits)?;
        (number(address) & !mask == 0).then_some(Self { address, bits })
    }

    /// Whether `address`, which is no IPv4 address written as IPv6, is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let mask = mask(self.address, self.bits).unwrap_or(u128::MAX);
        self.address.is_ipv4() == address.is_ipv4()
            && number(address) & mask == number(self.address)
    }
}

impl FromStr for Prefix {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                (address, Some(bits.parse().map_err(drop)?))
            }
            Some(_) => return Err(()),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(drop)?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        Self::new(address, bits.unwrap_or(whole)).ok_or(())
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl AddressSet {
    /// No address.
    pub const NONE: Self = Self {
        private: false,
        prefixes: Vec::new(),
    };

    /// Loopback, link-local and private addresses ([`is_local`]).
    pub const PRIVATE: Self = Self {
        private: true,
        prefixes: Vec::new(),
    };

    /// Reads a list of addresses, prefixes and the word `private`.
    ///
    /// # Errors
    ///
    /// The first text that is none of these.
    pub fn parse(texts: &[String]) -> Result<Self, AddressSetError> {
        let mut set = Self::NONE;
        for text in texts {
            match text.as_str() {
                PRIVATE => set.private = true,
                text => {
                    let prefix = text
                        .parse()
                        .map_err(|()| AddressSetError(text.to_owned()))?;
                    set.prefixes.push(prefix);
                }
            }
        }
        Ok(set)
    }

    /// Whether `address` is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let is_listed = |prefix: &Prefix| prefix.contains(address);
        (self.private && is_local(address)) || self.prefixes.iter().any(is_listed)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Ones where the first `bits` bits of an address of this kind are.
fn mask(address: IpAddr, bits: u8) -> Option<u128> {
    let rest = match address {
        IpAddr::V4(_) => 32_u32.checked_sub(bits.into()),
        IpAddr::V6(_) => 128_u32.checked_sub(bits.into()),
    }?;
    Some(u128::MAX.checked_shl(rest).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(texts: &[&str]) -> AddressSet {
        let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
        AddressSet::parse(&texts).unwrap()
    }

    #[test]
    fn a_set_has_what_its_prefixes_have_and_no_more() {
        let table = [
            ("203.0.113.7", "203.0.113.7", true),
            ("203.0.113.7", "203.0.113.8", false),
            ("203.0.113.7", "::ffff:203.0.113.7", true),
            ("203.0.113.0/25", "203.0.113.127", true),
            ("203.0.113.0/25", "203.0.113.128", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "8.8.8.8", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("2001:db8::1/128", "2001:db8::1", true),
            ("private", "127.0.0.1", true),
            ("private", "10.1.2.3", true),
            ("private", "8.8.8.8", false),
        ];
        for (text, address, contains) in table {
            let address = address.parse().unwrap();
            assert_eq!(set(&[text]).contains(address), contains, "{text} {address}");
            assert!(!AddressSet::NONE.contains(address));
        }
        let both = set(&["private", "8.8.8.0/24"]);
        assert!(["10.0.0.1", "8.8.8.8"].map(|it| both.contains(it.parse().unwrap())) == [true; 2]);
    }

    #[test]
    fn what_names_no_addresses_is_refused() {
        for text in [
            "",
            "localhost",
            "203.0.113.0/33",
            "203.0.113.7/24",
            "203.0.113.0/",
            "203.0.113.0/+8",
            "2001:db8::/129",
            "Private",
        ] {
            let refused = AddressSet::parse(&[text.to_owned()]).unwrap_err();
            assert!(refused.to_string().contains("203.0.113.0/24"), "{text}");
        }
    }
}
