//! Source addresses: allowlists of CIDRs, and who a request came from.
//!
//! Responsible for: the grammar of CIDRs and of the two forwarding headers, and the walk through them. Never: sockets.

mod allowlist;
mod forwarded;

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use allowlist::{Allowlist, AllowlistError, MAX_ENTRIES};

/// The one header that is believed of a trusted proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientIpHeader {
    /// `X-Forwarded-For`, which nginx, Caddy, Envoy and the clouds send.
    #[default]
    #[serde(rename = "x-forwarded-for")]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    #[serde(rename = "forwarded")]
    Forwarded,
}

impl ClientIpHeader {
    /// Its name in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }
}

/// How an address was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecidedFrom {
    /// The peer of the socket.
    Peer,
    /// `Forwarded`, sent by a trusted proxy.
    Forwarded,
    /// `X-Forwarded-For`, sent by a trusted proxy.
    XForwardedFor,
}

impl fmt::Display for DecidedFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Peer => "peer",
            Self::Forwarded => "forwarded",
            Self::XForwardedFor => "x-forwarded-for",
        })
    }
}

/// The address that a request is held to have come from. IPv4-mapped IPv6 is IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceAddress {
    /// The address.
    pub ip: IpAddr,
    /// How it was decided.
    pub from: DecidedFrom,
}

/// The peer of the socket, as a server puts it into the extensions of a request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// A trusted proxy's header could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {} header that a trusted proxy sent has no IP address where its next hop should be", .0.name())]
pub struct BadForwardingHeader(pub ClientIpHeader);

/// Whom to believe about source addresses.
#[derive(Clone, Debug, Default)]
pub struct SourcePolicy {
    /// The proxies whose header is believed. None: the peer is the source.
    pub trusted_proxies: Allowlist,
    /// The one header that is read.
    pub header: ClientIpHeader,
}

impl SourcePolicy {
    /// Decides where a request came from: the peer, unless that is a trusted proxy; then its header, walked from the
    /// right to the first address that is not one. What stands left of it is not read.
    ///
    /// # Errors
    /// [`BadForwardingHeader`] where what has to be read is not an address.
    pub fn decide(&self, peer: IpAddr, headers: &http::HeaderMap) -> Result<SourceAddress, BadForwardingHeader> {
        let peer = peer.to_canonical();
        let by_peer = SourceAddress { ip: peer, from: DecidedFrom::Peer };
        if !self.trusted_proxies.contains(peer) {
            return Ok(by_peer);
        }
        let bad = BadForwardingHeader(self.header);
        let (from, element): (_, fn(&str) -> Option<IpAddr>) = match self.header {
            ClientIpHeader::XForwardedFor => (DecidedFrom::XForwardedFor, forwarded::x_forwarded_for_element),
            ClientIpHeader::Forwarded => (DecidedFrom::Forwarded, forwarded::forwarded_element),
        };
        let mut decided = by_peer;
        // Later lines were added by nearer proxies.
        for line in headers.get_all(self.header.name()).iter().rev() {
            let mut rest = Some(line.as_bytes()).filter(|line| !line.trim_ascii().is_empty());
            while let Some(line) = rest {
                let (left, hop) = forwarded::split_last(line);
                let ip = std::str::from_utf8(hop).ok().and_then(element).ok_or(bad)?;
                decided = SourceAddress { ip, from };
                if !self.trusted_proxies.contains(ip) {
                    return Ok(decided);
                }
                rest = left;
            }
        }
        Ok(decided)
    }
}
