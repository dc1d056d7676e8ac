//! The elements of `X-Forwarded-For` and `Forwarded` (RFC 7239), read from the right.

use std::net::{IpAddr, SocketAddr};

/// The last element of a comma-separated line, and what stands left of its comma. A comma within a quoted string does
/// not separate. Reading from the right keeps what a stranger sent from bending what a trusted proxy added.
pub(super) fn split_last(line: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let mut quoted = false;
    for (index, byte) in line.iter().enumerate().rev() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                let (left, right) = line.split_at(index);
                return (Some(left), right.get(1..).unwrap_or_default());
            }
            _ => {}
        }
    }
    (None, line)
}

/// An address, bare, or with a port as some gateways write it: `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1`,
/// `[2001:db8::1]`, `[2001:db8::1]:443`. No zones, no names.
fn address(text: &str) -> Option<IpAddr> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ip.to_canonical());
    }
    let bracketed = text.strip_prefix('[');
    if let Some(inner) = bracketed.and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().ok().map(|ip| IpAddr::V6(ip).to_canonical());
    }
    // `SocketAddr` takes a zone in brackets; a hop with one means nothing here.
    if text.contains('%') {
        return None;
    }
    text.parse::<SocketAddr>().ok().map(|socket| socket.ip().to_canonical())
}

/// One element of `X-Forwarded-For`.
pub(super) fn x_forwarded_for_element(element: &str) -> Option<IpAddr> {
    address(element.trim_matches([' ', '\t']))
}

/// One element of `Forwarded`: its one `for`, if that is an address. `unknown` and obfuscated names are none.
pub(super) fn forwarded_element(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in split_unquoted(element, ';') {
        let pair = pair.trim_matches([' ', '\t']);
        let (name, value) = pair.split_once('=')?;
        if !name.eq_ignore_ascii_case("for") {
            continue;
        }
        if found.is_some() {
            return None;
        }
        found = Some(for_value(value)?);
    }
    found
}

fn for_value(value: &str) -> Option<IpAddr> {
    match value.strip_prefix('"') {
        Some(rest) => address(rest.strip_suffix('"')?),
        // RFC 7239 §4: a token has no colon and no bracket, so IPv6 and ports have to be quoted.
        None if value.contains([':', '[', ']', '"']) => None,
        None => address(value),
    }
}

fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        if c == '"' {
            quoted = !quoted;
        }
        c == separator && !quoted
    })
}
