//! Renewals per lifetime, for tokens that live long, short, and oddly.

use std::time::Duration;

use serde_json::json;

use super::{Endpoint, Say, Time, at_once};

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_once_a_life_ahead_of_its_end() {
    for (lives, lead) in [(2_u64, 0.5), (60, 15.0), (300, 75.0), (1_200, 300.0), (3_600, 300.0)] {
        let time = Time::stands();
        let endpoint = Endpoint::new(Say::lives(lives));
        let source = endpoint.source(&time).build().unwrap();
        source.token().await.unwrap();
        let (lifetimes, step) = (4, Duration::from_secs(lives) / 240);
        for _ in 0..lifetimes * 240 {
            time.advance(step).await;
            endpoint.quiet(&source).await;
            assert!(at_once(source.token()).expect("it waits").is_ok());
        }
        // Each renewal comes a lead, and up to a tenth of it, before the end, and the life of the next begins there.
        let passed = (lives * lifetimes) as f64;
        let (most, least) = (passed / (lives as f64 - 1.1 * lead), passed / (lives as f64 - lead + step.as_secs_f64()));
        let renewals = (endpoint.asked() - 1) as f64;
        assert!(renewals <= most.ceil() && renewals >= least.floor(), "{lives} s: {renewals} in {least}..{most}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_odd_lifetime_is_neither_looped_on_nor_trusted_for_ever() {
    for (said, least, most) in [
        (json!({"expires_in": 0}), 0, 0),
        (json!({"expires_in": 1}), 0, 0),
        (json!({"expires_in": -5}), 0, 0),
        (json!({"expires_in": "60"}), 1, 2),
        (json!({}), 0, 0),
        (json!({"expires_in": null}), 0, 0),
        (json!({"expires_in": "soon"}), 0, 0),
        (json!({"expires_in": 1e300}), 0, 0),
        (json!({"expires_in": 3600, "refresh_in": 0}), 1, 3),
    ] {
        let time = Time::stands();
        let endpoint = Endpoint::new(Say::Token(said.clone()));
        let source = endpoint.source(&time).build().unwrap();
        assert!(source.token().await.is_ok(), "{said}");
        for _ in 0..90 {
            time.advance(Duration::from_secs(1)).await;
            endpoint.quiet(&source).await;
        }
        let renewals = endpoint.asked() - 1;
        assert!((least..=most).contains(&renewals), "{said}: {renewals}");
    }
}
