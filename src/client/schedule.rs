//! When a token is renewed, and how long a failure is waited out: arithmetic alone.

use std::time::Duration;

use serde_json::Value;

use crate::backoff::fraction;
use crate::crypto::entropy::Entropy;

/// How long before its end a token is renewed, at most.
const LONGEST_LEAD: Duration = Duration::from_secs(300);
/// For how long a token is believed, whatever its answer says.
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// The lifetime of a token whose answer does not say, or not in a way that can be read.
const UNSAID_LIFETIME: Duration = Duration::from_secs(300);
/// The lifetime of a token that is over by its own answer: long enough for those who wait for it, and for one request
/// a second at most.
const SHORTEST_LIFETIME: Duration = Duration::from_secs(1);
/// A server cannot ask for renewals sooner than this, or than a quarter of the lifetime: that would be a loop.
const SOONEST_RENEWAL: Duration = Duration::from_secs(30);

/// How long before its end a token that lives for `lifetime` is renewed: five minutes, or a quarter of a short life.
#[must_use]
pub fn lead(lifetime: Duration) -> Duration {
    (lifetime / 4).min(LONGEST_LEAD)
}

/// How long a token lives, by the `expires_in` of its answer (RFC 6749 §5.1), counted from when it was asked for.
///
/// Some servers send a string, or nothing at all. What cannot be read is taken as five minutes, what is over already as
/// a second, what has no end as a day.
#[must_use]
pub fn lifetime_of(expires_in: Option<&Value>) -> Duration {
    let seconds = match expires_in {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    match seconds {
        Some(seconds) if !seconds.is_nan() => {
            let within = seconds.clamp(SHORTEST_LIFETIME.as_secs_f64(), LONGEST_LIFETIME.as_secs_f64());
            Duration::from_secs_f64(within.floor())
        }
        _ => UNSAID_LIFETIME,
    }
}

/// When a token is renewed in the background, counted from when it was asked for: ahead of its end by the [`lead`], or
/// earlier where the server's `refresh_in` says so, brought forward by up to a tenth of the lead, so that a fleet that
/// was started together does not renew together. `None` for one that lives too short: it is fetched when it is wanted.
#[must_use]
pub fn renew_after(lifetime: Duration, refresh_in: Option<Duration>, entropy: &dyn Entropy) -> Option<Duration> {
    if lifetime < SHORTEST_LIFETIME * 2 {
        return None;
    }
    let lead = lead(lifetime);
    let soonest = (lifetime / 4).min(SOONEST_RENEWAL);
    let at = refresh_in.map_or(lifetime - lead, |wanted| wanted.min(lifetime - lead));
    Some(at.saturating_sub(fraction(lead / 10, entropy)).max(soonest))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crypto::entropy::SeededEntropy;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn odd_lifetimes_are_neither_looped_on_nor_trusted_for_ever() {
        for (said, lives) in [
            (json!(3600), 3600),
            (json!("3600"), 3600),
            (json!(" 60 "), 60),
            (json!(59.9), 59),
            (json!(1), 1),
            (json!(0), 1),
            (json!(-5), 1),
            (json!("-1e400"), 1),
            (json!(1e300), 24 * 3600),
            (json!(u64::MAX), 24 * 3600),
            (json!("inf"), 24 * 3600),
            (json!("NaN"), 300),
            (json!("soon"), 300),
            (json!(null), 300),
            (json!([60]), 300),
        ] {
            assert_eq!(lifetime_of(Some(&said)), seconds(lives), "{said}");
        }
        assert_eq!(lifetime_of(None), seconds(300));
    }

    #[test]
    fn renewed_ahead_of_the_end_and_never_later_than_the_lead() {
        let entropy = SeededEntropy::new(1);
        for (lifetime, lead) in [(2, 0.5), (60, 15.0), (300, 75.0), (1_199, 299.75), (1_200, 300.0), (3_600, 300.0)] {
            let latest = lifetime as f64 - lead;
            for _ in 0..1000 {
                let at = renew_after(seconds(lifetime), None, &entropy).unwrap().as_secs_f64();
                assert!(at <= latest && at >= latest - lead / 10.0, "{lifetime}: {at}");
            }
        }
        for lifetime in [0, 1] {
            assert_eq!(renew_after(seconds(lifetime), Some(seconds(1)), &entropy), None);
        }
    }

    #[test]
    fn the_server_can_have_it_renewed_earlier_but_neither_later_nor_in_a_loop() {
        let entropy = SeededEntropy::new(1);
        for (said, from, to) in [
            (3290, 3260.0, 3290.0),
            (1800, 1770.0, 1800.0),
            (3500, 3270.0, 3300.0),
            (u64::MAX, 3270.0, 3300.0),
            (0, 30.0, 30.0),
            (40, 30.0, 40.0),
        ] {
            let at = renew_after(seconds(3600), Some(seconds(said)), &entropy).unwrap().as_secs_f64();
            assert!((from..=to).contains(&at), "{said}: {at}");
        }
    }
}
