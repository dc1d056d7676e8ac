//! Who a request came from, case by case. What a reader may doubt of the walk has a row here.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use mintage::source_ip::{Allowlist, ClientIpHeader, DecidedFrom, SourcePolicy};

use Verdict::{By, Peer, Refused};

const PROXY: &str = "10.0.0.1";
const XFF: &str = "x-forwarded-for";
const FWD: &str = "forwarded";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    By(&'static str),
    Peer(&'static str),
    Refused,
}

/// What it is about, the lines of the header, and what is decided.
type Row = (&'static str, &'static [&'static str], Verdict);

/// The same with the policy's header, the peer, and the name of each line.
type MixedRow = (&'static str, ClientIpHeader, &'static str, &'static [(&'static str, &'static str)], Verdict);

pub(super) fn policy(header: ClientIpHeader) -> SourcePolicy {
    SourcePolicy { trusted_proxies: Allowlist::parse(["10.0.0.0/8", "2001:db8:aaaa::/48"]).unwrap(), header }
}

fn headers<'h>(lines: impl IntoIterator<Item = (&'h str, &'h str)>) -> HeaderMap {
    let line = |(name, value): (&str, &str)| {
        (HeaderName::try_from(name).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
    };
    let mut headers = HeaderMap::new();
    lines.into_iter().map(line).for_each(|(name, value)| _ = headers.append(name, value));
    headers
}

fn check(name: &str, policy: &SourcePolicy, peer: &str, headers: &HeaderMap, expected: Verdict) {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let from = match policy.header {
        ClientIpHeader::XForwardedFor => DecidedFrom::XForwardedFor,
        ClientIpHeader::Forwarded => DecidedFrom::Forwarded,
    };
    let decided = policy.decide(ip(peer), headers).map(|source| (source.ip, source.from));
    let expected = match expected {
        By(source) => Ok((ip(source), from)),
        Peer(source) => Ok((ip(source), DecidedFrom::Peer)),
        Refused => Err(mintage::source_ip::BadForwardingHeader(policy.header)),
    };
    assert_eq!(decided, expected, "{name}: {headers:?} from {peer}");
}

fn check_rows(header: ClientIpHeader, rows: &[Row]) {
    for (name, lines, expected) in rows {
        check(name, &policy(header), PROXY, &headers(lines.iter().map(|line| (header.name(), *line))), *expected);
    }
}

#[test]
fn x_forwarded_for() {
    let rows: &[Row] = &[
        ("no header", &[], Peer(PROXY)),
        ("an empty one", &[""], Peer(PROXY)),
        ("one of white space", &[" \t "], Peer(PROXY)),
        ("two empty ones", &["", ""], Peer(PROXY)),
        ("one hop", &["203.0.113.7"], By("203.0.113.7")),
        ("a trusted hop behind it", &["203.0.113.7, 10.0.0.2"], By("203.0.113.7")),
        ("any white space", &["  203.0.113.7,10.0.0.3 ,\t10.0.0.2\t"], By("203.0.113.7")),
        ("what the client wrote", &["6.6.6.6, 203.0.113.7"], By("203.0.113.7")),
        ("what the client wrote, looking trusted", &["10.9.9.9, 203.0.113.7"], By("203.0.113.7")),
        ("what the client wrote, twice", &["6.6.6.6, 203.0.113.7, 10.0.0.2"], By("203.0.113.7")),
        ("all trusted", &["10.0.0.4, 10.0.0.3"], By("10.0.0.4")),
        ("two lines", &["203.0.113.7", "10.0.0.2"], By("203.0.113.7")),
        ("two lines, the first the client's", &["6.6.6.6, 10.0.0.9", "203.0.113.7"], By("203.0.113.7")),
        ("three lines, all trusted", &["10.0.0.4", "10.0.0.3", "10.0.0.2"], By("10.0.0.4")),
        ("an empty line after it", &["203.0.113.7", ""], By("203.0.113.7")),
        ("an empty line before it", &["", "203.0.113.7, 10.0.0.2"], By("203.0.113.7")),
        ("garbage that is not read", &["garbage, 203.0.113.7"], By("203.0.113.7")),
        ("garbage on a line that is not read", &["garbage", "203.0.113.7"], By("203.0.113.7")),
        ("garbage that is read", &["203.0.113.7, garbage"], Refused),
        ("garbage behind a trusted hop", &["garbage, 10.0.0.2"], Refused),
        ("garbage on a line of its own", &["203.0.113.7", "garbage"], Refused),
        ("unknown", &["unknown"], Refused),
        ("unknown, not read", &["unknown, 203.0.113.7"], By("203.0.113.7")),
        ("an empty element that is read", &["203.0.113.7, , 10.0.0.2"], Refused),
        ("an empty element that is not read", &[", 203.0.113.7"], By("203.0.113.7")),
        ("a port", &["203.0.113.7:4711"], By("203.0.113.7")),
        ("a port on a trusted hop", &["203.0.113.7, 10.0.0.2:443"], By("203.0.113.7")),
        ("a port that is none", &["203.0.113.7:"], Refused),
        ("a port out of range", &["203.0.113.7:65536"], Refused),
        ("a port with a name", &["203.0.113.7:http"], Refused),
        ("a port alone", &[":443"], Refused),
        ("IPv6", &["2001:db8::7"], By("2001:db8::7")),
        ("IPv6 in brackets", &["[2001:db8::7]"], By("2001:db8::7")),
        ("IPv6 with a port", &["[2001:db8::7]:443"], By("2001:db8::7")),
        ("IPv6, trusted", &["203.0.113.7, 2001:db8:aaaa::5, [2001:db8:aaaa::4]:80"], By("203.0.113.7")),
        ("a bracket that is not closed", &["[2001:db8::7"], Refused),
        ("a bracket that is not opened", &["2001:db8::7]"], Refused),
        ("brackets twice", &["[[2001:db8::7]]"], Refused),
        ("no colon before the port", &["[2001:db8::7]443"], Refused),
        ("IPv4 in brackets", &["[203.0.113.7]"], Refused),
        ("IPv4 in brackets with a port", &["[203.0.113.7]:443"], Refused),
        ("a zone", &["fe80::1%eth0"], Refused),
        ("a zone by number", &["fe80::1%1"], Refused),
        ("a zone in brackets", &["[fe80::1%1]"], Refused),
        ("a zone with a port", &["[fe80::1%1]:443"], Refused),
        ("a zone, not read", &["fe80::1%eth0, 203.0.113.7"], By("203.0.113.7")),
        ("IPv4-mapped", &["::ffff:203.0.113.7"], By("203.0.113.7")),
        ("IPv4-mapped in hexadecimal", &["::ffff:cb00:7107"], By("203.0.113.7")),
        ("IPv4-mapped with a port", &["[::ffff:203.0.113.7]:443"], By("203.0.113.7")),
        ("IPv4-mapped, trusted", &["203.0.113.7, ::ffff:10.0.0.3, [::ffff:10.0.0.2]"], By("203.0.113.7")),
        ("a leading zero", &["203.0.113.07"], Refused),
        ("three parts", &["203.0.113"], Refused),
        ("a number", &["3405803783"], Refused),
        ("a CIDR", &["203.0.113.7/32"], Refused),
        ("a name", &["localhost"], Refused),
        ("a space for a comma", &["203.0.113.7 10.0.0.2"], Refused),
        ("a semicolon for a comma", &["203.0.113.7; 10.0.0.2"], Refused),
        ("in quotes", &["\"203.0.113.7\""], Refused),
        ("a quote that the client left open", &["\"6.6.6.6, 203.0.113.7"], By("203.0.113.7")),
        ("a quote about the client's comma", &["\"6.6.6.6, \", 203.0.113.7"], By("203.0.113.7")),
        ("a quote that ends beside the hop", &["\"6.6.6.6, 203.0.113.7\""], Refused),
        ("a quote on an earlier line", &["\"6.6.6.6", "203.0.113.7"], By("203.0.113.7")),
        ("beyond ASCII, not read", &["ééé, 203.0.113.7"], By("203.0.113.7")),
        ("beyond ASCII", &["２０３.0.113.7"], Refused),
        ("an element of the other header", &["for=203.0.113.7"], Refused),
    ];
    check_rows(ClientIpHeader::XForwardedFor, rows);
}

#[test]
fn forwarded() {
    let rows: &[Row] = &[
        ("no header", &[], Peer(PROXY)),
        ("an empty one", &[""], Peer(PROXY)),
        ("one hop", &["for=203.0.113.7"], By("203.0.113.7")),
        ("any case", &["FOR=203.0.113.7;Proto=https"], By("203.0.113.7")),
        ("other parameters about it", &["by=10.0.0.1;for=203.0.113.7;proto=https"], By("203.0.113.7")),
        ("in quotes", &["for=\"203.0.113.7\""], By("203.0.113.7")),
        ("a trusted hop behind it", &["for=203.0.113.7, for=10.0.0.2;by=10.0.0.1"], By("203.0.113.7")),
        ("what the client wrote", &["for=6.6.6.6, for=203.0.113.7"], By("203.0.113.7")),
        ("all trusted", &["for=10.0.0.4, for=\"[2001:db8:aaaa::5]\""], By("10.0.0.4")),
        ("two lines", &["for=203.0.113.7", "for=10.0.0.2"], By("203.0.113.7")),
        ("two lines, the first the client's", &["for=6.6.6.6, for=10.0.0.9", "for=203.0.113.7"], By("203.0.113.7")),
        ("a port", &["for=\"203.0.113.7:4711\""], By("203.0.113.7")),
        ("a port without quotes", &["for=203.0.113.7:4711"], Refused),
        ("IPv6", &["for=\"[2001:db8::7]\""], By("2001:db8::7")),
        ("IPv6 with a port", &["for=\"[2001:db8::7]:443\""], By("2001:db8::7")),
        ("IPv6 without quotes", &["for=[2001:db8::7]"], Refused),
        ("IPv6 without quotes or brackets", &["for=2001:db8::7"], Refused),
        ("IPv4-mapped", &["for=\"[::ffff:203.0.113.7]:443\""], By("203.0.113.7")),
        ("IPv4-mapped, trusted", &["for=203.0.113.7, for=\"[::ffff:10.0.0.2]\""], By("203.0.113.7")),
        ("a zone", &["for=\"[fe80::1%eth0]\""], Refused),
        ("a zone by number, with a port", &["for=\"[fe80::1%1]:443\""], Refused),
        ("unknown", &["for=unknown"], Refused),
        ("unknown, not read", &["for=unknown, for=203.0.113.7"], By("203.0.113.7")),
        ("obfuscated", &["for=_x"], Refused),
        ("obfuscated, in quotes", &["for=\"_x\""], Refused),
        ("obfuscated, not read", &["for=_x, for=203.0.113.7"], By("203.0.113.7")),
        ("obfuscated behind a trusted hop", &["for=_x, for=10.0.0.2"], Refused),
        ("no for", &["by=10.0.0.1;proto=https"], Refused),
        ("no for, not read", &["proto=https, for=203.0.113.7"], By("203.0.113.7")),
        ("two of them", &["for=6.6.6.6;for=203.0.113.7"], Refused),
        ("two of them, the same", &["for=203.0.113.7;FOR=203.0.113.7"], Refused),
        ("a comma in quotes", &["for=203.0.113.7;host=\"a, for=6.6.6.6\""], By("203.0.113.7")),
        ("a comma in quotes before it", &["host=\"for=6.6.6.6, b\";for=203.0.113.7"], By("203.0.113.7")),
        ("a semicolon in quotes", &["host=\"a;for=6.6.6.6\";for=203.0.113.7"], By("203.0.113.7")),
        ("a quote that the client left open", &["for=\"6.6.6.6, for=203.0.113.7"], By("203.0.113.7")),
        ("the same, before quotes", &["for=6.6.6.6;host=\", for=\"[2001:db8::7]:443\""], By("2001:db8::7")),
        ("the same, before a quoted comma", &["host=\", for=203.0.113.7;host=\"a, b\""], By("203.0.113.7")),
        ("a backslash that the client left", &["for=\"6.6.6.6\\, for=\"203.0.113.7\""], By("203.0.113.7")),
        ("a quote that is not closed", &["for=\"203.0.113.7"], Refused),
        ("a quote that is not opened", &["for=203.0.113.7\""], Refused),
        ("something after the quotes", &["for=\"203.0.113.7\"x"], Refused),
        ("single quotes", &["for='203.0.113.7'"], Refused),
        ("no value", &["for="], Refused),
        ("an empty value", &["for=\"\""], Refused),
        ("no equals sign", &["for"], Refused),
        ("no name", &["=203.0.113.7"], Refused),
        ("a space before the equals sign", &["for =203.0.113.7"], Refused),
        ("a space after it", &["for= 203.0.113.7"], Refused),
        ("a longer name", &["xfor=203.0.113.7"], Refused),
        ("an extended name", &["for*=UTF-8''203.0.113.7"], Refused),
        ("garbage beside it", &["garbage;for=203.0.113.7"], Refused),
        ("an element of the other header", &["203.0.113.7"], Refused),
        ("an element of the other header, not read", &["203.0.113.7, for=203.0.113.9"], By("203.0.113.9")),
    ];
    check_rows(ClientIpHeader::Forwarded, rows);
}

/// A proxy that writes `host` puts there what the client sent, with its quotes escaped (RFC 9110 §5.6.4).
#[test]
fn an_escaped_quote_does_not_end_a_quoted_string() {
    let rows: &[Row] = &[
        ("one", &[r#"for=203.0.113.7;host="a\"b""#], By("203.0.113.7")),
        ("two", &[r#"for=203.0.113.7;host="\"a\"""#], By("203.0.113.7")),
        ("an escaped backslash at the end", &[r#"for=203.0.113.7;host="a\\""#], By("203.0.113.7")),
        ("a comma within", &[r#"for=203.0.113.7;host="a\", b""#], By("203.0.113.7")),
        ("an element within", &[r#"for=203.0.113.7;host="x\", for=6.6.6.6; z=\"""#], By("203.0.113.7")),
        ("an element within, host first", &[r#"host="x\", for=6.6.6.6; z=\"";for=203.0.113.7"#], By("203.0.113.7")),
        ("a trusted element within", &[r#"for=203.0.113.7;host="x\", for=10.0.0.2; z=\"""#], By("203.0.113.7")),
    ];
    check_rows(ClientIpHeader::Forwarded, rows);
}

/// RFC 7239 §4: `forwarded-element = [ forwarded-pair ] *( ";" [ forwarded-pair ] )`.
#[test]
fn a_pair_of_a_forwarded_element_may_be_empty() {
    let rows: &[Row] = &[
        ("a semicolon after it", &["for=203.0.113.7;"], By("203.0.113.7")),
        ("a semicolon before it", &[";for=203.0.113.7"], By("203.0.113.7")),
        ("two between", &["for=203.0.113.7;;proto=https"], By("203.0.113.7")),
    ];
    check_rows(ClientIpHeader::Forwarded, rows);
}

/// RFC 7239 §6: `node-port = port / obfport`, and `obfport = "_" 1*(ALPHA / DIGIT / "." / "_" / "-")`.
#[test]
fn an_obfuscated_port_does_not_hide_the_address() {
    let rows: &[Row] = &[
        ("IPv4", &["for=\"203.0.113.7:_web-1\""], By("203.0.113.7")),
        ("IPv6", &["for=\"[2001:db8::7]:_web.1\""], By("2001:db8::7")),
        ("trusted", &["for=203.0.113.7, for=\"10.0.0.2:_web\""], By("203.0.113.7")),
        ("an empty one", &["for=\"203.0.113.7:_\""], Refused),
    ];
    check_rows(ClientIpHeader::Forwarded, rows);
}

#[test]
fn only_the_one_header_of_a_trusted_peer_is_read() {
    use ClientIpHeader::{Forwarded, XForwardedFor};
    let rows: &[MixedRow] = &[
        ("the other header alone", XForwardedFor, PROXY, &[(FWD, "for=6.6.6.6")], Peer(PROXY)),
        ("the other header alone", Forwarded, PROXY, &[(XFF, "6.6.6.6")], Peer(PROXY)),
        ("both", XForwardedFor, PROXY, &[(FWD, "for=6.6.6.6"), (XFF, "203.0.113.7")], By("203.0.113.7")),
        ("both", Forwarded, PROXY, &[(XFF, "6.6.6.6"), (FWD, "for=203.0.113.7")], By("203.0.113.7")),
        ("garbage in the other", XForwardedFor, PROXY, &[(FWD, "\""), (XFF, "203.0.113.7")], By("203.0.113.7")),
        ("garbage in the other", Forwarded, PROXY, &[(XFF, "\""), (FWD, "for=203.0.113.7")], By("203.0.113.7")),
        (
            "headers of other products",
            XForwardedFor,
            PROXY,
            &[("x-real-ip", "6.6.6.6"), ("cf-connecting-ip", "6.6.6.6"), ("true-client-ip", "6.6.6.6")],
            Peer(PROXY),
        ),
        ("an untrusted peer", XForwardedFor, "203.0.113.9", &[(XFF, "6.6.6.6")], Peer("203.0.113.9")),
        ("an untrusted peer's trusted hop", XForwardedFor, "203.0.113.9", &[(XFF, PROXY)], Peer("203.0.113.9")),
        ("an untrusted peer's garbage", XForwardedFor, "203.0.113.9", &[(XFF, "garbage")], Peer("203.0.113.9")),
        ("an untrusted peer", Forwarded, "2001:db8::9", &[(FWD, "for=6.6.6.6")], Peer("2001:db8::9")),
        ("the machine itself", XForwardedFor, "127.0.0.1", &[(XFF, "6.6.6.6")], Peer("127.0.0.1")),
        ("a mapped untrusted peer", XForwardedFor, "::ffff:203.0.113.9", &[(XFF, "6.6.6.6")], Peer("203.0.113.9")),
        ("a mapped trusted peer", XForwardedFor, "::ffff:10.0.0.1", &[(XFF, "203.0.113.7")], By("203.0.113.7")),
        ("a mapped trusted peer, no header", XForwardedFor, "::ffff:10.0.0.1", &[], Peer(PROXY)),
        ("a trusted peer by IPv6", Forwarded, "2001:db8:aaaa::1", &[(FWD, "for=203.0.113.7")], By("203.0.113.7")),
    ];
    for (name, header, peer, lines, expected) in rows {
        check(name, &policy(*header), peer, &headers(lines.iter().copied()), *expected);
    }
    for header in [XForwardedFor, Forwarded] {
        let nobody = SourcePolicy { trusted_proxies: Allowlist::default(), header };
        let both = headers([(XFF, "6.6.6.6"), (FWD, "for=6.6.6.6")]);
        for peer in [PROXY, "127.0.0.1", "203.0.113.9"] {
            check("no trusted proxies", &nobody, peer, &both, Peer(peer));
        }
    }
}
