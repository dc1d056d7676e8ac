//! CIDR allowlists against the arithmetic that a CIDR stands for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mintage::source_ip::{Allowlist, AllowlistError, MAX_ENTRIES};
use proptest::collection::vec;
use proptest::prelude::*;

/// One entry as it was written, and as the bits that it stands for.
#[derive(Clone, Debug)]
struct Entry {
    text: String,
    range: Range,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    /// 32 or 128.
    width: u32,
    bits: u128,
    prefix: u32,
}

/// The bits of an address, and how many; those of IPv4 for IPv4-mapped IPv6.
fn bits(ip: IpAddr) -> (u32, u128) {
    let v6 = match ip {
        IpAddr::V4(v4) => return (32, u128::from(u32::from(v4))),
        IpAddr::V6(v6) => u128::from(v6),
    };
    if v6 >> 32 == 0xffff { (32, v6 & 0xffff_ffff) } else { (128, v6) }
}

impl Range {
    fn holds(&self, ip: IpAddr) -> bool {
        let (width, bits) = bits(ip);
        let host = self.width - self.prefix;
        width == self.width && (bits ^ self.bits).checked_shr(host).unwrap_or(0) == 0
    }

    fn parse(entry: &str) -> Self {
        let (ip, prefix) = entry.split_once('/').unwrap();
        let (width, bits) = bits(ip.parse().unwrap());
        Self { width, bits, prefix: prefix.parse().unwrap() }
    }

    fn host_mask(&self) -> u128 {
        1_u128.checked_shl(self.width - self.prefix).map_or(u128::MAX, |one| one - 1)
    }

    fn address(&self, bits: u128) -> IpAddr {
        if self.width == 32 {
            IpAddr::V4(Ipv4Addr::from(u32::try_from(bits).unwrap()))
        } else {
            IpAddr::V6(Ipv6Addr::from(bits))
        }
    }
}

/// Few networks and many prefixes, so that ranges often overlap; and anything.
fn v4() -> impl Strategy<Value = u32> {
    prop_oneof![3 => (0..1024u32).prop_map(|low| 0x0a00_0000 | low), 1 => any::<u32>()]
}

fn v6() -> impl Strategy<Value = u128> {
    let near = (0..1024u128).prop_map(|low| 0x2001_0db8_0000_0000_0000_0000_0000_0000 | low);
    // Not IPv4-mapped, which is IPv4 here and has entries of its own.
    prop_oneof![3 => near, 1 => any::<u128>()].prop_filter("IPv4-mapped", |bits| bits >> 32 != 0xffff)
}

fn entry() -> impl Strategy<Value = Entry> {
    let v4_entry = (v4(), prop_oneof![3 => 20..=32u32, 1 => 0..=32u32], 0..4u8).prop_map(|(bits, prefix, spelling)| {
        let ip = Ipv4Addr::from(bits);
        let text = match spelling {
            0 if prefix == 32 => ip.to_string(),
            1 => format!("::ffff:{ip}/{}", prefix + 96),
            2 => format!("::FFFF:{:x}:{:x}/{}", bits >> 16, bits & 0xffff, prefix + 96),
            _ => format!("{ip}/{prefix}"),
        };
        Entry { text, range: Range { width: 32, bits: bits.into(), prefix } }
    });
    let v6_entry =
        (v6(), prop_oneof![3 => 110..=128u32, 1 => 0..=128u32], any::<bool>()).prop_map(|(bits, prefix, bare)| {
            let ip = Ipv6Addr::from(bits);
            let text = if bare && prefix == 128 { ip.to_string() } else { format!("{ip}/{prefix}") };
            Entry { text, range: Range { width: 128, bits, prefix } }
        });
    prop_oneof![v4_entry, v6_entry]
}

/// A range as one entry, as its two halves, or as one half.
fn halved() -> impl Strategy<Value = Vec<Entry>> {
    (entry(), 0..4u8).prop_map(|(entry, way)| {
        let Range { width, bits, prefix } = entry.range;
        if way == 0 || prefix == width {
            return vec![entry];
        }
        let middle = 1 << (width - prefix - 1);
        let half = |bits| {
            let range = Range { width, bits, prefix: prefix + 1 };
            Entry { text: format!("{}/{}", range.address(bits), prefix + 1), range }
        };
        let mut halves = vec![half(bits & !middle), half(bits | middle)];
        halves.truncate(way.min(2).into());
        halves
    })
}

/// Addresses where a mistake would show: the ends of each range, one beyond them, and each with one bit changed.
fn probes(entries: &[Entry], flip: u32) -> Vec<IpAddr> {
    entries
        .iter()
        .flat_map(|entry| {
            let range = entry.range;
            let all = 1_u128.checked_shl(range.width).map_or(u128::MAX, |one| one - 1);
            let (first, last) = (range.bits & !range.host_mask(), range.bits | range.host_mask());
            [
                range.bits,
                first,
                last,
                first.wrapping_sub(1) & all,
                last.wrapping_add(1) & all,
                range.bits ^ (1 << (flip % range.width)),
            ]
            .map(|bits| range.address(bits))
        })
        .collect()
}

fn texts(entries: &[Entry]) -> impl Iterator<Item = &str> {
    entries.iter().map(|entry| entry.text.as_str())
}

proptest! {
    #![proptest_config(super::cases(512))]

    #[test]
    fn a_list_holds_what_one_of_its_entries_holds(
        entries in vec(entry(), 0..14),
        flip: u32,
        strangers in vec(prop_oneof![v4().prop_map(|b| IpAddr::V4(b.into())), v6().prop_map(|b| IpAddr::V6(b.into()))], 4),
    ) {
        let list = Allowlist::parse(texts(&entries)).unwrap();
        for ip in probes(&entries, flip).into_iter().chain(strangers) {
            let held = entries.iter().any(|entry| entry.range.holds(ip));
            prop_assert_eq!(list.contains(ip), held, "{}", ip);
            prop_assert_eq!(list.admits(ip), held || entries.is_empty(), "{}", ip);
            if let IpAddr::V4(v4) = ip {
                prop_assert_eq!(list.contains(IpAddr::V6(v4.to_ipv6_mapped())), held, "{} mapped", ip);
            }
        }
    }

    #[test]
    fn entries_are_masked_canonical_and_disjoint(entries in vec(entry(), 0..14)) {
        let list = Allowlist::parse(texts(&entries)).unwrap();
        let shown: Vec<Range> = list.entries().iter().map(|entry| Range::parse(entry)).collect();
        for (range, text) in shown.iter().zip(list.entries()) {
            prop_assert_eq!(range.bits & range.host_mask(), 0, "{} has host bits", text);
            prop_assert_eq!(range.width == 32, !text.contains(':'), "{} is IPv4 in disguise", text);
            let written = |e: &Entry| e.range.width == range.width && e.range.prefix == range.prefix && range.holds(e.range.address(e.range.bits));
            prop_assert!(entries.iter().any(written), "nobody wrote {}", text);
            let overlapping = shown.iter().filter(|other| {
                range.holds(other.address(other.bits)) || other.holds(range.address(range.bits))
            });
            prop_assert_eq!(overlapping.count(), 1, "{} overlaps another", text);
        }
        prop_assert_eq!(list.is_empty(), entries.is_empty());
        prop_assert_eq!(list.to_string(), list.entries().join(", "));
    }

    #[test]
    fn a_list_is_read_back_as_it_was_written(entries in vec(entry(), 0..14)) {
        let list = Allowlist::parse(texts(&entries)).unwrap();
        prop_assert_eq!(&Allowlist::parse(list.entries()).unwrap(), &list);
        let json = serde_json::to_string(&list).unwrap();
        prop_assert_eq!(&json, &serde_json::to_string(&list.entries()).unwrap());
        prop_assert_eq!(&serde_json::from_str::<Allowlist>(&json).unwrap(), &list);
        prop_assert_eq!(Allowlist::parse_unbounded(texts(&entries)).unwrap(), list);
    }

    #[test]
    fn one_list_admits_all_of_another_or_some_address_tells_them_apart(
        own in vec(halved(), 0..6),
        other in vec(halved(), 0..3),
        pick: prop::sample::Index,
        drop_one: bool,
    ) {
        let own: Vec<Entry> = own.into_iter().flatten().collect();
        // Often a piece of what is held, so that both answers come up.
        let mut other: Vec<Entry> = other.into_iter().flatten().collect();
        if !own.is_empty() && drop_one {
            other = vec![own[pick.index(own.len())].clone()];
        }
        let (one, two) = (Allowlist::parse(texts(&own)).unwrap(), Allowlist::parse(texts(&other)).unwrap());
        for (narrow, wide, entries) in [(&one, &two, [&own, &other]), (&two, &one, [&other, &own])] {
            let everywhere = ["0.0.0.0", "255.255.255.255", "::", "::1:0:0:0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"];
            let edges = entries.iter().flat_map(|entries| probes(entries, 0));
            let outside = edges.chain(everywhere.map(|ip| ip.parse().unwrap())).find(|ip| wide.admits(*ip) && !narrow.admits(*ip));
            prop_assert_eq!(narrow.admits_all_of(wide), outside.is_none(), "[{}] of [{}]: {:?}", narrow, wide, outside);
        }
    }

    #[test]
    fn neither_order_nor_doubles_matter(
        (entries, shuffled) in vec(entry(), 0..14).prop_flat_map(|e| (Just(e.clone()), Just(e).prop_shuffle())),
    ) {
        let sorted = |list: Allowlist| {
            let mut entries = list.entries();
            entries.sort();
            entries
        };
        let once = sorted(Allowlist::parse(texts(&entries)).unwrap());
        let twice = sorted(Allowlist::parse(texts(&shuffled).chain(texts(&entries))).unwrap());
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn prefixes_out_of_range_and_leading_zeros_are_refused(bits in v4(), six in v6(), beyond in 1..300u32, prefix in 0..=32u32) {
        let (four, six) = (Ipv4Addr::from(bits), Ipv6Addr::from(six));
        let [a, b, c, d] = four.octets();
        for text in [
            format!("{four}/{}", 32 + beyond),
            format!("{six}/{}", 128 + beyond),
            format!("::ffff:{four}/{}", 128 + beyond),
            format!("{four}/0{prefix}"),
            format!("{six}/00{prefix}"),
            format!("0{a}.{b}.{c}.{d}/{prefix}"),
            format!("{a}.{b}.{c}.0{d}"),
            format!("::ffff:{a}.0{b}.{c}.{d}/128"),
            format!("{six}%{prefix}"),
            format!("{six}%eth0/64"),
        ] {
            prop_assert_eq!(Allowlist::parse([&text]), Err(AllowlistError::NotACidr(text.clone())));
            prop_assert!(Allowlist::parse(["10.0.0.0/8", text.as_str()]).is_err(), "{} beside a good one", text);
        }
    }

    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in any::<String>()) {
        if let Err(AllowlistError::NotACidr(shown)) = Allowlist::parse([&text]) {
            prop_assert!(shown.chars().count() <= 64 && text.starts_with(&shown));
        }
    }
}

#[test]
fn what_is_no_cidr_is_refused() {
    let table = [
        "",
        " ",
        "/",
        "/8",
        "10.0.0.0/",
        "10.0.0.0/8/8",
        "10.0.0.0//8",
        "10.0.0.0/+8",
        "10.0.0.0/-8",
        "10.0.0.0/8 ",
        " 10.0.0.0/8",
        "10.0.0.0 /8",
        "10.0.0.0/ 8",
        "10.0.0.0/8\n",
        "10.0.0.0/8\0",
        "10.0.0.0/255.0.0.0",
        "10/8",
        "10.0.0/8",
        "10.0.0.0.0/8",
        "10.0.0.256",
        "10.0.0.0/256",
        "10.0.0.0/264",
        "10.0.0.0/4294967304",
        "0x0a.0.0.0/8",
        "167772160/8",
        "10.0.0.0/0x8",
        "10.0.0.0/٨",
        "１０.0.0.0/8",
        "10.0.0.*",
        "10.0.0.0-10.0.0.9",
        "*",
        "any",
        "localhost",
        "10.0.0.1:443",
        "[::1]",
        "[::1]/128",
        "[::1]:443",
        "::1%1",
        "fe80::1%eth0",
        "fe80::%25eth0/10",
        "::1::",
        ":::",
        "1:2:3:4:5:6:7/64",
        "1:2:3:4:5:6:7:8:9/64",
        "12345::/16",
        "g::/16",
        "::/129",
        "::/-1",
        "::10.0.0.0.0/128",
        "::ffff:10.0.0/104",
        "10.0.0.0/8,192.0.2.0/24",
        "10.0.0.0/8 192.0.2.0/24",
    ];
    for text in table {
        assert_eq!(Allowlist::parse([text]), Err(AllowlistError::NotACidr(text.to_owned())), "{text:?}");
        assert!(serde_json::from_value::<Allowlist>(serde_json::json!([text])).is_err(), "{text:?}");
    }
    for json in ["\"10.0.0.0/8\"", "[7]", "[null]", "[[\"10.0.0.0/8\"]]", "{}", "null"] {
        assert!(serde_json::from_str::<Allowlist>(json).is_err(), "{json}");
    }
}

#[test]
fn the_widest_ranges_are_of_their_own_family() {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let (all4, all6) = (Allowlist::parse(["0.0.0.0/0"]).unwrap(), Allowlist::parse(["::/0"]).unwrap());
    for four in ["0.0.0.0", "203.0.113.7", "255.255.255.255", "::ffff:203.0.113.7"] {
        assert_eq!((all4.contains(ip(four)), all6.contains(ip(four))), (true, false), "{four}");
    }
    for six in ["::", "::1", "2001:db8::1", "::203.0.113.7", "64:ff9b::203.0.113.7"] {
        assert_eq!((all4.contains(ip(six)), all6.contains(ip(six))), (false, true), "{six}");
    }
    assert_eq!(Allowlist::parse(["::ffff:0:0/96"]).unwrap(), all4);
    // An IPv4-mapped address under a prefix that is wider than the mapped range is an IPv6 range.
    assert_eq!(Allowlist::parse(["::ffff:10.0.0.0/95"]).unwrap().entries(), ["::fffe:0:0/95"]);
}

#[test]
fn what_is_narrower_and_what_is_not() {
    let list = |text: &str| Allowlist::parse(text.split_whitespace()).unwrap();
    for (own, other, all) in [
        ("", "", true),
        ("", "10.0.0.0/8", true),
        ("10.0.0.0/8", "", false),
        ("0.0.0.0/0", "", false),
        ("::/0", "", false),
        ("0.0.0.0/0 ::/0", "", true),
        ("0.0.0.0/1 128.0.0.0/1 ::/1 8000::/1", "", true),
        ("10.0.0.0/9 10.128.0.0/9", "10.0.0.0/8", true),
        ("10.0.0.0/9 10.128.0.0/10 10.192.0.0/10", "10.0.0.0/8", true),
        ("10.0.0.0/9 10.128.0.0/10", "10.0.0.0/8", false),
        ("10.0.0.0/8", "10.0.0.0/9 10.128.0.0/9", true),
        ("10.0.0.0/8", "10.0.0.0/8 192.0.2.1", false),
        ("255.255.255.254", "255.255.255.254/31", false),
        ("255.255.255.254 255.255.255.255", "255.255.255.254/31", true),
        ("0.0.0.0", "0.0.0.0/31", false),
        ("ffff::/17 ffff:8000::/17", "ffff::/16", true),
        // The upper half is IPv4-mapped, where no address is IPv6.
        ("::fffe:0:0/96", "::fffe:0:0/95", true),
        ("::fffe:0:0/97", "::fffe:0:0/95", false),
    ] {
        assert_eq!(list(own).admits_all_of(&list(other)), all, "[{own}] of [{other}]");
    }
}

#[test]
fn the_limit_counts_what_is_left_after_merging() {
    let disjoint = |n: usize| (0..n).map(|n| format!("10.0.{n}.0/24")).collect::<Vec<_>>();
    let parse = |entries: &[String]| {
        let json = serde_json::from_value::<Allowlist>(serde_json::json!(entries));
        let parsed = Allowlist::parse(entries);
        assert_eq!(parsed.is_ok(), json.is_ok(), "JSON has the same limit");
        parsed
    };
    assert_eq!(MAX_ENTRIES, 32);
    assert_eq!(parse(&disjoint(32)).unwrap().entries(), disjoint(32));
    assert_eq!(parse(&disjoint(33)), Err(AllowlistError::TooMany(33)));
    assert_eq!(Allowlist::parse_unbounded(disjoint(33)).unwrap().entries().len(), 33);

    // One that lies within another, before it and after it; the same one again; one that holds them all.
    let with = |mut entries: Vec<String>, at: usize, one: &str| {
        entries.insert(at, one.to_owned());
        entries
    };
    for (at, one) in [
        (0, "10.0.7.128/25"),
        (32, "10.0.7.128/25"),
        (0, "10.0.31.9"),
        (32, "10.0.0.0/24"),
        (16, "::ffff:10.0.3.0/120"),
    ] {
        let entries = with(disjoint(32), at, one);
        assert_eq!(entries.len(), 33);
        assert_eq!(parse(&entries).unwrap().entries().len(), 32, "{one} at {at}");
    }
    for at in [0, 40, 80] {
        assert_eq!(parse(&with(disjoint(80), at, "10.0.0.0/8")).unwrap().entries(), ["10.0.0.0/8"]);
        assert_eq!(parse(&with(disjoint(80), at, "192.0.2.0/24")), Err(AllowlistError::TooMany(81)));
    }
    // Neighbours are not one range, even where they would fill it.
    assert_eq!(parse(&["10.0.0.0/9".into(), "10.128.0.0/9".into()]).unwrap().entries().len(), 2);
}
