//! A fleet that was started together: how many of it renew in the same second.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use mintage::client::{lead, renew_after};
use mintage::clock::{Clock, ManualClock, UnixTime};
use mintage::crypto::entropy::SeededEntropy;
use mintage::server::service::refresh_in;

use super::NOW;

const CLIENTS: u32 = 10_000;
const TTL: u64 = 3600;
const RENEWALS: usize = 24;

/// The peaks, in requests a second, of each of the renewals, where each client waits for what `wait` says.
fn peaks(mut wait: impl FnMut(u32) -> Duration) -> Vec<u32> {
    let clock = ManualClock::new(UnixTime::from_seconds(NOW));
    let start = clock.now();
    let mut next = vec![Duration::ZERO; CLIENTS as usize];
    let mut peaks = Vec::new();
    for _ in 0..RENEWALS {
        let mut in_second: HashMap<UnixTime, u32> = HashMap::new();
        for (client, next) in (0..CLIENTS).zip(&mut next) {
            *next += wait(client);
            *in_second.entry(start.plus(*next)).or_default() += 1;
        }
        peaks.push(in_second.into_values().max().unwrap());
    }
    peaks
}

fn told(client: u32) -> Duration {
    let from = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + client % 250));
    Duration::from_secs(refresh_in(TTL, &format!("c_{client}"), from))
}

#[test]
fn ten_thousand_clients_started_together_do_not_renew_together() {
    let lifetime = Duration::from_secs(TTL);
    let entropy = SeededEntropy::new(11);
    // Clients that know no jitter, as most are.
    let plain = peaks(|_| lifetime - lead(lifetime));
    let plain_told = peaks(told);
    let ours = peaks(|_| renew_after(lifetime, None, &entropy).unwrap());
    let ours_told = peaks(|client| renew_after(lifetime, Some(told(client)), &entropy).unwrap());
    println!(
        "peak requests in a second, of {CLIENTS} clients whose tokens live {TTL} s, at renewal 1 / 2 / {RENEWALS}"
    );
    for (name, peaks) in [
        ("no jitter, no refresh_in", &plain),
        ("no jitter, refresh_in", &plain_told),
        ("TokenSource, no refresh_in", &ours),
        ("TokenSource, refresh_in", &ours_told),
    ] {
        println!("{name:28}{:6} / {:5} / {:5}", peaks[0], peaks[1], peaks[RENEWALS - 1]);
    }
    assert!(plain.iter().all(|peak| *peak == CLIENTS));
    // Evenly over the last tenth of the lead, which is 30 seconds, they would be 333.
    for peaks in [&plain_told, &ours, &ours_told] {
        assert!(peaks.iter().all(|peak| *peak < 450), "{peaks:?}");
    }
    // Each is told the same every time, so they drift apart; chance alone does so more slowly.
    assert!(ours_told[RENEWALS - 1] < ours_told[0] / 8, "{ours_told:?}");
    assert!(ours_told[RENEWALS - 1] < ours[RENEWALS - 1] / 2, "{ours_told:?} {ours:?}");
}
