//! When a token is best renewed: the whole fleet must not come back at once.
//!
//! Where many were started together, or cut off together, they would all renew in the same second, token after token.
//! Each is told a moment of its own, always the same one, so that nothing has to be kept.

use std::net::IpAddr;

/// How long before its end a token is best renewed: five minutes, or a quarter of a short life.
const fn lead(ttl: u64) -> u64 {
    let quarter = ttl / 4;
    if quarter < 300 { quarter } else { 300 }
}

/// In how many seconds a token that lives for `ttl` seconds is best renewed by this client at this address: its lead
/// before the end, brought forward by up to a tenth of the lead. Never 0 for a token that lives at all.
#[must_use]
pub fn refresh_in(ttl: u64, client_id: &str, source: IpAddr) -> u64 {
    let lead = lead(ttl);
    ttl - lead - draw(client_id, source, lead / 10)
}

/// A number from 0 to `most` that follows from the client and its address. No secret rests on it, and it is asked for
/// with every token: a checksum will do, once it is mixed.
fn draw(client_id: &str, source: IpAddr, most: u64) -> u64 {
    // IPv4 and the IPv6 that it is mapped to are one address.
    let address = match source {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    let (network, host) = halves(address.to_bits());
    let client = u64::from(crc32fast::hash(client_id.as_bytes()));
    let even = mix(mix(mix(client) ^ network) ^ host);
    halves(u128::from(even) * (u128::from(most) + 1)).0
}

/// The upper and the lower 64 bits.
const fn halves(bits: u128) -> (u64, u64) {
    ((bits >> 64) as u64, bits as u64)
}

/// The finalizer of splitmix64: neighbours come out far apart, and evenly spread.
const fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
