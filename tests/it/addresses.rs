//! Who a request came from and whether that address is let in, case by case: through a guarded route over HTTP, and
//! through the guard itself, which have to agree.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Extension;
use axum::extract::ConnectInfo;
use axum::routing::get;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use mintage::api;
use mintage::resource::{Guard, GuardLayer, Refusal};
use mintage::source_ip::{Allowlist, ClientIpHeader, SourceAddress, SourcePolicy};
use serde_json::Value;

use crate::app::TestApp;
use crate::raw::send_from;

/// Columns: trusted proxies, the header that is believed, the peer, the lines that are sent, the allowlists of the token
/// and of the route, and then the status, the address decided, and by what.
///
/// `near` is 127.0.0.1; `chain` is that, 10.0.0.0/8 and 2001:db8:aaaa::/48. `X:` is X-Forwarded-For, `F:` is Forwarded,
/// ` & ` stands between lines, `\t` and `\xNN` for bytes, and `{1000}` for a thousand trusted hops.
const TABLE: &str = r#"
# Nobody is trusted: whatever is said, it is the peer.
none|xff|127.0.0.1||||200|127.0.0.1|peer
none|xff|127.0.0.1|X: 6.6.6.6|||200|127.0.0.1|peer
none|xff|127.0.0.1|X: 6.6.6.6|6.6.6.6||403|127.0.0.1|peer
none|xff|127.0.0.1|X: 6.6.6.6||6.6.6.6|403|127.0.0.1|peer
none|fwd|127.0.0.1|F: for=6.6.6.6|6.6.6.6||403|127.0.0.1|peer
none|xff|127.0.0.1|X-Real-IP: 6.6.6.6|6.6.6.6||403|127.0.0.1|peer
none|xff|127.0.0.1|X: 6.6.6.6 & F: for=6.6.6.6 & X-Real-IP: 6.6.6.6||127.0.0.0/8|200|127.0.0.1|peer
none|xff|127.0.0.2|X: 127.0.0.1|127.0.0.1||403|127.0.0.2|peer
none|xff|127.0.0.1|X: garbage|||200|127.0.0.1|peer
none|fwd|127.0.0.1|F: "|||200|127.0.0.1|peer
none|xff|203.0.113.9|X: 6.6.6.6||6.6.6.6|403|203.0.113.9|peer
none|xff|::ffff:203.0.113.9|X: 6.6.6.6||203.0.113.0/24|200|203.0.113.9|peer
none|xff|2001:db8::9|||2001:db8::/32|200|2001:db8::9|peer
# The peer is not among those who are.
near|xff|127.0.0.2|X: 6.6.6.6|||200|127.0.0.2|peer
near|xff|127.0.0.2|X: 127.0.0.1||127.0.0.1|403|127.0.0.2|peer
near|xff|127.0.0.2|X: 6.6.6.6, 127.0.0.1|6.6.6.6||403|127.0.0.2|peer
near|xff|127.0.0.2|X: garbage, \xff"|||200|127.0.0.2|peer
near|fwd|127.0.0.2|F: for=6.6.6.6||127.0.0.2|200|127.0.0.2|peer
10.0.0.0/8|xff|127.0.0.1|X: 10.0.0.1||10.0.0.0/8|403|127.0.0.1|peer
::/0|xff|127.0.0.1|X: 6.6.6.6|||200|127.0.0.1|peer
::/0|xff|::ffff:127.0.0.1|X: 6.6.6.6|||200|127.0.0.1|peer
0.0.0.0/0|xff|2001:db8::9|X: 6.6.6.6|||200|2001:db8::9|peer
chain|xff|2001:db8:aaab::1|X: 6.6.6.6|||200|2001:db8:aaab::1|peer
# A trusted peer, and nothing that it says.
near|xff|127.0.0.1||||200|127.0.0.1|peer
near|xff|127.0.0.1|X:|||200|127.0.0.1|peer
near|xff|127.0.0.1|X: \t \t|||200|127.0.0.1|peer
near|xff|127.0.0.1|X: & X:||10.0.0.0/8|403|127.0.0.1|peer
near|fwd|127.0.0.1|F:|||200|127.0.0.1|peer
near|xff|127.0.0.1|X-Real-IP: 6.6.6.6 & True-Client-IP: 6.6.6.6 & CF-Connecting-IP: 6.6.6.6|6.6.6.6||403|127.0.0.1|peer
near|xff|127.0.0.1|X-Forwarded: 6.6.6.6 & X_Forwarded_For: 6.6.6.6 & Forwarded-For: 6.6.6.6|||200|127.0.0.1|peer
# The other header is not read, whatever is in it.
near|xff|127.0.0.1|F: for=6.6.6.6|6.6.6.6||403|127.0.0.1|peer
near|fwd|127.0.0.1|X: 6.6.6.6|6.6.6.6||403|127.0.0.1|peer
near|xff|127.0.0.1|F: garbage" & X: 203.0.113.7|||200|203.0.113.7|x-forwarded-for
near|fwd|127.0.0.1|X: garbage" & F: for=203.0.113.7|||200|203.0.113.7|forwarded
near|xff|127.0.0.1|X: for=203.0.113.7|||400||
near|fwd|127.0.0.1|F: 203.0.113.7|||400||
# One hop, and what a stranger wrote before it.
near|xff|127.0.0.1|X: 203.0.113.7|203.0.113.7||200|203.0.113.7|x-forwarded-for
near|xff|127.0.0.1|x-FORWARDED-for: 203.0.113.7||203.0.113.0/24|200|203.0.113.7|x-forwarded-for
near|xff|127.0.0.1|X: \t 203.0.113.7 \t|||200|203.0.113.7|x-forwarded-for
near|xff|127.0.0.1|X: 6.6.6.6, 203.0.113.7|6.6.6.6||403|203.0.113.7|x-forwarded-for
near|xff|127.0.0.1|X: 6.6.6.6,203.0.113.7|203.0.113.7|6.6.6.6|403|203.0.113.7|x-forwarded-for
near|xff|127.0.0.1|X: 6.6.6.6 & X: 203.0.113.7|6.6.6.6||403|203.0.113.7|x-forwarded-for
near|xff|127.0.0.1|X: 127.0.0.1, 203.0.113.7||127.0.0.1|403|203.0.113.7|x-forwarded-for
near|xff|127.0.0.1|X: garbage, 203.0.113.7|||200|203.0.113.7|x-forwarded-for
near|xff|127.0.0.1|X: \xff\xfe" & X: unknown,,, 203.0.113.7|||200|203.0.113.7|x-forwarded-for
near|xff|127.0.0.1|X: "6.6.6.6, 203.0.113.7|||200|203.0.113.7|x-forwarded-for
near|xff|127.0.0.1|X: 10.0.0.9, 10.0.0.8||10.0.0.9|403|10.0.0.8|x-forwarded-for
# Several trusted hops.
chain|xff|127.0.0.1|X: 203.0.113.7, 10.0.0.2|203.0.113.7|203.0.113.0/24|200|203.0.113.7|x-forwarded-for
chain|xff|127.0.0.1|X: 6.6.6.6, 203.0.113.7, 10.0.0.2, 2001:db8:aaaa::2|6.6.6.6||403|203.0.113.7|x-forwarded-for
chain|xff|127.0.0.1|X: 6.6.6.6 & X: 203.0.113.7, 10.0.0.3 & X: [2001:db8:aaaa::2]:80 & X: ::ffff:10.0.0.2|||200|203.0.113.7|x-forwarded-for
chain|xff|127.0.0.1|X: 203.0.113.7 & X: & X: 10.0.0.2|||200|203.0.113.7|x-forwarded-for
chain|xff|127.0.0.1|X: 10.0.0.4, 10.0.0.3, 10.0.0.2||10.0.0.4|200|10.0.0.4|x-forwarded-for
chain|xff|127.0.0.1|X: 127.0.0.1|||200|127.0.0.1|x-forwarded-for
chain|xff|127.0.0.1|X: 203.0.113.7{1000}|203.0.113.7||200|203.0.113.7|x-forwarded-for
chain|xff|127.0.0.1|X: 6.6.6.6, 10.0.0.9{1000}|10.0.0.9||403|6.6.6.6|x-forwarded-for
chain|xff|127.0.0.1|X: garbage{1000}|||400||
chain|xff|127.0.0.1|X: garbage, 10.0.0.2|||400||
chain|xff|127.0.0.1|X: 203.0.113.7, unknown, 10.0.0.2|||400||
chain|xff|127.0.0.1|X: 203.0.113.7 & X: garbage & X: 10.0.0.2|||400||
chain|xff|127.0.0.1|X: 203.0.113.7, , 10.0.0.2|||400||
chain|xff|127.0.0.1|X: , 10.0.0.2|||400||
chain|xff|10.0.0.1|X: 203.0.113.7, 10.0.0.2||203.0.113.7|200|203.0.113.7|x-forwarded-for
chain|xff|2001:db8:aaaa::1|X: 203.0.113.7||6.6.6.6|403|203.0.113.7|x-forwarded-for
0.0.0.0/0|xff|127.0.0.1|X: 6.6.6.6, 203.0.113.7||6.6.6.6|200|6.6.6.6|x-forwarded-for
0.0.0.0/0|xff|127.0.0.1|X: 2001:db8::7, 203.0.113.7|||200|2001:db8::7|x-forwarded-for
# Ports, brackets, quotes, zones.
near|xff|127.0.0.1|X: 203.0.113.7:4711||203.0.113.7|200|203.0.113.7|x-forwarded-for
near|xff|127.0.0.1|X: 2001:db8::7||2001:db8::/32|200|2001:db8::7|x-forwarded-for
near|xff|127.0.0.1|X: [2001:db8::7]|2001:db8::7||200|2001:db8::7|x-forwarded-for
near|xff|127.0.0.1|X: [2001:DB8:0:0::7]:443|2001:db8::7||200|2001:db8::7|x-forwarded-for
near|xff|127.0.0.1|X: 203.0.113.7:|||400||
near|xff|127.0.0.1|X: 203.0.113.7:65536|||400||
near|xff|127.0.0.1|X: 203.0.113.7:http|||400||
near|xff|127.0.0.1|X: 203.0.113.7:-1|||400||
near|xff|127.0.0.1|X: [203.0.113.7]|||400||
near|xff|127.0.0.1|X: [2001:db8::7|||400||
near|xff|127.0.0.1|X: 2001:db8::7]:443|||400||
near|xff|127.0.0.1|X: [2001:db8::7]443|||400||
near|xff|127.0.0.1|X: "203.0.113.7"|||400||
near|xff|127.0.0.1|X: '203.0.113.7'|||400||
near|xff|127.0.0.1|X: fe80::1%eth0|||400||
near|xff|127.0.0.1|X: [fe80::1%1]:443|||400||
# What some libraries would read as an address.
near|xff|127.0.0.1|X: 203.0.113.07|||400||
near|xff|127.0.0.1|X: 0177.0.0.1|||400||
near|xff|127.0.0.1|X: 010.0.0.1||10.0.0.0/8|400||
near|xff|127.0.0.1|X: 0x7f.1|||400||
near|xff|127.0.0.1|X: 0x7f000001|||400||
near|xff|127.0.0.1|X: 2130706433||127.0.0.1|400||
near|xff|127.0.0.1|X: 127.1|||400||
near|xff|127.0.0.1|X: 203.0.113|||400||
near|xff|127.0.0.1|X: 203.0.113.256|||400||
near|xff|127.0.0.1|X: 203.0.113.7.|||400||
near|xff|127.0.0.1|X: 203.0.113.7/32|||400||
near|xff|127.0.0.1|X: localhost|||400||
near|xff|127.0.0.1|X: unknown|||400||
near|xff|127.0.0.1|X: _hidden|||400||
near|xff|127.0.0.1|X: -|||400||
near|xff|127.0.0.1|X: 203.0.113.7 10.0.0.2|||400||
near|xff|127.0.0.1|X: 203.0.113.7;10.0.0.2|||400||
near|xff|127.0.0.1|X: 2001:db8:::7|||400||
near|xff|127.0.0.1|X: \xff|||400||
near|xff|127.0.0.1|X: 203.0.113.7\xa0|||400||
near|xff|127.0.0.1|X: \xef\xbc\x92.0.113.7|||400||
# Commas with nothing beside them.
near|xff|127.0.0.1|X: 203.0.113.7,|||400||
near|xff|127.0.0.1|X: 203.0.113.7, & X:|||400||
near|xff|127.0.0.1|X: ,|||400||
near|xff|127.0.0.1|X: ,203.0.113.7|||200|203.0.113.7|x-forwarded-for
# IPv4 and IPv6.
near|xff|127.0.0.1|X: ::ffff:203.0.113.7|203.0.113.0/24||200|203.0.113.7|x-forwarded-for
near|xff|127.0.0.1|X: ::ffff:cb00:7107||203.0.113.7|200|203.0.113.7|x-forwarded-for
near|xff|127.0.0.1|X: [::FFFF:203.0.113.7]:443||203.0.113.0/24|200|203.0.113.7|x-forwarded-for
near|xff|127.0.0.1|X: 0:0:0:0:0:ffff:203.0.113.7||203.0.113.8|403|203.0.113.7|x-forwarded-for
near|xff|127.0.0.1|X: 203.0.113.7|::ffff:203.0.113.7||200|203.0.113.7|x-forwarded-for
near|xff|127.0.0.1|X: 203.0.113.7||::ffff:203.0.113.0/120|200|203.0.113.7|x-forwarded-for
near|xff|127.0.0.1|X: ::ffff:203.0.113.7|::ffff:203.0.113.0/120|::ffff:0:0/96|200|203.0.113.7|x-forwarded-for
near|xff|127.0.0.1|X: 203.0.114.7||::ffff:203.0.113.0/120|403|203.0.114.7|x-forwarded-for
near|xff|127.0.0.1|X: 203.0.113.7||::/0|403|203.0.113.7|x-forwarded-for
near|xff|127.0.0.1|X: ::ffff:203.0.113.7||::/0|403|203.0.113.7|x-forwarded-for
near|xff|127.0.0.1|X: 2001:db8::7||0.0.0.0/0|403|2001:db8::7|x-forwarded-for
near|xff|127.0.0.1|X: 2001:db8::7||::ffff:0:0/96|403|2001:db8::7|x-forwarded-for
near|xff|127.0.0.1|X: 2001:db8::7||0.0.0.0/0 ::/0|200|2001:db8::7|x-forwarded-for
near|xff|127.0.0.1|X: ::203.0.113.7||203.0.113.0/24|403|::203.0.113.7|x-forwarded-for
near|xff|127.0.0.1|X: 64:ff9b::203.0.113.7||203.0.113.0/24|403|64:ff9b::203.0.113.7|x-forwarded-for
::ffff:127.0.0.0/104|xff|127.0.0.1|X: 203.0.113.7|||200|203.0.113.7|x-forwarded-for
near|xff|::ffff:127.0.0.1|X: 203.0.113.7|||200|203.0.113.7|x-forwarded-for
near|xff|::ffff:127.0.0.1||127.0.0.1||200|127.0.0.1|peer
# Both lists have to admit it.
near|xff|127.0.0.1|X: 10.1.2.3|10.0.0.0/8|10.1.0.0/16|200|10.1.2.3|x-forwarded-for
near|xff|127.0.0.1|X: 10.2.2.3|10.0.0.0/8|10.1.0.0/16|403|10.2.2.3|x-forwarded-for
near|xff|127.0.0.1|X: 10.1.2.3|10.2.0.0/16|10.1.0.0/16|403|10.1.2.3|x-forwarded-for
near|xff|127.0.0.1|X: 10.1.2.3|192.0.2.1 10.1.2.9/24|10.1.2.3/30 ::1|200|10.1.2.3|x-forwarded-for
# Forwarded (RFC 7239).
near|fwd|127.0.0.1|F: for=203.0.113.7|203.0.113.7||200|203.0.113.7|forwarded
near|fwd|127.0.0.1|forWARDED: FOR=203.0.113.7;PROTO=https|||200|203.0.113.7|forwarded
near|fwd|127.0.0.1|F: by=10.0.0.1 ; for="203.0.113.7:4711" ; host=a|||200|203.0.113.7|forwarded
near|fwd|127.0.0.1|F: for="[2001:db8::7]"||2001:db8::/32|200|2001:db8::7|forwarded
near|fwd|127.0.0.1|F: for="[2001:db8::7]:_x"|||200|2001:db8::7|forwarded
near|fwd|127.0.0.1|F: for="[::ffff:203.0.113.7]:443"||203.0.113.7|200|203.0.113.7|forwarded
near|fwd|127.0.0.1|F: for=6.6.6.6, for=203.0.113.7|6.6.6.6||403|203.0.113.7|forwarded
near|fwd|127.0.0.1|F: for=6.6.6.6 & F: for=203.0.113.7||6.6.6.6|403|203.0.113.7|forwarded
chain|fwd|127.0.0.1|F: for=203.0.113.7, for=10.0.0.2;by=10.0.0.1 & F: for="[2001:db8:aaaa::2]"|||200|203.0.113.7|forwarded
chain|fwd|127.0.0.1|F: for=10.0.0.3, for=10.0.0.2||10.0.0.3|200|10.0.0.3|forwarded
near|fwd|127.0.0.1|F: for=203.0.113.7;host="a, for=6.6.6.6"||6.6.6.6|403|203.0.113.7|forwarded
near|fwd|127.0.0.1|F: host="for=6.6.6.6, b";for=203.0.113.7|||200|203.0.113.7|forwarded
near|fwd|127.0.0.1|F: for=203.0.113.7;host="x\\", for=6.6.6.6; z=\\""||6.6.6.6|403|203.0.113.7|forwarded
near|fwd|127.0.0.1|F: for=6.6.6.6;host=", for=203.0.113.7||6.6.6.6|403|203.0.113.7|forwarded
near|fwd|127.0.0.1|F: for=_x, for=203.0.113.7|||200|203.0.113.7|forwarded
near|fwd|127.0.0.1|F: \xff, for=203.0.113.7|||200|203.0.113.7|forwarded
near|fwd|127.0.0.1|F: for=203.0.113.7;|||200|203.0.113.7|forwarded
near|fwd|127.0.0.1|F: for=6.6.6.6;for=203.0.113.7|||400||
near|fwd|127.0.0.1|F: for=203.0.113.7;FOR="203.0.113.7"|||400||
near|fwd|127.0.0.1|F: for=unknown|||400||
near|fwd|127.0.0.1|F: for=_x|||400||
near|fwd|127.0.0.1|F: for="_x:80"|||400||
chain|fwd|127.0.0.1|F: for=203.0.113.7, for=unknown, for=10.0.0.2|||400||
near|fwd|127.0.0.1|F: for=2001:db8::7|||400||
near|fwd|127.0.0.1|F: for=[2001:db8::7]|||400||
near|fwd|127.0.0.1|F: for="2001:db8::7"|||400||
near|fwd|127.0.0.1|F: for="2001:db8::7:443"||2001:db8::/32|400||
near|fwd|127.0.0.1|F: for=203.0.113.7:4711|||400||
near|fwd|127.0.0.1|F: for="[fe80::1%eth0]"|||400||
near|fwd|127.0.0.1|F: for="203.0.113.7|||400||
near|fwd|127.0.0.1|F: for=203.0.113.7"|||400||
near|fwd|127.0.0.1|F: for='203.0.113.7'|||400||
near|fwd|127.0.0.1|F: for=|||400||
near|fwd|127.0.0.1|F: for=""|||400||
near|fwd|127.0.0.1|F: proto=https;by=203.0.113.7|||400||
near|fwd|127.0.0.1|F: for=203.0.113.7,|||400||
near|fwd|127.0.0.1|F: for = 203.0.113.7|||400||
near|fwd|127.0.0.1|F: for=203.0.113.07|||400||
near|fwd|127.0.0.1|F: for=0x7f.1|||400||
near|fwd|127.0.0.1|F: for=203.0.113.7 for=6.6.6.6|||400||
near|fwd|127.0.0.1|F: garbage;for=203.0.113.7|||400||
"#;

type Verdict = (u16, Option<IpAddr>, Option<String>);

/// A line of the table.
struct Row {
    text: &'static str,
    sources: SourcePolicy,
    peer: IpAddr,
    lines: Vec<(String, Vec<u8>)>,
    token: &'static str,
    route: Allowlist,
    expected: Verdict,
}

fn list(text: &str) -> Allowlist {
    Allowlist::parse(text.split_whitespace()).unwrap()
}

/// `\t`, `\\` and `\xNN`; else ASCII.
fn bytes(text: &str) -> Vec<u8> {
    let text = text.replace("{1000}", &", 10.0.0.2".repeat(1000)).replace("\\\\", "\\x5c").replace("\\t", "\\x09");
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend(&part.as_bytes()[2..]);
    }
    bytes
}

fn row(text: &'static str) -> Row {
    let [trusted, header, peer, lines, token, route, status, ip, from] = text.split('|').collect::<Vec<_>>()[..] else {
        panic!("{text}");
    };
    let trusted = match trusted {
        "none" => "",
        "near" => "127.0.0.1",
        "chain" => "127.0.0.1 10.0.0.0/8 2001:db8:aaaa::/48",
        other => other,
    };
    let header = if header == "xff" { ClientIpHeader::XForwardedFor } else { ClientIpHeader::Forwarded };
    let line = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        let name = match name.trim() {
            "X" => "X-Forwarded-For",
            "F" => "Forwarded",
            other => other,
        };
        (name.to_owned(), bytes(value))
    };
    Row {
        text,
        sources: SourcePolicy { trusted_proxies: list(trusted), header },
        peer: peer.parse().unwrap(),
        lines: lines.split(" &").filter(|line| !line.is_empty()).map(line).collect(),
        token,
        route: list(route),
        expected: (status.parse().unwrap(), ip.parse().ok(), Some(from.to_owned()).filter(|from| !from.is_empty())),
    }
}

/// A token of a client with this allowlist, issued to an address in it.
async fn token(app: &TestApp, allowlist: &str) -> String {
    let entries: Vec<String> = allowlist.split_whitespace().map(str::to_owned).collect();
    let inside = entries.first().map_or("127.0.0.2", |first| first.split('/').next().unwrap()).to_owned();
    let client = app.client_with(api::NewClient { ip_allowlist: entries, ..api::NewClient::default() }).await;
    let answer = app.token_request(&client, &[]).header("x-forwarded-for", inside).send().await.unwrap();
    answer.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned()
}

async fn over_http(base: &str, index: usize, row: &Row, peer: Ipv4Addr, token: &str) -> Verdict {
    let head = format!("GET /{index} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n");
    let mut request = head.into_bytes();
    for (name, value) in &row.lines {
        request.extend([name.as_bytes(), b":", value, b"\r\n"].concat());
    }
    request.extend(b"\r\n");
    let answer = send_from(base, peer, request).await;
    let body = answer.json();
    if answer.status == 400 {
        assert_eq!(body["reason"], "malformed_request", "{}", row.text);
        assert_eq!(answer.header("www-authenticate"), Some("Bearer error=\"invalid_request\""));
    } else if answer.status == 403 {
        assert_eq!(body["reason"], "ip_not_allowed", "{}", row.text);
        assert_eq!(answer.header("www-authenticate"), None);
    }
    let ip = body["source_address"].as_str().map(|ip| ip.parse().unwrap());
    (answer.status, ip, body["source_address_from"].as_str().map(str::to_owned))
}

fn by_guard(guard: &Guard, row: &Row, token: &str) -> Verdict {
    let mut headers = HeaderMap::new();
    headers.append("authorization", HeaderValue::try_from(format!("Bearer {token}")).unwrap());
    for (name, value) in &row.lines {
        let value = HeaderValue::from_bytes(value.trim_ascii()).unwrap();
        headers.append(HeaderName::try_from(name).unwrap(), value);
    }
    let verdict = |status, source: Option<SourceAddress>| {
        (status, source.map(|source| source.ip), source.map(|source| source.from.to_string()))
    };
    match guard.decide(&Uri::from_static("/"), &headers, Some(row.peer)) {
        Ok((_, source)) => verdict(200, source),
        Err(refused) => match refused.refusal {
            Refusal::IpNotAllowed { source, .. } => {
                assert_eq!(refused.ip(), source.map(|source| source.ip));
                verdict(403, source)
            }
            Refusal::Malformed(_) => verdict(400, None),
            other => panic!("{}: {other:?}", row.text),
        },
    }
}

async fn show(Extension(source): Extension<SourceAddress>) -> axum::Json<Value> {
    axum::Json(serde_json::json!({ "source_address": source.ip, "source_address_from": source.from }))
}

#[tokio::test]
async fn the_address_is_decided_as_the_table_says() {
    let trusting = |config: &mut mintage::server::config::Config| config.network.trusted_proxies = list("127.0.0.1");
    let app = TestApp::builder().config(trusting).start().await;
    let lines = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let rows: Vec<_> = lines.map(row).collect();
    assert!(rows.len() >= 80, "{}", rows.len());

    let mut tokens = HashMap::new();
    let mut guards = Vec::new();
    let mut routes = axum::Router::new();
    for (index, row) in rows.iter().enumerate() {
        if !tokens.contains_key(row.token) {
            tokens.insert(row.token, token(&app, row.token).await);
        }
        let guard = Guard::new(Arc::clone(app.service.verifier()))
            .sources(Arc::new(row.sources.clone()))
            .allowlist(row.route.clone())
            .peer_from(|e| e.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip()));
        routes = routes.route(&format!("/{index}"), get(show).layer(GuardLayer::new(guard.clone())));
        guards.push(guard);
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = listener.local_addr().unwrap().to_string();
    let service = routes.into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(async move { axum::serve(listener, service).await });

    let (mut wrong, mut asked) = (Vec::new(), 0);
    for (index, row) in rows.iter().enumerate() {
        let token = &tokens[row.token];
        let decided = by_guard(&guards[index], row, token);
        if decided != row.expected {
            wrong.push(format!("{}\n    by the guard: {decided:?}", row.text));
        }
        if let IpAddr::V4(peer) = row.peer
            && peer.is_loopback()
        {
            asked += 1;
            let answered = over_http(&base, index, row, peer, token).await;
            if answered != row.expected {
                wrong.push(format!("{}\n    over HTTP: {answered:?}", row.text));
            }
        }
    }
    server.abort();
    assert!(asked >= 80, "{asked}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A server that does not tell its peers: what has an allowlist lets nobody in.
#[tokio::test]
async fn an_unknown_peer_is_in_no_allowlist() {
    let trusting = |config: &mut mintage::server::config::Config| config.network.trusted_proxies = list("127.0.0.1");
    let app = TestApp::builder().config(trusting).start().await;
    let (any, bound) = (token(&app, "").await, token(&app, "0.0.0.0/0 ::/0").await);
    let guard = Guard::new(Arc::clone(app.service.verifier()))
        .sources(Arc::new(SourcePolicy { trusted_proxies: list("0.0.0.0/0 ::/0"), ..SourcePolicy::default() }));
    for (guard, token, good) in
        [(&guard, &any, true), (&guard, &bound, false), (&guard.clone().allowlist(list("0.0.0.0/0 ::/0")), &any, false)]
    {
        let mut headers = HeaderMap::new();
        headers.append("authorization", HeaderValue::try_from(format!("Bearer {token}")).unwrap());
        headers.append("x-forwarded-for", HeaderValue::from_static("203.0.113.7"));
        match guard.decide(&Uri::from_static("/"), &headers, None) {
            Ok((_, source)) => assert_eq!((good, source), (true, None)),
            Err(refused) => {
                assert!(!good && matches!(refused.refusal, Refusal::IpNotAllowed { source: None, .. }), "{refused:?}");
            }
        }
    }
}
