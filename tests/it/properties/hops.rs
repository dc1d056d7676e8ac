//! The walk through forwarding headers against a model of the chain that wrote them.
//!
//! The client writes any bytes; then each proxy, from the client's to the nearest, adds the address of whom it heard,
//! on the same line or on a new one. The answer has to be the last address that is not a proxy's, whatever the bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, HeaderValue};
use mintage::source_ip::{ClientIpHeader, DecidedFrom, SourcePolicy};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::forwarding::policy;

/// What one proxy added.
#[derive(Clone, Debug)]
struct Hop {
    ip: IpAddr,
    text: String,
    /// Whether it began a line of its own.
    new_line: bool,
}

#[derive(Clone, Debug)]
struct Chain {
    /// The client's own lines, and whether the first proxy went on where they end.
    sent: Vec<Vec<u8>>,
    /// The client as its proxy saw it, if that is in the header, and the proxies between.
    hops: Vec<Hop>,
}

impl Chain {
    fn lines(&self) -> Vec<Vec<u8>> {
        let mut lines = self.sent.clone();
        for hop in &self.hops {
            match lines.last_mut() {
                Some(line) if !hop.new_line => line.extend([b", ", hop.text.as_bytes()].concat()),
                _ => lines.push(hop.text.clone().into_bytes()),
            }
        }
        lines
    }

    fn headers(&self, header: ClientIpHeader) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in self.lines() {
            headers.append(header.name(), HeaderValue::from_bytes(&line).unwrap());
        }
        headers
    }
}

fn proxy() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 3]>().prop_map(|[b, c, d]| IpAddr::from([10, b, c, d])),
        any::<u64>().prop_map(|low| IpAddr::V6(Ipv6Addr::from(0x2001_0db8_aaaa_0000_u128 << 64 | u128::from(low)))),
    ]
}

fn stranger() -> impl Strategy<Value = IpAddr> {
    let not_mapped = |bits: &u128| bits >> 32 != 0xffff && bits >> 80 != 0x2001_0db8_aaaa;
    prop_oneof![
        any::<u32>().prop_filter("a proxy's", |bits| bits >> 24 != 10).prop_map(|b| IpAddr::V4(Ipv4Addr::from(b))),
        any::<u128>().prop_filter("a proxy's", not_mapped).prop_map(|b| IpAddr::V6(Ipv6Addr::from(b))),
    ]
}

fn in_x_forwarded_for(ip: IpAddr, spelling: u8, port: u16) -> String {
    match (ip, spelling % 4) {
        (IpAddr::V4(v4), 1) => format!("{v4}:{port}"),
        (IpAddr::V4(v4), 2) => v4.to_ipv6_mapped().to_string(),
        (IpAddr::V4(v4), 3) => format!("[{}]:{port}", v4.to_ipv6_mapped()),
        (IpAddr::V6(v6), 1) => format!("[{v6}]"),
        (IpAddr::V6(v6), 2) => format!("[{v6}]:{port}"),
        (ip, _) => ip.to_string(),
    }
}

fn in_forwarded(ip: IpAddr, spelling: u8, port: u16, before: &str, after: &str) -> String {
    let node = match (ip, spelling % 4) {
        (IpAddr::V4(v4), 0) => v4.to_string(),
        (IpAddr::V4(v4), 1) => format!("\"{v4}\""),
        (IpAddr::V4(v4), 2) => format!("\"{v4}:{port}\""),
        (IpAddr::V4(v4), _) => format!("\"[{}]:{port}\"", v4.to_ipv6_mapped()),
        (IpAddr::V6(v6), 0 | 1) => format!("\"[{v6}]\""),
        (IpAddr::V6(v6), _) => format!("\"[{v6}]:{port}\""),
    };
    format!("{before}{}={node}{after}", if spelling > 127 { "for" } else { "For" })
}

fn hop(header: ClientIpHeader, ip: impl Strategy<Value = IpAddr>) -> impl Strategy<Value = Hop> {
    let before = select(vec!["", "", "proto=https;", "by=10.0.0.1; ", "host=\"a, b;for=6.6.6.6\";"]);
    let after = select(vec!["", "", ";proto=https", "; by=\"[2001:db8::1]\"", ";host=\"a, for=6.6.6.6;c\""]);
    let space = select(vec!["", " ", "\t"]);
    (ip, any::<(u8, u16, bool)>(), before, after, space).prop_map(
        move |(ip, (spelling, port, new_line), before, after, space)| {
            let text = match header {
                ClientIpHeader::XForwardedFor => in_x_forwarded_for(ip, spelling, port),
                ClientIpHeader::Forwarded => in_forwarded(ip, spelling, port, before, after),
            };
            Hop { ip, text: format!("{text}{space}"), new_line }
        },
    )
}

/// What can be sent in a header, most of it meant to do harm.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => select(vec!["\"", ",", ";", "\\", "=", "[", "]", ":", " ", "\t", "\\\"", "\",", ", \"", "for=\"", ";host=\""])
            .prop_map(|text| text.as_bytes().to_vec()),
        2 => select(vec!["6.6.6.6", "10.0.0.9", "for=6.6.6.6", "for=10.0.0.9", "for=\"[2001:db8:aaaa::9]\"", "unknown"])
            .prop_map(|text| text.as_bytes().to_vec()),
        1 => any::<u8>().prop_filter("not in a header", |b| *b >= b' ' && *b != 0x7f).prop_map(|b| vec![b]),
    ];
    vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

fn both() -> impl Strategy<Value = ClientIpHeader> {
    select(vec![ClientIpHeader::XForwardedFor, ClientIpHeader::Forwarded])
}

/// A chain from a stranger through up to six proxies.
fn chain(header: ClientIpHeader) -> impl Strategy<Value = Chain> {
    (vec(any_bytes(), 0..4), hop(header, stranger()), vec(hop(header, proxy()), 0..6))
        .prop_map(|(sent, client, proxies)| Chain { sent, hops: [vec![client], proxies].concat() })
}

fn from(header: ClientIpHeader) -> DecidedFrom {
    match header {
        ClientIpHeader::XForwardedFor => DecidedFrom::XForwardedFor,
        ClientIpHeader::Forwarded => DecidedFrom::Forwarded,
    }
}

fn decide(policy: &SourcePolicy, peer: IpAddr, headers: &HeaderMap) -> Option<(IpAddr, DecidedFrom)> {
    policy.decide(peer, headers).ok().map(|source| (source.ip, source.from))
}

proptest! {
    #![proptest_config(super::cases(512))]

    #[test]
    fn the_last_stranger_is_found_whatever_the_client_sent(
        (header, chain) in both().prop_flat_map(|header| (Just(header), chain(header))),
        peer in proxy(),
        noise in any_bytes(),
    ) {
        let expected = Some((chain.hops[0].ip, from(header)));
        let mut headers = chain.headers(header);
        prop_assert_eq!(decide(&policy(header), peer, &headers), expected);
        let honest = Chain { sent: vec![], ..chain };
        prop_assert_eq!(decide(&policy(header), peer, &honest.headers(header)), expected);

        let other = match header {
            ClientIpHeader::XForwardedFor => ClientIpHeader::Forwarded,
            ClientIpHeader::Forwarded => ClientIpHeader::XForwardedFor,
        };
        headers.append(other.name(), HeaderValue::from_bytes(&noise).unwrap());
        prop_assert_eq!(decide(&policy(header), peer, &headers), expected, "the other header is not read");
    }

    #[test]
    fn of_proxies_alone_the_farthest_is_taken(
        (header, hops) in both().prop_flat_map(|header| (Just(header), vec(hop(header, proxy()), 0..6))),
        peer in proxy(),
    ) {
        let expected = hops.first().map_or((peer, DecidedFrom::Peer), |farthest| (farthest.ip, from(header)));
        let chain = Chain { sent: vec![], hops };
        prop_assert_eq!(decide(&policy(header), peer, &chain.headers(header)), Some(expected));
    }

    #[test]
    fn garbage_that_is_read_is_refused(
        (header, mut chain) in both().prop_flat_map(|header| (Just(header), chain(header))),
        at: prop::sample::Index,
        garbage in select(vec!["", "unknown", "_x", "garbage", "203.0.113", "fe80::1%eth0", "[::1", "203.0.113.7 10.0.0.1"]),
        (as_node, new_line) in any::<(bool, bool)>(),
        peer in proxy(),
    ) {
        let at = 1 + at.index(chain.hops.len());
        let text = if as_node || garbage.is_empty() { format!("for=\"{garbage}\"") } else { garbage.to_owned() };
        chain.hops.insert(at, Hop { ip: peer, text, new_line });
        prop_assert_eq!(decide(&policy(header), peer, &chain.headers(header)), None);
    }

    #[test]
    fn nothing_that_a_stranger_says_of_itself_is_read(
        header in both(),
        peer in stranger(),
        x_forwarded_for in vec(any_bytes(), 0..3),
        forwarded in vec(any_bytes(), 0..3),
    ) {
        let mut headers = HeaderMap::new();
        for (name, lines) in [("x-forwarded-for", x_forwarded_for), ("forwarded", forwarded)] {
            for line in lines {
                headers.append(name, HeaderValue::from_bytes(&line).unwrap());
            }
        }
        prop_assert_eq!(decide(&policy(header), peer, &headers), Some((peer, DecidedFrom::Peer)));
        let mapped = match peer {
            IpAddr::V4(v4) => IpAddr::V6(v4.to_ipv6_mapped()),
            v6 => v6,
        };
        prop_assert_eq!(decide(&policy(header), mapped, &headers), Some((peer, DecidedFrom::Peer)), "mapped");
    }

    #[test]
    fn arbitrary_headers_are_read_or_refused_without_a_panic(
        header in both(),
        peer in proxy(),
        lines in vec(any_bytes(), 0..4),
    ) {
        let chain = Chain { sent: lines, hops: vec![] };
        if let Some((ip, from)) = decide(&policy(header), peer, &chain.headers(header)) {
            let peer_alone = chain.sent.iter().all(|line| line.trim_ascii().is_empty());
            prop_assert_eq!((from == DecidedFrom::Peer, ip == peer || !peer_alone), (peer_alone, true));
        }
    }

    /// What a client puts into `Host` comes back in a quoted string of its proxy's own element.
    #[test]
    fn a_quoted_parameter_never_passes_for_another_hop(
        client in hop(ClientIpHeader::Forwarded, stranger()),
        host in any_bytes(),
        proxies in vec(hop(ClientIpHeader::Forwarded, proxy()), 0..3),
        peer in proxy(),
    ) {
        let mut quoted = Vec::new();
        for byte in host {
            if matches!(byte, b'"' | b'\\') {
                quoted.push(b'\\');
            }
            quoted.push(byte);
        }
        let element = [client.text.trim_ascii().as_bytes(), b";host=\"", &quoted, b"\""].concat();
        let chain = Chain { sent: vec![element], hops: proxies };
        let decided = decide(&policy(ClientIpHeader::Forwarded), peer, &chain.headers(ClientIpHeader::Forwarded));
        let bytes_beyond_utf8 = std::str::from_utf8(&chain.sent[0]).is_err();
        if !bytes_beyond_utf8 {
            prop_assert_eq!(decided, Some((client.ip, DecidedFrom::Forwarded)));
        } else if let Some((ip, _)) = decided {
            prop_assert_eq!(ip, client.ip);
        }
    }
}
