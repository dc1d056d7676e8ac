//! Allowlists of CIDRs.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// The most entries that one allowlist has, after overlapping ones are merged.
pub const MAX_ENTRIES: usize = 32;
/// IPv4-mapped IPv6: its addresses are IPv4 here, so none is left in it as IPv6.
const MAPPED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);

/// Address ranges that something is allowed from. Overlapping ones are merged, host bits are masked, IPv4-mapped IPv6
/// is IPv4. As a client's or a route's allowlist an empty one means any address; see [`Allowlist::admits`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Allowlist(Vec<IpNet>);

/// Why an allowlist is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllowlistError {
    /// An entry is not an address or a CIDR.
    #[error(
        "{0:?} is not an IP address or CIDR, such as 10.0.0.0/8 or 2001:db8::/32 \
         (no leading zeros, no zone, prefix within range)"
    )]
    NotACidr(String),
    /// Too many entries.
    #[error("{0} address ranges are left after overlapping ones were merged; at most {MAX_ENTRIES} are allowed")]
    TooMany(usize),
}

/// One entry: an address, which stands for itself alone, or a CIDR.
fn parse_entry(text: &str) -> Result<IpNet, AllowlistError> {
    let bad = || AllowlistError::NotACidr(text.chars().take(64).collect());
    let net = match text.split_once('/') {
        None => IpNet::from(text.parse::<IpAddr>().map_err(|_| bad())?),
        Some((address, prefix)) => {
            let digits = !prefix.is_empty() && prefix.len() <= 3 && prefix.bytes().all(|b| b.is_ascii_digit());
            if !digits || (prefix.len() > 1 && prefix.starts_with('0')) {
                return Err(bad());
            }
            let address: IpAddr = address.parse().map_err(|_| bad())?;
            IpNet::new(address, prefix.parse().map_err(|_| bad())?).map_err(|_| bad())?
        }
    };
    Ok(canonical(net.trunc()))
}

/// IPv4 where the range lies within ::ffff:0:0/96.
fn canonical(net: IpNet) -> IpNet {
    if let IpNet::V6(v6) = net
        && let Some(v4) = v6.addr().to_ipv4_mapped()
        && let Some(prefix) = v6.prefix_len().checked_sub(96)
        && let Ok(v4) = Ipv4Net::new(v4, prefix)
    {
        return IpNet::V4(v4.trunc());
    }
    net
}

impl Allowlist {
    /// Reads entries.
    ///
    /// # Errors
    /// [`AllowlistError`].
    pub fn parse<S: AsRef<str>>(entries: impl IntoIterator<Item = S>) -> Result<Self, AllowlistError> {
        let list = Self::parse_unbounded(entries)?;
        if list.0.len() > MAX_ENTRIES {
            return Err(AllowlistError::TooMany(list.0.len()));
        }
        Ok(list)
    }

    /// Reads entries of the operator's own configuration, however many.
    ///
    /// # Errors
    /// [`AllowlistError::NotACidr`].
    pub fn parse_unbounded<S: AsRef<str>>(entries: impl IntoIterator<Item = S>) -> Result<Self, AllowlistError> {
        let nets = entries.into_iter().map(|entry| parse_entry(entry.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let mut merged: Vec<IpNet> = Vec::with_capacity(nets.len());
        for net in nets {
            // Two CIDRs overlap only where one holds the other.
            if merged.iter().any(|kept| kept.contains(&net)) {
                continue;
            }
            merged.retain(|kept| !net.contains(kept));
            merged.push(net);
        }
        Ok(Self(merged))
    }

    /// Its entries as text, masked.
    #[must_use]
    pub fn entries(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// Whether it has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of its ranges holds `ip`.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|net| net.contains(&ip))
    }

    /// Whether a credential or a route with this allowlist may be used from `ip`: an empty one admits any address.
    #[must_use]
    pub fn admits(&self, ip: IpAddr) -> bool {
        self.is_empty() || self.contains(ip)
    }

    /// Whether it keeps nobody away: it admits every IPv4 address there is, or every IPv6 address.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let all = [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
        all.into_iter().any(|net| self.admits_all_of(&Self(vec![net])))
    }

    /// Whether it admits every address that `other` admits, however the ranges are cut.
    #[must_use]
    pub fn admits_all_of(&self, other: &Self) -> bool {
        if self.is_empty() {
            return true;
        }
        let all = [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
        let asked = if other.is_empty() { all.as_slice() } else { &other.0 };
        let mut own = self.0.clone();
        own.push(IpNet::V6(MAPPED));
        // Each is as large as it can be: a range that all of them together hold is held by one.
        let joined = IpNet::aggregate(&own);
        asked.iter().all(|net| joined.iter().any(|large| large.contains(net)))
    }
}

impl fmt::Display for Allowlist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, net) in self.0.iter().enumerate() {
            write!(f, "{}{net}", if index > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Allowlist {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(Vec::<String>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
