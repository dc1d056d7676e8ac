//! The elements of `X-Forwarded-For` and `Forwarded` (RFC 7239), read from the right.

use std::net::{IpAddr, Ipv6Addr};

/// The last element of a comma-separated line, and what stands left of its comma. A comma within a quoted string does
/// not separate. Reading from the right keeps what a stranger sent from bending what a trusted proxy added.
pub(super) fn split_last(line: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let mut quoted = false;
    for (index, byte) in line.iter().enumerate().rev() {
        let (left, _) = line.split_at(index);
        match byte {
            b'"' if !is_escaped(left) => quoted = !quoted,
            b',' if !quoted => return (Some(left), line.get(index + 1..).unwrap_or_default()),
            _ => {}
        }
    }
    (None, line)
}

/// Whether what follows `left` is the second half of a quoted-pair (RFC 9110 §5.6.4): a proxy that quotes what a
/// stranger sent, a Host for instance, escapes the quotes in it.
fn is_escaped(left: &[u8]) -> bool {
    left.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// An address, bare, or with a port as some gateways write it: `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1`,
/// `[2001:db8::1]`, `[2001:db8::1]:443`. No zones, no names.
fn address(text: &str) -> Option<IpAddr> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ip.to_canonical());
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (IpAddr::V6(host.parse().ok()?), if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None => {
            let (host, port) = text.split_once(':')?;
            (IpAddr::V4(host.parse().ok()?), Some(port))
        }
    };
    port.is_none_or(is_port).then(|| host.to_canonical())
}

/// A port, or in its place a name that hides it (RFC 7239 §6).
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(hidden) => {
            !hidden.is_empty() && hidden.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        }
        None => text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok(),
    }
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
        if pair.is_empty() {
            continue;
        }
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
        // RFC 7239 §6: IPv6 stands in brackets, so that nobody takes the end of it for a port, or a port for its end.
        Some(rest) => rest.strip_suffix('"').filter(|node| node.parse::<Ipv6Addr>().is_err()).and_then(address),
        // RFC 7239 §4: a token has no colon and no bracket, so IPv6 and ports have to be quoted.
        None if value.contains([':', '[', ']', '"']) => None,
        None => address(value),
    }
}

fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(move |c| {
        let literal = escaped;
        escaped = quoted && !literal && c == '\\';
        if c == '"' && !literal {
            quoted = !quoted;
        }
        c == separator && !quoted
    })
}
