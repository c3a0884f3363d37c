//! An address together with the length of its network's prefix.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use anyhow::{Context as _, Error, Result, ensure};

/// `10.0.0.1/24`: an address of an interface, or the network of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The address.
    pub address: IpAddr,
    /// Bits of the prefix.
    pub prefix: u8,
}

impl FromStr for Network {
    type Err = Error;

    fn from_str(text: &str) -> Result<Network> {
        let (address, prefix) = text.split_once('/').with_context(|| format!("{text}: no prefix length"))?;
        let address: IpAddr = address.parse().with_context(|| format!("{text}: no address"))?;
        let prefix: u8 = prefix.parse().with_context(|| format!("{text}: no prefix length"))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        ensure!(prefix <= most, "{text}: a prefix has at most {most} bits");
        Ok(Network { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}
