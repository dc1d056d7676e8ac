//! When a token is renewed, and that a fleet does not do it at once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mintage::api::NewClient;
use mintage::crypto::entropy::SeededEntropy;
use mintage::id::ClientId;
use mintage::server::service::refresh_in;
use mintage::source_ip::Allowlist;
use serde_json::Value;

use crate::app::TestApp;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));
/// The earliest and the latest for a token that lives an hour.
const HOUR: (u64, u64) = (3270, 3300);
const FLEET: u32 = 10_000;

fn v4(n: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + n).into()
}

/// What the contract allows for this ttl.
fn allowed(ttl: u64) -> std::ops::RangeInclusive<u64> {
    let lead = (ttl / 4).min(300);
    ttl - lead - lead / 10..=ttl - lead
}

/// Fails unless each second of the tenth is somebody's, and none is anybody's favourite.
fn is_even(what: &str, drawn: impl Iterator<Item = u64>) {
    let (first, last) = HOUR;
    let mut counts = vec![0_u32; (last - first + 1) as usize];
    let mut total = 0;
    for second in drawn {
        assert!((first..=last).contains(&second), "{what}: {second}");
        counts[(second - first) as usize] += 1;
        total += 1;
    }
    assert_eq!(counts.len(), 31);
    let share = f64::from(total) / 31.0;
    for (count, second) in counts.iter().zip(first..) {
        let off = (f64::from(*count) - share) / share;
        assert!(off.abs() <= 0.25, "{what}: {second} is told to {count} of {total}, not about {share:.0}");
    }
}

#[test]
fn it_stays_within_a_tenth_of_the_lead() {
    assert_eq!(allowed(3600), HOUR.0..=HOUR.1);
    for ttl in 1..=5000 {
        let bounds = allowed(ttl);
        let mut seen = (u64::MAX, 0);
        // As many as find both ends of the widest range, all but certainly.
        for n in 0..500 {
            let second = refresh_in(ttl, &format!("c_{n}"), v4(n));
            assert!(second > 0 && second <= ttl && bounds.contains(&second), "{second} of {ttl}");
            seen = (seen.0.min(second), seen.1.max(second));
        }
        assert_eq!(seen, (*bounds.start(), *bounds.end()), "both ends are somebody's, for {ttl}");
        if ttl < 40 {
            assert_eq!(seen.0, seen.1, "there is nothing to spread for {ttl}");
        }
    }
    for ttl in [24 * 3600, 365 * 24 * 3600, u64::MAX] {
        assert!(allowed(ttl).contains(&refresh_in(ttl, "c_1", HERE)), "{ttl}");
    }
    assert_eq!(refresh_in(0, "c_1", HERE), 0, "a token that does not live cannot be renewed in time");
}

#[test]
fn neighbours_are_spread_evenly() {
    type Named = fn(u32) -> String;
    let fleets: [(&str, Named); 5] = [
        ("numbered", |n| format!("c_{n}")),
        ("of one width", |n| format!("c_{n:022}")),
        ("numbered in front", |n| format!("{n}.orders.eu-west-1.example")),
        ("of one letter", |n| "a".repeat(1 + n as usize % 128) + &(n / 128).to_string()),
        ("as they are made", |n| ClientId::generate(&SeededEntropy::new(n.into())).unwrap().to_string()),
    ];
    for (what, name) in fleets {
        is_even(what, (0..FLEET).map(|n| refresh_in(3600, &name(n), HERE)));
    }
    let home = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0).to_bits();
    let places: [(&str, fn(u128) -> u128); 4] = [
        ("hosts", |n| n),
        ("networks", |n| n << 64),
        ("subnets and hosts", |n| ((n % 100) << 64) | (n / 100)),
        ("the last of each network", |n| n << 80 | 1),
    ];
    for client in ["c_1", "billing", "", "~"] {
        is_even("IPv4", (0..FLEET).map(|n| refresh_in(3600, client, v4(n))));
        is_even(
            "IPv4, a network each",
            (0..FLEET).map(|n| refresh_in(3600, client, Ipv4Addr::from_bits(n << 8 | 1).into())),
        );
        for (what, place) in places {
            let address = |n: u32| IpAddr::V6(Ipv6Addr::from_bits(home + place(u128::from(n))));
            is_even(what, (0..FLEET).map(|n| refresh_in(3600, client, address(n))));
        }
    }
    // Both at once, as where each machine has a client of its own.
    is_even("machines", (0..FLEET).map(|n| refresh_in(3600, &format!("c_{n}"), v4(n))));
}

/// What one client is told says nothing of what the next is told: no step from one to the next is preferred.
#[test]
fn neighbours_do_not_march_in_step() {
    let told = |n: u32| refresh_in(3600, &format!("c_{n}"), HERE) as usize;
    let mut steps = vec![0_u32; 61];
    for n in 0..FLEET {
        steps[told(n + 1) + 30 - told(n)] += 1;
    }
    // Of 31 × 31 pairs, 31 - |step| have this step.
    for (step, count) in steps.iter().enumerate() {
        let expected = f64::from(FLEET) * (31.0 - (step as f64 - 30.0).abs()) / (31.0 * 31.0);
        assert!(
            (f64::from(*count) - expected).abs() < 5.0 * expected.sqrt() + 1.0,
            "{step}: {count}, not {expected:.0}"
        );
    }
}

#[test]
fn the_same_caller_is_always_told_the_same() {
    for n in 0..1000 {
        let (client, address) = (format!("c_{n}"), Ipv4Addr::from_bits(0xc000_0200 + n));
        let told = refresh_in(3600, &client, address.into());
        assert_eq!(refresh_in(3600, &client.clone(), address.into()), told);
        assert_eq!(
            refresh_in(3600, &client, address.to_ipv6_mapped().into()),
            told,
            "{address} is {address} written otherwise"
        );
    }
    // Over versions and machines, too: two servers of one issuer have to say the same.
    let samples =
        [("c_1", "10.0.0.7"), ("c_2", "10.0.0.7"), ("c_1", "10.0.0.8"), ("billing", "2001:db8::1"), ("", "::")];
    let told = samples.map(|(client, address)| refresh_in(3600, client, address.parse().unwrap()));
    assert_eq!(told, [3279, 3299, 3296, 3270, 3296]);
}

#[tokio::test]
async fn the_token_endpoint_says_it() {
    let builder = TestApp::builder().config(|config| {
        config.network.trusted_proxies = Allowlist::parse(["127.0.0.1"]).unwrap();
    });
    let app = builder.start().await;
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..20 {
        let id = format!("c_{n}");
        let client = app.client_with(NewClient { client_id: Some(id.clone()), ..NewClient::default() }).await;
        for address in ["10.0.0.7", "::ffff:10.0.0.7", "192.0.2.1", "2001:db8::1"] {
            for _ in 0..2 {
                let request = app.token_request(&client, &[]).header("x-forwarded-for", address);
                let answer: Value = request.send().await.unwrap().json().await.unwrap();
                let expected = refresh_in(3600, &id, address.parse().unwrap());
                assert_eq!(answer["refresh_in"], expected, "{id} from {address}: {answer}");
                assert_eq!(answer["expires_in"], 3600);
                seen.insert(expected);
            }
        }
    }
    assert!(seen.len() > 20, "60 callers are told {seen:?}");
    for (ttl, expected) in [(1, 1..=1), (4, 3..=3), (39, 30..=30), (40, 29..=30), (60, 44..=45), (1200, 870..=900)] {
        let client = app.client_with(NewClient { token_ttl: Some(ttl), ..NewClient::default() }).await;
        let answer = app.token_answer(&client, &[]).await;
        assert!(expected.contains(&answer["refresh_in"].as_u64().unwrap()), "{ttl}: {answer}");
        assert_eq!(answer["refresh_in"], refresh_in(ttl, &client.id, [127, 0, 0, 1].into()));
    }
}
